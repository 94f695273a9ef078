"""PNG and APNG: chunks with their CRCs, the canonical raster, ICC and Exif, and the zlib stream's own sum.

Sources: PNG third edition (W3C, 2025) with APNG and eXIf; libpng's behaviour for chunks out of place.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Final

from catalog.pixels.exif import parse_exif
from catalog.pixels.payload import Payload
from catalog.pixels.structure import MAX_FRAMES, Frame, NotAnImage, Structure, Wanted
from catalog.pixels.tiff_segments import Inflation
from catalog.terms import Fidelity, Layout, PageRole

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS: Final = 400_000
_MAX_PROFILE: Final = 1 << 24
_MAX_CHECKED: Final = 1 << 30
"""Bytes of samples up to which the zlib stream is inflated to check it; more is never decoded anyway."""
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_COLOR_NAMES: Final = {0: "gray", 2: "rgb", 3: "rgb", 4: "graya", 6: "rgba"}
_ADAM7: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
# Chunks that decide samples.
_DECODING: Final = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"))
_METADATA: Final = frozenset(
    b"bKGD cHRM cICP cLLI cLLi dSIG eXIf gAMA gIFg gIFt gIFx hIST iCCP iTXt mDCV mDCv oFFs pCAL pHYs sBIT sCAL"
    b" sPLT sRGB sTER tEXt tIME zTXt".split()
)
"""Chunks that touch no sample: a wrong CRC is a note. Under an unknown name it is damage, because the name
may be what broke: one flipped bit makes ``tRNs`` of ``tRNS``, and the transparency is gone."""
_ANCILLARY: Final = frozenset((b"tRNS", b"acTL", b"fcTL", b"iCCP", b"eXIf"))
_BESIDE: Final = {
    **dict.fromkeys((b"tEXt", b"zTXt", b"iTXt"), "text"),
    **dict.fromkeys((b"gAMA", b"cHRM", b"sRGB", b"cICP"), "colour description"),
    b"pHYs": "resolution",
    b"tIME": "time of the last change",
    b"bKGD": "background",
}
"""Chunks that are read by nobody here, by what they hold."""
_LOWER: Final = 0x60
"""A chunk whose name starts with a capital is critical."""
_PAYLOAD: Final = frozenset((b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT"))


@dataclass(slots=True)
class PngChunks:
    """What the chunks of one PNG say."""

    width: int = 0
    height: int = 0
    bit_depth: int = 0
    color_type: int = 0
    interlaced: bool = False
    palette: bytes | None = None
    trns: bytes | None = None
    idat: list[memoryview] = field(default_factory=list)
    parts: list[tuple[str, memoryview]] = field(default_factory=list)
    """Chunks for ``pay1`` in the file's order; IDAT stands once, as a mark."""
    announced: int | None = None
    """acTL's number of frames."""
    controls: list[tuple[bool, bytes]] = field(default_factory=list)
    """fcTL chunks: (before IDAT, content)."""
    icc: memoryview | None = None
    exif: memoryview | None = None
    beside: dict[str, None] = field(default_factory=dict)
    """What is no part of the picture and no tag, in words, in the file's order."""
    ended: bool = False
    end: int = 0
    defects: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_chunks(view: memoryview) -> PngChunks:
    """Walk the chunks. ``NotAnImage`` when the header cannot be read, everything else is collected."""
    found = PngChunks()
    size, at = len(view), 8
    for number in range(_MAX_CHUNKS):
        if at + 12 > size:
            where = f"{size - at} bytes" if size > at else "nothing"
            found.defects.append(f"truncated: {where} after byte {at:,}, and no end chunk (IEND)")
            break
        length = int.from_bytes(view[at : at + 4], "big")
        kind = bytes(view[at + 4 : at + 8])
        if not (kind.isalpha() and kind.isascii()):
            found.defects.append(f"no chunk at byte {at:,}")
            break
        if number == 0 and kind != b"IHDR":
            raise NotAnImage(f"PNG: the first chunk is {kind.decode()} instead of IHDR", claims="PNG")
        body = view[at + 8 : min(at + 8 + length, size)]
        if at + 12 + length > size:
            name = kind.decode()
            found.defects.append(
                f"truncated: chunk {name} at byte {at:,} reaches beyond the end ({size:,} bytes)"
            )
        elif zlib.crc32(view[at + 4 : at + 8 + length]) != int.from_bytes(
            view[at + 8 + length : at + 12 + length], "big"
        ):
            wrong = f"chunk {kind.decode()} at byte {at:,} has a wrong CRC"
            (found.notes if kind in _METADATA else found.defects).append(wrong)
        _chunk(kind, body, found)
        at += 12 + length
        if kind == b"IEND":
            found.ended = True
            break
        if at > size:
            break
    else:
        found.defects.append(f"more than {_MAX_CHUNKS:,} chunks")
    found.end = min(at, size)
    return found


def _chunk(kind: bytes, body: memoryview, found: PngChunks) -> None:
    if kind == b"IDAT":
        if not found.idat:
            found.parts.append(("IDAT", body[:0]))
        found.idat.append(body)
        return
    if kind in _PAYLOAD:
        found.parts.append((kind.decode(), body))
    if kind == b"IHDR":
        _header(body, found)
    elif kind == b"PLTE" and found.palette is None:
        found.palette = bytes(body[:768])
        if len(body) % 3 or not 0 < len(body) <= 768:
            found.defects.append(f"a palette of {len(body):,} bytes")
    elif kind == b"tRNS" and found.trns is None and not found.idat:
        found.trns = bytes(body[:256])
    elif kind in _ANCILLARY:
        _ancillary(kind, body, found)
    elif kind in _BESIDE:
        is_xmp = kind == b"iTXt" and bytes(body[:18]) == b"XML:com.adobe.xmp\0"
        found.beside["XMP" if is_xmp else _BESIDE[kind]] = None
    elif kind[0] < _LOWER and kind not in _DECODING:
        found.defects.append(f"unknown critical chunk {kind.decode()}")


def _ancillary(kind: bytes, body: memoryview, found: PngChunks) -> None:
    if kind == b"tRNS":
        found.notes.append("tRNS out of its place is ignored")
    elif kind == b"acTL" and not found.idat and len(body) >= 8:
        found.announced = int.from_bytes(body[:4], "big")
    elif kind == b"fcTL" and len(found.controls) <= MAX_FRAMES:
        found.controls.append((not found.idat, bytes(body[:26])))
    elif kind == b"iCCP" and found.icc is None:
        found.icc = body
    elif kind == b"eXIf" and found.exif is None:
        found.exif = body


def _header(body: memoryview, found: PngChunks) -> None:
    if found.width:
        found.defects.append("a second header (IHDR)")
        return
    if len(body) < 13:
        raise NotAnImage(f"PNG: a header of {len(body)} bytes instead of 13", claims="PNG")
    width, height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
    depth, color, compression, filtering, interlace = body[8:13]
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31):
        raise NotAnImage(f"PNG: an image of {width:,} x {height:,}", claims="PNG")
    if depth not in _DEPTHS.get(color, ()):
        raise NotAnImage(f"PNG: there is no color type {color} with {depth} bits", claims="PNG")
    if compression or filtering or interlace > 1:
        methods = f"compression {compression}, filter {filtering}, interlace {interlace}"
        raise NotAnImage(f"PNG: unknown methods ({methods})", claims="PNG")
    found.width, found.height, found.bit_depth, found.color_type = width, height, depth, color
    found.interlaced = bool(interlace)


def parse_png(view: memoryview, wanted: Wanted) -> Structure:
    """What a PNG says of itself (``structure.parse``)."""
    found = read_chunks(view)
    if not found.width:
        raise NotAnImage(f"PNG: {found.defects[0]}", claims="PNG")
    _check(found)
    if wanted.checksums and not found.defects:
        defect = inflate_defect(found)
        if defect:
            found.defects.append(defect)
    if wanted.checksums and not found.defects:
        _animation(found)
    exif = parse_exif(found.exif, full_values=wanted.full_values) if found.exif is not None else None
    icc = _profile(found)
    if found.ended and found.end < len(view):
        found.notes.append(f"{len(view) - found.end:,} bytes after the end chunk")
    digest, reason = _payload(found) if wanted.payload else (None, None)
    return Structure(
        format="PNG",
        frames=_frames(found),
        layout=Layout(
            container="PNG",
            compression="Deflate",
            interlaced=found.interlaced,
            trailing=(len(view) - found.end or None) if found.ended else None,
            beside=", ".join(found.beside) or None,
        ),
        orientation=exif.orientation if exif else 1,
        ifds=exif.ifds if exif else (),
        icc=icc,
        payload=digest,
        payload_reason=reason,
        defects=tuple(found.defects),
        detail={
            "notes": (*found.notes, *(exif.notes if exif else ())),
            "color_type": found.color_type,
            "bit_depth": found.bit_depth,
            "interlaced": found.interlaced,
            "palette": found.palette,
            "trns": found.trns,
            "actl": found.announced,
            "end": found.end,
        },
    )


def _check(found: PngChunks) -> None:
    """Defects that only the chunks together show."""
    if not found.idat:
        found.defects.append("no image data (IDAT)")
    if found.color_type == 3 and found.palette is None:
        found.defects.append("no palette (PLTE)")
    needed = {0: 2, 2: 6, 3: 1}.get(found.color_type)
    if found.trns is not None:
        if needed is None:
            found.notes.append(f"tRNS is ignored: color type {found.color_type} has alpha of its own")
            found.trns = None
        elif len(found.trns) < needed:
            found.defects.append(f"tRNS has {len(found.trns)} bytes")
            found.trns = None
        elif found.color_type == 3 and found.palette and len(found.trns) > len(found.palette) // 3:
            found.notes.append("tRNS has more values than the palette has colors")


def _frames(found: PngChunks) -> tuple[Frame, ...]:
    model = _COLOR_NAMES[found.color_type]
    if found.trns is not None:
        model += "a"
    channels = {"gray": 1, "graya": 2, "rgb": 3, "rgba": 4}[model]
    dtype = "u16" if found.bit_depth == 16 else "u8"
    still = Frame(
        index=0,
        role=PageRole.PAGE,
        width=found.width,
        height=found.height,
        model=model,
        dtype=dtype,
        channels=channels,
        fidelity=Fidelity.EXACT,
        defects=tuple(found.defects),
    )
    if found.announced is None:
        return (still,)
    # The default image is a frame of the animation only when a frame control stands before it.
    hidden = _hidden(found)
    number = len(found.controls) + hidden
    if number < 2:
        return (still,)
    limited = number > MAX_FRAMES
    frames = [still] if hidden else []
    for index in range(hidden, min(number, MAX_FRAMES)):
        frames.append(
            Frame(
                index=index,
                role=PageRole.FRAME,
                width=found.width,
                height=found.height,
                model="rgba",
                dtype=dtype,
                channels=4,
                fidelity=Fidelity.UNVERIFIED if limited else Fidelity.EXACT,
                fidelity_reason=f"more than {MAX_FRAMES:,} frames" if limited else None,
                defects=tuple(found.defects),
            )
        )
    return tuple(frames)


def _hidden(found: PngChunks) -> int:
    """1 when the default image is no frame of the animation."""
    return 0 if any(first for first, _ in found.controls) else 1


def _animation(found: PngChunks) -> None:
    """Defects of an animation: frames that are not there, and broken zlib streams (Pillow overlooks a lost sum)."""
    announced, controls = found.announced, found.controls
    if announced is None or len(controls) + _hidden(found) < 2:
        return
    if announced != len(controls):
        found.defects.append(f"{len(controls):,} frames where {announced:,} are announced")
    pieces: list[list[memoryview]] = []
    sizes: list[bytes] = []
    for name, body in found.parts:
        if name == "fcTL":
            sizes.append(bytes(body[4:12]))
            pieces.append([])
        elif name == "fdAT" and pieces:
            pieces[-1].append(body[4:])
    bits = found.bit_depth * _CHANNELS[found.color_type]
    for number, (size, streams) in enumerate(zip(sizes, pieces, strict=True), 1):
        width, height = int.from_bytes(size[:4], "big"), int.from_bytes(size[4:], "big")
        needed = raw_bytes(width, height, bits, found.interlaced)
        if not streams or needed > _MAX_CHECKED:
            continue
        inflation = Inflation(needed)
        for stream in streams:
            inflation.feed(stream)
        reason = inflation.defect()
        if reason:
            found.defects.append(f"frame {number:,} {reason}")
            return


def raw_bytes(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Bytes that the zlib stream of an image holds: rows with their filter bytes, all Adam7 passes."""
    if not interlaced:
        return height * (1 + -(-width * bits // 8))
    total = 0
    for left, top, across, down in _ADAM7:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total


def inflate_defect(found: PngChunks) -> str | None:
    """Why the image's zlib stream is broken (Adler-32, length, end), None when it is whole or too large."""
    bits = found.bit_depth * _CHANNELS[found.color_type]
    needed = raw_bytes(found.width, found.height, bits, found.interlaced)
    if needed > _MAX_CHECKED:
        return None
    inflation = Inflation(needed)
    for piece in found.idat:
        inflation.feed(piece)
    reason = inflation.defect()
    return f"image data {reason}" if reason else None


def _profile(found: PngChunks) -> bytes | None:
    """The ICC profile: keyword, a zero, method 0, a zlib stream of bounded length."""
    if found.icc is None:
        return None
    name, _, rest = bytes(found.icc).partition(b"\0")
    try:
        inflater = zlib.decompressobj()
        profile = inflater.decompress(rest[1:], _MAX_PROFILE)
    except zlib.error as error:
        found.notes.append(f"ICC profile: {error}")
        return None
    if rest[:1] != b"\0" or not inflater.eof or len(name) > 79:
        found.notes.append("ICC profile: broken or too large")
        return None
    return profile


def _payload(found: PngChunks) -> tuple[bytes | None, str | None]:
    if found.defects:
        return None, f"damaged: {found.defects[0]}"
    payload = Payload("PNG")
    for name, body in found.parts:
        payload.joined(name, found.idat if name == "IDAT" else (body,))
    return payload.digest(), None
