"""How far a long job is: a bar on a terminal, elsewhere a plain line every 30 seconds, both on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from catalog.terms import counted, human_size

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

FIRST_DRAWN_SECONDS: Final = 0.5
"""A job that is done sooner shows no bar, and does not pay for importing rich."""
REDRAWN_SECONDS: Final = 0.1
LINE_SECONDS: Final = 30.0
LEAST_DONE: Final = 0.01
"""Below this nobody can tell how long it takes: one large file may be all that is left."""


class Progress:
    """Shows the counts that ``update`` is given; a context manager that leaves no trace on the screen.

    No thread draws it: who works calls ``update`` as often as it likes, and drawing is rationed here.
    """

    def __init__(
        self,
        title: str,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._stream = stream or sys.stderr
        self._quiet = quiet or self._stream is None
        self._terminal = not self._quiet and self._stream.isatty()
        self._clock = clock
        self._started = clock()
        self._due = self._started + (FIRST_DRAWN_SECONDS if self._terminal else LINE_SECONDS)
        self._bar: Bar | None = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def update(
        self, files: int, size: int = 0, *, total_files: int | None = None, total_size: int | None = None
    ) -> None:
        """Files and bytes done since the start, and how many there are in all, where that is known."""
        now = self._clock()
        if self._quiet or now < self._due:
            return
        words = self._words(now - self._started, files, size, total_files, total_size)
        if self._terminal:
            self._due = now + REDRAWN_SECONDS
            self._draw(words, _done(files, size, total_files, total_size))
        else:
            self._due = now + LINE_SECONDS
            print(f"{self._title}: {words}", file=self._stream, flush=True)

    def _words(
        self, seconds: float, files: int, size: int, total_files: int | None, total_size: int | None
    ) -> str:
        parts = [f"{files:,} of {counted(total_files, 'file')}" if total_files else counted(files, "file")]
        if size:
            parts += [human_size(size), f"{human_size(size / seconds)}/s"]
        done = _done(files, size, total_files, total_size)
        if done and done >= LEAST_DONE:
            parts.append(f"{_duration(seconds / done - seconds)} left")
        return ", ".join(parts)

    def _draw(self, words: str, done: float | None) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[words]}", markup=False),
                console=Console(file=self._stream),
                transient=True,
                auto_refresh=False,
                redirect_stdout=False,  # stdout carries the answer, also while the bar is drawn
                redirect_stderr=False,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=None, words=words)
        # A total of None draws a pulse: the job runs, nobody knows how long.
        self._bar.update(self._task, total=None if done is None else 1.0, completed=done or 0.0, words=words)
        self._bar.refresh()


def _done(files: int, size: int, total_files: int | None, total_size: int | None) -> float | None:
    """The share that is done, 0 to 1, by bytes where they are known; None when no total is."""
    if total_size:
        return min(size / total_size, 1.0)
    return min(files / total_files, 1.0) if total_files else None


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{round(seconds)} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h"
