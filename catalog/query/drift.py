"""``query drift``: what changed, how, and why? Open cases by urgency, or all cases, newest first."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, select

from catalog.drift import shapes
from catalog.query.files import chunks
from catalog.query.good_copies import GoodCopy, good_copies, good_copy_fields
from catalog.query.opening import let_go
from catalog.query.scope import Root, Scope
from catalog.store.codes import FIDELITY
from catalog.store.schema import analysis, content, dir_, drift, file, raster, revision
from catalog.terms import Fidelity, Kind, Level, Manner, Severity, iso, path_fields, printable, printed

SEVERITY: Final = {1: Severity.INFO, 2: Severity.NOTICE, 3: Severity.WARNING, 4: Severity.CRITICAL}
_NUMBER: Final = {severity: number for number, severity in SEVERITY.items()}

SAME_PIXELS: Final = (Kind.METADATA, Kind.REENCODED, Kind.DISPLAY)
"""Kinds that are proven to have left the samples alone (docs/drift.md)."""
OTHER_PIXELS: Final = (Kind.REPRESENTATION, Kind.PICTURE)
"""Kinds that are proven to have other samples; for all further kinds nobody can tell."""
_CONTENTLESS: Final = (Kind.MISSING, Kind.UNREADABLE)


@dataclass(frozen=True, slots=True)
class State:
    """One side of a case. All None: there is no content."""

    revision: int | None = None
    raw_sha256: str | None = None
    payload: str | None = None
    pixels: str | None = None
    view: str | None = None

    def fields(self) -> dict[str, Any]:
        return {
            "revision": self.revision,
            "raw_sha256": self.raw_sha256,
            "payload": self.payload,
            "pixels": self.pixels,
            "view": self.view,
        }


@dataclass(frozen=True, slots=True)
class Case:
    """One difference between the accepted state of a file and its current one."""

    drift_id: int
    root: Root
    path: bytes
    kind: Kind
    manner: Manner
    severity: Severity
    opened_ms: int
    at_ms: int
    """When the case became what it is now."""
    closed_ms: int | None
    resolution: str | None
    old: State
    new: State
    reasons: tuple[str, ...]
    """As they were found when the case became what it is."""
    detail: dict[str, Any] = field(default_factory=dict)
    good_copy: GoodCopy | None = None
    """Of an open case: where the accepted bytes or pixels are to be had now."""

    @property
    def open(self) -> bool:
        return self.closed_ms is None

    @property
    def picture_elsewhere(self) -> GoodCopy | None:
        """The good copy, if the file itself has lost the picture and no reason names the copy already."""
        copy = self.good_copy
        if (
            copy is None
            or self.kind in SAME_PIXELS
            or self.detail.get("swapped_with") == printable(copy.path)
        ):
            return None
        return copy

    def fields(self) -> dict[str, Any]:
        return {
            "id": self.drift_id,
            "root": self.root.name,
            **path_fields(self.path),
            "kind": self.kind.value,
            "manner": self.manner.value,
            "severity": self.severity.value,
            "at": iso(self.at_ms),
            "open": self.open,
            "old": self.old.fields(),
            "new": self.new.fields(),
            "reasons": list(self.reasons),
            "near_distance": self.detail.get("near_distance"),
            "restored_from": self.detail.get("restored_from"),
            **good_copy_fields(self.good_copy),
            "opened": iso(self.opened_ms),
            "closed": iso(self.closed_ms),
            "resolution": self.resolution,
            "tags": self.detail.get("tags"),
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cases; empty means all."""

    kinds: Sequence[Kind] = ()
    manners: Sequence[Manner] = ()
    severity: Severity = Severity.INFO
    """This one and the more urgent ones."""
    since_ms: int | None = None
    pixels_same: bool | None = None
    """True: the samples are proven to be the same; False: proven to be different."""
    closed: bool = False
    """Closed cases, too."""

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        kinds = set(self.kinds) or set(Kind)
        if self.pixels_same is not None:
            kinds &= set(SAME_PIXELS if self.pixels_same else OTHER_PIXELS)
        if kinds != set(Kind):
            found.append(drift.c.kind.in_(sorted(kind.value for kind in kinds)))
        if self.manners:
            found.append(drift.c.manner.in_(sorted(manner.value for manner in self.manners)))
        if self.severity is not Severity.INFO:
            found.append(drift.c.severity >= _NUMBER[self.severity])
        if self.since_ms is not None:
            found.append(drift.c.updated_ms >= self.since_ms)
        if not self.closed:
            found.append(drift.c.closed_ms.is_(None))
        return found


# ------------------------------------------------------------------------------------------------ details


class _Side:
    """The joins from a revision to its digests, once for the baseline and once for the current state."""

    def __init__(self, name: str) -> None:
        self.revision = revision.alias(f"{name}_revision")
        self.content = content.alias(f"{name}_content")
        self.analysis = analysis.alias(f"{name}_analysis")
        self.pixels = raster.alias(f"{name}_pixels")
        self.view = raster.alias(f"{name}_view")
        self.prefix = name

    def columns(self) -> list[Any]:
        name = self.prefix
        return [
            self.revision.c.rev_id.label(f"{name}_revision"),
            self.content.c.sha256.label(f"{name}_sha256"),
            self.analysis.c.payload.label(f"{name}_payload"),
            self.analysis.c.fidelity.label(f"{name}_fidelity"),
            self.pixels.c.digest.label(f"{name}_pixels"),
            self.view.c.digest.label(f"{name}_view"),
        ]

    def joined(self, statement: Any, rev_id: ColumnElement[Any]) -> Any:
        return (
            statement.outerjoin(self.revision, self.revision.c.rev_id == rev_id)
            .outerjoin(self.content, self.content.c.content_id == self.revision.c.content_id)
            .outerjoin(
                self.analysis,
                and_(
                    self.analysis.c.content_id == self.content.c.content_id,
                    self.analysis.c.epoch_id == _newest(self.content),
                ),
            )
            .outerjoin(self.pixels, self.pixels.c.raster_id == self.analysis.c.pixel_id)
            .outerjoin(self.view, self.view.c.raster_id == self.analysis.c.view_id)
        )

    def state(self, row: Row[Any]) -> State:
        values = {
            name: getattr(row, f"{self.prefix}_{name}") for name in ("sha256", "payload", "pixels", "view")
        }
        number = getattr(row, f"{self.prefix}_fidelity")
        fidelity = FIDELITY.word[number] if number is not None else Fidelity.UNDECODABLE
        return State(
            getattr(row, f"{self.prefix}_revision"),
            values["sha256"].hex() if values["sha256"] else None,
            printed(Level.PAYLOAD, fidelity, values["payload"]),
            printed(Level.PIXELS, fidelity, values["pixels"]),
            printed(Level.VIEW, fidelity, values["view"]),
        )


def _newest(of: Any) -> Any:
    return (
        select(func.max(analysis.c.epoch_id))
        .where(analysis.c.content_id == of.c.content_id)
        .correlate(of)
        .scalar_subquery()
    )


_OLD: Final = _Side("old")
_NEW: Final = _Side("new")


def _details() -> Any:
    statement = (
        select(
            drift.c.drift_id,
            drift.c.file_id,
            file.c.root_id,
            dir_.c.path,
            file.c.name,
            drift.c.kind,
            drift.c.manner,
            drift.c.severity,
            drift.c.opened_ms,
            drift.c.updated_ms,
            drift.c.closed_ms,
            drift.c.resolution,
            drift.c.reasons,
            drift.c.detail,
            *_OLD.columns(),
            *_NEW.columns(),
        )
        .select_from(drift)
        .join(file, file.c.file_id == drift.c.file_id)
        .join(dir_, dir_.c.dir_id == file.c.dir_id)
    )
    statement = _OLD.joined(statement, drift.c.baseline_rev_id)
    statement = _NEW.joined(statement, drift.c.rev_id)
    return statement.where(drift.c.drift_id.in_(bindparam("ids", expanding=True)))


_DETAILS: Final = _details()


def _case(row: Any, roots: dict[int, Root], copies: dict[int, GoodCopy]) -> Case:
    kind = Kind(row.kind)
    root = roots[row.root_id]
    return Case(
        row.drift_id,
        root,
        root.absolute(row.path, row.name),
        kind,
        Manner(row.manner),
        SEVERITY[row.severity],
        row.opened_ms,
        row.updated_ms,
        row.closed_ms,
        row.resolution,
        _OLD.state(row),
        State() if kind in _CONTENTLESS else _NEW.state(row),
        tuple(json.loads(row.reasons)),
        json.loads(row.detail) if row.detail else {},
        copies.get(row.file_id) if row.closed_ms is None else None,
    )


# ----------------------------------------------------------------------------------------------- questions


def drift_cases(
    connection: Connection, scope: Scope, wanted: Wanted | None = None, *, limit: int | None = None
) -> Iterator[Case]:
    """Cases of the scope. Open ones: the most urgent first, then the newest; with closed ones: newest first."""
    statement = _chosen(scope, wanted or Wanted()).limit(limit)
    ids = array("q", connection.execute(statement).scalars())
    let_go(connection)
    yield from _in_order(connection, scope, ids)


@dataclass(slots=True)
class Alike:
    """Cases that came about in the same way: equal but for file names, numbers and values of tags."""

    files: int = 0
    since_ms: int = 0
    until_ms: int = 0
    reasons: tuple[str, ...] | None = None
    """None when they differ in what is not shape."""


def drift_groups(
    connection: Connection, scope: Scope, wanted: Wanted | None = None, *, least: int
) -> Iterator[tuple[Case, Alike | None]]:
    """The same cases; those that share severity, kind, manner, state and the shape of all their reasons are one
    where they are ``least`` or more: the first of them, with what is known of all, at its place. Only what is
    given is looked up."""
    statement = _chosen(scope, wanted or Wanted(), *_CAUSE)
    ids, causes = array("q"), array("q")
    numbers: dict[Any, int] = {}
    groups: list[Alike] = []
    for drift_id, updated_ms, text, *cause in connection.execute(statement):
        reasons = tuple(json.loads(text))
        number = numbers.setdefault((*cause, shapes(reasons)), len(numbers))
        if number == len(groups):
            groups.append(Alike(0, updated_ms, updated_ms, reasons))
        group = groups[number]
        group.files += 1
        group.since_ms = min(group.since_ms, updated_ms)
        group.until_ms = max(group.until_ms, updated_ms)
        group.reasons = reasons if group.reasons == reasons else None
        ids.append(drift_id)
        causes.append(number)
    let_go(connection)
    together: dict[int, Alike] = {}
    shown = array("q")
    told: set[int] = set()
    for drift_id, number in zip(ids, causes, strict=True):
        if groups[number].files < least:
            shown.append(drift_id)
        elif number not in told:
            told.add(number)
            shown.append(drift_id)
            together[drift_id] = groups[number]
    for found in _in_order(connection, scope, shown):
        yield found, together.get(found.drift_id)


def _in_order(connection: Connection, scope: Scope, ids: Sequence[int]) -> Iterator[Case]:
    for chunk in chunks(ids):
        found = {row.drift_id: row for row in connection.execute(_DETAILS, {"ids": chunk})}
        copies = good_copies(connection, _open_files(found.values()))
        let_go(connection)
        for drift_id in chunk:
            if drift_id in found and found[drift_id].root_id in scope.by_id:
                yield _case(found[drift_id], scope.by_id, copies)


def _open_files(rows: Iterable[Any]) -> list[int]:
    return [row.file_id for row in rows if row.closed_ms is None]


def _chosen(scope: Scope, wanted: Wanted, *columns: Any) -> Any:
    """The ids of the cases (and what else is asked), in their order."""
    statement = select(drift.c.drift_id, *columns).where(*wanted.conditions())
    if scope.whole_roots:
        statement = statement.where(*scope.covered(drift.c.root_id))
    else:
        statement = (
            statement.join(file, file.c.file_id == drift.c.file_id)
            .join(dir_, dir_.c.dir_id == file.c.dir_id)
            .where(*scope.covered(drift.c.root_id))
        )
    urgent = (drift.c.severity.desc(), drift.c.updated_ms.desc()) if not wanted.closed else ()
    return statement.order_by(*urgent, drift.c.drift_id.desc())


_CAUSE: Final = (
    drift.c.updated_ms,
    drift.c.reasons,
    drift.c.severity,
    drift.c.kind,
    drift.c.manner,
    drift.c.resolution,
)
"""What tells whether cases are alike. Open ones have no resolution."""


def cases_of_file(connection: Connection, file_id: int, root: Root) -> list[Case]:
    """All cases of one file, the oldest first."""
    ids = list(
        connection.execute(
            select(drift.c.drift_id).where(drift.c.file_id == file_id).order_by(drift.c.drift_id)
        ).scalars()
    )
    rows = connection.execute(_DETAILS, {"ids": ids}).all() if ids else []
    copies = good_copies(connection, _open_files(rows))
    return sorted((_case(row, {row.root_id: root}, copies) for row in rows), key=lambda one: one.drift_id)
