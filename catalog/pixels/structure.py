"""What the bytes of an image file say of themselves, without any decoder: the header's truth.

``parse`` reads headers, directories and segment tables with bounds on everything, and says for each image
which canonical raster (model, dtype, channels) it must decode to. What a decoder returns later is held
against this, never the other way round.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final

from catalog.pixels.sniff import sniff
from catalog.terms import Fidelity, Ifd, Layout, PageRole

MAX_FRAMES: Final = 65_536
"""Images of one file that are listed; those of a longer one are ``unverified``."""


class NotAnImage(Exception):
    """The bytes are no image file of a format that we know, or its header is broken; ``str`` says why."""

    def __init__(self, reason: str, *, format: str | None = None, claims: str | None = None) -> None:
        super().__init__(reason)
        self.format = format
        """Pillow's name of the format by its first bytes, when it is one that has no header parser here."""
        self.claims = claims
        """Pillow's name of the format that the file pretends to be, when its header is broken."""


@dataclass(frozen=True, slots=True)
class TiffFrame:
    """The decode-relevant fields of one TIFF IFD, defaults filled in, values as TIFF 6 spells them."""

    photometric: int | None
    """None when the tag is absent."""
    bits: tuple[int, ...]
    """BitsPerSample, one for each sample."""
    sample_format: tuple[int, ...]
    """1 unsigned, 2 signed, 3 float, 4 undefined, 5 complex int, 6 complex float; one for each sample."""
    samples: int
    extra_samples: tuple[int, ...]
    """0 unspecified, 1 associated alpha, 2 unassociated alpha."""
    planar: int
    compression: int
    predictor: int
    fill_order: int
    tiled: bool
    segment_width: int
    """Tile width, or the image's."""
    segment_height: int
    """Tile length, or RowsPerStrip (never more than the image's height)."""
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    """Byte counts of the segments; as long as ``offsets``."""
    color_map: tuple[int, ...] = ()
    """Raw SHORTs: all reds, all greens, all blues."""
    subsampling: tuple[int, int] = (1, 1)
    """YCbCrSubSampling; (1, 1) unless photometric is YCbCr."""
    ink_set: int = 1
    ifd_offset: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of the file, and the canonical raster that it must decode to (docs/pixel-checksum.md)."""

    index: int
    role: PageRole
    width: int
    height: int
    model: str
    """``gray rgb cmyk lab ycbcr`` with ``a`` or ``a-premul`` for alpha, ``cfa inkN``; ``+N`` for N more samples."""
    dtype: str
    """``uN iN`` with the declared bits, ``f16 f32 f64``.

    Unsigned 1-bit samples of any model, 2- and 4-bit gray, and palettes widen to ``u8``."""
    channels: int
    fidelity: Fidelity
    """The best that container and codec permit: EXACT (lossless), DECODER (lossy), UNVERIFIED (quirk)."""
    fidelity_reason: str | None = None
    ifd: int | None = None
    """Index into ``Structure.ifds`` (TIFF)."""
    tiff: TiffFrame | None = None
    counted: bool = True
    """Belongs to the file's combined digest (rule 9)."""
    defects: tuple[str, ...] = ()
    """Proof of damage to this image alone; those of counted frames are in ``Structure.defects``, too."""


@dataclass(slots=True)
class Unfinished:
    """A ``pay1`` digest without its last part: the samples of an uncompressed image, as they stand in the file."""

    before: hashlib._Hash
    segments: Sequence[memoryview]
    finished: hashlib._Hash | None = None

    def digest(self) -> bytes:
        """The whole digest, from the file where nobody has finished it."""
        if self.finished is None:
            self.finished = self.before.copy()
            for segment in self.segments:
                self.finished.update(segment)
        return self.finished.digest()


@dataclass(frozen=True, slots=True)
class Structure:
    """One image file as its headers describe it. ``frames`` is never empty."""

    format: str
    """``TIFF PNG JPEG GIF BMP WEBP`` …, Pillow's names."""
    frames: tuple[Frame, ...]
    layout: Layout
    orientation: int
    """1-8; 1 when absent or out of range."""
    ifds: tuple[Ifd, ...] = ()
    icc: bytes | None = None
    payload: bytes | None = None
    """``pay1`` digest, 32 bytes; None with ``payload_reason``."""
    payload_reason: str | None = None
    defects: tuple[str, ...] = ()
    """Proof of damage, in words: a segment beyond the end, a CRC or Adler-32 that is wrong, truncation."""
    unfinished: Unfinished | None = None
    """In place of ``payload``, where the samples are its last part and whoever hashes them may finish it."""
    detail: dict[str, Any] = field(default_factory=dict)
    """What the format's own decoder module wants to know (PNG: color_type, bit_depth, trns, actl …)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much of a file ``parse`` is to look at (its keywords)."""

    full_values: bool = False
    payload: bool = True
    checksums: bool = True
    unfinished: bool = False


def parse(
    data: bytes | memoryview,
    *,
    full_values: bool = False,
    payload: bool = True,
    checksums: bool = True,
    unfinished: bool = False,
) -> Structure:
    """What the file says of itself. ``NotAnImage`` with a plain reason when it is no image that we know.

    ``full_values``: no ``Tag.raw`` is cut. ``payload``: compute the ``pay1`` digest (one SHA-256 over the
    compressed image); without it both ``payload`` and ``payload_reason`` are None. ``checksums``: inflate the
    image data of a PNG to check their Adler-32 and length (CRCs are always checked); for TIFF there is
    ``tiff_segments.tiff_deflate_defects``. ``unfinished``: the caller reads the samples anyway, and finishes the
    digest of a large uncompressed image with them. ``detail["notes"]`` holds oddities that touch no sample.
    """
    view = memoryview(data)
    name = sniff(view)
    parser = _parsers().get(name) if name is not None else None
    if parser is None:
        raise unknown(view, name)
    return parser(view, Wanted(full_values, payload, checksums, unfinished))


@cache
def _parsers() -> dict[str, Callable[[memoryview, Wanted], Structure]]:
    # Not at the top: the parsers build the values of this module.
    from catalog.pixels import bmp, gif, isobmff, jpeg, jpeg2000, png, pnm, tiff_file, webp

    return {
        "TIFF": tiff_file.parse_tiff,
        "JPEG": jpeg.parse_jpeg,
        "PNG": png.parse_png,
        "WEBP": webp.parse_webp,
        "GIF": gif.parse_gif,
        "BMP": bmp.parse_bmp,
        "PPM": pnm.parse_pnm,
        "JPEG2000": jpeg2000.parse_jpeg2000,
        "AVIF": partial(isobmff.parse_isobmff, name="AVIF"),
        "HEIF": partial(isobmff.parse_isobmff, name="HEIF"),
    }


def unknown(view: memoryview, name: str | None) -> NotAnImage:
    """The reason why bytes without a header parser are no image."""
    if name is not None:
        return NotAnImage(f"{name}: this format has no header parser", format=name)
    if not len(view):
        return NotAnImage("an empty file")
    head = bytes(view[:512])
    if not any(head):
        return NotAnImage("zero bytes where a header should be")
    if b"PNG" in head[:5] or b"IHDR" in head[8:24]:
        return NotAnImage("the PNG signature is damaged (line ends converted, or bit 7 lost)", claims="PNG")
    if all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in head):
        return NotAnImage("text, not an image")
    return NotAnImage(f"no known image format (first bytes {head[:8].hex(' ')})")
