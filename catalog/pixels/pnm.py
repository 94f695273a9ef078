"""Netpbm: PBM, PGM and PPM in both forms, PAM, and PFM's floats.

Source: the Netpbm manual pages (pbm, pgm, ppm, pam, pfm). All are ``PPM`` to Pillow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from catalog.pixels.payload import Payload
from catalog.pixels.structure import Frame, NotAnImage, Structure, Wanted
from catalog.pixels.tiff_model import widened
from catalog.terms import Fidelity, Layout, PageRole

_HEADER_LIMIT: Final = 65_536
_TOKEN: Final = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])*([^\s#]+)")
_TUPLE_TYPES: Final = {
    "BLACKANDWHITE": ("gray", 1),
    "GRAYSCALE": ("gray", 1),
    "RGB": ("rgb", 3),
    "BLACKANDWHITE_ALPHA": ("graya", 2),
    "GRAYSCALE_ALPHA": ("graya", 2),
    "RGB_ALPHA": ("rgba", 4),
    "CMYK": ("cmyk", 4),
}
_ANOTHER: Final = re.compile(rb"P[4-7]\s")
"""How the next image of a file begins."""
_WORDS: Final = {1: "PBM", 2: "PGM", 3: "PPM", 4: "PBM", 5: "PGM", 6: "PPM", 7: "PAM", 8: "PFM"}


@dataclass(frozen=True, slots=True)
class PnmHeader:
    number: int
    """The digit of ``P1`` … ``P7``; 8 for PFM (``PF``, ``Pf``)."""
    width: int
    height: int
    depth: int
    """Samples for each pixel."""
    maxval: int
    """0 for PFM."""
    tuple_type: str
    scale: float
    """PFM: below 0 little-endian, above big-endian."""
    start: int
    """Where the raster begins."""
    odd: str = ""
    """What readers take differently, in words."""

    @property
    def plain(self) -> bool:
        """Decimal numbers instead of bytes."""
        return self.number <= 3

    @property
    def raster(self) -> int:
        """Bytes of a binary raster."""
        if self.number == 4:
            return -(-self.width // 8) * self.height
        size = 4 if self.number == 8 else 2 if self.maxval > 255 else 1
        return self.width * self.height * self.depth * size


def read_header(view: memoryview) -> PnmHeader:
    """The header's fields; ``NotAnImage`` when there is no sense in them."""
    head = bytes(view[:_HEADER_LIMIT])
    magic = head[1:2]
    if magic == b"7":
        return _checked(_pam(head))
    tokens: list[str] = []
    at = 2
    wanted = {b"1": 2, b"4": 2}.get(magic, 3)
    while len(tokens) < wanted:
        match = _TOKEN.match(head, at)
        if match is None:
            raise NotAnImage("PNM: truncated inside the header", claims="PPM")
        tokens.append(match[1].decode("latin-1"))
        at = match.end()
    try:
        numbers = tokens[:2] if magic in b"Ff" else tokens
        if not all(token.isascii() and token.isdigit() for token in numbers):
            raise ValueError  # Python takes "1_0" and "+2" for numbers, too
        width, height = int(tokens[0]), int(tokens[1])
        scale = float(tokens[2]) if magic in b"Ff" else 0.0
        maxval = 1 if wanted == 2 else 0 if magic in b"Ff" else int(tokens[2])
    except ValueError:
        words = " ".join(tokens)[:60]
        raise NotAnImage(f"PNM: {words!r} is no header", claims="PPM") from None
    number = 8 if magic in b"Ff" else int(magic)
    depth = 3 if magic in b"36F" else 1
    # One white space character follows the header of a binary file; Netpbm takes the end of a comment for it.
    start, odd = at + 1, ""
    if head[at : at + 1] == b"#" and number > 3:
        start = min(end for end in (head.find(b"\n", at), head.find(b"\r", at), len(head)) if end >= 0) + 1
        odd = "a comment right behind the header: readers differ in where the samples begin"
    return _checked(PnmHeader(number, width, height, depth, maxval, "", scale, start, odd))


def _pam(head: bytes) -> PnmHeader:
    end = head.find(b"\nENDHDR")
    stop = head.find(b"\n", end + 1)
    if end < 0 or stop < 0:
        raise NotAnImage("PAM: no end of the header (ENDHDR)", claims="PPM")
    fields: dict[str, str] = {}
    for line in head[2:end].decode("latin-1").splitlines():
        key, _, value = line.strip().partition(" ")
        if key and not key.startswith("#"):
            fields[key] = (
                f"{fields[key]} {value.strip()}" if key == "TUPLTYPE" and key in fields else value.strip()
            )
    try:
        width, height, depth, maxval = (int(fields[key]) for key in ("WIDTH", "HEIGHT", "DEPTH", "MAXVAL"))
    except (KeyError, ValueError):
        raise NotAnImage("PAM: a field of the header is missing or no number", claims="PPM") from None
    return PnmHeader(7, width, height, depth, maxval, fields.get("TUPLTYPE", ""), 0.0, stop + 1)


def _checked(header: PnmHeader) -> PnmHeader:
    if not (0 < header.width < 1 << 31 and 0 < header.height < 1 << 31 and 0 < header.depth <= 65_535):
        size = f"{header.width:,} x {header.height:,} x {header.depth:,}"
        raise NotAnImage(f"PNM: an image of {size}", claims="PPM")
    if header.number != 8 and not 0 < header.maxval <= 65_535:
        raise NotAnImage(f"PNM: a maximum of {header.maxval:,}", claims="PPM")
    return header


def parse_pnm(view: memoryview, wanted: Wanted) -> Structure:
    """What a Netpbm file says of itself (``structure.parse``)."""
    header = read_header(view)
    defects: list[str] = []
    held = len(view) - header.start
    notes: tuple[str, ...] = ()
    if header.plain:
        if held <= 0:
            defects.append("truncated: no samples")
    elif held < header.raster:
        defects.append(f"truncated: {max(held, 0):,} of {header.raster:,} bytes of samples")
    elif held > header.raster:
        notes = (f"{held - header.raster:,} bytes after the first image",)
        if _ANOTHER.match(view, header.start + header.raster):
            header = replace(header, odd="several images in one file: the first alone is read")
    digest, reason = _payload(view, header, defects) if wanted.payload else (None, None)
    return Structure(
        format="PPM",
        frames=(_frame(header, tuple(defects)),),
        layout=Layout(
            container=_WORDS[header.number],
            compression="plain text" if header.plain else "none",
            byte_order=_byte_order(header),
        ),
        orientation=1,
        payload=digest,
        payload_reason=reason,
        defects=tuple(defects),
        detail={
            "notes": notes,
            "number": header.number,
            "depth": header.depth,
            "maxval": header.maxval,
            "scale": header.scale,
            "start": header.start,
            "tuple_type": header.tuple_type,
        },
    )


def _byte_order(header: PnmHeader) -> str | None:
    if header.number == 8:
        return "little" if header.scale < 0 else "big"
    return "big" if header.maxval > 255 and not header.plain else None


def _frame(header: PnmHeader, defects: tuple[str, ...]) -> Frame:
    fidelity, reason = Fidelity.EXACT, None
    model, channels = ("rgb", 3) if header.depth == 3 else ("gray", 1)
    if header.number == 7:
        model, channels = _TUPLE_TYPES.get(header.tuple_type, ("", header.depth))
        if not model or channels != header.depth:
            model, channels = f"ink{header.depth}", header.depth
            kind = header.tuple_type or "no tuple type"
            fidelity, reason = (
                Fidelity.UNVERIFIED,
                f"PAM of {kind} and depth {header.depth} has no canonical form",
            )
    bits = header.maxval.bit_length()
    if header.number == 8:
        dtype = "f32"
    else:
        dtype = "u8" if widened(bits, model) else f"u{bits}"
        if header.maxval != (1 << bits) - 1:
            # Readers stretch 0…maxval to the full range, each with its own rounding.
            fidelity, reason = (
                Fidelity.UNVERIFIED,
                f"a maximum of {header.maxval:,} is no whole number of bits",
            )
    if header.odd:
        fidelity, reason = Fidelity.UNVERIFIED, header.odd
    return Frame(
        index=0,
        role=PageRole.PAGE,
        width=header.width,
        height=header.height,
        model=model,
        dtype=dtype,
        channels=channels,
        fidelity=fidelity,
        fidelity_reason=reason,
        defects=defects,
    )


def _payload(view: memoryview, header: PnmHeader, defects: list[str]) -> tuple[bytes | None, str | None]:
    if defects:
        return None, f"damaged: {defects[0]}"
    end = len(view) if header.plain else header.start + header.raster
    numbers = [header.number, header.width, header.height, header.depth, header.maxval]
    payload = Payload("PPM")
    payload.numbers("header", [*numbers, repr(header.scale), header.tuple_type])
    payload.part("pixels", view[header.start : end])
    return payload.digest(), None
