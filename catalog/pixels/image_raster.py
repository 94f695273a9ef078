"""Samples of everything that is not TIFF: which decoder each format gets.

Netpbm and BMP with a palette are read by us. PNG, JPEG, JPEG 2000, still WebP and AVIF go to libpng, libjpeg, OpenJPEG,
libwebp and libavif by way of imagecodecs: 10 and 16 bits stay so, and a wrong CRC or Adler-32 or a short image is an
error (Pillow takes a PNG whose data are 900 bytes short, and a 1-bit one whose IDAT has a wrong CRC). A JPEG's samples
are those of Pillow, which needs twice the time to hand them over (12 MP: 95 against 34 ms). HEIF goes to libheif. All
others, and animations but PNG's, go to Pillow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from catalog.pixels.raster import Decoded, Raster, beyond_palette, storage
from catalog.pixels.structure import Frame, Structure
from catalog.terms import Fidelity, Limits

if TYPE_CHECKING:
    from catalog.pixels import apng_raster
    from catalog.pixels.pillow_raster import Frames

_ARITHMETIC: Final = frozenset((0xC9, 0xCA))


class Source:
    """The frames of one file that is not TIFF."""

    def __init__(self, structure: Structure, content: bytes | memoryview, limits: Limits) -> None:
        self._structure = structure
        self._content = content
        self._limits = limits
        self._frames: Frames | None = None
        self._animation: apng_raster.Frames | None = None

    def decode(self, frame: Frame) -> Decoded:
        """The canonical raster of one frame; frames are asked for in order. Raises what decoders raise."""
        total = len(self._structure.frames)
        name = self._structure.format
        if name == "PPM":
            from catalog.pixels import pnm_raster

            return pnm_raster.decode(self._structure, frame, memoryview(self._content))
        if name == "BMP" and self._structure.detail["colors"]:
            from catalog.pixels import bmp_raster

            return bmp_raster.decode(frame, memoryview(self._content))
        # Of a file that was cut off Pillow gives nothing at all, libjpeg gray areas: better nothing.
        whole = name == "JPEG" and (not self._structure.defects or self._beyond_pillow(frame))
        if total == 1 and (whole or name in ("PNG", "WEBP", "AVIF", "JPEG2000")):
            return self._within_palette(frame, self._still(frame, name))
        if name == "HEIF":
            from catalog.pixels import heif_raster

            return heif_raster.decode(frame, self._content)
        if name == "PNG":
            if self._animation is None:
                from catalog.pixels import apng_raster

                self._animation = apng_raster.Frames(self._content, self._limits)
            return self._animation.decode(frame)
        if self._frames is None:
            from catalog.pixels.pillow_raster import Frames

            self._frames = Frames(self._content, name, self._limits, total)
        return self._within_palette(frame, self._frames.decode(frame, frame.index))

    def _within_palette(self, frame: Frame, decoded: Decoded) -> Decoded:
        """Where codes may stand for colours that a palette has not: whether they do."""
        detail, name = self._structure.detail, self._structure.format
        content: bytes | memoryview = self._content
        clear = -1
        if name == "GIF" and frame.index in detail["narrow"]:
            colours, clear, pieces = detail["narrow"][frame.index]
            content = b"".join(pieces)
        elif name == "PNG" and detail["color_type"] == 3 and detail["palette"]:
            colours = len(detail["palette"]) // 3
            if colours >= 1 << detail["bit_depth"]:
                return decoded
        else:
            return decoded
        from catalog.pixels.pillow_raster import largest_index

        doubt = beyond_palette(largest_index(content, name, self._limits, clear), colours)
        return decoded.lowered(Fidelity.UNVERIFIED, doubt) if doubt else decoded

    def _beyond_pillow(self, frame: Frame) -> bool:
        """JPEG that is lossless, deeper than 8 bits, or coded arithmetically: libjpeg cannot pause inside that, and
        Pillow feeds it 64 KiB at a time."""
        lossless = frame.dtype != "u8" or frame.fidelity is Fidelity.EXACT
        return lossless or self._structure.detail["sof"] in _ARITHMETIC

    def _still(self, frame: Frame, name: str) -> Decoded:
        import imagecodecs

        from catalog.pixels.complaints import listen
        from catalog.pixels.jpeg_complaints import hearing_jpeg
        from catalog.pixels.segment_codecs import png_samples

        listen("imagecodecs")
        content: Any = self._content  # imagecodecs takes any buffer, its stubs say bytes
        array: Any
        if name == "PNG":
            array = png_samples(content)
        elif name == "JPEG":
            with hearing_jpeg(content):
                array = imagecodecs.jpeg_decode(content)
            if frame.model == "cmyk":  # as the stream has it: inverted (rule 1); Pillow turns it round itself
                array = ((1 << int(frame.dtype[1:])) - 1) - array
        elif name == "AVIF":
            array = imagecodecs.avif_decode(content, numthreads=1)
        elif name == "JPEG2000":
            array = imagecodecs.jpeg2k_decode(content, numthreads=1)
        else:
            array = imagecodecs.webp_decode(content, hasalpha=True if frame.channels == 4 else None)
        return announced(frame, array)


def announced(frame: Frame, array: Any) -> Decoded:
    """An array held against the header's frame; raises RuntimeError when its shape is another.

    A machine type wider than the declared bits holds them unscaled, which the largest number proves at best:
    a larger one lowers the class.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    shape = (frame.height, frame.width, frame.channels)
    if array.shape != shape:
        delivered, expected = ("x".join(map(str, each)) for each in (array.shape, shape))
        raise RuntimeError(f"the decoder delivered {delivered} samples, the header declares {expected}")
    result = Decoded(None, frame.fidelity, frame.fidelity_reason)
    bits = array.dtype.itemsize * 8
    dtype = f"{array.dtype.kind}{bits}"
    if dtype == f"u{8 * int(storage(frame.dtype)[2:])}" and storage(frame.dtype)[1] == "u":
        dtype = frame.dtype
        if int(dtype[1:]) < bits and array.size and int(array.max()) >> int(dtype[1:]):
            result = result.lowered(Fidelity.UNVERIFIED, f"samples of more than {dtype[1:]} bits")
    else:
        words = f"the decoder delivered {dtype}, the header declares {frame.dtype}"
        narrow = bits < int(frame.dtype[1:])
        result = result.lowered(Fidelity.LOSSY if narrow else Fidelity.UNVERIFIED, words)
    return Decoded(Raster.of(frame.model, dtype, array), result.fidelity, result.reason)
