"""Looking at paths of a share: directly where a look cannot hang, else through a process that can be killed.

``Direct`` for local disks. ``Apart`` for network and FUSE mounts, where one ``stat`` may never come back: whoever
asks gets ETIMEDOUT after the deadline instead, and from then on at once, until the share guard has seen the share
again. An error is never an absence, so nothing is concluded from it.
"""

from __future__ import annotations

import contextlib
import errno
import marshal
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import catalog
from catalog.watch.reconcile import AbsenceProof, absence_proofs
from catalog.watch.walker import LENGTH

_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from catalog.watch.sight import answer; answer()"
)
PROOFS: Final = 200
"""Paths in one question, each of 4 KiB at most; their proofs are looked for from one listing of each folder."""


class Seen(NamedTuple):
    """What is taken of ``os.stat_result``, under its names."""

    st_mode: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int
    st_ino: int
    st_dev: int


class Sight(Protocol):
    """How the paths of one share are looked at."""

    def stat(self, path: bytes, *, follow_links: bool = False) -> Seen:
        """As ``os.stat``. Raises OSError; ETIMEDOUT when the share does not answer."""

    def proofs(
        self, root: bytes, paths: Iterable[bytes], *, lost: frozenset[bytes], follow_links: bool
    ) -> Iterator[AbsenceProof]:
        """As ``absence_proofs``; nothing is proven when the share does not answer."""

    def open(self) -> None:
        """The share was seen to be there: look again."""

    def close(self) -> None:
        """End what looks. May be called again."""


class Direct:
    """Looks at a local disk."""

    def stat(self, path: bytes, *, follow_links: bool = False) -> Seen:
        found = os.stat(path, follow_symlinks=follow_links)
        stamps = found.st_mtime_ns, found.st_ctime_ns
        return Seen(found.st_mode, found.st_size, *stamps, found.st_ino, found.st_dev)

    def proofs(
        self, root: bytes, paths: Iterable[bytes], *, lost: frozenset[bytes], follow_links: bool
    ) -> Iterator[AbsenceProof]:
        return absence_proofs(root, paths, lost=lost, follow_links=follow_links)

    def open(self) -> None:
        """It is never shut."""

    def close(self) -> None:
        """There is nothing to end."""


class Apart:
    """Looks through a process of its own, which is started with the first question."""

    def __init__(self, deadline_seconds: float) -> None:
        self._deadline = deadline_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._stuck: subprocess.Popen[bytes] | None = None
        """Was killed, and is not dead yet: the kernel holds it."""
        self._buffer = b""
        self._due = 0
        """Replies that are still to come."""
        self._shut = False

    def stat(self, path: bytes, *, follow_links: bool = False) -> Seen:
        for _ in range(2):  # somebody may have ended it while it had nothing to do
            if self._ask(("stat", path, follow_links), 1) and (reply := self._reply()) is not None:
                told, what = reply
                if told == "error":
                    raise OSError(*what)
                return Seen(*what)
        raise OSError(errno.EIO, "the process that looks at the share was ended from outside")

    def proofs(
        self, root: bytes, paths: Iterable[bytes], *, lost: frozenset[bytes], follow_links: bool
    ) -> Iterator[AbsenceProof]:
        # In pieces that fit into a pipe: nobody reads proofs while a question is being written.
        wanted = iter(paths)
        while piece := list(islice(wanted, PROOFS)):
            at = 0
            try:
                if self._ask(("proofs", root, piece, sorted(lost), follow_links), len(piece)):
                    while at < len(piece) and (reply := self._reply()) is not None:
                        told, what = reply
                        if told == "error":  # and no more of this piece
                            self._due = 0
                            raise OSError(*what)
                        yield AbsenceProof(*what)
                        at += 1
                why = "the process that looks at the share was ended from outside"
            except OSError as error:
                why = error.strerror or str(error)
            for path in piece[at:]:
                yield AbsenceProof(path, False, f"cannot be looked at: {why}")

    def open(self) -> None:
        self._shut = False

    def close(self) -> None:
        """End the process, whatever it hangs in."""
        process, self._process = self._process, None
        self._buffer, self._due = b"", 0
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()
            process.kill()
            self._stuck = process
        if self._stuck is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._stuck.wait(0.2)
                self._stuck = None

    def _ask(self, question: tuple[Any, ...], replies: int) -> bool:
        """Whether the question was taken; so many replies are due then. Raises OSError while the share is silent."""
        if not self._shut and self._stuck is not None:
            self.close()
        if self._shut or self._stuck is not None:
            raise _silent()
        if self._due:
            self.close()  # somebody lost interest in the middle of an answer
        process = self._running()
        assert process.stdin is not None
        told = marshal.dumps(question)
        try:
            process.stdin.write(LENGTH.pack(len(told)) + told)
        except BrokenPipeError:
            self.close()
            return False
        self._due = replies
        return True

    def _reply(self) -> Any:
        """The next reply, or None when the process is dead. Raises OSError when it took too long."""
        if self._process is None:
            return None
        stdout = self._process.stdout
        assert stdout is not None
        until = time.monotonic() + self._deadline
        ready = select.poll()
        ready.register(stdout, select.POLLIN)
        while len(self._buffer) < LENGTH.size or len(self._buffer) < self._frame():
            if not ready.poll(max(0.0, until - time.monotonic()) * 1000):
                self._shut = True
                self.close()
                raise _silent()
            piece = os.read(stdout.fileno(), 1 << 16)
            if not piece:
                self.close()
                return None
            self._buffer += piece
        self._due -= 1
        frame, self._buffer = self._buffer[: self._frame()], self._buffer[self._frame() :]
        return marshal.loads(frame[LENGTH.size :])  # noqa: S302 - plain values of our own program

    def _frame(self) -> int:
        length: int = LENGTH.unpack_from(self._buffer)[0]
        return LENGTH.size + length

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM, str(Path(catalog.__file__).parent.parent)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",
                start_new_session=True,  # the terminal's ^C is not for it
            )
        return self._process


def _silent() -> OSError:
    return OSError(errno.ETIMEDOUT, "the share does not answer")


def answer() -> None:
    """The process: replies to each question, until stdin ends. Writes nothing else, and holds nothing open."""
    direct = Direct()
    source = sys.stdin.buffer
    while head := source.read(LENGTH.size):
        question = marshal.loads(source.read(*LENGTH.unpack(head)))  # noqa: S302 - from the one that started us
        try:
            if question[0] == "stat":
                _tell(("reply", tuple(direct.stat(question[1], follow_links=question[2]))))
                continue
            _, root, paths, lost, follow_links = question
            for proof in direct.proofs(root, paths, lost=frozenset(lost), follow_links=follow_links):
                _tell(("reply", (proof.path, proof.absent, proof.reason)))
        except OSError as error:
            _tell(("error", (error.errno, error.strerror)))


def _tell(reply: tuple[Any, ...]) -> None:
    told = marshal.dumps(reply)
    whole = memoryview(LENGTH.pack(len(told)) + told)
    while whole:
        whole = whole[os.write(sys.stdout.fileno(), whole) :]
