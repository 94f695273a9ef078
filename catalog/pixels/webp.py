"""WebP: RIFF chunks of still and animated images, lossy and lossless.

Sources: RFC 9649 (WebP container and lossless bitstream), RFC 6386 (VP8 frame header), libwebp's rule for
alpha (``WebPGetFeatures``): a still lossless image's own bit, else VP8X's flag or an ALPH chunk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from catalog.pixels.exif import parse_exif
from catalog.pixels.payload import Payload
from catalog.pixels.structure import MAX_FRAMES, Frame, NotAnImage, Structure, Wanted
from catalog.terms import Fidelity, Layout, PageRole

_ALPHA_FLAG: Final = 0x10
_NO_BLENDING: Final = 0x02
_MAX_CHUNKS: Final = 400_000
_IMAGE: Final = frozenset((b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"))
_LOSSY_REASON: Final = "lossy WebP: samples depend on the decoder"


@dataclass(slots=True)
class WebpChunks:
    """What the chunks of one WebP say."""

    width: int = 0
    height: int = 0
    extended: int | None = None
    """VP8X's flags."""
    alpha: bool = False
    animated: bool = False
    codecs: list[bytes] = field(default_factory=list)
    """``VP8 `` or ``VP8L`` of each image."""
    blended: set[int] = field(default_factory=set)
    """Which images of an animation are laid over others with an alpha of their own."""
    parts: list[tuple[str, memoryview]] = field(default_factory=list)
    icc: memoryview | None = None
    exif: memoryview | None = None
    defects: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _chunks(view: memoryview, at: int, end: int, found: WebpChunks) -> Iterator[tuple[bytes, memoryview]]:
    """(name, content) of the chunks in ``view[at:end]``; one that does not fit is a defect, and given cut."""
    for _ in range(_MAX_CHUNKS):
        if at + 8 > end:
            if at < end:
                found.defects.append(f"truncated: {end - at} bytes after byte {at:,} are no chunk")
            return
        name = bytes(view[at : at + 4])
        length = int.from_bytes(view[at + 4 : at + 8], "little")
        if at + 8 + length > end:
            word = name.decode("latin-1")
            found.defects.append(
                f"truncated: chunk {word!r} at byte {at:,} reaches beyond the end ({end:,} bytes)"
            )
        yield name, view[at + 8 : min(at + 8 + length, end)]
        at += 8 + length + (length & 1)
    found.defects.append(f"more than {_MAX_CHUNKS:,} chunks")


def read_chunks(view: memoryview) -> WebpChunks:
    """Walk the chunks of the RIFF container; damage is collected."""
    found = WebpChunks()
    stated = int.from_bytes(view[4:8], "little") + 8
    if stated > len(view):
        found.defects.append(f"truncated: RIFF says {stated:,} bytes, the file has {len(view):,}")
    elif stated + (stated & 1) < len(view):
        found.notes.append(f"{len(view) - stated:,} bytes after the RIFF container")
    for name, body in _chunks(view, 12, min(stated, len(view)), found):
        if name in _IMAGE:
            found.parts.append((name.decode().strip(), body))
        if name == b"VP8X" and found.extended is None and len(body) >= 10:
            found.extended = body[0]
            found.alpha = bool(body[0] & _ALPHA_FLAG)
            found.width = 1 + int.from_bytes(body[4:7], "little")
            found.height = 1 + int.from_bytes(body[7:10], "little")
        elif name == b"ANMF":
            _animation_frame(body, found)
        elif name in (b"VP8 ", b"VP8L", b"ALPH"):
            _still(name, body, found)
        elif name == b"ICCP" and found.icc is None:
            found.icc = body
        elif name == b"EXIF" and found.exif is None:
            found.exif = body
    return found


def _still(name: bytes, body: memoryview, found: WebpChunks) -> None:
    if name == b"ALPH":
        found.alpha = True
        return
    if found.codecs:
        found.defects.append("a second image")
        return
    width, height, alpha = _lossless(body) if name == b"VP8L" else _lossy(body)
    if not width or not height:
        found.defects.append(f"broken header of {name.decode().strip()}")
        return
    found.codecs.append(name)
    if found.extended is None:
        found.width, found.height = width, height
    elif (found.width, found.height) != (width, height):
        found.defects.append(f"an image of {width} x {height} on a canvas of {found.width} x {found.height}")
    if name == b"VP8L":
        found.alpha = alpha


def _lossy(body: memoryview) -> tuple[int, int, bool]:
    if len(body) < 10 or bytes(body[3:6]) != b"\x9d\x01\x2a" or body[0] & 1:
        return 0, 0, False
    width, height = int.from_bytes(body[6:8], "little"), int.from_bytes(body[8:10], "little")
    return width & 0x3FFF, height & 0x3FFF, False


def _lossless(body: memoryview) -> tuple[int, int, bool]:
    if len(body) < 5 or body[0] != 0x2F:
        return 0, 0, False
    bits = int.from_bytes(body[1:5], "little")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bool(bits >> 28 & 1)


def _animation_frame(body: memoryview, found: WebpChunks) -> None:
    found.animated = True
    if len(found.codecs) > MAX_FRAMES:
        return
    if len(body) < 16:
        found.defects.append(f"animation frame {len(found.codecs) + 1} is cut")
        return
    left, top, width, height = (int.from_bytes(body[at : at + 3], "little") for at in (0, 3, 6, 9))
    if 2 * left + width + 1 > found.width or 2 * top + height + 1 > found.height:
        found.defects.append(f"animation frame {len(found.codecs) + 1} reaches beyond the canvas")
    codec = b""
    for name, content in _chunks(body, 16, len(body), found):
        if name in (b"VP8 ", b"VP8L"):
            codec = name
        if found.codecs and not body[15] & _NO_BLENDING and name == b"VP8L" and _lossless(content)[2]:
            found.blended.add(len(found.codecs))
    if not codec:
        found.defects.append(f"animation frame {len(found.codecs) + 1} has no image")
    found.codecs.append(codec or b"VP8 ")


def parse_webp(view: memoryview, wanted: Wanted) -> Structure:
    """What a WebP says of itself (``structure.parse``)."""
    found = read_chunks(view)
    if not found.width or not found.height or not found.codecs:
        reason = found.defects[0] if found.defects else "no image"
        raise NotAnImage(f"WebP: {reason}", claims="WEBP")
    exif = parse_exif(found.exif, full_values=wanted.full_values) if found.exif is not None else None
    digest, reason_none = _payload(found) if wanted.payload else (None, None)
    lossless = set(found.codecs) == {b"VP8L"}
    return Structure(
        format="WEBP",
        frames=_frames(found),
        layout=Layout(container="WebP", compression="WebP lossless" if lossless else "WebP"),
        orientation=exif.orientation if exif else 1,
        ifds=exif.ifds if exif else (),
        icc=bytes(found.icc) if found.icc is not None else None,
        payload=digest,
        payload_reason=reason_none,
        defects=tuple(found.defects),
        detail={
            "notes": (*found.notes, *(exif.notes if exif else ())),
            "lossless": lossless,
            "animated": found.animated,
            "alpha": found.alpha,
        },
    )


def _frames(found: WebpChunks) -> tuple[Frame, ...]:
    alpha = found.alpha or found.animated
    limited = len(found.codecs) > MAX_FRAMES
    exact = True
    why = _LOSSY_REASON
    frames = []
    for index, codec in enumerate(found.codecs[:MAX_FRAMES]):
        # A composited frame is as exact as the worst frame under it.
        if exact and codec == b"VP8L" and index in found.blended:
            why = "an image with alpha laid over others: rounding depends on the decoder"
        exact = exact and codec == b"VP8L" and index not in found.blended
        fidelity, reason = (Fidelity.EXACT, None) if exact else (Fidelity.DECODER, why)
        if limited:
            fidelity, reason = Fidelity.UNVERIFIED, f"more than {MAX_FRAMES:,} frames"
        frames.append(
            Frame(
                index=index,
                role=PageRole.FRAME if found.animated else PageRole.PAGE,
                width=found.width,
                height=found.height,
                model="rgba" if alpha else "rgb",
                dtype="u8",
                channels=4 if alpha else 3,
                fidelity=fidelity,
                fidelity_reason=reason,
                defects=tuple(found.defects),
            )
        )
    return tuple(frames)


def _payload(found: WebpChunks) -> tuple[bytes | None, str | None]:
    if found.defects:
        return None, f"damaged: {found.defects[0]}"
    payload = Payload("WEBP")
    payload.numbers("VP8X", [found.width, found.height, int(found.alpha)])
    for name, body in found.parts:
        payload.part(name, body)
    return payload.digest(), None
