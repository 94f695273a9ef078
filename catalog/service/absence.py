"""Absence needs proof: a second look, a share that is surely there, and a brake on masses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Final

from catalog.record.batch import now_ms
from catalog.record.roots import Root
from catalog.service.plans import Losses, Plan, Suspect, Tally
from catalog.service.session import Session
from catalog.store.codes import EVENT_KIND, PRESENCE
from catalog.terms import EventKind, Job, Presence, counted
from catalog.watch.reconcile import AbsenceProof, MassRule
from catalog.watch.selection import Ignored

log = logging.getLogger(__name__)

MASS_SECONDS: Final = 3600.0
"""Absences so close together are one mass: a folder tree goes file by file, and a look sees a part of them."""


COUNT_SECONDS: Final = 60.0
"""How long a count of them is believed: it looks at every tombstone of the share."""


class Answer(Enum):
    """What a second look at a root's suspects came to."""

    JUDGED = "each was judged, or waits for its time"
    AWAY = "the share is not there: nothing can be told"


def confirm_absences(
    session: Session,
    root: Root,
    share_there: Callable[[], bool],
    tally: Tally,
    *,
    after_seconds: float = 0.0,
    asked: bool = True,
) -> Answer:
    """Give this root's suspects their second look, and record those that are proven gone.

    ``share_there`` asks the share guard; it must say yes before and after the look, or nothing is believed.
    ``after_seconds``: age of a suspicion before the second look. Whatever is under way then (``asked``: and the
    walks that are to come) must have been seen first: the file may have moved. But nobody waits for the first
    walk of a share, nor for anything longer than ``Session.patience_seconds``: what turns up later takes its history
    back from there (``moves.py``). More
    absences than the mass rule allows, those of the last hour included, are held until an admin confirms them.
    """
    due = _due(session, root, after_seconds, asked=asked)
    if not due:
        if not _suspected(session, root):
            _hold(session, root, 0, tally)
        return Answer.JUDGED
    if not share_there():
        return Answer.AWAY
    lost = session.lost(root.root_id)
    proofs = dict(
        zip(
            due,
            session.sight(root.root_id).proofs(
                root.path, _paths(session, due), lost=lost, follow_links=session.follow_links
            ),
            strict=True,
        )
    )
    if not share_there() or session.lost(root.root_id) != lost:
        return Answer.AWAY
    gone = [file_id for file_id, proof in proofs.items() if proof.absent]
    for file_id, proof in proofs.items():
        if proof.there:
            _found_again(session, session.suspects[file_id], tally)
        elif not proof.absent:
            _cannot_tell(session, session.suspects[file_id])
    if gone:
        there = sum(proof.there for proof in proofs.values())
        concerned = sum(file_id in session.suspects for file_id in session.arrivals.concerned())
        _believe(session, root, gone, proofs, _suspected(session, root) - there - concerned, tally)
    session.commit()
    return Answer.JUDGED


def _paths(session: Session, due: Iterable[int]) -> Iterator[bytes]:
    """Where they were last seen; with a sign of life for each, because looking may take its time."""
    for file_id in due:
        session.pulse()
        yield session.suspects[file_id].row.path


def _due(session: Session, root: Root, after_seconds: float, *, asked: bool) -> list[int]:
    now, concerned = time.monotonic(), session.arrivals.concerned()
    horizon = session.horizon(asked=asked, first=False)
    trusted, unread, due = session.inode_trusted(root.root_id), None, []
    for file_id, suspect in session.suspects.items():
        waits = now < max(suspect.since + after_seconds, suspect.next_look)
        if suspect.row.root_id != root.root_id or waits:
            continue
        # What has begun by now is the last that may find it elsewhere.
        if not suspect.last_call:
            suspect.last_call, suspect.called_at = session.next_order(), now
        late = now >= suspect.called_at + session.patience_seconds
        if file_id in concerned or not (late or suspect.last_call < horizon):
            continue
        if unread is None:
            unread = session.unread()
        row = suspect.row
        renamed = trusted and (row.size, row.mtime_ns, row.inode) in unread
        if not renamed:
            due.append(file_id)
    return due


def _suspected(session: Session, root: Root) -> int:
    """How many files of a root were not seen where they were, those of earlier looks included."""
    rows = session.recorder.batch.question(
        "SELECT coalesce(sum(n_files), 0) FROM root_count WHERE root_id = ? AND presence = ?",
        (root.root_id, PRESENCE.number[Presence.SUSPECT]),
    )
    return int(rows[0][0])


def _believe(  # noqa: PLR0917 - what confirm_absences has found
    session: Session,
    root: Root,
    gone: list[int],
    proofs: dict[int, AbsenceProof],
    suspected: int,
    tally: Tally,
) -> None:
    """Record what is gone, unless it is a mass."""
    settings = session.settings
    recent = _recent(session, root)
    rule = MassRule(settings.mass_missing_share, settings.mass_missing_files)
    mass = rule.holds(max(len(gone), suspected) + recent, session.recorder.rows.living(root.root_id) + recent)
    # In a folder that was made anew, nothing that was in the old one is believed to be gone.
    if mass or session.roots.by_id(root.root_id).refounded_ms is not None:
        later = time.monotonic() + settings.poll_interval_seconds
        for file_id in gone:
            session.suspects[file_id].next_look = later
            session.suspects[file_id].held = True
        held = sum(each.held for each in session.suspects.values() if each.row.root_id == root.root_id)
        _hold(session, root, held, tally)
        return
    _hold(session, root, 0, tally)
    for file_id in gone:
        suspect = session.suspects.pop(file_id)
        reason = suspect.reason if suspect.reason not in ("", "gone") else proofs[file_id].reason
        if session.recorder.missing(suspect.row, reason):
            tally.missing += 1
            session.losses[root.root_id].number += 1


def _recent(session: Session, root: Root) -> int:
    """Files that went missing within the last hour and were not accepted as lost. While absences are held back:
    within the hour before that began, and since, so that a mass is not let through piece by piece. What an admin
    has confirmed, or knew of when he did, is no part of a mass any more."""
    known = session.losses.get(root.root_id)
    if known is None or time.monotonic() - known.counted >= COUNT_SECONDS:
        known = session.losses[root.root_id] = Losses(_count_losses(session, root), time.monotonic())
    return known.number


def _count_losses(session: Session, root: Root) -> int:
    batch = session.recorder.batch
    hour = round(MASS_SECONDS * 1000)
    since = now_ms() - hour
    if batch.question("SELECT 1 FROM root WHERE root_id = ? AND n_held > 0", (root.root_id,)):
        began = batch.question(
            "SELECT at_ms FROM event WHERE kind = ? AND root_id = ? ORDER BY event_id DESC LIMIT 1",
            (EVENT_KIND.number[EventKind.HELD], root.root_id),
        )
        since = min([since, *(row[0] - hour for row in began)])
    confirmed_ms = session.roots.by_id(root.root_id).confirmed_ms
    if confirmed_ms is not None:
        since = max(since, confirmed_ms + 1)
    rows = batch.question(
        "SELECT count(*) FROM file WHERE root_id = ? AND presence = 3 AND state_since_ms >= ?"
        " AND retired_ms IS NULL AND (presence <> 1 OR outcome IN (0, 2, 3))",
        (root.root_id, since),
    )
    return int(rows[0][0])


def _cannot_tell(session: Session, suspect: Suspect) -> None:
    """Its folder cannot be listed, or the like: it stays a suspect, and is not asked about all the time."""
    suspect.next_look = time.monotonic() + session.settings.poll_interval_seconds


def _found_again(session: Session, suspect: Suspect, tally: Tally) -> None:
    """It is there after all: inspected like any other path, once; whoever flickers stays a suspect. What is not
    selected any more is left as it is."""
    row = suspect.row
    current = session.recorder.rows.find(row.file_id)
    if current is None or current.path != row.path or current.presence is Presence.MISSING:
        session.suspects.pop(row.file_id, None)
        return
    verdict = session.selection.verdict_of_path(row.path)
    if isinstance(verdict, Ignored):
        session.suspects.pop(row.file_id, None)
        session.recorder.still_there(row)
    elif not suspect.looked_again:
        suspect.looked_again = True
        session.submit(Job(row.root_id, row.path, row.size, verdict.decode), Plan(tally))
    else:
        _cannot_tell(session, suspect)


def _hold(session: Session, root: Root, held: int, tally: Tally) -> None:
    """Show how many absences wait for an admin; an alarm event when it begins."""
    tally.held_missing = held
    before = session.recorder.batch.question("SELECT n_held FROM root WHERE root_id = ?", (root.root_id,))
    if before[0][0] == held:
        return
    session.roots.set_held(root.root_id, held)
    if held and not before[0][0]:
        log.warning(
            "share %s: %s not there any more; held back until somebody confirms it",
            root.name,
            counted(held, "file is", "files are"),
        )
        session.recorder.batch.event(
            EventKind.HELD, at_ms=now_ms(), root_id=root.root_id, detail={"files": held}
        )
    session.commit()
