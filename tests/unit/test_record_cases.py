"""Cases of drift: opened, folded, judged again, closed, accepted; baselines move only when somebody says so."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from catalog.record.cases import NEVER_BY_POLICY
from catalog.record.roots import MountRecord
from catalog.terms import Analysis, Fidelity, Kind, Outcome, Tag
from tests.recordings import BASIC, NEW_TOOLCHAIN, START_NS, TOOLCHAIN, Shelf, analysis, saved, stat

JPEG = analysis("a", fidelity=Fidelity.DECODER, compression="JPEG")
SOFTWARE = Tag(305, "Software", 2, 5, b"Gimp\0")


def tagged(content: str, *more: Tag) -> Analysis:
    return analysis(content, tags=(*BASIC, *more), payload="the same")


# ---------------------------------------------------------------------------------------- kind, manner


@pytest.mark.parametrize(
    ("was", "now", "kind", "severity"),
    [
        (analysis("a", payload="p"), analysis("a", payload="p", tags=(*BASIC, SOFTWARE)), "metadata", 1),
        (analysis("a"), analysis("a", compression="LZW"), "reencoded", 2),
        (analysis("a"), analysis("a", view="turned"), "display", 2),
        (analysis("a", view="v"), analysis("b", view="v"), "representation", 2),
        (analysis("a"), analysis("b"), "picture", 3),
        (analysis("a"), analysis("b", fidelity=Fidelity.UNVERIFIED), "unproven", 3),
        (analysis("a"), analysis(None), "broken", 4),
        (analysis("a"), analysis("a2", fidelity=Fidelity.DAMAGED), "broken", 4),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_kind_opens_its_case(
    shelf: Shelf, was: Analysis, now: Analysis, kind: str, severity: int
) -> None:
    shelf.see(b"a.tif", "one", saw=was)
    shelf.see(b"a.tif", "two", saw=now, at=saved(stat()))
    case = shelf.case(b"a.tif")
    assert (case["kind"], case["manner"], case["severity"]) == (kind, "ordinary", severity)
    assert (case["baseline_rev_id"], case["rev_id"], case["reasons"] != []) == (1, 2, True)
    detail = json.loads(shelf.one("SELECT detail FROM v_event WHERE kind = 'changed'"))
    assert (detail["kind"], detail["manner"]) == (kind, "ordinary")
    assert detail["reason"] == "; ".join(case["reasons"])
    assert shelf.row(b"a.tif").baseline_rev_id == 1


@pytest.mark.parametrize(
    ("moved", "manner", "severity"),
    [
        ({}, "rot", 4),
        ({"ctime_ns": START_NS + 1}, "stealth", 3),
        ({"ctime_ns": START_NS + 1, "size": 999}, "stealth", 3),
        ({"ctime_ns": START_NS + 1, "mtime_ns": START_NS + 1}, "ordinary", 3),
    ],
)
def test_the_manner_is_judged_by_the_last_observed_stat(
    shelf: Shelf, moved: dict[str, int], manner: str, severity: int
) -> None:
    shelf.see(b"a.tif", "a", at=stat(mtime_ns=5, ctime_ns=5))
    shelf.see(b"a.tif", "a")  # touched: this is the stat that counts
    shelf.see(b"a.tif", "b", at=stat(**moved))
    case = shelf.case(b"a.tif")
    assert (case["manner"], case["severity"]) == (manner, severity)


def test_without_a_trusted_ctime_nobody_can_tell_rot_from_stealth(shelf: Shelf) -> None:
    shelf.roots.set_mount(
        shelf.root_id, MountRecord("vfat", "/dev/sdb1", 1, False, False, 2_000_000_000, "{}")
    )
    shelf.recorder.commit()
    shelf.see(b"a.tif", "a")
    shelf.see(b"a.tif", "b", at=stat(ctime_ns=START_NS + 10**10))
    case = shelf.case(b"a.tif")
    assert (case["manner"], case["severity"]) == ("unexplained", 4)


# ------------------------------------------------------------------------------------------ one case


def test_changes_fold_into_one_case_against_the_baseline(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", saw=tagged("a"))
    shelf.see(b"a.tif", "b", at=saved(stat()))
    (first,) = shelf.cases(b"a.tif")
    shelf.see(b"a.tif", "c", saw=tagged("a", SOFTWARE), at=saved(stat(), 20))
    (case,) = shelf.cases(b"a.tif")
    assert (first["kind"], case["kind"]) == ("picture", "metadata")
    assert (case["drift_id"], case["opened_ms"], case["rev_id"]) == (first["drift_id"], first["opened_ms"], 3)
    assert case["detail"]["chain"] == [
        {"revision": 2, "kind": "picture", "manner": "ordinary"},
        {"revision": 3, "kind": "metadata", "manner": "ordinary"},
    ]
    assert shelf.events(b"a.tif") == ["added", "changed", "changed"]


def test_back_to_the_baseline_closes_the_case_as_restored(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    shelf.see(b"a.tif", "b", at=saved(stat()))
    shelf.see(b"a.tif", "a", at=saved(stat(), 20))
    (case,) = shelf.cases(b"a.tif")
    assert (case["resolution"], case["rev_id"], case["closed_ms"] is not None) == ("restored", 3, True)
    assert shelf.events(b"a.tif") == ["added", "changed", "changed", "restored"]
    shelf.see(b"a.tif", "b", at=saved(stat(), 30))
    assert [each["resolution"] for each in shelf.cases(b"a.tif")] == ["restored", None]


def test_a_broken_file_that_is_whole_again_was_repaired(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    shelf.see(b"a.tif", "cut", saw=analysis(None), at=saved(stat()))
    shelf.see(b"a.tif", "a", at=saved(stat(), 20))
    assert shelf.events(b"a.tif") == ["added", "changed", "changed", "repaired"]


def test_an_earlier_content_that_is_not_the_baseline_is_named(shelf: Shelf) -> None:
    for number, content in enumerate(("a", "b", "c", "b")):
        shelf.see(b"a.tif", content, at=saved(stat(), 10 * number), started_ms=1_760_000_000_000 + number)
    case = shelf.case(b"a.tif")
    assert case["detail"]["restored_from"] == 2
    assert any("back to the content of 2025-10-09" in reason for reason in case["reasons"])


def test_an_absence_does_not_wash_away_how_the_content_came_about(shelf: Shelf) -> None:
    """A case of bit rot stays one when the file cannot be read for a while, or is gone and comes back."""
    shelf.see(b"a.tif", "a")
    shelf.see(b"a.tif", "flipped")
    shelf.recorder.failed(
        shelf.root_id, b"a.tif", shelf.row(b"a.tif"), Outcome.UNREADABLE, "Input/output error"
    )
    shelf.recorder.commit()
    assert shelf.case(b"a.tif")["kind"] == "unreadable"
    shelf.see(b"a.tif", "flipped")
    assert (shelf.case(b"a.tif")["kind"], shelf.case(b"a.tif")["manner"]) == ("picture", "rot")
    shelf.recorder.missing(shelf.row(b"a.tif"), "gone")
    shelf.recorder.commit()
    assert (shelf.case(b"a.tif")["kind"], shelf.case(b"a.tif")["manner"]) == ("missing", "ordinary")
    shelf.see(b"a.tif", "flipped")
    case = shelf.case(b"a.tif")
    assert (case["kind"], case["manner"], case["severity"]) == ("picture", "rot", 4)
    assert case["detail"]["chain"] == [{"revision": 2, "kind": "picture", "manner": "rot"}]
    assert len(shelf.cases(b"a.tif")) == 1


# --------------------------------------------------------------------------------- what explains a case


def test_a_swap_by_writing_is_told_on_both_sides(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", at=stat(inode=1))
    shelf.see(b"b.tif", "b", at=stat(inode=2))
    shelf.see(b"a.tif", "b", at=saved(stat(inode=1)))
    shelf.see(b"b.tif", "a", at=saved(stat(inode=2)))
    first, second = shelf.case(b"a.tif"), shelf.case(b"b.tif")
    assert (first["detail"]["swapped_with"], second["detail"]["swapped_with"]) == (
        "/share/b.tif",
        "/share/a.tif",
    )
    assert any("swapped with /share/b.tif" in reason for reason in first["reasons"])
    assert any("swapped with /share/a.tif" in reason for reason in second["reasons"])
    assert len(first["reasons"]) == len(set(first["reasons"]))


def test_a_swap_is_a_statement_of_when_it_was_seen(shelf: Shelf) -> None:
    """What the other file becomes later does not make it wrong."""
    shelf.see(b"a.tif", "a", at=stat(inode=1))
    shelf.see(b"b.tif", "b", at=stat(inode=2))
    shelf.see(b"a.tif", "b", at=saved(stat(inode=1)))
    shelf.see(b"b.tif", "a", at=saved(stat(inode=2)))
    for case in (shelf.case(b"a.tif"), shelf.case(b"b.tif")):
        detail = case["detail"]
        sentence = f"contents swapped with {detail['swapped_with']}, as seen {detail['swapped_seen']}"
        assert sentence in case["reasons"]


# ------------------------------------------------------------------------------------- decoder epochs


def test_exact_and_lossy_codecs_compare_within_an_epoch(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "exact", saw=analysis("a"))
    shelf.see(b"a.tif", "jpeg", saw=JPEG, at=saved(stat()))
    assert shelf.case(b"a.tif")["kind"] == "reencoded"


def test_an_exact_analysis_holds_in_every_epoch(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "exact", saw=analysis("a"))
    shelf.close()
    shelf.open(NEW_TOOLCHAIN)
    shelf.see(b"a.tif", "jpeg", saw=JPEG, at=saved(stat()))
    assert shelf.case(b"a.tif")["kind"] == "reencoded"


def test_digests_of_a_lossy_codec_are_not_compared_across_epochs(shelf: Shelf) -> None:
    shelf.see(b"a.jpg", "one", saw=analysis("a", fidelity=Fidelity.DECODER))
    shelf.close()
    shelf.open(NEW_TOOLCHAIN)
    shelf.see(
        b"a.jpg", "two", saw=analysis("a", fidelity=Fidelity.DECODER, compression="x"), at=saved(stat())
    )
    assert shelf.case(b"a.jpg")["kind"] == "unproven"


def test_after_a_step_back_the_older_decoders_speak_again(shelf: Shelf) -> None:
    jpeg = analysis("a", fidelity=Fidelity.DECODER)
    shelf.see(b"a.jpg", "one", saw=jpeg)
    shelf.close()
    shelf.open(NEW_TOOLCHAIN)
    shelf.see(b"copy.jpg", "one", saw=dataclasses.replace(jpeg, pixels=b"n" * 32, view=b"n" * 32))
    shelf.close()
    shelf.open(TOOLCHAIN)
    shelf.see(
        b"a.jpg", "two", saw=analysis("a", fidelity=Fidelity.DECODER, compression="x"), at=saved(stat())
    )
    assert shelf.case(b"a.jpg")["kind"] == "reencoded"


def test_a_content_that_is_analysed_anew_rebases_all_its_files_and_their_cases(shelf: Shelf) -> None:
    """A decoder crashed on a file; with another release it decodes, and nothing was broken."""
    shelf.see(b"a.tif", "a")
    crash = analysis(None, reason="the decoder crashed")
    shelf.see(b"a.tif", "b", saw=crash, at=saved(stat()))
    shelf.see(b"copy.tif", "b", saw=crash, at=stat(inode=5))
    assert shelf.case(b"a.tif")["kind"] == "broken"
    shelf.close()
    shelf.open(NEW_TOOLCHAIN)
    assert shelf.recorder.known([shelf.look(b"x", "b").sha256 or b""], loaders=False) == set()
    shelf.see(b"copy.tif", "b", saw=analysis("a", compression="LZW"), at=stat(inode=5))
    assert {row.outcome for row in map(shelf.row, (b"a.tif", b"copy.tif"))} == {Outcome.OK}
    assert shelf.ask("SELECT DISTINCT reason FROM file") == [{"reason": None}]
    assert shelf.case(b"a.tif")["kind"] == "reencoded"
    assert shelf.case(b"a.tif")["detail"]["chain"][-1]["revision"] == 2
    assert len(shelf.case(b"a.tif")["detail"]["chain"]) == 1
    assert shelf.events(b"a.tif") == ["added", "changed", "decoder"]
    assert shelf.events(b"copy.tif") == ["added", "decoder"]
    assert shelf.one("SELECT n_files FROM raster WHERE level = 1 AND n_files > 1") == 2


def test_the_same_samples_under_new_decoders_are_no_event(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    shelf.close()
    shelf.open(NEW_TOOLCHAIN)
    shelf.see(b"a.tif", "a", saw=analysis("a"))
    assert shelf.events(b"a.tif") == ["added"]
    assert shelf.one("SELECT count(*) FROM analysis") == 2


# --------------------------------------------------------------------------------------------- accepting


def policy(tmp_path: Path, *kinds: Kind) -> Shelf:
    return Shelf(tmp_path, auto_accept=frozenset(kinds))


def test_a_policy_accepts_ordinary_cases_of_its_kinds(tmp_path: Path) -> None:
    with policy(tmp_path, Kind.METADATA) as shelf:
        shelf.see(b"a.tif", "a", saw=tagged("a"))
        shelf.see(b"a.tif", "b", saw=tagged("a", SOFTWARE), at=saved(stat()))
        assert (shelf.row(b"a.tif").baseline_rev_id, shelf.row(b"a.tif").rev_id) == (2, 2)
        assert shelf.events(b"a.tif") == ["added", "changed", "accepted"]
        (event,) = shelf.ask("SELECT * FROM v_event WHERE kind = 'accepted'")
        assert (event["actor"], event["from_rev_id"], event["to_rev_id"]) == ("policy", 1, 2)
        (case,) = shelf.cases(b"a.tif")
        assert (case["resolution"], case["actor"], case["kind"]) == ("accepted", "policy", "metadata")
        assert json.loads(event["detail"])["case"] == case["drift_id"]
        # The old content is drift now, and of a kind that nobody accepts unseen.
        shelf.see(b"a.tif", "c", at=saved(stat(), 20))
        assert shelf.case(b"a.tif")["baseline_rev_id"] == 2
    shelf.check()


def test_a_policy_closes_a_case_that_became_one_of_its_kinds(tmp_path: Path) -> None:
    with policy(tmp_path, Kind.METADATA, Kind.REENCODED) as shelf:
        shelf.see(b"a.tif", "a")
        shelf.see(b"a.tif", "b", at=saved(stat()))
        assert shelf.case(b"a.tif")["kind"] == "picture"
        shelf.see(b"a.tif", "c", saw=analysis("a", compression="LZW"), at=saved(stat(), 20))
        (case,) = shelf.cases(b"a.tif")
        assert (case["resolution"], case["kind"]) == ("accepted", "reencoded")
        assert shelf.row(b"a.tif").baseline_rev_id == 3


@pytest.mark.parametrize("moved", [{}, {"ctime_ns": START_NS + 1}])
def test_a_policy_never_accepts_rot_or_stealth(tmp_path: Path, moved: dict[str, int]) -> None:
    with policy(tmp_path, *(kind for kind in Kind if kind not in NEVER_BY_POLICY)) as shelf:
        shelf.see(b"a.tif", "a", saw=tagged("a"))
        shelf.see(b"a.tif", "b", saw=tagged("a", SOFTWARE), at=stat(**moved))
        assert shelf.row(b"a.tif").baseline_rev_id == 1
        assert shelf.case(b"a.tif")["resolution"] is None


@pytest.mark.parametrize("kind", sorted(NEVER_BY_POLICY))
def test_damage_and_absence_cannot_be_accepted_by_policy(tmp_path: Path, kind: Kind) -> None:
    with pytest.raises(ValueError, match="never accepted by policy"):
        policy(tmp_path, Kind.METADATA, kind)


def test_by_default_nothing_is_accepted(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", saw=tagged("a"))
    shelf.see(b"a.tif", "b", saw=tagged("a", SOFTWARE), at=saved(stat()))
    assert shelf.row(b"a.tif").baseline_rev_id == 1
    assert shelf.events(b"a.tif") == ["added", "changed"]


def test_a_removed_share_closes_its_cases(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    shelf.see(b"a.tif", "b", at=saved(stat()))
    shelf.roots.remove(shelf.roots.by_id(shelf.root_id), "admin")
    assert shelf.ask("SELECT resolution, actor FROM drift") == [
        {"resolution": "root removed", "actor": "admin"}
    ]
