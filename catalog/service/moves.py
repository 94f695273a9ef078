"""Whose history is it? Decides, with the disk as witness, which appeared path is which vanished file.

Content must be equal in any case: an inode number alone is handed out again at once (measured: 1,000 of
1,000 on ext4). Then the inode, where the mount's inodes are trusted, tells which of several equal files
moved; without it only a pair that is unique on both sides is a move. Everything else stays separate.
"""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from catalog.record import FileRow
from catalog.record.batch import signed
from catalog.terms import Inspection


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


@dataclass(frozen=True, slots=True)
class Arrival:
    """An inspected path whose content belongs to a file that may have moved there."""

    inspection: Inspection
    row: FileRow | None
    """The living file recorded at this path."""
    candidates: tuple[FileRow, ...]
    """Files with this content that are recorded elsewhere."""


@dataclass(frozen=True, slots=True)
class Move:
    row: FileRow
    inspection: Inspection


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
            moves_here.append(Move(gone[0], newcomers[0].inspection))
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
            moves.append(Move(free.pop(file_id), claimants[0].inspection))
        else:
            left.extend(claimants)
    return moves, left, list(free.values())
