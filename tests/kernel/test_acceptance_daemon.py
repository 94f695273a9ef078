"""Acceptance of the watching in its full size: a real ``catalog watch``, stopped, flooded and killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import assert_record_is_truth, untrue
from tests.asking import Asking, picture
from tests.waiting import PATIENCE, sized

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240 * PATIENCE)]

SETTINGS = """
settle_seconds = 0.1
quiet_seconds = 0.4
writer_quiet_seconds = 2.0
absence_seconds = 0.5
guard_interval_seconds = 0.5
cookie_seconds = 1.0
reconcile_interval_seconds = 3600
include = ["*.dat"]
"""
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
TICKS = os.sysconf("SC_CLK_TCK")


class Watched:
    """A share and its daemons, one at a time."""

    def __init__(self, cli: Any, share: Path, eventually: Callable[..., Any]) -> None:
        self.cli, self.share, self._eventually = cli, share, eventually
        self.ask = Asking(cli.database)
        self.process: subprocess.Popen[bytes] | None = None
        cli.config.write_text(SETTINGS)

    def start(self) -> subprocess.Popen[bytes]:
        log = (self.cli.home / "log").open("ab")
        self.process = self.cli.start("watch", self.share, stdout=log, stderr=log, start_new_session=True)
        log.close()
        return self.process

    def end(self, sign: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(sign)
            self.process.send_signal(signal.SIGCONT)
            assert self.process.wait(60) in (0, -sign), (self.cli.home / "log").read_text()[-3000:]
            self.process = None

    def until(self, predicate: Callable[[], Any], timeout: float = 60.0) -> Any:
        return self._eventually(predicate, timeout, interval=0.1)

    def compared(self) -> None:
        self.until(lambda: self.ask("SELECT 1 FROM root WHERE last_reconcile_ms IS NOT NULL"), 100.0)

    def holds(self, number: int, timeout: float = 100.0) -> None:
        """So many files are recorded, and nothing waits."""
        count = "SELECT count(*) AS n FROM file WHERE presence = 1 AND content_id IS NOT NULL"
        self.until(lambda: self.ask(count)[0]["n"] == number and not self.ask("SELECT 1 FROM job"), timeout)

    def true(self, timeout: float = 100.0) -> None:
        self.until(lambda: not untrue(self.ask, self.share), timeout)

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = self.cli("status", "--json").json
        return told


@pytest.fixture
def watched(catalog_cli: Any, tmp_path: Path, eventually: Any) -> Iterator[Watched]:
    (tmp_path / "share").mkdir()
    made = Watched(catalog_cli, tmp_path / "share", eventually)
    try:
        yield made
        made.end()
        assert_record_is_truth(catalog_cli.database, made.share)
    finally:
        if made.process is not None:
            os.killpg(made.process.pid, signal.SIGKILL)
            made.process.wait()


@pytest.fixture
def alone_with_the_queue() -> Iterator[None]:
    """One test at a time may change what the kernel's queue holds, or count its overflows."""
    with QUEUE.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def small_files(folder: Path, number: int, first: int = 0) -> None:
    """Files that are catalogued by their bytes alone; every twentieth is a picture."""
    for shade in range(first, first + number):
        if shade % 20 == 0:
            picture(folder / f"{shade}.tif", shade)
        else:
            (folder / f"{shade}.dat").write_bytes(b"content %d" % shade)


def queue_limit() -> int:
    limit = int(QUEUE.read_text())
    if limit > 20_000:
        pytest.skip(f"fs.inotify.max_queued_events is {limit}: too many files to fill it")
    return limit


def test_stopped_daemon_catalogues_every_file_of_a_flood_when_it_goes_on(
    watched: Watched, alone_with_the_queue: None
) -> None:
    """T1: 20,000 files in one folder while the daemon does not run at all."""
    queue_limit()
    process = watched.start()
    watched.compared()
    process.send_signal(signal.SIGSTOP)
    small_files(watched.share, 20_000)
    process.send_signal(signal.SIGCONT)
    watched.holds(20_000)
    watched.true()
    told = watched.until(lambda: (d := watched.status()["daemon"])["overflows"] and d)
    assert told["overflows"] == 1, told


@pytest.mark.root
def test_queue_of_256_events_loses_no_file(watched: Watched, alone_with_the_queue: None) -> None:
    """T2: the kernel's queue is smaller than the events of one folder."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a smaller queue is a setting of the whole machine")
    before, per_folder = QUEUE.read_text(), sized(25, 50)
    try:
        try:
            QUEUE.write_text("256")
        except OSError as error:
            pytest.skip(f"the queue cannot be made smaller here: {error}")
        process = watched.start()
        # Its size is that of the moment when it was made.
        watched.until(lambda: b"inotify" in b"".join(links_of(process.pid)))
    finally:
        QUEUE.write_text(before)
    watched.compared()
    process.send_signal(signal.SIGSTOP)
    small_files(watched.share, 400)
    process.send_signal(signal.SIGCONT)
    for folder in range(number := sized(400, 1000)):
        (watched.share / f"{folder}").mkdir()
        for each in range(per_folder):
            (watched.share / f"{folder}" / f"{each}.dat").write_bytes(b"%d/%d" % (folder, each))
    watched.holds(400 + number * per_folder)
    watched.until(lambda: watched.status()["daemon"]["overflows"] >= 1)


def links_of(pid: int) -> Iterator[bytes]:
    """What the descriptors of a process lead to."""
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            yield os.fsencode(os.readlink(fd))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def test_twenty_thousand_folders_are_followed_from_the_start_and_after_an_overflow(
    watched: Watched, alone_with_the_queue: None
) -> None:
    """T3 and T4."""
    limit = queue_limit()
    if int(Path("/proc/sys/fs/inotify/max_user_watches").read_text()) < 25_000:
        pytest.skip("fs.inotify.max_user_watches is below 25,000")
    for number in range(20_000):
        (watched.share / f"{number // 200}" / f"{number}").mkdir(parents=number % 200 == 0)
    process = watched.start()
    watched.compared()
    last = watched.share / "99" / "19999"
    began = time.monotonic()
    picture(last / "first.tif", 1)
    watched.holds(1)
    seconds = time.monotonic() - began
    assert seconds < 15, f"{seconds:.1f} s"
    assert watched.status()["daemon"]["overflows"] == 0
    idle, before = threading.Event(), cpu_seconds(process.pid)
    idle.wait(10)
    used = (cpu_seconds(process.pid) - before) / 10
    assert used < 0.05, f"{used:.1%} of a processor while nothing happens"
    process.send_signal(signal.SIGSTOP)
    small_files(watched.share / "0" / "0", limit // 2 + 500)
    process.send_signal(signal.SIGCONT)
    watched.holds(limit // 2 + 501)
    picture(last / "late.tif", 2)
    watched.holds(limit // 2 + 502)
    watched.until(lambda: watched.status()["daemon"]["overflows"] == 1)


def test_killed_daemons_lose_nothing_of_what_comes_in_meanwhile(watched: Watched) -> None:
    """T22"""
    chance, over = random.Random(1), threading.Event()
    number, least = sized(6000, 20_000), sized(12, 100)

    def ingest() -> None:
        for start in range(0, number, 50):
            small_files(watched.share, 50, start)
            over.wait(0.2)

    writer = threading.Thread(target=ingest)
    writer.start()
    kills = 0
    try:
        while writer.is_alive() or kills < least:
            process = watched.start()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.7, 3.0))
            watched.end(signal.SIGKILL)
            kills += 1
    finally:
        over.set()
        writer.join()
    watched.start()
    watched.holds(number)
    rows = watched.ask("SELECT count(*) AS n, count(DISTINCT relative_path) AS paths FROM v_file")
    assert rows == [{"n": number, "paths": number}]
    assert watched.ask.events("missing", "changed", "moved") == []


def test_changes_are_recorded_soon_at_a_hundred_a_second(watched: Watched) -> None:
    """T28: from the close of a file to its record, for 99 of 100."""
    watched.start()
    watched.compared()
    closed, pace = dict[str, float](), threading.Event()
    picture(watched.share / "warm.tif", 5000)
    watched.holds(1)
    for number in range(600):
        name = f"{number}.dat"
        (watched.share / name).write_bytes(b"content %d" % number)
        closed[name] = time.time()
        pace.wait(0.01)
    watched.holds(601)
    rows = watched.ask(
        "SELECT CAST(f.name AS TEXT) AS name, e.at_ms FROM event AS e JOIN file AS f ON f.file_id = e.file_id"
    )
    waited = sorted(row["at_ms"] / 1000 - closed[row["name"]] for row in rows if row["name"] in closed)
    assert len(waited) == 600
    assert waited[round(0.99 * 600)] < 4.0, (statistics.median(waited), waited[-5:])


def test_nothing_is_lost_at_five_thousand_changes_a_second(watched: Watched) -> None:
    """T28: as quick as one writer can, the same files again and again."""
    watched.start()
    watched.compared()
    end, changes = time.monotonic() + sized(8, 60), 0
    while time.monotonic() < end:
        for number in range(500):
            with open(watched.share / f"{number}.dat", "wb", buffering=0) as stream:
                stream.write(b"%d %d" % (number, changes))
            changes += 1
    assert changes > 8000
    watched.true()


def test_unchanged_share_is_compared_without_reading_it_and_in_little_memory(
    catalog_cli: Any, tmp_path: Path
) -> None:
    """T26; ``benchmarks/rescan.py`` and ``benchmarks/memory.py`` measure it whole."""
    catalog_cli.config.write_text(SETTINGS)
    share, empty = tmp_path / "share", tmp_path / "empty"
    files = sized(20_000, 100_000)
    for number in range(files):
        if number % 500 == 0:
            (share / f"{number // 500}").mkdir(parents=True)
        (share / f"{number // 500}" / f"{number}.dat").write_bytes(b"content %d" % number)
    empty.mkdir()
    assert catalog_cli("scan", share, timeout=200 * PATIENCE).code == 0
    told = catalog_cli("scan", share, "--json").json
    assert (told["files"]["not_reread"], told["bytes_read"]) == (files, 0)
    grown = peak_bytes(catalog_cli, share) - peak_bytes(catalog_cli, empty)
    assert grown < min(1000 * files, 60_000_000), f"{grown:,} bytes for {files:,} files"
    assert_record_is_truth(catalog_cli.database, share)


def peak_bytes(cli: Any, folder: Path) -> int:
    """The most memory that a scan of a folder had, its processes apart."""
    nothing = subprocess.DEVNULL
    with cli.start("scan", folder, stdout=nothing, stderr=nothing) as scanning:
        _, status, usage = os.wait4(scanning.pid, 0)
        scanning.returncode = os.waitstatus_to_exitcode(status)
    assert scanning.returncode == 0
    return int(usage.ru_maxrss) * 1024
