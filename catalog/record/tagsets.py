"""Intern tags: what is equal in many files is one set, what differs in nearly each has rows of its own.

Forty distinct sets carried the tags of a million files (docs/performance.md); one tag too many in a set makes
every set unique. Hence three kinds: shared tags are members of an interned set, singular ones (times, names,
identifiers, whatever is long) have a row for each file, positional ones go to a blob (store/positional.py).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

from catalog.record.batch import INT64, Batch, bounded
from catalog.store.codes import IFD_KIND
from catalog.store.positional import NAMES as POSITIONAL
from catalog.store.positional import pack
from catalog.store.values import VALUE_LIMIT, shown_value
from catalog.terms import Ifd, IfdKind, Tag, tag_value

# Tags whose values differ in nearly every file: a row each, so that the set of the others stays shared.
_SINGULAR: Final = frozenset(
    {
        *(269, 270, 285, 306, 700, 33432, 33723, 33922, 34264, 34377, 34675),
        # Exif: exposure, times with their fractions and zones, the maker's notes, comments, identifiers
        *(33434, 33437, 34855, 36867, 36868, 36880, 36881, 36882, 37377, 37378, 37379, 37380, 37381, 37382),
        *(37386, 37396, 37500, 37510, 37520, 37521, 37522, 42016, 42032, 42033, 50341),
    }
)
# Where and when: every photograph's own.
_GPS_SINGULAR: Final = frozenset({2, 4, 6, 7, 11, 13, 15, 17, 20, 22, 24, 26, 29, 31})

_identity = attrgetter("code", "type", "count", "raw", "name", "sha256", "broken")

_CACHE_LIMIT: Final = 50_000
_COLUMNS_LIMIT: Final = 512
_KEPT_TAGS: Final = 256
_KEPT_BYTES: Final = 1 << 14
"""Tags of a directory that is remembered, and bytes of their values: thousands of long ones would fill the memory."""

_Columns = tuple[int, int | None, int | None, bytes | None]
"""Set of tags, width, height, positional tags."""


class TagSets:
    """Directories of one batch's contents, their tags interned. Used by ``Facts``."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._tags: dict[bytes, int] = {}
        self._sets: dict[bytes, int] = {}
        self._sets_by_tags: dict[tuple[Any, ...], int] = {}
        self._columns: dict[tuple[int, ...], tuple[list[Tag], _Columns]] = {}
        """By the ids of tags, which live as long as their entry does."""
        batch.after_rollback(self._forget)

    def _forget(self) -> None:
        for cache in (self._tags, self._sets, self._sets_by_tags, self._columns):
            cache.clear()

    def trim(self) -> None:
        """Bound the memory; between transactions only, for waiting rows are known to these caches alone."""
        if max(len(self._tags), len(self._sets), len(self._sets_by_tags)) > _CACHE_LIMIT:
            self._forget()

    def add(self, content_id: int, directory: Ifd) -> None:
        """Let the rows of one directory wait for the flush."""
        own = []
        others = []
        singular = _GPS_SINGULAR if directory.kind is IfdKind.GPS else _SINGULAR
        for tag in directory.tags:
            if tag.code in singular or (len(tag.raw) > VALUE_LIMIT and tag.code not in POSITIONAL):
                own.append(tag)
            else:
                others.append(tag)
        for tag in own:
            self._batch.add("ifd_tag", (content_id, directory.index, self._tag(tag)))
        # By identity: equal tags of the files of a scan are one value (analysis_wire), and comparing costs more.
        same = tuple(map(id, others))
        found = self._columns.get(same)
        if found is None:
            found = others, self._columns_of(others)
            if _worth_keeping(others):
                if len(self._columns) >= _COLUMNS_LIMIT:
                    self._columns.clear()
                self._columns[same] = found
        kind = IFD_KIND.number[directory.kind]
        self._batch.add("ifd", (content_id, directory.index, kind, directory.parent, *found[1]))

    def _columns_of(self, tags: list[Tag]) -> _Columns:
        """What the row of a directory holds of the tags that have no rows of their own."""
        shared, positional = [], []
        width = height = None
        for tag in tags:
            if tag.code in POSITIONAL:
                positional.append(tag)
                if tag.code == 256:
                    width = _integer(tag)
                elif tag.code == 257:
                    height = _integer(tag)
            else:
                shared.append(tag)
        return self._set(shared), width, height, pack(positional) if positional else None

    def _set(self, tags: list[Tag]) -> int:
        """The interned set of these tags; most files' is found by its members as they are."""
        if not _worth_keeping(tags):
            return self._interned_set(sorted(map(self._tag, tags)))
        by_tags = tuple(map(_identity, tags))
        found = self._sets_by_tags.get(by_tags)
        if found is None:
            found = self._sets_by_tags[by_tags] = self._interned_set(sorted(map(self._tag, tags)))
        return found

    def _interned_set(self, members: list[int]) -> int:
        digest = hashlib.sha256(json.dumps(members).encode()).digest()[:16]
        found = self._sets.get(digest)
        if found is None:
            row = self._batch.lookup("SELECT tagset_id FROM tagset WHERE digest = ?", (digest,))
            found = row[0] if row else None
        if found is None:
            found = self._batch.new_id("tagset")
            self._batch.add("tagset", (found, digest))
            for member in members:
                self._batch.add("tagset_member", (found, member))
        self._sets[digest] = found
        return found

    def _tag(self, tag: Tag) -> int:
        digest = _digest(tag)
        found = self._tags.get(digest)
        if found is None:
            row = self._batch.lookup("SELECT tagval_id FROM tagval WHERE digest = ?", (digest,))
            found = row[0] if row else self._new_tag(tag, digest)
            self._tags[digest] = found
        return found

    def _new_tag(self, tag: Tag, digest: bytes) -> int:
        tagval_id = self._batch.new_id("tagval")
        shown, number = shown_value(tag)
        raw = b"=" + tag.raw if len(tag.raw) <= VALUE_LIMIT else b"z" + zlib.compress(tag.raw)
        # A count beyond SQLite's integers is a lie about a value that cannot be there.
        count = bounded(tag.count)
        self._batch.add(
            "tagval",
            (
                *(tagval_id, digest, tag.code, tag.name, tag.type, count),
                *(shown, number, raw, tag.sha256, tag.broken),
            ),
        )
        return tagval_id


def _worth_keeping(tags: Sequence[Tag]) -> bool:
    return len(tags) <= _KEPT_TAGS and sum(len(tag.raw) for tag in tags) <= _KEPT_BYTES


def _digest(tag: Tag) -> bytes:
    """128 bits over everything that the tag is; texts and digests with their lengths: no two tags read alike."""
    name, sha256 = tag.name, tag.sha256 or b""
    broken = "-" if tag.broken is None else f"{len(tag.broken)} {tag.broken}"
    head = f"{tag.code} {tag.type} {tag.count} {len(name)} {name} {broken} {len(sha256)} "
    return hashlib.sha256(head.encode() + sha256 + tag.raw).digest()[:16]


def _integer(tag: Tag) -> int | None:
    if tag.type in (3, 4) and len(tag.raw) == (2 if tag.type == 3 else 4):
        return int.from_bytes(tag.raw, "little")
    value = tag_value(tag.type, tag.raw)
    return value[0] if value and isinstance(value[0], int) and abs(value[0]) <= INT64 else None
