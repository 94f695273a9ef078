"""Which canonical raster a TIFF header asks for, and how much that proves."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from catalog.pixels.structure import Frame, parse
from catalog.terms import Fidelity
from tests.unit.tiff_bytes import build, page


def first(content: bytes) -> Frame:
    return parse(content).frames[0]


def gray(**more: Any) -> bytes:
    return build(page(**more))


RGB: dict[int, Any] = {262: (3, [2]), 277: (3, [3]), 258: (3, [8, 8, 8])}


def raster(**options: Any) -> tuple[str, str, int, Fidelity]:
    codes = {"bits": 258, "compression": 259, "photometric": 262, "samples": 277, "extra": 338, "kind": 339}
    given: dict[int, Any] = {}
    for word, value in options.items():
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        given[codes.get(word) or int(word[1:])] = (3, values)
    if "samples" in options and "bits" not in options:
        given[258] = (3, [8] * options["samples"])
    frame = first(gray(tags=given))
    return frame.model, frame.dtype, frame.channels, frame.fidelity


EXACT, DECODER, UNVERIFIED = Fidelity.EXACT, Fidelity.DECODER, Fidelity.UNVERIFIED


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"bits": 1}, ("gray", "u8", 1, EXACT)),
        ({"bits": 2}, ("gray", "u8", 1, EXACT)),
        ({"bits": 3}, ("gray", "u3", 1, EXACT)),
        ({"bits": 4, "photometric": 0}, ("gray", "u8", 1, EXACT)),
        ({"bits": 12}, ("gray", "u12", 1, EXACT)),
        ({"bits": 16}, ("gray", "u16", 1, EXACT)),
        ({"bits": 24}, ("gray", "u24", 1, EXACT)),
        ({"bits": 32}, ("gray", "u32", 1, EXACT)),
        ({"bits": 8, "kind": 2}, ("gray", "i8", 1, EXACT)),
        ({"bits": 16, "kind": 2}, ("gray", "i16", 1, EXACT)),
        ({"bits": 8, "kind": 4}, ("gray", "u8", 1, EXACT)),
        ({"bits": 16, "kind": 3}, ("gray", "f16", 1, EXACT)),
        ({"bits": 32, "kind": 3}, ("gray", "f32", 1, EXACT)),
        ({"bits": 64, "kind": 3}, ("gray", "f64", 1, EXACT)),
        ({"bits": 24, "kind": 3}, ("gray", "f32", 1, UNVERIFIED)),
        ({"bits": 64, "kind": 6}, ("gray", "f32", 1, UNVERIFIED)),
        ({"samples": 2}, ("gray+1", "u8", 2, EXACT)),
        ({"samples": 2, "extra": 0}, ("gray+1", "u8", 2, EXACT)),
        ({"samples": 2, "extra": 1}, ("graya-premul", "u8", 2, EXACT)),
        ({"samples": 2, "extra": 2}, ("graya", "u8", 2, EXACT)),
        ({"samples": 3, "extra": (2, 0)}, ("graya+1", "u8", 3, EXACT)),
        ({"samples": 5, "photometric": 1}, ("gray+4", "u8", 5, EXACT)),
        ({"samples": 3, "photometric": 2}, ("rgb", "u8", 3, EXACT)),
        ({"samples": 3, "photometric": 2, "bits": [16] * 3}, ("rgb", "u16", 3, EXACT)),
        ({"samples": 3, "photometric": 2, "bits": [4] * 3}, ("rgb", "u4", 3, EXACT)),
        ({"samples": 3, "photometric": 2, "bits": [1] * 3}, ("rgb", "u8", 3, EXACT)),
        ({"samples": 3, "photometric": 2, "bits": 8}, ("rgb", "u8", 3, EXACT)),
        ({"samples": 3, "photometric": 2, "bits": [5, 6, 5]}, ("rgb", "u6", 3, UNVERIFIED)),
        ({"samples": 4, "photometric": 2}, ("rgb+1", "u8", 4, EXACT)),
        ({"samples": 4, "photometric": 2, "extra": 1}, ("rgba-premul", "u8", 4, EXACT)),
        ({"samples": 4, "photometric": 2, "extra": 2}, ("rgba", "u8", 4, EXACT)),
        ({"samples": 5, "photometric": 2, "extra": [2, 0]}, ("rgba+1", "u8", 5, EXACT)),
        ({"samples": 5, "photometric": 2, "extra": [0, 2]}, ("rgb+2", "u8", 5, UNVERIFIED)),
        ({"samples": 5, "photometric": 2, "extra": [0, 0]}, ("rgb+2", "u8", 5, EXACT)),
        ({"samples": 5, "photometric": 2, "extra": [2, 1]}, ("rgba+1", "u8", 5, UNVERIFIED)),
        ({"samples": 5, "photometric": 2, "extra": 2}, ("rgb+2", "u8", 5, UNVERIFIED)),
        ({"samples": 2, "photometric": 2}, ("ink2", "u8", 2, UNVERIFIED)),
        ({"samples": 4, "photometric": 5}, ("cmyk", "u8", 4, EXACT)),
        ({"samples": 5, "photometric": 5, "extra": 0}, ("cmyk+1", "u8", 5, EXACT)),
        ({"samples": 5, "photometric": 5, "extra": 2}, ("cmyka", "u8", 5, EXACT)),
        ({"samples": 5, "photometric": 5, "extra": 1}, ("cmyka-premul", "u8", 5, EXACT)),
        ({"samples": 4, "photometric": 8, "extra": 2}, ("laba", "u8", 4, EXACT)),
        ({"samples": 3, "photometric": 5}, ("ink3", "u8", 3, EXACT)),
        ({"samples": 6, "photometric": 5, "_332": 2, "extra": 2}, ("ink5+1", "u8", 6, UNVERIFIED)),
        ({"photometric": 0, "kind": 2}, ("gray", "i8", 1, UNVERIFIED)),
        ({"photometric": 0, "kind": 3, "bits": 32}, ("gray", "f32", 1, UNVERIFIED)),
        ({"photometric": 0, "kind": 4}, ("gray", "u8", 1, EXACT)),
        ({"photometric": 0, "samples": 2, "extra": 1}, ("graya-premul", "u8", 2, UNVERIFIED)),
        ({"photometric": 0, "samples": 2, "extra": 2}, ("graya", "u8", 2, EXACT)),
        ({"samples": 6, "photometric": 5, "_332": 2}, ("ink6", "u8", 6, EXACT)),
        ({"samples": 6, "photometric": 5, "_332": 2, "extra": 0}, ("ink5+1", "u8", 6, EXACT)),
        ({"samples": 3, "photometric": 8}, ("lab", "u8", 3, EXACT)),
        ({"samples": 3, "photometric": 9}, ("lab", "u8", 3, UNVERIFIED)),
        ({"samples": 3, "photometric": 6, "_530": [1, 1]}, ("ycbcr", "u8", 3, EXACT)),
        ({"samples": 3, "photometric": 6, "_530": [2, 1]}, ("rgb", "u8", 3, DECODER)),
        ({"samples": 3, "photometric": 6}, ("rgb", "u8", 3, DECODER)),
        ({"samples": 3, "photometric": 6, "compression": 7}, ("rgb", "u8", 3, DECODER)),
        ({"photometric": 32803, "bits": 16}, ("cfa", "u16", 1, EXACT)),
        ({"samples": 3, "photometric": 34892, "bits": [16] * 3}, ("rgb", "u16", 3, EXACT)),
        ({"photometric": 4, "bits": 1}, ("gray", "u8", 1, EXACT)),
        ({"photometric": 77}, ("ink1", "u8", 1, UNVERIFIED)),
        ({"compression": 5}, ("gray", "u8", 1, EXACT)),
        ({"compression": 7}, ("gray", "u8", 1, DECODER)),
        ({"compression": 50001}, ("gray", "u8", 1, DECODER)),
        ({"compression": 34712}, ("gray", "u8", 1, DECODER)),
        ({"compression": 34887}, ("gray", "u8", 1, DECODER)),
        ({"compression": 34676}, ("gray", "u8", 1, UNVERIFIED)),
        ({"compression": 12345}, ("gray", "u8", 1, UNVERIFIED)),
    ],
)
def test_header_decides_the_canonical_raster(
    options: dict[str, Any], expected: tuple[str, str, int, Fidelity]
) -> None:
    assert raster(**options) == expected


@pytest.mark.parametrize(
    ("code", "values", "words"),
    [
        (257, [3, 3], "ImageLength has 2 values: other readers refuse it"),
        (284, b"", "PlanarConfiguration has 0 values: other readers refuse it"),
        (258, b"", "BitsPerSample has 0 values: other readers refuse it"),
        (278, [3] * 17, "RowsPerStrip has 17 values: other readers refuse it"),
    ],
)
def test_tags_with_an_impossible_number_of_values_prove_nothing(code: int, values: Any, words: str) -> None:
    content = bytearray(gray(tags={code: (3, values or [8])}))
    if not values:
        entry = struct.pack("<HHI", code, 3, 1)
        at = content.index(entry)
        content[at : at + 8] = struct.pack("<HHI", code, 3, 0)
    frame = first(bytes(content))
    assert (frame.fidelity, frame.fidelity_reason) == (UNVERIFIED, words)


@pytest.mark.parametrize(
    ("compression", "samples", "model"), [(1, 1, "gray"), (4, 1, "gray"), (1, 3, "rgb"), (1, 2, "gray+1")]
)
def test_a_missing_photometric_is_gray_or_rgb_by_samples(compression: int, samples: int, model: str) -> None:
    options: dict[int, Any] = {262: None, 259: (3, [compression]), 277: (3, [samples])}
    frame = first(gray(tags=options))
    assert frame.tiff is not None and frame.tiff.photometric is None
    assert (frame.model, frame.fidelity) == (model, EXACT)


@pytest.mark.parametrize(
    ("factor", "dtype", "fidelity"),
    [(257, "u8", EXACT), (256, "u8", EXACT), (1, "u8", UNVERIFIED), (250, "u16", EXACT)],
)
def test_palettes_are_8_bit_when_their_values_are(factor: int, dtype: str, fidelity: Fidelity) -> None:
    palette: dict[int, Any] = {262: (3, [3]), 320: (3, [factor * (index % 256) for index in range(768)])}
    frame = first(gray(tags=palette))
    assert (frame.model, frame.dtype, frame.channels, frame.fidelity) == ("rgb", dtype, 3, fidelity)


def test_a_palette_that_is_too_short_is_damage() -> None:
    content = gray(tags={262: (3, [3]), 320: (3, [0] * 700)})
    assert parse(content).defects == ("ColorMap has 700 of 768 values",)


@pytest.mark.parametrize(
    ("compression", "stream", "fidelity"),
    [
        (7, b"\xff\xd8\xff\xc4\0\4ab\xff\xc3\0\x0bx\xff\xd9", EXACT),
        (7, b"\xff\xd8\xff\xc0\0\x0bx\xff\xd9", DECODER),
        (50001, b"RIFF\x10\0\0\0WEBPVP8L", EXACT),
        (50001, b"RIFF\x10\0\0\0WEBPVP8 ", DECODER),
        (34712, b"\xff\x4f\xff\x51\0\4ab\xff\x52\0\x0c\0\0\0\1\0\5\4\4\0\1\xff\x90\0\x0a", EXACT),
        (34712, b"\xff\x4f\xff\x51\0\4ab\xff\x52\0\x0c\0\0\0\1\0\5\4\4\0\0\xff\x90\0\x0a", DECODER),
    ],
)
def test_lossless_streams_of_lossy_codecs_are_exact(
    compression: int, stream: bytes, fidelity: Fidelity
) -> None:
    frame = first(gray(strips=[stream], tags={259: (3, [compression])}))
    assert frame.fidelity is fidelity
    mixed = first(
        gray(strips=[stream, b"\xff\xd8\xff\xd9" * 4], tags={259: (3, [compression]), 278: (4, [2])})
    )
    assert mixed.fidelity is DECODER


def test_a_decisive_tag_that_is_there_twice_is_not_trusted() -> None:
    content = bytearray(gray(tags={65000: (3, [5])}))
    at = content.index(struct.pack("<HH", 65000, 3))
    struct.pack_into("<H", content, at, 256)
    frame = first(bytes(content))
    assert frame.width == 4
    assert frame.fidelity is UNVERIFIED
    assert frame.fidelity_reason == "ImageWidth is there twice, with different values"


def test_orientation_is_1_to_8() -> None:
    assert parse(gray(tags={274: (3, [8])})).orientation == 8
    assert parse(gray(tags={274: (3, [9])})).orientation == 1
    assert parse(gray()).orientation == 1


def test_icc_profile_is_given_whole() -> None:
    profile = bytes(range(256)) * 400
    assert parse(gray(tags={34675: (7, profile)})).icc == profile
    assert parse(gray()).icc is None
