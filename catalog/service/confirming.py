"""What an admin has confirmed to be gone: looked for once more, and believed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final

from catalog.config import Settings
from catalog.errors import Exit, NotFound
from catalog.record import FileRow
from catalog.record.roots import Root
from catalog.service.opening import cataloguing
from catalog.service.session import Session
from catalog.service.shares import Shares
from catalog.terms import Presence, RootState, path_fields

STEP_FILES: Final = 10_000
"""Files that are looked for in one step, about a second."""


class ShareAway(NotFound):
    """Nothing can be told of a share that is not there."""

    code = Exit.INCOMPLETE


class Confirmation:
    """Release the absences of a root that were known until a moment: those that an admin was shown.

    ``step`` until it is true; ``document`` tells what it came to. Everything that absence needs is asked for once
    more, but the brake on masses: the share must be there before and after a look, the file must not be, and
    whatever was under way when it was missed must have been seen. A row is never deleted.
    """

    def __init__(self, session: Session, root: Root, *, until_ms: int, actor: str | None) -> None:
        self._session = session
        self._root = root
        self._actor = actor
        self._began = time.monotonic()
        rows = session.recorder.rows.suspects(root.root_id, until_ms)
        self._left = {row.file_id: row for row in sorted(rows, key=lambda row: row.path)}
        """Sorted by path: a step lists each folder once."""
        self.confirmed = 0
        self.there = 0
        """Found after all, or elsewhere."""
        self.unproven = 0

    def step(self) -> bool:
        """Look for those whose time has come. Whether each was judged. Raises ShareAway."""
        session, root_id = self._session, self._root.root_id
        self._take_up()
        due = self._due()
        if due:
            self._judge(due)
            for row in due:
                del self._left[row.file_id]
        if self._left:
            return False
        session.losses.pop(root_id, None)
        session.roots.confirmed(root_id, self.confirmed, self._actor)
        return True

    def _judge(self, due: list[FileRow]) -> None:
        session, root_id = self._session, self._root.root_id
        if not session.share_there(root_id):
            raise self.away()
        lost = session.lost(root_id)
        path = session.root_path(root_id)
        sight = session.sight(root_id)
        proofs = list(sight.proofs(path, self._paths(due), lost=lost, follow_links=session.follow_links))
        if not session.share_there(root_id) or session.lost(root_id) != lost:
            raise self.away()
        confirmed = there = unproven = 0
        for row, proof in zip(due, proofs, strict=True):
            suspect = session.suspects[row.file_id]
            if proof.absent:
                reason = suspect.reason if suspect.reason not in ("", "gone") else proof.reason
                confirmed += session.recorder.missing(row, reason, self._actor)
                continue
            suspect.next_look = 0.0  # for whoever judges absences next
            there += proof.there
            unproven += not proof.there
        session.commit()  # or raise, and all of it is done again
        for row, proof in zip(due, proofs, strict=True):
            if proof.absent:
                session.suspects.pop(row.file_id, None)
        self.confirmed += confirmed
        self.there += there
        self.unproven += unproven

    def _take_up(self) -> None:
        """Those that are no suspects any more were found meanwhile; those of which nothing is known here (the
        daemon was started anew, the share was away) become suspects once more."""
        session = self._session
        for file_id in [file_id for file_id in self._left if file_id not in session.suspects]:
            row = session.recorder.rows.find(file_id)
            if row is None or row.presence is not Presence.SUSPECT:
                del self._left[file_id]
                self.there += 1
            else:
                self._left[file_id] = row
                session.suspect(row, "")

    def _due(self) -> list[FileRow]:
        session = self._session
        horizon, concerned = session.horizon(first=False), session.arrivals.concerned()
        late = time.monotonic() >= self._began + session.patience_seconds
        due: list[FileRow] = []
        for file_id, row in self._left.items():
            if (late or session.suspects[file_id].order < horizon) and file_id not in concerned:
                due.append(row)
                if len(due) == STEP_FILES:
                    break
        return due

    def _paths(self, due: list[FileRow]) -> Iterator[bytes]:
        for row in due:
            self._session.pulse()
            yield row.path

    def away(self) -> ShareAway:
        """What to say when the share is not there."""
        root = self._session.roots.by_id(self._root.root_id)
        why = f": {root.state_reason}" if root.state_reason else ""
        return ShareAway(
            f"{root.name} is {root.state.value}{why}", hint="nothing is believed of a share that is not there"
        )

    def document(self) -> dict[str, Any]:
        """The JSON fields of ``root confirm-missing``."""
        return {
            "root": self._root.name,
            **path_fields(self._root.path),
            "confirmed": self.confirmed,
            "there": self.there,
            "unproven": self.unproven,
        }


class RequestedConfirmation:
    """A confirmation that another process asked the daemon for."""

    def __init__(self, work: Confirmation, answer: Callable[[dict[str, Any]], None]) -> None:
        self._work = work
        self._answer = answer

    def step(self) -> bool:
        """Whether it is done, and answered."""
        try:
            if not self._work.step():
                return False
        except ShareAway as error:
            self._answer({"error": str(error)})
        else:
            self._answer(self._work.document())
        return True


def confirm(
    database: str, settings: Settings, root_id: int, until_ms: int, actor: str | None
) -> dict[str, Any]:
    """The same where no daemon runs, at once. Raises Locked when somebody catalogues, and ShareAway."""
    with (
        cataloguing(database, settings, "root confirm-missing") as session,
        closing(Shares(session)) as shares,
    ):
        root = shares.open(session.roots.by_id(root_id))
        work = Confirmation(session, root, until_ms=until_ms, actor=actor)
        if root.state is not RootState.ONLINE:
            raise work.away()
        while not work.step():
            pass  # nothing is under way: each step judges some
        return work.document()
