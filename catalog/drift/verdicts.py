"""Two content states in, one verdict out: what changed (kind) and how it came about (manner).

Everything here is pure and total: no I/O, no clock, an answer for every pair.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

from catalog.drift.layout import same_arrangement
from catalog.drift.tags import TagChanges, no_changes, tag_changes
from catalog.drift.wording import Levels, reasons
from catalog.terms import Analysis, Evidence, Fidelity, Kind, Level, Manner, Severity, Stat, Verdict

SEVERITY: Final[dict[Kind, Severity]] = {
    Kind.METADATA: Severity.INFO,
    Kind.REENCODED: Severity.NOTICE,
    Kind.DISPLAY: Severity.NOTICE,
    Kind.REPRESENTATION: Severity.NOTICE,
    Kind.PICTURE: Severity.WARNING,
    Kind.UNPROVEN: Severity.WARNING,
    Kind.BROKEN: Severity.CRITICAL,
    Kind.MISSING: Severity.WARNING,
    Kind.UNREADABLE: Severity.WARNING,
}
"""How urgent each kind is when the manner is ordinary or stealth; rot and unexplained are always critical."""

_ALARMING = (Manner.ROT, Manner.UNEXPLAINED)
_CONTENTLESS = {"missing": Kind.MISSING, "unreadable": Kind.UNREADABLE}
_ON_SCREEN: Final[dict[Kind | None, bool]] = {Kind.METADATA: True, Kind.REENCODED: True, Kind.DISPLAY: False}


def compare_levels(old: Evidence, new: Evidence) -> Levels:
    """For each level: True same, False different, None cannot tell.

    ``bytes`` goes by sha256. ``payload`` needs no decoder and is comparable whenever both sides have one.
    ``pixels`` and ``view`` count only between sound classes, and as soon as one side is of class
    ``decoder`` only within one epoch. Symmetric; never raises.
    """
    levels: Levels = {
        Level.BYTES: _same(old.sha256, new.sha256),
        Level.PAYLOAD: None,
        Level.PIXELS: None,
        Level.VIEW: None,
    }
    before, after = old.analysis, new.analysis
    if before is not None and after is not None:
        levels[Level.PAYLOAD] = _same(before.payload, after.payload)
        if _comparable(old, new):
            levels[Level.PIXELS] = _same(before.pixels, after.pixels)
            levels[Level.VIEW] = _same(before.view, after.view)
    return levels


def manner(old_stat: Stat, new_stat: Stat, *, ctime_trusted: bool, mtime_granularity_ns: int) -> Manner:
    """How bytes that differ came to differ, judged by the last observed stat and the one now.

    ``mtime_granularity_ns`` is the mount's (1 for ext4, 2 s for FAT): mtimes within one granule are the
    same. On a coarse mount an ordinary save may fall into the granule of the one before; it leaves the
    mtime that its own ctime rounds down to, and is not taken for a rewrite with the mtime put back.
    On a fine one, an mtime that was put back with less precision than it had still counts as put back.
    Says nothing of equal bytes: their file was not written, and nothing rotted. Never raises.
    """
    granule = max(1, mtime_granularity_ns)
    if old_stat.mtime_ns // granule != new_stat.mtime_ns // granule:
        put_back = ctime_trusted and granule == 1 and old_stat.ctime_ns != new_stat.ctime_ns
        return Manner.STEALTH if put_back and _cut(old_stat.mtime_ns, new_stat.mtime_ns) else Manner.ORDINARY
    same_size = old_stat.size == new_stat.size
    if not ctime_trusted:
        return Manner.UNEXPLAINED if same_size else Manner.ORDINARY
    if old_stat.ctime_ns == new_stat.ctime_ns:
        return Manner.ROT if same_size else Manner.ORDINARY
    if granule > 1 and new_stat.ctime_ns // granule == new_stat.mtime_ns // granule:
        return Manner.ORDINARY
    return Manner.STEALTH


def _cut(before_ns: int, after_ns: int) -> bool:
    """Whether the second time is the first one as a program gives it back that keeps less of it: whole seconds
    (``exiftool -P`` and whatever calls utime(2)), milliseconds, microseconds, or a float of seconds."""
    grains = (1_000_000_000, 1_000_000, 1_000)
    if any(after_ns == before_ns // grain * grain for grain in grains):
        return True
    fraction, seconds = math.modf(before_ns / 1e9)
    return after_ns == int(seconds) * 1_000_000_000 + math.floor(fraction * 1e9)


def verdict(old: Evidence, new: Evidence, manner: Manner) -> Verdict:
    """What became of ``old``, and why. ``kind`` is None when the bytes are equal.

    The manner is the caller's finding (see ``manner``) and is handed through; rot and unexplained make
    any kind critical. ``tags`` is as in ``tag_changes``, empty where a side has no structure to compare.
    Total: every pair gives exactly one kind; never raises.
    """
    same = compare_levels(old, new)
    kind = _kind(old, new, same)
    severity = Severity.INFO
    if kind is not None:
        severity = Severity.CRITICAL if manner in _ALARMING else SEVERITY[kind]
    return Verdict(
        kind=kind,
        manner=manner,
        severity=severity,
        reasons=reasons(kind, old, new, same, manner),
        same=tuple((level.value, answer) for level, answer in same.items()),
        tags=_tags(old, new),
    )


def same_picture(old: Evidence, new: Evidence) -> bool | None:
    """Whether both show the same picture on screen; None when nothing proves or refutes it. Never raises."""
    same = compare_levels(old, new)
    if same[Level.BYTES]:
        return True
    if same[Level.VIEW] is not None:
        return same[Level.VIEW]
    return _ON_SCREEN.get(_kind(old, new, same))


def comparison(old: Evidence, new: Evidence) -> dict[str, Any]:
    """The answer of ``compare --json`` but for ``samples``: ``verdict``, ``same``, ``reasons``, ``tags``.

    ``verdict`` is the kind's word, or ``identical`` for equal bytes.
    """
    if _same_shape(old, new):  # the samples themselves are compared
        old, new = _without_near(old), _without_near(new)
    found = verdict(old, new, Manner.ORDINARY)
    return {
        "verdict": "identical" if found.kind is None else found.kind.value,
        "same": dict(found.same),
        "reasons": list(found.reasons),
        "tags": found.tags,
    }


def _same_shape(old: Evidence, new: Evidence) -> bool:
    before, after = (side.analysis.image if side.analysis else None for side in (old, new))
    if before is None or after is None:
        return False
    return (before.width, before.height) == (after.width, after.height)


def _without_near(side: Evidence) -> Evidence:
    return side if side.analysis is None else replace(side, analysis=replace(side.analysis, near=None))


def _same(old: bytes | None, new: bytes | None) -> bool | None:
    return None if old is None or new is None else old == new


def _comparable(old: Evidence, new: Evidence) -> bool:
    """Whether the pixel digests of both sides may be held against each other (pixels: fidelity)."""
    if old.analysis is None or new.analysis is None:
        return False
    classes = (old.analysis.fidelity, new.analysis.fidelity)
    if not all(fidelity.sound for fidelity in classes):
        return False
    return Fidelity.DECODER not in classes or (old.epoch is not None and old.epoch == new.epoch)


def _kind(old: Evidence, new: Evidence, same: Levels) -> Kind | None:
    """The one kind of a pair; None for equal bytes."""
    if new.state in _CONTENTLESS:
        return _CONTENTLESS[new.state]
    if same[Level.BYTES]:
        return None
    if _broke(old, new, same):
        return Kind.BROKEN
    if same[Level.BYTES] is None:
        return Kind.UNPROVEN
    return _content_kind(old, new, same)


def _content_kind(old: Evidence, new: Evidence, same: Levels) -> Kind:
    """The first row of the table that fits two contents whose bytes differ: payload, pixels, view."""
    if same[Level.PAYLOAD] and same[Level.PIXELS] is not False:
        return _beside_kind(old, new, same, rewritten=not _same_container(old, new))
    if same[Level.PIXELS]:
        return _beside_kind(old, new, same, rewritten=not _same_layout(old, new, same))
    if same[Level.VIEW] is False:
        return Kind.PICTURE
    if same[Level.PIXELS] is False and same[Level.VIEW]:
        return Kind.REPRESENTATION
    return Kind.UNPROVEN


def _beside_kind(old: Evidence, new: Evidence, same: Levels, *, rewritten: bool) -> Kind:
    """For equal samples: whether they are shown otherwise, were written anew, or were left alone."""
    if not _same_on_screen(old, new, same):
        return Kind.DISPLAY
    return Kind.REENCODED if rewritten else Kind.METADATA


def _broke(old: Evidence, new: Evidence, same: Levels) -> bool:
    """Whether the file decoded before and does not now.

    A decoder's complaint alone is not enough where the payload is the same and gave the same samples as
    before: then only what surrounds the picture upset the decoder.
    """
    if not _decodes(old.analysis) or old.state in _CONTENTLESS:
        return False
    if new.state == "undecodable":
        return True
    if new.analysis is None or new.analysis.fidelity not in (Fidelity.DAMAGED, Fidelity.UNDECODABLE):
        return False
    before = old.analysis.pixels if old.analysis is not None else None
    return not (same[Level.PAYLOAD] and new.analysis.pixels is not None and new.analysis.pixels == before)


def _decodes(analysis: Analysis | None) -> bool:
    if analysis is None or analysis.pixels is None:
        return False
    return analysis.fidelity not in (Fidelity.DAMAGED, Fidelity.UNDECODABLE)


def _same_on_screen(old: Evidence, new: Evidence, same: Levels) -> bool:
    """For equal samples: the view digests say it, or else the Orientation tag."""
    view = same[Level.VIEW]
    return _orientation(old) == _orientation(new) if view is None else view


def _orientation(side: Evidence) -> int:
    return side.analysis.image.orientation if side.analysis and side.analysis.image else 1


def _same_layout(old: Evidence, new: Evidence, same: Levels) -> bool:
    """For equal samples without equal payload: whether they were left where and as they lay."""
    if same[Level.PAYLOAD] is False or old.analysis is None or new.analysis is None:
        return False
    if old.analysis.layout is None or new.analysis.layout is None:
        return False
    return same_arrangement(old.analysis.layout, new.analysis.layout)


def _same_container(old: Evidence, new: Evidence) -> bool:
    """For equal payload: whether the same kind of file is around it. 8-bit samples are the same bytes in either
    byte order, and in TIFF and BigTIFF; yet somebody wrote the file anew."""
    if old.analysis is None or new.analysis is None:
        return True
    before, after = old.analysis.layout, new.analysis.layout
    if before is None or after is None:
        return True
    return (before.container, before.byte_order) == (after.container, after.byte_order)


def _tags(old: Evidence, new: Evidence) -> TagChanges:
    """Tag changes where both sides have a structure: tags of a file that cannot be parsed are not gone."""
    if old.analysis is None or new.analysis is None:
        return no_changes()
    for analysis in (old.analysis, new.analysis):
        if analysis.image is None and not analysis.ifds:
            return no_changes()
    return tag_changes(old.analysis, new.analysis)
