"""``pix1`` and ``view1`` against their definition, written down a second time here."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
import pytest
from PIL import Image, ImageOps

from catalog.pixels import digest
from catalog.pixels.digest import BESIDE, combined, frame_digests, oriented, room_in, view_of
from catalog.pixels.raster import Raster, storage


def defined(prefix: str, model: str, dtype: str, array: np.ndarray) -> bytes:
    """The normative sentence, word by word."""
    height, width, channels = array.shape
    header = f"{prefix}\n{model} {dtype} {width}x{height}x{channels}\n".encode("ascii")
    return hashlib.sha256(
        header + np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    ).digest()


def picture(shape: tuple[int, ...], dtype: str = "u1", seed: int = 1) -> np.ndarray:
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "ui" else 1000
    return np.random.default_rng(seed).integers(0, top, shape, endpoint=True).astype(dtype)


# ------------------------------------------------------------------------------------------------- pix1


@pytest.mark.parametrize(
    ("model", "dtype", "channels"),
    [
        ("gray", "u8", 1),
        ("rgb", "u8", 3),
        ("rgba", "u16", 4),
        ("gray", "u10", 1),
        ("cmyk", "u8", 4),
        ("rgb+1", "u8", 4),
    ],
)
def test_pixels_digest_is_the_defined_hash(model: str, dtype: str, channels: int) -> None:
    array = picture((7, 11, channels)).astype(storage(dtype)) * (3 if dtype != "u8" else 1)
    assert frame_digests(Raster.of(model, dtype, array))[0] == defined("pix1", model, dtype, array)


def test_bands_of_rows_hash_like_one_buffer() -> None:
    array = picture((40, 300, 3))
    body = array.tobytes()
    row = 300 * 3
    whole = frame_digests(Raster.of("rgb", "u8", array))
    for rows in (1, 7, 39, 40):
        bands = tuple(memoryview(body)[top * row : (top + rows) * row] for top in range(0, 40, rows))
        assert frame_digests(Raster("rgb", "u8", 300, 40, 3, bands)) == whole


def test_large_rasters_take_both_hashes_in_turn_and_stay_the_same() -> None:
    array = picture((500, 400, 3))
    pixels, view = frame_digests(Raster.of("rgb", "u8", array))
    assert pixels == defined("pix1", "rgb", "u8", array)
    assert view == defined("view1", "rgb", "u8", array)


@pytest.mark.parametrize(
    ("load", "processors", "idle"),
    [
        (b"0.10 2.00 3.00 1/240 4711\n", 2, True),
        (b"1.30 1.20 1.10 1/240 4711\n", 2, True),
        (b"0.10 0.10 0.10 2/240 4711\n", 2, False),
        (b"1.90 0.10 0.10 1/240 4711\n", 2, False),
        (b"0.10 0.10 0.10 1/240 4711\n", 1, False),
        (b"5.00 5.00 5.00 5/240 4711\n", 8, True),
    ],
)
def test_a_processor_is_idle_that_has_no_work_now_and_had_little_of_late(
    load: bytes, processors: int, idle: bool
) -> None:
    assert room_in(load, processors) is idle


@pytest.mark.parametrize("idle", [True, False])
def test_an_idle_processor_takes_one_of_the_hashes_and_they_stay_the_same(
    idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[threading.Thread] = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (started.append(thread), start(thread))[1])
    monkeypatch.setattr(digest, "processor_idle", lambda: idle)
    array = np.arange(BESIDE + 2400, dtype=np.uint32).astype(np.uint8).reshape(-1, 8, 1)
    found = frame_digests(Raster.of("gray", "u8", array))
    assert found == (defined("pix1", "gray", "u8", array), defined("view1", "gray", "u8", array))
    assert len(started) == (1 if idle else 0)
    assert not any(thread.is_alive() for thread in started)


def test_without_a_thread_to_be_had_the_hashes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    monkeypatch.setattr(digest, "processor_idle", lambda: True)
    array = np.zeros((BESIDE, 1, 1), np.uint8)
    found = frame_digests(Raster.of("gray", "u8", array))
    assert found == (defined("pix1", "gray", "u8", array), defined("view1", "gray", "u8", array))


def test_big_endian_and_strided_arrays_hash_like_little_endian_ones() -> None:
    array = picture((30, 20, 3), "<u2")
    expected = frame_digests(Raster.of("rgb", "u16", array))
    assert frame_digests(Raster.of("rgb", "u16", array.astype(">u2"))) == expected
    planar = np.ascontiguousarray(np.moveaxis(array, 2, 0))
    assert frame_digests(Raster.of("rgb", "u16", np.moveaxis(planar, 0, 2))) == expected


def test_another_shape_of_the_same_samples_is_another_picture() -> None:
    samples = picture((200,))
    digests = {
        frame_digests(Raster.of("gray", "u8", samples.reshape(shape)))[0]
        for shape in ((10, 20, 1), (20, 10, 1))
    }
    assert len(digests) == 2


def test_declared_bits_and_model_are_part_of_the_digest() -> None:
    array = picture((4, 4, 1), "<u2") & 0x3FF
    found = {
        frame_digests(Raster.of(*kind, array)) for kind in (("gray", "u10"), ("gray", "u16"), ("ink1", "u16"))
    }
    assert len(found) == 3


def test_bands_that_do_not_fill_the_header_are_refused() -> None:
    with pytest.raises(ValueError, match="11 bytes of samples where 12 are announced"):
        frame_digests(Raster("gray", "u8", 4, 3, 1, (bytes(11),)))


def test_an_array_of_another_type_than_the_header_declares_is_refused() -> None:
    with pytest.raises(ValueError, match="does not hold u16"):
        Raster.of("gray", "u16", picture((3, 3, 1)))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("u1", "<u1"),
        ("u8", "<u1"),
        ("u10", "<u2"),
        ("u16", "<u2"),
        ("u24", "<u4"),
        ("i33", "<i8"),
        ("f16", "<f2"),
        ("f64", "<f8"),
    ],
)
def test_samples_are_stored_in_the_next_machine_size(dtype: str, expected: str) -> None:
    assert storage(dtype) == expected


@pytest.mark.parametrize("dtype", ["u0", "u65", "f24", "c64", "x8"])
def test_types_that_pix1_does_not_know_are_refused(dtype: str) -> None:
    with pytest.raises(ValueError, match="no sample type"):
        storage(dtype)


def test_one_page_has_the_digest_of_its_frame_and_several_that_of_their_list() -> None:
    first, second = bytes(32), bytes(range(32))
    assert combined("pix1", [first]) == first
    text = f"pix1 multi 2\n{first.hex()}\n{second.hex()}"
    assert combined("pix1", [first, second]) == hashlib.sha256(text.encode()).digest()
    assert combined("pix1", [second, first]) != combined("pix1", [first, second])
    assert combined("view1", [first, second]) != combined("pix1", [first, second])


# ------------------------------------------------------------------------------------------------ view1


def view(model: str, dtype: str, array: np.ndarray, orientation: int = 1) -> bytes:
    return frame_digests(Raster.of(model, dtype, array), orientation)[1]


def test_view_of_a_plain_picture_differs_from_pixels_by_the_prefix_alone() -> None:
    array = picture((9, 8, 3))
    assert view("rgb", "u8", array) == defined("view1", "rgb", "u8", array)
    assert view_of(Raster.of("rgb", "u8", array)) is not None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_view_of_a_turned_picture_is_that_of_the_picture_with_the_turn_baked_in(orientation: int) -> None:
    array = picture((9, 14, 3))
    image = Image.fromarray(array)
    image.getexif()[274] = orientation
    baked = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(oriented(array, orientation), baked)
    assert view("rgb", "u8", array, orientation) == view("rgb", "u8", baked)
    turned, plain = (Raster.of("rgb", "u8", each) for each in (array, baked))
    assert (frame_digests(turned, orientation)[0] == frame_digests(plain)[0]) is (orientation == 1)


@pytest.mark.parametrize("dtype", ["u8", "u10", "u16", "u24", "i16", "f32"])
def test_opaque_alpha_is_dropped_from_the_view(dtype: str) -> None:
    rgb = picture((9, 8, 3), storage(dtype))
    full = {"u8": 255, "u10": 1023, "u16": 65535, "u24": (1 << 24) - 1, "i16": 32767, "f32": 1.0}[dtype]
    alpha = np.full((9, 8, 1), full, rgb.dtype)
    both = np.concatenate([rgb, alpha], axis=2)
    assert view("rgba", dtype, both) == view("rgb", dtype, rgb)
    assert view("rgba-premul", dtype, both) == view("rgb", dtype, rgb)
    both[4, 4, 3] = full - 1
    assert view("rgba", dtype, both) != view("rgb", dtype, rgb)


def test_opaque_alpha_before_a_further_sample_is_dropped_alone() -> None:
    array = picture((5, 6, 5))
    array[:, :, 3] = 255
    assert view("rgba+1", "u8", array) == defined("view1", "rgb+1", "u8", array[:, :, [0, 1, 2, 4]])


@pytest.mark.parametrize("dtype", ["u8", "u16"])
def test_colour_that_nobody_can_see_does_not_change_the_view(dtype: str) -> None:
    one = picture((6, 5, 4), storage(dtype), seed=3)
    one[2:4, :, 3] = 0
    other = one.copy()
    other[2:4, :, :3] = 77
    assert view("rgba", dtype, one) == view("rgba", dtype, other)
    assert (
        frame_digests(Raster.of("rgba", dtype, one))[0] != frame_digests(Raster.of("rgba", dtype, other))[0]
    )
    cleared = one.copy()
    cleared[2:4, :, :3] = 0
    assert view("rgba", dtype, one) == defined("view1", "rgba", dtype, cleared)


def test_associated_colour_under_alpha_zero_is_light_and_stays() -> None:
    one = picture((6, 5, 4))
    one[2:4, :, 3] = 0
    assert view("rgba-premul", "u8", one) == defined("view1", "rgba-premul", "u8", one)


@pytest.mark.parametrize("dtype", ["u8", "u16"])
def test_alpha_is_found_among_four_channels_where_it_is_not_the_last(dtype: str) -> None:
    """Gray, alpha and two more are four channels, too."""
    array = picture((6, 5, 4), storage(dtype))
    array[:, :, 3] = np.iinfo(array.dtype).max
    assert view("graya+2", dtype, array) == defined("view1", "graya+2", dtype, array)
    array[:, :, 1] = np.iinfo(array.dtype).max
    assert view("graya+2", dtype, array) == defined("view1", "gray+2", dtype, array[:, :, [0, 2, 3]])


@pytest.mark.parametrize(("model", "colours"), [("cmyka", 4), ("laba", 3), ("cmyka-premul", 4)])
def test_opaque_alpha_is_dropped_beside_any_colours(model: str, colours: int) -> None:
    array = picture((6, 5, colours + 1))
    array[:, :, colours] = 255
    base = model.removesuffix("-premul")[:-1]
    assert view(model, "u8", array) == defined("view1", base, "u8", array[:, :, :colours])


def test_visible_colour_beside_invisible_changes_the_view() -> None:
    one = picture((6, 5, 4))
    one[0, 0, 3] = 0
    other = one.copy()
    other[1, 1] = (1, 2, 3, 1)
    assert view("rgba", "u8", one) != view("rgba", "u8", other)


def test_sixteen_bits_that_are_eight_widened_give_the_view_of_eight() -> None:
    narrow = picture((40, 30, 3))
    wide = narrow.astype("<u2") * 257
    assert view("rgb", "u16", wide) == view("rgb", "u8", narrow)
    wide[39, 29, 2] ^= 1
    assert view("rgb", "u16", wide) == defined("view1", "rgb", "u16", wide)


@pytest.mark.parametrize("model", ["lab", "ycbcr", "laba"])
def test_colours_around_a_middle_value_are_not_narrowed(model: str) -> None:
    """257 times an 8-bit a* or Cb is another colour in 16 bits: their middle is 128, and 32768."""
    array = picture((6, 5, len(model) if model != "ycbcr" else 3)).astype("<u2") * 257
    assert view(model, "u16", array) == defined("view1", model, "u16", array)


def test_declared_ten_bits_are_never_taken_for_eight() -> None:
    array = np.zeros((4, 4, 1), "<u2")
    assert view("gray", "u10", array) == defined("view1", "gray", "u10", array)


@pytest.mark.parametrize("dtype", ["u8", "u16", "u32", "f32"])
def test_equal_colours_give_the_view_of_gray(dtype: str) -> None:
    gray = picture((40, 30, 1), storage(dtype))
    rgb = np.repeat(gray, 3, axis=2)
    assert view("rgb", dtype, rgb) == view("gray", dtype, gray)
    rgb[39, 29, 2] += 1
    assert view("rgb", dtype, rgb) != view("gray", dtype, gray)


def test_a_single_coloured_pixel_between_the_probed_ones_keeps_the_view_coloured() -> None:
    rgb = np.repeat(picture((200, 200, 1)), 3, axis=2)
    rgb[60, 100] = (1, 2, 3)
    assert view("rgb", "u8", rgb) == defined("view1", "rgb", "u8", rgb)


def test_all_reductions_go_together() -> None:
    gray = picture((12, 10, 1))
    wide = np.repeat(gray.astype("<u2") * 257, 3, axis=2)
    everything = np.concatenate([wide, np.full((12, 10, 1), 65535, "<u2")], axis=2)
    assert view("rgba", "u16", everything, 6) == view("gray", "u8", np.rot90(gray, -1))


def test_gray_with_alpha_as_rgba_gives_the_view_of_gray_with_alpha() -> None:
    graya = picture((12, 10, 2))
    graya[0, 0, 1] = 9
    rgba = graya[:, :, [0, 0, 0, 1]]
    graya_view = view("graya", "u8", graya)
    assert view("rgba", "u8", rgba) == graya_view
    assert view("graya-premul", "u8", graya) != graya_view


def test_negative_zero_is_not_zero_and_nan_equals_itself() -> None:
    gray = np.array([[[0.0], [np.nan]]], "<f4")
    rgb = np.repeat(gray, 3, axis=2)
    assert view("rgb", "f32", rgb) == view("gray", "f32", gray)
    rgb[0, 0, 2] = -0.0
    assert view("rgb", "f32", rgb) != view("gray", "f32", gray)


def test_lab_and_inks_are_not_reduced_to_gray() -> None:
    array = np.repeat(picture((4, 4, 1)), 3, axis=2)
    for model in ("lab", "ycbcr", "ink3"):
        assert view(model, "u8", array) == defined("view1", model, "u8", array)


def test_the_callers_array_is_not_changed() -> None:
    array = picture((6, 5, 4))
    array[2, :, 3] = 0
    before = array.copy()
    view("rgba", "u8", array)
    assert np.array_equal(array, before)
