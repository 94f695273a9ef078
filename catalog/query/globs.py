"""``--glob``: which paths a question is about. The rules are those of ``exclude`` in the configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence


def _pattern(glob: str) -> str:
    """The regular expression of one glob: ``*`` and ``?`` stop at a slash, ``**`` does not."""
    parts: list[str] = []
    at = 0
    while at < len(glob):
        if glob.startswith("**/", at):
            parts.append("(?:.*/)?")
            at += 3
        elif glob.startswith("**", at):
            parts.append(".*")
            at += 2
        elif glob[at] == "[" and (closing := glob.find("]", at + 2)) > 0:
            inside = glob[at + 1 : closing].replace("\\", "\\\\").replace("[", "\\[")
            parts.append("[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]")
            at = closing + 1
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(glob[at]) or re.escape(glob[at]))
            at += 1
    return "".join(parts)


class Globs:
    """Several globs as one question.

    Without a slash a glob speaks of the name, with one of the path below the share. ``!`` in front leaves
    out what matches. A path is meant when a glob (or none at all) takes it and none leaves it out.
    """

    def __init__(self, globs: Sequence[str]) -> None:
        self._wanted = [_compiled(glob) for glob in globs if not glob.startswith("!")]
        self._unwanted = [_compiled(glob[1:]) for glob in globs if glob.startswith("!")]

    def __bool__(self) -> bool:
        return bool(self._wanted or self._unwanted)

    def match(self, folder: bytes, name: bytes) -> bool:
        """Whether the file ``name`` of ``folder`` (below the share, b"" at its top) is meant."""
        # surrogateescape keeps what is not UTF-8 apart, one character for each byte
        texts = (
            os.fsdecode(name),
            os.fsdecode(folder + b"/" + name) if folder else os.fsdecode(name),
        )
        if any(pattern.fullmatch(texts[whole]) for whole, pattern in self._unwanted):
            return False
        return not self._wanted or any(pattern.fullmatch(texts[whole]) for whole, pattern in self._wanted)


def _compiled(glob: str) -> tuple[bool, re.Pattern[str]]:
    """(speaks of the path, pattern). Raises re.error for a range that runs backwards (``[z-a]``)."""
    return "/" in glob, re.compile(_pattern(glob.removeprefix("/")), re.DOTALL)
