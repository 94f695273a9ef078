"""Files that were at a path once, and are elsewhere now."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Select, bindparam, func, select

from catalog.query.scope import Root
from catalog.store.codes import EVENT_KIND
from catalog.store.schema import dir_, event, file, revision
from catalog.terms import EventKind, path_fields

_SEEN_THERE: Final = (
    select(revision.c.file_id)
    .join(dir_, dir_.c.dir_id == revision.c.dir_id)
    .where(dir_.c.root_id == bindparam("root"), dir_.c.path == bindparam("folder"))
    .where(revision.c.name == bindparam("name"))
)
_IS_THERE: Final = (
    select(file.c.file_id)
    .join(dir_, dir_.c.dir_id == file.c.dir_id)
    .where(dir_.c.root_id == bindparam("root"), dir_.c.path == bindparam("folder"))
    .where(file.c.name == bindparam("name"))
)


def _moved_from(field: str) -> Select[tuple[int]]:
    """A file that moved on without having been changed there left no revision, but the event of its move."""
    return select(event.c.file_id).where(
        event.c.kind == EVENT_KIND.number[EventKind.MOVED],
        event.c.file_id.is_not(None),
        func.json_extract(event.c.detail, f"$.{field}") == bindparam("path"),
    )


_MOVED_FROM: Final = {field: _moved_from(field) for field in ("from", "from_b64")}


def once_at(connection: Connection, root: Root, folder: bytes, name: bytes) -> list[int]:
    """Ids of the files that left this path by a move, the latest first. Reads all revisions and moves."""
    place = {"root": root.root_id, "folder": folder, "name": name}
    told = path_fields(root.absolute(folder, name), "from")
    field = "from_b64" if "from_b64" in told else "from"
    found = set(connection.execute(_SEEN_THERE, place).scalars())
    found.update(connection.execute(_MOVED_FROM[field], {"path": told[field]}).scalars())
    found.difference_update(connection.execute(_IS_THERE, place).scalars())
    return sorted(found, reverse=True)
