"""What people and programs do to images. The cases are in ``mutation_cases.py``.

One case is one file of its own, so that a share full of them is scanned before and after, once.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from catalog.terms import EventKind, Kind, Manner
from tests.pictures import drawing_png, photo_jpg, scan_tif

Change = Callable[[Path], object]

MAKERS = {".tif": scan_tif, ".jpg": photo_jpg, ".png": drawing_png}


@dataclass(frozen=True)
class Mutation:
    """One file, what happens to it, and what must be said of it."""

    name: str
    """Of the file; its suffix says what it is."""
    words: str
    """What happens, as docs/drift.md has it."""
    change: Change
    kind: Kind | None
    """None: no case, but an event."""
    causes: tuple[str, ...] = ()
    """What the sentence must say, in this order."""
    manner: Manner = Manner.ORDINARY
    event: EventKind | None = None
    now: str = ""
    """The file that the event is about, when it is another one."""


def run(*words: str | Path) -> None:
    """A tool, to its end; what it says is in the error when it fails."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words[0]}: {done.stderr or done.stdout}"


def inplace(*words: str) -> Change:
    """A tool that changes the file it is given last."""
    return lambda path: run(*words, path)


def rewritten(*words: str) -> Change:
    """A tool that makes OUT of IN; the new file is then renamed over the old one."""

    def change(path: Path) -> None:
        made = path.with_name(f".{path.name}.tmp")
        run(*({"IN": path, "OUT": made}.get(word, word) for word in words))
        made.replace(path)

    return change


@dataclass(frozen=True)
class Exif:
    """An edit by exiftool."""

    words: tuple[str, ...]

    def __call__(self, path: Path) -> None:
        exif_edits([(self, path)])


def exif_edits(edits: Sequence[tuple[Exif, Path]]) -> None:
    """Several edits by one process: it takes its time to start."""
    words = [word for edit, path in edits for word in (*edit.words, path, "-execute")]
    run("exiftool", *words[:-1], "-common_args", "-q", "-overwrite_original")


def exiftool(*words: str) -> Change:
    return Exif(words)


def apply(folder: Path, mutations: Sequence[Mutation]) -> None:
    """Do them all, in order."""
    paths = [(mutation.change, folder / mutation.name) for mutation in mutations]
    edits = [(change, path) for change, path in paths if isinstance(change, Exif)]
    if edits:
        exif_edits(edits)
    for change, path in paths:
        if not isinstance(change, Exif):
            change(path)


def pillow(**options: object) -> Change:
    """Opened and saved by Pillow, under the same name."""

    def change(path: Path) -> None:
        from PIL import Image

        with Image.open(path) as image:
            image.load()
            image.save(path, **options)

    return change


def one_sample(path: Path) -> None:
    """The lowest bit of one sample, in the middle of the first strip."""
    content = bytearray(path.read_bytes())
    content[content.index(b"scanner 1.0") + 4000] ^= 1
    path.write_bytes(content)


def mtime_kept(change: Change) -> Change:
    def kept(path: Path) -> None:
        before = path.stat()
        change(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return kept


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"garbage" * 10)


def tail_zeroed(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3] + bytes(len(content) - len(content) // 3))


def cut(share: float) -> Change:
    return lambda path: os.truncate(path, int(path.stat().st_size * share))


def replaced(number: int) -> Change:
    return lambda path: MAKERS[path.suffix](path, number)


def swapped_by_writing(path: Path) -> None:
    other = path.with_name("swap-written-b.tif")
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)


def swapped_by_renaming(path: Path) -> None:
    other, aside = path.with_name("swap-renamed-b.tif"), path.with_name("aside.tmp")
    path.rename(aside)
    other.rename(path)
    aside.rename(other)


def nothing(path: Path) -> None:
    """The other half of a swap does it."""
