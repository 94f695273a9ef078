"""What preservation metadata say beside the events: the files and shares that they are about, and their agent."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection, bindparam, select

from catalog.query.events import Happened, in_order
from catalog.query.files import FileFacts, chunks, facts_in_order
from catalog.query.opening import let_go
from catalog.query.scope import Root
from catalog.store.codes import ROOT_STATE
from catalog.store.schema import content, event, revision, root, toolchain


def every_root(connection: Connection) -> dict[int, Root]:
    """All shares by their number, those that were removed among them."""
    rows = connection.execute(
        select(root.c.root_id, root.c.name, root.c.path, root.c.state, root.c.last_reconcile_ms)
    )
    return {
        row.root_id: Root(row.root_id, row.name, row.path, ROOT_STATE.word[row.state], row.last_reconcile_ms)
        for row in rows
    }


def subjects(connection: Connection, event_ids: Iterable[int]) -> tuple[array[int], set[int]]:
    """(files, shares) that these events are about; a share only where no file is concerned."""
    files: set[int] = set()
    shares: set[int] = set()
    statement = (
        select(event.c.file_id, event.c.root_id)
        .where(event.c.event_id.in_(bindparam("ids", expanding=True)))
        .distinct()
    )
    for chunk in chunks(event_ids):
        for file_id, root_id in connection.execute(statement, {"ids": chunk}):
            if file_id is not None:
                files.add(file_id)
            elif root_id is not None:
                shares.add(root_id)
        let_go(connection)
    return array("q", sorted(files)), shares


def facts(connection: Connection, files: Sequence[int]) -> Iterator[FileFacts]:
    """What is known of these files, also of retired ones and those of removed shares."""
    return facts_in_order(connection, files, every_root(connection))


def with_digests(connection: Connection, event_ids: Sequence[int]) -> Iterator[tuple[Happened, bytes | None]]:
    """Events in this order, each with the raw digest of the content that it speaks of."""
    statement = (
        select(revision.c.rev_id, content.c.sha256)
        .join(content, content.c.content_id == revision.c.content_id)
        .where(revision.c.rev_id.in_(bindparam("ids", expanding=True)))
    )
    for chunk in chunks(event_ids):
        happened = list(in_order(connection, chunk))
        revisions = [each.to_rev_id for each in happened if each.to_rev_id is not None]
        digests: dict[int, bytes] = {}
        if revisions:
            rows = connection.execute(statement, {"ids": revisions})
            digests = {row.rev_id: row.sha256 for row in rows}
            let_go(connection)
        yield from ((each, digests.get(each.to_rev_id or 0)) for each in happened)


def newest_decoders(connection: Connection) -> dict[str, str]:
    """Library → version of the decoders that worked last; empty before the first analysis."""
    statement = select(toolchain.c.components).order_by(toolchain.c.toolchain_id.desc()).limit(1)
    found = connection.execute(statement).scalar()
    return dict(json.loads(found)) if found else {}
