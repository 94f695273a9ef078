"""Connections to the catalogue: one writing engine, one reading engine, and the world's errors translated.

Every write transaction is ``BEGIN IMMEDIATE``: a deferred one that reads first fails at once with a busy
snapshot beside another writer, whatever the timeout (measured: 445 of 1,236).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.pool import NullPool, StaticPool

from catalog.errors import CatalogError, Damaged, DatabaseFull, Locked, NoCatalogue, NotPermitted
from catalog.terms import printable

WRITE_TIMEOUT_SECONDS: Final = 30.0
READ_TIMEOUT_SECONDS: Final = 5.0
_MINIMUM_SQLITE: Final = (3, 37, 0)  # STRICT tables

_WRITER_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "foreign_keys=ON",
    "cache_size=-16384",
    "temp_store=FILE",
    "journal_size_limit=67108864",
    # Inspections commit a few hundred small transactions a minute; the default of 1,000 pages would
    # checkpoint in the middle of a first scan again and again.
    "wal_autocheckpoint=8000",
    "trusted_schema=OFF",
)
_READER_PRAGMAS: Final = ("query_only=ON", "trusted_schema=OFF", "cache_size=-16384")


def shown(database: str) -> str:
    """The database's path as it may be printed."""
    return printable(os.fsencode(database))


def translate(error: BaseException, database: str) -> CatalogError | None:  # noqa: PLR0911 - one case a line
    """The world's errors of SQLite as ours; None for a programming error, which must crash loudly."""
    if not isinstance(error, sqlite3.Error):
        return None
    words = str(error).lower()
    where = shown(database)
    if "disk is full" in words or "disk i/o error" in words:
        return DatabaseFull(
            f"no room to write the catalogue: {where} ({error})",
            hint="free some space and run the same command again: nothing was lost",
        )
    if "readonly" in words or "read-only" in words:
        return NotPermitted(
            f"this user may not change the catalogue: {where}", hint=f"{_who_may(database)} may"
        )
    if "unable to open" in words or "authorization" in words:
        return NotPermitted(
            f"cannot open the catalogue: {where}", hint="check the permissions of the file and of its folder"
        )
    if "malformed" in words or "not a database" in words or "file is encrypted" in words:
        return Damaged(
            f"the catalogue is damaged: {where} ({error})",
            hint="keep the file, restore the last backup or the copy '.pre-…' beside it, then scan again",
        )
    if "locked" in words or "busy" in words:
        return Locked(
            f"the catalogue is in use and did not become free within {WRITE_TIMEOUT_SECONDS:.0f} s: {where}",
            hint="try again",
        )
    return None


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


def _connect(database: str, mode: str, timeout: float) -> sqlite3.Connection:
    uri = f"file:{quote(os.fsencode(os.path.abspath(database)))}?{mode}"
    return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)


def _engine(connect: Any, database: str, *, write: bool) -> Engine:
    engine = create_engine(
        "sqlite://", creator=connect, poolclass=StaticPool if write else NullPool, hide_parameters=True
    )

    @event.listens_for(engine, "handle_error")
    def ours(context: ExceptionContext) -> None:
        error = translate(context.original_exception, database) if context.original_exception else None
        if error is not None:
            raise error from context.original_exception

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def check_sqlite() -> None:
    """Refuse a SQLite library without STRICT tables."""
    if sqlite3.sqlite_version_info < _MINIMUM_SQLITE:
        raise NotPermitted(
            f"Python's SQLite is {sqlite3.sqlite_version}",
            hint="version 3.37 or newer is needed: use a newer Python build",
        )


def writing_engine(database: str) -> Engine:
    """An engine on an existing, migrated database; each transaction takes the write lock at its start.

    One connection, to be used by one thread at a time. Raises CatalogError from any statement.
    """

    def connect() -> sqlite3.Connection:
        connection = _connect(database, "mode=rw", WRITE_TIMEOUT_SECONDS)
        for pragma in _WRITER_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    return _engine(connect, database, write=True)


def open_reader(database: str) -> sqlite3.Connection:
    """A read-only DBAPI connection, also for a user who may only read, daemon running or not.

    ``immutable`` is the last resort for a folder where SQLite cannot make its ``-shm`` file, and only
    without a ``-wal``: with one, it would silently ignore the newest commits.
    """
    if not os.path.exists(database):
        raise NoCatalogue(f"no catalogue yet: {shown(database)}", hint="make one with: catalog scan FOLDER")
    with translated(database):
        try:
            connection = _connect(database, "mode=ro", READ_TIMEOUT_SECONDS)
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            wal = f"{database}-wal"
            if not os.access(database, os.R_OK) or (os.path.exists(wal) and os.path.getsize(wal)):
                raise
            connection = _connect(database, "immutable=1", READ_TIMEOUT_SECONDS)
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        for pragma in _READER_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    return connection


def reading_engine(database: str) -> Engine:
    """An engine for questions: read-only, never waits for a writer, never blocks one."""
    return _engine(lambda: open_reader(database), database, write=False)


def set_durable(connection: Connection, durable: bool) -> None:
    """``synchronous=FULL`` for what cannot be found again by a reconcile (accepts, seals); outside transactions."""
    connection.execute(text(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}"))
