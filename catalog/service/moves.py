"""Whose history is it? Decides, with the disk as witness, which appeared path is which vanished file.

Content must be equal in any case: an inode number alone is handed out again at once (measured: 1,000 of
1,000 on ext4). Then the inode, where the mount's inodes are trusted, tells which of several equal files
moved; without it only a pair that is unique on both sides is a move, and only when the vanished side is
proven gone. Everything else stays separate. A share that is away proves nothing of its files.
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from catalog.record import FileRow, Recorder
from catalog.record.batch import signed
from catalog.record.files import storable
from catalog.service.arrival import Arrival, Judged, Move
from catalog.service.places import Place, Standing, holds, place_of
from catalog.service.plans import Key, Plan, Tally
from catalog.terms import Inspection, Presence
from catalog.watch.hints import Freed
from catalog.watch.reconcile import KnownFile, same_look

COPIES_CONSIDERED: Final = 64
"""Files with equal content that are looked at as the possible origin of a new path."""
_LEFT: Final = (Place.GONE, Place.OTHER)


class Arrivals:
    """Inspected paths that may be moves: put aside until everything that was under way has been seen."""

    def __init__(self, recorder: Recorder, standing: Standing) -> None:
        self._recorder = recorder
        self._standing = standing
        self._waiting: dict[Key, Arrival] = {}
        self._in_place: frozenset[bytes] = frozenset()
        self._news = False
        self._judge_at = 0.0
        self._judged_for = (0.0, 0.0)
        self.laden = 0
        """How many of those that wait carry an analysis, which may be large."""

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def plan(self, key: Key) -> Plan | None:
        """Why a path waits here, if it does."""
        arrival = self._waiting.get(key)
        return None if arrival is None else arrival.plan

    def count_in(self, key: Key, tally: Tally) -> bool:
        """Whether a path waits here. What becomes of it counts in this tally from now on: of the walk that came to
        it last, and not of the event that happened to be quicker."""
        arrival = self._waiting.get(key)
        if arrival is not None:
            arrival.plan.tally = tally
        return arrival is not None

    def concerned(self) -> set[int]:
        """The files whose fate hangs on what waits here."""
        files = {file_id for arrival in self._waiting.values() for file_id in arrival.candidates}
        files.update(a.displaced for a in self._waiting.values() if a.displaced is not None)
        return files

    def forget(self, root_id: int | None = None) -> None:
        """Drop what waits (of one root): it is found again, or nobody wants it any more."""
        for key in [key for key in self._waiting if root_id is None or key[0] == root_id]:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        self.laden -= self._waiting.pop(key).inspection.analysis is not None

    # --------------------------------------------------------------------------------------- putting aside

    def _place(self, row: FileRow) -> Place:
        trusted = self._standing.inode_trusted(row.root_id)
        sight = self._standing.sight(row.root_id)
        return place_of(row, sight, inode_trusted=trusted, follow_links=self._standing.follow_links)

    def look_ahead(self, inspections: Iterable[Inspection]) -> None:
        """Find out which contents have all their files in place, these newest ones among them. They are not asked
        about again before the next call: asking between two results makes the record write its waiting rows."""
        groups: dict[bytes, list[Inspection]] = defaultdict(list)
        for each in inspections:
            if each.sha256 is not None:
                groups[each.sha256].append(each)
        self._in_place = frozenset(sha256 for sha256, group in groups.items() if self._stays(sha256, group))

    def _stays(self, sha256: bytes, group: Sequence[Inspection]) -> bool:
        recorded = self._elsewhere(sha256) if self._recorder.facts.may_hold(sha256) else ()
        if len(group) > 1 and not all(map(self._is_true, group)):
            return False
        return all(self._place(row) is Place.SAME for row in recorded)

    def _elsewhere(self, sha256: bytes) -> list[FileRow]:
        return self._recorder.rows.by_content(sha256, limit=COPIES_CONSIDERED)

    def _may_have_moved(self, sha256: bytes) -> bool:
        return sha256 not in self._in_place and self._recorder.facts.may_hold(sha256)

    def moved_here(self, inspection: Inspection, row: FileRow | None) -> FileRow | None:
        """The file that has surely moved to this free path, whatever else is still to be seen: its only name on
        disk is here now. ``row``: the file recorded at this path, living or a tombstone."""
        job, stat = inspection.job, inspection.stat
        assert stat is not None and inspection.sha256 is not None
        if stat.nlink != 1 or not (row is None or row.presence is Presence.MISSING):
            return None
        if not self._may_have_moved(inspection.sha256) or not self._standing.inode_trusted(job.root_id):
            return None
        found = [
            other
            for other in self._recorder.rows.by_inode(stat.inode, stat.size, storable(stat).mtime_ns)
            if other.root_id == job.root_id
            and other.path != job.path
            and holds(self._recorder, other, inspection.sha256)
            and self._is_gone(inspection, other)
        ]
        return found[0] if len(found) == 1 else None

    def put_aside(self, inspection: Inspection, row: FileRow | None, plan: Plan, order: int) -> bool:
        """Keep an inspection if a file with its content is no longer where it was, or if another file than the
        recorded one is at its path now. ``row``: the file recorded at this path, living or a tombstone."""
        assert inspection.sha256 is not None
        sha256 = inspection.sha256
        key = (inspection.job.root_id, inspection.job.path)
        candidates: tuple[int, ...] = ()
        if self._may_have_moved(sha256) and not self._is_own(inspection, row):
            candidates = tuple(
                other.file_id
                for other in self._elsewhere(sha256)
                if (other.root_id, other.path) != key and self._place(other) is not Place.SAME
            )
        displaced = row.file_id if row is not None and self._is_another(inspection, row) else None
        if not candidates and displaced is None:
            return False
        self._waiting[key] = Arrival(inspection, plan, candidates, displaced, order, time.monotonic())
        self.laden += inspection.analysis is not None
        self._news = True
        return True

    def _is_gone(self, inspection: Inspection, other: FileRow) -> bool:
        place = self._place(other)
        return place in _LEFT or (place is Place.UNKNOWN and self._is_only_name(inspection, other))

    def _is_only_name(self, inspection: Inspection, other: FileRow) -> bool:
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

    def _is_own(self, inspection: Inspection, row: FileRow | None) -> bool:
        """Whether the file that is recorded at a path is there still, with what it held: it came from nowhere. Its
        other names may have gone, which leaves their rows looking as if they had moved here."""
        assert inspection.stat is not None and inspection.sha256 is not None
        return (
            row is not None
            and row.presence is not Presence.MISSING
            and (row.inode == signed(inspection.stat.inode) or not self._standing.inode_trusted(row.root_id))
            and holds(self._recorder, row, inspection.sha256)
        )

    def _is_another(self, inspection: Inspection, row: FileRow) -> bool:
        """Whether another file is at the path of a living one: that one may have been moved away before, also when
        the other one is its copy."""
        assert inspection.stat is not None
        return (
            row.presence is not Presence.MISSING
            and row.content_id is not None
            and self._standing.inode_trusted(row.root_id)
            and row.inode != signed(inspection.stat.inode)
        )

    # -------------------------------------------------------------------------------------------- judging

    def take(
        self,
        horizon: float,
        overwriting_seconds: float = 0.0,
        heard_until: float = math.inf,
        *,
        by_content: bool = True,
    ) -> Judged:
        """Judge those that have waited for everything before ``horizon`` (``Session.horizon``); they are
        forgotten here.

        A file that was renamed over another recorded one waits ``overwriting_seconds`` more: the other one may
        have been renamed before. So does one whose name was free for a while, until what was heard before it is
        inspected (``heard_until``, time.monotonic()). What was saved over a file waits for no walk of another
        share, nor for the first one of its own: that may take days. ``by_content`` False: not all newcomers have
        been seen, so no pair is known to be unique; what only its content could tell goes on waiting. Looks at the
        disk, writes nothing.
        """
        now = time.monotonic()
        what = horizon, overwriting_seconds
        if not self._news and what == self._judged_for and now < self._judge_at:
            return Judged()
        self._news, self._judged_for = False, what
        self._judge_at = now + min(1.0, max(overwriting_seconds, 0.05))
        found = self._ready(horizon, heard_until)
        ready = [arrival for arrival in found if self._is_true(arrival.inspection)]
        for arrival in ready:
            self._look_up(arrival)
        judged = self._pair(ready, by_content=by_content)
        true = set(ready)
        judged.stale = [arrival for arrival in found if arrival not in true]
        self._hold(judged, now - overwriting_seconds, heard_until)
        for arrival in (*(move.arrival for move in judged.moves), *judged.rest, *judged.stale):
            self._drop(arrival.key)
        return judged

    def _ready(self, horizon: float, heard_until: float) -> list[Arrival]:
        groups: dict[bytes, list[Arrival]] = defaultdict(list)
        for arrival in self._waiting.values():
            groups[arrival.sha256].append(arrival)
        return [
            arrival
            for group in groups.values()
            if all(each.order < horizon or self._is_heard_out(each, heard_until) for each in group)
            for arrival in group
        ]

    def _is_heard_out(self, arrival: Arrival, heard_until: float) -> bool:
        """Whether events have told of an arrival all that a walk could find."""
        return arrival.order < self._standing.walked_until(arrival.key[0]) and arrival.is_heard_out(
            heard_until
        )

    def _is_true(self, inspection: Inspection) -> bool:
        """Whether the path still holds what was inspected: names may change hands again while one waits."""
        job, stat = inspection.job, inspection.stat
        assert stat is not None
        path = os.path.join(self._standing.root_path(job.root_id), job.path)
        try:
            look = self._standing.sight(job.root_id).stat(path, follow_links=self._standing.follow_links)
        except OSError:
            return False
        inspected = KnownFile(0, stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode)
        seen = (look.st_size, look.st_mtime_ns, look.st_ctime_ns, look.st_ino)
        return same_look(inspected, seen, self._standing.trust(job.root_id))

    def _look_up(self, arrival: Arrival) -> None:
        """The rows as they are now: since it was put aside they may have moved, changed or gone."""
        rows, job = self._recorder.rows, arrival.inspection.job
        there = rows.at(job.root_id, job.path)
        arrival.row = there if there is not None and there.presence is not Presence.MISSING else None
        arrival.back = (
            there is not None and arrival.row is None and holds(self._recorder, there, arrival.sha256)
        )
        if self._is_own(arrival.inspection, arrival.row):
            arrival.rows = []
            return
        found = (rows.find(file_id) for file_id in arrival.candidates)
        arrival.rows = [
            row
            for row in found
            if row is not None
            and row.presence is not Presence.MISSING
            and (row.root_id, row.path) != arrival.key
            and holds(self._recorder, row, arrival.sha256)
        ]

    def _pair(self, ready: Sequence[Arrival], *, by_content: bool) -> Judged:
        """Each file moves at most once, each path gets one file."""
        candidates = {row.file_id: row for arrival in ready for row in arrival.rows}
        there = {root_id: self._standing.share_there(root_id) for root_id in _roots(candidates.values())}
        places = {
            file_id: self._place(row)
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
                if row.file_id in certain or places.get(row.file_id) in _LEFT
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
        if not self._is_only_name(arrival.inspection, row):
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

    def _may_be_unheard(self, arrival: Arrival, before: float, heard_until: float) -> bool:
        """Whether news of the file that was at an arrival's path may be still to come."""
        freed = arrival.plan.freed
        return freed is not Freed.NEVER and arrival.since > (
            before if freed is Freed.RENAMED else heard_until
        )

    def _hold(self, judged: Judged, before: float, heard_until: float) -> None:
        """Find out who is recorded where files move to. Let go on waiting whoever came after ``before`` and would
        overwrite somebody, whoever takes the place of one that goes on waiting, and what depends on them."""
        judged.moves = [
            replace(move, there=there if there and there.file_id != move.row.file_id else None)
            for move in judged.moves
            for there in (move.arrival.row,)
        ]
        moving = {move.row.file_id for move in judged.moves}
        settled = {move.arrival for move in judged.moves}.union(judged.rest, judged.stale)
        held = {i for a in self._waiting.values() if a not in settled for i in a.candidates} - moving
        held |= {
            move.row.file_id
            for move in judged.moves
            if move.there and move.there.file_id not in moving and move.arrival.since > before
        }
        held |= {
            arrival.row.file_id
            for arrival in judged.rest
            if arrival.row is not None
            and self._may_be_unheard(arrival, before, heard_until)
            and arrival.row.file_id not in moving
            and self._is_another(arrival.inspection, arrival.row)
        }
        while True:
            more = {m.row.file_id for m in judged.moves if m.there and m.there.file_id in held} - held
            if not more:
                break
            held |= more
        judged.moves = [move for move in judged.moves if move.row.file_id not in held]
        judged.rest = [a for a in judged.rest if a.row is None or a.row.file_id not in held]


def _roots(rows: Iterable[FileRow]) -> set[int]:
    return {row.root_id for row in rows}


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
