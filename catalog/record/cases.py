"""Drift cases: one open case for each file, opened, changed and closed as the evidence says."""

from __future__ import annotations

import json
from typing import Any, Final

from catalog import drift
from catalog.record.batch import Batch, now_ms
from catalog.record.rows import FileRow
from catalog.store.codes import FIDELITY
from catalog.store.facts import load_analysis
from catalog.terms import EventKind, Evidence, Fidelity, Kind, Manner, Severity, Verdict, iso, printable

SEVERITY: Final = {Severity.INFO: 1, Severity.NOTICE: 2, Severity.WARNING: 3, Severity.CRITICAL: 4}


class Cases:
    """Opens and closes cases inside the batch's transaction. A baseline is never moved here."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    # --------------------------------------------------------------------------------------- evidence

    def evidence(self, content_id: int) -> Evidence:
        """One content state with everything that is known of it."""
        row = self._batch.rows("SELECT sha256, size FROM content WHERE content_id = ?", (content_id,))[0]
        loaded = load_analysis(self._batch.connection, content_id)
        if loaded is None:
            return Evidence("ok", row[1], row[0])
        analysis, epoch = loaded
        undecodable = analysis.fidelity is Fidelity.UNDECODABLE
        state = "undecodable" if undecodable else "ok"
        return Evidence(state, row[1], row[0], analysis, epoch, analysis.reason if undecodable else None)

    def _content_of(self, rev_id: int | None) -> int | None:
        if rev_id is None:
            return None
        rows = self._batch.rows("SELECT content_id FROM revision WHERE rev_id = ?", (rev_id,))
        return int(rows[0][0]) if rows else None

    # ------------------------------------------------------------------------------------------ cases

    def content_changed(self, row: FileRow, content_id: int, rev_id: int, manner: Manner) -> Verdict | None:
        """The file holds another content than before: compare it with the baseline's.

        Returns the verdict, or None when the content is the baseline's (the case, if any, is closed).
        """
        baseline = self._content_of(row.baseline_rev_id)
        if baseline is None:
            return None
        if baseline == content_id:
            self.close(row, "restored", rev_id)
            return None
        verdict = drift.verdict(self.evidence(baseline), self.evidence(content_id), manner)
        reasons = list(verdict.reasons)
        detail: dict[str, Any] = {"tags": verdict.tags, "same": dict(verdict.same)}
        earlier = self._earlier(row, content_id, rev_id)
        if earlier is not None:
            detail["restored_from"] = earlier[0]
            reasons.append(drift.restored_sentence(iso(earlier[1]) or ""))
        other = self._swapped_with(row, baseline, content_id)
        if other is not None:
            detail["swapped_with"] = printable(other[1])
            reasons.append(drift.swapped_sentence(printable(other[1])))
            self._tell_twin(other[0], row.absolute)
        if verdict.kind in (Kind.PICTURE, Kind.BROKEN, Kind.UNPROVEN):
            copy = self._good_copy(row, baseline)
            if copy is not None and other is None:
                detail["good_copy"] = printable(copy)
                reasons.append(drift.good_copy_sentence(printable(copy)))
        self._upsert(row, verdict, reasons, rev_id, detail)
        return verdict

    def gone(self, row: FileRow, kind: Kind, reason: str) -> None:
        """The file is proven missing, or cannot be read: a case, if it ever had a baseline."""
        baseline = self._content_of(row.baseline_rev_id)
        if baseline is None:
            return
        state = "missing" if kind is Kind.MISSING else "unreadable"
        verdict = drift.verdict(self.evidence(baseline), Evidence(state, reason=reason), Manner.ORDINARY)
        detail: dict[str, Any] = {}
        reasons = list(verdict.reasons)
        copy = self._good_copy(row, baseline)
        if copy is not None:
            detail["good_copy"] = printable(copy)
            reasons.append(drift.good_copy_sentence(printable(copy)))
        self._upsert(row, verdict, reasons, row.rev_id, detail)

    def close(self, row: FileRow, resolution: str, rev_id: int | None = None) -> None:
        """Close the open case, if there is one, and say so in an event."""
        found = self._batch.rows(
            "SELECT drift_id, kind FROM drift WHERE file_id = ? AND closed_ms IS NULL", (row.file_id,)
        )
        if not found:
            return
        moment = now_ms()
        self._batch.execute(
            "UPDATE drift SET closed_ms = ?, resolution = ?, rev_id = coalesce(?, rev_id) WHERE drift_id = ?",
            (moment, resolution, rev_id, found[0][0]),
        )
        if resolution == "restored":
            repaired = found[0][1] in (Kind.BROKEN, Kind.UNREADABLE)
            self._batch.event(
                EventKind.REPAIRED if repaired else EventKind.RESTORED,
                at_ms=moment,
                root_id=row.root_id,
                file_id=row.file_id,
                to_rev=rev_id,
                sha256=self._digest_of(rev_id),
                detail={"case": found[0][0], "kind": found[0][1]},
            )

    def reopen_after_absence(self, row: FileRow) -> None:
        """The file is back and readable with the content it had: judge that content again."""
        if row.content_id is None or row.rev_id is None:
            return
        if self._content_of(row.baseline_rev_id) == row.content_id:
            self.close(row, "reappeared" if row.presence == "missing" else "readable")
        else:
            self.content_changed(row, row.content_id, row.rev_id, Manner.ORDINARY)

    def _digest_of(self, rev_id: int | None) -> bytes | None:
        if rev_id is None:
            return None
        rows = self._batch.rows(
            "SELECT c.sha256 FROM revision AS n JOIN content AS c ON c.content_id = n.content_id"
            " WHERE n.rev_id = ?",
            (rev_id,),
        )
        return bytes(rows[0][0]) if rows else None

    def _upsert(
        self, row: FileRow, verdict: Verdict, reasons: list[str], rev_id: int | None, detail: dict[str, Any]
    ) -> None:
        assert verdict.kind is not None
        moment = now_ms()
        self._batch.execute(
            "INSERT INTO drift (file_id, root_id, kind, manner, severity, opened_ms, updated_ms,"
            " baseline_rev_id, rev_id, reasons, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (file_id) WHERE closed_ms IS NULL DO UPDATE SET kind = excluded.kind,"
            " manner = excluded.manner, severity = excluded.severity, updated_ms = excluded.updated_ms,"
            " rev_id = excluded.rev_id, reasons = excluded.reasons, detail = excluded.detail,"
            " root_id = excluded.root_id",
            (
                row.file_id,
                row.root_id,
                verdict.kind.value,
                verdict.manner.value,
                SEVERITY[verdict.severity],
                moment,
                moment,
                row.baseline_rev_id,
                rev_id,
                json.dumps(reasons),
                json.dumps(detail, sort_keys=True),
            ),
        )

    # ----------------------------------------------------------------------------------- what explains

    def _earlier(self, row: FileRow, content_id: int, rev_id: int) -> tuple[int, int] | None:
        """(revision, observed_ms) of an earlier state of this file with the same content."""
        rows = self._batch.rows(
            "SELECT rev_id, observed_ms FROM revision WHERE file_id = ? AND content_id = ? AND rev_id < ?"
            " ORDER BY rev_id DESC LIMIT 1",
            (row.file_id, content_id, rev_id),
        )
        return (rows[0][0], rows[0][1]) if rows else None

    def _swapped_with(self, row: FileRow, baseline: int, content_id: int) -> tuple[int, bytes] | None:
        """(file_id, path) of another file that now holds our baseline's content, and whose baseline holds ours."""
        rows = self._batch.rows(
            "SELECT r.path, d.path, f.name, f.file_id FROM file AS f"
            " JOIN revision AS b ON b.rev_id = f.baseline_rev_id"
            " JOIN dir AS d ON d.dir_id = f.dir_id JOIN root AS r ON r.root_id = f.root_id"
            " WHERE f.content_id = ? AND b.content_id = ? AND f.presence <> 3 AND f.file_id <> ? LIMIT 2",
            (baseline, content_id, row.file_id),
        )
        return (int(rows[0][3]), _path(rows[0])) if len(rows) == 1 else None

    def _tell_twin(self, file_id: int, path: bytes) -> None:
        """The other half of a swap was judged before this half was seen: complete its case."""
        found = self._batch.rows(
            "SELECT drift_id, reasons, detail FROM drift WHERE file_id = ? AND closed_ms IS NULL", (file_id,)
        )
        sentence = drift.swapped_sentence(printable(path))
        if not found or sentence in json.loads(found[0][1]):
            return
        detail = {**json.loads(found[0][2] or "{}"), "swapped_with": printable(path)}
        detail.pop("good_copy", None)
        reasons = [*json.loads(found[0][1]), sentence]
        self._batch.execute(
            "UPDATE drift SET reasons = ?, detail = ? WHERE drift_id = ?",
            (json.dumps(reasons), json.dumps(detail, sort_keys=True), found[0][0]),
        )

    def _good_copy(self, row: FileRow, baseline: int) -> bytes | None:
        """The path of another living file with the baseline's pixels, when those are provable."""
        select = (
            "SELECT r.path, d.path, f.name FROM {} JOIN dir AS d ON d.dir_id = f.dir_id"
            " JOIN root AS r ON r.root_id = f.root_id WHERE f.presence = 1 AND r.state = 1 AND f.file_id <> ?"
        )
        rows = self._batch.rows(
            select.format("file AS f") + " AND f.content_id = ? LIMIT 1", (row.file_id, baseline)
        ) or self._batch.rows(
            select.format("analysis AS a JOIN file AS f ON f.pixel_id = a.pixel_id")
            + " AND a.content_id = ? AND a.fidelity <= ? LIMIT 1",
            (row.file_id, baseline, FIDELITY.number[Fidelity.DECODER]),
        )
        return _path(rows[0]) if rows else None


def _path(row: Any) -> bytes:
    return b"/".join(part for part in (row[0].rstrip(b"/"), row[1], row[2]) if part or part is row[0])
