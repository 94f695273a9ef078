"""Where the groups of each level live in the record, and how their files are read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, bindparam, func, select, text

from catalog.query.files import newest_epoch
from catalog.query.groups import Copy
from catalog.query.scope import LIVING, SEEN, Root
from catalog.store.codes import RASTER_PIXELS, RASTER_VIEW
from catalog.store.schema import analysis, content, dir_, file, layout, raster
from catalog.terms import Fidelity, Level, printed

PAGE: Final = 200
"""Groups that are read in one short transaction."""
_FILES_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class GroupLevel:
    """Where the groups of a level live, and which files are theirs."""

    level: Level
    table: Table
    key: Column[Any]
    member: Column[Any]
    """The column of ``file`` that points to the group."""
    digest: Column[Any]
    only: tuple[ColumnElement[bool], ...]
    apart: tuple[Any, ...] = ()
    """Conditions on the files that make up these groups, where not all files of ``table`` are meant."""

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


GROUP_LEVELS: Final = {
    Level.BYTES: GroupLevel(
        Level.BYTES,
        content,
        content.c.content_id,
        file.c.content_id,
        content.c.sha256,
        # Always true; it makes SQLite take the index of groups, and not all contents.
        (content.c.reclaimable >= 0,),
    ),
    Level.PIXELS: GroupLevel(
        Level.PIXELS,
        raster,
        raster.c.raster_id,
        file.c.pixel_id,
        raster.c.digest,
        (raster.c.level == RASTER_PIXELS,),
    ),
    Level.VIEW: GroupLevel(
        Level.VIEW,
        raster,
        raster.c.raster_id,
        file.c.view_id,
        raster.c.digest,
        (raster.c.level == RASTER_VIEW,),
    ),
}
UNDECODED: Final = (
    # The comparison makes SQLite search in the index of these files.
    file.c.content_id > 0,
    text("file.view_id IS NULL"),
    text("file.presence <> 3"),
)
"""Files that have a content, and no pixels that prove anything."""
_BYTES: Final = GROUP_LEVELS[Level.BYTES]
UNCOMPARED: Final = {
    Level.PIXELS: replace(_BYTES, apart=(*UNDECODED, file.c.pixel_id.is_(None))),
    Level.VIEW: replace(_BYTES, apart=UNDECODED),
}
"""Beside the groups of a level: files that it cannot compare (not decoded, or not soundly) with equal bytes."""
LEVELS: Final = tuple(GROUP_LEVELS)
"""What ``--level`` may be."""


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
    analysis.c.icc_sha256,
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
        .where(SEEN)
    )


BY_ID: Final = _copies_statement(file.c.file_id.in_(bindparam("keys", expanding=True)))
_BY_MEMBER: Final = {
    kind.member.name: _copies_statement(kind.member.in_(bindparam("keys", expanding=True)))
    for kind in GROUP_LEVELS.values()
}


def copies_of(
    connection: Connection, roots: Mapping[int, Root], member: Column[Any], keys: Sequence[int]
) -> dict[int, list[Copy]]:
    """Group → its files, of the whole catalogue."""
    found: dict[int, list[Copy]] = defaultdict(list)
    for row in in_pieces(connection, _BY_MEMBER[member.name], keys):
        # A share that was removed a moment ago may still be counted here.
        if row.root_id in roots:
            found[getattr(row, member.name)].append(Copy(row[0], roots[row.root_id], *row[2:]))
    return found


def in_pieces(connection: Connection, statement: Any, keys: Sequence[int]) -> Iterator[Any]:
    for at in range(0, len(keys), _FILES_AT_ONCE):
        yield from connection.execute(statement, {"keys": list(keys[at : at + _FILES_AT_ONCE])})
