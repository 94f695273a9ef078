"""What people and programs do to images, each with the verdict that it must get (docs/drift.md).

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


PLAIN: Sequence[Mutation] = (
    Mutation(
        "pillow.tif",
        "Pillow: `Image.open(a).save(a)`, TIFF",
        pillow(),
        Kind.REENCODED,
        ("pixels identical", "1 strip of 64 rows instead of 3 of 22", "tags dropped: ImageDescription"),
    ),
    Mutation(
        "pillow.jpg",
        "Pillow: the same, JPEG",
        pillow(),
        Kind.PICTURE,
        ("the picture changed", "a small change", "encoded anew with loss"),
    ),
    Mutation(
        "pillow-png.tif",
        "Pillow: saved as PNG under the old name",
        pillow(format="PNG"),
        Kind.REENCODED,
        ("pixels identical", "PNG instead of TIFF"),
    ),
    Mutation(
        "sample.tif",
        "one sample changed by one",
        one_sample,
        Kind.PICTURE,
        ("the picture changed", "near distance 0 of 256: no change that shows from afar"),
    ),
    Mutation(
        "garbage.tif",
        "70 bytes appended, TIFF",
        appended,
        Kind.METADATA,
        ("pixels identical", "each tag, strip and tile is where it was", "size"),
    ),
    Mutation(
        "garbage.jpg",
        "70 bytes appended, JPEG",
        appended,
        Kind.METADATA,
        ("pixels identical", "70 bytes appended after the end of the image"),
    ),
    Mutation(
        "garbage.png",
        "70 bytes appended, PNG",
        appended,
        Kind.METADATA,
        ("pixels identical", "70 bytes appended after the end of the image"),
    ),
    Mutation(
        "cut.tif",
        "cut in half, TIFF",
        cut(0.5),
        Kind.BROKEN,
        ("no longer decodes without damage: strips 2, 3 of 3 beyond the end of the file",),
    ),
    Mutation("cut.jpg", "cut in half, JPEG", cut(0.5), Kind.BROKEN, ("no longer decodes: truncated",)),
    Mutation("cut.png", "cut in half, PNG", cut(0.5), Kind.BROKEN, ("no longer decodes: truncated",)),
    Mutation("empty.tif", "emptied", cut(0), Kind.BROKEN, ("no longer decodes: an empty file",)),
    Mutation(
        "login.jpg",
        "a web page saved over it",
        lambda path: path.write_text("<html>please log in</html>"),
        Kind.BROKEN,
        ("no longer decodes: text, not an image",),
    ),
    Mutation(
        "zeros.tif",
        "its end overwritten with zeros, TIFF",
        tail_zeroed,
        Kind.PICTURE,
        ("the picture changed", "near distance"),
    ),
    Mutation(
        "zeros.jpg",
        "its end overwritten with zeros, JPEG",
        tail_zeroed,
        Kind.BROKEN,
        ("no longer decodes", "truncated: no end marker"),
    ),
)

WHOLE: Sequence[Mutation] = (
    Mutation(
        "other.tif",
        "another picture saved over it",
        replaced(991),
        Kind.PICTURE,
        ("the picture changed", "another picture by its looks", "tag ImageDescription changed from"),
    ),
    Mutation(
        "swap-written-a.tif",
        "two files exchange their contents, by writing",
        swapped_by_writing,
        Kind.PICTURE,
        ("the picture changed", "contents swapped with /share/swap-written-b.tif"),
    ),
    Mutation(
        "swap-written-b.tif",
        "… the other one",
        nothing,
        Kind.PICTURE,
        ("the picture changed", "contents swapped with /share/swap-written-a.tif"),
    ),
    Mutation(
        "swap-renamed-a.tif",
        "two files exchange their names",
        swapped_by_renaming,
        None,
        event=EventKind.MOVED,
    ),
    Mutation("swap-renamed-b.tif", "… the other one", nothing, None, event=EventKind.MOVED),
    Mutation("touch.tif", "`touch`", inplace("touch"), None, event=EventKind.TOUCHED),
    Mutation("chmod.tif", "`chmod`", inplace("chmod", "600"), None, event=EventKind.TOUCHED),
    Mutation(
        "chmod-edit.tif",
        "`chmod`, then one sample changed",
        lambda path: (path.chmod(0o600), one_sample(path)),
        Kind.PICTURE,
        ("the picture changed",),
    ),
    Mutation(
        "put-back.tif",
        "one sample changed, mtime put back",
        mtime_kept(one_sample),
        Kind.PICTURE,
        ("the picture changed", "rewritten with its mtime put back"),
        Manner.STEALTH,
    ),
    Mutation(
        "cut-put-back.tif",
        "cut in half, mtime put back",
        mtime_kept(cut(0.5)),
        Kind.BROKEN,
        ("no longer decodes", "rewritten with its mtime put back"),
        Manner.STEALTH,
    ),
    Mutation(
        "rename.tif",
        "renamed",
        lambda path: path.rename(path.with_name("renamed.tif")),
        None,
        event=EventKind.MOVED,
        now="renamed.tif",
    ),
    Mutation(
        "copied.tif",
        "`cp --preserve` to another name",
        lambda path: run("cp", "--preserve", path, path.with_name("copy.tif")),
        None,
        event=EventKind.ADDED,
        now="copy.tif",
    ),
    Mutation(
        "copied-over.tif",
        "`cp --preserve` of another picture over it",
        lambda path: run("cp", "--preserve", path.with_name("copied.tif"), path),
        Kind.PICTURE,
        ("the picture changed", "another picture by its looks"),
    ),
    Mutation(
        "gone.tif",
        "deleted",
        lambda path: path.unlink(),
        Kind.MISSING,
        ("missing: its folder was listed to the end, without it",),
    ),
)

TAGS: Sequence[Mutation] = (
    Mutation(
        "artist.tif",
        "`exiftool -Artist=Ana`, TIFF",
        exiftool("-Artist=Ana"),
        Kind.METADATA,
        ("pixels identical", "tag Artist added"),
    ),
    Mutation(
        "artist.jpg",
        "`exiftool -Artist=Ana`, JPEG",
        exiftool("-Artist=Ana"),
        Kind.METADATA,
        ("pixels identical", "tag Artist added"),
    ),
    Mutation(
        "description.tif",
        "`exiftool -ImageDescription=…`",
        exiftool("-ImageDescription=wing"),
        Kind.METADATA,
        ("pixels identical", "tag ImageDescription changed from"),
    ),
    Mutation(
        "preserve.tif",
        "`exiftool -P -Artist=Ana`",
        exiftool("-P", "-Artist=Ana"),
        Kind.METADATA,
        ("pixels identical", "rewritten with its mtime put back", "tag Artist added"),
        Manner.STEALTH,
    ),
    Mutation(
        "strip.jpg",
        "`exiftool -all=`",
        exiftool("-all="),
        Kind.METADATA,
        ("pixels identical", "comment dropped", "tags dropped: Make, Model, DateTime"),
    ),
    Mutation(
        "comment.jpg",
        "`exiftool -Comment=…`, JPEG",
        exiftool("-Comment=second light"),
        Kind.METADATA,
        ("pixels identical", "no tag differs: the comment does"),
    ),
    Mutation(
        "xmp.jpg",
        "`exiftool -XMP-dc:Title=…`, JPEG",
        exiftool("-XMP-dc:Title=Wing"),
        Kind.METADATA,
        ("pixels identical", "XMP added"),
    ),
    Mutation(
        "text.png",
        "`exiftool -PNG:Comment=…`, PNG",
        exiftool("-PNG:Comment=wing"),
        Kind.METADATA,
        ("pixels identical", "text added"),
    ),
    Mutation(
        "turn.tif",
        "`exiftool -n -Orientation=6`",
        exiftool("-n", "-Orientation=6"),
        Kind.DISPLAY,
        ("shown rotated 90° clockwise: Orientation 6 instead of 1", "pixels identical"),
    ),
)

TIFF: Sequence[Mutation] = (
    Mutation(
        "tiffset.tif",
        "`tiffset -s 315 Ana`",
        inplace("tiffset", "-s", "315", "Ana"),
        Kind.METADATA,
        ("pixels identical", "tag Artist added"),
    ),
    Mutation(
        "strips.tif",
        "`tiffcp -r 16`",
        rewritten("tiffcp", "-r", "16", "IN", "OUT"),
        Kind.REENCODED,
        ("pixels identical", "4 strips of 16 rows instead of 3 of 22"),
    ),
    Mutation(
        "tiles.tif",
        "`tiffcp -t -w 32 -l 32`",
        rewritten("tiffcp", "-t", "-w", "32", "-l", "32", "IN", "OUT"),
        Kind.REENCODED,
        ("pixels identical", "tiles of 32x32 instead of strips"),
    ),
    Mutation(
        "lzw.tif",
        "`tiffcp -c lzw:2`",
        rewritten("tiffcp", "-c", "lzw:2", "IN", "OUT"),
        Kind.REENCODED,
        ("pixels identical", "LZW instead of no compression", "horizontal predictor instead of no predictor"),
    ),
    Mutation(
        "big-endian.tif",
        "`tiffcp -B`",
        rewritten("tiffcp", "-B", "IN", "OUT"),
        Kind.REENCODED,
        ("pixels identical", "big-endian instead of little-endian"),
    ),
    Mutation(
        "big.tif",
        "`tiffcp -8`",
        rewritten("tiffcp", "-8", "IN", "OUT"),
        Kind.REENCODED,
        ("pixels identical", "BigTIFF instead of TIFF"),
    ),
    Mutation(
        "planes.tif",
        "`tiffcp -p separate`",
        rewritten("tiffcp", "-p", "separate", "IN", "OUT"),
        Kind.REENCODED,
        ("pixels identical", "separate planes instead of interleaved samples"),
    ),
)

OPTIMISERS: Sequence[Mutation] = (
    Mutation(
        "rotate.jpg",
        "`jpegtran -rotate 90 -perfect`",
        rewritten("jpegtran", "-rotate", "90", "-perfect", "-copy", "all", "-outfile", "OUT", "IN"),
        Kind.PICTURE,
        ("the picture changed: 96 x 64 became 64 x 96", "looks like the old picture rotated 90° clockwise"),
    ),
    Mutation(
        "optimise.jpg",
        "`jpegtran -optimize`",
        rewritten("jpegtran", "-optimize", "-copy", "all", "-outfile", "OUT", "IN"),
        Kind.REENCODED,
        ("pixels identical", "encoded anew with the same layout", "size"),
    ),
    Mutation(
        "progressive.jpg",
        "`jpegtran -progressive`",
        rewritten("jpegtran", "-progressive", "-copy", "all", "-outfile", "OUT", "IN"),
        Kind.REENCODED,
        ("pixels identical", "progressive instead of sequential"),
    ),
    Mutation(
        "optipng.png",
        "`optipng`",
        inplace("optipng", "-quiet", "-o1"),
        Kind.REENCODED,
        ("pixels identical", "encoded anew with the same layout", "size"),
    ),
)

MAGICK: Sequence[Mutation] = (
    Mutation(
        "rotate.tif",
        "ImageMagick: `mogrify -rotate 90`",
        inplace("mogrify", "-rotate", "90"),
        Kind.PICTURE,
        ("the picture changed: 124 x 64 became 64 x 124", "looks like the old picture rotated 90° clockwise"),
    ),
    Mutation(
        "quality.jpg",
        "ImageMagick: `mogrify -quality 60`",
        inplace("mogrify", "-quality", "60"),
        Kind.PICTURE,
        ("the picture changed", "a small change", "encoded anew with loss"),
    ),
    Mutation(
        "half.tif",
        "ImageMagick: `mogrify -resize 50%`",
        inplace("mogrify", "-resize", "50%"),
        Kind.PICTURE,
        ("the picture changed: 124 x 64 became 62 x 32", "near distance"),
    ),
    Mutation(
        "gray.tif",
        "ImageMagick: `mogrify -colorspace Gray`",
        inplace("mogrify", "-colorspace", "Gray"),
        Kind.PICTURE,
        ("the picture changed: RGB 8 bit became gray 8 bit", "a small change"),
    ),
)

GROUPS: dict[str, tuple[tuple[str, ...], Sequence[Mutation]]] = {
    "Pillow and bytes": ((), PLAIN),
    "whole files": (("cp", "touch", "chmod"), WHOLE),
    "exiftool": (("exiftool",), TAGS),
    "libtiff": (("tiffset", "tiffcp"), TIFF),
    "optimisers": (("jpegtran", "optipng"), OPTIMISERS),
    "ImageMagick": (("mogrify",), MAGICK),
}
"""Title → the tools that it needs, the mutations that are done to one share, in order."""
