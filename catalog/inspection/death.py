"""What the death of a worker says about the file that it had in hand."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from catalog.inspection.slot import Announcement
from catalog.pixels.wire import Phase
from catalog.terms import Limits, human_size


class Cause(StrEnum):
    """Why we ended a worker ourselves."""

    DEADLINE = "deadline"
    NONSENSE = "nonsense"
    """It sent what is not our language."""
    STOPPED = "stopped"
    """Idle, or closed with the pool."""


_FROM_OUTSIDE: Final = frozenset(
    {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}
)
_MEMORY_WORDS: Final = (
    "memoryerror",
    "bad_alloc",
    "cannot allocate memory",
    "out of memory",
    "insufficient memory",
)


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker ended. ``words``: the last lines on its descriptor 2; ``peak``: bytes resident at most."""

    code: int | None
    """Exit code, negative for a signal; None when it could not be reaped (stuck in the kernel)."""
    announcement: Announcement | None
    words: tuple[str, ...]
    peak: int
    cause: Cause | None

    @property
    def from_outside(self) -> bool:
        """Killed, and not by us: an administrator, or the kernel short of memory."""
        return self.cause is None and self.code is not None and -self.code in _FROM_OUTSIDE

    @property
    def testimony(self) -> tuple[str, ...]:
        """The lines worth keeping: the last that was said, and where it crashed (innermost call first)."""
        said, crash = self._parted()
        return (*said[-10:], *crash[:8])

    @property
    def last_line(self) -> str:
        """The last that was said before Python's own report of the crash, "" if nothing was."""
        said, _ = self._parted()
        return said[-1] if said else ""

    def _parted(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        for at, line in enumerate(self.words):
            if line.startswith("Fatal Python error"):
                return self.words[:at], self.words[at:]
        return self.words, ()

    def reason(self, phase: Phase, limits: Limits) -> str:
        """In plain words why the file has no digests (READING) or no samples (DECODING)."""
        reading = phase is Phase.READING
        if self.cause is Cause.DEADLINE:
            words = f"{'reading ' if reading else ''}took longer than {limits.seconds:g} s"
            return words if reading else limits.exhausted(words, "decode_seconds")
        if self.cause is Cause.NONSENSE:
            return "the decoder gave an answer that cannot be read"
        agent = "reader" if reading else "decoder"
        if self._for_want_of_memory(limits):
            words = f"needs more memory than the limit of {human_size(limits.memory_bytes)}"
            return limits.exhausted(words, "worker_memory_bytes")
        if self.from_outside:
            return f"the {agent} was killed ({self._signal_name()}), perhaps for want of memory"
        if self.code is not None and self.code < 0:
            what = f"the {agent} crashed ({self._signal_name()})"
        else:
            what = f"the {agent} ended its process (exit code {self.code})"
        return f"{what}: {self.last_line}" if self.last_line else what

    def _signal_name(self) -> str:
        number = -(self.code or 0)
        try:
            return signal.Signals(number).name
        except ValueError:
            return f"signal {number}"

    def _for_want_of_memory(self, limits: Limits) -> bool:
        """Libraries that do not check ``malloc`` crash: then the size that the process had reached tells."""
        if self.code == 0 or self.from_outside:
            return False
        said = " ".join(self.words).lower()
        return self.peak > limits.memory_bytes // 2 or any(words in said for words in _MEMORY_WORDS)
