"""The header parsers on every file of the image corpus: no surprise, no disagreement with other readers."""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import tifffile
from PIL import Image

from catalog.pixels.structure import NotAnImage, Structure, parse
from catalog.terms import Fidelity, PageRole

# Files whose headers are broken by intent, and the one of the share that was cut short.
NO_IMAGES = {
    "amalfreda_0.tif": "truncated: the first directory is at byte 23,816 of 20,480",
    "tests__fuzz_images__oor_panic__graydepth-invert-overflow-5a0aad5024cc4ff3.tiff": "no image size (0 x 255)",
    "tests__fuzz_images__oor_panic__graydepth-invert-overflow-9f2f479685f84884.tiff": "no image size (0 x 0)",
    "png__xc1n0g08.png": "no color type 1",
    "png__xc9n2c08.png": "no color type 9",
    "png__xd0n2c08.png": "with 0 bits",
    "png__xd3n2c08.png": "with 3 bits",
    "png__xd9n2c08.png": "with 99 bits",
    "png__xcrn0g04.png": "signature is damaged",
    "png__xlfn0g04.png": "signature is damaged",
    "png__xs1n0g01.png": "signature is damaged",
    "png__xs2n0g01.png": "signature is damaged",
    "png__xs4n0g01.png": "signature is damaged",
    "png__xs7n0g01.png": "signature is damaged",
    "metadata.csv": "text, not an image",
    "kydoimos.csv": "text, not an image",
    "PROVENANCE.md": "text, not an image",
}
DAMAGED = {
    "tests__fuzz_images__oor_panic__colormap-shl-overflow.tiff",
    "tests__fuzz_images__oor_panic__sample-get-lzw-stuck.tiff",
    "png__xcsn0g01.png",
    "png__xdtn0g01.png",
    "png__xhdn0g08.png",
}


@pytest.fixture(scope="module")
def parsed(corpus: Path) -> dict[Path, Structure | NotAnImage]:
    found: dict[Path, Structure | NotAnImage] = {}
    for path in sorted(path for path in corpus.rglob("*") if path.is_file()):
        try:
            found[path] = parse(path.read_bytes())
        except NotAnImage as error:
            found[path] = error
    return found


def images(
    parsed: dict[Path, Structure | NotAnImage], form: str | None = None
) -> list[tuple[Path, Structure]]:
    return [
        (path, structure)
        for path, structure in parsed.items()
        if isinstance(structure, Structure) and form in (None, structure.format)
    ]


def test_exactly_the_broken_headers_and_the_texts_are_no_images(
    parsed: dict[Path, Structure | NotAnImage],
) -> None:
    refused = {path.name: str(error) for path, error in parsed.items() if isinstance(error, NotAnImage)}
    assert set(refused) == set(NO_IMAGES)
    assert [name for name, reason in refused.items() if NO_IMAGES[name] not in reason] == []


def test_exactly_the_damaged_files_have_defects(parsed: dict[Path, Structure | NotAnImage]) -> None:
    assert {path.name for path, structure in images(parsed) if structure.defects} == DAMAGED


def test_payloads_are_there_or_say_why_not(parsed: dict[Path, Structure | NotAnImage]) -> None:
    for path, structure in images(parsed):
        assert (structure.payload is None) is (structure.payload_reason is not None), path
    missing = {path.name for path, structure in images(parsed) if structure.payload is None}
    old_jpeg = {"tests__libtiffpic__smallliz.tif", "tests__libtiffpic__zackthecat.tif"}
    assert missing == DAMAGED | old_jpeg


def test_equal_payloads_are_equal_pictures(parsed: dict[Path, Structure | NotAnImage]) -> None:
    groups: dict[bytes, list[Structure]] = {}
    for _, structure in images(parsed):
        if structure.payload is not None:
            groups.setdefault(structure.payload, []).append(structure)
    shared = [group for group in groups.values() if len(group) > 1]
    assert shared  # the corpus has copies
    for group in shared:
        first = group[0]
        assert all(other.frames[0].model == first.frames[0].model for other in group)
        assert all(other.frames[0].dtype == first.frames[0].dtype for other in group)


def test_the_share_of_the_seed_is_exact_rgb(parsed: dict[Path, Structure | NotAnImage]) -> None:
    share = [structure for path, structure in images(parsed) if path.parent.parent.name == "shaggy"]
    assert len(share) == 107
    for structure in share:
        (frame,) = structure.frames
        assert (frame.model, frame.dtype, frame.channels, frame.fidelity) == ("rgb", "u8", 3, Fidelity.EXACT)


def test_orientations_are_those_of_the_names(parsed: dict[Path, Structure | NotAnImage]) -> None:
    found = {path.stem: structure.orientation for path, structure in images(parsed, "JPEG")}
    for layout in ("Landscape", "Portrait"):
        assert [found[f"{layout}_{number}"] for number in range(9)] == [1, 1, 2, 3, 4, 5, 6, 7, 8]


def test_pillow_opens_no_image_that_we_refuse_and_agrees_on_sizes(
    parsed: dict[Path, Structure | NotAnImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    compared = 0
    for path, structure in parsed.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = Image.open(io.BytesIO(path.read_bytes()))
            except (OSError, ValueError):
                continue
        with image:
            assert isinstance(structure, Structure), path
            shown = [frame for frame in structure.frames if frame.role is not PageRole.SUBIFD]
            size = (shown[0].width, shown[0].height)
            assert image.format == structure.format, path
            turned = structure.format == "TIFF" and structure.orientation >= 5
            assert image.size == (size[::-1] if turned else size), path
            assert getattr(image, "n_frames", 1) == len(shown), path
            compared += 1
    assert compared > 600


def test_tifffile_agrees_on_every_tag(parsed: dict[Path, Structure | NotAnImage]) -> None:
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    compared = 0
    for path, structure in images(parsed, "TIFF"):
        if path.name in DAMAGED:
            continue
        with tifffile.TiffFile(path) as reader:
            pages = [ifd for ifd in structure.ifds if ifd.parent is None]
            assert len(pages) == len(reader.pages), path
            frames = {frame.ifd: frame for frame in structure.frames}
            for ifd, theirs in zip(pages, reader.pages, strict=True):
                ours = [(tag.code, tag.type, tag.count) for tag in ifd.tags]
                assert sorted(ours) == sorted((tag.code, int(tag.dtype), tag.count) for tag in theirs.tags), (
                    path
                )
                compared += len(ours)
                _same_fields(path, frames[ifd.index].tiff, theirs)
    assert compared > 4_000


def _same_fields(path: Path, tiff: Any, theirs: Any) -> None:
    assert tiff.offsets == tuple(theirs.dataoffsets), path
    assert tiff.counts == tuple(theirs.databytecounts), path
    assert tiff.samples == theirs.samplesperpixel, path
    assert tiff.compression == theirs.compression, path
    assert tiff.predictor == theirs.predictor, path
    assert tiff.planar == theirs.planarconfig, path
    assert tiff.fill_order == theirs.fillorder, path
