"""What happened, newest first."""

from __future__ import annotations

import base64

import pytest
from sqlalchemy import Connection

from catalog.errors import NotFound
from catalog.query.events import events, events_of_file
from catalog.query.history import show
from catalog.query.opening import opened
from catalog.query.resolving import resolve
from catalog.terms import EventKind, RootState
from tests.recordings import Shelf, stat
from tests.unit.catalogue_rows import NOON_MS, CatalogueRows, Picture


def fill(rows: CatalogueRows) -> None:
    one, two = rows.root("one", b"/one"), rows.root("two", b"/two")
    first = rows.file(one, b"a\xff.tif", Picture(bytes="1"))
    second = rows.file(two, b"x/b.tif", Picture(bytes="2"))
    rows.event(EventKind.ROOT_ADDED, root_id=one, detail={"name": "one"})
    rows.event(EventKind.ADDED, root_id=one, file_id=first, to_rev_id=1, at_ms=NOON_MS + 1)
    rows.event(EventKind.ADDED, root_id=two, file_id=second, to_rev_id=2, at_ms=NOON_MS + 2)
    rows.event(EventKind.CHANGED, root_id=one, file_id=first, at_ms=NOON_MS + 3, detail={"reason": "edited"})
    rows.event(EventKind.ACCEPTED, root_id=one, file_id=first, at_ms=NOON_MS + 4, actor="ana")


def ids(connection: Connection, limit: int | None = None, **more: object) -> list[int]:
    scope = {name: more.pop(name) for name in ("paths", "roots", "globs") if name in more}
    found = events(connection, resolve(connection, **scope), limit=limit, **more)  # type: ignore[arg-type]
    return [each.event_id for each in found]


def test_events_come_newest_first(rows: CatalogueRows, connection: Connection) -> None:
    fill(rows)
    assert ids(connection) == [5, 4, 3, 2, 1]
    assert ids(connection, limit=2) == [5, 4]


def test_events_can_be_selected(rows: CatalogueRows, connection: Connection) -> None:
    fill(rows)
    assert ids(connection, kinds=[EventKind.ADDED]) == [3, 2]
    assert ids(connection, since_ms=NOON_MS + 3) == [5, 4]
    assert ids(connection, roots=["one"]) == [5, 4, 2, 1]
    assert ids(connection, paths=[b"/two/x"]) == [3]
    assert ids(connection, globs=["*.tif"], kinds=[EventKind.ADDED]) == [3, 2]
    assert ids(connection, globs=["*.tif"], limit=3) == [5, 4, 3]


def test_the_fields_are_those_of_the_contract(rows: CatalogueRows, connection: Connection) -> None:
    fill(rows)
    found = list(events(connection, resolve(connection, roots=["one"])))
    assert found[0].fields() == {
        "id": 5,
        "at": "2025-10-09T08:53:20.004Z",
        "kind": "accepted",
        "root": "one",
        "path": "/one/a\\xff.tif",
        "path_b64": base64.b64encode(b"/one/a\xff.tif").decode(),
        "actor": "ana",
        "detail": {},
    }
    assert found[-1].fields() == {
        "id": 1,
        "at": "2025-10-09T08:53:20.000Z",
        "kind": "root-added",
        "root": "one",
        "path": None,
        "actor": None,
        "detail": {"name": "one"},
    }


def test_events_of_a_removed_share_are_still_told(rows: CatalogueRows, connection: Connection) -> None:
    old = rows.root("old", b"/old", state=RootState.RETIRED)
    rows.event(EventKind.ROOT_REMOVED, root_id=old)
    (found,) = events(connection, resolve(connection))
    assert found.root == "old"


def test_events_of_a_file_come_oldest_first(rows: CatalogueRows, connection: Connection) -> None:
    fill(rows)
    assert [each.event_id for each in events_of_file(connection, 1)] == [2, 4, 5]


def test_a_former_path_finds_the_events_of_the_file_that_left_it(shelf: Shelf) -> None:
    """Also a path that it only passed through, and one that another file has taken since."""
    shelf.see(b"a.tif", "1", at=stat(inode=1))
    shelf.recorder.move(shelf.row(b"a.tif"), shelf.root_id, b"x/b\xff.tif")
    shelf.recorder.move(shelf.row(b"x/b\xff.tif"), shelf.root_id, b"c.tif")
    shelf.see(b"a.tif", "2", at=stat(inode=2))

    def told(path: bytes) -> list[tuple[str, bytes | None]]:
        with opened(shelf.database) as connection:
            found = events(connection, resolve(connection, paths=[path], past=True))
            return [(each.kind.value, each.path) for each in found]

    mover = [("moved", b"/share/c.tif"), ("moved", b"/share/c.tif"), ("added", b"/share/c.tif")]
    assert told(b"/share/x/b\xff.tif") == mover
    assert told(b"/share/c.tif") == mover
    assert told(b"/share/a.tif") == [("added", b"/share/a.tif"), *mover]
    with opened(shelf.database) as connection:
        shown = show(connection, b"/share/x/b\xff.tif")
        assert (shown.moved, [each.facts.path for each in shown.histories]) == (True, [b"/share/c.tif"])
        with pytest.raises(NotFound):
            resolve(connection, paths=[b"/share/x/b\xff.tif"])
        with pytest.raises(NotFound):
            resolve(connection, paths=[b"/share/never.tif"], past=True)
