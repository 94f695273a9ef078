"""Frames of an animated PNG, each decoded alone by libpng, and composited here by the rules of APNG.

Pillow 13 lays half-transparent pixels over others with a wrong alpha, gives 8 bits of 16, and clears to black what has
no alpha channel; it says nothing of either.
Source: PNG third edition (W3C, 2025), "fcTL: Frame Control chunk".
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from catalog.pixels.png import SIGNATURE, read_chunks
from catalog.pixels.raster import Decoded, Raster, Undecodable, beyond_palette
from catalog.pixels.segment_codecs import png_samples
from catalog.pixels.structure import Frame
from catalog.terms import Fidelity, Limits, PageRole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[Any]

_CONTROL: Final = struct.Struct(">IIIIIHHBB")
"""Sequence number, width, height, left, top, delay (two numbers), disposal, blending."""
_BACKGROUND, _PREVIOUS, _OVER = 1, 2, 1


class Frames:
    """The frames of one file, asked for in order."""

    def __init__(self, content: bytes | memoryview, limits: Limits) -> None:
        self._limits = limits
        self._chunks = read_chunks(memoryview(content))
        self._images = self._listed()
        self._canvas: Samples | None = None
        self._doubt = ""

    def decode(self, frame: Frame) -> Decoded:
        """The composited frame; the default image that is no frame as it is. Raises what libpng raises."""
        from catalog.pixels.image_raster import announced

        if frame.role is not PageRole.FRAME:
            chunks = self._chunks
            result = announced(frame, self._alone(chunks.width, chunks.height, chunks.idat))
            return result.lowered(Fidelity.UNVERIFIED, self._doubt) if self._doubt else result
        if not self._images:
            raise Undecodable("the frame is not there")
        control, pieces = self._images.pop(0)
        try:
            array = self._composited(control, pieces)
        except Exception:
            self._images.clear()  # what follows lies over it
            raise
        result = Decoded(Raster.of(frame.model, frame.dtype, array), frame.fidelity, frame.fidelity_reason)
        return result.lowered(Fidelity.UNVERIFIED, self._doubt) if self._doubt else result

    def _listed(self) -> list[tuple[tuple[int, ...], list[memoryview]]]:
        """(frame control, pieces of its zlib stream) of each frame. Raises Undecodable when chunks are out of order."""
        listed: list[tuple[tuple[int, ...], list[memoryview]]] = []
        expected = 0
        for name, body in self._chunks.parts:
            if name in ("fcTL", "fdAT"):
                if len(body) < (_CONTROL.size if name == "fcTL" else 4):
                    raise Undecodable(f"a chunk {name} of {len(body)} bytes")
                if int.from_bytes(body[:4], "big") != expected:
                    raise Undecodable("frames out of sequence")
                expected += 1
            if name == "fcTL":
                listed.append((_CONTROL.unpack_from(body), []))
            elif name == "fdAT" and listed:
                listed[-1][1].append(body[4:])
            elif name == "IDAT" and listed:
                listed[-1][1].extend(self._chunks.idat)
        return listed

    def _alone(self, width: int, height: int, pieces: list[memoryview]) -> Samples:
        """One image as a PNG of its own, decoded: shape (height, width, channels)."""
        chunks = self._chunks
        header = struct.pack(
            ">IIBBBBB", width, height, chunks.bit_depth, chunks.color_type, 0, 0, chunks.interlaced
        )
        parts = [SIGNATURE, _chunk(b"IHDR", header)]
        if chunks.color_type == 3 and chunks.palette is not None:
            parts.append(_chunk(b"PLTE", chunks.palette))
        if chunks.trns is not None and chunks.color_type in (0, 2, 3):
            parts.append(_chunk(b"tRNS", chunks.trns))
        parts += (_chunk(b"IDAT", b"".join(pieces)), _chunk(b"IEND", b""))
        content = b"".join(parts)
        array = png_samples(content)
        if chunks.color_type == 3 and chunks.palette and len(chunks.palette) < 3 << chunks.bit_depth:
            from catalog.pixels.pillow_raster import largest_index

            largest = largest_index(content, "PNG", self._limits)
            self._doubt = beyond_palette(largest, len(chunks.palette) // 3) or self._doubt
        array = array[:, :, None] if array.ndim == 2 else array
        if array.shape[:2] != (height, width):
            raise Undecodable(
                f"a frame of {width}x{height} delivers {array.shape[1]}x{array.shape[0]} pixels"
            )
        return array

    def _composited(self, control: tuple[int, ...], pieces: list[memoryview]) -> Samples:
        _, width, height, left, top, _, _, disposal, blending = control
        chunks = self._chunks
        if not pieces or width < 1 or height < 1:
            raise Undecodable("a frame without samples")
        if left + width > chunks.width or top + height > chunks.height:
            raise Undecodable("a frame reaches beyond the canvas")
        image = _as_rgba(self._alone(width, height, pieces))
        first = self._canvas is None
        canvas = (
            np.zeros((chunks.height, chunks.width, 4), image.dtype) if self._canvas is None else self._canvas
        )
        before = canvas.copy() if disposal == _PREVIOUS and not first else None
        region = canvas[top : top + height, left : left + width]
        if blending == _OVER and not first:
            alpha = image[:, :, 3]
            opaque = alpha == np.iinfo(image.dtype).max
            if not bool((opaque | (alpha == 0)).all()):
                self._doubt = "half-transparent pixels over others: readers round them differently"
            region[alpha > 0] = image[alpha > 0]
        else:
            region[...] = image
        shown: Samples = canvas.copy()
        if before is not None:
            canvas = before
        elif disposal in (_BACKGROUND, _PREVIOUS):
            region[...] = 0
        self._canvas = canvas
        return shown


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _as_rgba(array: Samples) -> Samples:
    """Gray as colours, and alpha where there is none."""
    channels = array.shape[2]
    colours = np.repeat(array[:, :, :1], 3, axis=2) if channels < 3 else array[:, :, :3]
    if channels in (2, 4):
        return np.concatenate([colours, array[:, :, -1:]], axis=2)
    full = np.full((*array.shape[:2], 1), np.iinfo(array.dtype).max, array.dtype)
    return np.concatenate([colours, full], axis=2)
