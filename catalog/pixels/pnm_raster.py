"""Netpbm samples, read by us: Pillow stretches 10 bits to 16 and cuts 16-bit colour to 8.

An 8-bit binary raster is hashed where it lies in the file, without a decoder and without numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.pixels.raster import Decoded, Raster, Undecodable, storage
from catalog.pixels.structure import Frame, Structure
from catalog.terms import Fidelity

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PLAIN, _BITMAPS, _FLOATS = (1, 2, 3), (1, 4), 8


def decode(structure: Structure, frame: Frame, view: memoryview) -> Decoded:
    """The canonical raster; what a truncated file does not hold is zero (the header parser knows)."""
    detail = structure.detail
    number, maxval, start = int(detail["number"]), int(detail["maxval"]), int(detail["start"])
    size = frame.width * frame.height * frame.channels
    if number in (5, 6, 7) and maxval == 255 and len(view) >= start + size:
        bands = (view[start : start + size],)
        raster = Raster(frame.model, frame.dtype, frame.width, frame.height, frame.channels, bands)
        return Decoded(raster, frame.fidelity, frame.fidelity_reason)
    array = _samples(view[start:], number, maxval, frame, float(detail["scale"]))
    result = Decoded(None, frame.fidelity, frame.fidelity_reason)
    bits = maxval.bit_length()
    if number != _FLOATS and maxval not in (255, 65_535) and array.size and int(array.max()) > maxval:
        words = f"a sample of {int(array.max()):,} where {maxval:,} is the maximum"
        result = result.lowered(Fidelity.UNVERIFIED, words)
    if number in _BITMAPS:
        array = 1 - array  # 1 is black, here alone
    if number != _FLOATS and frame.dtype == "u8" and bits in (1, 2, 4):
        array = array * (255 // ((1 << bits) - 1))
    array = array.astype(storage(frame.dtype), copy=False)
    return Decoded(Raster.of(frame.model, frame.dtype, array), result.fidelity, result.reason)


def _samples(body: memoryview, number: int, maxval: int, frame: Frame, scale: float) -> NDArray[Any]:
    """The numbers as they stand in the file, of shape (height, width, channels), top row first."""
    import numpy as np

    shape = (frame.height, frame.width, frame.channels)
    if number in _PLAIN:
        return _plain(bytes(body), number, maxval, shape)
    if number == 4:
        row = -(-frame.width // 8)
        packed = _whole(np.frombuffer(body, np.uint8, min(len(body), row * frame.height)), row * frame.height)
        bits = np.unpackbits(packed.reshape(frame.height, row), axis=1)[:, : frame.width]
        return bits[:, :, None]
    kind = ("<f4" if scale < 0 else ">f4") if number == _FLOATS else ">u2" if maxval > 255 else "u1"
    dtype = np.dtype(kind)
    total = shape[0] * shape[1] * shape[2]
    held = min(total, len(body) // dtype.itemsize)
    array = _whole(np.frombuffer(body, dtype, held), total).reshape(shape)
    return array[::-1] if number == _FLOATS else array  # PFM stores the bottom row first


def _plain(text: bytes, number: int, maxval: int, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Decimal numbers; of a bitmap single digits, with or without space between them."""
    import re

    import numpy as np

    total = shape[0] * shape[1] * shape[2]
    text = re.sub(rb"#[^\r\n]*", b"", text)
    if number == 1:
        digits = np.frombuffer(b"".join(text.split()), np.uint8)[:total] - ord("0")
        values = digits.astype(np.uint16)
    else:
        words = text.split(None, total)[:total]
        if not all(word.isdigit() for word in words):
            raise Undecodable("what should be a number is none")
        try:
            values = np.array([int(word) for word in words], np.uint32)
        except (ValueError, OverflowError):
            raise Undecodable("what should be a number is none") from None
    if values.size < total:
        raise Undecodable(f"truncated: {values.size:,} of {total:,} samples")
    if values.size and int(values.max()) > maxval:
        raise Undecodable(f"a sample of {int(values.max()):,} where {maxval:,} is the maximum")
    return values.reshape(shape)


def _whole(array: NDArray[Any], total: int) -> NDArray[Any]:
    """The array filled up with zeros where the file ends too soon."""
    import numpy as np

    if array.size == total:
        return array
    return np.concatenate([array, np.zeros(total - array.size, array.dtype)])
