"""Samples of everything that is not TIFF: which decoder each format gets.

PNG and still WebP go to libpng and libwebp by way of imagecodecs: 16 bits stay 16 bits, and a wrong CRC or
Adler-32 or a short image is an error (Pillow takes a PNG whose data are 900 bytes short, and one with a wrong
IDAT checksum at 1 bit). All others, and every animation, go to Pillow.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from catalog.pixels.raster import Decoded, Raster
from catalog.pixels.structure import Frame, Structure
from catalog.terms import Fidelity, Limits

if TYPE_CHECKING:
    from catalog.pixels.pillow_raster import Frames


class Source:
    """The frames of one file that is not TIFF; a context manager that closes what it opened."""

    def __init__(self, structure: Structure, content: bytes | memoryview, limits: Limits) -> None:
        self._structure = structure
        self._content = content
        self._limits = limits
        self._frames: Frames | None = None

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._frames is not None:
            self._frames.close()

    def decode(self, frame: Frame) -> Decoded:
        """The canonical raster of one frame; frames are asked for in order. Raises what decoders raise."""
        total = len(self._structure.frames)
        if total == 1 and self._structure.format in ("PNG", "WEBP"):
            return self._still(frame)
        if self._frames is None:
            from catalog.pixels.pillow_raster import Frames

            self._frames = Frames(self._content, self._structure.format, self._limits, total)
        return self._frames.decode(frame, frame.index)

    def _still(self, frame: Frame) -> Decoded:
        import imagecodecs

        content: Any = self._content  # imagecodecs takes any buffer, its stubs say bytes
        array: Any
        if self._structure.format == "PNG":
            array = imagecodecs.png_decode(content)
        else:
            array = imagecodecs.webp_decode(content, hasalpha=True if frame.channels == 4 else None)
        if array.ndim == 2:
            array = array[:, :, None]
        shape = (frame.height, frame.width, frame.channels)
        if array.shape != shape:
            delivered, expected = ("x".join(map(str, each)) for each in (array.shape, shape))
            raise RuntimeError(f"the decoder delivered {delivered} samples, the header declares {expected}")
        bits = array.dtype.itemsize * 8
        raster = Raster.of(frame.model, f"u{bits}", array)
        result = Decoded(raster, frame.fidelity, frame.fidelity_reason)
        if f"u{bits}" != frame.dtype:
            words = f"the decoder delivered u{bits}, the header declares {frame.dtype}"
            result = result.lowered(
                Fidelity.LOSSY if bits < int(frame.dtype[1:]) else Fidelity.UNVERIFIED, words
            )
        return result
