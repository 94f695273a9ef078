"""Poison whose share is bad, too: importing this makes the worker's ``os.read`` fail by the file's name.

``hang-on-read`` never comes back, ``crash-on-read`` raises SIGBUS (as a vanished mapping would), and
``eio-on-read`` fails with EIO.
"""

from __future__ import annotations

import errno
import os
import signal
import time

from poison import analyse, toolchain  # noqa: F401  the pool asks this module for them

_read = os.read


def _faulty(descriptor: int, length: int) -> bytes:
    name = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
    if name.startswith("hang-on-read"):
        while True:
            time.sleep(3600)
    if name.startswith("crash-on-read"):
        os.kill(os.getpid(), signal.SIGBUS)
    if name.startswith("eio-on-read"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return _read(descriptor, length)


os.read = _faulty
