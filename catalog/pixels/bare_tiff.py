"""A TIFF of nothing but the tags that a codec needs, around segments taken from another file.

libtiff has the fastest LZW decoder and the only CCITT decoder that notices bad code words. It is given a
header that we wrote from what we checked, so that no other tag, count or offset of a hostile or odd file
reaches it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

Segment = bytes | memoryview


def bare_tiff(
    segments: Sequence[Segment],
    *,
    width: int,
    height: int,
    rows_per_strip: int,
    compression: int,
    samples: int = 1,
    bits: int = 8,
    predictor: int = 1,
    order: str = "<",
    t4_options: int | None = None,
) -> bytes:
    """A classic TIFF of one image in strips. The segments are copied; together they must stay below 4 GiB.

    ``order`` is ``<`` or ``>`` as in ``struct``: that of 16-bit samples inside the segments.
    """
    single = {
        256: (4, [width]),
        257: (4, [height]),
        259: (3, [compression]),
        262: (3, [2 if samples >= 3 else 1]),
        277: (3, [samples]),
        278: (4, [rows_per_strip]),
        284: (3, [1]),
        317: (3, [predictor]),
    }
    if samples == 4:
        single[338] = (3, [0])  # ExtraSamples: not CMYK, which imagecodecs would turn into RGB
    if t4_options is not None:
        single[292] = (4, [t4_options])
    many = {258: (3, [bits] * samples), 279: (4, [len(segment) for segment in segments])}
    number = len(single) + len(many) + 1
    place = 8 + 2 + 12 * number + 4
    entries: dict[int, bytes] = {}
    outside: list[bytes] = []

    def add(code: int, kind: int, values: list[int]) -> None:
        nonlocal place
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            packed += bytes(len(packed) % 2)
            outside.append(packed)
            where = struct.pack(f"{order}I", place)
            place += len(packed)
        else:
            where = packed.ljust(4, b"\0")
        entries[code] = struct.pack(f"{order}HHI", code, kind, len(values)) + where

    for code, (kind, values) in (single | many).items():
        add(code, kind, values)
    at = place + (4 * len(segments) if len(segments) > 1 else 0)
    offsets = []
    for segment in segments:
        offsets.append(at)
        at += len(segment)
    add(273, 4, offsets)
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, number)
    directory = (entries[code] for code in sorted(entries))
    return b"".join((header, *directory, bytes(4), *outside, *segments))
