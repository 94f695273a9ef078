"""One picture, one digest, whatever holds it; another picture, another digest."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from catalog.pixels.analyse import analyse
from catalog.pixels.digest import oriented
from catalog.terms import Analysis, Fidelity, Limits

settings.register_profile(
    "pixels", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60
)
PIXELS = settings.get_profile("pixels")


def exact(content: bytes) -> Analysis:
    found = analyse(content, limits=Limits())
    assert (found.fidelity, found.reason) == (Fidelity.EXACT, None)
    return found


@st.composite
def pictures(
    draw: st.DrawFn, dtypes: tuple[str, ...] = ("u1", "u2"), channels: tuple[int, ...] = (1, 3, 4)
) -> np.ndarray:
    """Small rasters of shape (height, width, channels): noise, slopes and flat ones."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    dtype, number = draw(st.sampled_from(dtypes)), draw(st.sampled_from(channels))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    top = np.iinfo(dtype).max
    kind = draw(st.sampled_from(["noise", "slope", "flat", "few"]))
    shape = (height, width, number)
    if kind == "noise":
        return random.integers(0, top, shape, endpoint=True).astype(dtype)
    if kind == "slope":
        return (np.arange(height * width * number).reshape(shape) % (top + 1)).astype(dtype)
    if kind == "flat":
        return np.full(shape, random.integers(0, top, endpoint=True), dtype)
    return random.choice(random.integers(0, top, 3, endpoint=True), shape).astype(dtype)


@st.composite
def tiff_options(draw: st.DrawFn) -> dict[str, Any]:
    """Some way to write a TIFF."""
    options: dict[str, Any] = {
        "compression": draw(st.sampled_from([None, "lzw", "zlib", "packbits", "zstd", "lzma"])),
        "byteorder": draw(st.sampled_from("<>")),
        "bigtiff": draw(st.booleans()),
    }
    if options["compression"] in ("lzw", "zlib", "zstd", "lzma"):
        options["predictor"] = draw(st.booleans())
    if draw(st.booleans()):
        options["tile"] = (draw(st.sampled_from([16, 32])), draw(st.sampled_from([16, 48])))
    else:
        options["rowsperstrip"] = draw(st.integers(1, 41))
    if draw(st.booleans()):
        options["planarconfig"] = "separate"
    return options


def as_tiff(array: np.ndarray, **options: Any) -> bytes:
    number = array.shape[2]
    planar = options.pop("planarconfig", "contig") if number > 1 else None
    options |= {"photometric": "rgb" if number >= 3 else "minisblack", "metadata": None}
    if number in (2, 4):
        options["extrasamples"] = ["unassalpha"]
    if planar is not None:
        options["planarconfig"] = planar
    array = array[:, :, 0] if number == 1 else np.moveaxis(array, 2, 0) if planar == "separate" else array
    buffer = BytesIO()
    tifffile.imwrite(buffer, np.ascontiguousarray(array), **options)
    return buffer.getvalue()


def by_pillow(array: np.ndarray, form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(buffer, form, **options)
    return buffer.getvalue()


@PIXELS
@given(pictures(), tiff_options(), tiff_options())
def test_container_layout_and_codec_do_not_matter(
    array: np.ndarray, one: dict[str, Any], other: dict[str, Any]
) -> None:
    expected = exact(as_tiff(array, compression=None))
    flat = array[:, :, 0] if array.shape[2] == 1 else array
    contents = [
        as_tiff(array, **dict(one)),
        as_tiff(array, **dict(other)),
        bytes(imagecodecs.png_encode(flat)),
    ]
    if array.dtype == np.uint8:
        contents.append(by_pillow(array, "PNG"))
        contents.append(by_pillow(array, "TIFF", compression="tiff_lzw"))
        if array.shape[2] == 3:
            contents += [
                by_pillow(array, "BMP"),
                by_pillow(array, "PPM"),
                by_pillow(array, "WEBP", lossless=True),
            ]
    for content in contents:
        found = exact(content)
        assert (found.pixels, found.view) == (expected.pixels, expected.view)


@PIXELS
@given(pictures(), tiff_options(), st.data())
def test_one_changed_sample_is_another_picture(
    array: np.ndarray, options: dict[str, Any], data: st.DataObject
) -> None:
    place = tuple(data.draw(st.integers(0, size - 1)) for size in array.shape)
    bit = data.draw(st.integers(0, array.dtype.itemsize * 8 - 1))
    other = array.copy()
    other[place] ^= array.dtype.type(1 << bit)
    one, two = exact(as_tiff(array, **dict(options))), exact(as_tiff(other, **dict(options)))
    assert one.pixels != two.pixels
    invisible = array.shape[2] == 4 and array[(*place[:2], 3)] == 0 and place[2] < 3
    assert (one.view == two.view) is bool(invisible)


@PIXELS
@given(st.integers(1, 12), st.integers(1, 12), st.integers(2, 5), st.integers(0, 2**32))
def test_another_shape_of_the_same_samples_is_another_picture(
    height: int, width: int, factor: int, seed: int
) -> None:
    array = np.random.default_rng(seed).integers(0, 256, (height * factor, width, 3), dtype=np.uint8)
    one, two = exact(as_tiff(array)), exact(as_tiff(array.reshape(height, width * factor, 3)))
    assert one.pixels != two.pixels
    assert one.view != two.view


@PIXELS
@given(pictures(dtypes=("u1",), channels=(3,)), st.integers(1, 8))
def test_orientation_baked_in_keeps_the_view_and_changes_the_pixels(
    array: np.ndarray, orientation: int
) -> None:
    tagged = exact(as_tiff(array, extratags=[(274, 3, 1, orientation, True)]))
    baked = exact(as_tiff(np.ascontiguousarray(oriented(array, orientation))))
    assert tagged.pixels == exact(as_tiff(array)).pixels
    assert tagged.view == baked.view
    unchanged = np.array_equal(oriented(array, orientation), array)
    assert (tagged.pixels == baked.pixels) is unchanged


@PIXELS
@given(pictures(dtypes=("u1",), channels=(1,)), tiff_options())
def test_gray_stored_richer_keeps_the_view(array: np.ndarray, options: dict[str, Any]) -> None:
    gray = exact(as_tiff(array))
    rgb = np.repeat(array, 3, axis=2)
    opaque = np.concatenate([rgb, np.full_like(array, 255)], axis=2)
    for richer in (
        rgb,
        opaque,
        rgb.astype(np.uint16) * 257,
        opaque.astype(np.uint16) * 257,
        array.astype(np.uint16) * 257,
    ):
        found = exact(as_tiff(richer, **dict(options)))
        assert found.view == gray.view
        assert found.pixels != gray.pixels


@PIXELS
@given(pictures(dtypes=("u1",), channels=(3, 4)))
def test_widening_to_sixteen_bits_keeps_the_view_and_nothing_less_exact_does(array: np.ndarray) -> None:
    narrow = exact(as_tiff(array))
    wide = array.astype(np.uint16) * 257
    assert exact(as_tiff(wide)).view == narrow.view
    shifted = array.astype(np.uint16) << 8
    assume(shifted.any())
    assert exact(as_tiff(shifted)).view != narrow.view


@PIXELS
@given(st.integers(2, 256), st.integers(0, 2**32))
def test_another_palette_is_another_picture(colours: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    index = random.integers(0, colours, (9, 7), dtype=np.uint8)
    index[0, 0] = 0
    table = random.integers(0, 256, (256, 3), dtype=np.uint8)
    image = Image.fromarray(index)
    image.putpalette(table.tobytes())
    other = image.copy()
    changed = table.copy()
    changed[0, 1] ^= 0x10
    other.putpalette(changed.tobytes())
    for form in ("PNG", "TIFF", "BMP", "GIF"):
        contents = []
        for each in (image, other):
            buffer = BytesIO()
            each.save(buffer, form)
            contents.append(buffer.getvalue())
        one, two = exact(contents[0]), exact(contents[1])
        assert one.pixels != two.pixels
        plain = exact(as_tiff(table[index]))
        assert (one.pixels, one.view) == (plain.pixels, plain.view)


@PIXELS
@given(st.integers(0, 2**32), st.sampled_from([9, 10, 12, 14, 15]))
def test_declared_depth_separates_equal_numbers(seed: int, bits: int) -> None:
    values = np.random.default_rng(seed).integers(0, 1 << bits, (5, 8), dtype=np.uint16)
    buffer = BytesIO()
    tifffile.imwrite(buffer, values, bitspersample=bits, metadata=None)
    one, two = exact(buffer.getvalue()), exact(as_tiff(values[:, :, None]))
    assert one.pixels != two.pixels
    assert one.view != two.view
