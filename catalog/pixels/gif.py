"""GIF: blocks of still and animated images.

Source: GIF89a specification (CompuServe, 1990). Rules 4 and 8 of the pixel checksum: one image is its
palette expanded, an animation is its composited frames.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from catalog.pixels.payload import Payload
from catalog.pixels.structure import MAX_FRAMES, Frame, NotAnImage, Structure, Wanted
from catalog.terms import Fidelity, Layout, PageRole

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL, _APPLICATION = b"\xf9", b"\xff"
_ICC_PREFIX = b"\x0bICCRGBG1012"
_MAX_PROFILE = 1 << 24


@dataclass(slots=True)
class GifImage:
    """One image descriptor with the graphic control before it."""

    box: tuple[int, int, int, int]
    """left, top, width, height on the logical screen."""
    interlaced: bool
    disposal: int
    transparent: int
    """Palette index, -1 for none."""
    palette: memoryview
    """The local palette; empty for the global one."""
    lzw: memoryview
    """Minimum code size and sub-blocks as they stand in the file, with their length bytes."""


@dataclass(slots=True)
class GifBlocks:
    width: int = 0
    height: int = 0
    background: int = 0
    palette: memoryview = field(default_factory=lambda: memoryview(b""))
    images: list[GifImage] = field(default_factory=list)
    icc: bytes | None = None
    ended: bool = False
    end: int = 0
    defects: list[str] = field(default_factory=list)


class _Reader:
    """A place in the file; reading beyond the end gives what there is and marks the file truncated."""

    def __init__(self, view: memoryview, found: GifBlocks) -> None:
        self.view = view
        self.found = found
        self.at = 0
        self.short = False

    def take(self, length: int) -> memoryview:
        piece = self.view[self.at : self.at + length]
        self.at += len(piece)
        if len(piece) < length and not self.short:
            self.short = True
            self.found.defects.append(f"truncated: the file ends at byte {len(self.view):,} inside a block")
        return piece

    def sub_blocks(self) -> memoryview:
        """The sub-blocks from here on, with their length bytes and the closing zero."""
        view, size, start, at = self.view, len(self.view), self.at, self.at
        while at < size:
            length = view[at]
            at += 1 + length
            if length == 0:
                self.at = at
                return view[start:at]
        self.at = size
        self.take(1)
        return view[start:size]


def _joined(blocks: memoryview) -> bytes:
    """The content of sub-blocks, bounded."""
    pieces, at, total = [], 0, 0
    while at < len(blocks) and blocks[at] and total < _MAX_PROFILE:
        pieces.append(bytes(blocks[at + 1 : at + 1 + blocks[at]]))
        total += len(pieces[-1])
        at += 1 + blocks[at]
    return b"".join(pieces)


def read_blocks(view: memoryview) -> GifBlocks:
    """Walk the blocks up to the trailer; damage is collected."""
    found = GifBlocks()
    reader = _Reader(view, found)
    head = reader.take(13)
    if len(head) < 13:
        raise NotAnImage(f"GIF: truncated: {len(head)} bytes are no header", claims="GIF")
    found.width, found.height = head[6] | head[7] << 8, head[8] | head[9] << 8
    found.background = head[11]
    if head[10] & 0x80:
        found.palette = reader.take(3 << (head[10] & 7) + 1)
    disposal, transparent = 0, -1
    while not reader.short and reader.at < len(view) and len(found.images) <= MAX_FRAMES:
        block = reader.take(1)
        if block[0] == _TRAILER:
            found.ended = True
            break
        if block[0] == _EXTENSION:
            label = bytes(reader.take(1))
            blocks = reader.sub_blocks()
            if label == _CONTROL and len(blocks) >= 6 and blocks[0] >= 4:
                disposal = blocks[1] >> 2 & 7
                transparent = blocks[4] if blocks[1] & 1 else -1
            elif label == _APPLICATION and bytes(blocks[:12]) == _ICC_PREFIX:
                found.icc = _joined(blocks[12:]) or None
        elif block[0] == _IMAGE:
            _image(reader, found, disposal, transparent)
            disposal, transparent = 0, -1
        elif block[0] != 0:
            found.defects.append(f"unknown block 0x{block[0]:02x} at byte {reader.at - 1:,}")
            break
    found.end = reader.at
    if not found.ended and not found.defects and len(found.images) <= MAX_FRAMES:
        found.defects.append("truncated: no trailer")
    return found


def _image(reader: _Reader, found: GifBlocks, disposal: int, transparent: int) -> None:
    head = reader.take(9)
    if len(head) < 9:
        return
    left, top, width, height = (head[at] | head[at + 1] << 8 for at in (0, 2, 4, 6))
    flags = head[8]
    palette = reader.take(3 << (flags & 7) + 1) if flags & 0x80 else memoryview(b"")
    start = reader.at
    reader.take(1)
    if len(reader.sub_blocks()) < 2:
        found.defects.append(f"image {len(found.images) + 1} has no samples")
    lzw = reader.view[start : reader.at]
    box = (left, top, width, height)
    found.images.append(GifImage(box, bool(flags & 0x40), disposal, transparent, palette, lzw))


def parse_gif(view: memoryview, wanted: Wanted) -> Structure:
    """What a GIF says of itself (``structure.parse``)."""
    found = read_blocks(view)
    if not found.images:
        reason = found.defects[0] if found.defects else "no image in it"
        raise NotAnImage(f"GIF: {reason}", claims="GIF")
    # A logical screen of 0, or one that the first image overlaps, grows to the image (as every reader does).
    left, top, width, height = found.images[0].box
    canvas = (max(found.width, left + width), max(found.height, top + height))
    if not canvas[0] or not canvas[1]:
        raise NotAnImage(f"GIF: an image of {canvas[0]} x {canvas[1]}", claims="GIF")
    digest, reason_none = _payload(found) if wanted.payload else (None, None)
    trailing = len(view) - found.end
    return Structure(
        format="GIF",
        frames=_frames(found, canvas),
        layout=Layout(container="GIF", compression="LZW", interlaced=found.images[0].interlaced),
        orientation=1,
        icc=found.icc,
        payload=digest,
        payload_reason=reason_none,
        defects=tuple(found.defects),
        detail={
            "notes": (f"{trailing:,} bytes after the trailer",) if found.ended and trailing else (),
            "images": len(found.images),
            "boxes": tuple(image.box for image in found.images[:16]),
            "transparent": found.images[0].transparent,
            "narrow": _narrow(found),
        },
    )


def _frames(found: GifBlocks, canvas: tuple[int, int]) -> tuple[Frame, ...]:
    first = found.images[0]
    animated = len(found.images) > 1
    whole = first.box == (0, 0, *canvas)
    alpha = animated or first.transparent >= 0 or not whole
    limited = len(found.images) > MAX_FRAMES
    reason = None
    if not whole:
        # Readers fill the screen around a smaller image with the background color, or leave it clear.
        reason = "the first image does not cover the screen: readers fill the rest differently"
    elif any(left + w > canvas[0] or top + h > canvas[1] for left, top, w, h in map(_box, found.images)):
        reason = "an image reaches beyond the screen: readers cut or grow differently"
    elif not len(found.palette) and not all(len(image.palette) for image in found.images):
        reason = "no palette: readers take different ones"
    cleared = next(
        (number for number, image in enumerate(found.images) if image.disposal in (2, 3)), len(found.images)
    )
    if reason is None and cleared + 1 < len(found.images):
        # Pillow 13 composites what follows otherwise than ImageMagick and browsers do
        reason = f"image {cleared + 1:,} is cleared away before the next one: readers differ in what is left"
    if limited:
        reason = f"more than {MAX_FRAMES:,} frames"
    return tuple(
        Frame(
            index=index,
            role=PageRole.FRAME if animated else PageRole.PAGE,
            width=canvas[0],
            height=canvas[1],
            model="rgba" if alpha else "rgb",
            dtype="u8",
            channels=4 if alpha else 3,
            fidelity=Fidelity.UNVERIFIED if reason else Fidelity.EXACT,
            fidelity_reason=reason,
            defects=tuple(found.defects),
        )
        for index in range(min(len(found.images), MAX_FRAMES))
    )


def _narrow(found: GifBlocks) -> dict[int, tuple[int, int, tuple[bytes | memoryview, ...]]]:
    """Images whose codes may stand for colours that their palette has not: by number, its colours, its transparent
    index, which some writers set behind them, and the pieces of a GIF of 256 colours with that image alone."""
    narrow: dict[int, tuple[int, int, tuple[bytes | memoryview, ...]]] = {}
    for number, image in enumerate(found.images[:MAX_FRAMES]):
        colours = len(image.palette or found.palette) // 3
        if len(image.lzw) > 1 and colours and image.lzw[0] <= 8 and colours < 1 << image.lzw[0]:
            size = struct.pack("<HH", *image.box[2:])
            head = b"GIF89a" + size + b"\x87\0\0" + bytes(range(255, -1, -1)) * 3
            place = b",\0\0\0\0" + size + bytes((image.interlaced << 6,))
            narrow[number] = (colours, image.transparent, (head, place, image.lzw, b";"))
    return narrow


def _box(image: GifImage) -> tuple[int, int, int, int]:
    return image.box


def _payload(found: GifBlocks) -> tuple[bytes | None, str | None]:
    if found.defects:
        return None, f"damaged: {found.defects[0]}"
    if len(found.images) > MAX_FRAMES:
        return None, f"more than {MAX_FRAMES:,} frames"
    payload = Payload("GIF")
    payload.numbers("screen", [found.width, found.height, found.background])
    payload.part("palette", found.palette)
    for image in found.images:
        payload.numbers("image", [*image.box, int(image.interlaced), image.disposal, image.transparent])
        payload.part("palette", image.palette)
        payload.part("lzw", image.lzw)
    return payload.digest(), None
