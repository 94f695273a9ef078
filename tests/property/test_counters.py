"""The counters that triggers keep equal a recount, whatever happens to files, in whatever order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.store import recount
from catalog.store.migration import prepare

ROOTS, CONTENTS, RASTERS = 2, 2, 4

Fields = dict[str, int | None]

# Crowded on purpose: what goes wrong goes wrong among names of one inode in one group.
FIELDS: dict[str, st.SearchStrategy[int | None]] = {
    "root_id": st.sampled_from([1, 1, 1, 2]),
    "presence": st.sampled_from([1, 1, 1, 2, 3]),
    "outcome": st.integers(0, 4),
    "size": st.sampled_from([0, 10, 20]),
    "allocated": st.sampled_from([0, 4096, 8192]),
    "inode": st.sampled_from([1, 1, 1, 2]),
    "nlink": st.sampled_from([1, 2, 2, 3]),
    "content_id": st.sampled_from([1, 1, 1, 2, None]),
    "pixel_id": st.sampled_from([1, 1, 1, 2, None]),
    "view_id": st.sampled_from([3, 3, 3, 4, None]),
}
LINKED: Fields = {
    "root_id": 1,
    "presence": 1,
    "outcome": 1,
    "size": 10,
    "allocated": 4096,
    "inode": 1,
    "nlink": 2,
    "content_id": 1,
    "pixel_id": 1,
    "view_id": 3,
}
FILE = st.fixed_dictionaries(FIELDS)
ONE_FIELD = st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.fixed_dictionaries({name: FIELDS[name]}))
NUMBER = st.integers(1, 7)
STEP: st.SearchStrategy[tuple[str, int, Fields]] = st.one_of(
    st.tuples(st.just("update"), NUMBER, ONE_FIELD),
    st.tuples(st.just("update"), NUMBER, ONE_FIELD),
    st.tuples(st.just("update"), NUMBER, FILE),
    st.tuples(st.just("insert"), st.just(0), FILE),
    st.tuples(st.just("retire root"), st.integers(1, ROOTS), st.just({})),
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    database = str(tmp_path_factory.mktemp("counters") / "catalog.sqlite3")
    prepare(database)
    with closing(sqlite3.connect(database)) as connection, connection:
        for root_id in range(1, ROOTS + 1):
            connection.execute(
                "INSERT INTO root (root_id, name, path, state_since_ms, added_ms) VALUES (?, ?, ?, 0, 0)",
                (root_id, f"r{root_id}", b"/%d" % root_id),
            )
            connection.execute(
                "INSERT INTO dir (dir_id, root_id, path) VALUES (?, ?, x'')", (root_id, root_id)
            )
        for content_id in range(1, CONTENTS + 1):
            connection.execute(
                "INSERT INTO content (content_id, sha256, md5, size) VALUES (?, ?, x'00', 10)",
                (content_id, b"%d" % content_id),
            )
        for raster_id in range(1, RASTERS + 1):
            level = 1 if raster_id <= RASTERS // 2 else 2
            connection.execute(
                "INSERT INTO raster (raster_id, level, class, digest) VALUES (?, ?, 1, ?)",
                (raster_id, level, b"%d" % raster_id),
            )
    yield database


def insert(connection: sqlite3.Connection, number: int, fields: Fields) -> None:
    values = {
        "file_id": number,
        "dir_id": fields["root_id"],
        "name": b"%d" % number,
        **dict.fromkeys(("mtime_ns", "ctime_ns", "first_seen_ms", "changed_ms", "state_since_ms"), 0),
        **fields,
    }
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO file ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def update(connection: sqlite3.Connection, number: int, fields: Fields) -> None:
    values = {**fields, "dir_id": fields["root_id"]} if "root_id" in fields else fields
    pairs = ", ".join(f"{name} = ?" for name in values)
    connection.execute(f"UPDATE file SET {pairs} WHERE file_id = ?", (*values.values(), number))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    first=st.lists(FILE, min_size=1, max_size=6),
    steps=st.lists(STEP, min_size=8, max_size=20),
)
def test_counters_equal_a_recount_after_any_storm(
    database: str, first: list[Fields], steps: list[tuple[str, int, Fields]]
) -> None:
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("BEGIN")
    try:
        files = 0
        for kind, number, fields in [*(("insert", 0, fields) for fields in first), *steps]:
            if kind == "insert":
                files += 1
                insert(connection, files, fields)
            elif kind == "update":
                update(connection, number, fields)
            else:
                connection.execute("UPDATE file SET presence = 3 WHERE root_id = ?", (number,))
        assert recount.differences(connection) == []
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@pytest.mark.parametrize(
    "change",
    [
        {"nlink": 1},
        {"root_id": 2},
        {"inode": 2},
        {"allocated": 8192},
        {"size": 20},
        {"presence": 3},
        {"content_id": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_field_of_a_hard_link_counts_when_it_changes_and_when_it_changes_back(
    database: str, number: int, change: Fields
) -> None:
    with closing(sqlite3.connect(database)) as connection:
        for each in (1, 2, 3):
            insert(connection, each, LINKED)
        for fields in (change, LINKED, change):
            update(connection, number, fields)
            assert recount.differences(connection) == []
        connection.rollback()


def numbers(connection: sqlite3.Connection) -> tuple[int, ...]:
    query = "SELECT n_files, n_bytes, n_allocated, keep_bytes, keep_allocated, reclaimable FROM content"
    row: tuple[int, ...] = connection.execute(query + " WHERE content_id = 1").fetchone()
    return row


def test_hard_links_count_once_and_a_copy_in_full(database: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        insert(connection, 1, LINKED)
        insert(connection, 2, LINKED)
        assert numbers(connection) == (2, 20, 4096, 10, 4096, 0)
        insert(connection, 3, {**LINKED, "inode": 2, "nlink": 1})
        assert numbers(connection) == (3, 30, 8192, 10, 4096, 4096)
        update(connection, 1, {**LINKED, "presence": 3})
        assert numbers(connection) == (2, 20, 8192, 10, 4096, 4096)
        update(connection, 2, {**LINKED, "presence": 3})
        assert numbers(connection) == (1, 10, 4096, 10, 4096, 0)
        connection.rollback()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE content SET n_files = n_files + 1",
        "UPDATE content SET reclaimable = 7 WHERE content_id = 1",
        "UPDATE raster SET keep_bytes = 5 WHERE raster_id = 3",
        "UPDATE raster SET n_allocated = 1 WHERE raster_id = 2",
        "UPDATE root_count SET n_bytes = n_bytes - 1 WHERE root_id = 1 AND presence = 1 AND outcome = 1",
        "DELETE FROM root_count WHERE root_id = 1",
    ],
)
def test_a_recount_finds_a_wrong_counter(database: str, damage: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        insert(connection, 1, LINKED)
        insert(connection, 2, {**LINKED, "nlink": 1})
        assert recount.differences(connection) == []
        connection.execute(damage)
        (found, *_) = recount.differences(connection)
        assert "counted" in found
        connection.rollback()
