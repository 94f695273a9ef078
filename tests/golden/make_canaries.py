"""Writes the canary images: ``python tests/golden/make_canaries.py FOLDER``.

The picture is made of numbers alone, so the files belong to the project. They are made once and kept: the
encoders of another day would write other files, and every decoder epoch would change with them. ``cjpeg``
and ``jpegtran`` (libjpeg-turbo-progs) write what no Python library does: 4:4:0 and arithmetic coding.
"""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image

WIDTH, HEIGHT = 47, 39
"""Odd numbers: chroma samples at the right and lower edge are the hard ones."""


def picture() -> np.ndarray:
    """Slopes, hard edges, and noise of a linear congruential generator."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    seed, noise = 20_240_229, []
    for _ in range(WIDTH * HEIGHT * 3):
        seed = (seed * 1_103_515_245 + 12_345) % (1 << 31)
        noise.append(seed >> 16 & 31)
    slopes = np.stack([x * 5, y * 6, (x + y) * 2 + 40], axis=2) + np.array(noise).reshape(HEIGHT, WIDTH, 3)
    slopes[10:20, 12:30] = (250, 12, 40)
    slopes[25:34, 5:41:3] = (8, 90, 251)
    return np.clip(slopes, 0, 255).astype(np.uint8)


def by_pillow(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def by_tool(content: bytes, *command: str) -> bytes:
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout


def by_tifffile(array: np.ndarray, **options: object) -> bytes:
    buffer = BytesIO()
    tifffile.imwrite(buffer, array, software=False, metadata=None, **options)
    return buffer.getvalue()


def lossy(rgb: np.ndarray) -> dict[str, bytes]:
    image = Image.fromarray(rgb)
    ramp = (np.arange(WIDTH * HEIGHT) % 256).astype(np.uint8).reshape(HEIGHT, WIDTH, 1)
    alpha = Image.fromarray(np.concatenate([rgb, ramp], axis=2))
    ppm = by_pillow(image, "PPM")
    bmp = image.convert("RGB")
    files = {
        f"baseline-{name}.jpg": by_pillow(image, "JPEG", quality=85, subsampling=sampling)
        for name, sampling in (("444", 0), ("422", 1), ("420", 2))
    }
    files |= {
        "baseline-440.jpg": by_tool(ppm, "cjpeg", "-quality", "85", "-sample", "1x2"),
        "coarse.jpg": by_pillow(image, "JPEG", quality=12, subsampling=2),
        "progressive.jpg": by_pillow(image, "JPEG", quality=80, progressive=True),
        "gray.jpg": by_pillow(image.convert("L"), "JPEG", quality=85),
        "cmyk.jpg": by_pillow(image.convert("CMYK"), "JPEG", quality=85),
        "deep.jpg": imagecodecs.jpeg8_encode(rgb.astype(np.uint16) * 16, level=90, bitspersample=12),
        "lossy.webp": by_pillow(image, "WEBP", quality=75),
        "lossy-alpha.webp": by_pillow(alpha, "WEBP", quality=60, alpha_quality=80),
        "animated.webp": by_pillow(
            image, "WEBP", save_all=True, append_images=[bmp.rotate(180)], duration=40, quality=70
        ),
        "lossy.avif": by_pillow(image, "AVIF", quality=70),
        "lossy-alpha.avif": by_pillow(alpha, "AVIF", quality=60),
        "irreversible.jp2": by_pillow(image, "JPEG2000", irreversible=True, quality_layers=[20]),
        "reversible.jp2": by_pillow(image, "JPEG2000"),
        "jpeg-ycbcr.tif": by_tifffile(
            rgb, photometric="rgb", compression="jpeg", compressionargs={"level": 85}, tile=(16, 32)
        ),
        "lossy-webp.tif": by_tifffile(
            rgb, photometric="rgb", compression="webp", compressionargs={"level": 70, "lossless": False}
        ),
        "lossy-jpeg2000.tif": by_tifffile(
            rgb, photometric="rgb", compression="jpeg2000", compressionargs={"level": 60, "reversible": False}
        ),
        "lossy-jpegxl.tif": by_tifffile(
            rgb, photometric="rgb", compression=50002, compressionargs={"level": 70}
        ),
        "lossy-jpegxr.tif": by_tifffile(
            rgb, photometric="rgb", compression="jpegxr", compressionargs={"level": 0.7}
        ),
    }
    import pillow_heif  # of the extra ``heif``

    buffer = BytesIO()
    pillow_heif.from_bytes("RGB", image.size, image.tobytes()).save(buffer, quality=70)
    files["lossy.heic"] = buffer.getvalue()
    files["arithmetic.jpg"] = by_tool(files["baseline-420.jpg"], "jpegtran", "-arithmetic")
    return files


def exact(rgb: np.ndarray) -> dict[str, bytes]:
    image = Image.fromarray(rgb)
    deep = rgb.astype(np.uint16) * 251 + np.arange(WIDTH, dtype=np.uint16)[None, :, None]
    bits = (rgb[:, :, 0] > 100).astype(np.uint8)
    frames = [image.rotate(turn).quantize(32) for turn in (0, 90, 180)]
    five_six_five = (rgb[:, :, 2] >> 3).astype(np.uint16)
    five_six_five |= (rgb[:, :, 1] >> 2).astype(np.uint16) << 5 | (rgb[:, :, 0] >> 3).astype(np.uint16) << 11
    rows = np.zeros((HEIGHT, (WIDTH + 1) // 2 * 2), np.uint16)
    rows[:, :WIDTH] = five_six_five[::-1]
    header = bytearray(70)
    header[:2] = b"BM"
    for at, value in ((2, 70 + rows.nbytes), (10, 70), (14, 56), (18, WIDTH), (22, HEIGHT), (30, 3)):
        header[at : at + 4] = value.to_bytes(4, "little")
    header[26], header[28] = 1, 16
    for at, mask in ((54, 0xF800), (58, 0x07E0), (62, 0x001F)):
        header[at : at + 4] = mask.to_bytes(4, "little")
    return {
        "lzw.tif": by_tifffile(rgb, photometric="rgb", compression="lzw", predictor=2, rowsperstrip=8),
        "deflate.tif": by_tifffile(deep, photometric="rgb", compression="zlib", predictor=2, byteorder=">"),
        "float.tif": by_tifffile(
            (deep / 7).astype(np.float32), photometric="rgb", compression="zlib", predictor=3
        ),
        "zstd.tif": by_tifffile(rgb, photometric="rgb", compression="zstd"),
        "group4.tif": by_pillow(Image.fromarray(bits * 255).convert("1"), "TIFF", compression="group4"),
        "deep.png": bytes(cv2.imencode(".png", deep[:, :, ::-1])[1]),
        "palette.png": by_pillow(frames[1], "PNG", transparency=3),
        "lossless.webp": by_pillow(image, "WEBP", lossless=True),
        "animated.gif": by_pillow(
            frames[0], "GIF", save_all=True, append_images=frames[1:], duration=40, disposal=[1, 2, 3]
        ),
        "565.bmp": bytes(header) + rows.tobytes(),
    }


def main(folder: str) -> None:
    rgb = picture()
    for name, content in (lossy(rgb) | exact(rgb)).items():
        Path(folder, name).write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1])
