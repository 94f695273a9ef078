"""The walk in a process of its own: the same listings, and an end that the caller decides on."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from catalog.service import reconcile
from catalog.watch.selection import Selection
from catalog.watch.walk import Listing, walk
from catalog.watch.walker_process import WalkApart
from tests.in_process import cataloguing_in


def collected(apart: WalkApart) -> list[Listing]:
    """Everything it gives, waiting for what takes its time."""
    found: list[Listing] = []
    for listing in apart:
        if listing is None:
            apart.wait(0.5)
        else:
            found.append(listing)
    return found


def same(one: Listing, other: Listing) -> bool:
    def plain(listing: Listing) -> tuple[Any, ...]:
        errors = {name: error.errno for name, error in listing.unknown.items()}
        error = listing.error and listing.error.errno
        rest = [listing.subdirs, listing.mounts, listing.symlinks, listing.ignored, listing.special]
        return listing.path, listing.entries, errors, error, listing.gone, listing.identity, rest

    return plain(one) == plain(other)


@pytest.fixture
def share(tmp_path: Path) -> bytes:
    root = os.fsencode(tmp_path / "share")
    for folder in (b"", b"a/b", b"\xff odd", b"new\nline", b".hidden", b"empty", b"bulky"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    for path in (b"1.tif", b"a/2.TIF", b"a/b/\xfe.png", b"\xff odd/x.jpg", b"new\nline/y.tif", b"notes.txt"):
        with open(os.path.join(root, path), "wb") as stream:
            stream.write(path)
    for number in range(2500):
        os.close(os.open(os.path.join(root, b"bulky/%d.tif" % number), os.O_CREAT | os.O_WRONLY))
    os.mkfifo(os.path.join(root, b"pipe.tif"))
    os.symlink(b"a", os.path.join(root, b"link"))
    os.symlink(b"..", os.path.join(root, b"a/loop"))
    return root


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(follow_links=True),
        Selection(extensions=["png"], include=["*.txt"], exclude=["bulky/"]),
    ],
    ids=["default", "links", "globs"],
)
def test_another_process_lists_what_this_one_would(share: bytes, selection: Selection) -> None:
    for start, lost in (
        (b"", frozenset[bytes]()),
        (b"a", frozenset()),
        (b"nowhere", frozenset()),
        (b"", {b"a"}),
    ):
        here = list(walk(share, selection, start, lost=frozenset(lost)))
        there = collected(WalkApart(share, selection, start, lost=frozenset(lost)))
        assert len(here) == len(there)
        assert all(map(same, here, there))


def test_a_silent_share_is_an_error_and_the_process_is_ended(share: bytes) -> None:
    apart = WalkApart(share, Selection(), b"", patience_seconds=0.2)
    assert apart._process is not None
    os.kill(apart._process.pid, signal.SIGSTOP)  # as one that hangs in the kernel
    (only,) = collected(apart)
    assert only.error is not None
    assert only.error.errno == errno.ETIMEDOUT
    assert not only.clean
    assert apart._process is None


def test_a_walk_that_dies_proves_nothing(share: bytes) -> None:
    apart = WalkApart(share, Selection(), b"a")
    assert apart._process is not None
    os.kill(apart._process.pid, signal.SIGKILL)
    last = collected(apart)[-1]
    assert last.path == b"a"
    assert last.error is not None
    assert last.error.errno == errno.EIO


def test_a_walk_may_be_given_up_at_any_time(share: bytes) -> None:
    apart = WalkApart(share, Selection())
    apart.wait(5)
    next(apart)
    apart.close()
    apart.close()
    assert list(apart) == list(apart) == []


def test_a_large_share_is_compared_by_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[bytes] = []

    class Told(WalkApart):
        def __init__(self, root: bytes, selection: Selection, start: bytes = b"", **options: Any) -> None:
            walks.append(start)
            super().__init__(root, selection, start, **options)

    monkeypatch.setattr(reconcile, "WalkApart", Told)
    monkeypatch.setattr(reconcile, "APART_FILES", 3)
    folder = tmp_path / "share"
    (folder / "sub").mkdir(parents=True)
    for number in range(4):
        Image.new("L", (4, 4), number).save(folder / "sub" / f"{number}.tif")
    with cataloguing_in(tmp_path) as home:
        assert home.scan(folder).tally.new == 4
        assert walks == []
        os.replace(folder / "sub" / "0.tif", folder / "moved.tif")
        Image.new("L", (4, 4), 99).save(folder / "sub" / "1.tif")
        (folder / "sub" / "2.tif").unlink()
        before = home.ids()
        result = home.scan(folder)
        assert walks == [b""]
        assert (result.tally.moved, result.tally.changed, result.tally.missing) == (1, 1, 1)
        assert home.ids() == {
            "moved.tif": before["sub/0.tif"],
            "sub/1.tif": before["sub/1.tif"],
            "sub/3.tif": before["sub/3.tif"],
        }


def test_a_share_that_falls_silent_makes_no_absence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(WalkApart):
        def __init__(self, root: bytes, selection: Selection, start: bytes = b"", **options: Any) -> None:
            super().__init__(root, selection, start, **{**options, "patience_seconds": 0.2})
            assert self._process is not None
            os.kill(self._process.pid, signal.SIGSTOP)

    folder = tmp_path / "share"
    folder.mkdir()
    for number in range(4):
        Image.new("L", (4, 4), number).save(folder / f"{number}.tif")
    with cataloguing_in(tmp_path) as home:
        home.scan(folder)
        monkeypatch.setattr(reconcile, "WalkApart", Stopped)
        monkeypatch.setattr(reconcile, "APART_FILES", 3)
        (folder / "0.tif").unlink()
        result = home.scan(folder)
        assert result.tally.missing == 0
        assert not result.complete
        assert len(home.ids()) == 4
