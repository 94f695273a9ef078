"""What this machine offers, judged: kernel limits, file systems, disk, memory, clock. Each check is a value."""

from __future__ import annotations

import glob
import os
import re
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import catalog
from catalog.sandbox import landlock_abi
from catalog.terms import counted, human_size, iso, joined, printable
from catalog.watch.mounts import is_network, mount_of

WATCHES_WANTED: Final = 1_048_576
EVENTS_WANTED: Final = 16_384
EVENTS_BETTER: Final = 131_072
_MANY_FOLDERS: Final = 5_000
_SPARE_INSTANCES: Final = 2
_SQLITE_WANTED: Final = (3, 37)
_DISK_LEAST: Final = 200_000_000
_DISK_BETTER: Final = 2_000_000_000
_MEMORY_WANTED: Final = 512_000_000
"""Bytes a worker: a scan of 50 megapixels in 16 bits, its view and what a decoder needs besides."""
_MONTHS: Final = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_SYSCTL: Final = "/etc/sysctl.d/60-catalog.conf"


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One question about this machine: what was found, and what to do when it is not well."""

    name: str
    state: State
    what: str
    advice: str = ""

    def fields(self) -> dict[str, Any]:
        return {"name": self.name, "state": self.state.value, "what": self.what, "advice": self.advice}


@dataclass(frozen=True, slots=True)
class Folders:
    """How many folders of one share want a watch."""

    share: str
    number: int
    whole: bool = True
    """False: there was no time to count all of them."""


# ------------------------------------------------------------------------------------------------- inotify


def inotify_limit(name: str, proc: str = "/proc") -> int | None:
    """A limit of this user, here: ``watches`` or ``instances``, the lower of the machine's and the namespace's."""
    found = [
        _number(f"{proc}/sys/fs/inotify/max_user_{name}"),
        _number(f"{proc}/sys/user/max_inotify_{name}"),
    ]
    return min((number for number in found if number is not None), default=None)


def watches_in_use(apart_from: int | None = None) -> int:
    """inotify watches of this user's processes, but for one process; as far as /proc shows them."""
    total = 0
    for folder in glob.glob("/proc/[0-9]*"):
        with suppress(OSError):
            if os.stat(folder).st_uid != os.getuid() or folder == f"/proc/{apart_from}":
                continue
            for descriptor in os.listdir(f"{folder}/fd"):
                with suppress(OSError):
                    if os.readlink(f"{folder}/fd/{descriptor}") == "anon_inode:inotify":
                        with open(f"{folder}/fdinfo/{descriptor}", "rb") as stream:
                            total += stream.read().count(b"inotify wd:")
    return total


def check_watches(shares: Sequence[Folders], limit: int | None, in_use: int) -> Check:
    """Whether each folder can have its watch."""
    name = "inotify watches"
    if limit is None:
        return Check(
            name, State.FAILED, "this kernel has no inotify", "shares must be polled: watch_mode = poll"
        )
    wanted = sum(each.number for each in shares)
    several = "" if all(each.whole for each in shares) else "at least "
    per_share = joined(f"{each.share} {each.number:,}" for each in shares)
    raise_it = f"in {_SYSCTL}: fs.inotify.max_user_watches = {max(WATCHES_WANTED, 2 * wanted)}; then: sysctl --system"
    if not shares:
        state = State.OK if limit >= EVENTS_WANTED else State.WARNING
        return Check(
            name, state, f"{limit:,} are allowed, one for each folder", "" if state is State.OK else raise_it
        )
    what = f"{several}{counted(wanted, 'folder')} ({per_share}), {limit:,} watches are allowed"
    if wanted > limit:
        what += f": {wanted - limit:,} folders would go unwatched, and be polled"
        return Check(name, State.FAILED, what, raise_it)
    if wanted > limit - in_use:
        what += f", and other programs of this user hold {in_use:,}"
        return Check(name, State.WARNING, what, raise_it)
    if 2 * wanted > limit:
        return Check(name, State.WARNING, f"{what}: little room to grow", raise_it)
    return Check(name, State.OK, what)


def check_instances(shares: int, limit: int | None) -> Check:
    name = "inotify instances"
    if limit is None:
        return Check(
            name, State.FAILED, "this kernel has no inotify", "shares must be polled: watch_mode = poll"
        )
    wanted = shares + _SPARE_INSTANCES
    advice = f"in {_SYSCTL}: fs.inotify.max_user_instances = {max(1024, 4 * wanted)}; then: sysctl --system"
    what = f"{limit:,} are allowed, {counted(shares, 'share')} may want one each"
    if limit < wanted:
        return Check(name, State.FAILED, what, advice)
    return Check(name, State.OK, what)


def check_events(folders: int, limit: int | None) -> Check:
    """The queue of events: when it overflows nothing is lost, but everything is looked at again."""
    name = "inotify queue"
    advice = f"in {_SYSCTL}: fs.inotify.max_queued_events = {EVENTS_BETTER}; then: sysctl --system"
    if limit is None:
        return Check(
            name, State.FAILED, "this kernel has no inotify", "shares must be polled: watch_mode = poll"
        )
    what = f"{limit:,} events may wait"
    if limit < EVENTS_WANTED or (folders > _MANY_FOLDERS and limit < EVENTS_BETTER):
        return Check(
            name, State.WARNING, f"{what}: a burst of changes makes a whole share be walked again", advice
        )
    return Check(name, State.OK, what)


def queued_events(proc: str = "/proc") -> int | None:
    return _number(f"{proc}/sys/fs/inotify/max_queued_events")


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return None


# ---------------------------------------------------------------------------------------- place of the database


def check_place(database: str) -> list[Check]:
    """File system, permission and free space of the place where the catalogue is, or would be."""
    wanted = os.path.realpath(os.fsencode(os.path.dirname(os.path.abspath(database))))
    folder = wanted
    while not os.path.isdir(folder) and folder != b"/":
        folder = os.path.dirname(folder)
    shown = printable(database)
    mount = mount_of(folder)
    fstype = mount.fstype if mount is not None else "unknown"
    elsewhere = "put it on a local disk with --database PATH; the shares may be on the network"
    checks = [
        Check("database file system", State.FAILED, f"{shown}: {fstype} is a network file system", elsewhere)
        if is_network(fstype)
        else Check("database file system", State.OK, f"{shown}: {fstype}, local"),
        _permission(database, folder, shown),
    ]
    usage = shutil.disk_usage(folder)
    room = "a catalogue takes about 1 kB for each file, and as much again while it is backed up or migrated"
    what = f"{human_size(usage.free)} free of {human_size(usage.total)}"
    state = (
        State.FAILED if usage.free < _DISK_LEAST else State.WARNING if usage.free < _DISK_BETTER else State.OK
    )
    checks.append(Check("database disk space", state, what, "" if state is State.OK else room))
    return checks


def _permission(database: str, folder: bytes, shown: str) -> Check:
    name = "database permission"
    where = printable(folder)
    may_make = os.access(folder, os.W_OK | os.X_OK)
    if os.path.exists(database):
        if may_make and os.access(database, os.R_OK | os.W_OK):
            return Check(name, State.OK, f"this user may change {shown}")
        owner = "run scan, watch and accept as the user who owns it"
        if os.access(database, os.R_OK):
            return Check(name, State.WARNING, f"this user may ask {shown}, but not change it", owner)
        return Check(name, State.FAILED, f"this user may not read {shown}", owner)
    if may_make:
        return Check(name, State.OK, f"no catalogue yet; this user may make it in {where}")
    return Check(
        name, State.FAILED, f"this user may not write in {where}", "name another place with --database PATH"
    )


def check_sqlite() -> Check:
    found = sqlite3.sqlite_version_info
    if found < _SQLITE_WANTED:
        what = f"{sqlite3.sqlite_version}: STRICT tables need 3.37"
        return Check("SQLite", State.FAILED, what, "install a newer one")
    return Check("SQLite", State.OK, sqlite3.sqlite_version)


# ------------------------------------------------------------------------------------------------ the machine


def check_clock(now: float, newest_event_ms: int | None = None) -> Check:
    """Whether it can be as late as the clock says: not before the kernel, this program, or the last event."""
    name = "clock"
    advice = "set the clock (timedatectl set-ntp true) before anything is recorded: times are evidence"
    shown = iso(int(now * 1000)) or ""
    marks = [("this kernel was built", kernel_built()), ("this program was installed", _installed())]
    if newest_event_ms is not None:
        marks.append(("the newest event was recorded", newest_event_ms / 1000))
    for what, moment in marks:
        if moment is not None and now < moment - 1:
            return Check(name, State.FAILED, f"{shown}, but {what} on {iso(int(moment * 1000))}", advice)
    return Check(name, State.OK, shown)


def kernel_built(version: str | None = None) -> float | None:
    """When the kernel was built, as ``uname -v`` tells it; None when it does not."""
    words = os.uname().version if version is None else version
    iso_date = re.search(r"\((\d{4})-(\d\d)-(\d\d)\)", words)  # Debian
    found = re.search(r"\b(\w{3}) +(\d{1,2}) (\d\d:\d\d:\d\d) \S+ (\d{4})\b", words)
    with suppress(ValueError):
        if iso_date:
            year, month, day = (int(part) for part in iso_date.groups())
            return datetime(year, month, day, tzinfo=UTC).timestamp()
        if found and found[1] in _MONTHS:
            month = _MONTHS.index(found[1]) + 1
            return datetime(int(found[4]), month, int(found[2]), tzinfo=UTC).timestamp()
    return None


def _installed() -> float | None:
    try:
        return os.stat(catalog.__file__).st_mtime
    except OSError:
        return None


def check_landlock() -> Check:
    abi = landlock_abi()
    if abi is None:
        what = "this kernel has none: that nothing is written to a share is this program's word alone"
        return Check(
            "Landlock", State.WARNING, what, "mount shares read-only, or use the hardened systemd unit"
        )
    return Check("Landlock", State.OK, f"ABI {abi}: the kernel refuses every write to a share")


def check_memory(workers: int) -> Check:
    available = _available_memory()
    wanted = workers * _MEMORY_WANTED
    if available is None:
        return Check("memory", State.OK, "unknown")
    what = f"{human_size(available)} available for {counted(workers, 'decode worker')}"
    if available < wanted:
        advice = (
            f"images of 50 megapixels may not decode: set workers = {max(1, available // _MEMORY_WANTED)}"
        )
        return Check("memory", State.WARNING, what, advice)
    return Check("memory", State.OK, what)


def _available_memory() -> int | None:
    found = None
    with suppress(OSError, ValueError), open("/proc/meminfo", "rb") as stream:
        line = next(line for line in stream if line.startswith(b"MemAvailable:"))
        found = int(line.split()[1]) * 1024
    with suppress(OSError, ValueError), open("/sys/fs/cgroup/memory.max", encoding="ascii") as stream:
        limit = int(stream.read())
        found = limit if found is None else min(found, limit)
    return found
