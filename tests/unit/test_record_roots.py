"""Shares, runs and requests, written by an admin beside the cataloguing process."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from catalog.errors import NotFound, UsageError
from catalog.record.batch import Batch
from catalog.record.roots import MountRecord, Roots
from catalog.record.runs import Runs
from catalog.terms import RootState
from tests.recordings import Shelf, stat


@pytest.fixture
def admin(shelf: Shelf) -> Iterator[Batch]:
    """Another process' connection, as far as SQLite can tell."""
    with closing(Batch(shelf.database)) as batch:
        yield batch
        batch.rollback()


# ----------------------------------------------------------------------------------------------- shares


def test_a_share_is_named_after_its_folder_and_names_are_unique(shelf: Shelf) -> None:
    names = [shelf.roots.add(path).name for path in (b"/a/scans", b"/b/scans", b"/c/scans", b"/d\xff")]
    assert names == ["scans", "scans-2", "scans-3", "d\\xff"]
    assert shelf.roots.named("scans-2").path == b"/b/scans"
    assert shelf.roots.named("/c/scans").name == "scans-3"
    with pytest.raises(NotFound, match="the shares: d"):
        shelf.roots.named("scan")
    with pytest.raises(UsageError, match="exists already"):
        shelf.roots.add(b"/e", "scans")
    for name in ("a\udcffb", "a\nb"):  # as typed in a shell: bytes that are no text, a line's end
        with pytest.raises(UsageError, match="no name for a share"):
            shelf.roots.add(b"/e", name)
    assert [root.name for root in shelf.roots.all()] == ["d\\xff", "scans", "scans-2", "scans-3", "share"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (b"/share", "is in the share share"),
        (b"/share/sub", "is in the share share"),
        (b"/", "contains the share"),
    ],
)
def test_shares_do_not_overlap(shelf: Shelf, path: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        shelf.roots.add(path)
    assert not shelf.recorder.batch.open
    assert shelf.roots.add(b"/share2").path == b"/share2"


def test_a_refused_share_does_not_undo_what_was_recorded(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", commit=False)
    with pytest.raises(UsageError):
        shelf.roots.add(b"/share/sub")
    shelf.recorder.commit()
    assert shelf.events() == ["root-added", "added"]


def test_a_path_belongs_to_the_share_that_holds_it(shelf: Shelf) -> None:
    holding = {path: shelf.roots.holding(path) for path in (b"/share", b"/share/x/y", b"/shares", b"/")}
    assert [root.path if root else None for root in holding.values()] == [b"/share", b"/share", None, None]


def test_the_whole_machine_can_be_a_share(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.roots.remove(shelf.roots.by_id(shelf.root_id))
        root = shelf.roots.add(b"/")
        assert root.name == "root"
        assert shelf.roots.holding(b"/x") == root
        shelf.see(b"x/a.tif", "a", root_id=root.root_id)
        found = shelf.recorder.rows.at(root.root_id, b"x/a.tif")
        assert found is not None
        assert found.absolute == b"/x/a.tif"


def test_a_removed_share_leaves_the_answers_and_keeps_its_history(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    shelf.see(b"b.tif", "a", at=stat(inode=2))
    shelf.recorder.missing(shelf.row(b"b.tif"), "gone")
    shelf.recorder.commit()
    root = shelf.roots.by_id(shelf.root_id)
    shelf.roots.remove(root, "admin")
    assert shelf.roots.all() == []
    assert shelf.ask("SELECT * FROM v_file") == []
    assert shelf.ask("SELECT n_files, reclaimable FROM content") == [{"n_files": 0, "reclaimable": 0}]
    assert shelf.one("SELECT count(*) FROM revision") == 2
    assert shelf.recorder.rows.at(root.root_id, b"a.tif") is None
    (event,) = shelf.ask("SELECT * FROM v_event WHERE kind = 'root-removed'")
    assert event["actor"] == "admin"
    again = shelf.roots.add(root.path)
    assert (again.name, again.root_id) == (root.name, root.root_id + 1)
    shelf.see(b"a.tif", "a", root_id=again.root_id)
    assert shelf.ask("SELECT state FROM v_file") == [{"state": "present"}]


def test_a_change_of_state_is_an_event_and_the_same_state_is_none(shelf: Shelf) -> None:
    root = shelf.roots.by_id(shelf.root_id)
    shelf.roots.set_state(root, RootState.ONLINE, None)
    shelf.roots.set_state(root, RootState.OFFLINE, "not mounted")
    shelf.recorder.commit()
    root = shelf.roots.by_id(shelf.root_id)
    assert (root.state, root.state_reason) == (RootState.OFFLINE, "not mounted")
    shelf.roots.set_state(root, RootState.OFFLINE, "no answer")
    shelf.recorder.commit()
    (event,) = shelf.ask("SELECT detail FROM v_event WHERE kind = 'root-state'")
    assert json.loads(event["detail"]) == {"from": "online", "to": "offline", "reason": "not mounted"}
    assert shelf.roots.by_id(shelf.root_id).state_reason == "no answer"


def test_what_a_mount_is_worth_is_kept(shelf: Shelf) -> None:
    mount = MountRecord("nfs4", "nas:/scans", (1 << 64) - 3, True, False, 100, '{"x": 1}')
    shelf.roots.set_mount(shelf.root_id, mount)
    shelf.roots.reconciled(shelf.root_id, 1_234)
    shelf.recorder.commit()
    root = shelf.roots.by_id(shelf.root_id)
    for field in dataclasses.fields(mount):
        assert getattr(root, field.name) == getattr(mount, field.name)
    assert root.last_reconcile_ms == 1_234
    with pytest.raises(NotFound):
        shelf.roots.by_id(99)


# ----------------------------------------------------------------------------------------- two writers


def test_an_admin_between_two_batches_gets_numbers_of_his_own(shelf: Shelf, admin: Batch) -> None:
    for number in range(3):
        shelf.see(b"%d.tif" % number, f"{number}", at=stat(inode=number), commit=False)
        shelf.recorder.commit()
        Roots(admin).add(b"/other%d" % number, actor="admin")
        shelf.roots.remove(shelf.roots.by_id(shelf.root_id + 1 + number), "admin")
    assert shelf.one("SELECT count(*) FROM event") == 1 + 3 + 3 + 3
    assert shelf.one("SELECT count(DISTINCT seal_id) FROM seal") == 10


def test_an_admin_waits_for_an_open_batch_and_sees_it(shelf: Shelf, admin: Batch) -> None:
    shelf.see(b"a.tif", "a", commit=False)
    assert [root.path for root in Roots(admin).all()] == [b"/share"]
    shelf.recorder.commit()
    admin.begin()
    assert admin.rows("SELECT count(*) FROM file") == [(1,)]
    admin.rollback()


# ------------------------------------------------------------------------------------ runs and requests


def test_a_run_that_was_killed_is_interrupted_when_the_next_one_starts(shelf: Shelf) -> None:
    runs = Runs(shelf.recorder.batch)
    first = runs.start("reconcile", shelf.root_id)
    other = runs.start("reconcile", None)
    second = runs.start("reconcile", shelf.root_id)
    runs.finish(second, "complete", {"seen": 5, "new": 2}, shelf.root_id)
    rows = shelf.ask("SELECT run_id, status, pid FROM run ORDER BY run_id")
    assert [(row["run_id"], row["status"]) for row in rows] == [
        (first, "interrupted"),
        (other, "running"),
        (second, "complete"),
    ]
    assert {row["pid"] for row in rows} == {os.getpid()}
    (event,) = shelf.ask("SELECT detail FROM v_event WHERE kind = 'scan'")
    assert json.loads(event["detail"]) == {"status": "complete", "seen": 5, "new": 2}


def test_a_run_that_found_nothing_new_is_no_event(shelf: Shelf) -> None:
    runs = Runs(shelf.recorder.batch)
    runs.finish(runs.start("reconcile", shelf.root_id), "complete", {"seen": 5, "new": 0}, shelf.root_id)
    assert shelf.events() == ["root-added"]
    assert json.loads(shelf.one("SELECT counts FROM run")) == {"seen": 5, "new": 0}


def test_events_and_revisions_name_their_run(shelf: Shelf) -> None:
    runs = Runs(shelf.recorder.batch)
    shelf.recorder.batch.run_id = runs.start("reconcile", shelf.root_id)
    shelf.see(b"a.tif", "a")
    assert shelf.one("SELECT run_id FROM revision") == shelf.one("SELECT run_id FROM event WHERE kind = 1")


def test_a_request_is_taken_watched_and_answered(shelf: Shelf, admin: Batch) -> None:
    asker, daemon = Runs(admin), Runs(shelf.recorder.batch)
    number = asker.ask("scan", {"folders": ["2f"]}, "admin")
    (request,) = daemon.asked()
    assert (request.request_id, request.kind, request.arguments) == (number, "scan", {"folders": ["2f"]})
    daemon.take(number)
    daemon.progress(number, {"inspected": 3})
    shelf.recorder.commit()
    state = asker.progress_of(number)
    assert (state.taken, state.finished, state.progress, state.result) == (
        True,
        False,
        {"inspected": 3},
        None,
    )
    daemon.answer(number, {"files": 4})
    assert asker.progress_of(number).result == {"files": 4}
    assert daemon.asked() == []


def test_there_is_one_row_for_the_daemon(shelf: Shelf) -> None:
    runs = Runs(shelf.recorder.batch)
    runs.daemon_started()
    runs.daemon_started()
    runs.daemon_beats({"rebuilds": 2})
    shelf.recorder.commit()
    (row,) = shelf.ask("SELECT * FROM daemon")
    assert (row["pid"], json.loads(row["status"])) == (os.getpid(), {"rebuilds": 2})
    runs.daemon_stopped()
    assert shelf.ask("SELECT * FROM daemon") == []
