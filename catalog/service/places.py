"""Where a recorded file was last seen: what is there now, as far as its share lets that be told."""

from __future__ import annotations

import errno
from enum import Enum
from typing import Final, Protocol

from catalog.record import FileRow, Recorder
from catalog.record.batch import signed
from catalog.service.walks import FileLook
from catalog.watch.mounts import MountTrust
from catalog.watch.sight import Sight

_GONE: Final = (errno.ENOENT, errno.ENOTDIR)


class Standing(Protocol):
    """What is known of the shares while their files are judged."""

    follow_links: bool
    patience_seconds: float
    """How long anything waits for what is under way beside it."""

    def inode_trusted(self, root_id: int) -> bool: ...

    def root_path(self, root_id: int) -> bytes: ...

    def trust(self, root_id: int) -> MountTrust: ...

    def walked_until(self, root_id: int) -> float:
        """The order before which no walk of this root began that may find what events have not told."""

    def compared_ms(self, root_id: int) -> int:
        """When the last complete comparison of a share began; 0 when there was none."""

    def unread(self) -> set[FileLook]:
        """Of the files that were seen, and are still to be read."""

    def share_there(self, root_id: int) -> bool:
        """Whether the share is surely there, now."""

    def sight(self, root_id: int) -> Sight:
        """How its paths are looked at."""

    def lost(self, root_id: int) -> frozenset[bytes]:
        """Relative paths below which nothing can be told: something was mounted there, and is not now."""


class Place(Enum):
    """What is at the path where a file was last seen."""

    SAME = "the same file"
    OTHER = "another file"
    GONE = "nothing"
    UNKNOWN = "cannot be looked at"


def place_of(row: FileRow, sight: Sight, *, inode_trusted: bool, follow_links: bool = False) -> Place:
    """Look at the recorded path of a file, now."""
    try:
        look = sight.stat(row.absolute, follow_links=follow_links)
    except OSError as error:
        gone = error.errno in _GONE and not (follow_links and _is_there(row.absolute, sight))
        return Place.GONE if gone else Place.UNKNOWN
    if inode_trusted and signed(look.st_ino) != row.inode:
        return Place.OTHER
    return Place.SAME


def _is_there(path: bytes, sight: Sight) -> bool:
    """A link that leads nowhere is there: what it leads to may be away."""
    try:
        sight.stat(path)
    except OSError as error:
        return error.errno not in _GONE
    return True


def holds(recorder: Recorder, row: FileRow, sha256: bytes) -> bool:
    """Whether the last recorded content of a file has this raw digest."""
    if row.content_id is None:
        return False
    stored = recorder.batch.question("SELECT sha256 FROM content WHERE content_id = ?", (row.content_id,))
    return bool(stored[0][0] == sha256)
