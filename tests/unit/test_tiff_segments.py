"""Strips and tiles: what is damage and what is not, and the layout in words."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile

from catalog.pixels.structure import Frame, Structure, parse
from catalog.pixels.tiff_segments import tiff_deflate_defects
from catalog.terms import Fidelity
from tests.unit.tiff_bytes import build, page


def first(content: bytes) -> Frame:
    return parse(content).frames[0]


def gray(**more: Any) -> bytes:
    return build(page(**more))


def written(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def test_strips_beyond_the_end_are_damage() -> None:
    content = bytearray(gray(height=6, strips=[bytes(8)] * 3, tags={278: (4, [2])}))
    offset = parse(bytes(content)).frames[0].tiff
    assert offset is not None
    at = content.index(struct.pack("<III", *offset.offsets))
    struct.pack_into("<I", content, at + 8, len(content) - 3)
    structure = parse(bytes(content))
    assert structure.defects == (
        f"strip 3 of 3 beyond the end of the file: byte {len(content) + 5:,} of {len(content):,}",
    )
    assert structure.payload is None
    assert structure.payload_reason is not None and "damaged" in structure.payload_reason


def test_short_uncompressed_strips_are_damage() -> None:
    structure = parse(gray(height=6, strips=[bytes(8), bytes(7), bytes(8)], tags={278: (4, [2])}))
    assert structure.defects == ("strip 2 of 3 too short: 7 of 8 bytes",)


def test_the_last_strip_may_be_shorter_but_not_too_short() -> None:
    strips = [bytes(8), bytes(8), bytes(4)]
    assert parse(gray(height=5, strips=strips, tags={278: (4, [2])})).defects == ()
    strips[-1] = bytes(3)
    assert parse(gray(height=5, strips=strips, tags={278: (4, [2])})).defects


@pytest.mark.parametrize(
    ("bits", "width", "row"), [(1, 9, 2), (2, 5, 2), (4, 3, 2), (12, 3, 5), (16, 3, 6), (32, 1, 4)]
)
def test_rows_end_at_whole_bytes(bits: int, width: int, row: int) -> None:
    options = {258: (3, [bits])}
    assert parse(gray(width=width, height=2, strips=[bytes(2 * row)], tags=options)).defects == ()
    assert parse(gray(width=width, height=2, strips=[bytes(2 * row - 1)], tags=options)).defects


def test_planar_images_have_segments_for_each_sample() -> None:
    options: dict[int, Any] = {258: (3, [8, 8, 8]), 262: (3, [2]), 277: (3, [3]), 284: (3, [2])}
    structure = parse(gray(strips=[bytes(12)] * 3, tags=options))
    assert structure.defects == ()
    assert structure.layout.planar == "separate"
    assert structure.layout.segments == 3
    missing = parse(gray(strips=[bytes(12)] * 2, tags=options))
    assert missing.defects == ("only 2 of 3 strips are listed",)


def test_segments_without_bytes_are_damage() -> None:
    two = {278: (4, [2]), 279: (4, [8, 0])}
    structure = parse(gray(height=4, strips=[bytes(8)] * 2, tags=two))
    assert structure.defects == ("strip 2 of 2 without bytes",)


def test_segments_that_were_never_written_are_sparse_only_where_gdal_says_so() -> None:
    nothing: dict[int, Any] = {273: (4, [0]), 279: (4, [0])}
    sparse = parse(gray(strips=[], tags=nothing))
    assert sparse.defects == ()
    assert sparse.frames[0].fidelity is Fidelity.UNVERIFIED
    assert "never written" in str(sparse.frames[0].fidelity_reason)
    half: dict[int, Any] = {278: (4, [2]), 273: (4, [8, 0]), 279: (4, [8, 0])}
    assert parse(build(page(height=4, strips=[], tags=half), padding=8)).defects
    gdal = build(page(height=4, strips=[], tags={**half, 42113: (2, b"0\0")}), padding=8)
    assert parse(gdal).defects == ()
    assert parse(gdal).frames[0].fidelity is Fidelity.UNVERIFIED


def test_missing_byte_counts_are_assumed_and_not_proven() -> None:
    content = build(page(height=4, strips=[], tags={278: (4, [2]), 273: (4, [8, 16])}), padding=16)
    structure = parse(content)
    tiff = structure.frames[0].tiff
    assert tiff is not None and tiff.counts == (8, 8)
    assert structure.frames[0].fidelity_reason == "StripByteCounts is missing"


@pytest.mark.parametrize("bits", [(3, [0]), (8, [-8])])
def test_samples_without_bits_are_damage(bits: tuple[int, list[int]]) -> None:
    structure = parse(gray(tags={258: bits}))
    assert structure.defects == (f"{bits[1][0]} bits for each sample",)
    assert structure.frames[0].dtype == "u8"


@pytest.mark.parametrize("tag", [{273: (9, [-12])}, {279: (9, [-12])}])
def test_negative_places_are_damage(tag: dict[int, Any]) -> None:
    structure = parse(gray(tags=tag))
    assert len(structure.defects) == 1
    assert structure.payload is None


def test_an_image_without_strips_is_damage() -> None:
    assert parse(gray(strips=[])).defects == ("no strips: the image has no samples",)


def test_deflate_segments_are_checked_to_their_adler() -> None:
    whole = zlib.compress(bytes(range(12)))
    good = gray(strips=[whole], tags={259: (3, [8])})
    assert tiff_deflate_defects(good, first(good)) == []
    flipped = bytearray(whole)
    flipped[-1] ^= 0xFF
    for stream, words in (
        (bytes(flipped), "incorrect data check"),
        (whole[:-2], "without the end"),
        (zlib.compress(bytes(11)), "too short"),
        (b"no zlib stream", "broken"),
    ):
        content = gray(strips=[stream], tags={259: (3, [8])})
        (defect,) = tiff_deflate_defects(content, first(content))
        assert defect.startswith("strip 1 of 1 ") and words in defect
    longer = gray(strips=[zlib.compress(bytes(50_000_000))], tags={259: (3, [8])})
    assert tiff_deflate_defects(longer, first(longer)) == []


def test_jpeg_segments_need_an_end() -> None:
    jpeg: dict[int, Any] = {259: (3, [7])}
    assert parse(gray(strips=[b"\xff\xd8\xff\xdaxx\xff\xd9\0"], tags=jpeg)).defects == ()
    assert parse(gray(strips=[b"\xff\xd8\xff\xdaxxxxxxxxxx"], tags=jpeg)).defects == (
        "strip 1 of 1 without the end marker of JPEG",
    )


# -------------------------------------------------------------------------------------------------- layout


def test_layout_in_words() -> None:
    array = np.arange(64 * 48 * 3, dtype="u1").reshape(48, 64, 3)
    tiled = parse(written(array, tile=(16, 32), compression="lzw", predictor=2)).layout
    assert (tiled.compression, tiled.predictor, tiled.tile_width, tiled.tile_height) == ("LZW", 2, 32, 16)
    assert (tiled.rows_per_strip, tiled.segments, tiled.planar) == (None, 6, "contiguous")
    strips = parse(written(array, rowsperstrip=10)).layout
    assert (strips.compression, strips.rows_per_strip, strips.segments) == ("none", 10, 5)
    assert (strips.predictor, strips.interlaced, strips.rest) == (None, None, None)


def test_rest_of_the_layout_tells_further_pages_apart() -> None:
    one = parse(build(page(), page(), page())).layout
    same = parse(build(page(tags={270: (2, b"words\0")}), page(), page())).layout
    other = parse(build(page(), page(), page(height=4, strips=[bytes(8)] * 2, tags={278: (4, [2])}))).layout
    fewer = parse(build(page(), page())).layout
    assert one == same
    assert len({one.rest, other.rest, fewer.rest}) == 3


def test_tifffile_agrees_on_segments_and_depths() -> None:
    arrays: list[tuple[Any, dict[str, Any]]] = [
        (np.zeros((20, 30), "u2"), {"byteorder": ">"}),
        (np.zeros((20, 30, 4), "f4"), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        (np.zeros((3, 20, 30), "i2"), {"photometric": "rgb", "planarconfig": "separate"}),
        (np.zeros((5, 20, 30), "u1"), {"photometric": "minisblack", "bigtiff": True}),
    ]
    for array, options in arrays:
        content = written(array, **options)
        structure: Structure = parse(content)
        with tifffile.TiffFile(io.BytesIO(content)) as reader:
            assert len(reader.pages) == len(structure.frames)
            for found, theirs in zip(structure.frames, reader.pages, strict=True):
                assert found.tiff is not None
                assert found.tiff.offsets == tuple(theirs.dataoffsets)
                assert found.tiff.counts == tuple(theirs.databytecounts)
                assert found.tiff.bits[0] == theirs.bitspersample
