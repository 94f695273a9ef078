"""The catalogue is made, upgraded, or refused: never half, and never somebody else's file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from catalog.errors import CatalogError, Damaged, Exit, Locked, NoCatalogue, NotPermitted, SchemaMismatch
from catalog.query.opening import opened
from catalog.store.lock import CataloguingLock
from catalog.store.marks import APPLICATION_ID, SCHEMA_NUMBER
from catalog.store.migration import check_current, prepare
from catalog.store.triggers import triggers
from catalog.store.views import views
from tests.conftest import CHECKOUT
from tests.migrations import REBUILD, folder_with_next, know_next
from tests.recordings import Shelf


@pytest.fixture
def database(tmp_path: Path) -> str:
    return str(tmp_path / "catalog.sqlite3")


def python(script: str, *words: str, uid: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script with the checkout's program, as another user if one is named."""
    as_user = [] if uid is None else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return subprocess.run(
        [*as_user, sys.executable, "-c", textwrap.dedent(script), *words],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def programs(path: str) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger')")
        return {name for (name,) in rows}


# ------------------------------------------------------------------------------------------------- made


def test_a_catalogue_is_made_with_its_folder_and_only_once(tmp_path: Path) -> None:
    database = str(tmp_path / "a" / "b" / "catalog.sqlite3")
    told: list[str] = []
    assert prepare(database, announce=told.append) is True
    assert prepare(database, announce=told.append) is False
    assert told == []
    assert not os.path.exists(f"{database}.pre-0")


def test_an_empty_file_that_we_left_behind_becomes_a_catalogue(database: str) -> None:
    Path(f"{database}.lock").touch()
    Path(database).touch()
    assert prepare(database) is True
    assert prepare(database) is False


def test_a_file_whose_making_was_interrupted_is_no_catalogue_yet(database: str) -> None:
    """SQLite had written its first page, and no table was there: "schema 0" and an upgrade were no way on."""
    Path(f"{database}.lock").touch()
    begun = sqlite3.connect(database)
    begun.execute("PRAGMA journal_mode=WAL")
    begun.close()
    assert Path(database).stat().st_size > 0
    with pytest.raises(NoCatalogue, match="no catalogue yet"), opened(database):
        pass
    assert prepare(database) is True


@pytest.mark.parametrize("content", [b"", b"my notes\n" * 200])
def test_a_file_of_somebody_else_is_never_overwritten(database: str, content: bytes) -> None:
    Path(database).write_bytes(content)
    with pytest.raises(Damaged, match="not a catalogue"):
        prepare(database)
    with pytest.raises(Damaged, match="not a catalogue"), opened(database):
        pass
    assert Path(database).read_bytes() == content
    assert not os.path.lexists(f"{database}.lock")


def test_a_current_catalogue_is_prepared_without_alembic(database: str) -> None:
    prepare(database)
    script = """
        import sys
        from catalog.store.migration import prepare
        print(prepare(sys.argv[1]), "alembic" in sys.modules)
    """
    ran = python(script, database)
    assert (ran.stdout, ran.stderr) == ("False False\n", "")


def test_who_waited_for_the_lock_finds_the_work_done(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the lock another process may have made the catalogue."""
    acquire = CataloguingLock.acquire

    def late(self: CataloguingLock) -> None:
        monkeypatch.setattr(CataloguingLock, "acquire", acquire)
        assert prepare(database) is True
        acquire(self)

    monkeypatch.setattr(CataloguingLock, "acquire", late)
    assert prepare(database) is False


# ---------------------------------------------------------------------------------------------- refused


def refused(database: str) -> CatalogError:
    with pytest.raises(CatalogError) as caught:
        prepare(database)
    return caught.value


def test_a_newer_catalogue_is_refused_with_both_versions(database: str) -> None:
    prepare(database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_NUMBER + 6}")
    error = refused(database)
    assert isinstance(error, SchemaMismatch)
    assert error.code == Exit.SCHEMA
    assert f"schema {SCHEMA_NUMBER + 6}" in str(error)
    assert f"up to {SCHEMA_NUMBER}" in str(error)


def test_questions_refuse_older_and_newer_catalogues(database: str) -> None:
    prepare(database)
    with closing(sqlite3.connect(database)) as connection:
        check_current(connection, database)
        connection.execute(f"PRAGMA user_version={SCHEMA_NUMBER + 1}")
        with pytest.raises(SchemaMismatch, match="install a newer"):
            check_current(connection, database)
        connection.execute(f"PRAGMA user_version={SCHEMA_NUMBER - 1}")
        with pytest.raises(SchemaMismatch, match="catalog db upgrade"):
            check_current(connection, database)


def test_a_database_of_another_program_is_left_alone(database: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
    before = Path(database).read_bytes()
    error = refused(database)
    assert isinstance(error, Damaged)
    assert "another program" in str(error)
    assert Path(database).read_bytes() == before


def test_a_file_that_is_no_database_is_damaged(database: str) -> None:
    Path(database).write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 64)
    error = refused(database)
    assert (type(error), error.code) == (Damaged, Exit.DAMAGED)


def test_a_folder_is_no_catalogue(tmp_path: Path) -> None:
    assert isinstance(refused(str(tmp_path)), NotPermitted)


def flip(database: str, start: int, count: int) -> None:
    """Flip all bits of some bytes: overwriting with a constant would now and then change nothing."""
    with open(database, "r+b") as stream:
        stream.seek(start)
        flipped = bytes(byte ^ 0xFF for byte in stream.read(count))
        stream.seek(start)
        stream.write(flipped)


def test_an_overwritten_schema_page_is_damaged(database: str) -> None:
    prepare(database)
    flip(database, 100, 4)
    assert isinstance(refused(database), Damaged)


def test_a_truncated_catalogue_is_damaged_when_it_is_upgraded(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(database)
    os.truncate(database, os.path.getsize(database) // 2 // 4096 * 4096)
    know_next(monkeypatch, folder_with_next(tmp_path, "pass"))
    assert isinstance(refused(database), Damaged)
    assert not os.path.exists(f"{database}.pre-{SCHEMA_NUMBER}")
    assert not os.path.exists(f"{database}.pre-{SCHEMA_NUMBER}.partial")


def test_an_overwritten_page_is_damaged_when_it_is_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.see(b"a.tif", "a")
    with closing(sqlite3.connect(shelf.database)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'content'"
        (page,) = connection.execute(query).fetchone()
    flip(shelf.database, (page - 1) * 4096, 16)
    know_next(monkeypatch, folder_with_next(tmp_path, "pass"))
    assert isinstance(refused(shelf.database), Damaged)


def test_who_may_not_write_is_told_who_may(public_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    database = str(public_path / "catalog.sqlite3")
    prepare(database)
    script = """
        import sys
        from catalog.errors import CatalogError
        from catalog.store.migration import prepare
        try:
            prepare(sys.argv[1])
        except CatalogError as error:
            print(int(error.code), error)
    """
    existing = python(script, database, uid=65534)
    assert existing.stdout.startswith("14 this user may not change the catalogue"), existing
    assert "user root may" in existing.stdout
    fresh = python(script, str(public_path / "other.sqlite3"), uid=65534)
    assert fresh.stdout.startswith("14 cannot create the catalogue"), fresh
    os.chmod(database, 0o666)
    beside = python(script, database, uid=65534)
    assert beside.stdout.startswith("14 cannot write beside the catalogue"), beside


# --------------------------------------------------------------------------------------------- upgraded


def test_an_upgrade_keeps_a_copy_and_everything_that_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Shelf(tmp_path) as shelf:
        for number in range(20):
            shelf.see(b"%d.tif" % number, f"{number // 2}")
        before = shelf.ask("SELECT * FROM v_file ORDER BY file_id")
    os.chmod(shelf.database, 0o640)
    told: list[str] = []
    know_next(
        monkeypatch, folder_with_next(tmp_path, "op.execute('ALTER TABLE root ADD COLUMN colour TEXT')")
    )
    assert prepare(shelf.database, announce=told.append) is True
    assert told == [
        f"upgrading the catalogue from schema {SCHEMA_NUMBER} to {SCHEMA_NUMBER + 1}: {shelf.database}"
    ]
    assert shelf.ask("SELECT * FROM v_file ORDER BY file_id") == before
    assert shelf.one("SELECT count(colour) FROM root") == 0
    copy = f"{shelf.database}.pre-{SCHEMA_NUMBER}"
    assert os.stat(copy).st_mode & 0o777 == 0o640
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_NUMBER,)
        assert connection.execute("SELECT count(*) FROM file").fetchone() == (20,)
    assert prepare(shelf.database) is False
    shelf.check()


def test_a_rebuilt_table_has_its_guards_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.see(b"a.tif", "a")
    with closing(sqlite3.connect(shelf.database)) as connection, connection:
        connection.execute("UPDATE file SET reason = ''")
    know_next(monkeypatch, folder_with_next(tmp_path, REBUILD))
    assert prepare(shelf.database) is True
    assert programs(shelf.database) == {*views(), *triggers()}
    with closing(sqlite3.connect(shelf.database)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="never deleted"):
            connection.execute("DELETE FROM file")
        connection.execute("UPDATE file SET presence = 3")
        assert connection.execute("SELECT n_files FROM content").fetchone() == (0,)


def test_views_of_users_survive_an_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.see(b"a.tif", "a")
    mine = 'CREATE VIEW "my ""big"" files" AS SELECT path FROM v_file WHERE size > 10'
    with closing(sqlite3.connect(shelf.database)) as connection, connection:
        connection.execute(mine)
        connection.execute("CREATE VIEW v_old AS SELECT 1")
        connection.execute("UPDATE file SET reason = ''")
    know_next(monkeypatch, folder_with_next(tmp_path, REBUILD))
    prepare(shelf.database)
    assert programs(shelf.database) == {*views(), *triggers(), 'my "big" files'}
    assert shelf.ask('SELECT * FROM "my ""big"" files"') == [{"path": "/share/a.tif"}]


def test_an_upgrade_that_breaks_references_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.see(b"a.tif", "a")
    know_next(monkeypatch, folder_with_next(tmp_path, "op.execute('DELETE FROM content')"))
    with pytest.raises(Damaged, match="break references"):
        prepare(shelf.database)
    shelf.check()
    assert shelf.one("PRAGMA user_version") == SCHEMA_NUMBER
    assert programs(shelf.database) == {*views(), *triggers()}


def test_an_upgrade_that_fails_is_undone_and_a_repaired_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.see(b"a.tif", "a")
    body = "op.execute('CREATE TABLE colour (x) STRICT')"
    with monkeypatch.context() as patch:
        know_next(patch, folder_with_next(tmp_path / "one", body))
        with pytest.raises(sqlite3.OperationalError, match="missing datatype"):
            prepare(shelf.database)
    shelf.check()
    assert shelf.one("PRAGMA user_version") == SCHEMA_NUMBER
    know_next(monkeypatch, folder_with_next(tmp_path / "two", body.replace("(x)", "(x TEXT)")))
    assert prepare(shelf.database) is True
    assert shelf.one("SELECT count(*) FROM colour") == 0


def test_no_upgrade_while_a_cataloguing_process_runs(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(database)
    know_next(monkeypatch, folder_with_next(tmp_path, "pass"))
    with CataloguingLock(database, "watch"), pytest.raises(Locked, match="catalog watch"):
        prepare(database)
    assert prepare(database) is True


def test_an_upgrade_needs_room_for_the_copy(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(database)
    know_next(monkeypatch, folder_with_next(tmp_path, "pass"))
    usage = os.path.getsize(database) * 2 - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": usage}))
    error = refused(database)
    assert error.code == Exit.INCOMPLETE
    assert "nothing was changed" in str(error)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_NUMBER,)
