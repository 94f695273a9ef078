"""A TIFF or BigTIFF file as a ``Structure``: its directories, images, layout and payload."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from catalog.pixels.payload import (
    tiff_before_segments,
    tiff_payload,
    tiff_segments,
    tiff_without_payload,
)
from catalog.pixels.structure import Frame, Structure, TiffFrame, Unfinished, Wanted
from catalog.pixels.tagnames import compression_name
from catalog.pixels.tiff import Walk, walk
from catalog.pixels.tiff_frames import tiff_frames
from catalog.pixels.tiff_model import PREDICTED
from catalog.pixels.tiff_patterns import ALIKE_LIMIT
from catalog.pixels.tiff_raster import stored_bands
from catalog.terms import Fidelity, Layout

_LARGE = 1 << 20
"""Bytes of samples that do not stay in the cache from one hash to the next."""
_SUBSAMPLING = {
    (1, 1): "4:4:4",
    (2, 1): "4:2:2",
    (2, 2): "4:2:0",
    (1, 2): "4:4:0",
    (4, 1): "4:1:1",
    (4, 2): "4:1:0",
}


def subsampling_name(horizontal: int, vertical: int) -> str:
    """``4:2:0`` for (2, 2) …; ``4x4`` where the notation has no word."""
    return _SUBSAMPLING.get((horizontal, vertical)) or f"{horizontal}x{vertical}"


def parse_tiff(view: memoryview, wanted: Wanted) -> Structure:
    """What a TIFF says of itself (``structure.parse``)."""
    found = walk(view, full_values=wanted.full_values)
    key, known = _alike(found, wanted)
    if key in known:
        return known[key].structure_of(view, found)
    frames, defects = tiff_frames(view, found)
    images = [frame for frame in frames if frame.counted]
    if found.limited is not None:
        frames = tuple(_doubtful(frame, found.limited) for frame in frames)
    first = images[0]
    assert first.ifd is not None
    main = found.directories[first.ifd]
    outer = found.directories[0]
    many = len(frames) > 1
    for frame in images:
        where = f"image {frame.index + 1}: " if many else ""
        defects.extend(where + defect for defect in frame.defects)
    container = "BigTIFF" if found.big else "TIFF"
    layouts = [_layout(frame, container, found.order) for frame in images]
    orientation = main.number(274, 0) or outer.number(274, 1)
    unfinished = _unfinished(view, found, frames) if wanted.unfinished else None
    digest, reason = tiff_payload(view, found, frames) if wanted.payload and not unfinished else (None, None)
    structure = Structure(
        format="TIFF",
        frames=frames,
        layout=with_rest(layouts),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        ifds=tuple(directory.ifd() for directory in found.directories),
        icc=main.raw(34675) or outer.raw(34675) or None,
        payload=digest,
        payload_reason=reason,
        unfinished=unfinished,
        defects=(*found.defects, *defects),
        detail={"notes": tuple(found.notes), "big": found.big, "byte_order": found.order},
    )
    # Of compressed files the streams have a say, too.
    if key and digest and not structure.defects and first.tiff is not None and first.tiff.compression == 1:
        if len(known) >= ALIKE_LIMIT:
            known.clear()
        known[key] = _Alike(structure, tiff_before_segments(found, first), first)
    return structure


def _unfinished(view: memoryview, found: Walk, frames: Sequence[Frame]) -> Unfinished | None:
    """``pay1`` of one large image whose segments are its samples, one after the other, for whoever hashes these."""
    frame = frames[0]
    tiff = frame.tiff
    if len(frames) > 1 or tiff is None or tiff.compression != 1 or sum(tiff.counts) < _LARGE:
        return None
    bands = stored_bands(frame, view)
    if (
        bands is None
        or sum(map(len, bands)) != sum(tiff.counts)
        or (found.order == "big" and tiff.bits[0] > 8)
    ):
        return None
    if tiff_without_payload(view, found, frames) is not None:
        return None
    return Unfinished(tiff_before_segments(found, frame), tiff_segments(view, frame))


@dataclass(frozen=True, slots=True)
class _Alike:
    """What uncompressed files of one image have in common whose directories are equal but for texts."""

    first: Structure
    before: hashlib._Hash
    """``pay1`` up to the samples."""
    frame: Frame

    def structure_of(self, view: memoryview, found: Walk) -> Structure:
        first, payload = self.first, Unfinished(self.before, tiff_segments(view, self.frame))
        return Structure(
            format=first.format,
            frames=first.frames,
            layout=first.layout,
            orientation=first.orientation,
            ifds=(found.directories[0].ifd(),),
            icc=first.icc,
            payload=payload.digest(),
            detail=first.detail,
        )


def _alike(found: Walk, wanted: Wanted) -> tuple[tuple[Any, ...], dict[tuple[Any, ...], _Alike]]:
    """A key, and what was concluded of earlier files by such keys; () for a file that is not of one pattern."""
    main = found.directories[0]
    pattern = main.pattern
    odd = found.defects or found.notes or found.limited or len(found.directories) > 1
    if pattern is None or odd or not wanted.payload:
        return (), {}
    return (main.offset, *[main.values[number] for number in pattern.deciding]), pattern.alike


def _doubtful(frame: Frame, reason: str) -> Frame:
    return replace(frame, fidelity=Fidelity.UNVERIFIED, fidelity_reason=frame.fidelity_reason or reason)


def _layout(frame: Frame, container: str, order: str) -> Layout:
    tiff = frame.tiff
    assert isinstance(tiff, TiffFrame)
    return Layout(
        container=container,
        compression=compression_name(tiff.compression),
        byte_order=order,
        predictor=tiff.predictor if tiff.compression in PREDICTED else None,
        planar="separate" if tiff.planar == 2 else "contiguous",
        segments=len(tiff.offsets),
        rows_per_strip=None if tiff.tiled else tiff.segment_height,
        tile_width=tiff.segment_width if tiff.tiled else None,
        tile_height=tiff.segment_height if tiff.tiled else None,
        fill_order=tiff.fill_order,
        subsampling=subsampling_name(*tiff.subsampling) if tiff.photometric == 6 else None,
    )


def with_rest(layouts: Iterable[Layout]) -> Layout:
    """The first layout, with ``rest`` a digest of the others (none: no ``rest``)."""
    first, *others = layouts
    if not others:
        return first
    digest = hashlib.sha256()
    for layout in others:
        digest.update(repr(astuple(layout)).encode())
    return replace(first, rest=digest.hexdigest())
