"""Walk a share in a process of its own: see ``walker.py``. The listings are those of ``walk``.

A thread that hangs in a dead NFS mount can never be ended, a process can; and while it looks at the disk, the
caller's core is free to compare with the record. It is a fresh interpreter and no fork, because a fork of a
process with threads may deadlock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import marshal
import os
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import catalog
from catalog.watch.selection import Selection
from catalog.watch.walk import Listing
from catalog.watch.walker import LENGTH, unpacked

PIPE_BYTES: Final = 1 << 20
_PROGRAM: Final = "import sys; sys.path.insert(0, sys.argv[1]); from catalog.watch.walker import main; main()"


class WalkApart(Iterator[Listing | None]):
    """The listings of ``walk(root, selection, start, lost=lost)`` as they come; None: the next one takes its time.

    Never blocks; ``wait`` does, for as long as the caller likes. When nothing was heard for
    ``patience_seconds``, or the process dies, a last listing of ``start`` says so with its ``error`` (ETIMEDOUT,
    EIO): all that was not listed by then is unknown. ``close`` ends the process whatever it hangs in.
    """

    def __init__(
        self,
        root: bytes,
        selection: Selection,
        start: bytes = b"",
        *,
        lost: frozenset[bytes] = frozenset(),
        patience_seconds: float = 60.0,
    ) -> None:
        self._start = start
        self._patience = patience_seconds
        self._listings: deque[Listing] = deque()
        self._buffer = bytearray()
        self._ended = False
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(Path(catalog.__file__).parent.parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            start_new_session=True,  # the terminal's ^C is not for it
        )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(OSError):  # more than this user may have: 64 KiB it is
            fcntl.fcntl(stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(stdout.fileno(), False)
        self._fd = stdout.fileno()
        self._heard = time.monotonic()
        try:
            stdin.write(marshal.dumps((root, start, sorted(lost), selection.spec)))
            stdin.close()
        except BrokenPipeError:
            pass  # it is dead: the first reading tells

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Listing | None:
        if not self._listings:
            if self._ended:
                raise StopIteration
            self._read()
        if self._listings:
            return self._listings.popleft()
        if self._ended:
            raise StopIteration
        return None

    def wait(self, seconds: float) -> None:
        """Until there is something to take, or so long."""
        if self._process is not None and not self._listings:
            ready = select.poll()
            ready.register(self._fd, select.POLLIN)
            ready.poll(seconds * 1000)

    def _read(self) -> None:
        buffer = self._buffer
        try:
            while piece := os.read(self._fd, PIPE_BYTES):
                buffer += piece
                self._heard = time.monotonic()
                self._take()
                if self._listings or self._ended:
                    return
        except BlockingIOError:
            if time.monotonic() >= self._heard + self._patience:
                told = f"nothing was heard of the share for {self._patience:.0f} s"
                self._fail(OSError(errno.ETIMEDOUT, told))
            return
        self._fail(OSError(errno.EIO, "the walk was ended from outside"))

    def _take(self) -> None:
        """Cut whole frames off the buffer."""
        buffer, at = self._buffer, 0
        while len(buffer) >= at + LENGTH.size:
            (length,) = LENGTH.unpack_from(buffer, at)
            end = at + LENGTH.size + length
            if len(buffer) < end:
                break
            if length:
                # Written by our own walk, which decodes nothing; marshal makes no objects but plain values.
                some = marshal.loads(memoryview(buffer)[at + LENGTH.size : end])  # noqa: S302
                self._listings.extend(map(unpacked, some))
                self._ended = self._ended or not some
            at = end
        if at:
            self._buffer = buffer[at:]
        if self._ended:
            self._end()

    def _fail(self, error: OSError) -> None:
        self._end()
        self._listings.append(Listing(self._start, error=error))

    def close(self) -> None:
        """End the walk, wherever it is. May be called again."""
        self._listings.clear()
        self._end()

    def _end(self) -> None:
        self._ended = True
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
