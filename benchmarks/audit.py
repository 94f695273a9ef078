"""A full audit, against tools that read and hash the same files.

    python benchmarks/audit.py [B] [A] [--scale F] [--repeat N] [--folder FOLDER] [--warm]

Makes the corpora (default B), scans them once, and then runs in turn, as far as they are installed,

hashdeep   ``hashdeep -r -a -k SUMS FOLDER``: its audit, md5 and sha256
sha256sum  ``sha256sum --check SUMS``
aide       ``aide --check``: size, mtime, sha256 and md5
audit      the whole ``catalog audit FOLDER``, from the start of Python to its end

and prints the ratios by time and by CPU. The page cache lets go of all files before each run (``--warm``: not; the
audit reads past it in any case). On a file system in memory (``--folder /dev/shm``) no disk takes part. Exit code
1 when the audit did not find every file intact, or missed a flipped bit.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import corpus as corpora
from measuring import CATALOG, Run, in_turn, median, paired, run, verdict, workplace

HASHDEEP_GOAL, AIDE_GOAL = 2.0, 3.5

AIDE_CONF = """database_in=file:{place}/aide.db
database_out=file:{place}/aide.db.new
report_url=file:/dev/null
{folder}/ s+m+sha256+md5
"""


def files(folder: str) -> Iterator[str]:
    for here, _, names in os.walk(folder):
        for name in names:
            yield os.path.join(here, name)


def evict(folder: str) -> None:
    """Have the page cache let go of every file."""
    for path in files(folder):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def cold(folder: str, warm: bool, measure: Callable[[], Run]) -> Run:
    if not warm:
        evict(folder)
    return measure()


def audit(database: str, folder: str, expected: int) -> Run:
    done = run([*CATALOG, "-q", "-d", database, "audit", folder, "--json"])
    found = json.loads(done.output)
    assert found["checked"] == found["intact"] == expected, found["sentence"]
    return done


def references(place: str, folder: str) -> dict[str, Callable[[], Run]]:
    """What is installed here, ready to check."""
    found: dict[str, Callable[[], Run]] = {}
    if shutil.which("hashdeep"):
        sums = os.path.join(place, "hashdeep.txt")
        with open(sums, "wb") as stream:
            subprocess.run(["hashdeep", "-r", folder], stdout=stream, check=True)
        found["hashdeep"] = partial(run, ["hashdeep", "-r", "-a", "-k", sums, folder])
    if shutil.which("sha256sum"):
        sums = os.path.join(place, "sha256.txt")
        with open(sums, "wb") as stream:
            for path in files(folder):
                subprocess.run(["sha256sum", path], stdout=stream, check=True)
        found["sha256sum"] = partial(run, ["sha256sum", "--quiet", "--check", sums])
    if shutil.which("aide"):
        conf = os.path.join(place, "aide.conf")
        with open(conf, "w", encoding="utf-8") as text:
            text.write(AIDE_CONF.format(place=place, folder=folder))
        made = subprocess.run(["aide", "--init", "-c", conf], capture_output=True, check=False)
        if made.returncode == 0:
            os.rename(f"{place}/aide.db.new", f"{place}/aide.db")
            found["aide"] = partial(run, ["aide", "--check", "-c", conf])
        else:
            print(f"  aide --init failed: {made.stderr.decode()[-200:]}")
    for name in ("hashdeep", "sha256sum", "aide"):
        if name not in found:
            print(f"  {name} is not installed here")
    return found


def missed_bit(database: str, folder: str) -> str | None:
    """Flip one bit with the times put back: the audit must end with 5."""
    victim = sorted(files(folder))[len(list(files(folder))) // 2]
    before = os.stat(victim)
    with open(victim, "r+b") as stream:
        stream.seek(before.st_size // 2)
        byte = stream.read(1)[0]
        stream.seek(before.st_size // 2)
        stream.write(bytes([byte ^ 1]))
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = subprocess.run(
        [*CATALOG, "-q", "-d", database, "audit", folder, "--json"], capture_output=True, check=False
    )
    corrupt = [each["path"] for each in json.loads(done.stdout)["corrupt"]]
    return None if done.returncode == 5 and corrupt == [victim] else f"{done.returncode}, {corrupt}"


def measured(name: str, place: str, scale: float, repeat: int, warm: bool) -> list[str]:
    folder, database = os.path.join(place, name), os.path.join(place, f"{name}.sqlite3")
    manifest = corpora.make(name, folder, scale=scale)
    os.sync()
    run([*CATALOG, "-q", "-d", database, "scan", folder, "--json"])
    megabytes = manifest["bytes"] / 1e6
    print(f"{name}: {manifest['files']:,} files, {megabytes:,.1f} MB, {'warm' if warm else 'cold'} cache")
    others = references(place, folder)
    measures = [partial(cold, folder, warm, each) for each in others.values()]
    measures.append(partial(cold, folder, warm, partial(audit, database, folder, manifest["files"])))
    *found, ours = in_turn(repeat, *measures)
    for label, runs in zip((*others, "audit"), (*found, ours), strict=True):
        wall, cpu = median(r.wall for r in runs), median(r.cpu for r in runs)
        print(f"  {label:10}{wall:8.2f} s {megabytes / wall:8.0f} MB/s   CPU {cpu:7.2f} s")
    for label, runs in zip(others, found, strict=True):
        by_time = paired((r.wall for r in runs), (r.wall for r in ours))
        by_cpu = paired((r.cpu for r in runs), (r.cpu for r in ours))
        goal = {"hashdeep": HASHDEEP_GOAL, "aide": AIDE_GOAL}.get(label)
        words = f"{by_time:.2f}" if goal is None else verdict(by_time, goal, at_least=True)
        print(f"  faster than {label}: {words} by time, {by_cpu:.2f} by CPU")
    wrong = missed_bit(database, folder)
    shutil.rmtree(folder)
    return [f"{name}: a flipped bit was missed: {wrong}"] if wrong else []


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpora", nargs="*", default=["B"], metavar="CORPUS")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", help="where to work (default: the folder for temporary files)")
    parser.add_argument("--warm", action="store_true", help="leave the files in the page cache")
    chosen = parser.parse_args()
    problems: list[str] = []
    with workplace(chosen.folder) as place:
        for name in chosen.corpora:
            problems += measured(name, place, chosen.scale, chosen.repeat, chosen.warm)
    for problem in problems:
        print(f"  WRONG: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
