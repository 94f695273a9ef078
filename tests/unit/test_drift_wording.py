"""What a verdict says to a curator: the sentences, the most important first."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from catalog.drift import (
    good_copy_sentence,
    layout_changes,
    restored_sentence,
    summary,
    swapped_sentence,
    verdict,
)
from catalog.terms import (
    Evidence,
    Fidelity,
    Kind,
    Layout,
    Manner,
    Page,
    PageRole,
    Tag,
)
from tests.unit.evidences import (
    ANALYSIS,
    IMAGE,
    LAYOUT,
    LOSSY,
    OLD,
    OTHER,
    OTHER_EPOCH,
    digest,
    long_tag,
    page_ifd,
    revised,
    short_tag,
)


def test_the_seed_file_resaved_by_pillow_reads_as_promised() -> None:
    old_ifd = page_ifd(
        short_tag(256, "ImageWidth", 124),
        long_tag(273, "StripOffsets", 8, 8192, 16376),
        short_tag(274, "Orientation", 1),
        short_tag(278, "RowsPerStrip", 22),
        long_tag(279, "StripByteCounts", 8184, 8184, 7440),
        Tag(282, "XResolution", 5, 1, struct.pack("<2I", 72, 1)),
    )
    new_ifd = page_ifd(
        long_tag(256, "ImageWidth", 124),
        long_tag(273, "StripOffsets", 192),
        long_tag(278, "RowsPerStrip", 64),
        long_tag(279, "StripByteCounts", 23808),
        Tag(282, "XResolution", 5, 1, struct.pack("<2I", 72, 1)),
    )
    old = replace(OLD, analysis=replace(ANALYSIS, ifds=(old_ifd,)))
    layout = replace(LAYOUT, segments=1, rows_per_strip=64)
    found = verdict(old, revised(payload=OTHER, layout=layout, ifds=(new_ifd,)), Manner.ORDINARY)
    assert found.kind is Kind.REENCODED
    assert (
        "; ".join(found.reasons)
        == "pixels identical; 1 strip of 64 rows instead of 3 of 22; tag Orientation dropped"
    )
    assert found.tags["removed"] == [{"ifd": "page 0", "name": "Orientation", "old": [1]}]
    assert (found.tags["added"], found.tags["changed"]) == ([], [])
    assert [entry["name"] for entry in found.tags["layout"]] == [
        "ImageWidth",
        "StripOffsets",
        "RowsPerStrip",
        "StripByteCounts",
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (1, 6, "shown rotated 90° clockwise: Orientation 6 instead of 1"),
        (6, 1, "shown rotated 90° counter-clockwise: Orientation 1 instead of 6"),
        (1, 3, "shown rotated 180°: Orientation 3 instead of 1"),
        (6, 8, "shown rotated 180°: Orientation 8 instead of 6"),
        (1, 2, "shown mirrored left to right: Orientation 2 instead of 1"),
        (6, 7, "shown mirrored top to bottom: Orientation 7 instead of 6"),
        (8, 3, "shown rotated 90° counter-clockwise: Orientation 3 instead of 8"),
    ],
)
def test_display_says_how_the_picture_is_turned_now(old: int, new: int, words: str) -> None:
    def side(orientation: int) -> dict[str, object]:
        tags = page_ifd(short_tag(274, "Orientation", orientation))
        return {"image": {"orientation": orientation}, "ifds": (tags,)}

    before = revised(evidence={"sha256": digest("old bytes")}, **side(old))
    found = verdict(before, revised(view=OTHER, **side(new)), Manner.ORDINARY)
    assert found.kind is Kind.DISPLAY
    assert found.reasons == (words, "pixels identical")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"orientation": 6}, {}, "orientation baked into the samples"),
        ({"model": "gray", "channels": 1}, {}, "gray stored as RGB"),
        ({"dtype": "u8"}, {"dtype": "u16"}, "8 bit widened to 16"),
        ({"model": "rgba", "channels": 4}, {}, "opaque alpha dropped"),
        ({}, {"model": "rgba", "channels": 4}, "opaque alpha added"),
        ({"model": "gray"}, {"dtype": "u16"}, "gray stored as RGB and 8 bit widened to 16"),
    ],
)
def test_representation_says_which_reduction_joins_the_pictures(
    before: dict[str, object], after: dict[str, object], words: str
) -> None:
    old = replace(OLD, analysis=replace(ANALYSIS, image=replace(IMAGE, **before)))
    found = verdict(old, revised(pixels=OTHER, payload=OTHER, image=after), Manner.ORDINARY)
    assert found.kind is Kind.REPRESENTATION
    assert found.reasons[0] == f"same picture on screen: {words}"


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"width": 200, "height": 100}, "the picture changed: 124 x 64 became 200 x 100"),
        ({"frames": 3}, "the picture changed: 1 page became 3"),
        ({"model": "gray", "dtype": "f32"}, "the picture changed: RGB 8 bit became gray 32 bit float"),
        ({}, "the picture changed"),
    ],
)
def test_picture_says_what_became_of_it(after: dict[str, object], words: str) -> None:
    found = verdict(OLD, revised(pixels=OTHER, view=OTHER, payload=OTHER, image=after), Manner.ORDINARY)
    assert found.reasons == (words, "size 24,036 -> 24,000 bytes")


def test_picture_names_the_pages_that_changed() -> None:
    def pages(*views: str) -> tuple[Page, ...]:
        return tuple(
            Page(i, PageRole.PAGE, 9, 9, "gray", "u8", 1, digest(v), digest(v)) for i, v in enumerate(views)
        )

    old = replace(OLD, analysis=replace(ANALYSIS, pages=pages("a", "b", "c")))
    new = revised(pixels=OTHER, view=OTHER, payload=OTHER, pages=pages("a", "x", "c"))
    first = verdict(old, new, Manner.ORDINARY).reasons[0]
    assert first == "the picture changed on page 1 of 3 pages, counted from 0"


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (revised(payload=OTHER, **LOSSY), "new was decoded only as lossy (16 bit colour delivered as 8)"),
        (
            revised(payload=OTHER, fidelity=Fidelity.DECODER, evidence={"epoch": OTHER_EPOCH}),
            "new was decoded by another decoder version (re-base first)",
        ),
        (replace(OLD, sha256=OTHER, analysis=None), "new was not decoded"),
    ],
)
def test_unproven_says_why(new: Evidence, words: str) -> None:
    assert verdict(OLD, new, Manner.ORDINARY).reasons[0] == f"cannot say whether the picture changed: {words}"


def test_unproven_names_both_sides_when_both_prove_nothing() -> None:
    old = replace(OLD, analysis=replace(ANALYSIS, fidelity=Fidelity.DAMAGED, reason="short strip"))
    first = verdict(old, revised(payload=OTHER, **LOSSY), Manner.ORDINARY).reasons[0]
    assert first.endswith(
        "old was decoded only as damaged (short strip), "
        "new was decoded only as lossy (16 bit colour delivered as 8)"
    )


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (
            revised(
                evidence={"state": "undecodable"},
                fidelity=Fidelity.UNDECODABLE,
                reason="cannot identify image file",
                payload=None,
                pixels=None,
                view=None,
            ),
            ("no longer decodes: cannot identify image file", "size 24,036 -> 24,000 bytes"),
        ),
        (
            revised(fidelity=Fidelity.DAMAGED, reason="strip 2 is short", pixels=OTHER, payload=None),
            ("no longer decodes without damage: strip 2 is short", "size 24,036 -> 24,000 bytes"),
        ),
        (Evidence("missing", reason="renamed to a\n.bak"), ("missing: renamed to a\\n.bak",)),
        (Evidence("missing"), ("missing",)),
        (
            Evidence("unreadable", reason="Input/output error (EIO)"),
            ("cannot be read: Input/output error (EIO)",),
        ),
    ],
)
def test_broken_missing_and_unreadable_give_their_reason(new: Evidence, words: tuple[str, ...]) -> None:
    assert verdict(OLD, new, Manner.ORDINARY).reasons == words


def test_rot_says_that_nobody_wrote_the_file() -> None:
    found = verdict(OLD, revised(pixels=OTHER, view=OTHER, payload=OTHER), Manner.ROT)
    assert found.reasons[1] == "nobody wrote the file: size, mtime and ctime are as before (bit rot)"


@pytest.mark.parametrize(
    ("old", "new", "verb"),
    [(None, b"p" * 32, "added"), (b"p" * 32, None, "removed"), (b"p" * 32, b"q" * 32, "changed")],
)
def test_a_colour_profile_is_told_once(old: bytes | None, new: bytes | None, verb: str) -> None:
    def side(profile: bytes | None) -> dict[str, object]:
        tags = (Tag(34675, "InterColorProfile", 7, 32, profile),) if profile else ()
        return {"image": {"icc_sha256": profile}, "ifds": (page_ifd(*tags),)}

    before = revised(evidence={"sha256": digest("old bytes")}, **side(old))
    reasons = verdict(before, revised(**side(new)), Manner.ORDINARY).reasons
    assert reasons == ("pixels identical", f"colour profile {verb} (samples identical, look may differ)")


@pytest.mark.parametrize(
    ("image", "layout", "words"),
    [
        ({}, LAYOUT, "each tag, strip and tile is where it was: bytes that none of them refers to differ"),
        (
            {"format": "PNG"},
            Layout("PNG"),
            "no descriptive tag differs: comments, text, padding or other bytes beside the picture do",
        ),
        (
            {"format": "JPEG"},
            Layout("JPEG", beside="comment, XMP"),
            "no tag differs: the comment or the XMP does, or padding beside the picture",
        ),
    ],
)
def test_metadata_outside_the_tags_has_a_reason_too(
    image: dict[str, object], layout: Layout, words: str
) -> None:
    before = revised(evidence={"sha256": digest("old bytes"), "size": 24036}, image=image, layout=layout)
    reasons = verdict(before, revised(image=image, layout=layout), Manner.ORDINARY).reasons
    assert reasons == ("pixels identical", words, "size 24,036 -> 24,000 bytes")


def test_what_came_and_went_beside_the_picture_is_named() -> None:
    old, new = Layout("JPEG", beside="comment, IPTC", trailing=5), Layout("JPEG", beside="IPTC, XMP")
    assert layout_changes(old, new) == [
        "XMP added",
        "comment dropped",
        "5 bytes after the end of the image cut off",
    ]
    assert layout_changes(new, replace(new, trailing=1)) == ["1 byte appended after the end of the image"]


def test_a_lossy_picture_that_was_saved_anew_says_so() -> None:
    lossy = {"fidelity": Fidelity.DECODER, "near": bytes(32)}
    before = revised(evidence={"sha256": digest("old bytes")}, **lossy)
    changed = {"pixels": OTHER, "view": OTHER, "payload": OTHER}
    assert verdict(before, revised(**lossy, **changed), Manner.ORDINARY).reasons[:3] == (
        "the picture changed",
        "near distance 0 of 256: no change that shows from afar",
        "encoded anew with loss, or retouched",
    )
    far = {**lossy, "near": b"\xff" * 32}
    assert verdict(before, revised(**far, **changed), Manner.ORDINARY).reasons[1:] == (
        "near distance 256 of 256: another picture by its looks, or a crop",
    )


def test_facts_about_other_files_have_their_sentences() -> None:
    assert restored_sentence("2025-11-02") == "back to the content of 2025-11-02"
    assert swapped_sentence(b"b\x1b[31m.tif", "2025-10-09") == (
        r"contents swapped with b\x1b[31m.tif, as seen 2025-10-09"
    )
    assert good_copy_sentence("copies/a.tif") == "a good copy of the old picture is copies/a.tif"


def test_every_kind_has_a_summary_of_its_own() -> None:
    words = {summary(kind) for kind in (None, *Kind)}
    assert len(words) == len(Kind) + 1
    assert summary(Kind.METADATA) == "pixels identical, tags changed"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((1, 0), "0 means white (MinIsWhite) instead of black (MinIsBlack)"),
        ((0, 1), "0 means black (MinIsBlack) instead of white (MinIsWhite)"),
        ((1, 1), None),
        ((2, 0), None),
    ],
)
def test_a_picture_stored_with_white_as_zero_is_told(values: tuple[int, int], words: str | None) -> None:
    ifds = [(page_ifd(short_tag(262, "PhotometricInterpretation", value)),) for value in values]
    old = replace(OLD, analysis=replace(ANALYSIS, ifds=ifds[0]))
    for other in ({"payload": OTHER}, {"payload": OTHER, "pixels": OTHER, "view": OTHER}):
        told = verdict(old, revised(ifds=ifds[1], **other), Manner.ORDINARY).reasons
        assert [reason for reason in told if reason.startswith("0 means")] == ([words] if words else [])
