"""What a reading of an audit means: for the record, for the evidence of its file, for the counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from catalog import drift
from catalog.query.coverage import Candidate
from catalog.record import FileRow
from catalog.record.files import storable
from catalog.service.audit_result import AuditResult, place
from catalog.service.plans import Tally
from catalog.service.session import Session
from catalog.terms import CheckResult, Inspection, Manner, Outcome, Presence, ReadHow
from catalog.watch.reconcile import KnownFile, same_look

SETTLED: Final = (Outcome.OK, Outcome.UNDECODABLE, Outcome.OTHER)
"""Files of these outcomes have a content to be held against."""


@dataclass(slots=True, eq=False)
class Doubt:
    """A file that is not simply as recorded: it is on its way through the ordinary inspection."""

    candidate: Candidate
    began_ms: int
    tally: Tally = field(default_factory=Tally)
    """Its own: says what became of it."""
    busy: bool = False
    """Something else had it in hand when its turn came: it is read when that is done."""


class Verdicts:
    """Judges for one audit, inside the session's transactions."""

    def __init__(self, session: Session, result: AuditResult, away: set[int]) -> None:
        self._session = session
        self._away = away
        """Shares (by id) that went away: nothing is believed of their files."""
        self.result = result

    def as_recorded(self, candidate: Candidate, row: FileRow, inspection: Inspection) -> bool:
        stat = inspection.stat
        assert stat is not None
        if row.presence is not Presence.PRESENT or row.outcome not in SETTLED:
            return False
        if row.content_id != candidate.content_id or inspection.sha256 != candidate.sha256:
            return False
        inode = row.inode + (1 << 64) if row.inode < 0 else row.inode
        known = KnownFile(row.file_id, row.size, row.mtime_ns, row.ctime_ns, inode)
        look = (stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode)
        return same_look(known, look, self._session.trust(row.root_id))

    def same(self, candidate: Candidate, row: FileRow, began: int, *, first: bool) -> None:
        """The bytes are those of the record: intact, unless that is a state which nobody accepted."""
        checks = self._session.checks
        self._session.recorder.batch.count_file()
        checks.stamp(row.file_id, began)
        case = checks.standing(row.file_id)
        if case is None:
            checks.passed(row.file_id, began, row.rev_id, ReadHow.UNCACHED)
        else:
            checks.failed(
                row.file_id, began, case.result, ReadHow.UNCACHED, rev_id=row.rev_id, sha256=candidate.sha256
            )
        if not first:
            return
        self.result.done += 1
        self.result.checked += 1
        if case is None:
            self.result.intact += 1
        else:
            self.result.found(self._place(row), case)

    def alarming(self, candidate: Candidate, row: FileRow, inspection: Inspection) -> bytes | None:
        """The digest of a reading that would be an alarm: it is evidence, and a second one must confirm it."""
        assert inspection.stat is not None and inspection.sha256 is not None
        if row.content_id != candidate.content_id or inspection.sha256 == candidate.sha256:
            return None
        trust = self._session.recorder.trust(row.root_id)
        manner = drift.manner(
            row.stat,
            storable(inspection.stat),
            ctime_trusted=trust.ctime_trusted,
            mtime_granularity_ns=trust.mtime_granularity_ns,
        )
        if manner is Manner.ORDINARY:
            return None
        self._session.checks.failed(
            *(row.file_id, inspection.started_ms, CheckResult.DIFFERS, ReadHow.UNCACHED),
            rev_id=row.rev_id,
            sha256=inspection.sha256,
        )
        return inspection.sha256

    def conclude(self, doubt: Doubt) -> None:
        """Ask the record what became of a file."""
        session, result, candidate = self._session, self.result, doubt.candidate
        batch = session.recorder.batch
        result.done += 1
        row = session.recorder.rows.find(candidate.file_id)
        if row is None:
            return  # its loss was accepted meanwhile
        batch.begin()
        batch.count_file()
        batch.run_id = self.result.run_id
        try:
            if doubt.tally.unread or row.root_id in self._away:
                result.unread += 1
            elif row.presence is Presence.SUSPECT:
                result.unproven += 1
            elif row.presence is Presence.MISSING:
                pass  # counted with all that are missing
            elif row.outcome is Outcome.UNREADABLE:
                self._unreadable(row, doubt)
            elif row.outcome is Outcome.PENDING:
                result.pending += 1
            else:
                moved = (row.root_id, row.path) != (candidate.root_id, candidate.path)
                result.moved += moved
                if doubt.tally.inspected:
                    self._judged(row, doubt)
                elif (case := session.checks.standing(row.file_id)) is not None:
                    result.found(self._place(row), case)
                elif not moved:
                    result.unread += 1  # it is there again
        finally:
            batch.run_id = None

    def _unreadable(self, row: FileRow, doubt: Doubt) -> None:
        sql = "SELECT reason FROM file WHERE file_id = ?"
        reason = self._session.recorder.batch.rows(sql, (row.file_id,))[0][0] or ""
        self.result.cannot_read(self._place(row), reason)
        self._session.checks.failed(
            *(row.file_id, doubt.began_ms, CheckResult.UNREADABLE, ReadHow.UNCACHED),
            rev_id=row.rev_id,
            detail=reason,
        )

    def _judged(self, row: FileRow, doubt: Doubt) -> None:
        """It was inspected: intact after all, or as its case says."""
        checks, result = self._session.checks, self.result
        case, told = checks.standing(row.file_id), checks.told(row.file_id, doubt.began_ms)
        checks.stamp(row.file_id, doubt.began_ms)
        result.checked += 1
        result.bytes_read += doubt.tally.bytes_read
        if case is not None:
            result.found(self._place(row), case)
        else:
            result.intact += 1
            result.transient += told and row.content_id == doubt.candidate.content_id
        if told:
            return
        if case is None:
            checks.passed(row.file_id, doubt.began_ms, row.rev_id, ReadHow.UNCACHED)
        else:
            words = "; ".join(case.reasons)
            checks.failed(
                *(row.file_id, doubt.began_ms, case.result, ReadHow.UNCACHED), rev_id=row.rev_id, detail=words
            )

    def _place(self, row: FileRow) -> dict[str, Any]:
        return place(self._session.roots_by_id[row.root_id].name, row.absolute)
