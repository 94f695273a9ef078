"""The ground of a storm: its shares, the pictures it writes, and the memory of which file had which name when."""

from __future__ import annotations

import ctypes
import hashlib
import os
import random
import struct
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
AT_FDCWD: Final = -100
_libc = ctypes.CDLL(None, use_errno=True)

PIXELS: Final = 122
"""Where the samples of ``tiff`` begin."""


def rename2(one: bytes, two: bytes, flags: int) -> None:
    """renameat2(2), which Python does not offer."""
    if _libc.renameat2(AT_FDCWD, one, AT_FDCWD, two, flags):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), one, None, two)


def tiff(shade: int) -> bytes:
    """A whole picture of 4x4 grey samples in 138 bytes; every shade has pixels of its own."""
    tags = [(256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (273, PIXELS), (277, 1), (278, 4), (279, 16)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + struct.pack("<QQ", shade, 7)


def selected(path: bytes) -> bool:
    """Whether the catalogue looks at files of this name; the storm uses no others."""
    name = path.rpartition(b"/")[2]
    return name.lower().endswith(b".tif") and not name.startswith(b".")


@dataclass(eq=False, slots=True)
class Body:
    """One file on disk, whatever its names: what a history follows."""

    number: int
    bytes: bytes
    writes: int = 0
    """How often its bytes or its mtime were changed."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.bytes).hexdigest()


@dataclass(slots=True)
class Spell:
    """A time in which a path held one content of one body. Milliseconds of the wall clock, generously."""

    body: int
    sha256: str
    since: int
    until: float = float("inf")


@dataclass(slots=True)
class Tree:
    """Which names there are, and which there have been."""

    files: dict[bytes, Body] = field(default_factory=dict)
    folders: set[bytes] = field(default_factory=set)
    spells: dict[bytes, list[Spell]] = field(default_factory=dict)
    began: int = 0
    _ended: list[Spell] = field(default_factory=list)

    def begin(self) -> None:
        self.began = time.time_ns() // 1_000_000

    def end(self) -> None:
        moment = time.time_ns() // 1_000_000 + 1
        for spell in self._ended:
            spell.until = moment
        self._ended.clear()

    def put(self, path: bytes, body: Body) -> None:
        self.drop(path)
        self.files[path] = body
        self.spells.setdefault(path, []).append(Spell(body.number, body.sha256, self.began))

    def drop(self, path: bytes) -> Body | None:
        body = self.files.pop(path, None)
        if body is not None:
            self._ended.append(self.spells[path][-1])
        return body

    def wrote(self, body: Body, content: bytes | None = None) -> None:
        """The bytes are others now, or (None) only the mtime is."""
        body.writes += 1
        if content is not None:
            body.bytes = content
            for path in [path for path, each in self.files.items() if each is body]:
                self.put(path, body)

    def below(self, folder: bytes) -> list[bytes]:
        return [path for path in self.files if path.startswith(folder + b"/")]

    def take_out(self, folder: bytes) -> tuple[dict[bytes, Body], set[bytes]]:
        """Forget a folder; what was in it, by the rest of the path."""
        at = len(folder)
        files = {path[at:]: body for path in self.below(folder) if (body := self.drop(path))}
        folders = {each[at:] for each in self.folders if each == folder or each.startswith(folder + b"/")}
        self.folders -= {folder + rest for rest in folders}
        return files, folders

    def put_in(self, folder: bytes, content: tuple[dict[bytes, Body], set[bytes]]) -> None:
        self.folders |= {folder + rest for rest in content[1]}
        for rest, body in content[0].items():
            self.put(folder + rest, body)


NAMES: Final = [*(b"%d.tif" % number for number in range(9)), b"A.TIF", b"\xff.tif", "ü.tif".encode()]
FOLDERS: Final = (b"a", b"b", b"c", b"d e")


class Ground:
    """Some shares on one disk, with ``outside``, a folder there that is in no share; a choice of what is in them."""

    def __init__(self, shares: Sequence[bytes], outside: bytes, seed: int) -> None:
        self.shares, self.outside = list(shares), outside
        self.chance = random.Random(seed)
        self.tree = Tree()
        self.constant: dict[int, int] = {}
        """Bodies that have had one name in the shares all the while since ``rest``, and bytes of their own: body →
        its number of writes then."""
        self._shade = self._number = 0
        for folder in (*self.shares, outside):
            os.makedirs(folder, exist_ok=True)
            self.tree.folders.add(folder)

    def inside(self) -> dict[bytes, Body]:
        """The files of the shares that are to be catalogued."""
        shares = tuple(share + b"/" for share in self.shares)
        return {
            path: body for path, body in self.tree.files.items() if path.startswith(shares) and selected(path)
        }

    def rest(self) -> None:
        """From now on see who stays what he is."""
        self.constant = {body.number: body.writes for body in self.tree.files.values()}
        self.watch()

    def watch(self) -> None:
        """After each operation: who is not constant any more?"""
        inside = {body.number for body in self.inside().values()}
        contents = Counter(body.sha256 for body in set(self.tree.files.values()))
        names = Counter(self.tree.files.values())
        kept = {
            body.number
            for body, number in names.items()
            if number == 1 and body.number in inside and contents[body.sha256] == 1
        }
        self.constant = {
            body.number: self.constant[body.number]
            for body in names
            if body.number in kept and self.constant.get(body.number) == body.writes
        }

    def some(self, *, outside: bool = False) -> bytes | None:
        """A file of the shares (or outside of them)."""
        there = self.tree.below(self.outside) if outside else self.inside()
        found = sorted(path for path in there if selected(path))
        return self.chance.choice(found) if found else None

    def folder(self, *, share_too: bool = True) -> bytes | None:
        inside = tuple(share + b"/" for share in self.shares)
        found = sorted(each for each in self.tree.folders if each.startswith(inside))
        found += self.shares * 2 if share_too else []
        return self.chance.choice(found) if found else None

    def place(self) -> bytes:
        """A path in a folder that is there; whether it is free is another question."""
        folder = self.folder()
        assert folder is not None
        if self.chance.random() < 0.2 and folder.count(b"/") < self.shares[0].count(b"/") + 4:
            folder += b"/" + self.chance.choice(FOLDERS)
            if folder in self.tree.files:
                folder = self.shares[0]
            self._make_folder(folder)
        return folder + b"/" + self.chance.choice(NAMES)

    def free(self) -> bytes:
        while (path := self.place()) in self.tree.files:
            if self.chance.random() < 0.1:
                self._shade += 1
                return path.rpartition(b"/")[0] + b"/n%d.tif" % self._shade
        return path

    def _free_folder(self) -> bytes:
        folder = self.folder()
        assert folder is not None
        names = [folder + b"/" + name for name in (*FOLDERS, b"e", b"f", b"g", b"h")]
        free = [each for each in names if each not in self.tree.folders]
        self._shade += 1
        return self.chance.choice(free) if free else folder + b"/more%d" % self._shade

    def _make_folder(self, folder: bytes) -> None:
        if folder not in self.tree.folders:
            os.mkdir(folder)
            self.tree.folders.add(folder)

    def _picture(self) -> bytes:
        self._shade += 1
        return tiff(self._shade)

    def _body(self, content: bytes) -> Body:
        self._number += 1
        return Body(self._number, content)

    def _new(self, path: bytes, content: bytes) -> None:
        """A new file, or the one that is there written anew."""
        there = self.tree.files.get(path)
        if there is not None:
            self.tree.wrote(there, b"")  # for a moment
        with open(path, "wb") as stream:
            stream.write(content)
        if there is None:
            self.tree.put(path, there := self._body(b""))
        self.tree.wrote(there, content)

    def _rename(self, one: bytes, two: bytes) -> None:
        if self.tree.files[one] is self.tree.files.get(two):
            return  # two names of one file: rename(2) does nothing
        os.rename(one, two)
        body = self.tree.drop(one)
        assert body is not None
        self.tree.put(two, body)
