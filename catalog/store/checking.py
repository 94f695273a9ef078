"""Is the catalogue's own file sound? Everything is looked at, and all that is found is reported at once.

Read-only, also beside a daemon. A damaged page may hold anything: what it makes of a question is a finding,
never a crash.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from catalog.errors import Damaged
from catalog.store import chain, recount
from catalog.store.codes import EVENT_KIND
from catalog.store.engine import translate
from catalog.terms import EventKind, counted, printable

SHOWN: Final = 100
"""Findings of one part at the most; damage comes in thousands."""

_ACCEPTED: Final = EVENT_KIND.number[EventKind.ACCEPTED]


class Part(StrEnum):
    """What is looked at, in this order."""

    PAGES = "pages"
    """SQLite's own structure: integrity_check, or quick_check."""
    REFERENCES = "references"
    """Every reference leads to a row."""
    CHAIN = "chain"
    """No event was edited, deleted, reordered or added behind the seals."""
    HISTORY = "history"
    """Files, baselines and revisions are what revisions, events and contents say."""
    COUNTERS = "counters"
    """The counters are those of a recount."""


@dataclass(frozen=True, slots=True)
class Finding:
    part: Part
    what: str


@dataclass(slots=True)
class Report:
    """What a check came to."""

    findings: list[Finding] = field(default_factory=list)
    broken: chain.BrokenSeal | None = None
    """The first seal that does not hold."""
    events: int | None = None
    """None: they could not be counted."""
    seals: int | None = None
    head: bytes | None = None
    """The last seal's chain value."""
    noted_seal: int | None = None
    """The seal that a noted head belongs to; None when none was given, or the chain does not hold it."""

    @property
    def sound(self) -> bool:
        return not self.findings


def check(
    connection: sqlite3.Connection,
    database: str,
    *,
    quick: bool = False,
    pages_only: bool = False,
    head: bytes | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> Report:
    """Look at everything. ``connection``: read-only, of this program's schema, with no transaction open.

    ``quick`` leaves out what SQLite looks up of its indexes; ``pages_only``, for older schemas, everything
    but pages and references. ``head``: a chain value that was noted elsewhere. Raises CatalogError for what
    is no damage (a catalogue in use, a disk that is full).
    """
    report = Report()
    parts: dict[Part, Callable[[], Iterator[str]]] = {
        Part.PAGES: lambda: _pages(connection, quick),
        Part.REFERENCES: lambda: _references(connection),
        Part.CHAIN: lambda: _chain(connection, report, head),
        Part.HISTORY: lambda: _history(connection),
        Part.COUNTERS: lambda: iter(recount.differences(connection, limit=SHOWN)),
    }
    for part, questions in parts.items():
        if pages_only and part not in (Part.PAGES, Part.REFERENCES):
            continue
        announce(f"checking {part.value} …")
        with _one_state(connection, part), _collected(report, part, database):
            for number, what in enumerate(questions()):
                if number < SHOWN:
                    report.findings.append(Finding(part, printable(what)))
    return report


@contextmanager
def _collected(report: Report, part: Part, database: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        ours = translate(error, database)
        if ours is not None and not isinstance(ours, Damaged):
            raise ours from error
        report.findings.append(Finding(part, f"it cannot be read to its end: {printable(str(error))}"))
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        # Values of types and ranges that no program of ours has written.
        words = printable(str(error))
        report.findings.append(Finding(part, f"it holds what was never written ({words})"))


@contextmanager
def _one_state(connection: sqlite3.Connection, part: Part) -> Iterator[None]:
    """Several statements about one state, while others write. The chain is append-only and long: it is read
    without, so that the log can shrink beside it."""
    alone = part is Part.CHAIN
    if not alone:
        connection.execute("BEGIN")
    try:
        yield
    finally:
        if not alone and connection.in_transaction:
            connection.rollback()


def _pages(connection: sqlite3.Connection, quick: bool) -> Iterator[str]:
    pragma = "quick_check" if quick else "integrity_check"
    for (words,) in connection.execute(f"PRAGMA {pragma}({SHOWN})"):
        if words != "ok":
            yield from str(words).splitlines()


def _references(connection: sqlite3.Connection) -> Iterator[str]:
    for table, rowid, target, _ in connection.execute("PRAGMA foreign_key_check"):
        yield f"{table} {rowid if rowid is not None else '?'} refers to a {target} that is not there"


def _chain(connection: sqlite3.Connection, report: Report, head: bytes | None) -> Iterator[str]:
    report.broken = chain.verify(connection, head=head)
    if report.broken is not None:
        yield seal_words(report.broken)
    report.events = int(connection.execute("SELECT count(*) FROM event").fetchone()[0])
    last = connection.execute("SELECT count(*), max(seal_id) FROM seal").fetchone()
    report.seals = int(last[0])
    if last[1] is not None:
        row = connection.execute("SELECT chain FROM seal WHERE seal_id = ?", (last[1],)).fetchone()
        report.head = bytes(row[0])
    if head is not None:
        noted = connection.execute("SELECT seal_id FROM seal WHERE chain = ?", (head,)).fetchone()
        report.noted_seal = noted[0] if noted else None


def seal_words(broken: chain.BrokenSeal) -> str:
    """``seal 3 (events 5 to 9): its events … are not those that were sealed``."""
    first, last = broken.first_event_id, broken.last_event_id
    covered = f"event {first}" if first == last else f"events {first} to {last}"
    return f"seal {broken.seal_id}{f' ({covered})' if first <= last else ''}: {broken.why}"


# Revisions and events say what a file's row and its baseline must be; the seals cover neither of the two.
_HISTORY: Final = {
    "revision {}: its size is not that of its content": (
        "SELECT n.rev_id FROM revision AS n JOIN content AS c USING (content_id) WHERE n.size <> c.size"
    ),
    "file {}: its content is not that of its last revision": (
        "SELECT f.file_id FROM file AS f LEFT JOIN revision AS n ON n.rev_id = f.rev_id"
        " WHERE f.rev_id IS NOT NULL AND (n.file_id IS NOT f.file_id OR n.content_id IS NOT f.content_id)"
    ),
    "file {}: its baseline is not the one that the events tell of": (
        "WITH last AS (SELECT file_id, max(event_id) AS event_id FROM event"
        f" WHERE kind = {_ACCEPTED} AND to_rev_id IS NOT NULL GROUP BY file_id),"
        " accepted AS (SELECT e.file_id, e.to_rev_id FROM last JOIN event AS e USING (event_id))"
        " SELECT f.file_id FROM file AS f LEFT JOIN accepted AS a ON a.file_id = f.file_id"
        " LEFT JOIN revision AS n ON n.rev_id = f.baseline_rev_id"
        " WHERE f.rev_id IS NOT NULL AND (n.file_id IS NOT f.file_id"
        " OR CASE WHEN a.to_rev_id IS NULL THEN n.prev_rev_id IS NOT NULL"
        " ELSE a.to_rev_id <> f.baseline_rev_id END)"
    ),
    "file {}: it differs from its baseline, and no case of drift is open": (
        "SELECT f.file_id FROM file AS f JOIN revision AS b ON b.rev_id = f.baseline_rev_id"
        " WHERE f.retired_ms IS NULL AND f.content_id <> b.content_id AND NOT EXISTS"
        " (SELECT 1 FROM drift AS x WHERE x.file_id = f.file_id AND x.closed_ms IS NULL)"
    ),
}


def _history(connection: sqlite3.Connection) -> Iterator[str]:
    for words, sql in _HISTORY.items():
        rows = connection.execute(sql).fetchmany(SHOWN + 1)
        for row in rows[:SHOWN]:
            yield words.format(row[0])
        if len(rows) > SHOWN:
            yield f"more than {counted(SHOWN, 'such row')}"
