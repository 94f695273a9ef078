"""TIFF samples: everything that tifffile, Pillow, imagecodecs or a hand can write, and what broken files leave."""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from catalog.terms import Fidelity
from tests.unit.rasters import RNG, decoded, group4, noise, packed, samples, written
from tests.unit.tiff_bytes import build, page

# ----------------------------------------------------------------------------------- layouts and codecs


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_and_codec_gives_the_samples_back(dtype: str, compression: str | None, order: str) -> None:
    for shape, layout in (
        ((37, 53), {}),
        ((37, 53, 3), {"rowsperstrip": 8}),
        ((37, 53, 4), {"tile": (16, 32)}),
    ):
        array = noise(shape, dtype)
        photometric = "minisblack" if len(shape) == 2 else "rgb"
        content = written(array, photometric=photometric, compression=compression, byteorder=order, **layout)
        assert np.array_equal(samples(content).reshape(shape), array, equal_nan=dtype[0] == "f")


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd", "lzma"])
@pytest.mark.parametrize(
    ("dtype", "predictor"), [("u1", 2), ("u2", 2), ("u4", 2), ("u8", 2), ("f2", 3), ("f4", 3), ("f8", 3)]
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_predictors_are_undone(compression: str, dtype: str, predictor: int, order: str) -> None:
    gray, rgb = {"photometric": "minisblack"}, {"photometric": "rgb"}
    layouts: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((21, 40), gray | {"rowsperstrip": 5}),
        ((21, 40), gray | {"tile": (16, 16)}),
        ((21, 40, 2), gray | {"planarconfig": "contig", "extrasamples": [0], "rowsperstrip": 4}),
        ((21, 40, 3), rgb | {"rowsperstrip": 5}),
        ((21, 40, 4), rgb | {"extrasamples": [2]}),
        ((21, 40, 5), rgb | {"extrasamples": [0, 0], "tile": (16, 32)}),
        ((3, 21, 40), rgb | {"planarconfig": "separate", "rowsperstrip": 7}),
        ((3, 21, 40), rgb | {"planarconfig": "separate", "tile": (16, 32)}),
    ]
    for shape, options in layouts:
        array = noise(shape, dtype)
        content = written(array, compression=compression, predictor=predictor, byteorder=order, **options)
        expected = np.moveaxis(array, 0, 2) if shape[0] == 3 else array.reshape(21, 40, -1)
        assert np.array_equal(samples(content), expected), (shape, options)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_planar_strips_and_tiles_are_interleaved(compression: str | None, bigtiff: bool) -> None:
    array = noise((3, 30, 41), "u2")
    for layout in ({"rowsperstrip": 4}, {"tile": (16, 16)}):
        content = written(
            array,
            photometric="rgb",
            planarconfig="separate",
            compression=compression,
            bigtiff=bigtiff,
            **layout,
        )
        assert np.array_equal(samples(content), np.moveaxis(array, 0, 2))


def test_large_lzw_is_decoded_in_groups_of_strips() -> None:
    array = noise((900, 2000, 3), "u1") & 0x0F
    content = written(array, photometric="rgb", compression="lzw", rowsperstrip=3)
    assert np.array_equal(samples(content), array)


def test_predictor_is_honoured_only_for_the_codecs_that_have_one() -> None:
    row = bytes([10, 20, 30, 40])
    for compression, strip in ((1, row), (32773, imagecodecs.packbits_encode(row))):
        content = build(page(4, 1, strips=[strip], tags={259: (3, [compression]), 317: (3, [2])}))
        assert samples(content).ravel().tolist() == [10, 20, 30, 40]
    content = build(page(4, 1, strips=[zlib.compress(row)], tags={259: (3, [8]), 317: (3, [2])}))
    assert samples(content).ravel().tolist() == [10, 30, 60, 100]


def test_fill_order_2_turns_the_bits_of_every_byte() -> None:
    array = noise((8, 24), "u1")
    for compression, encode in (
        (1, bytes),
        (5, imagecodecs.lzw_encode),
        (32773, imagecodecs.packbits_encode),
    ):
        strip = imagecodecs.bitorder_encode(bytes(encode(array.tobytes())))
        content = build(page(24, 8, strips=[strip], tags={259: (3, [compression]), 266: (3, [2])}))
        assert np.array_equal(samples(content)[:, :, 0], array)


def test_a_last_strip_padded_to_full_height_is_whole() -> None:
    array = noise((10, 16), "u1")
    padded = np.concatenate([array, np.full((6, 16), 9, "u1")])
    for compression, encode in (
        (1, bytes),
        (5, imagecodecs.lzw_encode),
        (8, zlib.compress),
        (32773, imagecodecs.packbits_encode),
    ):
        strips = [bytes(encode(padded[top : top + 8].tobytes())) for top in (0, 8)]
        content = build(page(16, 10, strips=strips, tags={259: (3, [compression]), 278: (4, [8])}))
        assert np.array_equal(samples(content)[:, :, 0], array)


# ------------------------------------------------------------------------------- depths and polarity


ODD = [3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 17, 20, 24, 31]


@pytest.mark.parametrize("bits", ODD)
@pytest.mark.parametrize("order", ["little", "big"])
def test_odd_depths_are_unscaled_under_their_own_type(bits: int, order: str) -> None:
    values = RNG.integers(0, 1 << bits, (5, 7), dtype=np.uint64)
    content = build(page(7, 5, strips=[packed(values, bits)], tags={258: (3, [bits])}), order=order)
    found = decoded(content)
    assert found.raster is not None
    # three bytes are swapped by libtiff and by nobody else
    proved = Fidelity.UNVERIFIED if (bits, order) == (24, "big") else Fidelity.EXACT
    assert (found.fidelity, found.raster.dtype) == (proved, f"u{bits}")
    assert np.array_equal(found.raster.array()[:, :, 0], values)


@pytest.mark.parametrize(("bits", "factor"), [(1, 255), (2, 85), (4, 17)])
def test_few_bits_of_gray_widen_to_eight(bits: int, factor: int) -> None:
    values = RNG.integers(0, 1 << bits, (5, 7), dtype=np.uint8)
    content = build(page(7, 5, strips=[packed(values, bits)], tags={258: (3, [bits])}))
    assert np.array_equal(samples(content)[:, :, 0], values * factor)
    inverse = build(page(7, 5, strips=[packed(values, bits)], tags={258: (3, [bits]), 262: (3, [0])}))
    assert np.array_equal(samples(inverse)[:, :, 0], 255 - values * factor)


@pytest.mark.parametrize("bits", [8, 12, 16, 32])
def test_white_is_zero_is_turned_over_its_declared_range(bits: int) -> None:
    values = RNG.integers(0, 1 << bits, (5, 7), dtype=np.uint64)
    strip = packed(values, bits)  # big-endian machine types are the same bytes
    content = build(page(7, 5, strips=[strip], tags={258: (3, [bits]), 262: (3, [0])}), order="big")
    assert np.array_equal(samples(content)[:, :, 0], (1 << bits) - 1 - values)


def test_signed_samples_are_never_turned_over_and_prove_nothing_then() -> None:
    array = noise((5, 7), "i1")
    content = build(page(7, 5, strips=[array.tobytes()], tags={262: (3, [0]), 339: (3, [2])}))
    found = decoded(content)
    assert found.fidelity is Fidelity.UNVERIFIED  # else they would pass for the negative's samples
    assert found.raster is not None
    assert np.array_equal(found.raster.array()[:, :, 0], array)


@pytest.mark.parametrize("bits", [5, 12, 24])
def test_signed_samples_of_odd_depths_keep_their_sign(bits: int) -> None:
    values = RNG.integers(-(1 << bits - 1), 1 << bits - 1, (4, 6), dtype=np.int64)
    content = build(page(6, 4, strips=[packed(values, bits)], tags={258: (3, [bits]), 339: (3, [2])}))
    found = decoded(content)
    assert found.raster is not None
    assert np.array_equal(found.raster.array()[:, :, 0], values)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_predictor_2_wraps_at_the_declared_depth(bits: int) -> None:
    values = RNG.integers(0, 1 << bits, (4, 9), dtype=np.uint64)
    steps = np.diff(values, axis=1, prepend=np.uint64(0)) & np.uint64((1 << bits) - 1)
    strip = zlib.compress(packed(steps, bits))
    content = build(page(9, 4, strips=[strip], tags={258: (3, [bits]), 259: (3, [8]), 317: (3, [2])}))
    assert np.array_equal(samples(content)[:, :, 0], values)


def test_pixels_of_mixed_depths_are_unpacked_but_not_called_exact() -> None:
    strip = b"".join(
        (r << 11 | g << 5 | b).to_bytes(2, "big") for r, g, b in ((31, 0, 1), (5, 63, 2), (0, 9, 31))
    )
    tags = {258: (3, [5, 6, 5]), 262: (3, [2]), 277: (3, [3])}
    found = decoded(build(page(3, 1, strips=[strip], tags=tags)))
    assert found.fidelity is Fidelity.UNVERIFIED
    assert found.raster is not None
    assert found.raster.array()[0].tolist() == [[31, 0, 1], [5, 63, 2], [0, 9, 31]]


def test_complex_samples_have_no_canonical_form() -> None:
    found = decoded(written(np.ones((4, 4), np.complex64)))
    assert (found.fidelity, found.raster) == (Fidelity.UNDECODABLE, None)
    assert "complex" in str(found.reason)


# ------------------------------------------------------------------------------------------ colour models


def palette_file(color_map: np.ndarray, bits: int, index: np.ndarray) -> bytes:
    tags = {258: (3, [bits]), 262: (3, [3]), 320: (3, color_map.T.ravel().tolist())}
    return build(page(index.shape[1], index.shape[0], strips=[packed(index, bits)], tags=tags))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize(("factor", "top"), [(257, 255), (256, 255), (1, 65535)])
def test_palettes_expand_to_their_colours(bits: int, factor: int, top: int) -> None:
    colours = RNG.integers(0, top, (1 << bits, 3), endpoint=True)
    colours[0] = (top, top - 1, 1)
    index = RNG.integers(0, 1 << bits, (6, 5))
    found = decoded(palette_file(colours * factor, bits, index))
    assert found.fidelity is Fidelity.EXACT
    assert found.raster is not None
    assert (found.raster.model, found.raster.dtype) == ("rgb", "u8" if factor > 1 else "u16")
    assert np.array_equal(found.raster.array(), colours[index])


def test_a_palette_of_small_numbers_is_a_quirk() -> None:
    colours = RNG.integers(0, 256, (16, 3))
    colours[0] = (255, 254, 3)
    index = RNG.integers(0, 16, (6, 5))
    found = decoded(palette_file(colours, 4, index))
    assert found.fidelity is Fidelity.UNVERIFIED
    assert found.raster is not None
    assert np.array_equal(found.raster.array(), colours[index])


def test_alpha_kinds_are_models_of_their_own_and_never_converted() -> None:
    array = noise((5, 6, 4), "u1")
    models = {}
    for kind in (0, 1, 2):
        tags = {258: (3, [8] * 4), 262: (3, [2]), 277: (3, [4]), 338: (3, [kind])}
        found = decoded(build(page(6, 5, strips=[array.tobytes()], tags=tags)))
        assert found.raster is not None
        models[kind] = found.raster.model
        assert np.array_equal(found.raster.array(), array)
    assert models == {0: "rgb+1", 1: "rgba-premul", 2: "rgba"}


@pytest.mark.parametrize(("photometric", "model"), [(5, "cmyk"), (8, "lab")])
def test_cmyk_and_lab_are_kept_as_stored(photometric: int, model: str) -> None:
    channels = 4 if photometric == 5 else 3
    array = noise((5, 6, channels), "u1")
    for compression, encode in ((1, bytes), (5, imagecodecs.lzw_encode), (8, zlib.compress)):
        tags = {
            258: (3, [8] * channels),
            259: (3, [compression]),
            262: (3, [photometric]),
            277: (3, [channels]),
        }
        found = decoded(build(page(6, 5, strips=[bytes(encode(array.tobytes()))], tags=tags)))
        assert found.raster is not None
        assert (found.fidelity, found.raster.model) == (Fidelity.EXACT, model)
        assert np.array_equal(found.raster.array(), array)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_ccitt_gives_black_on_white(compression: str) -> None:
    bits = (RNG.random((40, 70)) > 0.8).astype(np.uint8) * 255
    buffer = BytesIO()
    Image.fromarray(bits).convert("1").save(buffer, "TIFF", compression=compression)
    assert np.array_equal(samples(buffer.getvalue())[:, :, 0], bits)


@pytest.mark.parametrize("fill_order", [1, 2])
def test_ccitt_without_photometric_is_white_is_zero(fill_order: int) -> None:
    black = (RNG.random((16, 32)) > 0.7).astype(np.uint8)
    strip = group4(black)
    if fill_order == 2:
        strip = bytes(imagecodecs.bitorder_encode(strip))
    tags = {258: (3, [1]), 259: (3, [4]), 262: None, 266: (3, [fill_order])}
    content = build(page(32, 16, strips=[strip], tags=tags))
    assert np.array_equal(samples(content)[:, :, 0], 255 - black * 255)


def test_jpeg_in_tiff_is_what_libjpeg_makes_of_it() -> None:
    array = np.asarray(Image.linear_gradient("L").resize((64, 48)).convert("RGB"))
    content = written(array, photometric="rgb", compression="jpeg", tile=(16, 32))
    found = decoded(content)
    assert found.fidelity is Fidelity.DECODER
    assert found.raster is not None
    assert np.array_equal(found.raster.array(), np.asarray(Image.open(BytesIO(content))))
    assert found.raster.model == "rgb"


def test_lossless_webp_and_jpeg2000_in_tiff_are_exact() -> None:
    array = noise((32, 48, 3), "u1")
    for compression, arguments in (
        ("webp", {"lossless": True}),
        ("jpeg2000", {"reversible": True, "level": 0}),
    ):
        content = written(array, photometric="rgb", compression=compression, compressionargs=arguments)
        found = decoded(content)
        assert found.raster is not None
        assert np.array_equal(found.raster.array(), array)


@pytest.mark.parametrize(("order", "big"), [("little", False), ("big", False), ("little", True)])
@pytest.mark.parametrize("orientation", range(9))
def test_subsampled_ycbcr_comes_from_libtiff_and_is_not_turned(
    orientation: int, order: str, big: bool
) -> None:
    luma = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    units = b"".join(
        bytes([luma[y, x], luma[y, x + 1], luma[y + 1, x], luma[y + 1, x + 1], 128, 128])
        for y in range(0, 8, 2)
        for x in range(0, 8, 2)
    )
    tags = {258: (3, [8, 8, 8]), 262: (3, [6]), 277: (3, [3]), 530: (3, [2, 2])}
    if orientation:
        tags[274] = (3, [orientation])
    found = decoded(build(page(8, 8, strips=[units], tags=tags), order=order, big=big))
    assert found.fidelity is Fidelity.DECODER
    assert found.raster is not None
    assert np.array_equal(found.raster.array(), np.repeat(luma[:, :, None], 3, axis=2))
