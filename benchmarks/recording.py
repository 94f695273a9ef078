"""What recording costs: CPU and bytes a file, and what an unchanged rescan reads back.

Run: ``python benchmarks/recording.py [FILES] [--profile]`` (default 20,000). Ordinary one-page TIFFs with 15
tags, one of them different in every file, 100 files a folder; digests are made up, nothing is decoded.
CPU is that of this process, single thread; wall time is printed beside it and is not a goal.
Goals (docs: ratios and sizes to hold): <= 80 us CPU a file for all tables, <= 1,000 B a file, rows of 100,000
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
from contextlib import contextmanager

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from catalog.record import Recorder  # noqa: E402 - the checkout's, whatever is installed
from catalog.record.roots import Roots  # noqa: E402
from catalog.store.engine import writing_engine  # noqa: E402
from catalog.store.migration import prepare  # noqa: E402
from catalog.terms import (  # noqa: E402
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


def short(number: int) -> bytes:
    return number.to_bytes(2, "little")


def long(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def tags(number: int, width: int) -> tuple[Tag, ...]:
    """The tags of a scanner's TIFF; the strips lie elsewhere in each width, the time differs in each file."""
    strip = width * 3 * 22
    moment = f"2025:10:{number % 28 + 1:02} {number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
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


def inspection(root_id: int, number: int) -> Inspection:
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
        ifds=(Ifd(0, IfdKind.PAGE, None, tags(number, width)),),
    )
    path = f"box {number // 10_000}/tray {number // IN_FOLDER}/specimen {number:06}.tif".encode()
    mtime_ns = 1_760_000_000_000_000_000 + number * 1_234_567
    stat = Stat(size, mtime_ns, mtime_ns + 99_999, 5_000_000 + number, 39, 1, -(-size // 4096) * 4096)
    md5 = key.digest()[:16]
    job = Job(root_id, path, size)
    return Inspection(job, stat, key.digest(), md5, analysis, started_ms=1_760_000_000_000 + number)


@contextmanager
def timed(what: str, count: int) -> Iterator[None]:
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(
        f"{what:<44} {cpu / count * 1e6:8.1f} us CPU {wall / count * 1e6:8.1f} us wall a file"
        f"   ({cpu:.3f} s, {wall:.3f} s for {count:,})"
    )


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
        f"box {number // 10_000}/tray {number // IN_FOLDER}".encode()
        for number in range(0, files, IN_FOLDER)
    }
    return sum(len(rows.known(root_id, folder)) for folder in sorted(folders))


def sizes(database: str, files: int) -> None:
    connection = sqlite3.connect(database)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        print(f"{'bytes a file, all in':<44} {os.path.getsize(database) / files:8.1f} B")
        rows = connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 24")
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


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("files", type=int, nargs="?", default=20_000)
    arguments.add_argument("--profile", action="store_true", help="say where the time of a first scan goes")
    arguments.add_argument("--folder", default=None, help="where the catalogue is made (default: TMPDIR)")
    given = arguments.parse_args()
    files = given.files
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        database = os.path.join(folder, "catalog.sqlite3")
        prepare(database)
        engine = writing_engine(database)
        recorder = Recorder(engine, database, TOOLCHAIN)
        root_id = Roots(recorder.batch).add(b"/share").root_id
        inspections = [inspection(root_id, number) for number in range(files)]
        gc.freeze()
        if given.profile:
            profiled(lambda: record_all(recorder, inspections, fresh=True))
        else:
            with timed("first scan: record new files", files):
                record_all(recorder, inspections, fresh=True)
            sizes(database, files)
            for _ in range(2):
                with timed("unchanged rescan: rows read back", files):
                    assert read_back(recorder, root_id, files) == files
            again = [touched(each) for each in inspections]
            with timed("all touched: look up, record", files):
                record_all(recorder, again, fresh=False)
        recorder.close()
        engine.dispose()


if __name__ == "__main__":
    main()
