"""The loader checksums, as anybody computes them with the libraries themselves."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from catalog.pixels.loaders import loader_checksums
from catalog.terms import Limits

RNG = np.random.default_rng(11)


def written(form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(RNG.integers(0, 256, (24, 31, 3), dtype=np.uint8)).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["TIFF", "PNG", "JPEG", "BMP", "WEBP", "GIF"])
def test_the_three_checksums_are_those_of_the_published_recipes(form: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(written(form))
    found = loader_checksums(path.read_bytes())
    array = cv2.imread(str(path))
    assert found.cv2_imread_md5 == (hashlib.md5(array.tobytes()).digest() if array is not None else None)
    with Image.open(path) as image:
        assert found.pillow_tobytes_md5 == hashlib.md5(image.tobytes()).digest()
    with Image.open(path) as image:
        buffer = BytesIO()
        image.save(buffer, format=image.format)
        assert found.pillow_save_md5 == hashlib.md5(buffer.getvalue()).digest()
    assert [name for name, _ in found.errors] == ([] if array is not None else ["cv2_imread_md5"])


def test_cv2_applies_its_default_orientation_and_depth() -> None:
    exif = Image.Exif()
    exif[274] = 6
    turned = loader_checksums(written("JPEG", exif=exif))
    plain = loader_checksums(written("JPEG"))
    assert turned.cv2_imread_md5 != plain.cv2_imread_md5


def test_what_no_loader_takes_has_words_and_no_checksums() -> None:
    found = loader_checksums(b"not an image at all")
    assert (found.cv2_imread_md5, found.pillow_tobytes_md5, found.pillow_save_md5) == (None, None, None)
    assert [name for name, _ in found.errors] == ["cv2_imread_md5", "pillow_tobytes_md5", "pillow_save_md5"]
    assert found == loader_checksums(b"not an image at all"), "the words are the same every time"


def test_an_empty_file_is_refused_like_any_other() -> None:
    assert loader_checksums(b"").pillow_tobytes_md5 is None


def test_the_guard_against_bombs_holds_for_every_loader() -> None:
    found = loader_checksums(written("PNG"), Limits(decode_pixels=24 * 31 - 1))
    assert (found.cv2_imread_md5, found.pillow_tobytes_md5, found.pillow_save_md5) == (None, None, None)
    before = Image.MAX_IMAGE_PIXELS
    loader_checksums(written("PNG"), Limits(decode_pixels=5))
    assert before == Image.MAX_IMAGE_PIXELS


def test_amalfreda_has_its_published_checksums(corpus: Path) -> None:
    found = loader_checksums((corpus / "shaggy/images/amalfreda_1.tif").read_bytes())
    assert found.cv2_imread_md5 == bytes.fromhex("a2b85e3545d8b525fe20d90ebe5d847e")
    assert found.pillow_tobytes_md5 == bytes.fromhex("6c2fa1935394b7489494647bb6ee35b3")
    assert found.pillow_save_md5 == bytes.fromhex("d0dd3bc05dead39e2177c59f2925cd2b")


def test_what_opencv_refuses_is_told_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dict(loader_checksums(b"").errors)["cv2_imread_md5"] == "the file is empty"
    for content in (b"text", written("PNG")[:40]):
        assert dict(loader_checksums(content).errors)["cv2_imread_md5"] == "cv2 cannot read it"
    monkeypatch.setattr(cv2, "imdecode", lambda *_: cv2.resize(np.zeros((2, 2), np.uint8), (0, 0)))
    assert dict(loader_checksums(written("PNG")).errors)["cv2_imread_md5"] == "cv2 refuses it"
