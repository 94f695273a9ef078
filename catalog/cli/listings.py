"""``query files``, ``tags``, ``errors`` and ``missing``: plain listings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from catalog.cli.asking import (
    answer_listing,
    asking,
    beyond,
    column,
    importing,
    path_column,
    path_of,
    shown_path,
    size_column,
    time_column,
)
from catalog.cli.options import (
    AllowIncomplete,
    Check,
    Csv,
    Format,
    Glob,
    Json,
    Limit,
    Narrow,
    Ndjson,
    Paths,
    Paths0,
    Root,
    chosen,
)
from catalog.errors import UsageError
from catalog.terms import printable

HINT_WIDTH = 40

if TYPE_CHECKING:
    from catalog.cli.output import Listing

# --------------------------------------------------------------------------------------------------- files


def files(
    context: typer.Context,
    paths: Narrow = None,
    *,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="Only: pending, present, suspect, missing, offline, unreadable, undecodable, other."
            " May be repeated.",
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="Only this image format (tiff or tif, jpeg or jpg …). May be repeated.",
        ),
    ] = None,
    root: Root = None,
    glob: Glob = None,
    limit: Limit = None,
    as_json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = False,
    only_paths: Paths = False,
    only_paths0: Paths0 = False,
    allow_incomplete: AllowIncomplete = False,
) -> None:
    """Which files does the catalogue know, and what are they?

    Missing files are listed, too, until their loss is accepted.
    """
    with importing():
        from catalog.query.files import STATES
        from catalog.query.files import files as ask
        from catalog.query.formats import format_named

    form = chosen(json=as_json, ndjson=ndjson, csv=csv, paths=only_paths, paths0=only_paths0)
    states = [word.strip().lower() for text in state or () for word in text.split(",")]
    if unknown := [word for word in states if word not in STATES]:
        raise UsageError(f"no such state: {unknown[0]}", hint=f"one of: {', '.join(STATES)}")
    formats = [format_named(word) for text in kind or () for word in text.split(",")]
    with asking(context, paths, root, glob) as asked:
        found = ask(asked.connection, asked.scope, states=states, formats=formats, limit=beyond(limit))
        answer_listing(
            asked,
            "catalog.files/1",
            _files_listing(),
            (each.fields() for each in found),
            form=form,
            limit=limit,
        )
    asked.conclude(allow_incomplete=allow_incomplete)


def _files_listing() -> Listing:
    from catalog.cli.output import Column, Listing

    pixels = Column(
        "pixels", lambda row: f"{row['width']}x{row['height']}" if row["width"] else None, right=True
    )
    return Listing(
        "files",
        (
            column("state"),
            size_column(),
            column("format"),
            pixels,
            time_column("last_changed"),
            path_column(),
        ),
        (
            "root",
            "path",
            "state",
            "size",
            "mtime",
            "raw_sha256",
            "raw_md5",
            "payload",
            "pixels",
            "view",
            "fidelity",
            "format",
            "width",
            "height",
            "first_seen",
            "last_changed",
            "verified",
        ),
        "no files",
        path_of,
    )


# ---------------------------------------------------------------------------------------------------- tags


def tags(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Name of a tag, or its code.", show_default=False),
    ] = None,
    value: Annotated[
        str | None,
        typer.Argument(metavar="VALUE", help="Its value, or a glob; '*' for any.", show_default=False),
    ] = None,
    paths: Narrow = None,
    *,
    root: Root = None,
    glob: Glob = None,
    limit: Limit = None,
    as_json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = False,
    only_paths: Paths = False,
    only_paths0: Paths0 = False,
    allow_incomplete: AllowIncomplete = False,
) -> None:
    """Which files carry this tag with this value? Without a name: which tags are there?

    NAME may be followed by folders or files at once, without a VALUE.
    """
    with importing():
        from catalog.cli.output import Column, Listing
        from catalog.query.tags import files_with_tag, some_values

    form = chosen(json=as_json, ndjson=ndjson, csv=csv, paths=only_paths, paths0=only_paths0)
    value, paths = _value_or_path(value, paths or [])
    if name is not None and value is None and os.path.isdir(name):
        paths = [name, *paths]
        name = None
    if name is None:
        _answer_names(context, paths, root, glob, form=form, limit=limit, allow_incomplete=allow_incomplete)
    listing = Listing(
        "tags",
        (
            column("ifd"),
            column("name"),
            Column("value", lambda row: row["shown"], flexible=True),
            path_column(),
        ),
        ("root", "path", "ifd", "code", "name", "type", "count", "value"),
        "no file carries this tag" if value is None else "no file carries this tag with this value",
        path_of,
    )
    with asking(context, paths, root, glob) as asked:
        found = files_with_tag(asked.connection, asked.scope, name, value, limit=beyond(limit))
        words = form is Format.TABLE
        rows = ({**each.fields(), "shown": each.shown} if words else each.fields() for each in found)
        any_found = answer_listing(asked, "catalog.tags/1", listing, rows, form=form, limit=limit)
        if value is not None and not any_found and (values := some_values(asked.connection, name)):
            cut = (each if len(each) <= HINT_WIDTH else each[: HINT_WIDTH - 1] + "…" for each in values)
            shown = (printable(each) for each in cut)
            asked.run.say(f"recorded values of {printable(name)} are, for example: {', '.join(shown)}")
    asked.conclude(allow_incomplete=allow_incomplete)


def _value_or_path(value: str | None, paths: list[str]) -> tuple[str | None, list[str]]:
    """What stands after the name is a path when there is such a file or folder; before further paths, only when
    it is surely one."""
    if value is None:
        return None, paths
    sure = os.path.isdir(value) or os.sep in value
    if os.path.lexists(value) and (sure or not paths):
        return None, [value, *paths]
    return value, paths


def _answer_names(
    context: typer.Context,
    paths: list[str],
    roots: list[str] | None,
    globs: list[str] | None,
    *,
    form: Format,
    limit: int | None,
    allow_incomplete: bool,
) -> NoReturn:
    with importing():
        from catalog.cli.output import Listing
        from catalog.query.tags import tag_names

    if form in (Format.PATHS, Format.PATHS0):
        raise UsageError("a list of tags has no paths", hint="name a tag")
    listing = Listing(
        "names",
        (column("code", right=True), column("name"), column("files", right=True)),
        ("name", "code", "files"),
        "no tags",
    )
    with asking(context, paths, roots, globs) as asked:
        names = (each.fields() for each in tag_names(asked.connection, asked.scope))
        answer_listing(asked, "catalog.tag-names/1", listing, names, form=form, limit=limit)
    asked.conclude(allow_incomplete=allow_incomplete)


# -------------------------------------------------------------------------------------- errors and missing


def errors(
    context: typer.Context,
    paths: Narrow = None,
    *,
    root: Root = None,
    glob: Glob = None,
    check: Check = False,
    limit: Limit = None,
    as_json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = False,
    only_paths: Paths = False,
    only_paths0: Paths0 = False,
    allow_incomplete: AllowIncomplete = False,
) -> None:
    """Which files cannot be read or decoded, and why?

    Files that decode only with damage are listed, too (state damaged), and those that are too large for the
    limits of the configuration (state unverified): the reason names the setting to raise.
    """
    with importing():
        from catalog.cli.output import Listing
        from catalog.query.troubles import errors as ask

    form = chosen(json=as_json, ndjson=ndjson, csv=csv, paths=only_paths, paths0=only_paths0)
    listing = Listing(
        "files",
        (column("state"), time_column("since"), path_column(), column("reason", wraps=True)),
        ("root", "path", "state", "reason", "since"),
        "no errors",
        path_of,
    )
    with asking(context, paths, root, glob) as asked:
        rows = (each.fields() for each in ask(asked.connection, asked.scope, limit=beyond(limit)))
        found = answer_listing(asked, "catalog.errors/1", listing, rows, form=form, limit=limit)
    asked.conclude(allow_incomplete=allow_incomplete, found=check and found)


def missing(
    context: typer.Context,
    paths: Narrow = None,
    *,
    root: Root = None,
    glob: Glob = None,
    check: Check = False,
    limit: Limit = None,
    as_json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = False,
    only_paths: Paths = False,
    only_paths0: Paths0 = False,
    allow_incomplete: AllowIncomplete = False,
) -> None:
    """Which files are proven gone, since when, and is there a copy left?

    copies elsewhere: files with the bytes that were seen last, also on shares that are away. good copy: one
    that can be fetched now and holds what was accepted as good, the same as in query drift.
    """
    with importing():
        from catalog.cli.output import Column, Listing
        from catalog.query.troubles import missing_rows

    form = chosen(json=as_json, ndjson=ndjson, csv=csv, paths=only_paths, paths0=only_paths0)
    listing = Listing(
        "files",
        (
            time_column("since"),
            size_column(),
            Column("copies elsewhere", lambda row: str(row["copies"]), right=True),
            path_column(),
            Column("good copy", _good_copy_words, flexible=True),
            Column("reason", _absence_words, wraps=True),
        ),
        (
            "root",
            "path",
            "state",
            "reason",
            "since",
            "size",
            "raw_sha256",
            "pixels",
            "last_changed",
            "verified",
            "copies",
            "good_copy",
            "good_copy_relation",
        ),
        "no missing files",
        path_of,
    )
    with asking(context, paths, root, glob) as asked:
        rows = missing_rows(asked.connection, asked.scope, limit=beyond(limit))
        found = answer_listing(asked, "catalog.missing/1", listing, rows, form=form, limit=limit)
    asked.conclude(allow_incomplete=allow_incomplete, found=check and found)


def _absence_words(row: Mapping[str, Any]) -> str | None:
    from catalog.drift import absence_words

    return absence_words(row["reason"]) if row["reason"] else None


def _good_copy_words(row: Mapping[str, Any]) -> str:
    if row["good_copy"] is None:
        return "none"
    return f"{shown_path(path_of(row, 'good_copy'))} ({row['good_copy_relation']})"
