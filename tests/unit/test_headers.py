"""JPEG, WebP and GIF headers, Exif blocks, and what the first bytes claim."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from PIL import Image

from catalog.pixels.exif import parse_exif
from catalog.pixels.sniff import sniff
from catalog.pixels.structure import NotAnImage, parse
from catalog.terms import Fidelity, IfdKind, PageRole
from tests.unit.tiff_bytes import build, page


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def picture(mode: str = "RGB") -> Image.Image:
    return Image.effect_noise((33, 21), 60).convert(mode)


# ---------------------------------------------------------------------------------------------------- JPEG


@pytest.mark.parametrize(
    ("mode", "expected", "space"),
    [("L", ("gray", 1), "gray"), ("RGB", ("rgb", 3), "ycbcr"), ("CMYK", ("cmyk", 4), "cmyk")],
)
def test_jpeg_components_decide_the_model(mode: str, expected: tuple[str, int], space: str) -> None:
    structure = parse(saved(picture(mode), "JPEG"))
    (frame,) = structure.frames
    assert (frame.model, frame.channels) == expected
    assert (frame.width, frame.height, frame.dtype) == (33, 21, "u8")
    assert frame.fidelity is Fidelity.DECODER
    assert structure.detail["color_space"] == space
    assert structure.defects == ()


def test_jpeg_colors_follow_the_markers() -> None:
    plain = saved(picture(), "JPEG")
    jfif = plain.index(b"\xff\xe0")
    bare = plain[:jfif] + plain[jfif + 2 + int.from_bytes(plain[jfif + 2 : jfif + 4], "big") :]
    assert parse(bare).detail["color_space"] == "ycbcr"
    for transform, space in ((0, "rgb"), (1, "ycbcr")):
        adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])
        assert parse(bare[:2] + adobe + bare[2:]).detail["color_space"] == space
    sof = bare.index(b"\xff\xc0") + 10
    letters = bytearray(bare)
    letters[sof : sof + 9 : 3] = b"RGB"
    assert parse(bytes(letters)).detail["color_space"] == "rgb"


@pytest.mark.parametrize(
    ("subsampling", "words"), [("4:4:4", "4:4:4"), ("4:2:2", "4:2:2"), ("4:2:0", "4:2:0")]
)
def test_jpeg_subsampling_in_words(subsampling: str, words: str) -> None:
    assert parse(saved(picture(), "JPEG", subsampling=subsampling)).layout.subsampling == words
    assert parse(saved(picture("L"), "JPEG")).layout.subsampling is None


def test_progressive_jpeg_is_interlaced() -> None:
    progressive = parse(saved(picture(), "JPEG", progressive=True))
    assert progressive.layout.interlaced is True
    assert progressive.detail["scans"] > 1
    assert parse(saved(picture(), "JPEG")).layout.interlaced is False


def test_jpeg_without_its_end_is_damage() -> None:
    whole = saved(picture(), "JPEG")
    for cut in (1, 2, 200):
        assert parse(whole[:-cut]).defects == ("truncated: no end marker (EOI)",)
    trailing = parse(whole + b"\0" * 10)
    assert trailing.defects == ()
    assert trailing.detail["notes"] == ("10 bytes after the end marker",)


def test_jpeg_with_stray_bytes_has_no_payload() -> None:
    whole = saved(picture(), "JPEG")
    at = whole.index(b"\xff\xdb")
    structure = parse(whole[:at] + b"stray" + whole[at:])
    assert structure.defects == (f"5 stray bytes between segments at byte {at}",)
    assert structure.payload is None and structure.payload_reason == structure.defects[0]
    filled = parse(whole[:at] + b"\xff\xff\xff" + whole[at:])
    assert filled.defects == () and filled.payload == parse(whole).payload


def test_jpeg_cut_inside_its_header_is_no_image() -> None:
    whole = saved(picture(), "JPEG")
    with pytest.raises(NotAnImage, match="JPEG: truncated") as caught:
        parse(whole[: whole.index(b"\xff\xc0") + 5])
    assert caught.value.claims == "JPEG"


def test_lossless_jpeg_is_exact() -> None:
    whole = bytearray(saved(picture("L"), "JPEG"))
    whole[whole.index(b"\xff\xc0") + 1] = 0xC3
    (frame,) = parse(bytes(whole)).frames
    assert frame.fidelity is Fidelity.EXACT
    assert parse(bytes(whole)).layout.compression == "JPEG lossless"


def test_jpeg_tags_and_profile() -> None:
    exif = Image.Exif()
    exif[274] = 8
    exif.get_ifd(0x8769)[36864] = b"0300"
    exif.get_ifd(0x8825)[1] = "N"
    profile = bytes(range(256)) * 600  # more than one APP2 segment
    structure = parse(saved(picture(), "JPEG", exif=exif, icc_profile=profile))
    assert structure.orientation == 8
    assert structure.icc == profile
    assert {ifd.kind for ifd in structure.ifds} == {IfdKind.PAGE, IfdKind.EXIF, IfdKind.GPS}
    assert len(structure.frames) == 1
    whole = saved(picture(), "JPEG", icc_profile=profile)
    second = whole.index(b"ICC_PROFILE\0\x02")
    torn = parse(whole[: second + 12] + b"\x07" + whole[second + 13 :])
    assert torn.icc is None
    assert torn.detail["notes"] == ("ICC profile: 3 of 3 segments, or some twice",)


# ---------------------------------------------------------------------------------------------------- Exif


def test_exif_thumbnail_is_a_directory_and_no_image() -> None:
    block = build(page(strips=[]), page(strips=[], tags={513: (4, [100]), 514: (4, [20])}))
    for prefix in (b"", b"Exif\0\0"):
        exif = parse_exif(prefix + block)
        assert [ifd.kind for ifd in exif.ifds] == [IfdKind.PAGE, IfdKind.THUMBNAIL]
        assert exif.notes == ()


def test_broken_exif_is_a_note() -> None:
    whole = saved(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\0\0")
    structure = parse(whole)
    assert structure.ifds == ()
    assert structure.orientation == 1
    assert structure.defects == ()
    assert structure.detail["notes"] == ("Exif: truncated: the first directory is at byte 65,535 of 8",)


# ---------------------------------------------------------------------------------------------------- WebP


@pytest.mark.parametrize(
    ("mode", "lossless", "expected"),
    [
        ("RGB", True, ("rgb", 3, Fidelity.EXACT)),
        ("RGBA", True, ("rgba", 4, Fidelity.EXACT)),
        ("RGB", False, ("rgb", 3, Fidelity.DECODER)),
        ("RGBA", False, ("rgba", 4, Fidelity.DECODER)),
    ],
)
def test_webp_kind_and_alpha(mode: str, lossless: bool, expected: tuple[str, int, Fidelity]) -> None:
    image = picture(mode)
    if mode == "RGBA":
        image.putalpha(picture("L"))
    structure = parse(saved(image, "WEBP", lossless=lossless))
    (frame,) = structure.frames
    assert (frame.model, frame.channels, frame.fidelity) == expected
    assert (frame.width, frame.height, frame.dtype) == (33, 21, "u8")
    assert structure.defects == () and structure.detail["notes"] == ()
    assert structure.layout.compression == ("WebP lossless" if lossless else "WebP")


def test_webp_tags_and_profile() -> None:
    exif = Image.Exif()
    exif[274] = 3
    structure = parse(saved(picture(), "WEBP", lossless=True, exif=exif, icc_profile=b"profile"))
    assert (structure.orientation, structure.icc) == (3, b"profile")
    assert structure.frames[0].model == "rgb"


def test_webp_sizes_must_agree() -> None:
    whole = saved(picture(), "WEBP")
    assert any("RIFF says" in defect for defect in parse(whole[:-4]).defects)
    assert parse(whole + b"12345678").detail["notes"] == ("8 bytes after the RIFF container",)
    stated = len(whole) - 8 - 10
    shorter = parse(whole[:4] + struct.pack("<I", stated) + whole[8:])
    assert any("reaches beyond the end" in defect for defect in shorter.defects)


def frames_of(mode: str = "RGB") -> list[Image.Image]:
    return [Image.new(mode, (16, 12), color) for color in ("red", "green", "blue")]


@pytest.mark.parametrize(("lossless", "fidelity"), [(True, Fidelity.EXACT), (False, Fidelity.DECODER)])
def test_animated_webp_has_a_frame_for_each_image(lossless: bool, fidelity: Fidelity) -> None:
    first, *others = frames_of()
    structure = parse(saved(first, "WEBP", save_all=True, append_images=others, lossless=lossless))
    assert [(frame.role, frame.model, frame.fidelity) for frame in structure.frames] == [
        (PageRole.FRAME, "rgba", fidelity)
    ] * 3
    assert structure.defects == ()


# ----------------------------------------------------------------------------------------------------- GIF


def test_gif_is_its_palette_expanded() -> None:
    indexes = Image.frombytes("P", (33, 21), bytes(index % 7 for index in range(33 * 21)))
    indexes.putpalette(range(21))
    structure = parse(saved(indexes, "GIF"))
    (frame,) = structure.frames
    assert (frame.model, frame.dtype, frame.channels, frame.fidelity) == ("rgb", "u8", 3, Fidelity.EXACT)
    assert structure.layout.compression == "LZW"
    clear = parse(saved(indexes, "GIF", transparency=5))
    assert (clear.frames[0].model, clear.frames[0].channels) == ("rgba", 4)
    assert clear.frames[0].role is PageRole.PAGE


def test_gif_interlace_is_layout() -> None:
    assert parse(saved(picture("P"), "GIF", interlace=1)).layout.interlaced is True
    assert parse(saved(picture("P"), "GIF", interlace=0)).layout.interlaced is False


def test_animated_gif_has_a_frame_for_each_image() -> None:
    first, *others = frames_of("P")
    structure = parse(saved(first, "GIF", save_all=True, append_images=others, duration=40))
    assert [(frame.role, frame.model, frame.width) for frame in structure.frames] == [
        (PageRole.FRAME, "rgba", 16)
    ] * len(structure.frames)
    assert len(structure.frames) > 1


def test_gif_truncation_is_damage() -> None:
    whole = saved(picture("P"), "GIF")
    assert parse(whole[:-1]).defects == ("truncated: no trailer",)
    assert any("ends at byte" in defect for defect in parse(whole[:-40]).defects)
    assert parse(whole + b"xyz").detail["notes"] == ("3 bytes after the trailer",)
    with pytest.raises(NotAnImage, match="GIF: truncated"):
        parse(whole[:20])


def test_gif_that_does_not_cover_its_screen_is_unverified() -> None:
    whole = bytearray(saved(picture("P"), "GIF"))
    struct.pack_into("<HH", whole, 6, 40, 30)
    (frame,) = parse(bytes(whole)).frames
    assert (frame.width, frame.height, frame.model) == (40, 30, "rgba")
    assert frame.fidelity is Fidelity.UNVERIFIED


# --------------------------------------------------------------------------------------------------- sniff


@pytest.mark.parametrize(
    "form",
    [
        *("AVIF", "BLP", "BMP", "DDS", "EPS", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "PCX", "PNG"),
        *("PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP", "XBM"),
    ],
)
def test_sniff_knows_what_pillow_writes(form: str) -> None:
    mode = {"BLP": "P", "XBM": "1", "ICNS": "RGBA", "QOI": "RGB"}.get(form, "RGB")
    content = saved(Image.new(mode, (32, 32)), form)
    assert sniff(content) == form
    if form == "TGA":
        assert sniff(content[:-26]) == form  # without its footer
    if form not in ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"):
        with pytest.raises(NotAnImage, match=form) as caught:
            parse(content)
        assert caught.value.format == form


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (bytes(4096), "zero bytes"),
        (b"filename,label\na.tif,3\n" * 50, "text, not an image"),
        (b"\0\0\2\0\0\0\0\0" + bytes(60), "no known image format"),
        (b"\x7fELF\x02\x01\x01" + bytes(100), "no known image format"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp41mp42" + bytes(50), "no known image format"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50), "HEIF: no meta box"),
        (b"BM, the motor works", "text, not an image"),
    ],
)
def test_strangers_are_told_plainly(content: bytes, words: str) -> None:
    with pytest.raises(NotAnImage, match=words) as caught:
        parse(content)
    assert caught.value.format is None


def test_memoryviews_are_as_good_as_bytes() -> None:
    whole = saved(picture(), "PNG")
    assert parse(memoryview(whole)) == parse(whole)
