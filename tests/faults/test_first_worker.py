"""Decode workers start with the first file that needs one, and the decoder epoch is known before it is needed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from catalog.config import Settings
from catalog.inspection import Pool
from catalog.service.opening import cataloguing, make_ready
from catalog.service.scan import ScanResult, scan, targets
from catalog.service.session import Session
from tests.faults.poisoned_share import HERE, Share, check_good, finish, pids


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


DIES_ONCE = """
import os
from poison import analyse, toolchain as told

def toolchain():
    try:
        os.unlink({once!r})
    except FileNotFoundError:
        return told()
    open({gate!r}).close()
    os._exit(3)
"""


def test_the_epoch_is_told_though_the_first_worker_dies_over_it(share: Share, tmp_path: Path) -> None:
    once, gate, library = tmp_path / "once", tmp_path / "gate", tmp_path / "library"
    once.touch()
    os.mkfifo(gate)
    library.mkdir()
    (library / "dies_once.py").write_text(DIES_ONCE.format(once=str(once), gate=str(gate)))
    jobs = share.fill(128)
    with share.pool(analyser="dies_once:analyse", python_path=[str(library), str(HERE)]) as pool:
        for job in jobs:
            pool.submit(job)
        end = time.monotonic() + 30
        while len(pool._looked) < len(jobs):  # all that is left waits for the epoch
            pool.poll(0.1)
            assert time.monotonic() < end
        os.close(os.open(gate, os.O_WRONLY))  # nothing is written: the worker may be dead by then
        found = finish(pool)
    assert len(found) == len(jobs)
    for inspection in found.values():
        check_good(share, inspection)
