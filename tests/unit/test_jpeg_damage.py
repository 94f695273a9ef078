"""JPEG that lost a part in the middle: libjpeg fills it with gray, and decoders keep its words to themselves."""

from __future__ import annotations

import re
import subprocess
from io import BytesIO
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from PIL import Image

from catalog.pixels.analyse import analyse
from catalog.pixels.structure import parse
from catalog.terms import Analysis, Fidelity, Limits
from tests.unit.rasters import written

PICTURE = (np.add.outer(np.arange(64), np.arange(80))[:, :, None] * [1, 2, 3] % 256).astype(np.uint8)
SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7]", re.DOTALL)


def jpeg(**options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(PICTURE).save(buffer, "JPEG", quality=85, **options)
    return buffer.getvalue()


def scan(content: bytes) -> tuple[int, int]:
    """Where the entropy-coded data of the first scan begin and end."""
    header = content.index(b"\xff\xda") + 2
    start = header + int.from_bytes(content[header : header + 2], "big")
    found = SCAN.search(content, start)
    assert found is not None
    return start, found.start()


@pytest.fixture
def look(capfd: pytest.CaptureFixture[str]) -> Any:
    """``analyse`` with ears for descriptor 2, as a worker has them."""

    def spoken() -> list[str]:
        return capfd.readouterr().err.splitlines()

    def look(content: bytes) -> Analysis:
        return analyse(content, limits=Limits(), complaints=spoken)

    return look


@pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 2}, {"progressive": True}])
def test_a_whole_jpeg_is_what_its_decoder_makes_of_it(look: Any, options: dict[str, Any]) -> None:
    found = look(jpeg(**options))
    assert (found.fidelity, found.complaints) == (Fidelity.DECODER, ())


@pytest.mark.parametrize("cut", [8, 200])
def test_a_scan_that_ends_too_soon_is_damage_although_the_end_marker_is_there(look: Any, cut: int) -> None:
    content = jpeg()
    _, end = scan(content)
    found = look(content[: end - cut] + content[end:])
    assert found.fidelity is Fidelity.DAMAGED
    assert "premature end of data segment" in str(found.reason)


def test_a_lost_restart_interval_is_damage(look: Any) -> None:
    content = jpeg(restart_marker_blocks=2)
    marks = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", content)]
    found = look(content[: marks[2]] + content[marks[3] :])
    assert found.fidelity is Fidelity.DAMAGED
    assert "RST" in str(found.reason)


def test_bytes_that_no_block_needs_prove_nothing(look: Any) -> None:
    content = jpeg()
    _, end = scan(content)
    found = look(content[:end] + b"\x12" * 40 + content[end:])
    assert found.fidelity is Fidelity.UNVERIFIED
    assert "extraneous bytes" in str(found.reason)


def test_a_jpeg_strip_that_ends_too_soon_is_damage(look: Any) -> None:
    content = written(PICTURE, photometric="rgb", compression="jpeg", rowsperstrip=64)
    assert look(content).fidelity is Fidelity.DECODER
    tiff = parse(content).frames[0].tiff
    assert tiff is not None
    (start,), (size,) = tiff.offsets, tiff.counts
    broken = bytearray(content)
    broken[start + size - 202 : start + size] = b"\xff\xd9" + bytes(200)
    assert look(bytes(broken)).fidelity is Fidelity.DAMAGED


def test_a_component_without_a_scan_is_damage(look: Any, tmp_path: Path) -> None:
    """Its chroma lost, a picture was called whole, in gray."""
    if which("jpegtran") is None:
        pytest.skip("no jpegtran here (libjpeg-turbo-progs) to write one scan for each component")
    (tmp_path / "scans").write_text("0;\n1;\n2;\n")
    (tmp_path / "picture.jpg").write_bytes(jpeg())
    command = ["jpegtran", "-scans", tmp_path / "scans", tmp_path / "picture.jpg"]
    apart = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert look(apart).fidelity is Fidelity.DECODER
    _, end = scan(apart)
    found = look(apart[:end] + b"\xff\xd9")
    assert found.fidelity is Fidelity.DAMAGED or found.fidelity is Fidelity.UNDECODABLE
    assert "no scan of component 2 and 3 of 3" in str(found.reason)


@pytest.mark.parametrize("idle", [True, False])
def test_a_large_jpeg_is_heard_whether_or_not_a_processor_is_idle(
    look: Any, idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.pixels.jpeg_complaints.processor_idle", lambda: idle)
    noise = np.random.default_rng(8).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=90)
    whole = buffer.getvalue()
    assert len(whole) > 1 << 18
    found = look(whole)
    assert (found.fidelity, found.complaints) == (Fidelity.DECODER, ())
    start, end = scan(whole)
    middle = (start + end) // 2
    broken = look(whole[:middle] + whole[middle + 9000 :])
    assert broken.fidelity is Fidelity.DAMAGED
    assert broken.complaints
