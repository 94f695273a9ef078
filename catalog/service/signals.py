"""SIGINT and SIGTERM as a wish to end cleanly; a second SIGINT as an order."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class Stop:
    """While it is entered, the first signal sets a flag; ``stop()`` tells. A second SIGINT interrupts hard."""

    def __init__(self) -> None:
        self._wanted = False
        self._before: dict[int, Any] = {}
        self.reload = False
        """SIGHUP came; whoever acts on it sets it back."""

    def __call__(self) -> bool:
        return self._wanted

    def __enter__(self) -> Stop:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._note_reload)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._wanted = True

    def _note_reload(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.reload = True
