"""The walks of a session: which are under way or asked for, and what they have seen and not read yet."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from catalog.record.roots import Roots
from catalog.terms import Job

FileLook = tuple[int, int, int]
"""(size, mtime in ns, inode): what a file keeps that is renamed."""


class Queued(NamedTuple):
    """A path that a walk has seen, and that is still to be read."""

    job: Job
    look: FileLook


@dataclass(slots=True)
class Walk:
    """One walk that is under way."""

    root_id: int
    fresh: bool
    """The share held nothing when it began: nothing was to be lost there."""
    queue: deque[Queued] = field(default_factory=deque)


class Walks:
    """By the order in which they were asked for (``Session.next_order``)."""

    def __init__(self, roots: Roots) -> None:
        self._roots: Final = roots
        self._compared: set[int] = set()
        """Shares that were walked from end to end, now or ever."""
        self.under_way: dict[int, Walk] = {}
        self.asked: dict[int, int] = {}
        """Walks that are yet to begin: order → root."""

    def begin(self, order: int, root_id: int, *, fresh: bool) -> deque[Queued]:
        """A walk begins; what it sees goes into the queue."""
        walk = self.under_way[order] = Walk(root_id, fresh)
        return walk.queue

    def end(self, order: int) -> None:
        self.under_way.pop(order, None)

    def compared(self, root_id: int) -> None:
        """A share was walked from end to end."""
        self._compared.add(root_id)

    def is_first(self, root_id: int) -> bool:
        """Whether no walk of a share has come to its end yet: the one that does may take days."""
        if root_id not in self._compared and self._roots.by_id(root_id).last_reconcile_ms is not None:
            self._compared.add(root_id)
        return root_id not in self._compared

    def orders(self, *, asked: bool, first: bool) -> Iterator[int]:
        """Those under way and (``asked``) to come; ``first``: the first ones of their shares, too."""
        walking = ((order, walk.root_id) for order, walk in self.under_way.items())
        for order, root_id in (*walking, *(self.asked.items() if asked else ())):
            if first or not self.is_first(root_id):
                yield order

    def until(self, root_id: int) -> float:
        """The order before which no walk of this root began, or was asked for, that may find what events have not
        told."""
        walking = (order for order, w in self.under_way.items() if w.root_id == root_id and not w.fresh)
        asked = (order for order, root in self.asked.items() if root == root_id)
        return min((*walking, *asked), default=math.inf)

    def looks(self) -> Iterator[FileLook]:
        """Of the files that were seen, and are still to be read."""
        return (queued.look for walk in self.under_way.values() for queued in walk.queue)
