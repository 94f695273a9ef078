"""Which tags does this file have?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli.context import Invocation, invocation
from catalog.cli.options import AllowIncomplete, Csv, Format, Json, Ndjson, chosen, conclude
from catalog.terms import path_fields, printable

if TYPE_CHECKING:
    from catalog.cli.output import Listing
    from catalog.terms import Ifd, Inspection, Tag

app = typer.Typer()


@app.command()
def tags(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file.", show_default=False)],
    *,
    as_json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = False,
    allow_incomplete: AllowIncomplete = False,
) -> None:
    """Which tags does this file have, and with which values?

    Every directory (IFD) of a TIFF, and of the Exif in a JPEG, PNG or WebP: pages, thumbnails, masks,
    SubIFDs, Exif, GPS and Interop, as they stand in the file, broken ones with the reason. Long values are
    cut for the eye; --json, --ndjson (a directory a line) and --csv (a tag a line) give them whole. Needs no
    catalogue.

    \b
    Examples:
      catalog tags scan.tif
      catalog tags --json photo.jpg | jq '.ifds[] | select(.kind == "gps")'
    """
    from catalog.cli.output import Frame, Incomplete, answer_rows
    from catalog.cli.single_files import existing
    from catalog.inspection import run_alone

    run = invocation(context)
    form = chosen(json=as_json, ndjson=ndjson, csv=csv)
    (path,) = existing(os.fsencode(file))
    found: Inspection = run_alone("tags", {"path": path}, run.settings.limits)["inspection"]
    unread = _unread(path, found)
    lacking = (Incomplete(None, f"{printable(path)}: {unread}"),) if unread else ()
    analysis = found.analysis
    image = analysis.image if analysis else None
    more = {**path_fields(path), "format": image.format if image else None, "error": unread}
    rows = [_fields(ifd) for ifd in analysis.ifds] if analysis else []
    frame = Frame("catalog.tags/1", None, lacking)
    if form is Format.TABLE:
        _write_table(run, frame, analysis.ifds if analysis else (), more)
    else:
        answer_rows(run, frame, _listing(), rows, form=form, more=more)
    conclude(incomplete=unread is not None, allow_incomplete=allow_incomplete)


def _unread(path: bytes, found: Inspection) -> str | None:
    """Why the tags are not known; a file without any is no such case. Raises NotFound."""
    from catalog.cli.single_files import not_found, vanished

    if found.failure is not None:
        if vanished(found.failure):
            raise not_found([path])
        return found.failure.reason
    analysis = found.analysis
    if analysis is None or (analysis.image is None and not analysis.ifds):
        return (analysis.reason if analysis else None) or "it was not analysed"
    return None


# ------------------------------------------------------------------------------------------------- fields


def _fields(ifd: Ifd) -> dict[str, Any]:
    return {
        "index": ifd.index,
        "kind": ifd.kind.value,
        "parent": ifd.parent,
        "tags": [_tag_fields(tag) for tag in ifd.tags],
    }


def _tag_fields(tag: Tag) -> dict[str, Any]:
    fields = {
        "code": tag.code,
        "name": tag.name,
        "type": tag.type_name,
        "count": tag.count,
        "value": tag.value,
    }
    return fields if tag.broken is None else {**fields, "broken": tag.broken}


def _listing() -> Listing:
    from catalog.cli.output import Listing

    def flat(ifd: Any) -> Iterator[dict[str, Any]]:
        for tag in ifd["tags"]:
            yield {**ifd, **tag}

    fields = ("index", "kind", "parent", "code", "name", "type", "count", "value", "broken")
    return Listing("ifds", (), fields, "", flat=flat)


# ------------------------------------------------------------------------------------------------ for eyes


def _write_table(run: Invocation, frame: Any, ifds: tuple[Ifd, ...], facts: dict[str, Any]) -> None:
    from catalog.cli import tables
    from catalog.cli.output import write_line
    from catalog.cli.single_files import tag_words

    rows = [
        [
            str(ifd.index),
            ifd.kind.value,
            str(tag.code),
            tag.name,
            tag.type_name,
            f"{tag.count:,}",
            tag_words(tag),
        ]
        for ifd in ifds
        for tag in ifd.tags
    ]
    if rows:
        titles = ["ifd", "kind", "tag", "name", "type", "count", "value"]
        for line in tables.table(titles, rows, right=(0, 2, 5)):
            write_line(line)
    elif facts["error"] is None:
        write_line(f"no tags in this file ({facts['format'] or 'no directory'})")
    for item in frame.incomplete:
        run.warn(f"tags cannot be read: {item.words}")
