"""Compare what a walk sees with what the record knows, and prove absences.

Pure, but for ``recheck_absence``.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from catalog.watch.mounts import TRUSTED, MountTrust, borders_below
from catalog.watch.walk import Listing, Look, joined_path, walk_key


class KnownFile(NamedTuple):
    """What the record knows of a file. The four stat fields are those of its last inspection, or None."""

    file_id: int
    size: int | None
    mtime_ns: int | None
    ctime_ns: int | None
    inode: int | None
    """Unsigned, as the kernel gives it."""


@dataclass(slots=True)
class Differences:
    """One folder's walk against the record. Names are those of the folder."""

    new: list[tuple[bytes, Look]] = field(default_factory=list)
    altered: list[tuple[bytes, KnownFile, Look]] = field(default_factory=list)
    unchanged: int = 0
    vanished: list[tuple[bytes, KnownFile]] = field(default_factory=list)
    """Known, and not in a clean listing: suspects. Absence still needs its proof (``recheck_absence``)."""
    unknown: list[tuple[bytes, KnownFile]] = field(default_factory=list)
    """Known, not seen, and the listing (or this name's look) failed: nothing may be concluded."""


def compare(listing: Listing, known: Mapping[bytes, KnownFile], trust: MountTrust = TRUSTED) -> Differences:
    """Which files of this folder are new, altered, unchanged, vanished.

    Any difference of size, mtime_ns, ctime_ns or inode is work; fields that the mount does not keep take
    no part. Stamps that the server cut down later (a value and the same one rounded down to the mount's
    granularity) count as equal.
    """
    differences = Differences()
    entries, get = listing.entries, known.get
    new, altered = differences.new, differences.altered
    if trust.inode_trusted and trust.ctime_compared and trust.mtime_granularity_ns <= 1:
        for name, look in entries.items():
            row = get(name)
            if row is None:
                new.append((name, look))
            elif row[1:5] != look:
                altered.append((name, row, look))
    else:
        for name, look in entries.items():
            row = get(name)
            if row is None:
                new.append((name, look))
            elif not same_look(row, look, trust):
                altered.append((name, row, look))
    differences.unchanged = len(entries) - len(new) - len(altered)
    if len(known) > differences.unchanged + len(altered):
        for name, row in known.items():
            if name not in entries:
                lost = (
                    differences.vanished
                    if listing.clean and name not in listing.unknown
                    else differences.unknown
                )
                lost.append((name, row))
    return differences


def same_look(known: KnownFile, look: Look, trust: MountTrust) -> bool:
    """Whether the fields that this mount keeps say that nobody touched the file."""
    size, mtime_ns, ctime_ns, inode = look
    step = trust.mtime_granularity_ns
    return (
        known[1] == size
        and _same_stamp(known[2], mtime_ns, step)
        and (not trust.ctime_compared or _same_stamp(known[3], ctime_ns, step))
        and (not trust.inode_trusted or known[4] == inode)
    )


def _same_stamp(known: int | None, seen: int, step: int) -> bool:
    if known == seen:
        return True
    if known is None or step <= 1:
        return False
    return known == seen // step * step or seen == known // step * step


RACY_NS: Final = 20_000_000
"""How far apart two writes may be and still get one stamp on a local disk (a tick of 10 ms, twice)."""


def racy_until_ns(look: Look, trust: MountTrust = TRUSTED) -> int:
    """The wall clock (ns) until which a rewrite of the same size could leave the same stamps behind.

    A reading begun before that proves nothing about the stamps: look again later (git's racy rule). An
    mtime in the future does not count where ctime is kept, for a rewrite would pull ctime to now.
    """
    stamp = look[2] if trust.ctime_trusted else look[1]
    return stamp + max(RACY_NS, trust.mtime_granularity_ns)


def racy_seconds(look: Look, began_ns: int, now_ns: int, trust: MountTrust = TRUSTED) -> float | None:
    """How long to wait before another reading proves something of the stamps; None when this one does.

    ``began_ns``: the wall clock when the reading began. Never longer than one step of the stamps: one that
    lies further ahead was made by another clock, or set by hand, and a rewrite would not leave it behind.
    """
    until = racy_until_ns(look, trust)
    if began_ns >= until:
        return None
    step = max(RACY_NS, trust.mtime_granularity_ns)
    return min(max(0, until - now_ns), step) / 1e9 + 0.01


class Coverage:
    """Which known folders a finished walk has accounted for: streams, keeps one entry a folder."""

    def __init__(self, start: bytes = b"", after: bytes | None = None) -> None:
        self._start = start
        self._after = walk_key(after) if after is not None else None
        self._seen: dict[bytes, frozenset[bytes] | None] = {}
        """The folders in a listed folder; None if it could not be listed to its end."""

    def add(self, listing: Listing) -> None:
        """Take note of a listing that the walk gave."""
        there = frozenset((*listing.subdirs, *listing.mounts, *listing.unknown))
        self._seen[listing.path] = there if listing.clean else None

    def listed(self, folder: bytes) -> bool:
        return folder in self._seen

    def gone(self, folder: bytes) -> bool:
        """Whether a known folder was shown not to be there any more, by the clean listing of one above it.

        False for listed folders and for everything below what could not be listed, is another mount, or
        lies outside this walk's part of the tree.
        """
        if folder in self._seen or (self._after is not None and walk_key(folder) <= self._after):
            return False
        below = folder
        while below and below != self._start:
            above, _, name = below.rpartition(b"/")
            if above in self._seen:
                seen = self._seen[above]
                return seen is not None and name not in seen
            below = above
        return False


_THERE: Final = "it is there"


@dataclass(frozen=True, slots=True)
class AbsenceProof:
    """The second look at one path. ``absent`` only when it was shown; ``reason`` in words."""

    path: bytes
    absent: bool
    reason: str

    @property
    def there(self) -> bool:
        """Seen again as a regular file: worth an inspection. (Not absent and not there: unknown.)"""
        return self.reason == _THERE


def recheck_absence(
    root: bytes,
    paths: Iterable[bytes],
    *,
    lost: frozenset[bytes] = frozenset(),
    cross_devices: bool = False,
    follow_links: bool = False,
) -> list[AbsenceProof]:
    """Look again, now, at each relative path: ``lstat`` finds nothing *and* its folder lists without it.

    The nearest folder above that still exists must list to its end without error; every failure (EACCES,
    EIO, ESTALE, a mount in between …) leaves the absence unproven. Does not judge the root itself: the
    share guard must be asked before and after. ``lost`` and ``cross_devices`` as in ``walk``.
    ``follow_links``: a link to a file is that file, as for a walk that follows them; one that leads
    nowhere proves nothing (what it leads to may be away).
    Raises nothing of the file system.
    """
    return list(
        absence_proofs(root, paths, lost=lost, cross_devices=cross_devices, follow_links=follow_links)
    )


def absence_proofs(
    root: bytes,
    paths: Iterable[bytes],
    *,
    lost: frozenset[bytes] = frozenset(),
    cross_devices: bool = False,
    follow_links: bool = False,
) -> Iterator[AbsenceProof]:
    """``recheck_absence``, one proof at a time: each folder is listed once for all of them."""
    listings: dict[bytes, frozenset[bytes] | OSError] = {}
    borders = frozenset() if cross_devices else borders_below(root)
    borders = borders.union(os.path.join(root, path) for path in lost)
    look = os.stat if follow_links else os.lstat
    for path in paths:
        yield _recheck(root, path, listings, borders, look)


def _recheck(  # noqa: PLR0911 - each way down that ends has its own reason
    root: bytes,
    path: bytes,
    listings: dict[bytes, frozenset[bytes] | OSError],
    borders: frozenset[bytes],
    look_at: Callable[[bytes], os.stat_result],
) -> AbsenceProof:
    folder = b""
    for name in path.split(b"/"):
        if folder and os.path.join(root, folder) in borders:
            return AbsenceProof(path, False, "it lies below the border of another file system")
        names = listings.get(folder)
        if names is None:
            names = listings[folder] = _names(os.path.join(root, folder) if folder else root)
        if isinstance(names, OSError):
            return AbsenceProof(path, False, f"its folder cannot be listed: {names.strerror or names}")
        here = joined_path(folder, name)
        try:
            look = look_at(os.path.join(root, here))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                return AbsenceProof(path, False, f"cannot be looked at: {error.strerror}")
            if name in names:
                return AbsenceProof(path, False, "listed, but not to be found")
            return AbsenceProof(path, True, "gone" if here == path else "gone with its folder")
        if name not in names:
            return _other_spelling(path, name, names)
        if stat.S_ISLNK(look.st_mode) and not _leads_nowhere(os.path.join(root, path)):
            # Recorded while links were followed: nobody deleted it.
            return AbsenceProof(path, False, "it is behind a symbolic link, which is not followed")
        if here != path and not stat.S_ISDIR(look.st_mode):
            what = "a symbolic link" if stat.S_ISLNK(look.st_mode) else "a file"
            return AbsenceProof(path, True, f"its folder is now {what}")
        folder = here
    if stat.S_ISREG(look.st_mode):
        return AbsenceProof(path, False, _THERE)
    what = (
        "a folder"
        if stat.S_ISDIR(look.st_mode)
        else "a symbolic link"
        if stat.S_ISLNK(look.st_mode)
        else "special"
    )
    return AbsenceProof(path, True, f"no file any more: it is {what}")


def _leads_nowhere(path: bytes) -> bool:
    """Whether a path through a link ends at nothing, for sure."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
    return False


def _names(folder: bytes) -> frozenset[bytes] | OSError:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except OSError as error:
        return error


def _other_spelling(path: bytes, name: bytes, names: frozenset[bytes]) -> AbsenceProof:
    """A file system that ignores case (or Unicode forms) finds the old name where the new one is."""
    folded = _folded(name)
    for other in names:
        if _folded(other) == folded:
            return AbsenceProof(path, True, f"now spelled {os.fsdecode(other)!r}")
    return AbsenceProof(path, False, "it is there, but was not listed")


def _folded(name: bytes) -> str:
    return unicodedata.normalize("NFC", os.fsdecode(name)).casefold()


@dataclass(frozen=True, slots=True)
class MassRule:
    """Too many files missing at once is held back until somebody confirms it."""

    share: float = 0.2
    files: int = 50

    def holds(self, missing: int, rows: int) -> bool:
        """True when more than ``files``, and more than ``share`` of a root's ``rows``, went in one pass."""
        return missing > self.files and missing > self.share * rows
