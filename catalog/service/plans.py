"""What a path in flight carries with it, and what is counted on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from catalog.backlog import Due
from catalog.record import FileRow
from catalog.service.walks import FileLook
from catalog.terms import Inspection, Stat
from catalog.watch.hints import Freed

Key = tuple[int, bytes]
"""(root_id, path relative to the root)."""


@dataclass(slots=True)
class Tally:
    """What has been seen and done, for summaries and progress."""

    seen: int = 0
    new: int = 0
    changed: int = 0
    touched: int = 0
    unchanged: int = 0
    reread: int = 0
    """Of those that are unchanged."""
    missing: int = 0
    moved: int = 0
    reappeared: int = 0
    unreadable: int = 0
    unread: int = 0
    """Not read because the share was not there."""
    unproven: int = 0
    """Not found, and nothing proves that they are gone."""
    undecodable: int = 0
    flawed: int = 0
    """Damaged, or given up at a limit."""
    pending: int = 0
    held_missing: int = 0
    unknown_folders: int = 0
    inspected: int = 0
    bytes_read: int = 0
    symlinks: int = 0
    ignored: int = 0
    special: int = 0
    queued: int = 0
    queued_bytes: int = 0

    def count(self, name: str) -> None:
        """One more of a kind."""
        setattr(self, name, getattr(self, name) + 1)


@dataclass(slots=True)
class Plan:
    """Why a path is in flight, and what is to be done with its inspection."""

    tally: Tally
    due: Due | None = None
    """Its row in the backlog, to be acknowledged with the result."""
    fresh: bool = False
    """The root held no file when the walk began: nothing to look up, as long as only the walk records there."""
    attempts: int = 0
    counted: bool = False
    """In the tally already: this is a second look at the same change."""
    looked: Stat | None = None
    """The state in which it was read while its stamps were fresh: believed when it is the same a while later."""
    aged: bool = False
    """Its time stamps were waited for: no rewrite can hide behind them any more."""
    first_reading: bytes | None = None
    """sha256 of a reading that would raise an alarm: believed when the disk says so a second time."""
    taker: Callable[[Inspection], None] | None = None
    """An audit that has read the file to compare it; what it finds is its own to judge."""
    heard: bool = False
    """It comes from the backlog: an event spoke of it, and has settled."""
    heard_at: float = math.inf
    """time.monotonic() of the first news of it; infinity when it was found by a walk."""
    freed: Freed = Freed.PERHAPS
    """Whether its name was free since it was looked at last."""
    run_id: int | None = None
    """The run that asked for it, for revisions and events."""
    order: int = 0
    """When it was first submitted, as ``Session.next_order`` counts."""
    look: FileLook | None = None
    """When it was seen, before it is read."""


@dataclass(slots=True)
class Suspect:
    """A file that was not found where it was."""

    row: FileRow
    since: float
    """time.monotonic() of the first look that did not find it."""
    reason: str
    order: int
    """When that was, as ``Session.next_order`` counts."""
    last_call: int = 0
    """When its second look became due, in the same count: what was under way then may still find it elsewhere."""
    called_at: float = math.inf
    """time.monotonic() of that."""
    looked_again: bool = False
    next_look: float = 0.0
    """time.monotonic() before which another look is not worth it: the last one could not tell."""
    held: bool = False
    """Gone, and held back with others as a mass."""


@dataclass(slots=True)
class Losses:
    """How many files of a share went missing of late."""

    number: int
    counted: float
    """time.monotonic() of the count; what was recorded since is in the number, too."""
