"""Which tags came, went or changed between two content states, per IFD and by name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from catalog.terms import TAG_TYPES, Analysis, Ifd, IfdKind, Tag, counted, printable

ORIENTATION: Final = 274
ICC_PROFILE: Final = 34675

VALUE_LIMIT: Final = 4096
"""Bytes of a value that a change spells out; of longer ones it gives type, count and sha256."""
WORDS_LIMIT: Final = 40
"""Characters of a value that a sentence shows."""
NAMES_TOLD: Final = 5
"""Tags that a sentence names before it says "and N more"."""
VALUES_TOLD: Final = 2
"""Changed tags that get a sentence each, with both values; more are listed by name."""

# Tags that restate where and how the samples lie. A re-save rewrites them all, and the layout (or the
# picture's size) already says what happened, so they are listed apart and never given as a reason.
STRUCTURAL: Final = frozenset(
    [
        *(256, 257, 258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 338, 339, 530),  # shape, coding
        *(273, 278, 279, 288, 289, 322, 323, 324, 325, 330),  # strips, tiles, free space, SubIFDs
        *(347, 512, 513, 514, 515, 517, 518, 519, 520, 521),  # JPEG in TIFF
        *(34665, 34853, 40965),  # offsets of the Exif, GPS and Interop IFDs
    ]
)

_ATTACHED = (IfdKind.EXIF, IfdKind.GPS, IfdKind.INTEROP)
_FIRST_PAGE = "page 0"

TagChanges = dict[str, list[dict[str, Any]]]


def no_changes() -> TagChanges:
    """The empty answer; it has the shape of a full one."""
    return {"added": [], "removed": [], "changed": [], "layout": []}


@dataclass(frozen=True, slots=True)
class TagChange:
    """One tag that differs; at least one side is there."""

    label: str
    """Of its IFD, see ``labelled``."""
    bucket: str
    """``added removed changed``, or ``layout``."""
    old: Tag | None
    new: Tag | None

    @property
    def tag(self) -> Tag:
        """The tag as it stands now, or as it stood before it was removed."""
        tag = self.new or self.old
        assert tag is not None
        return tag

    @property
    def named(self) -> str:
        """Its name for a sentence; the IFD is named when it is not the first page or its attachment."""
        name = printable(self.tag.name)
        return name if self.label in (_FIRST_PAGE, *_ATTACHED) else f"{name} ({self.label})"


def differences(old: Analysis, new: Analysis) -> list[TagChange]:
    """Every tag that is not the same field on both sides, in file order, the old file's first."""
    before, after = _fields(old.ifds), _fields(new.ifds)
    return [
        TagChange(key[0], _bucket(before.get(key), after.get(key)), before.get(key), after.get(key))
        for key in dict.fromkeys((*before, *after))
        if not _same_field(before.get(key), after.get(key))
    ]


def tag_changes(old: Analysis, new: Analysis) -> TagChanges:
    """Tags ``added``, ``removed`` and ``changed``, as in ``compare --json``; ``layout`` holds the rest.

    Entries are ``{"ifd", "name", "old", "new"}`` without the side that does not exist, in file order. ``ifd``
    is a label: ``page 0``, ``exif``, ``gps of page 2``, ``subifd 0 of page 0``. Values are lists as in ``tags
    --json``; one of more than ``VALUE_LIMIT`` bytes is ``{"type", "count", "sha256"}``. ``layout`` lists
    structural tags (strip offsets …) and tags whose equal value is only stored otherwise (SHORT or LONG).
    Never raises.
    """
    changes = no_changes()
    for change in differences(old, new):
        entry: dict[str, Any] = {"ifd": change.label, "name": change.tag.name}
        if change.old is not None:
            entry["old"] = shown(change.old)
        if change.new is not None:
            entry["new"] = shown(change.new)
        changes[change.bucket].append(entry)
    return changes


def tag_sentences(old: Analysis, new: Analysis, untold: frozenset[int] = frozenset()) -> list[str]:
    """The same changes in words, without the layout and without the first page's ``untold`` codes."""
    told: dict[str, list[TagChange]] = {"changed": [], "removed": [], "added": [], "layout": []}
    for change in differences(old, new):
        if not (change.tag.code in untold and change.label == _FIRST_PAGE):
            told[change.bucket].append(change)
    if len(told["changed"]) <= VALUES_TOLD:
        sentences = [_changed_words(change) for change in told["changed"]]
    else:
        sentences = _listed(told["changed"], "changed")
    return sentences + _listed(told["removed"], "dropped") + _listed(told["added"], "added")


def shown(tag: Tag) -> Any:
    """A tag's value as a change shows it: a list, or type, count and sha256 of a long one."""
    if tag.sha256 is None and len(tag.raw) <= VALUE_LIMIT:
        return tag.value
    digest = tag.sha256 or hashlib.sha256(tag.raw).digest()
    return {"type": tag.type_name, "count": tag.count, "sha256": digest.hex()}


def value_words(tag: Tag) -> str:
    """A tag's value for a sentence: ``'text'``, ``6``, ``72``, ``8, 8, 8``, or how much there is of it."""
    if tag.broken is not None:
        return f"an unreadable value ({printable(tag.broken)})"
    size, values = counted(len(tag.raw), "byte"), []
    if tag.sha256 is None and len(tag.raw) <= VALUE_LIMIT:
        values = tag.value
    if values and all(isinstance(value, str) for value in values):
        text = printable(", ".join(values))
        return f"'{text}'" if len(text) <= WORDS_LIMIT else f"'{text[:WORDS_LIMIT]}…'"
    if not 1 <= len(values) <= 4:
        return counted(tag.count, "byte") if tag.sha256 is not None else size
    return ", ".join(_number_words(value) for value in values)


def labelled(ifds: Sequence[Ifd]) -> list[tuple[str, Ifd]]:
    """Each IFD with a label that is unique in its file and the same in another file of the same build."""
    by_index = {ifd.index: ifd for ifd in reversed(ifds)}
    labels: dict[int, str] = {}
    ordinals: dict[tuple[IfdKind, str], int] = {}
    result = []
    for ifd in ifds:
        owner = _owner(ifd, by_index)
        place = labels.get(owner.index, "") if owner is not None else ""
        ordinal = ordinals.get((ifd.kind, place), 0)
        ordinals[ifd.kind, place] = ordinal + 1
        if ifd.kind in _ATTACHED:
            label = str(ifd.kind) if ordinal == 0 else f"{ifd.kind} {ordinal}"
            label += f" of {place}" if place not in ("", _FIRST_PAGE) else ""
        else:
            label = f"{ifd.kind} {ordinal}" + (f" of {place}" if place else "")
        labels.setdefault(ifd.index, label)
        result.append((label, ifd))
    return result


def _owner(ifd: Ifd, by_index: dict[int, Ifd]) -> Ifd | None:
    """The image IFD that this one belongs to; a parent that does not exist, or a circle, is no parent."""
    seen = {ifd.index}
    parent = ifd.parent
    while parent is not None and parent not in seen and parent in by_index:
        seen.add(parent)
        if by_index[parent].kind not in _ATTACHED:
            return by_index[parent]
        parent = by_index[parent].parent
    return None


def _fields(ifds: Sequence[Ifd]) -> dict[tuple[str, int, int], Tag]:
    """The tags of a file by (IFD label, code, how often the code stood there before)."""
    fields: dict[tuple[str, int, int], Tag] = {}
    for label, ifd in labelled(ifds):
        seen: dict[int, int] = {}
        for tag in ifd.tags:
            fields[label, tag.code, seen.get(tag.code, 0)] = tag
            seen[tag.code] = seen.get(tag.code, 0) + 1
    return fields


def _bucket(old: Tag | None, new: Tag | None) -> str:
    tag = new or old
    if tag is None or tag.code in STRUCTURAL:
        return "layout"
    if old is None or new is None:
        return "added" if old is None else "removed"
    return "layout" if _same_value(old, new) else "changed"


def _same_field(old: Tag | None, new: Tag | None) -> bool:
    """Whether nothing differs that stands in the file (the name is ours)."""
    if old is None or new is None:
        return old is new
    return (old.type, old.count, old.raw, old.sha256, old.broken) == (
        new.type,
        new.count,
        new.raw,
        new.sha256,
        new.broken,
    )


def _same_value(old: Tag, new: Tag) -> bool:
    """Whether the value reads the same although it is stored otherwise: 124 as SHORT and as LONG."""
    if old.sha256 or new.sha256 or old.broken != new.broken:
        return False
    return old.type in TAG_TYPES and new.type in TAG_TYPES and old.value == new.value


def _listed(changes: list[TagChange], verb: str) -> list[str]:
    names = [change.named for change in changes]
    if len(names) <= 1:
        return [f"tag {name} {verb}" for name in names]
    more = f" and {len(names) - NAMES_TOLD:,} more" if len(names) > NAMES_TOLD else ""
    return [f"{len(names):,} tags {verb}: {', '.join(names[:NAMES_TOLD])}{more}"]


def _changed_words(change: TagChange) -> str:
    assert change.old is not None and change.new is not None
    old, new = value_words(change.old), value_words(change.new)
    return f"tag {change.named} changed" + (f" from {old} to {new}" if old != new else "")


def _number_words(value: Any) -> str:
    if isinstance(value, list):
        over, under = value
        return str(over // under) if under and over % under == 0 else f"{over}/{under}"
    return f"{value:g}" if isinstance(value, float) else str(value)
