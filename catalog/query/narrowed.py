"""Groups of duplicates that are counted file by file: those of which a narrow scope holds at least one file.

A group is shown whole, wherever its files are: who asks about one file wants to know where its copies are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select

from catalog.query.groups import Copy, Group, group_of
from catalog.query.levels import BY_ID, PAGE, GroupLevel, in_pieces
from catalog.query.member_tags import descriptive_tags
from catalog.query.opening import let_go
from catalog.query.scope import LIVING, SEEN, Root, Scope
from catalog.store.schema import dir_, file


@dataclass(slots=True)
class Found:
    """A group, before its files are read."""

    kind: GroupLevel
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


def found_in(
    connection: Connection, scope: Scope, kind: GroupLevel, min_size: int, roots: Mapping[int, Root]
) -> list[Found]:
    """Groups with a file in the scope, with all their files on ``roots``, in the order of the answer."""
    found = _gathered(_members(connection, scope, kind, min_size), kind, roots)
    return [group for group in found if group.bodies > 1]


def found_by(
    connection: Connection, kind: GroupLevel, keys: Sequence[int], min_size: int, roots: Mapping[int, Root]
) -> list[Found]:
    """These groups, with all their files on ``roots``, in the order of the answer. Names of one file on disk are a
    group, too."""
    keyed = _all_members(kind, min_size).where(kind.key.in_(bindparam("keys", expanding=True)))
    found = _gathered(in_pieces(connection, keyed, keys), kind, roots)
    return [group for group in found if group.files > 1]


def _gathered(rows: Iterable[Any], kind: GroupLevel, roots: Mapping[int, Root]) -> list[Found]:
    found: dict[int, Found] = {}
    for row in rows:
        key, digest, file_id, root_id, inode, nlink, size, allocated = row
        if root_id not in roots:  # removed a moment ago
            continue
        group = found.get(key)
        if group is None:
            group = found[key] = Found(kind, digest, [], {})
        group.ids.append(file_id)
        body = (root_id, inode) if nlink > 1 else (-1, file_id)
        group.blocks[body] = max(group.blocks.get(body, (0, 0)), (allocated, size))
    return sorted(found.values(), key=in_order)


def in_order(found: Found) -> tuple[int, bytes]:
    """Most reclaimable first; equal ones by digest."""
    return -found.reclaimable, found.digest


def _all_members(kind: GroupLevel, min_size: int) -> Any:
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
    members = select(*columns).select_from(kind.table).join(file, kind.led)
    return members.where(*_big(min_size)).where(LIVING).where(SEEN)


def _big(min_size: int) -> list[Any]:
    return [file.c.size >= min_size] if min_size else []


def _members(connection: Connection, scope: Scope, kind: GroupLevel, min_size: int) -> Iterator[Any]:
    members = _all_members(kind, min_size)
    if scope.everything and not kind.apart:
        yield from connection.execute(members.where(*kind.only).where(kind.grouped))
        return
    keys = set(keys_in(connection, scope, kind, min_size))
    yield from in_pieces(
        connection, members.where(kind.key.in_(bindparam("keys", expanding=True))), sorted(keys)
    )


def keys_in(connection: Connection, scope: Scope, kind: GroupLevel, min_size: int) -> Iterator[int]:
    """The group of each file of the scope that has one: as often as it has files there."""
    for statement in _keys(scope, kind, _big(min_size)):
        yield from connection.execute(statement).scalars()


def _keys(scope: Scope, kind: GroupLevel, big: list[Any]) -> Iterator[Any]:
    """Which groups the scope touches. What leads is what is smaller: the groups of the catalogue, the few files
    that cannot be compared, or the folders of the scope."""
    if scope.trees is None:
        # Joined with a sum, the groups lead; without, the files.
        joined = kind.member == kind.key if kind.apart else kind.led
        statement = select(kind.key).select_from(kind.table).join(file, joined)
        if scope.globs:
            statement = statement.join(dir_, dir_.c.dir_id == file.c.dir_id)
        statement = statement.where(*scope.covered(), *big, *kind.apart).where(kind.grouped)
        yield (statement if kind.apart else statement.where(*kind.only)).where(LIVING).where(SEEN)
        return
    for part in scope.parts():
        inside = (
            select(kind.key)
            .select_from(dir_)
            .join(file, file.c.dir_id == dir_.c.dir_id)
            .join(kind.table, kind.key == kind.member)
        )
        conditions = [*part.conditions(), *scope.globbed(), *big, kind.table.c.n_files > 1, *kind.apart]
        yield inside.where(*conditions).where(LIVING).where(SEEN)


def groups_of(
    connection: Connection,
    scope: Scope,
    roots: Mapping[int, Root],
    found: Sequence[Found],
    *,
    names: bool = False,
) -> Iterator[Group]:
    """The groups with their files, a page in each short transaction. ``names``: those of one file on disk, too."""
    for at in range(0, len(found), PAGE):
        page = found[at : at + PAGE]
        wanted = [file_id for group in page for file_id in group.ids]
        copies = {
            row.file_id: Copy(row[0], roots[row[1]], *row[2:])
            for row in in_pieces(connection, BY_ID, wanted)
            if row.root_id in roots
        }
        members = [[copies[file_id] for file_id in group.ids if file_id in copies] for group in page]
        tags = descriptive_tags(connection, members)
        let_go(connection)
        for group, listed in zip(page, members, strict=True):
            kind = group.kind
            identity = kind.printed(group.digest)
            made = group_of(identity, kind.level, listed, tags, scope, names=names) if listed else None
            if made is not None:
                yield made
