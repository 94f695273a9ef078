"""What passes between the stages: hint, job, inspection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum

from catalog.terms.images import Analysis


@dataclass(frozen=True, slots=True)
class Stat:
    """What ``lstat`` says of a file, as far as the record needs it. ``inode`` is the kernel's u64."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    dev: int
    nlink: int
    allocated: int
    """Bytes on disk (``st_blocks * 512``)."""

    @classmethod
    def of(cls, result: os.stat_result) -> Stat:
        return cls(
            result.st_size,
            result.st_mtime_ns,
            result.st_ctime_ns,
            result.st_ino,
            result.st_dev,
            result.st_nlink,
            result.st_blocks * 512,
        )


class Reason(StrEnum):
    """Why a path is to be inspected."""

    NEW = "new"
    ALTERED = "altered"
    EVENT = "event"
    RETRY = "retry"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Change:
    """One coalesced hint: look at this path (watch → backlog). The disk is the truth, not the hint."""

    root_id: int
    path: bytes
    """Relative to the root, no leading slash."""
    reason: Reason
    subtree: bool = False
    """Look at everything below, too (directory events)."""


@dataclass(frozen=True, slots=True)
class Job:
    """One path for inspection (backlog → inspection)."""

    root_id: int
    path: bytes
    """Relative to the root."""
    size_hint: int
    """From the walk; decides how files are batched, nothing else."""
    decode: bool = True
    """False for files that ``--include`` added: raw checksums only."""
    generation: int = 0
    """Of the durable queue's row; 0 for a walk, which needs no row (it would find the file again)."""
    attempts: int = 0
    uncached: bool = False
    """Drop the file from the page cache first: what the disk holds is in question, not what the RAM holds."""
    check: bool = False
    """The sha256 alone is wanted, to be compared with the record: no md5, nothing is kept or decoded."""


class FailureKind(StrEnum):
    GONE = "gone"
    """Vanished, or no longer a regular file, between the hint and the look."""
    MOVING = "moving"
    """Changed while it was read: thrown away, to be tried again."""
    UNREADABLE = "unreadable"
    """open or read failed, with errno."""


@dataclass(frozen=True, slots=True)
class Failure:
    kind: FailureKind
    reason: str
    errno: int | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """One complete look at one file (inspection → record).

    Exactly one of these holds: ``failure`` is set (nothing is known of the bytes) or ``sha256`` and ``md5``
    are set (a ``job.check`` has no md5). ``analysis`` is None when the parent knew the content already or
    ``job.decode`` was False.
    A decoder's crash, hang or bomb is an ``analysis`` of fidelity undecodable with the reason.
    """

    job: Job
    stat: Stat | None
    sha256: bytes | None = None
    md5: bytes | None = None
    analysis: Analysis | None = None
    failure: Failure | None = None
    started_ms: int = 0
    seconds: float = 0.0
