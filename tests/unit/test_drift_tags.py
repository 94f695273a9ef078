"""Which tags and which layout changed, per IFD and in words."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from catalog.drift import (
    layout_changes,
    tag_changes,
    verdict,
)
from catalog.terms import (
    Analysis,
    Evidence,
    Fidelity,
    Ifd,
    IfdKind,
    Kind,
    Layout,
    Manner,
    Tag,
)
from tests.unit.evidences import (
    ANALYSIS,
    EPOCH,
    LAYOUT,
    OLD,
    ascii_tag,
    digest,
    long_tag,
    page_ifd,
    short_tag,
)


def tag_reasons(old: tuple[Tag, ...], new: tuple[Tag, ...]) -> tuple[str, ...]:
    before = replace(OLD, analysis=replace(ANALYSIS, ifds=(page_ifd(*old),)))
    after = replace(OLD, sha256=digest("new bytes"), analysis=replace(ANALYSIS, ifds=(page_ifd(*new),)))
    return verdict(before, after, Manner.ORDINARY).reasons[1:]


def numbered(count: int) -> tuple[Tag, ...]:
    return tuple(short_tag(40000 + i, f"Tag{i}", i) for i in range(count))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            (ascii_tag(305, "Software", "A"),),
            (ascii_tag(305, "Software", "B"),),
            ("tag Software changed from 'A' to 'B'",),
        ),
        (
            (),
            (ascii_tag(315, "Artist", "Ada"), ascii_tag(33432, "Copyright", "CC0")),
            ("2 tags added: Artist, Copyright",),
        ),
        (
            numbered(12),
            (),
            ("12 tags dropped: Tag0, Tag1, Tag2, Tag3, Tag4 and 7 more",),
        ),
        (
            (Tag(282, "XResolution", 5, 1, struct.pack("<2I", 72, 1)),),
            (Tag(282, "XResolution", 5, 1, struct.pack("<2I", 3, 2)),),
            ("tag XResolution changed from 72 to 3/2",),
        ),
        (
            (ascii_tag(270, "ImageDescription", "x" * 60 + "1"),),
            (ascii_tag(270, "ImageDescription", "x" * 60 + "2"),),
            ("tag ImageDescription changed",),
        ),
        (
            (ascii_tag(305, "Software", "A"),),
            (ascii_tag(305, "Software", "\x1b[2J"),),
            (r"tag Software changed from 'A' to '\x1b[2J'",),
        ),
        (
            (Tag(700, "XMP", 1, 9, b"<x:xmp/>1"),),
            (Tag(700, "XMP", 1, 10, b"<x:xmpx/>2"),),
            ("tag XMP changed from 9 bytes to 10 bytes",),
        ),
        (
            (ascii_tag(305, "Software", "A"),),
            (Tag(305, "Software", 2, 9, b"", broken="offset beyond the end"),),
            ("tag Software changed from 'A' to an unreadable value (offset beyond the end)",),
        ),
        (
            numbered(3),
            tuple(replace(tag, raw=b"\xff\0") for tag in numbered(3)),
            ("3 tags changed: Tag0, Tag1, Tag2",),
        ),
    ],
)
def test_tag_changes_in_words(old: tuple[Tag, ...], new: tuple[Tag, ...], words: tuple[str, ...]) -> None:
    assert tag_reasons(old, new) == words


def test_a_value_stored_in_another_type_is_no_changed_tag() -> None:
    old = replace(ANALYSIS, ifds=(page_ifd(short_tag(40000, "A", 7)),))
    new = replace(ANALYSIS, ifds=(page_ifd(long_tag(40000, "A", 7)),))
    changes = tag_changes(old, new)
    assert changes["changed"] == []
    assert changes["layout"] == [{"ifd": "page 0", "name": "A", "old": [7], "new": [7]}]


def test_a_cut_value_is_compared_and_shown_by_its_digest() -> None:
    cut = Tag(37500, "MakerNote", 7, 99999, b"same start", sha256=digest("one"))
    exif = Ifd(1, IfdKind.EXIF, 0, (cut,))
    old = replace(ANALYSIS, ifds=(page_ifd(), exif))
    new = replace(ANALYSIS, ifds=(page_ifd(), replace(exif, tags=(replace(cut, sha256=digest("two")),))))
    (change,) = tag_changes(old, new)["changed"]
    assert (change["ifd"], change["name"]) == ("exif", "MakerNote")
    assert change["new"] == {"type": "UNDEFINED", "count": 99999, "sha256": digest("two").hex()}


def test_ifds_have_readable_labels_and_pair_by_them() -> None:
    def ifds(text: str) -> tuple[Ifd, ...]:
        tag = (ascii_tag(40000, "A", text),)
        return (
            Ifd(0, IfdKind.PAGE, None, tag),
            Ifd(1, IfdKind.EXIF, 0, tag),
            Ifd(2, IfdKind.INTEROP, 1, tag),
            Ifd(3, IfdKind.SUBIFD, 0, tag),
            Ifd(4, IfdKind.THUMBNAIL, None, tag),
            Ifd(5, IfdKind.PAGE, None, tag),
            Ifd(6, IfdKind.GPS, 5, tag),
        )

    changes = tag_changes(replace(ANALYSIS, ifds=ifds("a")), replace(ANALYSIS, ifds=ifds("b")))
    assert [change["ifd"] for change in changes["changed"]] == [
        "page 0",
        "exif",
        "interop",
        "subifd 0 of page 0",
        "thumbnail 0",
        "page 1",
        "gps of page 1",
    ]
    assert {(*change["old"], *change["new"]) for change in changes["changed"]} == {("a", "b")}


def test_a_code_that_stands_twice_is_two_tags() -> None:
    first, second = ascii_tag(305, "Software", "A"), ascii_tag(305, "Software", "B")
    changes = tag_changes(
        replace(ANALYSIS, ifds=(page_ifd(first, second),)), replace(ANALYSIS, ifds=(page_ifd(second),))
    )
    assert changes["changed"] == [{"ifd": "page 0", "name": "Software", "old": ["A"], "new": ["B"]}]
    assert changes["removed"] == [{"ifd": "page 0", "name": "Software", "old": ["B"]}]


def test_parents_in_a_circle_do_not_hang() -> None:
    circle = (Ifd(0, IfdKind.EXIF, 1, ()), Ifd(1, IfdKind.GPS, 0, (ascii_tag(40000, "A", "a"),)))
    changes = tag_changes(replace(ANALYSIS, ifds=circle), ANALYSIS)
    assert changes["removed"] == [{"ifd": "gps", "name": "A", "old": ["a"]}]


def test_tags_of_a_file_that_cannot_be_parsed_are_not_called_dropped() -> None:
    unparsed = Analysis(Fidelity.UNDECODABLE, "cannot identify image file")
    found = verdict(OLD, Evidence("undecodable", 9, digest("new bytes"), unparsed, EPOCH), Manner.ORDINARY)
    assert found.kind is Kind.BROKEN
    assert found.tags == {"added": [], "removed": [], "changed": [], "layout": []}


# ---------------------------------------------------------------------------------------------- layout


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (LAYOUT, replace(LAYOUT, segments=1, rows_per_strip=64), ["1 strip of 64 rows instead of 3 of 22"]),
        (LAYOUT, replace(LAYOUT, compression="LZW"), ["LZW instead of no compression"]),
        (replace(LAYOUT, compression="LZW"), LAYOUT, ["no compression instead of LZW"]),
        (
            replace(LAYOUT, compression="LZW"),
            replace(LAYOUT, compression="Deflate"),
            ["Deflate compression instead of LZW"],
        ),
        (LAYOUT, replace(LAYOUT, byte_order="big"), ["big-endian instead of little-endian"]),
        (LAYOUT, Layout("PNG", "Deflate", interlaced=False), ["PNG instead of TIFF"]),
        (LAYOUT, replace(LAYOUT, container="BigTIFF"), ["BigTIFF instead of TIFF"]),
        (
            LAYOUT,
            replace(LAYOUT, segments=4, rows_per_strip=None, tile_width=256, tile_height=256),
            ["tiles of 256x256 instead of strips"],
        ),
        (
            replace(LAYOUT, segments=4, rows_per_strip=None, tile_width=256, tile_height=256),
            LAYOUT,
            ["3 strips of 22 rows instead of tiles"],
        ),
        (LAYOUT, replace(LAYOUT, planar="separate"), ["separate planes instead of interleaved samples"]),
        (LAYOUT, replace(LAYOUT, predictor=2), ["horizontal predictor instead of no predictor"]),
        (LAYOUT, replace(LAYOUT, rest="ab"), ["further pages laid out differently"]),
        (
            Layout("JPEG", "JPEG", interlaced=False, subsampling="4:2:0"),
            Layout("JPEG", "JPEG", interlaced=True, subsampling="4:4:4"),
            ["subsampling 4:4:4 instead of subsampling 4:2:0", "progressive instead of sequential"],
        ),
        (LAYOUT, LAYOUT, []),
    ],
)
def test_layout_changes_in_words(old: Layout, new: Layout, words: list[str]) -> None:
    assert layout_changes(old, new) == words
