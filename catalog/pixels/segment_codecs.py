"""The codecs of TIFF segments: one strip or tile in, its packed bytes or its samples out.

Everything raises what the codec raises; ``tiff_raster`` turns that into a finding about one segment.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import imagecodecs
import numpy as np

from catalog.pixels.bare_tiff import bare_tiff
from catalog.pixels.complaints import listen
from catalog.pixels.jpeg2000 import missing_parts
from catalog.pixels.jpeg_complaints import hearing_jpeg

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Samples = NDArray[Any]

listen("imagecodecs")

_DEFLATE: Final = "deflate_decode"
_JPEG2000: Final = "jpeg2k_decode"
# libdeflate is the fastest and checks the Adler-32 (400 of 400 flipped bits found; libtiff's own path: 359).
_BYTES: Final = {
    5: "lzw_decode",
    8: _DEFLATE,
    32773: "packbits_decode",
    32946: _DEFLATE,
    34925: "lzma_decode",
    34926: "zstd_decode",
    50000: "zstd_decode",
    50013: _DEFLATE,
}
_BILEVEL: Final = {2: "ccittrle_decode", 3: "ccittfax3_decode", 4: "ccittfax4_decode"}
JPEG: Final = frozenset((7, 33007, 34892))
_IMAGES: Final = {
    33003: _JPEG2000,
    33004: _JPEG2000,
    33005: _JPEG2000,
    34712: _JPEG2000,
    34887: "lerc_decode",
    34927: "webp_decode",
    34933: "png_decode",
    34934: "jpegxr_decode",
    50001: "webp_decode",
    50002: "jpegxl_decode",
    52546: "jpegxl_decode",
}
_SPARE: Final = 4096
_SHORT: Final = re.compile("Not enough data|not terminated with EOI")
"""What libtiff says of LZW that ends too early."""

LZW: Final = 5
NONE: Final = 1


def gives_bytes(compression: int) -> bool:
    """Whether the codec gives packed bytes, as TIFF 6 lays out a row."""
    return compression == NONE or compression in _BYTES


def is_bilevel(compression: int) -> bool:
    return compression in _BILEVEL


def gives_samples(compression: int) -> bool:
    """Whether the codec has a header of its own and gives an array."""
    return compression in JPEG or compression in _IMAGES


def in_bit_order(segment: memoryview, fill_order: int, compression: int) -> memoryview:
    """The segment with the first bit of each byte highest (rule 7); streams with their own header stay."""
    if fill_order != 2 or gives_samples(compression):
        return segment
    return memoryview(imagecodecs.bitorder_decode(bytes(segment)))


def expand(compression: int, segment: memoryview, target: Bytes, full: int) -> int:
    """Decompress into ``target``; gives the number of bytes that the segment filled.

    ``full`` is what a segment of full height holds: writers pad the last strip up to it, and what is beyond
    ``target`` is of no picture. More than that is an error of the codec, whatever it says.
    """
    if compression == NONE:
        size = min(len(segment), target.size)
        target[:size] = np.frombuffer(segment[:size], np.uint8)
        return size
    if compression == LZW:
        return _expanded_lzw(segment, target, full)
    return _expanded(compression, segment, target, full)


def _expanded_lzw(segment: memoryview, target: Bytes, full: int) -> int:
    """One segment by libtiff; when it is too short for libtiff, what there is of it by imagecodecs' own decoder.

    That one takes a code that stands for nothing yet (a first code above 257) for whatever lies in its memory, bytes of
    another file too, and says that all is well: its word is never taken against libtiff's.
    """
    refused = _refused_lzw(segment, target)
    if refused is None:
        return int(target.size)
    held = _expanded(LZW, segment, target, full) if _SHORT.search(refused) else target.size
    if held >= target.size:
        raise RuntimeError(refused)
    return held


def _refused_lzw(segment: memoryview, target: Bytes) -> str | None:
    """Decompress one segment of LZW by libtiff; why it did not succeed, None when it did."""
    try:
        expand_lzw([segment], target.reshape(1, -1, 1), 1, predictor=1, order="<")
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # noqa: BLE001 (imagecodecs raises its own and numpy's errors)
        return f"libtiff: {' '.join(str(error).split()) or type(error).__name__}"
    return None


def _expanded(compression: int, segment: memoryview, target: Bytes, full: int) -> int:
    codec: Callable[..., Any] = getattr(imagecodecs, _BYTES[compression])
    try:
        return len(codec(segment, out=target))
    except Exception:
        longer = codec(segment, out=max(full, target.size) + _SPARE)
        if len(longer) < target.size:
            raise
        target[:] = np.frombuffer(longer, np.uint8, target.size)
        return int(target.size)


def expand_lzw(
    segments: list[memoryview], target: Samples, rows_per_strip: int, *, predictor: int, order: str
) -> bool:
    """Decompress strips of LZW into ``target`` of shape (rows, width, samples) by libtiff, in one call.

    Undoes predictor 2 for 8- and 16-bit samples when the sample count lets libtiff do it; gives whether it
    did. Big-endian samples are native then, else they are as they stand in the file. Raises RuntimeError
    when any of the strips is broken or short.
    """
    rows, width, samples = target.shape
    bits = target.dtype.itemsize * 8
    undone = predictor == 2 and bits in (8, 16) and samples in (1, 3, 4)
    if undone:
        shape: tuple[int, ...] = (rows, width) if samples == 1 else (rows, width, samples)
        into = target.reshape(shape)
    else:
        into = target.reshape(rows, -1).view(np.uint8)
        width, samples, bits, predictor = into.shape[1], 1, 8, 1
    wrapped = bare_tiff(
        segments,
        width=width,
        height=rows,
        rows_per_strip=rows_per_strip,
        compression=LZW,
        samples=samples,
        bits=bits,
        predictor=predictor,
        order=order,
    )
    imagecodecs.tiff_decode(wrapped, out=into)
    return undone


def bilevel(compression: int, segment: memoryview, height: int, width: int, t4_options: int) -> Bytes:
    """CCITT bits as an array of 0 and 1 (height, width), as the codec's table gives them (0 is white).

    Neither codec that we have tells whether it met bad code words. libtiff by way of Pillow says so on fd 2,
    where the worker listens; and two decoders that go on after an error seldom agree.
    """
    if compression == 3:
        bits: Bytes = imagecodecs.ccittfax3_decode(bytes(segment), height, width, t4options=t4_options)
    else:
        bits = getattr(imagecodecs, _BILEVEL[compression])(segment, height, width)
    second = _bilevel_by_libtiff(compression, segment, height, width, t4_options)
    if second is None or bits.shape != second.shape or not np.array_equal(bits, second):
        raise RuntimeError("two decoders disagree about its CCITT codes")
    return bits


def _bilevel_by_libtiff(
    compression: int, segment: memoryview, height: int, width: int, t4_options: int
) -> Bytes | None:
    from io import BytesIO

    from PIL import TiffImagePlugin

    wrapped = bare_tiff(
        [segment],
        width=width,
        height=height,
        rows_per_strip=height,
        compression=compression,
        bits=1,
        t4_options=t4_options if compression == 3 else None,
    )
    with TiffImagePlugin.TiffImageFile(BytesIO(wrapped)) as image:
        image.load()
        return np.asarray(image).astype(np.uint8) if image.mode == "1" else None


def samples_of(
    compression: int,
    segment: memoryview,
    *,
    tables: bytes,
    colour: tuple[int | None, int | None],
    height: int,
    width: int,
    alpha: bool,
) -> Samples:
    """The array (rows, columns[, samples]) of a segment with a header of its own.

    ``colour``: JPEG's colour space in the stream and the wanted one, as libjpeg numbers them; None
    leaves it to the stream. ``alpha``: a WebP segment may leave out an opaque alpha channel, and gets one.
    """
    array: Samples
    if compression in JPEG:
        with hearing_jpeg(segment, tables):
            array = imagecodecs.jpeg_decode(
                bytes(segment),
                tables=tables or None,
                colorspace=colour[0],
                outcolorspace=colour[1],
                shape=(height, width),
            )
    elif _IMAGES[compression] == "png_decode":
        array = png_samples(segment)
    elif _IMAGES[compression] == "webp_decode":
        array = imagecodecs.webp_decode(bytes(segment), hasalpha=True if alpha else None)
    else:
        lacking = missing_parts(segment) if _IMAGES[compression] == _JPEG2000 else ()
        if lacking:
            raise RuntimeError("; ".join(lacking))
        array = getattr(imagecodecs, _IMAGES[compression])(segment)
    return array


def png_samples(content: Any) -> Samples:
    """The array of a PNG by libpng. Raises RuntimeError with its words.

    Each call that fails gives back a reference to None that it never took (imagecodecs 2026.3.6), and before
    Python 3.12 the last one ends the process: some ten thousand broken files, the worker dies, and a whole
    file is blamed. So the reference is put back.
    """
    try:
        array: Samples = imagecodecs.png_decode(content)
    except Exception:
        if sys.version_info < (3, 12):  # None is immortal since
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(None))
        raise
    return array


def mixed_depths(
    packed: NDArray[np.uint8], shape: tuple[int, int, int], widths: tuple[int, ...], stored: np.dtype[Any]
) -> Samples:
    """Pixels like RGB 5-6-5: each sample by its own number of bits."""
    rows, columns, samples = shape
    bits = np.unpackbits(packed.reshape(rows, -1), axis=1)[:, : columns * sum(widths)]
    bits = bits.reshape(rows, columns, -1)
    out: Samples = np.zeros(shape, np.uint64)
    at = 0
    for sample in range(samples):
        for bit in range(at, at + widths[sample]):
            out[:, :, sample] = (out[:, :, sample] << np.uint64(1)) | bits[:, :, bit]
        at += widths[sample]
    return out.astype(stored)
