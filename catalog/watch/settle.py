"""When is a changed path ready to be inspected? Pure: signs and times in, paths out.

Settling only saves work. That no half-written content is ever recorded is the inspection's promise (it
stats, reads once, and stats again), and a later sign of the same path always makes a new entry here.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import signal
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from catalog.terms import WatchMode
from catalog.watch.hints import LIMIT, Freed, Sign, Trace, Writing, collapse
from catalog.watch.mounts import watch_mode
from catalog.watch.walk import Look

WriterProbe: TypeAlias = Callable[[bytes], "bool | None"]
"""Whether somebody has the file (relative path) open for writing; None when that cannot be told."""


class Settled(NamedTuple):
    """A path that may be inspected now; ``subtree``: walk below it, it is (or was) a folder."""

    path: bytes
    subtree: bool
    freed: Freed = Freed.NEVER
    since: float = 0.0
    """When it was first heard of."""


class Settler:
    """Holds changed paths until they are quiet and nobody is known to write them.

    - closed, renamed into place, deleted, chmod: ready after ``settle_seconds`` of quiet;
    - a folder's subtree: the same, but at the latest ``quiet_seconds`` after its first sign;
    - found by a walk: after ``found_quiet_seconds`` (note it with the time of its last change), and if
      there is a ``look``, when two looks so far apart were equal: a remote writer makes no events here;
    - written and not closed: when the probe says that nobody writes, asked after ``quiet_seconds``; if the
      probe cannot tell, at its Closed or after ``writer_quiet_seconds``. Created and nothing else heard:
      ``created_quiet_seconds``, because watches on new folders miss the Closed (1,329 of 2,000 files), and
      a hard link or a moved file has none.

    What is not ready ``busy_seconds`` after its first sign is ``busy``: still waited for, never given out
    unfinished. Beyond ``limit`` paths, paths collapse into subtrees. All times are seconds of one monotonic
    clock that the caller passes in. Not thread-safe.
    """

    def __init__(
        self,
        settle_seconds: float = 0.5,
        quiet_seconds: float = 3.0,
        writer_quiet_seconds: float = 60.0,
        busy_seconds: float = 600.0,
        *,
        created_quiet_seconds: float = 10.0,
        found_quiet_seconds: float = 3.0,
        has_writer: WriterProbe | None = None,
        look: Callable[[bytes], Look | None] | None = None,
        limit: int = LIMIT,
    ) -> None:
        self.settle_seconds = settle_seconds
        self.quiet_seconds = quiet_seconds
        self.writer_quiet_seconds = writer_quiet_seconds
        self.busy_seconds = busy_seconds
        self.created_quiet_seconds = created_quiet_seconds
        self.found_quiet_seconds = found_quiet_seconds
        self._has_writer = has_writer
        self._look = look
        self._looks: dict[bytes, Look | None] = {}
        self._limit = limit
        self._traces: dict[bytes, Trace] = {}
        self._deadlines: dict[bytes, float] = {}
        # Lazy: an entry counts only if it is the path's deadline; a later sign pushes a second one.
        self._heap: list[tuple[float, bytes]] = []

    def note(self, path: bytes, sign: Sign, now: float) -> None:
        """One sign of one path."""
        trace = self._traces.get(path)
        if trace is None:
            self._traces[path] = Trace.begun(sign, now)
        else:
            trace.add(sign, now)
        if sign is Sign.FOUND and self._look is not None and path not in self._looks:
            self._looks[path] = self._look(path)
        self._schedule(path)

    def take(self, traces: dict[bytes, Trace]) -> None:
        """The traces of ``Hints.drain``."""
        for path, later in traces.items():
            trace = self._traces.get(path)
            if trace is None:
                self._traces[path] = later
            else:
                trace.merge(later)
            self._schedule(path)

    def ready(self, now: float) -> list[Settled]:
        """The paths that may be inspected, earliest first; they are forgotten here.

        A path below a subtree that is given, too, is left out. Calls the probes, so it may touch the share.
        """
        settled = []
        while self._heap and self._heap[0][0] <= now:
            deadline, path = heapq.heappop(self._heap)
            if self._deadlines.get(path) != deadline:
                continue
            trace = self._traces[path]
            again = self._wait_for_rest(path, now) if trace.found else self._wait_for_writer(path, trace, now)
            if again is None:
                del self._traces[path], self._deadlines[path]
                self._looks.pop(path, None)
                settled.append(Settled(path, trace.subtree, trace.freed, trace.first_seen))
            else:
                self._push(path, again)
        folders = {each.path for each in settled if each.subtree}
        return [each for each in settled if not _lies_below(each.path, folders)] if folders else settled

    def busy(self, now: float) -> list[tuple[bytes, float]]:
        """(path, seconds since its first sign) of what has not come to rest for ``busy_seconds``."""
        return sorted(
            (path, now - trace.first_seen)
            for path, trace in self._traces.items()
            if now - trace.first_seen >= self.busy_seconds
        )

    def oldest(self) -> float:
        """The first sign of what is not ready yet, writers left out, who may take for ever; infinity when there
        is none."""
        # In the order of their first signs: paths are added when they are first heard of.
        return next((t.first_seen for t in self._traces.values() if not _is_written(t)), float("inf"))

    def next_deadline(self) -> float | None:
        """When ``ready`` may have something, None when nothing is waiting."""
        while self._heap and self._deadlines.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    @property
    def waiting(self) -> int:
        """Paths that are not ready yet."""
        return len(self._traces)

    def is_written(self, path: bytes) -> bool:
        """Whether a write was heard of, and no close: the path is given out when its writer is done."""
        trace = self._traces.get(path)
        return trace is not None and _is_written(trace)

    def _schedule(self, path: bytes) -> None:
        if len(self._traces) > self._limit:
            collapse(self._traces, self._limit)
            self._deadlines.clear()
            self._heap.clear()
            self._looks.clear()
            for each, trace in self._traces.items():
                self._push(each, self._deadline(trace))
            return
        self._push(path, self._deadline(self._traces[path]))

    def _push(self, path: bytes, deadline: float) -> None:
        if self._deadlines.get(path) != deadline:
            self._deadlines[path] = deadline
            heapq.heappush(self._heap, (deadline, path))

    def _deadline(self, trace: Trace) -> float:
        if trace.subtree:
            return min(trace.last_seen + self.settle_seconds, trace.first_seen + self.quiet_seconds)
        if trace.found:
            return trace.last_seen + self.found_quiet_seconds
        if trace.writing in (Writing.CREATED, Writing.WRITTEN):
            return trace.last_seen + self.quiet_seconds
        return trace.last_seen + self.settle_seconds

    def _wait_for_rest(self, path: bytes, now: float) -> float | None:
        """For a path that only walks spoke of. None: ready. Else: when to ask again."""
        if self._look is not None:
            look = self._look(path)
            if look is not None and look != self._looks.get(path):
                self._looks[path] = look
                return now + self.found_quiet_seconds
        return self._wait_for_writer(path, self._traces[path], now)

    def _wait_for_writer(self, path: bytes, trace: Trace, now: float) -> float | None:
        """None: ready. Else: when to ask again."""
        if trace.subtree or trace.left:
            return None
        writer = self._has_writer(path) if self._has_writer is not None else None
        if writer:
            return now + self.quiet_seconds
        if writer is None:
            patience = {
                Writing.CREATED: self.created_quiet_seconds,
                Writing.WRITTEN: self.writer_quiet_seconds,
            }.get(trace.writing, 0.0)
            if now < trace.last_seen + patience:
                return trace.last_seen + patience
        return None


def _is_written(trace: Trace) -> bool:
    return not (trace.subtree or trace.left) and trace.writing in (Writing.CREATED, Writing.WRITTEN)


def _lies_below(path: bytes, folders: set[bytes]) -> bool:
    at = len(path)
    while at > 0:
        at = max(path.rfind(b"/", 0, at), 0)
        if path[:at] in folders and at < len(path):
            return True
    return False


def writer_probe(root: bytes, fstype: str) -> WriterProbe | None:
    """The probe for a share on this kind of file system, None where there is none.

    Local disks, and overlays of them, where writers into the layers beneath are not known: an NFS or SMB client
    refuses a lease whenever the server gave it no delegation, which would look like a writer that never ends.
    """
    if watch_mode(fstype)[0] is not WatchMode.INOTIFY and fstype != "overlay":
        return None
    return lambda path: has_writer(os.path.join(root, path))


def has_writer(path: bytes) -> bool | None:
    """Whether anybody holds this file open for writing or mapped writable, by asking for a read lease.

    Exact on local file systems (fcntl(2), F_SETLEASE); see ``writer_probe`` for the others. None when it
    cannot be told: not our file and no CAP_LEASE, no leases here, no such file. The lease is given back at
    once; a writer who comes in between waits for that moment and no longer.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # A broken lease sends SIGIO, which would end the process: choose SIGURG, ignored by default.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(fd)
