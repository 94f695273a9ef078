"""What waits for ``root confirm-missing``: files that were not found, by folder."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from catalog.errors import NotFound
from catalog.query.scope import ODD, RETIRED
from catalog.store.schema import dir_, file, root
from catalog.terms import joined, printable


@dataclass(frozen=True, slots=True)
class Held:
    """The absences of one share that are not believed."""

    root_id: int
    name: str
    path: bytes
    held: int
    """How many of them the brake on masses holds; 0: it holds none."""
    files: int
    """All that were not found."""
    until_ms: int
    """When the last of them was missed for the first time."""
    folders: tuple[tuple[bytes, int], ...]
    """(path relative to the share, files), the most first."""


def held(connection: Connection, name: str) -> Held:
    """What is held back of a share, by its name or path. Raises NotFound, naming the shares that there are."""
    rows = connection.execute(select(root).where(root.c.state != RETIRED).order_by(root.c.name)).all()
    found = [row for row in rows if name in (row.name, printable(row.path))]
    if not found:
        names = joined(printable(row.name) for row in rows) or "none yet"
        raise NotFound(f"no share is named {printable(name)}", hint=f"the shares: {names}")
    one = found[0]
    counted = (
        select(dir_.c.path, func.count(), func.max(file.c.state_since_ms))
        .join(file, file.c.dir_id == dir_.c.dir_id)
        .where(file.c.root_id == one.root_id, file.c.presence == 2)
        .where(ODD)
        .group_by(dir_.c.path)
        .order_by(func.count().desc(), dir_.c.path)
    )
    folders = connection.execute(counted).all()
    return Held(
        one.root_id,
        one.name,
        one.path,
        one.n_held,
        sum(row[1] for row in folders),
        max((row[2] for row in folders), default=0),
        tuple((row[0], row[1]) for row in folders),
    )
