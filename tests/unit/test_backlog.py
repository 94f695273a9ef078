"""The durable queue: nothing that was hinted is forgotten, and nothing is done twice for one hint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.backlog import Backlog, Due
from catalog.backlog.journal import LONGEST_DELAY_SECONDS, MAX_ATTEMPTS
from catalog.terms import Change, Reason
from tests.conftest import CHECKOUT
from tests.recordings import Shelf


class Clock:
    """Catalogue milliseconds that stand still until they are told."""

    def __init__(self) -> None:
        self.now_ms = 1_760_000_000_000

    def __call__(self) -> int:
        return self.now_ms

    def pass_seconds(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


class Queue:
    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.clock = Clock()
        self.backlog = Backlog(shelf.recorder.batch, self.clock)

    def hint(self, *paths: bytes, delay_seconds: float = 0.0, root_id: int | None = None) -> int:
        changes = [Change(root_id or self.shelf.root_id, path, Reason.EVENT) for path in paths]
        number = self.backlog.enqueue(changes, delay_seconds=delay_seconds)
        self.shelf.recorder.commit()
        return number

    def due(self, limit: int = 100) -> list[Due]:
        return self.backlog.due(limit, [self.shelf.root_id])

    def paths(self) -> list[bytes]:
        return [job.path for job in self.due()]


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with Shelf(tmp_path) as shelf:
        yield Queue(shelf)


def test_a_hint_is_due_until_it_is_acknowledged(queue: Queue) -> None:
    assert queue.hint(b"a.tif", b"\xff.tif", b"a.tif") == 3
    assert queue.paths() == [b"a.tif", b"\xff.tif"]
    assert queue.paths() == [b"a.tif", b"\xff.tif"]
    assert queue.backlog.waiting() == 2
    queue.backlog.acknowledge(queue.due()[0])
    queue.shelf.recorder.commit()
    assert queue.paths() == [b"\xff.tif"]


def test_a_hint_that_comes_in_while_the_path_is_inspected_survives(queue: Queue) -> None:
    queue.hint(b"a.tif")
    (inspected,) = queue.due()
    queue.hint(b"a.tif")
    queue.backlog.acknowledge(inspected)
    queue.shelf.recorder.commit()
    (again,) = queue.due()
    assert (again.path, again.generation, again.attempts) == (b"a.tif", inspected.generation + 1, 0)
    queue.backlog.postpone(inspected, "still being written")
    assert queue.due() == [again]
    queue.backlog.acknowledge(again)
    assert queue.backlog.waiting() == 0


def test_a_late_acknowledgement_never_hits_a_newer_row(queue: Queue) -> None:
    """The same path may be given out twice; its row's number must not come back for another hint."""
    queue.hint(b"a.tif")
    (first,) = queue.due()
    queue.backlog.acknowledge(first)
    queue.shelf.recorder.commit()
    queue.hint(b"b.tif")
    queue.backlog.acknowledge(first)
    queue.shelf.recorder.commit()
    assert queue.paths() == [b"b.tif"]
    queue.hint(b"a.tif")
    queue.backlog.acknowledge(first)
    queue.shelf.recorder.commit()
    assert sorted(queue.paths()) == [b"a.tif", b"b.tif"]


def test_the_oldest_is_due_first_and_only_of_roots_that_are_asked_for(queue: Queue) -> None:
    other = queue.shelf.roots.add(b"/other").root_id
    queue.hint(b"late.tif", delay_seconds=5)
    queue.hint(b"1.tif", b"2.tif")
    queue.hint(b"other.tif", delay_seconds=-1, root_id=other)
    assert queue.paths() == [b"1.tif", b"2.tif"]
    assert [job.path for job in queue.backlog.due(2, [queue.shelf.root_id, other])] == [
        b"other.tif",
        b"1.tif",
    ]
    assert queue.backlog.due(10, []) == []
    queue.clock.pass_seconds(5)
    assert queue.paths() == [b"1.tif", b"2.tif", b"late.tif"]
    assert [job.path for job in queue.due(limit=1)] == [b"1.tif"]


def test_the_time_of_the_next_path(queue: Queue) -> None:
    other = queue.shelf.roots.add(b"/other").root_id
    assert queue.backlog.next_due_seconds() is None
    queue.hint(b"a.tif", delay_seconds=7)
    queue.hint(b"b.tif", delay_seconds=3, root_id=other)
    assert queue.backlog.next_due_seconds() == 3
    assert queue.backlog.next_due_seconds([queue.shelf.root_id]) == 7
    queue.clock.pass_seconds(60)
    assert queue.backlog.next_due_seconds() == 0
    assert queue.backlog.next_due_seconds([]) is None


def test_a_path_that_fails_is_tried_again_at_growing_distances(queue: Queue) -> None:
    queue.hint(b"a.tif")
    waits = []
    for attempt in range(8):
        (job,) = queue.due()
        assert job.attempts == attempt
        more = queue.backlog.postpone(job, "Input/output error")
        assert more is (attempt + 1 < MAX_ATTEMPTS)
        assert queue.due() == []
        wait = queue.backlog.next_due_seconds()
        assert wait is not None
        waits.append(wait)
        queue.clock.pass_seconds(wait)
    assert waits == [1, 4, 16, 64, 256, 1024, LONGEST_DELAY_SECONDS, LONGEST_DELAY_SECONDS]
    queue.shelf.recorder.commit()
    assert queue.shelf.ask("SELECT attempts, last_failure FROM job") == [
        {"attempts": 8, "last_failure": "Input/output error"}
    ]


def test_even_after_thousands_of_attempts_there_is_a_next_one(queue: Queue) -> None:
    queue.hint(b"a.tif")
    (job,) = queue.due()
    assert queue.backlog.postpone(Due(job.job_id, job.root_id, job.path, job.generation, 5_000), "x") is False
    assert queue.backlog.next_due_seconds() == LONGEST_DELAY_SECONDS


def test_a_delay_can_be_named(queue: Queue) -> None:
    queue.hint(b"a.tif")
    queue.backlog.postpone(queue.due()[0], "still being written", delay_seconds=60)
    assert queue.backlog.next_due_seconds() == 60


def test_a_new_hint_has_its_turn_at_once_and_all_its_attempts(queue: Queue) -> None:
    queue.hint(b"a.tif")
    queue.backlog.postpone(queue.due()[0], "Input/output error", delay_seconds=100)
    queue.hint(b"a.tif")
    (job,) = queue.due()
    assert (job.attempts, job.generation) == (0, 2)


def test_a_delayed_hint_never_puts_off_one_that_waits(queue: Queue) -> None:
    queue.hint(b"a.tif")
    queue.hint(b"a.tif", delay_seconds=60)
    assert queue.paths() == [b"a.tif"]


def test_a_result_and_its_acknowledgement_are_one_commit(queue: Queue) -> None:
    queue.hint(b"a.tif")
    (job,) = queue.due()
    queue.shelf.see(b"a.tif", "a", commit=False)
    queue.backlog.acknowledge(job)
    queue.shelf.recorder.rollback()
    assert queue.due() == [job]
    assert queue.shelf.recorder.rows.at(queue.shelf.root_id, b"a.tif") is None
    queue.shelf.see(b"a.tif", "a", commit=False)
    queue.backlog.acknowledge(job)
    queue.shelf.recorder.commit()
    assert queue.backlog.waiting() == 0
    assert queue.shelf.one("SELECT count(*) FROM file") == 1


def test_an_offline_share_does_not_slow_down_the_others(queue: Queue) -> None:
    """The hundred thousand due paths of a share that is gone are not walked over at each turn."""
    plan = queue.shelf.ask(
        "EXPLAIN QUERY PLAN SELECT not_before_ms, job_id, root_id, path, generation, attempts FROM job"
        " WHERE root_id = 1 AND not_before_ms <= 5 ORDER BY not_before_ms, job_id LIMIT 9"
    )
    assert [step["detail"] for step in plan] == [
        "SEARCH job USING INDEX ix_job_due (root_id=? AND not_before_ms<?)"
    ]


ENQUEUE = """
import os, signal, sys
from pathlib import Path
from catalog.backlog import Backlog
from catalog.terms import Change, Reason
from tests.recordings import Shelf

shelf = Shelf(Path(sys.argv[1]))
backlog = Backlog(shelf.recorder.batch)
number = 0
while True:
    changes = [Change(shelf.root_id, b"%d.tif" % (number + each), Reason.EVENT) for each in range(20)]
    shelf.recorder.batch.begin(durable=False)
    backlog.enqueue(changes)
    shelf.recorder.commit()
    number += 20
    os.write(1, b"%d\\n" % number)
"""


def test_kill_9_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENQUEUE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(25)][-1]
        process.kill()
        acknowledged = max([acknowledged, *map(int, process.stdout.read().split(b"\n")[:-1])])
        assert process.wait(timeout=10) == -signal.SIGKILL
    assert os.path.getsize(tmp_path / "catalog.sqlite3-wal") > 0
    with Shelf(tmp_path) as shelf:
        backlog = Backlog(shelf.recorder.batch)
        waiting = backlog.waiting()
        # One batch may have been committed without having been told.
        assert waiting in (acknowledged, acknowledged + 20)
        shelf.check()
