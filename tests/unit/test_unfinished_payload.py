"""The payload digest that takes the samples together with the others is the one that reads them alone."""

from __future__ import annotations

import pytest

from catalog.pixels import digest, tiff_file
from catalog.pixels.analyse import analyse
from catalog.pixels.structure import parse
from catalog.pixels.tiff_patterns import PATTERNS
from catalog.terms import Limits
from tests.unit.tiff_bytes import Page, build, page

LIMITS = Limits()


@pytest.fixture(autouse=True)
def _small_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_file, "_LARGE", 0)
    PATTERNS.clear()


def colours(
    rows: list[bytes], *, order: str = "little", depth: int = 8, orientation: int = 1, gap: bytes = b""
) -> bytes:
    tags = {
        258: (3, [depth] * 3),
        262: (3, [2]),
        274: (3, [orientation]),
        277: (3, [3]),
        278: (4, [1]),
    }
    strips = [row + gap for row in rows]
    return build(page(width=4, height=len(rows), strips=strips, tags=tags), order=order)


ROWS = [bytes(range(start, start + 12)) for start in (0, 40, 90)]
GRAY = [bytes(value for sample in range(4) for value in (sample + row,) * 3) for row in range(3)]


@pytest.mark.parametrize(
    "content",
    [
        colours(ROWS),
        colours(GRAY),
        colours(ROWS, orientation=6),
        colours([row * 2 for row in ROWS], depth=16),
    ],
    ids=["plain", "gray in colours", "turned", "16 bits"],
)
@pytest.mark.parametrize("idle", [True, False])
def test_samples_are_read_once_for_all_digests(
    content: bytes, idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "BESIDE", 1)
    monkeypatch.setattr(digest, "CHUNK", 5)
    monkeypatch.setattr(digest, "processor_idle", lambda: idle)
    assert parse(content, unfinished=True).unfinished is not None
    found = analyse(content, limits=LIMITS)
    assert found.payload is not None
    assert found.payload == parse(content).payload
    assert found.pixels is not None


@pytest.mark.parametrize(
    "content",
    [
        colours([row * 2 for row in ROWS], depth=16, order="big"),
        colours(ROWS, gap=b"more"),
        build(page(), page()),
        build(page(children={330: [Page({254: (4, [1]), **page().tags}, [bytes(12)])]})),
    ],
    ids=["to be swapped", "longer strips", "two pages", "a thumbnail below"],
)
def test_segments_that_are_not_the_samples_are_read_alone(content: bytes) -> None:
    assert parse(content, unfinished=True).unfinished is None
    found = analyse(content, limits=LIMITS)
    assert found.payload is not None
    assert found.payload == parse(content).payload


def test_a_picture_that_is_not_decoded_has_its_payload_digest_all_the_same() -> None:
    content = colours(ROWS)
    found = analyse(content, limits=Limits(decode_pixels=1))
    assert found.pixels is None
    assert found.payload is not None
    assert found.payload == parse(content).payload
