"""``query dupes``: which files are the same, and what would it free to keep one of each?

Without narrowing, groups come straight from the counters that triggers keep: a page is a scan of an index,
whatever the size of the catalogue. A narrowed question counts the files of the groups that its scope touches.
Files that a level cannot compare stand beside its groups, by their bytes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, or_, select, text

from catalog.query.across import Place, Shared, found_across, shares_of
from catalog.query.groups import Group, group_of
from catalog.query.levels import GROUP_LEVELS, PAGE, UNCOMPARED, GroupLevel, copies_of
from catalog.query.member_tags import descriptive_tags
from catalog.query.narrowed import Found, found_in, groups_of, in_order
from catalog.query.opening import let_go
from catalog.query.outdated import outdated_files
from catalog.query.scope import LIVING, Root, Scope, living_roots
from catalog.query.standing import living_files, odd_files, suspect_files
from catalog.store.codes import OUTCOME
from catalog.store.schema import dir_, file
from catalog.terms import Level, Outcome, RootState


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

    def plus(self, other: Totals) -> Totals:
        """Both together; their groups have no group in common."""
        return Totals(
            self.groups + other.groups,
            self.files + other.files,
            self.redundant_files + other.redundant_files,
            self.redundant_bytes + other.redundant_bytes,
            self.reclaimable_bytes + other.reclaimable_bytes,
        )


@dataclass(frozen=True, slots=True)
class Around:
    """What the summary says beside the totals."""

    files: int
    """Files in the scope that may still be there."""
    undecodable: int
    uncompared: int
    """Files that the level cannot compare, the undecodable ones among them: by their bytes alone."""
    awaiting: int
    """Files whose pixel digest is of an older decoder epoch: they take part in no comparison of pixels."""
    offline_roots: int


@dataclass(frozen=True, slots=True)
class Dupes:
    """The answer: totals first, then groups by reclaimable bytes (most first) and id, read as they are asked."""

    totals: Totals
    around: Around
    groups: Iterator[Group]
    across: tuple[Shared, ...] = ()
    """The places that were held against each other."""


def dupes(
    connection: Connection,
    scope: Scope,
    *,
    level: Level = Level.PIXELS,
    min_size: int = 0,
    limit: int | None = None,
    across: Sequence[Place] = (),
) -> Dupes:
    """Groups with at least one file in the scope, each with all its files, wherever they are.

    A group needs two files on disk; smaller ones than ``min_size`` bytes do not count, nor do files that were
    not seen lately. Files whose digest is of an unsound class are the same as those with equal bytes only.
    ``across``: only groups with files in at least two of these places, of which the scope is made; there names of
    one file on disk are a group, too.
    """
    if across:
        return _across(connection, scope, across, level=level, min_size=min_size, limit=limit)
    kind = GROUP_LEVELS[level]
    around = _around(connection, scope, level)
    roots = {each.root_id: each for each in living_roots(connection)}
    apart = found_in(connection, scope, UNCOMPARED[level], min_size, roots) if level in UNCOMPARED else []
    # The counters hold suspects, too: files that were not found, whose absence is not proven.
    unseen = sum(suspect_files(connection, scope).values())
    if scope.everything and not min_size and not unseen:
        totals = _counted_totals(connection, kind)
        groups = _counted_groups(connection, scope, roots, kind, limit)
        if apart:
            groups = islice(_merged(groups, groups_of(connection, scope, roots, apart)), limit)
    else:
        found = found_in(connection, scope, kind, min_size, roots)
        totals = _added_up(found)
        groups = groups_of(connection, scope, roots, sorted([*found, *apart], key=in_order)[:limit])
    totals = totals.plus(_added_up(apart))
    let_go(connection)
    return Dupes(totals, around, groups)


def _across(
    connection: Connection,
    scope: Scope,
    among: Sequence[Place],
    *,
    level: Level,
    min_size: int,
    limit: int | None,
) -> Dupes:
    around = _around(connection, scope, level)
    roots = {each.root_id: each for each in living_roots(connection)}
    kinds = [GROUP_LEVELS[level], *([UNCOMPARED[level]] if level in UNCOMPARED else [])]
    sides = [found_across(connection, among, kind, min_size, roots) for kind in kinds]
    found = sorted((group for groups, _ in sides for group in groups), key=in_order)
    shared = map(sum, zip(*(numbers for _, numbers in sides), strict=True))
    told = shares_of(connection, among, shared)
    let_go(connection)
    groups = groups_of(connection, scope, roots, found[:limit], names=True)
    return Dupes(_added_up(found), around, groups, told)


def _added_up(found: Sequence[Found]) -> Totals:
    return Totals(
        len(found),
        sum(each.files for each in found),
        sum(each.bodies - 1 for each in found),
        sum(each.redundant_bytes for each in found),
        sum(each.reclaimable for each in found),
    )


def _merged(one: Iterator[Group], other: Iterator[Group]) -> Iterator[Group]:
    return heapq.merge(one, other, key=lambda group: (-group.reclaimable_bytes, group.id.rpartition(":")[2]))


# ----------------------------------------------------------------------------------- from the counters


def _counted_totals(connection: Connection, kind: GroupLevel) -> Totals:
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


def _may_be_linked(kind: GroupLevel) -> ColumnElement[bool]:
    """By the counters alone: where every name adds the same blocks, none is a hard link of another."""
    table = kind.table.c
    return or_(table.keep_allocated == 0, table.n_allocated != table.n_files * table.keep_allocated)


def _linked(connection: Connection, kind: GroupLevel) -> _Links:
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


def _counted_groups(
    connection: Connection, scope: Scope, roots: dict[int, Root], kind: GroupLevel, limit: int | None
) -> Iterator[Group]:
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
        copies = copies_of(connection, roots, kind.member, [row[0] for row in rows])
        tags = descriptive_tags(connection, copies.values())
        let_go(connection)
        for key, digest, _ in rows:
            members = copies[key]
            group = group_of(kind.printed(digest), kind.level, members, tags, scope) if members else None
            if group is not None and left != 0:
                left = None if left is None else left - 1
                yield group
        if not rows:
            return
        after = (rows[-1][2], rows[-1][1])


def _beyond(kind: GroupLevel, reclaimable: int, digest: bytes) -> ColumnElement[bool]:
    column = kind.table.c.reclaimable
    return and_(column <= reclaimable, or_(column < reclaimable, kind.digest > digest))


# ------------------------------------------------------------------------------------------ the summary


def _around(connection: Connection, scope: Scope, level: Level) -> Around:
    undecodable = OUTCOME.number[Outcome.UNDECODABLE]
    return Around(
        sum(living_files(connection, scope, each) for each in scope.roots),
        sum(odd_files(connection, scope, [undecodable]).values()),
        _uncompared(connection, scope, level),
        sum(outdated_files(connection, scope).values()),
        sum(1 for each in scope.roots if each.state is not RootState.ONLINE),
    )


def _uncompared(connection: Connection, scope: Scope, level: Level) -> int:
    """Files of the scope with a content of which the level knows nothing sound; reads those files."""
    if level not in UNCOMPARED:
        return 0
    statement = select(func.count()).select_from(file).where(*UNCOMPARED[level].apart, *scope.covered())
    if not scope.whole_roots:
        statement = statement.join(dir_, dir_.c.dir_id == file.c.dir_id)
    return int(connection.execute(statement).scalar_one())
