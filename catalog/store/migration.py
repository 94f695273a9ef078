"""Bring a catalogue to this program's schema: all migrations in one transaction, or none of them.

Alembic is imported only when there is something to migrate; every other start asks two pragmas.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import NullPool

from catalog.errors import CatalogError, Damaged, DatabaseFull, NotPermitted, SchemaMismatch
from catalog.store.engine import _connect as connect_file
from catalog.store.engine import check_sqlite, shown, translated, writing_engine
from catalog.store.lock import CataloguingLock
from catalog.store.schema import APPLICATION_ID, SCHEMA_HEAD, SCHEMA_NUMBER
from catalog.store.triggers import triggers
from catalog.store.views import views

_PACKAGE = Path(__file__).resolve().parents[1]


def migrations_folder() -> Path:
    """The Alembic folder: inside the package (wheel) first, then the checkout's.

    The other order would run a foreign ``site-packages/migrations/env.py``.
    """
    for folder in (_PACKAGE / "migrations", _PACKAGE.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise CatalogError(
        "this installation has no migrations",
        hint="install it again: pip install --force-reinstall pixel-catalog",
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
    cataloguing process runs on an older one, NotPermitted, Damaged, DatabaseFull.
    """
    check_sqlite()
    folder = os.path.dirname(os.path.abspath(database))
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        if not os.path.exists(database):
            os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
    except OSError as error:
        raise NotPermitted(
            f"cannot create the catalogue: {shown(database)} ({error.strerror})",
            hint="choose another place with --database",
        ) from error
    with translated(database):
        connection = connect_file(database, "mode=rw", 30.0)
        try:
            number = schema_number(connection, database)
        finally:
            connection.close()
    if number == SCHEMA_NUMBER:
        return False
    if number > SCHEMA_NUMBER:
        raise _too_new(database, number)
    with CataloguingLock(database, "upgrade"):
        if number:
            announce(f"upgrading the catalogue from schema {number} to {SCHEMA_NUMBER}: {shown(database)}")
            _copy_before(database, number)
        _migrate(database)
    return True


def _copy_before(database: str, number: int) -> None:
    """Keep the old catalogue beside the new one; also proves that it can be read to the end."""
    size = os.path.getsize(database)
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(database))).free
    if free < 2 * size:
        raise DatabaseFull(
            f"upgrading needs {2 * size:,} bytes free beside {shown(database)}, there are {free:,}",
            hint="free some space and run the same command again: nothing was changed",
        )
    copy = f"{database}.pre-{number}"
    partial = f"{copy}.partial"
    with translated(database):
        if os.path.exists(partial):
            os.unlink(partial)
        source = connect_file(database, "mode=rw", 30.0)
        try:
            source.execute("VACUUM INTO ?", (partial,))
        finally:
            source.close()
    os.replace(partial, copy)


def _migrate(database: str) -> None:
    """Alembic to the head in one ``BEGIN IMMEDIATE``; a kill in the middle leaves the old schema."""

    def connect() -> sqlite3.Connection:
        connection = connect_file(database, "mode=rw", 30.0)
        # WAL before the first table: the mode cannot change inside the transaction. Foreign keys are
        # off, because rebuilding a table drops it for a moment; they are checked before the commit.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=OFF", "temp_store=FILE"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as connection:
            upgrade(connection)
    except Exception as error:
        original = getattr(error, "orig", error)
        with translated(database):
            if isinstance(original, sqlite3.Error):
                raise original from error
        raise
    finally:
        engine.dispose()
    # The first connection of a writer checks that what was made can be used.
    checked = writing_engine(database)
    try:
        with checked.connect() as connection:
            connection.exec_driver_sql("PRAGMA optimize")
    finally:
        checked.dispose()


def upgrade(connection: Connection, revision: str = SCHEMA_HEAD) -> None:
    """Run the migrations on an open transaction, then re-create views and triggers and stamp the file."""
    from alembic import command
    from alembic.config import Config

    for kind, name in _programs(connection):
        connection.exec_driver_sql(f"DROP {kind} {name}")
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    if revision == SCHEMA_HEAD:
        create_programs(connection)
        connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_NUMBER}")
        connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
    broken: list[Any] = list(connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(3))
    if broken:
        raise Damaged(
            f"the upgrade would break references ({broken[0][0]} → {broken[0][2]}), so it was undone",
            hint="the catalogue is as it was; run catalog db check",
        )


def _programs(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.exec_driver_sql(
        "SELECT type, name FROM sqlite_master WHERE type IN ('view', 'trigger')"
    )
    return [(str(kind).upper(), str(name)) for kind, name in rows]


def create_programs(connection: Connection) -> None:
    """Views and triggers, which the migrations never carry: the code of this version says what they are."""
    for statement in (*views().values(), *triggers().values()):
        connection.exec_driver_sql(statement)
