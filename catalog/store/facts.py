"""Rebuild an analysis from its rows: facts, layout, tags and digests of one content.

Shared by the recording side (verdicts compare what was stored) and by the questions (``show``, ``tags``).
Order is restored where it means something: pages and IFDs by number, the tags of an IFD by code.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select, union_all

from catalog.store.codes import FIDELITY, IFD_KIND, PAGE_ROLE
from catalog.store.positional import unpack
from catalog.store.schema import (
    analysis,
    epoch,
    ifd,
    ifd_tag,
    layout,
    page,
    raster,
    tagset_member,
    tagval,
)
from catalog.terms import Analysis, Ifd, ImageFacts, Layout, Loaders, Page, PageRole, Tag

_pixel = raster.alias("pixel")
_view = raster.alias("view")

_ANALYSES: Final = (
    select(
        analysis,
        epoch.c.digest.label("epoch_digest"),
        layout.c.value.label("layout"),
        _pixel.c.digest.label("pixels"),
        _view.c.digest.label("view"),
    )
    .join(epoch, epoch.c.epoch_id == analysis.c.epoch_id)
    .outerjoin(layout, layout.c.layout_id == analysis.c.layout_id)
    .outerjoin(_pixel, _pixel.c.raster_id == analysis.c.pixel_id)
    .outerjoin(_view, _view.c.raster_id == analysis.c.view_id)
    .where(analysis.c.content_id == bindparam("content"))
)
_NEWEST: Final = _ANALYSES.order_by(analysis.c.epoch_id.desc()).limit(1)
_OF_EPOCH: Final = _ANALYSES.where(analysis.c.epoch_id == bindparam("of_epoch"))

_PAGES: Final = (
    select(page)
    .where(page.c.content_id == bindparam("content"), page.c.epoch_id == bindparam("of_epoch"))
    .order_by(page.c.page_no)
)
_IFDS: Final = (
    select(ifd.c.ifd_no, ifd.c.kind, ifd.c.parent_no, ifd.c.layout)
    .where(ifd.c.content_id == bindparam("content"))
    .order_by(ifd.c.ifd_no)
)
TAG_COLUMNS: Final = (
    tagval.c.code,
    tagval.c.name,
    tagval.c.type,
    tagval.c.count,
    tagval.c.raw,
    tagval.c.sha256,
    tagval.c.broken,
)
"""What ``tag_of`` makes a tag from, in its order."""

_TAGS: Final = union_all(
    select(ifd.c.ifd_no, *TAG_COLUMNS)
    .join(tagset_member, tagset_member.c.tagset_id == ifd.c.tagset_id)
    .join(tagval, tagval.c.tagval_id == tagset_member.c.tagval_id)
    .where(ifd.c.content_id == bindparam("content")),
    select(ifd_tag.c.ifd_no, *TAG_COLUMNS)
    .join(tagval, tagval.c.tagval_id == ifd_tag.c.tagval_id)
    .where(ifd_tag.c.content_id == bindparam("content")),
)


def load_analysis(
    connection: Connection, content_id: int, epoch_id: int | None = None
) -> tuple[Analysis, bytes] | None:
    """What one decoder epoch saw of a content (None: the newest), with that epoch's digest.

    None when the content was never analysed (or not in that epoch). The rows of the caller's own
    transaction count, once they are flushed.
    """
    if epoch_id is None:
        row = connection.execute(_NEWEST, {"content": content_id}).first()
    else:
        row = connection.execute(_OF_EPOCH, {"content": content_id, "of_epoch": epoch_id}).first()
    if row is None:
        return None
    image = _image(row)
    found = Analysis(
        fidelity=FIDELITY.word[row.fidelity],
        reason=row.reason,
        pixels=row.pixels,
        view=row.view,
        payload=row.payload,
        payload_reason=row.payload_reason,
        image=image,
        layout=Layout(**json.loads(row.layout)) if row.layout else None,
        pages=_pages(connection, row, image),
        ifds=load_ifds(connection, content_id),
        loaders=_loaders(row),
        complaints=tuple(json.loads(row.complaints)) if row.complaints else (),
        near=row.near,
    )
    return found, row.epoch_digest


def load_ifds(connection: Connection, content_id: int) -> tuple[Ifd, ...]:
    """All directories of a content with their tags, sorted by code; empty when it has none."""
    rows = connection.execute(_IFDS, {"content": content_id}).all()
    if not rows:
        return ()
    tags: dict[int, list[Tag]] = defaultdict(list)
    for ifd_no, *columns in connection.execute(_TAGS, {"content": content_id}):
        tags[ifd_no].append(tag_of(columns))
    for row in rows:
        tags[row.ifd_no].extend(positional_tags(row.layout))
    return tuple(
        Ifd(
            row.ifd_no,
            IFD_KIND.word[row.kind],
            row.parent_no,
            tuple(sorted(tags[row.ifd_no], key=lambda tag: (tag.code, tag.type, tag.raw))),
        )
        for row in rows
    )


def tag_of(columns: Sequence[Any]) -> Tag:
    """A tag from ``TAG_COLUMNS``; ``raw`` loses its marker byte (``=`` verbatim, ``z`` zlib)."""
    code, name, type_code, count, raw, sha256, broken = columns
    value = zlib.decompress(raw[1:]) if raw[:1] == b"z" else raw[1:]
    return Tag(code, name, type_code, count, value, sha256, broken)


def positional_tags(blob: bytes | None) -> list[Tag]:
    """The tags that say where bytes lie in the file (``ifd.layout``), and the stored width and height."""
    return [] if blob is None else unpack(blob)


def _image(row: Row[Any]) -> ImageFacts | None:
    if row.format is None:
        return None
    return ImageFacts(
        format=row.format,
        width=row.width,
        height=row.height,
        frames=row.frames,
        model=row.model,
        dtype=row.dtype,
        channels=row.channels,
        orientation=row.orientation,
        icc_sha256=row.icc_sha256,
    )


def _pages(connection: Connection, row: Row[Any], image: ImageFacts | None) -> tuple[Page, ...]:
    """Pages have rows only when there are several: the one page of most files is the file itself."""
    key = {"content": row.content_id, "of_epoch": row.epoch_id}
    pages = tuple(
        Page(
            index=each.page_no,
            role=PAGE_ROLE.word[each.role],
            width=each.width,
            height=each.height,
            model=each.model,
            dtype=each.dtype,
            channels=each.channels,
            pixels=each.pixels,
            view=each.view,
        )
        for each in connection.execute(_PAGES, key)
    )
    if pages or image is None or image.frames != 1:
        return pages
    return (
        Page(
            index=0,
            role=PageRole.PAGE,
            width=image.width,
            height=image.height,
            model=image.model,
            dtype=image.dtype,
            channels=image.channels,
            pixels=row.pixels,
            view=row.view,
        ),
    )


def _loaders(row: Row[Any]) -> Loaders | None:
    """None when nobody asked for them; the column of errors is set whenever somebody did."""
    if row.loader_errors is None:
        return None
    return Loaders(
        cv2_imread_md5=row.cv2_imread_md5,
        pillow_tobytes_md5=row.pillow_tobytes_md5,
        pillow_save_md5=row.pillow_save_md5,
        errors=tuple(json.loads(row.loader_errors).items()),
    )
