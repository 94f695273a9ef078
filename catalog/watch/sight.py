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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import catalog
from catalog.watch.reconcile import AbsenceProof, recheck_absence
from catalog.watch.walker import LENGTH

_PROGRAM: Final = "import sys; sys.path.insert(0, sys.argv[1]); from catalog.watch.sight import answer; answer()"


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

    def recheck(
        self, root: bytes, paths: Sequence[bytes], *, lost: frozenset[bytes], follow_links: bool
    ) -> list[AbsenceProof]:
        """As ``recheck_absence``; proves nothing when the share does not answer."""

    def open(self) -> None:
        """The share was seen to be there: look again."""

    def close(self) -> None:
        """End what looks. May be called again."""


class Direct:
    """Looks at a local disk."""

    def stat(self, path: bytes, *, follow_links: bool = False) -> Seen:
        found = os.stat(path, follow_symlinks=follow_links)
        return Seen(
            found.st_mode,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
            found.st_ino,
            found.st_dev,
        )

    def recheck(
        self, root: bytes, paths: Sequence[bytes], *, lost: frozenset[bytes], follow_links: bool
    ) -> list[AbsenceProof]:
        return recheck_absence(root, paths, lost=lost, follow_links=follow_links)

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
        self._shut = False

    def stat(self, path: bytes, *, follow_links: bool = False) -> Seen:
        return Seen(*self._ask(("stat", path, follow_links)))

    def recheck(
        self, root: bytes, paths: Sequence[bytes], *, lost: frozenset[bytes], follow_links: bool
    ) -> list[AbsenceProof]:
        proofs: list[AbsenceProof] = []
        for path in paths:
            try:
                (proof,) = self._ask(("recheck", root, [path], sorted(lost), follow_links))
                proofs.append(AbsenceProof(*proof))
            except OSError as error:
                proofs.append(AbsenceProof(path, False, f"cannot be looked at: {error.strerror}"))
        return proofs

    def open(self) -> None:
        self._shut = False

    def close(self) -> None:
        """End the process, whatever it hangs in."""
        process, self._process = self._process, None
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

    def _ask(self, question: tuple[Any, ...]) -> Any:
        if not self._shut and self._stuck is not None:
            self.close()
        if self._shut or self._stuck is not None:
            raise self._silent()
        for _ in range(2):  # somebody may have ended it while it had nothing to do
            reply = self._exchange(marshal.dumps(question))
            if reply is not None:
                break
        else:
            raise OSError(errno.EIO, "the process that looks at the share was ended from outside")
        told, what = reply
        if told == "error":
            raise OSError(*what)
        return what

    def _silent(self) -> OSError:
        return OSError(errno.ETIMEDOUT, "the share does not answer")

    def _exchange(self, question: bytes) -> Any:
        """The reply, or None when the process is dead. Raises OSError when it took too long."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        until = time.monotonic() + self._deadline
        ready = select.poll()
        ready.register(process.stdout, select.POLLIN)
        try:
            process.stdin.write(LENGTH.pack(len(question)) + question)
        except BrokenPipeError:
            self.close()
            return None
        buffer = b""
        while len(buffer) < LENGTH.size or len(buffer) < LENGTH.size + LENGTH.unpack_from(buffer)[0]:
            if not ready.poll(max(0.0, until - time.monotonic()) * 1000):
                self._shut = True
                self.close()
                raise self._silent()
            piece = os.read(process.stdout.fileno(), 1 << 16)
            if not piece:
                self.close()
                return None
            buffer += piece
        return marshal.loads(buffer[LENGTH.size :])  # noqa: S302 - plain values of our own program

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


def answer() -> None:
    """The process: a reply to each question, until stdin ends. Writes nothing else, and holds nothing open."""
    direct = Direct()
    source = sys.stdin.buffer
    while head := source.read(LENGTH.size):
        question = marshal.loads(source.read(*LENGTH.unpack(head)))  # noqa: S302 - from the one that started us
        try:
            if question[0] == "stat":
                reply: Any = tuple(direct.stat(question[1], follow_links=question[2]))
            else:
                _, root, paths, lost, follow_links = question
                proofs = direct.recheck(root, paths, lost=frozenset(lost), follow_links=follow_links)
                reply = [(proof.path, proof.absent, proof.reason) for proof in proofs]
            told = marshal.dumps(("reply", reply))
        except OSError as error:
            told = marshal.dumps(("error", (error.errno, error.strerror)))
        os.write(sys.stdout.fileno(), LENGTH.pack(len(told)) + told)
