"""The folder whose events prove that events arrive (``watch.inotify``): beside the catalogue, gone with the daemon."""

from __future__ import annotations

import os
import shutil
import tempfile


def cookie_folder(database: str) -> tempfile.TemporaryDirectory[str]:
    """A new one. Those of daemons that were killed go: whoever asks holds the catalogue's lock.

    In the folder for temporary files where the catalogue's takes none (a full disk).
    """
    folder, name = os.path.split(os.path.abspath(database))
    prefix = f"{name}.cookie-"
    for old in os.listdir(folder):
        if old.startswith(prefix):
            shutil.rmtree(os.path.join(folder, old), ignore_errors=True)
    try:
        return tempfile.TemporaryDirectory(prefix=prefix, dir=folder)
    except OSError:
        return tempfile.TemporaryDirectory(prefix="catalog-cookie-")
