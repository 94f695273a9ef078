"""Which arrival is which file that left its place: of equal contents, by the inode, or as the only pair there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from catalog.record import FileRow
from catalog.record.batch import signed
from catalog.record.files import storable
from catalog.service.arrival import Arrival, Judged, Move
from catalog.service.places import Place, Standing, place_of
from catalog.terms import Inspection

LEFT: Final = (Place.GONE, Place.OTHER)
"""What is at a path that its file has left."""


class Pairing:
    """Looks at the disk, writes nothing."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def place(self, row: FileRow) -> Place:
        trusted = self._standing.inode_trusted(row.root_id)
        sight = self._standing.sight(row.root_id)
        return place_of(row, sight, inode_trusted=trusted, follow_links=self._standing.follow_links)

    def is_only_name(self, inspection: Inspection, other: FileRow) -> bool:
        """Whether the file that was inspected is the one of a row with the same content on the same disk, and has no
        other name: then it has left the row's path, where nothing can be told of that path now. Never to be believed
        against what is seen there: a btrfs snapshot inside a share repeats the inodes of what it was taken of."""
        stat = inspection.stat
        assert stat is not None
        return (
            stat.nlink == 1
            and not self._standing.follow_links
            and self._standing.inode_trusted(other.root_id)
            and other.inode == signed(stat.inode)
            and (other.size, other.mtime_ns) == (stat.size, storable(stat).mtime_ns)
        )

    def pair(self, ready: Sequence[Arrival], *, by_content: bool) -> Judged:
        """Each file moves at most once, each path gets one file."""
        candidates = {row.file_id: row for arrival in ready for row in arrival.rows}
        roots = {row.root_id for row in candidates.values()}
        there = {root_id: self._standing.share_there(root_id) for root_id in roots}
        places = {
            file_id: self.place(row)
            for file_id, row in candidates.items()
            if there[row.root_id] and not self._is_lost(row)
        }
        groups: dict[bytes, list[Arrival]] = defaultdict(list)
        for arrival in ready:
            groups[arrival.sha256].append(arrival)
        judged, single = Judged(), list[Move]()
        for group in groups.values():
            certain = {
                row.file_id
                for a in group
                for row in a.rows
                if places.get(row.file_id) is not Place.SAME and self._has_left(row, a, there)
            }
            left = {
                row.file_id: row
                for arrival in group
                for row in arrival.rows
                if row.file_id in certain or places.get(row.file_id) in LEFT
            }
            moves = _by_inode(group, left, self._same_inodes)
            moves = [Move(m.row, m.arrival, certain=m.row.file_id in certain) for m in moves]
            judged.moves += moves
            moved, settled = {move.row.file_id for move in moves}, {move.arrival for move in moves}
            others = [arrival for arrival in group if arrival not in settled]
            gone = [left[i] for i in left if i not in moved and places.get(i) is Place.GONE]
            newcomers = [arrival for arrival in others if arrival.row is None and not arrival.back]
            if by_content and len(gone) == 1 and len(newcomers) == 1:
                single.append(Move(gone[0], newcomers[0]))
            wait = set(newcomers if gone and not by_content else ())
            judged.rest += [arrival for arrival in others if arrival not in wait]
        self._prove(judged, single)
        return judged

    def _prove(self, judged: Judged, single: Sequence[Move]) -> None:
        """Add the pairs whose old path is proven gone; then ask the shares again: one that went away meanwhile
        has proven nothing."""
        by_root: dict[int, list[Move]] = defaultdict(list)
        for move in single:
            by_root[move.row.root_id].append(move)
        for root_id, moves in by_root.items():
            paths = [move.row.path for move in moves]
            proofs = self._standing.sight(root_id).proofs(
                moves[0].row.root_path,
                paths,
                lost=self._standing.lost(root_id),
                follow_links=self._standing.follow_links,
            )
            proven = [move for move, proof in zip(moves, proofs, strict=True) if proof.absent]
            judged.moves += proven
            settled = {move.arrival for move in proven}
            judged.rest = [arrival for arrival in judged.rest if arrival not in settled]
        roots = {move.row.root_id for move in judged.moves}
        away = {root_id for root_id in roots if not self._standing.share_there(root_id)}
        lost = {
            move
            for move in judged.moves
            if move.row.root_id in away.difference([move.arrival.key[0]] if move.certain else ())
            or (not move.certain and self._is_lost(move.row))
        }
        judged.rest += [move.arrival for move in judged.moves if move in lost]
        judged.moves = [move for move in judged.moves if move not in lost]

    def _has_left(self, row: FileRow, arrival: Arrival, there: Mapping[int, bool]) -> bool:
        """Whether a file has surely left its recorded path, because it is the arrival's and has no other name."""
        if not self.is_only_name(arrival.inspection, row):
            return False
        return row.root_id == arrival.key[0] or (there[row.root_id] and self._same_inodes(row, arrival))

    def _is_lost(self, row: FileRow) -> bool:
        return any(row.path.startswith(point + b"/") for point in self._standing.lost(row.root_id))

    def _same_inodes(self, row: FileRow, arrival: Arrival) -> bool:
        """Whether the file's inode number and the arrival's are of one file system that keeps them."""
        if not self._standing.inode_trusted(row.root_id):
            return False
        if row.root_id == arrival.inspection.job.root_id:
            return True
        assert arrival.inspection.stat is not None
        try:
            return self._standing.sight(row.root_id).stat(row.root_path).st_dev == arrival.inspection.stat.dev
        except OSError:
            return False


def _by_inode(
    group: Sequence[Arrival], left: dict[int, FileRow], same_inodes: Callable[[FileRow, Arrival], bool]
) -> list[Move]:
    """The moves that the inode proves, in one group of equal contents."""
    claims: dict[int, list[Arrival]] = defaultdict(list)
    for arrival in group:
        stat = arrival.inspection.stat
        assert stat is not None
        matches = [
            row
            for row in arrival.rows
            if row.file_id in left
            and row.inode == signed(stat.inode)
            and row.mtime_ns == stat.mtime_ns
            and same_inodes(row, arrival)
        ]
        if len(matches) > 1:
            # Names of one inode that all left their places: each went where its name is, if anywhere.
            name = arrival.inspection.job.path.rpartition(b"/")[2]
            matches = [row for row in matches if row.path.rpartition(b"/")[2] == name]
        if len(matches) == 1:
            claims[matches[0].file_id].append(arrival)
    # Two names for one inode whose old name is gone: hard links, and nobody can say which one moved.
    return [Move(left[file_id], arrivals[0]) for file_id, arrivals in claims.items() if len(arrivals) == 1]
