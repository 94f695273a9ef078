"""mountinfo, modes and trust: text in, values out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catalog.terms import WatchMode
from catalog.watch.mounts import (
    borders_below,
    is_network,
    mount_of,
    mounts,
    mounts_below,
    parse,
    probe,
    trust_of,
    watch_mode,
)

TABLE = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
40 27 8:1 / /srv/a\040b rw master:2 propagate_from:1 - xfs /dev/sda1 rw
41 40 0:50 / /srv/a\040b/deep rw - nfs4 host:/export\134x rw,vers=4.2
42 27 8:2 / /srv/over rw - ext4 /dev/sdb2 rw
43 42 8:3 /sub /srv/over/in rw - ext4 /dev/sdc1 rw
44 42 8:4 / /srv/over rw - btrfs /dev/sdd1 rw,subvol=/x
45 27 8:1 /pictures /srv/bind rw - xfs /dev/sda1 rw
not a mount line
"""


def test_mountinfo_is_unescaped_and_optional_fields_are_skipped():
    table = parse(TABLE)
    assert len(table) == 8
    assert table[2].point == b"/srv/a b"
    assert (table[2].fstype, table[2].source, table[2].device) == ("xfs", b"/dev/sda1", "8:1")
    assert table[3].source == b"host:/export\\x"
    assert table[3].super_options == "rw,vers=4.2"
    assert table[7].root == b"/pictures"


@pytest.mark.parametrize(
    ("path", "mount_id"),
    [
        (b"/", 27),
        (b"/srv", 27),
        (b"/srv/a b", 40),
        (b"/srv/a bc", 27),
        (b"/srv/a b/deep/x.tif", 41),
        (b"/srv/over/x", 44),
        (b"/srv/over/in/x", 44),  # 43 hides beneath 44, though its point is longer
        (b"/proc/self", 22),
    ],
)
def test_a_path_lies_on_the_mount_that_the_kernel_would_reach(path: bytes, mount_id: int):
    mount = mount_of(path, parse(TABLE))
    assert mount is not None
    assert mount.mount_id == mount_id


def test_no_table_no_mount():
    assert mount_of(b"/srv", []) is None
    assert not trust_of(None).inode_trusted


def test_visible_mounts_below_a_folder():
    assert [m.mount_id for m in mounts_below(b"/srv", parse(TABLE))] == [40, 41, 45, 44]
    assert [m.mount_id for m in mounts_below(b"/srv/a b", parse(TABLE))] == [41]
    assert mounts_below(b"/srv/a", parse(TABLE)) == []


def test_a_bind_mount_of_the_same_device_is_no_border(tmp_path: Path):
    root = os.fsencode(tmp_path)
    here = mount_of(os.path.realpath(root))
    assert here is not None
    line = b"900 %d %s / %s rw - %s x rw"
    ours, theirs = here.device.encode(), b"0:999"
    text = b"\n".join(
        line % (here.mount_id, device, os.path.realpath(root) + b"/" + name, here.fstype.encode())
        for name, device in ((b"bind", ours), (b"other", theirs))
    ).replace(b"900", b"901", 1)
    table = [*mounts(), *parse(text)]
    assert borders_below(root, table) == {os.path.join(root, b"other")}


def test_this_process_has_a_root_mount():
    mount = mount_of(b"/proc/self/status")
    assert mount is not None
    assert mount.fstype == "proc"


@pytest.mark.parametrize(
    ("fstype", "mode"),
    [
        ("ext4", WatchMode.INOTIFY),
        ("tmpfs", WatchMode.INOTIFY),
        ("nfs4", WatchMode.BOTH),
        ("cifs", WatchMode.BOTH),
        ("fuse.sshfs", WatchMode.BOTH),
        ("fuse", WatchMode.POLL),
        ("fuseblk", WatchMode.POLL),
        ("overlay", WatchMode.POLL),
        ("autofs", WatchMode.POLL),
        ("somethingnew", WatchMode.POLL),
    ],
)
def test_the_mode_follows_from_the_file_system_and_says_why(fstype: str, mode: WatchMode):
    chosen, reason = watch_mode(fstype)
    assert chosen is mode
    assert fstype in reason


def test_network_file_systems():
    assert all(map(is_network, ("nfs", "nfs4", "cifs", "9p", "fuse.sshfs", "virtiofs")))
    assert not any(map(is_network, ("ext4", "fuse", "fuse.bindfs", "overlay", "tmpfs")))


@pytest.mark.parametrize(
    ("line", "inode", "ctime", "compared", "step"),
    [
        (b"1 0 8:1 / / rw - ext4 /dev/a rw", True, True, True, 1),
        (b"1 0 8:1 / / rw - nfs4 h:/x rw", True, True, True, 1),
        (b"1 0 8:1 / / rw - cifs //h/x rw,serverino", True, True, True, 100),
        (b"1 0 8:1 / / rw - cifs //h/x rw,noserverino", False, True, True, 100),
        (b"1 0 8:1 / / rw - vfat /dev/a rw", False, False, False, 2_000_000_000),
        (b"1 0 8:1 / / rw - fuse.sshfs h: rw", False, False, True, 1_000_000_000),
        (b"1 0 8:1 / / rw - fuse bindfs rw", False, False, True, 1),
    ],
)
def test_trust_from_type_and_options(line: bytes, inode: bool, ctime: bool, compared: bool, step: int):
    trust = trust_of(parse(line)[0])
    assert (trust.inode_trusted, trust.ctime_trusted, trust.ctime_compared) == (inode, ctime, compared)
    assert trust.mtime_granularity_ns == step
    assert trust.reason


def test_whole_second_mtimes_alone_do_not_make_a_file_system_coarse(tmp_path: Path):
    for i in range(20):
        path = tmp_path / f"{i}.tif"
        path.touch()
        os.utime(path, ns=(i * 10**9, i * 10**9))
    trust = probe(os.fsencode(tmp_path))
    real = trust_of(mount_of(os.path.realpath(os.fsencode(tmp_path))))
    assert trust == real
