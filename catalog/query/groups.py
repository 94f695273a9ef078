"""Groups of duplicates as values: who is kept and why, what the others are to it, what could be freed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from catalog.query.scope import Root, Scope
from catalog.terms import Level, iso_ns, path_fields

_RELATIONS: Final = ("same bytes", "same pixels", "same on screen")


@dataclass(frozen=True, slots=True)
class Copy:
    """One name of a file in a group."""

    file_id: int
    root: Root
    folder: bytes
    name: bytes
    size: int
    allocated: int
    mtime_ns: int
    inode: int
    nlink: int
    content_id: int
    pixel_id: int | None
    view_id: int | None
    format: str | None
    compression: str | None
    orientation: int | None
    icc_sha256: bytes | None

    @property
    def path(self) -> bytes:
        return self.root.absolute(self.folder, self.name)

    @property
    def body(self) -> tuple[int, int]:
        """The same for all names (hard links) of one file on the disk."""
        return (self.root.root_id, self.inode) if self.nlink > 1 else (-1, self.file_id)


@dataclass(frozen=True, slots=True)
class Member:
    """A copy as its group sees it."""

    copy: Copy
    relation: str
    """``keep``, ``same bytes``, ``same pixels``, ``same on screen``: what it is to the kept one."""
    keep_reason: str | None
    """Of the kept one: the rule that chose it."""
    hard_link: bool
    """Another name of a file that stands in the group already: frees nothing."""
    redundant: bool
    """Not needed once the kept one is kept: neither it nor another name of it."""
    in_scope: bool = True
    """Among what was asked about; the others are shown because they belong to the group."""
    differs: tuple[str, ...] = ()
    """What does not show in the samples and differs from the kept one: ``tags``, ``colour profile``."""

    @property
    def keep(self) -> bool:
        return self.relation == "keep"

    def fields(self) -> dict[str, Any]:
        copy = self.copy
        return {
            "root": copy.root.name,
            **path_fields(copy.path),
            "size": copy.size,
            "keep": self.keep,
            "keep_reason": self.keep_reason,
            "relation": self.relation,
            "distance": None,
            "transform": None,
            "redundant": self.redundant,
            "hard_link": self.hard_link,
            "format": copy.format,
            "compression": copy.compression,
            "orientation": copy.orientation,
            "mtime": iso_ns(copy.mtime_ns),
            "in_scope": self.in_scope,
            "differs": list(self.differs),
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Files that are the same at ``level``; the kept one first, then what is nearest to it."""

    id: str
    """The digest that they share, as people read it."""
    level: Level
    members: tuple[Member, ...]
    reclaimable_bytes: int
    """Bytes on disk that all but the kept one occupy; hard links counted once, reflinks not known of."""

    @property
    def bodies(self) -> int:
        """Files on disk: hard links counted once."""
        return len({member.copy.body for member in self.members})

    @property
    def redundant(self) -> tuple[Member, ...]:
        """All names of all files but the kept one, which may have several names."""
        return tuple(member for member in self.members if member.redundant)

    @property
    def redundant_bytes(self) -> int:
        """Sizes of all files but the kept one."""
        return sum(member.copy.size for member in self.redundant if not member.hard_link)

    @property
    def byte_streams(self) -> int:
        return len({member.copy.content_id for member in self.members})

    def fields(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "level": self.level.value,
            "files": [member.fields() for member in self.members],
            "max_distance": None,
            "reclaimable_bytes": self.reclaimable_bytes,
        }


# Each rule in words, and what is to be small. The first that leaves a single file chooses it.
_RULES: Final[tuple[tuple[str, Callable[[Copy], Any]], ...]] = (
    ("largest on disk", lambda copy: -copy.allocated),
    ("largest file", lambda copy: -copy.size),
    ("oldest", lambda copy: copy.mtime_ns),
    ("shortest path", lambda copy: len(copy.path)),
    ("first path", lambda copy: copy.path),
)


def keeper(copies: Sequence[Copy]) -> tuple[Copy, str]:
    """The copy to keep and the rule that chose it.

    Largest on disk, then the largest file, the oldest, the shortest path, the first path: whatever is
    done with the others, the most is left.
    """
    left = list(copies)
    for words, rank in _RULES:
        best = min(map(rank, left))
        left = [copy for copy in left if rank(copy) == best]
        if len(left) == 1:
            return left[0], words
    raise AssertionError("two files of one path")


def group_of(
    identity: str,
    level: Level,
    copies: Sequence[Copy],
    tags: Mapping[int, Any],
    scope: Scope,
    *,
    names: bool = False,
) -> Group | None:
    """The group of these copies; None when they are names of one file on disk, unless ``names`` are asked for.

    ``tags``: content → what it says beside the picture, see ``member_tags``. ``scope``: what was asked about.
    """
    if len(copies) < 2 or (not names and len({copy.body for copy in copies}) < 2):
        return None
    kept, words = keeper(copies)
    relation = {copy.file_id: _relation(copy, kept) for copy in copies}
    rest = sorted(
        (copy for copy in copies if copy is not kept),
        key=lambda copy: (_RELATIONS.index(relation[copy.file_id]), copy.path),
    )
    members = [Member(kept, "keep", words, False, False, _asked(kept, scope))]
    seen = {kept.body}
    for copy in rest:
        linked, needless = copy.body in seen, copy.body != kept.body
        differs = _differences(copy, kept, tags)
        asked = _asked(copy, scope)
        members.append(Member(copy, relation[copy.file_id], None, linked, needless, asked, differs))
        seen.add(copy.body)
    # Names of one file may have been looked at at different times: the last look is not known to be truer.
    blocks: dict[tuple[int, int], int] = {}
    for copy in copies:
        blocks[copy.body] = max(blocks.get(copy.body, 0), copy.allocated)
    return Group(identity, level, tuple(members), sum(blocks.values()) - blocks[kept.body])


def _asked(copy: Copy, scope: Scope) -> bool:
    return copy.root.root_id in scope.by_id and scope.covers(copy.root.root_id, copy.folder, copy.name)


def _differences(copy: Copy, kept: Copy, tags: Mapping[int, Any]) -> tuple[str, ...]:
    if copy.content_id == kept.content_id:
        return ()
    found = []
    if tags.get(copy.content_id) != tags.get(kept.content_id):
        found.append("tags")
    if copy.icc_sha256 != kept.icc_sha256:
        found.append("colour profile")
    return tuple(found)


def _relation(copy: Copy, kept: Copy) -> str:
    if copy.content_id == kept.content_id:
        return "same bytes"
    if copy.pixel_id is not None and copy.pixel_id == kept.pixel_id:
        return "same pixels"
    return "same on screen"
