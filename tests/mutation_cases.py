"""What is done to images, case by case, and what must be said of it (docs/drift.md)."""

from __future__ import annotations

from collections.abc import Sequence

from catalog.terms import EventKind, Kind, Manner
from tests.mutations import (
    Mutation,
    appended,
    cut,
    exiftool,
    inplace,
    mtime_kept,
    nothing,
    one_sample,
    pillow,
    replaced,
    rewritten,
    run,
    swapped_by_renaming,
    swapped_by_writing,
    tail_zeroed,
)

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
