"""What is in a file: pages, layout, checksums, and the decoders that said so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from catalog.terms.identity import Fidelity
from catalog.terms.tags import Ifd
from catalog.terms.words import printable


@dataclass(frozen=True, slots=True)
class Layout:
    """How the payload is laid out, and what lies beside it: everything that may change while each sample stays.

    Fields that a container does not have are None. ``rest`` is a hex digest over the layouts of the
    further pages, so that two layouts are equal only when all pages' are.
    """

    container: str
    """``TIFF``, ``BigTIFF``, ``PNG``, ``JPEG`` …"""
    compression: str | None = None
    """In words: ``none``, ``LZW``, ``Deflate``, ``PackBits``, ``JPEG``, ``CCITT G4`` …"""
    byte_order: str | None = None
    """``little`` or ``big``."""
    predictor: int | None = None
    planar: str | None = None
    """``contiguous`` or ``separate``."""
    segments: int | None = None
    """Number of strips or tiles."""
    rows_per_strip: int | None = None
    """None when the image is tiled."""
    tile_width: int | None = None
    tile_height: int | None = None
    fill_order: int | None = None
    interlaced: bool | None = None
    """PNG Adam7, interlaced GIF, progressive JPEG."""
    subsampling: str | None = None
    """JPEG: ``4:2:0`` …"""
    rest: str | None = None
    trailing: int | None = None
    """Bytes after the end of the image (JPEG, PNG); None for none."""
    beside: str | None = None
    """What stands beside the picture and is no tag, in words: ``comment, XMP``; None for nothing."""


def compression_words(compression: str) -> str:
    """A ``Layout.compression`` as people read it: ``no compression``, ``LZW`` …"""
    return "no compression" if compression == "none" else printable(compression)


class PageRole(StrEnum):
    PAGE = "page"
    THUMBNAIL = "thumbnail"
    MASK = "mask"
    SUBIFD = "subifd"
    FRAME = "frame"


@dataclass(frozen=True, slots=True)
class Page:
    """One image of a file. Digests are None where this page did not decode."""

    index: int
    role: PageRole
    width: int
    height: int
    model: str
    dtype: str
    channels: int
    pixels: bytes | None = None
    view: bytes | None = None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the header says (never what a decoder returned). Sizes are stored pixels, before orientation."""

    format: str
    """``TIFF``, ``PNG``, ``JPEG``, ``GIF``, ``BMP``, ``WEBP`` …"""
    width: int
    height: int
    frames: int
    """Pages or animation frames that belong to the picture."""
    model: str
    """``gray rgb rgba cmyk lab …`` as in docs/pixel-checksum.md."""
    dtype: str
    """``u8 u16 i16 f32 …`` with the declared bits."""
    channels: int
    orientation: int
    """1-8 as in TIFF tag 274; 1 when absent or out of range."""
    icc_sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class Loaders:
    """The three loader checksums: evidence of one loader at one version, never an identity.

    Each is an md5 (16 bytes) or None; the reasons for None are in ``errors`` (field name -> words).
    """

    cv2_imread_md5: bytes | None = None
    pillow_tobytes_md5: bytes | None = None
    pillow_save_md5: bytes | None = None
    errors: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything that is a function of the bytes and of the decoders: facts, digests, tags.

    ``pixels`` and ``view`` are SHA-256 (32 bytes); what they prove is ``fidelity``, and ``reason`` says in
    plain words why it is not ``exact`` or ``decoder``. ``payload`` is independent of the decoders.
    """

    fidelity: Fidelity
    reason: str | None
    pixels: bytes | None = None
    view: bytes | None = None
    payload: bytes | None = None
    payload_reason: str | None = None
    image: ImageFacts | None = None
    layout: Layout | None = None
    pages: tuple[Page, ...] = ()
    """All images of the file in order; empty when nothing is known of them."""
    ifds: tuple[Ifd, ...] = ()
    loaders: Loaders | None = None
    complaints: tuple[str, ...] = ()
    """What decoders said on fd 2 or in their logs."""
    near: bytes | None = None
    """``dct256-v1`` of the first image (32 bytes): what it looks like from afar, never an identity."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The decoders of this machine. ``epoch`` is the digest of what they make of the canary images."""

    spec: int
    epoch: bytes
    components: tuple[tuple[str, str], ...]
    """(library, version), sorted."""
