"""Made-up pictures in every container that can hold them, for the proof that checksums are right (``proving.py``)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from catalog.pixels.raster import Samples

_SEED: Final = (46, 31)
"""Columns and rows of the canaries: no multiple of 8 or 16, so that edges of tiles and blocks are tried."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A made-up picture: what its canonical samples are, and how it is written into each container."""

    name: str
    model: str
    dtype: str
    samples: Samples
    """Shape (height, width, channels), canonical."""
    writers: dict[str, Callable[[Samples], bytes]]

    def digest(self, samples: Samples) -> bytes:
        """``pix1`` by its definition."""
        import numpy as np

        height, width, channels = samples.shape
        header = f"pix1\n{self.model} {self.dtype} {width}x{height}x{channels}\n".encode("ascii")
        little = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<"))
        return hashlib.sha256(header + little.tobytes()).digest()

    def changed(self) -> Samples:
        """The samples with one of them, in the middle, another by one."""
        other = self.samples.copy()
        other[other.shape[0] // 2, other.shape[1] // 2, -1] ^= 1
        return other


def pictures() -> Iterator[Picture]:
    """Gray, colour, alpha, palette, two colours, and 16 bits, each with the containers that can hold it."""
    import numpy as np

    width, height = _SEED
    rows, columns = np.mgrid[0:height, 0:width]
    red = (rows * 7 + columns * 3) % 256
    green = (rows * columns) % 256
    blue = (rows * 13 + columns * columns) % 256
    rgb = np.stack([red, green, blue], axis=2).astype(np.uint8)
    alpha = ((rows + columns) % 250 + 1).astype(np.uint8)[:, :, None]
    deep = (rgb.astype(np.uint16) * 251 + rows[:, :, None].astype(np.uint16)) & 0xFFFF
    few = (rgb // 64 * 85)[: height // 2 * 2]
    both = {**_tiffs("rgb"), **_by_pillow("PNG", "WEBP", "BMP", "PPM"), "PNG by OpenCV": _by_cv2}
    yield Picture("RGB, 8 bits", "rgb", "u8", rgb, both)
    gray = {**_tiffs("minisblack"), **_by_pillow("PNG", "PPM")}  # a gray BMP or GIF is a palette: rgb
    yield Picture("gray, 8 bits", "gray", "u8", rgb[:, :, :1], gray)
    yield Picture(
        "RGBA, 8 bits", "rgba", "u8", np.concatenate([rgb, alpha], axis=2), _by_pillow("PNG", "WEBP")
    )
    yield Picture("RGB, 16 bits", "rgb", "u16", deep, {**_tiffs("rgb"), "PNG by OpenCV": _by_cv2})
    yield Picture("gray, 16 bits", "gray", "u16", deep[:, :, :1], {**_tiffs("minisblack"), "PNG": _by_cv2})
    yield Picture(
        "palette",
        "rgb",
        "u8",
        few,
        {f"{kind} palette": _palette(kind) for kind in ("PNG", "GIF", "BMP", "TIFF")},
    )
    bits = (rgb[:, :, :1] // 128 * 255).astype(np.uint8)
    two = {
        "PNG 1 bit": _bilevel("PNG"),
        "TIFF 1 bit": _bilevel("TIFF"),
        "TIFF G4": _bilevel("TIFF", compression="group4"),
    }
    yield Picture("two colours", "gray", "u8", bits, two)


def _tiffs(photometric: str) -> dict[str, Callable[[Samples], bytes]]:
    forms: dict[str, dict[str, Any]] = {
        "TIFF": {},
        "TIFF LZW": {"compression": "lzw"},
        "TIFF LZW, predictor": {"compression": "lzw", "predictor": True},
        "TIFF Deflate": {"compression": "zlib"},
        "TIFF Deflate, predictor": {"compression": "zlib", "predictor": True},
        "TIFF PackBits": {"compression": "packbits"},
        "TIFF ZSTD": {"compression": "zstd"},
        "TIFF tiles": {"tile": (16, 16)},
        "TIFF LZW tiles": {"tile": (16, 16), "compression": "lzw"},
        "TIFF strips": {"rowsperstrip": 7},
        "TIFF big-endian": {"byteorder": ">"},
        "TIFF big-endian LZW": {"byteorder": ">", "compression": "lzw"},
        "BigTIFF": {"bigtiff": True},
    }
    if photometric == "rgb":
        forms["TIFF planes"] = {"planarconfig": "separate"}
    return {name: _tiff(photometric, options) for name, options in forms.items()}


def _tiff(photometric: str, options: dict[str, Any]) -> Callable[[Samples], bytes]:
    def write(samples: Samples) -> bytes:
        import numpy as np
        import tifffile

        data = samples[:, :, 0] if samples.shape[2] == 1 else samples
        if options.get("planarconfig") == "separate":
            data = np.moveaxis(data, 2, 0)
        buffer = BytesIO()
        given = {"byteorder": "<", **options}
        tifffile.imwrite(buffer, np.ascontiguousarray(data), photometric=photometric, metadata=None, **given)
        return buffer.getvalue()

    return write


def _by_pillow(*formats: str) -> dict[str, Callable[[Samples], bytes]]:
    def writer(kind: str) -> Callable[[Samples], bytes]:
        def write(samples: Samples) -> bytes:
            options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
            return _saved(_image(samples), kind, **options)

        return write

    return {f"{kind} lossless" if kind == "WEBP" else kind: writer(kind) for kind in formats}


def _image(samples: Samples) -> Any:
    from PIL import Image

    return Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples)


def _saved(image: Any, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _by_cv2(samples: Samples) -> bytes:
    import cv2

    turned = samples[:, :, ::-1] if samples.shape[2] == 3 else samples
    written, data = cv2.imencode(".png", turned.copy())
    if not written:
        raise RuntimeError("OpenCV cannot write a PNG")
    return bytes(data)


def _palette(kind: str) -> Callable[[Samples], bytes]:
    def write(samples: Samples) -> bytes:
        import numpy as np
        from PIL import Image

        colours, index = np.unique(samples.reshape(-1, 3), axis=0, return_inverse=True)
        image = Image.fromarray(index.reshape(samples.shape[:2]).astype(np.uint8), "L")
        image.putpalette(colours.astype(np.uint8).tobytes())
        return _saved(image, kind)

    return write


def _bilevel(kind: str, **options: Any) -> Callable[[Samples], bytes]:
    def write(samples: Samples) -> bytes:
        return _saved(_image(samples).point(lambda value: value, "L").convert("1", dither=0), kind, **options)

    return write


def seed() -> bytes:
    """A TIFF like those of published data sets: RGB, three strips, Orientation 1, no compression."""
    import numpy as np
    import tifffile

    picture = next(pictures())
    buffer = BytesIO()
    tifffile.imwrite(
        buffer,
        np.ascontiguousarray(picture.samples),
        photometric="rgb",
        metadata=None,
        byteorder="<",
        rowsperstrip=11,
        software=False,
        resolution=(1, 1),
        extratags=[(274, 3, 1, 1, True)],
    )
    return buffer.getvalue()
