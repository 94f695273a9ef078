"""kill -9 in the middle of an upgrade leaves the old catalogue, whole, and the next try succeeds."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from catalog.store.marks import SCHEMA_NUMBER
from catalog.store.migration import prepare
from tests.conftest import CHECKOUT
from tests.migrations import REBUILD, folder_with_next, know_next
from tests.recordings import Shelf

UPGRADE = """
import sys
from pathlib import Path

import pytest

from catalog.store.migration import prepare
from tests.migrations import know_next

with pytest.MonkeyPatch.context() as patch:
    know_next(patch, Path(sys.argv[1]))
    prepare(sys.argv[2])
"""
DIE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
STEPS = (
    "op.execute('ALTER TABLE root ADD COLUMN colour TEXT')",
    "op.execute(\"UPDATE file SET reason = 'half'\")",
    "op.execute('CREATE TABLE half (x TEXT) STRICT')",
    REBUILD.strip(),
)


def upgrade_in_a_process(folder: Path, database: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", UPGRADE, str(folder), database],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=60,
        check=False,
    ).returncode


@pytest.mark.parametrize("point", range(len(STEPS) + 1))
def test_a_killed_upgrade_leaves_the_old_catalogue_and_a_retry_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    with Shelf(tmp_path) as shelf:
        for number in range(300):
            shelf.see(b"%d.tif" % number, f"{number}", commit=False)
    before = shelf.ask("SELECT * FROM file ORDER BY file_id")
    programs = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
    schema = shelf.ask(programs)

    deadly = folder_with_next(tmp_path / "deadly", "\n    ".join((*STEPS[:point], DIE, *STEPS[point:])))
    assert upgrade_in_a_process(deadly, shelf.database) == -signal.SIGKILL

    assert shelf.ask(programs) == schema
    assert shelf.ask("SELECT * FROM file ORDER BY file_id") == before
    assert shelf.one("PRAGMA user_version") == SCHEMA_NUMBER
    assert shelf.one("SELECT version_num FROM alembic_version") == f"{SCHEMA_NUMBER:04}"
    shelf.check()

    know_next(monkeypatch, folder_with_next(tmp_path / "sound", "\n    ".join(STEPS)))
    assert prepare(shelf.database) is True
    assert shelf.one("SELECT count(*) FROM file WHERE reason = 'half'") == 300
    assert shelf.one("PRAGMA user_version") == SCHEMA_NUMBER + 1


def test_what_a_killed_copy_left_behind_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.see(b"a.tif", "a")
    partial = Path(f"{shelf.database}.pre-{SCHEMA_NUMBER}.partial")
    partial.write_bytes(b"SQLite format 3\0 and then the power went" * 1000)
    know_next(monkeypatch, folder_with_next(tmp_path, "pass"))
    assert prepare(shelf.database) is True
    assert not partial.exists()
    with closing(sqlite3.connect(f"{shelf.database}.pre-{SCHEMA_NUMBER}")) as connection:
        assert connection.execute("SELECT count(*) FROM file").fetchone() == (1,)


def test_a_catalogue_whose_first_schema_was_killed_is_made_by_the_next_start(tmp_path: Path) -> None:
    database = str(tmp_path / "catalog.sqlite3")
    script = f"""
import sys
from sqlalchemy import Connection
from catalog.store import migration

def deadly(connection: Connection) -> None:
    {DIE}

migration.create_programs = deadly
migration.prepare(sys.argv[1])
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, database],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=60,
        check=False,
    )
    assert ran.returncode == -signal.SIGKILL
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert prepare(database) is True
    assert prepare(database) is False
