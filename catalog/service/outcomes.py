"""What becomes of an inspection: recorded, put aside as a possible move, read again, or given up for now."""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from catalog import drift
from catalog.record import FileRow, Recorded
from catalog.record.batch import signed
from catalog.record.facts import ContentUnknown
from catalog.record.files import storable
from catalog.service.places import holds
from catalog.service.plans import Key, Plan
from catalog.store.codes import FIDELITY
from catalog.terms import (
    Change,
    CheckResult,
    Failure,
    FailureKind,
    Fidelity,
    Inspection,
    Job,
    Manner,
    Outcome,
    Presence,
    ReadHow,
    Reason,
    Stat,
    printable,
)
from catalog.watch.mounts import MountTrust
from catalog.watch.reconcile import KnownFile, racy_seconds, same_look
from catalog.watch.settle import writer_probe
from catalog.watch.walk import Look

if TYPE_CHECKING:
    from catalog.service.session import Session

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 0.5
MOVING_ATTEMPTS: Final = 6
BUSY_RETRY_SECONDS: Final = 60.0
SHARE_ERRORS: Final = frozenset(
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

_COUNTERS: Final = {
    Recorded.ADDED: "new",
    Recorded.CHANGED: "changed",
    Recorded.TOUCHED: "touched",
    Recorded.REAPPEARED: "reappeared",
    Recorded.UNCHANGED: "unchanged",
}
_SAME_BYTES: Final = (Recorded.TOUCHED, Recorded.UNCHANGED)


class Outcomes:
    """Takes results for a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._recorder = session.recorder
        self._expected: dict[Key, FileRow | None] = {}
        self.is_written: Callable[[int, bytes], bool] = lambda _root_id, _path: False
        """Whether events tell of a writer who has not closed a path (root_id, path) yet; set by who hears events."""
        self.unreadable: Callable[[int, bytes], None] = lambda _root_id, _path: None
        """Told of paths that were recorded as unreadable: nothing else asks for another look."""

    def expect(self, results: Sequence[tuple[Inspection, Plan]]) -> None:
        """Look up at once what ``take`` asks the record about these results. () forgets it: their rows are true
        only until something else is recorded."""
        at = self._recorder.rows.at
        jobs = [each.job for each, plan in results if not self._is_fresh(each.job, plan)]
        self._expected = {(job.root_id, job.path): at(job.root_id, job.path) for job in jobs}
        self._session.arrivals.look_ahead(each for each, _ in results)

    def forget(self, *keys: Key) -> None:
        """Another file is recorded there now."""
        for key in keys:
            self._expected.pop(key, None)

    def take(self, inspection: Inspection, plan: Plan) -> None:
        """Deal with one result of the pool."""
        if inspection.failure is not None:
            self._failed(inspection, plan)
            return
        if not self._at_rest(inspection, plan):
            return
        plan.tally.inspected += 1
        if inspection.stat is not None:
            plan.tally.bytes_read += inspection.stat.size
        session, row = self._session, self._row(inspection.job, plan)
        mover = session.arrivals.moved_here(inspection, row)
        if mover is not None:
            session.placing.move(mover, inspection, plan)
        elif not session.arrivals.put_aside(inspection, row, plan, session.next_order()):
            self.record(inspection, plan)

    def _is_fresh(self, job: Job, plan: Plan) -> bool:
        return plan.fresh and job.root_id in self._session.untouched

    def _row(self, job: Job, plan: Plan) -> FileRow | None:
        """The file whose history this path continues, as the record has it now: it may have moved since."""
        if self._is_fresh(job, plan):
            return None
        key = job.root_id, job.path
        return self._expected[key] if key in self._expected else self._recorder.rows.at(*key)

    def record(self, inspection: Inspection, plan: Plan, moved: FileRow | None = None) -> None:
        """Record a look that has digests, unless it must be confirmed first. ``moved``: the file that is there now."""
        session, job, tally = self._session, inspection.job, plan.tally
        row = moved or self._row(job, plan)
        if row is not None and self._to_be_confirmed(inspection, row, plan):
            return
        try:
            recorded = self._recorder.record(inspection, row)
        except ContentUnknown:
            session.submit_later(job, plan, 0.0)
            return
        if plan.first_reading is not None and row is not None:
            assert inspection.sha256 is not None
            how = ReadHow.UNCACHED if job.uncached else ReadHow.CACHED
            session.checks.read_twice(row.file_id, inspection.started_ms, how, inspection.sha256)
        if not plan.counted:
            tally.count(_COUNTERS[recorded])
            tally.reread += recorded is Recorded.UNCHANGED
            tally.undecodable += self._recorder.outcome is Outcome.UNDECODABLE
            tally.flawed += self._recorder.flawed
        if recorded is Recorded.CHANGED:
            session.mass_changes.saw(job.root_id)
        if row is not None:
            session.suspects.pop(row.file_id, None)
        if plan.due is not None:
            session.backlog.acknowledge(plan.due)
        self._ask_other_names(inspection, row, recorded)
        self._look_again_if_racy(inspection, plan)

    def _ask_other_names(self, inspection: Inspection, row: FileRow | None, recorded: Recorded) -> None:
        """The kernel tells of a write under one name; whoever has the file under another name has it changed, too.
        Also whoever shares the file that was here before: it may have been written before it went."""
        job, stat = inspection.job, inspection.stat
        if stat is None or not self._session.inode_trusted(job.root_id):
            return
        stayed = row is not None and row.inode == signed(stat.inode)
        if stat.nlink > 1 and not (stayed and recorded in _SAME_BYTES):
            self._session.names.seen((job.root_id, job.path), storable(stat))
        if row is not None and not stayed:
            self._session.names.left(row)

    # ------------------------------------------------------------------------------------- second looks

    def _at_rest(self, inspection: Inspection, plan: Plan) -> bool:
        """Whether nobody is writing the file. A walk comes upon files at any time, and a writer who pauses leaves
        equal stats behind: half a file is never recorded as a content. When False, it is read again later."""
        session, job, stat = self._session, inspection.job, inspection.stat
        if stat is None:
            return True
        changed_ns = stat.mtime_ns
        if session.trust(job.root_id).ctime_compared:
            changed_ns = max(changed_ns, stat.ctime_ns)
        age_seconds = (inspection.started_ms * 1_000_000 - changed_ns) / 1e9
        if age_seconds >= session.settings.writer_quiet_seconds:
            return True
        root = session.roots_by_id[job.root_id]
        probe = writer_probe(root.path, root.fs_type or "")
        writer = probe(job.path) if probe is not None else None
        if writer:
            self.moving(job, plan, "somebody has it open for writing")
            return False
        # Also where no lease can be had: a writer may have closed it since it was read.
        if probe is not None and not self._is_as_read(inspection, plan):
            return False
        if writer is None and self.is_written(job.root_id, job.path):
            self.moving(job, plan, "written, and not closed yet")
            return False
        # What local events spoke of has had its time, and a stamp from the future was set by hand.
        rested = writer is not None or plan.aged or (plan.heard and probe is not None)
        young = not rested and -1.0 < age_seconds < session.settings.quiet_seconds
        return not young or self._looked_equal_twice(job, stat, plan)

    def _looked_equal_twice(self, job: Job, stat: Stat, plan: Plan) -> bool:
        """For a file of which nobody can tell whether it is open (a file server): two equal looks, a while apart."""
        session = self._session
        if plan.looked is None:
            again = dataclasses.replace(plan, looked=stat)
            session.submit_later(job, again, session.settings.quiet_seconds)
            return False
        if _same_state(plan.looked, _look_of(stat), session.trust(job.root_id)):
            return True
        self.moving(job, dataclasses.replace(plan, looked=None), "it grows, or is written anew")
        return False

    def _is_as_read(self, inspection: Inspection, plan: Plan) -> bool:
        """Whether the writer that is not there any more was not there while the file was read, either."""
        session, job, stat = self._session, inspection.job, inspection.stat
        assert stat is not None
        path = os.path.join(session.root_path(job.root_id), job.path)
        try:
            now = Stat.of(os.stat(path, follow_symlinks=session.follow_links))
        except OSError:
            return True  # renamed since, or gone
        if now.inode != stat.inode or _same_state(stat, _look_of(now), session.trust(job.root_id)):
            return True
        self.moving(job, plan, "changed after it was read")
        return False

    def _to_be_confirmed(self, inspection: Inspection, row: FileRow, plan: Plan) -> bool:
        """Alarm only on what was confirmed: rot, stealth, unexplained and broken are read a second time, past
        the page cache, before they are recorded. True when that reading is under way."""
        if not self._alarming(inspection, row) or plan.first_reading == inspection.sha256:
            return False
        job = inspection.job
        if plan.first_reading is not None:
            # Two readings, two contents: the file moves, or the way to it is bad. Neither is a verdict.
            self.moving(job, plan, "two readings in a row gave different bytes")
            return True
        how = ReadHow.UNCACHED if job.uncached else ReadHow.CACHED
        rev_id, sha256 = row.rev_id, inspection.sha256
        self._session.checks.failed(
            row.file_id, inspection.started_ms, CheckResult.DIFFERS, how, rev_id=rev_id, sha256=sha256
        )
        again = dataclasses.replace(plan, first_reading=inspection.sha256)
        self._session.submit_later(dataclasses.replace(job, uncached=True), again, 0.0)
        return True

    def _alarming(self, inspection: Inspection, row: FileRow) -> bool:
        """Whether recording this would say rot, stealth, unexplained or broken."""
        assert inspection.stat is not None and inspection.sha256 is not None
        if row.content_id is None or row.presence is Presence.MISSING:
            return False
        if holds(self._recorder, row, inspection.sha256):
            return False
        trust = self._recorder.trust(row.root_id)
        manner = drift.manner(
            row.stat,
            inspection.stat,
            ctime_trusted=trust.ctime_trusted,
            mtime_granularity_ns=trust.mtime_granularity_ns,
        )
        if manner is not Manner.ORDINARY:
            return True
        return row.outcome is Outcome.OK and self._undecodable(inspection)

    def _undecodable(self, inspection: Inspection) -> bool:
        if inspection.analysis is not None:
            return inspection.analysis.fidelity is Fidelity.UNDECODABLE
        # Known already: another file holds the same bytes.
        sql = "SELECT 1 FROM content JOIN analysis USING (content_id) WHERE sha256 = ? AND fidelity = ?"
        code = FIDELITY.number[Fidelity.UNDECODABLE]
        return bool(self._recorder.batch.question(sql, (inspection.sha256, code)))

    def _look_again_if_racy(self, inspection: Inspection, plan: Plan) -> None:
        """A rewrite within the same time stamp would go unnoticed: read once more when the stamp is old."""
        stat = inspection.stat
        if plan.aged or stat is None:
            return
        look = _look_of(stat)
        trust = self._session.trust(inspection.job.root_id)
        seconds = racy_seconds(look, inspection.started_ms * 1_000_000, time.time_ns(), trust)
        if seconds is not None:
            later = Plan(plan.tally, counted=True, aged=True, heard=plan.heard, run_id=plan.run_id)
            self._session.submit_later(dataclasses.replace(inspection.job, uncached=False), later, seconds)

    # ----------------------------------------------------------------------------------------- failures

    def _failed(self, inspection: Inspection, plan: Plan) -> None:
        job, failure, session = inspection.job, inspection.failure, self._session
        assert failure is not None
        if failure.kind is FailureKind.GONE:
            row = self._row(job, plan)
            if row is not None:
                session.suspect(row, failure.reason)
            self._acknowledge(plan)
            return
        if failure.kind is FailureKind.MOVING:
            self.moving(job, plan, failure.reason)
            return
        if plan.attempts < 1:
            # Many read errors pass (a busy server, a lost packet): believed when they come twice.
            session.submit_later(job, dataclasses.replace(plan, attempts=1), RETRY_SECONDS)
            return
        if failure.errno in SHARE_ERRORS and not session.share_there(job.root_id):
            # Says nothing of the file. It differs from the record still, and is found again with the share.
            plan.tally.unread += 1
            if plan.due is not None:
                session.backlog.postpone(plan.due, failure.reason)
            return
        plan.tally.unreadable += 1
        row = self._row(job, plan)
        self._recorder.failed(job.root_id, job.path, row, Outcome.UNREADABLE, _error_words(failure))
        self.unreadable(job.root_id, job.path)
        self._seen(row)
        self._acknowledge(plan)

    def _seen(self, row: FileRow | None) -> None:
        """Whatever else is wrong with it, it is there."""
        if row is not None:
            self._session.suspects.pop(row.file_id, None)

    def _acknowledge(self, plan: Plan) -> None:
        if plan.due is not None:
            self._recorder.batch.begin()
            self._session.backlog.acknowledge(plan.due)

    def moving(self, job: Job, plan: Plan, reason: str) -> None:
        """The file changed while it was read. Never recorded half: tried again, then left to the backlog."""
        attempts = plan.attempts + 1
        session = self._session
        if attempts < MOVING_ATTEMPTS:
            again = dataclasses.replace(plan, attempts=attempts, first_reading=None)
            session.submit_later(job, again, RETRY_SECONDS * attempts)
            return
        plan.tally.pending += 1
        log.info("still being written: %s (%s)", printable(job.path), reason)
        row = self._row(job, plan)
        self._recorder.failed(job.root_id, job.path, row, Outcome.PENDING, f"still being written: {reason}")
        self._seen(row)
        if plan.due is not None:
            session.backlog.postpone(plan.due, reason, delay_seconds=BUSY_RETRY_SECONDS)
        else:
            change = Change(job.root_id, job.path, Reason.RETRY)
            session.backlog.enqueue([change], delay_seconds=BUSY_RETRY_SECONDS)


def _look_of(stat: Stat) -> Look:
    return stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode


def _same_state(one: Stat, look: Look, trust: MountTrust) -> bool:
    return same_look(KnownFile(0, one.size, one.mtime_ns, one.ctime_ns, one.inode), look, trust)


def _error_words(failure: Failure) -> str:
    """The reason with the error's name: ``Input/output error (EIO)``."""
    name = errno.errorcode.get(failure.errno) if failure.errno is not None else None
    return failure.reason if name is None or name in failure.reason else f"{failure.reason} ({name})"
