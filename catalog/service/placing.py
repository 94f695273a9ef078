"""Give arrivals their histories: the record follows what ``moves.py`` has found out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from catalog.record import FileRow
from catalog.service.arrival import Judged, Move
from catalog.service.plans import Plan
from catalog.terms import Inspection, printable

if TYPE_CHECKING:
    from catalog.service.session import Session

LADEN_LIMIT: Final = 1000
"""Inspections with their analyses that may wait to be judged, about 20 MB."""
WAITING_LIMIT: Final = 20_000
"""Inspections of any kind that may wait, about 20 MB: a share that was restored has all its inodes changed."""


class Placing:
    """Moves files in the record, for a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._laden_limit, self._limit = LADEN_LIMIT, WAITING_LIMIT

    def move(self, row: FileRow, inspection: Inspection, plan: Plan) -> None:
        """The file is now where this inspection was made; the place is free, and its share was not removed."""
        session = self._session
        session.recorder.batch.begin()
        key = inspection.job.root_id, inspection.job.path
        moved = session.recorder.move(row, *key)
        session.outcomes.forget(key, (row.root_id, row.path))
        session.suspects.pop(row.file_id, None)
        plan.tally.moved += 1
        plan.counted, plan.fresh = True, False
        session.outcomes.record(inspection, plan, moved)

    def resolve(
        self, *, overwriting_seconds: float = 0.0, heard_until: float = math.inf, asked: bool = True
    ) -> None:
        """Give each arrival its history that has waited for everything that was under way (``asked``: also for
        the walks that are to come). See ``Arrivals.take``."""
        session, arrivals = self._session, self._session.arrivals
        if arrivals:
            horizon = session.horizon(asked=asked)
            self._resolve(lambda: arrivals.take(horizon, overwriting_seconds, heard_until))

    def relieve(self) -> None:
        """When too many wait: decide what is certain now, whatever is still to be seen."""
        arrivals = self._session.arrivals
        if arrivals.laden > self._laden_limit or len(arrivals) > self._limit:
            self._resolve(lambda: arrivals.take(math.inf, math.inf, by_content=False))
            self._laden_limit = LADEN_LIMIT + 2 * arrivals.laden
            self._limit = WAITING_LIMIT + 2 * len(arrivals)

    def _resolve(self, take: Callable[[], Judged]) -> None:
        session = self._session
        batch = session.recorder.batch
        run_id = batch.run_id
        with session.contained():
            judged = take()
            arrivals = [*(move.arrival for move in judged.moves), *judged.rest]
            session.uncommitted.extend((arrival.inspection.job, arrival.plan) for arrival in arrivals)
            for arrival in judged.stale:
                session.outcomes.moving(arrival.inspection.job, arrival.plan, "changed after it was read")
            moves = [move for move in judged.moves if not self._goes_nowhere(move)]
            self._make_room(moves)
            for move in moves:
                batch.run_id = move.arrival.plan.run_id
                self.move(move.row, move.arrival.inspection, move.arrival.plan)
            for arrival in judged.rest:
                if not session.is_removed(arrival.inspection.job.root_id):
                    batch.run_id = arrival.plan.run_id
                    arrival.plan.fresh = False
                    session.outcomes.record(arrival.inspection, arrival.plan)
        batch.run_id = run_id

    def _goes_nowhere(self, move: Move) -> bool:
        removed = self._session.is_removed
        return removed(move.arrival.inspection.job.root_id) or removed(move.row.root_id)

    def _make_room(self, moves: Sequence[Move]) -> None:
        """Whoever is recorded where a file moves to has moved away, too, or was overwritten."""
        session = self._session
        moving = {move.row.file_id for move in moves}
        for move in moves:
            if move.there is None:
                continue
            session.recorder.batch.begin()
            if move.there.file_id in moving:
                session.recorder.displace(move.there)
                continue
            session.recorder.batch.run_id = move.arrival.plan.run_id
            reason = f"another file was renamed over it: {printable(move.row.absolute)}"
            if session.recorder.missing(move.there, reason):
                move.arrival.plan.tally.missing += 1
            if session.inode_trusted(move.there.root_id):
                session.names.left(move.there)
            session.suspects.pop(move.there.file_id, None)
