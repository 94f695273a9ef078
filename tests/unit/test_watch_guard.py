"""Is the share there? Judgements on values, and the looking process on real folders."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.errors import NotFound
from catalog.terms import RootState
from catalog.watch import lookout
from catalog.watch.guard import MARKER, ShareGuard, ShareIdentity, identify, judge
from catalog.watch.mounts import Mount, parse, stable_source

EXT4 = parse(b"30 1 8:1 / /srv/share rw - ext4 /dev/sda1 rw")[0]
NFS = parse(b"30 1 0:50 / /srv/share rw - nfs4 host:/export rw")[0]
ROOT = parse(b"1 0 254:0 / / rw - ext4 /dev/vda rw")[0]
TMPFS = parse(b"31 1 0:60 / /srv/share rw - tmpfs none rw")[0]
SSHFS = parse(b"32 1 0:61 / /srv/share rw - fuse.sshfs host: rw")[0]


def seen_on(mount: Mount, **changes: object) -> ShareIdentity:
    seen = ShareIdentity(
        b"/srv/share",
        fstype=mount.fstype,
        source=mount.source,
        root_inode=2,
        not_empty=True,
        mount_point=mount.point,
    )
    return replace(seen, **changes)  # type: ignore[arg-type]


def state(known: ShareIdentity, seen: ShareIdentity, mount: Mount) -> RootState:
    return judge(known, seen, mount).state


def test_the_same_share_is_online():
    check = judge(seen_on(EXT4), seen_on(EXT4), EXT4)
    assert check.online
    assert check.reason == ""


def test_an_unmounted_share_is_offline_even_if_its_mount_point_has_files():
    check = judge(seen_on(EXT4), seen_on(ROOT, root_inode=99), ROOT)
    assert check.state is RootState.OFFLINE
    assert "/srv/share is not mounted" in check.reason


def test_without_a_remembered_mount_point_an_empty_folder_means_unmounted_and_a_full_one_replaced():
    known = seen_on(EXT4, mount_point=None)
    assert state(known, seen_on(ROOT, not_empty=False), ROOT) is RootState.OFFLINE
    assert state(known, seen_on(ROOT), ROOT) is RootState.REPLACED
    assert state(known, seen_on(TMPFS, not_empty=False), TMPFS) is RootState.REPLACED


def test_another_file_system_in_its_place_is_replaced():
    check = judge(seen_on(EXT4), seen_on(TMPFS, not_empty=False), TMPFS)
    assert check.state is RootState.REPLACED
    assert not check.refounded
    assert check.reason == "another file system is mounted here: tmpfs none, not ext4 /dev/sda1"


def test_another_file_system_of_the_same_kind_is_not_told_by_a_name_that_both_have():
    check = judge(seen_on(EXT4, fsid=77), seen_on(EXT4, fsid=78), EXT4)
    assert check.reason == (
        "another file system is mounted here than the one that is known, of the same kind (ext4 /dev/sda1)"
    )


def test_a_disk_that_came_back_under_another_name_is_known_by_its_id():
    moved = parse(b"30 1 8:17 / /srv/share rw - ext4 /dev/sdb1 rw")[0]
    assert state(seen_on(EXT4, fsid=77), seen_on(moved, fsid=77), moved) is RootState.ONLINE
    assert state(seen_on(EXT4, fsid=77), seen_on(EXT4, fsid=78), EXT4) is RootState.REPLACED


def test_a_folder_made_anew_on_the_same_disk_is_refounded():
    check = judge(seen_on(ROOT), seen_on(ROOT, root_inode=3), ROOT)
    assert check.state is RootState.REPLACED
    assert check.refounded


def test_another_folder_on_the_mount_point_itself_is_replaced_and_nothing_more():
    check = judge(seen_on(EXT4), seen_on(EXT4, root_inode=3), EXT4)
    assert (check.state, check.refounded) == (RootState.REPLACED, False)


def test_an_inode_that_was_handed_out_again_is_told_by_its_birth():
    known = seen_on(ROOT, born_ns=1)
    assert judge(known, seen_on(ROOT, born_ns=2), ROOT).refounded
    assert judge(known, seen_on(ROOT, born_ns=1), ROOT).online
    assert judge(known, seen_on(ROOT), ROOT).online
    assert judge(seen_on(SSHFS, born_ns=1), seen_on(SSHFS, born_ns=2), SSHFS).online


def test_the_birth_of_a_folder_is_seen(tmp_path: Path):
    before = time.time_ns()
    folder = os.fsencode(tmp_path / "new")
    os.mkdir(folder)
    born = lookout.look(folder, b"")["born"]
    if born is None:
        pytest.skip("this file system does not tell when a folder was made")
    assert isinstance(born, int)
    assert before - 1_000_000_000 <= born <= time.time_ns()
    os.chmod(folder, 0o700)
    assert identify(folder).born_ns == born


def test_inodes_that_a_mount_invents_decide_nothing():
    assert state(seen_on(SSHFS), seen_on(SSHFS, root_inode=3), SSHFS) is RootState.ONLINE


def test_a_retargeted_link_is_replaced():
    for mount in (EXT4, NFS):  # the other folder may lie on another file system
        check = judge(seen_on(EXT4), seen_on(mount, realpath=b"/srv/other"), mount)
        assert check.state is RootState.REPLACED
        assert check.refounded
        assert "/srv/other" in check.reason


def test_emptied_remote_shares_are_offline_and_emptied_local_folders_are_not():
    for mount in (NFS, SSHFS):
        assert state(seen_on(mount), seen_on(mount, not_empty=False), mount) is RootState.OFFLINE
        empty = seen_on(mount, not_empty=False)
        assert state(empty, empty, mount) is RootState.ONLINE
    assert state(seen_on(EXT4), seen_on(EXT4, not_empty=False), EXT4) is RootState.ONLINE


def test_a_marker_alone_decides():
    known = seen_on(EXT4, marker=b"token")
    assert state(known, seen_on(NFS, marker=b"token", root_inode=9), NFS) is RootState.ONLINE
    assert state(known, seen_on(EXT4, marker=b"other"), EXT4) is RootState.REPLACED


def test_files_without_the_marker_are_another_share_and_an_empty_folder_is_unmounted():
    known = seen_on(EXT4, marker=b"token")
    assert state(known, seen_on(EXT4), EXT4) is RootState.REPLACED
    assert state(known, seen_on(EXT4, not_empty=False), EXT4) is RootState.OFFLINE
    assert state(known, seen_on(ROOT), ROOT) is RootState.OFFLINE  # files below a mount point


def test_a_folder_of_the_same_disk_that_is_bound_or_not_bound_here_is_told_from_a_folder_made_anew():
    disk = replace(ROOT, point=b"/srv/share")
    bound = seen_on(disk, fsid=7)
    unbound = judge(bound, seen_on(ROOT, fsid=7, root_inode=99), ROOT)
    assert (unbound.state, unbound.refounded) == (RootState.OFFLINE, False)
    over = judge(seen_on(ROOT, fsid=7), seen_on(disk, fsid=7, root_inode=99), disk)
    assert (over.state, over.refounded) == (RootState.REPLACED, False)


def test_a_lost_mount_inside_the_share_is_named():
    known = seen_on(EXT4, nested=frozenset((b"2023", b"2024")))
    assert judge(known, seen_on(EXT4, nested=frozenset((b"2024",))), EXT4).lost == {b"2023"}


def test_the_source_of_a_disk_is_remembered_by_its_uuid(tmp_path: Path):
    (tmp_path / "abcd-1234").symlink_to("/dev/null")
    mount = parse(b"30 1 8:1 / / rw - ext4 /dev/null rw")[0]
    assert stable_source(mount, os.fsencode(tmp_path)) == b"UUID=abcd-1234"
    assert stable_source(mount, os.fsencode(tmp_path / "none")) == b"/dev/null"
    assert stable_source(NFS) == b"host:/export"


# ------------------------------------------------------------------------------------------- the looking


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[ShareGuard]:
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "a.tif").write_bytes(b"x")
    made = ShareGuard(os.fsencode(tmp_path / "share"))
    yield made
    made.close()


def test_the_first_look_is_taken_for_the_share(guard: ShareGuard):
    assert guard.check().online
    identity = guard.identity
    assert identity is not None
    assert identity.root_inode == os.stat(guard.root).st_ino
    assert identity.not_empty
    assert identity == identify(guard.root)


def test_a_removed_root_is_offline_and_a_new_one_refounded_until_it_is_adopted(
    guard: ShareGuard, tmp_path: Path
):
    assert guard.check().online
    os.rename(guard.root, os.fsencode(tmp_path / "aside"))
    gone = guard.check()
    assert gone.state is RootState.OFFLINE
    assert "No such file" in gone.reason
    os.mkdir(guard.root)
    again = guard.check()
    assert again.state is RootState.REPLACED
    assert again.refounded
    assert again.seen is not None
    guard.adopt(again.seen)
    assert guard.check().online
    os.rmdir(guard.root)
    with open(guard.root, "wb"):
        pass
    assert guard.check().state is RootState.OFFLINE


def test_markers_are_read_when_they_count(guard: ShareGuard):
    marker = os.path.join(guard.root, MARKER)
    with open(marker, "wb") as stream:
        stream.write(b"token\n")
    seen = identify(guard.root)
    assert seen.marker == b"token"
    assert guard.check().online
    guard.demand(seen.marker)
    assert guard.check().online
    with open(marker, "wb") as stream:
        stream.write(b"\xffother")
    assert guard.check().state is RootState.REPLACED
    os.unlink(marker)
    assert guard.check().state is RootState.REPLACED
    os.mkfifo(marker)  # must not be waited for
    assert guard.check().state is RootState.REPLACED
    guard.demand(None)
    assert guard.check().online


def test_names_that_are_not_text(tmp_path: Path):
    root = os.fsencode(tmp_path) + b"/\xff\n"
    os.mkdir(root)
    assert identify(root).realpath == root


def test_no_answer_in_time_is_hung_and_the_next_look_starts_afresh(guard: ShareGuard):
    assert guard.check().online
    process = guard._lookout._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()
    check = guard.check(0.2)
    assert check.state is RootState.HUNG
    assert "0.2 s" in check.reason
    assert time.monotonic() - began < 3.0
    assert process.returncode == -signal.SIGKILL  # ended and waited for: no zombie
    assert guard.check().online


def test_a_looking_process_that_was_killed_is_replaced_at_once(guard: ShareGuard):
    assert guard.check().online
    process = guard._lookout._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert guard.check().online


def test_what_cannot_be_seen_has_no_identity(tmp_path: Path):
    with pytest.raises(NotFound, match="cannot be seen"):
        identify(os.fsencode(tmp_path / "nowhere"))


def test_close_may_be_called_twice_and_the_guard_used_again(guard: ShareGuard):
    guard.check()
    guard.close()
    guard.close()
    assert guard.check().online
