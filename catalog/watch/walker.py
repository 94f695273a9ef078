"""The process that walks a share, so that a hung mount hangs it and not the daemon, and on a core of its own.

Started by ``walker_process.py``. It reads one request from stdin, writes frames to stdout and ends: each frame a
length (``<I``) and that many bytes of ``marshal``, a list of listings; an empty frame is a sign of life, an empty
list the end. It imports nothing but the walk, and never writes anything else.
"""

from __future__ import annotations

import marshal
import os
import struct
import sys
import time
from typing import Any, Final

from catalog.watch.selection import Selection
from catalog.watch.walk import Listing, walk

FRAME_ENTRIES: Final = 1000
FRAME_SECONDS: Final = 0.1
PULSE_SECONDS: Final = 1.0
LENGTH: Final = struct.Struct("<I")

Plain = tuple[Any, ...]
"""A listing as plain values: what ``packed`` gives and ``unpacked`` takes."""


def packed(listing: Listing) -> Plain:
    unknown = {name: (error.errno, error.strerror) for name, error in listing.unknown.items()}
    error = listing.error
    return (
        listing.path,
        listing.entries,
        listing.subdirs,
        listing.mounts,
        unknown,
        listing.symlinks,
        listing.ignored,
        listing.special,
        None if error is None else (error.errno, error.strerror),
        listing.gone,
        listing.identity,
    )


def unpacked(plain: Plain) -> Listing:
    path, entries, subdirs, mounts, unknown, symlinks, ignored, special, error, gone, identity = plain
    return Listing(
        path,
        entries,
        subdirs,
        mounts,
        {name: OSError(*told) for name, told in unknown.items()},
        symlinks,
        ignored,
        special,
        None if error is None else OSError(*error),
        gone,
        identity,
    )


class _Frames:
    """What goes out, gathered: neither a frame for each of a million folders, nor silence for long."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._gathered: list[Plain] = []
        self._entries = 0
        self._last = time.monotonic()

    def add(self, listing: Listing) -> None:
        self._gathered.append(packed(listing))
        self._entries += 1 + len(listing.entries)
        if self._entries >= FRAME_ENTRIES or time.monotonic() >= self._last + FRAME_SECONDS:
            self.send()

    def send(self) -> None:
        if self._gathered:
            self._write(marshal.dumps(self._gathered))
            self._gathered, self._entries = [], 0

    def pulse(self) -> None:
        if time.monotonic() >= self._last + PULSE_SECONDS:
            self._write(b"")

    def end(self) -> None:
        self.send()
        self._write(marshal.dumps([]))

    def _write(self, payload: bytes) -> None:
        self._last = time.monotonic()
        whole = memoryview(LENGTH.pack(len(payload)) + payload)
        while whole:
            whole = whole[os.write(self._fd, whole) :]


def main() -> None:
    os.chdir("/")  # never keep a share from being unmounted
    request = marshal.loads(sys.stdin.buffer.read())  # noqa: S302 - from the process that started this one
    root, start, lost, (extensions, include, exclude, follow_links) = request
    selection = Selection(extensions, include, exclude, follow_links=follow_links)
    frames = _Frames(sys.stdout.fileno())
    try:
        for listing in walk(root, selection, start, lost=frozenset(lost), pulse=frames.pulse):
            frames.add(listing)
        frames.end()
    except BrokenPipeError:
        os._exit(0)  # nobody wants to know any more
