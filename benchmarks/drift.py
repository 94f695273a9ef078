"""How long does "what changed?" take? Real files, changed in seven ways, and the real command.

    python benchmarks/drift.py [--files 10000] [--folder FOLDER]

Makes tiny TIFFs, scans them, changes 1 % of them in each of seven ways (one for each kind of drift that a program
brings about at will), scans again, and asks. Prints wall and CPU seconds of whole commands, start of Python included,
against ``python -c pass``. Exit code 1 when the kinds that were found are not those that were brought about.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial

from measuring import CATALOG, PYTHON, environment, in_turn, median, run, workplace

GOAL_SECONDS = 1.0
REPEAT = 5


def write(path: str, number: int, **options: object) -> None:
    """A TIFF of 24 x 16 RGB samples, no two alike."""
    import numpy as np
    from PIL import Image

    rows, columns = np.mgrid[0:16, 0:24]
    bands = [
        (rows * (number % 7 + 3) + columns * (number % 11 + 5) + number // 256**band) % 256
        for band in range(3)
    ]
    image = Image.fromarray(np.stack(bands, axis=2).astype(np.uint8))
    image.save(path, "TIFF", **options)


def resaved(**options: object) -> Callable[[str], None]:
    def change(path: str) -> None:
        from PIL import Image

        with Image.open(path) as image:
            image.load()
            image.save(path, "TIFF", **options)

    return change


def rgba(path: str) -> None:
    from PIL import Image

    with Image.open(path) as image:
        widened = image.convert("RGBA")
    widened.save(path, "TIFF")


def turned(path: str) -> None:
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        image.save(path, "TIFF", tiffinfo={274: 6})


def one_sample(path: str) -> None:
    with open(path, "r+b") as file:
        file.seek(-5, os.SEEK_END)
        sample = file.read(1)[0]
        file.seek(-5, os.SEEK_END)
        file.write(bytes([sample ^ 1]))


def cut(path: str) -> None:
    os.truncate(path, os.path.getsize(path) // 2)


CHANGES: dict[str, Callable[[str], None]] = {
    "metadata": resaved(description="changed"),
    "reencoded": resaved(compression="tiff_lzw"),
    "display": turned,
    "representation": rgba,
    "picture": one_sample,
    "broken": cut,
    "missing": os.unlink,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--folder")
    arguments = parser.parse_args()
    with workplace(arguments.folder) as place:
        share, database = os.path.join(place, "share"), os.path.join(place, "catalog.sqlite3")
        print(f"making {arguments.files:,} files ...", file=sys.stderr)
        make(share, arguments.files)
        scan = [*CATALOG, "-d", database, "scan", share, "-q"]
        subprocess.run(scan, check=True, stdout=subprocess.DEVNULL, env=environment())
        wanted = change(share, arguments.files)
        subprocess.run(scan, check=False, stdout=subprocess.DEVNULL, env=environment())
        sys.exit(0 if report(database, wanted) else 1)


def make(share: str, files: int) -> None:
    os.makedirs(share)
    for number in range(files):
        folder = os.path.join(share, f"{number // 200:03}")
        if number % 200 == 0:
            os.mkdir(folder)
        write(os.path.join(folder, f"{number:06}.tif"), number)


def change(share: str, files: int) -> Counter[str]:
    """1 % of the files in each way, spread over the share."""
    done: Counter[str] = Counter()
    step = 100
    for offset, (kind, act) in enumerate(CHANGES.items()):
        for number in range(offset * 7, files, step):
            act(os.path.join(share, f"{number // 200:03}", f"{number:06}.tif"))
            done[kind] += 1
    return done


def report(database: str, wanted: Counter[str]) -> bool:
    query = [*CATALOG, "-d", database, "query", "drift"]
    asked = {
        "query drift --limit 50": [*query, "--limit", "50"],
        "query drift": query,
        "query drift --json": [*query, "--json"],
        "query drift --kind picture --json": [*query, "--kind", "picture", "--json"],
        "status": [*CATALOG, "-d", database, "status"],
    }
    commands = ([PYTHON, "-c", "pass"], *asked.values())
    runs = in_turn(REPEAT, *(partial(run, command) for command in commands))
    base = median(each.cpu for each in runs[0])
    print(f"{'command':36} {'wall s':>7} {'CPU s':>7} {'x python':>9}")
    for name, measured in zip(("python -c pass", *asked), runs, strict=True):
        wall, cpu = median(each.wall for each in measured), median(each.cpu for each in measured)
        print(f"{name:36} {wall:7.3f} {cpu:7.3f} {cpu / base:9.1f}")
    first = median(each.cpu for each in runs[1])
    print(
        f"first page in {first:.2f} s of CPU: {'met' if first < GOAL_SECONDS else 'missed'} ({GOAL_SECONDS:.0f} s)"
    )
    found = Counter(case["kind"] for case in json.loads(runs[3][0].output)["drift"])
    print(f"found {dict(found)}, brought about {dict(wanted)}")
    return found == wanted


if __name__ == "__main__":
    main()
