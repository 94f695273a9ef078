"""What recording costs: CPU and bytes a file, and what an unchanged rescan reads back.

Run: ``python benchmarks/recording.py [FILES] [--profile]`` (default 20,000). Ordinary one-page TIFFs with 15
tags, 100 files a folder; digests are made up, nothing is decoded. Three files in eight have a DateTime that no
other has, as in the collection that the goals were set with; ``--own-times`` gives each file its own.

CPU is that of this process, single thread, the best of ``--repeat`` runs with a new catalogue each; wall time
holds the waiting for the disk, too. ``bare SQLite`` is the floor: the same statements with rows that are ready,
and nothing else. Goals: 60 to 80 us CPU a file for all tables, at most 1,000 B a file, the rows of 100,000
unchanged files read back in well under 0.2 s.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from catalog.pixels.analysis_wire import decode_analysis, encode_analysis
from catalog.record import Recorder
from catalog.record.batch import Batch
from catalog.record.roots import Roots
from catalog.record.statements import ORDER
from catalog.store.engine import open_writer
from catalog.store.migration import prepare
from catalog.terms import (
    Analysis,
    Fidelity,
    Ifd,
    IfdKind,
    ImageFacts,
    Inspection,
    Job,
    Layout,
    Page,
    PageRole,
    Stat,
    Tag,
    Toolchain,
)

TOOLCHAIN = Toolchain(1, b"e" * 32, (("Pillow", "13.0"), ("tifffile", "2026.3.3")))
IN_FOLDER = 100
LOOKS_AT_ONCE = 64

Row = tuple[Any, ...]


def short(number: int) -> bytes:
    return number.to_bytes(2, "little")


def long(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def tags(number: int, width: int, *, own_time: bool) -> tuple[Tag, ...]:
    """The tags of a scanner's TIFF; the strips lie elsewhere in each width."""
    strip = width * 3 * 22
    second = number if own_time else number * 3 // 8
    moment = (
        f"2025:10:{second // 86_400 + 1:02} {second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}"
    )
    return (
        Tag(256, "ImageWidth", 3, 1, short(width)),
        Tag(257, "ImageLength", 3, 1, short(64)),
        Tag(258, "BitsPerSample", 3, 3, short(8) * 3),
        Tag(259, "Compression", 3, 1, short(1)),
        Tag(262, "PhotometricInterpretation", 3, 1, short(2)),
        Tag(273, "StripOffsets", 4, 3, long(8, 8 + strip, 8 + 2 * strip)),
        Tag(274, "Orientation", 3, 1, short(1)),
        Tag(277, "SamplesPerPixel", 3, 1, short(3)),
        Tag(278, "RowsPerStrip", 3, 1, short(22)),
        Tag(279, "StripByteCounts", 4, 3, long(strip, strip, width * 60)),
        Tag(282, "XResolution", 5, 1, long(72, 1)),
        Tag(283, "YResolution", 5, 1, long(72, 1)),
        Tag(284, "PlanarConfiguration", 3, 1, short(1)),
        Tag(296, "ResolutionUnit", 3, 1, short(2)),
        Tag(306, "DateTime", 2, 20, moment.encode() + b"\0"),
    )


def inspection(root_id: int, number: int, *, own_time: bool = False) -> Inspection:
    key = hashlib.sha256(f"file {number}".encode())
    pixels = hashlib.sha256(b"pixels" + key.digest()).digest()
    view = hashlib.sha256(b"view" + key.digest()).digest()
    width = 100 + number % 60
    size = width * 64 * 3 + 400
    image = ImageFacts("TIFF", width, 64, 1, "rgb", "u8", 3, 1)
    analysis = Analysis(
        fidelity=Fidelity.EXACT,
        reason=None,
        pixels=pixels,
        view=view,
        payload=hashlib.sha256(b"payload" + key.digest()).digest(),
        image=image,
        layout=Layout("TIFF", "none", "little", None, "contiguous", 3, 22, fill_order=1),
        pages=(Page(0, PageRole.PAGE, width, 64, "rgb", "u8", 3, pixels, view),),
        ifds=(Ifd(0, IfdKind.PAGE, None, tags(number, width, own_time=own_time)),),
    )
    path = f"box {number // 10_000}/tray {number // IN_FOLDER}/specimen {number:06}.tif".encode()
    mtime_ns = 1_760_000_000_000_000_000 + number * 1_234_567
    stat = Stat(size, mtime_ns, mtime_ns + 99_999, 5_000_000 + number, 39, 1, -(-size // 4096) * 4096)
    md5 = key.digest()[:16]
    job = Job(root_id, path, size)
    analysis = decode_analysis(
        encode_analysis(analysis)
    )  # as it comes from a worker: equal tags are one value
    return Inspection(job, stat, key.digest(), md5, analysis, started_ms=1_760_000_000_000 + number)


class Timing:
    """Best CPU and wall seconds of several runs of the same work."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.cpu = self.wall = float("inf")

    @contextmanager
    def run(self) -> Iterator[None]:
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu = min(self.cpu, time.process_time() - cpu)
        self.wall = min(self.wall, time.perf_counter() - wall)

    def show(self, count: int) -> None:
        cpu, wall = self.cpu / count * 1e6, self.wall / count * 1e6
        print(f"{self.what:<44} {cpu:8.1f} us CPU {wall:8.1f} us wall a file   ({self.cpu:.3f} s CPU)")


def record_all(recorder: Recorder, inspections: list[Inspection], *, fresh: bool) -> None:
    """As the session does: looks are asked for in batches, rows are written one by one."""
    at = recorder.rows.at
    for start in range(0, len(inspections), LOOKS_AT_ONCE):
        batch = inspections[start : start + LOOKS_AT_ONCE]
        recorder.known([each.sha256 for each in batch if each.sha256], loaders=False)
        for each in batch:
            row = None if fresh else at(each.job.root_id, each.job.path)
            recorder.record(each, row)
            if recorder.due:
                recorder.commit()
    recorder.commit()


def touched(each: Inspection) -> Inspection:
    """The same bytes under a newer change time: a chmod, a rename of the folder's owner."""
    stat = each.stat
    assert stat is not None
    later = Stat(
        stat.size, stat.mtime_ns, stat.ctime_ns + 1, stat.inode, stat.dev, stat.nlink, stat.allocated
    )
    return Inspection(each.job, later, each.sha256, each.md5, None, started_ms=each.started_ms + 1)


def read_back(recorder: Recorder, root_id: int, files: int) -> int:
    rows = recorder.rows
    folders = {
        f"box {number // 10_000}/tray {number // IN_FOLDER}".encode() for number in range(0, files, IN_FOLDER)
    }
    return sum(len(rows.known(root_id, folder)) for folder in sorted(folders))


def sizes(database: str, files: int) -> None:
    connection = sqlite3.connect(database)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        print(f"{'bytes a file, all in':<44} {os.path.getsize(database) / files:8.1f} B")
        rows = connection.execute(
            "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 24"
        )
        for name, size in rows:
            print(f"    {name:<40} {size / files:8.1f} B")
    except sqlite3.OperationalError as error:
        print(f"    (no sizes by table: {error})")
    finally:
        connection.close()


def profiled(action: Callable[[], None]) -> None:
    import cProfile
    import pstats

    profile = cProfile.Profile()
    profile.runcall(action)
    pstats.Stats(profile).sort_stats("tottime").print_stats(30)


def bare_rows(recorder: Recorder, inspections: list[Inspection]) -> list[list[tuple[str, list[Row]]]]:
    """What the recorder writes for these files, slice by slice, taken off it instead of being written."""
    slices: list[list[tuple[str, list[Row]]]] = []
    batch = recorder.batch
    written = batch.flush

    def keep() -> None:
        pending = [(table, rows[:]) for table, rows in batch._pending.items() if rows]
        slices.append(pending)
        written()

    batch.flush = keep  # type: ignore[method-assign]
    record_all(recorder, inspections, fresh=True)
    return slices


def write_bare(database: str, slices: list[list[tuple[str, list[Row]]]], timing: Timing) -> None:
    with closing(Batch(database)) as batch:
        Roots(batch).add(b"/share")
    driver = open_writer(database)
    for statement in ("DELETE FROM epoch", "INSERT INTO epoch SELECT 1, 1, x'00'"):
        driver.execute(statement)
    driver.execute("INSERT INTO toolchain VALUES (1, 1, '', 0)")
    for name in ("tr_event_no_delete",):
        driver.execute(f"DROP TRIGGER {name}")
    driver.execute("DELETE FROM event")
    with timing.run():
        for number, pending in enumerate(slices):
            if number % 8 == 0:
                driver.execute("BEGIN IMMEDIATE")
            for table, rows in pending:
                driver.executemany(ORDER[table], rows)
            if number % 8 == 7 or number == len(slices) - 1:
                driver.execute("COMMIT")
    driver.close()


def once(folder: str, files: int, timings: dict[str, Timing], given: argparse.Namespace) -> None:
    database = os.path.join(folder, "catalog.sqlite3")
    prepare(database)
    recorder = Recorder(database, TOOLCHAIN)
    root_id = Roots(recorder.batch).add(b"/share").root_id
    inspections = [inspection(root_id, number, own_time=given.own_times) for number in range(files)]
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)  # as in the daemon
    if given.profile:
        profiled(lambda: record_all(recorder, inspections, fresh=True))
    else:
        with timings["first"].run():
            record_all(recorder, inspections, fresh=True)
        recorder.batch.reader()
        if "sized" not in timings:
            timings["sized"] = Timing("")
            sizes(database, files)
        with timings["known"].run():
            assert read_back(recorder, root_id, files) == files
        again = [touched(each) for each in inspections]
        with timings["touched"].run():
            record_all(recorder, again, fresh=False)
    recorder.close()


def floor(folder: str, files: int, timings: dict[str, Timing], given: argparse.Namespace) -> None:
    for name in ("rows", "bare"):
        os.mkdir(os.path.join(folder, name))
    database = os.path.join(folder, "rows", "catalog.sqlite3")
    prepare(database)
    recorder = Recorder(database, TOOLCHAIN)
    root_id = Roots(recorder.batch).add(b"/share").root_id
    inspections = [inspection(root_id, number, own_time=given.own_times) for number in range(files)]
    slices = bare_rows(recorder, inspections)
    recorder.rollback()
    recorder.batch.close()
    database = os.path.join(folder, "bare", "catalog.sqlite3")
    prepare(database)
    write_bare(database, slices, timings["bare"])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("files", type=int, nargs="?", default=20_000)
    arguments.add_argument("--repeat", type=int, default=5)
    arguments.add_argument("--own-times", action="store_true", help="a DateTime of its own in each file")
    arguments.add_argument("--profile", action="store_true", help="say where the time of a first scan goes")
    arguments.add_argument("--folder", default=None, help="where the catalogue is made (default: TMPDIR)")
    given = arguments.parse_args()
    timings = {
        "bare": Timing("bare SQLite: the same rows, ready made"),
        "first": Timing("first scan: record new files"),
        "known": Timing("unchanged rescan: rows read back"),
        "touched": Timing("all touched: look up, record"),
    }
    for _ in range(1 if given.profile else given.repeat):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            once(folder, given.files, timings, given)
        if not given.profile:
            with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                floor(folder, given.files, timings, given)
    if not given.profile:
        for name in ("bare", "first", "known", "touched"):
            timings[name].show(given.files)
        print(f"{'first scan / bare SQLite':<44} {timings['first'].cpu / timings['bare'].cpu:8.2f}")


if __name__ == "__main__":
    main()
