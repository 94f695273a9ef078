"""Acceptance of the watching, where events fail: lost, late, wrong, or heard by nobody (docs/watching.md)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.service.watching import ShareWatch
from catalog.watch.hints import Sign
from tests.acceptance import assert_record_is_truth, untrue
from tests.asking import picture
from tests.in_process import Cataloguing, Watching, cataloguing_in
from tests.waiting import sized

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, share: Path) -> Iterator[Cataloguing]:
    with cataloguing_in(tmp_path) as home:
        home.add(share)
        yield home
    assert_record_is_truth(home.database, share)


def watched(home: Cataloguing, watching: Watching) -> ShareWatch:
    """The watch of the only share, once it is compared for the first time."""
    watching.until(lambda: home.ask("SELECT 1 FROM root WHERE last_reconcile_ms IS NOT NULL"), 60.0)
    (watch,) = watching.daemon.watches.values()
    return watch


def true_to(home: Cataloguing, share: Path) -> bool:
    return not untrue(home.ask, share)


def observer(watch: ShareWatch) -> Any:
    source: Any = watch.events._source
    return source._observing._observer


def test_files_of_a_burst_that_overflows_the_queue_are_all_catalogued(home: Cataloguing, share: Path) -> None:
    """T1 in small: the reader is held up as that of a stopped process is."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip(f"fs.inotify.max_queued_events is {limit}: too many files to fill it")
    with home.watching() as watching:
        watch = watched(home, watching)
        with observer(watch).reader._lock:
            for number in range(limit // 2 + 1000):
                os.close(os.open(share / f"{number}.filler", os.O_CREAT | os.O_WRONLY))
            for shade in range(100):
                picture(share / f"{shade}.tif", shade)
        for number in range(limit // 2 + 1000):
            (share / f"{number}.filler").unlink()
        watching.until(lambda: true_to(home, share), 60.0)
        assert watch.status()["overflows"] >= 1
        watching.until(lambda: not watch.status()["reconciling"])
        picture(share / "late.tif", 500)
        watching.until(lambda: true_to(home, share))


def test_the_four_commands_that_end_the_reader_cost_one_rebuild_and_no_file(
    home: Cataloguing, share: Path, tmp_path: Path
) -> None:
    """T5"""
    (share / "scan").mkdir()
    (share / "other").mkdir()
    with home.watching() as watching:
        watch = watched(home, watching)
        (share / "scan").rename(tmp_path / "scan")
        (share / "scan").mkdir()
        inode = (share / "scan").stat().st_ino
        # Else the new folder is gone before it is watched, and nothing breaks.
        watching.until(lambda: not watch.events.bare([(b"scan", inode)]))
        (share / "scan").rmdir()
        (tmp_path / "scan").rmdir()
        watching.until(lambda: watch.status()["rebuilds"] == 1)
        picture(share / "other" / "next.tif", 1)
        watching.until(lambda: true_to(home, share))
        assert watch.status()["rebuilds"] == 1


def test_an_event_that_raises_costs_one_rebuild_and_no_file(
    home: Cataloguing, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T7, the first half."""
    with home.watching() as watching:
        watch = watched(home, watching)
        mark, raised = watch.hints.mark, threading.Event()

        def broken(path: bytes, sign: Sign) -> None:
            if path == b"poison.tif" and not raised.is_set():
                raised.set()
                raise KeyboardInterrupt
            mark(path, sign)

        monkeypatch.setattr(watch.hints, "mark", broken)
        picture(share / "poison.tif", 1)
        picture(share / "next.tif", 2)
        watching.until(lambda: raised.is_set() and true_to(home, share))
        watching.until(lambda: watch.status()["rebuilds"] == 1)
        picture(share / "later.tif", 3)
        watching.until(lambda: true_to(home, share))


def test_a_reader_that_ends_costs_one_rebuild_and_no_file(home: Cataloguing, share: Path) -> None:
    """T7, the second half."""
    with home.watching() as watching:
        watch = watched(home, watching)
        reader = observer(watch).reader
        reader._stopped_event.set()
        os.utime(share)  # an event lets it see that
        while reader.is_alive():
            reader.join(0.01)
        picture(share / "unheard.tif", 1)
        watching.until(lambda: true_to(home, share))
        assert watch.status()["rebuilds"] == 1
        picture(share / "heard.tif", 2)
        watching.until(lambda: true_to(home, share))
        assert watch.status()["rebuilds"] == 1


@pytest.mark.parametrize(
    ("number", "milliseconds"),
    [
        (40, 0),
        pytest.param(1000, 0, marks=pytest.mark.slow),
        pytest.param(1000, 3, marks=pytest.mark.slow),
        pytest.param(300, 10, marks=pytest.mark.slow),
    ],
)
def test_files_in_folders_made_that_instant_are_all_catalogued(
    home: Cataloguing, share: Path, number: int, milliseconds: int
) -> None:
    """T6"""
    shade = 0
    with home.watching() as watching:
        watched(home, watching)
        pace = threading.Event()

        def write() -> None:
            nonlocal shade
            for folder in range(number):
                picture(share / f"{folder}" / "1" / "2" / "3" / "4" / "deep.tif", 2 * folder)
                picture(share / f"{folder}" / "top.tif", 2 * folder + 1)
                shade += 2
                pace.wait(milliseconds / 1000)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            watching.until(lambda: not writer.is_alive(), 60.0)
        finally:
            writer.join()
        assert shade == 2 * number
        watching.until(lambda: len(home.ask.record()) == 2 * number and true_to(home, share), 60.0)


@pytest.mark.parametrize("share_of_files", [0.15, 0.3])
def test_a_mass_of_deletions_is_held_and_fewer_are_believed(
    tmp_path: Path, share: Path, share_of_files: float
) -> None:
    """T12"""
    number = sized(2000, 10_000)
    for shade in range(number):
        picture(share / f"{shade % 20}" / f"{shade}.tif", shade)
    # Longer than the deletions take: those that are believed before they are many are no mass yet.
    with cataloguing_in(tmp_path, absence_seconds=sized(2, 10)) as home:
        home.add(share)
        with home.watching() as watching:
            watched(home, watching)
            watching.until(lambda: len(home.ask.record()) == number and true_to(home, share), 60.0)
            gone = sorted(share.rglob("*.tif"))[: int(number * share_of_files)]
            for path in gone:
                path.unlink()
            began = time.monotonic()
            if share_of_files > 0.2:
                held = "SELECT n_held FROM root"
                watching.until(lambda: home.ask(held)[0]["n_held"] == len(gone), 60.0)
                assert home.ask.events("missing") == []
                states = list(home.ask.states().values())
                assert (states.count("suspect"), states.count("present")) == (len(gone), number - len(gone))
                return
            watching.until(lambda: true_to(home, share), 60.0)
            assert len(home.ask.events("missing")) == len(gone), time.monotonic() - began
    assert_record_is_truth(home.database, share)
