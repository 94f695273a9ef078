"""One cataloguing process for each database: an flock that dies with its holder, whatever kills it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from types import TracebackType

from catalog.errors import Locked, NotPermitted
from catalog.store.engine import shown


def lock_path(database: str) -> str:
    """Where the lock of a catalogue lies: beside the real database, whatever link led there."""
    return f"{os.path.realpath(database)}.lock"


class CataloguingLock:
    """Held by ``watch`` and ``scan`` while they record. A context manager; may be released twice.

    The lock file lies beside the real database, whatever link led there, and holds ``<pid> <command>`` of
    the holder for people to read; only the flock counts. Nobody ever removes the file: a second one of the
    same name would be a second lock.
    """

    def __init__(self, database: str, command: str) -> None:
        self._database = database
        self._path = lock_path(database)
        self._command = command
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; raises Locked (naming the holder) or NotPermitted at once, never waits."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise NotPermitted(
                f"cannot lock the catalogue: {shown(self._path)} ({error.strerror})",
                hint="run it as the user who owns the catalogue, or choose another one with --database",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").split("\n")[0].strip()
            os.close(descriptor)
            pid, _, command = holder.partition(" ")
            raise Locked(
                f"{shown(self._database)} is being catalogued by process {pid or 'unknown'}"
                + (f" (catalog {command})" if command else ""),
                hint="ask it with: catalog status",
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise NotPermitted(
                f"this file system has no locks: {shown(self._path)} ({error.strerror})",
                hint="put the catalogue on a local disk with --database",
            ) from error
        self._descriptor = descriptor
        with suppress(OSError):  # a full disk takes the words away, not the lock
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {self._command}\n".encode(), 0)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> CataloguingLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
