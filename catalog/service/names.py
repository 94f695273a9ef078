"""Other names of a file (hard links): the kernel tells of a write under one name, and in the folder of that name."""

from __future__ import annotations

from typing import Final

from catalog.backlog import Backlog
from catalog.record import FileRow
from catalog.record.rows import Rows
from catalog.service.plans import Key
from catalog.terms import Change, Reason, Stat

REMEMBERED: Final = 10_000
"""Files whose names were asked about of late: of a file with a thousand names each is inspected, and all of them
need be looked up once."""
NAMES: Final = 70_000
"""More than most file systems let a file have (65,000 on ext4)."""


class Names:
    """Puts into the backlog whoever must be looked at because of what was seen under another name of its file.

    Only where ``heed`` is set: a daemon takes them from there. A scan walks over all names, and sees for itself.
    Inode numbers alone tell who they are: whoever has the same one on another disk is looked at in vain.
    """

    def __init__(self, rows: Rows, backlog: Backlog) -> None:
        self._rows = rows
        self._backlog = backlog
        self._seen: dict[int, tuple[int, ...]] = {}
        self._left: set[int] = set()
        """Files of which all names wait in the backlog, because one has gone."""
        self.heed = False

    def seen(self, key: Key, stat: Stat) -> None:
        """A path was recorded with this state, and its file has more names."""
        look = (stat.size, stat.mtime_ns, stat.ctime_ns)
        if not self.heed or self._seen.get(stat.inode) == look:
            return
        if len(self._seen) >= REMEMBERED:
            self._seen.clear()
        self._seen[stat.inode] = look
        rows = self._rows.names_of(stat.inode, NAMES)
        if any((row.size, row.mtime_ns, row.ctime_ns) != look for row in rows):
            # This one, too: nobody knows which of two states is the newer one.
            self._ask({key, *((row.root_id, row.path) for row in rows)})

    def left(self, row: FileRow) -> None:
        """A path does not hold its file any more, which may have been written before it went. Of a folder of names
        that goes, each would ask for all the others: asked once, until the backlog is looked at."""
        if not self.heed or not row.inode or row.inode in self._left:
            return  # 0: it was never read
        if len(self._left) >= REMEMBERED:
            self._left.clear()
        self._left.add(row.inode)
        others = {(other.root_id, other.path) for other in self._rows.names_of(row.inode)}
        self._ask(others - {(row.root_id, row.path)})

    def taken(self) -> None:
        """What waits in the backlog is looked at now: whoever goes later asks again."""
        self._left.clear()

    def forget(self) -> None:
        """What was asked for was rolled back: nothing is known to wait."""
        self._seen.clear()
        self._left.clear()

    def _ask(self, keys: set[Key]) -> None:
        self._backlog.enqueue(Change(*key, Reason.EVENT) for key in keys)
