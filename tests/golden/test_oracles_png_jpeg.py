"""PNG, JPEG and WebP of the corpus through other people's tools: what they keep, ``pix1`` keeps.

``pay1`` stays when only metadata are edited, and changes when the image data are coded anew.
"""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from catalog.pixels.analyse import analyse
from catalog.terms import Analysis, Fidelity, Limits

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Left, top, and steps to the right and down of the seven passes."""
MISREAD = "png__tbbn0g04.png"
"""Pillow compares its widened 4-bit samples with the colour key as it stands, and finds no transparency."""


def needed(tool: str, package: str) -> str:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed, so nothing was proved here: apt install {package}")
    return found


def ran(*command: str | Path, timeout: float = 60) -> None:
    subprocess.run(command, capture_output=True, timeout=timeout, check=True)


def of_bytes(content: bytes) -> Analysis:
    return analyse(content, limits=Limits())


@dataclass(frozen=True)
class Original:
    path: Path
    analysis: Analysis


def originals(corpus: Path, suffix: str) -> list[Original]:
    """The files whose digests prove something."""
    found = [Original(path, of_bytes(path.read_bytes())) for path in sorted(corpus.rglob(f"*{suffix}"))]
    return [one for one in found if one.analysis.fidelity.sound]


@pytest.fixture(scope="module")
def pngs(corpus: Path) -> list[Original]:
    found = originals(corpus, ".png")
    assert len(found) > 160
    return found


@pytest.fixture(scope="module")
def jpegs(corpus: Path) -> list[Original]:
    found = originals(corpus, ".jpg")
    assert len(found) > 20
    return found


def same(one: Analysis, other: Analysis) -> tuple[bool, bool, bool, bool]:
    """Whether class, ``pix1``, ``view1`` and ``pay1`` are equal."""
    return (
        one.fidelity is other.fidelity,
        one.pixels == other.pixels,
        one.view == other.view,
        one.payload == other.payload,
    )


# ----------------------------------------------------------------------------------------------------- PNG


@pytest.mark.parametrize("options", [("-nx",), ("-nx", "-i1"), ("-nx", "-i0", "-f0-5")])
def test_optipng_without_reductions_keeps_pix1(
    options: tuple[str, ...], pngs: list[Original], tmp_path: Path
) -> None:
    optipng = needed("optipng", "optipng")
    target = tmp_path / "copy.png"
    wrong = []
    for one in pngs:
        ran(optipng, *options, "-o1", "-force", "-quiet", "-clobber", "-out", target, one.path)
        if same(of_bytes(target.read_bytes()), one.analysis) != (True, True, True, False):
            wrong.append(one.path.name)
    assert wrong == []


def test_optipng_with_reductions_keeps_view1(pngs: list[Original], tmp_path: Path) -> None:
    """It drops opaque alpha, makes gray of R = G = B, 8 bits of 16: the very reductions of rule 10."""
    optipng = needed("optipng", "optipng")
    target = tmp_path / "copy.png"
    wrong, reduced = [], 0
    for one in pngs:
        ran(optipng, "-o1", "-force", "-quiet", "-clobber", "-out", target, one.path)
        found = of_bytes(target.read_bytes())
        if (found.fidelity, found.view) != (Fidelity.EXACT, one.analysis.view):
            wrong.append(one.path.name)
        reduced += found.pixels != one.analysis.pixels
    assert wrong == []
    assert reduced > 3


def rows_of(width: int, height: int, bits: int, interlaced: bool) -> Iterator[tuple[int, int]]:
    """(place of a row's first sample in the inflated stream, its bits), filter bytes left out."""
    at = 0
    for left, top, right, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // right), -(-(height - top) // down)
        for _ in range(rows if columns > 0 else 0):
            yield at + 1, columns * bits
            at += 1 + -(-columns * bits // 8)


def with_one_sample_changed(content: bytes, places: random.Random) -> bytes:
    """The PNG with one bit of its filtered samples flipped, packed again with right sums."""
    width, height, depth, color, _, _, interlace = struct.unpack_from(">IIBBBBB", content, 16)
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    pieces, stream, at = [content[:8]], b"", 8
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] == b"IDAT":
            stream += content[at + 8 : at + 8 + length]
        else:
            pieces.append(content[at : at + 12 + length])
        at += 12 + length
    plain = bytearray(zlib.decompress(stream))
    start, held = places.choice(list(rows_of(width, height, bits, bool(interlace))))
    bit = places.randrange(held)
    plain[start + bit // 8] ^= 0x80 >> bit % 8
    body = b"IDAT" + zlib.compress(plain)
    pieces.insert(-1, struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)))
    return b"".join(pieces)


def colours_of(content: bytes) -> bytes:
    with Image.open(BytesIO(content)) as image:
        return image.convert("RGBA").tobytes()


def test_one_bit_of_one_sample_changes_pix1_of_every_exact_png(pngs: list[Original]) -> None:
    places = random.Random(10)
    wrong = []
    for one in pngs:
        content = one.path.read_bytes()
        palette = content[25] == 3
        told = False
        for _ in range(30):
            changed = with_one_sample_changed(content, places)
            found = of_bytes(changed)
            if palette and not found.fidelity.sound:
                # An index beyond the palette: every other one where it has one colour.
                told = told or found.pixels != one.analysis.pixels
                continue
            if palette and colours_of(changed) == colours_of(content):
                continue  # the same colour again
            if found.fidelity is not Fidelity.EXACT or found.pixels == one.analysis.pixels:
                wrong.append(one.path.name)
            break
        else:
            if not told:
                wrong.append(one.path.name)
    assert wrong == []


# ------------------------------------------------------------------------------------------------ metadata


@pytest.mark.parametrize("arguments", [("-Artist=A curator", "-XMP-dc:Title=Title"), ("-all=",)])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif"])
def test_exiftool_keeps_pix1_and_pay1(
    suffix: str, arguments: tuple[str, ...], corpus: Path, tmp_path: Path
) -> None:
    exiftool = needed("exiftool", "libimage-exiftool-perl")
    copies = {tmp_path / f"{index:03}{suffix}": one for index, one in enumerate(originals(corpus, suffix))}
    for copy, one in copies.items():
        shutil.copyfile(one.path, copy)
    command = (exiftool, "-q", "-q", "-m", "-overwrite_original", *arguments, tmp_path)
    subprocess.run(command, capture_output=True, timeout=200, check=False)
    wrong, edited = [], 0
    for copy, one in copies.items():
        content = copy.read_bytes()
        if content == one.path.read_bytes():
            continue  # nothing to delete
        edited += 1
        found = of_bytes(content)
        view = found.view == one.analysis.view or one.analysis.image.orientation != 1
        if (*same(found, one.analysis)[:2], view, found.payload == one.analysis.payload) != (True,) * 4:
            wrong.append(one.path.name)
    assert wrong == []
    assert edited > 10 or suffix == ".gif"


# ---------------------------------------------------------------------------------------------------- JPEG


@pytest.mark.parametrize(
    "options",
    [("-optimize",), ("-progressive",), ("-arithmetic",), ("-arithmetic", "-progressive"), ("-restart", "1")],
)
def test_jpegtran_keeps_pix1(options: tuple[str, ...], jpegs: list[Original], tmp_path: Path) -> None:
    """Each codes the same coefficients in another way; arithmetic files of more than 64 KiB are among them."""
    jpegtran = needed("jpegtran", "libjpeg-turbo-progs")
    target = tmp_path / "copy.jpg"
    wrong, coded_anew = [], 0
    for one in jpegs:
        ran(jpegtran, "-copy", "none", *options, "-outfile", target, one.path)
        found = of_bytes(target.read_bytes())
        if (found.fidelity, found.pixels) != (Fidelity.DECODER, one.analysis.pixels):
            wrong.append(one.path.name)
        coded_anew += found.payload != one.analysis.payload
    assert wrong == []
    assert coded_anew == len(jpegs) or (options == ("-optimize",) and coded_anew > 0)


@pytest.mark.parametrize("turn", [("-flip", "vertical"), ("-rotate", "180"), ("-transpose",)])
def test_jpegtran_that_turns_the_picture_changes_pix1(
    turn: tuple[str, ...], jpegs: list[Original], tmp_path: Path
) -> None:
    jpegtran = needed("jpegtran", "libjpeg-turbo-progs")
    target = tmp_path / "copy.jpg"
    for one in jpegs:
        ran(jpegtran, "-copy", "all", *turn, "-outfile", target, one.path)
        found = of_bytes(target.read_bytes())
        assert found.fidelity is Fidelity.DECODER
        assert found.pixels != one.analysis.pixels, one.path.name
        assert found.payload != one.analysis.payload, one.path.name


def test_djpeg_of_another_build_delivers_the_same_picture(jpegs: list[Original], tmp_path: Path) -> None:
    """A JPEG and the PPM that the system's djpeg makes of it are duplicates, across two builds of libjpeg."""
    djpeg = needed("djpeg", "libjpeg-turbo-progs")
    target = tmp_path / "copy.ppm"
    other = []
    for one in jpegs:
        ran(djpeg, "-outfile", target, one.path)
        found = of_bytes(target.read_bytes())
        assert found.fidelity is Fidelity.EXACT
        if found.pixels != one.analysis.pixels:
            other.append(one.path.name)
    assert other == []


# ---------------------------------------------------------------------------------------------------- WebP


def test_cwebp_and_dwebp_keep_the_picture(pngs: list[Original], tmp_path: Path) -> None:
    """cwebp applies gAMA (1.0 in most of the suite), so each picture is saved without it first, by Pillow."""
    cwebp, dwebp = needed("cwebp", "webp"), needed("dwebp", "webp")
    plain, packed, unpacked = (tmp_path / name for name in ("plain.png", "copy.webp", "copy.pam"))
    wrong, kept = [], 0
    for one in pngs:
        facts = one.analysis.image
        assert facts is not None
        if facts.dtype != "u8" or one.path.name == MISREAD:
            continue
        with Image.open(one.path) as image:
            clear = facts.model.endswith("a")
            pixels = image.convert("RGBA" if clear else "RGB")
        pixels.save(plain, icc_profile=None)
        assert b"gAMA" not in plain.read_bytes()
        expected = of_bytes(plain.read_bytes())
        ran(cwebp, "-quiet", "-lossless", "-exact", "-metadata", "none", plain, "-o", packed)
        ran(dwebp, "-quiet", packed, "-pam", "-o", unpacked)
        webp, pam = of_bytes(packed.read_bytes()), of_bytes(unpacked.read_bytes())
        proved = {each.fidelity for each in (expected, webp, pam)} == {Fidelity.EXACT}
        if not proved or {webp.view, pam.view, expected.view} != {one.analysis.view}:
            wrong.append(one.path.name)
        kept += webp.pixels == expected.pixels
    assert wrong == []
    assert kept > 120
