"""JPEG 2000: boxes of a JP2, main header of the codestream.

Sources: ISO/IEC 15444-1, Annexes A (markers) and I (JP2 boxes).
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from catalog.pixels.boxes import Fields, boxes
from catalog.pixels.exif import Exif, parse_exif
from catalog.pixels.structure import Frame, NotAnImage, Structure, Wanted
from catalog.terms import Fidelity, Layout, PageRole, counted

_START: Final = b"\xff\x4f\xff\x51"
_END: Final = b"\xff\xd9"
_COD: Final = 0xFF52
_SOT: Final = 0xFF90
_SOT_MARKER: Final = b"\xff\x90"
_TILE_PART: Final = struct.Struct(">4xHIxB")
"""Isot, Psot and TNsot of a tile-part, from its marker on."""
_EXIF: Final = b"JpgTiffExif->JP2"
_SPACES: Final = {16: ("rgb", 3), 17: ("gray", 1), 18: ("rgb", 3), 12: ("cmyk", 4)}
_PROFILES: Final = {b"GRAY": ("gray", 1), b"RGB ": ("rgb", 3), b"CMYK": ("cmyk", 4)}
_LOSSY: Final = "JPEG2000 compression: samples depend on the decoder"


@dataclass(slots=True)
class Header:
    """What boxes and main header say."""

    width: int = 0
    height: int = 0
    depths: tuple[int, ...] = ()
    """Ssiz of each component: bits - 1, bit 7 for signed."""
    steps: frozenset[tuple[int, int]] = frozenset()
    """Subsampling of the components."""
    reversible: bool | None = None
    space: int | None = None
    """EnumCS."""
    icc: bytes | None = None
    palette: bool = False
    alpha: int | None = None
    """1 unassociated, 2 associated; None: no channel is said to be alpha."""
    exif: Exif | None = None
    boxed: bool = False
    defects: list[str] = field(default_factory=list)


def parse_jpeg2000(view: memoryview, wanted: Wanted) -> Structure:
    """What a JPEG 2000 file says of itself (``structure.parse``)."""
    found = Header()
    try:
        stream = view if bytes(view[:4]) == _START else _boxes(view, found, wanted)
        _main_header(stream, found)
    except IndexError as error:
        raise NotAnImage(f"JPEG2000: truncated in its header: {error}", claims="JPEG2000") from error
    if not found.width or not found.height or not found.depths:
        raise NotAnImage("JPEG2000: no image size", claims="JPEG2000")
    if bytes(stream[-2:]) != _END:
        found.defects.append("truncated: no end marker (EOC)")
    return Structure(
        format="JPEG2000",
        frames=(_frame(found),),
        layout=Layout(
            container="JP2" if found.boxed else "JPEG 2000 codestream",
            compression="JPEG 2000 reversible" if found.reversible else "JPEG 2000",
        ),
        orientation=found.exif.orientation if found.exif else 1,
        ifds=found.exif.ifds if found.exif else (),
        icc=found.icc,
        payload_reason="no payload digest for JPEG2000" if wanted.payload else None,
        defects=tuple(found.defects),
        detail={"notes": found.exif.notes if found.exif else ()},
    )


def missing_parts(stream: memoryview) -> tuple[str, ...]:
    """What a codestream lacks that a decoder would make up in silence, in words; what is no codestream is left to
    the decoder."""
    found = Header()
    try:
        _main_header(stream, found)
    except (IndexError, NotAnImage):
        return ()
    return tuple(found.defects)


def _boxes(view: memoryview, found: Header, wanted: Wanted) -> memoryview:
    """Read the boxes; the codestream."""
    found.boxed = True
    stream: memoryview | None = None
    for box in boxes(view):
        if box.kind == b"jp2h":
            for inner in boxes(box.body):
                _colour(inner.kind, Fields(inner.body), found)
        elif box.kind == b"uuid" and bytes(box.body[:16]) == _EXIF and found.exif is None:
            found.exif = parse_exif(box.body[16:], full_values=wanted.full_values)
        elif box.kind == b"jp2c" and stream is None:
            stream = box.body
            if not box.whole:
                found.defects.append("truncated: the codestream reaches beyond the end of the file")
    if stream is None:
        raise NotAnImage("JPEG2000: no codestream", claims="JPEG2000")
    return stream


def _colour(kind: bytes, fields: Fields, found: Header) -> None:
    if kind == b"colr" and found.space is None and found.icc is None:  # of several the first is for us
        method = fields.number(1)
        fields.number(2)
        if method == 1:
            found.space = fields.number(4)
        elif method in (2, 3):
            found.icc = bytes(fields.rest)
    elif kind == b"pclr":
        found.palette = True
    elif kind == b"cdef":
        for _ in range(min(fields.number(2), 256)):
            _, channel_type, _ = fields.number(2), fields.number(2), fields.number(2)
            if channel_type in (1, 2):
                found.alpha = channel_type


def _main_header(stream: memoryview, found: Header) -> None:
    fields = Fields(stream)
    if fields.take(4) != _START:
        raise NotAnImage("JPEG2000: its codestream has no SIZ marker", claims="JPEG2000")
    size = Fields(memoryview(fields.take(fields.number(2) - 2)))
    size.number(2)
    right, bottom, left, top = (size.number(4) for _ in range(4))
    across, down, tiles_left, tiles_top = (size.number(4) for _ in range(4))
    found.width, found.height = max(0, right - left), max(0, bottom - top)
    tiles = -(-(right - tiles_left) // (across or 1)) * -(-(bottom - tiles_top) // (down or 1))
    components = size.number(2)
    read = [(size.number(1), (size.number(1), size.number(1))) for _ in range(min(components, 16_384))]
    found.depths = tuple(depth for depth, _ in read)
    found.steps = frozenset(step for _, step in read)
    for _ in range(10_000):
        marker = fields.number(2)
        if marker == _SOT:
            _tile_parts(stream, len(stream) - len(fields.rest) - 2, tiles, found)
            return
        body = Fields(memoryview(fields.take(max(0, fields.number(2) - 2))))
        if marker == _COD:
            body.take(9)
            found.reversible = body.number(1) == 1


def _tile_parts(stream: memoryview, at: int, tiles: int, found: Header) -> None:
    """Go from tile-part to tile-part (A.4.2), and note what is missing: decoders make samples up for it in silence."""
    seen: Counter[int] = Counter()
    told: dict[int, int] = {}
    while at + 12 <= len(stream) and bytes(stream[at : at + 2]) == _SOT_MARKER:
        index, size, parts = _TILE_PART.unpack_from(stream, at)
        seen[index] += 1
        if parts:
            told[index] = parts
        if not size:  # the last one, up to the end marker
            at = max(at + 12, len(stream) - 2)
            break
        at += max(size, 14)
    if at > len(stream):
        found.defects.append(f"truncated: a tile reaches beyond the end ({len(stream):,} bytes)")
    elif bytes(stream[at : at + 2]) != _END and at < len(stream):
        found.defects.append(f"no tile begins where the one before it ends (byte {at:,} of its codestream)")
    missing = tiles - sum(index < tiles for index in seen)
    if missing > 0:
        found.defects.append(f"{missing:,} of {counted(tiles, 'tile')} not there")
    cut = sum(seen[index] < parts for index, parts in told.items())
    if cut:
        found.defects.append(f"parts of {counted(cut, 'tile')} not there")


def _frame(found: Header) -> Frame:
    components = len(found.depths)
    model, colours = _model(found, components)
    fidelity, reason = Fidelity.DECODER, _LOSSY
    quirk = _quirk(found, components, colours)
    if quirk:
        fidelity, reason = Fidelity.UNVERIFIED, quirk
    if components > colours:
        extra = components - colours
        if found.alpha is not None:
            model += "a" if found.alpha == 1 else "a-premul"
            extra -= 1
        model += f"+{extra}" if extra else ""
    return Frame(
        index=0,
        role=PageRole.PAGE,
        width=found.width,
        height=found.height,
        model=model,
        dtype=f"{'i' if found.depths[0] & 0x80 else 'u'}{(found.depths[0] & 0x7F) + 1}",
        channels=components,
        fidelity=fidelity,
        fidelity_reason=reason,
        defects=tuple(found.defects),
    )


def _model(found: Header, components: int) -> tuple[str, int]:
    """Colour model and number of colours."""
    known = _SPACES.get(found.space or 0) or _PROFILES.get((found.icc or b"")[16:20])
    if known is None or known[1] > components:
        known = ("gray", 1) if components < 3 else ("rgb", 3)
    return known


def _quirk(found: Header, components: int, colours: int) -> str | None:
    """Why the samples are not provably those of the file, if so."""
    quirks = (
        (found.palette, "a palette in JPEG 2000: readers differ in how they take it"),
        (found.space == 18, "sYCC in JPEG 2000: converted by the decoder"),
        (
            found.space not in (None, *_SPACES),
            f"colour space {found.space} of JPEG 2000 is not known",
        ),
        (len(set(found.depths)) > 1, "components of different depths"),
        (found.depths[0] >= 16, "signed or very deep components in JPEG 2000"),
        (found.steps != {(1, 1)}, "subsampled components in JPEG 2000"),
        (components > colours + (found.alpha is not None), "components without a meaning in JPEG 2000"),
    )
    return next((words for holds, words in quirks if holds), None)
