"""PNG and APNG: chunks, canonical raster, damage."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from catalog.pixels.structure import NotAnImage, Structure, parse
from catalog.terms import Fidelity, IfdKind, PageRole

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Chunk = tuple[bytes, bytes]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(color: int, depth: int, width: int = 5, height: int = 3, interlace: int = 0) -> Chunk:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)


def samples(color: int, depth: int, width: int = 5, height: int = 3) -> bytes:
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    return bytes(height * (1 + -(-width * bits // 8)))


def png(
    color: int = 0, depth: int = 8, *extra: Chunk, idat: bytes | None = None, after: bytes = b""
) -> bytes:
    stream = zlib.compress(samples(color, depth)) if idat is None else idat
    chunks = [header(color, depth), *extra, (b"IDAT", stream), (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(*one) for one in chunks) + after


PALETTE: Chunk = (b"PLTE", bytes(range(12)))


@pytest.mark.parametrize(
    ("color", "depth", "extra", "expected"),
    [
        (0, 1, (), ("gray", "u8", 1)),
        (0, 2, (), ("gray", "u8", 1)),
        (0, 4, (), ("gray", "u8", 1)),
        (0, 8, (), ("gray", "u8", 1)),
        (0, 16, (), ("gray", "u16", 1)),
        (0, 8, ((b"tRNS", b"\0\7"),), ("graya", "u8", 2)),
        (0, 16, ((b"tRNS", b"\1\7"),), ("graya", "u16", 2)),
        (2, 8, (), ("rgb", "u8", 3)),
        (2, 16, (), ("rgb", "u16", 3)),
        (2, 8, ((b"tRNS", bytes(6)),), ("rgba", "u8", 4)),
        (3, 1, (PALETTE,), ("rgb", "u8", 3)),
        (3, 8, (PALETTE,), ("rgb", "u8", 3)),
        (3, 4, (PALETTE, (b"tRNS", b"\x80")), ("rgba", "u8", 4)),
        (4, 8, (), ("graya", "u8", 2)),
        (4, 16, (), ("graya", "u16", 2)),
        (6, 8, (), ("rgba", "u8", 4)),
        (6, 16, (), ("rgba", "u16", 4)),
        (6, 8, ((b"tRNS", bytes(6)),), ("rgba", "u8", 4)),
    ],
)
def test_color_type_decides_the_canonical_raster(
    color: int, depth: int, extra: tuple[Chunk, ...], expected: tuple[str, str, int]
) -> None:
    structure = parse(png(color, depth, *extra))
    (frame,) = structure.frames
    assert (frame.model, frame.dtype, frame.channels) == expected
    assert (frame.width, frame.height, frame.fidelity) == (5, 3, Fidelity.EXACT)
    assert structure.defects == ()
    assert structure.detail["color_type"] == color
    assert structure.detail["bit_depth"] == depth


@pytest.mark.parametrize(
    ("color", "depth", "words"),
    [(1, 8, "no color type 1"), (9, 8, "no color type 9"), (2, 4, "with 4 bits"), (3, 16, "with 16 bits")],
)
def test_impossible_headers_are_no_image(color: int, depth: int, words: str) -> None:
    content = SIGNATURE + chunk(*header(color, depth)) + chunk(b"IEND", b"")
    with pytest.raises(NotAnImage, match=words) as caught:
        parse(content)
    assert caught.value.claims == "PNG"


def test_damaged_signatures_are_told_from_strangers() -> None:
    content = png()
    for damaged in (content.replace(b"\r\n", b"\n", 1), b"\x09" + content[1:]):
        with pytest.raises(NotAnImage, match="the PNG signature is damaged") as caught:
            parse(damaged)
        assert caught.value.claims == "PNG"


def test_wrong_checksums_are_damage_where_they_guard_samples() -> None:
    content = png(0, 8, (b"tEXt", b"Title\0words"))
    at = content.index(b"IDAT") + 6
    flipped = bytearray(content)
    flipped[at] ^= 0xFF
    structure = parse(bytes(flipped))
    assert structure.defects == (f"chunk IDAT at byte {content.index(b'IDAT') - 4} has a wrong CRC",)
    assert structure.payload is None
    words = bytearray(content)
    words[content.index(b"words")] ^= 0xFF
    structure = parse(bytes(words))
    assert structure.defects == ()
    assert structure.detail["notes"] == (f"chunk tEXt at byte {content.index(b'tEXt') - 4} has a wrong CRC",)


def broken_streams() -> list[tuple[bytes, str]]:
    whole = zlib.compress(samples(0, 8))
    adler = bytearray(whole)
    adler[-1] ^= 0xFF
    return [
        (bytes(adler), "incorrect data check"),
        (whole[:-4], "without the end of its zlib stream"),
        (zlib.compress(samples(0, 8)[:-1]), "too short: 17 of 18 bytes"),
        (b"\xff" * 20, "broken"),
    ]


@pytest.mark.parametrize(("stream", "words"), broken_streams())
def test_the_zlib_stream_is_checked_behind_right_crcs(stream: bytes, words: str) -> None:
    (defect,) = parse(png(idat=stream)).defects
    assert words in defect
    assert parse(png(idat=stream), checksums=False).defects == ()


@pytest.mark.parametrize("depth", [1, 8, 16])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 5), (8, 9), (33, 17)])
def test_adam7_streams_are_as_long_as_libpng_makes_them(depth: int, size: tuple[int, int]) -> None:
    from catalog.pixels.png import raw_bytes

    passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]
    total = 0
    for left, top, across, down in passes:
        columns, rows = len(range(left, size[0], across)), len(range(top, size[1], down))
        total += rows * (1 + (columns * depth + 7) // 8) if columns else 0
    assert raw_bytes(*size, depth, True) == total


def test_interlaced_files_are_whole() -> None:
    whole = zlib.compress(bytes(1000))
    content = SIGNATURE + b"".join(
        (chunk(*header(0, 8, 9, 9, interlace=1)), chunk(b"IDAT", whole), chunk(b"IEND", b""))
    )
    structure = parse(content)
    assert structure.layout.interlaced is True
    assert structure.defects == ()


@pytest.mark.parametrize("cut", [1, 12, 13, 20])
def test_truncation_is_damage(cut: int) -> None:
    defects = parse(png()[:-cut]).defects
    assert any("truncated" in defect for defect in defects)


def test_missing_parts_are_damage() -> None:
    bare = SIGNATURE + chunk(*header(3, 8)) + chunk(b"IEND", b"")
    assert parse(bare).defects == ("no image data (IDAT)", "no palette (PLTE)")


def test_bytes_after_the_end_are_a_note() -> None:
    structure = parse(png(after=b"appended"))
    assert structure.defects == ()
    assert structure.detail["notes"] == ("8 bytes after the end chunk",)
    assert structure.payload == parse(png()).payload


def test_unknown_critical_chunks_are_damage() -> None:
    assert parse(png(0, 8, (b"CgBI", b"\x50\0\x20\6"))).defects == ("unknown critical chunk CgBI",)


def test_exif_and_icc_are_read() -> None:
    exif = Image.Exif()
    exif[274] = 6
    exif[270] = "a description"
    profile = b"profile" * 100
    stream = io.BytesIO()
    Image.new("L", (3, 2)).save(stream, "PNG", exif=exif, icc_profile=profile)
    structure = parse(stream.getvalue())
    assert structure.orientation == 6
    assert structure.icc == profile
    assert [ifd.kind for ifd in structure.ifds] == [IfdKind.PAGE]
    assert {tag.name: tag.value for tag in structure.ifds[0].tags}["ImageDescription"] == ["a description"]


def test_a_profile_that_explodes_is_left_alone() -> None:
    bomb = zlib.compress(bytes(100_000_000), 9)
    structure = parse(png(0, 8, (b"iCCP", b"name\0\0" + bomb)))
    assert structure.icc is None
    assert structure.detail["notes"] == ("ICC profile: broken or too large",)


def animated(default_image: bool = False, mode: str = "RGB") -> Structure:
    stream = io.BytesIO()
    images = [Image.new(mode, (6, 4), color) for color in ("red", "green", "blue")]
    images[0].save(
        stream, "PNG", save_all=True, append_images=images[1:], duration=50, default_image=default_image
    )
    return parse(stream.getvalue())


def test_animation_frames_are_composited_rgba() -> None:
    structure = animated()
    assert [(frame.role, frame.model, frame.dtype) for frame in structure.frames] == [
        (PageRole.FRAME, "rgba", "u8")
    ] * 3
    hidden = animated(default_image=True)
    assert [(frame.role, frame.model) for frame in hidden.frames] == [
        (PageRole.PAGE, "rgb"),
        (PageRole.FRAME, "rgba"),
        (PageRole.FRAME, "rgba"),
    ]
    assert hidden.defects == ()
    assert hidden.payload is not None


def test_announced_frames_are_not_believed() -> None:
    control = b"fcTL", bytes(4) + struct.pack(">II", 5, 3) + bytes(14)
    structure = parse(png(0, 8, (b"acTL", struct.pack(">II", 0xFFFFFFFF, 0)), control))
    assert len(structure.frames) == 1
    assert structure.frames[0].model == "gray"


@pytest.mark.parametrize("name", [b"tRNS", b"fcTL", b"acTL"])
def test_a_chunk_whose_name_lost_a_bit_is_damage(name: bytes) -> None:
    """Under the new name nobody looks for it: without the CRC the picture would lose its alpha unnoticed."""
    content = png(0, 8, (name, bytes(26)[: 2 if name == b"tRNS" else 26]))
    at = content.index(name)
    for place in range(4):
        broken = bytearray(content)
        broken[at + place] ^= 0x20
        structure = parse(bytes(broken))
        assert f"byte {at - 4} has a wrong CRC" in structure.defects[0]


def test_an_unknown_chunk_with_a_right_checksum_is_no_damage() -> None:
    assert parse(png(0, 8, (b"prVt", b"anything"))).defects == ()
