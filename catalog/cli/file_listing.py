"""``query files``: which files does the catalogue know?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from catalog.cli.asking import column, importing, path_column, path_of, size_column, time_column
from catalog.cli.questions import Question, question
from catalog.errors import UsageError

if TYPE_CHECKING:
    from catalog.cli.output import Listing


@question()
def files(
    question: Question,
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
) -> None:
    """Which files does the catalogue know, and what are they?

    Missing files are listed, too, until their loss is accepted.
    """
    with importing():
        from catalog.query.files import STATES
        from catalog.query.files import files as ask
        from catalog.query.formats import format_named

    states = [word.strip().lower() for text in state or () for word in text.split(",")]
    if unknown := [word for word in states if word not in STATES]:
        raise UsageError(f"no such state: {unknown[0]}", hint=f"one of: {', '.join(STATES)}")
    formats = [format_named(word) for text in kind or () for word in text.split(",")]
    with question.asking() as asked:
        found = ask(asked.connection, asked.scope, states=states, formats=formats, limit=question.beyond)
        question.answer(asked, "catalog.files/1", _files_listing(), (each.fields() for each in found))
    question.conclude(asked)


def _files_listing() -> Listing:
    from catalog.cli.output import Column, Listing

    extent = Column(
        "dimensions", lambda row: f"{row['width']}x{row['height']}" if row["width"] else None, right=True
    )
    return Listing(
        "files",
        (
            column("state"),
            size_column(),
            column("format"),
            extent,
            time_column("last_changed", "last changed"),
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
