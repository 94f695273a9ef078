"""BMP with a palette, read by us: rows of 1 to 8 bits, and run-length data.

Pillow 13 takes every palette that begins black, white for one of bits, or of gray levels for samples: with indexes of 4
or 8 bits it reads other pixels than there are, and says nothing. It fills what run-length data leave out with the
first colour, which no other reader has to do.
Source: Microsoft's "Bitmap Compression" (RLE8, RLE4) and "Bitmap Storage".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.pixels.bmp import BmpHeader, read_header
from catalog.pixels.raster import Decoded, Raster, Undecodable, beyond_palette
from catalog.pixels.structure import Frame
from catalog.terms import Fidelity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Indexes = NDArray[Any]

_PLAIN, _RLE8, _RLE4 = 0, 1, 2
_DEPTHS = {_RLE8: 8, _RLE4: 4}


def decode(frame: Frame, view: memoryview) -> Decoded:
    """The canonical raster of a BMP with a palette: its colours, the top row first.

    ``unverified`` where readers differ: an index beyond the palette, run-length data that leave pixels out or go
    beyond a row. What a file that was cut off does not hold is index 0. Raises Undecodable.
    """
    import numpy as np

    header = read_header(view)
    result = Decoded(None, frame.fidelity, frame.fidelity_reason)
    if header.compression == _PLAIN:
        index = _rows(view, header)
    else:
        if _DEPTHS.get(header.compression) != header.bits:
            raise Undecodable(f"run-length data of another depth than {header.bits} bits")
        index, odd = _runs(view, header)
        if header.height < 0:
            odd = odd or "run-length data from the top down"
        if odd:
            result = result.lowered(Fidelity.UNVERIFIED, f"{odd}: readers differ in how they take it")
    if header.height > 0:
        index = index[::-1]
    end = min(header.palette_at + header.colors * header.entry, len(view))
    entries = np.frombuffer(view[header.palette_at : end], np.uint8)
    entries = entries[: len(entries) // header.entry * header.entry].reshape(-1, header.entry)
    table = np.zeros((256, 3), np.uint8)
    table[: len(entries)] = entries[:, 2::-1]
    doubt = beyond_palette(int(index.max()), len(entries))
    if doubt:
        result = result.lowered(Fidelity.UNVERIFIED, doubt)
    return Decoded(Raster.of(frame.model, frame.dtype, table[index]), result.fidelity, result.reason)


def _rows(view: memoryview, header: BmpHeader) -> Indexes:
    """The indexes (rows, columns) as stored, highest bits first in each byte."""
    import numpy as np

    height, stride = abs(header.height), header.stride
    held = np.frombuffer(view[header.pixels_at : header.pixels_at + height * stride], np.uint8)
    packed: Indexes = np.zeros(height * stride, np.uint8)
    packed[: len(held)] = held
    packed = packed.reshape(height, stride)
    if header.bits == 8:
        return packed[:, : header.width]
    each = 8 // header.bits
    shifts = np.arange(8 - header.bits, -1, -header.bits, dtype=np.uint8)
    spread = packed[:, : -(-header.width // each), None] >> shifts & ((1 << header.bits) - 1)
    return spread.reshape(height, -1)[:, : header.width]


def _runs(view: memoryview, header: BmpHeader) -> tuple[Indexes, str]:
    """The indexes (rows, columns) of run-length data as stored, and what is odd about them, in words."""
    import numpy as np

    width, height, body = header.width, abs(header.height), bytes(view[header.pixels_at :])
    nibbles = header.compression == _RLE4
    out = bytearray(width * height)
    at = row = column = drawn = 0
    beyond = False
    while at + 2 <= len(body) and row < height:
        number, value = body[at], body[at + 1]
        at += 2
        if number:
            run = bytes((value >> 4, value & 15)) * (number + 1 >> 1) if nibbles else bytes((value,)) * number
            run = run[:number]
        elif value == 0:
            row, column = row + 1, 0
            continue
        elif value == 1:
            break
        elif value == 2:
            if at + 2 <= len(body):
                column, row = column + body[at], row + body[at + 1]
            at += 2
            continue
        else:
            size = value + 1 >> 1 if nibbles else value
            run = body[at : at + size]
            if nibbles:
                run = bytes(part for byte in run for part in (byte >> 4, byte & 15))[:value]
            at += size + (size & 1)
        fitting = run[: max(0, width - column)]
        beyond = beyond or len(fitting) < len(run)
        out[row * width + column : row * width + column + len(fitting)] = fitting
        column += len(run)
        drawn += len(fitting)
    odd = "run-length data that go beyond a row" if beyond else ""
    if drawn < width * height:
        odd = "run-length data that leave pixels out"
    return np.frombuffer(out, np.uint8).reshape(height, width), odd
