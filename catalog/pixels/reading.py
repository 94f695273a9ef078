"""Phase 1: read a file once, between two stats, and take its message digests.

The hash sandwich: open, fstat, read, fstat, lstat. Only when inode, size, mtime and ctime are equal in all
three were the bytes those of one state of this path; otherwise they are thrown away. No symbolic link is
followed below the root, neither as the file nor as a folder on the way, and nothing but a regular file is read.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat as mode
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from catalog.terms import Failure, FailureKind, Limits, Stat

PIECE: Final = 8 << 20
"""Bytes that are read between two signs of life."""
CHECK_PIECE: Final = 1 << 20
"""Bytes that a check reads at once."""
NO_MD5: Final = bytes(16)
THREAD_PAYS: Final = 1 << 20
"""From this size on md5 runs beside sha256 (24 MB: 60 → 42 ms; 24 kB: 60 → 106 µs)."""

NOT_REGULAR: Final = Failure(FailureKind.GONE, "not a regular file")
_MOVING: Final = Failure(FailureKind.MOVING, "changed while it was read")

_OPEN_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_OPEN_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Reading:
    """The bytes of one state of a file. ``body`` None: hashed but not kept, and ``unkept`` says why."""

    stat: Stat
    sha256: bytes
    md5: bytes
    body: bytes | None
    unkept: str = ""


class Reader:
    """Reads files below roots; keeps the folder of the last one open until ``release``.

    ``pulse`` is called after each ``PIECE`` of a large file: a sign that the share still answers.
    ``follow_links``: links inside the share are read as what they lead to.
    """

    def __init__(
        self, limits: Limits, pulse: Callable[[], None] = lambda: None, *, follow_links: bool = False
    ) -> None:
        self._limits = limits
        self._no_links = 0 if follow_links else os.O_NOFOLLOW
        self._pulse = pulse
        self._where: tuple[bytes, bytes] | None = None
        self._folder = -1
        self._spare_access_time = os.O_NOATIME
        self._buffer = memoryview(bytearray(CHECK_PIECE))

    def read(
        self, root: bytes, path: bytes, keep: bool = True, *, uncached: bool = False, check: bool = False
    ) -> Reading | Failure:
        """One look at ``path`` (relative to ``root``). ``keep`` False: the digests alone are wanted.

        ``uncached``: the page cache lets go of the file first, so that the disk (or the server) is read.
        Pages that are dirty or mapped stay. ``check``: the sha256 alone is wanted; the md5 is zeros, and of an
        ``uncached`` file nothing stays in the cache (an audit of a share must not push out what others use).
        """
        folder, _, name = path.rpartition(b"/")
        try:
            if self._where != (root, folder):
                self._enter(root, folder)
            descriptor = self._open(name)
        except OSError as error:
            return refused(error)
        try:
            before = os.fstat(descriptor)
            if not mode.S_ISREG(before.st_mode):
                return NOT_REGULAR
            if uncached:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            taken = (self._check if check else self._take)(descriptor, before.st_size, keep)
            if check and uncached:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            after = os.fstat(descriptor)
            named = self._look_again(root, path, name)
        except OSError as error:
            return refused(error)
        finally:
            os.close(descriptor)
        if taken is None or not (_same(before, after) and _same(after, named)):
            return _MOVING
        return Reading(Stat.of(after), *taken)

    def release(self) -> None:
        """Let go of the folder, so that an idle worker does not keep a share from being unmounted."""
        if self._folder >= 0:
            os.close(self._folder)
        self._folder = -1
        self._where = None

    # ------------------------------------------------------------------------------------------- opening

    def _enter(self, root: bytes, folder: bytes) -> None:
        """Open the folder component by component: a link on the way, put there after the walk, is refused."""
        self.release()
        descriptor = os.open(root, _OPEN_FOLDER)
        for component in folder.split(b"/") if folder else ():
            try:
                if component in (b"", b".", b".."):
                    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
                below = os.open(component, _OPEN_FOLDER | self._no_links, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = below
        self._folder = descriptor
        self._where = (root, folder)
        self._spare_access_time = os.O_NOATIME

    def _open(self, name: bytes) -> int:
        """Without a trace in the access time where the kernel lets us (our own files, or CAP_FOWNER)."""
        flags = _OPEN_FILE | self._no_links
        try:
            return os.open(name, flags | self._spare_access_time, dir_fd=self._folder)
        except PermissionError as error:
            if error.errno != errno.EPERM or not self._spare_access_time:
                raise
            self._spare_access_time = 0
            return os.open(name, flags, dir_fd=self._folder)

    def _look_again(self, root: bytes, path: bytes, name: bytes) -> os.stat_result:
        """By the whole path: the folder that we hold may have been renamed under us."""
        follow = not self._no_links
        try:
            return os.stat(root + b"/" + path, follow_symlinks=follow)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # longer than PATH_MAX, reachable only step by step
                raise
            return os.stat(name, dir_fd=self._folder, follow_symlinks=follow)

    # ------------------------------------------------------------------------------------------- reading

    def _take(self, descriptor: int, size: int, keep: bool) -> tuple[bytes, bytes, bytes | None, str] | None:
        """(sha256, md5, bytes, why not kept), or None if the size was not that."""
        unkept = self._limits.too_large("decode_limit_bytes", size) or "" if keep else ""
        if keep and not unkept:
            try:
                body = self._whole(descriptor, size)
                if body is None:
                    return None
                sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
                _digest(sha256, md5, body)
                return sha256.digest(), md5.digest(), body, ""
            except MemoryError:
                unkept = self._limits.exhausted("not enough memory to hold it", "worker_memory_bytes")
                os.lseek(descriptor, 0, os.SEEK_SET)
        digests = self._stream(descriptor, size)
        return (*digests, None, unkept) if digests else None

    def _check(self, descriptor: int, size: int, _: bool) -> tuple[bytes, bytes, None, str] | None:
        """As ``_take``, with the sha256 alone: one pass through a buffer that stays in the processor's cache."""
        sha256, at, pulsed = hashlib.sha256(), 0, 0
        if size > CHECK_PIECE:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        buffer = self._buffer
        while at < size:
            count = os.readv(descriptor, [buffer[: size - at]])
            if not count:
                return None
            sha256.update(buffer[:count])
            at += count
            if at - pulsed >= PIECE:
                self._pulse()
                pulsed = at
        return sha256.digest(), NO_MD5, None, ""

    def _whole(self, descriptor: int, size: int) -> bytes | None:
        if size < PIECE:
            body = os.read(descriptor, size + 1)  # a byte more shows growth without another call
            while len(body) < size:
                piece = os.read(descriptor, size + 1 - len(body))
                if not piece:
                    return None
                body += piece
            return body if len(body) == size else None
        # BytesIO hands out its own buffer: the bytes are filled in place and never copied.
        held = io.BytesIO(bytes(size))
        with held.getbuffer() as view:
            at = 0
            while at < size:
                count = os.readv(descriptor, [view[at : at + PIECE]])
                if not count:
                    return None
                at += count
                self._pulse()
        return held.getvalue()

    def _stream(self, descriptor: int, size: int) -> tuple[bytes, bytes] | None:
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        at = 0
        with memoryview(bytearray(min(PIECE, size) or 1)) as buffer:
            while at < size:
                count = os.readv(descriptor, [buffer[: size - at]])
                if not count:
                    return None
                _digest(sha256, md5, buffer[:count])
                at += count
                self._pulse()
        return sha256.digest(), md5.digest()


def refused(error: OSError) -> Failure:
    """What an errno of open, read or stat means for this path."""
    code = error.errno
    if code in (errno.ENOENT, errno.ENOTDIR):
        return Failure(FailureKind.GONE, "no longer there", code)
    if code == errno.ELOOP:
        return Failure(FailureKind.GONE, "a symbolic link, not a regular file", code)
    if code == errno.ENXIO:  # a socket
        return NOT_REGULAR
    if code == errno.EAGAIN:  # another program holds a lease on it (a Samba oplock)
        return _MOVING
    return Failure(FailureKind.UNREADABLE, os.strerror(code) if code else str(error), code)


def _same(one: os.stat_result, two: os.stat_result) -> bool:
    return (
        one.st_ino == two.st_ino
        and one.st_size == two.st_size
        and one.st_mtime_ns == two.st_mtime_ns
        and one.st_ctime_ns == two.st_ctime_ns
    )


def _digest(sha256: hashlib._Hash, md5: hashlib._Hash, body: bytes | memoryview) -> None:
    """Feed both, side by side where that is quicker."""
    if len(body) < THREAD_PAYS:
        sha256.update(body)
        md5.update(body)
        return
    beside = threading.Thread(target=md5.update, args=(body,))
    try:
        beside.start()
    except RuntimeError:  # no thread to be had: TasksMax, or the memory limit
        md5.update(body)
        sha256.update(body)
        return
    sha256.update(body)
    beside.join()
