"""Absence needs proof: a second look, a share that is surely there, and a brake on masses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from catalog.record.batch import now_ms
from catalog.record.roots import Root
from catalog.service.plans import Plan, Suspect, Tally
from catalog.service.session import Session
from catalog.terms import EventKind, Job, counted
from catalog.watch.reconcile import MassRule, recheck_absence

log = logging.getLogger(__name__)


def confirm_absences(
    session: Session,
    root: Root,
    share_there: Callable[[], bool],
    tally: Tally,
    *,
    after_seconds: float = 0.0,
) -> int:
    """Give this root's suspects their second look, and record those that are proven gone.

    ``share_there`` asks the share guard; it must say yes before and after the look, or nothing is believed.
    ``after_seconds``: age of a suspicion before the second look. More absences at once than the mass rule
    allows are held until an admin confirms them. Returns the number that was recorded as missing.
    """
    settings = session.settings
    due = [
        suspect
        for suspect in session.suspects.values()
        if suspect.row.root_id == root.root_id and time.monotonic() - suspect.since >= after_seconds
    ]
    if not due:
        _hold(session, root, 0, tally)
        return 0
    if not share_there():
        return 0
    lost = session.lost_mounts.get(root.root_id, frozenset())
    proofs = {p.path: p for p in recheck_absence(root.path, [s.row.path for s in due], lost=lost)}
    if not share_there():
        return 0
    gone = [suspect for suspect in due if proofs[suspect.row.path].absent]
    for suspect in due:
        proof = proofs[suspect.row.path]
        if not proof.absent and proof.there:
            _look_again(session, suspect, tally)
    rule = MassRule(settings.mass_missing_share, settings.mass_missing_files)
    if rule.holds(len(gone), session.recorder.rows.living(root.root_id)):
        _hold(session, root, len(gone), tally)
        return 0
    _hold(session, root, 0, tally)
    for suspect in gone:
        reason = suspect.reason if suspect.reason not in ("", "gone") else proofs[suspect.row.path].reason
        session.recorder.missing(suspect.row, reason)
        session.suspects.pop(suspect.row.file_id, None)
        tally.missing += 1
    session.commit()
    return len(gone)


def _look_again(session: Session, suspect: Suspect, tally: Tally) -> None:
    """It is there after all: inspected like any other path, once; whoever flickers stays a suspect."""
    row = suspect.row
    if suspect.looked_again:
        return
    current = session.recorder.rows.by_id(row.file_id)
    if current.path != row.path or current.presence.value == "missing":
        session.suspects.pop(row.file_id, None)
        return
    suspect.looked_again = True
    session.submit(Job(row.root_id, row.path, row.size), Plan(tally))


def _hold(session: Session, root: Root, held: int, tally: Tally) -> None:
    """Show how many absences wait for an admin; an alarm event when it begins."""
    tally.held_missing = held
    before = session.recorder.batch.question("SELECT n_held FROM root WHERE root_id = ?", (root.root_id,))
    if before[0][0] == held:
        return
    session.roots.set_held(root.root_id, held)
    if held:
        log.warning(
            "share %s: %s not there any more; held back until somebody confirms it",
            root.name,
            counted(held, "file is", "files are"),
        )
        session.recorder.batch.event(
            EventKind.HELD, at_ms=now_ms(), root_id=root.root_id, detail={"files": held}
        )
    session.commit()
