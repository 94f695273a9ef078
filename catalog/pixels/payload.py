"""``pay1``, the payload digest: the compressed image and every parameter needed to decode it.

It needs no decoder, survives metadata edits, and changes with any recompression. Normative definition:

    SHA-256( "pay1\\n" FORMAT "\\n" PART PART … )          PART = NAME " " LENGTH "\\n" BYTES

FORMAT is Pillow's name, LENGTH the decimal number of BYTES. Numbers inside BYTES are ASCII decimals joined
by one space. The parts of each format, in this order:

JPEG   each SOF, DQT, DHT, DAC, DRI, DNL segment and Adobe's APP14 in the file's order, NAME its marker in
       hexadecimal (``C0``), BYTES the segment without marker and length; each SOS segment likewise
       (``DA``), followed by ``scan``, the entropy-coded bytes with their restart markers. At EOI ``color``:
       how the components are to be read (``gray ycbcr rgb cmyk ycck``), because JFIF's marker decides it.
PNG    each IHDR, PLTE, tRNS, acTL, fcTL and fdAT chunk in the file's order; all IDAT chunks as one part
       where the first one stands. CRCs and chunk boundaries of IDAT are not in it.
WEBP   ``VP8X``: canvas width, height and 1 for alpha or 0 (as far as the decoder knows it); then each VP8,
       VP8L, ALPH, ANIM and ANMF chunk. Flags that announce metadata are not in it.
GIF    ``screen``: logical width, height, background index; ``palette``: the global one; then for each image
       ``image``: left, top, width, height, interlaced, disposal, transparent index or -1; ``palette``: the
       local one; ``lzw``: minimum code size and sub-blocks as stored. Delays and comments are not in it.
BMP    ``header``: width, height (negative: top down), bits, compression, the four masks; ``palette`` (as
       stored, then the bytes of one entry); ``pixels``.
PPM    ``header``: magic, width, height, depth, maxval or scale, tuple type; ``pixels``.
TIFF   ``images``: how many counted frames; for each ``fields`` (docs/pixel-checksum.md: the decode-relevant
       fields with defaults filled in; the byte order when a sample has more than 8 bits), ``ColorMap``,
       ``JPEGTables`` and the parameters of YCbCr where there are any, ``counts``: the segments' byte
       counts, and ``segments``: their bytes in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from catalog.pixels.structure import Frame
from catalog.pixels.tiff import Walk
from catalog.pixels.tiff_model import PREDICTED


class Payload:
    """A ``pay1`` digest in the making."""

    def __init__(self, format_name: str) -> None:
        self._hash = hashlib.sha256(f"pay1\n{format_name}\n".encode())

    def part(self, name: str, content: bytes | memoryview) -> None:
        self.joined(name, (content,))

    def joined(self, name: str, pieces: Sequence[bytes | memoryview]) -> None:
        """One part whose bytes are the pieces joined."""
        self._hash.update(f"{name} {sum(map(len, pieces))}\n".encode())
        for piece in pieces:
            self._hash.update(piece)

    def before(self, name: str, size: int) -> hashlib._Hash:
        """The hash as it stands before the bytes of one more part, of ``size`` bytes."""
        begun = self._hash.copy()
        begun.update(f"{name} {size}\n".encode())
        return begun

    def numbers(self, name: str, values: Iterable[int | str]) -> None:
        """One part of decimal numbers (or words)."""
        self.part(name, " ".join(map(str, values)).encode())

    def digest(self) -> bytes:
        """32 bytes."""
        return self._hash.digest()


# Tags that parametrise decoding and are no fields of TiffFrame, with TIFF 6's defaults where it has any.
_TIFF_OPTIONS: Final = ((292, 0), (293, 0), (32997, 1), (34750, 0))
_TIFF_TABLES: Final = (
    (347, "JPEGTables"),
    (50674, "LercParameters"),
    (512, "JPEGProc"),
    (513, "JPEGInterchangeFormat"),
    (514, "JPEGInterchangeFormatLength"),
    (515, "JPEGRestartInterval"),
    (517, "JPEGLosslessPredictors"),
    (518, "JPEGPointTransforms"),
    (519, "JPEGQTables"),
    (520, "JPEGDCTables"),
    (521, "JPEGACTables"),
)
_YCBCR_TABLES: Final = (
    (529, "YCbCrCoefficients"),
    (531, "YCbCrPositioning"),
    (532, "ReferenceBlackWhite"),
)


def tiff_payload(view: memoryview, walk: Walk, frames: Sequence[Frame]) -> tuple[bytes | None, str | None]:
    """``pay1`` of a TIFF over its counted frames, or None and why."""
    chosen = [frame for frame in frames if frame.counted]
    reason = tiff_without_payload(view, walk, chosen)
    if reason is not None:
        return None, reason
    payload = Payload("TIFF")
    payload.numbers("images", [len(chosen)])
    for frame in chosen:
        _tiff_fields(payload, walk, frame)
        payload.joined("segments", tiff_segments(view, frame))
    return payload.digest(), None


def tiff_without_payload(view: memoryview, walk: Walk, chosen: Sequence[Frame]) -> str | None:
    """Why there is no ``pay1`` of a TIFF of these counted frames; None when there is one."""
    total = 0
    for frame in chosen:
        assert frame.tiff is not None
        if frame.defects:
            return f"damaged: {frame.defects[0]}"
        if frame.tiff.compression == 6:
            return "old-style JPEG keeps its tables outside its strips"
        total += sum(frame.tiff.counts)
    if total > 2 * len(view):
        # Honest files share a blank tile now and then; hashing one segment a million times is a trap.
        return "segments overlap: together they are longer than the file"
    if walk.limited is not None or walk.defects:
        return walk.limited or f"damaged: {walk.defects[0]}"
    return None


def tiff_before_segments(walk: Walk, frame: Frame) -> hashlib._Hash:
    """``pay1`` of a TIFF of one image up to the bytes of its segments."""
    assert frame.tiff is not None
    payload = Payload("TIFF")
    payload.numbers("images", [1])
    _tiff_fields(payload, walk, frame)
    return payload.before("segments", sum(frame.tiff.counts))


def tiff_segments(view: memoryview, frame: Frame) -> list[memoryview]:
    """The bytes of a frame's segments, in order."""
    assert frame.tiff is not None
    return [view[at : at + count] for at, count in zip(frame.tiff.offsets, frame.tiff.counts, strict=True)]


def _tiff_fields(payload: Payload, walk: Walk, frame: Frame) -> None:
    tiff = frame.tiff
    assert tiff is not None and frame.ifd is not None
    directory = walk.directories[frame.ifd]
    photometric = -1 if tiff.photometric is None else tiff.photometric
    geometry = (frame.width, frame.height, tiff.tiled + 0, tiff.segment_width, tiff.segment_height)
    values: list[int | str] = [*geometry, photometric, tiff.compression, tiff.samples]
    values += [tiff.predictor if tiff.compression in PREDICTED else 1, tiff.fill_order]
    values += [tiff.planar if tiff.samples > 1 else 1, tiff.ink_set, *tiff.subsampling]
    values += [directory.number(code, default) for code, default in _TIFF_OPTIONS]
    values += ["bits", *tiff.bits, "formats", *tiff.sample_format, "extra", *tiff.extra_samples]
    if max(tiff.bits) > 8:
        values.append(walk.order)
    payload.numbers("fields", values)
    if tiff.color_map:
        payload.numbers("ColorMap", tiff.color_map)
    tables = _TIFF_TABLES + (_YCBCR_TABLES if photometric == 6 else ())
    for code, name in tables:
        if code in directory.by_code:
            payload.part(name, directory.raw(code))
    payload.numbers("counts", tiff.counts)
