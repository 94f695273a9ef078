"""What libjpeg says of a JPEG whose entropy-coded data are broken.

libjpeg decodes on after any damage, counts its warnings, and fills what is missing with gray. imagecodecs and Pillow
keep its words to themselves: half of a scan may be gone, and the file passes for whole. OpenCV lets libjpeg speak on
descriptor 2. It is asked for an eighth of the size in gray, so that little more is done than to read the codes (12 MP:
30 ms of CPU, where decoding takes 55), and beside the decoder where a processor is idle.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Final

from catalog.pixels.digest import processor_idle

_START: Final = b"\xff\xd8"
_END: Final = b"\xff\xd9"
_BESIDE: Final = 1 << 18
"""Bytes of a stream from which on a second thread pays."""
somebody_listens: Final[ContextVar[bool]] = ContextVar("somebody_listens", default=False)
"""Whether what is said on descriptor 2 is read. Where it is not, OpenCV need not be asked, nor imported."""


@contextmanager
def hearing_jpeg(stream: bytes | memoryview, tables: bytes = b"") -> Iterator[None]:
    """Let libjpeg complain on descriptor 2 about a stream that is decoded meanwhile; all is said at the end.

    ``tables``: the stream is an abbreviated one, and these are those of its TIFF.
    """
    if not somebody_listens.get():
        yield
        return
    beside = _Hearing(stream, tables)
    if len(stream) >= _BESIDE and processor_idle():
        with suppress(RuntimeError):  # no thread to be had: TasksMax, or the memory limit
            beside.start()
    try:
        yield
    finally:
        if beside.ident is not None:
            beside.join()
    if beside.ident is None:
        beside.run()
    if beside.error is not None:
        raise beside.error


class _Hearing(threading.Thread):
    """``error``: why the stream was not heard to its end."""

    def __init__(self, stream: bytes | memoryview, tables: bytes) -> None:
        super().__init__()
        self._stream, self._tables = stream, tables
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            _hear(self._stream, self._tables)
        except Exception as error:  # noqa: BLE001 - raised again where the decoder was called
            self.error = error


def _hear(stream: bytes | memoryview, tables: bytes) -> None:
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
