"""Two sides of a comparison for the tests of drift: what was, and what differs from it in one respect."""

from __future__ import annotations

import struct
from dataclasses import replace
from hashlib import sha256

from catalog.drift import verdict
from catalog.terms import Analysis, Evidence, Fidelity, Ifd, IfdKind, ImageFacts, Kind, Layout, Manner, Tag

EPOCH, OTHER_EPOCH = b"e" * 32, b"f" * 32


def digest(name: str) -> bytes:
    return sha256(name.encode()).digest()


def ascii_tag(code: int, name: str, text: str) -> Tag:
    raw = text.encode() + b"\0"
    return Tag(code, name, 2, len(raw), raw)


def short_tag(code: int, name: str, *values: int) -> Tag:
    return Tag(code, name, 3, len(values), struct.pack(f"<{len(values)}H", *values))


def long_tag(code: int, name: str, *values: int) -> Tag:
    return Tag(code, name, 4, len(values), struct.pack(f"<{len(values)}I", *values))


def page_ifd(*tags: Tag) -> Ifd:
    return Ifd(0, IfdKind.PAGE, None, tags)


IMAGE = ImageFacts("TIFF", 124, 64, 1, "rgb", "u8", 3, 1)
LAYOUT = Layout("TIFF", "none", "little", 1, "contiguous", segments=3, rows_per_strip=22)
ANALYSIS = Analysis(
    Fidelity.EXACT,
    None,
    pixels=digest("pixels"),
    view=digest("view"),
    payload=digest("payload"),
    image=IMAGE,
    layout=LAYOUT,
    ifds=(page_ifd(short_tag(274, "Orientation", 1)),),
)
OLD = Evidence("ok", 24036, digest("old bytes"), ANALYSIS, EPOCH)


def revised(*, evidence: dict[str, object] | None = None, image: dict[str, object] | None = None, **analysis):
    """OLD after a write: other bytes, and the named fields of its analysis, image facts or evidence."""
    if image is not None:
        analysis["image"] = replace(IMAGE, **image)
    fields = {"sha256": digest("new bytes"), "size": 24000} | (evidence or {})
    return replace(OLD, analysis=replace(ANALYSIS, **analysis), **fields)


def kind_of(new: Evidence, old: Evidence = OLD) -> Kind | None:
    return verdict(old, new, Manner.ORDINARY).kind


OTHER = digest("other")
LOSSY = {"fidelity": Fidelity.LOSSY, "reason": "16 bit colour delivered as 8"}
