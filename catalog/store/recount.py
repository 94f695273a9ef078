"""Count again what the triggers count (triggers.py), and say where they differ.

The same rules, written the other way round: whole tables grouped at once instead of one file at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from catalog.store.codes import OUTCOME, PRESENCE

_COUNTERS: Final = ("n_files", "n_bytes", "n_allocated", "keep_bytes", "keep_allocated", "reclaimable")

# (group table, its key, the column of file that points to it, which groups it can point to)
_GROUPS: Final = (
    ("content", "content_id", "content_id", "1"),
    ("raster", "raster_id", "pixel_id", "level = 1"),
    ("raster", "raster_id", "view_id", "level = 2"),
)


def differences(connection: sqlite3.Connection, *, limit: int = 100) -> list[str]:
    """Counters that do not hold what a recount gives, in words; empty when all do.

    ``limit`` for each kind of counter. Reads every row of ``file`` four times, in one statement each.
    Raises sqlite3.Error.
    """
    found = list(_root_differences(connection))[:limit]
    for table, key, column, which in _GROUPS:
        rows = connection.execute(_recount(table, key, column, which), (limit,))
        for group_id, *numbers in rows:
            stored, counted = numbers[: len(_COUNTERS)], numbers[len(_COUNTERS) :]
            wrong = [
                f"{name} is {has}, counted {should}"
                for name, has, should in zip(_COUNTERS, stored, counted, strict=True)
                if has != should
            ]
            found.append(f"{table} {group_id}: {'; '.join(wrong)}")
    return found


def _recount(table: str, key: str, column: str, which: str) -> str:
    stored = ", ".join(f"g.{name}" for name in _COUNTERS)
    unequal = " OR ".join(f"g.{name} <> coalesce(c.{name}, 0)" for name in _COUNTERS)
    counted = ", ".join(f"coalesce(c.{name}, 0)" for name in _COUNTERS)
    return f"""
WITH member AS (
    SELECT {column} AS group_id, size, allocated, root_id,
           -- several names of one file on disk are one body, a name on its own is its own
           CASE WHEN nlink > 1 THEN inode ELSE file_id END AS body, nlink > 1 AS linked
    FROM file WHERE presence <> 3 AND {column} IS NOT NULL),
body AS (
    SELECT group_id, max(allocated) AS allocated FROM member GROUP BY group_id, linked, root_id, body),
blocks AS (
    SELECT group_id, sum(allocated) AS n_allocated, max(allocated) AS keep_allocated
    FROM body GROUP BY group_id),
names AS (
    SELECT group_id, count(*) AS n_files, sum(size) AS n_bytes FROM member GROUP BY group_id),
kept AS (
    SELECT m.group_id, max(m.size) AS keep_bytes FROM member AS m JOIN blocks AS b
    ON b.group_id = m.group_id AND b.keep_allocated = m.allocated GROUP BY m.group_id),
counted AS (
    SELECT n.group_id, n.n_files, n.n_bytes, b.n_allocated, k.keep_bytes, b.keep_allocated,
           b.n_allocated - b.keep_allocated AS reclaimable
    FROM names AS n JOIN blocks AS b USING (group_id) JOIN kept AS k USING (group_id))
SELECT g.{key}, {stored}, {counted} FROM {table} AS g LEFT JOIN counted AS c ON c.group_id = g.{key}
WHERE {which} AND ({unequal}) ORDER BY g.{key} LIMIT ?"""


def _root_differences(connection: sqlite3.Connection) -> Iterator[str]:
    counted = {
        tuple(row[:3]): (row[3], row[4])
        for row in connection.execute(
            "SELECT root_id, presence, outcome, count(*), sum(size) FROM file GROUP BY root_id, presence, outcome"
        )
    }
    stored = {
        tuple(row[:3]): (row[3], row[4])
        for row in connection.execute("SELECT root_id, presence, outcome, n_files, n_bytes FROM root_count")
    }
    for key in sorted(counted.keys() | stored.keys()):
        has, should = stored.get(key, (0, 0)), counted.get(key, (0, 0))
        if has != should:
            root_id, presence, outcome = key
            state = f"{PRESENCE.word[presence].value}, {OUTCOME.word[outcome].value}"
            yield (
                f"root {root_id}, {state}: n_files is {has[0]}, counted {should[0]};"
                f" n_bytes is {has[1]}, counted {should[1]}"
            )
