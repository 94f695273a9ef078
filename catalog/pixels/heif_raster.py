"""Samples of HEIF by libheif, where the optional package ``pillow-heif`` is installed."""

from __future__ import annotations

import re
from typing import Any, Final

from catalog.pixels.boxes import boxes
from catalog.pixels.image_raster import announced
from catalog.pixels.raster import Decoded, Undecodable
from catalog.pixels.structure import Frame

MISSING: Final = "HEIF: no decoder is installed; install it with: pip install pillow-heif"
_TURN: Final = re.compile(rb"(?<=\0\0\0\x09)(?:irot|imir).", re.DOTALL)
"""A property that turns or mirrors: a box of nine bytes, the last of them its angle or axis."""


def decode(frame: Frame, content: bytes | memoryview) -> Decoded:
    """The canonical raster, in stored order. Raises Undecodable without ``pillow-heif``, and what libheif raises."""
    try:
        import pillow_heif
    except ImportError as error:
        raise Undecodable(MISSING) from error
    import numpy as np

    opened = pillow_heif.open_heif(_unturned(content), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    array: Any = np.asarray(opened[opened.primary_index])
    return announced(frame, array)


def _unturned(content: bytes | memoryview) -> bytes:
    """The file with every turn by no angle: libheif turns what it delivers, and subsampled colours turn otherwise
    than the samples that they become (rule 6)."""
    parts: list[bytes | memoryview] = []
    end, view = 0, memoryview(content)
    for box in boxes(view):
        if box.kind == b"meta":
            parts += [view[end : box.at], _TURN.sub(b"irot\0", bytes(view[box.at : box.end]))]
            end = box.end
    return b"".join((*parts, view[end:]))
