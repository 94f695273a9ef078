"""JPEG: markers up to the end of the image, without decoding a block.

Sources: ITU-T T.81; JFIF 1.02; Adobe TN 5116 (APP14); ICC.1 annex B.4 (APP2); libjpeg's rule for the colour
space of a file (jdapimin.c, ``default_decompress_parms``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from catalog.pixels.exif import EXIF_PREFIX, parse_exif
from catalog.pixels.payload import Payload
from catalog.pixels.structure import Frame, NotAnImage, Structure, Wanted
from catalog.pixels.tiff import SIGNATURES
from catalog.terms import Fidelity, Layout, PageRole, joined

# The first byte pair that is no stuffed zero, no restart marker and no fill byte ends a scan.
_SCAN_END: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_FILL: Final = re.compile(rb"\xff")
_NO_FILL: Final = re.compile(rb"[^\xff]", re.DOTALL)
_MAX_SEGMENTS: Final = 100_000
_FRAMES: Final = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_PROGRESSIVE: Final = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_LOSSLESS: Final = frozenset((0xC3, 0xC7, 0xCB, 0xCF))
_HIERARCHICAL: Final = frozenset((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF))
_DECODING: Final = _FRAMES | {0xC4, 0xCC, 0xDB, 0xDC, 0xDD}
_SOI, _EOI, _SOS, _DNL, _TEM = 0xD8, 0xD9, 0xDA, 0xDC, 0x01
_FIRST_MARKER: Final = 0xC0
_ALONE: Final = frozenset((_TEM, *range(0xD0, 0xD8)))
"""Markers without a segment: TEM, and restarts."""
_ICC_PREFIX: Final = b"ICC_PROFILE\0"
_MPF_PREFIX: Final = b"MPF\0"
_JFXX_PREFIX: Final = b"JFXX\0"
_COM: Final = 0xFE
_BESIDE: Final = (
    (b"http://ns.adobe.com/xap/1.0/", "XMP"),
    (b"http://ns.adobe.com/xmp/", "XMP"),
    (b"Photoshop 3.0", "IPTC"),
    (b"JP", "JUMBF"),
)
"""How the application segments begin that people know by a name, wherever they stand."""
_MODELS: Final = {"gray": "gray", "ycbcr": "rgb", "rgb": "rgb", "cmyk": "cmyk", "ycck": "cmyk"}
_COMPRESSIONS: Final = {0xC3: "JPEG lossless", 0xC9: "JPEG arithmetic", 0xCA: "JPEG arithmetic"}


@dataclass(slots=True)
class JpegMarkers:
    """What the markers of one JPEG image say."""

    sof: int = 0
    precision: int = 0
    width: int = 0
    height: int = 0
    components: list[tuple[int, int, int]] = field(default_factory=list)
    """(identifier, horizontal, vertical sampling factor)."""
    parts: list[tuple[str, memoryview]] = field(default_factory=list)
    """For ``pay1``: (marker in hexadecimal or ``scan``, bytes)."""
    jfif: bool = False
    adobe: int | None = None
    """The transform byte of Adobe's APP14: 0 none, 1 YCbCr, 2 YCCK."""
    exif: list[memoryview] = field(default_factory=list)
    icc: list[tuple[int, int, memoryview]] = field(default_factory=list)
    """(number, total, bytes) of APP2 segments."""
    mpf: bool = False
    scans: int = 0
    begun: set[int] = field(default_factory=set)
    """Identifiers of the components that a scan holds from their first coefficient on."""
    ended: bool = False
    beside: dict[str, None] = field(default_factory=dict)
    """What is no part of the picture and no tag, in words, in the file's order."""
    end: int = 0
    """The byte after EOI, or where reading stopped."""
    defects: list[str] = field(default_factory=list)
    garbage: str | None = None


def read_markers(view: memoryview) -> JpegMarkers:
    """Walk the markers from SOI to EOI. Damage is collected, never raised."""
    found = JpegMarkers()
    at = 2
    for _ in range(_MAX_SEGMENTS):
        place = _FILL.search(view, at)
        if place is None:
            found.defects.append("truncated: no end marker (EOI)")
            break
        if place.start() > at:
            found.garbage = f"{place.start() - at:,} stray bytes between segments at byte {at:,}"
            found.defects.append(found.garbage)
        sign = _NO_FILL.search(view, place.start())
        if sign is None:
            found.defects.append("truncated: no end marker (EOI)")
            break
        at = sign.end()
        marker = view[at - 1]
        if marker == _EOI:
            found.ended = True
            break
        if marker == _SOI or (marker < _FIRST_MARKER and marker != _TEM):
            found.defects.append(f"impossible marker 0x{marker:02x} at byte {at - 2:,}")
            break
        if marker not in _ALONE:
            at = _segment(view, marker, at, found)
        if at < 0:
            break
    else:
        found.defects.append(f"more than {_MAX_SEGMENTS:,} segments")
    found.end = at if at >= 0 else len(view)
    return found


def _segment(view: memoryview, marker: int, at: int, found: JpegMarkers) -> int:
    """One segment with a length, and after SOS its scan; the place behind it, -1 when the file ends before."""
    size = len(view)
    length = view[at] << 8 | view[at + 1] if at + 2 <= size else 0
    if length < 2 or at + length > size:
        what = f"truncated: segment 0x{marker:02x} at byte {at - 2:,} reaches beyond the end ({size:,} bytes)"
        found.defects.append(
            what if length >= 2 or at + 2 > size else f"segment 0x{marker:02x} without length"
        )
        return -1
    body = view[at + 2 : at + length]
    at += length
    if marker in _DECODING:
        found.parts.append((f"{marker:02X}", body))
        if marker in _FRAMES:
            _frame_header(marker, body, found)
        elif marker == _DNL and len(body) >= 2 and not found.height:
            found.height = body[0] << 8 | body[1]
    elif marker == _SOS:
        found.parts.append(("DA", body))
        found.scans += 1
        number = body[0] if body else 0
        if len(body) > 1 + 2 * number and not body[1 + 2 * number]:
            found.begun.update(body[1 : 1 + 2 * number : 2])
        match = _SCAN_END.search(view, at)
        end = match.start() if match else size
        found.parts.append(("scan", view[at:end]))
        at = end
    elif marker >= 0xE0:
        _application(marker, body, found)
    return at


def _frame_header(marker: int, body: memoryview, found: JpegMarkers) -> None:
    if found.sof:
        found.defects.append("a second frame header")
        return
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        found.defects.append("the frame header is too short")
        return
    found.sof = marker
    found.precision = body[0]
    found.height = body[1] << 8 | body[2]
    found.width = body[3] << 8 | body[4]
    for place in range(6, 6 + 3 * body[5], 3):
        found.components.append((body[place], body[place + 1] >> 4, body[place + 1] & 15))


def _application(marker: int, body: memoryview, found: JpegMarkers) -> None:
    head = bytes(body[:14])
    if marker == 0xE0 and head.startswith(b"JFIF\0"):
        found.jfif = True
    elif marker == 0xE1 and head.startswith(EXIF_PREFIX):
        found.exif.append(body[6:])
    elif marker == 0xE2 and head.startswith(_ICC_PREFIX) and len(body) >= 14:
        found.icc.append((head[12], head[13], body[14:]))
    elif marker == 0xE2 and head.startswith(_MPF_PREFIX):
        found.mpf = True
    elif marker == 0xEE and head.startswith(b"Adobe") and len(body) >= 12:
        found.adobe = head[11]
        found.parts.append(("EE", body))
    elif not head.startswith(_JFXX_PREFIX):
        found.beside[_beside(marker, bytes(body[:32]))] = None


def _beside(marker: int, head: bytes) -> str:
    """A segment that is neither decoded nor read, by its name."""
    if marker == _COM:
        return "comment"
    name = next((name for start, name in _BESIDE if head.startswith(start)), None)
    return name or f"APP{marker - 0xE0}"


def color_space(found: JpegMarkers) -> str:
    """How the components are to be read: ``gray ycbcr rgb cmyk ycck``, or ``unknown`` (libjpeg's rule)."""
    identifiers = tuple(identifier for identifier, _, _ in found.components)
    if len(identifiers) != 3:
        four = "cmyk" if found.adobe in (None, 0) else "ycck"
        return {1: "gray", 4: four}.get(len(identifiers), "unknown")
    if found.jfif:
        return "ycbcr"
    if found.adobe is not None:
        return "rgb" if found.adobe == 0 else "ycbcr"
    if identifiers == (0x52, 0x47, 0x42) or (found.sof in _LOSSLESS and identifiers != (1, 2, 3)):
        return "rgb"
    return "ycbcr"


def subsampling_of(components: list[tuple[int, int, int]]) -> str | None:
    """``4:2:0`` …, the factors as ``2x2,1x1,2x1`` where that notation has no word, None for one component."""
    from catalog.pixels.tiff_file import subsampling_name

    if len(components) < 2:
        return None
    factors = [(horizontal, vertical) for _, horizontal, vertical in components]
    (across, down), *others = factors
    chroma = others[:2]
    if all(factor == (1, 1) for factor in chroma) and all(factor == (across, down) for factor in others[2:]):
        name = subsampling_name(across, down)
        if ":" in name:
            return name
    if len(set(factors)) == 1:
        return "4:4:4"
    return ",".join(f"{horizontal}x{vertical}" for horizontal, vertical in factors)


def parse_jpeg(view: memoryview, wanted: Wanted) -> Structure:
    """What a JPEG says of itself (``structure.parse``)."""
    found = read_markers(view)
    if not found.sof or not found.components or not found.width or not found.height:
        reason = found.defects[0] if found.defects else "no frame header (SOF)"
        if found.sof and found.components:
            reason = f"an image of {found.width} x {found.height}"
        raise NotAnImage(f"JPEG: {reason}", claims="JPEG")
    if not found.scans:
        found.defects.append("no scan: the image has no samples")
    elif found.sof not in _LOSSLESS and found.sof not in _HIERARCHICAL:
        lacking = [place for place, (name, _, _) in enumerate(found.components, 1) if name not in found.begun]
        if lacking:  # decoders deliver gray for them, and say nothing
            listed = joined(f"{place}" for place in lacking)
            found.defects.append(f"no scan of component {listed} of {len(found.components)}")
    space = color_space(found)
    frame = _frame(found, space)
    exif = parse_exif(_exif_block(found.exif), full_values=wanted.full_values) if found.exif else None
    icc, icc_notes = _icc(found.icc)
    notes = [*icc_notes, *(exif.notes if exif else ())]
    trailing = len(view) - found.end
    if found.ended and trailing:
        notes.append(f"{trailing:,} bytes after the end marker")
    digest, reason_none = _payload(found, space) if wanted.payload else (None, None)
    return Structure(
        format="JPEG",
        frames=(frame,),
        layout=Layout(
            container="JPEG",
            compression=_COMPRESSIONS.get(found.sof, "JPEG"),
            interlaced=found.sof in _PROGRESSIVE,
            subsampling=subsampling_of(found.components),
            trailing=trailing if found.ended and trailing else None,
            beside=", ".join(found.beside) or None,
        ),
        orientation=exif.orientation if exif else 1,
        ifds=exif.ifds if exif else (),
        icc=icc,
        payload=digest,
        payload_reason=reason_none,
        defects=tuple(found.defects),
        detail={
            "notes": tuple(notes),
            "sof": found.sof,
            "precision": found.precision,
            "components": tuple(found.components),
            "color_space": space,
            "jfif": found.jfif,
            "adobe": found.adobe,
            "mpf": found.mpf,
            "scans": found.scans,
            "end": found.end,
        },
    )


def _frame(found: JpegMarkers, space: str) -> Frame:
    number = len(found.components)
    model = _MODELS.get(space) or f"ink{number}"
    fidelity, reason = Fidelity.DECODER, "JPEG compression: samples depend on the decoder"
    if found.sof in _HIERARCHICAL:
        fidelity, reason = Fidelity.UNVERIFIED, "hierarchical JPEG is not known to be decoded rightly"
    elif space == "unknown":
        fidelity, reason = Fidelity.UNVERIFIED, f"JPEG with {number} components has no canonical form"
    elif number == 4 and found.adobe is None:
        fidelity, reason = (
            Fidelity.UNVERIFIED,
            "four components without Adobe's marker: readers differ in polarity",
        )
    exact = found.sof in _LOSSLESS and space in ("gray", "rgb", "cmyk") and fidelity is Fidelity.DECODER
    return Frame(
        index=0,
        role=PageRole.PAGE,
        width=found.width,
        height=found.height,
        model=model,
        dtype=f"u{found.precision}",
        channels=number,
        fidelity=Fidelity.EXACT if exact else fidelity,
        fidelity_reason=None if exact else reason,
        defects=tuple(found.defects),
    )


def _exif_block(blocks: list[memoryview]) -> bytes | memoryview:
    """An Exif block may be continued in further segments; one with a header of its own is another block."""
    if len(blocks) == 1:
        return blocks[0]
    parts = [blocks[0], *(block for block in blocks[1:] if bytes(block[:4]) not in SIGNATURES)]
    return b"".join(parts)


def _icc(segments: list[tuple[int, int, memoryview]]) -> tuple[bytes | None, list[str]]:
    if not segments:
        return None, []
    ordered = sorted(segments, key=lambda segment: segment[0])
    total = ordered[0][1]
    if [number for number, _, _ in ordered] != list(range(1, total + 1)):
        return None, [f"ICC profile: {len(ordered)} of {total} segments, or some twice"]
    return b"".join(piece for _, _, piece in ordered), []


def _payload(found: JpegMarkers, space: str) -> tuple[bytes | None, str | None]:
    if found.garbage is not None:
        return None, found.garbage
    if found.defects:
        return None, f"damaged: {found.defects[0]}"
    payload = Payload("JPEG")
    for name, content in found.parts:
        payload.part(name, content)
    payload.numbers("color", [space])
    return payload.digest(), None
