"""What waits to be told whose history it is, and what it was told. See ``moves.py``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from catalog.record import FileRow
from catalog.service.plans import Key, Plan
from catalog.terms import Inspection
from catalog.watch.hints import Freed


@dataclass(slots=True, eq=False)
class Arrival:
    """An inspected path that waits: its content belongs to a file that may have moved there, or the file that
    was recorded at the path may have moved away."""

    inspection: Inspection
    plan: Plan
    candidates: tuple[int, ...]
    """Files (by id) with this content that were recorded elsewhere."""
    displaced: int | None
    """The living file (by id) that was recorded here."""
    order: int
    since: float
    row: FileRow | None = None
    """The living file that is recorded at this path; looked up anew when the arrival is judged, like ``rows``."""
    rows: list[FileRow] = field(default_factory=list)
    back: bool = False
    """A file that is recorded as missing held this content at this path: without better proof, it is back."""

    @property
    def sha256(self) -> bytes:
        assert self.inspection.sha256 is not None
        return self.inspection.sha256

    @property
    def key(self) -> Key:
        return self.inspection.job.root_id, self.inspection.job.path

    def is_heard_out(self, heard_until: float) -> bool:
        """Whether all news of before (``heard_until``, time.monotonic(); infinity: nobody listens) was looked at, and
        none was that a file has left for this path, or this one's for another."""
        told = self.plan.heard and self.plan.freed is not Freed.RENAMED
        return told and not self.candidates and self.since <= heard_until < math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    row: FileRow
    arrival: Arrival
    there: FileRow | None = None
    """The living file that is recorded where this one goes: it moves, too, or was overwritten."""
    certain: bool = False
    """Nothing can be told of the old path, and it is left all the same: see ``Pairing.is_only_name``."""


@dataclass(slots=True)
class Judged:
    """What became of arrivals: moves, and paths that are nobody's move."""

    moves: list[Move] = field(default_factory=list)
    rest: list[Arrival] = field(default_factory=list)
    stale: list[Arrival] = field(default_factory=list)
    """Another file, or another state of it, is at their path by now: to be inspected again."""
