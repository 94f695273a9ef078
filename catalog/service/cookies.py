"""The folder whose events prove that events arrive (``watch.inotify``): beside the catalogue, gone with the daemon."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from typing import Final

from catalog.watch.inotify import COOKIE

_RANDOM: Final = re.compile(r"[a-z0-9_]{8}")
"""What ``tempfile`` ends its names with."""


class Cookies:
    """Makes it. What daemons left behind that were killed goes: whoever asks holds the catalogue's lock.

    A share that holds the catalogue has its folder among the temporary files, and so has every share where the
    catalogue's folder takes none (a full disk). ``cleanup`` removes both.
    """

    def __init__(self, database: str) -> None:
        folder, name = os.path.split(os.path.abspath(database))
        prefix = f"{name}.cookie-"
        _remove_left(folder, prefix)
        self._apart: tempfile.TemporaryDirectory[str] | None = None
        try:
            self._beside = tempfile.TemporaryDirectory(prefix=prefix, dir=folder)
        except OSError:
            self._beside = self._made_apart()

    def outside(self, root: bytes) -> bytes:
        """One that does not lie in this folder, if there is any."""
        beside = os.path.realpath(os.fsencode(self._beside.name))
        if beside.startswith(os.path.realpath(root).rstrip(b"/") + b"/"):
            with contextlib.suppress(OSError):
                return os.fsencode(self._made_apart().name)
        return os.fsencode(self._beside.name)

    def _made_apart(self) -> tempfile.TemporaryDirectory[str]:
        self._apart = self._apart or tempfile.TemporaryDirectory(prefix="catalog-cookie-")
        return self._apart

    def cleanup(self) -> None:
        """May be called twice."""
        self._beside.cleanup()
        if self._apart is not None:
            self._apart.cleanup()


def _remove_left(folder: str, prefix: str) -> None:
    """Only what is ours: another catalogue may have a name that begins like that, and its daemon runs."""
    with contextlib.suppress(OSError):
        for old in os.listdir(folder):
            if old.startswith(prefix) and _RANDOM.fullmatch(old, len(prefix)):
                _remove(os.path.join(folder, old))


def _remove(old: str) -> None:
    if os.path.islink(old):
        return
    with contextlib.suppress(OSError):
        for share in os.listdir(old):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(os.fsencode(old), os.fsencode(share), COOKIE))
            os.rmdir(os.path.join(old, share))
        os.rmdir(old)
