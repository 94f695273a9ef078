"""TIFF samples: from strips and tiles to the canonical raster, each segment checked by us.

The geometry comes from our own header parser; the codecs see one segment at a time and what they deliver
is held against what it must hold. A segment that is missing, short or broken leaves zeros and the class
``damaged``. numpy and the codecs are imported only when there is something to decode.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from catalog.pixels.raster import Decoded, Raster, Undecodable, storage
from catalog.pixels.structure import Frame, Structure
from catalog.terms import Fidelity, IfdKind, Tag

_BY_LIBTIFF: Final = frozenset((6, 32766, 32771, 32809, 32908, 32909, 34676, 34677))
"""Old-style JPEG, NeXT, CCITT RLE/W, ThunderScan, Pixar, SGI LogLuv."""
_ORIENTATION: Final = 274
_LITTLE: Final = 0x49
"""``I`` of ``II``."""
_CHAIN: Final = frozenset((IfdKind.PAGE, IfdKind.THUMBNAIL, IfdKind.MASK))


def decode(structure: Structure, frame: Frame, view: memoryview) -> Decoded:
    """The canonical raster of one TIFF frame.

    Raises ``Undecodable`` when there are no samples, and whatever a codec raises on a hostile header.
    """
    tiff = frame.tiff
    if tiff is None:
        raise Undecodable("no TIFF fields")
    bands = stored_bands(frame, view)
    if bands is not None:
        little = tiff.bits[0] == 8 or view[0] == _LITTLE
        if little or len(bands) == 1:
            raster = _plain(frame, bands) if little else _swapped(frame, bands[0])
            return Decoded(raster, frame.fidelity, frame.fidelity_reason)
    from catalog.pixels import segment_codecs as codecs

    compression = tiff.compression
    known = codecs.gives_bytes(compression) or codecs.is_bilevel(compression)
    if compression in _BY_LIBTIFF or (tiff.subsampling != (1, 1) and known):
        return _whole_page(structure, frame, view)
    if not known and not codecs.gives_samples(compression):
        raise Undecodable(f"no decoder for TIFF compression {compression}")
    from catalog.pixels.tiff_assembly import Assembly

    return Assembly(frame, tiff, view, _tags(structure, frame)).decoded()


def _plain(frame: Frame, bands: tuple[memoryview, ...]) -> Raster:
    return Raster(frame.model, frame.dtype, frame.width, frame.height, frame.channels, bands)


def _swapped(frame: Frame, band: memoryview) -> Raster:
    """Big-endian samples as they lie in the file; some rows at a time are swapped when they are hashed."""
    import numpy as np

    array: Any = np.frombuffer(band, storage(frame.dtype).replace("<", ">"))
    return Raster.of(frame.model, frame.dtype, array.reshape(frame.height, frame.width, frame.channels))


def _tags(structure: Structure, frame: Frame) -> dict[int, Tag]:
    """The tags of the frame's directory; of doubles the first, as readers do."""
    if frame.ifd is None or frame.ifd >= len(structure.ifds):
        return {}
    return {tag.code: tag for tag in reversed(structure.ifds[frame.ifd].tags)}


def _whole_page(structure: Structure, frame: Frame, view: memoryview) -> Decoded:
    """A page of the main chain by libtiff alone, which knows what nothing else does.

    The segments are not checked by us here, so that the class is never better than the decoder's.
    """
    import imagecodecs

    from catalog.pixels.complaints import listen

    listen("imagecodecs")
    before = structure.ifds[: frame.ifd]
    if frame.ifd is None or structure.ifds[frame.ifd].kind not in _CHAIN:
        raise Undecodable("only libtiff decodes this compression, and not below another directory")
    whole: Any = _unturned(structure, frame, view)
    array = imagecodecs.tiff_decode(whole, index=sum(1 for ifd in before if ifd.kind in _CHAIN))
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[:2] != (frame.height, frame.width):
        delivered = f"{array.shape[1]}x{array.shape[0]}"
        raise Undecodable(f"libtiff delivered {delivered}, the header declares {frame.width}x{frame.height}")
    dtype = array.dtype.str.lstrip("<>=|")
    dtype = f"{dtype[0]}{int(dtype[1:]) * 8}"
    model = frame.model if array.shape[2] == frame.channels else f"ink{array.shape[2]}"
    result = Decoded(Raster.of(model, dtype, array), frame.fidelity, frame.fidelity_reason)
    if (model, dtype) != (frame.model, frame.dtype):
        words = f"libtiff delivered {model} {dtype}, the header declares {frame.model} {frame.dtype}"
        return result.lowered(Fidelity.UNVERIFIED, words)
    return result.lowered(Fidelity.DECODER, "decoded by libtiff alone, its segments unchecked")


def _unturned(structure: Structure, frame: Frame, view: memoryview) -> memoryview | bytearray:
    """The file, with the directory's Orientation as 1: libtiff's RGBA path flips what it delivers (rule 6)."""
    tag = _tags(structure, frame).get(_ORIENTATION)
    if frame.tiff is None or tag is None or tag.value == [1]:
        return view
    order: Literal["little", "big"] = "little" if view[0] == _LITTLE else "big"
    big = bool(structure.detail["big"])
    head, entry = (8, 20) if big else (2, 12)
    at = frame.tiff.ifd_offset
    copy = bytearray(view)
    end = at + head + entry * int.from_bytes(view[at : at + head], order)
    for place in range(at + head, min(end, len(copy) - entry + 1), entry):
        if int.from_bytes(view[place : place + 2], order) == _ORIENTATION:
            one = (3).to_bytes(2, order) + (1).to_bytes(8 if big else 4, order)  # SHORT, one of them
            copy[place + 2 : place + entry] = (one + (1).to_bytes(2, order)).ljust(entry - 2, b"\0")
    return copy


def stored_bands(frame: Frame, view: memoryview) -> tuple[memoryview, ...] | None:
    """The strips as they lie in the file, when their bytes are the canonical samples already; else None.

    That is: uncompressed, whole, pixel-interleaved, black is zero, no palette. In a big-endian file samples of
    more than 8 bits are still to be swapped.
    """
    tiff = frame.tiff
    if (
        tiff is None
        or tiff.compression != 1
        or tiff.tiled
        or tiff.fill_order != 1
        or (tiff.planar == 2 and tiff.samples > 1)
        or tiff.photometric in (0, 3)
        or tiff.subsampling != (1, 1)
        or frame.channels != tiff.samples
    ):
        return None
    bits = tiff.bits[0]
    if bits not in (8, 16, 32, 64) or int(frame.dtype[1:]) != bits or tiff.bits.count(bits) != tiff.samples:
        return None
    row = frame.width * frame.channels * bits // 8
    full, height, size = tiff.segment_height, frame.height, len(view)
    strips = -(-height // full)
    if len(tiff.offsets) != strips or len(tiff.counts) != strips:
        return None
    bands = []
    left, start, end = height, 0, -1
    for offset, count in zip(tiff.offsets, tiff.counts, strict=True):
        needed = row * (full if left > full else left)
        left -= full
        if count < needed or offset + needed > size or offset <= 0:
            return None
        if offset != end:  # strips that follow each other are one band
            if end > 0:
                bands.append(view[start:end])
            start = offset
        end = offset + needed
    bands.append(view[start:end])
    return tuple(bands)
