"""``catalog db restore``: the backup is there instead, and nothing that was is lost."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import Damaged, Locked, NotFound, NotPermitted, SchemaMismatch, UsageError
from catalog.store import restoring
from catalog.store.copies import back_up
from catalog.store.lock import CataloguingLock
from catalog.store.restoring import Relation, restore
from catalog.store.triggers import triggers
from tests.cli.test_db_backup import ask, heads
from tests.recordings import Shelf


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits five seconds for a catalogue that the test itself has open."""
    monkeypatch.setattr(restoring, "_WAIT_SECONDS", 0.05)


def more_events(database: Path, number: int = 1) -> None:
    """What happens after a backup: shares are added."""
    from catalog.record.batch import Batch
    from catalog.record.roots import Roots

    batch = Batch(str(database))
    for _ in range(number):
        count = ask(database, "SELECT count(*) FROM root")[0][0]
        Roots(batch).add(f"/more/{count}".encode())
    batch.close()


def left_beside(database: Path) -> list[str]:
    """Files in the catalogue's folder, without the lock and what a reader may leave of an empty log."""
    usual = {f"{database}.lock", f"{database}-shm", f"{database}-wal"}
    return sorted(path.name for path in database.parent.iterdir() if str(path) not in usual)


def test_what_was_there_is_kept_and_the_backup_is_there_instead(database: Path, tmp_path: Path) -> None:
    back_up(str(database), str(tmp_path / "copy"))
    more_events(database, 3)
    database.chmod(0o660)
    before = heads(database)
    done = restore(str(database), str(tmp_path / "copy"))
    assert done.replaced is not None
    assert heads(database) == before[:4]
    assert heads(Path(done.replaced)) == before
    assert (done.lineage.relation, done.lineage.common_seal) == (Relation.ANCESTOR, 4)
    assert (done.lineage.only_former, done.lineage.only_backup) == (3, 0)
    assert (done.lineage.backup_head, done.lineage.former_head) == (before[3], before[-1])
    assert database.stat().st_mode & 0o777 == 0o660
    assert left_beside(database) == ["catalog.sqlite3", Path(done.replaced).name]
    assert len(heads(tmp_path / "copy")) == 4
    more_events(database)
    assert len(heads(database)) == 5


def test_the_chains_say_what_the_backup_is_to_the_catalogue(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    back_up(str(database), str(copy))
    same = restore(str(database), str(copy))
    assert (same.lineage.relation, same.lineage.only_former, same.lineage.only_backup) == (
        Relation.SAME,
        0,
        0,
    )
    more_events(copy, 2)
    newer = restore(str(database), str(copy)).lineage
    assert (newer.relation, newer.only_former, newer.only_backup) == (Relation.NEWER, 0, 2)
    more_events(database, 1)
    more_events(copy, 3)
    forked = restore(str(database), str(copy)).lineage
    assert (forked.relation, forked.common_seal) == (Relation.FORKED, 6)
    assert (forked.only_former, forked.only_backup) == (1, 3)
    with Shelf(tmp_path) as other:
        other.see(b"x.tif", "x")
    unrelated = restore(str(database), other.database).lineage
    assert (unrelated.relation, unrelated.common_seal) == (Relation.UNRELATED, 0)


def test_the_daemon_of_the_backup_is_not_missed(database: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("INSERT INTO daemon VALUES (1, 4711, 'here', '1.0', 0, 0, '{}')")
        connection.commit()
    back_up(str(database), str(tmp_path / "copy"))
    assert ask(tmp_path / "copy", "SELECT pid FROM daemon") == [(4711,)]
    restore(str(database), str(tmp_path / "copy"))
    assert ask(database, "SELECT * FROM daemon") == []


def test_a_catalogue_can_be_restored_where_none_is(database: Path, tmp_path: Path) -> None:
    new = tmp_path / "new" / "place" / "catalog.sqlite3"
    done = restore(str(new), str(database))
    assert (done.replaced, done.lineage.relation) == (None, Relation.FIRST)
    assert heads(new) == heads(database)


def test_a_catalogue_that_cannot_be_read_is_replaced_and_kept_with_its_log(
    database: Path, tmp_path: Path
) -> None:
    back_up(str(database), str(tmp_path / "copy"))
    garbage = os.urandom(9000)
    database.write_bytes(garbage)
    Path(f"{database}-wal").write_bytes(b"left of a crash")
    done = restore(str(database), str(tmp_path / "copy"))
    assert done.replaced is not None
    assert done.lineage.relation is Relation.UNKNOWN
    assert Path(done.replaced).read_bytes() == garbage
    assert Path(f"{done.replaced}-wal").read_bytes() == b"left of a crash"
    assert len(heads(database)) == 4


def test_a_catalogue_with_damaged_pages_is_replaced(database: Path, tmp_path: Path) -> None:
    back_up(str(database), str(tmp_path / "copy"))
    whole = database.read_bytes()
    database.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    done = restore(str(database), str(tmp_path / "copy"))
    assert (done.lineage.relation, len(heads(database))) == (Relation.UNKNOWN, 4)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE event SET actor = 'eve' WHERE event_id = 2", "chain: seal 2"),
        ("UPDATE content SET n_files = 7 WHERE content_id = 1", "counters: content 1"),
        ("PRAGMA application_id = 7", "another program"),
    ],
)
def test_a_damaged_backup_changes_nothing(database: Path, tmp_path: Path, damage: str, words: str) -> None:
    copy = tmp_path / "copy"
    back_up(str(database), str(copy))
    with closing(sqlite3.connect(copy)) as connection:
        for name in triggers():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(damage)
        connection.commit()
    before = database.read_bytes()
    with pytest.raises(Damaged, match=words):
        restore(str(database), str(copy))
    assert database.read_bytes() == before
    assert left_beside(database) == ["catalog.sqlite3"]


def test_a_torn_backup_changes_nothing(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    back_up(str(database), str(copy))
    os.truncate(copy, copy.stat().st_size // 2)
    with pytest.raises(Damaged, match="cannot be used"):
        restore(str(database), str(copy))
    assert left_beside(database) == ["catalog.sqlite3"]


def test_what_is_no_backup_is_refused(database: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "newer").write_bytes(database.read_bytes())
    with closing(sqlite3.connect(tmp_path / "newer")) as connection:
        connection.execute("PRAGMA user_version = 99")
    for name, error in (
        ("absent", NotFound),
        (".", UsageError),
        ("empty", UsageError),
        ("newer", SchemaMismatch),
        ("var/catalog.sqlite3", UsageError),
    ):
        with pytest.raises(error):
            restore(str(database), str(tmp_path / name))
    assert left_beside(database) == ["catalog.sqlite3"]


def test_nothing_is_restored_under_a_cataloguing_process(database: Path, tmp_path: Path) -> None:
    back_up(str(database), str(tmp_path / "copy"))
    with CataloguingLock(str(database), "watch"), pytest.raises(Locked, match="catalog watch"):
        restore(str(database), str(tmp_path / "copy"))


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_nothing_is_restored_while_anybody_has_it_open(database: Path, tmp_path: Path, mode: str) -> None:
    back_up(str(database), str(tmp_path / "copy"))
    more_events(database)
    with closing(sqlite3.connect(f"file:{database}?mode={mode}", uri=True)) as other:
        other.execute("SELECT count(*) FROM event").fetchone()
        with pytest.raises(Locked, match="in use"):
            restore(str(database), str(tmp_path / "copy"))
    assert len(heads(database)) == 5
    restore(str(database), str(tmp_path / "copy"))
    assert len(heads(database)) == 4


def test_who_opened_the_former_file_cannot_write_to_the_new_one(database: Path, tmp_path: Path) -> None:
    back_up(str(database), str(tmp_path / "copy"))
    with closing(sqlite3.connect(database, isolation_level=None)) as late:
        done = restore(str(database), str(tmp_path / "copy"))  # it has the file, and no lock yet
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            late.execute("UPDATE root SET name = 'spoilt'")
    assert ask(database, "SELECT name FROM root") == [("share",)]
    assert done.replaced is not None
    assert left_beside(database) == ["catalog.sqlite3", Path(done.replaced).name]


def test_nobody_reads_or_writes_while_the_file_is_exchanged(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(str(database), str(tmp_path / "copy"))
    refused: list[str] = []
    exchange = restoring._set_aside

    def watched(place: bytes, name: bytes) -> None:
        for statement in ("SELECT * FROM root", "UPDATE root SET name = 'spoilt'"):
            with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as other:
                try:
                    other.execute(statement).fetchall()
                except sqlite3.OperationalError as error:
                    refused.append(str(error))
        exchange(place, name)

    monkeypatch.setattr(restoring, "_set_aside", watched)
    restore(str(database), str(tmp_path / "copy"))
    assert refused == ["database is locked"] * 2


def test_a_restore_that_fails_at_the_end_puts_everything_back(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(str(database), str(tmp_path / "copy"))
    more_events(database)
    before = heads(database)

    def failing(folder: bytes) -> None:
        raise OSError(5, "Input/output error")

    for module in ("catalog.store.copies", "catalog.store.restoring"):
        with monkeypatch.context() as patch:
            patch.setattr(f"{module}.sync_folder", failing)
            with pytest.raises(NotPermitted, match="Input/output error"):
                restore(str(database), str(tmp_path / "copy"))
        assert heads(database) == before
        assert left_beside(database) == ["catalog.sqlite3"]


def test_a_catalogue_is_never_restored_into_a_share(database: Path, tmp_path: Path) -> None:
    back_up(str(database), str(tmp_path / "copy"))
    with closing(sqlite3.connect(tmp_path / "copy")) as connection:
        connection.execute("UPDATE root SET path = ?", (os.fsencode(tmp_path / "var"),))
        connection.commit()
    with pytest.raises(UsageError, match="inside the share"):
        restore(str(database), str(tmp_path / "copy"))
    assert left_beside(database) == ["catalog.sqlite3"]


# ----------------------------------------------------------------------------------------------- the commands


@pytest.fixture
def shelf(catalog_cli: Any) -> Iterator[Shelf]:
    with Shelf(catalog_cli.home) as made:
        made.see(b"a.tif", "a")
        yield made


def test_there_and_back_on_the_command_line(catalog_cli: Any, shelf: Shelf, tmp_path: Path) -> None:
    head = heads(catalog_cli.database)[-1].hex()
    ran = catalog_cli("db", "backup", tmp_path / "copy", "--json")
    assert (ran.code, ran.stderr) == (0, "")
    document = ran.json
    assert {name: document[name] for name in ("schema", "path", "events", "seals", "chain_head")} == {
        "schema": "catalog.db-backup/1",
        "path": str(tmp_path / "copy"),
        "events": 2,
        "seals": 2,
        "chain_head": head,
    }
    shelf.see(b"late.tif", "late")
    shelf.close()
    ran = catalog_cli("db", "restore", tmp_path / "copy")
    assert ran.code == 0, ran.stderr
    lines = ran.out.splitlines()
    assert lines[0] == f"restored    {catalog_cli.database}"
    assert lines[1].startswith(f"former one  {catalog_cli.database}.replaced-20")
    assert lines[2] == f"chain head  {head}"
    assert lines[3] == "The backup is an older state of the former one, which alone has 1 event more."
    assert f"catalogue: {catalog_cli.database}" in ran.stderr
    shelf.open()


def test_a_restore_under_a_daemon_ends_with_12(catalog_cli: Any, shelf: Shelf, tmp_path: Path) -> None:
    back_up(shelf.database, str(tmp_path / "copy"))
    with CataloguingLock(shelf.database, "watch"):
        ran = catalog_cli("db", "restore", tmp_path / "copy")
    assert (ran.code, ran.stdout) == (12, b"")
