"""Open the catalogue for a question."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from catalog.store.engine import reading_engine
from catalog.store.migration import check_current


@contextmanager
def opened(database: str) -> Iterator[Connection]:
    """A read-only connection with this program's schema; the block's end closes it.

    Every statement sees one state of the catalogue until ``let_go``. Raises NoCatalogue, SchemaMismatch,
    NotPermitted, Damaged, all before the block is entered or from any statement inside it.
    """
    engine = reading_engine(database)
    try:
        with engine.connect() as connection:
            check_current(driver(connection), database)
            yield connection
    finally:
        engine.dispose()


def driver(connection: Connection) -> sqlite3.Connection:
    """The DBAPI's own connection, to define functions on."""
    found = connection.connection.driver_connection
    assert isinstance(found, sqlite3.Connection)
    return found


def let_go(connection: Connection) -> None:
    """End the read transaction: a slow reader of a long answer must not keep the log from shrinking.

    The next statement sees the newest state.
    """
    connection.rollback()
