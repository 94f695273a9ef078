"""``catalog doctor``: can this machine do the job, and can its checksums be trusted?

Needs no catalogue; with one, its shares and its epoch are looked at, too. Writes nothing anywhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from catalog.config import Settings
from catalog.errors import CatalogError, NoCatalogue, WorkerFailed
from catalog.inspection.alone import ask as ask_worker
from catalog.record.epochs import current_epoch, waiting
from catalog.service.doctor_machine import (
    Check,
    Folders,
    State,
    check_clock,
    check_events,
    check_instances,
    check_landlock,
    check_memory,
    check_place,
    check_sqlite,
    check_watches,
    inotify_limit,
    queued_events,
    watches_in_use,
)
from catalog.service.shares import identity_of
from catalog.store.engine import open_reader
from catalog.store.migration import check_current
from catalog.terms import SPEC_VERSION, RootState, Toolchain, WatchMode, counted, printable
from catalog.watch.guard import ShareGuard
from catalog.watch.mounts import mount_of, watch_mode
from catalog.watch.selection import Selection
from catalog.watch.walk import walk

COUNT_SECONDS: Final = 60.0
"""Time for counting the folders of one share."""


@dataclass(frozen=True, slots=True)
class Share:
    """A folder that is, or is to be, a share."""

    name: str
    path: bytes
    identity: str | None = None
    """As the record keeps it; None when it is not registered."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalogue says of the machine's job."""

    shares: tuple[Share, ...] = ()
    newest_event_ms: int | None = None
    daemon_pid: int | None = None
    checks: tuple[Check, ...] = ()


@dataclass(slots=True)
class Diagnosis:
    checks: list[Check] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return any(check.state is State.FAILED for check in self.checks)

    def document(self) -> dict[str, Any]:
        """The JSON fields of ``catalog doctor --json``."""
        states = [check.state for check in self.checks]
        return {
            "checks": [check.fields() for check in self.checks],
            "summary": {state.value: states.count(state) for state in State},
        }


def examine(database: str, settings: Settings, folders: Sequence[bytes] = ()) -> Diagnosis:
    """All checks, whatever fails on the way. ``folders``: shares to be, absolute, without symbolic links."""
    diagnosis = Diagnosis()
    found = diagnosis.checks
    proof, epoch = _proof(settings)
    found += proof
    known = _known(database, epoch)
    found += [*known.checks, *check_place(database), check_sqlite()]
    registered = {share.path for share in known.shares}
    named = [Share(printable(path), path) for path in folders if path not in registered]
    watched: list[Folders] = []
    for share in (*known.shares, *named):
        check, counted_folders = _share(share, settings)
        found.append(check)
        if counted_folders is not None:
            watched.append(counted_folders)
    in_use = watches_in_use(known.daemon_pid) if watched else 0
    found.append(check_watches(watched, inotify_limit("watches"), in_use))
    found.append(check_instances(len(watched), inotify_limit("instances")))
    found.append(check_events(sum(each.number for each in watched), queued_events()))
    found.append(check_landlock())
    found.append(check_memory(settings.workers))
    found.append(check_clock(time.time(), known.newest_event_ms))
    return diagnosis


def _proof(settings: Settings) -> tuple[list[Check], bytes | None]:
    """The checks of the decoders, made by a decode worker under its usual limits; and the epoch."""
    name = "decode workers"
    advice = "reinstall pixel-catalog and what it depends on"
    try:
        document, _ = ask_worker("proof", (), settings.limits)
    except WorkerFailed as error:
        return [Check(name, State.FAILED, str(error), advice)], None
    checks = document.get("checks")
    if checks is None:
        return [Check(name, State.FAILED, document["reason"] or "no answer", advice)], None
    found = [Check(each["name"], State(each["state"]), each["what"], each["advice"]) for each in checks]
    epoch = next((bytes.fromhex(each["epoch"]) for each in checks if "epoch" in each), None)
    return found, epoch


# ------------------------------------------------------------------------------------------- the catalogue


def _known(database: str, epoch: bytes | None) -> Known:
    """What is recorded; a catalogue that cannot be read is a finding."""
    try:
        with closing(open_reader(database)) as reader:
            check_current(reader, database)
            reader.execute("BEGIN")

            def ask(sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
                return reader.execute(sql, parameters).fetchall()

            shares = ask("SELECT name, path, identity FROM root WHERE state <> 3 ORDER BY name")
            newest = ask("SELECT max(at_ms) FROM (SELECT at_ms FROM event ORDER BY event_id DESC LIMIT 1)")
            daemon = ask("SELECT pid FROM daemon")
            return Known(
                tuple(Share(*row) for row in shares),
                newest[0][0],
                daemon[0][0] if daemon else None,
                tuple(_epoch_of(ask, epoch)),
            )
    except NoCatalogue:
        return Known()
    except CatalogError as error:
        return Known(checks=(Check("catalogue", State.FAILED, error.what, error.hint),))


def _epoch_of(ask: Any, epoch: bytes | None) -> Iterator[Check]:
    if epoch is None:
        return
    epoch_id, _ = current_epoch(ask, Toolchain(SPEC_VERSION, epoch, ()))
    files = sum(each.compared for each in waiting(ask, epoch_id).values())
    name = "digests in the catalogue"
    if files:
        what = f"{counted(files, 'lossy file was', 'lossy files were')} decoded by decoders that gave other samples"
        yield Check(name, State.WARNING, what, "look at them again with: catalog db rebase")
    else:
        yield Check(name, State.OK, "those of lossy files are of this epoch")


# ---------------------------------------------------------------------------------------------- the shares


def _share(share: Share, settings: Settings) -> tuple[Check, Folders | None]:
    """Whether a share can be watched, and how many of its folders want a watch (None: it is polled)."""
    name = f"share {share.name}"
    shown = printable(share.path)
    guard = ShareGuard(share.path, identity_of(share.identity) if share.identity else None)
    with closing(guard):
        state = guard.check(settings.guard_deadline_seconds)
    if state.state is not RootState.ONLINE:
        advice = "mount it; until then its files are kept as they were"
        return Check(name, State.FAILED, f"{shown}: {state.state.value}: {state.reason}", advice), None
    mount = mount_of(share.path)
    fstype = mount.fstype if mount is not None else "unknown"
    mode, why = watch_mode(fstype)
    if settings.watch_mode != "auto":
        mode, why = WatchMode(settings.watch_mode), "set by watch_mode"
    readable = os.access(share.path, os.R_OK | os.X_OK)
    if not readable:
        return Check(name, State.FAILED, f"{shown}: this user may not list it", "grant read permission"), None
    if mode is WatchMode.POLL:
        advice = f"changes are seen within poll_interval_seconds ({settings.poll_interval_seconds:g} s)"
        return Check(name, State.WARNING, f"{shown}: {fstype}, polled: {why}", advice), None
    folders, unlisted = _count(share, settings)
    words = f"{shown}: {fstype}, {counted(folders.number, 'folder')}"
    if unlisted:
        what = f"{words}, {counted(unlisted, 'folder')} cannot be listed"
        return Check(name, State.WARNING, what, "grant read permission, or exclude them"), folders
    if mode is WatchMode.BOTH:
        advice = f"changes of other machines are seen within {settings.poll_interval_seconds:g} s"
        return Check(name, State.WARNING, f"{words}, watched and polled: {why}", advice), folders
    return Check(name, State.OK, f"{words}, {why}"), folders


def _count(share: Share, settings: Settings) -> tuple[Folders, int]:
    """(folders that want a watch, those that cannot be listed)."""
    selection = Selection(
        extensions=settings.extensions,
        include=settings.include,
        exclude=settings.exclude,
        follow_links=settings.follow_links,
    )
    number = unlisted = 0
    deadline = time.monotonic() + COUNT_SECONDS
    for listing in walk(share.path, selection):
        number += 1
        unlisted += listing.error is not None
        if time.monotonic() > deadline:
            return Folders(share.name, number, whole=False), unlisted
    return Folders(share.name, number), unlisted
