"""The digests of a raster, taken by a second thread while the rest of it is still being decoded.

Where a processor is idle, the time of hashing disappears behind that of decoding; where none is, it would only be
taken from somebody else.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from catalog.pixels.digest import BESIDE, header, processor_idle
from catalog.pixels.structure import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK: Final = 1 << 17
"""Bytes that both hashes take in turn."""


class Beside:
    """``pix1`` and ``view1`` of rows that are decoded from the top to the bottom. A context manager: its thread has
    ended afterwards. ``wanted`` False, few samples, or no processor for it: it hashes nothing."""

    def __init__(self, frame: Frame, samples: NDArray[Any], *, wanted: bool) -> None:
        self._height = frame.height
        self._rows = 0
        self._hashed = 0
        self._bands: queue.SimpleQueue[NDArray[Any] | None] = queue.SimpleQueue()
        self._hashes = [hashlib.sha256(header(level, frame)) for level in ("pix1", "view1")]
        self._thread: threading.Thread | None = None
        if wanted and samples.nbytes >= BESIDE and processor_idle():
            thread = threading.Thread(target=self._run)
            try:
                thread.start()
            except RuntimeError:  # no thread to be had: TasksMax, or the memory limit
                return
            self._thread = thread

    def feed(self, top: int, rows: NDArray[Any]) -> None:
        """Rows from ``top`` on, of full width, which nobody changes any more. Those that do not follow on the last ones
        are left out, and there are no digests then."""
        if self._thread is not None and top == self._rows:
            self._rows += rows.shape[0]
            self._bands.put(rows)

    def digests(self) -> tuple[bytes, bytes] | None:
        """(``pix1``, ``view1``) when all rows were fed and hashed, else None."""
        self.close()
        if self._hashed != self._height:
            return None
        first, second = self._hashes
        return first.digest(), second.digest()

    def close(self) -> None:
        """End the thread. May be called again."""
        if self._thread is not None:
            self._bands.put(None)
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            while (rows := self._bands.get()) is not None:
                band = rows.reshape(-1).view("u1").data
                for start in range(0, len(band), CHUNK):
                    for each in self._hashes:
                        each.update(band[start : start + CHUNK])
                self._hashed += rows.shape[0]
        except (
            MemoryError
        ):  # said aloud it would count as a complaint about the file; it is hashed afterwards
            self._hashed = -1
