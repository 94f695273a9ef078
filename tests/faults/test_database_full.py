"""No room for the catalogue: said plainly, nothing half, and the same work succeeds when there is room again."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.backlog import Backlog
from catalog.errors import DatabaseFull, Exit
from catalog.terms import Change, Reason
from tests.recordings import Shelf


def fill_up(shelf: Shelf) -> None:
    """Let the database file grow no more: SQLite answers SQLITE_FULL, as on a full disk."""
    driver = shelf.recorder.batch.connection.connection.driver_connection
    assert driver is not None
    (pages,) = driver.execute("PRAGMA page_count").fetchone()
    driver.execute(f"PRAGMA max_page_count={pages}")


def make_room(shelf: Shelf) -> None:
    driver = shelf.recorder.batch.connection.connection.driver_connection
    assert driver is not None
    driver.execute("PRAGMA max_page_count=1073741823")


def record(shelf: Shelf, first: int, count: int) -> None:
    for number in range(first, first + count):
        shelf.see(b"folder %d/%d.tif" % (number % 7, number), f"{number}", commit=False)
    shelf.recorder.commit()


def test_a_full_database_keeps_what_was_committed_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        record(shelf, 0, 200)
        events = shelf.one("SELECT count(*) FROM event")
        fill_up(shelf)
        with pytest.raises(DatabaseFull) as caught:
            record(shelf, 200, 2000)
        assert caught.value.code == Exit.INCOMPLETE
        assert "nothing was lost" in str(caught.value)
        assert not shelf.recorder.batch.open
        shelf.check()
        kept = shelf.one("SELECT count(*) FROM file")
        assert kept == 200
        assert shelf.one("SELECT count(*) FROM event") == events

        with pytest.raises(DatabaseFull):
            record(shelf, 200, 2000)
        make_room(shelf)
        record(shelf, 200, 2000)
        assert shelf.one("SELECT count(*) FROM file") == 2200
        assert shelf.one("SELECT count(*) FROM content") == 2200
        shelf.check()


def test_a_full_database_loses_no_hint(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        backlog = Backlog(shelf.recorder.batch)
        backlog.enqueue([Change(shelf.root_id, b"a.tif", Reason.EVENT)])
        shelf.recorder.commit()
        fill_up(shelf)
        (due,) = backlog.due(10, [shelf.root_id])
        with pytest.raises(DatabaseFull):
            for number in range(2000):
                shelf.see(b"%d.tif" % number, f"{number}", commit=False)
            backlog.acknowledge(due)
            shelf.recorder.commit()
        assert backlog.due(10, [shelf.root_id]) == [due]
        make_room(shelf)
        shelf.see(b"a.tif", "a", commit=False)
        backlog.acknowledge(due)
        shelf.recorder.commit()
        assert backlog.waiting() == 0
        shelf.check()
