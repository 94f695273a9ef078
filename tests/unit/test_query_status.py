"""Is the answer complete, and is anything wrong?"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import Connection

from catalog.query.resolving import resolve
from catalog.query.standing import lock_held, now_ms, standing
from catalog.query.status import BACKLOG_LATE_MS, HEARTBEAT_LATE_MS, status
from catalog.record.runs import Runs
from catalog.store import schema
from catalog.store.lock import CataloguingLock
from catalog.terms import EventKind, Kind, Outcome, Presence, RootState, Severity
from tests.recordings import Shelf
from tests.unit.catalogue_rows import NOON_MS, CatalogueRows, Picture


def lacking(rows: CatalogueRows, connection: Connection, **scope: object) -> list[tuple[str, str, int]]:
    found = standing(connection, resolve(connection, **scope), rows.database)  # type: ignore[arg-type]
    assert found.complete is (not found.incomplete)
    return [(each.root, each.reason, each.files) for each in found.incomplete]


def dead_pid() -> int:
    """The number of a process that has just ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    return ended.pid


def run(rows: CatalogueRows, root: int, pid: int, status_word: str = "running") -> None:
    host = socket.gethostname()
    rows.put(
        schema.run, kind="reconcile", root_id=root, started_ms=NOON_MS, status=status_word, pid=pid, host=host
    )


# ------------------------------------------------------------------------------------------- completeness


def test_a_quiet_catalogue_is_complete(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r")
    rows.file(root, b"a", Picture(bytes="1"))
    rows.file(root, b"b", Picture(bytes="2", pixels=None), outcome=Outcome.UNDECODABLE, reason="short")
    rows.file(root, b"c", Picture(bytes="3"), outcome=Outcome.UNREADABLE, presence=Presence.MISSING)
    assert lacking(rows, connection) == []


@pytest.mark.parametrize("state", [RootState.OFFLINE, RootState.REPLACED, RootState.HUNG])
def test_a_share_that_is_not_online_makes_it_incomplete(
    rows: CatalogueRows, connection: Connection, state: RootState
) -> None:
    root = rows.root("far", b"/far", state=state)
    rows.root("near", b"/near")
    rows.file(root, b"x/a", Picture(bytes="1"))
    rows.file(root, b"b", Picture(bytes="2"), presence=Presence.SUSPECT)
    rows.file(root, b"c", Picture(bytes="3"), presence=Presence.MISSING)
    assert lacking(rows, connection) == [("far", state.value, 2)]
    assert lacking(rows, connection, paths=[b"/far/x"]) == [("far", state.value, 1)]
    assert lacking(rows, connection, globs=["b"]) == [("far", state.value, 1)]
    assert lacking(rows, connection, roots=["near"]) == []


def test_files_that_wait_or_cannot_be_read_are_counted_in_the_scope(
    rows: CatalogueRows, connection: Connection
) -> None:
    root = rows.root("r", b"/r")
    rows.file(root, b"x/a", None)
    rows.file(root, b"x/b", Picture(bytes="1"), outcome=Outcome.UNREADABLE)
    rows.file(root, b"c", Picture(bytes="2"), outcome=Outcome.UNREADABLE)
    for number in range(3):
        rows.job(root, b"new/%d" % number)
    assert lacking(rows, connection) == [("r", "pending", 3), ("r", "unreadable", 2)]
    assert lacking(rows, connection, paths=[b"/r/x"]) == [("r", "pending", 1), ("r", "unreadable", 1)]
    assert lacking(rows, connection, globs=["new/[01]"]) == [("r", "pending", 2)]


def test_a_share_that_was_never_scanned_to_the_end(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r", reconciled_ms=None)
    assert lacking(rows, connection) == [("r", "never scanned to the end", 0)]
    run(rows, root, dead_pid())
    connection.rollback()
    assert lacking(rows, connection) == [("r", "scan interrupted", 0)]


def test_a_killed_scan_is_told_until_another_one_ended(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r")
    run(rows, root, dead_pid())
    assert lacking(rows, connection) == [("r", "scan interrupted", 0)]
    run(rows, root, dead_pid(), "complete")
    connection.rollback()
    assert lacking(rows, connection) == []


def test_a_running_reconcile_is_no_gap_and_a_first_scan_is_one(
    rows: CatalogueRows, connection: Connection
) -> None:
    known, new = rows.root("known", b"/known"), rows.root("new", b"/new", reconciled_ms=None)
    run(rows, known, os.getpid())
    run(rows, new, os.getpid())
    with CataloguingLock(rows.database, "watch"):
        assert lacking(rows, connection) == [("new", "first scan still running", 0)]
    # The number lives on in another process, or in this one after its scan failed: the lock decides.
    assert lacking(rows, connection) == [("known", "scan interrupted", 0), ("new", "scan interrupted", 0)]


def test_asking_for_the_lock_leaves_it_alone(rows: CatalogueRows) -> None:
    assert not lock_held(rows.database)
    with CataloguingLock(rows.database, "watch"):
        assert lock_held(rows.database)
    assert not lock_held(rows.database)
    with CataloguingLock(rows.database, "watch"):
        pass


# ------------------------------------------------------------------------------------------------- status


def daemon(rows: CatalogueRows, *, pid: int, host: str | None = None, silent_ms: int = 0) -> None:
    rows.put(
        schema.daemon,
        daemon_id=1,
        pid=pid,
        host=host or socket.gethostname(),
        version="0.1.0",
        started_ms=NOON_MS,
        heartbeat_ms=time.time_ns() // 1_000_000 - silent_ms,
        status=json.dumps({"rebuilds": 2, "overflows": 1, "roots": {}}),
    )


def test_status_of_an_empty_catalogue(rows: CatalogueRows, connection: Connection) -> None:
    fields = status(connection, rows.database).fields()
    assert fields == {
        "roots": [],
        "backlog": 0,
        "backlog_since": None,
        "daemon": {
            "running": False,
            "pid": None,
            "rebuilds": 0,
            "overflows": 0,
            "host": None,
            "version": None,
            "started": None,
            "heartbeat": None,
        },
        "chain_head": None,
        "last_audit": None,
        "problems": [],
    }


def test_a_share_with_everything(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r", mode="poll", mode_reason="nfs4", n_held=3, uncovered_dirs=2)
    first = rows.file(root, b"a", Picture(bytes="1"))
    second = rows.file(root, b"b", Picture(bytes="2"), presence=Presence.SUSPECT)
    rows.file(root, b"c", Picture(bytes="3"), presence=Presence.MISSING)
    rows.file(root, b"d", Picture(bytes="4"), presence=Presence.MISSING, retired_ms=NOON_MS)
    rows.drift(first, Kind.PICTURE, severity=Severity.CRITICAL)
    rows.drift(second, Kind.METADATA, severity=Severity.INFO)
    rows.drift(second, Kind.METADATA, severity=Severity.INFO, closed_ms=NOON_MS)
    rows.job(root, b"e")
    rows.event(EventKind.SCAN, root_id=root)
    rows.put(schema.seal, first_event_id=1, last_event_id=1, at_ms=NOON_MS, chain=b"\xab" * 32)
    found = status(connection, rows.database)
    (share,) = found.fields()["roots"]
    assert share == {
        "name": "r",
        "path": "/r",
        "state": "online",
        "state_reason": None,
        "mode": "poll",
        "mode_reason": "nfs4",
        "files": {
            "present": 2,
            "missing": 1,
            "unreadable": 0,
            "undecodable": 0,
            "pending": 0,
            "other": 0,
            "total": 2,
        },
        "last_reconcile": "2025-10-09T08:53:20.000Z",
        "uncovered_dirs": 2,
        "held_missing": 3,
        "open_drift": {"info": 1, "notice": 0, "warning": 0, "critical": 1},
        "mass_change": None,
        "unfinished": None,
    }
    assert (found.backlog, found.chain_head) == (1, "ab" * 32)


def test_the_daemon_runs_while_its_process_lives_and_holds_the_lock(
    rows: CatalogueRows, connection: Connection
) -> None:
    daemon(rows, pid=os.getpid())
    with CataloguingLock(rows.database, "watch"):
        found = status(connection, rows.database)
    assert (found.daemon.running, found.daemon.rebuilds, found.daemon.overflows) == (True, 2, 1)
    assert found.problems == ()
    dead = status(connection, rows.database)
    assert not dead.daemon.running
    assert dead.problems == (
        f"the daemon (process {os.getpid()} on {socket.gethostname()}) died without a word",
    )


def test_a_dead_process_is_no_daemon_whoever_holds_the_lock(
    rows: CatalogueRows, connection: Connection
) -> None:
    daemon(rows, pid=dead_pid())
    with CataloguingLock(rows.database, "scan"):
        assert not status(connection, rows.database).daemon.running


def test_a_silent_daemon_is_a_problem(rows: CatalogueRows, connection: Connection) -> None:
    daemon(rows, pid=os.getpid(), silent_ms=HEARTBEAT_LATE_MS + 60_000)
    with CataloguingLock(rows.database, "watch"):
        (problem,) = status(connection, rows.database).problems
    assert problem == f"the daemon (process {os.getpid()}) has said nothing for 4 minutes"


@pytest.mark.parametrize(("silent_ms", "running"), [(0, True), (HEARTBEAT_LATE_MS, False)])
def test_a_daemon_elsewhere_is_known_by_its_heartbeat(
    rows: CatalogueRows, connection: Connection, silent_ms: int, running: bool
) -> None:
    daemon(rows, pid=1, host="another.example", silent_ms=silent_ms)
    assert status(connection, rows.database).daemon.running is running


def test_what_check_complains_of(rows: CatalogueRows, connection: Connection) -> None:
    far = rows.root("far", b"/far", state=RootState.OFFLINE, state_reason="not mounted")
    near = rows.root("near", b"/near", n_held=70, uncovered_dirs=1)
    rows.drift(rows.file(near, b"a", Picture(bytes="1")), Kind.BROKEN, severity=Severity.CRITICAL)
    rows.drift(rows.file(near, b"b", Picture(bytes="2")), Kind.PICTURE, severity=Severity.WARNING)
    rows.job(far, b"c")
    old = time.time_ns() // 1_000_000 - BACKLOG_LATE_MS - 60_000
    rows.run_sql("UPDATE job SET first_ms = ?", old)
    assert status(connection, rows.database).problems == (
        "near: 1 case of critical drift open",
        "far is offline: not mounted",
        "near: 70 absences held back until an admin confirms: catalog root confirm-missing near",
        "1 path waiting, the oldest for 61 minutes",
        "near: 1 folder not watched, only polled",
    )


def test_a_share_that_is_away_is_not_complained_of_for_its_watches(
    rows: CatalogueRows, connection: Connection
) -> None:
    rows.root("far", b"/far", state=RootState.OFFLINE, state_reason="not mounted", uncovered_dirs=1)
    assert status(connection, rows.database).problems == ("far is offline: not mounted",)


def test_commands_to_copy_are_quoted_for_the_shell(rows: CatalogueRows, connection: Connection) -> None:
    rows.root("Größe 1", b"/my scans", n_held=1)
    (problem,) = status(connection, rows.database).problems
    assert problem.endswith("catalog root confirm-missing 'Größe 1'")


def test_a_young_backlog_is_work_and_no_problem(rows: CatalogueRows, connection: Connection) -> None:
    rows.job(rows.root("r", b"/r"), b"c")
    rows.run_sql("UPDATE job SET first_ms = ?", time.time_ns() // 1_000_000)
    assert status(connection, rows.database).problems == ()


def finished(rows: CatalogueRows, root: int, status: str = "complete", **counts: int) -> None:
    now = now_ms()
    rows.put(
        schema.run,
        kind="reconcile",
        root_id=root,
        started_ms=now,
        finished_ms=now,
        status=status,
        counts=json.dumps(counts),
        host=socket.gethostname(),
        pid=1,
    )


def test_a_scan_that_did_not_come_to_its_end_is_a_problem(
    rows: CatalogueRows, connection: Connection
) -> None:
    rows.root("never", b"/never", reconciled_ms=None)
    for name, reconciled in (("first", None), ("later", NOON_MS)):
        root = rows.root(name, b"/" + name.encode(), reconciled_ms=reconciled)
        rows.put(schema.run, kind="reconcile", root_id=root, started_ms=1, status="running", host="x", pid=1)
    found = status(connection, rows.database)
    assert found.problems == (
        "first: the first scan was interrupted; go on with: catalog scan /first",
        "later: the last scan was interrupted; go on with: catalog scan /later",
        "never: never scanned to the end; go on with: catalog scan /never",
    )
    assert [each.fields()["unfinished"] for each in found.roots] == [
        "scan interrupted",
        "scan interrupted",
        "never scanned to the end",
    ]


def test_folders_that_could_not_be_listed_are_a_problem_until_a_whole_scan_lists_them(
    rows: CatalogueRows, connection: Connection
) -> None:
    root = rows.root("r", b"/r")
    finished(rows, root, "incomplete", whole=1, unlisted_folders=2)
    finished(rows, root, whole=0, unlisted_folders=0)
    words = "2 folders could not be listed by the last scan"
    assert status(connection, rows.database).problems == (
        f"r: {words}; check their permissions, then go on with: catalog scan /r",
    )
    connection.rollback()
    answer = standing(connection, resolve(connection), rows.database)
    assert [(each.reason, each.files) for each in answer.incomplete] == [(words, 0)]
    finished(rows, root, whole=1, unlisted_folders=0)
    connection.rollback()
    assert status(connection, rows.database).problems == ()


def test_a_pass_over_a_part_does_not_speak_for_the_whole(tmp_path: Path) -> None:
    """The run of a whole pass that found nothing to do outlives those of parts that come after it."""
    with Shelf(tmp_path) as shelf:
        runs = Runs(shelf.recorder.batch)
        for whole in (1, 0, 0):
            run_id = runs.start("reconcile", shelf.root_id)
            runs.finish(run_id, "complete", {"seen": 3, "whole": whole, "unlisted_folders": 0}, shelf.root_id)
        rows = shelf.ask("SELECT json_extract(counts, '$.whole') AS whole FROM run ORDER BY run_id")
    assert [row["whole"] for row in rows] == [1, 0]
