"""The announcement of a worker, as the parent reads it: 32 bytes of shared memory that outlive the worker."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass

from catalog.pixels.wire import SLOT, Phase


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the worker was about at a moment. ``sequence`` rises with each step it makes."""

    sequence: int
    job: int
    phase: Phase


class Slot:
    """Shared memory for one worker. ``descriptor`` is passed to it and can be closed afterwards."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("catalog-slot")
        os.ftruncate(self.descriptor, SLOT.size)
        self._memory = mmap.mmap(self.descriptor, SLOT.size)

    def read(self) -> Announcement | None:
        """The announcement, or None when it was caught half written (look again) or is nonsense."""
        sequence, job, phase, low, _ = SLOT.unpack_from(self._memory)
        if sequence & 0xFFFFFFFF != low or phase >= len(Phase):
            return None
        return Announcement(sequence, job, Phase(phase))

    def close_descriptor(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1

    def close(self) -> None:
        self.close_descriptor()
        self._memory.close()
