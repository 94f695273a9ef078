"""Put a backup in the place of the catalogue; what was there is kept aside, never overwritten."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from catalog.errors import Damaged, Locked, NotFound, NotPermitted, SchemaMismatch, UsageError
from catalog.store.checking import check
from catalog.store.copies import copy_into, partial_file, refuse_in_shares, sync_folder
from catalog.store.engine import connect_file, shown, translate, translated
from catalog.store.lock import CataloguingLock
from catalog.store.marks import APPLICATION_ID, SCHEMA_NUMBER
from catalog.store.migration import schema_number
from catalog.terms import printable

_WAIT_SECONDS: Final = 5.0
_NOTHING_CHANGED: Final = "nothing was changed; try an older backup"
_LOGS: Final = (b"-wal", b"-journal")
"""Left of a file that cannot be opened; beside another file they would spoil it."""


class Relation(StrEnum):
    """What the backup's chain is to that of the catalogue which it replaces."""

    FIRST = "first"
    """There was no catalogue."""
    SAME = "same"
    """Both end with the same seal."""
    ANCESTOR = "ancestor"
    """The backup's head is a seal of the catalogue: it is an older state of it."""
    NEWER = "newer"
    """The catalogue's head is a seal of the backup."""
    FORKED = "forked"
    """They begin with the same seals, and went apart."""
    UNRELATED = "unrelated"
    """They have no seal in common: the history of another catalogue."""
    UNKNOWN = "unknown"
    """The catalogue's chain cannot be read."""


@dataclass(frozen=True, slots=True)
class Lineage:
    relation: Relation
    backup_head: bytes | None
    former_head: bytes | None
    common_seal: int
    """The last seal that both hold; 0 when there is none."""
    only_former: int = 0
    """Events that only the catalogue has, which was replaced."""
    only_backup: int = 0


@dataclass(frozen=True, slots=True)
class Restored:
    replaced: str | None
    """Where the former catalogue is now."""
    lineage: Lineage
    schema: int


def restore(database: str, source: str, *, announce: Callable[[str], None] = lambda _: None) -> Restored:
    """Check a backup, then let a copy of it take the catalogue's place. The backup stays as it is.

    Raises NotFound, UsageError, Damaged (the backup; nothing was changed), SchemaMismatch, Locked while
    anybody has the catalogue open, NotPermitted, DatabaseFull.
    """
    _refuse_source(database, source)
    place = os.path.realpath(os.fsencode(database))
    try:
        os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
    except OSError as error:
        raise NotPermitted(f"cannot restore there: {shown(database)} ({error.strerror})") from error
    replaced: bytes | None = None
    # The stack is let go of last: nobody may write to the former file before the copy is in its place.
    with CataloguingLock(database, "db restore"), ExitStack() as held:
        former = _status(place)
        mode = 0o644 if former is None else former.st_mode & 0o777
        try:
            with partial_file(place, mode) as partial:
                schema = _checked_copy(source, partial, place, announce)
                _forget_daemon(partial)
                _give_to(partial, former, os.path.dirname(place))
                own = held.enter_context(_alone(place))
                copy = held.enter_context(closing(connect_file(os.fsdecode(partial), "immutable=1", 0)))
                lineage = _lineage(copy, own, exists=former is not None and former.st_size > 0)
                if former is not None:
                    replaced = _free_name(place)
                    _set_aside(place, replaced)
        except BaseException:
            if replaced is not None:
                _put_back(replaced, place)
            raise
    return Restored(None if replaced is None else os.fsdecode(replaced), lineage, schema)


def _status(place: bytes) -> os.stat_result | None:
    try:
        return os.stat(place)
    except FileNotFoundError:
        return None


def _refuse_source(database: str, source: str) -> None:
    name = printable(os.fsencode(source))
    try:
        status = os.stat(source)
    except FileNotFoundError as error:
        raise NotFound(f"no such backup: {name}") from error
    except OSError as error:
        raise NotPermitted(f"cannot read the backup: {name} ({error.strerror})") from error
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"this is no backup: {name}", hint="name a file that catalog db backup made")
    if os.path.exists(database) and os.path.samefile(source, database):
        raise UsageError(f"this is the catalogue itself: {name}", hint="name the file of a backup")


def _checked_copy(source: str, partial: bytes, place: bytes, announce: Callable[[str], None]) -> int:
    """Fill ``partial``, the very file that will be the catalogue, and look at everything in it; its schema.

    Raises Damaged unless it is sound in every way.
    """
    announce(f"copying {printable(os.fsencode(source))} …")
    # Opened so that no file is made beside the backup, unless a log with commits is there already.
    wal = _status(os.fsencode(f"{source}-wal"))
    mode = "mode=ro" if wal is not None and wal.st_size > 0 else "immutable=1"
    try:
        with translated(source), closing(connect_file(source, mode, _WAIT_SECONDS)) as backup:
            copy_into(backup, source, partial)
        with translated(source), closing(connect_file(os.fsdecode(partial), "immutable=1", 0)) as copy:
            number = schema_number(copy, source)
            if number == 0:
                raise UsageError(f"this is no backup: {shown(source)}", hint="it is an empty database")
            if number > SCHEMA_NUMBER:
                raise SchemaMismatch(
                    f"{shown(source)} has schema {number}, this program knows up to {SCHEMA_NUMBER}",
                    hint="install a newer pixel-catalog",
                )
            shares = [row[0] for row in copy.execute("SELECT path FROM root WHERE state <> 3")]
            refuse_in_shares(place, shares)
            report = check(copy, source, pages_only=number < SCHEMA_NUMBER, announce=announce)
    except Damaged as error:
        raise Damaged(f"the backup cannot be used: {error.what}", hint=_NOTHING_CHANGED) from error
    if not report.sound:
        first = report.findings[0]
        raise Damaged(
            f"the backup is damaged: {shown(source)} ({first.part.value}: {first.what})",
            hint=_NOTHING_CHANGED,
        )
    return number


def _forget_daemon(partial: bytes) -> None:
    """The daemon that ran while the backup was made does not run on this catalogue: nobody is to miss it."""
    name = os.fsdecode(partial)
    with translated(name), closing(connect_file(name, "mode=rw", _WAIT_SECONDS)) as copy:
        if copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'daemon'").fetchone():
            copy.execute("DELETE FROM daemon")


def _give_to(partial: bytes, former: os.stat_result | None, folder: bytes) -> None:
    """The service must be able to write the file that root has restored for it."""
    if os.geteuid() == 0:
        owner = former or os.stat(folder)
        os.chown(partial, owner.st_uid, owner.st_gid)


@contextmanager
def _alone(place: bytes) -> Iterator[sqlite3.Connection | None]:
    """The catalogue for us alone, its log folded into it; None when it is not there or cannot be read at all.

    Whoever waited for it meanwhile is refused by SQLite as soon as they write to the file that was moved.
    """
    name = os.fsdecode(place)
    if _status(place) is None:
        yield None
        return
    with ExitStack() as held:
        connection: sqlite3.Connection | None = None
        try:
            connection = held.enter_context(closing(connect_file(name, "mode=rw", _WAIT_SECONDS)))
            if connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0] != "delete":
                raise _in_use(name)
            connection.execute("BEGIN EXCLUSIVE")
            _refuse_foreign(connection, name)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise _in_use(name) from error
            if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise translate(error, name) or error from error
            if connection is not None and not connection.in_transaction:
                connection = None
        yield connection


def _refuse_foreign(connection: sqlite3.Connection, name: str) -> None:
    """Another program's database is nobody's former catalogue."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise Damaged(
            f"{shown(name)} is a database of another program", hint="choose another file with --database"
        )


def _in_use(name: str) -> Locked:
    return Locked(
        f"the catalogue is in use: {shown(name)}", hint="end the programs that have it open, and try again"
    )


def _free_name(place: bytes) -> bytes:
    """A name of this moment for the catalogue that was there."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name, number = place + b".replaced-" + moment.encode(), 2
    while os.path.lexists(name):
        name, number = place + f".replaced-{moment}-{number}".encode(), number + 1
    return name


def _set_aside(place: bytes, name: bytes) -> None:
    """Give the catalogue and what belongs to it a second name; the first one is taken by the copy."""
    try:
        os.link(place, name)
    except OSError:  # a file system without links: for a moment there is no catalogue
        os.rename(place, name)
    for ending in _LOGS:
        with suppress(FileNotFoundError):
            os.rename(place + ending, name + ending)
    with suppress(FileNotFoundError):
        os.unlink(place + b"-shm")
    sync_folder(os.path.dirname(place))


def _put_back(name: bytes, place: bytes) -> None:
    """The copy did not come to its place, or not for sure: everything is as it was."""
    with suppress(FileNotFoundError):
        os.replace(name, place)  # of two links to one file it takes none away …
    with suppress(FileNotFoundError):
        os.unlink(name)  # … so the second one goes now
    for ending in _LOGS:
        with suppress(FileNotFoundError):
            os.rename(name + ending, place + ending)


# -------------------------------------------------------------------------------------------------- lineage


def _lineage(backup: sqlite3.Connection, own: sqlite3.Connection | None, *, exists: bool) -> Lineage:
    """What the chains say. Raises nothing for a catalogue that cannot be read: that is an answer, too."""
    ours, events = _last(backup)
    if not exists:
        return Lineage(Relation.FIRST, ours[1], None, 0, 0, events)
    unknown = Lineage(Relation.UNKNOWN, ours[1], None, 0)
    if own is None:
        return unknown
    try:
        theirs, their_events = _last(own)
        common = _common(backup, own, min(ours[0], theirs[0]))
        shared = 0
        if common:
            sql = "SELECT last_event_id FROM seal WHERE seal_id = ?"
            shared = int(backup.execute(sql, (common,)).fetchone()[0])
    except (sqlite3.Error, TypeError, ValueError):
        return unknown
    if common == ours[0] == theirs[0]:
        relation = Relation.SAME
    elif common == ours[0]:
        relation = Relation.ANCESTOR
    elif common == theirs[0]:
        relation = Relation.NEWER
    else:
        relation = Relation.FORKED if common else Relation.UNRELATED
    return Lineage(relation, ours[1], theirs[1], common, their_events - shared, events - shared)


def _last(connection: sqlite3.Connection) -> tuple[tuple[int, bytes | None], int]:
    """((last seal, its chain value), last event); 0 and None before the first."""
    row = connection.execute("SELECT seal_id, chain FROM seal ORDER BY seal_id DESC LIMIT 1").fetchone()
    events = connection.execute("SELECT coalesce(max(event_id), 0) FROM event").fetchone()[0]
    return ((int(row[0]), bytes(row[1])) if row else (0, None)), int(events)


def _common(one: sqlite3.Connection, other: sqlite3.Connection, last: int) -> int:
    """The last seal that both hold: a chain value stands for everything before it, so halving finds it."""

    def chain(connection: sqlite3.Connection, seal_id: int) -> Any:
        row = connection.execute("SELECT chain FROM seal WHERE seal_id = ?", (seal_id,)).fetchone()
        return row[0] if row else None

    low, high = 0, last
    while low < high:
        middle = (low + high + 1) // 2
        if chain(one, middle) is not None and chain(one, middle) == chain(other, middle):
            low = middle
        else:
            high = middle - 1
    return low
