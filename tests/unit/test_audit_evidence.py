"""Evidence of checks: what is kept of it, and that nothing that failed can be lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.query.audits import Check, checks_of_file
from catalog.query.opening import opened
from catalog.record.checks import BACKGROUND, LAST_PASSES, AuditRuns, Checks, thinned
from catalog.record.runs import Runs
from catalog.store import chain
from catalog.terms import CheckResult, ReadHow
from tests.recordings import START_NS, Shelf, digest, saved, stat


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with Shelf(tmp_path) as opened_shelf:
        opened_shelf.see(b"a.tif", "a")
        yield opened_shelf


def kept(shelf: Shelf) -> list[Check]:
    with opened(shelf.database) as connection:
        return checks_of_file(connection, shelf.row(b"a.tif").file_id)


# --------------------------------------------------------------------------------------------- retention


@given(st.lists(st.booleans(), max_size=40))
def test_thinning_keeps_failures_their_neighbours_the_first_pass_and_the_last_five(
    passed: list[bool],
) -> None:
    dropped = set(thinned(passed))
    passes = [place for place, good in enumerate(passed) if good]
    for place, good in enumerate(passed):
        beside = (place and not passed[place - 1]) or (place + 1 < len(passed) and not passed[place + 1])
        must = not good or beside or place in passes[:1] or place in passes[-LAST_PASSES:]
        assert (place not in dropped) == bool(must)


@given(st.lists(st.booleans(), max_size=40))
def test_thinning_at_each_check_keeps_at_least_what_thinning_at_the_end_keeps(passed: list[bool]) -> None:
    rows: list[tuple[int, bool]] = []
    for number, good in enumerate(passed):
        rows.append((number, good))
        for place in reversed(thinned([each[1] for each in rows])):
            del rows[place]
    at_the_end = set(range(len(passed))) - set(thinned(passed))
    assert at_the_end <= {number for number, _ in rows}
    fails = passed.count(False)
    assert len(rows) <= 3 * fails + LAST_PASSES + 1


def test_of_many_passes_the_first_and_the_last_five_stay(shelf: Shelf) -> None:
    checks, row = Checks(shelf.recorder.batch), shelf.row(b"a.tif")
    for moment in range(1, 21):
        checks.passed(row.file_id, moment, row.rev_id, ReadHow.UNCACHED)
    shelf.recorder.commit()
    assert [each.at_ms for each in kept(shelf)] == [1, 16, 17, 18, 19, 20]
    assert {each.sha256 for each in kept(shelf)} == {digest("a")}


def test_passes_beside_a_failure_stay_for_good(shelf: Shelf) -> None:
    checks, row = Checks(shelf.recorder.batch), shelf.row(b"a.tif")
    for moment in range(1, 31):
        if moment == 10:
            checks.failed(row.file_id, moment, CheckResult.UNREADABLE, ReadHow.UNCACHED, detail="EIO")
        else:
            checks.passed(row.file_id, moment, row.rev_id, ReadHow.UNCACHED)
    shelf.recorder.commit()
    assert [each.at_ms for each in kept(shelf)] == [1, 9, 10, 11, 26, 27, 28, 29, 30]


def test_a_check_that_failed_can_be_neither_deleted_nor_rewritten(shelf: Shelf) -> None:
    checks, row = Checks(shelf.recorder.batch), shelf.row(b"a.tif")
    checks.passed(row.file_id, 1, row.rev_id, ReadHow.UNCACHED)
    checks.failed(row.file_id, 2, CheckResult.ROT, ReadHow.UNCACHED, sha256=digest("rotten"))
    shelf.recorder.commit()
    with closing(sqlite3.connect(shelf.database)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="did not pass"):
            connection.execute("DELETE FROM evidence")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("UPDATE evidence SET result = 1")


def test_a_new_content_was_never_audited(shelf: Shelf) -> None:
    checks, row = Checks(shelf.recorder.batch), shelf.row(b"a.tif")
    checks.stamp(row.file_id, 1000)
    shelf.see(b"a.tif", "b", at=saved(stat()))
    assert shelf.ask("SELECT audited_ms FROM file_check WHERE file_id = ?", row.file_id) == []


def test_a_scan_that_reads_again_verifies_and_does_not_audit(shelf: Shelf) -> None:
    touched = stat(ctime_ns=START_NS + 1)
    shelf.see(b"a.tif", "a", at=touched, started_ms=5000)
    assert shelf.ask("SELECT verified_ms, audited_ms FROM file_check") == [
        {"verified_ms": 5000, "audited_ms": None}
    ]


# -------------------------------------------------------------------------------------------------- runs


def runs_of(shelf: Shelf) -> AuditRuns:
    return AuditRuns(shelf.recorder.batch, Runs(shelf.recorder.batch))


def test_a_killed_audit_is_gone_on_with_until_it_is_complete(shelf: Shelf) -> None:
    runs = runs_of(shelf)
    first = runs.begin("audit", ["/share"], {})
    second = runs.begin("audit", ["/share"], {"max_files": 3})
    assert (second.since_ms, second.resumed) == (first.since_ms, True)
    runs.finish(second.run_id, "interrupted", {}, None, None)
    third = runs.begin("audit", ["/share"], {})
    assert third.since_ms == first.since_ms
    runs.finish(third.run_id, "complete", {"checked": 1}, None, "alice")
    fourth = runs.begin("audit", ["/share"], {})
    assert not fourth.resumed


def test_an_audit_of_something_else_is_not_gone_on_with(shelf: Shelf) -> None:
    runs = runs_of(shelf)
    runs.begin("audit", ["/share/a"], {})
    assert not runs.begin("audit", [], {}).resumed
    assert not runs.begin(BACKGROUND, ["/share/a"], {}).resumed


def test_an_audit_that_was_interrupted_long_ago_is_begun_anew(shelf: Shelf) -> None:
    runs = runs_of(shelf)
    first = runs.begin("audit", [], {})
    shelf.recorder.batch.execute("UPDATE run SET heartbeat_ms = 1000 WHERE run_id = ?", (first.run_id,))
    shelf.recorder.commit()
    assert not runs.begin("audit", [], {}).resumed


def test_the_end_of_an_audit_is_sealed_with_its_counts(shelf: Shelf) -> None:
    runs = runs_of(shelf)
    run = runs.begin("audit", ["/share"], {"percent": 5})
    runs.finish(run.run_id, "complete", {"checked": 7, "intact": 7}, shelf.root_id, "alice")
    (event,) = shelf.ask("SELECT * FROM v_event WHERE kind = 'audit'")
    assert event["actor"] == "alice"
    for words in ('"checked":7', '"scope":["/share"]', '"percent":5', '"status":"complete"'):
        assert words in event["detail"]
    with closing(sqlite3.connect(shelf.database)) as connection:
        assert chain.verify(connection) is None
        connection.execute("DROP TRIGGER tr_event_no_update")
        connection.execute("UPDATE event SET detail = replace(detail, '7', '8') WHERE kind = 23")
        assert chain.verify(connection) is not None
