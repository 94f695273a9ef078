"""What the files of a group say beside the picture: tags that may differ although the samples do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from catalog.drift.tags import ICC_PROFILE, ORIENTATION, STRUCTURAL
from catalog.query.groups import Copy
from catalog.store.schema import ifd, ifd_tag, tagset_member, tagval

Tags = frozenset[tuple[Any, ...]]
"""(number of the directory, its kind, code, value) of each tag that tells of more than how samples lie."""

_TOLD_APART: Final = STRUCTURAL | {ORIENTATION, ICC_PROFILE}
"""Tags that say how samples lie, or that are told by a name of their own."""
_AT_ONCE: Final = 500

_DIRECTORIES: Final = select(ifd.c.content_id, ifd.c.ifd_no, ifd.c.kind, ifd.c.tagset_id).where(
    ifd.c.content_id.in_(bindparam("ids", expanding=True))
)
_SINGLES: Final = (
    select(ifd_tag.c.content_id, ifd_tag.c.ifd_no, tagval.c.code, tagval.c.value)
    .join(tagval, tagval.c.tagval_id == ifd_tag.c.tagval_id)
    .where(ifd_tag.c.content_id.in_(bindparam("ids", expanding=True)))
)
_SHARED: Final = (
    select(tagset_member.c.tagset_id, tagval.c.code, tagval.c.value)
    .join(tagval, tagval.c.tagval_id == tagset_member.c.tagval_id)
    .where(tagset_member.c.tagset_id.in_(bindparam("ids", expanding=True)))
)


def descriptive_tags(connection: Connection, groups: Iterable[Sequence[Copy]]) -> Mapping[int, Tags]:
    """content_id → its tags, for the contents of groups that hold several; a content without tags is left out."""
    contents: set[int] = set()
    for group in groups:
        ids = {copy.content_id for copy in group}
        if len(ids) > 1:
            contents |= ids
    rows = [row for piece in _pieces(contents) for row in connection.execute(_DIRECTORIES, {"ids": piece})]
    shared: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for piece in _pieces({row.tagset_id for row in rows}):
        for tagset_id, code, value in connection.execute(_SHARED, {"ids": piece}):
            shared[tagset_id].append((code, value))
    found: dict[int, set[tuple[Any, ...]]] = defaultdict(set)
    kinds = {}
    for content_id, ifd_no, kind, tagset_id in rows:
        kinds[content_id, ifd_no] = kind
        found[content_id].update(
            (ifd_no, kind, *tag) for tag in shared[tagset_id] if tag[0] not in _TOLD_APART
        )
    for piece in _pieces(contents):
        for content_id, ifd_no, code, value in connection.execute(_SINGLES, {"ids": piece}):
            if code not in _TOLD_APART:
                found[content_id].add((ifd_no, kinds.get((content_id, ifd_no)), code, value))
    return {content_id: frozenset(tags) for content_id, tags in found.items()}


def _pieces(ids: Iterable[int]) -> Iterator[list[int]]:
    listed = iter(sorted(ids))
    while piece := list(islice(listed, _AT_ONCE)):
        yield piece
