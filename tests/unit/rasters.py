"""What tests of rasters share: decoding in one step, and files written in some way."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from catalog.pixels import raster
from catalog.pixels.raster import Decoded
from catalog.pixels.structure import parse
from catalog.terms import Fidelity, Limits

RNG = np.random.default_rng(20)


def decoded(content: bytes, limits: Limits | None = None) -> Decoded:
    return raster.decode(parse(content), content, limits or Limits())[1]


def samples(content: bytes) -> np.ndarray:
    """The canonical samples of a file that must be exact."""
    found = decoded(content)
    assert (found.fidelity, found.reason) == (Fidelity.EXACT, None)
    assert found.raster is not None
    return found.raster.array()


def written(array: np.ndarray, **options: Any) -> bytes:
    buffer = BytesIO()
    tifffile.imwrite(buffer, array, metadata=None, **options)
    return buffer.getvalue()


def noise(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return RNG.normal(size=shape).astype(kind)
    return RNG.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of samples, highest bit first, each row padded to a whole byte: TIFF 6 in plain Python."""
    rows = []
    for row in values.reshape(values.shape[0], -1):
        text = "".join(format(int(value) & ((1 << bits) - 1), f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    return b"".join(rows)


def group4(black: np.ndarray) -> bytes:
    """The G4 codes of an array of 0 and 1, by libtiff."""
    buffer = BytesIO()
    Image.fromarray(black * 255).convert("1").save(buffer, "TIFF", compression="group4")
    tiff = parse(buffer.getvalue()).frames[0].tiff
    assert tiff is not None
    assert (len(tiff.offsets), tiff.photometric) == (
        1,
        1,
    )  # so that bit 1, which is white here, is codes' black
    return buffer.getvalue()[tiff.offsets[0] : tiff.offsets[0] + tiff.counts[0]]
