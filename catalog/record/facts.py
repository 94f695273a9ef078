"""Intern what is a function of the bytes: contents, rasters, analyses, layouts, tag sets.

Nothing here knows a path. Equal contents, equal rasters and equal sets of tags are stored once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from catalog.record.batch import Batch, now_ms
from catalog.store.codes import FIDELITY, IFD_KIND, PAGE_ROLE, RASTER_PIXELS, RASTER_VIEW, SOUND
from catalog.terms import (
    Analysis,
    Fidelity,
    Ifd,
    Inspection,
    Layout,
    Outcome,
    Tag,
    Toolchain,
    tag_value,
)

_UNDECODABLE: Final = FIDELITY.number[Fidelity.UNDECODABLE]

VALUE_LIMIT: Final = 256
"""Bytes of a tag's value that are stored as text for eyes; longer ones are cut and named by their digest."""

# Tags whose values differ in nearly every file: a row each, so that the set of the others stays shared.
_SINGULAR: Final = frozenset(
    {
        256,
        257,
        269,
        270,
        285,
        306,
        36867,
        36868,
        36880,
        36881,
        36882,
        37500,
        37510,
        37520,
        37521,
        37522,
        42016,
        42032,
        42033,
        50341,
        33432,
        700,
        33723,
        34377,
        34675,
    }
)
# Offsets and counts say where bytes lie in this one file: kept whole, but in a blob.
_POSITIONAL: Final = frozenset(
    {256, 257, 273, 279, 288, 289, 324, 325, 330, 513, 514, 519, 520, 521, 34665, 34853, 40965}
)

_CACHE_LIMIT: Final = 50_000
"""Entries of one cache at which it is emptied; only between transactions, see ``Facts.trim``."""


class Known(NamedTuple):
    """A content of the record, as a file row refers to it."""

    content_id: int
    pixel_id: int | None
    view_id: int | None
    """Rasters of sound classes only: what may be called identical to something."""
    outcome: Outcome
    reason: str | None


class Facts:
    """Contents and analyses of one decoder epoch, interned through one batch."""

    def __init__(self, batch: Batch, toolchain: Toolchain) -> None:
        self._batch = batch
        self._contents: dict[bytes, Known] = {}
        self._interned: set[bytes] = set()
        self._absent: set[bytes] = set()
        self._rasters: dict[tuple[bytes, int, int], int] = {}
        self._tags: dict[bytes, int] = {}
        self._sets: dict[bytes, int] = {}
        self._layouts: dict[str, int] = {}
        self._rollbacks = batch.rollbacks
        batch.begin()
        self.epoch_id = self._epoch(toolchain)
        self.toolchain_id = self._toolchain(toolchain)
        batch.commit()

    # -------------------------------------------------------------------------------------- toolchain

    def _one(self, sql: str, parameters: tuple[Any, ...]) -> Any:
        row = self._batch.lookup(sql, parameters)
        return row[0] if row else None

    def _epoch(self, toolchain: Toolchain) -> int:
        key = (toolchain.spec, toolchain.epoch)
        found = self._one("SELECT epoch_id FROM epoch WHERE spec = ? AND digest = ?", key)
        if found is None:
            self._batch.execute("INSERT INTO epoch (spec, digest) VALUES (?, ?)", key)
            found = self._one("SELECT epoch_id FROM epoch WHERE spec = ? AND digest = ?", key)
        return int(found)

    def _toolchain(self, toolchain: Toolchain) -> int:
        key = (self.epoch_id, json.dumps(dict(toolchain.components), sort_keys=True))
        select = "SELECT toolchain_id FROM toolchain WHERE epoch_id = ? AND components = ?"
        found = self._one(select, key)
        if found is None:
            self._batch.execute(
                "INSERT INTO toolchain (epoch_id, components, first_used_ms) VALUES (?, ?, ?)",
                (*key, now_ms()),
            )
            found = self._one(select, key)
        return int(found)

    # --------------------------------------------------------------------------------------- contents

    def known(self, sha256s: Sequence[bytes], *, loaders: bool) -> set[bytes]:
        """Which raw digests have an analysis of this epoch already (with loader checksums, if wanted)."""
        self._forget_after_rollback()
        found: set[bytes] = set()
        rest = []
        for digest in sha256s:
            if not loaders and digest in self._contents:
                found.add(digest)
            else:
                rest.append(digest)
        if not rest:
            return found
        rows = self._batch.question(
            "SELECT c.sha256, a.fidelity, a.loader_errors FROM content AS c LEFT JOIN analysis AS a"
            " ON a.content_id = c.content_id AND a.epoch_id = ?"
            f" WHERE c.sha256 IN ({','.join('?' * len(rest))})",
            (self.epoch_id, *rest),
        )
        self._absent.update(rest)
        for digest, fidelity, loader_errors in rows:
            self._absent.discard(digest)
            if fidelity is not None and (
                not loaders or fidelity == _UNDECODABLE or loader_errors is not None
            ):
                found.add(digest)
        return found

    def intern(self, inspection: Inspection) -> Known:
        """The content of an inspection that has digests; its analysis is stored if it came along.

        Raises LookupError when the analysis is missing and the record has none: the caller then asks for
        the file to be decoded after all.
        """
        self._forget_after_rollback()
        assert inspection.sha256 is not None and inspection.md5 is not None and inspection.stat is not None
        found = self._contents.get(inspection.sha256)
        if found is not None and inspection.analysis is None:
            return found
        row = self._content_row(inspection.sha256)
        if row is None:
            content_id = self._batch.new_id("content")
            self._interned.add(inspection.sha256)
            size = inspection.stat.size
            self._batch.add("content", (content_id, inspection.sha256, inspection.md5, size))
        else:
            content_id = row[0]
        if inspection.analysis is not None:
            known = self._store(content_id, inspection.analysis, replace=row is not None)
        elif not inspection.job.decode:
            # Not kept in memory: the same bytes under an image's name are to be decoded.
            return Known(content_id, None, None, Outcome.OTHER, None)
        elif row is not None and row[1] is not None:
            known = self._stored(row)
        else:
            raise LookupError("the content is known, but not to this decoder epoch")
        self._contents[inspection.sha256] = known
        return known

    def _content_row(self, sha256: bytes) -> Any:
        if sha256 in self._absent and sha256 not in self._interned:
            self._absent.discard(sha256)
            return None
        return self._batch.lookup(
            "SELECT c.content_id, a.fidelity, a.reason, a.pixel_id, a.view_id FROM content AS c LEFT JOIN"
            " analysis AS a ON a.content_id = c.content_id AND a.epoch_id = ? WHERE c.sha256 = ?",
            (self.epoch_id, sha256),
        ) or self._pending_row(sha256)

    def _pending_row(self, sha256: bytes) -> Any:
        """A content of this very transaction, whose rows may still wait for the flush."""
        if sha256 not in self._interned:
            return None
        self._batch.flush()
        return self._content_row(sha256)

    @staticmethod
    def _stored(row: Any) -> Known:
        fidelity = FIDELITY.word[row[1]]
        if fidelity is Fidelity.UNDECODABLE:
            return Known(row[0], None, None, Outcome.UNDECODABLE, row[2])
        sound = fidelity.sound
        return Known(row[0], row[3] if sound else None, row[4] if sound else None, Outcome.OK, None)

    def _caches(self) -> tuple[Any, ...]:
        return (
            self._contents,
            self._interned,
            self._absent,
            self._rasters,
            self._tags,
            self._sets,
            self._layouts,
        )

    def _forget_after_rollback(self) -> None:
        """Ids that were interned in a transaction that is gone must not be used again."""
        if self._rollbacks != self._batch.rollbacks:
            for cache in self._caches():
                cache.clear()
            self._rollbacks = self._batch.rollbacks

    def trim(self) -> None:
        """Bound the memory. Between transactions only: waiting rows are known to these caches alone."""
        for cache in self._caches():
            if len(cache) > _CACHE_LIMIT:
                cache.clear()

    # --------------------------------------------------------------------------------------- analyses

    def _store(self, content_id: int, analysis: Analysis, *, replace: bool) -> Known:
        batch = self._batch
        if replace:
            # Loader checksums were asked for later, or a crash is tried again: the newer look stands.
            key = (content_id, self.epoch_id)
            batch.execute("DELETE FROM analysis WHERE content_id = ? AND epoch_id = ?", key)
            batch.execute("DELETE FROM page WHERE content_id = ? AND epoch_id = ?", key)
            batch.execute("DELETE FROM ifd WHERE content_id = ?", (content_id,))
            batch.execute("DELETE FROM ifd_tag WHERE content_id = ?", (content_id,))
        fidelity = analysis.fidelity
        raster_class = SOUND if fidelity.sound else FIDELITY.number[fidelity]
        pixel_id = self._raster(analysis.pixels, RASTER_PIXELS, raster_class)
        view_id = self._raster(analysis.view, RASTER_VIEW, raster_class)
        image, loaders = analysis.image, analysis.loaders
        errors = json.dumps(dict(loaders.errors)) if loaders else None
        batch.add(
            "analysis",
            (
                content_id,
                self.epoch_id,
                self.toolchain_id,
                FIDELITY.number[fidelity],
                analysis.reason,
                pixel_id,
                view_id,
                analysis.payload,
                analysis.payload_reason,
                *(
                    (
                        image.format,
                        image.width,
                        image.height,
                        image.frames,
                        image.model,
                        image.dtype,
                        image.channels,
                        image.orientation,
                        image.icc_sha256,
                    )
                    if image
                    else (None,) * 9
                ),
                self._layout(analysis.layout),
                loaders.cv2_imread_md5 if loaders else None,
                loaders.pillow_tobytes_md5 if loaders else None,
                loaders.pillow_save_md5 if loaders else None,
                errors,
                json.dumps(analysis.complaints) if analysis.complaints else None,
                now_ms(),
            ),
        )
        if len(analysis.pages) > 1:
            self._pages(content_id, analysis)
        for directory in analysis.ifds:
            self._ifd(content_id, directory)
        if fidelity is Fidelity.UNDECODABLE:
            return Known(content_id, None, None, Outcome.UNDECODABLE, analysis.reason)
        sound = fidelity.sound
        return Known(content_id, pixel_id if sound else None, view_id if sound else None, Outcome.OK, None)

    def _raster(self, digest: bytes | None, level: int, raster_class: int) -> int | None:
        if digest is None:
            return None
        key = (digest, level, raster_class)
        found = self._rasters.get(key)
        if found is None:
            found = self._one(
                "SELECT raster_id FROM raster WHERE digest = ? AND level = ? AND class = ?", key
            )
        if found is None:
            found = self._batch.new_id("raster")
            self._batch.add("raster", (found, level, raster_class, digest))
        self._rasters[key] = found
        return found

    def _pages(self, content_id: int, analysis: Analysis) -> None:
        for number, page in enumerate(analysis.pages):
            self._batch.add(
                "page",
                (
                    content_id,
                    self.epoch_id,
                    number,
                    PAGE_ROLE.number[page.role],
                    page.width,
                    page.height,
                    page.model,
                    page.dtype,
                    page.channels,
                    page.pixels,
                    page.view,
                ),
            )

    def _layout(self, layout: Layout | None) -> int | None:
        if layout is None:
            return None
        fields = {name: value for name, value in dataclasses.asdict(layout).items() if value is not None}
        value = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        found = self._layouts.get(value)
        if found is None:
            found = self._one("SELECT layout_id FROM layout WHERE value = ?", (value,))
        if found is None:
            found = self._batch.new_id("layout")
            self._batch.add("layout", (found, value))
        self._layouts[value] = found
        return found

    # ------------------------------------------------------------------------------------------- tags

    def _ifd(self, content_id: int, directory: Ifd) -> None:
        shared, positional = [], []
        width = height = None
        for tag in directory.tags:
            if tag.code in _POSITIONAL:
                positional.append(tag)
                if tag.code == 256:
                    width = _integer(tag)
                elif tag.code == 257:
                    height = _integer(tag)
            elif tag.code in _SINGULAR:
                self._batch.add("ifd_tag", (content_id, directory.index, self._tag(tag)))
            else:
                shared.append(self._tag(tag))
        kind = IFD_KIND.number[directory.kind]
        blob = _positional_blob(positional) if positional else None
        self._batch.add(
            "ifd",
            (content_id, directory.index, kind, directory.parent, self._set(shared), width, height, blob),
        )

    def _tag(self, tag: Tag) -> int:
        whole = f"{tag.code} {tag.name} {tag.type} {tag.count} {tag.broken} ".encode() + (tag.sha256 or b"")
        digest = hashlib.sha256(whole + b"\0" + tag.raw).digest()[:16]
        found = self._tags.get(digest)
        if found is None:
            found = self._one("SELECT tagval_id FROM tagval WHERE digest = ?", (digest,))
        if found is None:
            found = self._batch.new_id("tagval")
            text, number = shown_value(tag)
            raw = b"=" + tag.raw if len(tag.raw) <= VALUE_LIMIT else b"z" + zlib.compress(tag.raw)
            self._batch.add(
                "tagval",
                (
                    found,
                    digest,
                    tag.code,
                    tag.name,
                    tag.type,
                    tag.count,
                    text,
                    number,
                    raw,
                    tag.sha256,
                    tag.broken,
                ),
            )
        self._tags[digest] = found
        return found

    def _set(self, members: list[int]) -> int:
        key = hashlib.sha256(json.dumps(sorted(members)).encode()).digest()[:16]
        found = self._sets.get(key)
        if found is None:
            found = self._one("SELECT tagset_id FROM tagset WHERE digest = ?", (key,))
        if found is None:
            found = self._batch.new_id("tagset")
            self._batch.add("tagset", (found, key))
            for member in members:
                self._batch.add("tagset_member", (found, member))
        self._sets[key] = found
        return found


def _integer(tag: Tag) -> int | None:
    value = tag_value(tag.type, tag.raw)
    return value[0] if value and isinstance(value[0], int) else None


def _positional_blob(tags: list[Tag]) -> bytes:
    rows = [
        [
            tag.code,
            tag.name,
            tag.type,
            tag.count,
            tag.raw.hex(),
            tag.sha256.hex() if tag.sha256 else None,
            tag.broken,
        ]
        for tag in tags
    ]
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)


def shown_value(tag: Tag) -> tuple[str, float | None]:
    """A tag's value as text for eyes and queries, and as a number when it is a single one."""
    value = tag.value
    number: float | None = None
    if len(value) == 1 and isinstance(value[0], int | float):
        number = float(value[0])
    words = [f"{part[0]}/{part[1]}" if isinstance(part, list) else str(part) for part in value[:VALUE_LIMIT]]
    text = ", ".join(words)
    if len(tag.raw) > VALUE_LIMIT or tag.sha256:
        digest = tag.sha256 or hashlib.sha256(tag.raw).digest()
        text = f"{text[:VALUE_LIMIT]}… (sha256:{digest.hex()[:16]})"
    return text.replace("\0", "\\0"), number
