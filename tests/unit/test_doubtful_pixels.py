"""Files that a decoder reads without a word, and that other readers take for another picture."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from catalog.pixels.analyse import analyse
from catalog.pixels.raster import decode_frames
from catalog.pixels.structure import parse
from catalog.terms import Analysis, Fidelity, Limits
from tests.unit.rasters import noise, samples

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def look(content: bytes) -> Analysis:
    return analyse(content, limits=Limits())


# ---------------------------------------------------------------------------------------------- palettes


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(header: tuple[int, ...], *chunks: bytes) -> bytes:
    return b"".join(
        (
            SIGNATURE,
            chunk(b"IHDR", struct.pack(">IIBBBBB", *header)),
            *chunks,
            chunk(b"IEND", b""),
        )
    )


@pytest.mark.parametrize(("largest", "fidelity"), [(2, Fidelity.EXACT), (5, Fidelity.UNVERIFIED)])
def test_a_png_index_beyond_the_palette_proves_nothing(largest: int, fidelity: Fidelity) -> None:
    rows = bytes((0, 0, 1, 2, 0, 1, 0, largest))
    content = png((3, 2, 8, 3, 0, 0, 0), chunk(b"PLTE", bytes(range(9))), chunk(b"IDAT", zlib.compress(rows)))
    found = look(content)
    assert found.fidelity is fidelity
    assert ("index 5 of a palette of 3 colours" in str(found.reason)) is (largest == 5)


def gif_image(*indexes: int, left: int = 0) -> bytes:
    """Indexes of three bits; each stands for itself because the table is cleared before it."""
    codes = [code for index in indexes for code in (8, index)] + [9]
    number = sum(code << 4 * place for place, code in enumerate(codes))
    data = number.to_bytes(-(-len(codes) // 2), "little")
    place = struct.pack("<HHHHB", left, 0, len(indexes), 1, 0)
    return b"," + place + bytes((3, len(data))) + data + b"\0"


@pytest.mark.parametrize("palette", [bytes(range(12)), bytes((0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3))])
def test_a_gif_index_beyond_the_palette_proves_nothing(palette: bytes) -> None:
    """Of gray levels Pillow made gray of it, of colours black."""
    head = b"GIF89a" + struct.pack("<HHBBB", 4, 1, 0x81, 0, 0) + palette
    assert look(head + gif_image(0, 1, 2, 3) + b";").fidelity is Fidelity.EXACT
    found = look(head + gif_image(0, 1, 2, 7) + b";")
    assert found.fidelity is Fidelity.UNVERIFIED
    assert "index 7 of a palette of 4 colours" in str(found.reason)
    later = look(head + gif_image(0, 1, 2, 3) + gif_image(3, 6, left=1) + b";")
    assert later.fidelity is Fidelity.UNVERIFIED
    assert "image 2 of 2: index 6" in str(later.reason)


def test_a_transparent_index_may_stand_behind_the_palette() -> None:
    """Pillow writes it so."""
    head = b"GIF89a" + struct.pack("<HHBBB", 4, 1, 0x81, 0, 0) + bytes(range(12))
    control = b"\x21\xf9\4\1\0\0\4\0"
    assert look(head + control + gif_image(0, 1, 2, 4) + b";").fidelity is Fidelity.EXACT


# -------------------------------------------------------------------------------------------- animations


def zlib_rows(array: np.ndarray) -> bytes:
    big = array.astype(array.dtype.newbyteorder(">"))
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in big))


def animated_png(
    *frames: tuple[bytes, tuple[int, int, int, int], int, int],
    announced: int | None = None,
    depth: int = 8,
    color: int = 6,
) -> bytes:
    """Of 5 x 4 pixels. A frame: its zlib stream, (width, height, left, top), disposal, blending."""
    chunks = [chunk(b"acTL", struct.pack(">II", announced or len(frames), 0))]
    sequence = 0
    for number, (stream, place, disposal, blending) in enumerate(frames):
        control = struct.pack(">IIIIIHHBB", sequence, *place, 1, 10, disposal, blending)
        chunks.append(chunk(b"fcTL", control))
        sequence += 1
        if number:
            chunks.append(chunk(b"fdAT", struct.pack(">I", sequence) + stream))
            sequence += 1
        else:
            chunks.append(chunk(b"IDAT", stream))
    return png((5, 4, depth, color, 0, 0, 0), *chunks)


WHOLE = (5, 4, 0, 0)
FIRST = (zlib_rows(np.arange(80, dtype=np.uint8).reshape(4, 5, 4)), WHOLE, 0, 0)


def frames(content: bytes) -> list[np.ndarray]:
    found = parse(content)
    shown = [decoded for _, decoded in decode_frames(found, content, Limits())]
    assert {each.fidelity for each in shown} == {Fidelity.EXACT}
    return [each.raster.array() for each in shown if each.raster is not None]


def test_a_gif_whose_images_are_cleared_away_proves_nothing() -> None:
    """Pillow leaves other pixels than ImageMagick does, from the second image after it on."""
    head = b"GIF89a" + struct.pack("<HHBBB", 4, 1, 0x82, 0, 0) + bytes(range(24))
    images = gif_image(0, 1, 2, 3), gif_image(4, 5, left=1), gif_image(6, left=2)

    def shown(disposal: int) -> Analysis:
        control = bytes((0x21, 0xF9, 4, disposal << 2, 0, 0, 0, 0))
        return look(head + images[0] + control + images[1] + images[2] + b";")

    assert [shown(disposal).fidelity for disposal in (0, 1)] == [Fidelity.EXACT] * 2
    for disposal in (2, 3):
        found = shown(disposal)
        assert found.fidelity is Fidelity.UNVERIFIED
        assert "image 2 is cleared away" in str(found.reason)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_frames_of_an_animated_png_are_composited_by_its_rules(kind: str) -> None:
    """Pillow cleared to opaque black where there is no alpha channel, and gave 8 bits of 16."""
    full = np.iinfo(kind).max
    below, small, dot = noise((4, 5, 3), kind), noise((2, 3, 3), kind), noise((1, 1, 3), kind)
    content = animated_png(
        (zlib_rows(below), WHOLE, 0, 0),
        (zlib_rows(small), (3, 2, 1, 1), 1, 0),
        (zlib_rows(dot), (1, 1, 4, 3), 2, 1),
        (zlib_rows(dot), (1, 1, 0, 0), 0, 1),
        depth=8 if kind == "u1" else 16,
        color=2,
    )
    first = np.dstack([below, np.full((4, 5), full, kind)])
    second = first.copy()
    second[1:3, 1:4, :3] = small
    cleared = second.copy()
    cleared[1:3, 1:4] = 0
    third, fourth = cleared.copy(), cleared.copy()
    third[3, 4, :3] = fourth[0, 0, :3] = dot[0, 0]
    for shown, expected in zip(frames(content), (first, second, third, fourth), strict=True):
        assert np.array_equal(shown, expected)


def test_half_transparent_pixels_over_others_prove_nothing() -> None:
    """Pillow gave them an alpha of 191 over an opaque ground."""
    ground = np.full((4, 5, 4), 255, np.uint8)
    veil = np.full((4, 5, 4), (200, 100, 50, 128), np.uint8)
    clear = veil * np.array([1, 1, 1, 0], np.uint8)
    below = (zlib_rows(ground), WHOLE, 0, 0)
    assert look(animated_png(below, (zlib_rows(clear), WHOLE, 0, 1))).fidelity is Fidelity.EXACT
    assert look(animated_png(below, (zlib_rows(veil), WHOLE, 0, 0))).fidelity is Fidelity.EXACT
    found = look(animated_png(below, (zlib_rows(veil), WHOLE, 0, 1)))
    assert found.fidelity is Fidelity.UNVERIFIED
    assert "half-transparent" in str(found.reason)


def test_a_frame_of_an_animated_png_that_lost_its_sum_is_damage() -> None:
    whole = zlib.compress(b"".join(b"\0" + bytes(range(9, 29)) for _ in range(4)))
    assert look(animated_png(FIRST, (whole, WHOLE, 0, 0))).fidelity is Fidelity.EXACT
    found = look(animated_png(FIRST, (whole[:-4], WHOLE, 0, 0)))
    assert found.fidelity is Fidelity.DAMAGED
    assert "frame 2 without the end of its zlib stream" in str(found.reason)


def test_an_animated_png_that_lacks_a_frame_is_damage() -> None:
    whole = zlib.compress(b"".join(b"\0" + bytes(range(9, 29)) for _ in range(4)))
    found = look(animated_png(FIRST, (whole, WHOLE, 0, 0), announced=3))
    assert found.fidelity is Fidelity.DAMAGED
    assert "2 frames where 3 are announced" in str(found.reason)


def animated_webp(second: np.ndarray, blending: int) -> bytes:
    def part(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body + bytes(len(body) & 1)

    size = (7).to_bytes(3, "little") * 2
    body = b"WEBP" + part(b"VP8X", struct.pack("<I", 0x12) + size) + part(b"ANIM", bytes(6))
    for array in (np.full((8, 8, 4), 255, np.uint8), second):
        buffer = BytesIO()
        Image.fromarray(array).save(buffer, "WEBP", lossless=True, exact=True)
        stream = buffer.getvalue()
        place = bytes(6) + size + (40).to_bytes(3, "little") + bytes((blending,))
        body += part(b"ANMF", place + stream[stream.index(b"VP8L") :])
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_a_lossless_webp_with_alpha_laid_over_others_depends_on_its_decoder() -> None:
    veil = np.full((8, 8, 4), (200, 100, 50, 128), np.uint8)
    over, instead = 0, 2
    found = look(animated_webp(veil, over))
    assert found.fidelity is Fidelity.DECODER
    assert "rounding depends on the decoder" in str(found.reason)
    assert look(animated_webp(veil, instead)).fidelity is Fidelity.EXACT
    assert look(animated_webp(veil | 255, over)).fidelity is Fidelity.EXACT


# ------------------------------------------------------------------------------------------------ Netpbm


def test_a_comment_behind_the_header_is_not_taken_for_samples() -> None:
    """Netpbm and ImageMagick begin behind it; it was hashed as the picture, and called exact."""
    plain = b"P5\n2 2\n255\n\1\2\3\4"
    found = look(b"P5\n2 2\n255# scanned\n\1\2\3\4")
    assert found.fidelity is Fidelity.UNVERIFIED
    assert found.pixels == look(plain).pixels
    assert np.array_equal(samples(plain), [[[1], [2]], [[3], [4]]])


def test_several_netpbm_images_in_one_file_are_not_the_first_alone() -> None:
    first, second = b"P5\n2 2\n255\n\1\2\3\4", b"P5\n2 2\n255\n\5\6\7\x08"
    assert look(first).fidelity is Fidelity.EXACT
    found = look(first + second)
    assert found.fidelity is Fidelity.UNVERIFIED
    assert "several images" in str(found.reason)


@pytest.mark.parametrize(
    "text", [b"P5\n1_0 2\n255\n" + bytes(20), b"P5\n+2 2\n255\n" + bytes(4), b"P2 2 1 255 1_0 2 "]
)
def test_what_only_python_takes_for_a_number_is_none(text: bytes) -> None:
    assert look(text).fidelity is Fidelity.UNDECODABLE


# -------------------------------------------------------------------------------------------- PostScript


def test_postscript_is_never_run_whatever_the_name_of_the_file() -> None:
    buffer = BytesIO()
    Image.fromarray(noise((8, 8), "u1")).save(buffer, "EPS")
    found = look(buffer.getvalue())
    assert found.fidelity is Fidelity.UNDECODABLE
    assert found.reason == "EPS: a program in PostScript, which is not run"
