"""One cataloguing process: the decode workers, the recorder, the backlog, and what is in flight between."""

from __future__ import annotations

import dataclasses
import errno
import heapq
import itertools
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from catalog import drift
from catalog.backlog import Backlog, Due
from catalog.config import Settings
from catalog.inspection import Pool
from catalog.record import FileRow, Recorded, Recorder
from catalog.record.roots import Root, Roots
from catalog.record.runs import Runs
from catalog.service.moves import Arrival, Move, Place, pair, place_of
from catalog.store.engine import writing_engine
from catalog.terms import (
    Change,
    FailureKind,
    Fidelity,
    Inspection,
    Job,
    Manner,
    Outcome,
    Presence,
    Reason,
)
from catalog.watch.mounts import MountTrust
from catalog.watch.reconcile import racy_until_ns
from catalog.watch.selection import Selection

log = logging.getLogger(__name__)

MOVING_RETRY_SECONDS = 0.5
MOVING_ATTEMPTS = 6
SHARE_ERRORS = frozenset(
    (
        errno.EIO,
        errno.ENOTCONN,
        errno.ESTALE,
        errno.EHOSTDOWN,
        errno.ETIMEDOUT,
        errno.ENODEV,
        errno.EHOSTUNREACH,
    )
)
"""Errors of a share rather than of a file: believed only when the share itself is still there."""


@dataclass(slots=True)
class Tally:
    """What has been seen and done, for summaries and progress."""

    seen: int = 0
    new: int = 0
    changed: int = 0
    touched: int = 0
    unchanged: int = 0
    missing: int = 0
    moved: int = 0
    reappeared: int = 0
    unreadable: int = 0
    undecodable: int = 0
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


@dataclass(slots=True)
class Plan:
    """Why a path is in flight, and what is to be done with its inspection."""

    row: FileRow | None
    fresh: bool
    """The root has never held a file: nothing to look up."""
    due: Due | None
    attempts: int
    tally: Tally
    first_reading: bytes | None = None
    """sha256 of a reading that would raise an alarm: believed when the disk says so a second time."""


@dataclass(slots=True)
class Suspect:
    row: FileRow
    since: float
    """time.monotonic() of the first look that did not find it."""
    reason: str
    looked_again: bool = False


@dataclass(slots=True)
class _Retry:
    job: Job
    plan: Plan = field(compare=False)


class Session:
    """Owns the pool of decode workers and the recorder. Used by one thread; ``close`` gives everything back.

    The caller holds the cataloguing lock. ``submit`` never blocks; ``pump`` does the work.
    """

    def __init__(self, database: str, settings: Settings) -> None:
        self.settings = settings
        self.roots_by_id: dict[int, Root] = {}
        self._engine = writing_engine(database)
        self._plans: dict[tuple[int, bytes], Plan] = {}
        self._retries: list[tuple[float, int, _Retry]] = []
        self._order = itertools.count()
        self._read_at = 0.0
        self._arrivals: list[Arrival] = []
        self._first_arrival = 0.0
        self._arrival_tallies: dict[tuple[int, bytes], tuple[Tally, Due | None]] = {}
        self.suspects: dict[int, Suspect] = {}
        self.lost_mounts: dict[int, frozenset[bytes]] = {}
        """By root: relative paths where another file system was mounted, and is not now."""
        self.share_trouble: set[int] = set()
        """Roots on which a file failed with an error of the share: ask the guard."""
        self.pool = Pool(
            workers=settings.workers,
            limits=settings.limits,
            loaders=settings.record_loader_checksums,
            follow_links=settings.follow_links,
            root_paths=lambda root_id: self.roots_by_id[root_id].path,
            known=lambda digests: self.recorder.known(digests, loaders=settings.record_loader_checksums),
        )
        try:
            self.recorder = Recorder(self._engine, database, self.pool.toolchain)
        except BaseException:
            self.pool.close()
            raise
        self.roots = Roots(self.recorder.batch)
        self.runs = Runs(self.recorder.batch)
        self.backlog = Backlog(self.recorder.batch)
        self.selection = Selection(
            extensions=settings.extensions,
            include=settings.include,
            exclude=settings.exclude,
            follow_links=settings.follow_links,
        )

    def close(self) -> None:
        """Stop the workers, record what is known, close the database. What was in flight is found again."""
        try:
            self.pool.close()
            self.recorder.close()
        finally:
            self._engine.dispose()

    # --------------------------------------------------------------------------------------- in flight

    def busy(self) -> bool:
        """Whether anything is in flight or waits for its retry."""
        return bool(self._plans or self._retries)

    @property
    def in_flight(self) -> int:
        return len(self._plans)

    def waiting_for(self, root_id: int, path: bytes) -> bool:
        return (root_id, path) in self._plans

    def trust(self, root_id: int) -> MountTrust:
        root = self.roots_by_id[root_id]
        return MountTrust(root.inode_trusted, root.ctime_trusted, root.mtime_granularity_ns)

    def may_read(self) -> bool:
        """Whether the rate limit lets another file be read now."""
        return not self.settings.max_rate_bytes or time.monotonic() >= self._read_at

    def submit(self, job: Job, plan: Plan) -> bool:
        """Have a path inspected. False when it is in flight already."""
        key = (job.root_id, job.path)
        if key in self._plans:
            return False
        self._plans[key] = plan
        if self.settings.max_rate_bytes:
            seconds = job.size_hint / self.settings.max_rate_bytes
            self._read_at = max(time.monotonic(), self._read_at) + seconds
        self.pool.submit(job)
        return True

    def pump(self, timeout: float) -> int:
        """Take what the workers have finished (waiting up to ``timeout`` seconds); the number of results."""
        self._resubmit()
        if self._retries:
            timeout = min(timeout, max(0.0, self._retries[0][0] - time.monotonic()))
        number = 0
        for inspection in self.pool.poll(timeout):
            self._take(inspection)
            number += 1
        if self.recorder.due:
            self.recorder.commit()
        return number

    def _resubmit(self) -> None:
        while self._retries and self._retries[0][0] <= time.monotonic():
            _, _, retry = heapq.heappop(self._retries)
            self._plans[retry.job.root_id, retry.job.path] = retry.plan
            self.pool.submit(retry.job)
            self.pool.flush()

    def _again(self, job: Job, plan: Plan, seconds: float) -> None:
        """Inspect the path once more, a little later."""
        entry = (time.monotonic() + seconds, next(self._order), _Retry(job, plan))
        heapq.heappush(self._retries, entry)

    # ----------------------------------------------------------------------------------------- results

    def _take(self, inspection: Inspection) -> None:
        job = inspection.job
        plan = self._plans.pop((job.root_id, job.path), None)
        if plan is None:
            log.error("an inspection that nobody asked for: root %d, %r", job.root_id, job.path)
            return
        if inspection.failure is not None:
            self._failed(inspection, plan)
            return
        plan.tally.inspected += 1
        if inspection.stat is not None:
            plan.tally.bytes_read += inspection.stat.size
        if plan.row is None and not plan.fresh:
            plan.row = self.recorder.rows.at(job.root_id, job.path)
        if inspection.analysis is None and job.decode and not self._stays(inspection, plan):
            return
        self._record(inspection, plan)

    def _stays(self, inspection: Inspection, plan: Plan) -> bool:
        """Known content at a path that did not hold it: maybe a file moved here, which only the end of the
        walk (or of the window) can tell. False when the inspection was put aside for that."""
        assert inspection.sha256 is not None and inspection.stat is not None
        row = plan.row
        living = row if row is not None and row.presence.value != "missing" else None
        elsewhere = [
            other
            for other in self.recorder.rows.by_content(inspection.sha256, limit=64)
            if (other.root_id, other.path) != (inspection.job.root_id, inspection.job.path)
        ]
        if not elsewhere or (living is None and row is not None and self._had(row, inspection)):
            return True
        candidates = tuple(
            other
            for other in elsewhere
            if place_of(other, inode_trusted=self.roots_by_id[other.root_id].inode_trusted)
            in (Place.GONE, Place.OTHER)
        )
        if not candidates:
            return True
        key = (inspection.job.root_id, inspection.job.path)
        if not self._arrivals:
            self._first_arrival = time.monotonic()
        self._arrivals.append(Arrival(inspection, living, candidates))
        self._arrival_tallies[key] = (plan.tally, plan.due)
        return False

    def _had(self, row: FileRow, inspection: Inspection) -> bool:
        """Whether the tombstone at this path held just this content: then it reappeared, nothing moved."""
        rows = self.recorder.batch.question(
            "SELECT 1 FROM content WHERE content_id = ? AND sha256 = ?", (row.content_id, inspection.sha256)
        )
        return bool(rows)

    def _record(self, inspection: Inspection, plan: Plan) -> None:
        job, tally = inspection.job, plan.tally
        assert inspection.stat is not None
        if self._to_be_confirmed(inspection, plan):
            return
        try:
            outcome = self.recorder.record(inspection, plan.row)
        except LookupError:
            # The content's row went with a rolled-back transaction: inspect the file again.
            self._again(job, plan, 0.0)
            return
        counts = {
            Recorded.ADDED: "new",
            Recorded.CHANGED: "changed",
            Recorded.TOUCHED: "touched",
            Recorded.REAPPEARED: "reappeared",
            Recorded.UNCHANGED: "unchanged",
        }
        if plan.attempts >= 0:
            setattr(tally, counts[outcome], getattr(tally, counts[outcome]) + 1)
        if inspection.analysis is not None and inspection.analysis.fidelity.value == "undecodable":
            tally.undecodable += 1
        if plan.row is not None:
            self.suspects.pop(plan.row.file_id, None)
        if plan.due is not None:
            self.backlog.acknowledge(plan.due)
        self._look_again_if_racy(inspection, plan)

    def _to_be_confirmed(self, inspection: Inspection, plan: Plan) -> bool:
        """Alarm only on what was confirmed: rot, stealth, unexplained and broken are read a second time, past
        the page cache, before they are recorded. True when that reading is under way."""
        job = inspection.job
        if plan.row is None or not self._alarming(inspection, plan.row):
            return False
        if plan.first_reading == inspection.sha256:
            return False
        if plan.first_reading is not None:
            # Two readings, two contents: the file moves, or the way to it is bad. Neither is a verdict.
            self._moving(job, plan, plan.row, "two readings in a row gave different bytes")
            return True
        again = Plan(plan.row, False, plan.due, plan.attempts, plan.tally, inspection.sha256)
        self._again(dataclasses.replace(job, uncached=True), again, 0.0)
        return True

    def _alarming(self, inspection: Inspection, row: FileRow) -> bool:
        """Whether recording this would say rot, stealth, unexplained or broken."""
        if row.content_id is None or row.presence is Presence.MISSING:
            return False
        stored = self.recorder.batch.question(
            "SELECT sha256 FROM content WHERE content_id = ?", (row.content_id,)
        )
        if stored[0][0] == inspection.sha256:
            return False
        assert inspection.stat is not None
        trust = self.recorder.trust(row.root_id)
        manner = drift.manner(
            row.stat,
            inspection.stat,
            ctime_trusted=trust.ctime_trusted,
            mtime_granularity_ns=trust.mtime_granularity_ns,
        )
        if manner is not Manner.ORDINARY:
            return True
        analysis = inspection.analysis
        undecodable = analysis is not None and analysis.fidelity is Fidelity.UNDECODABLE
        return undecodable and row.outcome is Outcome.OK

    def _look_again_if_racy(self, inspection: Inspection, plan: Plan) -> None:
        """A rewrite within the same time stamp would go unnoticed: read once more when the stamp is old."""
        stat = inspection.stat
        assert stat is not None
        look = (stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode)
        until = racy_until_ns(look, self.trust(inspection.job.root_id))
        if inspection.started_ms * 1_000_000 < until and plan.attempts >= 0:
            later = Plan(None, False, None, -1, plan.tally)
            self._again(inspection.job, later, max(0.0, until / 1e9 - time.time()) + 0.01)

    def _failed(self, inspection: Inspection, plan: Plan) -> None:
        job, failure = inspection.job, inspection.failure
        assert failure is not None
        row = plan.row if plan.row is not None or plan.fresh else self.recorder.rows.at(job.root_id, job.path)
        if failure.kind is FailureKind.GONE:
            if row is not None:
                self.suspect(row, failure.reason)
            if plan.due is not None:
                self.recorder.batch.begin()
                self.backlog.acknowledge(plan.due)
            return
        if failure.kind is FailureKind.MOVING:
            self._moving(job, plan, row, failure.reason)
            return
        if failure.errno in SHARE_ERRORS:
            self.share_trouble.add(job.root_id)
        if plan.attempts < 1:
            # Many read errors pass (a busy server, a lost packet): believed when they come twice.
            self._again(job, Plan(row, plan.fresh, plan.due, 1, plan.tally), MOVING_RETRY_SECONDS)
            return
        plan.tally.unreadable += 1
        self.recorder.failed(job.root_id, job.path, row, Outcome.UNREADABLE, failure.reason)
        if plan.due is not None:
            self.backlog.acknowledge(plan.due)

    def _moving(self, job: Job, plan: Plan, row: FileRow | None, reason: str) -> None:
        """The file changed while it was read. Never recorded half: tried again, then left to the backlog."""
        attempts = max(plan.attempts, 0) + 1
        if attempts < MOVING_ATTEMPTS:
            again = Plan(row, plan.fresh, plan.due, attempts, plan.tally)
            self._again(job, again, MOVING_RETRY_SECONDS * attempts)
            return
        plan.tally.pending += 1
        self.recorder.failed(job.root_id, job.path, row, Outcome.PENDING, f"still being written: {reason}")
        if plan.due is not None:
            self.backlog.postpone(plan.due, reason, delay_seconds=60.0)
        else:
            change = Change(job.root_id, job.path, Reason.RETRY)
            self.backlog.enqueue([change], delay_seconds=60.0)

    # -------------------------------------------------------------------------------- moves and absence

    def suspect(self, row: FileRow, reason: str) -> None:
        """A file was not found where it was. Absence needs proof: see ``absence.py``."""
        if row.presence.value == "missing" or row.file_id in self.suspects:
            return
        self.suspects[row.file_id] = Suspect(row, time.monotonic(), reason)
        self.recorder.batch.begin()
        self.recorder.suspect(row)

    def arrivals_waiting(self, *, older_than_seconds: float) -> bool:
        """Whether arrivals were put aside, the first of them that long ago."""
        return bool(self._arrivals) and time.monotonic() - self._first_arrival >= older_than_seconds

    def resolve_moves(self) -> int:
        """Give each arrival that was put aside its history; the number of moves."""
        if not self._arrivals:
            return 0
        arrivals, self._arrivals = self._arrivals, []
        moves, rest = pair(arrivals, inode_trusted=lambda root_id: self.roots_by_id[root_id].inode_trusted)
        self.recorder.batch.begin()
        self._make_room(moves)
        for move in moves:
            job = move.inspection.job
            moved = self.recorder.move(move.row, job.root_id, job.path)
            self.suspects.pop(move.row.file_id, None)
            tally = self._arrival_tallies[job.root_id, job.path][0]
            tally.moved += 1
            self._finish(move.inspection, moved, counted=False)
        for arrival in rest:
            job = arrival.inspection.job
            self._finish(arrival.inspection, self.recorder.rows.at(job.root_id, job.path), counted=True)
        self._arrival_tallies.clear()
        return len(moves)

    def _make_room(self, moves: Iterable[Move]) -> None:
        """Whoever is recorded where a file moves to has moved away, too, or was overwritten."""
        moving = {move.row.file_id for move in moves}
        for move in moves:
            job = move.inspection.job
            there = self.recorder.rows.at(job.root_id, job.path)
            if there is None or there.presence.value == "missing" or there.file_id == move.row.file_id:
                continue
            if there.file_id in moving:
                self.recorder.displace(there)
            else:
                name = move.row.path.decode("utf-8", "backslashreplace")
                self.recorder.missing(there, f"another file was renamed over it: {name}")
                self.suspects.pop(there.file_id, None)

    def _finish(self, inspection: Inspection, row: FileRow | None, *, counted: bool) -> None:
        tally, due = self._arrival_tallies[inspection.job.root_id, inspection.job.path]
        # attempts -1: recorded, but not counted a second time (see _record).
        self._record(inspection, Plan(row, False, due, 0 if counted else -1, tally))

    def wait_until_recorded(self, *, seconds: float = 0.1) -> None:
        """Pump until nothing is in flight, retries included; then resolve the moves and commit."""
        while self.busy():
            self.pool.flush()
            self.pump(seconds)
        self.resolve_moves()
        self.recorder.commit()


def new_plan(
    tally: Tally, *, row: FileRow | None = None, fresh: bool = False, due: Due | None = None
) -> Plan:
    """A plan for a first attempt."""
    return Plan(row, fresh, due, 0, tally)


__all__ = ["Plan", "Session", "Suspect", "Tally", "new_plan"]
