"""``query audits``: the audits that were, with their results; and every check of one file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from catalog.query.opening import let_go
from catalog.store.codes import CHECK_RESULT, READ_HOW
from catalog.store.schema import content, evidence, revision, run
from catalog.terms import CheckResult, ReadHow, iso

KINDS = ("audit", "background audit")


@dataclass(frozen=True, slots=True)
class PastAudit:
    """One run. ``counts`` is what it came to; of one that was killed only what it was asked for."""

    run_id: int
    kind: str
    started_ms: int
    finished_ms: int | None
    status: str
    """``running``, ``complete``, ``incomplete`` or ``interrupted``."""
    host: str | None
    version: str | None
    counts: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        """What ``catalog status`` shows of the last one."""
        return {
            "run": self.run_id,
            "finished": iso(self.finished_ms),
            "status": self.status,
            "sentence": self.counts.get("sentence"),
        }

    def fields(self) -> dict[str, Any]:
        """``catalog.audits/1``."""
        counts = self.counts
        return {
            "run": self.run_id,
            "kind": self.kind,
            "started": iso(self.started_ms),
            "finished": iso(self.finished_ms),
            "status": self.status,
            "scope": counts.get("scope", []),
            "options": counts.get("options", {}),
            **{
                name: counts.get(name)
                for name in (
                    *("files", "checked", "intact", "bytes_read", "drift", "corrupt", "unreadable"),
                    *("transient", "moved", "missing", "pending", "unproven", "unread", "budget", "how"),
                    *("seconds", "sentence"),
                )
            },
            "host": self.host,
            "version": self.version,
        }


def audits(connection: Connection, *, limit: int | None = None) -> Iterator[PastAudit]:
    """All audits, the newest first."""
    statement = (
        select(
            run.c.run_id,
            run.c.kind,
            run.c.started_ms,
            run.c.finished_ms,
            run.c.status,
            run.c.host,
            run.c.version,
            run.c.counts,
        )
        .where(run.c.kind.in_(KINDS))
        .order_by(run.c.run_id.desc())
        .limit(limit)
    )
    rows = connection.execute(statement).all()
    let_go(connection)
    for row in rows:
        yield PastAudit(
            row.run_id,
            row.kind,
            row.started_ms,
            row.finished_ms,
            row.status,
            row.host,
            row.version,
            json.loads(row.counts or "{}"),
        )


def last_audit(connection: Connection) -> PastAudit | None:
    """The newest audit that came to its end, or was ended."""
    return next((each for each in audits(connection, limit=20) if "sentence" in each.counts), None)


def audited_pace(connection: Connection) -> float | None:
    """Bytes a second of the last audits together, as far as they read enough to tell; None: nobody knows."""
    size = seconds = 0.0
    for each in audits(connection, limit=20):
        took = each.counts.get("seconds") or 0.0
        if took >= 1.0:
            size += each.counts.get("bytes_read") or 0
            seconds += took
    return size / seconds if size else None


@dataclass(frozen=True, slots=True)
class Check:
    """One reading of one file that was held against the record."""

    at_ms: int
    how: ReadHow
    result: CheckResult
    rev_id: int | None
    sha256: bytes | None
    run_id: int | None
    detail: str | None

    def fields(self) -> dict[str, Any]:
        """One entry of ``evidence`` in ``catalog show --evidence --json``."""
        return {
            "at": iso(self.at_ms),
            "how": self.how.value,
            "result": self.result.value,
            "revision": self.rev_id,
            "raw_sha256": self.sha256.hex() if self.sha256 else None,
            "run": self.run_id,
            "detail": self.detail,
        }


def checks_of_file(connection: Connection, file_id: int) -> list[Check]:
    """The checks of a file that are kept, the oldest first. The digest of one that passed is its revision's."""
    statement = (
        select(
            evidence.c.at_ms,
            evidence.c.how,
            evidence.c.result,
            evidence.c.rev_id,
            evidence.c.sha256,
            evidence.c.run_id,
            evidence.c.detail,
            content.c.sha256.label("recorded"),
        )
        .outerjoin(revision, revision.c.rev_id == evidence.c.rev_id)
        .outerjoin(content, content.c.content_id == revision.c.content_id)
        .where(evidence.c.file_id == file_id)
        .order_by(evidence.c.check_no)
    )
    found = []
    for row in connection.execute(statement):
        result = CHECK_RESULT.word[row.result]
        passed = result is CheckResult.INTACT
        found.append(
            Check(
                row.at_ms,
                READ_HOW.word[row.how],
                result,
                row.rev_id,
                row.recorded if passed else row.sha256,
                row.run_id,
                row.detail,
            )
        )
    return found
