"""IFDs and tags, as they stand in a file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class IfdKind(StrEnum):
    PAGE = "page"
    THUMBNAIL = "thumbnail"
    MASK = "mask"
    SUBIFD = "subifd"
    EXIF = "exif"
    GPS = "gps"
    INTEROP = "interop"


TAG_RAW_LIMIT: Final = 65536
"""Bytes of a tag's value that travel to the record; longer ones are cut, and their sha256 speaks for them."""

# TIFF 6 field types, with BigTIFF's (TIFF 6, page 15; BigTIFF 16-18): code -> (name, struct letter, bytes)
TAG_TYPES: Final[dict[int, tuple[str, str, int]]] = {
    1: ("BYTE", "B", 1),
    2: ("ASCII", "s", 1),
    3: ("SHORT", "H", 2),
    4: ("LONG", "I", 4),
    5: ("RATIONAL", "I", 8),
    6: ("SBYTE", "b", 1),
    7: ("UNDEFINED", "B", 1),
    8: ("SSHORT", "h", 2),
    9: ("SLONG", "i", 4),
    10: ("SRATIONAL", "i", 8),
    11: ("FLOAT", "f", 4),
    12: ("DOUBLE", "d", 8),
    13: ("IFD", "I", 4),
    16: ("LONG8", "Q", 8),
    17: ("SLONG8", "q", 8),
    18: ("IFD8", "Q", 8),
    129: ("UTF8", "s", 1),  # Exif 3.0
}


@dataclass(frozen=True, slots=True)
class Tag:
    """One field of an IFD, as it stands in the file, whatever it is.

    ``raw`` is the value in little-endian order whatever the file's order (so that equal values are equal
    bytes), cut at ``TAG_RAW_LIMIT`` unless the caller asked for all of it; ``sha256`` is of the whole value
    and only set when ``raw`` was cut. ``broken`` says in words why the value could not be read (offset
    beyond the end, unknown type …); then ``raw`` holds what there was.
    """

    code: int
    name: str
    """Standard name, or the number in hexadecimal (``0xc4a5``) when nobody defined one."""
    type: int
    count: int
    raw: bytes
    sha256: bytes | None = None
    broken: str | None = None

    @property
    def type_name(self) -> str:
        return TAG_TYPES[self.type][0] if self.type in TAG_TYPES else str(self.type)

    @property
    def value(self) -> list[Any]:
        """The value as JSON can hold it: numbers, ``[numerator, denominator]`` pairs, or strings.

        ASCII gives one string for each NUL-terminated part; bytes that are not UTF-8 are read as Latin-1.
        """
        return tag_value(self.type, self.raw)


def tag_value(type_code: int, raw: bytes) -> list[Any]:
    """Decode a tag's little-endian bytes into a list (see ``Tag.value``). Never raises."""
    if type_code not in TAG_TYPES:
        return list(raw)
    _, letter, size = TAG_TYPES[type_code]
    if letter == "s":
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        return text[:-1].split("\0") if text.endswith("\0") else text.split("\0") if text else []
    whole = len(raw) // size * size
    if type_code in (5, 10):
        flat = struct.unpack(f"<{whole // 4}{letter}", raw[:whole])
        return [[flat[i], flat[i + 1]] for i in range(0, len(flat), 2)]
    return list(struct.unpack(f"<{whole // size}{letter}", raw[:whole]))


@dataclass(frozen=True, slots=True)
class Ifd:
    """One image file directory; Exif, GPS and Interop are IFDs like any other. ``parent`` is an index."""

    index: int
    kind: IfdKind
    parent: int | None
    tags: tuple[Tag, ...]
