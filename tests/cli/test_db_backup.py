"""``catalog db backup``: one state, whole or not there. The command itself runs in the tests of restore."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import Damaged, Locked, NoCatalogue, NotFound, UsageError
from catalog.store.copies import back_up, partial_file
from tests.recordings import Shelf


def ask(database: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def heads(database: Path) -> list[bytes]:
    return [row[0] for row in ask(database, "SELECT chain FROM seal ORDER BY seal_id")]


# ---------------------------------------------------------------------------------------------------- backup


def test_a_backup_is_one_sound_file_of_the_same_history(database: Path, tmp_path: Path) -> None:
    database.chmod(0o640)
    kept = back_up(str(database), str(tmp_path / "copy"))
    assert kept.path == os.fsencode(tmp_path / "copy")
    assert kept.size == (tmp_path / "copy").stat().st_size
    assert (kept.events, kept.seals, kept.head) == (4, 4, heads(database)[-1])
    assert heads(tmp_path / "copy") == heads(database)
    assert ask(tmp_path / "copy", "PRAGMA integrity_check") == [("ok",)]
    assert ask(tmp_path / "copy", "PRAGMA journal_mode") == [("delete",)]
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "var"]


def test_a_backup_beside_a_writer_holds_what_was_committed(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    with Shelf(tmp_path / "var") as shelf:
        shelf.see(b"a.tif", "a")
        shelf.see(b"late.tif", "late", commit=False)
        shelf.recorder.batch.flush()
        kept = back_up(shelf.database, str(tmp_path / "copy"))
        shelf.recorder.commit()
        assert ask(tmp_path / "copy", "SELECT count(*) FROM file") == [(1,)]
        assert shelf.one("SELECT count(*) FROM file") == 2
        assert kept.events == 2


def test_an_existing_file_is_replaced_only_by_force(database: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("precious")
    with pytest.raises(UsageError, match="--force"):
        back_up(str(database), str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_text() == "precious"
    back_up(str(database), str(tmp_path / "copy"), force=True)
    assert len(heads(tmp_path / "copy")) == 4


def test_a_place_inside_a_share_is_refused(database: Path, tmp_path: Path) -> None:
    share = tmp_path / "pictures"
    (share / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to(share / "sub")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE root SET path = ?", (os.fsencode(share),))
        connection.commit()
    for place in (share / "copy", share / "sub" / "copy", tmp_path / "link" / "copy"):
        with pytest.raises(UsageError, match="inside the share"):
            back_up(str(database), str(place), force=True)
    assert [path for path in share.rglob("*") if path.is_file()] == []
    back_up(str(database), str(tmp_path / "pictures-copy"))


def test_the_name_of_a_backup_need_not_be_utf8(database: Path, tmp_path: Path) -> None:
    place = os.fsencode(tmp_path) + b"/r\xfcck"
    assert back_up(str(database), os.fsdecode(place)).path == place
    assert os.path.isfile(place)


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal", ".lock"])
def test_the_catalogue_itself_is_no_place_for_its_backup(database: Path, ending: str) -> None:
    with pytest.raises(UsageError, match="the catalogue itself"):
        back_up(str(database), f"{database}{ending}", force=True)
    assert len(heads(database)) == 4


def test_links_to_the_catalogue_are_the_catalogue(database: Path, tmp_path: Path) -> None:
    (tmp_path / "soft").symlink_to(database)
    os.link(database, tmp_path / "hard")
    for name in ("soft", "hard"):
        with pytest.raises(UsageError, match="the catalogue itself"):
            back_up(str(database), str(tmp_path / name), force=True)


def test_places_that_are_no_files_are_refused(database: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such folder"):
        back_up(str(database), str(tmp_path / "absent" / "copy"))
    with pytest.raises(UsageError, match="a folder"):
        back_up(str(database), str(tmp_path))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="no ordinary file"):
        back_up(str(database), str(tmp_path / "fifo"), force=True)


def test_a_backup_that_fails_leaves_what_was_there(database: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("the backup of yesterday")
    (page,) = ask(database, "SELECT rootpage FROM sqlite_master WHERE name = 'event'")[0]
    whole = bytearray(database.read_bytes())
    whole[(page - 1) * 4096] ^= 0xFF
    database.write_bytes(whole)
    with pytest.raises(Damaged):
        back_up(str(database), str(tmp_path / "copy"), force=True)
    assert (tmp_path / "copy").read_text() == "the backup of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "var"]


def test_two_backups_to_one_place_do_not_mix(database: Path, tmp_path: Path) -> None:
    with partial_file(os.fsencode(tmp_path / "copy"), 0o600) as partial:
        with pytest.raises(Locked, match="just being written"):
            back_up(str(database), str(tmp_path / "copy"))
        with open(partial, "wb") as stream:
            stream.write(b"mine")
    assert (tmp_path / "copy").read_bytes() == b"mine"


def test_there_is_no_backup_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("absent", "empty"):
        with pytest.raises(NoCatalogue):
            back_up(str(tmp_path / name), str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()
