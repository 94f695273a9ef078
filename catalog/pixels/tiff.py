"""The directories of a TIFF, BigTIFF or Exif block: every IFD, every tag, bounds on everything.

No count and no offset of the file is believed: a value that does not lie inside the file becomes a ``Tag``
with ``broken`` set, a directory is entered once, and the work is bounded by the size of the file, because
entries and values that do not overlap cannot add up to more than that. Sources: TIFF 6.0, BigTIFF
(bigtiff.org), Adobe TIFF Technical Note 1 (SubIFDs), Exif 3.0.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Literal

from catalog.pixels.structure import NotAnImage
from catalog.pixels.tagnames import names_of
from catalog.pixels.tiff_patterns import PATTERNS, Pattern, remember
from catalog.terms import TAG_RAW_LIMIT, TAG_TYPES, Ifd, IfdKind, Tag

MAX_DIRECTORIES: Final = 65_536
MAX_TAGS: Final = 1_000_000
MAX_ENTRIES: Final = 4_096
"""Tags of one directory; nobody writes a tenth of it, and garbage taken for a directory claims 65,535."""

SIGNATURES: Final[dict[bytes, tuple[Literal["little", "big"], bool]]] = {
    b"II*\0": ("little", False),
    b"MM\0*": ("big", False),
    b"II+\0": ("little", True),
    b"MM\0+": ("big", True),
}
"""First four bytes -> (byte order, BigTIFF)."""

_POINTERS: Final = {
    330: IfdKind.SUBIFD,
    34665: IfdKind.EXIF,
    34853: IfdKind.GPS,
    40965: IfdKind.INTEROP,
}
_POINTER_TYPES: Final = frozenset((3, 4, 13, 16, 18))
_SIZES: Final = {code: size for code, (_, _, size) in TAG_TYPES.items()}
# What has to be swapped in a big-endian file: bytes of one word, and array's letter for it.
_WORDS: Final = {
    code: (4, "I") if code in (5, 10) else (size, {2: "H", 4: "I", 8: "Q"}[size])
    for code, (_, _, size) in TAG_TYPES.items()
    if size > 1
}
_LETTERS: Final = {
    code: (letter, size) for code, (_, letter, size) in TAG_TYPES.items() if letter in "BHIQbhiq"
}
_INTEGERS: Final = frozenset(_LETTERS) - {5, 7, 10}
_UNSIGNED: Final = frozenset((1, 3, 4, 13, 16, 18))
# Values that are needed in full even when the tag's ``raw`` is cut: bits, strips, tiles, colours, pointers.
_KEPT: Final = frozenset((258, 273, 279, 320, 324, 325, 330, 338, 339, 347, 34675))
_ENTRIES: Final = {
    ("little", False): struct.Struct("<HHI4s"),
    ("big", False): struct.Struct(">HHI4s"),
    ("little", True): struct.Struct("<HHQ8s"),
    ("big", True): struct.Struct(">HHQ8s"),
}


@dataclass(slots=True)
class Directory:
    """One IFD with what a decoder needs: tags by code (the first of doubles) and values in full."""

    index: int
    kind: IfdKind
    parent: int | None
    offset: int
    tags: tuple[Tag, ...]
    by_code: dict[int, Tag]
    whole: dict[int, bytes]
    """Full little-endian values of the tags whose ``raw`` was cut."""
    pattern: Pattern | None = None
    values: list[bytes] = field(default_factory=list)
    """Its own values in the places of ``pattern.values``."""

    def raw(self, code: int) -> bytes:
        """The full value of a tag in little-endian order; empty when there is none."""
        tag = self.by_code.get(code)
        return b"" if tag is None else self.whole.get(code, tag.raw)

    def ints(self, code: int) -> tuple[int, ...]:
        """The values of an integer tag; empty when it is absent or of another type."""
        tag = self.by_code.get(code)
        if tag is None or tag.type not in _INTEGERS:
            return ()
        letter, size = _LETTERS[tag.type]
        raw = self.whole.get(code, tag.raw) if self.whole else tag.raw
        if len(raw) == size and tag.type in _UNSIGNED:
            return (int.from_bytes(raw, "little"),)
        number = len(raw) // size
        return struct.unpack_from(f"<{number}{letter}", raw)

    def number(self, code: int, default: int) -> int:
        """The first value of an integer tag, or the default."""
        tag = self.by_code.get(code)
        if tag is None:
            return default
        if tag.count == 1 and tag.type in _UNSIGNED:
            return int.from_bytes(tag.raw, "little")
        values = self.ints(code)
        return values[0] if values else default

    def ifd(self) -> Ifd:
        return Ifd(self.index, self.kind, self.parent, self.tags)


@dataclass(slots=True)
class Walk:
    """Everything a TIFF's directories say, in the order: a directory, then its children, then the next."""

    big: bool
    order: Literal["little", "big"]
    directories: list[Directory] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    """Damage to the chain of pages: what a truncated or overwritten file shows."""
    notes: list[str] = field(default_factory=list)
    """Oddities that cannot touch a sample (a broken Exif pointer)."""
    limited: str | None = None
    """Set when a limit ended the walk before the file did."""


def walk(view: memoryview, *, exif: bool = False, full_values: bool = False) -> Walk:
    """Every directory of the block, or ``NotAnImage`` when there is not even a first one.

    ``exif``: the block is an Exif segment; its second directory is the thumbnail's, whatever it says.
    ``full_values``: no ``Tag.raw`` is cut.
    """
    return _Walker(view, exif, full_values).walk()


class _Walker:
    def __init__(self, view: memoryview, exif: bool, full_values: bool) -> None:
        self.view = view
        self.size = len(view)
        self.exif = exif
        self.limit = self.size if full_values else TAG_RAW_LIMIT
        signature = SIGNATURES.get(bytes(view[:4]))
        if signature is None:
            raise NotAnImage("no TIFF signature")
        self.order, self.big = signature
        self.entry = _ENTRIES[signature]
        self.inline = 8 if self.big else 4
        # Values of an honest file do not overlap (but for small ones that writers share).
        self.value_budget = 2 * self.size + 65_536
        self.tag_budget = min(MAX_TAGS, self.size // self.entry.size + 64)
        self.found = Walk(self.big, self.order)

    def word(self, at: int, length: int) -> int:
        return int.from_bytes(self.view[at : at + length], self.order)

    def walk(self) -> Walk:
        header = 16 if self.big else 8
        if self.size < header:
            raise NotAnImage(f"truncated: {self.size} bytes are no TIFF header", claims="TIFF")
        if self.big and (self.word(4, 2), self.word(6, 2)) != (8, 0):
            raise NotAnImage("BigTIFF header with an offset size other than 8", claims="TIFF")
        first = self.word(8, 8) if self.big else self.word(4, 4)
        if first == 0:
            raise NotAnImage("no image: the first directory is at byte 0 (never written)", claims="TIFF")
        if first + 2 > self.size:
            raise NotAnImage(
                f"truncated: the first directory is at byte {first:,} of {self.size:,}", claims="TIFF"
            )
        # A stack, so that children come right after their directory and the next page after them.
        pending: list[tuple[int, IfdKind, int | None, int]] = [(first, IfdKind.PAGE, None, 0)]
        seen: set[int] = set()
        while pending:
            offset, kind, parent, place = pending.pop()
            if offset in seen:
                if kind in (IfdKind.PAGE, IfdKind.SUBIFD) and place:
                    self.found.defects.append(f"the chain of directories leads back to byte {offset:,}")
                continue
            seen.add(offset)
            known = len(self.found.directories)
            if known + len(pending) >= MAX_DIRECTORIES or self.tag_budget <= 0:
                self.found.limited = f"too many directories or tags: only the first {known:,} were read"
                break
            pending.extend(self.enter(offset, kind, parent, place))
        if not self.found.directories:
            raise NotAnImage(f"no valid directory at byte {first:,}", claims="TIFF")
        return self.found

    def enter(
        self, offset: int, kind: IfdKind, parent: int | None, place: int
    ) -> list[tuple[int, IfdKind, int | None, int]]:
        """Read one directory; give those that follow from it, the last to be entered first."""
        index = len(self.found.directories)
        chained = kind in (IfdKind.PAGE, IfdKind.SUBIFD)
        complaints = self.found.defects if chained else self.found.notes
        width = 8 if self.big else 2
        count = self.word(offset, width) if offset + width <= self.size else 0
        start = offset + width
        fitting = min(count, max(self.size - start, 0) // self.entry.size, self.tag_budget, MAX_ENTRIES)
        directory = self.contents(bytes(self.view[start : start + fitting * self.entry.size]), kind)
        if directory is None:
            complaints.append(f"no valid directory at byte {offset:,}")
            return []
        self.tag_budget -= fitting
        following = 0
        if fitting < count:
            complaints.append(f"directory {index} is cut: {fitting:,} of its {count:,} tags were read")
        elif chained:
            following = self.link(index, start + count * self.entry.size, complaints)
        by_code, whole = directory.by_code, directory.whole
        if kind is IfdKind.PAGE:
            kind = self.page_kind(by_code, place)
        directory.index, directory.kind, directory.parent, directory.offset = index, kind, parent, offset
        self.found.directories.append(directory)
        todo: list[tuple[int, IfdKind, int | None, int]] = []
        if following:
            todo.append((following, IfdKind.PAGE if parent is None else IfdKind.SUBIFD, parent, place + 1))
        children = [(at, child) for code, child in _POINTERS.items() for at in pointed(by_code, whole, code)]
        todo.extend((at, child, index, 0) for at, child in reversed(children))
        return todo

    def link(self, index: int, at: int, complaints: list[str]) -> int:
        """The offset of the next directory, 0 when this is the last."""
        if at + self.inline > self.size:
            complaints.append(f"truncated: the file ends before directory {index}'s link to the next one")
            return 0
        following = self.word(at, self.inline)
        if following and following + 2 > self.size:
            complaints.append(f"truncated: directory {index + 1} is at byte {following:,} of {self.size:,}")
            return 0
        return following

    def page_kind(self, by_code: dict[int, Tag], place: int) -> IfdKind:
        if self.exif:
            return IfdKind.THUMBNAIL if place else IfdKind.PAGE
        new = by_code.get(254)
        if new is not None:
            flags = new.raw[0] if new.raw else 0
            return IfdKind.MASK if flags & 4 else IfdKind.THUMBNAIL if flags & 1 else IfdKind.PAGE
        old = by_code.get(255)
        return IfdKind.THUMBNAIL if old is not None and old.raw[:2] == b"\2\0" else IfdKind.PAGE

    def contents(self, block: bytes, kind: IfdKind) -> Directory | None:
        """The directory of these entries, its place in the file left open; None when they make no sense."""
        key = (self.order, self.big, self.size, kind, block)
        pattern = PATTERNS.get(key)
        if pattern is not None and pattern.spent <= self.value_budget:
            return self.like(pattern, kind)
        entries = list(self.entry.iter_unpack(block))
        if not any(type_code in _SIZES for _, type_code, _, _ in entries):
            return None
        outside: list[tuple[int, int, int]] = []
        tags, whole = self.tags(entries, kind, outside)
        by_code: dict[int, Tag] = {}
        for tag in tags:
            by_code.setdefault(tag.code, tag)
        found = Directory(0, kind, None, 0, tuple(tags), by_code, whole)
        found.pattern = remember(key, found.tags, by_code, outside, self.view)
        if found.pattern is not None:
            found.values = found.pattern.values
        return found

    def like(self, pattern: Pattern, kind: IfdKind) -> Directory:
        """A directory by a pattern: only the values outside of its entries have to be read."""
        view = self.view
        self.value_budget -= pattern.spent
        values = [bytes(view[at : at + length]) for _, at, length in pattern.outside]
        tags, by_code = pattern.tags, pattern.by_code
        if values != pattern.values:
            changed, by_code = list(tags), by_code.copy()
            for (place, _, _), value, former in zip(pattern.outside, values, pattern.values, strict=True):
                if value != former:
                    old = tags[place]
                    turned = self.order == "big" and old.type in _WORDS
                    raw = swapped(value, *_WORDS[old.type]) if turned else value
                    changed[place] = new = Tag(old.code, old.name, old.type, old.count, raw)
                    if by_code[old.code] is old:
                        by_code[old.code] = new
            tags = tuple(changed)
        return Directory(0, kind, None, 0, tags, by_code, {}, pattern, values)

    def tags(
        self,
        entries: list[tuple[int, int, int, bytes]],
        kind: IfdKind,
        outside: list[tuple[int, int, int]],
    ) -> tuple[list[Tag], dict[int, bytes]]:
        """The tags of these entries, and values that were cut. Tells ``outside`` where those lie that do not fit
        into their entries: (place, offset, bytes)."""
        names = names_of(kind)
        little = self.order == "little"
        tags: list[Tag] = []
        whole: dict[int, bytes] = {}
        for code, type_code, count, inline in entries:
            name = names.get(code) or f"0x{code:04x}"
            size = _SIZES.get(type_code)
            if size is None:
                unknown = f"unknown field type {type_code}"
                tags.append(Tag(code, name, type_code, count, inline, None, unknown))
                continue
            length = count * size
            broken: str | None = None
            digest: bytes | None = None
            if length <= self.inline:
                raw = inline[:length]
                if not little and size > 1:
                    raw = swapped(raw, *_WORDS[type_code])
            else:
                at = int.from_bytes(inline, self.order)
                outside.append((len(tags), at, length))
                value, broken = self.outside(at, length)
                if not little and size > 1:
                    value = memoryview(swapped(bytes(value), *_WORDS[type_code]))
                if len(value) > self.limit:
                    digest = sha256(value).digest()
                    if code in _KEPT:
                        whole.setdefault(code, bytes(value))
                raw = bytes(value[: self.limit])
            if broken is None and code in _POINTERS:
                broken = self.lost_pointer(type_code, raw)
            tags.append(Tag(code, name, type_code, count, raw, digest, broken))
        return tags, whole

    def outside(self, offset: int, length: int) -> tuple[memoryview, str | None]:
        """A value that does not fit into its entry, and what is wrong with it."""
        broken = None
        if offset + length > self.size:
            broken = f"its {length:,} bytes at byte {offset:,} reach beyond the end ({self.size:,} bytes)"
            length = min(max(self.size - offset, 0), TAG_RAW_LIMIT)
        if length > self.value_budget:
            return self.view[:0], "its value overlaps others: more bytes of values than the file has"
        self.value_budget -= length
        return self.view[offset : offset + length], broken

    def lost_pointer(self, type_code: int, raw: bytes) -> str | None:
        if type_code not in _POINTER_TYPES:
            return f"field type {type_code} cannot point to a directory"
        size = _SIZES[type_code]
        for at in range(0, len(raw), size):
            target = int.from_bytes(raw[at : at + size], "little")
            if target + 2 > self.size:
                return f"points to byte {target:,}, beyond the end ({self.size:,} bytes)"
        return None


def pointed(by_code: dict[int, Tag], whole: dict[int, bytes], code: int) -> tuple[int, ...]:
    """The offsets that a tag like SubIFDs points to, without zeros."""
    tag = by_code.get(code)
    if tag is None or tag.type not in _POINTER_TYPES or not tag.raw:
        return ()
    letter, size = _LETTERS[tag.type]
    raw = whole.get(code, tag.raw)[: MAX_DIRECTORIES * size]
    return tuple(at for at in struct.unpack_from(f"<{len(raw) // size}{letter}", raw) if at)


def swapped(raw: bytes, size: int, letter: str) -> bytes:
    """Big-endian words of ``size`` bytes as little-endian; a cut last word stays as it is."""
    if len(raw) == size:
        return raw[::-1]
    words = array(letter)
    rest = len(raw) % size
    words.frombytes(raw[: len(raw) - rest] if rest else raw)
    words.byteswap()
    return words.tobytes() + (raw[-rest:] if rest else b"")
