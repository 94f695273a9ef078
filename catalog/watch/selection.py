"""Which files are catalogued: by extension, ``--include``, ``exclude``, and names nobody means to keep."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from catalog.config import IMAGE_EXTENSIONS

REFUSED_EXTENSIONS: Final = {
    "iim": "IPTC records, not a picture",
    "bufr": "Pillow only recognises it",
    "grib": "Pillow only recognises it",
    "h5": "Pillow only recognises it",
    "hdf": "Pillow only recognises it",
    "mpeg": "a film, not a picture",
    "mpg": "a film, not a picture",
    "emf": "drawn by Windows only",
    "wmf": "drawn by Windows only",
    "eps": "a program that Ghostscript would have to run",
    "ps": "a program that Ghostscript would have to run",
    "pdf": "Pillow only writes it",
    "palm": "Pillow only writes it",
}
"""Extensions that Pillow registers and the catalogue leaves out, with the reason."""

# Made by the system, never by people: thumbnails, snapshots and bins of network storage and Windows.
# lost+found is unreadable for all but root, and would make every ext4 share "incomplete" for ever.
_SYSTEM_FOLDERS: Final = frozenset(
    (
        *(b"@eadir", b"@recycle", b"#recycle", b"#snapshot", b"~snapshot"),
        *(b"$recycle.bin", b"system volume information", b"lost+found"),
    )
)
_SYSTEM_FILES: Final = frozenset((b"thumbs.db", b"ehthumbs.db", b"desktop.ini", b"icon\r"))

_TEMPORARY: Final = re.compile(
    rb"""
    .*~                                     # Emacs, vim, gedit backups
  | ~\$.* | \#.*\#                          # Office owner files, Emacs auto-save
  | .*\.(?: part | partial | crdownload | download | opdownload | filepart | aria2 | !ut | !qb | bc!
          | tmp | temp | sw[a-p] | bak~ | lck | lock )
  | ps[0-9a-f]{4}\.tmp                      # Photoshop's safe-save
  | 4913                                    # vim tests whether it may write here
""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


class Why(StrEnum):
    """Why a name is not catalogued."""

    HIDDEN = "hidden"
    SYSTEM = "system"
    TEMPORARY = "temporary"
    EXCLUDED = "excluded"
    EXTENSION = "extension"


@dataclass(frozen=True, slots=True)
class Selected:
    """Catalogued. ``decode`` False: raw checksums only (``--include`` added it; state ``other``)."""

    decode: bool = True


@dataclass(frozen=True, slots=True)
class Ignored:
    """Not catalogued, but counted."""

    why: Why


_DECODED, _OTHER = Selected(), Selected(decode=False)
_HIDDEN, _SYSTEM, _TEMP, _EXCLUDED, _EXTENSION = (Ignored(why) for why in Why)


def _pattern(glob: str) -> str:
    """The regular expression of one glob: ``*`` and ``?`` stop at a slash, ``**`` does not."""
    out, i = [], 0
    while i < len(glob):
        c = glob[i]
        if glob.startswith("**/", i):
            out.append("(?:.*/)?")
            i += 3
            continue
        if glob.startswith("**", i):
            out.append(".*")
            i += 2
            continue
        closing = glob.find("]", i + 2) if c == "[" else -1
        if closing > 0:
            inside = glob[i + 1 : closing].replace("\\", "\\\\").replace("[", "\\[")
            out.append("[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]")
            i = closing
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(c) or re.escape(c))
        i += 1
    return "".join(out)


class _Globs:
    """A list of globs as one question. Without a slash a glob speaks of the name, with one of the path."""

    def __init__(self, globs: Iterable[str]) -> None:
        names: list[str] = []
        paths: list[str] = []
        folders: list[str] = []
        for glob in globs:
            bare = glob.rstrip("/")
            regex = _pattern(bare.removeprefix("/"))
            target = folders if glob.endswith("/") else paths if "/" in bare else names
            target.append(f"(?:.*/)?{regex}" if target is folders and "/" not in bare else regex)
        self._names = re.compile("|".join(names), re.DOTALL) if names else None
        self._paths = re.compile("|".join(paths), re.DOTALL) if paths else None
        self._folders = re.compile("|".join(folders), re.DOTALL) if folders else None

    def __bool__(self) -> bool:
        return any((self._names, self._paths, self._folders))

    def match(self, name: bytes, path: bytes, *, directory: bool) -> bool:
        # surrogateescape both ways: a name that is not UTF-8 is matched without loss
        if self._names and self._names.fullmatch(os.fsdecode(name)):
            return True
        if not self._paths and not (directory and self._folders):
            return False
        text = os.fsdecode(path)
        if self._paths and self._paths.fullmatch(text):
            return True
        return bool(directory and self._folders and self._folders.fullmatch(text))


class Selection:
    """Decides on names alone, so that a walk needs no further look at what it leaves out.

    ``extensions``: without dots, any case; ``include``: globs of further files (raw checksums only);
    ``exclude``: globs of files and folders to leave out. A glob without a slash is matched against the
    name, with one against the path relative to the root; a trailing slash means folders only.
    Order: excluded, hidden and system names, extension, temporary names, ``include``.
    """

    def __init__(
        self,
        extensions: Iterable[str] = IMAGE_EXTENSIONS,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        *,
        follow_links: bool = False,
    ) -> None:
        self.follow_links = follow_links
        extensions, include, exclude = tuple(extensions), tuple(include), tuple(exclude)
        self.spec = extensions, include, exclude, follow_links
        """What it was made of, as plain values: another process makes the same one."""
        wanted = {extension.lower().lstrip(".") for extension in extensions}
        self._extensions = frozenset(b"." + os.fsencode(extension) for extension in wanted)
        self._include = _Globs(include)
        self._exclude = _Globs(exclude)
        # What a walk may take without asking: the common spellings, as long as nothing is excluded.
        spelled = {f".{s}" for e in wanted for s in (e, e.upper(), e.capitalize())}
        self.plain_suffixes: frozenset[str] = frozenset() if self._exclude else frozenset(spelled)
        """Suffixes (with dot, as text) that make a name which is not hidden selected, whatever else."""

    def decodes(self, name: bytes) -> bool:
        """Whether a selected file is decoded (by extension) or only hashed (``--include``)."""
        dot = name.rfind(b".")
        return dot >= 0 and name[dot:].lower() in self._extensions

    def verdict(  # noqa: PLR0911 - one return a rule, in their order
        self, name: bytes, relative_path: bytes, *, directory: bool = False
    ) -> Selected | Ignored:
        """Whether this file, or this folder, is catalogued. Says nothing of the folders above it."""
        if self._exclude and self._exclude.match(name, relative_path, directory=directory):
            return _EXCLUDED
        if name.startswith(b"."):
            return _HIDDEN
        if directory:
            return _SYSTEM if name.lower() in _SYSTEM_FOLDERS else _DECODED
        if self.decodes(name):
            return _DECODED
        if name.lower() in _SYSTEM_FILES:
            return _SYSTEM
        if _TEMPORARY.fullmatch(name):
            return _TEMP
        if self._include and self._include.match(name, relative_path, directory=False):
            return _OTHER
        return _EXTENSION

    def verdict_of_path(self, relative_path: bytes) -> Selected | Ignored:
        """The same for a file together with every folder above it (for hints, which name a path)."""
        at = relative_path.find(b"/")
        start = 0
        while at >= 0:
            folder = self.verdict(relative_path[start:at], relative_path[:at], directory=True)
            if isinstance(folder, Ignored):
                return folder
            start, at = at + 1, relative_path.find(b"/", at + 1)
        return self.verdict(relative_path[start:], relative_path)

    def enters(self, relative_path: bytes) -> Ignored | None:
        """None when a walk enters this folder, or why it does not; ``b""`` is the root."""
        start = 0
        while relative_path and start <= len(relative_path):
            at = relative_path.find(b"/", start)
            end = len(relative_path) if at < 0 else at
            folder = self.verdict(relative_path[start:end], relative_path[:end], directory=True)
            if isinstance(folder, Ignored):
                return folder
            start = end + 1
        return None
