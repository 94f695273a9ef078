"""Real mounts, each scenario in a user and mount namespace of its own (``unshare -Urm``).

This file is also the program that runs inside: ``python -m tests.kernel.test_watch_mounted SCENARIO FOLDER``.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

import pytest

from catalog.terms import RootState, WatchMode
from catalog.watch.guard import ShareGuard, ShareIdentity, identify
from catalog.watch.hints import Hints
from catalog.watch.inotify import InotifySource
from catalog.watch.mounts import borders_below, mount_of, probe, watch_mode
from catalog.watch.reconcile import Coverage, compare, recheck_absence
from catalog.watch.selection import Selection
from catalog.watch.walk import Listing, walk
from tests.mounting import namespaces, not_here, run_scenario, unprivileged
from tests.waiting import until

MNT_DETACH = 2


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def mount(source: bytes, target: bytes, fstype: bytes, options: bytes = b"", flags: int = 0) -> None:
    os.makedirs(target, exist_ok=True)
    if _libc().mount(source, target, fstype, flags, options):
        raise OSError(ctypes.get_errno(), f"mount {fstype!r} on {target!r}")


def bind(source: bytes, target: bytes) -> None:
    mount(source, target, b"none", flags=4096)


def umount(target: bytes) -> None:
    if _libc().umount2(target, MNT_DETACH):
        raise OSError(ctypes.get_errno(), f"umount {target!r}")


def fill(folder: bytes, *names: bytes) -> None:
    for name in names:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(name)


def walked(root: bytes, **options) -> tuple[dict[bytes, Listing], Coverage]:
    coverage, listings = Coverage(), {}
    for listing in walk(root, Selection(), **options):
        coverage.add(listing)
        listings[listing.path] = listing
    return listings, coverage


# ------------------------------------------------------------------------------------------- scenarios


def share_unmounted_and_back(base: bytes) -> None:
    """umount is offline, the same one again is online, and the record would lose nothing meanwhile."""
    disk, share = base + b"/disk", base + b"/share"
    mount(b"disk", disk, b"tmpfs")
    fill(disk, b"a.tif", b"d/b.tif")
    bind(disk, share)
    guard = ShareGuard(share)
    assert guard.check(60.0).online
    identity = guard.identity
    assert identity is not None
    umount(share)
    off = guard.check(60.0)
    assert off.state is RootState.OFFLINE, off
    bind(disk, share)
    assert guard.check(60.0).online
    # The record keeps type, source and inode only: the same answers from those
    guard.close()
    umount(share)
    stored = ShareIdentity(share, identity.fstype, identity.source, identity.root_inode, not_empty=True)
    guard = ShareGuard(share, stored)
    assert guard.check(60.0).state is RootState.OFFLINE
    bind(disk, share)
    assert guard.check(60.0).online
    guard.close()


def share_replaced(base: bytes) -> None:
    """An empty file system over it, then another one in its place."""
    share = base + b"/share"
    mount(b"first", share, b"tmpfs")
    fill(share, *(b"%d.tif" % i for i in range(10)))
    guard = ShareGuard(share)
    assert guard.check(60.0).online
    mount(b"second", share, b"tmpfs")
    over = guard.check(60.0)
    assert over.state is RootState.REPLACED, over
    assert not over.refounded
    umount(share)
    assert guard.check(60.0).online
    umount(share)
    mount(b"first", share, b"tmpfs")  # the same name, another file system
    fill(share, b"1.tif", b"2.tif", b"3.tif")
    other = guard.check(60.0)
    assert other.state is RootState.REPLACED, other
    guard.close()


def mounts_inside(base: bytes) -> None:
    """A mount inside the share is a domain of its own; what it hides, or hid, is never missing."""
    share = base + b"/share"
    fill(share, b"a.tif", b"in/below.tif", b"in/deep/x.tif")
    inner = share + b"/in"
    known, _ = walked(share)
    mount(b"inner", inner, b"tmpfs")
    fill(inner, b"other.tif")
    assert borders_below(share) == {inner}
    listings, coverage = walked(share)
    assert sorted(listings) == [b""]
    assert listings[b""].mounts == [b"in"]
    assert not coverage.gone(b"in")
    assert not coverage.gone(b"in/deep")
    proofs = recheck_absence(share, [b"in/below.tif", b"in/deep/x.tif", b"b.tif"])
    assert [proof.absent for proof in proofs] == [False, False, True]
    crossing, _ = walked(share, cross_devices=True)
    assert sorted(crossing) == [b"", b"in"]
    assert list(crossing[b"in"].entries) == [b"other.tif"]
    # It was part of the share, and is unmounted: lost, not deleted
    guard = ShareGuard(share)
    assert guard.check(60.0).online
    umount(inner)
    check = guard.check(60.0)
    assert check.online
    assert check.lost == {b"in"}
    listings, coverage = walked(share, cross_devices=True, lost=check.lost)
    assert listings[b""].mounts == [b"in"]
    assert not coverage.gone(b"in")
    (proof,) = recheck_absence(share, [b"in/other.tif"], lost=check.lost, cross_devices=True)
    assert not proof.absent
    guard.close()
    again, _ = walked(share)
    assert {path: set(at.entries) for path, at in again.items()} == {
        path: set(at.entries) for path, at in known.items()
    }


def bound_inside(base: bytes) -> None:
    """A folder bound to a second place in the tree: each file once per path, one watch for both."""
    share = base + b"/share"
    fill(share, b"one/a.tif", b"x.tif")
    bind(share + b"/one", share + b"/two")
    listings, _ = walked(share)
    assert sorted(listings) == [b"", b"one", b"two"]
    assert listings[b"one"].entries == listings[b"two"].entries
    source = InotifySource(share, Hints(), base + b"/cookie")
    source.start()
    folders = [(path, at.identity[1]) for path, at in listings.items() if at.identity]
    assert source.uncovered(folders) == [b"two"]
    source.stop()


def unmount_is_heard(base: bytes) -> None:
    """inotify says nothing of an unmount to watchdog's users; the source says that it lost its watches."""
    share = base + b"/share"
    mount(b"share", share, b"tmpfs")
    fill(share, b"d/a.tif")
    hints = Hints()
    source = InotifySource(share, hints, base + b"/cookie")
    source.start()
    assert source.health() is None
    umount(share)
    reason = until(source.health)
    assert "unmounted" in reason, reason
    assert hints.drain()[b""].subtree
    source.stop()


def hung_server(base: bytes) -> None:
    """A file server that never answers: the guard does, in time; and again when the server is gone."""
    share = base + b"/share"
    try:
        server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        not_here(f"no FUSE here: {error}")
    os.mkdir(share)
    mount_fuse = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % server
    if _libc().mount(b"server", share, b"fuse", 0, mount_fuse):
        not_here(f"no FUSE mounts here: {os.strerror(ctypes.get_errno())}")
    guard = ShareGuard(share, ShareIdentity(share, "fuse", b"server", not_empty=True))
    for _ in range(2):
        began = time.monotonic()
        check = guard.check(0.5)
        assert check.state is RootState.HUNG, check
        assert time.monotonic() - began < 3.0
    os.close(server)
    check = guard.check(5)
    assert check.state is RootState.OFFLINE, check
    listing = next(walk(share, Selection()))
    assert listing.error is not None
    assert not listing.clean
    guard.close()


def overlay_is_polled(base: bytes) -> None:
    """Lower layers change unheard: an overlay is polled, and its inodes are not believed."""
    lower, upper, work, share = (base + b"/" + n for n in (b"lower", b"upper", b"work", b"share"))
    mount(b"space", base + b"/space", b"tmpfs")
    for folder in (lower, upper, work, share):
        os.makedirs(base + b"/space/" + os.path.basename(folder))
    at = base + b"/space/"
    options = b"lowerdir=%slower,upperdir=%supper,workdir=%swork" % (at, at, at)
    try:
        mount(b"overlay", share, b"overlay", options)
    except OSError as error:
        not_here(f"no overlay here: {error}")
    here = mount_of(share)
    assert here is not None
    assert watch_mode(here.fstype)[0] is WatchMode.POLL
    assert not probe(share).inode_trusted


def too_few_watches(base: bytes) -> None:
    """Folders without a watch are known by name, so that they can be polled."""
    share = base + b"/share"
    for i in range(40):
        fill(share, b"%02d/a.tif" % i)
    with open("/proc/sys/user/max_inotify_watches", "w") as stream:
        stream.write("20")
    source = InotifySource(share, Hints(), base + b"/cookie")
    source.start()
    assert source.health() is None
    listings, _ = walked(share)
    folders = [(path, at.identity[1]) for path, at in listings.items() if at.identity]
    assert len(folders) == 41
    bare = source.uncovered(folders)
    assert len(bare) == 41 - 19, (len(bare), source.watches)
    source.stop()
    with open("/proc/sys/user/max_inotify_watches", "w") as stream:
        stream.write("1")
    source = InotifySource(share, Hints(), base + b"/cookie")
    try:
        source.start()
    except OSError as error:
        assert "limit" in str(error)
    else:
        raise AssertionError("one watch cannot be enough")
    assert source.health() == "not started"
    source.stop()


def unlistable_folder(base: bytes) -> None:
    """Runs as nobody, without namespaces: a closed folder makes its subtree unknown, never missing."""
    share = base + b"/share"
    fill(share, b"a.tif", b"shut/b.tif", b"shut/deep/c.tif", b"dim/d.tif")
    known, _ = walked(share)
    os.chmod(share + b"/shut", 0)
    os.chmod(share + b"/dim", 0o400)  # names can be listed, files not looked at
    listings, coverage = walked(share)
    assert listings[b"shut"].error is not None
    assert not coverage.gone(b"shut/deep")
    assert list(listings[b"dim"].unknown) == [b"d.tif"]
    for folder in (b"shut", b"dim"):
        rows = {n: (1, *look) for n, look in known[folder].entries.items()}
        found = compare(listings[folder], rows)  # type: ignore[arg-type]
        assert not found.vanished
        assert len(found.unknown) == 1
    proofs = recheck_absence(share, [b"shut/b.tif", b"shut/deep/c.tif", b"dim/d.tif", b"shut/new.tif"])
    assert not any(proof.absent for proof in proofs)
    hints = Hints()
    source = InotifySource(share, hints, base + b"/cookie")
    source.start()
    folders = [(path, at.identity[1]) for path, at in known.items() if at.identity]
    assert source.uncovered(folders) == [b"dim", b"shut", b"shut/deep"] or source.uncovered(folders) == [
        b"shut",
        b"shut/deep",
    ]
    source.stop()
    os.chmod(share + b"/shut", 0o700)
    os.chmod(share + b"/dim", 0o700)
    again, _ = walked(share)
    assert {p: at.entries for p, at in again.items()} == {p: at.entries for p, at in known.items()}


def closed_root(base: bytes) -> None:
    """Without privileges: a root that may not be read is offline, not empty."""
    share = base + b"/share"
    fill(share, b"a.tif")
    guard = ShareGuard(share)
    assert guard.check(60.0).online
    os.chmod(share, 0)
    check = guard.check(60.0)
    assert check.state is RootState.OFFLINE, check
    assert "Permission denied" in check.reason
    os.chmod(share, 0o700)
    guard.close()


SCENARIOS = (
    share_unmounted_and_back,
    share_replaced,
    mounts_inside,
    bound_inside,
    unmount_is_heard,
    hung_server,
    overlay_is_polled,
    too_few_watches,
)


def run(prefix: list[str], scenario: str, folder: Path) -> None:
    strict = ("-X", "dev", "-W", "error")
    run_scenario(prefix, "tests.kernel.test_watch_mounted", scenario, folder, *strict)


@pytest.mark.parametrize("scenario", [scenario.__name__ for scenario in SCENARIOS])
def test_on_real_mounts(scenario: str, tmp_path: Path):
    run(namespaces(), scenario, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [unlistable_folder.__name__, closed_root.__name__])
def test_as_an_unprivileged_user(scenario: str, public_path: Path):
    run(unprivileged(public_path), scenario, public_path)


def test_identities_are_what_the_kernel_says(tmp_path: Path):
    here = mount_of(os.path.realpath(os.fsencode(tmp_path)))
    assert here is not None
    seen = identify(os.fsencode(tmp_path))
    assert (seen.fstype, seen.mount_point) == (here.fstype, here.point)


if __name__ == "__main__":
    globals()[sys.argv[1]](os.fsencode(sys.argv[2]))
