"""No first page reads a whole table, whatever the planner knows: the statements of every question, explained."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
from sqlalchemy import Connection, event

from catalog.query.drift import Wanted, drift_cases
from catalog.query.dupes import dupes
from catalog.query.events import events
from catalog.query.files import STATES, files
from catalog.query.good_copies import good_copies
from catalog.query.history import show
from catalog.query.opening import driver, opened
from catalog.query.resolving import resolve
from catalog.query.scope import Scope
from catalog.query.standing import standing
from catalog.query.status import status
from catalog.query.tags import files_with_tag
from catalog.query.troubles import errors, missing_rows
from catalog.terms import EventKind, Fidelity, Kind, Level, Outcome, Presence, Severity, Tag
from tests.unit.catalogue_rows import CatalogueRows, Picture

# What ANALYZE finds in a catalogue of a million files: (table, index, numbers of sqlite_stat1).
MILLION = [
    ("file", "uq_file_path", "995000 199 1"),
    ("file", "ix_file_view", "993000 1 1 1"),
    ("file", "ix_file_pixel", "993000 1 1 1"),
    ("file", "ix_file_content", "995000 1"),
    ("file", "ix_file_uncompared", "2000 1"),
    ("file", "ix_file_tombstone", "5000 2 1"),
    ("file", "ix_file_gone", "5000 1"),
    ("file", "ix_file_odd", "7200 3600 1201 800"),
    ("file", "ix_file_inode", "1000000 1"),
    ("dir", "uq_dir_root_id_path", "5000 2500 1"),
    ("content", "uq_content_sha256", "967000 1"),
    ("content", "ix_content_group", "33000 66 1"),
    ("raster", "uq_raster_digest_level_class", "1867000 1 1 1"),
    ("raster", "ix_raster_group", "133000 66500 133 1"),
    ("analysis", "analysis", "967000 1 1"),
    ("revision", "ix_revision_file", "1000000 1"),
    ("event", "ix_event_file", "1000000 1"),
    ("drift", "uq_drift_open", "15000 1"),
    ("drift", "ix_drift_order", "15000 3750 1 1"),
    ("drift", "ix_drift_file", "20000 1"),
    ("ifd", "ix_ifd_tagset", "967000 24175 1 1"),
    ("ifd_tag", "ix_ifd_tag_tagval", "967000 3 1 1"),
    ("tagval", "ix_tagval_name", "333400 25646 1"),
    ("tagset_member", "ix_tagset_member_tagval", "480 10 1"),
    ("job", "ix_job_due", "1000 500 1 1"),
    ("job", "uq_job_root_id_path", "1000 500 1"),
    ("run", None, "9000"),
    ("root", "uq_root_name", "2 1"),
]
SMALL = (
    "root",
    "root_count",
    "daemon",
    "seal",
    "epoch",
    "toolchain",
    "layout",
    "names",
    "job",
    "tagset_member",
)
"""Tables that hold a handful of rows, or (job) are empty in a catalogue at rest."""

PARTIAL = ("uq_drift_open", "ix_drift_order", "ix_content_group")
"""Indexes that hold nothing but open cases, or groups."""

Ask = Callable[[Connection, Scope], Any]
PAGE = 50


def page(rows: Iterator[Any]) -> list[Any]:
    return list(islice(rows, PAGE))


FIRST_PAGES: dict[str, Ask] = {
    "dupes": lambda c, s: page(dupes(c, s, limit=PAGE).groups),
    "dupes without limit": lambda c, s: page(dupes(c, s).groups),
    "dupes by bytes": lambda c, s: page(dupes(c, s, level=Level.BYTES, limit=PAGE).groups),
    "dupes on screen": lambda c, s: page(dupes(c, s, level=Level.VIEW, limit=PAGE).groups),
    "dupes of some size": lambda c, s: page(dupes(c, s, min_size=10, limit=PAGE).groups),
    "drift": lambda c, s: page(drift_cases(c, s, limit=PAGE)),
    "good copies": lambda c, _: good_copies(c, range(1, PAGE)),
    "drift of a kind": lambda c, s: page(drift_cases(c, s, Wanted(kinds=[Kind.PICTURE]), limit=PAGE)),
    "urgent drift": lambda c, s: page(drift_cases(c, s, Wanted(severity=Severity.CRITICAL), limit=PAGE)),
    "all drift": lambda c, s: page(drift_cases(c, s, Wanted(closed=True), limit=PAGE)),
    "files": lambda c, s: page(files(c, s, limit=PAGE)),
    "files of a format": lambda c, s: page(files(c, s, formats=["tiff"], limit=PAGE)),
    **{
        f"{state} files": lambda c, s, state=state: page(files(c, s, states=[state], limit=PAGE))
        for state in STATES
    },
    "errors": lambda c, s: page(errors(c, s, limit=PAGE)),
    "missing": lambda c, s: page(missing_rows(c, s, limit=PAGE)),
    "events": lambda c, s: page(events(c, s, limit=PAGE)),
    "events of a kind": lambda c, s: page(events(c, s, kinds=[EventKind.CHANGED], limit=PAGE)),
    "tags": lambda c, s: page(files_with_tag(c, s, "Compression", "1", limit=PAGE)),
    "tags by glob": lambda c, s: page(files_with_tag(c, s, "DateTime", "2025*", limit=PAGE)),
    "positional tags": lambda c, s: page(files_with_tag(c, s, "ImageWidth", "120", limit=PAGE)),
    "completeness": lambda c, s: standing(c, s, "/nowhere"),
    "status": lambda c, s: status(c, "/nowhere"),
    "show": lambda c, s: show(c, b"/r/x/a.tif"),
}
SCOPES: dict[str, dict[str, Any]] = {
    "everything": {},
    "a share": {"roots": ["r"]},
    "a folder": {"paths": [b"/r/x"]},
    "a file": {"paths": [b"/r/x/a.tif"]},
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A little of everything, so that no question stops half-way for want of rows."""
    path = str(tmp_path_factory.mktemp("plans") / "catalog.sqlite3")
    tags = (
        Tag(256, "ImageWidth", 3, 1, b"x\0"),
        Tag(259, "Compression", 3, 1, b"\1\0"),
        Tag(306, "DateTime", 2, 5, b"2025\0"),
    )
    with CatalogueRows(path) as rows:
        root, other = rows.root("r", b"/r"), rows.root("other", b"/other")
        linked: dict[str, Any] = {"inode": 9, "nlink": 2}
        for place in (root, other):
            for name in (b"a.tif", b"b.tif"):
                rows.file(place, b"x/" + name, Picture(bytes="1", tags=tags))
            rows.file(place, b"x/c.png", Picture(bytes="2", pixels="1"), allocated=512, **linked)
            rows.file(place, b"x/d.png", Picture(bytes="2", pixels="1"), allocated=512, **linked)
            broken = rows.file(
                place, b"x/e.tif", Picture(bytes="3", pixels=None, fidelity=Fidelity.UNDECODABLE)
            )
            damaged = Picture(bytes="damaged", fidelity=Fidelity.DAMAGED, reason="strip 2")
            for name in (b"p.tif", b"q.tif"):
                rows.file(place, b"x/" + name, damaged)
            rows.file(place, b"x/f.tif", None, outcome=Outcome.UNREADABLE)
            rows.file(place, b"x/g.tif", Picture(bytes="4"), presence=Presence.MISSING)
            rows.job(place, b"x/h.tif", attempts=1)
            rows.drift(broken, Kind.PICTURE, severity=Severity.CRITICAL)
            rows.event(EventKind.CHANGED, root_id=place, file_id=broken)
    return path


def plans(connection: Connection, ask: Ask, scope: Scope) -> list[tuple[str, str]]:
    """(statement, line of its plan) of everything that a question asks."""
    asked: list[tuple[str, Any]] = []

    @event.listens_for(connection, "before_cursor_execute")
    def note(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any
    ) -> None:
        asked.append((statement, parameters))

    ask(connection, scope)
    event.remove(connection, "before_cursor_execute", note)
    found = []
    for statement, parameters in asked:
        if statement.startswith(("SELECT", "WITH")):
            rows = driver(connection).execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            found += [(statement, row[3]) for row in rows]
    return found


@pytest.fixture(scope="module", params=["without statistics", "with those of a million files"])
def connection(request: pytest.FixtureRequest, database: str) -> Iterator[Connection]:
    with CatalogueRows(database) as rows:
        rows.run_sql("ANALYZE sqlite_schema")
        rows.run_sql("DELETE FROM sqlite_stat1")
        if request.param != "without statistics":
            for line in MILLION:
                rows.run_sql("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", *line)
    with opened(database) as made:
        yield made


def in_bounds(statement: str, line: str) -> bool:
    """Whether a step of a plan reads no more than the page needs (or a table of a handful of rows)."""
    if not line.startswith("SCAN "):
        return True
    table = line.split()[1]
    if table in SMALL or "CONSTANT ROW" in line:
        return True
    if table == "file":
        return False
    if " USING " in line:
        return line.endswith(PARTIAL)
    newest_first = re.search(rf"ORDER BY {table}\.\w+_id DESC\s+LIMIT", statement)
    return newest_first is not None


@pytest.mark.parametrize("words", SCOPES, ids=str)
@pytest.mark.parametrize("question", FIRST_PAGES, ids=str)
def test_a_first_page_follows_indexes(connection: Connection, question: str, words: str) -> None:
    scope = resolve(connection, **SCOPES[words])
    for statement, line in plans(connection, FIRST_PAGES[question], scope):
        assert in_bounds(statement, line), f"{line}: {statement}"


@pytest.mark.parametrize("question", ["dupes", "drift", "files"])
def test_a_first_page_of_everything_sorts_no_more_than_equal_ones(
    connection: Connection, question: str
) -> None:
    """A whole sort reads everything first; a sort of the right part only what stands at the same place."""
    for statement, line in plans(connection, FIRST_PAGES[question], resolve(connection)):
        if "LIMIT" in statement:
            assert line != "USE TEMP B-TREE FOR ORDER BY", statement
