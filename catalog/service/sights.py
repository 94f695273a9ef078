"""How each share is looked at: directly, or through a process where its mount may hang."""

from __future__ import annotations

from catalog.record.roots import Root
from catalog.terms import WatchMode
from catalog.watch.mounts import watch_mode
from catalog.watch.sight import Apart, Direct, Sight


class Sights:
    """One for each share of a session. ``close`` ends their processes."""

    def __init__(self, deadline_seconds: float) -> None:
        self._deadline = deadline_seconds
        self._direct = Direct()
        self._apart: dict[int, Apart] = {}

    def of(self, root: Root) -> Sight:
        """By what is mounted there now: a local disk does not hang."""
        if watch_mode(root.fs_type or "")[0] is WatchMode.INOTIFY:
            return self._direct
        found = self._apart.get(root.root_id)
        if found is None:
            found = self._apart[root.root_id] = Apart(self._deadline)
        return found

    def there(self, root_id: int) -> None:
        """The guard has seen the share: it may be looked at again, if it had fallen silent."""
        if root_id in self._apart:
            self._apart[root_id].open()

    def close(self) -> None:
        for sight in self._apart.values():
            sight.close()
