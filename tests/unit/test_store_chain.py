"""What was sealed cannot be edited, deleted, reordered or added to unseen."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from catalog.store import chain
from catalog.store.triggers import triggers
from tests.recordings import Shelf, saved, stat


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A catalogue with four seals, without its guards: what somebody with an editor has before him."""
    with Shelf(tmp_path) as shelf:
        shelf.see(b"a.tif", "a", commit=False)
        shelf.see(b"b.tif", "b", commit=False)
        shelf.see(b"c.tif", "a")
        shelf.see(b"a.tif", "changed", at=saved(stat()))
        shelf.recorder.missing(shelf.row(b"b.tif"), "gone")
        shelf.recorder.commit()
    with closing(sqlite3.connect(shelf.database, isolation_level=None)) as connection:
        for name in triggers():
            if "_no_" in name:
                connection.execute(f"DROP TRIGGER {name}")
        yield connection


def broken(connection: sqlite3.Connection) -> chain.BrokenSeal:
    found = chain.verify(connection)
    assert found is not None
    return found


def test_an_untouched_chain_holds(sealed: sqlite3.Connection) -> None:
    assert sealed.execute("SELECT count(*) FROM seal").fetchone() == (4,)
    assert chain.verify(sealed) is None
    (head,) = sealed.execute("SELECT chain FROM seal ORDER BY seal_id DESC").fetchone()
    assert chain.verify(sealed, head=head) is None


def test_an_empty_catalogue_has_no_chain_to_break(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf, closing(sqlite3.connect(shelf.database)) as connection:
        assert chain.verify(connection) is None
        found = chain.verify(connection, head=b"h" * 32)
        assert found is not None
        assert "cut off" in found.why


@pytest.mark.parametrize(
    ("damage", "seal_id"),
    [
        ("UPDATE event SET at_ms = at_ms + 1 WHERE event_id = 3", 2),
        ("UPDATE event SET detail = '{}' WHERE kind = 5", 4),
        ("UPDATE event SET actor = 'root' WHERE event_id = 4", 2),
        ("UPDATE event SET to_rev_id = NULL WHERE event_id = 2", 2),
        ("UPDATE revision SET content_id = 2 WHERE rev_id = 1", 2),
        ("UPDATE content SET sha256 = randomblob(32) WHERE content_id = 3", 3),
        ("DELETE FROM event WHERE event_id = 3", 2),
        ("DELETE FROM event WHERE event_id = 2", 2),
        ("UPDATE seal SET at_ms = at_ms - 1 WHERE seal_id = 3", 3),
        ("UPDATE seal SET chain = randomblob(32) WHERE seal_id = 1", 1),
        ("DELETE FROM seal WHERE seal_id = 1", 1),
        ("DELETE FROM seal WHERE seal_id = 2", 2),
        ("UPDATE seal SET first_event_id = 3 WHERE seal_id = 2", 2),
        ("INSERT INTO event (at_ms, kind) VALUES (0, 11)", 5),
        ("DELETE FROM seal WHERE seal_id = 4", 4),
    ],
)
def test_damage_is_found_where_it_is(sealed: sqlite3.Connection, damage: str, seal_id: int) -> None:
    changed = sealed.execute(damage).rowcount
    assert changed == 1
    assert broken(sealed).seal_id == seal_id


def test_reordered_events_are_found(sealed: sqlite3.Connection) -> None:
    for event_id, other in ((2, 100), (3, 2), (100, 3)):
        sealed.execute("UPDATE event SET event_id = ? WHERE event_id = ?", (other, event_id))
    assert broken(sealed).seal_id == 2


def test_a_rewritten_end_shows_in_a_head_that_was_noted_before(sealed: sqlite3.Connection) -> None:
    (head,) = sealed.execute("SELECT chain FROM seal ORDER BY seal_id DESC").fetchone()
    sealed.execute("DELETE FROM event WHERE event_id >= (SELECT first_event_id FROM seal WHERE seal_id = 4)")
    sealed.execute("DELETE FROM seal WHERE seal_id = 4")
    assert chain.verify(sealed) is None
    found = chain.verify(sealed, head=head)
    assert found is not None
    assert (found.seal_id, "cut off" in found.why) == (3, True)


def test_each_transaction_with_events_has_one_seal(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        seals = shelf.one("SELECT count(*) FROM seal")
        for number in range(5):
            shelf.see(b"%d.tif" % number, f"{number}", commit=False)
        shelf.recorder.commit()
        shelf.recorder.suspect(shelf.row(b"1.tif"))
        shelf.recorder.commit()
        assert shelf.one("SELECT count(*) FROM seal") == seals + 1
        last = shelf.ask("SELECT * FROM seal ORDER BY seal_id DESC LIMIT 1")[0]
        assert last["last_event_id"] - last["first_event_id"] == 4
        shelf.check()
