"""One write transaction at a time: rows gathered in memory, flushed as lists, events sealed at the commit."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from catalog.record.statements import ORDER
from catalog.store.chain import event_line, link, seal_line
from catalog.store.codes import EVENT_KIND
from catalog.store.engine import lent, open_reader, open_writer, translate, translated
from catalog.terms import EventKind

if TYPE_CHECKING:
    from sqlalchemy import Connection

BATCH_ROWS: Final = 1000
"""Files in one transaction at the most."""
FLUSH_ROWS: Final = 128
"""Files after which the waiting rows are written: a thousand at once would let the decode workers run dry."""
BATCH_SECONDS: Final = 0.2
"""Age at which a transaction is committed, so that readers see progress and admins get their turn."""

_COUNTED_IDS: Final = {
    table: f"SELECT coalesce(max({column}), 0) FROM {table}"
    for table, column in (
        ("dir", "dir_id"),
        ("content", "content_id"),
        ("raster", "raster_id"),
        ("layout", "layout_id"),
        ("tagval", "tagval_id"),
        ("tagset", "tagset_id"),
        ("revision", "rev_id"),
        ("file", "file_id"),
        ("event", "event_id"),
        ("seal", "seal_id"),
    )
}

INT64: Final = (1 << 63) - 1

_detail_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def now_ms() -> int:
    """The catalogue's clock: milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def signed(inode: int) -> int:
    """An inode or device number (u64) as SQLite can hold it."""
    return inode - (1 << 64) if inode > INT64 else inode


def bounded(number: int) -> int:
    """A number that the record may cut down: a TIFF may claim 2^64 - 1 values, an mtime lie in the year 9999."""
    return max(-INT64, min(number, INT64))


class Batch:
    """The open transaction and the rows that wait for it. Used by one thread.

    Only the cataloguing process adds contents, files and revisions, so their ids are handed out in memory;
    they are read again at the start of each transaction, because admins write events beside it. After an
    error of the database nothing is left of the open transaction: it was rolled back, here and there.
    """

    def __init__(self, database: str) -> None:
        # The DBAPI's own connection: a point lookup costs a third of one through SQLAlchemy.
        self._driver = open_writer(database)
        self._lent: Connection | None = None
        self._errors = _Translated(self, database)
        self._database = database
        self._reader: sqlite3.Connection | None = None
        self._after_rollback: list[Callable[[], None]] = []
        self._durable = True
        self.open = False
        """Whether a transaction of this batch is open."""
        self.run_id: int | None = None
        self.files = 0
        self._began = 0.0
        self._pending: dict[str, list[tuple[Any, ...]]] = {name: [] for name in ORDER}
        self._ids: dict[str, int] = {}
        self.told: Callable[[int, int], None] = lambda _first, _last: None
        """Called with the first and the last event of a transaction, once they are durable."""
        self._sealed: list[bytes] = []
        self._first_event: int | None = None
        self.rollbacks = 0
        self.transactions = 0
        """Counts them: what was asked in one, under its lock, holds as long as this number does."""

    # ------------------------------------------------------------------------------------ transaction

    def begin(self, *, durable: bool = True) -> None:
        """Take the write lock unless it is held. Not ``durable``: the commit may be lost with the power,
        never with the process; for what a reconcile finds again. Raises Locked after the time limit."""
        if self.open:
            return
        with self._errors:
            if durable is not self._durable:
                self._driver.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            self._driver.execute("BEGIN IMMEDIATE")
            for table, highest in _COUNTED_IDS.items():
                self._ids[table] = self._driver.execute(highest).fetchone()[0]
        self._began = time.monotonic()
        self.open = True
        self.transactions += 1

    @property
    def due(self) -> bool:
        """Whether the transaction has grown large or old enough to be committed."""
        return self.open and (self.files >= BATCH_ROWS or time.monotonic() - self._began >= BATCH_SECONDS)

    def commit(self) -> None:
        """Make what waits durable, in one transaction; or raise, and nothing of it was."""
        if not self.open:
            return
        first, last = self._first_event, self._ids.get("event", 0)
        try:
            self.flush()
            self._seal()
            with self._errors:
                self._driver.commit()
        except BaseException:
            self.rollback()
            raise
        self.files = 0
        self.open = False
        if first is not None:
            self.told(first, last)

    def rollback(self) -> None:
        """Forget the transaction and everything that waited for it. May be called at any time."""
        self.open = False
        self.files = 0
        for rows in self._pending.values():
            rows.clear()
        self._sealed.clear()
        self._first_event = None
        self.rollbacks += 1
        for forget in self._after_rollback:
            forget()
        with translated(self._database):
            self._driver.rollback()

    def after_rollback(self, forget: Callable[[], None]) -> None:
        """Have a cache of ids emptied when the transaction that made them is gone."""
        self._after_rollback.append(forget)

    def optimize(self) -> None:
        """Let SQLite see how large its tables have become, so that questions take the right index.

        A few milliseconds whatever the size; the last act before ``close``, left out when somebody writes.
        """
        with suppress(sqlite3.OperationalError):
            for pragma in ("busy_timeout=0", "analysis_limit=1000", "optimize"):
                self._driver.execute(f"PRAGMA {pragma}").fetchall()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._lent is not None:
            self._lent.close()
        self._driver.close()

    @property
    def connection(self) -> Connection:
        """For questions in SQLAlchemy's words. Those in an open transaction see what was flushed of it."""
        if self._lent is None:
            self._lent = lent(self._driver, self._database)
        return self._lent

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

    def count_file(self) -> None:
        """One more file is recorded in this transaction."""
        self.files += 1
        if self.files % FLUSH_ROWS == 0:
            self.flush()

    def add(self, table: str, row: tuple[Any, ...]) -> None:
        """Let a row wait for the next flush, in the column order of ``statements``."""
        self._pending[table].append(row)

    def flush(self) -> None:
        """Write the waiting rows, so that statements of the same transaction see them."""
        with self._errors:
            for table, rows in self._pending.items():
                if rows:
                    self._driver.executemany(ORDER[table], rows)
                    rows.clear()

    def execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> int:
        """A statement that must see the waiting rows: they are written first. Gives the rows it changed."""
        self.begin()
        self.flush()
        with self._errors:
            return self._driver.execute(sql, parameters).rowcount

    def lookup(self, sql: str, parameters: tuple[Any, ...]) -> Any:
        """One row or None, without flushing: the caller knows what is waiting."""
        self.begin()
        with self._errors:
            return self._driver.execute(sql, parameters).fetchone()

    def lookups(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        """As ``lookup``: all rows."""
        self.begin()
        with self._errors:
            return self._driver.execute(sql, parameters).fetchall()

    def question(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        """Rows of what was recorded, also what waits in an open transaction; takes no write lock."""
        if self.open:
            self.flush()
            with self._errors:
                return self._driver.execute(sql, parameters).fetchall()
        return self.committed(sql, parameters)

    def committed(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        """Rows of what was committed, whatever waits here."""
        with self._errors:
            return self.reader().execute(sql, parameters).fetchall()

    def rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """A rare question inside the transaction: waiting rows are written first."""
        self.begin()
        self.flush()
        with self._errors:
            return self._driver.execute(sql, parameters).fetchall()

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
        """Add an event and let the seal cover it; ``sha256``: the raw digest of ``to_rev``, if it is at hand."""
        self.begin()
        if to_rev is None:
            sha256 = None
        elif sha256 is None:
            sha256 = self._digest_of(to_rev)
        event_id = self.new_id("event")
        row = (
            event_id,
            at_ms,
            EVENT_KIND.number[kind],
            root_id,
            file_id,
            from_rev,
            to_rev,
            self.run_id,
            # A user's name comes from the environment, and may be any bytes.
            actor.encode("utf-8", "backslashreplace").decode() if actor else None,
            _detail_json(detail) if detail else None,
        )
        self.add("event", row)
        if self._first_event is None:
            self._first_event = event_id
        self._sealed.append(event_line(row, sha256))
        return event_id

    def _digest_of(self, rev_id: int) -> bytes:
        sql = "SELECT c.sha256 FROM revision AS n JOIN content AS c USING (content_id) WHERE n.rev_id = ?"
        return bytes(self.rows(sql, (rev_id,))[0][0])

    def _seal(self) -> None:
        """Chain the batch's events to those before them (chain.py)."""
        if self._first_event is None:
            return
        previous = self.lookup("SELECT chain FROM seal ORDER BY seal_id DESC LIMIT 1", ())
        seal = (self.new_id("seal"), self._first_event, self._ids["event"], now_ms())
        chain = link(previous[0] if previous else None, seal_line(*seal), self._sealed)
        self.execute(
            "INSERT INTO seal (seal_id, first_event_id, last_event_id, at_ms, chain) VALUES (?, ?, ?, ?, ?)",
            (*seal, chain),
        )
        self._sealed.clear()
        self._first_event = None


class _Translated:
    """Around each statement: the world's errors as ours, and a clean batch after any error of the database.

    An object that is entered again and again: a generator for each point lookup would cost more than it.
    """

    def __init__(self, batch: Batch, database: str) -> None:
        self._batch = batch
        self._database = database

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.Error):
            self._batch.rollback()
            ours = translate(error, self._database)
            if ours is not None:
                raise ours from error
