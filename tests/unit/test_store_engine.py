"""Who may read, beside whom, and what the world's errors are called."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from catalog.errors import Damaged, DatabaseFull, Exit, Locked, NoCatalogue, NotPermitted
from catalog.record.batch import Batch
from catalog.store import engine as store_engine
from catalog.store.engine import open_reader, reading_engine, translate
from catalog.store.lock import CataloguingLock
from catalog.store.migration import prepare
from tests.conftest import CHECKOUT
from tests.recordings import Shelf

COUNT = "SELECT count(*) FROM file"


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with Shelf(tmp_path) as made:
        yield made


def process(script: str, *words: str, uid: int | None = None) -> subprocess.Popen[str]:
    as_user = [] if uid is None else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return subprocess.Popen(
        [*as_user, sys.executable, "-c", textwrap.dedent(script), *words],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


READ = """
    import sys
    from contextlib import closing
    from catalog.errors import CatalogError
    from catalog.store.engine import open_reader
    try:
        with closing(open_reader(sys.argv[1])) as connection:
            print(connection.execute("SELECT count(*) FROM file").fetchone()[0])
    except CatalogError as error:
        print(int(error.code), error)
"""


def read_as_nobody(database: str) -> str:
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    with process(READ, database, uid=65534) as reader:
        said, _ = reader.communicate(timeout=30)
    return said.strip()


def counted(database: str) -> int:
    with closing(open_reader(database)) as connection:
        return int(connection.execute(COUNT).fetchone()[0])


# ---------------------------------------------------------------------------------------------- readers


def test_a_reader_beside_a_writer_sees_what_was_committed_and_cannot_write(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    shelf.see(b"b.tif", "b", commit=False)
    shelf.recorder.batch.flush()
    with closing(open_reader(shelf.database)) as reader:
        assert reader.execute(COUNT).fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM setting")
        shelf.recorder.commit()
        assert reader.execute(COUNT).fetchone() == (2,)


def test_a_reading_engine_sees_one_state_until_it_lets_go(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    engine = reading_engine(shelf.database)
    with engine.connect() as connection:
        assert connection.execute(text(COUNT)).scalar() == 1
        shelf.see(b"b.tif", "b")
        assert connection.execute(text(COUNT)).scalar() == 1
        connection.rollback()
        assert connection.execute(text(COUNT)).scalar() == 2
    engine.dispose()


def test_no_catalogue_is_no_error_of_permission(tmp_path: Path) -> None:
    for path in (tmp_path / "none.sqlite3", tmp_path / "no" / "folder" / "none.sqlite3"):
        with pytest.raises(NoCatalogue) as caught:
            open_reader(str(path))
        assert caught.value.code == Exit.NO_CATALOGUE
    assert list(tmp_path.iterdir()) == []


def test_anybody_may_read_beside_the_writer_and_after_it(public_path: Path) -> None:
    with Shelf(public_path) as shelf:
        shelf.see(b"a.tif", "a")
        assert os.path.getsize(f"{shelf.database}-wal") > 0
        assert read_as_nobody(shelf.database) == "1"
    assert not os.path.exists(f"{shelf.database}-wal")
    assert read_as_nobody(shelf.database) == "1"  # immutable: nobody else can make its -shm file


def test_a_log_left_by_a_killed_writer_is_read_by_anybody(public_path: Path) -> None:
    with Shelf(public_path) as shelf:
        shelf.see(b"a.tif", "a")
        copy = str(public_path / "killed.sqlite3")
        for end in ("", "-wal", "-shm"):  # as they stand while the writer runs: as kill -9 leaves them
            shutil.copyfile(shelf.database + end, copy + end)
    assert read_as_nobody(copy) == "1"


def test_a_log_that_cannot_be_read_is_never_skipped(public_path: Path) -> None:
    """Opened as immutable, the database would silently be without its newest commits."""
    with Shelf(public_path) as shelf:
        shelf.see(b"a.tif", "a")
        copy = str(public_path / "torn.sqlite3")
        for end in ("", "-wal"):
            shutil.copyfile(shelf.database + end, copy + end)
    with closing(sqlite3.connect(f"file:{copy}?immutable=1", uri=True)) as connection:
        stale = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    said = read_as_nobody(copy)
    assert said.startswith("14 cannot open the catalogue"), (said, stale)
    assert counted(copy) == 1  # who may write makes the -shm file


def test_a_catalogue_in_a_folder_that_cannot_be_entered_is_not_taken_for_none(public_path: Path) -> None:
    folder = public_path / "closed"
    folder.mkdir(mode=0o700)
    with Shelf(folder) as shelf:
        shelf.see(b"a.tif", "a")
    assert read_as_nobody(shelf.database).startswith("14 cannot open the catalogue")
    os.chmod(folder, 0o755)
    os.chmod(shelf.database, 0o600)
    assert read_as_nobody(shelf.database).startswith("14 cannot open the catalogue")


def test_a_reader_is_told_of_damage(tmp_path: Path) -> None:
    database = tmp_path / "catalog.sqlite3"
    database.write_bytes(b"nonsense" * 1000)
    with pytest.raises(Damaged):
        open_reader(str(database))


def test_odd_names_of_catalogues_are_opened_as_they_are(tmp_path: Path) -> None:
    database = os.fsdecode(os.fsencode(tmp_path) + b"/100% sure?#\xff.sqlite3")
    prepare(database)
    assert counted(database) == 0
    assert sorted(os.listdir(os.fsencode(tmp_path)))[0] == b"100% sure?#\xff.sqlite3"


# --------------------------------------------------------------------------------------------- writers


def test_two_writers_wait_for_each_other(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_engine, "WRITE_TIMEOUT_SECONDS", 0.05)
    shelf.see(b"a.tif", "a", commit=False)
    with closing(Batch(shelf.database)) as other:
        with pytest.raises(Locked) as caught:
            other.begin()
        assert caught.value.code == Exit.LOCKED
        shelf.recorder.commit()
        assert other.rows(COUNT) == [(1,)]
        other.rollback()


def test_a_question_in_sqlalchemys_words_sees_the_open_transaction_and_ends_nothing_of_it(
    shelf: Shelf,
) -> None:
    shelf.see(b"a.tif", "a", commit=False)
    batch = shelf.recorder.batch
    batch.flush()
    for _ in range(2):  # the first one makes the connection
        assert batch.connection.execute(text(COUNT)).scalar() == 1
        batch.connection.rollback()
        batch.connection.commit()
        with closing(sqlite3.connect(shelf.database)) as other:
            assert other.execute(COUNT).fetchone() == (0,)
    shelf.recorder.commit()
    with closing(sqlite3.connect(shelf.database)) as other:
        assert other.execute(COUNT).fetchone() == (1,)


def test_two_processes_write_in_turns_without_an_error(shelf: Shelf) -> None:
    """A deferred BEGIN that reads first fails at once beside another writer, whatever the timeout."""
    script = """
        import sys
        from catalog.service.opening import Desk
        for number in range(100):
            with Desk(sys.argv[1]) as desk:
                desk.runs.ask("scan", {"number": number}, "admin")
        print("done")
    """
    with process(script, shelf.database) as admin:
        for number in range(300):
            shelf.see(b"%d.tif" % number, f"{number}")
        said, _ = admin.communicate(timeout=60)
    assert said == "done\n"
    assert shelf.one("SELECT count(*) FROM request") == 100
    assert shelf.one(COUNT) == 300
    shelf.check()


def error_with(code: int, name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as SQLite says")
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    return error


@pytest.mark.parametrize(
    ("code", "name", "kind"),
    [
        (13, "SQLITE_FULL", DatabaseFull),
        (10 | 3 << 8, "SQLITE_IOERR_WRITE", DatabaseFull),
        (10 | 19 << 8, "SQLITE_IOERR_SHMSIZE", DatabaseFull),
        (10 | 1 << 8, "SQLITE_IOERR_READ", Damaged),
        (8, "SQLITE_READONLY", NotPermitted),
        (8 | 4 << 8, "SQLITE_READONLY_DBMOVED", NotPermitted),
        (14, "SQLITE_CANTOPEN", NotPermitted),
        (11, "SQLITE_CORRUPT", Damaged),
        (26, "SQLITE_NOTADB", Damaged),
        (5, "SQLITE_BUSY", Locked),
        (5 | 2 << 8, "SQLITE_BUSY_SNAPSHOT", Locked),
        (6, "SQLITE_LOCKED", Locked),
    ],
)
def test_each_error_of_the_world_has_a_name(code: int, name: str, kind: type[Exception]) -> None:
    assert type(translate(error_with(code, name), "/x/catalog.sqlite3")) is kind


def test_our_own_mistakes_are_no_errors_of_the_world(shelf: Shelf) -> None:
    assert translate(ValueError("disk is full"), "x") is None
    assert translate(error_with(1, "SQLITE_ERROR"), "x") is None
    assert translate(sqlite3.ProgrammingError("database is locked"), "x") is None
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        shelf.recorder.batch.execute("SELECT * FROM disk_is_full")


# ------------------------------------------------------------------------------------------------- lock

HOLD = """
    import sys
    from catalog.store.lock import CataloguingLock
    with CataloguingLock(sys.argv[1], "watch"):
        print("held", flush=True)
        sys.stdin.read()
"""


def test_a_second_holder_is_refused_with_pid_and_command(tmp_path: Path) -> None:
    database = str(tmp_path / "catalog.sqlite3")
    with process(HOLD, database) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Locked) as caught, CataloguingLock(database, "scan"):
            pass
        assert caught.value.code == Exit.LOCKED
        assert f"by process {holder.pid} (catalog watch)" in str(caught.value)
        link = tmp_path / "link.sqlite3"
        Path(database).touch()
        link.symlink_to(database)
        with pytest.raises(Locked), CataloguingLock(str(link), "scan"):
            pass
        holder.kill()
        assert holder.wait(timeout=10) == -signal.SIGKILL
        with CataloguingLock(database, "scan"):
            pass


def test_the_lock_is_given_back_once_and_may_be_taken_again(tmp_path: Path) -> None:
    database = str(tmp_path / "catalog.sqlite3")
    lock = CataloguingLock(database, "scan")
    for _ in range(2):
        with lock, pytest.raises(Locked, match=f"process {os.getpid()} "):
            CataloguingLock(database, "watch").acquire()
        lock.release()
    assert Path(f"{database}.lock").read_text() == f"{os.getpid()} scan\n"


def test_a_lock_that_cannot_be_made_is_a_matter_of_permission(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    (tmp_path / "catalog.sqlite3.lock").symlink_to(target)
    with pytest.raises(NotPermitted):
        CataloguingLock(str(tmp_path / "catalog.sqlite3"), "scan").acquire()
    assert not target.exists()
