"""Intern what is a function of the bytes: contents, rasters, analyses, layouts, tag sets.

Nothing here knows a path. Equal contents, equal rasters and equal sets of tags are stored once.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from catalog.record.batch import Batch, bounded, now_ms
from catalog.record.epochs import Epochs
from catalog.record.tagsets import TagSets
from catalog.store.codes import FIDELITY, PAGE_ROLE, RASTER_PIXELS, RASTER_VIEW, SOUND
from catalog.terms import Analysis, Fidelity, ImageFacts, Inspection, Layout, Limits, Outcome, Toolchain

_UNDECODABLE: Final = FIDELITY.number[Fidelity.UNDECODABLE]

_CACHE_LIMIT: Final = 50_000
"""Entries of one cache at which it is emptied; only between transactions, see ``Facts.trim``."""

_layout_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_RASTER: Final = "(SELECT raster_id FROM raster WHERE digest = ? AND level = ? AND class = ?)"
_RASTERS: Final = f"SELECT {_RASTER}, {_RASTER}"
_LOADERS: Final = "cv2_imread_md5, pillow_tobytes_md5, pillow_save_md5, loader_errors"


class Known(NamedTuple):
    """A content of the record, as a file row refers to it."""

    content_id: int
    pixel_id: int | None
    view_id: int | None
    """Rasters of sound classes only: what may be called identical to something."""
    outcome: Outcome
    reason: str | None
    renewed: bool = False
    """A content that the record knew was analysed anew: other files that hold it may be told otherwise now."""
    flawed: bool = False
    """It is damaged, or was given up at a limit: one of the errors, though something of it decodes."""


class ContentUnknown(LookupError):
    """The record has no analysis of a content that was not decoded: its row went with a rolled-back transaction."""


class Decoders(NamedTuple):
    """The agent of all analyses, as rows refer to it."""

    epoch_id: int
    toolchain_id: int
    epoch: bytes


class Facts:
    """Contents and analyses of one decoder epoch, interned through one batch.

    ``toolchain`` may be a question: it is asked when the first analysis is looked for, because the answer costs
    the start of a decode worker. A scan that finds nothing new never needs it.
    """

    def __init__(self, batch: Batch, toolchain: Toolchain | Callable[[], Toolchain]) -> None:
        self._batch = batch
        self._tagsets = TagSets(batch)
        self._analysed: dict[bytes, Known] = {}
        """Raw digest → a content with an analysis of this epoch."""
        self._waiting: dict[bytes, int] = {}
        """Raw digest → id of a content of this very transaction."""
        self._absent: set[bytes] = set()
        """Raw digests that the record did not have when it was asked last, and were not interned since."""
        self._rasters: dict[tuple[bytes | None, int, int], int] = {}
        self._layouts: dict[Layout, int] = {}
        self._toolchain = toolchain
        self._decoders: Decoders | None = None
        batch.after_rollback(self._forget)

    # -------------------------------------------------------------------------------------- toolchain

    @property
    def decoders(self) -> Decoders:
        """Who analyses, recorded. Raises what the question raises."""
        if self._decoders is None:
            toolchain = self._toolchain() if callable(self._toolchain) else self._toolchain
            alone = not self._batch.open
            epoch_id = Epochs(self._batch).enter(toolchain)
            self._decoders = Decoders(epoch_id, self._toolchain_id(toolchain, epoch_id), toolchain.epoch)
            if alone:
                self._batch.commit()
        return self._decoders

    def _one(self, sql: str, parameters: tuple[Any, ...]) -> Any:
        row = self._batch.lookup(sql, parameters)
        return row[0] if row else None

    def _toolchain_id(self, toolchain: Toolchain, epoch_id: int) -> int:
        key = (epoch_id, json.dumps(dict(toolchain.components), sort_keys=True))
        select = "SELECT toolchain_id FROM toolchain WHERE epoch_id = ? AND components = ?"
        found = self._one(select, key)
        if found is None:
            self._batch.execute(
                "INSERT INTO toolchain (epoch_id, components, first_used_ms) VALUES (?, ?, ?)",
                (*key, now_ms()),
            )
            found = self._one(select, key)
        return int(found)

    # ----------------------------------------------------------------------------------------- caches

    def _caches(self) -> tuple[Any, ...]:
        return (self._analysed, self._absent, self._rasters, self._layouts)

    def _forget(self) -> None:
        """Ids that were interned in a transaction that is gone must not be used again."""
        self._decoders = None
        for cache in (*self._caches(), self._waiting):
            cache.clear()

    def trim(self) -> None:
        """Bound the memory. Between transactions only: waiting rows are known to these caches alone."""
        self._waiting.clear()
        self._tagsets.trim()
        for cache in self._caches():
            if len(cache) > _CACHE_LIMIT:
                cache.clear()

    # --------------------------------------------------------------------------------------- contents

    def known(self, sha256s: Sequence[bytes], *, loaders: bool, limits: Limits | None = None) -> set[bytes]:
        """Which raw digests have an analysis of this epoch already (with loader checksums, if wanted).

        With ``limits`` (the same ones at every call): none that was given up at a limit which is higher by now.
        """
        found: set[bytes] = set()
        rest = []
        for digest in sha256s:
            if not loaders and digest in self._analysed:
                found.add(digest)
            else:
                rest.append(digest)
        if not rest:
            return found
        sql = (
            "SELECT c.sha256, a.fidelity, a.reason, a.loader_errors FROM content AS c LEFT JOIN analysis AS a"
            " ON a.content_id = c.content_id AND a.epoch_id = ?"
            f" WHERE c.sha256 IN ({','.join('?' * len(rest))})"
        )
        if loaders and self._waiting:
            self._batch.flush()
        # What waits for the flush is known to the caches; without loaders nothing need be written for this.
        ask = self._batch.lookups if self._batch.open else self._batch.committed
        rows = ask(sql, (self.decoders.epoch_id, *rest))
        self._absent.update(digest for digest in rest if digest not in self._waiting)
        for digest, fidelity, reason, loader_errors in rows:
            self._absent.discard(digest)
            if fidelity is None or (limits is not None and limits.lifted(reason)):
                continue
            if not loaders or fidelity == _UNDECODABLE or loader_errors is not None:
                found.add(digest)
        return found

    def may_hold(self, sha256: bytes) -> bool:
        """False when the record surely has no such content: it was asked, and nobody brought it since."""
        return sha256 not in self._absent

    def intern(self, inspection: Inspection) -> Known:
        """The content of an inspection that has digests; its analysis is stored if it came along.

        Raises ContentUnknown when the analysis is missing and the record has none: the caller then asks for
        the file to be decoded after all. Nothing is left of such an inspection.
        """
        sha256, analysis = inspection.sha256, inspection.analysis
        assert sha256 is not None
        if analysis is None and inspection.job.decode:
            return self._stored(sha256)
        content_id, is_new = self._content(inspection, sha256)
        if analysis is None:
            # Raw checksums only: the same bytes under an image's name are to be decoded all the same.
            return Known(content_id, None, None, Outcome.OTHER, None)
        known = self._analysed[sha256] = self._store(content_id, analysis, replace=not is_new)
        return known if is_new else known._replace(renewed=True)

    def _content(self, inspection: Inspection, sha256: bytes) -> tuple[int, bool]:
        """(id, whether it is new) of the content, whose row is made when it is."""
        waiting = self._waiting.get(sha256)
        if waiting is not None:
            return waiting, False
        if sha256 not in self._absent:
            found = self._one("SELECT content_id FROM content WHERE sha256 = ?", (sha256,))
            if found is not None:
                return int(found), False
        assert inspection.md5 is not None and inspection.stat is not None
        content_id = self._batch.new_id("content")
        self._batch.add("content", (content_id, sha256, inspection.md5, inspection.stat.size))
        self._absent.discard(sha256)
        self._waiting[sha256] = content_id
        return content_id, True

    def _stored(self, sha256: bytes) -> Known:
        known = self._analysed.get(sha256)
        if known is None:
            row = self._batch.lookup(
                "SELECT c.content_id, a.fidelity, a.reason, a.pixel_id, a.view_id FROM content AS c JOIN"
                " analysis AS a ON a.content_id = c.content_id AND a.epoch_id = ? WHERE c.sha256 = ?",
                (self.decoders.epoch_id, sha256),
            )
            if row is None:
                raise ContentUnknown("the content is unknown, or not known to this decoder epoch")
            content_id, fidelity, reason, pixel_id, view_id = row
            known = _known(content_id, FIDELITY.word[fidelity], reason, pixel_id, view_id)
            self._analysed[sha256] = known
        return known

    # --------------------------------------------------------------------------------------- analyses

    def _store(self, content_id: int, analysis: Analysis, *, replace: bool) -> Known:
        batch = self._batch
        loaders = self._replaced(content_id) if replace else None
        if analysis.loaders is not None:
            given = analysis.loaders
            errors = json.dumps(dict(given.errors))
            loaders = (given.cv2_imread_md5, given.pillow_tobytes_md5, given.pillow_save_md5, errors)
        fidelity = analysis.fidelity
        raster_class = SOUND if fidelity.sound else FIDELITY.number[fidelity]
        pixel_id, view_id = self._rasters_of(analysis, raster_class)
        batch.add(
            "analysis",
            (
                *(content_id, *self.decoders[:2], FIDELITY.number[fidelity]),
                *(analysis.reason, pixel_id, view_id, analysis.payload, analysis.payload_reason),
                *_image_columns(analysis.image),
                self._layout(analysis.layout),
                *(loaders or (None, None, None, None)),
                json.dumps(analysis.complaints) if analysis.complaints else None,
                analysis.near,
                now_ms(),
            ),
        )
        if len(analysis.pages) > 1:
            self._pages(content_id, analysis)
        for directory in analysis.ifds:
            self._tagsets.add(content_id, directory)
        return _known(content_id, fidelity, analysis.reason, pixel_id, view_id)

    def _replaced(self, content_id: int) -> Any:
        """Take an older look's rows away; gives its loader checksums, which the newer look may lack.

        Loader checksums were asked for later, a crash was tried again, or the decoders are new: then the
        analysis of the older epoch stays beside this one, and only tags, which need no decoder, are replaced.
        """
        key = (content_id, self.decoders.epoch_id)
        where = "WHERE content_id = ? AND epoch_id = ?"
        loaders = self._batch.rows(f"SELECT {_LOADERS} FROM analysis {where}", key)
        self._batch.execute(f"DELETE FROM analysis {where}", key)
        self._batch.execute(f"DELETE FROM page {where}", key)
        self._batch.execute("DELETE FROM ifd WHERE content_id = ?", (content_id,))
        self._batch.execute("DELETE FROM ifd_tag WHERE content_id = ?", (content_id,))
        return loaders[0] if loaders else None

    def _rasters_of(self, analysis: Analysis, raster_class: int) -> tuple[int | None, int | None]:
        """(pixels, view): ids of the interned rasters, made where they are new."""
        pixels = (analysis.pixels, RASTER_PIXELS, raster_class)
        view = (analysis.view, RASTER_VIEW, raster_class)
        cache = self._rasters
        pixel_id, view_id = cache.get(pixels), cache.get(view)
        if pixel_id is None or view_id is None:
            stored = self._batch.lookup(_RASTERS, (*pixels, *view))
            pixel_id = self._raster(pixels, pixel_id or stored[0])
            view_id = self._raster(view, view_id or stored[1])
        return pixel_id, view_id

    def _raster(self, key: tuple[bytes | None, int, int], found: int | None) -> int | None:
        digest, level, raster_class = key
        if digest is None:
            return None
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
                    *(content_id, self.decoders.epoch_id, number, PAGE_ROLE.number[page.role]),
                    *(bounded(page.width), bounded(page.height), page.model, page.dtype, page.channels),
                    *(page.pixels, page.view),
                ),
            )

    def _layout(self, layout: Layout | None) -> int | None:
        if layout is None:
            return None
        found = self._layouts.get(layout)
        if found is None:
            every = dataclasses.asdict(layout)
            value = _layout_json({name: value for name, value in every.items() if value is not None})
            found = self._one("SELECT layout_id FROM layout WHERE value = ?", (value,))
            if found is None:
                found = self._batch.new_id("layout")
                self._batch.add("layout", (found, value))
            self._layouts[layout] = found
        return found


def _image_columns(image: ImageFacts | None) -> tuple[Any, ...]:
    if image is None:
        return (None,) * 9
    return (
        *(image.format, bounded(image.width), bounded(image.height), bounded(image.frames), image.model),
        *(image.dtype, bounded(image.channels), image.orientation, image.icc_sha256),
    )


def _known(
    content_id: int, fidelity: Fidelity, reason: str | None, pixel_id: int | None, view_id: int | None
) -> Known:
    if fidelity is Fidelity.UNDECODABLE:
        return Known(content_id, None, None, Outcome.UNDECODABLE, reason)
    if not fidelity.sound:
        flawed = fidelity is Fidelity.DAMAGED or ": raise " in (reason or "")
        return Known(content_id, None, None, Outcome.OK, None, flawed=flawed)
    return Known(content_id, pixel_id, view_id, Outcome.OK, None)
