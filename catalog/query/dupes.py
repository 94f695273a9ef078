"""``query dupes``: which files are the same, and what would it free to keep one of each?

Without narrowing, groups come straight from the counters that triggers keep: a page is a scan of an index,
whatever the size of the catalogue. A narrowed question counts the files of its scope.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    text,
)

from catalog.query.files import newest_epoch
from catalog.query.groups import Copy, Group, group_of
from catalog.query.opening import let_go
from catalog.query.scope import LIVING, Scope
from catalog.query.standing import living_files, odd_files
from catalog.store.codes import FIDELITY, OUTCOME, RASTER_PIXELS, RASTER_VIEW
from catalog.store.schema import analysis, content, dir_, epoch, file, layout, raster
from catalog.terms import Fidelity, Level, Outcome, RootState, printed

PAGE: Final = 200
"""Groups that are read in one short transaction."""
_FILES_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Totals:
    """All groups of the scope, also those that a limit cuts off."""

    groups: int
    files: int
    """Names in groups."""
    redundant_files: int
    """Files on disk beside the kept ones: hard links counted once."""
    redundant_bytes: int
    reclaimable_bytes: int

    def fields(self) -> dict[str, int]:
        return {
            "groups": self.groups,
            "files": self.files,
            "redundant_files": self.redundant_files,
            "redundant_bytes": self.redundant_bytes,
            "reclaimable_bytes": self.reclaimable_bytes,
        }


@dataclass(frozen=True, slots=True)
class Around:
    """What the summary says beside the totals."""

    files: int
    """Files in the scope that may still be there."""
    undecodable: int
    awaiting: int
    """Files whose pixel digest is of an older decoder epoch: they take part in no comparison of pixels."""
    offline_roots: int


@dataclass(frozen=True, slots=True)
class Dupes:
    """The answer: totals first, then groups by reclaimable bytes (most first) and id, read as they are asked."""

    totals: Totals
    around: Around
    groups: Iterator[Group]


@dataclass(frozen=True, slots=True)
class _Kind:
    """Where the groups of a level live."""

    level: Level
    table: Table
    key: Column[Any]
    member: Column[Any]
    """The column of ``file`` that points to the group."""
    digest: Column[Any]
    only: tuple[ColumnElement[bool], ...]

    @property
    def grouped(self) -> Any:
        """The condition of the partial index, word for word."""
        return text(f"{self.table.name}.n_files > 1")

    @property
    def led(self) -> ColumnElement[bool]:
        """Join the files of a group, groups first: the sum keeps SQLite from starting with all files."""
        return self.member == self.key + 0

    def printed(self, digest: bytes) -> str:
        if self.level is Level.BYTES:
            return digest.hex()
        return printed(self.level, Fidelity.EXACT, digest) or ""


_KINDS: Final = {
    Level.BYTES: _Kind(
        Level.BYTES,
        content,
        content.c.content_id,
        file.c.content_id,
        content.c.sha256,
        # Always true; it makes SQLite take the index of groups, and not all contents.
        (content.c.reclaimable >= 0,),
    ),
    Level.PIXELS: _Kind(
        Level.PIXELS,
        raster,
        raster.c.raster_id,
        file.c.pixel_id,
        raster.c.digest,
        (raster.c.level == RASTER_PIXELS,),
    ),
    Level.VIEW: _Kind(
        Level.VIEW,
        raster,
        raster.c.raster_id,
        file.c.view_id,
        raster.c.digest,
        (raster.c.level == RASTER_VIEW,),
    ),
}
LEVELS: Final = tuple(_KINDS)


def dupes(
    connection: Connection,
    scope: Scope,
    *,
    level: Level = Level.PIXELS,
    min_size: int = 0,
    limit: int | None = None,
) -> Dupes:
    """Duplicates of the scope. A group needs two files on disk inside it; smaller ones than ``min_size``
    bytes do not count. Files whose digest is of an unsound class are never called the same."""
    kind = _KINDS[level]
    around = _around(connection, scope)
    if scope.everything and not min_size:
        totals = _counted_totals(connection, kind)
        groups = _counted_groups(connection, scope, kind, limit)
    else:
        found = _narrowed(connection, scope, kind, min_size)
        totals = Totals(
            len(found),
            sum(each.files for each in found),
            sum(each.bodies - 1 for each in found),
            sum(each.redundant_bytes for each in found),
            sum(each.reclaimable for each in found),
        )
        groups = _groups_of_files(connection, scope, kind, found[:limit])
    let_go(connection)
    return Dupes(totals, around, groups)


# ----------------------------------------------------------------------------------- from the counters


def _counted_totals(connection: Connection, kind: _Kind) -> Totals:
    table = kind.table.c
    sums = (
        func.coalesce(func.sum(column), 0)
        for column in (
            table.n_files,
            table.n_bytes - table.keep_bytes,
            table.reclaimable,
            case((_may_be_linked(kind), 1), else_=0),
        )
    )
    statement = select(func.count(), *sums).select_from(kind.table).where(*kind.only).where(kind.grouped)
    groups, files, extra_bytes, reclaimable, suspicious = connection.execute(statement).one()
    links = _linked(connection, kind) if suspicious else _Links()
    return Totals(
        groups - links.groups,
        files - links.files_of_those,
        files - groups - links.names,
        extra_bytes - links.bytes,
        reclaimable,
    )


@dataclass(frozen=True, slots=True)
class _Links:
    """What the counters count too much: they see names, not files on disk."""

    names: int = 0
    """Names of files that have another name in their group."""
    bytes: int = 0
    groups: int = 0
    """Groups that are one file with several names."""
    files_of_those: int = 0


def _may_be_linked(kind: _Kind) -> ColumnElement[bool]:
    """By the counters alone: where every name adds the same blocks, none is a hard link of another."""
    table = kind.table.c
    return or_(table.keep_allocated == 0, table.n_allocated != table.n_files * table.keep_allocated)


def _linked(connection: Connection, kind: _Kind) -> _Links:
    """Names beyond the first of each file on disk.

    Reads the rows only of groups whose names claim more blocks than the group has, or none.
    """
    table = kind.table.c
    twin = file.alias("twin")
    of_group = (twin.c[kind.member.name] == kind.key, text("twin.presence <> 3"))
    claimed = select(func.sum(twin.c.allocated)).where(*of_group).correlate(kind.table)
    # Names without blocks claim nothing, linked or not.
    empty = exists().where(*of_group, twin.c.allocated == 0).correlate(kind.table)
    suspicious = or_(claimed.scalar_subquery() != table.n_allocated, empty)
    statement = (
        select(kind.key, table.n_files, file.c.root_id, file.c.inode, func.count(), func.max(file.c.size))
        .select_from(kind.table)
        .join(file, kind.led)
        .where(*kind.only, _may_be_linked(kind), suspicious, file.c.nlink > 1)
        .where(kind.grouped)
        .where(LIVING)
        .group_by(kind.key, file.c.root_id, file.c.inode)
        .having(func.count() > 1)
    )
    names = size = groups = files = 0
    for _, n_files, _, _, count, each_size in connection.execute(statement):
        names += count - 1
        size += (count - 1) * each_size
        if count == n_files:
            groups += 1
            files += count
    return _Links(names, size, groups, files)


def _counted_groups(connection: Connection, scope: Scope, kind: _Kind, limit: int | None) -> Iterator[Group]:
    """Pages of the index, most reclaimable first; equal ones by digest."""
    table = kind.table.c
    statement = (
        select(kind.key, kind.digest, table.reclaimable)
        .where(*kind.only)
        .where(kind.grouped)
        .order_by(table.reclaimable.desc(), kind.digest)
        .limit(PAGE if limit is None else min(PAGE, limit))
    )
    after: tuple[int, bytes] | None = None
    left = limit
    while left is None or left > 0:
        page = statement if after is None else statement.where(_beyond(kind, *after))
        rows = connection.execute(page).all()
        copies = _copies(connection, scope, kind.member, [row[0] for row in rows])
        let_go(connection)
        for key, digest, _ in rows:
            group = group_of(kind.printed(digest), kind.level, copies[key]) if copies[key] else None
            if group is not None and left != 0:
                left = None if left is None else left - 1
                yield group
        if not rows:
            return
        after = (rows[-1][2], rows[-1][1])


def _beyond(kind: _Kind, reclaimable: int, digest: bytes) -> ColumnElement[bool]:
    column = kind.table.c.reclaimable
    return and_(column <= reclaimable, or_(column < reclaimable, kind.digest > digest))


# ------------------------------------------------------------------------------------- files of groups

_COLUMNS: Final = (
    file.c.file_id,
    file.c.root_id,
    dir_.c.path,
    file.c.name,
    file.c.size,
    file.c.allocated,
    file.c.mtime_ns,
    file.c.inode,
    file.c.nlink,
    file.c.content_id,
    file.c.pixel_id,
    file.c.view_id,
    analysis.c.format,
    func.json_extract(layout.c.value, "$.compression").label("compression"),
    analysis.c.orientation,
)


def _copies_statement(condition: ColumnElement[bool]) -> Any:
    newest = and_(analysis.c.content_id == content.c.content_id, analysis.c.epoch_id == newest_epoch)
    return (
        select(*_COLUMNS)
        .join(dir_, dir_.c.dir_id == file.c.dir_id)
        .join(content, content.c.content_id == file.c.content_id)
        .outerjoin(analysis, newest)
        .outerjoin(layout, layout.c.layout_id == analysis.c.layout_id)
        .where(condition)
        .where(LIVING)
    )


_BY_ID: Final = _copies_statement(file.c.file_id.in_(bindparam("keys", expanding=True)))
_BY_MEMBER: Final = {
    kind.member.name: _copies_statement(kind.member.in_(bindparam("keys", expanding=True)))
    for kind in _KINDS.values()
}


def _copies(
    connection: Connection, scope: Scope, member: Column[Any], keys: Sequence[int]
) -> dict[int, list[Copy]]:
    """Group → its files, of the whole catalogue."""
    found: dict[int, list[Copy]] = defaultdict(list)
    for row in _in_pieces(connection, _BY_MEMBER[member.name], keys):
        # A share that was removed a moment ago may still be counted here.
        if row.root_id in scope.by_id:
            found[getattr(row, member.name)].append(Copy(row[0], scope.by_id[row[1]], *row[2:]))
    return found


def _in_pieces(connection: Connection, statement: Any, keys: Sequence[int]) -> Iterator[Any]:
    for at in range(0, len(keys), _FILES_AT_ONCE):
        yield from connection.execute(statement, {"keys": list(keys[at : at + _FILES_AT_ONCE])})


# --------------------------------------------------------------------------------------- narrow questions


@dataclass(slots=True)
class _Found:
    """A group inside the scope, before its files are read."""

    digest: bytes
    ids: list[int]
    blocks: dict[tuple[int, int], tuple[int, int]]
    """File on disk → (allocated, size)."""

    @property
    def files(self) -> int:
        return len(self.ids)

    @property
    def bodies(self) -> int:
        return len(self.blocks)

    @property
    def redundant_bytes(self) -> int:
        return sum(size for _, size in self.blocks.values()) - max(self.blocks.values())[1]

    @property
    def reclaimable(self) -> int:
        return sum(allocated for allocated, _ in self.blocks.values()) - max(self.blocks.values())[0]


def _narrowed(connection: Connection, scope: Scope, kind: _Kind, min_size: int) -> list[_Found]:
    """Groups of the scope's own files, in the order of the answer."""
    found: dict[int, _Found] = {}
    for statement in _member_statements(scope, kind, min_size):
        for key, digest, file_id, root_id, inode, nlink, size, allocated in connection.execute(statement):
            group = found.get(key)
            if group is None:
                group = found[key] = _Found(digest, [], {})
            group.ids.append(file_id)
            body = (root_id, inode) if nlink > 1 else (-1, file_id)
            group.blocks[body] = max(group.blocks.get(body, (0, 0)), (allocated, size))
    groups = [group for group in found.values() if group.bodies > 1]
    groups.sort(key=lambda group: (-group.reclaimable, group.digest))
    return groups


def _member_statements(scope: Scope, kind: _Kind, min_size: int) -> Iterator[Any]:
    """What leads is what is smaller: the groups of the catalogue, or the folders of the scope."""
    columns = (
        kind.key,
        kind.digest,
        file.c.file_id,
        file.c.root_id,
        file.c.inode,
        file.c.nlink,
        file.c.size,
        file.c.allocated,
    )
    big = [file.c.size >= min_size] if min_size else []
    if scope.trees is None:
        statement = select(*columns).select_from(kind.table).join(file, kind.led)
        if scope.globs:
            statement = statement.join(dir_, dir_.c.dir_id == file.c.dir_id)
        yield statement.where(*kind.only, *scope.covered(), *big).where(kind.grouped).where(LIVING)
        return
    for part in scope.parts():
        inside = (
            select(*columns)
            .select_from(dir_)
            .join(file, file.c.dir_id == dir_.c.dir_id)
            .join(kind.table, kind.key == kind.member)
        )
        conditions = [*part.conditions(), *scope.globbed(), *big, kind.table.c.n_files > 1]
        yield inside.where(*conditions).where(LIVING)


def _groups_of_files(
    connection: Connection, scope: Scope, kind: _Kind, found: Sequence[_Found]
) -> Iterator[Group]:
    for at in range(0, len(found), PAGE):
        page = found[at : at + PAGE]
        wanted = [file_id for group in page for file_id in group.ids]
        copies = {
            row.file_id: Copy(row[0], scope.by_id[row[1]], *row[2:])
            for row in _in_pieces(connection, _BY_ID, wanted)
            if row.root_id in scope.by_id
        }
        let_go(connection)
        for group in page:
            members = [copies[file_id] for file_id in group.ids if file_id in copies]
            made = group_of(kind.printed(group.digest), kind.level, members) if members else None
            if made is not None:
                yield made


# ------------------------------------------------------------------------------------------ the summary


def _around(connection: Connection, scope: Scope) -> Around:
    undecodable = OUTCOME.number[Outcome.UNDECODABLE]
    return Around(
        sum(living_files(connection, scope, each) for each in scope.roots),
        sum(odd_files(connection, scope, [undecodable]).values()),
        _awaiting(connection, scope),
        sum(1 for each in scope.roots if each.state is not RootState.ONLINE),
    )


def _awaiting(connection: Connection, scope: Scope) -> int:
    """Files whose newest analysis is of an older decoder epoch, and means something only inside it."""
    epochs = connection.execute(select(epoch.c.epoch_id).order_by(epoch.c.epoch_id.desc()).limit(2)).all()
    if len(epochs) < 2:
        return 0
    newer = analysis.alias("newer")
    statement = (
        select(func.count())
        .select_from(analysis)
        .join(file, file.c.content_id == analysis.c.content_id)
        .where(
            analysis.c.epoch_id < epochs[0][0],
            analysis.c.fidelity == FIDELITY.number[Fidelity.DECODER],
            ~exists()
            .where(newer.c.content_id == analysis.c.content_id, newer.c.epoch_id > analysis.c.epoch_id)
            .correlate(analysis),
            *scope.covered(),
        )
        .where(LIVING)
    )
    if not scope.whole_roots:
        statement = statement.join(dir_, dir_.c.dir_id == file.c.dir_id)
    return int(connection.execute(statement).scalar_one())
