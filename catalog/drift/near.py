"""How far apart two pictures are from afar: near hashes ``dct256-v1`` held against each other. Pure.

The hash itself is made where the samples are (``catalog.pixels.near``); a distance of 0 proves nothing.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from catalog.terms import Analysis, ImageFacts

BITS: Final = 256
SMALL: Final = 24
"""Other compression, scale, brightness or contrast stay below this (measured: docs/drift.md)."""
CLEAR: Final = 64
LARGE: Final = 96
_SIDE: Final = 16

_TURNS: Final = {
    2: "mirrored left to right",
    3: "rotated 180°",
    4: "mirrored top to bottom",
    5: "mirrored along the falling diagonal",
    6: "rotated 90° clockwise",
    7: "mirrored along the rising diagonal",
    8: "rotated 90° counter-clockwise",
}


def distance(one: bytes, other: bytes) -> int:
    """Bits that differ, 0 to 256."""
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def nearest(old: bytes, new: bytes) -> tuple[int, int]:
    """(distance, Orientation that brings the old picture closest to the new one, 1 if none does better).

    A turn must explain the change by itself: it counts only within ``SMALL``, and when the picture as it
    was is farther away.
    """
    plain = distance(old, new)
    found = min((distance(turned(old, orientation), new), orientation) for orientation in _TURNS)
    return found if found[0] <= SMALL < plain else (plain, 1)


def turned(near: bytes, orientation: int) -> bytes:
    """The hash of the picture as displayed under an Orientation, give or take a few bits.

    Turning and mirroring swap coefficients and negate those of odd frequency; the median of all is about 0.
    """
    value = int.from_bytes(near)
    if orientation >= 5:
        value = sum((value >> source & 1) << target for source, target in _transposed())
    if orientation in (3, 4, 7, 8):
        value ^= _odd_rows()
    if orientation in (2, 3, 6, 7):
        value ^= _odd_columns()
    return value.to_bytes(BITS // 8)


def near_distance(old: Analysis | None, new: Analysis | None) -> int | None:
    """The distance of two files of one image each; None where one has no hash."""
    if not _comparable(old, new):
        return None
    assert old is not None and new is not None and old.near is not None and new.near is not None
    return distance(old.near, new.near)


def near_words(old: Analysis | None, new: Analysis | None) -> list[str]:
    """How much changed from afar, as a sentence; nothing where that cannot be told."""
    if _comparable(old, new):
        assert old is not None and new is not None and old.near is not None and new.near is not None
        bits, orientation = nearest(old.near, new.near)
        if orientation != 1:
            return [
                f"looks like the old picture {_TURNS[orientation]}: near distance {bits} of {BITS} once turned"
            ]
        return [f"near distance {bits} of {BITS}: {_amount(bits)}"]
    if old is None or new is None or not (_one_image(old.image) and _one_image(new.image)):
        return []
    if old.near is not None and new.pixels is not None:
        return ["from afar there is nothing to see any more: blank, or stripes"]
    return []


def _amount(bits: int) -> str:
    if not bits:
        return "no change that shows from afar"
    if bits <= SMALL:
        return "a small change"
    if bits <= CLEAR:
        return "a clear change, or a similar picture"
    return "a large change" if bits <= LARGE else "another picture by its looks, or a crop"


def _comparable(old: Analysis | None, new: Analysis | None) -> bool:
    if old is None or new is None or old.near is None or new.near is None:
        return False
    return _one_image(old.image) and _one_image(new.image)


def _one_image(image: ImageFacts | None) -> bool:
    return image is not None and image.frames == 1


# Bit 255 is row 0, column 0: the first bit of the first byte.


@cache
def _transposed() -> tuple[tuple[int, int], ...]:
    return tuple((_bit(column, row), _bit(row, column)) for row in range(_SIDE) for column in range(_SIDE))


@cache
def _odd_rows() -> int:
    """Row 0 holds frequency 1."""
    return sum(1 << _bit(row, column) for row in range(0, _SIDE, 2) for column in range(_SIDE))


@cache
def _odd_columns() -> int:
    return sum(1 << _bit(row, column) for row in range(_SIDE) for column in range(0, _SIDE, 2))


def _bit(row: int, column: int) -> int:
    return BITS - 1 - (row * _SIDE + column)
