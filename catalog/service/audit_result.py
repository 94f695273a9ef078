"""What an audit may cost, and what it came to: values, words and the JSON of ``catalog audit``."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from catalog.errors import Exit
from catalog.query.coverage import WITHIN_DAYS, Coverage
from catalog.record.checks import StandingCase
from catalog.terms import CheckResult, counted, iso, path_fields

LISTED: Final = 1000
"""Files that an answer lists by name; of further ones it gives the number."""
STATED_DAYS: Final = 90


@dataclass(frozen=True, slots=True)
class Budget:
    """Where an audit stops; None: nowhere. What is under way is finished, and the first file always fits."""

    max_seconds: float | None = None
    max_bytes: int | None = None
    max_files: int | None = None
    percent: float | None = None
    """Of the files of the scope, rounded up."""
    older_than_seconds: float | None = None
    """Leave out what was audited since then."""
    rate_bytes: int = 0
    """Bytes a second; 0: no limit but that of the settings."""

    def fields(self) -> dict[str, Any]:
        """What was asked for, without what was not; ``Budget(**fields)`` is the same again."""
        return {name: value for name, value in asdict(self).items() if value}

    def files_of(self, total: int) -> int | None:
        """How many files it allows, of ``total`` in the scope."""
        limits = [] if self.max_files is None else [self.max_files]
        if self.percent is not None:
            limits.append(math.ceil(total * self.percent / 100))
        return min(limits, default=None)


@dataclass(slots=True)
class AuditResult:
    """Counts and findings; ``document`` is the JSON."""

    run_id: int = 0
    resumed_ms: int | None = None
    """When the audit began that this one goes on with."""
    files: int = 0
    """Files of the scope."""
    planned: int = 0
    planned_bytes: int = 0
    done: int = 0
    checked: int = 0
    intact: int = 0
    bytes_read: int = 0
    drift: dict[str, int] = field(default_factory=dict)
    corrupt: list[dict[str, Any]] = field(default_factory=list)
    corrupt_files: int = 0
    unreadable: list[dict[str, Any]] = field(default_factory=list)
    unreadable_files: int = 0
    transient: int = 0
    """Read wrongly once, and as recorded the second time."""
    moved: int = 0
    missing: int = 0
    """Proven gone, by this audit or before; their loss is not accepted."""
    pending: int = 0
    """Would not come to rest."""
    unproven: int = 0
    """Not found, and nothing proves that they are gone."""
    unread: int = 0
    """Not read because the share went away, or the file was not there for a moment."""
    budget: str | None = None
    """Which limit ended it: ``time``, ``data`` or ``files``."""
    interrupted: bool = False
    problems: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    coverage: Coverage = field(default_factory=Coverage)

    def found(self, place: dict[str, Any], case: StandingCase) -> None:
        """A file differs from what was accepted. ``place``: ``root`` and ``path`` as JSON has them."""
        if case.result is CheckResult.CHANGED:
            self.drift[case.kind.value] = self.drift.get(case.kind.value, 0) + 1
            return
        self.corrupt_files += 1
        if len(self.corrupt) < LISTED:
            listed = {**place, "manner": case.result.value, "kind": case.kind.value}
            self.corrupt.append({**listed, "reasons": list(case.reasons)})

    def cannot_read(self, place: dict[str, Any], reason: str) -> None:
        """A file is there and cannot be read."""
        self.unreadable_files += 1
        if len(self.unreadable) < LISTED:
            self.unreadable.append({**place, "reason": reason})

    @property
    def complete(self) -> bool:
        return not (
            self.problems
            or self.unreadable_files
            or self.pending
            or self.unproven
            or self.unread
            or self.interrupted
        )

    def counts(self) -> dict[str, Any]:
        """What the row of the run and its sealed event keep."""
        return {
            "files": self.files,
            "checked": self.checked,
            "intact": self.intact,
            "bytes_read": self.bytes_read,
            "drift": self.drift,
            "corrupt": self.corrupt_files,
            "unreadable": self.unreadable_files,
            "transient": self.transient,
            "moved": self.moved,
            "missing": self.missing,
            "pending": self.pending,
            "unproven": self.unproven,
            "unread": self.unread,
            "budget": self.budget,
            "seconds": round(self.seconds, 3),
            "how": "uncached",
            "sentence": self.sentence(),
        }

    def document(self) -> dict[str, Any]:
        """The JSON fields of ``catalog audit --json`` (docs/audit.md)."""
        return {
            **self.counts(),
            "corrupt": self.corrupt,
            "corrupt_files": self.corrupt_files,
            "unreadable": self.unreadable,
            "unreadable_files": self.unreadable_files,
            "run": self.run_id,
            "resumed": iso(self.resumed_ms),
            "coverage": self.coverage.fields(),
            "problems": self.problems,
            "interrupted": self.interrupted,
        }

    def sentence(self) -> str:
        """``41,022 of 2,000,000 files read, all intact; 30.6 % verified within 90 days; oldest 2025-11-02``."""
        parts = [f"{self.checked:,} of {counted(self.files, 'file')} read, {self._results()}"]
        if self.files:
            number = f"{self.coverage.percent(STATED_DAYS):g}"
            parts.append(f"{number} % verified within {STATED_DAYS} days")
        if self.coverage.oldest_ms is not None:
            parts.append(f"oldest {(iso(self.coverage.oldest_ms) or '')[:10]}")
        if self.coverage.never:
            parts.append(f"{self.coverage.never:,} never")
        return "; ".join(parts)

    def _results(self) -> str:
        ordinary = sum(number for kind, number in self.drift.items() if kind != "missing")
        found = [
            f"{self.corrupt_files:,} corrupt" if self.corrupt_files else "",
            f"{ordinary:,} changed" if ordinary else "",
            f"{self.unreadable_files:,} unreadable" if self.unreadable_files else "",
            f"{self.missing:,} missing" if self.missing else "",
        ]
        rest = ", ".join(each for each in found if each)
        if not self.checked:
            return rest or ("none read" if self.files else "nothing to check")
        return f"{self.intact:,} intact, {rest}" if rest else "all intact"


def code_of(document: dict[str, Any], *, incomplete: bool) -> Exit:
    """The exit code of an audit, from its JSON: corruption wins over ordinary drift, that over incompleteness."""
    if document["corrupt_files"]:
        return Exit.CORRUPTION
    if document["drift"] or document["missing"]:
        return Exit.FINDINGS
    return Exit.INCOMPLETE if incomplete else Exit.OK


def place(root: str, path: bytes) -> dict[str, Any]:
    """``root`` and ``path`` as JSON has them."""
    return {"root": root, **path_fields(path)}


__all__ = ["LISTED", "WITHIN_DAYS", "AuditResult", "Budget", "code_of", "place"]
