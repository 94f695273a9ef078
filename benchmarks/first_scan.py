"""The first scan against a bare two-worker loop that does the same work without a catalogue.

    python benchmarks/first_scan.py [A] [B] [--scale F] [--repeat N] [--folder FOLDER]

Makes the corpora, scans each into a new catalogue and runs the bare loop over it, in turn. Prints

bound      what ``bare_loop.py`` reaches with the decoders that the catalogue uses, called directly, on the
           same files: read, sha256, md5, decode, ``pix1`` and ``view1``. Copies are not decoded on either side.
           Not in it, but in the scan: structure and every tag, the payload digest, checks of every segment,
           frames to and from the workers, stat before and after, and the whole catalogue.
pillow     the same loop with Pillow as the only decoder
ours       the same loop with the catalogue's own look at each file: what is not in it is the catalogue, and the
           pipes to the workers
scan       ``catalog scan`` with two workers: seconds of the scan itself, as it reports them
one        ``catalog scan`` with one worker

``ratio`` is the bound's time over the scan's, pair by pair, the median: 1.00 means that all the rest is free.
``by CPU`` compares CPU seconds of all processes, less those of the same command on a folder with one file (the
start of Python, of the decoders and of SQLite). It says the same on a machine that has other work.

At the end the catalogue is held against the corpus's manifest and against the loop's own digests. Exit code 1
when they differ; goals that are missed are only printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import corpus as corpora
from measuring import (
    CATALOG,
    CHECKOUT,
    PYTHON,
    Run,
    in_turn,
    median,
    paired,
    remove_database,
    run,
    verdict,
    workplace,
)

BARE = os.path.join(CHECKOUT, "benchmarks", "bare_loop.py")
GOALS = {"A": (0.7, 0.85, 1.6), "B": (0.85, 0.95, 1.8)}
"""Ratio to the bound: now, and further on; two workers against one."""
SCALES = {"A": 5.0, "B": 0.5}
"""Enough that the scan's end and beginning do not count, little enough to repeat."""


def scan(folder: str, place: str, workers: int) -> Run:
    """A first scan; ``wall`` is the scan's own time, ``cpu`` that of the whole command."""
    database = os.path.join(place, "scan.sqlite3")
    remove_database(database)
    config = os.path.join(place, f"workers{workers}.toml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"workers = {workers}\n")
    done = run([*CATALOG, "-q", "--config", config, "-d", database, "scan", folder, "--json"])
    return Run(json.loads(done.output)["seconds"], done.cpu, done.output)


def bare(folder: str, decoders: str, *more: str) -> Run:
    """The bound; ``wall`` is the loop's own time, ``cpu`` that of the whole command."""
    done = run([PYTHON, BARE, folder, "--decoders", decoders, *more])
    return Run(json.loads(done.output)["seconds"], done.cpu, done.output)


def one_file(folder: str, place: str) -> str:
    """A folder with the first file of a corpus."""
    first = sorted(os.listdir(folder))[0]
    name = sorted(os.listdir(os.path.join(folder, first)))[0]
    alone = os.path.join(place, "one")
    shutil.rmtree(alone, ignore_errors=True)
    os.mkdir(alone)
    shutil.copy(os.path.join(folder, first, name), alone)
    return alone


def measure(name: str, folder: str, place: str, repeat: int) -> bool:
    """Measure one corpus and print it; whether the catalogue is right."""
    with open(f"{folder}.manifest.json", encoding="utf-8") as file:
        manifest = json.load(file)
    alone = one_file(folder, place)
    measures: list[Callable[[], Run]] = [
        partial(bare, folder, "same"),
        partial(scan, folder, place, 2),
        partial(bare, folder, "pillow"),
        partial(bare, folder, "ours"),
        partial(scan, folder, place, 1),
        partial(bare, alone, "same"),
        partial(scan, alone, place, 2),
    ]
    bound, two, pillow, ours, one, bare_start, scan_start = in_turn(repeat, *measures)
    files, megabytes = manifest["files"], manifest["bytes"] / 1e6
    print(f"\n{name}: {files:,} files, {megabytes:,.0f} MB")
    for label, runs in (("bound", bound), ("pillow", pillow), ("ours", ours), ("scan", two), ("one", one)):
        seconds = median(each.wall for each in runs)
        cpu = median(each.cpu for each in runs)
        rates = f"{files / seconds:9,.0f} files/s {megabytes / seconds:7,.0f} MB/s"
        print(f"  {label:8}{seconds:8.3f} s {rates}   whole command: CPU {cpu:6.2f} s")
    goal, further, speed_up = GOALS[name]

    def seconds_of(runs: list[Run]) -> list[float]:
        return [each.wall for each in runs]

    ratio = paired(seconds_of(bound), seconds_of(two))
    print(f"  ratio: {verdict(ratio, goal, at_least=True)}; further goal {further:g}")
    needed = [a.cpu - b.cpu for a, b in zip(two, scan_start, strict=True)]
    for label, runs in (("the bound", bound), ("Pillow alone", pillow), ("our look alone", ours)):
        beyond = [a.cpu - b.cpu for a, b in zip(runs, bare_start, strict=True)]
        each, by_cpu = median(beyond) / files * 1e6, paired(beyond, needed)
        by_time = paired(seconds_of(runs), seconds_of(two))
        # The loop's time begins when its workers have imported everything, the scan's before they are started.
        alone = [each.wall for each in bare_start], [each.wall for each in scan_start]
        sides = (
            [each - start for each, start in zip(seconds_of(side), starts, strict=True)]
            for side, starts in zip((runs, two), alone, strict=True)
        )
        print(
            f"  ratio to {label}: {by_time:.2f}, the start not counted {paired(*sides):.2f},"
            f" by CPU {by_cpu:.2f} ({each:,.0f} us a file)"
        )
    print(f"  the scan: {median(needed) / files * 1e6:,.0f} us of CPU a file")
    faster = paired(seconds_of(one), seconds_of(two))
    print(f"  two workers against one: {verdict(faster, speed_up, at_least=True)}")
    print(f"  start of the scan command: CPU {median(each.cpu for each in scan_start):.2f} s")
    scan(folder, place, 2)
    return right(folder, place, manifest)


# ----------------------------------------------------------------------------------------------- checking


def right(folder: str, place: str, manifest: dict[str, Any]) -> bool:
    """Hold the catalogue that was made last against the manifest, and against the digests of the bare loop."""
    digests = os.path.join(place, "digests.json")
    bare(folder, "same", "--digests", digests)
    with open(digests, encoding="utf-8") as file:
        expected = {os.path.relpath(path, folder): f"pix1:{hexed}" for path, hexed in json.load(file).items()}
    connection = sqlite3.connect(os.path.join(place, "scan.sqlite3"))
    rows = connection.execute("SELECT relative_path, raw_sha256, pixels FROM v_file").fetchall()
    connection.close()
    problems = []
    found = {path: pixels for path, _, pixels in rows}
    if len(found) != manifest["files"]:
        problems.append(f"{len(found):,} files in the catalogue, {manifest['files']:,} in the corpus")
    other = [path for path, pixels in expected.items() if found.get(path) != pixels]
    if other:
        problems.append(
            f"{len(other):,} pixel digests differ from those of the bare loop, {other[0]} among them"
        )
    for level, column in (("same_bytes", 1), ("same_pixels", 2)):
        groups: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            groups[row[column]].append(row[0])
        seen = sorted(sorted(group) for group in groups.values() if len(group) > 1)
        wanted = sorted(sorted(group) for group in manifest[level])
        words = level.replace("_", " ")
        if seen == wanted:
            print(f"  {words}: all {len(wanted):,} groups found, none invented")
        else:
            problems.append(
                f"{words}: {len(seen):,} groups found, {len(wanted):,} in the corpus, or other members"
            )
    for problem in problems:
        print(f"  WRONG: {problem}", file=sys.stderr)
    return not problems


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpora", nargs="*", metavar="A|B", help="default: both")
    parser.add_argument("--scale", type=float, help="size of the corpora (default: A 5, B 0.5)")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--folder", help="where to work (default: the folder for temporary files)")
    chosen = parser.parse_args()
    if not set(chosen.corpora) <= set(GOALS):
        parser.error(f"there are {' and '.join(GOALS)}")
    fine = True
    for name in chosen.corpora or ["A", "B"]:
        with workplace(chosen.folder) as place:
            folder = os.path.join(place, name)
            corpora.make(name, folder, scale=chosen.scale or SCALES[name])
            fine = measure(name, folder, place, chosen.repeat) and fine
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
