"""Hints from the kernel: fast, and never relied upon. Whoever listens must reconcile after every loss."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from watchdog.events import (
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
)

from catalog.terms import printable
from catalog.watch.hints import Hints, Sign
from catalog.watch.observer import OVERFLOW, Observing, Tree
from catalog.watch.selection import Ignored, Selection

log = logging.getLogger(__name__)

COOKIE: Final = b"cookie"
BACKLOG_LIMIT: Final = 200_000
"""Events in watchdog's queues (about 100 MB) beyond which a reconcile is the cheaper way to know."""

_SIGNS: Final[dict[type[FileSystemEvent], Sign]] = {
    FileCreatedEvent: Sign.CREATED,
    FileModifiedEvent: Sign.MODIFIED,
    FileClosedEvent: Sign.CLOSED,
    FileAttribEvent: Sign.ATTRIB,
    FileDeletedEvent: Sign.LEFT,
}


class InotifySource:
    """Marks in ``hints`` whatever happens below ``root``, and knows whether it still does.

    ``cookie_dir``: a folder of ours, outside the root and used for nothing else (made if it is missing);
    a file in it is touched now and then, and its echo proves that kernel, reader and dispatcher work.
    ``selection``: names that it leaves out are not marked. Call ``health`` every second or so; when it
    gives a reason, call ``rebuild``. Every loss and every rebuild asks ``hints`` for a reconcile.

    Not thread-safe: one owner calls ``start``, ``health``, ``rebuild``, ``stop``.
    """

    def __init__(
        self,
        root: bytes,
        hints: Hints,
        cookie_dir: bytes,
        *,
        selection: Selection | None = None,
        cookie_seconds: float = 5.0,
        rebuilds_allowed: int = 3,
        rebuilds_seconds: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # A root that is a symbolic link gives no top-level events at all, and no error.
        self.root = os.path.realpath(root)
        self._prefix = self.root.rstrip(b"/") + b"/"
        self._hints = hints
        os.makedirs(cookie_dir, exist_ok=True)
        self._cookie_dir = os.path.realpath(cookie_dir)
        if (self._cookie_dir + b"/").startswith(self._prefix):
            raise ValueError("the cookie folder must lie outside the root")
        self._selection = selection
        self._cookie_seconds = cookie_seconds
        self._rebuilds_allowed = rebuilds_allowed
        self._rebuilds_seconds = rebuilds_seconds
        self._clock = clock
        self._observing: Observing | None = None
        self._generation: _Generation | None = None
        self._loss: str | None = None
        self._cookie_sent: float | None = None
        self._cookie_next = float("-inf")
        self._rebuilt: deque[float] = deque(maxlen=rebuilds_allowed + 1)
        self._moves = self._moves_seen = 0
        """Renames of folders that were heard of, and when ``astray`` looked."""
        self._astray: frozenset[tuple[int, bytes]] = frozenset()
        self._gone: frozenset[tuple[int, bytes]] = frozenset()
        """What ``astray`` has found: for the first time, and before."""
        self.rebuilds = 0
        self.overflows = 0
        self.echo_seconds: float | None = None
        """How long the last cookie took."""

    def start(self) -> None:
        """Set up the watches; returns when they stand. A walk that begins afterwards misses nothing.

        Raises OSError when the root cannot be watched (ENOSPC, EMFILE, ENOENT …): then poll. Folders below
        that could not be watched are no error: see ``uncovered``.
        """
        if self._observing is not None:
            return
        self._loss = None
        self._astray = self._gone = frozenset()
        self._moves_seen = self._moves
        self._cookie_sent = None
        self._cookie_next = float("-inf")
        os.makedirs(self._cookie_dir, exist_ok=True)
        with open(os.path.join(self._cookie_dir, COOKIE), "ab"):
            pass
        self._generation = generation = _Generation(self)
        self._observing = Observing(
            [
                Tree(self._cookie_dir, False, generation.echo),
                Tree(self.root, True, generation.note),
            ],
            generation.lose,
        )

    def health(self) -> str | None:
        """None when events arrive, else why not, in words. Sends a cookie when one is due."""
        observing = self._observing
        if observing is None:
            return "not started"
        trouble = self._loss or observing.ailment()
        if trouble is None and observing.backlog > BACKLOG_LIMIT:
            trouble = f"more than {BACKLOG_LIMIT:,} events wait to be noted"
        return trouble or self._cookie_trouble(self._clock())

    def _cookie_trouble(self, now: float) -> str | None:
        sent = self._cookie_sent
        if sent is not None:
            waiting = now - sent
            return f"no echo for {waiting:.0f} s" if waiting > 3 * self._cookie_seconds else None
        if now >= self._cookie_next:
            self._cookie_next = now + self._cookie_seconds
            self._cookie_sent = now
            try:
                os.utime(os.path.join(self._cookie_dir, COOKIE))  # needs no space on the disk
            except OSError as error:
                return f"the cookie cannot be touched: {error.strerror}"
        return None

    def rebuild(self, reason: str) -> None:
        """Throw the observer away and build a new one; asks for a reconcile. Raises OSError like ``start``."""
        log.warning("watching %s anew: %s", os.fsdecode(self.root), reason)
        self.rebuilds += 1
        self._rebuilt.append(self._clock())
        self._drop()
        try:
            self.start()
        finally:
            self._hints.ask_reconcile()

    @property
    def unstable(self) -> bool:
        """Rebuilt too often of late: time to poll, and to say so."""
        rebuilt = self._rebuilt
        full = len(rebuilt) > self._rebuilds_allowed
        return full and self._clock() - rebuilt[0] < self._rebuilds_seconds

    @property
    def running(self) -> bool:
        return self._observing is not None

    @property
    def watches(self) -> int:
        """Folders that the kernel watches, the cookie's among them."""
        return len(self._observing.inodes()) if self._observing is not None else 0

    def uncovered(self, folders: Iterable[tuple[bytes, int]]) -> list[bytes]:
        """Which of these walked folders, (path, inode), no watch covers: they are to be polled.

        A folder that appears at two paths (bind mounts) has one watch, which tells of one path only. A watch that
        tells of a path where its folder is not any more is put right, and the folder is marked: what it told is
        not known.
        """
        observing = self._observing
        watched = observing.watches() if observing is not None else {}
        bare, moved = [], 0
        for path, inode in folders:
            watch = watched.pop(inode, None)
            if watch is None or observing is None:
                bare.append(path)
            elif observing.put_right(watch, self._prefix + path if path else self.root, inode):
                self._hints.mark(path, Sign.SUBTREE)
                moved += 1
        if moved:
            log.info(
                "%s: %d watches told of paths where their folders were before", printable(self.root), moved
            )
        return bare

    @property
    def doubtful(self) -> bool:
        """Whether folders were renamed since ``astray`` looked at all of them."""
        return self._moves != self._moves_seen or bool(self._astray)

    def astray(self) -> bool:
        """Whether a watch has lost its folder: it tells of a path where the folder is not, and did when this was asked
        last. A walk of all finds the folder and puts it right (``uncovered``). What is found once, and by that walk
        not, was moved out of the tree. Blocks on the file system."""
        if self._observing is None:
            return False
        moves = self._moves
        astray = self._observing.astray()
        self._gone &= astray
        doubtful = astray - self._gone
        lost = doubtful & self._astray
        self._gone |= lost
        self._astray, self._moves_seen = doubtful - lost, moves
        return bool(lost)

    def stop(self) -> None:
        """End every thread; may be called twice, and started again."""
        self._drop()

    def _drop(self) -> None:
        observing, self._observing = self._observing, None
        if observing is not None and not observing.dispose():
            log.warning("the old observer of %s does not end; left behind", os.fsdecode(self.root))

    # --------------------------------------------------------------------- called by watchdog's threads

    def _echo(self) -> None:
        sent, self._cookie_sent = self._cookie_sent, None
        if sent is not None:
            self.echo_seconds = self._clock() - sent

    def _lose(self, reason: str) -> None:
        if self._loss is None:
            if reason == OVERFLOW:
                self.overflows += 1
            self._loss = reason
        self._hints.ask_reconcile()

    def _note(self, event: FileSystemEvent) -> None:
        sign = _SIGNS.get(type(event))
        if sign is not None:
            self._mark_file(event.src_path, sign)
        elif isinstance(event, FileMovedEvent):
            known = self._mark_file(event.dest_path, Sign.ARRIVED)
            # Without the other half it went to another share, or to a folder that is not watched yet.
            renamed = known or not event.dest_path
            self._mark_file(event.src_path, Sign.RENAMED if renamed else Sign.LEFT)
        else:
            # A folder was made, moved or removed: what watchdog tells of its content is guesswork.
            self._mark_folder(event.src_path)
            if isinstance(event, DirMovedEvent):
                self._moves += 1
                self._mark_folder(event.dest_path)

    def _mark_file(self, path: bytes | str, sign: Sign) -> bool:
        """Whether it is a path that is looked at."""
        relative = self._relative(path)
        if not relative:
            return False
        if self._selection is not None and isinstance(self._selection.verdict_of_path(relative), Ignored):
            return False
        self._hints.mark(relative, sign)
        return True

    def _mark_folder(self, path: bytes | str) -> None:
        relative = self._relative(path)
        if relative is not None and (self._selection is None or self._selection.enters(relative) is None):
            self._hints.mark(relative, Sign.SUBTREE)

    def _relative(self, path: bytes | str) -> bytes | None:
        """None for the unknown half of a rename out of or into the tree."""
        raw = os.fsencode(path)
        if raw.startswith(self._prefix):
            return raw[len(self._prefix) :]
        return b"" if raw and raw == self.root else None


class _Generation:
    """What one observer may say to the source: nothing any more once another one has taken its place."""

    def __init__(self, source: InotifySource) -> None:
        self._source = source

    @property
    def _current(self) -> bool:
        return self._source._generation is self

    def echo(self, event: FileSystemEvent) -> None:
        if self._current and type(event) is FileAttribEvent:
            self._source._echo()

    def note(self, event: FileSystemEvent) -> None:
        if self._current and not event.is_synthetic:
            self._source._note(event)

    def lose(self, reason: str) -> None:
        if self._current:
            self._source._lose(reason)
