"""The images of a TIFF: each directory's decode-relevant fields, its canonical raster, and what is broken.

Rules 1-5, 7 and 9 of the pixel checksum as far as the header decides them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from catalog.pixels.structure import Frame, NotAnImage, TiffFrame
from catalog.pixels.tiff import Directory, Walk
from catalog.pixels.tiff_model import canonical
from catalog.pixels.tiff_segments import assumed_counts, segment_defects, segments_expected, sparse_segments
from catalog.pixels.tiff_streams import lossless_stream
from catalog.terms import Fidelity, IfdKind, PageRole, counted

MAX_SEGMENTS: Final = 4_000_000
"""Strips and tiles of one file that are followed; a gigapixel image in 64 x 64 tiles has 250,000."""
MAX_SAMPLES: Final = 4_000_000
"""Samples for each pixel, summed over all directories."""

_NEEDED: Final = frozenset(
    (256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339)
)
# Parameters of codecs and of YCbCr: of other types, but no less decisive.
_TABLES: Final = frozenset((292, 293, 332, 347, *range(512, 522), 529, 530, 531, 532, 32997, 34750, 50674))
# GDAL leaves out blocks without data (SPARSE_OK); its own or GeoTIFF's tags show that it wrote the file.
_SPARSE_WRITERS: Final = frozenset((33550, 34735, 42112, 42113))
_SINGLE: Final = frozenset((256, 257, 262, 266, 277, 278, 284, 317, 322, 323))
_ODD_BYTES: Final = frozenset((24, 40, 48, 56))
_INTEGER_TYPES: Final = frozenset((1, 3, 4, 6, 8, 9, 13, 16, 17, 18))


def tiff_frames(view: memoryview, walk: Walk) -> tuple[tuple[Frame, ...], list[str]]:
    """Every directory that describes an image, as a frame, and defects of directories that should and do not.

    Frames come in the order of the directories. ``NotAnImage`` when there is none.
    """
    builder = _Builder(view, walk)
    frames: list[Frame] = []
    for directory in walk.directories:
        frame = builder.frame(directory, len(frames))
        if frame is not None:
            frames.append(frame)
    if not frames:
        raise NotAnImage("; ".join(builder.defects[:3]) or "no directory describes an image", claims="TIFF")
    return _count(frames, walk), builder.defects


def _count(frames: list[Frame], walk: Walk) -> tuple[Frame, ...]:
    """Rule 9: which frames belong to the file's combined digest."""
    chosen = {frame.index for frame in frames if frame.role is PageRole.PAGE}
    if not chosen:
        chosen = {
            frame.index
            for frame in frames
            if frame.ifd is not None
            and walk.directories[frame.ifd].kind is IfdKind.SUBIFD
            and walk.directories[frame.ifd].number(254, 0) & ~2 == 0
        }
    if not chosen:
        chosen = {0}
    return tuple(frame if frame.index in chosen else replace(frame, counted=False) for frame in frames)


class _Builder:
    def __init__(self, view: memoryview, walk: Walk) -> None:
        self.view = view
        self.walk = walk
        self.segments_left = MAX_SEGMENTS
        self.samples_left = MAX_SAMPLES
        self.defects: list[str] = []

    def frame(self, directory: Directory, index: int) -> Frame | None:
        """The frame of one directory; None when it has no image (Exif, GPS, or broken beyond use)."""
        if directory.kind in (IfdKind.EXIF, IfdKind.GPS, IfdKind.INTEROP):
            return None
        width, height = directory.number(256, 0), directory.number(257, 0)
        if width <= 0 or height <= 0:
            if directory.kind is IfdKind.PAGE:
                self.defects.append(f"directory {directory.index} has no image size ({width} x {height})")
            return None
        defects: list[str] = []
        doubts: list[str] = []
        tiff = self.fields(directory, width, height, defects, doubts)
        expected = segments_expected(tiff, width, height)
        if tiff.offsets and not tiff.counts:
            tiff = replace(tiff, counts=assumed_counts(len(self.view), tiff, width, height))
        elif len(tiff.offsets) > expected:
            tiff = replace(tiff, offsets=tiff.offsets[:expected], counts=tiff.counts[:expected])
        if self.walk.order == "big" and not _ODD_BYTES.isdisjoint(tiff.bits):
            # packed with the highest bit first to most readers; libtiff swaps three bytes as it swaps two
            doubts.append(
                "samples of whole bytes that no machine type has: readers differ in their byte order"
            )
        found = canonical(tiff, lossless_stream=lossless_stream(self.view, tiff))
        defects.extend(segment_defects(self.view, tiff, width, height))
        empty = sparse_segments(tiff)
        if empty == len(tiff.offsets) or not _SPARSE_WRITERS.isdisjoint(directory.by_code):
            if empty:
                doubts.append(f"{empty:,} of {counted(expected, 'segment')} were never written (sparse)")
        elif empty:
            defects.append(f"{empty:,} of {counted(expected, 'segment')} have neither offset nor bytes")
        for doubt in doubts:
            found.lower(Fidelity.UNVERIFIED, doubt)
        return Frame(
            index=index,
            role=_role(directory),
            width=width,
            height=height,
            model=found.model,
            dtype=found.dtype,
            channels=found.channels,
            fidelity=found.fidelity,
            fidelity_reason=found.reason,
            ifd=directory.index,
            tiff=tiff,
            defects=tuple(defects),
        )

    def fields(
        self, directory: Directory, width: int, height: int, defects: list[str], doubts: list[str]
    ) -> TiffFrame:
        number = directory.number
        _check_tags(directory, defects, doubts)
        samples = number(277, 1)
        if not 0 < samples <= min(65_535, self.samples_left):
            defects.append(f"{samples:,} samples for each pixel")
            samples = 1
        self.samples_left -= samples
        tiled = 322 in directory.by_code or 324 in directory.by_code
        if tiled:
            segment_width, segment_height = number(322, 0), number(323, 0)
        else:
            segment_width, segment_height = width, min(number(278, height), height)
        if segment_width <= 0 or segment_height <= 0:
            defects.append(f"{'tiles' if tiled else 'strips'} of {segment_width} x {segment_height}")
            segment_width, segment_height = max(segment_width, 1), max(segment_height, 1)
        photometric, compression = number(262, -1), number(259, 1)
        bits = _for_each(directory, 258, samples, doubts)
        if min(bits) < 1:
            defects.append(f"{min(bits)} bits for each sample")
            bits = (1,) * samples
        offsets, counts = self.segments(directory, tiled, compression, defects, doubts)
        return TiffFrame(
            photometric=photometric if photometric >= 0 else None,
            bits=bits,
            sample_format=_for_each(directory, 339, samples, doubts),
            samples=samples,
            extra_samples=directory.ints(338)[:samples],
            planar=number(284, 1),
            compression=compression,
            predictor=number(317, 1),
            fill_order=number(266, 1),
            tiled=tiled,
            segment_width=segment_width,
            segment_height=segment_height,
            offsets=offsets,
            counts=counts,
            color_map=_color_map(directory, defects, doubts) if photometric == 3 else (),
            subsampling=_subsampling(directory, defects) if photometric == 6 else (1, 1),
            ink_set=number(332, 1),
            ifd_offset=directory.offset,
        )

    def segments(
        self, directory: Directory, tiled: bool, compression: int, defects: list[str], doubts: list[str]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Offsets and byte counts as the file lists them, of equal length; () for counts that are missing."""
        codes = (324, 325) if tiled and 324 in directory.by_code else (273, 279)
        tag = directory.by_code.get(codes[0])
        if tag is None and compression == 6 and 513 in directory.by_code:
            return directory.ints(513)[:1], directory.ints(514)[:1] or (0,)
        listed = tag.count if tag is not None else 0
        if listed > self.segments_left:
            defects.append(f"{listed:,} strips or tiles are more than are followed")
            return (), ()
        self.segments_left -= listed
        offsets, counts = directory.ints(codes[0]), directory.ints(codes[1])
        if offsets and not counts:
            doubts.append("StripByteCounts is missing")
            return offsets, ()
        if len(counts) != len(offsets):
            defects.append(f"{len(offsets):,} segments with {len(counts):,} byte counts")
            shorter = min(len(offsets), len(counts))
            offsets, counts = offsets[:shorter], counts[:shorter]
        return offsets, counts


def _role(directory: Directory) -> PageRole:
    if directory.kind is not IfdKind.SUBIFD:
        return PageRole(directory.kind.value)
    flags = directory.number(254, 0)
    return PageRole.MASK if flags & 4 else PageRole.THUMBNAIL if flags & 1 else PageRole.SUBIFD


def _check_tags(directory: Directory, defects: list[str], doubts: list[str]) -> None:
    """Tags that decide the samples must be readable, of an integer type, and there once."""
    for tag in directory.tags:
        if tag.broken is not None and (tag.code in _NEEDED or tag.code in _TABLES):
            defects.append(f"{tag.name} is broken: {tag.broken}")
        elif tag.type not in _INTEGER_TYPES and tag.code in _NEEDED:
            defects.append(f"{tag.name} has the type {tag.type_name}")
        elif tag.count != 1 and (tag.code in _SINGLE or (tag.count == 0 and tag.code in _NEEDED)):
            doubts.append(f"{tag.name} has {counted(tag.count, 'value')}: other readers refuse it")
    if len(directory.by_code) != len(directory.tags):
        for tag in directory.tags:
            first = directory.by_code[tag.code]
            if tag.code in _NEEDED and (first.type, first.raw) != (tag.type, tag.raw):
                doubts.append(f"{tag.name} is there twice, with different values")
    if directory.number(32997, 1) > 1:
        doubts.append("a volume (ImageDepth) has no canonical form")
    if directory.number(284, 1) not in (1, 2):
        doubts.append(f"unknown PlanarConfiguration {directory.number(284, 1)}")
    if directory.number(266, 1) not in (1, 2):
        doubts.append(f"unknown FillOrder {directory.number(266, 1)}")


def _for_each(directory: Directory, code: int, samples: int, doubts: list[str]) -> tuple[int, ...]:
    """BitsPerSample or SampleFormat, one value for each sample; 1 where the tag is absent."""
    values = directory.ints(code) or (1,)
    if len(values) == samples:
        return values
    if any(value != values[0] for value in values):
        doubts.append(f"{directory.by_code[code].name} has {len(values)} values for {samples} samples")
        return (*values, *(values[-1:] * samples))[:samples]
    return values[:1] * samples


def _color_map(directory: Directory, defects: list[str], doubts: list[str]) -> tuple[int, ...]:
    bits, values = directory.number(258, 1), directory.ints(320)
    needed = 3 << bits if 0 < bits <= 16 else 0
    if not needed:
        defects.append(f"a palette image with {bits} bits for each index")
    elif len(values) < needed:
        defects.append(f"ColorMap has {len(values):,} of {needed:,} values")
    elif len(values) > needed:
        doubts.append(f"ColorMap has {len(values):,} values instead of {needed:,}")
    return values


def _subsampling(directory: Directory, defects: list[str]) -> tuple[int, int]:
    horizontal, vertical, *_ = (*directory.ints(530), 2, 2)
    if horizontal not in (1, 2, 4) or vertical not in (1, 2, 4):
        defects.append(f"YCbCrSubSampling is {horizontal} x {vertical}")
        return (2, 2)
    return horizontal, vertical
