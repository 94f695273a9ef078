"""One write transaction at a time: rows gathered in memory, flushed as lists, events sealed at the commit."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Engine

from catalog.record.statements import ORDER
from catalog.store import schema
from catalog.store.codes import EVENT_KIND
from catalog.store.engine import open_reader, translated
from catalog.terms import EventKind

BATCH_ROWS: Final = 1000
"""Files in one transaction at the most."""
BATCH_SECONDS: Final = 0.2
"""Age at which a transaction is committed, so that readers see progress and admins get their turn."""

_COUNTED_IDS: Final = {
    table.name: next(iter(table.primary_key.columns)).name
    for table in (
        schema.dir_,
        schema.content,
        schema.raster,
        schema.layout,
        schema.tagval,
        schema.tagset,
        schema.revision,
        schema.file,
        schema.event,
        schema.seal,
    )
}


def now_ms() -> int:
    """The catalogue's clock: milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def signed(inode: int) -> int:
    """An inode number (u64) as SQLite can hold it."""
    return inode - (1 << 64) if inode >= 1 << 63 else inode


def canonical(fields: Iterable[Any]) -> bytes:
    """One event as the seal sees it: JSON without spaces, ASCII, and a line feed."""
    return json.dumps(list(fields), separators=(",", ":")).encode("ascii") + b"\n"


class Batch:
    """The open transaction and the rows that wait for it. Used by one thread.

    Only the cataloguing process adds contents, files and revisions, so their ids are handed out in memory;
    they are read again at the start of each transaction, because admins write events beside it.
    """

    def __init__(self, engine: Engine, database: str) -> None:
        self.connection: Connection = engine.connect()
        self._database = database
        self._reader: sqlite3.Connection | None = None
        self.run_id: int | None = None
        self.files = 0
        self._began = 0.0
        self._pending: dict[str, list[tuple[Any, ...]]] = {name: [] for name in ORDER}
        self._ids: dict[str, int] = {}
        self._sealed: list[bytes] = []
        self._first_event: int | None = None
        self.rollbacks = 0

    # ------------------------------------------------------------------------------------ transaction

    @property
    def open(self) -> bool:
        return self.connection.in_transaction()

    def begin(self) -> None:
        """Take the write lock unless it is held."""
        if self.open:
            return
        self.connection.begin()
        self._began = time.monotonic()
        for table, column in _COUNTED_IDS.items():
            highest = self.connection.exec_driver_sql(f"SELECT max({column}) FROM {table}").scalar()
            self._ids[table] = highest or 0

    @property
    def due(self) -> bool:
        """Whether the transaction has grown large or old enough to be committed."""
        return self.open and (self.files >= BATCH_ROWS or time.monotonic() - self._began >= BATCH_SECONDS)

    def commit(self) -> None:
        if not self.open:
            return
        try:
            self.flush()
            self._seal()
            self.connection.commit()
        except BaseException:
            self.rollback()
            raise
        self.files = 0

    def rollback(self) -> None:
        """Forget the transaction and everything that waited for it."""
        self.connection.rollback()
        for rows in self._pending.values():
            rows.clear()
        self._sealed.clear()
        self._first_event = None
        self.files = 0
        self.rollbacks += 1

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self.connection.close()

    def reader(self) -> sqlite3.Connection:
        """A second connection for questions outside a transaction: it sees what was committed."""
        if self._reader is None:
            self._reader = open_reader(self._database)
        return self._reader

    # ------------------------------------------------------------------------------------------- rows

    def new_id(self, table: str) -> int:
        """The next id of a table; only inside a transaction."""
        self._ids[table] += 1
        return self._ids[table]

    def add(self, table: str, row: tuple[Any, ...]) -> None:
        """Let a row wait for the next flush, in the column order of ``statements``."""
        self._pending[table].append(row)

    def flush(self) -> None:
        """Write the waiting rows, so that statements of the same transaction see them."""
        for table, rows in self._pending.items():
            if rows:
                self.connection.exec_driver_sql(ORDER[table], rows)
                rows.clear()

    def execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> None:
        """A rare statement: waiting rows are written first."""
        self.begin()
        self.flush()
        self.connection.exec_driver_sql(sql, parameters)

    def lookup(self, sql: str, parameters: tuple[Any, ...]) -> Any:
        """One row or None, without flushing: the caller knows what is waiting."""
        self.begin()
        with translated(self._database):
            return self._driver().execute(sql, parameters).fetchone()

    def question(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        """Rows of what was recorded, also what waits in an open transaction; takes no write lock."""
        with translated(self._database):
            if self.open:
                self.flush()
                return self._driver().execute(sql, parameters).fetchall()
            return self.reader().execute(sql, parameters).fetchall()

    def _driver(self) -> sqlite3.Connection:
        # The DBAPI's own connection: a point lookup costs a third of one through the toolkit.
        connection = self.connection.connection.driver_connection
        assert isinstance(connection, sqlite3.Connection)
        return connection

    def rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """A rare question inside the transaction: waiting rows are written first."""
        self.begin()
        self.flush()
        return list(self.connection.exec_driver_sql(sql, parameters))

    # ----------------------------------------------------------------------------------------- events

    def event(
        self,
        kind: EventKind,
        *,
        at_ms: int,
        root_id: int | None = None,
        file_id: int | None = None,
        from_rev: int | None = None,
        to_rev: int | None = None,
        sha256: bytes | None = None,
        actor: str | None = None,
        detail: dict[str, Any] | None = None,
    ) -> int:
        """Add an event and let the seal cover it, with the raw digest that ``to_rev`` stands for."""
        event_id = self.new_id("event")
        text = json.dumps(detail, sort_keys=True, separators=(",", ":")) if detail else None
        row = (
            event_id,
            at_ms,
            EVENT_KIND.number[kind],
            root_id,
            file_id,
            from_rev,
            to_rev,
            self.run_id,
            actor,
            text,
        )
        self.add("event", row)
        if self._first_event is None:
            self._first_event = event_id
        self._sealed.append(canonical((*row, sha256.hex() if sha256 else None)))
        return event_id

    def _seal(self) -> None:
        """Chain the batch's events: sha256 over the previous seal and their canonical lines."""
        if self._first_event is None:
            return
        previous = self.connection.exec_driver_sql(
            "SELECT chain FROM seal ORDER BY seal_id DESC LIMIT 1"
        ).scalar()
        digest = hashlib.sha256(previous or bytes(32))
        for line in self._sealed:
            digest.update(line)
        self.connection.exec_driver_sql(
            "INSERT INTO seal (seal_id, first_event_id, last_event_id, at_ms, chain) VALUES (?, ?, ?, ?, ?)",
            (self.new_id("seal"), self._first_event, self._ids["event"], now_ms(), digest.digest()),
        )
        self._sealed.clear()
        self._first_event = None
