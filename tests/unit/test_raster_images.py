"""Samples of PNG, JPEG, GIF, BMP, WebP, Netpbm and the rest, against what wrote them."""

from __future__ import annotations

import gc
import struct
import sys
import zlib
from io import BytesIO
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image

from catalog.pixels import raster
from catalog.pixels.raster import Decoded, decode_frames
from catalog.pixels.segment_codecs import png_samples
from catalog.pixels.structure import parse
from catalog.terms import Fidelity, Limits

RNG = np.random.default_rng(7)


def decoded(content: bytes, limits: Limits | None = None) -> Decoded:
    return raster.decode(parse(content), content, limits or Limits())[1]


def exact(content: bytes) -> tuple[str, str, np.ndarray]:
    """(model, dtype, samples) of a file that must be exact."""
    found = decoded(content)
    assert (found.fidelity, found.reason) == (Fidelity.EXACT, None)
    assert found.raster is not None
    return found.raster.model, found.raster.dtype, found.raster.array()


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def by_pillow(image: Image.Image | np.ndarray, form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


def by_cv2(array: np.ndarray, suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, array)[1])


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    width: int, height: int, depth: int, kind: int, rows: bytes, *more: bytes, idat: bytes | None = None
) -> bytes:
    """A PNG of given raw rows (each with its filter byte 0 in front), other chunks before the data."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = zlib.compress(rows) if idat is None else idat
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(more)
        + chunk(b"IDAT", body)
        + chunk(b"IEND", b"")
    )


# --------------------------------------------------------------------------------------------------- PNG


@pytest.mark.parametrize(("channels", "model"), [(1, "gray"), (2, "graya"), (3, "rgb"), (4, "rgba")])
@pytest.mark.parametrize("bits", [8, 16])
def test_png_of_every_colour_type_is_exact(channels: int, model: str, bits: int) -> None:
    array = RNG.integers(0, 1 << bits, (13, 17, channels)).astype(f"u{bits // 8}")
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in array)
    found = exact(png(17, 13, bits, kind, rows))
    assert found[:2] == (model, f"u{bits}")
    assert np.array_equal(found[2], array)


def test_sixteen_bit_colour_png_of_cv2_keeps_every_bit() -> None:
    array = RNG.integers(0, 65536, (20, 30, 4)).astype(np.uint16)
    model, dtype, found = exact(by_cv2(array[:, :, [2, 1, 0, 3]], ".png"))
    assert (model, dtype) == ("rgba", "u16")
    assert np.array_equal(found, array)


@pytest.mark.parametrize(("depth", "factor"), [(1, 255), (2, 85), (4, 17)])
def test_few_bits_of_gray_png_widen(depth: int, factor: int) -> None:
    values = RNG.integers(0, 1 << depth, (3, 8), dtype=np.uint8)
    rows = b"".join(
        b"\0" + int("".join(format(v, f"0{depth}b") for v in row), 2).to_bytes(depth, "big") for row in values
    )
    assert np.array_equal(exact(png(8, 3, depth, 0, rows))[2][:, :, 0], values * factor)


def test_palette_png_expands_to_colours_and_its_transparency_to_alpha() -> None:
    colours, index = noise(200, 3), RNG.integers(0, 200, (9, 7), dtype=np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in index)
    plain = exact(png(7, 9, 8, 3, rows, chunk(b"PLTE", colours.tobytes())))
    assert (plain[0], np.array_equal(plain[2], colours[index])) == ("rgb", True)
    alpha = noise(120)
    model, _, found = exact(
        png(7, 9, 8, 3, rows, chunk(b"PLTE", colours.tobytes()), chunk(b"tRNS", alpha.tobytes()))
    )
    full = np.concatenate([alpha, np.full(80, 255, np.uint8)])
    assert model == "rgba"
    assert np.array_equal(found, np.concatenate([colours[index], full[index][:, :, None]], axis=2))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_colour_key_becomes_alpha(bits: int) -> None:
    array = RNG.integers(0, 1 << bits, (5, 6, 3)).astype(f"u{bits // 8}")
    array[2, 3] = (1, 2, 3)
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in array)
    model, _, found = exact(png(6, 5, bits, 2, rows, chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))))
    assert model == "rgba"
    assert np.array_equal(found[:, :, :3], array)
    assert np.flatnonzero(found[:, :, 3].ravel() == 0).tolist() == [2 * 6 + 3]


def test_a_colour_key_of_four_bit_gray_is_compared_before_widening() -> None:
    rows = b"\0" + bytes([0x0F, 0x7A])
    model, _, found = exact(png(4, 1, 4, 0, rows, chunk(b"tRNS", struct.pack(">H", 7))))
    assert model == "graya"
    assert found[0].tolist() == [[0, 255], [255, 255], [119, 0], [170, 255]]


def test_interlaced_png_is_the_same_picture() -> None:
    array = noise(19, 23, 3)
    written = imagecodecs.png_decode(by_pillow(array, "PNG"))
    assert np.array_equal(written, array)
    header = struct.pack(">IIBBBBB", 23, 19, 8, 2, 0, 0, 1)
    body = b""
    for left, top, right, down in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        part = array[top::down, left::right]
        body += b"".join(b"\0" + row.tobytes() for row in part) if part.size else b""
    content = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )
    assert np.array_equal(exact(content)[2], array)


def test_png_with_a_wrong_sum_or_too_few_rows_has_no_samples() -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in noise(10, 10))
    stream = zlib.compress(rows)
    wrong = stream[:-1] + bytes([stream[-1] ^ 0xFF])
    short = zlib.compress(rows[:-22])
    for body in (wrong, stream[:-4], short):
        found = decoded(png(10, 10, 8, 0, rows, idat=body))
        assert (found.fidelity, found.raster) == (Fidelity.UNDECODABLE, None)
    whole = bytearray(png(10, 10, 8, 0, rows))
    whole[60] ^= 0xFF
    assert decoded(bytes(whole)).fidelity is Fidelity.UNDECODABLE


# ------------------------------------------------------------------------------------------ other formats


@pytest.mark.parametrize("form", ["BMP", "PPM", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("shape", [(13, 17, 3), (13, 17)])
def test_lossless_formats_give_the_samples_back(form: str, shape: tuple[int, ...]) -> None:
    array = noise(*shape)
    options = {"lossless": True} if form == "WEBP" else {}
    model, dtype, found = exact(by_pillow(array, form, **options))
    assert dtype == "u8"
    if model == "gray":
        assert np.array_equal(found[:, :, 0], array)
    else:
        assert np.array_equal(found, array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2))


def test_large_images_of_pillow_are_given_in_bands_that_make_up_the_whole() -> None:
    array = noise(700, 900, 3)
    found = decoded(by_pillow(array, "BMP"))
    assert found.raster is not None
    bands = list(found.raster.bands)
    assert len(bands) > 3
    assert b"".join(bands) == array.tobytes()
    assert b"".join(found.raster.bands) == array.tobytes()


def test_lossless_webp_keeps_the_colour_under_transparent_pixels() -> None:
    array = noise(20, 30, 4)
    array[:10, :, 3] = 0
    model, _, found = exact(by_pillow(array, "WEBP", lossless=True, exact=True))
    assert model == "rgba"
    assert np.array_equal(found, array)


@pytest.mark.parametrize(("form", "options"), [("JPEG", {"quality": 80}), ("WEBP", {"quality": 60})])
def test_lossy_formats_are_of_the_decoder_class(form: str, options: dict[str, Any]) -> None:
    content = by_pillow(noise(33, 47, 3), form, **options)
    found = decoded(content)
    assert found.fidelity is Fidelity.DECODER
    assert found.raster is not None
    assert np.array_equal(found.raster.array(), np.asarray(Image.open(BytesIO(content))))


def test_jpeg_is_not_turned_by_its_orientation() -> None:
    image = Image.fromarray(noise(24, 40, 3))
    exif = Image.Exif()
    exif[274] = 6
    found = decoded(by_pillow(image, "JPEG", exif=exif))
    assert found.raster is not None
    assert (found.raster.width, found.raster.height) == (40, 24)


def test_a_truncated_jpeg_has_no_samples() -> None:
    content = by_pillow(noise(64, 64, 3), "JPEG")
    for cut in (len(content) // 2, len(content) - 2):
        found = decoded(content[:cut])
        assert (found.fidelity, found.raster) == (Fidelity.UNDECODABLE, None)


def test_lossless_and_deep_jpeg_keep_their_bits() -> None:
    array = noise(24, 40, 3)
    model, dtype, found = exact(imagecodecs.jpeg8_encode(array, lossless=True))
    assert (model, dtype) == ("rgb", "u8")
    assert np.array_equal(found, array)
    deep = decoded(imagecodecs.jpeg8_encode(array.astype(np.uint16) * 16, bitspersample=12, level=98))
    assert deep.raster is not None
    assert (deep.fidelity, deep.raster.dtype) == (Fidelity.DECODER, "u12")
    assert int(deep.raster.array().max()) > 255


@pytest.mark.parametrize(
    "options", [{}, {"bitspersample": 12}, {"lossless": True}, {"outcolorspace": "YCCK"}]
)
def test_cmyk_of_every_kind_of_jpeg_has_one_polarity(options: dict[str, Any]) -> None:
    """Adobe's: 0 in the stream is full ink. Else a lossless one would pass for the negative's CMYK TIFF."""
    top = 4095 if "bitspersample" in options else 255
    ink = np.full((16, 16, 4), (top, top // 2, 0, top // 4), np.uint16 if top > 255 else np.uint8)
    keywords = {"outcolorspace": "CMYK", "colorspace": "CMYK", "level": 100, **options}
    content = bytes(imagecodecs.jpeg8_encode(top - ink, **keywords))
    found = decoded(content)
    assert found.raster is not None
    assert found.raster.model == "cmyk"
    assert int(np.abs(found.raster.array().astype(int) - ink).max()) <= 2
    at = content.index(b"\xff\xee")
    unmarked = content[:at] + content[at + 2 + int.from_bytes(content[at + 2 : at + 4], "big") :]
    assert decoded(unmarked).fidelity is Fidelity.UNVERIFIED


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None is immortal since Python 3.12")
def test_broken_png_do_not_wear_out_none() -> None:
    """imagecodecs gives back a reference for each; the ten thousandth one killed the process."""
    whole = by_pillow(noise(8, 8, 3), "PNG")
    broken = whole[:45] + bytes([whole[45] ^ 1]) + whole[46:]
    gc.collect()  # the litter of other tests must not be counted
    before = sys.getrefcount(None)
    for _ in range(2000):
        with pytest.raises(RuntimeError):
            png_samples(broken)
    assert sys.getrefcount(None) > before - 1000


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_palette_bmp_expands_to_its_colours(bits: int, top_down: bool) -> None:
    colours, index = noise(1 << bits, 3), RNG.integers(0, 1 << bits, (5, 9), dtype=np.uint8)
    rows = []
    for row in index if top_down else index[::-1]:
        text = "".join(format(value, f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 32)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    body = b"".join(rows)
    table = b"".join(bytes([b, g, r, 0]) for r, g, b in colours)
    at = 54 + len(table)
    header = struct.pack("<2sIHHI", b"BM", at + len(body), 0, 0, at)
    height = -5 if top_down else 5
    header += struct.pack("<IiiHHIIiiII", 40, 9, height, 1, bits, 0, len(body), 0, 0, 1 << bits, 0)
    model, _, found = exact(header + table + body)
    assert model == "rgb"
    assert np.array_equal(found, colours[index])


def test_a_still_gif_is_its_palette_expanded() -> None:
    image = Image.fromarray(noise(20, 30, 3)).quantize(64)
    model, _, found = exact(by_pillow(image, "GIF"))
    assert model == "rgb"
    assert np.array_equal(found, np.asarray(image.convert("RGB")))
    image.info["transparency"] = 5
    model, _, found = exact(by_pillow(image, "GIF", transparency=5))
    assert model == "rgba"
    assert np.array_equal(found, np.asarray(image.convert("RGBA")))


@pytest.mark.parametrize(("form", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})])
def test_animations_are_their_composited_frames(form: str, options: dict[str, Any]) -> None:
    pictures = [Image.fromarray(noise(20, 30, 3)).quantize(16).convert("RGB") for _ in range(3)]
    content = by_pillow(pictures[0], form, save_all=True, append_images=pictures[1:], duration=50, **options)
    frames = list(decode_frames(parse(content), content, Limits()))
    assert len(frames) == 3
    for (_, found), picture in zip(frames, pictures, strict=True):
        assert found.raster is not None
        assert (found.fidelity, found.raster.model) == (Fidelity.EXACT, "rgba")
        assert np.array_equal(found.raster.array(), np.asarray(picture.convert("RGBA")))


def test_after_a_frame_that_failed_no_later_one_is_believed() -> None:
    pictures = [Image.fromarray(noise(40, 40, 3)) for _ in range(3)]
    content = bytearray(by_pillow(pictures[0], "PNG", save_all=True, append_images=pictures[1:], duration=50))
    at = content.index(b"fdAT")
    content[at + 40 : at + 60] = bytes(20)
    frames = [found for _, found in decode_frames(parse(bytes(content)), bytes(content), Limits())]
    assert [found.fidelity.sound for found in frames[1:]] == [False, False]


# ---------------------------------------------------------------------------------------------- Netpbm


@pytest.mark.parametrize(
    ("content", "dtype", "rows"),
    [
        (b"P1 3 2 1 0 1 010", "u8", [[[0], [255], [0]], [[255], [0], [255]]]),
        (b"P4\n3 2\n\xa0\x40", "u8", [[[0], [255], [0]], [[255], [0], [255]]]),
        (b"P2 # words\n2 1 255 7 250", "u8", [[[7], [250]]]),
        (b"P2 2 1 15 7 15", "u8", [[[119], [255]]]),
        (b"P5 2 1 1023\n\x00\x07\x03\xff", "u10", [[[7], [1023]]]),
        (b"P5 2 1 65535\n\x01\x02\xff\xfe", "u16", [[[258], [65534]]]),
        (b"P6 1 1 255\nabc", "u8", [[[97, 98, 99]]]),
        (b"P6 1 1 1\n\0\1\1", "u8", [[[0, 255, 255]]]),
        (b"P6 1 1 3\n\0\1\3", "u2", [[[0, 1, 3]]]),
        (b"P6 1 1 65535\n\x00\x01\x00\x02\x00\x03", "u16", [[[1, 2, 3]]]),
        (
            b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\nabcd",
            "u8",
            [[[97, 98, 99, 100]]],
        ),
        (b"Pf\n1 2\n-1.0\n" + struct.pack("<2f", 1.5, -2.5), "f32", [[[-2.5]], [[1.5]]]),
        (b"PF\n1 1\n1.0\n" + struct.pack(">3f", 1.5, -2.5, 0), "f32", [[[1.5, -2.5, 0.0]]]),
    ],
)
def test_netpbm_samples_are_as_the_manual_says(content: bytes, dtype: str, rows: list[Any]) -> None:
    found = exact(content)
    assert found[1] == dtype
    assert found[2].tolist() == rows


def test_netpbm_whose_maximum_is_no_depth_is_not_called_exact() -> None:
    assert decoded(b"P5 2 1 100\n\x01\x64").fidelity is Fidelity.UNVERIFIED


@pytest.mark.parametrize(
    "content", [b"P5 2 1 1\n\1\2", b"P5 2 1 15\n\x0f\x10", b"P5 2 1 1023\n\0\7\4\0", b"P6 1 1 3\n\0\1\4"]
)
def test_netpbm_samples_beyond_their_maximum_prove_nothing(content: bytes) -> None:
    """Readers clip, wrap or refuse them; widened, two of them could be one number."""
    found = decoded(content)
    assert found.fidelity is Fidelity.UNVERIFIED
    assert found.reason is not None
    assert "is the maximum" in found.reason


def test_netpbm_that_ends_early_is_damaged_or_undecodable() -> None:
    assert decoded(b"P5 2 2 255\nabc").fidelity is Fidelity.DAMAGED
    assert decoded(b"P2 2 2 255 1 2 3").fidelity is Fidelity.UNDECODABLE
    assert decoded(b"P2 2 2 255 1 2 3 256").fidelity is Fidelity.UNDECODABLE


# ---------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM"])
def test_nothing_beyond_the_limit_is_decoded(form: str) -> None:
    content = by_pillow(noise(50, 50, 3), form)
    found = decoded(content, Limits(decode_pixels=2_499))
    assert (found.raster, found.fidelity, found.reason) == (
        None,
        Fidelity.UNVERIFIED,
        "too large: raise decode_limit_pixels to 2500",
    )
    assert decoded(content, Limits(decode_pixels=2_500)).raster is not None
