"""Whatever happens to a file's bytes: a structure or ``NotAnImage``, soon."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from catalog.pixels.sniff import sniff
from catalog.pixels.structure import NotAnImage, Structure, parse
from catalog.pixels.tiff_segments import tiff_deflate_defects
from catalog.terms import IfdKind

SECONDS = 0.5
"""No file of these sizes takes a thousandth of this; a shared machine may."""


def tiff(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def saved(form: str, mode: str = "RGB", **options: Any) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(np.arange(30 * 20 * 3, dtype="u1").reshape(20, 30, 3)).convert(mode)
    image.save(stream, form, **options)
    return stream.getvalue()


def exif() -> Image.Exif:
    block = Image.Exif()
    block[274] = 6
    block.get_ifd(0x8769)[36864] = b"0300"
    block.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    return block


def pages() -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, byteorder=">") as writer:
        writer.write(np.zeros((8, 9), "u2"), subifds=2)
        writer.write(np.zeros((4, 4), "u2"), subfiletype=1)
        writer.write(np.zeros((2, 2), "u2"), subfiletype=1)
        writer.write(np.zeros((8, 9, 3), "u1"), compression="zlib", tile=(16, 16))
    return stream.getvalue()


IMAGES = [
    tiff(np.zeros((6, 5), "u1")),
    tiff(np.zeros((6, 5, 3), "u2"), byteorder=">", planarconfig="separate", photometric="rgb"),
    tiff(np.zeros((6, 5), "u1"), bigtiff=True, compression="zlib", predictor=2),
    tiff(np.zeros((6, 5), "u1"), photometric="palette", colormap=np.zeros((3, 256), "u2")),
    pages(),
    saved("TIFF", compression="jpeg", exif=exif()),
    saved("JPEG", exif=exif(), icc_profile=b"profile"),
    saved("JPEG", "CMYK", progressive=True),
    saved("PNG", exif=exif(), icc_profile=b"profile"),
    saved("PNG", "P"),
    saved("PNG", save_all=True, append_images=[Image.new("RGB", (30, 20))]),
    saved("WEBP", lossless=True, exif=exif()),
    saved("WEBP", save_all=True, append_images=[Image.new("RGB", (30, 20))]),
    saved("GIF", "P", save_all=True, append_images=[Image.new("P", (30, 20), 3)]),
    saved("BMP"),
    saved("BMP", "P"),
    saved("PPM"),
]
EDGES = st.sampled_from([0, 1, 2, 3, 7, 8, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A real file with some bytes, words or whole stretches changed; the header is hit most often."""
    content = bytearray(draw(st.sampled_from(IMAGES)))
    for _ in range(draw(st.integers(1, 6))):
        if not content:
            break
        reach = draw(st.sampled_from([16, 64, 256, len(content)]))
        at = draw(st.integers(0, min(reach, len(content)) - 1))
        if draw(st.booleans()):
            at = len(content) - 1 - at
        change = draw(st.sampled_from(["byte", "word", "long", "cut", "copy", "drop"]))
        if change == "byte":
            content[at] ^= draw(st.integers(1, 255))
        elif change in ("word", "long"):
            length = 2 if change == "word" else 4
            order = draw(st.sampled_from(["little", "big"]))
            value = draw(EDGES | st.integers(0, len(content) + 8)) & ((1 << 8 * length) - 1)
            content[at : at + length] = value.to_bytes(length, order)
        elif change == "cut":
            del content[at:]
        elif change == "copy":
            content[at:at] = content[at : at + draw(st.integers(1, 64))]
        else:
            del content[at : at + draw(st.integers(1, 64))]
    return bytes(content)


def checked(content: bytes) -> Structure | None:
    """Parse within the time limit and hold the result to its promises."""
    started = time.perf_counter()
    try:
        structure = parse(content)
    except NotAnImage as error:
        assert str(error)
        return None
    finally:
        assert time.perf_counter() - started < SECONDS
    assert structure.frames
    assert any(frame.counted for frame in structure.frames)
    assert [frame.index for frame in structure.frames] == list(range(len(structure.frames)))
    assert 1 <= structure.orientation <= 8
    assert (structure.payload is None) is (structure.payload_reason is not None)
    assert [ifd.index for ifd in structure.ifds] == list(range(len(structure.ifds)))
    for ifd in structure.ifds:
        assert ifd.parent is None or ifd.parent < ifd.index
        for tag in ifd.tags:
            assert isinstance(tag.value, list)
    for frame in structure.frames:
        assert frame.width > 0 and frame.height > 0 and frame.channels > 0
        assert frame.model and frame.dtype[0] in "uif"
        assert (frame.fidelity_reason is None) is (frame.fidelity == "exact")
        if frame.tiff is not None:
            assert len(frame.tiff.offsets) == len(frame.tiff.counts)
            assert len(frame.tiff.bits) == len(frame.tiff.sample_format) == frame.tiff.samples
            assert frame.tiff.segment_width > 0 and frame.tiff.segment_height > 0
            assert frame.ifd is not None
            assert structure.ifds[frame.ifd].kind not in (IfdKind.EXIF, IfdKind.GPS, IfdKind.INTEROP)
    return structure


def test_the_unharmed_files_are_images() -> None:
    for content in IMAGES:
        structure = checked(content)
        assert structure is not None
        assert structure.defects == ()
        assert structure.payload is not None


@settings(max_examples=600, deadline=None)
@given(mutants())
def test_mutants_are_structures_or_no_images(content: bytes) -> None:
    structure = checked(content)
    if structure is not None and structure.format == "TIFF":
        for frame in structure.frames:
            tiff_deflate_defects(content, frame)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"]), st.binary(max_size=400))
def test_noise_behind_a_tiff_signature_is_survived(signature: bytes, noise: bytes) -> None:
    checked(signature + noise)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(IMAGES), st.data())
def test_a_cut_file_has_no_payload(content: bytes, data: st.DataObject) -> None:
    """Truncation is never taken for a metadata edit: no payload, or no part of the payload was lost."""
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    structure = checked(cut)
    if structure is not None and structure.payload is not None:
        assert structure.payload == parse(content).payload


@given(st.binary(max_size=100))
def test_sniff_is_total(content: bytes) -> None:
    assert sniff(content) is None or isinstance(sniff(content), str)
