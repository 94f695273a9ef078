"""Shares that were named by a link: where does it lead now?"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence

from catalog.errors import UsageError
from catalog.service.opening import refuse_inside
from catalog.service.scan import targets
from catalog.service.session import Session
from catalog.terms import printable
from catalog.watch.guard import ShareGuard

log = logging.getLogger(__name__)


def links_among(paths: Sequence[str], folders: Sequence[bytes]) -> dict[bytes, bytes]:
    """Of paths as they were typed, and the folders that they lead to: absolute path → folder, where they differ."""
    absolute = (os.path.abspath(os.fsencode(path)) for path in paths)
    return {path: folder for path, folder in zip(absolute, folders, strict=True) if path != folder}


class Links:
    """Looks where links lead, each through a process that can be killed. ``close`` ends those."""

    def __init__(self, leading: Mapping[bytes, bytes], deadline_seconds: float) -> None:
        self._leading = dict(leading)
        self._deadline = deadline_seconds
        self._guards = {link: ShareGuard(link) for link in leading}

    def turned(self) -> list[tuple[bytes, bytes]]:
        """(link, folder) for each that leads to another folder than when it was looked at last."""
        found = []
        for link, guard in self._guards.items():
            seen = guard.check(self._deadline).seen
            if seen is not None and seen.realpath != self._leading[link]:
                self._leading[link] = seen.realpath
                found.append((link, seen.realpath))
        return found

    def follow(self, session: Session) -> list[int]:
        """Let the folders to which links were turned be shares, too; their roots. The folders to which they led
        stay what they are, and where they are."""
        roots = []
        for link, folder in self.turned():
            words = f"{printable(link)} now leads to {printable(folder)}"
            try:
                refuse_inside(session.database, [folder])
                (target,) = targets(session.roots, [folder], name=None, actor=None)
            except UsageError as error:
                log.error("%s, which is not followed: %s", words, error)
                continue
            log.warning("%s: followed as the share %s", words, target.root.name)
            roots.append(target.root.root_id)
        return roots

    def close(self) -> None:
        for guard in self._guards.values():
            guard.close()
