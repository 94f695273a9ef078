"""Small habits of speech: times, paths, sizes and numbers as people read them."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime


def iso(ms: int | None) -> str | None:
    """RFC 3339 UTC with milliseconds, from catalogue milliseconds."""
    if ms is None:
        return None
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def iso_ns(ns: int | None) -> str | None:
    """RFC 3339 UTC with nanoseconds, from file system nanoseconds (before 1970 and after 9999 too)."""
    if ns is None:
        return None
    seconds, rest = divmod(ns, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return f"@{seconds}.{rest:09d}"
    return f"{moment.year:04d}" + moment.strftime("-%m-%dT%H:%M:%S.") + f"{rest:09d}Z"


def printable(path: bytes | str) -> str:
    """A path that may reach a terminal: control characters and bytes that are not UTF-8 are escaped."""
    text = path.decode("utf-8", "backslashreplace") if isinstance(path, bytes) else path
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def quoted(path: bytes | str) -> str:
    """A path or a name in a command that is to be copied from our words: quoted where a shell needs it."""
    return shlex.quote(printable(path))


def path_fields(path: bytes, name: str = "path") -> dict[str, str]:
    """JSON fields of a path: ``path``, and ``path_b64`` when it is not valid UTF-8."""
    try:
        return {name: path.decode("utf-8")}
    except UnicodeDecodeError:
        return {
            name: path.decode("utf-8", "backslashreplace"),
            f"{name}_b64": base64.b64encode(path).decode("ascii"),
        }


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """``1 file``, ``1,204 files``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def human_size(size: float) -> str:
    """``741 kB`` as curators read sizes (powers of 1000)."""
    if size < 1000:
        return f"{int(size)} B"
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.5 or unit == "TB":
            return f"{size:.0f} {unit}" if size >= 99.95 else f"{size:.1f} {unit}"
    raise AssertionError("unreachable")


def joined(words: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    listed = list(words)
    return " and ".join([", ".join(listed[:-1]), listed[-1]]) if len(listed) > 1 else "".join(listed)
