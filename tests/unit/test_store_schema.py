"""The schema that migrations make is the schema that the models describe, and it is guarded."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from enum import StrEnum
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from catalog.pixels import tagnames
from catalog.store import codes, migration, positional
from catalog.store.marks import APPLICATION_ID, SCHEMA_HEAD, SCHEMA_NUMBER
from catalog.store.migration import migrations_folder, prepare
from catalog.store.schema import metadata
from catalog.store.triggers import triggers
from catalog.store.views import views
from catalog.terms import (
    CheckResult,
    EventKind,
    Fidelity,
    IfdKind,
    Outcome,
    PageRole,
    Presence,
    ReadHow,
    RootState,
    Tag,
)
from tests.recordings import Shelf


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = str(tmp_path / "migrated.sqlite3")
    prepare(database)
    connection = sqlite3.connect(database)
    yield connection
    connection.close()


def normalised(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """(type, name) → statement without its white space, of everything but SQLite's own and Alembic's table."""
    rows = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master")
    return {
        (kind, name): re.sub(r"\s+", " ", re.sub(r"\s*([(),])\s*", r"\1", sql)).strip()
        for kind, name, sql in rows
        if not name.startswith(("sqlite_", "alembic_"))
    }


def test_the_migrated_schema_is_the_one_of_the_models(migrated: sqlite3.Connection, tmp_path: Path) -> None:
    made = sqlite3.connect(tmp_path / "made.sqlite3")
    engine = create_engine("sqlite://", creator=lambda: made, poolclass=NullPool)
    with engine.begin() as connection:
        metadata.create_all(connection)
        for statement in (*views().values(), *triggers().values()):
            connection.exec_driver_sql(statement)
        expected = normalised(made)
    assert normalised(migrated) == expected
    assert {kind for kind, _ in expected} == {"table", "index", "view", "trigger"}


def test_the_head_is_the_newest_migration_and_each_has_a_number() -> None:
    folder = ScriptDirectory(str(migrations_folder()))
    assert folder.get_current_head() == SCHEMA_HEAD
    assert len(list(folder.walk_revisions())) == SCHEMA_NUMBER


def test_alembic_finds_nothing_to_change(migrated: sqlite3.Connection) -> None:
    engine = create_engine("sqlite://", creator=lambda: migrated, poolclass=NullPool)
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(migrations_folder()))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.check(config)


def test_the_file_says_what_it_is(migrated: sqlite3.Connection) -> None:
    assert migrated.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert migrated.execute("PRAGMA user_version").fetchone() == (SCHEMA_NUMBER,)
    assert migrated.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_all_tables_are_strict(migrated: sqlite3.Connection) -> None:
    lax = migrated.execute(
        "SELECT name FROM pragma_table_list WHERE type = 'table' AND NOT strict"
    ).fetchall()
    assert {name for (name,) in lax} <= {
        "alembic_version",
        "sqlite_schema",
        "sqlite_temp_schema",
        "sqlite_sequence",
    }


def test_indexes_use_plain_ascending_columns(migrated: sqlite3.Connection) -> None:
    """Alembic's batch mode loses expressions and DESC in silence when it rebuilds a table."""
    for (name,) in migrated.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall():
        for _, column, _, descending, *_ in migrated.execute(f"PRAGMA index_xinfo('{name}')"):
            assert (descending, column == -2) == (0, False), name  # -2 stands for an expression


def test_every_view_can_be_read(migrated: sqlite3.Connection) -> None:
    for name in views():
        assert migrated.execute(f"SELECT * FROM {name}").fetchall() == []


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (codes.PRESENCE, Presence),
        (codes.OUTCOME, Outcome),
        (codes.ROOT_STATE, RootState),
        (codes.FIDELITY, Fidelity),
        (codes.IFD_KIND, IfdKind),
        (codes.PAGE_ROLE, PageRole),
        (codes.EVENT_KIND, EventKind),
        (codes.CHECK_RESULT, CheckResult),
        (codes.READ_HOW, ReadHow),
    ],
)
def test_every_word_has_its_own_number(table: codes.Codes[StrEnum], words: type[StrEnum]) -> None:
    assert set(table.number) == set(words)
    assert len(table.word) == len(table.number)


@pytest.mark.parametrize("table", ["revision", "event", "seal"])
@pytest.mark.parametrize("change", ["UPDATE {0} SET rowid = rowid", "DELETE FROM {0}"])
def test_history_is_append_only(tmp_path: Path, table: str, change: str) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.see(b"a.tif", "a")
        connection = sqlite3.connect(shelf.database)
        with closing(connection), pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(change.format(table))


def test_rows_of_files_are_never_deleted(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.see(b"a.tif", "a")
        connection = sqlite3.connect(shelf.database)
        with closing(connection), pytest.raises(sqlite3.IntegrityError, match="never deleted"):
            connection.execute("DELETE FROM file")


def test_a_living_path_belongs_to_one_file_and_tombstones_share_it(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.see(b"a.tif", "a")
        kept = "root_id, dir_id, name, size, mtime_ns, ctime_ns, inode, nlink, allocated, first_seen_ms,"
        kept += " changed_ms, state_since_ms"
        copy = f"INSERT INTO file (presence, {kept}) SELECT ?, {kept} FROM file LIMIT 1"
        with closing(sqlite3.connect(shelf.database)) as connection, connection:
            with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
                connection.execute(copy, (codes.PRESENCE.number[Presence.SUSPECT],))
            connection.execute(copy, (codes.PRESENCE.number[Presence.MISSING],))
            connection.execute(copy, (codes.PRESENCE.number[Presence.MISSING],))


def test_the_names_of_positional_tags_are_the_standard_ones() -> None:
    for code, name in positional.NAMES.items():
        assert tagnames.tag_name(IfdKind.PAGE, code) == name


ODD = (
    Tag(273, "StripOffsets", 4, 3, b"\x00" * 12),
    Tag(273, "0x0111", 4, 3, b"\x00" * 12),
    Tag(279, "StripByteCounts", 16, (1 << 64) - 1, b"", None, "more values than the file has bytes"),
    Tag(324, "TileOffsets", 4, 40_000, bytes(range(256)) * 256, b"s" * 32),
    Tag(330, "SubIFDs", 13, 1, b"\xff" * 4, b"s" * 32, "beyond the end: größer"),
)


@pytest.mark.parametrize("tags", [ODD, *((tag,) for tag in ODD), ()])
def test_packed_tags_come_back_as_they_were(tags: tuple[Tag, ...]) -> None:
    assert positional.unpack(positional.pack(tags)) == list(tags)


def test_packed_tags_are_small() -> None:
    ordinary = (
        Tag(256, "ImageWidth", 3, 1, b"\x78\x00"),
        Tag(257, "ImageLength", 3, 1, b"\x40\x00"),
        Tag(273, "StripOffsets", 4, 3, b"\x08\x00\x00\x00\x00 \x00\x00\xf8?\x00\x00"),
        Tag(279, "StripByteCounts", 4, 3, b"\xf8\x1f\x00\x00\xf8\x1f\x00\x00\x10\x1d\x00\x00"),
    )
    assert len(positional.pack(ordinary)) == 1 + 28 + 6 * 4
    long = Tag(
        324, "TileOffsets", 4, 10_000, b"".join((8 + 4096 * n).to_bytes(4, "little") for n in range(10_000))
    )
    assert len(positional.pack([long])) < len(long.raw) // 2


def test_the_migrations_folder_of_the_package_comes_before_a_foreign_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "catalog"
    for folder in (package / "migrations", package.parent / "migrations"):
        folder.mkdir(parents=True)
        (folder / "env.py").touch()
    monkeypatch.setattr(migration, "_PACKAGE", package)
    assert migration.migrations_folder() == package / "migrations"
