"""Hints are coalesced, bounded, and lost by nobody."""

from __future__ import annotations

import random
import threading

from hypothesis import given
from hypothesis import strategies as st

from catalog.watch.hints import Hints, Sign, Trace, Writing, collapse
from catalog.watch.polling import ReconcileClock, Retries


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_signs_of_one_path_become_one_trace():
    clock = Clock()
    hints = Hints(clock=clock)
    for now, sign in ((1, Sign.CREATED), (2, Sign.MODIFIED), (3, Sign.CLOSED), (4, Sign.ATTRIB)):
        clock.now = now
        hints.mark(b"a.tif", sign)
    assert hints.drain() == {b"a.tif": Trace(1, 4, writing=Writing.CLOSED)}
    assert hints.drain() == {}


def test_a_name_that_left_and_came_back_is_there():
    hints = Hints(clock=Clock())
    hints.mark(b"a", Sign.LEFT)
    assert hints.drain()[b"a"].left
    hints.mark(b"a", Sign.LEFT)
    hints.mark(b"a", Sign.CREATED)
    trace = hints.drain()[b"a"]
    assert not trace.left
    assert trace.writing is Writing.CREATED


def test_beyond_the_limit_the_fullest_folder_becomes_one_subtree():
    hints = Hints(limit=10, clock=Clock())
    for i in range(8):
        hints.mark(b"full/%d" % i, Sign.CLOSED)
    for i in range(3):
        hints.mark(b"few%d/x" % i, Sign.CLOSED)
    assert hints.collapses == 1
    hints.mark(b"full/later", Sign.CLOSED)
    traces = hints.drain()
    assert sorted(traces) == [b"few0/x", b"few1/x", b"few2/x", b"full"]
    assert traces[b"full"].subtree
    assert not traces[b"few0/x"].subtree
    hints.mark(b"full/new", Sign.CLOSED)
    assert list(hints.drain()) == [b"full/new"]


def test_when_folders_do_not_help_the_whole_root_is_asked_for():
    hints = Hints(limit=10, clock=Clock())
    for i in range(30):
        hints.mark(b"d%d/x" % i, Sign.CLOSED)
    assert list(hints.drain()) == [b""]


def test_a_storm_of_new_folders_collapses_too():
    hints = Hints(limit=10, clock=Clock())
    for i in range(30):
        hints.mark(b"top/d%d" % i, Sign.SUBTREE)
    (path,) = hints.drain()
    assert path == b"top"


def test_a_reconcile_is_the_subtree_of_the_root():
    hints = Hints(clock=Clock())
    hints.ask_reconcile()
    traces = hints.drain()
    assert traces[b""].subtree


PATHS = st.lists(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(lambda p: "/".join(p).encode()), max_size=60
)


@given(PATHS, st.integers(2, 12))
def test_collapsing_keeps_every_path_covered(paths, limit):
    traces = {path: Trace.begun(Sign.CLOSED, i) for i, path in enumerate(paths)}
    before = dict(traces)
    collapse(traces, limit)
    assert len(traces) <= max(1, len(before))
    for path in before:
        above = [path] + [path[:i] for i, c in enumerate(path) if c == 47] + [b""]
        assert any(a in traces and (a == path or traces[a].subtree) for a in above)
    firsts = [trace.first_seen for trace in traces.values()]
    assert firsts == sorted(firsts)
    assert firsts[:1] == sorted(trace.first_seen for trace in before.values())[:1]


def test_marks_from_many_threads_are_all_there():
    hints = Hints()
    threads = [
        threading.Thread(target=lambda n=n: [hints.mark(b"%d/%d" % (n, i), Sign.CLOSED) for i in range(500)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    taken: set[bytes] = set()
    while any(thread.is_alive() for thread in threads):
        taken.update(hints.drain())
    for thread in threads:
        thread.join()
    taken.update(hints.drain())
    assert len(taken) == 2000


def test_waiting_ends_at_a_mark_and_a_wake():
    hints = Hints()
    assert not hints.wait(0)
    hints.mark(b"a", Sign.CLOSED)
    assert hints.wait(0)
    hints.drain()
    assert not hints.wait(0)
    hints.wake()
    assert hints.wait(0)


# --------------------------------------------------------------------------------------------- polling


def test_the_first_reconcile_is_due_at_once_and_the_next_after_the_interval():
    clock = ReconcileClock(60)
    assert clock.due(0)
    clock.finished(10, scan_seconds=1)
    assert not clock.due(69)
    assert clock.due(70)


def test_a_slow_scan_stretches_the_interval_to_a_tenth_of_the_time():
    clock = ReconcileClock(60)
    clock.finished(100, scan_seconds=20)
    assert clock.next_due() == 100 + 180


def test_jitter_stays_within_a_quarter():
    clock = ReconcileClock(3600, jitter=True, chance=random.Random(7))
    for _ in range(100):
        clock.finished(0, scan_seconds=1)
        assert 2700 <= clock.next_due() <= 4500


def test_what_fails_is_tried_again_less_and_less_often():
    retries = Retries(60, 200)
    retries.failed(0, [b"a", b"b"])
    retries.failed(30, [b"a"])
    assert retries.take(59) == []
    assert retries.take(60) == [b"a", b"b"]
    assert retries.take(1000) == []
    for now, wait in ((1000, 120), (2000, 200), (3000, 200)):
        retries.failed(now, [b"b", b"new%d" % now])
        assert retries.take(now + 60) == [b"new%d" % now]
        assert retries.take(now + wait - 1) == []
        assert retries.take(now + wait) == [b"b"]


def test_retries_are_bounded():
    retries = Retries(1, 1, limit=3)
    for number in range(100):
        retries.failed(number, [b"%d.%d" % (number, each) for each in range(5)])
        assert len(retries.take(number + 1)) == 3
        assert len(retries._waited) <= 9


def test_hurry_makes_it_due():
    clock = ReconcileClock(3600)
    clock.finished(0, 1)
    assert not clock.due(1)
    clock.hurry()
    assert clock.due(1)
