"""Signs of life for the systemd watchdog."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from catalog import notify


class Heart:
    """Feeds the systemd watchdog from a thread that touches no share, while the main loop beats."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._last = time.monotonic()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def beat(self) -> None:
        self._last = time.monotonic()

    def start(self) -> None:
        interval = notify.watchdog_interval_seconds()
        if interval is not None:
            self._thread = threading.Thread(target=self._feed, args=(interval,), name="watchdog", daemon=True)
            self._thread.start()

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Feed it all the while: what is done in the block may take long, and is no sign of death."""
        before, self._patience = self._patience, math.inf
        try:
            yield
        finally:
            self._patience = before
            self.beat()

    def _feed(self, interval: float) -> None:
        while not self._end.wait(interval):
            if time.monotonic() - self._last < self._patience:
                notify.watchdog()

    def stop(self) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()
