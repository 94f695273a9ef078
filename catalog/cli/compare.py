"""Do these two files show the same picture?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from catalog.cli.context import Invocation, invocation
from catalog.cli.options import AllowIncomplete, Json, conclude
from catalog.errors import Exit, OutputFailed, UsageError
from catalog.terms import Evidence, Fidelity, Inspection, Level, counted, path_fields, printable, printed

if TYPE_CHECKING:
    from catalog.terms import Limits

app = typer.Typer()

_DIFFERENT: Final = "different pictures"
# A verdict's first sentence speaks of one file at two times; here are two files at one time.
_OPENINGS: Final = (
    ("the picture changed", _DIFFERENT),
    ("cannot say whether the picture changed", "cannot tell whether it is the same picture"),
    ("no longer decodes", "cannot tell whether it is the same picture: new does not decode"),
    ("cannot be read", "cannot tell whether it is the same picture: new cannot be read"),
)
_ANSWERS: Final = {True: "same picture", False: "different on screen", None: "cannot tell"}
_THIS_RUN: Final = b"this run"
"""Stands for the epoch: one pool decodes both files, and takes no worker with other decoders."""


@app.command()
def compare(
    context: typer.Context,
    old: Annotated[str, typer.Argument(metavar="A", help="One file.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="B", help="The other.", show_default=False)],
    *,
    picture: Annotated[
        str | None,
        typer.Option("--picture", metavar="PNG", help="Draw where they differ, in red.", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the file of --picture.", show_default=False)
    ] = False,
    as_json: Json = False,
    allow_incomplete: AllowIncomplete = False,
) -> None:
    """Do these two files show the same picture, and what differs?

    First the verdict with its reasons: another compression, tags that came or went, another orientation.
    Then each level of identity, the tags, and, when the samples differ, how many, by how much and where. A
    is called old and B new. Exits with 0 for the same picture, 1 for different ones, 3 when nothing proves
    either. Needs no catalogue.

    \b
    Examples:
      catalog compare scan.tif resaved.tif
      catalog compare --picture difference.png before.tif after.tif
    """
    from catalog import drift
    from catalog.cli.output import Frame, Incomplete, answer
    from catalog.cli.single_files import existing
    from catalog.inspection import run_alone

    run = invocation(context)
    paths = existing(os.fsencode(old), os.fsencode(new))
    if picture is not None:
        _check_target(os.fsencode(picture), paths, force=force)
    limits = run.settings.limits
    found = run_alone("compare", {"one": paths[0], "other": paths[1]}, limits)
    looks: tuple[Inspection, Inspection] = (found["one"], found["other"])
    sides = tuple(_evidence(path, look) for path, look in zip(paths, looks, strict=True))
    same = drift.same_picture(*sides)
    document = {
        **drift.comparison(*sides),
        "same_picture": same,
        "samples": found["samples"],
        "samples_reason": found["reason"],
        "old": _side_fields(paths[0], looks[0]),
        "new": _side_fields(paths[1], looks[1]),
    }
    lacking = tuple(
        Incomplete(None, f"{printable(path)}: {side.reason}")
        for path, side in zip(paths, sides, strict=True)
        if side.state == "unreadable"
    )
    frame = Frame("catalog.compare/1", None, lacking)
    answer(frame, document, as_json=as_json, words=lambda: _words(document))
    if picture is not None:
        _draw(run, paths, limits, os.fsencode(picture), force=force)
    findings = Exit.FINDINGS if same is False else Exit.OK
    conclude(incomplete=same is None, allow_incomplete=allow_incomplete, findings=findings)


def _evidence(path: bytes, look: Inspection) -> Evidence:
    """One side for the verdict. Raises NotFound for a file that went away meanwhile."""
    from catalog.cli.single_files import not_found, vanished

    if look.failure is not None:
        if vanished(look.failure):
            raise not_found([path])
        return Evidence("unreadable", reason=look.failure.reason)
    analysis = look.analysis
    undecodable = analysis is not None and analysis.fidelity is Fidelity.UNDECODABLE
    return Evidence(
        "undecodable" if undecodable else "ok",
        look.stat.size if look.stat else None,
        look.sha256,
        analysis,
        _THIS_RUN,
        analysis.reason if analysis and undecodable else None,
    )


def _side_fields(path: bytes, look: Inspection) -> dict[str, Any]:
    """``old`` and ``new``: the file, and what the levels compared."""
    from catalog.cli.single_files import hexed, image_fields

    analysis = look.analysis
    fields: dict[str, Any] = {
        **path_fields(path),
        "size": look.stat.size if look.stat else None,
        "raw_sha256": hexed(look.sha256),
    }
    for level in (Level.PAYLOAD, Level.PIXELS, Level.VIEW):
        digest = getattr(analysis, level.value, None)
        fields[level.value] = printed(level, analysis.fidelity, digest) if analysis else None
    return fields | {
        "fidelity": analysis.fidelity.value if analysis else None,
        "fidelity_reason": analysis.reason if analysis else None,
        "image": image_fields(analysis) if analysis else None,
        "error": look.failure.reason if look.failure else None,
    }


# ------------------------------------------------------------------------------------------------ for eyes


def _words(document: dict[str, Any]) -> Iterator[str]:
    same = document["same"]
    sentence = None
    if same["pixels"] is not True:
        sentence = samples_words(document["samples"], displayed=bool(same["view"]))
    headline = verdict_words(document["same_picture"], document["reasons"])
    bare = headline.removeprefix(_DIFFERENT)
    if sentence and bare != headline and not bare.startswith((":", " ")):
        headline, sentence = f"{_DIFFERENT}: {sentence}{bare}", None
    yield headline
    if sentence:
        yield sentence
    caution = document["samples_reason"]
    if caution and same["pixels"] is not True and all(document[side]["pixels"] for side in ("old", "new")):
        yield f"samples: {caution}"
    yield ""
    for side in ("old", "new"):
        yield f"  {side:<7}  {_side_words(document[side])}"
    for level, equal in same.items():
        digest = document["old"]["raw_sha256" if level == "bytes" else level]
        word = {True: f"same: {digest}", False: "different", None: "cannot tell"}[equal]
        yield f"  {level:<7}  {word}"
    yield from _tag_lines(document["tags"])


def verdict_words(same: bool | None, reasons: list[str]) -> str:
    """The first line: ``same picture: pixels identical; tag Orientation dropped``."""
    whole = "; ".join(reasons)
    for theirs, ours in _OPENINGS:
        if whole.startswith(theirs):
            return ours + whole.removeprefix(theirs)
    return whole if whole.startswith("same picture") else f"{_ANSWERS[same]}: {whole}"


def samples_words(samples: dict[str, Any] | None, *, displayed: bool) -> str | None:
    """``1 of 23,808 samples differs, largest difference 1, at (3, 5)``; pixels are counted from 0."""
    if samples is None:
        return None
    number = samples["differing"]
    if number == 0:
        return f"all {counted(samples['total'], 'sample')} are equal" + (" as displayed" if displayed else "")
    left, top, right, bottom = samples["bbox"]
    where = f"at ({left}, {top})"
    if (right - left, bottom - top) != (1, 1):
        where = f"within {right - left}x{bottom - top} pixels {where}"
    verb = "differs" if number == 1 else "differ"
    largest = samples["max_abs_diff"]
    shown = f"{largest:.6g}" if isinstance(largest, float) else f"{largest:,}"
    return f"{number:,} of {counted(samples['total'], 'sample')} {verb}, largest difference {shown}, {where}"


def _side_words(side: dict[str, Any]) -> str:
    from catalog.cli.single_files import image_words

    if side["error"]:
        return f"{side['path']}: {side['error']}"
    parts = [counted(side["size"], "byte"), image_words(side["image"]) if side["image"] else None]
    return f"{side['path']}: " + ", ".join([*filter(None, parts), side["fidelity"]])


def _tag_lines(tags: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    from catalog.cli import tables

    rows = [
        [f"  {verb}", change["name"], change["ifd"], *_both_words(change)]
        for bucket, verb in (("removed", "dropped"), ("added", "added"), ("changed", "changed"))
        for change in tags[bucket]
    ]
    if rows:
        yield ""
        yield from tables.table(["  tags", "name", "ifd", "old", "new"], rows)
    if tags["layout"]:
        names = dict.fromkeys(change["name"] for change in tags["layout"])
        yield ""
        yield f"  tags of the layout that differ: {', '.join(names)}"


def _both_words(change: dict[str, Any]) -> tuple[str, str]:
    from catalog.cli.single_files import changed_words, values_words

    if "old" in change and "new" in change:
        return changed_words(change["old"], change["new"])
    if "old" in change:
        return values_words(change["old"]), ""
    return "", values_words(change["new"])


# ------------------------------------------------------------------------------------- the difference picture


def _check_target(target: bytes, paths: tuple[bytes, ...], *, force: bool) -> None:
    """Refuse a place for the picture before any work is done. Raises UsageError."""
    name = printable(target)
    if not target.lower().endswith(b".png"):
        raise UsageError(f"the difference picture is a PNG: {name}", hint="name it something.png")
    if not os.path.lexists(target):
        return
    if any(os.path.samefile(target, path) for path in paths if os.path.exists(target)):
        raise UsageError(f"--picture would overwrite a file that is compared: {name}")
    if not os.path.isfile(target) or os.path.islink(target):
        raise UsageError(f"--picture: there is something that is no plain file: {name}")
    if not force:
        raise UsageError(f"the file exists: {name}", hint="choose another name, or overwrite it with --force")


def _draw(run: Invocation, paths: tuple[bytes, ...], limits: Limits, target: bytes, *, force: bool) -> None:
    from catalog.inspection import run_alone

    drawn = run_alone("picture", {"one": paths[0], "other": paths[1]}, limits)
    if drawn["png"] is None:
        run.warn(f"no difference picture: {drawn['reason']}")
        return
    _write_new(target, drawn["png"], force=force)
    run.say(f"difference picture: {printable(target)}")


def _write_new(target: bytes, content: bytes, *, force: bool) -> None:
    """Write the file; with ``force`` in place of another, else never over one. Raises OutputFailed."""
    place = target + b".%d.partial" % os.getpid() if force else target
    try:
        with open(place, "xb") as file:  # fails where a file has appeared meanwhile
            try:
                file.write(content)
                file.flush()
                if force:
                    os.replace(place, target)
            except OSError:
                os.unlink(place)
                raise
    except OSError as error:
        where = printable(target)
        raise OutputFailed(f"the difference picture cannot be written: {where}: {error.strerror}") from error
