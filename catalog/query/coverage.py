"""``query coverage``: which files were read again by an audit, when, and which are due."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, func, or_, select
from sqlalchemy.sql.functions import coalesce

from catalog.query.opening import let_go
from catalog.query.scope import LIVING, ODD, TOMBSTONE, Root, Scope
from catalog.store.codes import OUTCOME, ROOT_STATE
from catalog.store.schema import content, dir_, file, file_check, root
from catalog.terms import Outcome, RootState, iso, path_fields

DAY_MS: Final = 86_400_000
WITHIN_DAYS: Final = (30, 90, 365)


@dataclass(slots=True)
class Coverage:
    """How much of some files audits have verified, and when. Missing files are no part of it."""

    files: int = 0
    bytes: int = 0
    within: tuple[int, ...] = (0,) * len(WITHIN_DAYS)
    """Files that were audited within 30, 90 and 365 days."""
    never: int = 0
    """Files whose present content no audit has read yet."""
    oldest_ms: int | None = None
    """The longest ago that an audited file was read last."""

    def add(self, other: Coverage) -> None:
        self.files += other.files
        self.bytes += other.bytes
        self.within = tuple(a + b for a, b in zip(self.within, other.within, strict=True))
        self.never += other.never
        moments = [each for each in (self.oldest_ms, other.oldest_ms) if each is not None]
        self.oldest_ms = min(moments, default=None)

    def percent(self, days: int) -> float:
        """Of the files, to a tenth; 100 where there are none. Not all is never 100."""
        number = self.within[WITHIN_DAYS.index(days)]
        if number >= self.files:
            return 100.0
        return min(round(100 * number / self.files, 1), 99.9)

    def fields(self) -> dict[str, Any]:
        """``coverage`` of ``catalog audit --json``."""
        return {
            "within_days": {str(days): self.percent(days) for days in WITHIN_DAYS},
            "oldest": iso(self.oldest_ms),
            "never": self.never,
            "files": self.files,
        }


def coverage(connection: Connection, scope: Scope, now_ms: int) -> dict[int, Coverage]:
    """root_id → what audits have verified of its part of the scope; a root without files has none."""
    found = {each.root_id: Coverage() for each in scope.roots}
    audited = file_check.c.audited_ms
    columns = (
        func.count(),
        coalesce(func.sum(file.c.size), 0),
        *(func.count().filter(audited.between(now_ms - days * DAY_MS, now_ms)) for days in WITHIN_DAYS),
        func.count().filter(audited.is_(None)),
        func.min(audited).filter(audited <= now_ms),
    )
    for part in scope.parts():
        statement = (
            select(*columns)
            .select_from(dir_)
            .join(file, file.c.dir_id == dir_.c.dir_id)
            .outerjoin(file_check, file_check.c.file_id == file.c.file_id)
            .where(*part.conditions(), *scope.globbed())
            .where(LIVING)
        )
        files, size, *within, never, oldest = connection.execute(statement).one()
        found[part.root.root_id].add(Coverage(files, size, tuple(within), never, oldest))
    let_go(connection)
    return found


def total(parts: dict[int, Coverage]) -> Coverage:
    """The sum over all shares."""
    whole = Coverage()
    for part in parts.values():
        whole.add(part)
    return whole


def coverage_fields(each: Root, found: Coverage) -> dict[str, Any]:
    """One share as ``query coverage`` shows it."""
    days = dict(zip(WITHIN_DAYS, found.within, strict=True))
    return {
        "root": each.name,
        **path_fields(each.path),
        "files": found.files,
        "bytes": found.bytes,
        "within_days": {str(number): count for number, count in days.items()},
        "percent": {str(number): found.percent(number) for number in days},
        "never": found.never,
        "oldest": iso(found.oldest_ms),
    }


# -------------------------------------------------------------------------------------------- what is due


@dataclass(frozen=True, slots=True)
class Agenda:
    """Files to be audited, in their order: those that never were, then the longest unchecked."""

    ids: array[int]
    sizes: array[int]
    files: int
    """Files of the scope, due or not."""

    def __len__(self) -> int:
        return len(self.ids)


_READ: Final = (Outcome.OK, Outcome.UNDECODABLE, Outcome.OTHER)
_PENDING: Final = OUTCOME.number[Outcome.PENDING]


def agenda(connection: Connection, scope: Scope, *, before_ms: int, now_ms: int) -> Agenda:
    """The files of the scope that no audit has read since ``before_ms``; 16 bytes for each.

    Left out is what waits for its first look; what was known and would not come to rest since is not. A time to
    come proves nothing: the clock was wrong then.
    """
    audited = coalesce(file_check.c.audited_ms, 0)
    columns = (file.c.file_id, file.c.size, audited)
    joined = (
        select(*columns)
        .select_from(dir_)
        .join(file, file.c.dir_id == dir_.c.dir_id)
        .outerjoin(file_check, file_check.c.file_id == file.c.file_id)
        .where(or_(file.c.outcome != _PENDING, file.c.content_id.is_not(None)))
        .where(LIVING)
    )
    ids, sizes, files = array("q"), array("q"), 0
    if scope.trees is None:
        statement = joined.where(*scope.covered()).where(file.c.root_id.in_([r.root_id for r in scope.roots]))
        ordered = statement.order_by(audited, file.c.file_id)
        rows: Any = connection.execution_options(yield_per=10_000).execute(ordered)
    else:
        rows = sorted(
            (
                tuple(row)
                for part in scope.parts()
                for row in connection.execute(joined.where(*part.conditions(), *scope.globbed()))
            ),
            key=lambda row: (row[2], row[0]),
        )
    for file_id, size, moment in rows:
        files += 1
        if moment < before_ms or moment > now_ms:
            ids.append(file_id)
            sizes.append(size)
    let_go(connection)
    return Agenda(ids, sizes, files)


def _due(before_ms: int, now_ms: int) -> ColumnElement[bool]:
    """Not audited since then, or ever. A time to come proves nothing."""
    audited = coalesce(file_check.c.audited_ms, 0)
    return or_(audited < before_ms, audited > now_ms)


def unread_since(connection: Connection, scope: Scope, before_ms: int, now_ms: int) -> tuple[int, int]:
    """(files, bytes) of the scope that no audit has read since then, or ever."""
    files = size = 0
    for part in scope.parts():
        statement = (
            select(func.count(), coalesce(func.sum(file.c.size), 0))
            .select_from(dir_)
            .join(file, file.c.dir_id == dir_.c.dir_id)
            .outerjoin(file_check, file_check.c.file_id == file.c.file_id)
            .where(*part.conditions(), *scope.globbed())
            .where(_due(before_ms, now_ms))
            .where(LIVING)
        )
        row = connection.execute(statement).one()
        files, size = files + row[0], size + row[1]
    return files, size


def any_due(connection: Connection, *, before_ms: int, now_ms: int) -> bool:
    """Whether any share that is online holds a file which no audit has read since then."""
    online = ROOT_STATE.number[RootState.ONLINE]
    statement = (
        select(file.c.file_id)
        .join(root, root.c.root_id == file.c.root_id)
        .outerjoin(file_check, file_check.c.file_id == file.c.file_id)
        .where(root.c.state == online, file.c.outcome.in_([OUTCOME.number[each] for each in _READ]))
        .where(_due(before_ms, now_ms))
        .where(LIVING)
        .limit(1)
    )
    return connection.execute(statement).first() is not None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that is about to be audited, as it was recorded when it was looked up."""

    file_id: int
    root_id: int
    path: bytes
    size: int
    outcome: Outcome
    content_id: int | None
    sha256: bytes | None


_CANDIDATES: Final = (
    select(
        file.c.file_id,
        file.c.root_id,
        dir_.c.path,
        file.c.name,
        file.c.size,
        file.c.outcome,
        file.c.content_id,
        content.c.sha256,
    )
    .join(dir_, dir_.c.dir_id == file.c.dir_id)
    .outerjoin(content, content.c.content_id == file.c.content_id)
    .where(file.c.file_id.in_(bindparam("ids", expanding=True)))
    .where(LIVING)
)


def candidates(connection: Connection, ids: Sequence[int]) -> Iterator[Candidate]:
    """These files in this order, as they are recorded now; those that are gone by now are left out."""
    rows = {row.file_id: row for row in connection.execute(_CANDIDATES, {"ids": list(ids)})}
    let_go(connection)
    for file_id in ids:
        row = rows.get(file_id)
        if row is not None:
            path = row.path + b"/" + row.name if row.path else row.name
            yield Candidate(
                file_id, row.root_id, path, row.size, OUTCOME.word[row.outcome], row.content_id, row.sha256
            )


def missing_files(connection: Connection, scope: Scope) -> int:
    """Files of the scope that are proven gone, and whose loss nobody has accepted."""
    statement = (
        select(func.count())
        .select_from(file)
        .join(dir_, dir_.c.dir_id == file.c.dir_id)
        .where(file.c.root_id.in_([each.root_id for each in scope.roots]), file.c.retired_ms.is_(None))
        .where(*scope.covered())
        .where(TOMBSTONE)
        .where(ODD)
    )
    number = int(connection.execute(statement).scalar_one())
    let_go(connection)
    return number
