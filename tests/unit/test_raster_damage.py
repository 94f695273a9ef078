"""What broken, sparse and oversized TIFF files leave, and what a whole one costs."""

from __future__ import annotations

import subprocess
import sys
import zlib
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from catalog.terms import Fidelity, Limits
from tests.unit.rasters import RNG, decoded, group4, noise, packed, written
from tests.unit.tiff_bytes import build, page

# ------------------------------------------------------------------------------------------------- damage


def strips_of(array: np.ndarray, encode: Any, rows: int) -> list[bytes]:
    return [bytes(encode(array[top : top + rows].tobytes())) for top in range(0, array.shape[0], rows)]


CODECS = {1: bytes, 5: imagecodecs.lzw_encode, 8: zlib.compress, 32773: imagecodecs.packbits_encode}


@pytest.mark.parametrize("compression", CODECS)
def test_a_short_strip_leaves_zeros_and_the_class_damaged(compression: int) -> None:
    array = noise((12, 16), "u1") | 1
    strips = strips_of(array, CODECS[compression], 4)
    strips[1] = bytes(CODECS[compression](array[4:7].tobytes()))
    content = build(page(16, 12, strips=strips, tags={259: (3, [compression]), 278: (4, [4])}))
    found = decoded(content)
    assert found.fidelity is Fidelity.DAMAGED
    assert "strip 2 of 3" in str(found.reason)
    assert found.raster is not None
    left = found.raster.array()[:, :, 0]
    assert np.array_equal(left[:4], array[:4])
    assert np.array_equal(left[8:], array[8:])
    assert not left[7].any()


@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit_in_deflate_is_found(bit: int) -> None:
    array = noise((8, 64), "u1")
    strip = zlib.compress(array.tobytes())
    for at in range(2, len(strip), 9):
        broken = bytearray(strip)
        broken[at] ^= 1 << bit
        tags = {259: (3, [8]), 278: (4, [8])}
        found = decoded(build(page(64, 16, strips=[bytes(broken), strip], tags=tags)))
        assert found.raster is not None
        harmless = np.array_equal(found.raster.array()[:8, :, 0], array)  # padding in front of a stored block
        assert (found.fidelity is Fidelity.DAMAGED) is not harmless


@pytest.mark.parametrize("cut", [1, 3, 4])
def test_deflate_without_its_checksum_is_damaged(cut: int) -> None:
    strip = zlib.compress(noise((4, 16), "u1").tobytes())
    content = build(page(16, 8, strips=[strip, strip[:-cut]], tags={259: (3, [8]), 278: (4, [4])}))
    assert decoded(content).fidelity is Fidelity.DAMAGED


def test_a_broken_lzw_strip_is_named_and_costs_no_other() -> None:
    array = noise((40, 32, 3), "u1")
    strips = strips_of(array, imagecodecs.lzw_encode, 4)
    strips[6] = b"\x80" + b"\xff" * 40
    tags = {258: (3, [8] * 3), 259: (3, [5]), 262: (3, [2]), 277: (3, [3]), 278: (4, [4])}
    found = decoded(build(page(32, 40, strips=strips, tags=tags)))
    assert found.fidelity is Fidelity.DAMAGED
    assert str(found.reason).startswith("strip 7 of 10")
    assert found.raster is not None
    rest = [row for row in range(40) if not 24 <= row < 28]
    assert np.array_equal(found.raster.array()[rest], array[rest])


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("code", [258, 259, 300, 400, 511])
def test_an_lzw_code_that_stands_for_nothing_is_damage_and_never_what_lies_in_memory(
    code: int, tiled: bool
) -> None:
    good = noise((16, 16), "u1")
    bits = "".join(
        f"{each:09b}" for each in (256, code, *range(240))
    )  # more than 15 rows need, all of nine bits
    broken = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))
    first = bytes(imagecodecs.lzw_encode(good.tobytes()))
    if tiled:  # of two tiles one above the other, 15 columns wide
        tags = {322: (4, [15]), 323: (4, [16])}
        first = bytes(imagecodecs.lzw_encode(np.ascontiguousarray(good[:, :15]).tobytes()))
        content = build(page(15, 32, strips=[first, broken], tags={259: (3, [5]), **tags}))
    else:
        content = build(page(16, 31, strips=[first, broken], tags={259: (3, [5]), 278: (4, [16])}))
    found = decoded(content)
    assert found.fidelity is Fidelity.DAMAGED
    assert found.raster is not None
    samples = found.raster.array()[:, :, 0]
    assert np.array_equal(samples[:16], good[:, : samples.shape[1]])
    assert not samples[16:].any()


def test_an_image_without_any_good_strip_is_undecodable() -> None:
    found = decoded(build(page(16, 4, strips=[b"\xff" * 20], tags={259: (3, [8])})))
    assert (found.fidelity, found.raster) == (Fidelity.UNDECODABLE, None)


def test_strips_beyond_the_end_and_missing_ones_are_damage() -> None:
    array = noise((12, 16), "u1")
    strips = strips_of(array, bytes, 4)
    truncated = build(page(16, 12, strips=strips, tags={278: (4, [4]), 273: (4, [8, 72, 1 << 20])}))
    assert decoded(truncated).fidelity is Fidelity.DAMAGED
    fewer = build(page(16, 12, strips=strips[:2], tags={278: (4, [4])}))
    found = decoded(fewer)
    assert found.fidelity is Fidelity.DAMAGED
    assert found.raster is not None
    assert not found.raster.array()[8:].any()


def test_segments_that_were_never_written_are_zeros_and_prove_nothing() -> None:
    array = noise((12, 16), "u1")
    strips = strips_of(array, bytes, 4)
    content = build(
        page(16, 12, strips=strips, tags={278: (4, [4]), 273: (4, [8, 0, 136]), 279: (4, [64, 0, 64])})
    )
    found = decoded(content)
    assert not found.fidelity.sound
    assert found.raster is not None
    assert not found.raster.array()[4:8].any()


def test_an_index_beyond_the_palette_is_damage() -> None:
    colours = RNG.integers(0, 255, (4, 3)) * 257
    index = np.array([[0, 1, 7, 3]])
    tags = {258: (3, [4]), 262: (3, [3]), 320: (3, colours.T.ravel().tolist())}
    found = decoded(build(page(4, 1, strips=[packed(index, 4)], tags=tags)))
    assert not found.fidelity.sound


def test_ccitt_on_which_two_decoders_disagree_is_no_picture() -> None:
    black = (RNG.random((64, 64)) > 0.5).astype(np.uint8)
    strip = bytearray(group4(black))
    strip[20:24] = b"\xff\xff\xff\xff"
    tags = {258: (3, [1]), 259: (3, [4]), 262: (3, [0])}
    assert not decoded(build(page(64, 64, strips=[bytes(strip)], tags=tags))).fidelity.sound


# ---------------------------------------------------------------------------------------- limits and cost


def test_an_image_beyond_the_limit_is_not_decoded() -> None:
    content = written(noise((100, 100), "u1"))
    found = decoded(content, Limits(decode_pixels=9_999))
    assert (found.raster, found.fidelity, found.reason) == (
        None,
        Fidelity.UNVERIFIED,
        "too large: raise decode_limit_pixels to 10000",
    )
    assert decoded(content, Limits(decode_pixels=10_000)).fidelity is Fidelity.EXACT


def test_a_header_of_a_million_pixels_square_allocates_nothing() -> None:
    content = build(page(1_000_000, 1_000_000, strips=[b"x"], tags={259: (3, [5])}))
    assert decoded(content).reason == "too large: raise decode_limit_pixels to 1000000000000"


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_plain_strips_are_hashed_where_they_lie(dtype: str) -> None:
    content = written(noise((30, 20, 3), dtype), photometric="rgb", rowsperstrip=7)
    found = decoded(content)
    assert found.raster is not None
    (band,) = found.raster.bands
    assert isinstance(band, memoryview)
    assert band.obj is content


def test_plain_strips_with_gaps_between_them_are_bands_of_their_own() -> None:
    array = noise((10, 5), "u1")
    strips = [row.tobytes() for row in array]  # five bytes each, and one of padding
    content = build(page(5, 10, strips=strips, tags={278: (4, [1])}))
    found = decoded(content)
    assert found.raster is not None
    bands = list(found.raster.bands)
    assert len(bands) == 10
    assert all(isinstance(band, memoryview) and band.obj is content for band in bands)
    assert np.array_equal(found.raster.array()[:, :, 0], array)


def test_a_plain_tiff_needs_numpy_alone_and_a_compressed_one_neither_cv2_nor_tifffile(tmp_path: Any) -> None:
    plain, packed_file = tmp_path / "plain.tif", tmp_path / "lzw.tif"
    array = noise((30, 20, 3), "u1")
    plain.write_bytes(written(array, photometric="rgb"))
    packed_file.write_bytes(written(array, photometric="rgb", compression="lzw"))
    program = """
import sys
from catalog.pixels.analyse import analyse
from catalog.terms import Limits
found = analyse(open(sys.argv[1], "rb").read(), limits=Limits())
print(found.fidelity, sorted({"numpy", "PIL", "cv2", "tifffile", "imagecodecs"} & set(sys.modules)))
found = analyse(open(sys.argv[2], "rb").read(), limits=Limits())
print(found.fidelity, sorted({"PIL", "cv2", "tifffile"} & set(sys.modules)))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, plain, packed_file], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == ["exact ['numpy']", "exact []"]


def test_a_jpeg_tile_that_holds_more_than_the_tile_is_damaged() -> None:
    """One bit of its header: readers take the corner or refuse it, and the corner was right only by luck."""
    array = np.zeros((16, 32, 3), np.uint8)
    content = bytearray(written(array, photometric="rgb", compression="jpeg", tile=(16, 16)))
    assert decoded(bytes(content)).fidelity is Fidelity.DECODER
    at = content.index(b"\xff\xc0\x00\x11\x08\x00\x10\x00\x10") + 8
    content[at] ^= 0x20
    found = decoded(bytes(content))
    assert found.fidelity is Fidelity.DAMAGED
    assert found.reason == "tile 1 of 2: the codec delivered 48x16 pixels"


def test_a_jpeg_2000_strip_that_lacks_a_tile_is_damaged() -> None:
    """OpenJPEG delivers samples of its own for the tile and says nothing."""

    def coded(array: np.ndarray) -> bytes:
        buffer = BytesIO()
        Image.fromarray(array).save(buffer, "JPEG2000", no_jp2=True, tile_size=(32, 32))
        return buffer.getvalue()

    array = noise((128, 64), "u1")
    strips = [coded(array[:64]), coded(array[64:])]
    head = {259: (3, [34712]), 278: (4, [64])}
    whole = decoded(build(page(64, 128, strips=strips, tags=head)))
    assert (whole.fidelity, whole.reason) == (Fidelity.EXACT, None)
    begin = strips[1].index(b"\xff\x90")
    end = begin + int.from_bytes(strips[1][begin + 6 : begin + 10], "big")
    strips[1] = strips[1][:begin] + strips[1][end:]
    found = decoded(build(page(64, 128, strips=strips, tags=head)))
    assert found.fidelity is Fidelity.DAMAGED
    assert "1 of 4 tiles not there" in str(found.reason)
    assert found.raster is not None
    assert np.array_equal(found.raster.array()[:64, :, 0], array[:64])
