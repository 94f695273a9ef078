"""Pictures to mutate: each its own, with edges, a gradient and a grain, so that no two are alike or symmetrical."""

from __future__ import annotations

from pathlib import Path

WIDTH, HEIGHT = 124, 64


def picture(number: int, width: int = WIDTH, height: int = HEIGHT):  # type: ignore[no-untyped-def]
    """A Pillow image, RGB; the same for the same number and size."""
    import numpy as np
    from PIL import Image, ImageDraw

    rows, columns = np.mgrid[0:height, 0:width]
    grain = (rows * 7919 + columns * 104729 + number * 1299709) % 251 % 13
    waves = sum(
        60
        * np.sin(
            columns / width * (number * step % 7 + step) + rows / height * (number * step % 5 + 2) + number
        )
        for step in (1, 2, 3)
    )
    bands = [np.clip(120 + waves * (0.5 + band / 4) + grain, 0, 255) for band in range(3)]
    image = Image.fromarray(np.stack(bands, axis=2).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    left, top = (number * 37) % (width * 2 // 3), (number * 23) % (height // 2)
    draw.ellipse((left, top, left + width // 4, top + height // 3), fill=(230, number * 11 % 256, 40))
    left, top = (number * 53 + 20) % (width * 3 // 4), (number * 31 + 9) % (height * 2 // 3)
    draw.rectangle((left, top, left + width // 5, top + height // 4), fill=(20, 60, number * 29 % 256))
    return image


def scan_tif(path: Path, number: int) -> None:
    """An uncompressed RGB TIFF as a scanner writes it: 3 strips of 22 rows, Orientation 1, a description."""
    import numpy as np
    import tifffile

    tifffile.imwrite(
        path,
        np.asarray(picture(number)),
        photometric="rgb",
        rowsperstrip=22,
        description=f"specimen {number}",
        software="scanner 1.0",
        metadata=None,
        extratags=[(274, "H", 1, 1, True)],
    )


def photo_jpg(path: Path, number: int) -> None:
    """A JPEG as a camera writes it: 4:2:0, Exif with a maker and a date; whole blocks, so that it turns losslessly."""
    from PIL import Image

    image = picture(number, 96, 64)
    exif = Image.Exif()
    exif[271], exif[272], exif[306] = "Kamera", "K1", "2025:10:25 12:00:00"
    image.save(path, quality=92, subsampling="4:2:0", exif=exif, comment=b"first light")


def drawing_png(path: Path, number: int) -> None:
    """A PNG that is packed badly."""
    picture(number).save(path, compress_level=1)
