"""Every exact TIFF of the corpus, rewritten by other people's tools: its samples stay, and so does ``pix1``.

Where a tool's output has another digest, tifffile, which takes no part in the analysis, must see other
samples: then the tool changed them. ``pay1`` stays under metadata edits and changes with the stored bytes.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from catalog.pixels.analyse import analyse
from catalog.terms import Analysis, Fidelity, Limits

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LAYOUTS: dict[str, list[str]] = {
    "as it is": [],
    "none": ["-c", "none"],
    "LZW": ["-c", "lzw"],
    "LZW, predictor": ["-c", "lzw:2"],
    "Deflate": ["-c", "zip"],
    "Deflate, predictor": ["-c", "zip:2"],
    "PackBits": ["-c", "packbits"],
    "one row in a strip": ["-c", "none", "-r", "1"],
    "tiles": ["-c", "none", "-t", "-w", "32", "-l", "16"],
    "Deflate tiles": ["-c", "zip", "-t", "-w", "16", "-l", "48"],
    "separate": ["-c", "none", "-p", "separate"],
    "contiguous": ["-c", "none", "-p", "contig"],
    "little-endian": ["-c", "none", "-L"],
    "big-endian": ["-c", "none", "-B"],
    "BigTIFF": ["-c", "none", "-8"],
}
"""How tiffcp writes."""

PLANAR = {
    "tests__images__seq__seq-3c-24b-planar-6296c0c9.tiff",
    "tests__libtiffpic__depth__flower-rgb-planar-16.tif",
    "tests__libtiffpic__depth__flower-rgb-planar-24.tif",
    "tests__libtiffpic__depth__flower-rgb-planar-32.tif",
    "tests__libtiffpic__depth__flower-separated-planar-16.tif",
}
"""tiffcp cuts separate planes of more than 8 bits into tiles as if each sample were one byte."""
PREDICTED = {5, 8, 32946, 34925, 50000}
"""Compressions with a predictor; elsewhere the tag says nothing (rule 7)."""
CHANGED: dict[str, set[str]] = {"tiles": PLANAR, "Deflate tiles": PLANAR}
"""Files whose samples tiffcp changes, as tifffile sees it, and which we go on to call sound."""
THREE_BYTES = {
    "tests__images__seq__seq-1c-24b-072a9dc9.tiff",
    "tests__images__seq__seq-1c-24b-hpredict-072a9dc9.tiff",
    "tests__images__seq__seq-1c-24b-miniswhite-072a9dc9.tiff",
    "tests__images__seq__seq-3c-24b-contig-27b9f8ce.tiff",
    "tests__images__seq__seq-3c-24b-planar-6296c0c9.tiff",
    "tests__libtiffpic__depth__flower-minisblack-24.tif",
    "tests__libtiffpic__depth__flower-rgb-contig-24.tif",
    "tests__libtiffpic__depth__flower-rgb-planar-24.tif",
}
"""24-bit samples: libtiff turns their bytes round for a big-endian file, others pack them highest bit first.
So the big-endian ones are ``unverified``, and no digest says anything of them."""


def needed(tool: str, package: str) -> str:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed, so nothing was proved here: apt install {package}")
    return found


def analysed(path: Path) -> Analysis:
    return analyse(path.read_bytes(), limits=Limits())


@dataclass(frozen=True)
class Exact:
    path: Path
    analysis: Analysis


@pytest.fixture(scope="module")
def exact_tiffs(corpus: Path) -> list[Exact]:
    found = [Exact(path, analysed(path)) for path in sorted(corpus.rglob("*.tif*"))]
    exact = [one for one in found if one.analysis.fidelity is Fidelity.EXACT]
    assert len(exact) > 300
    return exact


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tifffile.tifffile.logger(), "disabled", True)


# -------------------------------------------------------------------------------------- what tifffile sees


def pages_of(path: Path) -> Iterator[tifffile.TiffPage]:
    with tifffile.TiffFile(path) as file:
        yield from (page for page in file.pages if not page.subfiletype & 5)


def samples_of(path: Path) -> list[Any]:
    """All samples of all pages, each page as (rows, columns, samples), white and black where they belong."""
    found = []
    for page in pages_of(path):
        array = np.asarray(page.asarray(maxworkers=1))
        if page.planarconfig == 2 and page.samplesperpixel > 1:
            array = np.moveaxis(array, 0, -1)
        if page.photometric == 0:
            array = ~array if array.dtype == bool else (1 << page.bitspersample) - 1 - array
        colours = page.colormap.tobytes() if page.photometric == 3 else b""
        found.append((array.dtype.newbyteorder("="), array.shape, array.tobytes(), colours))
    return found


def stored_in(path: Path) -> list[Any]:
    """The stored bytes of all pages, and the fields that say how to read them."""
    content = path.read_bytes()
    found: list[Any] = []
    for page in pages_of(path):
        spans = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        geometry = (page.imagewidth, page.imagelength, page.is_tiled, page.tilewidth, page.tilelength)
        rows = min(page.rowsperstrip, page.imagelength)
        samples = (
            page.samplesperpixel,
            page.bitspersample,
            page.tags.valueof("SampleFormat"),
            page.extrasamples,
        )
        predictor = page.predictor if page.compression in PREDICTED else 1
        planar = page.planarconfig if page.samplesperpixel > 1 else 1
        coding = (page.compression, predictor, page.fillorder, page.photometric, planar)
        found.append((geometry, rows, samples, coding, [content[at : at + size] for at, size in spans]))
    return found


# ------------------------------------------------------------------------------------------------- tiffcp


def tiffcp(source: Path, target: Path, options: list[str]) -> bool:
    """Whether tiffcp wrote the whole file; it refuses what its codecs cannot do."""
    target.unlink(missing_ok=True)
    command = [needed("tiffcp", "libtiff-tools"), *options, source, target]
    ran = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert ran.returncode == 0 or ran.stderr, f"tiffcp refuses {source.name} without a word"
    return ran.returncode == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tiffcp_in_another_layout_keeps_pix1(layout: str, exact_tiffs: list[Exact], tmp_path: Path) -> None:
    needed("tiffcp", "libtiff-tools")
    target = tmp_path / "copy.tif"
    kept, refused, changed, unproved, rewritten = 0, 0, set(), set(), 0
    wrong: list[tuple[str, str]] = []
    for one in exact_tiffs:
        if not tiffcp(one.path, target, LAYOUTS[layout]):
            refused += 1
            continue
        found = analysed(target)
        if found.fidelity is Fidelity.EXACT and found.pixels == one.analysis.pixels:
            kept += 1
            if found.view != one.analysis.view:
                wrong.append((one.path.name, "another view1"))
            if stored_in(target) != stored_in(one.path):
                rewritten += 1
                if found.payload == one.analysis.payload:
                    wrong.append((one.path.name, "other bytes, the same pay1"))
        elif not found.fidelity.sound:
            unproved.add(one.path.name)
        else:
            changed.add(one.path.name)
            if samples_of(target) == samples_of(one.path):
                wrong.append((one.path.name, "the same samples for tifffile, another pix1"))
    assert wrong == []
    assert changed == CHANGED.get(layout, set())
    assert unproved <= (THREE_BYTES if layout == "big-endian" else set())
    assert kept + len(changed) + len(unproved) + refused == len(exact_tiffs)
    assert kept > 150
    assert rewritten > 20


# --------------------------------------------------------------------------------------- metadata editors

TAGS = ("-Artist=A curator", "-ImageDescription=words", "-Software=", "-XMP-dc:Title=Title", "-GPSLatitude=3")


@pytest.mark.parametrize("edit", ["tags", "everything deleted", "turned"])
def test_exiftool_keeps_pix1_and_pay1(edit: str, exact_tiffs: list[Exact], tmp_path: Path) -> None:
    exiftool = needed("exiftool", "libimage-exiftool-perl")
    copies = {tmp_path / f"{index:03}.tif": one for index, one in enumerate(exact_tiffs)}
    for copy, one in copies.items():
        shutil.copyfile(one.path, copy)
    arguments = {"tags": TAGS, "everything deleted": ("-all=",), "turned": ("-Orientation#=6",)}[edit]
    subprocess.run(
        [exiftool, "-q", "-q", "-m", "-overwrite_original", *arguments, tmp_path],
        capture_output=True,
        timeout=200,
        check=False,  # it does not write BigTIFF, and says so
    )
    edited = shown_otherwise = 0
    wrong = []
    for copy, one in copies.items():
        if copy.read_bytes() == one.path.read_bytes():
            continue
        edited += 1
        found = analysed(copy)
        same = (found.fidelity is Fidelity.EXACT, found.pixels == one.analysis.pixels)
        if (*same, found.payload == one.analysis.payload) != (True, True, True):
            wrong.append(one.path.name)
        shown_otherwise += found.view != one.analysis.view
    assert wrong == []
    assert edited > (5 if edit == "everything deleted" else 300)
    assert shown_otherwise > 290 if edit == "turned" else shown_otherwise == 0


def test_tiffset_keeps_pix1_and_pay1_where_it_only_sets_tags(
    exact_tiffs: list[Exact], tmp_path: Path
) -> None:
    """libtiff shows a single large strip as many, and writes the many back: that is more than metadata."""
    tiffset = needed("tiffset", "libtiff-tools")
    target = tmp_path / "edited.tif"
    kept, restructured = 0, set()
    for one in exact_tiffs:
        shutil.copyfile(one.path, target)
        command = [tiffset, "-s", "270", "described", "-s", "305", "program", "-s", "282", "72.5", target]
        subprocess.run(command, capture_output=True, timeout=60, check=True)
        found = analysed(target)
        assert (found.fidelity, found.pixels) == (Fidelity.EXACT, one.analysis.pixels), one.path.name
        assert found.view == one.analysis.view, one.path.name
        if found.payload == one.analysis.payload:
            kept += 1
        else:
            assert stored_in(target) != stored_in(one.path), one.path.name
            restructured.add(one.path.name)
    assert kept > 290
    assert 10 < len(restructured) < 25


# -------------------------------------------------------------------------------------------- single bits


def flip_one_sample(content: bytearray, page: tifffile.TiffPage, places: random.Random) -> None:
    """Flip one bit that belongs to a sample of an uncompressed page in strips (never padding)."""
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    row_bits = page.imagewidth * page.bitspersample * page.samplesperpixel // planes
    stride = -(-row_bits // 8)
    strip = places.randrange(len(page.dataoffsets))
    rows = min(page.rowsperstrip, page.imagelength)
    strips_down = -(-page.imagelength // rows)
    held = min(rows, page.imagelength - strip % strips_down * rows)
    bit = places.randrange(row_bits)
    at = page.dataoffsets[strip] + places.randrange(held) * stride + bit // 8
    content[at] ^= 1 << bit % 8 if page.fillorder == 2 else 0x80 >> bit % 8


def test_one_bit_of_one_sample_changes_pix1_of_every_exact_file(
    exact_tiffs: list[Exact], tmp_path: Path
) -> None:
    needed("tiffcp", "libtiff-tools")
    plain, changed = tmp_path / "plain.tif", tmp_path / "changed.tif"
    places = random.Random(6)
    files = 0
    for one in exact_tiffs:
        assert tiffcp(one.path, plain, ["-c", "none", "-p", "contig"]) or tiffcp(
            one.path, plain, ["-c", "none"]
        )
        page = next(pages_of(plain))
        if page.is_tiled:
            assert tiffcp(one.path, plain, ["-c", "none", "-s"])
            page = next(pages_of(plain))
        for _ in range(20):
            content = bytearray(plain.read_bytes())
            flip_one_sample(content, page, places)
            changed.write_bytes(content)
            if samples_of(changed) == samples_of(plain):
                continue  # a palette may hold a colour twice
            found = analysed(changed)
            assert found.fidelity is Fidelity.EXACT, one.path.name
            assert found.pixels != one.analysis.pixels, one.path.name
            files += 1
            break
    assert files == len(exact_tiffs)
