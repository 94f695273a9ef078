"""Decode workers start with the first file that needs one, and the decoder epoch is known before it is needed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from catalog.config import Settings
from catalog.inspection import Pool
from catalog.service.opening import cataloguing, make_ready
from catalog.service.scan import ScanResult, scan, targets
from catalog.service.session import Session
from tests.faults.poisoned_share import Share, check_good, finish, pids


def scanned(session: Session, folder: Path) -> ScanResult:
    return scan(session, targets(session.roots, [os.fsencode(folder)], name=None, actor=None))


def test_a_scan_that_finds_nothing_new_starts_no_worker(tmp_path: Path) -> None:
    folder, database = tmp_path / "share", str(tmp_path / "catalog.sqlite3")
    folder.mkdir()
    Image.linear_gradient("L").save(folder / "a.tif")
    make_ready(database)
    with cataloguing(database, Settings(), "scan") as session:
        assert pids(session.pool) == []
        assert scanned(session, folder).tally.new == 1
        assert pids(session.pool)
    with cataloguing(database, Settings(), "scan") as session:
        assert scanned(session, folder).tally.unchanged == 1
        assert pids(session.pool) == []


def test_a_missing_file_alone_is_recorded(tmp_path: Path) -> None:
    folder, database = tmp_path / "share", str(tmp_path / "catalog.sqlite3")
    folder.mkdir()
    Image.linear_gradient("L").save(folder / "a.tif")
    Image.linear_gradient("L").rotate(90).save(folder / "b.tif")
    make_ready(database)
    with cataloguing(database, Settings(), "scan") as session:
        scanned(session, folder)
    (folder / "b.tif").unlink()
    with cataloguing(database, Settings(), "scan") as session:
        assert scanned(session, folder).tally.missing == 1


def test_known_is_asked_only_when_the_toolchain_is_there(share: Share) -> None:
    asked: list[bool] = []
    jobs = share.fill(300)

    def known(digests: Sequence[bytes]) -> set[bytes]:
        asked.append(pool._toolchain is not None)
        return set()

    pool: Pool
    with share.pool(known=known) as pool:
        found = finish(pool, jobs)
    assert len(found) == 300
    assert asked and all(asked)


def test_the_epoch_is_told_though_the_first_worker_dies_over_it(share: Share) -> None:
    jobs = share.fill(100)
    with share.pool(workers=2) as pool:
        for job in jobs:
            pool.submit(job)
        end = time.monotonic() + 30
        while not (first := [worker for worker in pool._crew.workers if worker.asked]):
            pool.poll(0.0)
            assert time.monotonic() < end
        assert not first[0].ready
        os.kill(first[0].pid, signal.SIGKILL)
        found = finish(pool)
        assert pool._toolchain is not None
    assert len(found) == 100
    for inspection in found.values():
        check_good(share, inspection)
