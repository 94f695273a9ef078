"""What a verdict is made of, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from catalog.terms.images import Analysis


class Severity(StrEnum):
    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"


class Kind(StrEnum):
    """What changed (docs/drift.md). The order is the order of the table there."""

    METADATA = "metadata"
    REENCODED = "reencoded"
    DISPLAY = "display"
    REPRESENTATION = "representation"
    PICTURE = "picture"
    UNPROVEN = "unproven"
    BROKEN = "broken"
    MISSING = "missing"
    UNREADABLE = "unreadable"


class Manner(StrEnum):
    """How it came about, judged against the last observed stat."""

    ROT = "rot"
    STEALTH = "stealth"
    UNEXPLAINED = "unexplained"
    ORDINARY = "ordinary"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One side of a comparison: all that a verdict may use of one content state.

    ``state`` is ``ok`` (with content), ``undecodable`` (content without samples), ``missing`` or
    ``unreadable`` (no content). ``epoch`` is that of the analysis.
    """

    state: str
    size: int | None = None
    sha256: bytes | None = None
    analysis: Analysis | None = None
    epoch: bytes | None = None
    reason: str | None = None
    """Why missing, unreadable or undecodable."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What changed, how, and why. ``kind`` None: no drift (the contents are equal)."""

    kind: Kind | None
    manner: Manner
    severity: Severity
    reasons: tuple[str, ...]
    """Plain sentences, the most important first; ``"; ".join`` reads well."""
    same: tuple[tuple[str, bool | None], ...] = ()
    """(level, True | False | None = cannot tell) for bytes, payload, pixels, view."""
    tags: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """``added removed changed`` as in ``compare --json``."""
