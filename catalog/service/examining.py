"""A path from the backlog: what is there now, and is it as recorded?"""

from __future__ import annotations

import errno
import os
import stat
from enum import Enum

from catalog.backlog import Due
from catalog.record import FileRow
from catalog.record.roots import Root
from catalog.service.news import News
from catalog.service.plans import Plan, Tally
from catalog.service.session import Session
from catalog.terms import Job, Outcome, Presence
from catalog.watch.reconcile import KnownFile, same_look
from catalog.watch.selection import Selected
from catalog.watch.sight import Seen
from catalog.watch.walk import Look


class Found(Enum):
    """What is at the path."""

    FILE = "a file, or nothing: it was dealt with"
    FOLDER = "a folder: whatever is below it is to be compared"
    TROUBLE = "an error: does the share still answer?"


def examine(
    session: Session, root: Root, due: Due, tally: Tally, borders: frozenset[bytes], *, news: News
) -> Found:
    """Have the path inspected if it is not as recorded, suspected if it is not there; else it is done with.

    ``borders``: absolute folders where another file system is mounted. Events come from there, walks do not go
    there, and the files are another share's. ``news``: what was heard of it.
    """
    path, absolute = due.path, os.path.join(root.path, due.path)
    if session.waiting_for(due.root_id, path):
        session.heard_more((due.root_id, path), news.freed)
        return Found.FILE
    if any(absolute.startswith(border + b"/") for border in borders):
        session.backlog.acknowledge(due)
        return Found.FILE
    row = session.recorder.rows.at(due.root_id, path)
    try:
        look = session.sight(due.root_id).stat(absolute, follow_links=session.follow_links)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            _not_there(session, due, row, "gone")
            return Found.FILE
        session.backlog.postpone(due, error.strerror or str(error))
        return Found.TROUBLE
    if stat.S_ISDIR(look.st_mode):
        _not_there(session, due, row, "it is a folder now")
        return Found.FOLDER
    verdict = session.selection.verdict_of_path(path)
    if not stat.S_ISREG(look.st_mode) or not isinstance(verdict, Selected):
        _not_there(session, due, row, "no regular file of a catalogued name any more")
    elif row is not None and _as_recorded(session, row, look):
        session.backlog.acknowledge(due)
    else:
        job = Job(due.root_id, path, look.st_size, verdict.decode, due.generation, due.attempts)
        seen = look.st_size, look.st_mtime_ns, look.st_ino
        plan = Plan(tally, due=due, heard=True, freed=news.freed, heard_at=news.since, look=seen)
        session.submit(job, plan)
    return Found.FILE


def _as_recorded(session: Session, row: FileRow, look: Seen) -> bool:
    if row.presence is not Presence.PRESENT or row.outcome in (Outcome.PENDING, Outcome.UNREADABLE):
        return False
    inode = row.inode + (1 << 64) if row.inode < 0 else row.inode
    known = KnownFile(row.file_id, row.size, row.mtime_ns, row.ctime_ns, inode)
    seen: Look = (look.st_size, look.st_mtime_ns, look.st_ctime_ns, look.st_ino)
    return same_look(known, seen, session.trust(row.root_id))


def _not_there(session: Session, due: Due, row: FileRow | None, reason: str) -> None:
    if row is not None:
        session.suspect(row, reason)
    session.backlog.acknowledge(due)
