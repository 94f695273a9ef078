"""BMP: Windows and OS/2 bitmap headers, palettes, channel masks.

Sources: Microsoft's BITMAPINFOHEADER, BITMAPV4HEADER and BITMAPV5HEADER; OS/2 1.x and 2.x headers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from catalog.pixels.payload import Payload
from catalog.pixels.structure import Frame, NotAnImage, Structure, Wanted
from catalog.terms import Fidelity, Layout, PageRole

_RGB, _RLE8, _RLE4, _BITFIELDS, _JPEG, _PNG, _ALPHABITFIELDS = range(7)
_COMPRESSIONS: Final = {
    _RGB: "none",
    _RLE8: "RLE8",
    _RLE4: "RLE4",
    _BITFIELDS: "none",
    _JPEG: "JPEG",
    _PNG: "PNG",
    _ALPHABITFIELDS: "none",
}
_HEADERS: Final = frozenset((12, 16, 40, 52, 56, 64, 108, 124))
_MASKS_555: Final = (0x7C00, 0x03E0, 0x001F, 0)
_MASKS_888: Final = (0xFF0000, 0x00FF00, 0x0000FF, 0)


@dataclass(frozen=True, slots=True)
class BmpHeader:
    width: int
    height: int
    """Negative: the first row stored is the top one."""
    bits: int
    compression: int
    masks: tuple[int, int, int, int]
    """Red, green, blue, alpha; all 0 where the image has a palette."""
    colors: int
    """Palette entries."""
    entry: int
    """Bytes of a palette entry."""
    palette_at: int
    pixels_at: int
    size: int
    """Bytes of the header."""

    @property
    def stride(self) -> int:
        """Bytes of a row, padded to four."""
        return (self.width * self.bits + 31) // 32 * 4


def read_header(view: memoryview) -> BmpHeader:
    """The header's fields; ``NotAnImage`` when there is no sense in them."""
    size = int.from_bytes(view[14:18], "little")
    if size not in _HEADERS:
        raise NotAnImage(f"BMP: unknown header of {size:,} bytes", claims="BMP")
    if len(view) < 14 + size:
        raise NotAnImage(f"BMP: truncated: {len(view)} bytes are no header", claims="BMP")
    pixels_at = int.from_bytes(view[10:14], "little")
    compression = colors = 0
    if size == 12:
        width, height, planes, bits = struct.unpack_from("<HHHH", view, 18)
    else:
        width, height, planes, bits = struct.unpack_from("<iiHH", view, 18)
    if size >= 40:
        compression, colors = struct.unpack_from("<I12xI", view, 30)
    if width <= 0 or height == 0 or planes > 1:
        raise NotAnImage(f"BMP: an image of {width} x {height} in {planes} planes", claims="BMP")
    if bits not in (1, 2, 4, 8, 16, 24, 32) and not (bits == 0 and compression in (_JPEG, _PNG)):
        raise NotAnImage(f"BMP: {bits} bits for each pixel", claims="BMP")
    # OS/2 2.x used 3 and 4 for Huffman and RLE24.
    if compression not in _COMPRESSIONS or (size == 64 and compression > _RLE4):
        raise NotAnImage(f"BMP: unknown compression {compression}", claims="BMP")
    colors = min(colors or 1 << bits, 1 << bits) if 0 < bits <= 8 else 0
    entry = 3 if size == 12 else 4
    return BmpHeader(
        width=width,
        height=height,
        bits=bits,
        compression=compression,
        masks=_masks(view, size, bits, compression),
        colors=colors,
        entry=entry,
        palette_at=14 + size,
        pixels_at=pixels_at or 14 + size + colors * entry,
        size=size,
    )


def _masks(view: memoryview, size: int, bits: int, compression: int) -> tuple[int, int, int, int]:
    if bits <= 8:
        return (0, 0, 0, 0)
    if compression in (_BITFIELDS, _ALPHABITFIELDS):
        # Behind a short header the masks follow it; longer headers hold them, with alpha from 56 bytes on.
        number = 4 if size >= 56 or compression == _ALPHABITFIELDS else 3
        if len(view) < 54 + 4 * number:
            raise NotAnImage("BMP: truncated inside the channel masks", claims="BMP")
        red, green, blue, *alpha = struct.unpack_from(f"<{number}I", view, 54)
        return red, green, blue, alpha[0] if alpha else 0
    return _MASKS_555 if bits == 16 else _MASKS_888


def _is_bytes(masks: tuple[int, int, int, int]) -> bool:
    """Whether each channel is one whole byte: then its samples are exact."""
    octets = {0xFF << shift for shift in (0, 8, 16, 24)}
    red, green, blue, alpha = masks
    return {red, green, blue} <= octets and len({red, green, blue}) == 3 and (alpha == 0 or alpha in octets)


def parse_bmp(view: memoryview, wanted: Wanted) -> Structure:
    """What a BMP says of itself (``structure.parse``)."""
    header = read_header(view)
    defects = _defects(view, header)
    frame = _frame(header, tuple(defects))
    digest, reason = _payload(view, header, defects) if wanted.payload else (None, None)
    icc = None
    if header.size == 124 and bytes(view[70:74]) in (b"DEBM", b"MBED"):
        at, length = struct.unpack_from("<II", view, 126)
        icc = bytes(view[14 + at : 14 + at + length]) or None
    return Structure(
        format="BMP",
        frames=(frame,),
        layout=Layout(container="BMP", compression=_COMPRESSIONS[header.compression]),
        orientation=1,
        icc=icc,
        payload=digest,
        payload_reason=reason,
        defects=tuple(defects),
        detail={
            "notes": (),
            "bits": header.bits,
            "compression": header.compression,
            "masks": header.masks,
            "colors": header.colors,
            "top_down": header.height < 0,
            "header_size": header.size,
        },
    )


def _defects(view: memoryview, header: BmpHeader) -> list[str]:
    defects = []
    size = len(view)
    if header.pixels_at < header.palette_at:
        defects.append(f"the samples are at byte {header.pixels_at:,}, inside the header")
    if header.compression in (_RGB, _BITFIELDS, _ALPHABITFIELDS):
        needed = header.stride * abs(header.height)
        if header.pixels_at + needed > size:
            held = max(size - header.pixels_at, 0)
            defects.append(f"truncated: {held:,} of {needed:,} bytes of samples")
    elif header.pixels_at >= size:
        defects.append(f"truncated: the samples are at byte {header.pixels_at:,} of {size:,}")
    elif header.compression in (_RLE8, _RLE4) and not rle_ends(view, header):
        defects.append("truncated: no end of the run-length data")
    return defects


def rle_ends(view: memoryview, header: BmpHeader) -> bool:
    """Whether run-length data reach their end mark, or the last row, inside the file."""
    at, size, row = header.pixels_at, len(view), 0
    nibbles = header.compression == _RLE4
    while at + 2 <= size:
        first, second = view[at], view[at + 1]
        at += 2
        if first:
            continue
        if second == 1:
            return True
        if second == 0:
            row += 1
        elif second == 2:
            row += view[at + 1] if at + 2 <= size else 0
            at += 2
        else:
            held = (second + 1) // 2 if nibbles else second
            at += held + (held & 1)
    return row >= abs(header.height)


def _frame(header: BmpHeader, defects: tuple[str, ...]) -> Frame:
    alpha = header.masks[3] != 0
    fidelity, reason = _fidelity(header)
    return Frame(
        index=0,
        role=PageRole.PAGE,
        width=header.width,
        height=abs(header.height),
        model="rgba" if alpha else "rgb",
        dtype="u8",
        channels=4 if alpha else 3,
        fidelity=fidelity,
        fidelity_reason=reason,
        defects=defects,
    )


def _fidelity(header: BmpHeader) -> tuple[Fidelity, str | None]:
    if header.compression in (_JPEG, _PNG):
        return Fidelity.UNVERIFIED, f"{_COMPRESSIONS[header.compression]} inside BMP"
    if header.bits <= 8:
        if header.pixels_at < header.palette_at + header.colors * header.entry:
            return Fidelity.UNVERIFIED, "the palette overlaps the samples: readers differ"
        return Fidelity.EXACT, None
    if _is_bytes(header.masks):
        return Fidelity.EXACT, None
    widths = [mask.bit_count() for mask in header.masks[:3]]
    if 0 in widths or max(widths) > 8:
        return Fidelity.UNVERIFIED, f"channels of {', '.join(map(str, widths))} bits have no canonical form"
    return Fidelity.DECODER, "channels of less than 8 bits: widening depends on the decoder"


def _payload(view: memoryview, header: BmpHeader, defects: list[str]) -> tuple[bytes | None, str | None]:
    if defects:
        return None, f"damaged: {defects[0]}"
    raw = header.compression in (_RGB, _BITFIELDS, _ALPHABITFIELDS)
    end = header.pixels_at + header.stride * abs(header.height) if raw else len(view)
    palette_end = min(header.palette_at + header.colors * header.entry, header.pixels_at)
    payload = Payload("BMP")
    payload.numbers("header", [header.width, header.height, header.bits, header.compression, *header.masks])
    payload.part("palette", bytes(view[header.palette_at : palette_end]) + bytes([header.entry]))
    payload.part("pixels", view[header.pixels_at : end])
    return payload.digest(), None
