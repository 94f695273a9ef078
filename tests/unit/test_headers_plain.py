"""BMP and Netpbm headers."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from catalog.pixels.structure import Frame, NotAnImage, parse
from catalog.terms import Fidelity

EXACT, DECODER, UNVERIFIED = Fidelity.EXACT, Fidelity.DECODER, Fidelity.UNVERIFIED


def bmp(
    bits: int,
    *,
    size: int = 40,
    compression: int = 0,
    masks: tuple[int, ...] = (),
    width: int = 5,
    height: int = 3,
    pixels: bytes | None = None,
) -> bytes:
    header = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    if size == 12:
        header = struct.pack("<IHHHH", size, width, height, 1, bits)
    following = struct.pack(f"<{len(masks)}I", *masks)
    header += following.ljust(max(size - 40, len(following) if size == 40 else 0), b"\0")
    if bits <= 8:
        header += bytes((3 if size == 12 else 4) << bits)
    stride = (width * bits + 31) // 32 * 4
    body = bytes(stride * abs(height)) if pixels is None else pixels
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(body), 0, 0, 14 + len(header)) + header + body


RGBA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (bmp(1), ("rgb", 3, EXACT)),
        (bmp(4), ("rgb", 3, EXACT)),
        (bmp(8), ("rgb", 3, EXACT)),
        (bmp(8, size=12), ("rgb", 3, EXACT)),
        (bmp(24), ("rgb", 3, EXACT)),
        (bmp(24, size=12), ("rgb", 3, EXACT)),
        (bmp(32), ("rgb", 3, EXACT)),
        (bmp(32, compression=3, masks=RGBA[:3]), ("rgb", 3, EXACT)),
        (bmp(32, size=108, compression=3, masks=RGBA), ("rgba", 4, EXACT)),
        (bmp(32, size=124, compression=3, masks=RGBA), ("rgba", 4, EXACT)),
        (bmp(32, size=56, compression=3, masks=(*RGBA[:3], 0)), ("rgb", 3, EXACT)),
        (bmp(32, size=108, masks=RGBA), ("rgb", 3, EXACT)),
        (bmp(16), ("rgb", 3, DECODER)),
        (bmp(16, compression=3, masks=(0xF800, 0x7E0, 0x1F)), ("rgb", 3, DECODER)),
        (bmp(32, compression=3, masks=(0x3FF00000, 0xFFC00, 0x3FF)), ("rgb", 3, UNVERIFIED)),
        (bmp(32, size=56, compression=3, masks=(0, 0, 0, 0)), ("rgb", 3, UNVERIFIED)),
        (bmp(24, height=-3), ("rgb", 3, EXACT)),
        (bmp(8, compression=1, pixels=b"\5\0\0\0\5\0\0\0\5\0\0\1"), ("rgb", 3, EXACT)),
        (bmp(4, compression=2, pixels=b"\5\0\0\0\5\0\0\0\5\0\0\1"), ("rgb", 3, EXACT)),
    ],
)
def test_bmp_header_decides_the_canonical_raster(content: bytes, expected: tuple[str, int, Fidelity]) -> None:
    structure = parse(content)
    (frame,) = structure.frames
    assert (frame.model, frame.channels, frame.fidelity) == expected
    assert (frame.width, frame.height, frame.dtype) == (5, 3, "u8")
    assert structure.defects == ()
    assert structure.payload is not None


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bmp_alpha_is_what_pillow_reads_back(mode: str) -> None:
    stream = io.BytesIO()
    Image.new(mode, (5, 3)).save(stream, "BMP")
    found = parse(stream.getvalue()).frames[0].model
    stream.seek(0)
    assert found == ("rgba" if Image.open(stream).mode == "RGBA" else "rgb")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bmp(24)[:-1], "truncated: 47 of 48 bytes of samples"),
        (bmp(8, compression=1, pixels=b"\5\0\0\0\5\0"), "no end of the run-length data"),
        (bmp(8, compression=1, pixels=b""), "truncated: the samples are at byte"),
    ],
)
def test_bmp_truncation_is_damage(content: bytes, words: str) -> None:
    structure = parse(content)
    assert any(words in defect for defect in structure.defects)
    assert structure.payload is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bmp(24, width=0), "0 x 3"),
        (bmp(7), "7 bits"),
        (bmp(24, compression=9), "unknown compression 9"),
        (bmp(24)[:30], "truncated"),
    ],
)
def test_bmp_without_sense_is_no_image(content: bytes, words: str) -> None:
    with pytest.raises(NotAnImage, match=words) as caught:
        parse(content)
    assert caught.value.claims == "BMP"


# ------------------------------------------------------------------------------------------------- Netpbm


def frame(content: bytes) -> Frame:
    structure = parse(content)
    assert structure.format == "PPM"
    return structure.frames[0]


@pytest.mark.parametrize(
    ("head", "raster", "expected"),
    [
        (b"P4\n9 2\n", 4, ("gray", "u8", 1, EXACT)),
        (b"P5 3 2 255\n", 6, ("gray", "u8", 1, EXACT)),
        (b"P5\n# a comment\n3 2 # another\n1023\n", 12, ("gray", "u10", 1, EXACT)),
        (b"P5 3 2 65535 ", 12, ("gray", "u16", 1, EXACT)),
        (b"P5 3 2 15\n", 6, ("gray", "u8", 1, EXACT)),
        (b"P5 3 2 7\n", 6, ("gray", "u3", 1, EXACT)),
        (b"P5 3 2 100\n", 6, ("gray", "u7", 1, UNVERIFIED)),
        (b"P6 3 2 255\n", 18, ("rgb", "u8", 3, EXACT)),
        (b"P6 3 2 65535\n", 36, ("rgb", "u16", 3, EXACT)),
        (b"Pf 3 2 -1.0\n", 24, ("gray", "f32", 1, EXACT)),
        (b"PF 3 2 1.0\n", 72, ("rgb", "f32", 3, EXACT)),
        (
            b"P7\nWIDTH 3\nHEIGHT 2\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n",
            24,
            ("rgba", "u8", 4, EXACT),
        ),
        (b"P7\nWIDTH 3\nHEIGHT 2\nDEPTH 5\nMAXVAL 255\nENDHDR\n", 30, ("ink5", "u8", 5, UNVERIFIED)),
    ],
)
def test_netpbm_header_decides_the_canonical_raster(
    head: bytes, raster: int, expected: tuple[str, str, int, Fidelity]
) -> None:
    found = frame(head + bytes(raster))
    assert (found.model, found.dtype, found.channels, found.fidelity) == expected
    assert found.defects == ()
    short = parse(head + bytes(raster - 1))
    assert short.defects == (f"truncated: {raster - 1} of {raster} bytes of samples",)
    assert parse(head + bytes(raster + 5)).detail["notes"] == ("5 bytes after the first image",)


def test_plain_netpbm_is_layout() -> None:
    plain, binary = parse(b"P2 2 1 255\n7 9\n"), parse(b"P5 2 1 255\n\7\x09")
    assert (plain.layout.container, plain.layout.compression) == ("PGM", "plain text")
    assert binary.layout.compression == "none"
    assert plain.frames[0].dtype == binary.frames[0].dtype


@pytest.mark.parametrize(
    "content",
    [b"P5\n3", b"P5\nx y z\n", b"P5 0 3 255\n", b"P5 3 3 70000\n", b"P7\nWIDTH 3\n", b"P7\nENDHDR\n"],
)
def test_netpbm_without_sense_is_no_image(content: bytes) -> None:
    with pytest.raises(NotAnImage) as caught:
        parse(content)
    assert caught.value.claims == "PPM"
