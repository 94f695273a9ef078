"""Peak memory of a scan: of the parent, and of each worker.

    python benchmarks/memory.py [B] [C] [--scale F] [--workers N] [--folder FOLDER]

A first scan of corpus B, against the bare two-worker loop over the same files, and a first and an unchanged scan of
corpus C. The figures are VmHWM of each process from /proc, read every few milliseconds while it lives: resident
bytes at most, shared libraries included in each. The loop's processes say their own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import corpus as corpora
from measuring import CATALOG, CHECKOUT, PYTHON, environment, run, verdict, workplace

GOAL = 1.2
LOOK_SECONDS = 0.01
SCALES = {"B": 0.5, "C": 1.0}


@dataclass(frozen=True)
class Peaks:
    """Bytes resident at most."""

    parent: int
    workers: list[int]
    others: int
    """Processes that are neither (the guard of a share), added up."""

    @property
    def total(self) -> int:
        return self.parent + sum(self.workers) + self.others

    def shown(self) -> str:
        workers = " + ".join(f"{each / 1e6:.0f}" for each in self.workers) or "none"
        others = f", others {self.others / 1e6:.0f}" if self.others else ""
        return f"{self.total / 1e6:6.0f} MB: parent {self.parent / 1e6:.0f}, workers {workers}{others}"


def high_water(pid: int) -> int:
    """VmHWM of a process in bytes, 0 when it has gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii") as status:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
        return int(found[1]) * 1024 if found else 0
    return 0


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listed:
        return [int(word) for word in listed.read().split()]
    return []


def command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as line:
        return line.read()
    return b""


def watched(command: Sequence[str]) -> Peaks:
    """Run a command to its end and watch it and its children. Raises CalledProcessError."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=CHECKOUT, env=environment())
    peaks: dict[int, int] = {}
    workers: set[int] = set()
    while process.poll() is None:
        own = command_line(process.pid)
        for pid in (process.pid, *children(process.pid)):
            line = command_line(pid)
            if pid != process.pid and line in (own, b""):
                continue  # forked, and not the new program yet: the memory is the parent's
            # Once it is gone, the file is, too, or says nothing any more: the last look that saw it counts.
            peaks[pid] = max(high_water(pid), peaks.get(pid, 0))
            if b"catalog.pixels.worker" in line:
                workers.add(pid)
        time.sleep(LOOK_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    others = sum(peak for pid, peak in peaks.items() if pid not in workers and pid != process.pid)
    return Peaks(peaks[process.pid], sorted(peaks[pid] for pid in workers), others)


def measure(name: str, place: str, scale: float, workers: int) -> None:
    folder, database = os.path.join(place, name), os.path.join(place, "scan.sqlite3")
    config = os.path.join(place, "catalog.toml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"workers = {workers}\n")
    manifest = corpora.make(name, folder, scale=scale)
    print(f"\n{name}: {manifest['files']:,} files, {manifest['bytes'] / 1e6:,.0f} MB, {workers} workers")
    scan = [*CATALOG, "-q", "--config", config, "-d", database, "scan", folder, "--json"]
    first = watched(scan)
    print(f"  first scan     {first.shown()}")
    if name == "C":
        print(f"  unchanged scan {watched(scan).shown()}")
        return
    loop = [PYTHON, os.path.join(CHECKOUT, "benchmarks", "bare_loop.py"), folder, "--workers", str(workers)]
    said = json.loads(run(loop).output)
    bare = Peaks(said["parent_peak"], sorted(said["peaks"]), 0)
    print(f"  bare loop      {bare.shown()}")
    print(f"  all processes: {verdict(first.total / bare.total, GOAL, at_least=False)} x the bare loop")
    print(f"  workers alone: {sum(first.workers) / sum(bare.workers):.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpora", nargs="*", metavar="B|C", help="default: both")
    parser.add_argument("--scale", type=float, help="size of the corpora (default: B 0.5, C 1)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", help="where to work (default: the folder for temporary files)")
    chosen = parser.parse_args()
    if not set(chosen.corpora) <= set(SCALES):
        parser.error(f"there are {' and '.join(SCALES)}")
    for name in chosen.corpora or list(SCALES):
        with workplace(chosen.folder) as place:
            measure(name, place, chosen.scale or SCALES[name], chosen.workers)


if __name__ == "__main__":
    main()
