"""A directory that is like an earlier one says exactly what it would say alone."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from catalog.pixels.structure import NotAnImage, Structure, parse
from catalog.pixels.tiff import walk
from catalog.pixels.tiff_patterns import ALIKE_LIMIT, PATTERN_BYTES, PATTERNS, PATTERNS_LIMIT
from tests.unit.tiff_bytes import Page, build, page


@pytest.fixture(autouse=True)
def _none_known() -> Iterator[None]:
    PATTERNS.clear()
    yield
    PATTERNS.clear()


def told(content: bytes) -> Structure | str:
    try:
        return parse(content)
    except NotAnImage as error:
        return str(error)


def alone(content: bytes) -> Structure | str:
    kept = PATTERNS.copy()
    PATTERNS.clear()
    found = told(content)
    PATTERNS.clear()
    PATTERNS.update(kept)
    return found


def picture(number: int, *, order: str, big: bool, depth: int = 8) -> bytes:
    """A colour picture in three strips with tags inside and outside of its entries; other texts and samples."""
    row = bytes(range(number, number + 4 * 3 * depth // 8))
    tags = {
        258: (3, [depth] * 3),
        262: (3, [2]),
        270: (2, f"specimen {number:04}\0".encode()),
        277: (3, [3]),
        278: (4, [1]),
        282: (5, [(300, 1)]),
        306: (2, f"2026:11:{number % 28 + 1:02} 10:00:00\0".encode()),
        339: (3, [1, 1, 1]),
    }
    return build(page(strips=[row] * 3, tags=tags), order=order, big=big)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("depth", [8, 16])
def test_files_of_one_pattern_are_told_apart_by_their_values(order: str, big: bool, depth: int) -> None:
    files = [picture(number, order=order, big=big, depth=depth) for number in range(4)]
    structures = [told(content) for content in files]
    assert len(PATTERNS) == 1
    assert structures == [alone(content) for content in files]
    found = [each for each in structures if isinstance(each, Structure)]
    assert len({each.payload for each in found}) == 4
    assert len({tag.raw for each in found for tag in each.ifds[0].tags if tag.code == 306}) == 4


@pytest.mark.parametrize("code", [258, 273, 279, 282, 339])
def test_values_that_decide_are_read_anew(code: int) -> None:
    first = picture(1, order="little", big=False)
    before = told(first)
    assert isinstance(before, Structure)
    tag = next(tag for tag in before.ifds[0].tags if tag.code == code)
    at = first.index(tag.raw)
    changed = first[:at] + bytes([tag.raw[0] ^ 0xFF]) + first[at + 1 :]
    assert told(changed) == alone(changed) != before


def test_anything_changed_anywhere_is_told_as_if_the_file_were_the_first() -> None:
    chance = random.Random(3)
    child = Page({256: (4, [1]), 257: (4, [1]), 33432: (2, b"nobody\0")})
    pointed = build(page(children={330: [child, child]}))
    starts = [picture(1, order="little", big=False), picture(2, order="big", big=True, depth=16), pointed]
    for start in starts * 200:
        told(start)
        content = bytearray(start)
        for _ in range(chance.randrange(3)):
            content[chance.randrange(len(content))] ^= chance.choice((1, 255, chance.randrange(256)))
        assert told(bytes(content)) == alone(bytes(content))


def test_patterns_are_bounded() -> None:
    for width in range(1, PATTERNS_LIMIT + 20):
        told(build(page(width, 1, strips=[bytes(width)])))
    assert 0 < len(PATTERNS) <= PATTERNS_LIMIT
    for number in range(3 * PATTERNS_LIMIT):
        told(build(page(tags={282: (5, [(number, 1)])})))
    assert max(len(pattern.alike) for pattern in PATTERNS.values()) <= ALIKE_LIMIT


def test_values_that_overlap_cost_no_more_memory_than_the_file_has_bytes() -> None:
    """Each tag points to the same bytes, so that copies of all of them would be many times the file."""
    many = {40_000 + number: (7, bytes(PATTERN_BYTES)) for number in range(3_000)}
    content = bytearray(build(page(tags=dict.fromkeys(many, (7, b"12345")))))
    start = int.from_bytes(content[4:8], "little")
    for at in range(start + 2, start + 2 + 12 * int.from_bytes(content[start : start + 2], "little"), 12):
        if int.from_bytes(content[at : at + 2], "little") in many:
            content[at + 4 : at + 8] = PATTERN_BYTES.to_bytes(4, "little")
            content[at + 8 : at + 12] = (8).to_bytes(4, "little")
    found = walk(memoryview(content))
    (directory,) = found.directories
    assert directory.pattern is None
    held = sum(len(tag.raw) for tag in directory.tags) + sum(map(len, directory.values))
    assert held <= 2 * len(content) + 65_536
