"""Sample differences between two files."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from catalog.pixels.difference import SampleDifference, difference, difference_picture
from catalog.terms import Limits

RNG = np.random.default_rng(3)


def tiff(array: np.ndarray, **options: Any) -> bytes:
    buffer = BytesIO()
    photometric = "rgb" if array.ndim == 3 and array.shape[2] == 3 else "minisblack"
    tifffile.imwrite(buffer, array, **({"photometric": photometric, "metadata": None} | options))
    return buffer.getvalue()


def png(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def compared(one: bytes, other: bytes) -> SampleDifference:
    found, reason = difference(one, other, Limits())
    assert reason is None
    assert found is not None
    return found


def test_equal_samples_in_two_containers_do_not_differ() -> None:
    array = noise(20, 30, 3)
    assert compared(tiff(array), png(array)) == SampleDifference(0, 1800, 0, None)


def test_differing_samples_are_counted_boxed_and_measured() -> None:
    one = noise(20, 30, 3) // 2
    other = one.copy()
    other[4, 7, 1] += 100
    other[9, 3:6] += 3
    assert compared(tiff(one), png(other)) == SampleDifference(10, 1800, 100, (3, 4, 8, 10))
    assert compared(png(other), tiff(one)) == SampleDifference(10, 1800, 100, (3, 4, 8, 10))


@pytest.mark.parametrize(
    ("dtype", "low", "high", "most"),
    [
        ("u1", 0, 255, 255),
        ("u2", 0, 65535, 65535),
        ("i1", -128, 127, 255),
        ("i2", -32768, 32767, 65535),
        ("u8", 0, 2**64 - 1, 2**64 - 1),
        ("i8", -(2**63), 2**63 - 1, 2**64 - 1),
        ("f4", -1.5, 2.25, 3.75),
    ],
)
def test_the_largest_distance_never_overflows(dtype: str, low: float, high: float, most: float) -> None:
    one, other = np.full((3, 3), low, dtype), np.full((3, 3), low, dtype)
    other[1, 1] = high
    for pair in ((one, other), (other, one)):
        found = compared(*(tiff(each) for each in pair))
        assert (found.differing, found.max_abs_diff, found.bbox) == (1, most, (1, 1, 2, 2))


def test_floats_differ_by_their_bits() -> None:
    one = np.array([[0.0, np.nan, 1.0, np.inf]], "f4")
    other = np.array([[-0.0, np.nan, 1.0, 1.0]], "f4")
    found = compared(tiff(one), tiff(other))
    assert (found.differing, found.bbox) == (2, (0, 0, 4, 1))
    assert np.isfinite(found.max_abs_diff)


def test_files_that_store_other_rasters_are_compared_as_displayed() -> None:
    gray = noise(20, 30)
    other = np.repeat(gray[:, :, None], 3, axis=2).astype(np.uint16) * 257
    assert compared(png(gray), tiff(other)).differing == 0
    other[3, 5, 2] ^= 1
    assert compared(png(gray), tiff(other)) == SampleDifference(1, 1800, 1, (5, 3, 6, 4))


def test_alpha_is_compared_with_opaque() -> None:
    rgb = noise(8, 9, 3)
    rgba = np.concatenate([rgb, np.full((8, 9, 1), 255, np.uint8)], axis=2)
    assert compared(png(rgb), png(rgba)).differing == 0
    rgba[2, 2, 3] = 250
    assert compared(png(rgb), png(rgba)) == SampleDifference(1, 8 * 9 * 4, 5, (2, 2, 3, 3))


def test_an_orientation_tag_alone_changes_no_stored_sample() -> None:
    array = noise(20, 30, 3)
    turned = tiff(array, extratags=[(274, 3, 1, 6, True)])
    assert compared(tiff(array), turned).differing == 0
    assert compared(turned, png(np.rot90(array, -1))).differing == 0


def test_several_images_are_compared_one_by_one() -> None:
    pages = noise(3, 10, 12)
    changed = pages.copy()
    changed[0, 2, 2] ^= 255
    changed[2, 5, 7] ^= 255
    found = compared(tiff(pages), tiff(changed))
    assert (found.differing, found.total, found.bbox) == (2, 360, (2, 2, 8, 6))


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (tiff(noise(4, 5)), tiff(noise(5, 4)), "different sizes: 5x4 and 4x5"),
        (tiff(noise(4, 5)), b"nothing", "the second file"),
        (tiff(noise(4, 5)), tiff(noise(4, 5).astype(np.float32)), "different samples: gray u8 and gray f32"),
        (tiff(noise(4, 5))[:40], tiff(noise(4, 5)), "the first file"),
    ],
)
def test_what_cannot_be_compared_says_why(one: bytes, other: bytes, words: str) -> None:
    for found in (difference(one, other, Limits()), difference_picture(one, other, Limits())):
        assert found[0] is None
        assert words in str(found[1])


def test_files_with_other_numbers_of_images_are_not_compared() -> None:
    found, reason = difference(tiff(noise(2, 4, 5)), tiff(noise(3, 4, 5)), Limits())
    assert (found, reason) == (None, "one file has 2 images, the other has more")


def test_a_damaged_file_is_compared_with_a_caution() -> None:
    array = noise(20, 30)
    whole = tiff(array, rowsperstrip=5)
    with tifffile.TiffFile(BytesIO(whole)) as file:
        end = file.pages[0].dataoffsets[3]
    found, reason = difference(whole, whole[: end + 10], Limits())
    assert found is not None
    assert found.bbox == (0, 15, 30, 20)
    assert "the second file" in str(reason)


def test_the_picture_of_the_differences_is_red_where_samples_differ() -> None:
    one = noise(20, 30, 3)
    other = one.copy()
    other[4, 7, 1] ^= 0xFF
    content, reason = difference_picture(tiff(one), png(other), Limits())
    assert reason is None
    assert content is not None
    picture = np.asarray(Image.open(BytesIO(content)))
    assert picture.shape == (20, 30, 3)
    assert picture[4, 7].tolist() == [255, 0, 0]
    reds = (picture[:, :, 1] == 0) & (picture[:, :, 0] > 100)
    assert int(reds.sum()) == 1


def test_the_picture_shows_the_first_image_that_differs() -> None:
    pages = noise(3, 10, 12)
    changed = pages.copy()
    changed[1, 2, 3] ^= 255
    content, _ = difference_picture(tiff(pages), tiff(changed), Limits())
    assert content is not None
    assert np.asarray(Image.open(BytesIO(content)))[2, 3].tolist() == [255, 0, 0]


@pytest.mark.parametrize("dtype", ["f4", "i2", "u2"])
def test_the_picture_takes_samples_of_any_type(dtype: str) -> None:
    one = (noise(6, 7).astype("f8") * 3 - 90).clip(0 if dtype[0] == "u" else -1e9).astype(dtype)
    other = one.copy()
    other[0, 0] += 5
    assert difference_picture(tiff(one), tiff(other), Limits())[0] is not None
