"""Names of tags as their standards spell them."""

from __future__ import annotations

import PIL.TiffTags
import pytest
from PIL import ExifTags
from tifffile import COMPRESSION, PHOTOMETRIC

from catalog.pixels.tagnames import (
    COMPRESSION_NAMES,
    EXIF_NAMES,
    GPS_NAMES,
    INTEROP_NAMES,
    PHOTOMETRIC_NAMES,
    TIFF_NAMES,
    compression_name,
    photometric_name,
    tag_name,
)
from catalog.terms import IfdKind

# Where Pillow's table is not what the standard says, or leaves out the standard's plural.
OURS = {34377: "PhotoshopImageResources", 33723: "IPTC", 40965: "InteroperabilityIFD"}


def test_baseline_names_are_those_of_pillow() -> None:
    for code, info in PIL.TiffTags.TAGS_V2.items():
        if code < 34_000:
            assert tag_name(IfdKind.PAGE, code) == OURS.get(code, info.name)


def test_gps_names_are_those_of_exif() -> None:
    assert {code: GPS_NAMES[code] for code in range(32)} == {
        tag.value: tag.name for tag in ExifTags.GPS if tag.value < 32
    }


def test_exif_names_are_those_of_exif() -> None:
    # Pillow keeps the names of older editions for these.
    renamed = {
        34855: "PhotographicSensitivity",
        37520: "SubSecTime",
        37521: "SubSecTimeOriginal",
        37522: "SubSecTimeDigitized",
        37888: "Temperature",
        40960: "FlashpixVersion",
        40962: "PixelXDimension",
        40963: "PixelYDimension",
        40965: "InteroperabilityIFD",
        42080: "CompositeImage",
        42081: "SourceImageNumberCompositeImage",
        42082: "SourceExposureTimesCompositeImage",
    }
    known = {tag.value: tag.name for tag in ExifTags.Base}
    for code, name in EXIF_NAMES.items():
        assert name == renamed.get(code, known.get(code, name)), code
    assert EXIF_NAMES[42039] == "Photographer"  # Exif 3.0


def test_one_number_means_different_things_by_directory() -> None:
    assert tag_name(IfdKind.GPS, 11) == "GPSDOP"
    assert tag_name(IfdKind.PAGE, 11) == "ProcessingSoftware"
    assert tag_name(IfdKind.INTEROP, 1) == "InteroperabilityIndex"
    assert tag_name(IfdKind.GPS, 1) == "GPSLatitudeRef"
    assert tag_name(IfdKind.PAGE, 37500) == tag_name(IfdKind.EXIF, 37500) == "MakerNote"


@pytest.mark.parametrize("kind", list(IfdKind))
def test_numbers_that_nobody_defined_are_hexadecimal(kind: IfdKind) -> None:
    assert tag_name(kind, 0xC4A6) == "0xc4a6"
    assert tag_name(kind, 0xFFFF) == "0xffff"


def test_names_are_words() -> None:
    for table in (TIFF_NAMES, EXIF_NAMES, GPS_NAMES, INTEROP_NAMES):
        assert all(0 <= code <= 0xFFFF and name.isidentifier() for code, name in table.items())
        assert len(set(table.values())) >= len(table) - 3


def test_compressions_and_photometrics_have_words() -> None:
    assert {member.value for member in PHOTOMETRIC} <= set(PHOTOMETRIC_NAMES)
    known = {member.value for member in COMPRESSION if member.name not in ("JPEG_99", "IMPACJ")}
    assert {1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34712, 34887, 34925, 50000, 50001, 50002} <= known & set(
        COMPRESSION_NAMES
    )
    assert [compression_name(code) for code in (1, 3, 4, 5, 8, 32773, 7, 34925, 50000, 50001)] == [
        "none",
        "CCITT G3",
        "CCITT G4",
        "LZW",
        "Deflate",
        "PackBits",
        "JPEG",
        "LZMA",
        "ZSTD",
        "WebP",
    ]
    assert compression_name(65_535) == "unknown (65535)"
    assert photometric_name(77) == "unknown (77)"
