"""Drift cases: one open case for each file, opened, changed and closed as the evidence says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Protocol

from catalog import drift
from catalog.record.batch import Batch, now_ms
from catalog.record.facts import Decoders
from catalog.record.rows import FileRow, Rows
from catalog.terms import (
    EventKind,
    Evidence,
    Fidelity,
    Kind,
    Manner,
    Presence,
    Severity,
    Verdict,
    iso,
    printable,
)

SEVERITY: Final = {Severity.INFO: 1, Severity.NOTICE: 2, Severity.WARNING: 3, Severity.CRITICAL: 4}
POLICY: Final = "policy"
"""The actor of an acceptance that nobody asked for by name (setting ``auto_accept``)."""
NEVER_BY_POLICY: Final = frozenset({Kind.BROKEN, Kind.MISSING, Kind.UNREADABLE})


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict on a file's content, with what the record adds to it."""

    verdict: Verdict
    kind: Kind
    reasons: tuple[str, ...]
    detail: dict[str, Any]
    twin: int | None = None
    """The file with which this one swapped contents."""

    def told(self) -> dict[str, Any]:
        """As an event keeps it."""
        return {
            "kind": self.kind.value,
            "manner": self.verdict.manner.value,
            "reason": "; ".join(self.reasons),
        }


@dataclass(frozen=True, slots=True)
class OpenCase:
    drift_id: int
    kind: str
    manner: Manner
    detail: dict[str, Any]

    @property
    def content_manner(self) -> Manner:
        """How the present content came about, also while the file is missing or cannot be read."""
        chain = self.detail.get("chain")
        return Manner(chain[-1]["manner"]) if chain else self.manner


class Analyst(Protocol):
    """Who analyses contents (``Facts``), or did so last."""

    @property
    def decoders(self) -> Decoders: ...


class Cases:
    """Opens and closes cases inside the batch's transaction. Only a policy moves a baseline by itself."""

    def __init__(self, batch: Batch, facts: Analyst, auto_accept: frozenset[Kind] = frozenset()) -> None:
        if auto_accept & NEVER_BY_POLICY:
            raise ValueError(f"never accepted by policy: {sorted(auto_accept & NEVER_BY_POLICY)}")
        self._batch = batch
        self._facts = facts
        self._rows = Rows(batch)
        self._auto_accept = auto_accept

    # --------------------------------------------------------------------------------------- evidence

    def evidence(self, content_id: int) -> Evidence:
        """One content state with everything that is known of it, as today's decoders see it if they did.

        An exact analysis does not depend on the decoders: it holds in the current epoch, whichever made it.
        """
        # Imported here, with SQLAlchemy: to a scan without news that is half of its time.
        from catalog.store.facts import load_analysis

        row = self._batch.rows("SELECT sha256, size FROM content WHERE content_id = ?", (content_id,))[0]
        of_today = self._batch.rows(
            "SELECT max(a.epoch_id) FROM analysis AS a JOIN epoch AS e USING (epoch_id)"
            " WHERE a.content_id = ? AND e.digest = ?",
            (content_id, self._facts.decoders.epoch),
        )[0][0]
        loaded = load_analysis(self._batch.connection, content_id, of_today)
        if loaded is None:
            return Evidence("ok", row[1], row[0])
        analysis, epoch = loaded
        if analysis.fidelity is Fidelity.EXACT:
            epoch = self._facts.decoders.epoch
        undecodable = analysis.fidelity is Fidelity.UNDECODABLE
        state = "undecodable" if undecodable else "ok"
        return Evidence(state, row[1], row[0], analysis, epoch, analysis.reason if undecodable else None)

    def _content_of(self, rev_id: int | None) -> int | None:
        if rev_id is None:
            return None
        rows = self._batch.rows("SELECT content_id FROM revision WHERE rev_id = ?", (rev_id,))
        return int(rows[0][0]) if rows else None

    # --------------------------------------------------------------------------------------- judgement

    def judge(self, row: FileRow, content_id: int, rev_id: int, manner: Manner) -> Judgement | None:
        """Compare a content of the file with its baseline's; None when it is the baseline's. Writes nothing."""
        baseline = self._content_of(row.baseline_rev_id)
        if baseline is None or baseline == content_id:
            return None
        old, new = self.evidence(baseline), self.evidence(content_id)
        verdict = drift.verdict(old, new, manner)
        assert verdict.kind is not None
        reasons = list(verdict.reasons)
        detail: dict[str, Any] = {"tags": verdict.tags, "same": dict(verdict.same)}
        near = drift.near_distance(old.analysis, new.analysis)
        if near is not None:
            detail["near_distance"] = near
        earlier = self._earlier(row, content_id, rev_id)
        if earlier is not None:
            detail["restored_from"] = earlier[0]
            reasons.append(drift.restored_sentence(iso(earlier[1]) or ""))
        other = self._swapped_with(row, baseline, content_id)
        if other is not None:
            moment = iso(now_ms()) or ""
            detail |= {"swapped_with": printable(other[1]), "swapped_seen": moment}
            reasons.append(drift.swapped_sentence(printable(other[1]), moment))
        return Judgement(verdict, verdict.kind, tuple(reasons), detail, other[0] if other else None)

    def settle(self, row: FileRow, judgement: Judgement | None, rev_id: int) -> None:
        """Open, change, close or (by policy) accept the file's case, as its newest revision was judged."""
        if judgement is None:
            self.close(row, "restored", rev_id)
            return
        case = self._open_case(row.file_id)
        link = {"revision": rev_id, "kind": judgement.kind.value, "manner": judgement.verdict.manner.value}
        chain = [*(case.detail.get("chain", []) if case else []), link]
        self._write(row, judgement, rev_id, chain)
        if judgement.twin is not None:
            self._tell_twin(judgement.twin, row.absolute)
        if judgement.kind in self._auto_accept and judgement.verdict.manner is Manner.ORDINARY:
            self.accept(row, rev_id, POLICY)

    def gone(self, row: FileRow, kind: Kind, reason: str) -> None:
        """The file is proven missing, or cannot be read: a case, if it ever had a baseline."""
        baseline = self._content_of(row.baseline_rev_id)
        if baseline is None:
            return
        state = "missing" if kind is Kind.MISSING else "unreadable"
        verdict = drift.verdict(self.evidence(baseline), Evidence(state, reason=reason), Manner.ORDINARY)
        case = self._open_case(row.file_id)
        # What was found out about the content before outlives the absence.
        chain = case.detail.get("chain", []) if case else []
        self._write(row, Judgement(verdict, kind, verdict.reasons, {}), row.rev_id, chain)

    def read_again(self, row: FileRow) -> None:
        """The file was missing, unreadable or at work, and holds the content that it held before."""
        if row.content_id is None or row.rev_id is None:
            return
        if self._content_of(row.baseline_rev_id) == row.content_id:
            self.close(row, "reappeared" if row.presence is Presence.MISSING else "readable")
        else:
            self.judge_again(row)

    def analysed_anew(self, content_id: int) -> None:
        """Another look at a content may change what its files' open cases say."""
        rows = self._batch.rows(
            "SELECT f.file_id FROM file AS f JOIN drift AS x ON x.file_id = f.file_id AND x.closed_ms IS NULL"
            " WHERE f.content_id = ? AND f.presence <> 3 AND f.outcome IN (1, 3)",
            (content_id,),
        )
        for (file_id,) in rows:
            self.judge_again(self._rows.by_id(file_id))

    def judge_again(self, row: FileRow) -> None:
        """The content is the same, and what is known of it or of its readability is not."""
        assert row.content_id is not None and row.rev_id is not None
        case = self._open_case(row.file_id)
        manner = case.content_manner if case else Manner.ORDINARY
        judgement = self.judge(row, row.content_id, row.rev_id, manner)
        if judgement is not None and case is not None and case.detail.get("chain"):
            case.detail["chain"].pop()  # settle adds this very revision again
            self._set_detail(case.drift_id, case.detail)
        self.settle(row, judgement, row.rev_id)

    # ------------------------------------------------------------------------------------------ cases

    def close(self, row: FileRow, resolution: str, rev_id: int | None = None) -> None:
        """Close the open case, if there is one, and say so in an event."""
        case = self._open_case(row.file_id)
        if case is None:
            return
        moment = now_ms()
        self._batch.execute(
            "UPDATE drift SET closed_ms = ?, resolution = ?, rev_id = coalesce(?, rev_id) WHERE drift_id = ?",
            (moment, resolution, rev_id, case.drift_id),
        )
        if resolution == "restored":
            repaired = case.kind in (Kind.BROKEN, Kind.UNREADABLE)
            self._batch.event(
                EventKind.REPAIRED if repaired else EventKind.RESTORED,
                at_ms=moment,
                root_id=row.root_id,
                file_id=row.file_id,
                to_rev=rev_id,
                detail={"case": case.drift_id, "kind": case.kind},
            )

    def accept(self, row: FileRow, rev_id: int, actor: str, note: str | None = None) -> int:
        """Make a revision the baseline; the open case closes as ``accepted``. Gives the event that says so.

        The event holds what it takes to undo it: the former baseline and the case.
        """
        detail = self.close_accepted(row.file_id, actor, note)
        self._batch.execute("UPDATE file SET baseline_rev_id = ? WHERE file_id = ?", (rev_id, row.file_id))
        return self._batch.event(
            EventKind.ACCEPTED,
            at_ms=now_ms(),
            root_id=row.root_id,
            file_id=row.file_id,
            from_rev=row.baseline_rev_id,
            to_rev=rev_id,
            actor=actor,
            detail=detail,
        )

    def close_accepted(self, file_id: int, actor: str, note: str | None) -> dict[str, Any]:
        """Close the open case, if there is one, as ``accepted``; gives the detail of the event."""
        detail: dict[str, Any] = {"reason": note} if note else {}
        case = self._open_case(file_id)
        if case is not None:
            detail |= {"case": case.drift_id, "kind": case.kind, "manner": case.manner.value}
            self._batch.execute(
                "UPDATE drift SET closed_ms = ?, resolution = 'accepted', actor = ?, note = ?"
                " WHERE drift_id = ?",
                (now_ms(), actor, note, case.drift_id),
            )
        return detail

    def reopen(self, drift_id: int, file_id: int) -> None:
        """An acceptance was undone: its case is open again, or the case that was opened since then takes
        over its revisions. What the open case says is then judged anew by the caller."""
        case = self._open_case(file_id)
        if case is None:
            self._batch.execute(
                "UPDATE drift SET closed_ms = NULL, resolution = NULL, actor = NULL, note = NULL"
                " WHERE drift_id = ? AND closed_ms IS NOT NULL",
                (drift_id,),
            )
            return
        former = self._batch.rows("SELECT detail FROM drift WHERE drift_id = ?", (drift_id,))
        chain = json.loads(former[0][0] or "{}").get("chain", []) if former else []
        self._set_detail(case.drift_id, {**case.detail, "chain": [*chain, *case.detail.get("chain", [])]})
        self._batch.execute("UPDATE drift SET resolution = 'undone' WHERE drift_id = ?", (drift_id,))

    def _open_case(self, file_id: int) -> OpenCase | None:
        rows = self._batch.rows(
            "SELECT drift_id, kind, manner, detail FROM drift WHERE file_id = ? AND closed_ms IS NULL",
            (file_id,),
        )
        if not rows:
            return None
        drift_id, kind, manner, detail = rows[0]
        return OpenCase(drift_id, kind, Manner(manner), json.loads(detail or "{}"))

    def _write(self, row: FileRow, judgement: Judgement, rev_id: int | None, chain: list[Any]) -> None:
        """The file's one open case says this now; ``chain``: its revisions since the baseline, as judged."""
        moment = now_ms()
        verdict = judgement.verdict
        detail = {**judgement.detail, "chain": chain} if chain else judgement.detail
        self._batch.execute(
            "INSERT INTO drift (file_id, root_id, kind, manner, severity, opened_ms, updated_ms,"
            " baseline_rev_id, rev_id, reasons, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (file_id) WHERE closed_ms IS NULL DO UPDATE SET kind = excluded.kind,"
            " manner = excluded.manner, severity = excluded.severity, updated_ms = excluded.updated_ms,"
            " baseline_rev_id = excluded.baseline_rev_id, rev_id = excluded.rev_id,"
            " reasons = excluded.reasons, detail = excluded.detail, root_id = excluded.root_id",
            (
                *(row.file_id, row.root_id, judgement.kind.value, verdict.manner.value),
                *(SEVERITY[verdict.severity], moment, moment, row.baseline_rev_id, rev_id),
                *(json.dumps(judgement.reasons), json.dumps(detail, sort_keys=True)),
            ),
        )

    def _set_detail(self, drift_id: int, detail: dict[str, Any]) -> None:
        text = json.dumps(detail, sort_keys=True)
        self._batch.execute("UPDATE drift SET detail = ? WHERE drift_id = ?", (text, drift_id))

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
        detail = json.loads(found[0][2] or "{}") if found else {}
        if not found or detail.get("swapped_with") == printable(path):
            return
        moment = iso(now_ms()) or ""
        detail |= {"swapped_with": printable(path), "swapped_seen": moment}
        reasons = [*json.loads(found[0][1]), drift.swapped_sentence(printable(path), moment)]
        self._batch.execute(
            "UPDATE drift SET reasons = ?, detail = ? WHERE drift_id = ?",
            (json.dumps(reasons), json.dumps(detail, sort_keys=True), found[0][0]),
        )


def _path(row: Any) -> bytes:
    """The absolute path from (root's path, folder, name)."""
    below = row[1] + b"/" + row[2] if row[1] else row[2]
    return bytes(row[0].rstrip(b"/") + b"/" + below)
