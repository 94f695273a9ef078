"""The raster of an image: what its samples are, and which decoder delivers them for which container.

A raster is given as bands: buffers of whole rows that follow each other. So the strips of an uncompressed
file are hashed where they lie, and a decoder's output is hashed band by band, without one big copy.
Decoders are imported when the first file needs them: a plain uncompressed TIFF needs none, not even numpy.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from catalog.pixels.structure import Frame, Structure
from catalog.terms import Fidelity, Limits, PageRole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[Any]
    Buffer = bytes | bytearray | memoryview

BAND_BYTES: Final = 1 << 20
"""Rows are copied, packed or compared in pieces of about this size, which stay in the cache."""
_ORIENTATION: Final = 274
_OBJECT: Final = re.compile(r"<[^<>]* object at 0x[0-9a-f]+>")
_RANK: Final = {fidelity: rank for rank, fidelity in enumerate(Fidelity)}


@cache
def storage(dtype: str) -> str:
    """numpy's name of the machine type that holds a DTYPE: ``u10`` -> ``<u2``, ``f32`` -> ``<f4``.

    Raises ValueError for a DTYPE that ``pix1`` does not know.
    """
    kind, bits = dtype[:1], int(dtype[1:])
    if kind in "ui" and 1 <= bits <= 64:
        return f"<{kind}{next(size for size in (1, 2, 4, 8) if bits <= size * 8)}"
    if kind == "f" and bits in (16, 32, 64):
        return f"<f{bits // 8}"
    raise ValueError(f"no sample type {dtype}")


class Raster:
    """The samples of one image in canonical order: row-major, pixel-interleaved, little-endian.

    ``bands`` may be iterated more than once; each is a C-contiguous buffer of whole rows, and together they
    hold exactly ``height * width * channels`` samples in the machine type of ``dtype``.
    """

    __slots__ = ("_array", "bands", "channels", "digests", "dtype", "height", "model", "width")

    def __init__(  # noqa: PLR0917 (the header line, in its order)
        self, model: str, dtype: str, width: int, height: int, channels: int, bands: Iterable[Buffer]
    ) -> None:
        self.model = model
        self.dtype = dtype
        self.width = width
        self.height = height
        self.channels = channels
        self.bands = bands
        self.digests: tuple[bytes, bytes] | None = None
        """``pix1`` and ``view1`` of the samples as they are, when they were hashed already."""
        self._array: Samples | None = None

    @classmethod
    def of(cls, model: str, dtype: str, array: Samples) -> Raster:
        """The raster of an array of shape (height, width) or (height, width, channels), any strides.

        Raises ValueError when the array's type is not the machine type of ``dtype``: a cast would hide
        that a decoder delivered something else than the header declares.
        """
        if array.ndim == 2:
            array = array[:, :, None]
        if array.dtype.newbyteorder("<").str.replace("|", "<") != storage(dtype):
            raise ValueError(f"{array.dtype} does not hold {dtype}")
        height, width, channels = array.shape
        raster = cls(model, dtype, width, height, channels, _Rows(array))
        raster._array = array
        return raster

    @property
    def sample_bytes(self) -> int:
        return int(storage(self.dtype)[2:])

    @property
    def size(self) -> int:
        """Bytes of all samples."""
        return self.height * self.width * self.channels * self.sample_bytes

    def array(self) -> Samples:
        """The samples as an array of shape (height, width, channels), little-endian; not to be written to."""
        import numpy as np

        if self._array is None:
            bands = list(self.bands)
            joined = bands[0] if len(bands) == 1 else b"".join(bands)
            flat: Samples = np.frombuffer(joined, dtype=storage(self.dtype))
            self._array = flat.reshape(self.height, self.width, self.channels)
        if not _is_little(self._array):
            self._array = self._array.astype(self._array.dtype.newbyteorder("<"))
        return self._array

    def rows(self, numbers: Sequence[int]) -> Samples:
        """Some rows, which rise, shape (len(numbers), width, channels), without a copy of the others.

        In any byte order; not to be written to.
        """
        import numpy as np

        if self._array is not None:
            return self._array.take(numbers, axis=0)
        found: list[Samples] = []
        row_bytes = self.width * self.channels * self.sample_bytes
        top = at = 0
        for band in self.bands:
            bottom = top + len(band) // row_bytes
            inside = []
            while at < len(numbers) and numbers[at] < bottom:
                inside.append(numbers[at] - top)
                at += 1
            if inside:
                flat: Samples = np.frombuffer(band, dtype=storage(self.dtype))
                found.append(flat.reshape(-1, self.width, self.channels)[inside])
            top = bottom
        return np.concatenate(found)


def _is_little(array: Samples) -> bool:
    order = array.dtype.byteorder
    return order in "<|" or (order == "=" and sys.byteorder == "little")


class _Rows:
    """Bands of an array: slices of it where it is contiguous and little-endian, else copies of a few rows."""

    def __init__(self, array: Samples) -> None:
        self.array = array

    def __iter__(self) -> Iterator[Buffer]:
        import numpy as np

        array = self.array
        if not array.size:
            return
        if _is_little(array) and array.flags.c_contiguous:
            yield array.view(np.uint8).reshape(-1).data
            return
        rows = max(1, BAND_BYTES // max(1, array[0].nbytes))
        target = array.dtype.newbyteorder("<")
        for top in range(0, array.shape[0], rows):
            band = np.ascontiguousarray(array[top : top + rows], dtype=target)
            yield band.reshape(-1).view(np.uint8).data


# ------------------------------------------------------------------------------------------------ decoding


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came of decoding one frame. ``raster`` is None when there are no samples; ``reason`` says why."""

    raster: Raster | None
    fidelity: Fidelity
    reason: str | None = None

    def lowered(self, fidelity: Fidelity, reason: str) -> Decoded:
        """The same samples in a worse class; a better or equal one changes nothing."""
        if _RANK[fidelity] <= _RANK[self.fidelity]:
            return self
        return Decoded(self.raster, fidelity, reason)


def beyond_palette(largest: int, colours: int) -> str:
    """Why an index is doubtful, in words; "" when the palette has it. Decoders take black or gray, and say nothing."""
    if largest < colours:
        return ""
    return f"index {largest} of a palette of {colours} colours: readers differ in what that is"


def worst(fidelities: Iterable[Fidelity]) -> Fidelity:
    """The class that proves least."""
    return max(fidelities, key=_RANK.__getitem__)


class Undecodable(Exception):
    """No samples can be had from this frame; ``str`` says why in plain words."""


def too_large(frame: Frame, limits: Limits) -> str | None:
    """Which setting forbids to decode the frame, by its header alone; None when none does."""
    pixels = frame.width * frame.height
    sample_bytes = int(storage(frame.dtype)[2:])
    # a decoder's buffers, the raster and a reduced view of it may exist at the same time
    held = 3 * pixels * frame.channels * sample_bytes
    return limits.too_large("decode_limit_pixels", pixels) or limits.too_large("worker_memory_bytes", held)


def decode_frames(
    structure: Structure, content: bytes | memoryview, limits: Limits
) -> Iterator[tuple[Frame, Decoded]]:
    """Decode the frames in order, one at a time, so that only one raster is held.

    Whatever a decoder raises ends as a value: ``UNDECODABLE`` with its words. The class is the frame's, or
    a worse one where the decoder delivered less than the header declares.
    """
    view = memoryview(content)
    if structure.format == "TIFF":
        from catalog.pixels import tiff_raster

        for frame in structure.frames:
            yield frame, _guarded(frame, limits, partial(tiff_raster.decode, structure, frame, view))
        return
    from catalog.pixels import image_raster

    source = image_raster.Source(structure, content, limits)
    for frame in structure.frames:
        yield frame, _guarded(frame, limits, partial(source.decode, frame))


def decode(structure: Structure, content: bytes | memoryview, limits: Limits) -> tuple[Frame, Decoded]:
    """Decode the first frame that belongs to the picture (rule 9)."""
    for frame, decoded in decode_frames(structure, content, limits):
        if frame.counted:
            return frame, decoded
    raise Undecodable("no frame belongs to the picture")


def orientation_of(structure: Structure, frame: Frame) -> int:
    """The Orientation of one image: its directory's own where a TIFF has several."""
    if len(structure.frames) == 1 or frame.ifd is None:
        return structure.orientation
    for tag in structure.ifds[frame.ifd].tags:
        if tag.code == _ORIENTATION and tag.type in (1, 3, 4):
            value = int.from_bytes(tag.raw, "little")
            return value if 1 <= value <= 8 else 1
    return structure.orientation if frame.role is PageRole.SUBIFD else 1


def _guarded(frame: Frame, limits: Limits, run: Callable[[], Decoded]) -> Decoded:
    """``run``'s result, or the reason why there is none."""
    refusal = _refused(frame, limits)
    if refusal is not None:
        return refusal
    try:
        decoded = run()
        if frame.defects and decoded.raster is not None:
            decoded = decoded.lowered(Fidelity.DAMAGED, "; ".join(frame.defects[:4]))
        return decoded
    except ImportError:
        raise  # a library that is not there is no fact about a file
    except MemoryError:
        words = limits.exhausted("not enough memory to decode it", "worker_memory_bytes")
        return Decoded(None, Fidelity.UNDECODABLE, words)
    except Undecodable as error:
        return Decoded(None, Fidelity.UNDECODABLE, str(error))
    except Exception as error:  # noqa: BLE001 (hostile headers make decoders raise anything)
        return Decoded(None, Fidelity.UNDECODABLE, worded(error))


def _refused(frame: Frame, limits: Limits) -> Decoded | None:
    """The answer for a frame that is not to be decoded at all."""
    try:
        refusal = too_large(frame, limits)
        if refusal is not None:
            return Decoded(None, Fidelity.UNVERIFIED, refusal)
    except ValueError as error:
        return Decoded(None, Fidelity.UNDECODABLE, str(error))
    return None


def worded(error: BaseException) -> str:
    """A decoder's exception as a reason: its words, with its kind where the words alone say little.

    The same file gives the same words: no addresses, and no text that a codec could not read itself.
    """
    if isinstance(error, UnicodeDecodeError):
        return "the decoder failed, and its words are unreadable"
    words = _OBJECT.sub("", " ".join(str(error).split()))[:300].strip()
    return (
        words if words and isinstance(error, OSError | RuntimeError) else f"{type(error).__name__}: {words}"
    )
