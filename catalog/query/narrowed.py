"""Groups of duplicates inside a scope: its files are counted, whatever is outside of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from catalog.query.groups import Copy, Group, group_of
from catalog.query.levels import BY_ID, PAGE, GroupLevel, in_pieces
from catalog.query.opening import let_go
from catalog.query.scope import LIVING, SEEN, Scope
from catalog.store.schema import dir_, file


@dataclass(slots=True)
class Found:
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


def found_in(connection: Connection, scope: Scope, kind: GroupLevel, min_size: int) -> list[Found]:
    """Groups of the scope's own files, in the order of the answer."""
    found: dict[int, Found] = {}
    for statement in _member_statements(scope, kind, min_size):
        for key, digest, file_id, root_id, inode, nlink, size, allocated in connection.execute(statement):
            group = found.get(key)
            if group is None:
                group = found[key] = Found(digest, [], {})
            group.ids.append(file_id)
            body = (root_id, inode) if nlink > 1 else (-1, file_id)
            group.blocks[body] = max(group.blocks.get(body, (0, 0)), (allocated, size))
    groups = [group for group in found.values() if group.bodies > 1]
    groups.sort(key=lambda group: (-group.reclaimable, group.digest))
    return groups


def _member_statements(scope: Scope, kind: GroupLevel, min_size: int) -> Iterator[Any]:
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
        yield (
            statement.where(*kind.only, *scope.covered(), *big).where(kind.grouped).where(LIVING).where(SEEN)
        )
        return
    for part in scope.parts():
        inside = (
            select(*columns)
            .select_from(dir_)
            .join(file, file.c.dir_id == dir_.c.dir_id)
            .join(kind.table, kind.key == kind.member)
        )
        conditions = [*part.conditions(), *scope.globbed(), *big, kind.table.c.n_files > 1]
        yield inside.where(*conditions).where(LIVING).where(SEEN)


def groups_of(
    connection: Connection, scope: Scope, kind: GroupLevel, found: Sequence[Found]
) -> Iterator[Group]:
    for at in range(0, len(found), PAGE):
        page = found[at : at + PAGE]
        wanted = [file_id for group in page for file_id in group.ids]
        copies = {
            row.file_id: Copy(row[0], scope.by_id[row[1]], *row[2:])
            for row in in_pieces(connection, BY_ID, wanted)
            if row.root_id in scope.by_id
        }
        let_go(connection)
        for group in page:
            members = [copies[file_id] for file_id in group.ids if file_id in copies]
            made = group_of(kind.printed(group.digest), kind.level, members) if members else None
            if made is not None:
                yield made
