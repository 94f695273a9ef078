"""A scan that finds nothing new, against ``find``.

    python benchmarks/rescan.py [--scale F] [--repeat N] [--folder FOLDER]

Makes corpus C (100,000 files in 1,000 folders), scans it once, and then runs in turn

find      ``find FOLDER -printf '%p %s %T@'``
walk      the walk and its comparison with the record alone, as a scan does them, in a process of its own
command   the whole ``catalog scan FOLDER``, from the start of Python to its end

and prints the ratios to ``find`` by time and by CPU. Then every table of the catalogue is compared with what it
held before: exit code 1 when a rescan changed more than the books about itself (the row of the run, and when the
share was last compared). Goals that are missed are only printed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sqlite3
import sys
import time
from functools import partial

import corpus as corpora
from measuring import CATALOG, CHECKOUT, PYTHON, Run, in_turn, median, paired, run, verdict, workplace

WALK_GOAL, COMMAND_GOAL = 2.5, 3.0
BOOKS = {"run": None, "sqlite_sequence": None, "root": {"last_reconcile_ms"}}
"""What a rescan may change: rows of a table, or some columns of them."""

Contents = dict[str, tuple[list[str], dict[bytes, tuple[object, ...]]]]


# ----------------------------------------------------------------------------------------------- measuring


def find(folder: str) -> Run:
    return run(["sh", "-c", "exec find \"$1\" -printf '%p %s %T@\\n' >/dev/null", "sh", folder])


def command(database: str, folder: str) -> Run:
    done = run([*CATALOG, "-q", "-d", database, "scan", folder, "--json"])
    files = json.loads(done.output)["files"]
    assert files["unchanged"] == files["not_reread"] == files["seen"], files
    return done


def walk(database: str, folder: str) -> Run:
    done = run([PYTHON, os.path.abspath(__file__), "--walk", database, folder])
    wall, cpu = json.loads(done.output)
    return Run(wall, cpu, "")


def walk_here(database: str, folder: str) -> None:
    """Print [seconds, CPU seconds] of this process from the first folder to the last."""
    sys.path.insert(0, CHECKOUT)
    from catalog.config import Settings
    from catalog.service.opening import cataloguing
    from catalog.service.reconcile import Phase, Reconcile
    from catalog.service.scan import targets
    from catalog.service.shares import Shares

    with cataloguing(database, Settings(), "scan") as session:
        (target,) = targets(session.roots, [os.fsencode(os.path.realpath(folder))], name=None, actor=None)
        shares = Shares(session)
        root = shares.open(target.root)
        reconcile = Reconcile(session, root, lambda: shares.there(root))
        began, cpu = time.perf_counter(), time.process_time()
        while reconcile.phase is Phase.WALK:
            reconcile.step(0.1)
        print(json.dumps([time.perf_counter() - began, time.process_time() - cpu]))
        for phase in (Phase.SEEN, Phase.DONE):
            while reconcile.phase is not phase:
                reconcile.step(0.1)
            if phase is Phase.SEEN:
                reconcile.judge()
        shares.close()


# ------------------------------------------------------------------------------------------------ checking


def contents(database: str) -> Contents:
    """Each table's columns, and its rows by their digests."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            )
        ]
        found: Contents = {}
        for table in tables:
            cursor = connection.execute(f'SELECT * FROM "{table}"')
            small = table in BOOKS
            rows = {hashlib.sha256(repr(row).encode()).digest()[:16]: row if small else () for row in cursor}
            found[table] = ([column[0] for column in cursor.description], rows)
    finally:
        connection.close()
    return found


def unexpected(before: Contents, after: Contents) -> list[str]:
    """What changed beyond the books, in words."""
    problems = []
    for table, (columns, rows) in after.items():
        old = before[table][1]
        gone, come = old.keys() - rows.keys(), rows.keys() - old.keys()
        if not gone and not come:
            continue
        print(f"  {table}: {len(come):,} rows written, {len(gone):,} of them over older ones")
        if table not in BOOKS:
            problems.append(f"{table}: {len(come):,} rows written")
            continue
        allowed = BOOKS[table]
        if allowed is not None:
            for one, two in zip(sorted(gone), sorted(come), strict=True):
                pairs = zip(columns, old[one], rows[two], strict=True)
                problems += [
                    f"{table}.{name} changed" for name, a, b in pairs if a != b and name not in allowed
                ]
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--folder", help="where to work (default: the folder for temporary files)")
    parser.add_argument("--walk", nargs=2, metavar=("DATABASE", "FOLDER"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.walk:
        walk_here(*chosen.walk)
        return
    with workplace(chosen.folder) as place:
        folder, database = os.path.join(place, "C"), os.path.join(place, "scan.sqlite3")
        manifest = corpora.make("C", folder, scale=chosen.scale)
        first = run([*CATALOG, "-q", "-d", database, "scan", folder, "--json"])
        print(f"C: {manifest['files']:,} files; first scan {first.wall:.1f} s, CPU {first.cpu:.1f} s")
        before = contents(database)
        found, walked, whole = in_turn(
            chosen.repeat,
            partial(find, folder),
            partial(walk, database, folder),
            partial(command, database, folder),
        )
        for label, runs in (("find", found), ("walk", walked), ("command", whole)):
            print(
                f"  {label:8}{median(r.wall for r in runs):8.3f} s   CPU {median(r.cpu for r in runs):7.3f} s"
            )
        for label, runs, goal in (
            ("walk and compare", walked, WALK_GOAL),
            ("whole command", whole, COMMAND_GOAL),
        ):
            by_time = paired((r.wall for r in runs), (r.wall for r in found))
            by_cpu = paired((r.cpu for r in runs), (r.cpu for r in found))
            print(f"  {label}: {verdict(by_time, goal, at_least=False)} x find; by CPU {by_cpu:.2f}")
        problems = unexpected(before, contents(database))
    for problem in problems:
        print(f"  WRONG: {problem}", file=sys.stderr)
    print("  no row about a file was written" if not problems else "  a rescan wrote what it should not")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
