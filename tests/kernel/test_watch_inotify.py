"""Real inotify: what is heard, what is lost, and that every loss is noticed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.watch.hints import Hints, Sign, Trace, Writing
from catalog.watch.inotify import InotifySource
from catalog.watch.selection import Selection
from catalog.watch.walk import walk
from tests.storm_ground import RENAME_EXCHANGE, rename2

Eventually = Callable[..., Any]


class Collected(Hints):
    """Hints that also remember everything that was ever drained."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[bytes, Trace] = {}

    def gather(self) -> dict[bytes, Trace]:
        for path, trace in self.drain().items():
            if path in self.seen:
                self.seen[path].merge(trace)
            else:
                self.seen[path] = trace
        return self.seen

    def covers(self, path: bytes) -> bool:
        """Whether the path itself was marked, or a folder above it as a subtree."""
        seen = self.gather()
        above = [path[:i] for i, c in enumerate(path) if c == 47]
        return path in seen or any(a in seen and seen[a].subtree for a in [*above, b""])


class Share:
    def __init__(self, folder: Path) -> None:
        self.root = os.fsencode(folder / "share")
        self.elsewhere = os.fsencode(folder / "elsewhere")
        os.mkdir(self.root)
        os.mkdir(self.elsewhere)
        self.cookie_dir = os.fsencode(folder / "cookie")
        self.hints = Collected()
        self.now = 0.0
        self.source = InotifySource(
            self.root, self.hints, self.cookie_dir, selection=Selection(), clock=lambda: self.now
        )

    def at(self, path: bytes) -> bytes:
        return os.path.join(self.root, path)

    def write(self, path: bytes, content: bytes = b"x") -> None:
        with open(self.at(path), "wb") as stream:
            stream.write(content)


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    made = Share(tmp_path)
    yield made
    made.source.stop()


def caught_up(share: Share, eventually: Eventually) -> None:
    """Wait until a cookie sent now has come back."""
    eventually(lambda: share.source._cookie_sent is None)
    share.now += 10
    assert share.source.health() is None
    eventually(lambda: share.source._cookie_sent is None)


def test_a_written_file_is_heard_of_and_closed(share: Share, eventually: Eventually):
    share.source.start()
    share.write(b"a.tif")
    eventually(lambda: b"a.tif" in share.hints.gather())
    eventually(lambda: share.hints.gather()[b"a.tif"].writing is Writing.CLOSED)


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.tif", b"new\nline.tif", "e\u0301.tif".encode(), b"y" * 251 + b".tif", b"a b\x01.TIF"]
)
def test_names_need_not_be_text(share: Share, eventually: Eventually, name: bytes):
    share.source.start()
    share.write(name)
    eventually(lambda: name in share.hints.gather())
    assert share.source.health() is None


def test_a_root_behind_a_symbolic_link_is_heard(tmp_path: Path, eventually: Eventually):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    hints = Collected()
    source = InotifySource(os.fsencode(tmp_path / "link"), hints, os.fsencode(tmp_path / "cookie"))
    source.start()
    try:
        (tmp_path / "link" / "a.tif").write_bytes(b"x")
        eventually(lambda: b"a.tif" in hints.gather())
    finally:
        source.stop()


def test_renames_in_out_and_within(share: Share, eventually: Eventually):
    share.write(b"old.tif")
    share.write(b"leaves.tif")
    with open(os.path.join(share.elsewhere, b"comes.tif"), "wb"):
        pass
    share.source.start()
    os.rename(share.at(b"old.tif"), share.at(b"new.tif"))
    os.rename(os.path.join(share.elsewhere, b"comes.tif"), share.at(b"comes.tif"))
    os.rename(share.at(b"leaves.tif"), os.path.join(share.elsewhere, b"leaves.tif"))
    eventually(lambda: len(share.hints.gather()) == 4)
    seen = share.hints.seen
    assert seen[b"old.tif"].left
    assert seen[b"leaves.tif"].left
    # Renamed into the tree: whole at once, no Closed to wait for
    assert seen[b"comes.tif"].writing is Writing.CLOSED
    assert seen[b"new.tif"].writing is Writing.CLOSED
    assert not seen[b"new.tif"].left


def test_folder_events_mark_subtrees_and_names_left_out_mark_nothing(share: Share, eventually: Eventually):
    os.mkdir(share.at(b"before"))
    os.mkdir(share.at(b".hidden"))
    share.source.start()
    share.write(b"note.txt")
    share.write(b".hidden/a.tif")
    os.mkdir(share.at(b"@eaDir"))
    os.rename(share.at(b"before"), share.at(b"after"))
    share.write(b"last.tif")
    eventually(lambda: b"last.tif" in share.hints.gather())
    assert sorted(share.hints.seen) == [b"after", b"before", b"last.tif"]
    assert share.hints.seen[b"after"].subtree
    assert share.hints.seen[b"before"].subtree


def test_no_file_in_a_fast_new_tree_goes_unheard(share: Share, eventually: Eventually):
    share.source.start()
    paths = []
    for i in range(300):
        folder = b"%d/a/b/c/d" % i
        os.makedirs(share.at(folder))
        for path in (folder + b"/deep.tif", b"%d/top.tif" % i):
            share.write(path)
            paths.append(path)
    eventually(lambda: share.source._loss is not None or all(map(share.hints.covers, paths)), timeout=20)
    assert all(map(share.hints.covers, paths))


def test_five_thousand_folders_start_without_an_overflow(share: Share, eventually: Eventually):
    for i in range(5000):
        if i % 100 == 0:
            os.mkdir(share.at(b"%d" % (i // 100)))
        os.mkdir(share.at(b"%d/%d" % (i // 100, i)))
    share.source.start()
    caught_up(share, eventually)
    assert share.source.watches == 5000 + 50 + 2
    share.write(b"49/4999/late.tif")
    eventually(lambda: b"49/4999/late.tif" in share.hints.gather())
    assert share.source.overflows == 0
    assert share.source.health() is None
    folders = [(at.path, at.identity[1]) for at in walk(share.root, Selection()) if at.identity]
    assert len(folders) == 5051
    assert share.source.uncovered(folders) == []
    assert share.source.uncovered([*folders, (b"twice", folders[0][1])]) == [b"twice"]


def test_events_of_exchanged_folders_are_told_of_where_they_are(share: Share, eventually: Eventually):
    """watchdog's own tables are mixed up by an exchange; every walk of the folders puts them right."""
    for name in (b"one", b"two", b"one/deep", b"two/low"):
        os.mkdir(share.at(name))
    share.source.start()
    rename2(share.at(b"one"), share.at(b"two"), RENAME_EXCHANGE)
    eventually(lambda: {b"one", b"two"} <= set(share.hints.gather()))
    caught_up(share, eventually)

    def told_right() -> bool:
        folders = [(at.path, at.identity[1]) for at in walk(share.root, Selection()) if at.identity]
        share.hints.seen.clear()
        assert share.source.uncovered(folders) == []
        return not share.hints.gather()

    assert not told_right()
    eventually(told_right)
    share.write(b"one/low/a.tif")
    share.write(b"two/deep/b.tif")
    eventually(lambda: {b"one/low/a.tif", b"two/deep/b.tif"} <= set(share.hints.gather()))


def overflow(share: Share) -> None:
    """Fill the kernel's queue (16,384) while the reader is held up, as a stopped process would be."""
    with open("/proc/sys/fs/inotify/max_queued_events") as stream:
        limit = int(stream.read())
    if limit > 100_000:
        pytest.skip(f"fs.inotify.max_queued_events is {limit}: too many files to fill it")
    with share.source._observing._observer.reader._lock:  # type: ignore[union-attr]
        for i in range(limit // 2 + 1000):
            os.close(os.open(share.at(b"%d.tif" % i), os.O_CREAT | os.O_WRONLY))


def test_an_overflow_is_counted_once_reported_and_healed_by_a_rebuild(share: Share, eventually: Eventually):
    os.mkdir(share.at(b"folder"))
    share.source.start()
    overflow(share)
    eventually(lambda: share.source.health() == "the kernel's event queue overflowed")
    assert share.source.overflows == 1
    share.source.rebuild("overflow")
    assert share.source.health() is None
    assert share.source.rebuilds == 1
    assert share.source.overflows == 1
    assert share.hints.gather()[b""].subtree  # a reconcile was asked for
    share.write(b"folder/late.tif")
    eventually(lambda: b"folder/late.tif" in share.hints.gather())


def test_the_four_commands_that_end_watchdogs_reader_are_noticed(share: Share, eventually: Eventually):
    os.mkdir(share.at(b"scan"))
    os.mkdir(share.at(b"other"))
    share.source.start()
    os.rename(share.at(b"scan"), os.path.join(share.elsewhere, b"scan"))
    os.mkdir(share.at(b"scan"))
    caught_up(share, eventually)  # else the new folder is gone before it is watched, and nothing breaks
    os.rmdir(share.at(b"scan"))
    os.rmdir(os.path.join(share.elsewhere, b"scan"))
    reason = eventually(share.source.health)
    assert "bookkeeping" in reason
    share.source.rebuild(reason)
    assert share.source.health() is None
    assert share.source.rebuilds == 1
    share.hints.gather().clear()
    share.write(b"other/next.tif")
    eventually(lambda: b"other/next.tif" in share.hints.gather())


@pytest.mark.parametrize("thread", ["reader", "dispatcher", "emitter"])
def test_a_dead_thread_is_noticed_and_replaced(share: Share, eventually: Eventually, thread: str):
    share.source.start()
    observer = share.source._observing._observer  # type: ignore[union-attr]
    if thread == "reader":
        observer.reader._stopped_event.set()
        os.utime(share.root)  # one event lets it see that
        os.chmod(share.root, 0o755)
    elif thread == "dispatcher":
        observer._stopped_event.set()
        observer.event_queue.put(observer.stop_event)
    else:
        next(e for e in observer.emitters if e.watch.is_recursive).stop()
    assert thread in eventually(share.source.health)
    share.source.rebuild("a thread died")
    share.write(b"next.tif")
    eventually(lambda: b"next.tif" in share.hints.gather())
    assert share.source.health() is None


class Broken(Collected):
    def mark(self, path: bytes, sign: Sign) -> None:
        if path == b"poison.tif":
            raise KeyboardInterrupt
        super().mark(path, sign)


def test_an_event_that_cannot_be_noted_is_a_loss_and_ends_nothing(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
):
    share = Share(tmp_path)
    hints = Broken()
    source = InotifySource(share.root, hints, share.cookie_dir)
    source.start()
    try:
        share.write(b"poison.tif")
        assert "KeyboardInterrupt" in eventually(source.health)
        share.write(b"next.tif")
        eventually(lambda: b"next.tif" in hints.gather())
        assert hints.gather()[b""].subtree
    finally:
        source.stop()


def test_a_stuck_reader_is_noticed_by_the_missing_echo(share: Share, eventually: Eventually):
    share.source.start()
    caught_up(share, eventually)
    assert share.source.echo_seconds is not None
    with share.source._observing._observer.reader._lock:  # type: ignore[union-attr]
        share.now += 10
        assert share.source.health() is None
        share.now += 14
        assert share.source.health() is None
        share.now += 2
        assert "no echo for 16 s" in str(share.source.health())


def test_a_removed_root_is_noticed(share: Share, eventually: Eventually):
    share.source.start()
    os.rmdir(share.root)
    assert "removed" in eventually(share.source.health)
    eventually(lambda: share.hints.gather().get(b"") is not None)
    with pytest.raises(FileNotFoundError):
        share.source.rebuild("the root was removed")
    assert share.source.health() == "not started"
    os.mkdir(share.root)
    share.source.start()
    share.write(b"a.tif")
    eventually(lambda: b"a.tif" in share.hints.gather())


def test_too_many_rebuilds_are_said(share: Share):
    share.source.start()
    for _ in range(3):
        share.source.rebuild("test")
    assert not share.source.unstable
    share.source.rebuild("test")
    assert share.source.unstable
    share.now += 601
    assert not share.source.unstable


def test_a_cookie_folder_inside_the_root_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="outside"):
        InotifySource(os.fsencode(tmp_path), Hints(), os.fsencode(tmp_path / "cookie"))


def test_stop_twice_and_start_again(share: Share, eventually: Eventually):
    share.source.start()
    share.source.stop()
    share.source.stop()
    assert share.source.health() == "not started"
    share.source.start()
    share.write(b"a.tif")
    eventually(lambda: b"a.tif" in share.hints.gather())
