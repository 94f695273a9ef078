"""Open the catalogue for a command that writes: place, migration, lock."""

from __future__ import annotations

import gc
import os
import pwd
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from catalog.config import Settings
from catalog.errors import UsageError
from catalog.record.accepting import Accepting
from catalog.record.batch import Batch
from catalog.record.roots import Roots
from catalog.record.runs import Runs
from catalog.sandbox import restrict_writes
from catalog.service.session import Session
from catalog.store.lock import CataloguingLock
from catalog.store.migration import prepare
from catalog.terms import printable
from catalog.watch.mounts import is_network, mount_of


def make_ready(database: str, announce: Callable[[str], None] = lambda _: None) -> bool:
    """Create or migrate the catalogue; refuse a place where SQLite's locks do not hold. True if it is new.

    Raises CatalogError.
    """
    refuse_network(database)
    new = not os.path.exists(database)
    prepare(database, announce=announce)
    return new


def refuse_network(database: str) -> None:
    """Raises UsageError for a place where SQLite's locks do not hold."""
    folder = os.path.realpath(os.fsencode(os.path.dirname(os.path.abspath(database))))
    while not os.path.isdir(folder) and folder != b"/":
        folder = os.path.dirname(folder)
    mount = mount_of(folder)
    if mount is not None and is_network(mount.fstype):
        raise UsageError(
            f"the catalogue cannot live on a network file system ({mount.fstype}): {printable(database)}",
            hint="put it on a local disk with --database PATH; the share itself may be on the network",
        )


def refuse_inside(database: str, folders: list[bytes]) -> None:
    """The catalogue never writes to a share, so its own file must not lie in one."""
    place = os.path.realpath(os.fsencode(database))
    for folder in folders:
        if place.startswith(folder.rstrip(b"/") + b"/"):
            raise UsageError(
                f"the catalogue would lie inside the share {printable(folder)}: {printable(database)}",
                hint="choose another place with --database",
            )


def fence(database: str, *more: str) -> int | None:
    """Let the kernel refuse every write of this process and its children but beside the catalogue and in the
    folder for temporary files: "never touches the files" holds even against a bug of ours, on a share that is
    mounted later, too. For good. The Landlock ABI, or None where the kernel has none. ``more``: other folders."""
    folders = (os.path.dirname(os.path.abspath(database)), tempfile.gettempdir(), "/dev")  # /dev/null
    return restrict_writes(*folders, _sqlite_temporary(), *more)


def _sqlite_temporary() -> str:
    """Where SQLite sorts what is too large for its cache: the first of its places that this user may write to.
    It has read the environment when it was loaded, and asks nobody later (sqlite3_os_init)."""
    usual = ("/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108 - nothing is made there
    named = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), *usual)
    found = (
        place for place in named if place and os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK)
    )
    return next(found, ".")


@contextmanager
def cataloguing(database: str, settings: Settings, command: str) -> Iterator[Session]:
    """The one cataloguing process: the lock is held. Raises Locked at once."""
    # What recording makes is gone a moment later: rarer searches for garbage save 6 % of this process's CPU in a
    # first scan of small files.
    gc.set_threshold(20_000, 50, 50)
    with CataloguingLock(database, command):
        session = Session(database, settings)
        try:
            session.runs.daemon_gone()
            yield session
        except BaseException:
            # What waits may be half of something; the disk is the truth, and the next walk finds it again.
            session.recorder.rollback()
            raise
        finally:
            session.close()


class Desk:
    """Small admin writes beside a cataloguing process: shares, requests, acceptances. A context manager."""

    def __init__(self, database: str) -> None:
        self._batch = Batch(database)
        self.roots = Roots(self._batch)
        self.runs = Runs(self._batch)
        self.accepting = Accepting(self._batch)

    @property
    def due(self) -> bool:
        """Whether it is time to commit, so that a daemon gets its turn."""
        return self._batch.due

    def commit(self) -> None:
        self._batch.commit()

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self._batch.rollback()
        self._batch.close()


def actor() -> str:
    """Who asks: the user behind sudo, else the user of this process."""
    named = os.environ.get("SUDO_USER") or os.environ.get("USER")
    if named:
        return named
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
