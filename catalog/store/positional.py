"""Tags that say where bytes lie in one file, packed into a blob: whole, but without rows of their own.

Offsets, byte counts and dimensions differ from file to file; as members of an interned set they would make
every set unique, as rows they would cost more than everything else. Little-endian base-128 numbers as in
Protocol Buffers; a tag is code, type, count, flags, [name], value, [sha256], [broken], texts and values with
their length before them. The first byte says whether the rest is verbatim (``=``) or zlib (``z``).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from catalog.terms import Tag

NAMES: Final = {
    256: "ImageWidth",
    257: "ImageLength",
    273: "StripOffsets",
    279: "StripByteCounts",
    288: "FreeOffsets",
    289: "FreeByteCounts",
    324: "TileOffsets",
    325: "TileByteCounts",
    330: "SubIFDs",
    513: "JPEGInterchangeFormat",
    514: "JPEGInterchangeFormatLength",
    519: "JPEGQTables",
    520: "JPEGDCTables",
    521: "JPEGACTables",
    34665: "ExifIFD",
    34853: "GPSInfoIFD",
    40965: "InteroperabilityIFD",
}
"""Which tags are positional, with the names that need no room in the blob."""

_NAMED, _DIGEST, _BROKEN = 1, 2, 4
_COMPRESS_FROM: Final = 192


def pack(tags: Iterable[Tag]) -> bytes:
    """The blob of some tags, in their order."""
    parts = []
    for tag in tags:
        if tag.sha256 is None and tag.broken is None:
            parts.append(_head(tag.code, tag.name, tag.type, tag.count, 0, len(tag.raw)))
            parts.append(tag.raw)
            continue
        flags = (_DIGEST if tag.sha256 is not None else 0) | (_BROKEN if tag.broken is not None else 0)
        parts.append(_head(tag.code, tag.name, tag.type, tag.count, flags, len(tag.raw)))
        parts.append(tag.raw)
        if tag.sha256 is not None:
            parts.append(tag.sha256)
        if tag.broken is not None:
            broken = tag.broken.encode()
            parts.append(_number(len(broken)) + broken)
    packed = b"".join(parts)
    return b"=" + packed if len(packed) < _COMPRESS_FROM else b"z" + zlib.compress(packed)


@lru_cache(maxsize=4096)
def _head(code: int, name: str, type_code: int, count: int, flags: int, length: int) -> bytes:  # noqa: PLR0917
    named = b""
    if NAMES.get(code) != name:
        flags |= _NAMED
        named = _number(len(name.encode())) + name.encode()
    numbers = (code, type_code, count, flags)
    return b"".join(map(_number, numbers)) + named + _number(length)


def _number(value: int) -> bytes:
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)
    return bytes(packed)


def unpack(blob: bytes) -> list[Tag]:
    """The tags of a blob, as they were packed."""
    source = _Reader(zlib.decompress(blob[1:]) if blob[:1] == b"z" else blob[1:])
    tags = []
    while source.left():
        code, type_code, count, flags = (source.number() for _ in range(4))
        name = source.text() if flags & _NAMED else NAMES[code]
        raw = source.take(source.number())
        sha256 = source.take(32) if flags & _DIGEST else None
        broken = source.text() if flags & _BROKEN else None
        tags.append(Tag(code, name, type_code, count, raw, sha256, broken))
    return tags


class _Reader:
    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._at = 0

    def left(self) -> bool:
        return self._at < len(self._packed)

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self._packed[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte <= 0x7F:
                return value
            shift += 7

    def take(self, length: int) -> bytes:
        taken = self._packed[self._at : self._at + length]
        self._at += length
        return taken

    def text(self) -> str:
        return self.take(self.number()).decode()
