"""What does the daemon cost while nothing happens, and how soon does it know when something does?

For each tree of empty folders: the time until systemd is told READY and until the first comparison is done, the
memory of the daemon and of everything that it started, and its CPU while it has nothing to do. Then the time from the
close of a file to its committed record, for files one by one and at a hundred a second. A file is not looked at
before it was quiet for ``settle_seconds`` (0.5 s), which is part of that time.

    watching.py [--folders 5000 20000 100000] [--idle SECONDS] [--files N]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from measuring import CATALOG, CHECKOUT, environment, verdict, workplace
from PIL import Image

IDLE_GOAL = 0.5
"""Percent of one processor."""
REST_GOAL = 0.5
"""Seconds from the end of the settle time to the record, for 99 of 100 files."""
SETTLE_SECONDS = 0.5
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def descendants(pid: int) -> list[int]:
    """A process and everything that it started and that still runs."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def cpu_seconds(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident(pids: list[int]) -> int:
    """Bytes, shared pages counted by their share."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def until(predicate, seconds: float, step: float = 0.05):
    deadline = time.monotonic() + seconds
    while not (found := predicate()):
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:.0f} s")
        time.sleep(step)
    return found


class Watched:
    """A running daemon on one share."""

    def __init__(self, place: Path, share: Path) -> None:
        self.database = place / "catalog.sqlite3"
        address = place / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind(str(address))
            server.settimeout(600)
            began = time.monotonic()
            self.process = subprocess.Popen(
                [*CATALOG, "-d", str(self.database), "watch", str(share)],
                cwd=CHECKOUT,
                env={**environment(), "NOTIFY_SOCKET": str(address)},
                stdin=subprocess.DEVNULL,
                stderr=open(place / "log", "wb"),  # noqa: SIM115 - its own, from now on
            )
            while b"READY=1" not in server.recv(4096):
                pass
            self.ready_seconds = time.monotonic() - began
            until(lambda: self.ask("SELECT 1 FROM root WHERE last_reconcile_ms IS NOT NULL"), 600)
            self.compared_seconds = time.monotonic() - began
        address.unlink()

    def ask(self, sql: str) -> list[tuple]:
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@contextlib.contextmanager
def watched(place: Path, share: Path) -> Iterator[Watched]:
    daemon = Watched(place, share)
    try:
        yield daemon
    finally:
        daemon.stop()


def make_folders(share: Path, number: int) -> None:
    """100 folders in each folder, as deep as it needs."""
    share.mkdir()
    made = [share]
    for parent in made:
        for name in range(100):
            if len(made) > number:
                return
            made.append(parent / f"{name:02}")
            made[-1].mkdir()


def standing(place: Path, number: int, idle_seconds: float) -> None:
    """Start-up, memory and idle CPU on a tree of empty folders."""
    share = place / "share"
    make_folders(share, number)
    with watched(place, share) as daemon:
        first = resident(descendants(daemon.process.pid))
        # Decode workers are stopped after a minute of idleness; here none was started.
        time.sleep(5)
        pids = descendants(daemon.process.pid)
        before, began = cpu_seconds(pids), time.monotonic()
        time.sleep(idle_seconds)
        used = (cpu_seconds(pids) - before) / (time.monotonic() - began) * 100
        print(
            f"{number:>8,} folders: ready {daemon.ready_seconds:.1f} s, compared {daemon.compared_seconds:.1f} s,"
            f" memory {first / 1e6:.0f} MB in {len(pids)} processes, idle CPU % of a core"
            f" {verdict(used, IDLE_GOAL, at_least=False)}"
        )


def picture(shade: int) -> bytes:
    image = Image.linear_gradient("L").resize((124, 64)).convert("RGB")
    image.putpixel((shade % 124, shade // 124 % 64), (shade % 256, shade // 256 % 256, 7))
    stream = io.BytesIO()
    image.save(stream, "TIFF")
    return stream.getvalue()


class Arrivals(threading.Thread):
    """Notes when each file is first seen in the record, every 10 ms."""

    def __init__(self, database: Path) -> None:
        super().__init__(daemon=True)
        self._database = database
        self.seen: dict[str, float] = {}
        self.end = threading.Event()

    def run(self) -> None:
        connection = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=10)
        last = 0
        while not self.end.wait(0.01):
            rows = connection.execute("SELECT file_id, name FROM file WHERE file_id > ?", (last,)).fetchall()
            now = time.monotonic()
            for file_id, name in rows:
                last = max(last, file_id)
                self.seen[os.fsdecode(name)] = now
        connection.close()


def latency(place: Path, files: int) -> None:
    """From the close of a file to its committed record."""
    share = place / "share"
    share.mkdir()
    with watched(place, share) as daemon:
        arrivals = Arrivals(daemon.database)
        arrivals.start()
        closed: dict[str, float] = {}

        def put(name: str, content: bytes) -> None:
            (share / name).write_bytes(content)
            closed[name] = time.monotonic()

        put("first.tif", picture(0))
        until(lambda: "first.tif" in arrivals.seen, 60)  # the first of all starts a worker
        del closed["first.tif"]
        for number in range(files // 20):
            put(f"single{number}.tif", picture(1 + number))
            until(lambda name=f"single{number}.tif": name in arrivals.seen, 60, 0.005)
        report("one by one", closed, arrivals.seen)
        closed.clear()
        contents = [picture(10_000 + number) for number in range(files)]
        began = time.monotonic()
        for number, content in enumerate(contents):
            time.sleep(max(0.0, began + number / 100 - time.monotonic()))
            put(f"many{number}.tif", content)
        limit = time.monotonic() + 120
        while time.monotonic() < limit and not closed.keys() <= arrivals.seen.keys():
            time.sleep(0.05)
        if lost := sorted(closed.keys() - arrivals.seen.keys()):
            alive = daemon.process.poll() is None
            waiting = daemon.ask("SELECT count(*) FROM job")[0][0]
            print((place / "log").read_text()[-2000:])
            raise SystemExit(
                f"{len(lost)} of {files} files not recorded, {waiting} waiting, alive: {alive}: {lost[:5]}"
            )
        report("100 a second", closed, arrivals.seen)
        arrivals.end.set()
        arrivals.join()


def report(what: str, closed: dict[str, float], seen: dict[str, float]) -> None:
    waits = sorted(seen[name] - moment for name, moment in closed.items())
    half, most = statistics.median(waits), waits[min(len(waits) - 1, len(waits) * 99 // 100)]
    rest = verdict(most - SETTLE_SECONDS, REST_GOAL, at_least=False)
    print(
        f"{what:>16}: {len(waits):,} files, p50 {half:.2f} s, p99 {most:.2f} s, p99 beyond the settle time {rest}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folders", type=int, nargs="*", default=[5_000, 20_000])
    parser.add_argument("--idle", type=float, default=30.0)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--folder")
    words = parser.parse_args()
    for number in words.folders:
        with workplace(words.folder) as place:
            standing(Path(place), number, words.idle)
    if words.files:
        with workplace(words.folder) as place:
            latency(Path(place), words.files)


if __name__ == "__main__":
    main()
