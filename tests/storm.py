"""A storm of operations on shares, by a seed: what people and programs do to files, and a memory of it.

The memory knows of every name which file (``Body``) has it, and since when: whose history is whose can be asked
of it afterwards (``tests/storm_judging.py``). Nothing here knows the catalogue.
"""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from tests.storm_ground import NAMES, PIXELS, RENAME_EXCHANGE, Body, Ground, rename2


class Storm(Ground):
    """Does one thing after the other to some shares. ``outside``: a folder of the same disk, in no share.

    ``only``: names of the operations that may be done; None: all but those that are ``loud``.
    """

    def __init__(
        self, shares: Sequence[bytes], outside: bytes, seed: int, *, only: Sequence[str] | None = None
    ) -> None:
        super().__init__(shares, outside, seed)
        self.open: list[tuple[int, Body]] = []
        """Files that are being written slowly: (descriptor, body)."""
        self.done: dict[str, int] = {}
        """How often each operation was done."""
        every = {name: weight for name, weight in WEIGHTS.items() if only is None or name in only}
        self._names, self._weights = list(every), list(every.values())
        for _ in range(12):
            self._do(self.create)

    def close(self) -> None:
        """End what is being written."""
        while self.open:
            self._do(self.finish)

    def step(self) -> str:
        """Do one thing; its name."""
        name = self.chance.choices(self._names, self._weights)[0]
        done = self._do(getattr(self, name)) is not False
        if done:
            self.done[name] = self.done.get(name, 0) + 1
        return name if done else f"({name})"

    def _do(self, operation: Callable[[], bool | None]) -> bool | None:
        self.tree.begin()
        try:
            return operation()
        finally:
            self.tree.end()
            self.watch()

    # ------------------------------------------------------------------------------------------ writing

    def create(self) -> None:
        """A new file, or an old one written anew in place."""
        self._new(self.place(), self._picture())

    def rewrite(self) -> bool | None:
        one = self.some()
        return self._new(one, self._picture()) if one else False

    def append(self) -> bool | None:
        one = self.some()
        if one is None:
            return False
        more = b"x" * self.chance.randrange(1, 200)
        with open(one, "ab") as stream:
            stream.write(more)
        body = self.tree.files[one]
        self.tree.wrote(body, body.bytes + more)
        return None

    def begin_slowly(self) -> bool | None:
        if len(self.open) > 2:
            return self.go_on()
        path, content = self.free(), self._picture()[:100]
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o644)
        os.write(fd, content)
        body = self._body(content)
        self.tree.put(path, body)
        self.open.append((fd, body))
        return None

    def go_on(self) -> bool | None:
        if not self.open:
            return False
        fd, body = self.chance.choice(self.open)
        os.write(fd, b"more")
        self.tree.wrote(body, body.bytes + b"more")
        return None

    def finish(self) -> bool | None:
        """The writer closes, and the picture is whole."""
        if not self.open:
            return False
        fd, body = self.open.pop(self.chance.randrange(len(self.open)))
        content = self._picture()
        os.ftruncate(fd, 0)
        os.write(fd, content)
        os.close(fd)
        self.tree.wrote(body, content)
        return None

    def write_mapped(self) -> bool | None:
        one = self.some()
        body = self.tree.files[one] if one else None
        if one is None or body is None or len(body.bytes) <= PIXELS + 9:
            return False
        with open(one, "r+b") as stream, mmap.mmap(stream.fileno(), 0) as mapped:
            mapped[PIXELS + 8] = (mapped[PIXELS + 8] + 1) % 256
            content = bytes(mapped)
        self.tree.wrote(body, content)
        return None

    def edit_and_restore_mtime(self) -> bool | None:
        one = self.some()
        if one is None:
            return False
        look = os.stat(one)
        self._new(one, self._picture())
        os.utime(one, ns=(look.st_atime_ns, look.st_mtime_ns))
        return None

    def swap_by_writing(self) -> bool | None:
        one, two = self.some(), self.some()
        if one is None or two is None or self.tree.files[one] is self.tree.files[two]:
            return False
        first, second = self.tree.files[one].bytes, self.tree.files[two].bytes
        self._new(one, second)
        self._new(two, first)
        return None

    # ----------------------------------------------------------------------------------- other files there

    def replace(self) -> bool | None:
        """A program's safe save: a temporary file, renamed over."""
        one = self.some()
        if one is None:
            return False
        folder, _, name = one.rpartition(b"/")
        form = self.chance.choice((b".%s.tmp", b"%s~", b"%s.new.tif"))
        aside = folder + b"/" + form % name
        if aside in self.tree.files:
            return False
        self._new(aside, self._picture())
        self._rename(aside, one)
        return None

    def remove_and_create(self) -> bool | None:
        """Often with the inode number of the one that was removed."""
        one = self.some()
        if one is None:
            return False
        content = self.tree.files[one].bytes if self.chance.random() < 0.3 else self._picture()
        os.unlink(one)
        self.tree.drop(one)
        self._new(one if self.chance.random() < 0.5 else self.free(), content)
        return None

    def copy(self) -> bool | None:
        one, target = self.some(), self.place()
        if one is None or self.tree.files[one] is self.tree.files.get(target):
            return False
        self._new(target, self.tree.files[one].bytes)
        if self.chance.random() < 0.6:
            shutil.copystat(one, target)
            self.tree.wrote(self.tree.files[target])
        return None

    def copy_and_remove(self) -> bool | None:
        """What mv(1) does from one file system to another."""
        one, target = self.some(), self.free()
        if one is None:
            return False
        self._new(target, self.tree.files[one].bytes)
        shutil.copystat(one, target)
        os.unlink(one)
        self.tree.drop(one)
        return None

    def link(self) -> bool | None:
        one, target = self.some(), self.free()
        if one is None:
            return False
        os.link(one, target)
        self.tree.put(target, self.tree.files[one])
        return None

    def remove(self) -> bool | None:
        one = self.some()
        if one is None:
            return False
        os.unlink(one)
        self.tree.drop(one)
        return None

    # ------------------------------------------------------------------------------------------ renaming

    def rename(self) -> bool | None:
        one = self.some()
        return self._rename(one, self.free()) if one else False

    def rename_over(self) -> bool | None:
        one, two = self.some(), self.some()
        return self._rename(one, two) if one and two and one != two else False

    def rename_case(self) -> bool | None:
        one = self.some()
        if one is None:
            return False
        folder, _, name = one.rpartition(b"/")
        other = folder + b"/" + name.swapcase()
        return self._rename(one, other) if other not in self.tree.files else False

    def swap(self) -> bool | None:
        one, two = self.some(), self.some()
        files = self.tree.files
        if one is None or two is None or files[one] is files[two]:
            return False
        if self.chance.random() < 0.5:
            rename2(one, two, RENAME_EXCHANGE)
            first, second = self.tree.drop(one), self.tree.drop(two)
            assert first is not None and second is not None
            self.tree.put(one, second)
            self.tree.put(two, first)
            return None
        aside = one.rpartition(b"/")[0] + self.chance.choice((b"/aside", b"/aside.tif"))
        for source, target in ((one, aside), (two, one), (aside, two)):
            self._rename(source, target)
        return None

    def rotate(self) -> bool | None:
        """Numbered files move on by one."""
        found = {path for _ in range(5) if (path := self.some()) is not None}
        chain = sorted(found)
        if len({self.tree.files[path] for path in chain}) != len(chain) or len(chain) < 3:
            return False
        self._rename(chain[-1], aside := chain[0].rpartition(b"/")[0] + b"/aside.part")
        for source, target in reversed(list(pairwise(chain))):
            self._rename(source, target)
        self._rename(aside, chain[0])
        return None

    def hide(self) -> bool | None:
        """To a name that is not catalogued."""
        one = self.some()
        if one is None or one + b".bak" in self.tree.files:
            return False
        return self._rename(one, one + b".bak")

    def show(self) -> bool | None:
        hidden = sorted(path for path in self.tree.files if path.endswith(b".bak"))
        if not hidden:
            return False
        one = self.chance.choice(hidden)
        target = one[:-4] if self.chance.random() < 0.5 else self.free()
        return self._rename(one, target) if target not in self.tree.files else False

    def move_out(self) -> bool | None:
        one = self.some()
        self._number += 1
        return self._rename(one, self.outside + b"/%d.tif" % self._number) if one else False

    def move_in(self) -> bool | None:
        one = self.some(outside=True)
        return self._rename(one, self.place()) if one else False

    def touch(self) -> bool | None:
        one = self.some()
        if one is None:
            return False
        if self.chance.random() < 0.5:
            os.chmod(one, self.chance.choice((0o644, 0o600, 0o640)))
            return None
        os.utime(one)
        self.tree.wrote(self.tree.files[one])
        return None

    # ------------------------------------------------------------------------------------------- folders

    def rename_folder(self) -> bool | None:
        one = self.folder(share_too=False)
        target = self._free_folder()
        if one is None or (target + b"/").startswith(one + b"/"):
            return False
        os.rename(one, target)
        self.tree.put_in(target, self.tree.take_out(one))
        return None

    def swap_folders(self) -> bool | None:
        one, two = self.folder(share_too=False), self.folder(share_too=False)
        if one is None or two is None or (one + b"/").startswith(two + b"/") or two.startswith(one + b"/"):
            return False
        rename2(one, two, RENAME_EXCHANGE)
        first, second = self.tree.take_out(one), self.tree.take_out(two)
        self.tree.put_in(one, second)
        self.tree.put_in(two, first)
        return None

    def make_deep(self) -> None:
        """mkdir -p, and files at once in the new folders."""
        folder = self._free_folder()
        for name in (b"", b"/x", b"/y", b"/z")[: self.chance.randrange(1, 5)]:
            folder += name
            self._make_folder(folder)
            if self.chance.random() < 0.6:
                self._new(folder + b"/" + self.chance.choice(NAMES), self._picture())

    def remove_folder(self) -> bool | None:
        one = self.folder(share_too=False)
        if one is None or self.chance.random() < 0.5:
            return False
        shutil.rmtree(one)
        self.tree.take_out(one)
        return None

    def move_folder_out(self) -> bool | None:
        one = self.folder(share_too=False)
        if one is None:
            return False
        self._number += 1
        os.rename(one, target := self.outside + b"/folder%d" % self._number)
        self.tree.put_in(target, self.tree.take_out(one))
        return None

    def move_folder_in(self) -> bool | None:
        found = sorted(each for each in self.tree.folders if each.startswith(self.outside + b"/folder"))
        found = [each for each in found if each.rpartition(b"/")[0] == self.outside]
        if not found:
            return False
        one, target = self.chance.choice(found), self._free_folder()
        os.rename(one, target)
        self.tree.put_in(target, self.tree.take_out(one))
        return None

    # --------------------------------------------------------------------------------------------- noise

    def flood(self) -> bool | None:
        """More events than the kernel's queue holds (16,384 by default)."""
        one, two = self.some(), self.some()
        if one is None or two is None or one == two:
            return False
        for _ in range(9000):
            os.utime(one)
            os.utime(two)
        for path in (one, two):
            self.tree.wrote(self.tree.files[path])
        return None


WEIGHTS: Final = {
    **{"create": 6, "rewrite": 4, "append": 3, "begin_slowly": 2, "go_on": 2, "finish": 2, "write_mapped": 2},
    **{"edit_and_restore_mtime": 2, "swap_by_writing": 1, "replace": 4, "remove_and_create": 4, "copy": 4},
    **{"copy_and_remove": 2, "link": 3, "remove": 4, "rename": 6, "rename_over": 3, "rename_case": 2},
    **{"swap": 4, "rotate": 2, "hide": 2, "show": 2, "move_out": 2, "move_in": 3, "touch": 3},
    **{"rename_folder": 3, "swap_folders": 3, "make_deep": 2, "remove_folder": 1, "move_folder_out": 1},
    **{"move_folder_in": 2},
}
RENAMES: Final = (
    *("rename", "rename_case", "swap", "rotate", "touch"),
    *("rename_folder", "swap_folders", "make_deep"),
)
"""Nothing gets lost, nothing is new."""
