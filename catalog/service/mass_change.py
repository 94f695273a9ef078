"""The alarm on a mass of changed contents: one for all of them, with counts, and not a line for each.

A program that saves a whole share anew, a sync that went wrong, an encrypting trojan: nobody reads a hundred
thousand lines, and nobody should have to.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from catalog import drift
from catalog.record.batch import now_ms
from catalog.record.masses import Mass, Masses
from catalog.terms import EventKind

if TYPE_CHECKING:
    from catalog.service.session import Session

log = logging.getLogger(__name__)

MASS_MS: Final = 3_600_000
"""Changes so close together are one mass."""
LOOK_SECONDS: Final = 30.0
"""Time between two counts of a share: each looks at every case of the last hour."""


class MassChanges:
    """Counts what a session changes; used by its one thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._masses = Masses(session.recorder.batch)
        self._changed: Counter[int] = Counter()
        """Root → changes that were not counted yet."""
        self._counted: dict[int, float] = {}
        """Root → time.monotonic() of the last count."""

    def saw(self, root_id: int) -> None:
        """The content of a file of this root was found changed."""
        self._changed[root_id] += 1

    def look(self, *, at_once: bool = False) -> None:
        """Count the roots whose time has come (``at_once``: all that changed), and raise the alarm. Commits."""
        if not self._changed:
            return
        now = time.monotonic()
        due = [root_id for root_id in self._changed if at_once or self._due(root_id, now)]
        for root_id in due:
            del self._changed[root_id]
            self._counted[root_id] = now
            if not self._session.is_removed(root_id):
                self._count(root_id)
        if due:
            self._session.commit()

    def _due(self, root_id: int, now: float) -> bool:
        """The first count waits until there may be a mass."""
        last = self._counted.get(root_id)
        if last is None:
            return self._changed[root_id] > self._session.settings.mass_change_files
        return now >= last + LOOK_SECONDS

    def _count(self, root_id: int) -> None:
        session, settings = self._session, self._session.settings
        moment = now_ms()
        since, kinds = self._masses.changed(root_id, moment - MASS_MS)
        files, living = sum(kinds.values()), session.recorder.rows.living(root_id)
        if files <= settings.mass_change_files or files <= settings.mass_change_share * living:
            return
        before = self._masses.standing(root_id)
        mass = Mass(0, since, moment, files, living, kinds)
        if before is not None and moment - before.until_ms < MASS_MS:
            # It goes on: the same one, larger. The cases of its beginning may be older than an hour by now.
            _, kinds = self._masses.changed(root_id, before.since_ms)
            mass = Mass(before.event_id, before.since_ms, moment, sum(kinds.values()), living, kinds)
        else:
            mass = dataclasses.replace(mass, event_id=self._alarm(root_id, mass))
        self._masses.keep(root_id, mass)

    def _alarm(self, root_id: int, mass: Mass) -> int:
        words = drift.mass_sentence(mass.files, mass.of, mass.kinds)
        log.warning("share %s: %s", self._session.roots.by_id(root_id).name, words)
        return self._session.recorder.batch.event(
            EventKind.ALARM,
            at_ms=mass.until_ms,
            root_id=root_id,
            detail={"reason": words, "files": mass.files, "of": mass.of, "kinds": mass.kinds},
        )
