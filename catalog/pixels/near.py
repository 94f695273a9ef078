"""The near hash ``dct256-v1``: 256 bits of what a picture looks like from afar. Never an identity.

The picture as displayed is brought to gray and to 64 x 64 cell means; of their two-dimensional DCT-II the
coefficients 1 to 16 of both directions are kept, and each bit says whether one lies above their median. Two
hashes are compared by the number of bits that differ (``catalog.drift.near``). Brightness, contrast, bit depth,
scale and lossy compression change few bits; a crop, a turn or another picture change many.

Means and DCT are one product of matrices, from samples at fewer than 192 x 192 places: what an image costs does
hardly depend on its size (benchmarks/near.py).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from catalog.pixels.raster import Raster

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[Any]
    Floats = NDArray[np.float32]

CELLS: Final = 64
SIDE: Final = 16
"""Coefficients of each direction that make a bit, without the first, which is the mean."""
GRID: Final = 96
"""So many samples of each direction are looked at; all, where there are fewer than twice as many."""
_GOLDEN: Final = 0.6180339887498949
_FLAT: Final = 0.002
"""Root of the share of the energy that the bits stand on; below it, rounding would decide them."""
_RGB: Final = (0.299, 0.587, 0.114)
_FLIPPED_ROWS: Final = (3, 4, 7, 8)
_FLIPPED_COLUMNS: Final = (2, 3, 6, 7)


def near_hash(raster: Raster, orientation: int = 1) -> bytes | None:
    """The hash of one image as displayed, 32 bytes, the lowest frequencies first.

    None for a picture that has nothing to go by: blank, or stripes in one direction only. Raises MemoryError.
    """
    import numpy as np

    if not raster.width or not raster.height:
        return None
    gray = _gray(_sampled(raster), raster)
    rows, columns = gray.shape
    found = _basis(rows) @ (gray @ _basis(columns).T)
    bits, whole = _displayed(found[1:, 1:], orientation).reshape(-1), found.reshape(-1)
    if bits @ bits <= _FLAT**2 * (whole @ whole):
        return None
    ordered = np.sort(bits)
    middle = (ordered[bits.size // 2 - 1] + ordered[bits.size // 2]) / 2
    return np.packbits(bits > middle).tobytes()


@lru_cache(maxsize=512)
def _basis(number: int) -> Floats:
    """Shape (17, number): takes evenly spaced samples to the first coefficients of their 64 cell means' DCT."""
    import numpy as np

    edges = np.arange(CELLS + 1) * (number / CELLS)
    starts = np.arange(number)
    shared = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    means = np.clip(shared, 0, None) * (CELLS / number)
    frequency, cell = np.arange(SIDE + 1)[:, None], np.arange(CELLS)
    cosines = np.cos(np.pi * (2 * cell + 1) * frequency / (2 * CELLS))
    return np.ascontiguousarray(cosines @ means, dtype=np.float32)


def _sampled(raster: Raster) -> Samples:
    """Samples of a grid, shape (rows, columns, channels): all of a small image."""
    down, across = _places(raster.height), _places(raster.width)
    array = raster.array() if down is None else raster.rows(down)
    return array if across is None else array.take(across, axis=1)


@lru_cache(maxsize=512)
def _places(length: int) -> tuple[int, ...] | None:
    """Which rows or columns are looked at: one somewhere in each of GRID equal pieces; None for all of them.

    Not evenly spaced: a halftone or a weave would be in step with an even grid, and look like a gradient. The
    second half mirrors the first, so that a mirrored picture is sampled at the same places.
    """
    if length < 2 * GRID:
        return None
    first = [int((piece + piece * _GOLDEN % 1) * length / GRID) for piece in range(GRID // 2)]
    return (*first, *(length - 1 - place for place in reversed(first)))


def _gray(samples: Samples, raster: Raster) -> Floats:
    """Brightness, shape (rows, columns), in any unit; alpha lies on white, inks are taken away from it."""
    import numpy as np

    model = raster.model.partition("+")[0]
    small = samples.dtype.kind != "f" and samples.dtype.itemsize <= 2
    if model == "rgb" and small:  # nearly every picture
        return _weighted(samples)
    full = float((1 << int(raster.dtype[1:])) - 1)
    if not small:
        # Squares of larger numbers leave single precision, and a warning would be taken for a complaint.
        with np.errstate(all="ignore"):
            samples = np.nan_to_num(samples.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
            samples /= full if raster.dtype[0] != "f" else max(float(np.abs(samples).max()), 1e-300)
        full = 1.0
    if model.startswith("cmyk"):
        ink = _weighted(samples) + samples[:, :, 3]
        return _on_white(full - ink, samples, model, 4, full)
    colours = 3 if model.startswith(("rgb", "lab", "ycbcr")) and samples.shape[2] >= 3 else 1
    # The first channel of Lab and YCbCr is the brightness; of inks and sensors, the first is as good as any.
    plain = _weighted(samples) if model.startswith("rgb") else samples[:, :, 0].astype(np.float32)
    return _on_white(plain, samples, model, colours, full)


def _on_white(gray: Floats, samples: Samples, model: str, channel: int, full: float) -> Floats:
    """The gray under alpha in ``channel``; as it is where the model has none."""
    import numpy as np

    premultiplied = model.endswith("a-premul")
    if samples.shape[2] <= channel or not (premultiplied or model in ("graya", "rgba", "cmyka", "laba")):
        return gray.astype(np.float32, copy=False)
    alpha = samples[:, :, channel] / np.float32(full)
    covered = gray if premultiplied else gray * alpha
    return (covered + (1 - alpha) * np.float32(full)).astype(np.float32, copy=False)


def _weighted(samples: Samples) -> Floats:
    """Three channels as one brightness (Rec. 601)."""
    import numpy as np

    height, width, channels = samples.shape
    if channels == 3 and samples.flags.c_contiguous:
        flat = samples.reshape(-1, 3).astype(np.float32) @ np.array(_RGB, np.float32)
        return flat.reshape(height, width)
    red, green, blue = (samples[:, :, band] * np.float32(weight) for band, weight in enumerate(_RGB))
    total: Floats = (red + green + blue).astype(np.float32, copy=False)
    return total


def _displayed(coefficients: Floats, orientation: int) -> Floats:
    """The coefficients of the picture as displayed: turning and mirroring swap and negate them."""
    turned = coefficients.T if orientation >= 5 else coefficients
    if orientation in (*_FLIPPED_ROWS, *_FLIPPED_COLUMNS):
        turned = turned.copy()
        if orientation in _FLIPPED_ROWS:
            turned[::2] *= -1  # the odd frequencies: the first row is frequency 1
        if orientation in _FLIPPED_COLUMNS:
            turned[:, ::2] *= -1
    return turned
