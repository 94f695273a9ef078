"""One flipped bit in a file: seen in a digest, reported, or provably without effect on any sample.

"It opens" proves nothing: most decoders deliver other samples without a word. For each encoding bits are
flipped at random places of the whole file, header and all. What we call sound must be the old picture or
have another digest, and where the digest is the old one, a reader that takes no part in the analysis must
read every sample as before. Deflate and PNG carry checksums: there nothing may pass as a changed picture.
"""

from __future__ import annotations

import logging
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from catalog.pixels.analyse import analyse
from catalog.terms import Analysis, Fidelity, Limits

FLIPS = 200
HEIGHT, WIDTH = 30, 40
Reader = Callable[[bytes], Any]


# ------------------------------------------------------------------------------------------------- files


def picture() -> np.ndarray:
    """Slopes with noise: something for every filter and predictor, of shape (30, 40, 3)."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    slopes = np.stack([x * 6, y * 8, (x + y) * 3], axis=2)
    noise = np.random.default_rng(4).integers(0, 24, slopes.shape)
    return np.clip(slopes + noise, 0, 255).astype(np.uint8)


RGB = picture()
DEEP = RGB.astype(np.uint16) * 251 + np.arange(WIDTH, dtype=np.uint16)[None, :, None]
ALPHA = np.concatenate([RGB, RGB[::-1, :, :1]], axis=2)
IMAGE = Image.fromarray(RGB)
BITS = Image.fromarray((RGB[:, :, 0] > 100) * np.uint8(255)).convert("1")
SECOND = IMAGE.rotate(180)


def tiff(array: np.ndarray, **options: Any) -> bytes:
    buffer = BytesIO()
    tifffile.imwrite(buffer, array, metadata=None, software=False, photometric="rgb", **options)
    return buffer.getvalue()


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def animated(form: str, first: Image.Image = IMAGE, second: Image.Image = SECOND, **options: Any) -> bytes:
    return saved(first, form, save_all=True, append_images=[second], duration=40, **options)


ENCODINGS: dict[str, Callable[[], bytes]] = {
    "TIFF none": lambda: tiff(RGB, rowsperstrip=8),
    "TIFF PackBits": lambda: tiff(RGB, compression="packbits", rowsperstrip=8),
    "TIFF LZW": lambda: tiff(RGB, compression="lzw", rowsperstrip=8),
    "TIFF LZW, predictor": lambda: tiff(RGB, compression="lzw", predictor=2, rowsperstrip=8),
    "TIFF Deflate": lambda: tiff(RGB, compression="zlib", rowsperstrip=8),
    "TIFF Deflate, 16 bits, tiles": lambda: tiff(
        DEEP, compression="zlib", predictor=2, byteorder=">", tile=(16, 16)
    ),
    "TIFF Deflate, floats": lambda: tiff(DEEP.astype(np.float32) / 7, compression="zlib", predictor=3),
    "TIFF ZSTD": lambda: tiff(RGB, compression="zstd", rowsperstrip=8),
    "TIFF LZMA": lambda: tiff(RGB, compression="lzma"),
    "TIFF CCITT G3": lambda: saved(BITS, "TIFF", compression="group3"),
    "TIFF CCITT G4": lambda: saved(BITS, "TIFF", compression="group4"),
    "TIFF JPEG": lambda: tiff(RGB, compression="jpeg", tile=(16, 16)),
    "TIFF WebP": lambda: tiff(RGB, compression="webp"),
    "TIFF JPEG 2000": lambda: tiff(RGB, compression="jpeg2000"),
    "PNG": lambda: saved(IMAGE, "PNG"),
    "PNG, 16 bits": lambda: bytes(imagecodecs.png_encode(DEEP)),
    "PNG, palette with alpha": lambda: saved(IMAGE.quantize(32), "PNG", transparency=3),
    "PNG, bits": lambda: saved(BITS, "PNG"),
    "PNG, colour key": lambda: saved(IMAGE, "PNG", transparency=(1, 2, 3)),
    "PNG, alpha": lambda: saved(Image.fromarray(ALPHA), "PNG"),
    "APNG": lambda: animated("PNG"),
    "JPEG": lambda: saved(IMAGE, "JPEG", quality=85),
    "JPEG, progressive": lambda: saved(IMAGE, "JPEG", quality=85, progressive=True),
    "JPEG, CMYK": lambda: saved(IMAGE.convert("CMYK"), "JPEG", quality=85),
    "WebP": lambda: saved(IMAGE, "WEBP"),
    "WebP lossless": lambda: saved(Image.fromarray(ALPHA), "WEBP", lossless=True, exact=True),
    "WebP, animated": lambda: animated("WEBP", lossless=True),
    "BMP": lambda: saved(IMAGE, "BMP"),
    "BMP, palette": lambda: saved(IMAGE.quantize(32), "BMP"),
    "PPM": lambda: saved(IMAGE, "PPM"),
    "GIF": lambda: saved(IMAGE.quantize(32), "GIF"),
    "GIF, animated": lambda: animated("GIF", IMAGE.quantize(32), SECOND.quantize(32)),
    "AVIF": lambda: saved(IMAGE, "AVIF"),
    "JPEG 2000": lambda: saved(IMAGE, "JPEG2000"),
}
CHECKED = [name for name in ENCODINGS if "PNG" in name or "Deflate" in name]
"""Encodings with a checksum over the image data."""


# ------------------------------------------------------------------------------------------- other readers


def by_tifffile(content: bytes) -> Any:
    with tifffile.TiffFile(BytesIO(content)) as file:
        pages = [(page.asarray(maxworkers=1), page.colormap) for page in file.pages]
    return [
        (array.dtype.str, array.shape, array.tobytes(), None if c is None else c.tobytes())
        for array, c in pages
    ]


def by_libtiff(content: bytes) -> Any:
    array = imagecodecs.tiff_decode(content)
    return array.dtype.str, array.shape, array.tobytes()


def by_pillow(content: bytes) -> Any:
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(BytesIO(content)) as image:
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                image.load()
                colours = image.mode in ("P", "PA") or "transparency" in image.info
                samples = image.convert("RGBA") if colours else image
                found.append((samples.mode, samples.size, samples.tobytes()))
    return found


def by_cv2(content: bytes) -> Any:
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    array = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if array is None:
        raise ValueError("cv2 cannot read it")
    return array.dtype.str, array.shape, array.tobytes()


def samples_by(reader: Reader, content: bytes) -> Any:
    """What a reader makes of it; None when it refuses, with whatever it raises."""
    try:
        return reader(content)
    except (MemoryError, ImportError):
        raise
    except Exception:  # noqa: BLE001 (readers raise anything on a broken file)
        return None


@dataclass(frozen=True)
class Witnesses:
    """The readers that read the original, and what they read."""

    read: list[tuple[Reader, Any]]

    @classmethod
    def of(cls, content: bytes) -> Witnesses:
        is_tiff = content[:2] in (b"II", b"MM")
        readers = [by_tifffile, by_pillow, by_libtiff, by_cv2] if is_tiff else [by_pillow, by_cv2]
        read = [(reader, samples_by(reader, content)) for reader in readers]
        return cls([(reader, samples) for reader, samples in read if samples is not None])

    def read_the_same(self, content: bytes) -> bool:
        return any(samples_by(reader, content) == samples for reader, samples in self.read)


# --------------------------------------------------------------------------------------------------- flips


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """tifffile logs each tag that it cannot read; cv2 speaks on descriptor 2."""
    monkeypatch.setattr(logging.getLogger("tifffile"), "disabled", True)
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    yield
    cv2.utils.logging.setLogLevel(before)


def analysed(content: bytes) -> Analysis:
    return analyse(content, limits=Limits())


def flipped(content: bytes, places: random.Random, spans: list[tuple[int, int]]) -> tuple[str, bytes]:
    """The content with one bit of one of the spans flipped, and which."""
    number = places.randrange(sum(end - start for start, end in spans) * 8)
    for start, end in spans:
        if number < (end - start) * 8:
            break
        number -= (end - start) * 8
    at, bit = start + number // 8, number % 8
    changed = bytearray(content)
    changed[at] ^= 1 << bit
    return f"bit {bit} of byte {at}", bytes(changed)


def image_data(content: bytes) -> list[tuple[int, int]]:
    """Where the checksums rule: the strips and tiles of a TIFF, everything in a PNG."""
    if content[:2] not in (b"II", b"MM"):
        return [(0, len(content))]
    with tifffile.TiffFile(BytesIO(content)) as file:
        page = file.pages[0]
        return [(at, at + size) for at, size in zip(page.dataoffsets, page.databytecounts, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODINGS)
def test_a_flipped_bit_is_seen_reported_or_without_effect(name: str) -> None:
    content = ENCODINGS[name]()
    original = analysed(content)
    assert original.fidelity.sound
    witnesses = Witnesses.of(content)
    assert witnesses.read
    places = random.Random(name)
    outcomes: Counter[str] = Counter()
    unproved = []
    for _ in range(FLIPS):
        where, changed = flipped(content, places, [(0, len(content))])
        found = analysed(changed)
        if not found.fidelity.sound:
            assert found.reason, where
            outcomes["reported"] += 1
        elif found.pixels != original.pixels:
            outcomes["seen"] += 1
        else:
            outcomes["without effect"] += 1
            if not witnesses.read_the_same(changed):
                unproved.append(where)
    assert unproved == []
    assert outcomes["seen"] + outcomes["reported"] > FLIPS // 4, outcomes


def without_report(name: str, flips: int) -> list[str]:
    """Flips inside the checked bytes after which a file passes as sound with another picture."""
    content = ENCODINGS[name]()
    original = analysed(content)
    places = random.Random(name)
    passed = []
    for _ in range(flips):
        where, changed = flipped(content, places, image_data(content))
        found = analysed(changed)
        if found.fidelity.sound and (found.pixels, found.view) != (original.pixels, original.view):
            passed.append(where)
    return passed


@pytest.mark.parametrize("name", CHECKED)
def test_deflate_and_png_report_every_flip_that_changed_a_sample(name: str) -> None:
    assert without_report(name, 40) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKED)
def test_deflate_and_png_report_every_one_of_two_thousand_flips(name: str) -> None:
    assert without_report(name, 2000) == []


def test_encodings_without_a_checksum_pass_as_another_picture() -> None:
    """The same question of plain samples has the other answer: the tests above can fail."""
    assert len(without_report("TIFF none", 40)) == 40


def test_a_flip_that_only_one_reader_survives_is_not_proved() -> None:
    """Witnesses that refuse or read something else are none."""
    content = ENCODINGS["TIFF none"]()
    witnesses = Witnesses.of(content)
    assert len(witnesses.read) == 4
    assert witnesses.read_the_same(content)
    at = image_data(content)[0][0]
    assert not witnesses.read_the_same(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert not witnesses.read_the_same(b"II*\0")


@pytest.mark.parametrize("name", ["PNG", "PNG, palette with alpha"])
@pytest.mark.parametrize("bit", range(8))
def test_every_bit_of_every_chunk_name_guards_the_picture(name: str, bit: int) -> None:
    content = ENCODINGS[name]()
    original = analysed(content)
    for kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
        at = content.find(kind)
        for place in range(at, at + 4) if at > 0 else ():
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            found = analysed(bytes(changed))
            assert not found.fidelity.sound or found.pixels == original.pixels, (kind, place)
            assert found.fidelity is not Fidelity.EXACT or kind not in (b"tRNS", b"PLTE"), (kind, place)
