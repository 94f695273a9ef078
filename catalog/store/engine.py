"""Connections to the catalogue: for writing, for questions, and the world's errors translated.

SQLAlchemy is imported by whoever asks in its words. Recording has statements of its own, and a scan that finds
nothing new would spend a third of its time on that import.

Every write transaction is ``BEGIN IMMEDIATE``: a deferred one that reads first fails at once with a busy
snapshot beside another writer, whatever the timeout (measured: 445 of 1,236).
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import NoneType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from catalog.errors import CatalogError, Damaged, DatabaseFull, Locked, NoCatalogue, NotPermitted
from catalog.terms import printable

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import ExceptionContext

WRITE_TIMEOUT_SECONDS: Final = 30.0
READ_TIMEOUT_SECONDS: Final = 5.0
_MINIMUM_SQLITE: Final = (3, 37, 0)  # STRICT tables

_WRITER_PRAGMAS: Final = (
    "journal_mode=WAL",
    # FULL: an event whose seal was shown to somebody must survive a power cut. A batch syncs once, which
    # costs nothing beside its rows; Batch.begin(durable=False) is for what a reconcile finds again.
    "synchronous=FULL",
    "foreign_keys=ON",
    "cache_size=-16384",
    "temp_store=FILE",
    "journal_size_limit=67108864",
    # Inspections commit a few hundred small transactions a minute; the default of 1,000 pages would
    # checkpoint in the middle of a first scan again and again.
    "wal_autocheckpoint=8000",
    "trusted_schema=OFF",
)
# The first one reads the file: what cannot be read is found out before anybody relies on the connection.
_READER_PRAGMAS: Final = ("schema_version", "query_only=ON", "trusted_schema=OFF", "cache_size=-16384")


def shown(database: str) -> str:
    """The database's path as it may be printed."""
    return printable(os.fsencode(database))


def translate(error: BaseException, database: str) -> CatalogError | None:
    """The world's errors of SQLite as ours; None for a programming error, which must crash loudly."""
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python's module itself: a misuse, never the world
        return None
    name = str(getattr(error, "sqlite_errorname", ""))
    translation = _TRANSLATIONS.get(code & 0xFF)
    return translation(database, f"{error}, {name}") if translation is not None else None


def _full(database: str, words: str) -> CatalogError:
    return DatabaseFull(
        f"no room to write the catalogue: {shown(database)} ({words})",
        hint="free some space and run the same command again: nothing was lost",
    )


def _io_failed(database: str, words: str) -> CatalogError:
    # A quota, and a -shm file that cannot grow, come as I/O errors, too; only reading tells of a bad disk.
    if any(part in words for part in ("IOERR_READ", "IOERR_SHORT_READ", "IOERR_CORRUPTFS")):
        return Damaged(
            f"the catalogue cannot be read from its disk: {shown(database)} ({words})",
            hint="look for disk errors (dmesg), then restore the last backup",
        )
    return DatabaseFull(
        f"the catalogue cannot be written: {shown(database)} ({words})",
        hint="check the disk, its free space and quota, then run the same command again: nothing was lost",
    )


def read_only(database: str, _: str = "") -> NotPermitted:
    """The error for somebody who may not write to this catalogue; says who may."""
    return NotPermitted(
        f"this user may not change the catalogue: {shown(database)}", hint=f"{_who_may(database)} may"
    )


def _cannot_open(database: str, _: str) -> CatalogError:
    return NotPermitted(
        f"cannot open the catalogue: {shown(database)}",
        hint="check the permissions of the file and of its folder",
    )


def _broken(database: str, words: str) -> CatalogError:
    return Damaged(
        f"the catalogue is damaged: {shown(database)} ({words})",
        hint="keep the file, restore the last backup or the copy '.pre-…' beside it, then scan again",
    )


def _no_database(database: str, _: str) -> CatalogError:
    return Damaged(
        f"not a catalogue, or one whose beginning is damaged: {shown(database)}",
        hint="choose another file with --database; if this was the catalogue, keep it and restore the last backup",
    )


def _busy(database: str, _: str) -> CatalogError:
    return Locked(
        f"the catalogue is in use and did not become free in time: {shown(database)}", hint="try again"
    )


_TRANSLATIONS: Final[dict[int, Callable[[str, str], CatalogError]]] = {
    sqlite3.SQLITE_FULL: _full,
    sqlite3.SQLITE_IOERR: _io_failed,
    sqlite3.SQLITE_READONLY: read_only,
    sqlite3.SQLITE_CANTOPEN: _cannot_open,
    sqlite3.SQLITE_PERM: _cannot_open,
    sqlite3.SQLITE_AUTH: _cannot_open,
    sqlite3.SQLITE_CORRUPT: _broken,
    sqlite3.SQLITE_NOTADB: _no_database,
    sqlite3.SQLITE_BUSY: _busy,
    sqlite3.SQLITE_LOCKED: _busy,
}
"""By SQLite's primary result code (the low byte of the extended one)."""


def _who_may(database: str) -> str:
    import grp
    import pwd

    try:
        status = os.stat(database)
    except OSError:
        return "its owner"
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = str(status.st_uid)
    if status.st_mode & 0o020:
        try:
            return f"{owner} and members of group {grp.getgrgid(status.st_gid).gr_name}"
        except KeyError:
            pass
    return f"user {owner}"


@contextmanager
def translated(database: str) -> Iterator[None]:
    """Turn SQLite's errors inside the block into ``CatalogError``."""
    try:
        yield
    except sqlite3.Error as error:
        ours = translate(error, database)
        if ours is None:
            raise
        raise ours from error


def connect_file(database: str, mode: str, timeout: float, pragmas: Iterable[str] = ()) -> sqlite3.Connection:
    """A DBAPI connection that leaves transactions to its user. ``mode``: ``mode=rw``, ``mode=ro``, ``immutable=1``.

    Raises sqlite3.Error; then no connection is left open.
    """
    uri = f"file:{quote(os.fsencode(os.path.abspath(database)))}?{mode}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except UnicodeDecodeError as error:
        # SQLite complains of a damaged schema in that schema's own words, which Python cannot read.
        connection.close()
        damage = sqlite3.DatabaseError("malformed database schema")
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        damage.sqlite_errorname = "SQLITE_CORRUPT"
        raise damage from error
    except BaseException:
        connection.close()
        raise
    return connection


def _engine(connect: Callable[[], Any], database: str) -> Engine:
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)

    @event.listens_for(engine, "handle_error")
    def ours(context: ExceptionContext) -> None:
        error = translate(context.original_exception, database) if context.original_exception else None
        if error is not None:
            raise error from context.original_exception

    return engine


def check_sqlite() -> None:
    """Refuse a SQLite library without STRICT tables."""
    if sqlite3.sqlite_version_info < _MINIMUM_SQLITE:
        raise NotPermitted(
            f"Python's SQLite is {sqlite3.sqlite_version}",
            hint="version 3.37 or newer is needed: use a newer Python build",
        )


def open_writer(database: str) -> sqlite3.Connection:
    """A DBAPI connection that may write to an existing, migrated database. To be used by one thread at a time.

    Raises CatalogError; whoever begins a transaction begins it with ``BEGIN IMMEDIATE``.
    """
    # The module sqlite3 asks every bytes and None anew how it wants to be stored, in vain: a third of what it
    # costs to bind a row of them. These say that they are stored as they are (``get`` is cheaper than a lambda).
    sqlite3.register_adapter(bytes, bytes)
    sqlite3.register_adapter(NoneType, {}.get)  # type: ignore[arg-type]
    with translated(database):
        return connect_file(database, "mode=rw", WRITE_TIMEOUT_SECONDS, _WRITER_PRAGMAS)


class _Lent:
    """A connection whose transactions and whose end are the business of the one who lent it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Not by the borrower."""

    rollback = close = commit


def lent(connection: sqlite3.Connection, database: str) -> Connection:
    """An open connection for questions in SQLAlchemy's words, inside the owner's transactions if there are any.

    Raises CatalogError from any statement. Close it before its owner; that closes nothing else.
    """
    return _engine(lambda: _Lent(connection), database).connect()


def open_reader(database: str) -> sqlite3.Connection:
    """A read-only DBAPI connection, also for a user who may only read, daemon running or not.

    ``immutable`` is the last resort for a folder where SQLite cannot make its ``-shm`` file, and only
    without a ``-wal``: with one, it would silently ignore the newest commits.
    Raises NoCatalogue, NotPermitted, Damaged.
    """
    try:
        os.stat(database)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise NoCatalogue(
                f"no catalogue yet: {shown(database)}", hint="make one with: catalog scan FOLDER"
            ) from error
        raise _cannot_open(database, "") from error
    with translated(database):
        try:
            return connect_file(database, "mode=ro", READ_TIMEOUT_SECONDS, _READER_PRAGMAS)
        except sqlite3.OperationalError as error:
            unopened = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
            if not unopened or not os.access(database, os.R_OK) or _holds_commits(f"{database}-wal"):
                raise
        return connect_file(database, "immutable=1", READ_TIMEOUT_SECONDS, _READER_PRAGMAS)


def _holds_commits(wal: str) -> bool:
    try:
        return os.path.getsize(wal) > 0
    except FileNotFoundError:
        return False


def reading_engine(database: str) -> Engine:
    """An engine for questions: read-only, never waits for a writer, never blocks one."""
    from sqlalchemy import event

    engine = _engine(lambda: open_reader(database), database)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine
