"""What libjpeg says of a JPEG whose entropy-coded data are broken.

libjpeg decodes on after any damage, counts its warnings, and fills what is missing with gray. imagecodecs and Pillow
keep its words to themselves: half of a scan may be gone, and the file passes for whole. OpenCV lets libjpeg speak on
descriptor 2. It is asked for an eighth of the size in gray, so that little more is done than to read the codes (12 MP:
30 ms of CPU, where decoding takes 55).
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from typing import Final

_START: Final = b"\xff\xd8"
_END: Final = b"\xff\xd9"
somebody_listens: Final[ContextVar[bool]] = ContextVar("somebody_listens", default=False)
"""Whether what is said on descriptor 2 is read. Where it is not, OpenCV need not be asked, nor imported."""


def hear_jpeg(stream: bytes | memoryview, tables: bytes = b"") -> None:
    """Let libjpeg complain about a stream on descriptor 2. ``tables``: an abbreviated stream with those of TIFF."""
    if not somebody_listens.get():
        return
    import cv2
    import numpy as np

    whole = bytes(stream) if tables else stream
    if tables[:2] == _START and bytes(stream[:2]) == _START:
        whole = tables.removesuffix(_END) + bytes(stream[2:])
    # libjpeg's words are wanted, and none of OpenCV's own, which tell the time
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    flags = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
    with suppress(cv2.error):  # as None, it tells of a stream that OpenCV does not know (lossless, 12 bits)
        cv2.imdecode(np.frombuffer(whole, np.uint8), flags)
