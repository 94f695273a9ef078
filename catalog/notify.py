"""Tell systemd how we are: ready, busy with what, alive, stopping (sd_notify(3), without a dependency).

Every call is one datagram to ``$NOTIFY_SOCKET``. Each gives False where nobody listens, which is what happens
outside systemd, and never raises: a daemon does not fail because its supervisor is gone.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Final

from catalog.terms import printable

STATUS_LIMIT: Final = 900
"""Characters of a status line. systemd reads at most a page (4,096 bytes) of a message."""
_SEND_TIMEOUT_SECONDS: Final = 1.0


def ready(text: str | None = None) -> bool:
    """Start-up or reload is finished: units ordered after us may start."""
    return _send("READY=1", text)


def status(text: str) -> bool:
    """What we are doing now, for ``systemctl status``; one line, cut at ``STATUS_LIMIT`` characters."""
    return _send("", text)


def reloading(text: str | None = None) -> bool:
    """SIGHUP was received; ``ready`` ends it."""
    return _send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", text)


def stopping(text: str | None = None) -> bool:
    """SIGTERM was received, work in flight is being finished."""
    return _send("STOPPING=1", text)


def watchdog() -> bool:
    """Sign of life; due every ``watchdog_interval_seconds``, or systemd ends us."""
    return _send("WATCHDOG=1", None)


def extend_timeout(seconds: float) -> bool:
    """Ask for this much time from now, for a migration at start or a drain at the end."""
    return _send(f"EXTEND_TIMEOUT_USEC={max(0, round(seconds * 1_000_000))}", None)


def watchdog_interval_seconds() -> float | None:
    """Seconds between signs of life: half of the unit's WatchdogSec. None when no watchdog waits for us.

    A child inherits the variables; ``WATCHDOG_PID`` tells that they were meant for its parent.
    """
    pid, duration = os.environ.get("WATCHDOG_PID"), os.environ.get("WATCHDOG_USEC", "")
    if pid is not None and pid != str(os.getpid()):
        return None
    if not (duration.isascii() and duration.isdecimal()) or int(duration) == 0:
        return None
    return int(duration) / 2_000_000


def _send(assignments: str, text: str | None) -> bool:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    lines = [assignments] if assignments else []
    if text is not None:
        lines.append(f"STATUS={printable(text)[:STATUS_LIMIT]}")
    # An abstract socket's name starts with NUL; the variable spells it "@".
    where = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(_SEND_TIMEOUT_SECONDS)
            sender.sendto("\n".join(lines).encode(), os.fsencode(where))
    except OSError:
        return False
    return True
