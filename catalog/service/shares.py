"""The shares of a session: each with its guard, its identity in the record, and what its mount can be trusted with."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from typing import Any

from catalog.record.roots import MountRecord, Root
from catalog.service.session import Session
from catalog.terms import RootState
from catalog.watch.guard import RootCheck, ShareGuard, ShareIdentity
from catalog.watch.mounts import probe

log = logging.getLogger(__name__)


def identity_text(identity: ShareIdentity) -> str:
    """An identity as the record keeps it."""

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return {"hex": value.hex()}
        if isinstance(value, frozenset):
            return [plain(item) for item in sorted(value)]
        return value

    return json.dumps({name: plain(value) for name, value in asdict(identity).items()}, sort_keys=True)


def identity_of(text: str) -> ShareIdentity:
    """The reverse of ``identity_text``."""

    def rich(value: Any) -> Any:
        if isinstance(value, dict):
            return bytes.fromhex(value["hex"])
        if isinstance(value, list):
            return frozenset(rich(item) for item in value)
        return value

    return ShareIdentity(**{name: rich(value) for name, value in json.loads(text).items()})


class Shares:
    """Guards by root; the session asks them, too. ``close`` ends their processes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._guards: dict[int, ShareGuard] = {}
        self._probed: set[int] = set()
        self._foundings: dict[int, int] = {}
        self._places: dict[int, tuple[object, ...]] = {}
        session.ask_share = self._ask

    def open(self, root: Root) -> Root:
        """Look at a share for the first time in this session; its row as it is now.

        A new share is identified and its mount probed; a known one is compared with what it was.
        """
        guard = self._guards.get(root.root_id)
        if guard is None:
            known = identity_of(root.identity) if root.identity else None
            guard = self._guards[root.root_id] = ShareGuard(root.path, known)
        self.demand(root)
        self._session.roots_by_id[root.root_id] = root
        self.check(root)
        return self._session.roots_by_id[root.root_id]

    def demand(self, root: Root) -> None:
        """Let the guard look for the marker that the share is known by, if it is: an admin may have set it just
        now. It takes precedence over what else is known."""
        marker = root.marker.encode() if root.marker else None
        guard = self._guards[root.root_id]
        known = guard.identity.marker if guard.identity is not None else None
        if known != marker:
            guard.demand(marker)

    def foundings(self, root_id: int) -> int:
        """How often another folder or mount was found at the path of a share, the same share or not: whatever
        watched the old one is deaf."""
        return self._foundings.get(root_id, 0)

    def check(self, root: Root) -> RootCheck:
        """Ask the guard and record what it says."""
        session, guard = self._session, self._guards[root.root_id]
        if session.recorder.batch.open:
            session.commit()  # the answer may take its time, and others want to write
        check = guard.check(session.settings.guard_deadline_seconds)
        if check.refounded:
            check = self._found_anew(root, guard, check)
        if check.online and self._places.setdefault(root.root_id, check.place) != check.place:
            self._places[root.root_id] = check.place
            self._foundings[root.root_id] = self.foundings(root.root_id) + 1
        session.lost_mounts[root.root_id] = check.lost
        if check.online:
            session.sights.there(root.root_id)
        current = session.roots_by_id[root.root_id]
        changed = (current.state, current.state_reason) != (check.state, check.reason or None)
        learned = check.online and guard.identity is not None and self._learn(current, guard.identity)
        if changed:
            session.roots.set_state(current, check.state, check.reason or None)
        if changed or learned:
            session.commit()
            session.recorder.forget_mounts()
            session.roots_by_id[root.root_id] = session.roots.by_id(root.root_id)
        return check

    def _found_anew(self, root: Root, guard: ShareGuard, check: RootCheck) -> RootCheck:
        """Take the folder that is there now for the share: what is in it is looked at, and what is not in it is
        held until somebody confirms that it is gone."""
        assert check.seen is not None
        log.warning("share %s: %s; what is not there any more is held back", root.name, check.reason)
        guard.adopt(check.seen)
        self._session.roots.refounded(root, check.reason)
        return replace(check, state=RootState.ONLINE, reason="", refounded=False)

    def _learn(self, root: Root, identity: ShareIdentity) -> bool:
        """Keep what identifies the share, and what its stat fields are worth. True if the record changed."""
        text = identity_text(identity)
        if root.identity == text and root.root_id in self._probed:
            return False
        self._probed.add(root.root_id)
        trust = probe(root.path)
        mount = MountRecord(
            identity.fstype or "",
            (identity.source or b"").decode("utf-8", "backslashreplace"),
            identity.root_inode or 0,
            trust.inode_trusted,
            trust.ctime_trusted,
            trust.mtime_granularity_ns,
            text,
        )
        unchanged = (
            root.identity == text
            and (root.inode_trusted, root.ctime_trusted) == (trust.inode_trusted, trust.ctime_trusted)
            and root.mtime_granularity_ns == trust.mtime_granularity_ns
        )
        if unchanged:
            return False
        self._session.roots.set_mount(root.root_id, mount, root.path)
        return True

    def there(self, root: Root) -> bool:
        """Whether the share is surely there, now."""
        return self.check(root).online

    def _ask(self, root_id: int) -> bool:
        """The same by its id, also of a share that nobody has looked at yet."""
        if root_id not in self._guards:
            return self.open(self._session.roots.by_id(root_id)).state is RootState.ONLINE
        return self.check(self._session.roots_by_id[root_id]).online

    def forget(self, root_id: int) -> None:
        """The share was removed. Its row stays: inspections of it may still be in flight."""
        self._places.pop(root_id, None)
        guard = self._guards.pop(root_id, None)
        if guard is not None:
            guard.close()

    def close(self) -> None:
        self._session.ask_share = lambda _: False
        for guard in self._guards.values():
            guard.close()
        self._guards.clear()
