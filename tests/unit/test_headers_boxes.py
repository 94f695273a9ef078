"""Headers of AVIF, HEIF and JPEG 2000: size, depth, model and turn as the file says them, whatever it says."""

from __future__ import annotations

import random
import sys
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

import catalog.pixels
from catalog.pixels.analyse import analyse
from catalog.pixels.boxes import Fields, boxes
from catalog.pixels.heif_raster import MISSING
from catalog.pixels.structure import NotAnImage, Structure, parse
from catalog.terms import Fidelity, Limits

HEIC = (Path(catalog.pixels.__file__).parent / "canaries" / "lossy.heic").read_bytes()
WIDTH, HEIGHT = 47, 39


def picture(mode: str = "RGB") -> Image.Image:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    array = np.stack([rows * 5, columns * 3, rows * columns], axis=2).astype(np.uint8)
    image = Image.fromarray(array).convert(mode)
    if mode.endswith("A"):  # libavif leaves an opaque channel out
        image.putalpha(Image.linear_gradient("L").resize((WIDTH, HEIGHT)))
    return image


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def turned(form: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return saved(picture(), form, exif=exif.tobytes())


def told(found: Structure) -> tuple[Any, ...]:
    (frame,) = found.frames
    return found.format, frame.width, frame.height, frame.model, frame.dtype, frame.channels


# -------------------------------------------------------------------------------------------------- boxes


def test_boxes_stay_inside_their_view() -> None:
    view = memoryview(
        b"\0\0\0\x0aabcdXY" + b"\0\0\0\x01wide" + (20).to_bytes(8, "big") + b"1234" + b"\0\0\0\0restZ"
    )
    found = [(box.kind, bytes(box.body), box.whole) for box in boxes(view)]
    assert found == [(b"abcd", b"XY", True), (b"wide", b"1234", True), (b"rest", b"Z", True)]
    (cut,) = boxes(memoryview(b"\xff\xff\xff\xffhugebody"))
    assert (bytes(cut.body), cut.whole, cut.end) == (b"body", False, 12)
    assert list(boxes(memoryview(b"\0\0\0\x04tiny"))) == []
    assert list(boxes(memoryview(b"short"))) == []


def test_numbers_end_with_their_box() -> None:
    fields = Fields(memoryview(b"\1\2\3\4\5"))
    assert (fields.version(), fields.number(0), bytes(fields.rest)) == ((1, 0x020304), 0, b"\5")
    with pytest.raises(IndexError):
        fields.number(2)
    with pytest.raises(IndexError):
        fields.take(2)


# --------------------------------------------------------------------------------------------------- AVIF


@pytest.mark.parametrize(("mode", "model", "channels"), [("RGB", "rgb", 3), ("RGBA", "rgba", 4)])
def test_avif_tells_its_model(mode: str, model: str, channels: int) -> None:
    assert told(parse(saved(picture(mode), "AVIF"))) == ("AVIF", WIDTH, HEIGHT, model, "u8", channels)


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_tells_its_depth(bits: int) -> None:
    array = np.asarray(picture()).astype(np.uint16) * (1 << bits - 8)
    found = parse(bytes(imagecodecs.avif_encode(array, bitspersample=bits)))
    assert told(found) == ("AVIF", WIDTH, HEIGHT, "rgb", f"u{bits}", 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_tells_its_turn_and_its_samples_are_stored_ones(orientation: int) -> None:
    content = turned("AVIF", orientation)
    found = parse(content)
    assert (found.orientation, found.frames[0].width, found.layout.compression) == (orientation, WIDTH, "AV1")
    upright = analyse(turned("AVIF", 1), limits=Limits())
    here = analyse(content, limits=Limits())
    assert (here.fidelity, here.pixels) == (Fidelity.DECODER, upright.pixels)
    assert (here.view == upright.view) is (orientation == 1)


def test_a_mirror_before_the_turn_is_shown_otherwise_by_some() -> None:
    """The decoder of AVIF turns first, readers of HEIF go by the order: neither may be called the other's equal."""
    content = turned("AVIF", 5)
    irot, imir = content.index(b"\0\0\0\x09irot"), content.index(b"\0\0\0\x09imir")
    assert parse(content).frames[0].fidelity is Fidelity.DECODER
    first, last = sorted((irot, imir))
    swapped = content[:first] + content[last : last + 9] + content[first + 9 : last]
    swapped += content[first : first + 9] + content[last + 9 :]
    frame = parse(swapped).frames[0]
    assert frame.fidelity is Fidelity.UNVERIFIED
    assert "mirrored before" in (frame.fidelity_reason or "")


def test_avif_keeps_its_profile_and_exif() -> None:
    exif = Image.Exif()
    exif[271] = "a camera"
    profile = bytes(128)
    found = parse(saved(picture(), "AVIF", exif=exif.tobytes(), icc_profile=profile))
    assert [tag.value for tag in found.ifds[0].tags if tag.code == 271] == [["a camera"]]
    assert found.icc == profile


# --------------------------------------------------------------------------------------------- JPEG 2000


@pytest.mark.parametrize(
    ("mode", "model", "channels"),
    [("L", "gray", 1), ("LA", "graya", 2), ("RGB", "rgb", 3), ("RGBA", "rgba", 4)],
)
def test_jpeg_2000_tells_its_model(mode: str, model: str, channels: int) -> None:
    content = saved(picture(mode), "JPEG2000")
    assert told(parse(content)) == ("JPEG2000", WIDTH, HEIGHT, model, "u8", channels)
    found = analyse(content, limits=Limits())
    assert (found.fidelity, found.pixels is None) == (Fidelity.DECODER, False)
    # Reversible: the samples are those that were written, and the PNG of them is its duplicate.
    assert found.pixels == analyse(saved(picture(mode), "PNG"), limits=Limits()).pixels


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_jpeg_2000_tells_its_depth(bits: int) -> None:
    array = np.asarray(picture("L")).astype(np.uint16) * (1 << bits - 8)
    content = bytes(imagecodecs.jpeg2k_encode(array, bitspersample=bits, reversible=True))
    assert told(parse(content))[3:] == ("gray", f"u{bits}", 1)
    assert analyse(content, limits=Limits()).fidelity is Fidelity.DECODER


def test_a_bare_codestream_is_read_too() -> None:
    content = saved(picture(), "JPEG2000", no_jp2=True)
    found = parse(content)
    assert told(found) == ("JPEG2000", WIDTH, HEIGHT, "rgb", "u8", 3)
    assert found.layout.container == "JPEG 2000 codestream"
    four = saved(picture("RGBA"), "JPEG2000", no_jp2=True)  # nobody says what the fourth component is
    assert (parse(four).frames[0].model, parse(four).frames[0].fidelity) == ("rgb+1", Fidelity.UNVERIFIED)


def tile_parts(stream: bytes) -> list[tuple[int, int]]:
    """(begin, end) of each."""
    found, at = [], stream.index(b"\xff\x90")
    while stream[at : at + 2] == b"\xff\x90":
        size = int.from_bytes(stream[at + 6 : at + 10], "big")
        found.append((at, at + size))
        at += size
    return found


@pytest.mark.parametrize("options", [{}, {"offset": (10, 12), "tile_offset": (8, 9)}])
def test_a_tile_that_is_not_there_makes_no_sound_picture(options: dict[str, Any]) -> None:
    """OpenJPEG delivers gray for it and says nothing: files that lost the same tile would be equal."""
    whole = saved(picture(), "JPEG2000", no_jp2=True, tile_size=(32, 32), **options)
    parts = tile_parts(whole)
    assert parse(whole).defects == ()
    assert len(parts) == 4
    for begin, end in (parts[1], parts[-1]):
        found = analyse(whole[:begin] + whole[end:], limits=Limits())
        assert not found.fidelity.sound
        assert "1 of 4 tiles not there" in (found.reason or "")
    begin, end = parts[-1]
    assert "beyond the end" in parse(whole[: end - 9] + b"\xff\xd9").defects[0]
    assert "no tile begins" in parse(whole[:end] + b"more" + whole[end:]).defects[0]
    declared = whole[: begin + 11] + b"\2" + whole[begin + 12 :]  # TNsot: the tile has two parts
    assert parse(declared).defects == ("parts of 1 tile not there",)
    unsized = whole[: begin + 6] + b"\0\0\0\0" + whole[begin + 10 :]  # Psot: up to the end
    assert parse(unsized).defects == ()


def test_lossy_and_reversible_are_told_apart() -> None:
    assert parse(saved(picture(), "JPEG2000")).layout.compression == "JPEG 2000 reversible"
    lossy = saved(picture(), "JPEG2000", irreversible=True, quality_layers=[20])
    assert parse(lossy).layout.compression == "JPEG 2000"


# ---------------------------------------------------------------------------------------------------- HEIF


def test_heif_tells_its_size_without_any_decoder() -> None:
    found = parse(HEIC)
    assert told(found) == ("HEIF", WIDTH, HEIGHT, "rgb", "u8", 3)
    assert (found.layout.compression, found.orientation, found.defects) == ("HEVC", 1, ())


def test_without_the_extra_the_reason_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed, where it is
    found = analyse(HEIC, limits=Limits())
    assert (found.fidelity, found.reason, found.pixels) == (Fidelity.UNDECODABLE, MISSING, None)
    assert found.image is not None
    assert found.image.width == WIDTH


@pytest.mark.parametrize("orientation", range(1, 9))
def test_with_the_extra_heif_is_decoded_in_stored_order(orientation: int) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    heif.register_heif_opener()
    content = turned("HEIF", orientation)
    here, upright = (analyse(each, limits=Limits()) for each in (content, turned("HEIF", 1)))
    assert (here.fidelity, here.image and here.image.orientation) == (Fidelity.DECODER, orientation), (
        here.reason
    )
    assert here.pixels == upright.pixels
    assert (here.view == upright.view) is (orientation == 1)


# ----------------------------------------------------------------------------------------------- hostility

FILES = {
    "AVIF": lambda: saved(picture("RGBA"), "AVIF"),
    "JPEG2000": lambda: saved(picture(), "JPEG2000"),
    "HEIF": lambda: HEIC,
}


@pytest.mark.parametrize("form", FILES)
def test_a_file_that_was_cut_off_is_damaged_or_no_image(form: str) -> None:
    content = FILES[form]()
    for length in (30, 100, 250, len(content) // 2, len(content) - 1):
        try:
            found = parse(content[:length])
        except NotAnImage as error:
            assert str(error)
            continue
        assert any("truncated" in defect for defect in found.defects), length
        assert not analyse(content[:length], limits=Limits()).fidelity.sound


@pytest.mark.parametrize("form", FILES)
def test_hostile_counts_and_lengths_cost_nothing_and_raise_nothing_else(form: str) -> None:
    content = FILES[form]()
    dice = random.Random(7)
    for _ in range(400):
        broken = bytearray(content)
        for _ in range(dice.randrange(1, 5)):
            at = dice.randrange(min(len(broken), 600))
            broken[at : at + 4] = dice.choice(
                [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\1", dice.randbytes(4)]
            )
        try:
            found = parse(bytes(broken))
        except NotAnImage:
            continue
        (frame,) = found.frames
        assert frame.width > 0 and frame.height > 0 and frame.channels > 0


def full_box(kind: bytes, body: bytes, version: int = 0) -> bytes:
    return (12 + len(body)).to_bytes(4, "big") + kind + bytes([version, 0, 0, 0]) + body


def grid_of_one_item(tiles: int, places: bytes) -> bytes:
    """An AVIF whose picture is a grid that names its only tile many times; ``places`` is its iloc."""
    pair = (1).to_bytes(2, "big"), (2).to_bytes(2, "big")
    items = full_box(b"infe", pair[0] + b"\0\0grid\0", 2) + full_box(b"infe", pair[1] + b"\0\0av01\0", 2)
    named = pair[0] + tiles.to_bytes(2, "big") + pair[1] * tiles
    extent = full_box(b"ispe", (64).to_bytes(4, "big") * 2)
    properties = (8 + len(extent)).to_bytes(4, "big") + b"ipco" + extent
    properties += full_box(b"ipma", (1).to_bytes(4, "big") + pair[0] + b"\1\1")
    meta = full_box(b"pitm", pair[0]) + full_box(b"iinf", pair[1] + items)
    meta += full_box(b"iref", (8 + len(named)).to_bytes(4, "big") + b"dimg" + named)
    meta += (8 + len(properties)).to_bytes(4, "big") + b"iprp" + properties + full_box(b"iloc", places)
    return b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + full_box(b"meta", meta)


def test_a_tile_that_is_named_often_is_looked_at_once() -> None:
    extents = 500
    places = b"\x44\0\0\1\0\2\0\0" + extents.to_bytes(2, "big") + b"\xff\xff\xff\xf0\0\0\0\x64" * extents
    found = parse(grid_of_one_item(4000, places))
    assert len(found.defects) == 1  # of two million places beyond the end the farthest is told
    assert "the file has" in found.defects[0]


def test_extents_without_a_size_are_not_counted_out() -> None:
    """Their number costs the file two bytes, and cost us an entry each."""
    tracemalloc.start()
    try:
        items = 1500
        each = b"".join(number.to_bytes(2, "big") + b"\0\0\xff\xff" for number in range(items))
        parse(grid_of_one_item(1, b"\0\0" + items.to_bytes(2, "big") + each))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
