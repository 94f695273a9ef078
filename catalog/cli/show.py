"""Everything about one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli.asking import importing, short_time, shown_path
from catalog.cli.cases import told
from catalog.cli.context import invocation
from catalog.cli.options import AllowIncomplete, Json, conclude
from catalog.terms import compression_words, counted, human_size, iso_ns

if TYPE_CHECKING:
    from catalog.query.history import History

app = typer.Typer()

TAG_WIDTH = 100
"""Characters of a tag's value that fit a line."""
SHOWN_DIRECTORIES = 8
"""Pages and other directories whose tags are shown: a stack has hundreds that say the same."""


@app.command()
def show(
    context: typer.Context,
    path: Annotated[
        str, typer.Argument(metavar="FILE", help="Also one that is missing.", show_default=False)
    ],
    *,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Every check that is kept, too.", show_default=False)
    ] = False,
    as_json: Json = False,
    allow_incomplete: AllowIncomplete = False,
) -> None:
    """What is known of this file, and what happened to it?

    Works for a file that is missing, and for a path from which a file was moved away.
    """
    with importing():
        from catalog.cli.fixity import check_lines, checks
        from catalog.cli.output import Frame, Incomplete, answer
        from catalog.query.history import show as ask
        from catalog.query.opening import opened
        from catalog.query.showing import show_fields
        from catalog.query.standing import standing_of_file

    run = invocation(context)
    with opened(run.database.path) as connection:
        shown = ask(connection, os.fsencode(path))
        facts = shown.histories[0].facts
        standing = standing_of_file(connection, facts, run.database.path)
        kept = checks(connection, facts.file_id) if evidence else []
    lacking = tuple(Incomplete(each.root, each.reason, each.files) for each in standing.incomplete)
    if os.path.islink(path) and facts.path != os.path.abspath(os.fsencode(path)):
        run.say("a symbolic link, which is not catalogued itself: this is what it leads to")
    if shown.moved:
        run.say(f"no file is there now; one that was is now {shown_path(facts.path)}")
    frame = Frame("catalog.show/1", standing.as_of_ms, lacking)
    body = show_fields(shown)
    if evidence:
        body["evidence"] = [each.fields() for each in kept]
    more = check_lines(kept) if evidence else ()
    answer(frame, body, as_json=as_json, words=lambda: chain(_words(shown.histories), more))
    if not as_json:
        for item in lacking:
            run.warn(f"incomplete: {item.words}")
    conclude(incomplete=bool(lacking), allow_incomplete=allow_incomplete)


def _words(histories: tuple[History, ...]) -> Iterator[str]:
    for number, history in enumerate(histories):
        if number:
            yield ""
            yield "before it, at the same path:"
        yield from _file(history)


def _file(history: History) -> Iterator[str]:
    facts = history.facts
    yield shown_path(facts.path)
    yield from _pairs(_facts(history))
    analysis = history.analysis
    if analysis is not None and analysis.ifds:
        yield "tags"
        for ifd in analysis.ifds[:SHOWN_DIRECTORIES]:
            yield from _tags(ifd)
        if more := analysis.ifds[SHOWN_DIRECTORIES:]:
            left = counted(len(more), "more directory", "more directories")
            yield f"  and {left}: --json"
    if history.copies:
        yield "copies"
        for path, relation in history.copies:
            yield f"  {relation:12} {shown_path(path)}"
    if open_cases := [case for case in history.cases if case.open]:
        yield "open drift"
        for case in open_cases:
            yield f"  {case.severity.value} {case.kind.value} ({case.manner.value}), case {case.drift_id}"
            for reason in told(case):
                yield f"    {reason}"
    yield from _time_line(history)


def _pairs(pairs: list[tuple[str, str | None]]) -> Iterator[str]:
    for name, value in pairs:
        if value:
            yield f"  {name:14} {value}"


def _facts(history: History) -> list[tuple[str, str | None]]:
    from catalog.terms import iso

    facts, analysis = history.facts, history.analysis
    digests = facts.digests()
    image = analysis.image if analysis else None
    layout = analysis.layout if analysis else None
    loaders = analysis.loaders if analysis else None
    known = facts.sha256 is not None
    pairs: list[tuple[str, str | None]] = [
        ("share", facts.root.name),
        ("state", facts.state + (f": {_reason_words(facts)}" if facts.reason else "")),
        ("size", f"{facts.size:,} bytes ({human_size(facts.size)})" if known else None),
        ("modified", short_time(iso_ns(facts.mtime_ns)) if known else None),
        ("first seen", short_time(iso(facts.first_seen_ms))),
        ("last changed", short_time(iso(facts.changed_ms))),
        ("verified", short_time(iso(facts.verified_ms))),
        ("sha256", digests["raw_sha256"]),
        ("md5", facts.md5.hex() if facts.md5 else None),
        ("payload", digests["payload"]),
        ("pixels", digests["pixels"]),
        ("view", digests["view"]),
    ]
    if analysis is not None:
        reason = f": {analysis.reason}" if analysis.reason else ""
        pairs.append(("fidelity", analysis.fidelity.value + reason))
    if image is not None:
        shape = f"{image.width}x{image.height} {image.model} {image.dtype}"
        more = f", {counted(image.frames, 'image')}" if image.frames > 1 else ""
        turned = f", Orientation {image.orientation}" if image.orientation != 1 else ""
        pairs.append(("image", f"{image.format}, {shape}{more}{turned}"))
    if layout is not None:
        pairs.append(("layout", ", ".join(_layout_words(layout))))
    if loaders is not None:
        for name in ("cv2_imread_md5", "pillow_tobytes_md5", "pillow_save_md5"):
            digest = getattr(loaders, name)
            pairs.append((name.removesuffix("_md5").replace("_", "-"), digest.hex() if digest else None))
    pairs += [("decoder said", complaint) for complaint in (analysis.complaints if analysis else ())]
    return pairs


def _reason_words(facts: Any) -> str:
    from catalog.drift import absence_words

    return absence_words(facts.reason) if facts.state == "missing" else facts.reason


def _layout_words(layout: Any) -> Iterator[str]:
    yield layout.container
    if layout.compression is not None:
        yield compression_words(layout.compression)
    if layout.byte_order is not None:
        yield f"{layout.byte_order}-endian"
    if layout.planar is not None:
        yield layout.planar
    if layout.segments is not None:
        yield counted(layout.segments, "strip" if layout.tile_width is None else "tile")


def _tags(ifd: Any) -> Iterator[str]:
    from catalog.store.values import shown_value

    yield f"  {ifd.kind.value} {ifd.index}"
    for tag in ifd.tags:
        value = shown_value(tag)[0]
        cut = value if len(value) <= TAG_WIDTH else value[: TAG_WIDTH - 1] + "…"
        yield f"    {tag.code:5} {tag.name:28} {tag.broken or cut}"


def _time_line(history: History) -> Iterator[str]:
    from catalog.query.showing import time_line

    yield "time line"
    for moment, words in time_line(history):
        yield f"  {short_time(moment)}  {words}"
