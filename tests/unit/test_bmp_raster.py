"""BMP with a palette: the pixels that were written, whatever the palette looks like, and doubt where readers differ."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from catalog.terms import Fidelity
from tests.unit.rasters import decoded, packed, samples

BLACK_AND_WHITE = [(0, 0, 0), (255, 255, 255)]
LEVELS = [(level, level, level) for level in range(256)]
COLOURS = [(level, 255 - level, level * 7 % 256) for level in range(256)]


def bmp(
    size: tuple[int, int],
    bits: int,
    body: bytes,
    palette: list[tuple[int, int, int]],
    compression: int = 0,
) -> bytes:
    entries = b"".join(bytes((blue, green, red, 0)) for red, green, blue in palette)
    start = 54 + len(entries)
    head = struct.pack("<IHHI", start + len(body), 0, 0, start)
    fields = (40, *size, 1, bits, compression, len(body), 0, 0, len(palette), 0)
    return b"BM" + head + struct.pack("<IiiHHIIiiII", *fields) + entries + body


def stored(index: np.ndarray, bits: int) -> bytes:
    """Rows of indexes, the bottom one first, each padded to four bytes."""
    row_bytes = -(-index.shape[1] * bits // 8)
    rows = packed(index[::-1], bits)
    each = [rows[at : at + row_bytes] for at in range(0, len(rows), row_bytes)]
    return b"".join(row + bytes(-row_bytes % 4) for row in each)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("palette", [BLACK_AND_WHITE, LEVELS, COLOURS], ids=["two", "levels", "colours"])
@pytest.mark.parametrize("number", [2, 4, 16, 256])
def test_the_pixels_are_those_of_the_indexes_whatever_the_palette(
    bits: int, palette: list[tuple[int, int, int]], number: int
) -> None:
    """Pillow took 8-bit indexes into black and white for bits: other pixels, and no word."""
    number = min(number, 1 << bits, len(palette))
    index = np.arange(7 * 13).reshape(7, 13) * 5 // 3 % number
    expected = np.array(palette, np.uint8)[index]
    body = stored(index, bits)
    assert np.array_equal(samples(bmp((13, 7), bits, body, palette[:number])), expected)
    upside_down = bmp((13, -7), bits, stored(index[::-1], bits), palette[:number])
    assert np.array_equal(samples(upside_down), expected)


def test_an_index_beyond_the_palette_proves_nothing() -> None:
    found = decoded(bmp((4, 1), 8, bytes((0, 1, 2, 5)), COLOURS[:3]))
    assert found.fidelity is Fidelity.UNVERIFIED
    assert "index 5 of a palette of 3 colours" in str(found.reason)


@pytest.mark.parametrize(
    ("bits", "body", "rows"),
    [
        (8, (4, 7, 0, 0, 4, 8, 0, 1), ((8, 8, 8, 8), (7, 7, 7, 7))),
        (8, (0, 3, 1, 2, 3, 0, 1, 9, 0, 0, 4, 8, 0, 1), ((8, 8, 8, 8), (1, 2, 3, 9))),
        (4, (4, 0x12, 0, 0, 0, 4, 0x34, 0x56, 0, 1), ((3, 4, 5, 6), (1, 2, 1, 2))),
        (4, (1, 0x90, 0, 3, 0x12, 0x30, 0, 0, 4, 0x77, 0, 1), ((7, 7, 7, 7), (9, 1, 2, 3))),
    ],
)
def test_run_length_data_give_their_indexes(
    bits: int, body: tuple[int, ...], rows: tuple[tuple[int, ...], ...]
) -> None:
    content = bmp((4, 2), bits, bytes(body), COLOURS[: 1 << bits], compression=1 if bits == 8 else 2)
    assert np.array_equal(samples(content), np.array(COLOURS, np.uint8)[np.array(rows)])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ((4, 7, 0, 1), "leave pixels out"),
        ((2, 7, 0, 0, 4, 8, 0, 1), "leave pixels out"),
        ((2, 7, 0, 2, 2, 0, 0, 0, 4, 8, 0, 1), "leave pixels out"),
        ((6, 7, 0, 0, 4, 8, 0, 1), "beyond a row"),
    ],
)
def test_run_length_data_that_readers_take_differently_prove_nothing(
    body: tuple[int, ...], words: str
) -> None:
    found = decoded(bmp((4, 2), 8, bytes(body), COLOURS, compression=1))
    assert found.fidelity is Fidelity.UNVERIFIED
    assert words in str(found.reason)
