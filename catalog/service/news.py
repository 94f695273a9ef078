"""What was heard of the paths in the backlog: a row there says only where to look."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from catalog.watch.hints import Freed

LIMIT: Final = 50_000
"""Paths of which it is remembered."""


class News(NamedTuple):
    """What was heard of a path that is in the backlog."""

    freed: Freed = Freed.PERHAPS
    since: float = math.inf
    """time.monotonic() of the first news; infinity when nobody remembers."""

    def joined(self, later: News) -> News:
        return News(max(self.freed, later.freed), min(self.since, later.since))


class Newsroom:
    """The news of one share, until its paths are examined. What is beyond the limit may be anything."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._news: dict[bytes, News] = {}
        self._forgotten_since = math.inf

    def remember(self, path: bytes, news: News) -> None:
        """A path was put into the backlog."""
        if path in self._news or len(self._news) < self._limit:
            self._news[path] = self._news.get(path, news).joined(news)
        else:
            self._forgotten_since = min(self._forgotten_since, news.since)

    def of(self, path: bytes, *, keep: bool) -> News:
        """What was heard of a path that is examined now; ``keep``: it is examined again."""
        news = (self._news.get if keep else self._news.pop)(path, News())
        if not self._news:
            self._forgotten_since = math.inf
        return news

    def since(self) -> float:
        """time.monotonic() of the oldest; infinity when there is none."""
        return min((*(each.since for each in self._news.values()), self._forgotten_since))

    def forget(self) -> None:
        self._news.clear()
        self._forgotten_since = math.inf
