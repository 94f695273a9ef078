"""The near hash: what leaves it alone, what moves it, and what is told of the distance."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from catalog.drift.near import LARGE, SMALL, distance, near_distance, near_words, nearest, turned
from catalog.pixels.analyse import analyse
from catalog.pixels.digest import oriented
from catalog.pixels.near import near_hash
from catalog.pixels.raster import Raster, storage
from catalog.terms import Analysis, Fidelity, ImageFacts, Limits
from tests.pictures import picture

IMAGE = ImageFacts("TIFF", 124, 64, 1, "rgb", "u8", 3, 1)


def near(image: Any, model: str = "rgb", dtype: str = "u8") -> bytes:
    found = near_hash(Raster.of(model, dtype, np.ascontiguousarray(image)))
    assert found is not None
    return found


def seen(hashed: bytes | None, **more: Any) -> Analysis:
    return Analysis(Fidelity.EXACT, None, b"p" * 32, b"v" * 32, image=IMAGE, near=hashed, **more)


def as_jpeg(image: Any, quality: int) -> Any:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def test_the_hash_is_the_definition_written_out() -> None:
    """64 x 64 means, two-dimensional DCT-II, coefficients 1 to 16 against their median."""
    image = np.asarray(picture(5, 128, 64)).astype(np.float64)
    gray = image @ (0.299, 0.587, 0.114)
    cells = gray.reshape(64, 1, 64, 2).mean(axis=(1, 3))
    cosines = np.cos(np.pi * (2 * np.arange(64) + 1) * np.arange(17)[:, None] / 128)
    bits = (cosines @ cells @ cosines.T)[1:, 1:]
    expected = np.packbits(bits.reshape(-1) > np.median(bits)).tobytes()
    assert distance(near(picture(5, 128, 64)), expected) <= 1  # single precision


def gray_of(image: Any) -> Any:
    return (image @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("model", "dtype", "make"),
    [
        ("gray", "u8", gray_of),
        ("gray", "u16", lambda a: gray_of(a).astype("<u2") * 257),
        ("gray", "i16", lambda a: gray_of(a).astype("<i2") - 128),
        ("gray", "f32", lambda a: (gray_of(a) / 255).astype("<f4")),
        ("rgb", "f64", lambda a: a.astype("<f8") * 1e290),
        ("rgb", "u16", lambda a: a.astype("<u2") * 16),
        ("rgba", "u8", lambda a: np.dstack([a, np.full(a.shape[:2], 255, np.uint8)])),
        ("rgba-premul", "u8", lambda a: np.dstack([a, np.full(a.shape[:2], 255, np.uint8)])),
        ("rgb+1", "u8", lambda a: np.dstack([a, a[:, :, 0]])),
        ("cmyk", "u8", lambda a: np.dstack([255 - a, np.zeros(a.shape[:2], np.uint8)])),
    ],
)
def test_the_same_picture_in_another_model_has_the_same_looks(model: str, dtype: str, make: Any) -> None:
    for number in range(4):
        image = np.asarray(picture(number))
        assert distance(near(image), near(make(image), model, dtype)) <= 4


def test_compression_scale_and_brightness_are_small_changes_and_other_pictures_are_not() -> None:
    hashes = []
    for number in range(8):
        image = picture(number)
        hashes.append(near(image))
        for changed in (
            as_jpeg(image, 75),
            image.resize((248, 128), Image.Resampling.BICUBIC),
            image.resize((62, 32), Image.Resampling.BOX),
            ImageEnhance.Brightness(image).enhance(0.8),
            ImageEnhance.Contrast(image).enhance(0.8),
        ):
            assert distance(hashes[-1], near(changed)) <= SMALL
    others = [distance(a, b) for place, a in enumerate(hashes) for b in hashes[:place]]
    assert min(others) > SMALL


def test_a_large_image_looks_like_its_small_copy() -> None:
    small = picture(3)
    large = small.resize((3000, 1549), Image.Resampling.BICUBIC)
    assert distance(near(small), near(large)) <= SMALL


def test_rows_come_from_strips_as_from_one_piece() -> None:
    image = np.asarray(picture(7, 300, 600))
    strips = [image[top : top + 7].tobytes() for top in range(0, 600, 7)]
    assert near_hash(Raster("rgb", "u8", 300, 600, 3, strips)) == near(image)
    assert near_hash(Raster("rgb", "u8", 300, 600, 3, [image.tobytes()])) == near(image)


@pytest.mark.parametrize("size", [(124, 64), (601, 402)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_hash_is_of_the_picture_as_displayed(size: tuple[int, int], orientation: int) -> None:
    image = np.asarray(picture(4, *size))
    displayed = near(oriented(image, orientation))
    stored = near_hash(Raster.of("rgb", "u8", image), orientation)
    assert stored is not None and distance(stored, displayed) <= 2
    assert distance(turned(near(image), orientation), displayed) <= SMALL


def test_blank_pictures_and_stripes_have_none() -> None:
    assert near_hash(Raster.of("gray", "u8", np.full((50, 60), 77, np.uint8))) is None
    stripes = np.repeat(np.arange(60, dtype=np.uint8)[None, :] * 4, 50, axis=0)
    assert near_hash(Raster.of("gray", "u8", stripes)) is None
    assert near_hash(Raster.of("gray", "f32", np.full((50, 60), np.nan, np.float32))) is None
    assert near_hash(Raster.of("gray", "u8", np.full((1, 1), 9, np.uint8))) is None


def test_an_analysis_carries_the_hash_of_its_first_image() -> None:
    first, second = io.BytesIO(), io.BytesIO()
    picture(1).save(first, "TIFF")
    picture(1).save(second, "TIFF", save_all=True, append_images=[picture(2)])
    one = analyse(first.getvalue(), limits=Limits())
    two = analyse(second.getvalue(), limits=Limits())
    assert one.near == two.near == near(picture(1))
    assert analyse(b"nothing", limits=Limits()).near is None


def test_words_follow_the_distance() -> None:
    zero = bytes(32)

    def words(bits: int) -> str:
        return near_words(seen(zero), seen((((1 << bits) - 1) << (256 - bits)).to_bytes(32)))[0]

    assert words(0) == "near distance 0 of 256: no change that shows from afar"
    assert words(SMALL) == "near distance 24 of 256: a small change"
    assert words(SMALL + 1) == "near distance 25 of 256: a clear change, or a similar picture"
    assert words(LARGE + 1) == "near distance 97 of 256: another picture by its looks, or a crop"


def test_a_turn_is_named_only_when_it_explains_the_change() -> None:
    one = near(picture(1))
    other = near(picture(2))
    for orientation in range(2, 9):
        assert nearest(one, turned(one, orientation)) == (0, orientation)
    assert nearest(one, other) == (distance(one, other), 1)
    rotated = seen(turned(one, 6))
    assert near_words(seen(one), rotated) == [
        "looks like the old picture rotated 90° clockwise: near distance 0 of 256 once turned"
    ]


def test_nothing_is_said_where_nothing_is_known() -> None:
    pages = dataclasses.replace(seen(bytes(32)), image=dataclasses.replace(IMAGE, frames=2))
    for old, new in (
        (None, seen(bytes(32))),
        (seen(None), seen(bytes(32))),
        (seen(bytes(32)), pages),
        (seen(bytes(32)), Analysis(Fidelity.UNDECODABLE, "cut")),
    ):
        assert near_words(old, new) == []
        assert near_distance(old, new) is None
    assert near_words(seen(bytes(32)), seen(None)) == [
        "from afar there is nothing to see any more: blank, or stripes"
    ]


MODELS = {
    "gray": 1,
    "graya": 2,
    "graya-premul": 2,
    "rgb": 3,
    "rgba": 4,
    "rgba-premul": 4,
    "rgb+1": 4,
    "cmyk": 4,
}
MODELS |= {
    "cmyka": 5,
    "lab": 3,
    "laba": 4,
    "ycbcr": 3,
    "ycbcra-premul": 4,
    "cfa": 1,
    "ink1": 1,
    "ink5": 5,
    "gray+2": 3,
}


@pytest.mark.parametrize("dtype", ["u8", "u10", "u16", "u32", "u64", "i8", "i16", "f16", "f32", "f64"])
@pytest.mark.parametrize("model", MODELS)
def test_any_raster_has_a_hash_or_none_and_no_warning(model: str, dtype: str) -> None:
    """A warning would be taken for a decoder's complaint about the file."""
    random = np.random.default_rng(5)
    kind = np.dtype(storage(dtype))
    for height, width in ((1, 1), (1, 300), (200, 1), (64, 64), (191, 193)):
        content = random.bytes(height * width * MODELS[model] * kind.itemsize)
        array = np.frombuffer(content, kind).reshape(height, width, MODELS[model])
        for samples in (array, np.zeros_like(array)):
            found = near_hash(Raster.of(model, dtype, samples), 6)
            assert found is None or len(found) == 32
