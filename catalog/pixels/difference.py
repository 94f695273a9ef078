"""Where two pictures differ, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from catalog.pixels.digest import view_of
from catalog.pixels.raster import Raster, decode_frames, orientation_of, storage
from catalog.pixels.structure import NotAnImage, parse
from catalog.terms import Limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[Any]

_ALPHA = ("graya", "rgba")


@dataclass(frozen=True, slots=True)
class SampleDifference:
    """What the samples of two files have not in common."""

    differing: int
    """Samples whose bits differ (numbers, not pixels)."""
    total: int
    max_abs_diff: int | float
    """The largest distance between two samples, in units of the samples that were compared; 0 for NaNs."""
    bbox: tuple[int, int, int, int] | None
    """left, top, right, bottom of all differing pixels, right and bottom exclusive; None when none differs.
    In stored pixels when both files store the same kind of raster, else as displayed."""


class Incomparable(Exception):
    """The two files' samples cannot be held against each other; ``str`` says why."""


def difference(
    one: bytes | memoryview, other: bytes | memoryview, limits: Limits
) -> tuple[SampleDifference | None, str | None]:
    """Compare all images of two files; (None, reason) when that is not possible.

    Files that store the same kind of raster are compared as stored; others as displayed, after orientation
    and without loss widened to what both can hold. A reason beside a result is a caution (a damaged file).
    """
    try:
        found = None
        cautions: list[str] = []
        for pair in _pairs(one, other, limits, cautions):
            found = _joined(found, _compared(*pair))
    except Incomparable as error:
        return None, str(error)
    except MemoryError:
        return None, "not enough memory to compare them"
    return found, "; ".join(dict.fromkeys(cautions)) or None


def difference_picture(
    one: bytes | memoryview, other: bytes | memoryview, limits: Limits
) -> tuple[bytes | None, str | None]:
    """A PNG of the first image that differs (else of the first): faint gray, and red where samples differ.

    The stronger the red, the larger the distance. (None, reason) when the files cannot be compared.
    """
    try:
        chosen = None
        for pair in _pairs(one, other, limits, []):
            differs = bool((_bits(pair[0]) != _bits(pair[1])).any())
            if chosen is None or differs:
                chosen = pair
            if differs:
                break
    except Incomparable as error:
        return None, str(error)
    except MemoryError:
        return None, "not enough memory to compare them"
    if chosen is None:
        return None, "no image to compare"
    return _painted(*chosen), None


# ------------------------------------------------------------------------------------------- what to compare


def _pairs(
    one: bytes | memoryview, other: bytes | memoryview, limits: Limits, cautions: list[str]
) -> Iterator[tuple[Samples, Samples]]:
    """The rasters of both files, image by image, in a common form."""
    first, second = _rasters(one, limits, "first", cautions), _rasters(other, limits, "second", cautions)
    number = 0
    while True:
        left, right = next(first, None), next(second, None)
        if left is None and right is None:
            return
        if left is None or right is None:
            raise Incomparable(f"one file has {number} image{'s' if number != 1 else ''}, the other has more")
        number += 1
        yield _common(*left, *right)


def _rasters(
    content: bytes | memoryview, limits: Limits, which: str, cautions: list[str]
) -> Iterator[tuple[Raster, int]]:
    try:
        structure = parse(content, payload=False, checksums=False)
    except NotAnImage as error:
        raise Incomparable(f"the {which} file: {error}") from error
    for frame, decoded in decode_frames(structure, content, limits):
        if not frame.counted:
            continue
        if decoded.raster is None:
            raise Incomparable(f"the {which} file: {decoded.reason}")
        reasons = [*structure.defects[:2], *([decoded.reason] if decoded.reason else [])]
        if reasons and not (decoded.fidelity.sound and not structure.defects):
            cautions.append(f"the {which} file: {'; '.join(reasons)}")
        yield decoded.raster, orientation_of(structure, frame)


def _common(one: Raster, turned: int, other: Raster, other_turned: int) -> tuple[Samples, Samples]:
    """Two arrays of equal shape and type."""
    if _kind(one) == _kind(other):
        return one.array(), other.array()
    left, right = view_of(one, turned), view_of(other, other_turned)
    if (left.width, left.height) != (right.width, right.height):
        raise Incomparable(
            f"different sizes: {left.width}x{left.height} and {right.width}x{right.height} as displayed"
        )
    if _kind(left) == _kind(right):
        return left.array(), right.array()
    arrays = [_spread(left, right), _spread(right, left)]
    if arrays[0].shape != arrays[1].shape or arrays[0].dtype != arrays[1].dtype:
        raise Incomparable(f"different samples: {left.model} {left.dtype} and {right.model} {right.dtype}")
    return arrays[0], arrays[1]


def _kind(raster: Raster) -> tuple[str, str, int, int]:
    return raster.model, raster.dtype, raster.width, raster.height


def _spread(raster: Raster, partner: Raster) -> Samples:
    """Gray as RGB, without alpha as opaque, 8 bits as 16, where the partner has more."""
    array = raster.array()
    families = (*_ALPHA, "gray", "rgb")
    if raster.model not in families or partner.model not in families:
        return array
    if raster.dtype == "u8" and partner.dtype == "u16":
        array = array.astype("<u2") * 257
    alpha = array[:, :, -1:] if raster.model in _ALPHA else None
    colours = array if alpha is None else array[:, :, :-1]
    if colours.shape[2] == 1 and partner.model.startswith("rgb"):
        colours = np.repeat(colours, 3, axis=2)
    if alpha is None and partner.model in _ALPHA:
        full = 1.0 if array.dtype.kind == "f" else (1 << int(storage(raster.dtype)[2:]) * 8) - 1
        if array.dtype.kind != "u" or int(raster.dtype[1:]) != array.dtype.itemsize * 8:
            full = full if array.dtype.kind == "f" else (1 << int(raster.dtype[1:])) - 1
        alpha = np.full((*array.shape[:2], 1), full, array.dtype)
    return colours if alpha is None else np.concatenate([colours, alpha], axis=2)


# ---------------------------------------------------------------------------------------------- comparing


def _bits(array: Samples) -> Samples:
    return array.view(f"u{array.dtype.itemsize}") if array.dtype.kind == "f" else array


def _distance(one: Samples, other: Samples) -> Samples:
    """Absolute differences that cannot overflow: integers as unsigned numbers of the same size."""
    if one.dtype.kind == "f":
        with np.errstate(all="ignore"):
            wide = np.abs(one.astype(np.float64) - other.astype(np.float64))
        finite: Samples = np.nan_to_num(wide, nan=0.0, posinf=np.finfo(np.float64).max)
        return finite
    unsigned = np.dtype(f"u{one.dtype.itemsize}")
    left, right = one.view(unsigned), other.view(unsigned)
    distance: Samples = np.where(one > other, left - right, right - left)
    return distance


def _compared(one: Samples, other: Samples) -> SampleDifference:
    differs = _bits(one) != _bits(other)
    count = int(np.count_nonzero(differs))
    if not count:
        return SampleDifference(0, one.size, 0, None)
    largest = _distance(one, other).max()
    pixels = differs.any(axis=2)
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    bbox = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return SampleDifference(count, one.size, largest.item(), bbox)


def _joined(sum_so_far: SampleDifference | None, more: SampleDifference) -> SampleDifference:
    if sum_so_far is None:
        return more
    boxes = [box for box in (sum_so_far.bbox, more.bbox) if box is not None]
    bbox = None
    if boxes:
        left, top, right, bottom = zip(*boxes, strict=True)
        bbox = (min(left), min(top), max(right), max(bottom))
    return SampleDifference(
        sum_so_far.differing + more.differing,
        sum_so_far.total + more.total,
        max(sum_so_far.max_abs_diff, more.max_abs_diff),
        bbox,
    )


def _painted(one: Samples, other: Samples) -> bytes:
    from PIL import Image

    differs = (_bits(one) != _bits(other)).any(axis=2)
    backdrop = _brightness(one[:, :, : min(3, one.shape[2])].mean(axis=2, dtype=np.float64)) // 4 + 176
    picture = np.repeat(backdrop[:, :, None], 3, axis=2)
    strength = _distance(one, other).max(axis=2).astype(np.float64)
    red = 128 + 127 * strength / max(float(strength.max()), 1e-300)
    picture[differs] = 0
    picture[:, :, 0][differs] = red[differs].astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def _brightness(gray: Samples) -> NDArray[np.uint8]:
    """Any range of numbers as 0-255."""
    finite = np.nan_to_num(gray, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    scaled = (finite - low) / (high - low) * 255 if high > low else np.zeros_like(finite)
    return scaled.astype(np.uint8)
