"""TIFF files made of exactly the bytes that a test wants: any tag, any type, either byte order, BigTIFF."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

LETTERS = {
    1: "B",
    3: "H",
    4: "I",
    6: "b",
    8: "h",
    9: "i",
    11: "f",
    12: "d",
    13: "I",
    16: "Q",
    17: "q",
    18: "Q",
}


@dataclass
class Page:
    """One directory: tags as code -> (type, values or bytes), strips, and child directories by pointer tag."""

    tags: dict[int, tuple[int, Any]]
    strips: list[bytes] = field(default_factory=list)
    children: dict[int, list[Page]] = field(default_factory=dict)
    tiled: bool = False


def page(width: int = 4, height: int = 3, *, strips: Sequence[bytes] | None = None, **more: Any) -> Page:
    """A gray 8-bit page; ``tags={…}`` overrides (None drops a tag), other keywords go to ``Page``."""
    tags: dict[int, tuple[int, Any]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [8]),
        259: (3, [1]),
        262: (3, [1]),
        277: (3, [1]),
        278: (4, [height]),
    }
    for code, value in more.pop("tags", {}).items():
        if value is None:
            tags.pop(code, None)
        else:
            tags[code] = value
    return Page(tags, list(strips if strips is not None else [bytes(range(width * height))]), **more)


def build(*pages: Page, order: str = "little", big: bool = False, padding: int = 0) -> bytes:
    """A whole file; ``padding`` zero bytes stand between the header and the first directory's values."""
    return _Writer(order, big).build(pages, padding)


class _Writer:
    def __init__(self, order: str, big: bool) -> None:
        self.order = "<" if order == "little" else ">"
        self.big = big
        self.out = bytearray()

    def build(self, pages: Sequence[Page], padding: int) -> bytes:
        mark = b"II" if self.order == "<" else b"MM"
        self.out += mark + struct.pack(self.order + "H", 43 if self.big else 42)
        if self.big:
            self.out += struct.pack(self.order + "HH", 8, 0)
        link = len(self.out)
        self.out += bytes((8 if self.big else 4) + padding)
        for one in pages:
            link = self.directory(one, link)
        return bytes(self.out)

    def word(self, value: int) -> bytes:
        return struct.pack(self.order + ("Q" if self.big else "I"), value)

    def put(self, content: bytes) -> int:
        at = len(self.out)
        self.out += content + bytes(len(content) & 1)
        return at

    def directory(self, one: Page, link: int) -> int:
        """Write a directory and point ``link`` at it; gives the place of its own link."""
        tags = dict(one.tags)
        offsets = [self.put(strip) for strip in one.strips]
        if offsets:
            codes = (324, 325) if one.tiled else (273, 279)
            long = 16 if self.big else 4
            tags.setdefault(codes[0], (long, offsets))
            tags.setdefault(codes[1], (long, [len(strip) for strip in one.strips]))
        for code, children in one.children.items():
            tags[code] = (18 if self.big else 13 if code == 330 else 4, [0] * len(children))
        inline = 8 if self.big else 4
        raws = {code: self.raw(kind, values) for code, (kind, values) in sorted(tags.items())}
        places = {code: self.put(raw) for code, raw in raws.items() if len(raw) > inline}
        at = len(self.out)
        self.out += struct.pack(self.order + ("Q" if self.big else "H"), len(tags))
        for code, raw in raws.items():
            kind, values = tags[code]
            self.out += struct.pack(self.order + "HH", code, kind) + self.word(len(values))
            if code in places:
                self.out += self.word(places[code])
            else:
                places[code] = len(self.out)
                self.out += raw.ljust(inline, b"\0")
        own = len(self.out)
        self.out += self.word(0)
        self.out[link : link + inline] = self.word(at)
        for code, children in one.children.items():
            for index, child in enumerate(children):
                self.directory(child, places[code] + index * inline)
        return own

    def raw(self, kind: int, values: Any) -> bytes:
        if isinstance(values, bytes):
            return values
        if kind in (5, 10):
            letter = "I" if kind == 5 else "i"
            return b"".join(struct.pack(self.order + 2 * letter, *pair) for pair in values)
        return struct.pack(f"{self.order}{len(values)}{LETTERS[kind]}", *values)
