"""Fixity checks in the record: what each reading of a known file came to, and the audits that asked for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from catalog.record.batch import Batch, now_ms
from catalog.record.runs import Runs
from catalog.store.codes import CHECK_RESULT, READ_HOW
from catalog.terms import CheckResult, EventKind, Kind, Manner, ReadHow

LAST_PASSES: Final = 5
"""Passes that are kept however many there are."""
RESUMED_MS: Final = 30 * 86_400_000
"""An audit that was interrupted longer ago is not gone on with: it is time to read everything again."""
AUDIT: Final = "audit"
BACKGROUND: Final = "background audit"

_INTACT: Final = CHECK_RESULT.number[CheckResult.INTACT]


def thinned(passed: Sequence[bool]) -> list[int]:
    """Which checks of a file need not be kept, by their places; ``passed``: oldest first.

    Kept are all that did not pass, the first that passed, those that passed next to one that did not, and the
    last five that passed.
    """
    passes = [place for place, good in enumerate(passed) if good]
    kept = {*passes[:1], *passes[-LAST_PASSES:]}
    return [
        place
        for place in passes
        if place not in kept
        and (place == 0 or passed[place - 1])
        and (place + 1 == len(passed) or passed[place + 1])
    ]


@dataclass(frozen=True, slots=True)
class StandingCase:
    """The open case of a file: how it differs from what was accepted."""

    kind: Kind
    manner: Manner
    reasons: tuple[str, ...]

    @property
    def result(self) -> CheckResult:
        """What a check of such a file came to."""
        if self.manner is not Manner.ORDINARY:
            return CheckResult(self.manner.value)
        return CheckResult.BROKEN if self.kind is Kind.BROKEN else CheckResult.CHANGED


class Checks:
    """Writes evidence inside the batch's transactions."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def passed(self, file_id: int, at_ms: int, rev_id: int | None, how: ReadHow) -> None:
        """The bytes were read again, and are those that the record accepted."""
        found = self._batch.lookups(
            "SELECT check_no, result FROM evidence WHERE file_id = ? ORDER BY check_no", (file_id,)
        )
        number = self._add(file_id, found[-1][0] if found else 0, at_ms, CheckResult.INTACT, how, rev_id)
        if len(found) > LAST_PASSES:
            numbers = [row[0] for row in found] + [number]
            for place in thinned([*(row[1] == _INTACT for row in found), True]):
                self._batch.execute(
                    "DELETE FROM evidence WHERE file_id = ? AND check_no = ?", (file_id, numbers[place])
                )

    def failed(
        self,
        file_id: int,
        at_ms: int,
        result: CheckResult,
        how: ReadHow,
        *,
        rev_id: int | None = None,
        sha256: bytes | None = None,
        detail: str | None = None,
    ) -> None:
        """The bytes are not those of the record, or could not be read. ``detail``: why, in words."""
        last = self._batch.lookup("SELECT max(check_no) FROM evidence WHERE file_id = ?", (file_id,))[0] or 0
        self._add(file_id, last, at_ms, result, how, rev_id, sha256, detail)

    def _add(  # noqa: PLR0917 - the columns in their order
        self,
        file_id: int,
        last: int,
        at_ms: int,
        result: CheckResult,
        how: ReadHow,
        rev_id: int | None,
        sha256: bytes | None = None,
        detail: str | None = None,
    ) -> int:
        self._batch.execute(
            "INSERT INTO evidence (file_id, check_no, at_ms, how, result, rev_id, sha256, run_id, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(file_id, last + 1, at_ms, READ_HOW.number[how], CHECK_RESULT.number[result]),
                *(rev_id, sha256, self._batch.run_id, detail),
            ),
        )
        return last + 1

    def stamp(self, file_id: int, at_ms: int) -> None:
        """An audit has read the file, at this time, and knows what became of it."""
        self._batch.execute(
            "INSERT INTO file_check (file_id, verified_ms, run_id, audited_ms) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (file_id) DO UPDATE SET verified_ms = max(verified_ms, excluded.verified_ms),"
            " run_id = excluded.run_id, audited_ms = excluded.audited_ms",
            (file_id, at_ms, self._batch.run_id, at_ms),
        )

    def told(self, file_id: int, since_ms: int) -> bool:
        """Whether a verdict on this file was kept since then (a first reading that differs is none)."""
        sql = "SELECT 1 FROM evidence WHERE file_id = ? AND at_ms >= ? AND result <> ? LIMIT 1"
        differs = CHECK_RESULT.number[CheckResult.DIFFERS]
        return self._batch.lookup(sql, (file_id, since_ms, differs)) is not None

    def standing(self, file_id: int) -> StandingCase | None:
        """The open case of a file."""
        row = self._batch.lookup(
            "SELECT kind, manner, reasons FROM drift WHERE file_id = ? AND closed_ms IS NULL", (file_id,)
        )
        if row is None:
            return None
        return StandingCase(Kind(row[0]), Manner(row[1]), tuple(json.loads(row[2])))

    def read_twice(self, file_id: int, at_ms: int, how: ReadHow, sha256: bytes) -> None:
        """A reading that was to confirm another one is recorded by now: keep what it came to."""
        self._batch.flush()
        case = self.standing(file_id)
        rev_id = self._batch.lookup("SELECT rev_id FROM file WHERE file_id = ?", (file_id,))
        if rev_id is None:
            return
        if case is None:
            self.passed(file_id, at_ms, rev_id[0], how)
        else:
            words = "; ".join(case.reasons)
            self.failed(file_id, at_ms, case.result, how, rev_id=rev_id[0], sha256=sha256, detail=words)


@dataclass(frozen=True, slots=True)
class AuditRun:
    """The row of an audit that has begun."""

    run_id: int
    since_ms: int
    """What was audited since then belongs to it, and is not read again."""
    resumed: bool
    """An earlier one with the same scope was interrupted; this one goes on with it."""


class AuditRuns:
    """Rows of audits: each is kept, and sealed by an event when it ends."""

    def __init__(self, batch: Batch, runs: Runs) -> None:
        self._batch = batch
        self._runs = runs

    def begin(self, kind: str, scope: list[str], options: dict[str, Any]) -> AuditRun:
        """Open a run of ``AUDIT`` or ``BACKGROUND`` over ``scope`` (absolute paths; empty: all)."""
        run_id = self._runs.start(kind, None)
        head = {"scope": scope, "options": options}
        moment = now_ms()
        interrupted = self._interrupted(kind, scope, run_id, moment)
        since = moment if interrupted is None else interrupted
        self._batch.execute(
            "UPDATE run SET counts = ? WHERE run_id = ?", (json.dumps({**head, "since_ms": since}), run_id)
        )
        self._batch.commit()
        return AuditRun(run_id, since, interrupted is not None)

    def _interrupted(self, kind: str, scope: list[str], run_id: int, moment: int) -> int | None:
        """Since when an interrupted audit of this very scope has read, if it was the last one of it."""
        rows = self._batch.rows(
            "SELECT status, counts, coalesce(heartbeat_ms, started_ms) FROM run WHERE kind = ? AND run_id < ?"
            " AND counts IS NOT NULL ORDER BY run_id DESC LIMIT 200",
            (kind, run_id),
        )
        for status, text, heard_ms in rows:
            counts = json.loads(text)
            if counts.get("scope") == scope:
                goes_on = status == "interrupted" and moment - heard_ms <= RESUMED_MS
                return int(counts["since_ms"]) if goes_on else None
        return None

    def beat(self, run_id: int) -> None:
        self._batch.execute("UPDATE run SET heartbeat_ms = ? WHERE run_id = ?", (now_ms(), run_id))

    def finish(
        self, run_id: int, status: str, counts: dict[str, Any], root_id: int | None, actor: str | None
    ) -> None:
        """Close an audit; ``status``: ``complete``, ``incomplete`` or ``interrupted``. The event that says what
        was read, how, and with which results, is sealed with all others."""
        moment = now_ms()
        row = self._batch.rows("SELECT counts, started_ms FROM run WHERE run_id = ?", (run_id,))[0]
        whole = {**json.loads(row[0] or "{}"), **counts}
        self._batch.execute(
            "UPDATE run SET status = ?, finished_ms = ?, heartbeat_ms = ?, counts = ? WHERE run_id = ?",
            (status, moment, moment, json.dumps(whole, sort_keys=True), run_id),
        )
        self._batch.run_id = run_id
        try:
            self._batch.event(
                EventKind.AUDIT,
                at_ms=moment,
                root_id=root_id,
                actor=actor,
                detail={
                    **{"run": run_id, "status": status, "started_ms": row[1]},
                    **{"reason": counts.get("sentence")},  # what a person reads of it
                    **whole,
                },
            )
        finally:
            self._batch.run_id = None
        self._batch.commit()
