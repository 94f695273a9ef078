"""What the sources have heard, coalesced: one trace a path, bounded, shared between threads.

A hint says only "look at this path". In a storm the memory stays bounded: paths collapse into their
folder's subtree, and at last into the root's (``b""``), which is a reconcile.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

LIMIT: Final = 50_000
"""Paths that are kept one by one."""


class Sign(StrEnum):
    """What was heard of a path."""

    CREATED = "created"
    MODIFIED = "modified"
    CLOSED = "closed"
    ARRIVED = "arrived"
    """Renamed to this name, from anywhere: whole at once."""
    LEFT = "left"
    """Deleted, or renamed away."""
    RENAMED = "renamed"
    """Renamed away, to another name that is looked at or to nobody knows where."""
    ATTRIB = "attrib"
    FOUND = "found"
    """A walk saw it differ from the record."""
    SUBTREE = "subtree"
    """A folder: whatever is below it may have changed."""


class Writing(StrEnum):
    """What the signs of a path say about somebody writing it."""

    UNKNOWN = "unknown"
    CREATED = "created"
    """Created, and not closed since; nothing was written that we heard of."""
    WRITTEN = "written"
    """Written, and not closed since."""
    CLOSED = "closed"


_WRITING: Final = {
    Sign.CREATED: Writing.CREATED,
    Sign.MODIFIED: Writing.WRITTEN,
    Sign.CLOSED: Writing.CLOSED,
    Sign.ARRIVED: Writing.CLOSED,
    Sign.LEFT: Writing.CLOSED,
    Sign.RENAMED: Writing.CLOSED,
}


class Freed(IntEnum):
    """Whether a name was free for a while: then what it held may have another name now, which is yet to be heard."""

    NEVER = 0
    PERHAPS = 1
    """Deleted, or renamed to where nobody looks; or nobody told."""
    RENAMED = 2


_FREED: Final = {Sign.LEFT: Freed.PERHAPS, Sign.RENAMED: Freed.RENAMED}


@dataclass(slots=True)
class Trace:
    """The signs of one path, folded. Times are seconds of a monotonic clock."""

    first_seen: float
    last_seen: float
    writing: Writing = Writing.UNKNOWN
    left: bool = False
    """The last news was that the name is gone."""
    freed: Freed = Freed.NEVER
    found: bool = False
    """Only a walk spoke of it, no event."""
    subtree: bool = False

    def add(self, sign: Sign, now: float) -> None:
        """Fold one more sign in."""
        self.last_seen = max(self.last_seen, now)
        if sign is Sign.SUBTREE:
            self.subtree = True
        elif sign is not Sign.FOUND:
            self.found = False
            writing = _WRITING.get(sign)
            if writing is not None:
                self.writing = writing
                self.left = sign in _FREED
                self.freed = max(self.freed, _FREED.get(sign, Freed.NEVER))

    def merge(self, later: Trace) -> None:
        """Fold the signs of a later trace of the same path in."""
        self.first_seen = min(self.first_seen, later.first_seen)
        self.last_seen = max(self.last_seen, later.last_seen)
        self.subtree |= later.subtree
        self.found &= later.found
        self.freed = max(self.freed, later.freed)
        if later.writing is not Writing.UNKNOWN:
            self.writing, self.left = later.writing, later.left

    @classmethod
    def begun(cls, sign: Sign, now: float) -> Trace:
        trace = cls(now, now, found=sign is Sign.FOUND)
        trace.add(sign, now)
        return trace


def folder_of(path: bytes) -> bytes:
    """The folder that a relative path lies in; ``b""`` for the root."""
    return path.rpartition(b"/")[0]


def collapse(traces: dict[bytes, Trace], limit: int = LIMIT) -> frozenset[bytes]:
    """Bring a dictionary down to about half of ``limit`` entries, in place; gives the collapsed folders.

    The fullest folders go first, each into one subtree trace; if that is not enough, because every path
    has a folder of its own, everything goes into the root's (``b""``), alone in the answer. The dictionary stays in
    the order of the first signs.
    """
    goal, left = limit // 2, len(traces)
    counts = Counter(folder_of(path) for path in traces if path)
    chosen: set[bytes] = set()
    for folder, count in counts.most_common():
        if left <= goal or count < 2:
            break
        chosen.add(folder)
        left -= count - (folder not in traces)
    everything = left > goal
    for path in list(traces):
        target = path
        while target and (everything or folder_of(target) in chosen):
            target = folder_of(target)
        if target == path:
            continue
        trace = traces.pop(path)
        gathered = Trace(trace.first_seen, trace.last_seen, subtree=True)
        if target in traces:
            traces[target].merge(gathered)
        else:
            traces[target] = gathered
    ordered = sorted(traces.items(), key=lambda each: each[1].first_seen)
    traces.clear()
    traces.update(ordered)
    return frozenset((b"",)) if everything else frozenset(chosen)


class Hints:
    """The traces that nobody has taken yet. Every method may be called from any thread."""

    def __init__(self, limit: int = LIMIT, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._traces: dict[bytes, Trace] = {}
        self._collapsed: set[bytes] = set()
        self.collapses = 0
        """How often paths were collapsed into folders."""

    def mark(self, path: bytes, sign: Sign) -> None:
        """Note a sign of a path (relative to the root, ``b""`` is the root itself)."""
        now = self._clock()
        with self._lock:
            if self._collapsed:
                if b"" in self._collapsed:
                    path, sign = b"", Sign.SUBTREE
                elif folder_of(path) in self._collapsed:
                    path, sign = folder_of(path), Sign.SUBTREE
            trace = self._traces.get(path)
            if trace is not None:
                trace.add(sign, now)
            else:
                self._traces[path] = Trace.begun(sign, now)
                if len(self._traces) > self._limit:
                    self._collapsed.update(collapse(self._traces, self._limit))
                    self.collapses += 1
        self._news.set()

    def ask_reconcile(self) -> None:
        """Mark the whole root: events were lost, or may have been."""
        self.mark(b"", Sign.SUBTREE)

    def drain(self) -> dict[bytes, Trace]:
        """Take all traces, in the order of their first sign."""
        with self._lock:
            traces, self._traces = self._traces, {}
            self._collapsed.clear()
            self._news.clear()
        return traces

    def wait(self, timeout: float) -> bool:
        """Sleep until there is a hint or the time (seconds) is over; whether there is one."""
        return self._news.wait(timeout)

    def wake(self) -> None:
        """End a ``wait`` early (shutdown, a request)."""
        self._news.set()

    def oldest(self) -> float:
        """When the first sign came that nobody has taken yet; infinity when there is none."""
        with self._lock:
            return next((trace.first_seen for trace in self._traces.values()), float("inf"))

    @property
    def pending(self) -> int:
        """Traces that nobody has taken yet."""
        return len(self._traces)
