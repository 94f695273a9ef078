"""Why a verdict is what it is, in plain sentences for curators, the most important first."""

from __future__ import annotations

from typing import Final

from catalog.drift.layout import beside, layout_changes, same_arrangement
from catalog.drift.near import SMALL, near_distance, near_words
from catalog.drift.tags import ICC_PROFILE, ORIENTATION, differences, tag_sentences
from catalog.terms import (
    Analysis,
    Evidence,
    Fidelity,
    ImageFacts,
    Kind,
    Level,
    Manner,
    PageRole,
    counted,
    joined,
    printable,
)

Levels = dict[Level, bool | None]

PROOFS: Final = ("pixels identical", "image data identical")
"""First sentences that say what did not change; the cause is the one after."""

_SUMMARY: Final[dict[Kind | None, str]] = {
    None: "same bytes",
    Kind.METADATA: "pixels identical, tags changed",
    Kind.REENCODED: "pixels identical, stored differently",
    Kind.DISPLAY: "pixels identical, shown differently",
    Kind.REPRESENTATION: "same on screen, other samples",
    Kind.PICTURE: "the picture changed",
    Kind.UNPROVEN: "bytes changed, picture cannot be compared",
    Kind.BROKEN: "no longer decodes",
    Kind.MISSING: "gone",
    Kind.UNREADABLE: "cannot be read",
}

_MANNER: Final[dict[Manner, str]] = {
    Manner.ROT: "nobody wrote the file: size, mtime and ctime are as before (bit rot)",
    Manner.STEALTH: "rewritten with its mtime put back",
    Manner.UNEXPLAINED: "size and mtime are as before, and this mount's ctime does not prove who wrote it",
}

_ABSENT: Final = {
    "gone": "its folder was listed to the end, without it",
    "gone with its folder": "its folder is not there any more",
}
"""Proofs of absence in a few words → what they mean."""

PHOTOMETRIC: Final = 262
_ZERO: Final[dict[int | None, str]] = {0: "white (MinIsWhite)", 1: "black (MinIsBlack)"}
"""What the smallest sample stands for, by PhotometricInterpretation (TIFF 6, page 37)."""

# Said when neither layout, profile nor tags show what changed
_UNSEEN: Final[dict[Kind, str]] = {
    Kind.METADATA: "no descriptive tag differs: comments, text, padding or other bytes beside the picture do",
    Kind.REENCODED: "encoded anew with the same layout",
}

# Orientation 1-8 as the matrix that takes stored (x, y) to shown (x, y): TIFF 6, page 36
_SHOWN: Final[dict[int, tuple[int, int, int, int]]] = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, -1, 1, 0),
    7: (0, -1, -1, 0),
    8: (0, 1, -1, 0),
}
_TURN: Final[dict[tuple[int, int, int, int], str]] = {
    _SHOWN[2]: "mirrored left to right",
    _SHOWN[3]: "rotated 180°",
    _SHOWN[4]: "mirrored top to bottom",
    _SHOWN[5]: "mirrored along the falling diagonal",
    _SHOWN[6]: "rotated 90° clockwise",
    _SHOWN[7]: "mirrored along the rising diagonal",
    _SHOWN[8]: "rotated 90° counter-clockwise",
}


def absence_words(reason: str) -> str:
    """What the recorded reason of an absence means, in words."""
    return _ABSENT.get(reason, printable(reason))


def summary(kind: Kind | None) -> str:
    """The kind in a few words, for tables; None is "same bytes"."""
    return _SUMMARY[kind]


def restored_sentence(date: str) -> str:
    """For content that equals an earlier revision: when that one was seen."""
    return f"back to the content of {printable(date)}"


def swapped_sentence(path: bytes | str, date: str) -> str:
    """For two files that exchanged their contents: where the other one was when that was seen."""
    return f"contents swapped with {printable(path)}, as seen {printable(date)}"


def good_copy_sentence(path: bytes | str) -> str:
    """For a file whose old pixels still exist elsewhere in the catalogue: where they are now."""
    return f"a good copy of the old picture is {printable(path)}"


def mass_sentence(files: int, of: int, kinds: dict[str, int]) -> str:
    """``1,204 of 5,000 files changed within an hour: 1,200 metadata and 4 picture``."""
    ordered = sorted(kinds.items(), key=lambda each: (-each[1], each[0]))
    parts = joined(f"{number:,} {printable(kind)}" for kind, number in ordered)
    return f"{files:,} of {counted(of, 'file')} changed within an hour: {parts}"


def reasons(kind: Kind | None, old: Evidence, new: Evidence, same: Levels, manner: Manner) -> tuple[str, ...]:
    """The sentences of one verdict; never empty, and ``"; ".join`` reads well. Never raises."""
    if kind is None:
        return ("bytes identical",)
    if kind is Kind.MISSING:
        words = absence_words(new.reason or "")
        return (f"missing: {words}" if words else "missing",)
    if kind is Kind.UNREADABLE:
        return ("cannot be read" + (f": {printable(new.reason)}" if new.reason else ""),)
    sentences = _headline(kind, old, new, same)
    if manner in _MANNER:
        sentences.append(_MANNER[manner])
    details = _details(kind, old, new, same)
    if not details and kind in _UNSEEN:
        details = [_unseen_words(kind, old.analysis, new.analysis), *_size(old, new)]
    elif kind in (Kind.PICTURE, Kind.UNPROVEN, Kind.BROKEN):
        details += _size(old, new)
    return (*sentences, *details)


def turn(old: int, new: int) -> str | None:
    """How the picture is shown at Orientation ``new`` compared with ``old``; None when just as before."""
    if old not in _SHOWN or new not in _SHOWN:
        return None
    a, b, c, d = _SHOWN[new]
    e, f, g, h = _SHOWN[old]  # orthogonal: its inverse is its transpose (e, g, f, h)
    return _TURN.get((a * e + b * f, a * g + b * h, c * e + d * f, c * g + d * h))


def _headline(kind: Kind, old: Evidence, new: Evidence, same: Levels) -> list[str]:
    before, after = _image(old), _image(new)
    proved = PROOFS[0] if same[Level.PIXELS] else PROOFS[1]
    match kind:
        case Kind.DISPLAY:
            return [_shown_words(before, after), proved]
        case Kind.REPRESENTATION:
            return [_representation_words(old, new)]
        case Kind.PICTURE:
            return [_picture_words(old, new)]
        case Kind.UNPROVEN:
            return [f"cannot say whether the picture changed: {_unproven_words(old, new, same)}"]
        case Kind.BROKEN:
            return [_broken_words(new)]
        case _:
            return [proved]


def _details(kind: Kind, old: Evidence, new: Evidence, same: Levels) -> list[str]:
    """Layout, colour profile, tags: what changed beside the headline, or explains it."""
    before, after = old.analysis, new.analysis
    if kind is Kind.BROKEN or before is None or after is None:
        return []
    details = near_words(before, after) if kind in (Kind.PICTURE, Kind.UNPROVEN) else []
    if kind is Kind.PICTURE and _encoded_anew(old, new, same):
        details.append("encoded anew with loss, or retouched")
    if before.layout is not None and after.layout is not None:
        details += layout_changes(before.layout, after.layout)
    zero = [_ZERO.get(_photometric(analysis)) for analysis in (before, after)]
    if all(zero) and zero[0] != zero[1]:
        details.append(f"0 means {zero[1]} instead of {zero[0]}")
    untold = set()
    profile = _profile_words(before, after, same)
    if profile:
        details.append(profile)
        untold.add(ICC_PROFILE)
    if kind in (Kind.DISPLAY, Kind.REPRESENTATION):
        untold.add(ORIENTATION)  # the headline says it
    if all(analysis.image is not None or analysis.ifds for analysis in (before, after)):
        details += tag_sentences(before, after, frozenset(untold))
    if after.reason and after.fidelity is Fidelity.DAMAGED:
        details.append(f"the decoder complains: {printable(after.reason)}")
    return details


def _photometric(analysis: Analysis) -> int | None:
    """PhotometricInterpretation of the first page, where it is a single number."""
    if not analysis.ifds:
        return None
    values = [tag.value for tag in analysis.ifds[0].tags if tag.code == PHOTOMETRIC]
    return values[0][0] if values and len(values[0]) == 1 else None


def _encoded_anew(old: Evidence, new: Evidence, same: Levels) -> bool:
    """Whether a lossy codec wrote another version of much the same picture, in the arrangement of the old one."""
    before, after = old.analysis, new.analysis
    if before is None or after is None or before.layout is None or after.layout is None:
        return False
    if same[Level.PAYLOAD] is not False or after.fidelity is not Fidelity.DECODER:
        return False
    bits = near_distance(before, after)
    return bits is not None and bits <= SMALL and same_arrangement(before.layout, after.layout)


def _unseen_words(kind: Kind, old: Analysis | None, new: Analysis | None) -> str:
    """What it must have been, when nothing that was read tells the two sides apart."""
    if kind is not Kind.METADATA or old is None or new is None:
        return _UNSEEN[kind]
    names = beside(new.layout) if new.layout is not None else []
    if names:
        return f"no tag differs: the {' or the '.join(names)} does, or padding beside the picture"
    is_tiff = new.image is not None and new.image.format == "TIFF"
    if is_tiff and new.ifds and not differences(old, new):
        return "each tag, strip and tile is where it was: bytes that none of them refers to differ"
    return _UNSEEN[kind]


def _image(side: Evidence) -> ImageFacts | None:
    return side.analysis.image if side.analysis is not None else None


def _shown_words(before: ImageFacts | None, after: ImageFacts | None) -> str:
    old, new = (image.orientation if image is not None else 1 for image in (before, after))
    if old == new:
        return "shown differently"
    return f"shown {turn(old, new) or 'differently'}: Orientation {new} instead of {old}"


def _representation_words(old: Evidence, new: Evidence) -> str:
    before, after = _image(old), _image(new)
    causes = _stored_otherwise(before, after) if before is not None and after is not None else []
    return f"same picture on screen: {joined(causes)}" if causes else "same picture on screen, other samples"


def _stored_otherwise(before: ImageFacts, after: ImageFacts) -> list[str]:
    """Which of the lossless reductions of ``view`` tell the two stored rasters apart."""
    causes = []
    if before.orientation != after.orientation:
        causes.append(
            "orientation baked into the samples"
            if after.orientation == 1
            else f"samples turned, and Orientation {after.orientation} instead of {before.orientation}"
        )
    gray = [image.model.startswith("gray") for image in (before, after)]
    colour = [image.model.startswith("rgb") for image in (before, after)]
    if gray[0] and colour[1]:
        causes.append("gray stored as RGB")
    if colour[0] and gray[1]:
        causes.append("RGB without colour stored as gray")
    alpha = [image.model.startswith(("graya", "rgba")) for image in (before, after)]
    if alpha[0] != alpha[1]:
        causes.append("opaque alpha dropped" if alpha[0] else "opaque alpha added")
    if (before.dtype, after.dtype) == ("u8", "u16"):
        causes.append("8 bit widened to 16")
    if (before.dtype, after.dtype) == ("u16", "u8"):
        causes.append("16 bit reduced to 8 without loss")
    if not causes and all(alpha):
        causes.append("other colours under full transparency")
    return causes


def _picture_words(old: Evidence, new: Evidence) -> str:
    before, after = _image(old), _image(new)
    how = ""
    if before is not None and after is not None:
        if (before.width, before.height) != (after.width, after.height):
            how = f": {_dimensions(before)} became {_dimensions(after)}"
        elif before.frames != after.frames:
            how = f": {counted(before.frames, 'page')} became {after.frames:,}"
        elif _samples(before) != _samples(after):
            how = f": {_samples(before)} became {_samples(after)}"
    return f"the picture changed{how or _changed_pages(old.analysis, new.analysis)}"


def _changed_pages(old: Analysis | None, new: Analysis | None) -> str:
    """Which pages of a document changed, when it has several and each page's view is known."""
    sides = [
        [page for page in analysis.pages if page.role not in (PageRole.THUMBNAIL, PageRole.MASK)]
        for analysis in (old, new)
        if analysis is not None
    ]
    if len(sides) != 2 or len(sides[0]) != len(sides[1]) or len(sides[0]) < 2:
        return ""
    if any(page.view is None for side in sides for page in side):
        return ""
    changed = [index for index, (a, b) in enumerate(zip(*sides, strict=True)) if a.view != b.view]
    if not changed or len(changed) > 5:
        return f" on {len(changed):,} of {len(sides[0]):,} pages" if changed else ""
    return f" on {joined(f'page {index}' for index in changed)} of {len(sides[0]):,} pages, counted from 0"


def _unproven_words(old: Evidence, new: Evidence, same: Levels) -> str:
    causes = [cause for cause in (_unsound("old", old), _unsound("new", new)) if cause]
    if causes:
        return ", ".join(causes)
    if same[Level.BYTES] is None:
        return "no checksum of the bytes on both sides"
    if same[Level.PIXELS] is False:
        return "other samples, and what they look like on screen is not known"
    fidelities = [side.analysis.fidelity for side in (old, new) if side.analysis is not None]
    if Fidelity.DECODER in fidelities and (old.epoch is None or old.epoch != new.epoch):
        side = "old" if fidelities[0] is Fidelity.DECODER else "new"
        return f"{side} was decoded by another decoder version (re-base first)"
    return "no checksum of the samples on both sides"


def _unsound(name: str, side: Evidence) -> str | None:
    """Why one side proves nothing about its picture; None when it does."""
    analysis = side.analysis
    reason = side.reason or (analysis.reason if analysis is not None else None)
    because = f" ({printable(reason)})" if reason else ""
    if side.state in ("missing", "unreadable"):
        return f"{name} was {side.state}{because}"
    if side.state == "undecodable" or (analysis is not None and analysis.fidelity is Fidelity.UNDECODABLE):
        return f"{name} did not decode{because}"
    if analysis is None:
        return f"{name} was not decoded{because}"
    if not analysis.fidelity.sound:
        return f"{name} was decoded only as {analysis.fidelity.value}{because}"
    return None


def _broken_words(new: Evidence) -> str:
    analysis = new.analysis
    reason = new.reason or (analysis.reason if analysis is not None else None)
    damaged = new.state != "undecodable" and analysis is not None and analysis.fidelity is Fidelity.DAMAGED
    words = "no longer decodes without damage" if damaged else "no longer decodes"
    # One defect entails others: the first one says it, the record and ``catalog checksum`` have them all.
    first, more, _ = (reason or "").partition("; ")
    return f"{words}: {printable(first)}" + (", and more" if more else "") if reason else words


def _profile_words(old: Analysis, new: Analysis, same: Levels) -> str | None:
    if old.image is None or new.image is None or old.image.icc_sha256 == new.image.icc_sha256:
        return None
    verb = "changed"
    if old.image.icc_sha256 is None or new.image.icc_sha256 is None:
        verb = "added" if old.image.icc_sha256 is None else "removed"
    identical = same[Level.PIXELS] or same[Level.PAYLOAD]
    return f"colour profile {verb}" + (" (samples identical, look may differ)" if identical else "")


def _size(old: Evidence, new: Evidence) -> list[str]:
    if old.size is None or new.size is None or old.size == new.size:
        return []
    return [f"size {old.size:,} -> {new.size:,} bytes"]


def _dimensions(image: ImageFacts) -> str:
    return f"{image.width} x {image.height}"


def _samples(image: ImageFacts) -> str:
    """``rgb u8`` as people say it: ``RGB 8 bit``, ``gray 32 bit float``."""
    model = printable(image.model)
    model = model if model.startswith("gray") else model.upper()
    kind, bits = image.dtype[:1], image.dtype[1:]
    if kind not in ("u", "i", "f") or not bits.isdecimal():
        return f"{model} {printable(image.dtype)}"
    return f"{model} {bits} bit" + {"u": "", "i": " signed", "f": " float"}[kind]
