"""``query events``: what happened, newest first."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, select

from catalog.query.files import CHUNK, chunks, file_ids
from catalog.query.opening import let_go
from catalog.query.scope import Scope
from catalog.store.codes import EVENT_KIND
from catalog.store.schema import dir_, event, file, root
from catalog.terms import EventKind, iso, path_fields


@dataclass(frozen=True, slots=True)
class Happened:
    """One event. ``path`` is where the file is known now; None for events of a share."""

    event_id: int
    at_ms: int
    kind: EventKind
    root: str | None
    path: bytes | None
    actor: str | None
    from_rev_id: int | None
    to_rev_id: int | None
    detail: dict[str, Any]
    file_id: int | None = None
    root_id: int | None = None

    def fields(self) -> dict[str, Any]:
        return {
            "id": self.event_id,
            "at": iso(self.at_ms),
            "kind": self.kind.value,
            "root": self.root,
            **(path_fields(self.path) if self.path is not None else {"path": None}),
            "actor": self.actor,
            "detail": self.detail,
        }


_DETAILS: Final = (
    select(
        event.c.event_id,
        event.c.at_ms,
        event.c.kind,
        event.c.file_id,
        event.c.from_rev_id,
        event.c.to_rev_id,
        event.c.actor,
        event.c.detail,
        event.c.root_id,
        file.c.root_id.label("file_root_id"),
        dir_.c.path.label("folder"),
        file.c.name,
    )
    .outerjoin(file, file.c.file_id == event.c.file_id)
    .outerjoin(dir_, dir_.c.dir_id == file.c.dir_id)
    .where(event.c.event_id.in_(bindparam("ids", expanding=True)))
)


def events(
    connection: Connection,
    scope: Scope,
    *,
    kinds: Sequence[EventKind] = (),
    since_ms: int | None = None,
    limit: int | None = None,
) -> Iterator[Happened]:
    """Events of the scope, newest first. One that narrows to files leaves out the events of shares, and has those
    of files that were moved away from a path that is named (``Scope.once``), all of them."""
    ids = event_ids(connection, scope, kinds=kinds, since_ms=since_ms, limit=limit)
    let_go(connection)
    return in_order(connection, ids)


def event_ids(
    connection: Connection,
    scope: Scope,
    *,
    kinds: Sequence[EventKind] = (),
    since_ms: int | None = None,
    limit: int | None = None,
) -> array[int]:
    """The events of ``events``: eight bytes for each."""
    conditions: list[ColumnElement[bool]] = []
    if kinds:
        conditions.append(event.c.kind.in_([EVENT_KIND.number[kind] for kind in kinds]))
    if since_ms is not None:
        conditions.append(event.c.at_ms >= since_ms)
    if scope.whole_roots:
        statement = select(event.c.event_id).where(*conditions, *scope.covered(event.c.root_id))
        statement = statement.order_by(event.c.event_id.desc()).limit(limit)
        return array("q", connection.execute(statement).scalars())
    found = array("q")
    statement = select(event.c.event_id).where(
        event.c.file_id.in_(bindparam("files", expanding=True)), *conditions
    )
    for chunk in chunks(sorted({*file_ids(connection, scope), *scope.once})):
        found.extend(connection.execute(statement, {"files": chunk}).scalars())
    return array("q", sorted(found, reverse=True)[:limit])


def events_of_file(connection: Connection, file_id: int) -> list[Happened]:
    """All events of one file, the oldest first."""
    statement = select(event.c.event_id).where(event.c.file_id == file_id).order_by(event.c.event_id)
    return list(in_order(connection, array("q", connection.execute(statement).scalars())))


def in_order(connection: Connection, ids: Sequence[int]) -> Iterator[Happened]:
    """These events in this order; a short transaction for each chunk."""
    roots = {
        row.root_id: (row.name, row.path)
        for row in connection.execute(select(root.c.root_id, root.c.name, root.c.path))
    }
    for at in range(0, len(ids), CHUNK):
        chunk = list(ids[at : at + CHUNK])
        found = {row.event_id: row for row in connection.execute(_DETAILS, {"ids": chunk})}
        let_go(connection)
        yield from (_happened(found[event_id], roots) for event_id in chunk if event_id in found)


def _happened(row: Any, roots: dict[int, tuple[str, bytes]]) -> Happened:
    path = None
    if row.name is not None:
        below = row.folder + b"/" + row.name if row.folder else row.name
        path = roots[row.file_root_id][1].rstrip(b"/") + b"/" + below
    root_id = row.file_root_id if row.root_id is None else row.root_id
    return Happened(
        row.event_id,
        row.at_ms,
        EVENT_KIND.word[row.kind],
        roots[root_id][0] if root_id in roots else None,
        path,
        row.actor,
        row.from_rev_id,
        row.to_rev_id,
        json.loads(row.detail) if row.detail else {},
        row.file_id,
        root_id,
    )
