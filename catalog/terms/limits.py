"""What one file may cost, and the words that name the setting to raise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost a decode worker."""

    decode_pixels: int = 178_956_970
    """Pixels of one image that are decoded; Pillow's own bomb limit."""
    decode_bytes: int = 1 << 30
    """Largest file that is held in memory and decoded; larger ones are hashed in a stream and recorded
    ``unverified``."""
    memory_bytes: int = 4 << 30
    """RLIMIT_AS of a worker."""
    seconds: float = 120.0
    """Time for one file in one phase, by the parent's clock."""

    @property
    def _settings(self) -> dict[str, float]:
        return {
            "decode_limit_pixels": self.decode_pixels,
            "decode_limit_bytes": self.decode_bytes,
            "worker_memory_bytes": self.memory_bytes,
            "decode_seconds": self.seconds,
        }

    def too_large(self, setting: str, needed: int) -> str | None:
        """Why a file that needs so much of a setting is not decoded; None when it may be."""
        return f"too large: raise {setting} to {needed}" if needed > self._settings[setting] else None

    def exhausted(self, what: str, setting: str) -> str:
        """Why a file was given up that took all that a setting allows, and nobody knows how much it needs."""
        return f"{what}: raise {setting} above {self._settings[setting]:.15g}"

    def lifted(self, reason: str | None) -> bool:
        """Whether the limit at which a file was given up, for this reason, is higher by now."""
        found = _LIMIT_NAMED.search(reason or "")
        if found is None or found[1] not in self._settings:
            return False
        limit, noted = self._settings[found[1]], float(found[3]) if "." in found[3] else int(found[3])
        return limit >= noted if found[2] == "to" else limit > noted


_LIMIT_NAMED: Final = re.compile(r": raise ([a-z_]+) (to|above) ([0-9]+(?:\.[0-9]+)?)(?![0-9.])")
