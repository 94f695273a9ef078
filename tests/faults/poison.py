"""An analyser whose images do what they say: the worker imports it in place of the real one.

A file that begins with ``poison <deed>`` does that deed to the process that decodes it. Any other file gives
one frame with the digest of its bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from catalog.terms import Analysis, Fidelity, Ifd, IfdKind, ImageFacts, Limits, Tag, Toolchain


def toolchain() -> Toolchain:
    return Toolchain(1, bytes(32), (("poison", "1"),))


def analyse(
    data: bytes,
    *,
    limits: Limits,
    loaders: bool = False,
    full_values: bool = False,
    complaints: Callable[[], tuple[str, ...]] | None = None,
) -> Analysis:
    if data.startswith(b"poison "):
        words = data.split()
        DEEDS[words[1].decode()](data)
    said = complaints() if complaints else ()
    tags = tuple(Tag(256 + n, f"Tag{n}", 3, 1, bytes([n, 0])) for n in range(3))
    return Analysis(
        Fidelity.DAMAGED if said else Fidelity.EXACT,
        "decoder complained" if said else None,
        pixels=hashlib.sha256(data).digest(),
        image=ImageFacts("POISON", len(data), 1, 1, "gray", "u8", 1, 1),
        ifds=(Ifd(0, IfdKind.PAGE, None, tags),),
        complaints=said,
    )


def _segv(data: bytes) -> None:
    ctypes.string_at(0)


def _abort(data: bytes) -> None:
    os.write(2, b"libimage: impossible strip\n")
    os.abort()


def _hang(data: bytes) -> None:
    while True:
        time.sleep(3600)


def _spin(data: bytes) -> None:
    while True:
        pass


def _python_bomb(data: bytes) -> None:
    hoard = []
    while True:
        hoard.append(bytes(1 << 20))


def _malloc_bomb(data: bytes) -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    while True:
        block = libc.malloc(1 << 20)
        ctypes.memset(block or 0, 1, 1 << 20)  # a library that does not check


def _exit(data: bytes) -> None:
    os._exit(3)


def _flood(data: bytes) -> None:
    line = b"libimage: warning, " + b"x" * 200 + b"\n"
    for _ in range(20_000):
        with contextlib.suppress(OSError):
            os.write(2, line)
    print("and this through Python", file=sys.stderr)


def _complain(data: bytes) -> None:
    os.write(2, b"libimage: Bad code word\n")


def _print(data: bytes) -> None:
    print("a stray print " * 1000, flush=True)
    os.write(1, b"\xff\xff\xff\x7f\x04 and a false frame")


def _raise(data: bytes) -> None:
    raise IndexError("hostile header")


def _crash_once(data: bytes) -> None:
    if os.path.exists(data.split()[2]):
        os.abort()


def _missing_library(data: bytes) -> None:
    import a_library_that_nobody_installed  # noqa: F401


def _kill(data: bytes) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _write(data: bytes) -> None:
    with open(os.fsdecode(data.split()[2]), "wb") as file:
        file.write(b"overwritten by a decoder")


def _nonsense(data: bytes) -> None:
    """Break out of the frames: the parent's pipe is the only pipe that is open for writing here."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            if descriptor > 2 and os.readlink(f"/proc/self/fd/{name}").startswith("pipe:"):
                os.write(descriptor, b"\x04\x00\x00\x00\x04\xff\xff\xff\xff")
        except OSError:
            pass


DEEDS: dict[str, Callable[[bytes], Any]] = {
    "segv": _segv,
    "abort": _abort,
    "hang": _hang,
    "spin": _spin,
    "python-bomb": _python_bomb,
    "malloc-bomb": _malloc_bomb,
    "exit": _exit,
    "flood": _flood,
    "complain": _complain,
    "print": _print,
    "raise": _raise,
    "crash-once": _crash_once,
    "missing-library": _missing_library,
    "kill": _kill,
    "write": _write,
    "nonsense": _nonsense,
}
