"""Samples through Pillow: JPEG, GIF, BMP, PNM, AVIF and whatever else has no better decoder here.

What Pillow delivers is held against the header's frame. Only conversions that lose nothing are made (a
palette to its colours, a colour key to alpha); anything else that does not fit lowers the class.
Sources of the traps: Pillow 13's ``ImageFile.load`` and ``TiffImagePlugin.load_end``.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageFile

from catalog.pixels.complaints import listen
from catalog.pixels.raster import BAND_BYTES, Decoded, Raster, Undecodable, storage
from catalog.pixels.structure import Frame
from catalog.terms import Fidelity, Limits, PageRole

if TYPE_CHECKING:
    pass

listen("PIL")

_DELIVERED: Final = {
    "L": ("gray", "u8", 1),
    "LA": ("graya", "u8", 2),
    "La": ("graya-premul", "u8", 2),
    "RGB": ("rgb", "u8", 3),
    "RGBA": ("rgba", "u8", 4),
    "RGBa": ("rgba-premul", "u8", 4),
    "CMYK": ("cmyk", "u8", 4),
    "I;16": ("gray", "u16", 1),
    "I": ("gray", "i32", 1),
    "F": ("gray", "f32", 1),
}
"""Pillow's mode -> (MODEL, DTYPE, channels) of what ``tobytes`` gives, little-endian on this machine."""
_PLUGINS: Final = {
    "AVIF": "AvifImagePlugin",
    "WEBP": "WebPImagePlugin",
    "TGA": "TgaImagePlugin",
    "ICO": "IcoImagePlugin",
    "PSD": "PsdImagePlugin",
}
_ROWS_BYTES: Final = BAND_BYTES // 4
"""Rows packed at a time: from the cache to the hash (12 MP: 33 ms with it, 79 ms by one ``tobytes``)."""


@contextmanager
def guarded(limits: Limits) -> Iterator[None]:
    """Pillow's guard against bombs, on and strict: what it would only warn of is an error, too."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = limits.decode_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def opened(content: bytes | memoryview, format_name: str, limits: Limits) -> ImageFile.ImageFile:
    """The image of exactly this format, not loaded yet.

    Raises what Pillow raises; ``DecompressionBombWarning`` and ``DecompressionBombError`` among them.
    """
    plugin = _PLUGINS.get(format_name)
    if plugin is not None:  # else Pillow would import every plugin that it has
        importlib.import_module(f"PIL.{plugin}")
    with guarded(limits):
        return Image.open(BytesIO(content), formats=(format_name,))


class Frames:
    """The frames of one file in order, from one open image. Each may be asked for once, going forward.

    The image is never closed: it reads from memory, and rasters go on using its samples.

    A frame whose ``load`` raised is never tried again on the same object: the second call would return
    what was decoded so far as if it were whole.
    """

    def __init__(self, content: bytes | memoryview, format_name: str, limits: Limits, total: int) -> None:
        self._image = opened(content, format_name, limits)
        self._animated = total > 1
        self._failed: str | None = None

    def decode(self, frame: Frame, position: int) -> Decoded:
        """The canonical raster of the frame at ``position`` of the file."""
        if self._failed is not None:
            raise Undecodable(f"a frame before it does not decode: {self._failed}")
        try:
            if position:
                self._image.seek(position)
            self._image.load()
        except Exception as error:
            self._failed = str(error)
            raise
        image: Image.Image = self._image
        if self._animated:
            # the composited frame, as rule 8 wants it; a copy, because seek draws over this one
            image = image.convert("RGBA") if frame.model == "rgba" and image.mode != "RGBA" else image.copy()
        return held_against(frame, image)


def held_against(frame: Frame, image: Image.Image) -> Decoded:
    """The raster of a loaded image, in the class that the comparison with the header leaves it."""
    image = _expanded(image, frame)
    result = Decoded(None, frame.fidelity, frame.fidelity_reason)
    if image.size != (frame.width, frame.height):
        words = f"the decoder delivered {image.width}x{image.height}, the header declares"
        result = result.lowered(Fidelity.UNVERIFIED, f"{words} {frame.width}x{frame.height}")
    if image.mode == "I" and frame.dtype in ("u8", "u16"):
        raster = _from_wide(frame, image)
    elif image.mode in ("I;16B", "I;16L", "I;16N"):
        import numpy as np

        raster = Raster.of("gray", "u16", np.asarray(image))
    elif image.mode in _DELIVERED:
        model, dtype, channels = _DELIVERED[image.mode]
        raster = Raster(model, dtype, image.width, image.height, channels, _packed(image))
    else:
        raise Undecodable(f"Pillow delivers mode {image.mode}, which has no canonical form")
    words = f"the decoder delivered {raster.model} {raster.dtype}, the header declares {frame.model} {frame.dtype}"
    if _bits(raster.dtype) < _bits(frame.dtype):
        result = result.lowered(Fidelity.LOSSY, words)
    elif (raster.model, raster.dtype) != (frame.model, frame.dtype):
        result = result.lowered(Fidelity.UNVERIFIED, words)
    return Decoded(raster, result.fidelity, result.reason)


def _expanded(image: Image.Image, frame: Frame) -> Image.Image:
    """Palettes and colour keys expanded, bits to bytes, gray to RGB where the palette was a gray ramp."""
    mode = image.mode
    if mode == "1":
        image = image.convert("L")
    elif mode in ("P", "PA"):
        clear = mode == "PA" or "transparency" in image.info or frame.model.endswith("a")
        return image.convert("RGBA" if clear else "RGB")
    if image.mode == "L" and frame.model in ("rgb", "rgba", "graya"):
        return image.convert({"rgb": "RGB", "rgba": "RGBA", "graya": "LA"}[frame.model])
    if image.mode == "RGB" and frame.model == "rgba" and "transparency" in image.info:
        return image.convert("RGBA")
    return image


def _from_wide(frame: Frame, image: Image.Image) -> Raster:
    """Mode I holds 16-bit samples in 32 bits."""
    import numpy as np

    array = np.asarray(image)
    if array.size and (int(array.min()) < 0 or int(array.max()) >= 1 << _bits(frame.dtype)):
        return Raster.of("gray", "i32", array)
    return Raster.of("gray", frame.dtype, array.astype(storage(frame.dtype)))


def _bits(dtype: str) -> int:
    return int(dtype[1:])


def _packed(image: Image.Image) -> Iterable[bytes]:
    """Bands of a loaded image, packed as ``tobytes`` packs them: a small one at once."""
    width, height = image.size
    return (image.tobytes(),) if width * height * 4 <= _ROWS_BYTES else _Packed(image)


class _Packed:
    """Bands of a large image, a few rows at a time, as often as they are asked for."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image

    def __iter__(self) -> Iterator[bytes]:
        width, height = self._image.size
        rows = max(1, _ROWS_BYTES // max(1, width * 4))
        for top in range(0, height, rows):
            yield self._image.crop((0, top, width, min(height, top + rows))).tobytes()


def largest_index(content: bytes | memoryview, format_name: str, limits: Limits, clear: int = -1) -> int:
    """The largest palette index that a still image uses, but for ``clear``, which stands for no colour.

    Raises what Pillow raises.
    """
    with opened(content, format_name, limits) as image:
        image.load()
        if image.mode != "P":
            raise Undecodable(f"Pillow delivers mode {image.mode} instead of indexes")
        return max(
            (index for index, used in enumerate(image.histogram()) if used and index != clear), default=0
        )


def unannounced(content: bytes | memoryview, format_name: str, limits: Limits) -> tuple[Frame, Decoded]:
    """A file of a format that has no header parser here, by Pillow alone: ``unverified``."""
    with opened(content, format_name, limits) as image:
        if reason := limits.too_large("decode_limit_pixels", image.width * image.height):
            raise Undecodable(reason)
        image.load()
        mode = image.mode
        if mode in ("P", "PA"):
            mode = "RGBA" if mode == "PA" or "transparency" in image.info else "RGB"
        model, dtype, channels = _DELIVERED.get({"1": "L", "I;16B": "I;16"}.get(mode, mode), ("rgb", "u8", 3))
        fidelity, reason = Fidelity.UNVERIFIED, f"decoded by Pillow alone: no header parser for {format_name}"
        frame = Frame(
            index=0,
            role=PageRole.PAGE,
            width=image.width,
            height=image.height,
            model=model,
            dtype=dtype,
            channels=channels,
            fidelity=fidelity,
            fidelity_reason=reason,
        )
        return frame, held_against(frame, image)
