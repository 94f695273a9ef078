"""Bring a catalogue to this program's schema: all migrations in one transaction, or none of them.

SQLAlchemy and Alembic are imported only when there is something to migrate; every other start asks two pragmas.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from catalog.errors import CatalogError, Damaged, DatabaseFull, NoCatalogue, NotPermitted, SchemaMismatch
from catalog.store.engine import (
    WRITE_TIMEOUT_SECONDS,
    check_sqlite,
    connect_file,
    read_only,
    shown,
    translated,
)
from catalog.store.lock import CataloguingLock, lock_path
from catalog.store.marks import APPLICATION_ID, SCHEMA_HEAD, SCHEMA_NUMBER
from catalog.store.triggers import triggers
from catalog.store.views import views

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PACKAGE = Path(__file__).resolve().parents[1]
# WAL before the first table: the mode cannot change inside the transaction. Foreign keys are off, because
# rebuilding a table drops it for a moment; they are checked before the commit.
_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=OFF", "temp_store=FILE")


def migrations_folder() -> Path:
    """The Alembic folder: inside the package (wheel) first, then the checkout's.

    The other order would run a foreign ``site-packages/migrations/env.py``.
    """
    for folder in (_PACKAGE / "migrations", _PACKAGE.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise CatalogError(
        "this installation has no migrations",
        hint="install catalog again, as it was installed before",
    )


def schema_number(connection: sqlite3.Connection, database: str) -> int:
    """0 for an empty file, else the catalogue's schema; raises Damaged for another program's database."""
    with translated(database):
        number = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if tables and application != APPLICATION_ID:
        raise Damaged(
            f"{shown(database)} is a database of another program", hint="choose another file with --database"
        )
    return number if tables else 0


def check_current(connection: sqlite3.Connection, database: str) -> None:
    """For questions: refuse a schema that is older or newer than this program's (exit 11)."""
    number = schema_number(connection, database)
    if number > SCHEMA_NUMBER:
        raise _too_new(database, number)
    if number == 0 and not _has_tables(connection, database):  # also a file whose making was interrupted
        _refuse_foreign_empty(database)
        raise NoCatalogue(f"no catalogue yet: {shown(database)}", hint="make one with: catalog scan FOLDER")
    if number < SCHEMA_NUMBER:
        raise SchemaMismatch(
            f"{shown(database)} has schema {number}, this program needs {SCHEMA_NUMBER}",
            hint="upgrade it with: catalog db upgrade",
        )


def _too_new(database: str, number: int) -> SchemaMismatch:
    return SchemaMismatch(
        f"{shown(database)} has schema {number}, this program knows up to {SCHEMA_NUMBER}",
        hint="install a newer pixel-catalog",
    )


def prepare(database: str, *, announce: Callable[[str], None] = lambda _: None) -> bool:
    """Create the catalogue, or migrate an older one after copying it. Returns whether anything was done.

    Every command that writes calls this first. Raises SchemaMismatch for a newer schema, Locked while a
    cataloguing process runs on an older one, NotPermitted (also when this user may only read), Damaged,
    DatabaseFull.
    """
    check_sqlite()
    _make_file(database)
    if _number_of(database) == SCHEMA_NUMBER:
        return False
    with CataloguingLock(database, "upgrade"):
        number = _number_of(database)  # again: whoever held the lock before may have done the work
        if number == SCHEMA_NUMBER:
            return False
        if number:
            announce(f"upgrading the catalogue from schema {number} to {SCHEMA_NUMBER}: {shown(database)}")
            _copy_before(database, number)
        _migrate(database)
    return True


def _has_tables(connection: sqlite3.Connection, database: str) -> bool:
    with translated(database):
        return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


def _is_empty(database: str) -> bool:
    try:
        return os.path.getsize(database) == 0
    except OSError:  # the caller finds out
        return False


def _refuse_foreign_empty(database: str) -> None:
    """An empty file that we did not leave behind may be anything's beginning: our lock lies beside ours."""
    if _is_empty(database) and not os.path.lexists(lock_path(database)):
        raise Damaged(
            f"not a catalogue: {shown(database)} is an empty file",
            hint="remove it if nobody needs it, or choose another file with --database",
        )


def _make_file(database: str) -> None:
    """An empty file where there is none; raises NotPermitted unless it and its folder can be written, Damaged for
    an empty file of somebody else.

    An existing file is never opened here: closing it would drop the locks that SQLite holds in this process.
    """
    folder = os.path.dirname(os.path.realpath(database))
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        if not os.path.lexists(database):
            # The lock first: whoever is killed between the two leaves a file that is known for ours.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            os.close(os.open(lock_path(database), flags, 0o644))
            os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
    except FileExistsError:
        pass  # another process has just made it
    except OSError as error:
        raise NotPermitted(
            f"cannot create the catalogue: {shown(database)} ({error.strerror})",
            hint="choose another place with --database",
        ) from error
    if not os.path.isfile(database):
        raise NotPermitted(
            f"the catalogue must be a file: {shown(database)}", hint="choose another place with --database"
        )
    _refuse_foreign_empty(database)
    if not os.access(database, os.R_OK | os.W_OK, effective_ids=True):
        raise read_only(database)
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise NotPermitted(
            f"cannot write beside the catalogue: {shown(folder)}",
            hint="SQLite keeps its log there; run it as the user who owns the catalogue",
        )


def _number_of(database: str) -> int:
    """The file's schema, which is not newer than ours."""
    with _raw(database) as connection:
        number = schema_number(connection, database)
    if number > SCHEMA_NUMBER:
        raise _too_new(database, number)
    return number


@contextmanager
def _raw(database: str, pragmas: Iterable[str] = ()) -> Iterator[sqlite3.Connection]:
    with translated(database):
        connection = connect_file(database, "mode=rw", WRITE_TIMEOUT_SECONDS, pragmas)
        try:
            yield connection
        finally:
            connection.close()


def _copy_before(database: str, number: int) -> None:
    """Keep the old catalogue beside the new one; also proves that it can be read to the end."""
    place = os.path.realpath(database)
    wal = f"{place}-wal"
    size = os.path.getsize(place) + (os.path.getsize(wal) if os.path.exists(wal) else 0)
    free = shutil.disk_usage(os.path.dirname(place)).free
    if free < 2 * size:
        raise DatabaseFull(
            f"upgrading needs {2 * size:,} bytes free beside {shown(database)}, there are {free:,}",
            hint="free some space and run the same command again: nothing was changed",
        )
    copy = f"{place}.pre-{number}"
    partial = f"{copy}.partial"
    try:
        _copy(database, place, partial)
        os.replace(partial, copy)
    except OSError as error:
        raise NotPermitted(
            f"cannot keep a copy of the old catalogue: {shown(copy)} ({error.strerror})",
            hint="make room and run the same command again: nothing was changed",
        ) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(partial)


def _copy(database: str, place: str, partial: str) -> None:
    # Made beforehand, so that the copy is not more readable than the original.
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, os.stat(place).st_mode & 0o777)
        with _raw(database) as connection:
            connection.execute("VACUUM INTO ?", (partial,))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _migrate(database: str) -> None:
    """Alembic to the head in one ``BEGIN IMMEDIATE``; a kill in the middle leaves the old schema."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine(
        "sqlite://",
        creator=lambda: connect_file(database, "mode=rw", WRITE_TIMEOUT_SECONDS, _PRAGMAS),
        poolclass=NullPool,
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with translated(database), _unwrapped(), engine.begin() as connection:
            upgrade(connection)
    finally:
        engine.dispose()


@contextmanager
def _unwrapped() -> Iterator[None]:
    """SQLite's own errors instead of the toolkit's around them."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise error.orig from error
        raise


def upgrade(connection: Connection) -> None:
    """Run all migrations on an open transaction, then re-create views and triggers and stamp the file.

    What users added to the file (views, triggers) comes back as it was. Raises Damaged when references
    would break; the caller rolls back.
    """
    from alembic import command
    from alembic.config import Config

    foreign = _set_programs_aside(connection)
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, SCHEMA_HEAD)
    create_programs(connection)
    for statement in foreign:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_NUMBER}")
    connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
    broken: list[Any] = list(connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(3))
    if broken:
        raise Damaged(
            f"the upgrade would break references ({broken[0][0]} → {broken[0][2]}), so it was undone",
            hint="the catalogue is as it was; run catalog db check",
        )


def _set_programs_aside(connection: Connection) -> list[str]:
    """Drop every view and trigger, for a table cannot be rebuilt under them; gives those that are not ours."""
    rows = connection.exec_driver_sql(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('view', 'trigger') ORDER BY rowid"
    ).all()
    for kind, name, _ in rows:
        quoted = str(name).replace('"', '""')
        connection.exec_driver_sql(f'DROP {str(kind).upper()} IF EXISTS "{quoted}"')
    return [str(sql) for _, name, sql in rows if not str(name).startswith(("v_", "tr_"))]


def create_programs(connection: Connection) -> None:
    """Views and triggers, which the migrations never carry: the code of this version says what they are."""
    for statement in (*views().values(), *triggers().values()):
        connection.exec_driver_sql(statement)
