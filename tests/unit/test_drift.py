"""The table of docs/drift.md, row by row: kinds, their order, severities, levels and manners."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.drift import (
    SEVERITY,
    compare_levels,
    comparison,
    manner,
    same_picture,
    summary,
    verdict,
)
from catalog.terms import (
    Evidence,
    Fidelity,
    Kind,
    Level,
    Manner,
    Severity,
    Stat,
)
from tests.unit.evidences import (
    ANALYSIS,
    EPOCH,
    LAYOUT,
    LOSSY,
    OLD,
    OTHER,
    OTHER_EPOCH,
    digest,
    kind_of,
    revised,
)

SECOND = 1_000_000_000
ROWS = {
    "metadata": (revised(), Kind.METADATA),
    "metadata by payload where no decoder helps": (
        revised(pixels=None, view=None, fidelity=Fidelity.UNVERIFIED),
        Kind.METADATA,
    ),
    "metadata by pixels and layout": (revised(payload=None), Kind.METADATA),
    "reencoded": (revised(payload=OTHER), Kind.REENCODED),
    "reencoded in another layout, payload unknown": (
        revised(payload=None, layout=replace(LAYOUT, segments=1)),
        Kind.REENCODED,
    ),
    "display by view": (revised(view=OTHER, payload=OTHER), Kind.DISPLAY),
    "display by Orientation where no decoder helps": (
        revised(image={"orientation": 6}, **LOSSY),
        Kind.DISPLAY,
    ),
    "representation": (revised(pixels=OTHER, payload=OTHER), Kind.REPRESENTATION),
    "picture": (revised(pixels=OTHER, view=OTHER, payload=OTHER), Kind.PICTURE),
    "unproven": (revised(payload=OTHER, **LOSSY), Kind.UNPROVEN),
    "broken: undecodable": (
        revised(
            evidence={"state": "undecodable"},
            fidelity=Fidelity.UNDECODABLE,
            reason="cannot identify image file",
            payload=None,
            pixels=None,
            view=None,
        ),
        Kind.BROKEN,
    ),
    "broken: damaged": (
        revised(fidelity=Fidelity.DAMAGED, reason="strip 2 is short", pixels=OTHER, view=OTHER, payload=None),
        Kind.BROKEN,
    ),
    "missing": (Evidence("missing", reason="not in its folder"), Kind.MISSING),
    "unreadable": (Evidence("unreadable", reason="Input/output error (EIO)"), Kind.UNREADABLE),
}


@pytest.mark.parametrize("row", ROWS)
def test_each_row_of_the_table_gives_its_kind_and_severity(row: str) -> None:
    new, kind = ROWS[row]
    found = verdict(OLD, new, Manner.ORDINARY)
    assert (found.kind, found.severity, found.manner) == (kind, SEVERITY[kind], Manner.ORDINARY)


def test_the_severities_are_those_of_the_table() -> None:
    assert {kind.value: severity.value for kind, severity in SEVERITY.items()} == {
        "metadata": "info",
        "reencoded": "notice",
        "display": "notice",
        "representation": "notice",
        "picture": "warning",
        "unproven": "warning",
        "broken": "critical",
        "missing": "warning",
        "unreadable": "warning",
    }


def test_the_users_page_has_a_row_for_each_kind_and_manner() -> None:
    page = (Path(__file__).parents[2] / "docs" / "drift.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()]
    kinds = {row[0]: (row[1], row[-1]) for row in rows if len(row) == 4 and row[-1] in {*Severity}}
    assert kinds == {f"`{kind}`": (summary(kind), SEVERITY[kind].value) for kind in Kind}
    assert {row[0] for row in rows if len(row) == 5} >= {f"`{how}`" for how in Manner}


@pytest.mark.parametrize("how", [Manner.ROT, Manner.UNEXPLAINED])
@pytest.mark.parametrize("row", ROWS)
def test_rot_and_unexplained_make_any_kind_critical(row: str, how: Manner) -> None:
    assert verdict(OLD, ROWS[row][0], how).severity is Severity.CRITICAL


def test_stealth_keeps_the_severity_of_the_kind_and_says_so() -> None:
    found = verdict(OLD, revised(), Manner.STEALTH)
    assert found.severity is Severity.INFO
    assert "rewritten with its mtime put back" in found.reasons


@pytest.mark.parametrize("how", Manner)
def test_equal_bytes_are_no_drift_whatever_the_stat_says(how: Manner) -> None:
    found = verdict(OLD, replace(OLD, analysis=None), how)
    assert (found.kind, found.severity, found.reasons) == (None, Severity.INFO, ("bytes identical",))


# ------------------------------------------------------------------------------- the order of the rows


def test_payload_proof_comes_before_the_pixels() -> None:
    new = revised(fidelity=Fidelity.DECODER, evidence={"epoch": OTHER_EPOCH})
    assert verdict(OLD, new, Manner.ORDINARY).same == (
        ("bytes", False),
        ("payload", True),
        ("pixels", None),
        ("view", None),
    )
    assert kind_of(new) is Kind.METADATA


def test_equal_payload_never_hides_different_samples() -> None:
    assert kind_of(revised(pixels=OTHER, view=OTHER)) is Kind.PICTURE


def test_orientation_that_changes_nothing_on_screen_is_metadata() -> None:
    assert kind_of(revised(image={"orientation": 2})) is Kind.METADATA


def test_same_layout_with_another_payload_is_reencoded_not_metadata() -> None:
    new = revised(payload=OTHER)
    assert kind_of(new) is Kind.REENCODED
    assert "encoded anew with the same layout" in verdict(OLD, new, Manner.ORDINARY).reasons


def test_a_file_that_stops_decoding_is_broken_although_its_payload_is_the_same() -> None:
    new = revised(fidelity=Fidelity.DAMAGED, reason="CRC of IDAT is wrong", pixels=None, view=None)
    assert kind_of(new) is Kind.BROKEN


def test_a_complaint_over_the_same_payload_and_samples_is_metadata_and_is_told() -> None:
    new = revised(fidelity=Fidelity.DAMAGED, reason="unknown tag 65000")
    found = verdict(OLD, new, Manner.ORDINARY)
    assert found.kind is Kind.METADATA
    assert "the decoder complains: unknown tag 65000" in found.reasons


def test_what_never_decoded_cannot_break() -> None:
    undecodable = {"fidelity": Fidelity.UNDECODABLE, "pixels": None, "view": None, "payload": None}
    old = replace(OLD, state="undecodable", analysis=replace(ANALYSIS, **undecodable))
    new = revised(evidence={"state": "undecodable"}, **undecodable)
    assert kind_of(new, old) is Kind.UNPROVEN


def test_missing_wins_over_everything_that_is_known() -> None:
    assert kind_of(replace(OLD, state="missing")) is Kind.MISSING


def test_without_the_old_bytes_nothing_is_proved() -> None:
    found = verdict(Evidence("unreadable", reason="EIO"), OLD, Manner.ORDINARY)
    assert found.kind is Kind.UNPROVEN
    assert found.reasons == ("cannot say whether the picture changed: old was unreadable (EIO)",)


def test_other_samples_of_unknown_look_are_unproven() -> None:
    assert kind_of(revised(pixels=OTHER, payload=OTHER, view=None)) is Kind.UNPROVEN


# ------------------------------------------------------------------------------------------ the levels


@pytest.mark.parametrize(
    ("old", "new", "epochs", "comparable"),
    [
        (Fidelity.EXACT, Fidelity.EXACT, (EPOCH, OTHER_EPOCH), True),
        (Fidelity.EXACT, Fidelity.DECODER, (EPOCH, EPOCH), True),
        (Fidelity.EXACT, Fidelity.DECODER, (EPOCH, OTHER_EPOCH), False),
        (Fidelity.DECODER, Fidelity.DECODER, (EPOCH, EPOCH), True),
        (Fidelity.DECODER, Fidelity.DECODER, (EPOCH, OTHER_EPOCH), False),
        (Fidelity.DECODER, Fidelity.DECODER, (None, None), False),
        (Fidelity.LOSSY, Fidelity.LOSSY, (EPOCH, EPOCH), False),
        (Fidelity.EXACT, Fidelity.UNVERIFIED, (EPOCH, EPOCH), False),
        (Fidelity.DAMAGED, Fidelity.DAMAGED, (EPOCH, EPOCH), False),
    ],
)
def test_pixel_digests_are_comparable_only_between_sound_classes_of_one_epoch(
    old: Fidelity, new: Fidelity, epochs: tuple[bytes | None, bytes | None], comparable: bool
) -> None:
    before = Evidence("ok", 1, digest("a"), replace(ANALYSIS, fidelity=old), epochs[0])
    after = Evidence("ok", 1, digest("b"), replace(ANALYSIS, fidelity=new), epochs[1])
    levels = compare_levels(before, after)
    expected = True if comparable else None
    assert (levels[Level.PIXELS], levels[Level.VIEW]) == (expected, expected)
    assert (levels[Level.BYTES], levels[Level.PAYLOAD]) == (False, True)


def test_an_absent_digest_cannot_tell() -> None:
    assert set(compare_levels(OLD, Evidence("ok")).values()) == {None}


# ------------------------------------------------------------------------------------------ the manner

STAT = Stat(size=100, mtime_ns=50 * SECOND, ctime_ns=50 * SECOND, inode=7, dev=1, nlink=1, allocated=512)


@pytest.mark.parametrize(
    ("new", "trusted", "expected"),
    [
        (STAT, True, Manner.ROT),
        (replace(STAT, ctime_ns=90 * SECOND), True, Manner.STEALTH),
        (replace(STAT, ctime_ns=90 * SECOND, size=101), True, Manner.STEALTH),
        (STAT, False, Manner.UNEXPLAINED),
        (replace(STAT, ctime_ns=90 * SECOND), False, Manner.UNEXPLAINED),
        (replace(STAT, size=101), False, Manner.ORDINARY),
        (replace(STAT, size=101), True, Manner.ORDINARY),
        (replace(STAT, mtime_ns=90 * SECOND, ctime_ns=90 * SECOND), True, Manner.ORDINARY),
        (replace(STAT, mtime_ns=50 * SECOND + 1), False, Manner.ORDINARY),
    ],
)
def test_each_row_of_the_manner_table(new: Stat, trusted: bool, expected: Manner) -> None:
    assert manner(STAT, new, ctime_trusted=trusted, mtime_granularity_ns=1) is expected


def test_a_second_save_within_one_coarse_granule_is_ordinary() -> None:
    first = replace(STAT, ctime_ns=50 * SECOND + 100)
    second = replace(STAT, ctime_ns=51 * SECOND)
    assert manner(first, second, ctime_trusted=True, mtime_granularity_ns=2 * SECOND) is Manner.ORDINARY


def test_a_coarse_mtime_put_back_is_still_stealth() -> None:
    new = replace(STAT, ctime_ns=90 * SECOND)
    assert manner(STAT, new, ctime_trusted=True, mtime_granularity_ns=2 * SECOND) is Manner.STEALTH


TOOK = 1_760_000_000_123_456_789


@pytest.mark.parametrize("grain", [SECOND, 1_000_000, 1_000, None])
def test_an_mtime_put_back_with_less_precision_is_put_back(grain: int | None, tmp_path: Path) -> None:
    if grain is None:  # through a float, by the kernel
        (tmp_path / "a").touch()
        os.utime(tmp_path / "a", (0, TOOK / 1e9))
        after = (tmp_path / "a").stat().st_mtime_ns
        assert after != TOOK
    else:
        after = TOOK // grain * grain
    before = replace(STAT, mtime_ns=TOOK)
    written = replace(STAT, mtime_ns=after, ctime_ns=TOOK + 90 * SECOND)
    assert manner(before, written, ctime_trusted=True, mtime_granularity_ns=1) is Manner.STEALTH
    assert manner(before, written, ctime_trusted=False, mtime_granularity_ns=1) is Manner.ORDINARY
    untouched = replace(written, ctime_ns=before.ctime_ns)
    assert manner(before, untouched, ctime_trusted=True, mtime_granularity_ns=1) is Manner.ORDINARY


@pytest.mark.parametrize("later", [-SECOND, SECOND, 1_000_000, 1, -1, -1_000])
def test_another_mtime_is_an_ordinary_save(later: int) -> None:
    before = replace(STAT, mtime_ns=TOOK)
    written = replace(STAT, mtime_ns=TOOK + later, ctime_ns=TOOK + 90 * SECOND)
    assert manner(before, written, ctime_trusted=True, mtime_granularity_ns=1) is Manner.ORDINARY


def test_8_bit_samples_in_another_byte_order_are_written_anew() -> None:
    assert OLD.analysis is not None and OLD.analysis.layout is not None
    for change in ({"byte_order": "big"}, {"container": "BigTIFF"}):
        layout = replace(OLD.analysis.layout, **change)
        new = replace(OLD, sha256=b"n" * 32, analysis=replace(OLD.analysis, layout=layout))
        assert verdict(OLD, new, Manner.ORDINARY).kind is Kind.REENCODED


def test_an_mtime_that_only_lost_its_fraction_is_the_same() -> None:
    cached = replace(STAT, mtime_ns=50 * SECOND + 7)
    assert manner(cached, STAT, ctime_trusted=True, mtime_granularity_ns=SECOND) is Manner.ROT


# ------------------------------------------------------------------------------------------- comparing


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ("metadata", True),
        ("metadata by payload where no decoder helps", True),
        ("reencoded", True),
        ("representation", True),
        ("display by view", False),
        ("display by Orientation where no decoder helps", False),
        ("picture", False),
        ("unproven", None),
        ("broken: undecodable", None),
        ("broken: damaged", None),
        ("missing", None),
        ("unreadable", None),
    ],
)
def test_same_picture_follows_what_is_proved(row: str, answer: bool | None) -> None:
    assert same_picture(OLD, ROWS[row][0]) is answer


def test_a_byte_copy_is_the_same_picture_even_where_no_decoder_helps() -> None:
    broken = Evidence("undecodable", 5, digest("old bytes"), None, None, "no image")
    assert same_picture(broken, broken) is True
    assert comparison(broken, broken)["verdict"] == "identical"


def test_comparison_is_the_json_of_compare() -> None:
    answer = comparison(OLD, ROWS["picture"][0])
    assert json.loads(json.dumps(answer)) == answer
    assert answer == {
        "verdict": "picture",
        "same": {"bytes": False, "payload": False, "pixels": False, "view": False},
        "reasons": ["the picture changed", "size 24,036 -> 24,000 bytes"],
        "tags": {"added": [], "removed": [], "changed": [], "layout": []},
    }
