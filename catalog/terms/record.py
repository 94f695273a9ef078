"""The closed lists of the record: states of shares and files, events, checks."""

from __future__ import annotations

from enum import StrEnum


class RootState(StrEnum):
    ONLINE = "online"
    OFFLINE = "offline"
    REPLACED = "replaced"
    HUNG = "hung"
    RETIRED = "retired"


class WatchMode(StrEnum):
    INOTIFY = "inotify"
    POLL = "poll"
    BOTH = "both"


class Presence(StrEnum):
    """Is the file there? ``suspect``: not seen, absence not yet proven (still counted as present)."""

    PRESENT = "present"
    SUSPECT = "suspect"
    MISSING = "missing"


class Outcome(StrEnum):
    """What the last inspection of the file came to. ``other``: not an image format, raw checksums only."""

    PENDING = "pending"
    OK = "ok"
    UNREADABLE = "unreadable"
    UNDECODABLE = "undecodable"
    OTHER = "other"


class EventKind(StrEnum):
    """What happened; the closed list of ``query events --kind``."""

    ADDED = "added"
    CHANGED = "changed"
    TOUCHED = "touched"
    MOVED = "moved"
    MISSING = "missing"
    REAPPEARED = "reappeared"
    UNREADABLE = "unreadable"
    READABLE = "readable"
    RESTORED = "restored"
    REPAIRED = "repaired"
    ACCEPTED = "accepted"
    RETIRED = "retired"
    DECODER = "decoder"
    ROOT_ADDED = "root-added"
    ROOT_REMOVED = "root-removed"
    ROOT_STATE = "root-state"
    SCAN = "scan"
    HELD = "held"
    ALARM = "alarm"
    CONFIRMED = "confirmed"
    """Absences that were held back were confirmed by an admin."""
    ROOT_RELOCATED = "root-relocated"
    ROOT_MARKED = "root-marked"
    AUDIT = "audit"


class CheckResult(StrEnum):
    """What one fixity check of one file came to."""

    INTACT = "intact"
    DIFFERS = "differs"
    """A first reading gave other bytes than the record; what a second one said stands beside it."""
    ROT = "rot"
    STEALTH = "stealth"
    UNEXPLAINED = "unexplained"
    BROKEN = "broken"
    CHANGED = "changed"
    """Ordinary drift: somebody saved it."""
    UNREADABLE = "unreadable"


class ReadHow(StrEnum):
    """How the bytes of a check came to us."""

    CACHED = "cached"
    """Perhaps from the page cache: says what the memory holds."""
    UNCACHED = "uncached"
    """The page cache let go of the file first: says what the disk, or the server, holds."""
