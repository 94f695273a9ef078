"""What decoder libraries say by way of Python's ``logging``: imagecodecs passes on libpng's and libtiff's words.

Heard by a handler of our own, so that nothing depends on how the program logs; the words go no further.
"""

from __future__ import annotations

import logging

_MOST = 100
_heard: list[str] = []


class _Ear(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if len(_heard) < _MOST:
            _heard.append(" ".join(record.getMessage().split()))


_EAR = _Ear(logging.WARNING)


def listen(*names: str) -> None:
    """Hear warnings and worse of these loggers from now on. May be called twice."""
    for name in names:
        logger = logging.getLogger(name)
        if _EAR not in logger.handlers:
            logger.addHandler(_EAR)
            logger.propagate = False


def heard() -> list[str]:
    """What was said since the last call, in order; the first hundred lines."""
    words = _heard.copy()
    _heard.clear()
    return words
