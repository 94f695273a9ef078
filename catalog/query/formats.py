"""Image formats as people name them: by the name in the answers, or by any usual file name extension."""

from __future__ import annotations

import difflib
from typing import Final

from catalog.errors import UsageError
from catalog.terms import printable

# The name in the answers, and what else means it.
_NAMES: Final = {
    "TIFF": "tif btf tf2 tf8 bigtiff ptif ptiff dng svs scn ndpi bif lsm stk gel qptiff zif",
    "JPEG": "jpg jpe jfif mpo",
    "PNG": "apng",
    "JPEG2000": "jp2 j2k j2c jpc jpf jpx jpeg-2000",
    "AVIF": "avifs",
    "HEIF": "heic hif heics heifs",
    "GIF": "",
    "BMP": "dib",
    "WEBP": "",
    "PPM": "pbm pgm pnm pam pfm netpbm",
    "TGA": "icb vda vst targa",
    "PSD": "photoshop",
    "FITS": "fit",
    "ICO": "",
    "CUR": "",
    "ICNS": "",
    "DDS": "",
    "QOI": "",
    "SGI": "bw rgb rgba",
    "SUN": "ras",
    "PCX": "",
    "DCX": "",
    "PCD": "",
    "XBM": "",
    "XPM": "",
    "MSP": "",
    "PIXAR": "pxr",
    "BLP": "",
    "FTEX": "ftc ftu",
    "FLI": "flc",
    "GBR": "",
    "IM": "",
    "SPIDER": "",
    "MCIDAS": "",
    "EPS": "ps",
    "WMF": "emf",
    "MPEG": "mpg",
    "HDF5": "h5",
    "GRIB": "",
    "BUFR": "",
}
_MEANT: Final = {word: name for name, others in _NAMES.items() for word in (name.lower(), *others.split())}


def format_named(word: str) -> str:
    """The format's name in the answers for what somebody typed: ``TIFF`` for ``tif``, ``.TIF`` and ``Tiff``.

    Raises UsageError that names the nearest.
    """
    asked = word.strip().lower().removeprefix(".")
    if asked in _MEANT:
        return _MEANT[asked]
    nearest = difflib.get_close_matches(asked, _MEANT, n=1, cutoff=0.4)
    common = "tiff, jpeg, png, gif, bmp, webp, jpeg2000, avif, ppm …"
    hint = f"did you mean {nearest[0]}?" if nearest else f"one of: {common}"
    raise UsageError(f"no such image format: {printable(word)}", hint=hint)
