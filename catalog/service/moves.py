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
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from catalog.record import FileRow, Recorder
from catalog.record.batch import INT64, signed
from catalog.record.files import storable
from catalog.service.arrival import Arrival, Judged
from catalog.service.pairing import LEFT, Pairing
from catalog.service.places import Place, Standing, holds
from catalog.service.plans import Key, Plan, Tally
from catalog.service.walks import FileLook
from catalog.terms import Inspection, Presence
from catalog.watch.hints import Freed
from catalog.watch.reconcile import KnownFile, same_look

COPIES_CONSIDERED: Final = 64
"""Files with equal content that are looked at as the possible origin of a new path."""


class Arrivals:
    """Inspected paths that may be moves: put aside until everything that was under way has been seen."""

    def __init__(self, recorder: Recorder, standing: Standing) -> None:
        self._recorder = recorder
        self._standing = standing
        self._pairing = Pairing(standing)
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
        if self._recorder.facts.may_hold(sha256) and self._recorder.rows.gone_with(sha256):
            return False
        return all(self._pairing.place(row) is Place.SAME for row in recorded)

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
                if (other.root_id, other.path) != key
                and not self._is_other_name(inspection, row, other)
                and self._pairing.place(other) is not Place.SAME
            ) or tuple(other.file_id for other in self._gone_before(inspection, row))
        displaced = row.file_id if row is not None and self._is_another(inspection, row) else None
        if not candidates and displaced is None:
            return False
        self._waiting[key] = Arrival(inspection, plan, candidates, displaced, order, time.monotonic())
        self.laden += inspection.analysis is not None
        self._news = True
        return True

    def _gone_before(self, inspection: Inspection, row: FileRow | None) -> list[FileRow]:
        """The missing files that this one may be, found late: by inode and mtime; else by a content that no living file
        has, if it was missed since this share was compared completely (what came before that would have been found)."""
        job, stat = inspection.job, inspection.stat
        assert stat is not None and inspection.sha256 is not None
        if row is not None and (
            row.presence is not Presence.MISSING or holds(self._recorder, row, inspection.sha256)
        ):
            return []  # what was missed ends no other history; or it is back
        since_ms = self._standing.compared_ms(job.root_id) if self._is_alone(inspection) else INT64
        stored = storable(stat)
        return self._recorder.rows.gone_with(
            inspection.sha256, since_ms=since_ms, inode=stored.inode, mtime_ns=stored.mtime_ns
        )

    def _is_alone(self, inspection: Inspection) -> bool:
        """Whether no living file at another path has its content."""
        assert inspection.sha256 is not None
        key = inspection.job.root_id, inspection.job.path
        return all((row.root_id, row.path) == key for row in self._elsewhere(inspection.sha256))

    def _is_gone(self, inspection: Inspection, other: FileRow) -> bool:
        place = self._pairing.place(other)
        return place in LEFT or (place is Place.UNKNOWN and self._pairing.is_only_name(inspection, other))

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

    def _is_other_name(self, inspection: Inspection, row: FileRow | None, other: FileRow) -> bool:
        """Whether a candidate was another name of the very file that is recorded at the path: written under that name,
        which has gone. Seen with one name only, it had its inode number after the recorded file had lost it."""
        assert inspection.stat is not None
        return (
            row is not None
            and row.presence is not Presence.MISSING
            and row.inode == other.inode == signed(inspection.stat.inode)
            and other.nlink > 1
            and self._standing.inode_trusted(row.root_id)
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
        found = self._ready(horizon, heard_until, now - self._standing.patience_seconds)
        ready = [arrival for arrival in found if self._is_true(arrival.inspection)]
        for arrival in ready:
            self._look_up(arrival)
        judged = self._pairing.pair(ready, by_content=by_content)
        true = set(ready)
        judged.stale = [arrival for arrival in found if arrival not in true]
        self._hold(judged, now - overwriting_seconds, heard_until)
        for arrival in (*(move.arrival for move in judged.moves), *judged.rest, *judged.stale):
            self._drop(arrival.key)
        return judged

    def _ready(self, horizon: float, heard_until: float, overdue: float) -> list[Arrival]:
        """``overdue``: time.monotonic() of the arrivals that have waited long enough."""
        groups: dict[bytes, list[Arrival]] = defaultdict(list)
        for arrival in self._waiting.values():
            groups[arrival.sha256].append(arrival)
        late = any(each.since <= overdue for each in self._waiting.values())
        unread = self._standing.unread() if late else set()
        return [
            arrival
            for group in groups.values()
            if all(
                each.order < horizon
                or self._is_heard_out(each, heard_until)
                or (each.since <= overdue and not self._may_be_renamed(each.displaced, unread))
                for each in group
            )
            for arrival in group
        ]

    def _is_heard_out(self, arrival: Arrival, heard_until: float) -> bool:
        """Whether events have told of an arrival all that a walk could find."""
        return arrival.order < self._standing.walked_until(arrival.key[0]) and arrival.is_heard_out(
            heard_until
        )

    def _may_be_renamed(self, displaced: int | None, unread: set[FileLook]) -> bool:
        """Whether the file that was at an arrival's path may be one that was seen, and is still to be read."""
        row = None if displaced is None else self._recorder.rows.find(displaced)
        return row is not None and (row.size, row.mtime_ns, row.inode) in unread

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
        known = [
            row
            for row in found
            if row is not None
            and (row.root_id, row.path) != arrival.key
            and holds(self._recorder, row, arrival.sha256)
        ]
        arrival.rows = [row for row in known if row.presence is not Presence.MISSING]
        if known and not arrival.rows and arrival.row is None:
            assert arrival.inspection.stat is not None
            look, alone = storable(arrival.inspection.stat), self._is_alone(arrival.inspection)
            same = (look.inode, look.mtime_ns)
            arrival.rows = [row for row in known if alone or (row.inode, row.mtime_ns) == same]

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
