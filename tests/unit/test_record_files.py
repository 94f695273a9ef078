"""What the record holds of a file after each kind of look."""

from __future__ import annotations

import dataclasses
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from catalog.record import Recorded
from catalog.record.batch import BATCH_ROWS
from catalog.record.roots import MountRecord
from catalog.terms import Outcome, Presence
from tests.recordings import START_NS, Shelf, analysis, digest, saved, stat

# ------------------------------------------------------------------------------------------------ looks


def test_a_new_file_has_a_revision_that_is_its_baseline(shelf: Shelf) -> None:
    assert shelf.see(b"box/a.tif", "a", started_ms=77) is Recorded.ADDED
    (row,) = shelf.ask("SELECT * FROM v_file")
    assert (row["path"], row["state"], row["raw_sha256"]) == (
        "/share/box/a.tif",
        "present",
        digest("a").hex(),
    )
    assert row["verified"] == "1970-01-01T00:00:00.077Z"
    (revision,) = shelf.ask("SELECT n.*, f.baseline_rev_id FROM revision AS n JOIN file AS f USING (rev_id)")
    assert revision["baseline_rev_id"] == revision["rev_id"]
    assert (revision["mtime_ns"], revision["inode"], revision["dev"]) == (START_NS, 100, 39)
    assert (revision["nlink"], revision["allocated"], revision["prev_rev_id"]) == (1, 4096, None)
    assert shelf.events(b"box/a.tif") == ["added"]


def test_an_untouched_file_that_is_read_again_was_verified_and_nothing_else(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    assert shelf.see(b"a.tif", "a", started_ms=5_000) is Recorded.UNCHANGED
    assert shelf.events() == ["root-added", "added"]
    assert shelf.one("SELECT count(*) FROM revision") == 1
    assert shelf.one("SELECT verified FROM v_file") == "1970-01-01T00:00:05.000Z"


@pytest.mark.parametrize(
    ("field", "value"), [("ctime_ns", START_NS + 1), ("mtime_ns", START_NS - 1), ("inode", 101)]
)
def test_equal_bytes_under_another_stat_are_a_touch(shelf: Shelf, field: str, value: int) -> None:
    shelf.see(b"a.tif", "a")
    assert shelf.see(b"a.tif", "a", at=stat(**{field: value})) is Recorded.TOUCHED
    assert shelf.events() == ["root-added", "added", "touched"]
    assert getattr(shelf.row(b"a.tif"), field) == value
    detail = shelf.one("SELECT detail FROM v_event WHERE kind = 'touched'")
    assert detail == f'{{"moved":["{field.removesuffix("_ns")}"]}}'
    assert shelf.see(b"a.tif", "a", at=stat(**{field: value})) is Recorded.UNCHANGED
    assert shelf.cases(b"a.tif") == []


def test_fields_that_a_mount_does_not_keep_touch_nothing(shelf: Shelf) -> None:
    shelf.roots.set_mount(
        shelf.root_id, MountRecord("vfat", "/dev/sdb1", 1, False, False, 2_000_000_000, "{}")
    )
    shelf.recorder.commit()
    shelf.recorder.forget_mounts()
    shelf.see(b"a.tif", "a")
    moved = stat(inode=7, ctime_ns=START_NS + 5, mtime_ns=START_NS + 1_000_000_000)
    assert shelf.see(b"a.tif", "a", at=moved) is Recorded.UNCHANGED
    assert shelf.see(b"a.tif", "a", at=saved(moved)) is Recorded.TOUCHED
    assert '["mtime"]' in shelf.one("SELECT detail FROM v_event WHERE kind = 'touched'")


def test_a_changed_file_gets_a_revision_and_keeps_its_baseline(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    assert shelf.see(b"a.tif", "b", at=saved(stat())) is Recorded.CHANGED
    row = shelf.row(b"a.tif")
    assert (row.baseline_rev_id, row.rev_id) == (1, 2)
    assert shelf.one("SELECT prev_rev_id FROM revision WHERE rev_id = 2") == 1
    assert shelf.events(b"a.tif") == ["added", "changed"]
    assert shelf.one("SELECT last_changed > first_seen OR last_changed = first_seen FROM v_file") == 1


def test_the_newest_reading_is_the_verification(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", started_ms=1_000)
    shelf.see(b"a.tif", "a", started_ms=2_000)
    shelf.see(b"a.tif", "b", at=saved(stat()), started_ms=3_000)
    assert shelf.one("SELECT verified FROM v_file") == "1970-01-01T00:00:03.000Z"
    shelf.see(b"a.tif", "b", at=saved(stat()), started_ms=4_000)
    assert shelf.one("SELECT verified FROM v_file") == "1970-01-01T00:00:04.000Z"


def test_a_file_that_is_not_an_image_has_raw_checksums_only(shelf: Shelf) -> None:
    shelf.see(b"notes.txt", "text", decode=False)
    (row,) = shelf.ask("SELECT * FROM v_file")
    assert (row["state"], row["raw_sha256"], row["pixels"]) == ("other", digest("text").hex(), None)


def test_an_undecodable_file_says_why(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", saw=analysis(None, reason="the first IFD lies beyond the end of the file"))
    (row,) = shelf.ask("SELECT state, reason, pixels FROM v_file")
    assert row == {
        "state": "undecodable",
        "reason": "the first IFD lies beyond the end of the file",
        "pixels": None,
    }


# ---------------------------------------------------------------------------------------------- failing


def test_a_file_that_cannot_be_read_keeps_what_was_known(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    before = shelf.row(b"a.tif")
    shelf.recorder.failed(shelf.root_id, b"a.tif", before, Outcome.UNREADABLE, "Input/output error")
    shelf.recorder.commit()
    row = shelf.row(b"a.tif")
    assert row == before._replace(outcome=Outcome.UNREADABLE)
    assert shelf.case(b"a.tif")["kind"] == "unreadable"
    assert shelf.ask("SELECT state, reason FROM v_file") == [
        {"state": "unreadable", "reason": "Input/output error"}
    ]
    shelf.recorder.failed(shelf.root_id, b"a.tif", before, Outcome.UNREADABLE, "Stale file handle")
    shelf.recorder.commit()
    assert shelf.one("SELECT reason FROM v_file") == "Stale file handle"
    assert shelf.events(b"a.tif") == ["added", "unreadable"]

    assert shelf.see(b"a.tif", "a") is Recorded.UNCHANGED
    assert shelf.events(b"a.tif") == ["added", "unreadable", "readable"]
    assert [case["resolution"] for case in shelf.cases(b"a.tif")] == ["readable"]
    assert shelf.one("SELECT reason FROM v_file") is None


def test_a_file_that_was_never_readable_is_new_when_it_is_read(shelf: Shelf) -> None:
    shelf.recorder.failed(shelf.root_id, b"x/a.tif", None, Outcome.UNREADABLE, "Permission denied")
    shelf.recorder.commit()
    assert shelf.events(b"x/a.tif") == ["unreadable"]
    assert shelf.cases(b"x/a.tif") == []
    assert shelf.ask("SELECT state, raw_sha256 FROM v_file") == [{"state": "unreadable", "raw_sha256": None}]
    assert shelf.recorder.rows.known(shelf.root_id, b"x")[b"a.tif"][1] is None
    assert shelf.see(b"x/a.tif", "a") is Recorded.ADDED
    row = shelf.row(b"x/a.tif")
    assert (row.rev_id, row.baseline_rev_id, row.outcome) == (1, 1, Outcome.OK)
    assert shelf.events(b"x/a.tif") == ["unreadable", "added"]


def test_a_file_at_work_waits_and_is_looked_at_again(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    shelf.recorder.failed(
        shelf.root_id, b"a.tif", shelf.row(b"a.tif"), Outcome.PENDING, "still being written"
    )
    shelf.recorder.commit()
    assert shelf.recorder.rows.known(shelf.root_id, b"")[b"a.tif"][1] is None
    assert shelf.cases(b"a.tif") == []
    assert shelf.see(b"a.tif", "a") is Recorded.UNCHANGED
    assert shelf.recorder.rows.known(shelf.root_id, b"")[b"a.tif"][1] == 1000
    assert shelf.events(b"a.tif") == ["added"]


# -------------------------------------------------------------------------------------------- absence


def test_a_file_that_is_gone_leaves_a_tombstone_a_case_and_its_history(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    shelf.recorder.suspect(shelf.row(b"a.tif"))
    shelf.recorder.commit()
    assert shelf.one("SELECT state FROM v_file") == "suspect"
    assert shelf.recorder.missing(shelf.row(b"a.tif"), "gone with its folder") is True
    shelf.recorder.commit()
    assert shelf.one("SELECT state FROM v_file") == "missing"
    assert shelf.case(b"a.tif")["kind"] == "missing"
    assert "its folder is not there any more" in " ".join(shelf.case(b"a.tif")["reasons"])
    assert shelf.recorder.missing(shelf.row(b"a.tif"), "gone again") is False
    shelf.recorder.commit()
    assert shelf.events(b"a.tif") == ["added", "missing"]
    assert shelf.recorder.rows.known(shelf.root_id, b"") == {}
    assert shelf.recorder.rows.living(shelf.root_id) == 0


def test_a_suspect_that_is_seen_again_was_never_gone(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    for seen_again in (shelf.recorder.still_there, lambda _: shelf.see(b"a.tif", "a")):
        shelf.recorder.suspect(shelf.row(b"a.tif"))
        shelf.recorder.commit()
        assert [row.path for row in shelf.recorder.rows.suspects(shelf.root_id)] == [b"a.tif"]
        seen_again(shelf.row(b"a.tif"))
        shelf.recorder.commit()
        assert shelf.row(b"a.tif").presence is Presence.PRESENT
    assert shelf.events(b"a.tif") == ["added"]


def test_a_file_that_reappears_is_the_same_file(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    shelf.recorder.missing(shelf.row(b"a.tif"), "gone")
    shelf.recorder.commit()
    assert shelf.see(b"a.tif", "a", at=stat(inode=200, ctime_ns=START_NS + 9)) is Recorded.REAPPEARED
    assert shelf.events(b"a.tif") == ["added", "missing", "reappeared"]
    assert [case["resolution"] for case in shelf.cases(b"a.tif")] == ["reappeared"]
    assert shelf.one("SELECT count(*) FROM file") == 1


def test_a_file_that_reappears_with_other_content_is_a_change_of_the_same_file(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    shelf.recorder.missing(shelf.row(b"a.tif"), "gone")
    shelf.recorder.commit()
    assert shelf.see(b"a.tif", "b", at=stat(inode=200)) is Recorded.CHANGED
    assert shelf.events(b"a.tif") == ["added", "missing", "reappeared"]
    case = shelf.case(b"a.tif")
    # The stat is another file's: it proves no stealth.
    assert (case["kind"], case["manner"], case["rev_id"]) == ("picture", "ordinary", 2)
    assert len(shelf.cases(b"a.tif")) == 1
    assert shelf.see(b"a.tif", "a", at=saved(stat(inode=200))) is Recorded.CHANGED
    assert [case["resolution"] for case in shelf.cases(b"a.tif")] == ["restored"]


@pytest.mark.parametrize("outcome", [Outcome.UNREADABLE, Outcome.PENDING])
def test_a_missing_file_that_is_there_again_but_cannot_be_read_yet(shelf: Shelf, outcome: Outcome) -> None:
    shelf.see(b"a.tif", "a")
    shelf.recorder.missing(shelf.row(b"a.tif"), "gone")
    shelf.recorder.commit()
    shelf.recorder.failed(shelf.root_id, b"a.tif", shelf.row(b"a.tif"), outcome, "Permission denied")
    shelf.recorder.commit()
    unread = ["unreadable"] if outcome is Outcome.UNREADABLE else []
    assert shelf.events(b"a.tif") == ["added", "missing", "reappeared", *unread]
    shelf.see(b"a.tif", "a")
    assert all(case["closed_ms"] is not None for case in shelf.cases(b"a.tif"))
    assert shelf.row(b"a.tif").outcome is Outcome.OK


def test_a_tombstone_and_a_living_file_share_a_path(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    shelf.see(b"b.tif", "b", at=stat(inode=7))
    shelf.recorder.missing(shelf.row(b"a.tif"), "another file was renamed over it: b.tif")
    moved = shelf.recorder.move(shelf.row(b"b.tif"), shelf.root_id, b"a.tif")
    shelf.recorder.commit()
    assert shelf.row(b"a.tif") == moved
    states = shelf.ask("SELECT file_id, state FROM v_file WHERE relative_path = 'a.tif' ORDER BY file_id")
    assert states == [{"file_id": 1, "state": "missing"}, {"file_id": 2, "state": "present"}]
    assert list(shelf.recorder.rows.known(shelf.root_id, b"")) == [b"a.tif"]


# ------------------------------------------------------------------------------------ names and numbers

NAMES = [
    b"plain.tif",
    b"\xff\xfe.tif",
    b"line\nbreak.tif",
    b"caf\xc3\xa9.tif",
    b"cafe\xcc\x81.tif",
    b"n" * 255,
    "\N{GRINNING FACE}.tif".encode(),
    b"%41.tif",
    b"\x1b[31m.tif",
]


def test_names_are_kept_as_bytes_and_shown_as_text(shelf: Shelf) -> None:
    for number, name in enumerate(NAMES):
        shelf.see(b"d\xff/" + name, f"{number}", at=stat(inode=number))
    known = shelf.recorder.rows.known(shelf.root_id, b"d\xff")
    assert sorted(known) == sorted(NAMES)
    assert sorted(known) == [
        row.path[3:]
        for row in sorted(shelf.recorder.rows.below(shelf.root_id, b"d\xff"), key=lambda row: row.path)
    ]
    assert {row.path for row in shelf.recorder.rows.below(shelf.root_id, b"d\xff")} == {
        b"d\xff/" + name for name in NAMES
    }
    shown = {row["relative_path"] for row in shelf.ask("SELECT relative_path FROM v_file")}
    assert "d\\xff/\\xff\\xfe.tif" in shown
    assert "d\\xff/line\nbreak.tif" in shown
    assert len(shown) == len(NAMES)


@pytest.mark.parametrize("inode", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_inode_numbers_are_those_of_the_kernel(shelf: Shelf, inode: int) -> None:
    shelf.see(b"a.tif", "a", at=stat(inode=inode, dev=inode))
    assert shelf.recorder.rows.known(shelf.root_id, b"")[b"a.tif"] == (1, 1000, START_NS, START_NS, inode)
    assert [row.file_id for row in shelf.recorder.rows.by_inode(inode, 1000, START_NS)] == [1]
    assert shelf.see(b"a.tif", "a", at=stat(inode=inode, dev=inode)) is Recorded.UNCHANGED
    assert shelf.see(b"a.tif", "b", at=saved(stat(inode=inode))) is Recorded.CHANGED


@pytest.mark.parametrize("mtime_ns", [-1, -(1 << 62), (1 << 63) - 1, 1 << 63, 15_000_000_000 * 10**9])
def test_times_before_1970_and_beyond_2262_are_recorded(shelf: Shelf, mtime_ns: int) -> None:
    odd = stat(mtime_ns=mtime_ns)
    assert shelf.see(b"a.tif", "a", at=odd) is Recorded.ADDED
    assert shelf.see(b"a.tif", "a", at=odd) is Recorded.UNCHANGED
    assert shelf.see(b"a.tif", "b", at=odd) is Recorded.CHANGED
    assert shelf.case(b"a.tif")["manner"] == "rot"
    assert shelf.one("SELECT count(mtime) FROM v_file") == 1


# ------------------------------------------------------------------------------------------- old rows


def test_a_row_from_before_an_accept_does_not_undo_it(shelf: Shelf) -> None:
    """A path may wait for its inspection for minutes; meanwhile an admin accepts what was there."""
    shelf.see(b"a.tif", "a")
    shelf.see(b"a.tif", "b", at=saved(stat()))
    old = shelf.row(b"a.tif")
    shelf.recorder.cases.accept(old, 2, "curator")
    shelf.recorder.commit()
    shelf.see(b"a.tif", "a", at=saved(stat(), 60), row=old)
    assert shelf.case(b"a.tif")["baseline_rev_id"] == 2
    assert shelf.row(b"a.tif").baseline_rev_id == 2


def test_a_row_that_another_look_has_overtaken_is_asked_again(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    old = shelf.row(b"a.tif")
    shelf.see(b"a.tif", "b", at=saved(stat()))
    shelf.see(b"a.tif", "b", at=saved(stat()), row=old)
    assert shelf.events(b"a.tif") == ["added", "changed"]
    assert shelf.one("SELECT count(*) FROM revision") == 2


def test_a_row_of_a_file_that_moved_away_leaves_its_history_alone(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    old = shelf.row(b"a.tif")
    shelf.recorder.move(old, shelf.root_id, b"b.tif")
    shelf.recorder.commit()
    assert shelf.recorder.missing(old, "gone") is False
    shelf.see(b"a.tif", "other", at=stat(inode=5), row=old)
    assert (shelf.row(b"a.tif").file_id, shelf.row(b"b.tif").file_id) == (2, 1)
    assert shelf.events(b"b.tif") == ["added", "moved"]


# --------------------------------------------------------------------------------------- transactions


def test_a_rollback_in_the_middle_leaves_nothing_and_no_stale_numbers(shelf: Shelf) -> None:
    shelf.see(b"old/a.tif", "a")
    for number in range(50):
        shelf.see(b"new/%d.tif" % number, f"{number}", at=stat(inode=number), commit=False)
    shelf.recorder.batch.flush()
    shelf.see(b"new/late.tif", "late", commit=False)
    shelf.recorder.rollback()
    assert shelf.one("SELECT count(*) FROM file") == 1
    assert shelf.one("SELECT count(*) FROM dir") == 1
    for number in range(50):
        shelf.see(b"other/%d.tif" % (99 - number), f"{number}", at=stat(inode=number), commit=False)
    shelf.see(b"new/late.tif", "late", commit=False)
    shelf.recorder.commit()
    assert shelf.one("SELECT count(*) FROM file") == 52
    folders = shelf.ask(
        "SELECT d.path FROM dir AS d JOIN file AS f USING (dir_id) GROUP BY d.path ORDER BY 1"
    )
    assert [row["path"] for row in folders] == [b"new", b"old", b"other"]
    assert shelf.one("SELECT count(*) FROM analysis") == 52


def test_a_row_of_a_rolled_back_transaction_is_not_taken_for_another_file(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", commit=False)
    lost = shelf.row(b"a.tif")
    shelf.recorder.rollback()
    shelf.see(b"b.tif", "b", at=stat(inode=8))
    assert shelf.row(b"b.tif").file_id == lost.file_id
    shelf.see(b"a.tif", "a2", at=saved(stat()), row=lost)
    assert shelf.events(b"b.tif") == ["added"]
    assert shelf.events(b"a.tif") == ["added"]
    shelf.recorder.failed(shelf.root_id, b"c.tif", lost, Outcome.UNREADABLE, "Permission denied")
    shelf.recorder.commit()
    assert shelf.row(b"c.tif").file_id == 3


def test_an_error_of_the_database_leaves_a_clean_recorder(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    look = shelf.look(b"a.tif", "again", saw=analysis("again"))
    shelf.recorder.record(look, None)  # a living path a second time: our own mistake
    with pytest.raises(Exception, match="UNIQUE"):
        shelf.recorder.commit()
    assert not shelf.recorder.batch.open
    shelf.see(b"b.tif", "again", at=stat(inode=8))
    assert shelf.one("SELECT count(*) FROM file") == 2


def test_a_batch_is_due_when_it_is_large(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.record.batch.BATCH_SECONDS", 3600.0)
    for number in range(BATCH_ROWS):
        assert not shelf.recorder.due
        look = shelf.look(b"%d.tif" % number, f"{number}", saw=analysis(f"{number}"))
        shelf.recorder.record(look, None)
    assert shelf.recorder.due
    shelf.recorder.commit()
    assert not shelf.recorder.due


def test_a_batch_is_due_when_it_is_old(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.see(b"a.tif", "a", commit=False)
    monkeypatch.setattr("catalog.record.batch.BATCH_SECONDS", 0.0)
    assert shelf.recorder.due
    shelf.recorder.commit()
    assert not shelf.recorder.due


@pytest.mark.parametrize(("durable", "synchronous"), [(True, 2), (False, 1)])
def test_hints_may_be_lost_with_the_power_and_history_may_not(
    shelf: Shelf, durable: bool, synchronous: int
) -> None:
    batch = shelf.recorder.batch
    for _ in range(2):
        batch.begin(durable=durable)
        assert batch.lookup("PRAGMA synchronous", ()) == (synchronous,)
        batch.commit()
    batch.begin()
    assert batch.lookup("PRAGMA synchronous", ()) == (2,)
    batch.rollback()


def test_a_session_leaves_statistics_for_the_questions(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        for number in range(50):
            shelf.see(b"%d.tif" % number, f"{number}", at=stat(inode=number), commit=False)
        shelf.recorder.commit()
        shelf.recorder.rows.by_content(digest("1"))
    assert shelf.one("SELECT count(*) > 0 FROM sqlite_stat1") == 1


def test_a_session_ends_at_once_beside_a_writer(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.see(b"a.tif", "a")
        with closing(sqlite3.connect(shelf.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            shelf.recorder.close()
            other.execute("ROLLBACK")
        shelf.open()


def test_a_user_name_of_any_bytes_can_act(shelf: Shelf) -> None:
    shelf.roots.add(b"/other", actor="caf\udce9")
    assert shelf.one("SELECT actor FROM v_event WHERE actor IS NOT NULL") == "caf\\udce9"


def test_the_look_decides_the_size_of_a_content_not_the_job(shelf: Shelf) -> None:
    look = dataclasses.replace(shelf.look(b"a.tif", "a", at=stat(size=7), saw=analysis("a")))
    shelf.recorder.record(look, None)
    shelf.recorder.commit()
    assert shelf.one("SELECT size FROM content") == 7
