"""How long do questions take at a million files? Builds a synthetic catalogue and prints a table.

    python benchmarks/questions.py [--files 1000000] [--keep DATABASE]

Limits (docs/performance.md): the first page of duplicates and of drift under 100 ms of query time; a whole
``catalog query`` at most 30 times ``python -c pass``. All times are CPU times, which other work on the machine
disturbs least; everything is in memory. Exit code 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from catalog.query.drift import drift_cases  # noqa: E402 (the path must be set first)
from catalog.query.dupes import dupes  # noqa: E402
from catalog.query.events import events  # noqa: E402
from catalog.query.files import files  # noqa: E402
from catalog.query.opening import let_go, opened  # noqa: E402
from catalog.query.resolving import resolve  # noqa: E402
from catalog.query.standing import standing  # noqa: E402
from catalog.query.status import status  # noqa: E402
from catalog.query.tags import files_with_tag  # noqa: E402
from catalog.query.troubles import errors, missing  # noqa: E402
from catalog.store.migration import prepare  # noqa: E402
from catalog.store.positional import pack  # noqa: E402
from catalog.store.triggers import triggers  # noqa: E402
from catalog.terms import Level, Tag  # noqa: E402

NOW_MS = 1_760_000_000_000
FOLDER_FILES = 200
PAGE = 50


# ------------------------------------------------------------------------------------------------ building


def build(database: str, count: int) -> None:
    """A catalogue of ``count`` files: 2 shares, 10 % copies, 12 shared tags and a DateTime each, 1 % odd."""
    prepare(database)
    connection = sqlite3.connect(database, isolation_level=None)
    for pragma in ("synchronous=OFF", "cache_size=-200000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    for name in triggers():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("BEGIN")
    numbers = f"WITH RECURSIVE t(n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM t WHERE n < {count - 1})"
    _fixed_rows(connection)
    for statement in _bulk(count):
        connection.execute(f"{numbers} {statement}")
    _count(connection)
    for statement in triggers().values():
        connection.execute(statement)
    connection.execute("COMMIT")
    connection.execute("PRAGMA analysis_limit=1000")
    connection.execute("PRAGMA optimize=0x10002")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _fixed_rows(connection: sqlite3.Connection) -> None:
    blob = pack([Tag(256, "ImageWidth", 3, 1, b"x\0"), Tag(273, "StripOffsets", 4, 1, b"\x08\0\0\0")])
    connection.execute("INSERT INTO epoch VALUES (1, 1, x'01')")
    connection.execute("INSERT INTO toolchain VALUES (1, 1, '{}', 0)")
    connection.execute("""INSERT INTO layout VALUES (1, '{"container":"TIFF","compression":"LZW"}')""")
    for number, name in ((1, "masters"), (2, "web")):
        connection.execute(
            "INSERT INTO root (root_id, name, path, state, state_since_ms, added_ms, last_reconcile_ms)"
            " VALUES (?, ?, ?, 1, 0, 0, ?)",
            (number, name, b"/srv/" + name.encode(), NOW_MS),
        )
    for number in range(12):
        for value in range(4):
            row = (
                number * 4 + value + 1,
                b"%d %d" % (number, value),
                300 + number,
                f"Tag{number:02d}",
                str(value),
            )
            connection.execute(
                "INSERT INTO tagval VALUES (?, ?, ?, ?, 3, 1, ?, 1, x'3d0100', NULL, NULL)", row
            )
    for tagset in range(40):
        connection.execute("INSERT INTO tagset VALUES (?, ?)", (tagset + 1, b"%d" % tagset))
        for number in range(12):
            member = number * 4 + (tagset >> (number % 5)) % 4 + 1
            connection.execute("INSERT INTO tagset_member VALUES (?, ?)", (tagset + 1, member))
    connection.execute("CREATE TEMP TABLE blob AS SELECT ? AS layout", (blob,))


def _bulk(count: int) -> Iterator[str]:
    """Each statement follows ``WITH t(n)``. File n holds content and raster n, unless it is a copy of n - 1."""
    folders = -(-count // FOLDER_FILES)
    # n % 30: 10 is a copy by bytes, 20 a copy by pixels
    content = "(CASE WHEN n % 30 = 10 THEN n ELSE n + 1 END)"
    pixel = "(CASE WHEN n % 30 IN (10, 20) THEN n ELSE n + 1 END)"
    folder = f"(n / {FOLDER_FILES} + 1)"
    blocks = "(4096 * (1 + (n / 30) % 500))"
    at = f"({NOW_MS} - {count} + n)"
    yield f"""INSERT INTO dir (dir_id, root_id, path) SELECT n + 1, 1 + n % 2,
      CAST(printf('%03d/series %05d', n / 100, n) AS BLOB) FROM t WHERE n < {folders}"""
    yield """INSERT INTO content (content_id, sha256, md5, size) SELECT n + 1,
      randomblob(32), randomblob(16), 20000 + n % 7919 FROM t WHERE n % 30 <> 10"""
    for level, first in ((1, 0), (2, count)):
        yield f"""INSERT INTO raster (raster_id, level, class, digest) SELECT n + 1 + {first}, {level}, 1,
          randomblob(32) FROM t WHERE n % 30 NOT IN (10, 20)"""
    yield f"""INSERT INTO analysis (content_id, epoch_id, toolchain_id, fidelity, pixel_id, view_id, payload, format,
      width, height, frames, model, dtype, channels, orientation, layout_id, loader_errors, cv2_imread_md5,
      pillow_tobytes_md5, analysed_ms) SELECT n + 1, 1, 1, 1 + n % 2, {pixel}, {pixel} + {count}, randomblob(32),
      'TIFF', 120, 64, 1, 'rgb', 'u8', 3, 1, 1, '{{}}', randomblob(16), randomblob(16), {at}
      FROM t WHERE n % 30 <> 10"""
    yield """INSERT INTO tagval SELECT 1000 + n, CAST('d' || n AS BLOB), 306, 'DateTime', 2, 20,
      strftime('%Y:%m:%d %H:%M:%S', 1500000000 + n * 37, 'unixepoch'), NULL, x'3d00', NULL, NULL
      FROM t WHERE n % 3 = 0"""
    yield """INSERT INTO ifd SELECT n + 1, 0, 0, NULL, 1 + n % 40, 120, 64, (SELECT layout FROM blob)
      FROM t WHERE n % 30 <> 10"""
    yield "INSERT INTO ifd_tag SELECT n + 1, 0, 1000 + n / 3 * 3 FROM t WHERE n % 30 <> 10"
    yield f"""INSERT INTO revision SELECT n + 1, n + 1, NULL, {content}, {folder},
      CAST(printf('amalfreda_%07d.tif', n) AS BLOB), NULL, 20000 + n % 7919, {at} * 1000000, {at} * 1000000,
      n * 7919, 1, 1, {blocks}, {at}, 1 FROM t"""
    # 1 in 200 missing, 1 in 500 undecodable, 1 in 5000 unreadable
    yield f"""INSERT INTO file SELECT n + 1, 1 + {folder} % 2, {folder},
      CAST(printf('amalfreda_%07d.tif', n) AS BLOB), NULL,
      CASE WHEN n % 200 = 7 THEN 3 ELSE 1 END,
      CASE WHEN n % 5000 = 1 THEN 2 WHEN n % 500 = 3 THEN 3 ELSE 1 END, NULL, 20000 + n % 7919,
      {at} * 1000000, {at} * 1000000, n * 7919, 1, {blocks}, {content},
      CASE WHEN n % 500 <> 3 THEN {pixel} END, CASE WHEN n % 500 <> 3 THEN {pixel} + {count} END,
      n + 1, n + 1, {at}, {at}, {at}, NULL FROM t"""
    yield "UPDATE file SET root_id = (SELECT root_id FROM dir WHERE dir.dir_id = file.dir_id)"
    yield f"""INSERT INTO event (event_id, at_ms, kind, root_id, file_id, to_rev_id, detail)
      SELECT n + 1, {at}, 1, 1, n + 1, n + 1, NULL FROM t"""
    yield f"""INSERT INTO drift (drift_id, file_id, root_id, kind, manner, severity, opened_ms, updated_ms, closed_ms,
      baseline_rev_id, rev_id, reasons) SELECT n + 1, n * 50 + 1, 1, 'picture', 'ordinary', 1 + n % 4, {at}, {at},
      CASE WHEN n % 4 = 0 THEN {at} END, n * 50 + 1, n * 50 + 1, '["the picture changed"]'
      FROM t WHERE n * 50 < {count}"""


def _count(connection: sqlite3.Connection) -> None:
    """What the triggers would have counted."""
    for table, key, member in (
        ("content", "content_id", "content_id"),
        ("raster", "raster_id", "pixel_id"),
        ("raster", "raster_id", "view_id"),
    ):
        connection.execute(
            f"""UPDATE {table} SET n_files = s.n, n_bytes = s.bytes, n_allocated = s.blocks, keep_bytes = s.kept,
              keep_allocated = s.most, reclaimable = s.blocks - s.most FROM (SELECT {member} AS id, count(*) AS n,
              sum(size) AS bytes, sum(allocated) AS blocks, max(allocated) AS most, max(size) AS kept FROM file
              WHERE presence <> 3 AND {member} IS NOT NULL GROUP BY {member}) AS s WHERE s.id = {table}.{key}"""
        )
    connection.execute(
        "INSERT INTO root_count SELECT root_id, presence, outcome, count(*), sum(size) FROM file GROUP BY 1, 2, 3"
    )


# --------------------------------------------------------------------------------------------------- asking


def questions(database: str) -> Iterator[tuple[str, float, float | None]]:
    """(question, milliseconds of query time, limit in ms or None)."""
    with opened(database) as connection:
        scope = resolve(connection)
        folder = resolve(connection, paths=[b"/srv/masters/000"])
        asked: list[tuple[str, Callable[[], Any], float | None]] = [
            ("dupes, totals and first page", lambda: _page(dupes(connection, scope, limit=PAGE).groups), 100),
            ("dupes --level bytes", lambda: _page(dupes(connection, scope, level=Level.BYTES).groups), 100),
            ("drift, first page", lambda: _page(drift_cases(connection, scope, limit=PAGE)), 100),
            ("drift in one folder", lambda: _page(drift_cases(connection, folder, limit=PAGE)), None),
            ("files, first page", lambda: _page(files(connection, scope, limit=PAGE)), 100),
            ("missing, first page", lambda: _page(missing(connection, scope, limit=PAGE)), 100),
            ("errors", lambda: _page(errors(connection, scope, limit=PAGE)), 100),
            ("events, first page", lambda: _page(events(connection, scope, limit=PAGE)), 100),
            (
                "tags NAME VALUE, first page",
                lambda: _page(files_with_tag(connection, scope, "Tag03", "2", limit=PAGE)),
                100,
            ),
            (
                "tags DateTime, first page",
                lambda: _page(files_with_tag(connection, scope, "DateTime", limit=PAGE)),
                100,
            ),
            ("completeness", lambda: standing(connection, scope, database), 100),
            ("status", lambda: status(connection, database), 100),
            (
                "dupes in one folder of 20,000",
                lambda: _page(dupes(connection, folder, limit=PAGE).groups),
                None,
            ),
            ("dupes --min-size 25000", lambda: _page(dupes(connection, scope, min_size=25_000).groups), None),
        ]
        for name, ask, limit in asked:
            yield name, _best(ask, connection), limit


def _page(rows: Iterator[Any]) -> list[Any]:
    return list(islice(rows, PAGE))


def _best(ask: Callable[[], Any], connection: Any) -> float:
    """The best of five, the first one not counted: it warms caches of pages and of statements."""
    times = []
    for _ in range(6):
        let_go(connection)
        start = time.process_time()
        ask()
        times.append(time.process_time() - start)
    return min(times[1:]) * 1000


def processes(folder: str) -> list[tuple[str, float, float]]:
    """(command, its seconds, those of ``python -c pass``) on a small catalogue, the best of nine in turn."""
    database = os.path.join(folder, "small.sqlite3")
    build(database, 200)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "CATALOG_DATABASE": database}
    found = []
    for words in ("query dupes --json", "query drift --json", "query files --json", "status --json"):
        lenient = [] if words.startswith("status") else ["--allow-incomplete"]
        command = [sys.executable, "-m", "catalog", *words.split(), *lenient]
        pairs = [
            (_seconds(command, environment), _seconds([sys.executable, "-c", "pass"], environment))
            for _ in range(9)
        ]
        found.append((words, min(whole for whole, _ in pairs), min(bare for _, bare in pairs)))
    return found


def _seconds(words: list[str], environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--keep", metavar="DATABASE", help="build there, or ask what was built there before")
    words = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        database = words.keep or os.path.join(folder, "large.sqlite3")
        if not os.path.exists(database):
            start = time.perf_counter()
            build(database, words.files)
            size = os.path.getsize(database) / words.files
            print(f"built {words.files:,} files in {time.perf_counter() - start:.0f} s, {size:.0f} B each")
        print(f"{'question':40} {'query time':>12} {'limit':>10}")
        for name, milliseconds, limit in questions(database):
            late = limit is not None and milliseconds > limit
            missed += late
            shown = f"{limit:.0f} ms" if limit is not None else ""
            print(f"{name:40} {milliseconds:9.1f} ms {shown:>10}{'  MISSED' if late else ''}")
        print(f"{'whole process':40} {'time':>12} {'x python':>10} {'limit':>6}")
        for name, whole, bare in processes(folder):
            late = whole > 30 * bare
            missed += late
            print(f"{name:40} {whole * 1000:9.1f} ms {whole / bare:10.1f} {30:6}{'  MISSED' if late else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
