"""Hashing while strips are still being decoded gives the digests that hashing afterwards gives."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

import numpy as np
import pytest
import tifffile

from catalog.pixels import beside
from catalog.pixels.analyse import analyse
from catalog.terms import Analysis, Fidelity, Limits

WIDTH, HEIGHT, STRIP = 61, 53, 8
Turn = Callable[[bool], None]


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> Turn:
    """Say whether a processor is idle; small pictures count as large ones."""

    def turn(there: bool) -> None:
        monkeypatch.setattr(beside, "processor_idle", lambda: there)

    monkeypatch.setattr(beside, "BESIDE", 1)
    monkeypatch.setattr(beside, "CHUNK", 100)
    return turn


def written(
    compression: str, *, depth: int = 8, order: str = "<", channels: int = 3, **more: object
) -> bytes:
    chance = np.random.default_rng(5)
    samples = chance.integers(0, 1 << depth, (HEIGHT, WIDTH, channels), f"u{depth // 8}")
    buffer = io.BytesIO()
    options = {"photometric": "rgb" if channels == 3 else "minisblack", "metadata": None, **more}
    with tifffile.TiffWriter(buffer, byteorder=order) as writer:
        writer.write(samples, compression=compression, rowsperstrip=STRIP, **options)
    return buffer.getvalue()


def both(content: bytes, idle: Turn) -> tuple[Analysis, Analysis, int]:
    """The analysis with and without a second thread, and how many threads there were."""
    started = 0
    run = threading.Thread.run

    def counted(self: threading.Thread) -> None:
        nonlocal started
        started += 1
        run(self)

    idle(False)
    alone = analyse(content, limits=Limits())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "run", counted)
        idle(True)
        helped = analyse(content, limits=Limits())
    return alone, helped, started


@pytest.mark.parametrize(
    ("compression", "predictor"),
    [("packbits", False), *((name, each) for name in ("lzw", "zlib", "zstd") for each in (False, True))],
)
@pytest.mark.parametrize(("depth", "order"), [(8, "<"), (16, "<"), (16, ">")])
def test_digests_are_the_same(compression: str, depth: int, order: str, predictor: bool, idle: Turn) -> None:
    content = written(compression, depth=depth, order=order, predictor=predictor)
    alone, helped, started = both(content, idle)
    assert helped == alone
    assert alone.fidelity is Fidelity.EXACT
    assert started == 1
    assert len({alone.pixels, alone.view}) == 2


def test_a_gray_picture_in_colours_has_the_view_of_the_gray_one(idle: Turn) -> None:
    gray = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 1), np.uint8)
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, gray.repeat(3, axis=2), photometric="rgb", compression="zlib", rowsperstrip=STRIP
    )
    alone, helped, started = both(buffer.getvalue(), idle)
    assert helped == alone
    assert started == 1


@pytest.mark.parametrize("compression", ["lzw", "zlib"])
@pytest.mark.parametrize("strip", [0, 3, 6])
def test_a_broken_strip_is_told_in_the_same_way(compression: str, strip: int, idle: Turn) -> None:
    content = bytearray(written(compression))
    with tifffile.TiffFile(io.BytesIO(bytes(content))) as file:
        page = file.pages[0]
        at, size = page.dataoffsets[strip], page.databytecounts[strip]
    content[at : at + size // 2] = bytes(byte ^ 0xFF for byte in content[at : at + size // 2])
    alone, helped, started = both(bytes(content), idle)
    assert helped == alone
    assert alone.fidelity is Fidelity.DAMAGED
    assert started == 1


@pytest.mark.parametrize(
    "more",
    [
        {"photometric": "miniswhite", "channels": 1},
        {"tile": (16, 16)},
        {"planarconfig": "separate"},
    ],
)
def test_samples_that_are_worked_on_later_are_hashed_afterwards(more: dict[str, object], idle: Turn) -> None:
    options = {"compression": "zlib", **more}
    alone, helped, started = both(written(**options), idle)  # type: ignore[arg-type]
    assert helped == alone
    assert started == 0


def test_no_thread_is_left(idle: Turn) -> None:
    before = threading.active_count()
    content = bytearray(written("zlib"))
    both(bytes(content), idle)
    content[8:-400] = bytes(len(content) - 408)  # nothing decodes
    both(bytes(content), idle)
    assert threading.active_count() == before


def test_a_thread_without_memory_says_nothing_of_the_file(
    idle: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hungry:
        def update(self, _: object) -> None:
            raise MemoryError

    def begin(self: beside.Beside, *given: object, **more: object) -> None:
        start(self, *given, **more)  # type: ignore[arg-type]
        self._hashes = [Hungry()]  # type: ignore[list-item]

    content = written("zlib")
    idle(False)
    alone = analyse(content, limits=Limits())
    idle(True)
    start = beside.Beside.__init__
    monkeypatch.setattr(beside.Beside, "__init__", begin)
    said: list[object] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    assert analyse(content, limits=Limits()) == alone
    assert said == []
