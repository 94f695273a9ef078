"""Only somebody who saw a case moves a baseline, and what was accepted can be taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import CatalogError, NotFound, UsageError
from catalog.record.accepting import Accepting, Choice, one_by_one
from catalog.terms import Kind, Manner, Outcome, Tag
from tests.recordings import BASIC, Shelf, analysis, saved, stat

SOFTWARE = Tag(305, "Software", 2, 5, b"Gimp\0")


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with Shelf(tmp_path) as made:
        yield made
        made.recorder.commit()
    made.check()


def choice(shelf: Shelf, path: bytes = b"a.tif") -> Choice:
    case = shelf.case(path)
    return Choice(case["drift_id"], case["updated_ms"], Kind(case["kind"]), Manner(case["manner"]))


def accept(shelf: Shelf, path: bytes = b"a.tif", reason: str | None = None) -> int:
    done = Accepting(shelf.recorder.batch).accept(choice(shelf, path), "ana", reason)
    assert done is not None
    shelf.recorder.commit()
    return done.event_id


def undo(shelf: Shelf, event_id: int, reason: str | None = None) -> Any:
    try:
        done = Accepting(shelf.recorder.batch).undo(event_id, "bob", reason)
    except CatalogError:
        shelf.recorder.rollback()
        raise
    shelf.recorder.commit()
    return done


def event(shelf: Shelf, event_id: int) -> dict[str, Any]:
    (row,) = shelf.ask("SELECT * FROM v_event WHERE event_id = ?", event_id)
    return {**row, "detail": json.loads(row["detail"])}


def open_cases(shelf: Shelf) -> int:
    return int(shelf.one("SELECT count(*) FROM v_drift_open"))


def edited(shelf: Shelf, times: int = 1) -> None:
    """a.tif, first ``one``, then another picture for each time."""
    shelf.see(b"a.tif", "one")
    for number in range(times):
        shelf.see(b"a.tif", f"edit {number}", at=saved(stat(), 10.0 * (number + 1)))


# -------------------------------------------------------------------------------------------------- accept


def test_accepting_moves_the_baseline_and_closes_the_case(shelf: Shelf) -> None:
    edited(shelf)
    shown = shelf.case(b"a.tif")
    event_id = accept(shelf, reason="cropped on purpose")
    assert shelf.row(b"a.tif").baseline_rev_id == 2
    (case,) = shelf.cases(b"a.tif")
    assert (case["resolution"], case["actor"], case["note"]) == ("accepted", "ana", "cropped on purpose")
    assert event(shelf, event_id) | {"at": None, "path": None} == {
        "event_id": event_id,
        "at": None,
        "kind": "accepted",
        "root": "share",
        "path": None,
        "file_id": 1,
        "from_rev_id": 1,
        "to_rev_id": 2,
        "actor": "ana",
        "detail": {
            "reason": "cropped on purpose",
            "case": shown["drift_id"],
            "kind": "picture",
            "manner": "ordinary",
        },
    }


def test_after_accepting_the_next_look_is_no_drift_and_the_former_content_is(shelf: Shelf) -> None:
    edited(shelf)
    accept(shelf)
    shelf.see(b"a.tif", "edit 0", at=saved(stat()))
    assert open_cases(shelf) == 0
    shelf.see(b"a.tif", "one", at=saved(stat(), 99))
    assert shelf.case(b"a.tif")["baseline_rev_id"] == 2


def test_a_case_that_became_another_one_since_it_was_seen_stays_open(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "one", saw=analysis("one", payload="p"))
    shelf.see(b"a.tif", "two", saw=analysis("one", payload="p", tags=(*BASIC, SOFTWARE)), at=saved(stat()))
    seen = choice(shelf)
    shelf.see(b"a.tif", "three", saw=analysis(None), at=saved(stat(), 20))
    assert Accepting(shelf.recorder.batch).accept(seen, "ana") is None
    assert (shelf.case(b"a.tif")["kind"], shelf.row(b"a.tif").baseline_rev_id) == ("broken", 1)


def test_a_case_that_was_closed_since_it_was_seen_is_not_accepted(shelf: Shelf) -> None:
    edited(shelf)
    seen = choice(shelf)
    shelf.see(b"a.tif", "one", at=saved(stat(), 99))
    assert Accepting(shelf.recorder.batch).accept(seen, "ana") is None
    assert shelf.row(b"a.tif").baseline_rev_id == 1


def test_accepting_commits_durably(shelf: Shelf) -> None:
    edited(shelf)
    shelf.recorder.batch.begin(durable=False)
    shelf.recorder.commit()
    accept(shelf)
    # FULL: what was shown to somebody as accepted survives a power cut.
    shelf.recorder.batch.begin()
    assert shelf.recorder.batch.lookup("PRAGMA synchronous", ()) == (2,)
    shelf.recorder.rollback()


def test_words_of_any_bytes_are_kept(shelf: Shelf) -> None:
    edited(shelf)
    done = Accepting(shelf.recorder.batch).accept(choice(shelf), "an\udcffa", "be\udce9cause")
    assert done is not None
    shelf.recorder.commit()
    kept = event(shelf, done.event_id)
    assert (kept["actor"], kept["detail"]["reason"]) == ("an\\udcffa", "be\\udce9cause")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("manner", Manner)
def test_damage_and_loss_are_accepted_one_by_one(kind: Kind, manner: Manner) -> None:
    wanted = kind in (Kind.BROKEN, Kind.MISSING) or manner is not Manner.ORDINARY
    assert one_by_one(kind, manner) == wanted


# ------------------------------------------------------------------------------------------------- missing


def test_an_accepted_loss_retires_the_file_and_keeps_its_history(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "one")
    gone = shelf.row(b"a.tif")
    shelf.recorder.missing(gone, "not there any more")
    shelf.recorder.commit()
    event_id = accept(shelf, reason="deleted on purpose")
    assert shelf.recorder.rows.at(shelf.root_id, b"a.tif") is None
    assert shelf.ask("SELECT * FROM v_file") == []
    assert shelf.one("SELECT count(*) FROM revision") == 1
    kept = shelf.ask("SELECT kind, from_rev_id, to_rev_id, actor, detail FROM v_event ORDER BY event_id DESC")
    assert [(row["kind"], row["from_rev_id"], row["to_rev_id"], row["actor"]) for row in kept[:2]] == [
        ("retired", 1, None, "ana"),
        ("accepted", 1, None, "ana"),
    ]
    assert json.loads(kept[0]["detail"]) == {"accepted": event_id, "reason": "deleted on purpose"}
    assert json.loads(kept[1]["detail"])["retired"] is True


def test_what_comes_to_the_path_of_a_retired_file_begins_anew(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "one")
    old = shelf.row(b"a.tif")
    shelf.recorder.missing(old, "gone")
    shelf.recorder.commit()
    known = shelf.row(b"a.tif")
    accept(shelf)
    # Also for a session that asked for the row before the loss was accepted.
    shelf.see(b"a.tif", "one", row=known)
    new = shelf.row(b"a.tif")
    assert new.file_id != old.file_id
    assert [row["state"] for row in shelf.ask("SELECT state FROM v_file")] == ["present"]
    assert shelf.recorder.missing(known, "gone again") is False


def test_a_missing_file_that_was_never_read_can_be_retired(shelf: Shelf) -> None:
    shelf.recorder.failed(shelf.root_id, b"a.tif", None, Outcome.UNREADABLE, "EIO")
    row = shelf.row(b"a.tif")
    accepting = Accepting(shelf.recorder.batch)
    assert accepting.accept_loss(row.file_id, "ana") is None
    shelf.recorder.missing(row, "gone")
    done = accepting.accept_loss(row.file_id, "ana", "a stray")
    assert done is not None
    shelf.recorder.commit()
    assert shelf.ask("SELECT * FROM v_file") == []
    undo(shelf, done.event_id)
    assert [row["state"] for row in shelf.ask("SELECT state FROM v_file")] == ["missing"]


def test_a_missing_file_that_was_read_is_retired_with_its_case_only(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "one")
    shelf.recorder.missing(shelf.row(b"a.tif"), "gone")
    assert Accepting(shelf.recorder.batch).accept_loss(shelf.row(b"a.tif").file_id, "ana") is None
    shelf.recorder.commit()
    assert shelf.case(b"a.tif")["kind"] == "missing"


# ---------------------------------------------------------------------------------------------------- undo


def test_undoing_restores_the_baseline_and_opens_the_same_case(shelf: Shelf) -> None:
    edited(shelf)
    before = shelf.case(b"a.tif")
    done = undo(shelf, accept(shelf), "it was not on purpose")
    after = shelf.case(b"a.tif")
    assert shelf.row(b"a.tif").baseline_rev_id == 1
    assert done.case_open
    changing = ("updated_ms",)
    assert {k: v for k, v in after.items() if k not in changing} == {
        k: v for k, v in before.items() if k not in changing
    }
    told = event(shelf, done.event_id)
    assert (told["kind"], told["from_rev_id"], told["to_rev_id"], told["actor"]) == ("accepted", 2, 1, "bob")
    assert told["detail"]["undo"] == done.event_id - 1
    assert told["detail"]["reason"] == "it was not on purpose"


def test_undoing_opens_no_case_when_the_good_content_is_back(shelf: Shelf) -> None:
    edited(shelf)
    event_id = accept(shelf)
    shelf.see(b"a.tif", "one", at=saved(stat(), 50))
    assert open_cases(shelf) == 1
    done = undo(shelf, event_id)
    assert (done.case_open, open_cases(shelf)) == (False, 0)
    assert [case["resolution"] for case in shelf.cases(b"a.tif")] == ["accepted", "restored"]


def test_undoing_keeps_the_manner_of_what_was_accepted(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "one")
    shelf.see(b"a.tif", "flipped")
    assert shelf.case(b"a.tif")["manner"] == "rot"
    undo(shelf, accept(shelf))
    case = shelf.case(b"a.tif")
    assert (case["manner"], case["severity"]) == ("rot", 4)
    assert [link["revision"] for link in case["detail"]["chain"]] == [2]


def test_a_case_opened_since_takes_over_the_revisions_of_the_undone_one(shelf: Shelf) -> None:
    edited(shelf)
    event_id = accept(shelf)
    shelf.see(b"a.tif", "another", at=saved(stat(), 60))
    undo(shelf, event_id)
    case = shelf.case(b"a.tif")
    assert (case["baseline_rev_id"], case["rev_id"]) == (1, 3)
    assert [link["revision"] for link in case["detail"]["chain"]] == [2, 3]
    assert [each["resolution"] for each in shelf.cases(b"a.tif")] == ["undone", None]


def test_undoing_a_retirement_makes_the_file_missing_again(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "one")
    shelf.recorder.missing(shelf.row(b"a.tif"), "not there any more")
    shelf.recorder.commit()
    done = undo(shelf, accept(shelf))
    assert done.case_open
    (file,) = shelf.ask("SELECT state, reason FROM v_file")
    assert file == {"state": "missing", "reason": "not there any more"}
    case = shelf.case(b"a.tif")
    assert (case["kind"], "not there any more" in case["reasons"][0]) == ("missing", True)
    shelf.see(b"a.tif", "one")
    assert open_cases(shelf) == 0


def test_undoing_while_the_file_is_away_speaks_of_the_former_baseline(shelf: Shelf) -> None:
    edited(shelf)
    event_id = accept(shelf)
    shelf.recorder.missing(shelf.row(b"a.tif"), "gone")
    shelf.recorder.commit()
    undo(shelf, event_id)
    case = shelf.case(b"a.tif")
    assert (case["kind"], case["baseline_rev_id"]) == ("missing", 1)
    # What was found out about the content before the absence is told when the file is back.
    shelf.see(b"a.tif", "edit 0", at=saved(stat()))
    assert (shelf.case(b"a.tif")["kind"], shelf.case(b"a.tif")["manner"]) == ("picture", "ordinary")


def test_acceptances_are_undone_in_their_order(shelf: Shelf) -> None:
    edited(shelf)
    first = accept(shelf)
    shelf.see(b"a.tif", "later", at=saved(stat(), 70))
    second = accept(shelf)
    with pytest.raises(UsageError, match=f"undo event {second} first"):
        undo(shelf, first)
    undo(shelf, second)
    undo(shelf, first)
    assert shelf.row(b"a.tif").baseline_rev_id == 1
    with pytest.raises(UsageError, match="was undone already"):
        undo(shelf, first)
    accept(shelf)
    assert shelf.row(b"a.tif").baseline_rev_id == 3


def test_only_acceptances_can_be_undone(shelf: Shelf) -> None:
    edited(shelf)
    undone = undo(shelf, accept(shelf))
    with pytest.raises(UsageError, match="undid another one"):
        undo(shelf, undone.event_id)
    with pytest.raises(UsageError, match="no acceptance"):
        undo(shelf, 2)
    with pytest.raises(NotFound, match="no event 999"):
        undo(shelf, 999)


def test_nothing_of_a_removed_share_is_judged(shelf: Shelf) -> None:
    edited(shelf)
    event_id = accept(shelf)
    shelf.roots.remove(shelf.roots.named("share"))
    with pytest.raises(UsageError, match="was removed"):
        undo(shelf, event_id)


def test_undoing_needs_no_decoder_and_no_analysis(shelf: Shelf) -> None:
    shelf.see(b"a.raw", "one", decode=False)
    shelf.see(b"a.raw", "two", decode=False, at=saved(stat()))
    assert shelf.one("SELECT count(*) FROM analysis") == 0
    undo(shelf, accept(shelf, b"a.raw"))
    assert shelf.case(b"a.raw")["kind"] == "unproven"
