"""``catalog db check``: what is sound is said to be, and no damage passes, crashes or hides another."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import Damaged, Locked
from catalog.store.checking import Part, Report, check
from catalog.store.engine import open_reader
from catalog.store.triggers import triggers
from tests.recordings import Shelf, saved, stat


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two files, one of them changed and accepted, one missing: six seals."""
    with Shelf(tmp_path_factory.mktemp("made")) as shelf:
        fill(shelf)
    return shelf.database


@pytest.fixture
def database(made: str, tmp_path: Path) -> str:
    """A copy to be damaged."""
    return str(shutil.copy(made, tmp_path))


def fill(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", commit=False)
    shelf.see(b"b.tif", "b")
    shelf.see(b"a.tif", "changed", at=saved(stat()))
    shelf.recorder.cases.accept(shelf.row(b"a.tif"), 3, "ana", "on purpose")
    shelf.recorder.commit()
    shelf.see(b"a.tif", "changed again", at=saved(stat(), 20))
    shelf.recorder.missing(shelf.row(b"b.tif"), "gone")
    shelf.recorder.commit()


def looked_at(database: str, **options: Any) -> Report:
    with closing(open_reader(database)) as connection:
        return check(connection, database, **options)


def unguarded(database: str | Path, *statements: str) -> None:
    """What somebody with an editor does, who knows the guards."""
    with closing(sqlite3.connect(database)) as connection:
        for name in triggers():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount >= 1, statement
        connection.commit()


def damage_is_found(database: str) -> bool:
    try:
        return not looked_at(database).sound
    except Damaged:  # it cannot even be opened
        return True


def head_of(database: str) -> bytes:
    with closing(sqlite3.connect(database)) as connection:
        return bytes(connection.execute("SELECT chain FROM seal ORDER BY seal_id DESC").fetchone()[0])


# ------------------------------------------------------------------------------------------------ one by one


def test_a_sound_catalogue_is_said_to_be_sound(database: str) -> None:
    report = looked_at(database)
    assert (report.findings, report.broken) == ([], None)
    assert (report.events, report.seals, report.head) == (7, 6, head_of(database))
    assert looked_at(database, quick=True).sound


@pytest.mark.parametrize(
    ("damage", "seal_id"),
    [
        ("UPDATE event SET detail = '{}' WHERE event_id = 4", 3),
        ("UPDATE event SET actor = 'eve' WHERE kind = 11", 4),
        ("DELETE FROM event WHERE event_id = 4", 3),
        ("UPDATE event SET event_id = 100 WHERE event_id = 4", 3),
        ("UPDATE revision SET content_id = 1 WHERE rev_id = 3", 3),
        ("UPDATE seal SET at_ms = at_ms + 1 WHERE seal_id = 2", 2),
        ("UPDATE seal SET chain = randomblob(32) WHERE seal_id = 5", 5),
        ("DELETE FROM seal WHERE seal_id = 3", 3),
        ("INSERT INTO event (at_ms, kind) VALUES (0, 1)", 7),
    ],
)
def test_tampering_names_the_first_broken_seal(database: str, damage: str, seal_id: int) -> None:
    unguarded(database, damage)
    report = looked_at(database)
    assert report.broken is not None
    assert report.broken.seal_id == seal_id
    assert f"seal {seal_id}" in next(each.what for each in report.findings if each.part is Part.CHAIN)


def test_exchanged_events_are_found(database: str) -> None:
    unguarded(
        database,
        "UPDATE event SET event_id = 99 WHERE event_id = 2",
        "UPDATE event SET event_id = 2 WHERE event_id = 3",
        "UPDATE event SET event_id = 3 WHERE event_id = 99",
    )
    report = looked_at(database)
    assert report.broken is not None
    assert report.broken.seal_id == 2


def test_what_was_cut_off_shows_in_a_noted_head_only(database: str) -> None:
    head = head_of(database)
    assert looked_at(database, head=head).noted_seal == 6
    unguarded(
        database,
        "DELETE FROM event WHERE event_id = 7",
        "DELETE FROM seal WHERE seal_id = 6",
    )
    assert looked_at(database).broken is None
    report = looked_at(database, head=head)
    assert report.broken is not None
    assert (report.broken.seal_id, "cut off" in report.broken.why, report.noted_seal) == (5, True, None)


def test_a_head_noted_before_later_events_still_holds(database: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        (early,) = connection.execute("SELECT chain FROM seal WHERE seal_id = 2").fetchone()
    report = looked_at(database, head=early)
    assert (report.sound, report.noted_seal) == (True, 2)


@pytest.mark.parametrize(
    ("damage", "part", "words"),
    [
        ("UPDATE file SET baseline_rev_id = rev_id WHERE file_id = 1", Part.HISTORY, "file 1: its baseline"),
        ("UPDATE file SET baseline_rev_id = 1 WHERE file_id = 1", Part.HISTORY, "file 1: its baseline"),
        ("UPDATE file SET baseline_rev_id = 1 WHERE file_id = 2", Part.HISTORY, "file 2: its baseline"),
        ("UPDATE file SET content_id = 1 WHERE file_id = 1", Part.HISTORY, "file 1: its content"),
        ("UPDATE revision SET size = size + 1 WHERE rev_id = 2", Part.HISTORY, "revision 2: its size"),
        (
            "DELETE FROM drift WHERE file_id = 1 AND closed_ms IS NULL",
            Part.HISTORY,
            "no case of drift is open",
        ),
        ("UPDATE content SET n_files = 7 WHERE content_id = 1", Part.COUNTERS, "content 1: n_files is 7"),
        (
            "UPDATE root_count SET n_files = 7 WHERE presence = 3 AND outcome = 1",
            Part.COUNTERS,
            "root 1, missing",
        ),
        ("UPDATE file SET presence = 77 WHERE file_id = 2", Part.COUNTERS, "what was never written (77)"),
        ("UPDATE file SET content_id = 77 WHERE file_id = 2", Part.REFERENCES, "file 2 refers to a content"),
    ],
)
def test_each_part_finds_what_is_its_own(database: str, damage: str, part: Part, words: str) -> None:
    unguarded(database, damage)
    report = looked_at(database)
    assert words in " ".join(each.what for each in report.findings if each.part is part)


def test_everything_is_reported_at_once(database: str) -> None:
    unguarded(
        database,
        "UPDATE event SET actor = 'eve' WHERE event_id = 2",
        "UPDATE content SET n_files = 7 WHERE content_id = 1",
        "UPDATE file SET baseline_rev_id = rev_id WHERE file_id = 1",
    )
    assert {each.part for each in looked_at(database).findings} == {Part.CHAIN, Part.HISTORY, Part.COUNTERS}


def test_a_lost_index_entry_is_found_by_the_long_check_only(database: str) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'presence = 3', 'presence = 9')"
            " WHERE name = 'ix_file_tombstone'"
        )
    assert Part.PAGES in {each.part for each in looked_at(database).findings}
    assert Part.PAGES not in {each.part for each in looked_at(database, quick=True).findings}


# ---------------------------------------------------------------------------------------------------- damage


def pages(database: str) -> Iterator[int]:
    yield from range(Path(database).stat().st_size // 4096)


def flipped(whole: bytes, first: int, last: int) -> bytes:
    return whole[:first] + bytes(byte ^ 0xFF for byte in whole[first:last]) + whole[last:]


def test_no_damaged_page_passes_and_none_crashes_the_check(database: str) -> None:
    whole = Path(database).read_bytes()
    for page in pages(database):
        if page == 0:
            continue  # without its header, a file is no database: the command's test
        Path(database).write_bytes(flipped(whole, page * 4096, page * 4096 + 4096))
        assert damage_is_found(database), page


def test_no_damaged_cell_crashes_the_check(database: str) -> None:
    """Half a page: the structure stands, and the values are of any type and range."""
    whole = Path(database).read_bytes()
    found = 0
    for page in pages(database):
        if page:
            Path(database).write_bytes(flipped(whole, page * 4096 + 3072, page * 4096 + 4096))
            found += damage_is_found(database)
    assert found > len(list(pages(database))) // 3


def test_values_that_nobody_wrote_are_a_broken_seal(database: str) -> None:
    """What a page may hold after damage: a text where a number stood, a number where a digest stood."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'STRICT', '')"
            " WHERE type = 'table' AND name IN ('seal', 'event', 'content')"
        )
    for damage, seal_id in (
        ("UPDATE seal SET last_event_id = 'x' WHERE seal_id = 5", 5),
        ("UPDATE seal SET chain = 5 WHERE seal_id = 4", 4),
        ("UPDATE seal SET first_event_id = 'x' WHERE seal_id = 3", 3),
        ("UPDATE event SET detail = x'ff' WHERE event_id = 2", 2),
        ("UPDATE content SET sha256 = 'text' WHERE content_id = 1", 2),
    ):
        with closing(sqlite3.connect(database)) as connection:
            for name in triggers():
                connection.execute(f"DROP TRIGGER IF EXISTS {name}")
            connection.execute(damage)
            connection.commit()
        report = looked_at(database)
        assert report.broken is not None
        assert report.broken.seal_id == seal_id, damage


def test_what_is_written_meanwhile_is_no_damage(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf, closing(open_reader(shelf.database)) as connection:
        fill(shelf)
        written: list[str] = []

        def meanwhile(statement: str) -> None:
            if "FROM root_count" in statement and not written:
                written.append(statement)
                shelf.see(b"late.tif", "late")

        connection.set_trace_callback(meanwhile)
        assert check(connection, shelf.database).findings == []
        assert written != []


def test_a_catalogue_in_use_is_no_damage(database: str) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
        with closing(open_reader(database)) as connection:
            connection.execute("PRAGMA busy_timeout=10")
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(Locked):
                check(connection, database)


# ----------------------------------------------------------------------------------------------- the command


@pytest.fixture
def shelf(catalog_cli: Any) -> Iterator[Shelf]:
    with Shelf(catalog_cli.home) as made:
        fill(made)
        yield made


def test_the_command_answers_beside_a_writer(catalog_cli: Any, shelf: Shelf) -> None:
    shelf.see(b"new.tif", "new", commit=False)
    shelf.recorder.batch.flush()
    head = head_of(shelf.database).hex()
    ran = catalog_cli("db", "check", "--head", head, "--json")
    assert (ran.code, ran.stderr) == (0, "")
    document = ran.json
    assert {name: document[name] for name in ("schema", "path", "sound", "quick", "events", "seals")} == {
        "schema": "catalog.db-check/1",
        "path": str(catalog_cli.database),
        "sound": True,
        "quick": False,
        "events": 7,
        "seals": 6,
    }
    assert document["noted_head"] == {"head": head, "seal": 6}
    assert (document["chain_head"], document["broken_seal"], document["findings"]) == (head, None, [])
    shelf.recorder.rollback()


def test_a_broken_seal_ends_with_13_and_its_number(catalog_cli: Any, shelf: Shelf) -> None:
    unguarded(catalog_cli.database, "UPDATE event SET actor = 'eve' WHERE event_id = 4")
    ran = catalog_cli("db", "check")
    assert ran.code == 13
    assert ran.stderr == "warning: the catalogue is damaged: 1 finding; the first broken seal is 3\n"
    lines = ran.out.splitlines()
    assert lines[0] == "pages       sound"
    assert lines[2].startswith("chain       seal 3 (event 4): its events, or the contents they speak of")


def test_damaged_pages_are_told_in_words(catalog_cli: Any, shelf: Shelf) -> None:
    shelf.recorder.commit()
    with closing(sqlite3.connect(shelf.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'event'").fetchone()
    whole = catalog_cli.database.read_bytes()
    catalog_cli.database.write_bytes(flipped(whole, (page - 1) * 4096, page * 4096))
    ran = catalog_cli("db", "check", "--json")
    assert (ran.code, "Traceback" in ran.stderr) == (13, False)
    assert {"pages", "chain"} <= {each["part"] for each in ran.json["findings"]}
    catalog_cli.database.write_bytes(flipped(whole, 0, 4096))
    ran = catalog_cli("db", "check", "--json")
    assert (ran.code, ran.stdout, ran.stderr.count("\n")) == (13, b"", 1)
    catalog_cli.database.write_bytes(whole)


def test_a_head_that_is_none_is_a_usage_error(catalog_cli: Any) -> None:
    ran = catalog_cli("db", "check", "--head", "ab" * 31)
    assert (ran.code, ran.stdout) == (2, b"")
    assert "64 digits" in ran.stderr
