"""Acceptance of the watching: kill -9 between the reading of files and the commit of what was read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance import assert_record_is_truth
from tests.asking import Asking, picture, truth
from tests.in_process import cataloguing_in, check

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, signal, sys
from pathlib import Path
from catalog.record import Recorder
from tests.in_process import cataloguing_in

share, folder, moment, left = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
commit, record = Recorder.commit, Recorder.record

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def record_or_die(self, *words):
    global left
    recorded = record(self, *words)
    left -= 1
    if moment == "recording" and not left:
        die()
    return recorded

def commit_or_die(self):
    last = left <= 0 and self.batch.open
    if last and moment == "before the commit":
        die()
    commit(self)
    if last and moment == "after the commit":
        die()

Recorder.commit, Recorder.record = commit_or_die, record_or_die
with cataloguing_in(folder) as home:
    home.scan(share)
"""


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("before the commit", 60),
        pytest.param("recording", 1, marks=pytest.mark.slow),
        pytest.param("recording", 40, marks=pytest.mark.slow),
        pytest.param("after the commit", 60, marks=pytest.mark.slow),
    ],
)
def test_a_kill_around_the_commit_leaves_rows_whole_or_absent(
    tmp_path: Path, moment: str, number: int
) -> None:
    """T23"""
    share = tmp_path / "share"
    for shade in range(60):
        picture(share / f"{shade % 5}" / f"{shade}.tif", shade)
    died = subprocess.run(
        [sys.executable, "-c", PROGRAM, share, tmp_path, moment, str(number)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    database = tmp_path / "catalog.sqlite3"
    check(str(database))
    there = truth(share)
    assert Asking(database).record().items() <= there.items()
    with cataloguing_in(tmp_path) as home:
        home.scan(share)
    assert_record_is_truth(database, share)
    assert Asking(database).events("missing", "changed", "moved") == []
