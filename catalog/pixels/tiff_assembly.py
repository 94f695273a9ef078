"""Putting a TIFF image together from its segments, and bringing its samples into canonical form.

Rules 2-4 and 7 of the pixel checksum. Each segment is decoded alone, and what a broken one leaves is zeros
and a finding; libtiff decodes plain LZW strips in groups, and one by one where a group does not succeed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import imagecodecs
import numpy as np

from catalog.pixels import segment_codecs as codecs
from catalog.pixels.beside import Beside
from catalog.pixels.raster import Decoded, Raster, Undecodable, storage, worded
from catalog.pixels.structure import Frame, TiffFrame
from catalog.pixels.tiff_model import CCITT, PREDICTED
from catalog.pixels.tiff_segments import strip_rows
from catalog.terms import Fidelity, Tag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[Any]

_T4_OPTIONS: Final = 292
_JPEG_TABLES: Final = 347
_GROUP_BYTES: Final = 1 << 22
"""Samples that libtiff decodes in one call: enough to forget the call, little enough to stay in the cache."""
_PREDICTORS: Final = {2: (2, 1), 3: (3, 1), 34892: (2, 2), 34893: (2, 4), 34894: (3, 2), 34895: (3, 4)}
"""Predictor -> (kind, distance in pixels); the large numbers are DNG 1.4's."""
_GRAY, _RGB, _YCBCR, _CMYK = 1, 2, 3, 4
"""libjpeg's J_COLOR_SPACE."""
_MACHINE: Final = (8, 16, 32, 64)


class Broken(Exception):
    """One segment does not hold what it must; ``str`` says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a segment belongs: plane, first row and column, rows that it holds, rows and columns in use."""

    index: int
    plane: int
    top: int
    left: int
    rows: int
    used_rows: int
    used_columns: int


class Assembly:
    """One TIFF image while it is put together."""

    def __init__(self, frame: Frame, tiff: TiffFrame, view: memoryview, tags: Mapping[int, Tag]) -> None:
        self.frame = frame
        self.tiff = tiff
        self.view = view
        self.tables = tags[_JPEG_TABLES].raw if _JPEG_TABLES in tags else b""
        options = tags[_T4_OPTIONS].value if _T4_OPTIONS in tags else [0]
        self.t4_options = int(options[0]) if options else 0
        self.order = "<" if view[0] == 0x49 else ">"
        self.bits = max(tiff.bits)
        self.uniform = tiff.bits.count(self.bits) == len(tiff.bits)
        self.planes = tiff.samples if tiff.planar == 2 else 1
        self.samples = 1 if tiff.planar == 2 else tiff.samples
        self.stored = np.dtype(_stored_type(tiff, self.bits))
        self.predictor = tiff.predictor if tiff.compression in PREDICTED else 1
        self.out: Samples = np.empty((self.planes, frame.height, frame.width, self.samples), self.stored)
        self.findings: list[str] = []
        self.failed = 0
        self.narrow = False
        self.quirk = ""

    # ------------------------------------------------------------------------------------------- geometry

    def places(self) -> Iterator[Place]:
        tiff, width, height = self.tiff, self.frame.width, self.frame.height
        index = 0
        for plane in range(self.planes):
            for top in range(0, height, tiff.segment_height):
                used = min(tiff.segment_height, height - top)
                rows = tiff.segment_height if tiff.tiled else used
                for left in range(0, width, tiff.segment_width):
                    yield Place(index, plane, top, left, rows, used, min(tiff.segment_width, width - left))
                    index += 1

    def segment(self, index: int) -> memoryview | None:
        """The bytes of one segment, first bit highest; None when it was never written (sparse)."""
        tiff = self.tiff
        if index >= len(tiff.offsets):
            raise Broken("not listed")
        offset = tiff.offsets[index]
        count = tiff.counts[index] if index < len(tiff.counts) else self.guessed_count(offset)
        if offset == 0 and count == 0:
            return None
        if count <= 0:
            raise Broken("without bytes")
        segment = self.view[offset : offset + count]
        if len(segment) < count:
            self.finding(index, "reaches beyond the end of the file")
            if not len(segment):
                raise Broken("beyond the end of the file")
        return codecs.in_bit_order(segment, tiff.fill_order, tiff.compression)

    def guessed_count(self, offset: int) -> int:
        """Without byte counts a segment ends where the next begins, or with the file."""
        return min((at for at in self.tiff.offsets if at > offset), default=len(self.view)) - offset

    def finding(self, index: int, words: str) -> None:
        if len(self.findings) < 3:
            tiff = self.tiff
            word, rows = ("tile", "") if tiff.tiled else ("strip", strip_rows(tiff, self.frame.height, index))
            self.findings.append(f"{word} {index + 1:,} of {len(tiff.offsets):,}{rows}: {words}")
        elif len(self.findings) == 3:
            self.findings.append("and more")

    # ------------------------------------------------------------------------------------------- decoding

    def decoded(self) -> Decoded:
        """Decode every segment, and give the canonical raster with its class."""
        with Beside(self.frame, self.out, wanted=self.as_stored) as hashing:
            self.fill(hashing)
            raster = self.canonical()
            raster.digests = hashing.digests()
        result = Decoded(raster, self.frame.fidelity, self.frame.fidelity_reason)
        if self.narrow:
            result = result.lowered(Fidelity.LOSSY, "the codec delivered fewer bits than the header declares")
        if self.quirk:
            result = result.lowered(Fidelity.UNVERIFIED, self.quirk)
        if self.findings:
            result = result.lowered(Fidelity.DAMAGED, "; ".join(self.findings))
        return result

    def fill(self, hashing: Beside) -> None:
        """Decode everything; what is finished from the top on is hashed meanwhile."""
        first_failure = ""
        places = self.remaining(list(self.places()), hashing)
        for place in places:
            region = self.region(place)
            try:
                self.decode(place, region)
            except (MemoryError, ImportError):
                raise
            except Exception as error:  # noqa: BLE001 (codecs raise their own and numpy's errors)
                self.failed += 1
                words = str(error) if isinstance(error, Broken) else worded(error)
                first_failure = first_failure or words
                self.finding(place.index, words)
                region[...] = 0
            hashing.feed(place.top, region)
        if self.failed and self.failed == len(places):
            raise Undecodable(first_failure)

    @property
    def as_stored(self) -> bool:
        """Whether the samples are the canonical ones as soon as a strip is decoded: nothing is done to them later."""
        frame, photometric = self.frame, self.tiff.photometric
        kept = self.direct and self.planes == 1 and self.samples == frame.channels
        return kept and photometric in (1, 2, 5) and self.stored == np.dtype(storage(frame.dtype))

    def region(self, place: Place) -> Samples:
        rows = slice(place.top, place.top + place.used_rows)
        return self.out[place.plane, rows, place.left : place.left + place.used_columns]

    @property
    def direct(self) -> bool:
        """Whether a segment's bytes are samples of the machine type that fill whole rows of the raster."""
        tiff = self.tiff
        return (
            codecs.gives_bytes(tiff.compression)
            and not tiff.tiled
            and self.uniform
            and self.bits == self.stored.itemsize * 8
        )

    def remaining(self, places: list[Place], hashing: Beside) -> list[Place]:
        """Decode groups of plain LZW strips by libtiff; what is left, or did not succeed, is given back."""
        tiff = self.tiff
        if tiff.compression != codecs.LZW or tiff.fill_order != 1 or self.planes > 1 or not self.direct:
            return places
        strip = max(1, self.out[0, : tiff.segment_height].nbytes)
        number = max(1, _GROUP_BYTES // strip)
        left: list[Place] = []
        for start in range(0, len(places), number):
            group = places[start : start + number]
            try:
                hashing.feed(group[0].top, self.decoded_lzw(group))
            except (MemoryError, ImportError):
                raise
            except Exception:  # noqa: BLE001 (one by one tells which strip is broken)
                left.extend(group)
        return left

    def decoded_lzw(self, group: list[Place]) -> Samples:
        """The rows of a group of strips, in their place."""
        segments = []
        for place in group:
            offset, count = self.tiff.offsets[place.index], self.tiff.counts[place.index]
            segments.append(self.view[offset : offset + count])
            if count <= 0 or len(segments[-1]) < count:
                raise Broken("not a group")
        target = self.out[0, group[0].top : group[-1].top + group[-1].used_rows]
        undone = codecs.expand_lzw(
            segments,
            target,
            min(self.tiff.segment_height, target.shape[0]),
            predictor=self.predictor,
            order=self.order,
        )
        if not undone:
            self.finish(target)
        return target

    def decode(self, place: Place, region: Samples) -> None:
        """Decode one segment into its region of the raster."""
        segment = self.segment(place.index)
        tiff = self.tiff
        if segment is None:
            region[...] = 0
        elif codecs.gives_samples(tiff.compression):
            self.take(place, region, self.coded(place, segment))
        elif codecs.is_bilevel(tiff.compression):
            columns = tiff.segment_width
            bits = codecs.bilevel(tiff.compression, segment, place.rows, columns, self.t4_options)
            self.take(place, region, bits.reshape(place.rows, columns, 1).astype(self.stored, copy=False))
        elif self.direct:
            flat = region.reshape(-1).view(np.uint8)
            full = flat.size // place.used_rows * tiff.segment_height
            self.expand(place, segment, flat, full)
            self.finish(region)
        else:
            self.take(place, region, self.unpacked(place, segment))

    def take(self, place: Place, region: Samples, samples: Samples) -> None:
        """Copy the part of a segment that lies inside the image."""
        if samples.dtype != self.stored:
            if samples.dtype.kind != self.stored.kind or samples.dtype.itemsize > self.stored.itemsize:
                raise Broken(f"the codec delivered {samples.dtype}, the header declares {self.stored}")
            self.narrow = True
        part = samples[: place.used_rows, : place.used_columns]
        if samples.shape[0] > self.tiff.segment_height or samples.shape[1] > self.tiff.segment_width:
            self.finding(place.index, f"the codec delivered {samples.shape[1]}x{samples.shape[0]} pixels")
        if part.shape != region.shape:
            delivered, expected = ("x".join(map(str, each)) for each in (samples.shape, region.shape))
            raise Broken(f"the codec delivered {delivered} samples, the header declares {expected}")
        region[...] = part

    def coded(self, place: Place, segment: memoryview) -> Samples:
        """The samples of a segment with a header of its own (JPEG, WebP …)."""
        tiff = self.tiff
        samples = codecs.samples_of(
            tiff.compression,
            segment,
            tables=self.tables,
            colour=self.jpeg_colour(segment),
            height=place.used_rows,
            width=tiff.segment_width,
            alpha=self.samples == 4,
        )
        return samples[:, :, None] if samples.ndim == 2 else samples

    def jpeg_colour(self, segment: memoryview) -> tuple[int | None, int | None]:
        """(colour space of the stream, wanted colour space) for JPEG; None: as the stream says."""
        tiff = self.tiff
        if tiff.compression not in codecs.JPEG or self.samples == 1:
            return None, _GRAY if self.planes > 1 else None
        if tiff.photometric == 6 and tiff.samples == 3:
            return None, _RGB if self.frame.model == "rgb" else _YCBCR
        if tiff.photometric == 5 and tiff.samples == 4:
            return None, _CMYK
        if tiff.samples == 3:  # libjpeg would take any three components for YCbCr
            if tiff.photometric == 2 and b"JFIF" in bytes(segment[:32]):
                self.quirk = "a JFIF stream under photometric RGB: readers differ in how they take it"
            return _RGB, _RGB
        if tiff.photometric in (2, 6):
            raise Broken(f"JPEG with {tiff.samples} samples and photometric {tiff.photometric}")
        return None, None

    def expand(self, place: Place, segment: memoryview, target: NDArray[np.uint8], full: int) -> None:
        held = codecs.expand(self.tiff.compression, segment, target, full)
        if held < target.size:
            target[held:] = 0
            self.finding(place.index, f"too short: {held:,} of {target.size:,} bytes")

    def finish(self, samples: Samples) -> None:
        """Bring expanded samples of a machine type to this machine's byte order and undo the predictor."""
        kind, distance = _PREDICTORS.get(self.predictor, (1, 1))
        if kind == 1 and self.predictor != 1:
            raise Broken(f"unknown predictor {self.predictor}")
        if kind == 3:
            if samples.dtype.kind != "f":
                raise Broken("predictor 3 for samples that are not floats")
            samples[...] = imagecodecs.floatpred_decode(samples.copy(), axis=-2, dist=distance)
            return
        if self.order == ">" and samples.dtype.itemsize > 1:
            samples.byteswap(inplace=True)
        if kind == 2:
            whole = samples.view(f"u{samples.dtype.itemsize}")
            imagecodecs.delta_decode(whole, axis=-2, dist=distance, out=whole)

    def unpacked(self, place: Place, segment: memoryview) -> Samples:
        """The samples (rows, columns, samples) of a tile, or of a depth that no machine type has."""
        columns, samples = self.tiff.segment_width, self.samples
        widths = self.tiff.bits if self.planes == 1 else self.tiff.bits[place.plane : place.plane + 1]
        row_bytes = -(-columns * sum(widths) // 8)
        packed: NDArray[np.uint8] = np.empty(row_bytes * place.rows, np.uint8)
        self.expand(place, segment, packed, packed.size)
        shape = (place.rows, columns, samples)
        if not self.uniform:
            return codecs.mixed_depths(packed, shape, widths, self.stored)
        if self.bits == self.stored.itemsize * 8 and self.bits in _MACHINE:
            plain: Samples = packed.view(self.stored).reshape(shape)
            self.finish(plain)
            return plain
        if self.stored.kind == "f":
            if self.predictor != 1:
                raise Broken(f"predictor {self.predictor} for {self.bits}-bit floats")
            floats = imagecodecs.float24_decode(packed.tobytes(), byteorder="<" if self.order == "<" else ">")
            return np.asarray(floats).reshape(shape)
        return self.integers(packed, shape)

    def integers(self, packed: NDArray[np.uint8], shape: tuple[int, int, int]) -> Samples:
        """Integers of any depth, highest bit first whatever the byte order, rows padded to whole bytes."""
        unsigned = np.dtype(f"u{self.stored.itemsize}")
        whole: Samples = imagecodecs.packints_decode(
            packed.tobytes(), unsigned, self.bits, runlen=shape[1] * shape[2]
        ).reshape(shape)
        mask = unsigned.type((1 << self.bits) - 1)
        if self.predictor == 2:
            whole = np.cumsum(whole, axis=1, dtype=unsigned) & mask
        elif self.predictor != 1:
            raise Broken(f"predictor {self.predictor} for {self.bits}-bit integers")
        if self.stored.kind == "i":
            sign = unsigned.type(1 << (self.bits - 1))
            whole = ((whole ^ sign) - sign).view(self.stored)
        return whole

    # ------------------------------------------------------------------------------------- canonical form

    def canonical(self) -> Raster:
        """Polarity, palette and depth as ``pix1`` wants them (rules 2-4)."""
        tiff, frame = self.tiff, self.frame
        array: Samples = self.out[0] if self.planes == 1 else np.moveaxis(self.out[:, :, :, 0], 0, -1)
        inverted = tiff.photometric == 0 or (tiff.photometric is None and tiff.compression in CCITT)
        if inverted and self.stored.kind == "u":
            top = self.stored.type((1 << self.bits) - 1)
            np.subtract(top, array[:, :, 0], out=array[:, :, 0])
        if tiff.photometric == 3:
            array = self.palette(array)
        elif frame.dtype == "u8" and self.bits in (1, 2, 4):
            np.multiply(array, 255 // ((1 << self.bits) - 1), out=array)
        if array.shape[2] != frame.channels:
            raise Undecodable(f"{array.shape[2]} channels decoded, {frame.channels} announced")
        return Raster.of(frame.model, frame.dtype, array)

    def palette(self, array: Samples) -> Samples:
        """Look the indexes up in the ColorMap; an index beyond it is a finding, and black."""
        table = np.array(self.tiff.color_map, np.uint32).reshape(3, -1).T
        if self.frame.dtype == "u8":
            if not (table % 257).any():
                table = table // 257
            elif not (table % 256).any():
                table = table // 256
        table = table.astype(storage(self.frame.dtype))
        index = array[:, :, 0]
        if index.dtype.kind != "u":
            index = index.view(f"u{index.dtype.itemsize}")
        if self.bits > 8 or len(table) < 1 << self.bits:
            beyond = index >= len(table)
            if beyond.any():
                self.findings.append(f"palette of {len(table)} colours, index {int(index.max())} used")
                table = np.concatenate([table, np.zeros((1, 3), table.dtype)])
                index = np.where(beyond, len(table) - 1, index)
        colours: Samples = table[index]
        if array.shape[2] > 1:
            return np.concatenate([colours, array[:, :, 1:].astype(table.dtype)], axis=2)
        return colours


def _stored_type(tiff: TiffFrame, bits: int) -> str:
    """The machine type of the samples as they stand in the file."""
    kinds = set(tiff.sample_format)
    if kinds & {5, 6}:
        raise Undecodable("complex samples have no canonical form")
    if len(kinds) > 1 and kinds != {1, 4}:
        raise Undecodable("samples of different formats have no canonical form")
    if not 1 <= bits <= 64:
        raise Undecodable(f"{bits} bits for each sample")
    if kinds == {3}:
        if bits not in (16, 24, 32, 64):
            raise Undecodable(f"{bits}-bit floats have no canonical form")
        return storage("f32" if bits == 24 else f"f{bits}").replace("<", "=")
    return storage(f"{'i' if kinds == {2} else 'u'}{bits}").replace("<", "=")
