"""One decode worker, as the parent sees it: a process, two pipes, a slot and its last words."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from typing import Any, Final

import catalog
from catalog.inspection.death import Cause, Death
from catalog.inspection.slot import Slot
from catalog.pixels import wire
from catalog.pixels.wire import Frame

PIPE_BYTES: Final = 256 << 10
WORDS_BYTES: Final = 16 << 10
"""Bytes of the last words that are read."""
REAP_SECONDS: Final = 1.0
LOOK_COUNTS: Final = 2.0

_ENVIRONMENT: Final = {
    # There is a worker per core already, and each thread of a library reserves address space.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "TIFFFILE_NUM_THREADS": "1",
    "IMAGECODECS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    # What glibc would arrive at by itself, from the first file on: freed memory is kept, not given back and
    # faulted in again (24 kB files, 128 of them held: 69 → 59 µs a file).
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


class WorkerProcess:
    """Starts a worker and speaks with it; never blocks, but for ``bury``.

    ``source`` is the descriptor of its answers (readable: call ``receive``), ``sink`` the one of its jobs
    (when ``backed_up``, wait until it is writable and call ``pump``).
    """

    def __init__(self, setup: dict[str, Any]) -> None:
        self.slot = Slot()
        self._words = os.memfd_create("catalog-words")
        # Until it has its own image a child counts our memory as its own, in its peak for ever.
        self._inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            self._popen = self._start()
        except OSError:
            self.slot.close()
            os.close(self._words)
            raise
        finally:
            self.slot.close_descriptor()
        assert self._popen.stdin and self._popen.stdout
        self.pid = self._popen.pid
        self.sink = self._popen.stdin.fileno()
        self.source = self._popen.stdout.fileno()
        for descriptor in (self.sink, self.source):
            os.set_blocking(descriptor, False)
            with contextlib.suppress(OSError):  # over the user's allowance for pipes
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.cause: Cause | None = None
        self._frames = wire.FrameReader()
        self._unsent = bytearray()
        self._sequence = -1
        self.watch()
        self.send(Frame.SETUP, wire.encode_json(setup))

    def _start(self) -> subprocess.Popen[bytes]:
        slot = self.slot.descriptor
        return subprocess.Popen(
            [sys.executable, "-E", "-s", "-m", "catalog.pixels.worker", str(slot), str(os.getpid())],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            pass_fds=(slot,),
            start_new_session=True,
            # The folder that this very package came from; never one on a share, which it would keep busy.
            cwd=os.path.dirname(os.path.dirname(os.path.abspath(catalog.__file__))),
            env=os.environ | _ENVIRONMENT,
        )

    # ------------------------------------------------------------------------------------------ speaking

    @property
    def backed_up(self) -> bool:
        return bool(self._unsent)

    def send(self, kind: Frame, payload: bytes) -> None:
        """Queue a frame and write what the pipe takes."""
        self._unsent += wire.frame(kind, payload)
        self.pump()

    def pump(self) -> None:
        while self._unsent:
            try:
                del self._unsent[: os.write(self.sink, self._unsent)]
            except BlockingIOError:
                return
            except BrokenPipeError:  # it died: its end of input tells the rest
                self._unsent.clear()

    def receive(self) -> list[tuple[Frame, bytes]] | None:
        """The frames that have come, None at the end of its life. Raises BadFrame."""
        try:
            piece = os.read(self.source, PIPE_BYTES)
        except BlockingIOError:
            return []
        return list(self._frames.feed(piece)) if piece else None

    # --------------------------------------------------------------------------------------------- watching

    def watch(self) -> None:
        """Begin to count: it has something to do from now on."""
        self._age = 0.0
        self._watched = time.monotonic()

    def stalled(self) -> float:
        """Seconds without a new announcement, by our clock, as far as we looked.

        Of the time between two looks ``LOOK_COUNTS`` at most is held against the worker: if there was more,
        the whole machine or the caller stood still.
        """
        now = time.monotonic()
        passed = min(now - self._watched, LOOK_COUNTS)
        self._watched = now
        announcement = self.slot.read()
        if announcement is None or announcement.sequence != self._sequence:
            self._sequence = announcement.sequence if announcement else -1
            self._age = 0.0
        else:
            self._age += passed
        return self._age

    def suspended(self) -> bool:
        """Whether somebody stopped the process (SIGSTOP, a debugger): then it is not the file that is slow."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as status:
                return status.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
        except (OSError, IndexError):
            return False

    # ----------------------------------------------------------------------------------------------- ending

    def dismiss(self) -> None:
        """Ask an idle worker to go: its input ends."""
        self.cause = Cause.STOPPED
        if self._popen.stdin:
            self._popen.stdin.close()

    def kill(self, cause: Cause | None) -> None:
        """End it and all of its process group; its end of output follows (unless the kernel holds it)."""
        self.cause = self.cause or cause
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def bury(self, seconds: float = REAP_SECONDS) -> Death:
        """Kill what is left, reap it, close everything. Waits ``seconds`` at most; then ``code`` is None."""
        cause = self.cause
        peak = 0
        end = time.monotonic() + seconds
        pause = 0.0005
        # It may be ending on its own just now: that exit code is worth more than that of our signal.
        while not (peak := self._reap()) and time.monotonic() < end:
            if pause > 0.01:
                self.kill(None)
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        death = Death(self._popen.returncode, self.slot.read(), self.last_words(), peak * 1024, cause)
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream:
                stream.close()
        os.close(self._words)
        self.slot.close()
        return death

    def _reap(self) -> int:
        """Peak resident kB once the process is gone (1: not known), else 0."""
        if self._popen.returncode is not None:
            return 1
        try:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else waited for it (or SIGCHLD is ignored)
            self._popen.returncode = 255
            return 1
        if not pid:
            return 0
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_maxrss if usage.ru_maxrss > self._inherited else 1

    def gone(self) -> bool:
        """After ``bury`` without a code: whether the kernel has let go of it by now."""
        return bool(self._reap())

    def last_words(self) -> tuple[str, ...]:
        """The end of what was said on its descriptor 2."""
        size = os.fstat(self._words).st_size
        start = max(0, size - WORDS_BYTES)
        return wire.spoken_lines(os.pread(self._words, WORDS_BYTES, start))
