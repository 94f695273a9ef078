"""Small integers for the enumerations of the record; the read views turn them back into words."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Generic, TypeVar

from catalog.terms import (
    CheckResult,
    EventKind,
    Fidelity,
    IfdKind,
    Outcome,
    PageRole,
    Presence,
    ReadHow,
    RootState,
)

PARTING: Final = "parting"
"""Row of ``setting``: files leave their groups of duplicates, and the decoder epoch that they leave them for has not
begun yet."""

E = TypeVar("E", bound=StrEnum)


class Codes(Generic[E]):
    """A closed two-way table between an enumeration and the integers in the database.

    Numbers are forever: append, never renumber.
    """

    def __init__(self, numbers: dict[E, int]) -> None:
        self.number: Final = numbers
        self.word: Final = {number: word for word, number in numbers.items()}

    def sql_case(self, column: str) -> str:
        """``CASE column WHEN 1 THEN 'present' …`` for the read views."""
        whens = " ".join(f"WHEN {number} THEN '{word.value}'" for word, number in self.number.items())
        return f"CASE {column} {whens} END"


PRESENCE: Final = Codes({Presence.PRESENT: 1, Presence.SUSPECT: 2, Presence.MISSING: 3})
OUTCOME: Final = Codes(
    {
        Outcome.PENDING: 0,
        Outcome.OK: 1,
        Outcome.UNREADABLE: 2,
        Outcome.UNDECODABLE: 3,
        Outcome.OTHER: 4,
    }
)
ROOT_STATE: Final = Codes(
    {
        RootState.ONLINE: 1,
        RootState.OFFLINE: 2,
        RootState.RETIRED: 3,
        RootState.REPLACED: 4,
        RootState.HUNG: 5,
    }
)
FIDELITY: Final = Codes(
    {
        Fidelity.EXACT: 1,
        Fidelity.DECODER: 2,
        Fidelity.LOSSY: 3,
        Fidelity.UNVERIFIED: 4,
        Fidelity.DAMAGED: 5,
        Fidelity.UNDECODABLE: 6,
    }
)
IFD_KIND: Final = Codes(
    {
        IfdKind.PAGE: 0,
        IfdKind.SUBIFD: 1,
        IfdKind.EXIF: 2,
        IfdKind.GPS: 3,
        IfdKind.INTEROP: 4,
        IfdKind.THUMBNAIL: 5,
        IfdKind.MASK: 6,
    }
)
PAGE_ROLE: Final = Codes(
    {
        PageRole.PAGE: 0,
        PageRole.THUMBNAIL: 1,
        PageRole.MASK: 2,
        PageRole.SUBIFD: 3,
        PageRole.FRAME: 4,
    }
)
EVENT_KIND: Final = Codes(
    {
        EventKind.ADDED: 1,
        EventKind.CHANGED: 2,
        EventKind.TOUCHED: 3,
        EventKind.MOVED: 4,
        EventKind.MISSING: 5,
        EventKind.REAPPEARED: 6,
        EventKind.UNREADABLE: 7,
        EventKind.READABLE: 8,
        EventKind.RESTORED: 9,
        EventKind.REPAIRED: 10,
        EventKind.ACCEPTED: 11,
        EventKind.RETIRED: 12,
        EventKind.DECODER: 13,
        EventKind.ROOT_ADDED: 14,
        EventKind.ROOT_REMOVED: 15,
        EventKind.ROOT_STATE: 16,
        EventKind.SCAN: 17,
        EventKind.HELD: 18,
        EventKind.ALARM: 19,
        EventKind.CONFIRMED: 20,
        EventKind.ROOT_RELOCATED: 21,
        EventKind.ROOT_MARKED: 22,
        EventKind.AUDIT: 23,
    }
)
CHECK_RESULT: Final = Codes(
    {
        CheckResult.INTACT: 1,
        CheckResult.DIFFERS: 2,
        CheckResult.ROT: 3,
        CheckResult.STEALTH: 4,
        CheckResult.UNEXPLAINED: 5,
        CheckResult.BROKEN: 6,
        CheckResult.CHANGED: 7,
        CheckResult.UNREADABLE: 8,
    }
)
READ_HOW: Final = Codes({ReadHow.CACHED: 1, ReadHow.UNCACHED: 2})

RASTER_PIXELS: Final = 1
RASTER_VIEW: Final = 2
SOUND: Final = 1
"""Class of a raster that may be called identical to another; unsound classes use their fidelity's number."""
