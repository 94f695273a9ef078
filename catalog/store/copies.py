"""Copies of the catalogue: one to keep elsewhere, and the way back from it.

A copy is made by ``VACUUM INTO``: one state, whole, in one file without a log, while others read and write.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

from catalog.errors import CatalogError, DatabaseFull, Locked, NoCatalogue, NotFound, NotPermitted, UsageError
from catalog.store.engine import connect_file, open_reader, shown, translate, translated
from catalog.store.migration import schema_number
from catalog.terms import printable


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy that is on its disk."""

    path: bytes
    """Absolute."""
    size: int
    events: int
    seals: int
    head: bytes | None
    """The last seal's chain value in the copy; None before the first event."""


def back_up(database: str, target: str, *, force: bool = False) -> Backup:
    """Copy the catalogue to ``target``, which is whole or not there; safe beside a running daemon.

    ``force`` replaces a file that is there already. Raises UsageError (a place that is not for a backup),
    NotFound (no such folder), NoCatalogue, NotPermitted, DatabaseFull, Damaged, Locked.
    """
    connection = open_reader(database)
    with closing(connection):
        if schema_number(connection, database) == 0:
            raise NoCatalogue(f"no catalogue yet: {shown(database)}", hint="run: catalog scan FOLDER")
        with translated(database):
            shares = [row[0] for row in connection.execute("SELECT path FROM root WHERE state <> 3")]
        place = _place(database, os.fsencode(target), shares, force)
        mode = os.stat(database).st_mode & 0o777
        with partial_file(place, mode) as partial:
            copy_into(connection, database, partial)
            kept = _described(partial, place)
    return kept


def _place(database: str, target: bytes, shares: list[bytes], force: bool) -> bytes:
    """The absolute path of a backup, the folder's links resolved."""
    whole = os.path.abspath(target)
    folder = os.path.realpath(os.path.dirname(whole))
    place = os.path.join(folder, os.path.basename(whole))
    name = printable(target)
    if not os.path.isdir(folder):
        raise NotFound(f"no such folder: {printable(os.path.dirname(whole))}")
    if os.path.isdir(place):
        raise UsageError(f"this is a folder: {name}", hint="name the file of the backup, too")
    refuse_in_shares(place, shares)
    own = os.path.realpath(os.fsencode(database))
    if place in {own + ending for ending in (b"", b"-wal", b"-shm", b"-journal", b".lock")} or (
        os.path.exists(place) and os.path.samefile(place, own)
    ):
        raise UsageError(f"this is the catalogue itself: {name}", hint="choose another place")
    if os.path.lexists(place):
        if not force:
            raise UsageError(f"there is a file already: {name}", hint="choose another name, or add --force")
        if not stat.S_ISREG(os.lstat(place).st_mode):
            raise UsageError(f"this is no ordinary file: {name}", hint="choose another name")
    return place


def refuse_in_shares(place: bytes, shares: list[bytes]) -> None:
    """Nothing is ever written to a share. ``place`` is absolute, its folder's links resolved."""
    for share in shares:
        if place.startswith(share.rstrip(b"/") + b"/"):
            raise UsageError(
                f"this place is inside the share {printable(share)}: {printable(place)}",
                hint="nothing is ever written to a share; choose another place",
            )


@contextmanager
def partial_file(place: bytes, mode: int) -> Iterator[bytes]:
    """An empty file beside ``place`` to be filled; at the end of the block it is on the disk and has its name.

    After an error nothing is left of it. Raises NotPermitted, Locked (another one is being made), DatabaseFull.
    """
    partial = place + b".partial"
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(partial, flags, 0o600)
    except OSError as error:
        raise _unwritable(place, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked(f"another copy is just being written there: {printable(place)}") from error
        try:
            os.ftruncate(descriptor, 0)
            yield partial
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
            os.replace(partial, place)
            sync_folder(os.path.dirname(place))
        except OSError as error:
            raise _unwritable(place, error) from error
        finally:
            with suppress(FileNotFoundError):
                os.unlink(partial)
    finally:
        os.close(descriptor)


def sync_folder(folder: bytes) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(place: bytes, error: OSError) -> CatalogError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _no_room(place, error.strerror or "")
    return NotPermitted(
        f"cannot write there: {printable(place)} ({error.strerror})", hint="choose another place"
    )


def _no_room(place: bytes, words: str) -> CatalogError:
    return DatabaseFull(
        f"no room for the copy: {printable(place)} ({words})",
        hint="free some space there, or choose another place; nothing was changed",
    )


def copy_into(connection: sqlite3.Connection, database: str, partial: bytes) -> None:
    """``VACUUM INTO`` an empty file. ``connection`` may be read-only.

    Raises DatabaseFull for the copy's disk, else what the catalogue's own errors are.
    """
    sizes = (database, f"{database}-wal")
    needed = sum(os.path.getsize(path) for path in sizes if os.path.exists(path))
    free = shutil.disk_usage(os.path.dirname(partial)).free
    if free < needed:
        raise _no_room(partial, f"{needed:,} bytes may be needed, {free:,} are free")
    with translated(database):
        connection.execute("PRAGMA query_only=OFF")  # which refuses VACUUM INTO, too
    try:
        # As bytes: the name of a folder need not be UTF-8.
        connection.execute("VACUUM INTO CAST(? AS TEXT)", (partial,))
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0)
        name = str(getattr(error, "sqlite_errorname", ""))
        reading = any(part in name for part in ("IOERR_READ", "IOERR_SHORT_READ", "IOERR_CORRUPTFS"))
        if code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR) and not reading:
            raise _no_room(partial, f"{error}, {name}") from error
        ours = translate(error, database)
        if ours is None:
            raise
        raise ours from error


def _described(partial: bytes, place: bytes) -> Backup:
    """What is in a copy that nobody else knows of yet."""
    name = os.fsdecode(partial)
    with translated(name), closing(connect_file(name, "immutable=1", 0)) as connection:
        events = connection.execute("SELECT count(*) FROM event").fetchone()[0]
        seals = connection.execute("SELECT count(*) FROM seal").fetchone()[0]
        head = connection.execute("SELECT chain FROM seal ORDER BY seal_id DESC LIMIT 1").fetchone()
    return Backup(place, os.path.getsize(partial), events, seals, bytes(head[0]) if head else None)
