"""Whose history is it? Decides, with the disk as witness, which appeared path is which vanished file.

Content must be equal in any case: an inode number alone is handed out again at once (measured: 1,000 of
1,000 on ext4). Then the inode, where the mount's inodes are trusted, tells which of several equal files
moved; without it only a pair that is unique on both sides is a move. Everything else stays separate.
"""

from __future__ import annotations

import errno
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from catalog.record import FileRow, Recorder
from catalog.record.batch import signed
from catalog.service.plans import Key, Plan
from catalog.terms import Inspection, Presence, printable

COPIES_CONSIDERED: Final = 64
"""Files with equal content that are looked at as the possible origin of a new path."""


class Place(Enum):
    """What is at the path where a file was last seen."""

    SAME = "the same file"
    OTHER = "another file"
    GONE = "nothing"
    UNKNOWN = "cannot be looked at"


def place_of(row: FileRow, *, inode_trusted: bool) -> Place:
    """Look at the recorded path of a file, now."""
    try:
        look = os.lstat(row.absolute)
    except OSError as error:
        return Place.GONE if error.errno in (errno.ENOENT, errno.ENOTDIR) else Place.UNKNOWN
    if inode_trusted and signed(look.st_ino) != row.inode:
        return Place.OTHER
    return Place.SAME


def holds(recorder: Recorder, row: FileRow, sha256: bytes) -> bool:
    """Whether the last recorded content of a file has this raw digest."""
    if row.content_id is None:
        return False
    stored = recorder.batch.question("SELECT sha256 FROM content WHERE content_id = ?", (row.content_id,))
    return bool(stored[0][0] == sha256)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An inspected path whose content belongs to a file that may have moved there."""

    inspection: Inspection
    row: FileRow | None
    """The living file recorded at this path."""
    candidates: tuple[FileRow, ...]
    """Files with this content that are recorded elsewhere."""
    plan: Plan


@dataclass(frozen=True, slots=True)
class Move:
    row: FileRow
    arrival: Arrival


def pair(
    arrivals: Iterable[Arrival], *, inode_trusted: Callable[[int], bool]
) -> tuple[list[Move], list[Arrival]]:
    """(moves, arrivals that are nobody's move). Each file moves at most once, each path gets one file."""
    by_content: dict[bytes, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        assert arrival.inspection.sha256 is not None
        by_content[arrival.inspection.sha256].append(arrival)
    moves: list[Move] = []
    rest: list[Arrival] = []
    for group in by_content.values():
        places = {
            row: place_of(row, inode_trusted=inode_trusted(row.root_id))
            for row in {row.file_id: row for arrival in group for row in arrival.candidates}.values()
        }
        absent = [row for row, place in places.items() if place in (Place.GONE, Place.OTHER)]
        moves_here, left, absent = _by_inode(group, absent, inode_trusted)
        gone = [row for row in absent if places[row] is Place.GONE]
        newcomers = [arrival for arrival in left if arrival.row is None]
        if len(gone) == 1 and len(newcomers) == 1:
            moves_here.append(Move(gone[0], newcomers[0]))
            left.remove(newcomers[0])
        moves.extend(moves_here)
        rest.extend(left)
    return moves, rest


def _by_inode(
    group: list[Arrival], absent: list[FileRow], inode_trusted: Callable[[int], bool]
) -> tuple[list[Move], list[Arrival], list[FileRow]]:
    moves: list[Move] = []
    left: list[Arrival] = []
    free = {row.file_id: row for row in absent}
    claims: dict[int, list[Arrival]] = defaultdict(list)
    for arrival in group:
        stat = arrival.inspection.stat
        assert stat is not None
        matches = [
            row
            for row in arrival.candidates
            if row.file_id in free
            and inode_trusted(row.root_id)
            and row.inode == signed(stat.inode)
            and row.mtime_ns == stat.mtime_ns
        ]
        if len(matches) == 1:
            claims[matches[0].file_id].append(arrival)
        else:
            left.append(arrival)
    for file_id, claimants in claims.items():
        # Two names for one inode whose old name is gone: hard links, and nobody can say which one moved.
        if len(claimants) == 1:
            moves.append(Move(free.pop(file_id), claimants[0]))
        else:
            left.extend(claimants)
    return moves, left, list(free.values())


class Arrivals:
    """Inspected paths that may be moves: put aside until the walk, or the window, has seen both ends."""

    def __init__(self, recorder: Recorder, inode_trusted: Callable[[int], bool]) -> None:
        self._recorder = recorder
        self._inode_trusted = inode_trusted
        self._waiting: dict[Key, Arrival] = {}
        self._in_place: frozenset[bytes] = frozenset()
        self._first = 0.0

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting

    def waiting(self, *, older_than_seconds: float = 0.0) -> bool:
        """Whether any arrival waits, the first of them that long."""
        return bool(self._waiting) and time.monotonic() - self._first >= older_than_seconds

    def look_ahead(self, contents: Iterable[bytes]) -> None:
        """Find out which contents have all their files in place. They are not asked about again before the next
        call: asking between two results makes the record write its waiting rows each time."""
        self._in_place = frozenset(
            sha256
            for sha256 in set(contents)
            if all(
                place_of(row, inode_trusted=self._inode_trusted(row.root_id)) is Place.SAME
                for row in self._recorder.rows.by_content(sha256, limit=COPIES_CONSIDERED)
            )
        )

    def put_aside(self, inspection: Inspection, row: FileRow | None, plan: Plan) -> bool:
        """Keep an inspection of known content if a file with that content is no longer where it was.

        ``row``: the file recorded at this path, living or a tombstone.
        """
        assert inspection.sha256 is not None
        if inspection.sha256 in self._in_place:
            return False
        key = (inspection.job.root_id, inspection.job.path)
        tombstone = row is not None and row.presence is Presence.MISSING
        if tombstone and row is not None and holds(self._recorder, row, inspection.sha256):
            return False  # it is back where it was
        candidates = tuple(
            other
            for other in self._recorder.rows.by_content(inspection.sha256, limit=COPIES_CONSIDERED)
            if (other.root_id, other.path) != key
            and place_of(other, inode_trusted=self._inode_trusted(other.root_id)) in (Place.GONE, Place.OTHER)
        )
        if not candidates:
            return False
        if not self._waiting:
            self._first = time.monotonic()
        self._waiting[key] = Arrival(inspection, None if tombstone else row, candidates, plan)
        return True

    def resolve(self) -> tuple[list[tuple[FileRow, Arrival]], list[Arrival], list[FileRow]]:
        """Move the files that moved: (file under its new path, arrival), arrivals that are no moves, and the
        files that were overwritten, which are recorded as missing."""
        arrivals, self._waiting = list(self._waiting.values()), {}
        moves, rest = pair(arrivals, inode_trusted=self._inode_trusted)
        self._recorder.batch.begin()
        overwritten = self._make_room(moves)
        moved = []
        for move in moves:
            job = move.arrival.inspection.job
            moved.append((self._recorder.move(move.row, job.root_id, job.path), move.arrival))
        return moved, rest, overwritten

    def _make_room(self, moves: Iterable[Move]) -> list[FileRow]:
        """Whoever is recorded where a file moves to has moved away, too, or was overwritten."""
        moving = {move.row.file_id for move in moves}
        overwritten = []
        for move in moves:
            job = move.arrival.inspection.job
            there = self._recorder.rows.at(job.root_id, job.path)
            if there is None or there.presence is Presence.MISSING or there.file_id == move.row.file_id:
                continue
            if there.file_id in moving:
                self._recorder.displace(there)
            else:
                reason = f"another file was renamed over it: {printable(move.row.path)}"
                self._recorder.missing(there, reason)
                overwritten.append(there)
        return overwritten
