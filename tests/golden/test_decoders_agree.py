"""The decoders that we use against others that are known to be right, on every real image of their class.

This is what allows the fast ones: libtiff for LZW, libdeflate for Deflate, libpng and libwebp by way of
imagecodecs, and no decoder at all for plain strips.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from catalog.pixels.raster import decode_frames
from catalog.pixels.structure import Frame, NotAnImage, parse
from catalog.terms import Fidelity, Limits


def files(corpus: Path, *suffixes: str) -> list[Path]:
    return sorted(path for path in corpus.rglob("*") if path.suffix in suffixes)


def exact_frames(path: Path) -> Iterator[tuple[Frame, np.ndarray]]:
    content = path.read_bytes()
    try:
        structure = parse(content)
    except NotAnImage:
        return
    for frame, decoded in decode_frames(structure, content, Limits()):
        if decoded.fidelity is Fidelity.EXACT and decoded.raster is not None:
            yield frame, decoded.raster.array()


def every_page(pages: object) -> Iterator[tifffile.TiffPage]:
    for one in pages:  # type: ignore[attr-defined]
        yield one
        if one.pages:
            yield from every_page(one.pages)


def by_tifffile(path: Path, frame: Frame) -> np.ndarray | None:
    """tifffile's samples, brought into canonical form by a second reading of rules 2-4."""
    tiff = frame.tiff
    assert tiff is not None
    with tifffile.TiffFile(path) as file:
        one = next((each for each in every_page(file.pages) if each.offset == tiff.ifd_offset), None)
        if one is None:
            return None
        array = np.asarray(one.asarray(maxworkers=1))
        table = one.colormap
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if tiff.planar == 2 and tiff.samples > 1:
        array = np.moveaxis(array, 0, -1)
    array = array.reshape(frame.height, frame.width, -1)
    top = (1 << tiff.bits[0]) - 1
    if tiff.photometric == 3:
        assert table is not None
        colours = table.T.astype(np.uint32)
        divisor = next(d for d in (257, 256, 1) if not (colours % d).any() or d == 1)
        return (colours // divisor)[array[:, :, 0]].astype(np.uint8 if divisor > 1 else np.uint16)
    white_is_zero = tiff.photometric == 0 or (tiff.photometric is None and tiff.compression in (2, 3, 4))
    if white_is_zero and array.dtype.kind == "u":
        array = array.copy()
        array[:, :, 0] = top - array[:, :, 0]
    if frame.dtype == "u8" and top in (1, 3, 15):
        array = array * np.uint8(255 // top)
    return array


def test_every_exact_tiff_is_what_tifffile_reads(corpus: Path) -> None:
    seen: dict[int, int] = {}
    wrong = []
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    for path in files(corpus, ".tif", ".tiff"):
        for frame, array in exact_frames(path):
            assert frame.tiff is not None
            if frame.tiff.predictor != 1 and frame.tiff.compression == 1:
                continue  # rule 7: no predictor without a codec that has one; tifffile applies it
            other = by_tifffile(path, frame)
            if other is None:
                continue
            seen[frame.tiff.compression] = seen.get(frame.tiff.compression, 0) + 1
            if (array.shape, array.dtype, array.tobytes()) != (other.shape, other.dtype, other.tobytes()):
                wrong.append((path.name, frame.index))
    assert wrong == []
    assert sum(seen.values()) > 300
    assert {1, 3, 4, 5, 8, 32773, 50000} <= set(seen), "each codec was met"


def test_every_exact_eight_bit_tiff_is_what_pillow_reads(corpus: Path) -> None:
    """libtiff by way of Pillow, where it is right: 8 bits, no odd alpha, first page."""
    compared = 0
    wrong = []
    warnings.filterwarnings("ignore", "Corrupt EXIF data")
    for path in files(corpus, ".tif", ".tiff"):
        for frame, array in exact_frames(path):
            tiff = frame.tiff
            assert tiff is not None
            if frame.index or frame.model not in ("gray", "rgb", "rgba", "cmyk"):
                continue
            if (
                frame.dtype != "u8"
                or set(tiff.bits) - {1, 8}
                or tiff.planar == 2
                or set(tiff.sample_format) != {1}
            ):
                continue
            if tiff.compression == 1 and tiff.predictor != 1:
                continue
            try:
                image = Image.open(path)
            except OSError:
                continue  # a kind of TIFF that Pillow does not take
            with image:
                if image.tag_v2.get(274, 1) != 1 or path.name.endswith("cramps-tile.tif"):
                    continue  # turned at load; a whole plain tile at the edge that Pillow finds too short
                image.load()
                plain = image.convert({"P": "RGB", "1": "L"}.get(image.mode, image.mode))
                other = np.asarray(plain)
            compared += 1
            if array.tobytes() != other.tobytes():
                wrong.append(path.name)
    assert wrong == []
    assert compared > 120


def test_every_exact_png_is_what_cv2_and_pillow_read(corpus: Path) -> None:
    compared = 0
    for path in files(corpus, ".png"):
        for frame, array in exact_frames(path):
            if frame.model in ("gray", "rgb", "rgba"):
                other = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                assert other is not None, path.name
                other = other.reshape(array.shape[0], array.shape[1], -1)
                if other.shape == array.shape:
                    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]
                    assert np.array_equal(array, other[:, :, order]), path.name
                    compared += 1
            with Image.open(path) as image:
                if frame.dtype == "u8" and image.mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
                    wanted = {"gray": "L", "graya": "LA", "rgb": "RGB", "rgba": "RGBA"}[frame.model]
                    if image.mode == "L" and "transparency" in image.info:
                        continue  # Pillow compares a widened sample with the key as it stands
                    assert array.tobytes() == image.convert(wanted).tobytes(), path.name
                    compared += 1
    assert compared > 200


def test_a_bmp_made_from_a_png_has_its_view(corpus: Path) -> None:
    """The suite holds each picture twice; BMP has no 16 bits."""
    from catalog.pixels.analyse import analyse

    folder = corpus / "pngsuite"
    compared = 0
    for path in sorted(folder.glob("bmp__*.bmp")):
        original = folder / path.name.replace("bmp__", "png__").replace(".bmp", ".png")
        bmp, png = (analyse(each.read_bytes(), limits=Limits()) for each in (path, original))
        assert bmp.fidelity is Fidelity.EXACT
        if png.image is not None and png.image.dtype == "u8" and png.fidelity is Fidelity.EXACT:
            assert bmp.view == png.view, path.name
            compared += 1
    assert compared > 120


@pytest.mark.parametrize("suffix", [".jpg"])
def test_jpeg_is_what_two_builds_of_libjpeg_make_of_it(corpus: Path, suffix: str) -> None:
    compared = 0
    for path in files(corpus, suffix):
        content = path.read_bytes()
        for _, decoded in decode_frames(parse(content), content, Limits()):
            assert decoded.raster is not None
            flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
            other = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
            assert np.array_equal(decoded.raster.array(), other[:, :, ::-1]), path.name
            compared += 1
    assert compared > 20


def test_animated_and_still_gifs_are_what_pillow_composites(corpus: Path) -> None:
    for path in files(corpus, ".gif"):
        frames = list(exact_frames(path))
        with Image.open(BytesIO(path.read_bytes())) as image, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for frame, array in frames:
                image.seek(frame.index)
                assert np.array_equal(array, np.asarray(image.convert(frame.model.upper()))), path.name
