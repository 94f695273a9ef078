"""The three loader checksums that published lists are made with.

Evidence of one loader at one version, never an identity: cv2's default cuts 16 bits to 8 and drops alpha,
``tobytes`` has no shape, a re-save depends on the encoder.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

from catalog.pixels.raster import worded
from catalog.terms import Limits, Loaders

CV2, TOBYTES, SAVE = "cv2_imread_md5", "pillow_tobytes_md5", "pillow_save_md5"


def loader_checksums(content: bytes | memoryview, limits: Limits | None = None) -> Loaders:
    """md5 of what ``cv2.imread``, ``Image.tobytes`` and ``Image.save`` make of the file.

    The definitions: ``cv2.imread(path).tobytes()``, ``Image.open(path).tobytes()``, and the bytes that
    ``Image.open(path).save(buffer, format=image.format)`` writes. Never raises on what a file holds; a loader
    that refuses leaves None and its words in ``errors``. The save costs 3 to 10 times the decode.
    """
    digests: dict[str, bytes | None] = {}
    errors: list[tuple[str, str]] = []
    allowed = limits or Limits()
    for name, loader in ((CV2, _by_cv2), (TOBYTES, _by_tobytes), (SAVE, _by_save)):
        digest, words = _attempt(loader, content, allowed)
        digests[name] = digest
        if words:
            errors.append((name, words))
    return Loaders(digests[CV2], digests[TOBYTES], digests[SAVE], tuple(errors))


def _attempt(
    loader: Callable[[bytes | memoryview, Limits], bytes], content: bytes | memoryview, limits: Limits
) -> tuple[bytes | None, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return loader(content, limits), ""
    except ImportError:
        raise
    except MemoryError:
        return None, "not enough memory"
    except Exception as error:  # noqa: BLE001 (loaders raise anything on a hostile file)
        return None, worded(error)


def _md5(buffer: Any) -> bytes:
    return hashlib.md5(buffer, usedforsecurity=False).digest()


def _by_cv2(content: bytes | memoryview, limits: Limits) -> bytes:
    """``imdecode`` of the bytes: ``imread`` by name dies on a name that is not UTF-8."""
    _within(content, limits)
    import cv2
    import numpy as np

    if not len(content):
        raise OSError("the file is empty")
    try:
        array = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # its words are of a line of its source, and of no help to anybody else
        memory = error.code == cv2.Error.StsNoMem
        raise OSError("not enough memory" if memory else "cv2 refuses it") from error
    if array is None:
        raise OSError("cv2 cannot read it")
    return _md5(np.ascontiguousarray(array))


def _by_tobytes(content: bytes | memoryview, limits: Limits) -> bytes:
    with _opened(content, limits) as image:
        return _md5(image.tobytes())


def _by_save(content: bytes | memoryview, limits: Limits) -> bytes:
    with _opened(content, limits) as image:
        buffer = BytesIO()
        image.save(buffer, format=image.format)
        return _md5(buffer.getbuffer())


def _opened(content: bytes | memoryview, limits: Limits) -> Any:
    from PIL import Image

    from catalog.pixels.pillow_raster import guarded

    with guarded(limits):
        return Image.open(BytesIO(content))


def _within(content: bytes | memoryview, limits: Limits) -> None:
    """cv2 has a guard of its own, far above ours: let Pillow's look at the header first, if it can."""
    from PIL import Image

    try:
        _opened(content, limits).close()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise
    except Exception:  # noqa: BLE001 S110 (what Pillow cannot read, cv2 may)
        pass
