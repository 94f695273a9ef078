"""The same share at another path: recognised by what is there, and known by all its history."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from catalog.errors import UsageError
from catalog.record.roots import Root, Roots, Sample
from catalog.service.shares import identity_of, identity_text
from catalog.terms import counted
from catalog.watch.guard import ShareIdentity, identify
from catalog.watch.mounts import probe

SAMPLE_FILES: Final = 200
READ_FILES: Final = 20
READ_BYTES: Final = 512 * 1024 * 1024
"""What is read at the most, of files whose times do not speak for them."""
ENOUGH: Final = 0.5
"""The part of the sample that must be there: a share may have changed since, another one has nothing of it."""


@dataclass(slots=True)
class Likeness:
    """How a folder compares with the record of a share."""

    how: str = ""
    """``marker``, ``folder`` (the very same one, on the same file system), ``files`` or ``empty`` (nothing is
    recorded)."""
    looked_at: int = 0
    same: int = 0
    differing: int = 0
    absent: int = 0
    unknown: int = 0
    """Could not be looked at."""
    unread: int = 0
    """There, of the size that is recorded and with times of their own; beyond what is read to compare bytes."""

    @property
    def alike(self) -> bool:
        """Whether it is the share."""
        if self.how in ("marker", "folder", "empty"):
            return True
        # A copy may have times of its own everywhere: those of its files that were read speak for the others.
        judged = self.looked_at - self.unread
        return self.how == "files" and self.same > 0 and self.same >= ENOUGH * judged

    def words(self) -> str:
        """``200 recorded files were looked for: 3 are there as recorded, 7 differ, 190 are not there``."""
        looked = counted(self.looked_at, "recorded file was", "recorded files were")
        unknown = f", {self.unknown:,} cannot be looked at" if self.unknown else ""
        unread = f", {self.unread:,} of the same size and not read" if self.unread else ""
        return (
            f"{looked} looked for: {self.same:,} there as recorded, {self.differing:,} different,"
            f" {self.absent:,} not there{unread}{unknown}"
        )

    def fields(self) -> dict[str, Any]:
        return {
            "recognised_by": self.how or None,
            "looked_at": self.looked_at,
            "same": self.same,
            "differing": self.differing,
            "absent": self.absent,
            "unknown": self.unknown,
            "unread": self.unread,
        }


def likeness(
    root: Root, sample: Iterable[Sample], path: bytes, seen: ShareIdentity, known: ShareIdentity | None
) -> Likeness:
    """Whether what is at ``path`` (``seen`` there) is the share that the record knows.

    By its marker, if it has one: then that alone decides. By file system and folder: the same share mounted
    elsewhere. Else by its files: size and mtime as recorded, or, where only the size is, the bytes of some.
    """
    found = Likeness()
    if root.marker is not None:
        if seen.marker == root.marker.encode():
            found.how = "marker"
            return found
    elif known is not None and _same_folder(known, seen):
        found.how = "folder"
        return found
    granularity = max(root.mtime_granularity_ns, probe(path).mtime_granularity_ns)
    budget = [READ_FILES, READ_BYTES]
    for each in sample:
        found.looked_at += 1
        word = _compared(os.path.join(path, each.path), each, granularity, budget)
        setattr(found, word, getattr(found, word) + 1)
    if root.marker is None:
        found.how = "files" if found.looked_at else "empty"
    return found


def _same_folder(known: ShareIdentity, seen: ShareIdentity) -> bool:
    """The very folder: the same file system by its id, and the inode of the root on it, of the same birth: the
    number of a folder that was deleted is handed out again."""
    return (
        known.fsid is not None
        and known.fsid == seen.fsid
        and known.root_inode is not None
        and known.root_inode == seen.root_inode
        and (None in (known.born_ns, seen.born_ns) or known.born_ns == seen.born_ns)
    )


def _compared(path: bytes, each: Sample, granularity_ns: int, budget: list[int]) -> str:
    try:
        look = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except OSError:
        return "unknown"
    if not stat.S_ISREG(look.st_mode) or look.st_size != each.size:
        return "differing"
    if abs(look.st_mtime_ns - each.mtime_ns) < granularity_ns:
        return "same"
    if each.sha256 is None or budget[0] < 1 or budget[1] < look.st_size:
        return "unread"
    budget[0] -= 1
    budget[1] -= look.st_size
    return _read_alike(path, each)


def _read_alike(path: bytes, each: Sample) -> str:
    """A copy may have times of its own: its bytes tell."""
    try:
        with open(path, "rb") as stream:
            return "same" if hashlib.file_digest(stream, "sha256").digest() == each.sha256 else "differing"
    except OSError:
        return "unknown"


def compared(roots: Roots, root: Root, path: bytes) -> tuple[Likeness, ShareIdentity]:
    """Look at a folder, in the place where the share is said to be. Raises NotFound when it cannot be seen."""
    known = identity_of(root.identity) if root.identity else None
    seen = identify(path)
    return likeness(root, roots.sample(root.root_id, SAMPLE_FILES), path, seen, known), seen


def relocate(
    roots: Roots,
    root: Root,
    path: bytes,
    found: Likeness,
    seen: ShareIdentity,
    *,
    actor: str | None,
    force: bool,
) -> Root:
    """Let the share be what is at ``path`` (absolute, without links) from now on; also at its present path, after
    its disk was replaced.

    Raises UsageError for a folder that does not look like the share, unless ``force`` says that it is, and for
    one in or around another share.
    """
    if not found.alike and not force:
        why = "its marker is another one, or there is none; " if root.marker is not None else ""
        raise UsageError(
            f"that does not look like the share {root.name}: {why}{found.words()}",
            hint="add --force if it is that share all the same",
        )
    detail = {**found.fields(), "forced": not found.alike}
    if not found.alike and root.marker is not None:
        roots.set_marker(root, None, actor)  # else it would never be online there
    return roots.relocate(root, path, identity_text(replace(seen, marker=None)), actor, detail)
