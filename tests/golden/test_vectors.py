"""The vectors of docs/pixel-checksum.md: by a second implementation, and by the program on real files.

The second implementation is written from the page, with ``hashlib`` and ``struct`` alone. Only when it, the
page and the program agree can somebody else's agree with them.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from catalog.pixels.analyse import analyse
from catalog.terms import Analysis, Fidelity, Level, Limits, printed

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "pixel-checksum.md").read_text()
VECTORS: dict[str, Any] = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])  # type: ignore[index]
RASTERS: list[dict[str, Any]] = VECTORS["rasters"]
NAMED = {vector["name"]: vector for vector in RASTERS}

# ----------------------------------------------------------------------------- the second implementation

Rows = list[list[tuple[Any, ...]]]
COLOURS = {"gray": 1, "rgb": 3, "cmyk": 4, "lab": 3, "ycbcr": 3}


def frame(level: str, model: str, dtype: str, rows: Rows) -> str:
    """The digest of one image; ``rows`` of pixels, each a tuple of numbers."""
    kind, bits = dtype[0], int(dtype[1:])
    letter = {"u": "BHIQ", "i": "bhiq", "f": " efd"}[kind][next(n for n in range(4) if bits <= 8 << n)]
    channels = len(rows[0][0])
    header = f"{level}\n{model} {dtype} {len(rows[0])}x{len(rows)}x{channels}\n".encode("ascii")
    samples = b"".join(struct.pack(f"<{channels}{letter}", *pixel) for row in rows for pixel in row)
    return hashlib.sha256(header + samples).hexdigest()


def combined(level: str, frames: list[str]) -> str:
    text = f"{level} multi {len(frames)}\n" + "\n".join(frames)
    return frames[0] if len(frames) == 1 else hashlib.sha256(text.encode("ascii")).hexdigest()


def reduced(model: str, dtype: str, rows: Rows, orientation: int) -> tuple[str, str, Rows]:
    """Rule 10: model, dtype and rows of the view."""
    base, plus, more = model.partition("+")
    bare = base.removesuffix("-premul")
    straight = bare == base
    if bare not in COLOURS and bare[:-1] in COLOURS:
        at = COLOURS[bare[:-1]]
        opaque = 1.0 if dtype[0] == "f" else 2 ** (int(dtype[1:]) - (dtype[0] == "i")) - 1
        if all(pixel[at] == opaque for row in rows for pixel in row):
            base, rows = bare[:-1], [[pixel[:at] + pixel[at + 1 :] for pixel in row] for row in rows]
        elif straight:
            rows = [[pixel if pixel[at] else (0,) * at + pixel[at:] for pixel in row] for row in rows]
    numbers = [number for row in rows for pixel in row for number in pixel]
    if dtype == "u16" and not base.startswith(("lab", "ycbcr")) and all(n % 257 == 0 for n in numbers):
        dtype, rows = "u8", [[tuple(n // 257 for n in pixel) for pixel in row] for row in rows]
    bits = [[struct.pack("<d", n) for n in pixel[:3]] for row in rows for pixel in row]
    if base.startswith("rgb") and all(len(set(colour)) == 1 for colour in bits):
        base, rows = base.replace("rgb", "gray"), [[pixel[:1] + pixel[3:] for pixel in row] for row in rows]
    if orientation >= 5:
        rows = [list(column) for column in zip(*rows, strict=True)]
    if orientation in (3, 4, 7, 8):
        rows = rows[::-1]
    if orientation in (2, 3, 6, 7):
        rows = [row[::-1] for row in rows]
    return base + plus + more, dtype, rows


def rows_of(vector: dict[str, Any]) -> Rows:
    numbers, channels = vector["samples"], vector["channels"]
    pixels = [tuple(numbers[at : at + channels]) for at in range(0, len(numbers), channels)]
    return [pixels[at : at + vector["width"]] for at in range(0, len(pixels), vector["width"])]


def digests_of(vector: dict[str, Any]) -> tuple[str, str]:
    model, dtype, rows = vector["model"], vector["dtype"], rows_of(vector)
    view = reduced(model, dtype, rows, vector.get("orientation", 1))
    return frame("pix1", model, dtype, rows), frame("view1", *view)


def pay(form: str, *parts: tuple[str, bytes]) -> str:
    body = b"".join(f"{name} {len(content)}\n".encode("ascii") + content for name, content in parts)
    return hashlib.sha256(f"pay1\n{form}\n".encode("ascii") + body).hexdigest()


# --------------------------------------------------------------------------------------------- the vectors


def names(vector: dict[str, Any]) -> str:
    return str(vector["name"])


@pytest.mark.parametrize("vector", RASTERS, ids=names)
def test_the_second_implementation_finds_the_digests_of_the_page(vector: dict[str, Any]) -> None:
    assert len(vector["samples"]) == vector["width"] * vector["height"] * vector["channels"]
    assert digests_of(vector) == (vector["pix1"], vector["view1"])


@pytest.mark.parametrize("vector", VECTORS["several images"], ids=names)
def test_the_second_implementation_combines_images_as_the_page_does(vector: dict[str, Any]) -> None:
    images = [NAMED[name] for name in vector["images"]]
    found = [combined(level, [image[level] for image in images]) for level in ("pix1", "view1")]
    assert found == [vector["pix1"], vector["view1"]]


def test_the_numpy_of_the_page_finds_its_digests() -> None:
    """The ten lines, as they stand there."""
    scope: dict[str, Any] = {}
    exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], scope)  # type: ignore[index]
    for vector in RASTERS:
        size = next(size for size in (1, 2, 4, 8) if int(vector["dtype"][1:]) <= 8 * size)
        for order in "<>":
            numbers = np.array(vector["samples"], f"{order}{vector['dtype'][0]}{size}")
            array = numbers.reshape(vector["height"], vector["width"], vector["channels"])
            assert scope["pix1"](array, vector["model"], vector["dtype"]) == f"pix1:{vector['pix1']}"


# ----------------------------------------------------------------------------- the program, on real files

PHOTOMETRIC = {"gray": "minisblack", "rgb": "rgb", "cmyk": "separated", "lab": "cielab"}
EXTRA = {"+1": "unspecified", "a": "unassalpha", "a-premul": "assocalpha"}
MODES = {"gray": "L", "graya": "LA", "rgb": "RGB", "rgba": "RGBA"}


def by_tifffile(array: np.ndarray, vector: dict[str, Any], **options: Any) -> bytes:
    model = vector["model"]
    base = next(base for base in PHOTOMETRIC if model.startswith(base))
    more = model.removeprefix(base)
    options |= {"extrasamples": [EXTRA[more]]} if more else {}
    if "orientation" in vector:
        options["extratags"] = [(274, "H", 1, vector["orientation"], True)]
    if vector["dtype"] == "u10":
        options["bitspersample"] = 10
    if options.pop("separate", False):
        array = np.moveaxis(array, 2, 0)
        options["planarconfig"] = "separate"
    buffer = BytesIO()
    squeezed = array[:, :, 0] if array.shape[2] == 1 else np.ascontiguousarray(array)
    tifffile.imwrite(buffer, squeezed, photometric=PHOTOMETRIC[base], metadata=None, **options)
    return buffer.getvalue()


def by_pillow(array: np.ndarray, vector: dict[str, Any], form: str, **options: Any) -> bytes:
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array, MODES[vector["model"]])
    if "orientation" in vector:
        options["exif"] = Image.Exif()
        options["exif"][274] = vector["orientation"]
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def files_of(vector: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The raster as files of every kind that tifffile and Pillow write without loss."""
    dtype = vector["dtype"]
    size = next(size for size in (1, 2, 4, 8) if int(dtype[1:]) <= 8 * size)
    array = np.array(vector["samples"], f"{dtype[0]}{size}")
    array = array.reshape(vector["height"], vector["width"], vector["channels"])
    layouts: dict[str, dict[str, Any]] = {
        "plain": {},
        "BigTIFF": {"bigtiff": True},
        "a row in a strip": {"rowsperstrip": 1},
    }
    if dtype != "u10":  # which tifffile does not compress, and big-endian it packs the swapped numbers
        layouts |= {
            "big-endian": {"byteorder": ">"},
            "Deflate": {"compression": "zlib", "predictor": dtype != "i16"},
            "LZW": {"compression": "lzw", "byteorder": ">"},
            "tiles": {"compression": "packbits", "tile": (16, 16)},
        }
    if array.shape[2] > 2:
        layouts["planes"] = {"separate": True}
    for layout, options in layouts.items():
        yield f"TIFF, {layout}", by_tifffile(array, vector, **options)
    if dtype == "u8" and vector["model"] in MODES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the mode, which Pillow could guess
            yield "PNG", by_pillow(array, vector, "PNG")
            yield "TIFF by Pillow", by_pillow(array, vector, "TIFF", compression="tiff_lzw")
            if vector["model"].startswith("rgb") and "opaque" not in vector["name"]:  # libwebp would drop it
                yield "WebP", by_pillow(array, vector, "WEBP", lossless=True, exact=True)
            if vector["model"] in ("gray", "rgb") and "orientation" not in vector:
                yield "Netpbm", by_pillow(array, vector, "PPM")


def analysed(content: bytes) -> Analysis:
    return analyse(content, limits=Limits())


def told(found: Analysis) -> tuple[Fidelity, str | None, str | None]:
    return found.fidelity, found.pixels and found.pixels.hex(), found.view and found.view.hex()


@pytest.mark.parametrize("vector", [each for each in RASTERS if each["model"] != "cmyka"], ids=names)
def test_the_program_finds_the_digests_in_files_of_every_kind(vector: dict[str, Any]) -> None:
    """But for CMYK with alpha, which tifffile does not write: that is among the files of the page."""
    wanted = (Fidelity.EXACT, vector["pix1"], vector["view1"])
    kinds = 0
    for kind, content in files_of(vector):
        found = analysed(content)
        assert told(found) == wanted, (kind, found.reason)
        assert found.image is not None
        facts = found.image
        assert (facts.model, facts.dtype, facts.channels) == tuple(
            vector[k] for k in ("model", "dtype", "channels")
        )
        kinds += 1
    assert kinds >= 3


def test_pages_and_frames_combine_to_the_digests_of_the_page() -> None:
    for vector in VECTORS["several images"]:
        images = [NAMED[name] for name in vector["images"]]
        arrays = [
            np.array(i["samples"], "u1").reshape(i["height"], i["width"], i["channels"]) for i in images
        ]
        buffer = BytesIO()
        if vector["name"].endswith("TIFF"):
            with tifffile.TiffWriter(buffer) as file:
                for array, image in zip(arrays, images, strict=True):
                    photometric = PHOTOMETRIC[image["model"]]
                    squeezed = array[:, :, 0] if array.shape[2] == 1 else array
                    file.write(squeezed, photometric=photometric, metadata=None)
        else:
            first, *others = [Image.fromarray(array) for array in arrays]
            first.save(
                buffer, "PNG", save_all=True, append_images=others, duration=[40, 70], disposal=0, blend=0
            )
        assert told(analysed(buffer.getvalue())) == (Fidelity.EXACT, vector["pix1"], vector["view1"])


@pytest.mark.parametrize("vector", VECTORS["files"], ids=names)
def test_the_program_finds_the_digests_of_the_files_of_the_page(vector: dict[str, Any]) -> None:
    found = analysed(bytes.fromhex(vector["hex"]))
    assert told(found) == (Fidelity.EXACT, vector["pix1"], vector["view1"]), found.reason
    assert found.payload is not None
    assert found.payload.hex() == vector["pay1"]
    if "raster" in vector:
        assert vector["pix1"] == NAMED[vector["raster"]]["pix1"]


# ---------------------------------------------------------------------------------------------------- pay1


def tiff_parts(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The parts of a TIFF without tables, by tifffile's reading of its tags."""
    with tifffile.TiffFile(BytesIO(content)) as file:
        yield "images", str(len(file.pages)).encode()
        for page in file.pages:
            high = min(page.rowsperstrip, page.imagelength)
            segment = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, high)
            bits = np.broadcast_to(page.bitspersample, page.samplesperpixel)
            formats = np.broadcast_to(page.sampleformat, page.samplesperpixel)
            predictor = page.predictor if page.compression in (5, 8, 32946, 34925, 50000) else 1
            planar = page.planarconfig if page.samplesperpixel > 1 else 1
            fields = [page.imagewidth, page.imagelength, page.is_tiled + 0, *segment, page.photometric + 0]
            fields += [
                page.compression + 0,
                page.samplesperpixel,
                predictor + 0,
                page.fillorder + 0,
                planar + 0,
            ]
            fields += [1, 1, 1, 0, 0, 1, 0, "bits", *bits, "formats", *(each + 0 for each in formats)]
            fields += ["extra", *(each + 0 for each in page.extrasamples)]
            fields += [{"<": "little", ">": "big"}[file.byteorder]] if max(bits) > 8 else []
            yield "fields", " ".join(map(str, fields)).encode()
            if page.colormap is not None:
                yield "ColorMap", " ".join(map(str, page.colormap.reshape(-1))).encode()
            yield "counts", " ".join(map(str, page.databytecounts)).encode()
            spans = zip(page.dataoffsets, page.databytecounts, strict=True)
            yield "segments", b"".join(content[at : at + size] for at, size in spans)


def png_parts(content: bytes) -> Iterator[tuple[str, bytes]]:
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8].decode(), content[at + 8 : at + 8 + length]))
        at += 12 + length
    data = b"".join(body for kind, body in chunks if kind == "IDAT")
    for index, (kind, body) in enumerate(chunks):
        if kind == "IDAT" and chunks[index - 1][0] != "IDAT":
            yield kind, data
        elif kind in ("IHDR", "PLTE", "tRNS", "acTL", "fcTL", "fdAT"):
            yield kind, body


def jpeg_parts(content: bytes, colour: str) -> Iterator[tuple[str, bytes]]:
    at = 2
    while content[at + 1] != 0xD9:
        marker = content[at + 1]
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        body = content[at + 4 : at + 2 + length]
        at += 2 + length
        if marker < 0xE0 or (marker == 0xEE and body.startswith(b"Adobe")):
            yield f"{marker:02X}", body
        if marker == 0xDA:
            end = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]").search(content, at)
            assert end is not None
            yield "scan", content[at : end.start()]
            at = end.start()
    yield "color", colour.encode()


@pytest.mark.parametrize("name", ["rgb u8", "gray u16", "rgba-premul u8", "gray f32", "gray u8"])
def test_the_payload_digest_of_a_tiff_is_as_the_page_says(name: str) -> None:
    for kind, content in files_of(NAMED[name]):
        if kind.startswith("TIFF"):
            found = analysed(content).payload
            assert found is not None
            assert found.hex() == pay("TIFF", *tiff_parts(content)), kind


def test_the_payload_digests_of_png_jpeg_bmp_and_netpbm_are_as_the_page_says() -> None:
    image = Image.fromarray(np.arange(27 * 31 * 3, dtype=np.uint32).astype(np.uint8).reshape(27, 31, 3))
    coded = {}
    for form, options in (
        ("PNG", {"transparency": (1, 2, 3)}),
        ("JPEG", {"quality": 70, "progressive": True, "exif": b"Exif\0\0"}),
        ("BMP", {}),
        ("PPM", {}),
    ):
        buffer = BytesIO()
        image.save(buffer, form, **options)
        coded[form] = buffer.getvalue()
    header = b"31 27 24 0 16711680 65280 255 0"
    expected = {
        "PNG": pay("PNG", *png_parts(coded["PNG"])),
        "JPEG": pay("JPEG", *jpeg_parts(coded["JPEG"], "ycbcr")),
        "BMP": pay("BMP", ("header", header), ("palette", b"\4"), ("pixels", coded["BMP"][54:])),
        "PPM": pay("PPM", ("header", b"6 31 27 3 255 0.0 "), ("pixels", coded["PPM"][-27 * 31 * 3 :])),
    }
    for form, content in coded.items():
        found = analysed(content).payload
        assert found is not None
        assert found.hex() == expected[form], form


# ---------------------------------------------------------------------------------------- the page's words


def test_the_page_names_every_class_with_its_prefix() -> None:
    for fidelity in Fidelity:
        row = re.search(rf"^\| `{fidelity.value}` \|.*$", PAGE, re.MULTILINE)
        assert row, fidelity
        if fidelity is not Fidelity.UNDECODABLE:
            prefix = (printed(Level.PIXELS, fidelity, bytes(32)) or "").split(":")[0]
            assert f"`{prefix}:`" in row[0], fidelity


def test_the_seed_file_has_the_digests_that_the_page_tells(corpus: Path) -> None:
    found = analysed((corpus / "shaggy/images/amalfreda_1.tif").read_bytes())
    for level, digest in ((Level.PIXELS, found.pixels), (Level.VIEW, found.view)):
        assert printed(level, found.fidelity, digest) in PAGE
