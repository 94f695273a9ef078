"""Real images and their checksums: what ``pix1`` and ``view1`` were, they are.

The digests were taken when tifffile, Pillow, cv2 and our own decoding agreed on every one of these files
(test_decoders_agree.py). A change here changes what every catalogue holds.
"""

from __future__ import annotations

from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from catalog.pixels.analyse import analyse
from catalog.terms import Analysis, Fidelity, Limits

KNOWN = {
    "shaggy/images/amalfreda_1.tif": ("rgb u8 124x64", "d9c669adbea7fc92", "a03e6362886ed652"),
    "shaggy/images/thelxiopeia_13.tif": ("rgb u8 719x479", "13e630f451af1453", "b1bd6e770f3e6f96"),
    "image-tiff/tests__images__12bit.cropped.rgb.tiff": (
        "rgb u12 64x64",
        "c7b78bc29c53c730",
        "a7303225cf57c632",
    ),
    "image-tiff/tests__images__bigtiff__BigTIFFMotorola.tif": (
        "rgb u8 64x64",
        "f5bcb3a694a235fa",
        "c9ac63a9ff0ba5fa",
    ),
    "image-tiff/tests__images__cmyk-3c-16b.tiff": (
        "cmyk u16 157x151",
        "916d1c5925ff797e",
        "3bb4a18947ea180a",
    ),
    "image-tiff/tests__images__fax4.tiff": ("gray u8 1080x671", "c8f4da9d9d45920c", "adbc2b7d8f44813e"),
    "image-tiff/tests__images__int16_zstd.tif": ("gray i16 64x64", "593e1f69e1d3bf32", "4a277407639be2c2"),
    "image-tiff/tests__images__int8.tif": ("gray i8 64x64", "7f2d50c4d5fe9f95", "92b976af1ed3aab7"),
    "image-tiff/tests__images__minisblack-1c-3b.tiff": (
        "gray u3 8x2",
        "8073981fc258b404",
        "102227bd69bc4394",
    ),
    "image-tiff/tests__images__miniswhite-1c-1b.tiff": (
        "gray u8 157x151",
        "dc89d54cd9f630a1",
        "72ab1d39f6d06d10",
    ),
    "image-tiff/tests__images__palette-1c-4b.tiff": (
        "rgb u16 157x151",
        "ac04695690098396",
        "1b227841c4702b81",
    ),
    "image-tiff/tests__images__planar-rgb-u8.tif": ("rgb u8 374x499", "ce42762bdfa7b80c", "79b9606a6ce690b3"),
    "image-tiff/tests__images__predictor-3-rgb-f32.tif": (
        "rgb f32 200x200",
        "e484fd47eb887d23",
        "e4407968f7a952ad",
    ),
    "image-tiff/tests__images__quad-lzw-compat.tiff": (
        "rgb u8 512x384",
        "6b7d3f8fd3d7f4b1",
        "127e6c9ecb7a551a",
    ),
    "image-tiff/tests__images__random-fp16-pred2.tiff": (
        "gray f16 16x16",
        "0f35365b380e2491",
        "8439d5c9f2a8c6c8",
    ),
    "image-tiff/tests__libtiffpic__depth__flower-rgb-planar-24.tif": (
        "rgb u24 73x43",
        "fba9fa4da3a2568f",
        "a2aced3ce86940c0",
    ),
    "image-tiff/tests__libtiffpic__g3test.tif": ("gray u8 1728x1103", "1c2be56a9aee3849", "e67a65c2393b52a0"),
    "image-tiff/tests__libtiffpic__cramps-tile.tif": (
        "gray u8 800x607",
        "f81d87ac0a589b5d",
        "b79059ce8c24a96b",
    ),
    "image-tiff/tests__benches__Transparency-lzw.tif": (
        "rgba u8 300x300",
        "45bd156b833b6d5b",
        "16f184dbf7038da5",
    ),
    "pngsuite/png__basi3p04.png": ("rgb u8 32x32", "0d21b078bfbb9112", "ab7c6cb25dc24986"),
    "pngsuite/png__basn6a16.png": ("rgba u16 32x32", "7187bc79fedb0dd6", "cc06256b55529c0c"),
    "pngsuite/png__tbbn0g04.png": ("graya u8 32x32", "f51451f07ac6d378", "d1a9ea135113098f"),
    "pngsuite/bmp__basn3p04.bmp": ("rgba u8 32x32", "ba84c4d3d0975909", "ab7c6cb25dc24986"),
    "image-tiff/tests__images__minisblack-1c-8b.pgm": (
        "gray u8 157x151",
        "7e703357fa35191e",
        "60133ee96e654bc7",
    ),
    "image-tiff/tests__images__miniswhite-1c-1b.pbm": (
        "gray u8 157x151",
        "dc89d54cd9f630a1",
        "72ab1d39f6d06d10",
    ),
    "image-tiff/tests__images__rgb-3c-8b.ppm": ("rgb u8 157x151", "28689ec0eb392029", "e6be2a2a4a039e92"),
}
"""Path -> (raster, first half of pix1, first half of view1)."""


def analysed(path: Path) -> Analysis:
    return analyse(path.read_bytes(), limits=Limits())


@pytest.mark.parametrize("name", KNOWN)
def test_a_real_image_has_its_known_digests(corpus: Path, name: str) -> None:
    found = analysed(corpus / name)
    assert (found.fidelity, found.reason) == (Fidelity.EXACT, None)
    assert found.image is not None
    assert found.pixels is not None
    assert found.view is not None
    raster = f"{found.image.model} {found.image.dtype} {found.image.width}x{found.image.height}"
    assert (raster, found.pixels.hex()[:16], found.view.hex()[:16]) == KNOWN[name]


def test_the_whole_corpus_is_analysed_and_what_is_not_sound_is_known(corpus: Path) -> None:
    classes: Counter[str] = Counter()
    unsound = set()
    for path in sorted(corpus.rglob("*")):
        if not path.is_file():
            continue
        found = analysed(path)
        classes[found.fidelity.value] += 1
        assert found.reason or found.fidelity is Fidelity.EXACT, path
        if not found.fidelity.sound and found.image is not None:
            unsound.add(path.name)
    assert classes["exact"] >= 663
    assert classes["decoder"] >= 33
    assert unsound == {
        "png__xcsn0g01.png",  # a wrong CRC
        "png__xdtn0g01.png",  # no IDAT
        "png__xhdn0g08.png",  # a wrong CRC
        "test__images__logluv-3c-16b.tiff",
        "tests__fuzz_images__oor_panic__colormap-shl-overflow.tiff",
        "tests__fuzz_images__oor_panic__sample-get-lzw-stuck.tiff",
        "tests__images__logluv-3c-16b.tiff",
        "tests__libtiffpic__off_l16.tif",
        "tests__libtiffpic__off_luv24.tif",
        "tests__libtiffpic__off_luv32.tif",
        "tests__libtiffpic__text.tif",  # ThunderScan data that end too early
    }


def test_the_seed_set_holds_75_pictures_however_they_are_saved(corpus: Path) -> None:
    """107 readable files, and each again as PNG and as LZW TIFF: 321 files, 75 pictures."""
    digests = set()
    files = 0
    for path in sorted((corpus / "shaggy/images").glob("*.tif")):
        found = analysed(path)
        if found.pixels is None:
            assert path.name == "amalfreda_0.tif"
            continue
        same = {found.pixels}
        with Image.open(path) as image:
            image.load()
            for form, options in (("PNG", {}), ("TIFF", {"compression": "tiff_lzw"})):
                buffer = BytesIO()
                image.save(buffer, form, **options)
                again = analyse(buffer.getvalue(), limits=Limits())
                assert again.pixels is not None
                same.add(again.pixels)
        assert len(same) == 1, path.name
        digests |= same
        files += 3
    assert (files, len(digests)) == (321, 75)


@pytest.mark.parametrize("shape", ["Landscape", "Portrait"])
def test_photographs_with_all_orientations_are_upright_in_the_view(corpus: Path, shape: str) -> None:
    """JPEG: the eight were compressed one by one, so that only their sizes as displayed can be equal."""
    found = [analysed(corpus / "exif-orientation" / f"{shape}_{number}.jpg") for number in range(9)]
    orientations = [each.image.orientation for each in found if each.image is not None]
    assert orientations == [1, 1, 2, 3, 4, 5, 6, 7, 8]
    turned = [each for each in found if each.image is not None and each.image.orientation >= 5]
    for each in turned:
        assert each.image is not None
        upright = (each.image.height, each.image.width)
        assert found[1].image is not None
        assert upright == (found[1].image.width, found[1].image.height)
