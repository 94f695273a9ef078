"""The pixel checksums ``pix1`` and ``view1`` of a raster (docs/pixel-checksum.md, rules 1-10).

numpy is imported only where a reduction of the view needs it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from catalog.pixels.raster import BAND_BYTES, Raster

if TYPE_CHECKING:
    from catalog.pixels.raster import Samples
    from catalog.pixels.structure import Frame, Unfinished

CHUNK: Final = 1 << 16
"""Bytes that both hashes take in turn: they stay in the cache between the two (measured: 41 against 48 ms
for 36 MB)."""
BESIDE: Final = 8 << 20
"""Bytes of one band from which on a second thread pays, where a processor is idle: 36 MB take 33 ms instead of 44,
but 61 ms of CPU, which a scan with a worker for each processor has not to spare."""
_PROBE_PIXELS: Final = 512
_COLOURS: Final = {"gray": 1, "rgb": 3, "cmyk": 4, "lab": 3, "ycbcr": 3}
_ALPHA: Final = {f"{model}{kind}": at for model, at in _COLOURS.items() for kind in ("a", "a-premul")}
"""Models with alpha -> its channel."""
_OFFSET: Final = ("lab", "ycbcr")
"""Colours around a middle value: 257 times an 8-bit sample is not the same colour in 16 bits."""


# ---------------------------------------------------------------------------------------------- checksums


def header(prefix: str, raster: Raster | Frame) -> bytes:
    """The line that stands before the samples, so that equal bytes of another shape or type differ."""
    return (
        f"{prefix}\n{raster.model} {raster.dtype} {raster.width}x{raster.height}x{raster.channels}\n".encode()
    )


def frame_digests(
    raster: Raster, orientation: int = 1, unfinished: Unfinished | None = None
) -> tuple[bytes, bytes]:
    """(``pix1``, ``view1``) of one image, 32 bytes each. ``unfinished`` takes the samples in the same pass.

    Raises ValueError when the bands do not hold exactly the samples that the header line announces.
    """
    view = view_of(raster, orientation)
    if raster.digests is not None:
        return raster.digests if view is raster else (raster.digests[0], _hashed(view, "view1")[0])
    payload = None if unfinished is None else unfinished.before.copy()
    also = () if payload is None else (payload,)
    if view is raster:
        pixels, same = _hashed(raster, "pix1", "view1", also=also)
    else:
        pixels, same = _hashed(raster, "pix1", also=also)[0], _hashed(view, "view1")[0]
    if unfinished is not None:
        unfinished.finished = payload
    return pixels, same


def combined(level: str, digests: Sequence[bytes]) -> bytes:
    """Rule 9: the digest of a file from those of its images. ``level`` is ``pix1`` or ``view1``."""
    if len(digests) == 1:
        return digests[0]
    text = f"{level} multi {len(digests)}\n" + "\n".join(digest.hex() for digest in digests)
    return hashlib.sha256(text.encode()).digest()


def _hashed(raster: Raster, *levels: str, also: Sequence[hashlib._Hash] = ()) -> list[bytes]:
    """One digest for each level, in one pass over the samples, which ``also`` takes, too."""
    hashes = [hashlib.sha256(header(level, raster)) for level in levels]
    updates = [each.update for each in (*also, *hashes)]
    seen = 0
    for band in raster.bands:
        size = len(band)
        seen += size
        if size <= CHUNK or len(updates) == 1:
            for update in updates:
                update(band)
        else:
            _update_in_turn(updates, memoryview(band))
    if seen != raster.size:
        raise ValueError(f"{seen} bytes of samples where {raster.size} are announced")
    return [each.digest() for each in hashes]


def _update_in_turn(updates: list[Callable[[Any], None]], band: memoryview) -> None:
    if len(band) >= BESIDE and processor_idle():
        *others, last = updates
        done: list[bool] = []
        beside = threading.Thread(target=lambda: done.append(last(band) is None))
        try:
            beside.start()
        except RuntimeError:  # no thread to be had: TasksMax, or the memory limit
            last(band)
            _by_chunks(others, band)
            return
        _by_chunks(others, band)
        beside.join()
        if not done:
            raise RuntimeError("a digest was not finished")
        return
    _by_chunks(updates, band)


def _by_chunks(updates: Sequence[Callable[[Any], None]], band: memoryview) -> None:
    size = CHUNK if len(updates) > 1 else len(band)
    for start in range(0, len(band), size):
        chunk = band[start : start + size]
        for update in updates:
            update(chunk)


def processor_idle() -> bool:
    """Whether one of the processors that we may use has nothing to do now, and had not much of late."""
    try:
        with open("/proc/loadavg", "rb") as file:
            return room_in(file.read(), len(os.sched_getaffinity(0)))
    except (OSError, ValueError):
        return False


def room_in(load: bytes, processors: int) -> bool:
    """Whether ``/proc/loadavg`` tells of an idle processor. What runs at this moment alone would be chance; the average
    of a minute alone takes our own second thread for somebody else's work."""
    average, _, _, tasks, *_ = load.split()
    return int(tasks.partition(b"/")[0]) < processors and float(average) <= processors - 0.5


# --------------------------------------------------------------------------------------- rule 10: the view


def view_of(raster: Raster, orientation: int = 1) -> Raster:
    """The raster that ``view1`` hashes: oriented as displayed and without loss reduced (rule 10).

    Gives ``raster`` itself when nothing is to be done, which a few pixels prove for nearly every picture.
    """
    base, _, further = raster.model.partition("+")
    alpha = _ALPHA.get(base)
    widened, gray = _may_reduce(raster, base)
    if orientation == 1 and alpha is None and not widened and not gray:
        return raster
    model, dtype = base, raster.dtype
    array = original = raster.array()
    if alpha is not None:
        array, model = _without_idle_alpha(array, dtype, base, alpha)
        if array is not original:  # zeroed colours may be equal ones, or multiples
            widened = dtype == "u16" and not model.startswith(_OFFSET)
            gray = model.startswith("rgb")
    if widened and _every(array, _is_widened):
        array, dtype = (array & 0xFF).astype("<u1"), "u8"
    if gray and _every(array, _is_gray):
        array, model = _drop_channels(array, 1, 3), model.replace("rgb", "gray")
    if orientation != 1:
        array = oriented(array, orientation)
    if array is original:
        return raster
    return Raster.of(f"{model}+{further}" if further else model, dtype, array)


def oriented(array: Samples, orientation: int) -> Samples:
    """The array as it is to be displayed (TIFF 6 tag 274, values 1-8); a strided view, nothing is copied."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _may_reduce(raster: Raster, base: str) -> tuple[bool, bool]:
    """(perhaps widened from 8 bits, perhaps R = G = B), judged by some pixels of nine places."""
    widened = raster.dtype == "u16" and not base.startswith(_OFFSET)
    gray = base.startswith("rgb")
    if not widened and not gray:
        return False, False
    size = raster.sample_bytes
    for piece in _pieces(raster, raster.channels * size):
        widened = widened and piece[0::2] == piece[1::2]
        gray = gray and _gray_bytes(piece, raster.channels * size, size)
        if not widened and not gray:
            break
    return widened, gray


def _pieces(raster: Raster, step: int) -> Iterator[bytes]:
    """Some pixels of the beginning, the middle and the end of the first, the middle and the last band."""
    bands = raster.bands
    listed = bands if bands and isinstance(bands, tuple) else (next(iter(bands), b""),)
    length = _PROBE_PIXELS * step
    for place in dict.fromkeys((0, len(listed) // 2, len(listed) - 1)):
        band = listed[place]
        size = len(band)
        for start in (0, size // 2 // step * step, max(0, size - length)):
            yield bytes(band[start : start + length])


def _gray_bytes(piece: bytes, step: int, size: int) -> bool:
    for at in range(size):
        red = piece[at::step]
        if red != piece[size + at :: step] or red != piece[2 * size + at :: step]:
            return False
    return True


def _without_idle_alpha(array: Samples, dtype: str, model: str, alpha: int) -> tuple[Samples, str]:
    """Drop alpha when all of it is opaque; else clear the colour of what nobody can see."""
    import numpy as np

    opaque, invisible = _alpha_state(array, dtype, alpha)
    if opaque:
        return _drop_channels(array, alpha, alpha + 1), model.removesuffix("-premul")[:-1]
    if not invisible or model.endswith("-premul"):  # associated colour under alpha 0 is light: it is seen
        return array, model
    mask = array[:, :, alpha] == np.zeros((), array.dtype)
    if not any(bool(_bits(array[:, :, c])[mask].any()) for c in range(alpha)):
        return array, model
    array = array.copy()
    for channel in range(alpha):
        array[:, :, channel][mask] = 0
    return array, model


def _alpha_state(array: Samples, dtype: str, alpha: int) -> tuple[bool, bool]:
    """(every pixel is opaque, some pixel is invisible)."""
    import numpy as np

    full = 1.0 if dtype[0] == "f" else (1 << int(dtype[1:]) - (dtype[0] == "i")) - 1
    if (
        array.shape[2] == 4
        and alpha == 3
        and dtype in ("u8", "u16")
        and array.flags.c_contiguous
        and array.size
    ):
        # alpha is the highest part of the pixel taken as one number: one fast minimum says it all
        bits = int(dtype[1:])
        lowest = int(array.view(f"<u{bits // 2}").min()) >> 3 * bits
        return lowest == full, lowest == 0
    band = array[:, :, alpha]
    return bool(np.all(band == full)), not bool(np.all(band))


def _every(array: Samples, holds: Callable[[Samples], bool]) -> bool:
    """Whether each band of rows satisfies ``holds``; the first that does not ends the search."""
    rows = max(1, BAND_BYTES // max(1, array[:1].nbytes))
    return all(holds(array[top : top + rows]) for top in range(0, array.shape[0], rows))


def _is_widened(band: Samples) -> bool:
    return not bool((((band >> 8) ^ band) & 0xFF).any())


def _is_gray(band: Samples) -> bool:
    bits = _bits(band)
    return bool((bits[:, :, 0] == bits[:, :, 1]).all() and (bits[:, :, 0] == bits[:, :, 2]).all())


def _bits(array: Samples) -> Samples:
    """Floats as their bit patterns: NaN equals itself, and -0.0 is not 0.0."""
    return array.view(f"<u{array.dtype.itemsize}") if array.dtype.kind == "f" else array


def _drop_channels(array: Samples, start: int, stop: int) -> Samples:
    import numpy as np

    if stop == array.shape[2]:
        return array[:, :, :start]
    return np.concatenate([array[:, :, :start], array[:, :, stop:]], axis=2)
