"""What it costs to start: whole processes against ``python -c pass`` of the same interpreter.

    python benchmarks/startup.py [--repeat N] [--imports]

Measures ``catalog --version``, ``catalog --help``, one question (``catalog query files --limit 1 --json`` on a
catalogue of a few files) and an unchanged ``catalog scan`` of these files, in turn with the empty program. Prints
the ratios by time and by CPU. ``--imports`` lists the modules that the question and the scan spend longest on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Sequence
from functools import partial

import corpus as corpora
from measuring import CATALOG, CHECKOUT, PYTHON, environment, in_turn, median, paired, run, verdict, workplace


def slowest_imports(command: Sequence[str], number: int = 12) -> list[str]:
    """The modules with the longest import of their own, those that they import left out."""
    timed = [PYTHON, "-X", "importtime", *command[1:]]
    done = subprocess.run(timed, cwd=CHECKOUT, env=environment(), capture_output=True, text=True, check=True)
    rows = []
    for line in done.stderr.splitlines():
        fields = line.removeprefix("import time:").split("|")
        if len(fields) == 3 and fields[0].strip().isdigit():
            rows.append((int(fields[0]), fields[2].strip()))
    rows.sort(reverse=True)
    total = sum(microseconds for microseconds, _ in rows)
    shown = [f"{microseconds / 1000:7.1f} ms  {name}" for microseconds, name in rows[:number]]
    return [f"{total / 1000:7.1f} ms  all {len(rows)} modules", *shown]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--imports", action="store_true")
    chosen = parser.parse_args()
    with workplace(None) as place:
        folder, database = os.path.join(place, "A"), os.path.join(place, "scan.sqlite3")
        corpora.make("A", folder, scale=0.01)
        scan = [*CATALOG, "-q", "-d", database, "scan", folder, "--json"]
        run(scan)
        question = [*CATALOG, "-d", database, "query", "files", "--limit", "1", "--json"]
        commands: list[tuple[str, Sequence[str], float | None]] = [
            ("python -c pass", (PYTHON, "-c", "pass"), None),
            ("catalog --version", (*CATALOG, "--version"), 6),
            ("catalog --help", (*CATALOG, "--help"), 20),
            ("catalog query files", question, 30),
            ("catalog scan, unchanged", scan, None),
        ]
        found = in_turn(chosen.repeat, *(partial(run, command) for _, command, _ in commands))
        empty = found[0]
        for (name, _, goal), runs in zip(commands, found, strict=True):
            seconds, cpu = median(each.wall for each in runs), median(each.cpu for each in runs)
            by_time = paired((each.wall for each in runs), (each.wall for each in empty))
            by_cpu = paired((each.cpu for each in runs), (each.cpu for each in empty))
            said = verdict(by_time, goal, at_least=False) if goal else f"{by_time:.2f}"
            print(
                f"{name:24}{seconds * 1000:7.0f} ms   CPU {cpu * 1000:6.0f} ms   x {said}; by CPU {by_cpu:.2f}"
            )
        if chosen.imports:
            for name, command in (("query files", question), ("scan", scan)):
                print(f"\nimports of catalog {name}:", *slowest_imports(command), sep="\n")


if __name__ == "__main__":
    main()
