"""Log lines on stderr: for people with time and level, for the journal with its priorities.

Modules log with ``logging.getLogger(__name__)`` and hand paths over as they are: bytes become readable, and
nothing that a file name holds reaches a terminal raw.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Final

from catalog.terms import iso, printable

CHANGES: Final = "catalog.changes"
"""The logger whose lines tell of changes of files, and of nothing else."""

# sd-daemon(3)
_PRIORITIES: Final = (
    (logging.CRITICAL, "<2>"),
    (logging.ERROR, "<3>"),
    (logging.WARNING, "<4>"),
    (logging.INFO, "<6>"),
)
_DEBUG_PRIORITY: Final = "<7>"
_LEVELS: Final = (logging.WARNING, logging.INFO, logging.DEBUG)


def setup(verbosity: int = 0, quiet: bool = False) -> None:
    """Send log lines to stderr; may be called again, and then replaces what it did before.

    ``verbosity`` 0 lets warnings through, 1 what happens (the daemon's own choice), 2 every detail; ``quiet``
    only errors, whatever the verbosity. Libraries' own lines appear from warnings upwards.
    """
    level = logging.ERROR if quiet else _LEVELS[min(max(verbosity, 0), len(_LEVELS) - 1)]
    root = logging.getLogger()
    for ours in [handler for handler in root.handlers if isinstance(handler, _Stderr)]:
        root.removeHandler(ours)
        ours.close()
    handler = _Stderr()
    handler.setFormatter(JournalFormatter() if stderr_is_journal() else LineFormatter())
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("catalog").setLevel(level)


def stderr_is_journal() -> bool:
    """Whether the journal itself reads our stderr.

    ``JOURNAL_STREAM`` alone does not say so: whatever a service starts inherits it, although its stderr may
    be a file or a pipe. It names the stream by device and inode (systemd.exec(5)).
    """
    stream = os.environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what ``sys.stderr`` is at that moment; a process without stderr logs nowhere."""

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is not None:
            self.stream = sys.stderr
            super().emit(record)


class LineFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z warning watch: share lost``; a traceback follows, indented.

    A change of a file speaks for itself: ``2026-01-31T12:00:00.000Z moved: /share/b.tif, from /share/a.tif``.
    """

    def format(self, record: logging.LogRecord) -> str:
        first, *rest = _lines(self, record)
        moment = iso(int(record.created * 1000))
        if record.name == CHANGES and not rest:
            return f"{moment} {first}"
        return "\n".join([f"{moment} {record.levelname.lower()} {first}", *(f"  {line}" for line in rest)])


class JournalFormatter(logging.Formatter):
    """The same without time and level, which the journal keeps: each line starts with its priority."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next((mark for level, mark in _PRIORITIES if record.levelno >= level), _DEBUG_PRIORITY)
        return "\n".join(f"{priority}{line}" for line in _lines(self, record))


def _lines(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    """The message as one line, then those of its traceback; all printable.

    A newline in a file name would forge a line of its own, a control character would drive the terminal.
    """
    name = "" if record.name == CHANGES else record.name.removeprefix("catalog.") + ": "
    lines = [f"{name}{printable(_message(record))}"]
    if record.exc_info:
        lines += formatter.formatException(record.exc_info).splitlines()
    if record.stack_info:
        lines += record.stack_info.splitlines()
    return [lines[0], *(printable(line) for line in lines[1:])]


def _message(record: logging.LogRecord) -> str:
    """The message with its arguments, where paths are bytes."""
    arguments = record.args
    if isinstance(arguments, tuple):
        arguments = tuple(printable(word) if isinstance(word, bytes) else word for word in arguments)
    return str(record.msg) % arguments if arguments else str(record.msg)
