"""A real daemon under a storm of operations and faults: is the record the disk, whenever there is rest?

    python benchmarks/storm.py [--seed N] [--seeds COUNT] [--minutes M] [--folder FOLDER]

Two shares (bind mounts in a user and mount namespace of their own; no root is needed) are stormed by a seed: files
written in every manner, renamed, exchanged, linked, moved between the shares and out and in; folders, too. Beside
that the daemon is killed, restarted, frozen over bursts and over more events than the kernel's queue holds, runs
out of kernel watches, loses a share and gets it back, and may not read a folder for a while. Every twelve seconds
the storm rests, and the record is held against the disk and against the storm's own memory of which file went
where. ``late``: what had to wait for the periodic walk, which comes once a minute here. ``followed``: files that
nobody wrote between two rests, whose histories must be theirs at the second. Prints a line a seed; exit code 1
when something was wrong, with what it was.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from measuring import CHECKOUT, PYTHON

NAMESPACES = ("unshare", "-Urmpf", "--kill-child", "--mount-proc")
KINDS = (
    *("missing", "ghosts", "wrong digests", "false deletions", "false moves", "lost histories"),
    *("unsettled", "errors"),
)
COLUMNS = ("seed", "operations", "faults", "rests", "longest", "late", "files", "followed", *KINDS)


def storm(folder: str, seed: int, minutes: float) -> dict[str, Any]:
    """One run; what it reports. Raises CalledProcessError when it came to no end."""
    done = subprocess.run(
        [*NAMESPACES, PYTHON, "-m", "tests.storm_daemon", folder, str(seed), str(60 * minutes)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": CHECKOUT},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one after the other")
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of storm and rest, each (default %(default)s)"
    )
    parser.add_argument(
        "--folder", help="where the shares are made (default: the folder for temporary files)"
    )
    arguments = parser.parse_args()
    print(" | ".join(COLUMNS), flush=True)
    wrong = False
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        with tempfile.TemporaryDirectory(prefix="catalog-storm-", dir=arguments.folder) as folder:
            report = storm(folder, seed, arguments.minutes)
        found = report["found"]
        told = [seed, report["operations"], report["faults"], len(report["rests"]), max(report["rests"])]
        told += [
            len(report["late"]),
            report["files"],
            report["followed"],
            *(len(found.get(kind, ())) for kind in KINDS),
        ]
        print(" | ".join(map(str, told)), flush=True)
        for kind, words in found.items():
            for each in words:
                wrong = True
                print(f"  {kind}: {each}", flush=True)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
