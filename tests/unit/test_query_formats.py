"""Formats as people name them."""

from __future__ import annotations

import pytest

from catalog.config import IMAGE_EXTENSIONS
from catalog.errors import UsageError
from catalog.query.formats import format_named


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("tiff", "TIFF"),
        ("tif", "TIFF"),
        (" .TIF", "TIFF"),
        ("jpg", "JPEG"),
        ("JPEG", "JPEG"),
        ("jp2", "JPEG2000"),
        ("j2k", "JPEG2000"),
        ("jpeg2000", "JPEG2000"),
        ("pgm", "PPM"),
        ("apng", "PNG"),
        ("tga", "TGA"),
    ],
)
def test_a_format_goes_by_its_name_or_any_usual_extension(typed: str, meant: str) -> None:
    assert format_named(typed) == meant


def test_every_extension_that_is_catalogued_names_a_format() -> None:
    for extension in IMAGE_EXTENSIONS:
        assert format_named(extension).isupper()


@pytest.mark.parametrize(
    ("typed", "hint"), [("tfif", "did you mean tif?"), ("jpgg", "did you mean jpg?"), ("§§§", "one of: tiff")]
)
def test_an_unknown_format_is_refused_with_the_nearest(typed: str, hint: str) -> None:
    with pytest.raises(UsageError, match="no such image format") as refused:
        format_named(typed)
    assert hint in str(refused.value)
