"""``query tags``: which files carry a tag, and which tags are there?"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Annotated, NoReturn

import typer

from catalog.cli.asking import column, importing, path_column, path_of
from catalog.cli.options import Format
from catalog.cli.questions import Question, question
from catalog.errors import UsageError
from catalog.terms import printable

HINT_WIDTH = 40


@question()
def tags(
    question: Question,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Name of a tag, or its code.", show_default=False),
    ] = None,
    value: Annotated[
        str | None,
        typer.Argument(metavar="VALUE", help="Its value, or a glob; '*' for any.", show_default=False),
    ] = None,
) -> None:
    """Which files carry this tag with this value? Without a name: which tags are there?

    NAME may be followed by folders or files at once, without a VALUE.
    """
    with importing():
        from catalog.cli.output import Column, Listing
        from catalog.query.tags import files_with_tag, some_values

    value, paths = _value_or_path(value, question.paths)
    if name is not None and value is None and os.path.isdir(name):
        paths = (name, *paths)
        name = None
    question = replace(question, paths=paths)
    if name is None:
        _answer_names(question)
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
    with question.asking() as asked:
        found = files_with_tag(asked.connection, asked.scope, name, value, limit=question.beyond)
        words = question.form is Format.TABLE
        rows = ({**each.fields(), "shown": each.shown} if words else each.fields() for each in found)
        any_found = question.answer(asked, "catalog.tags/1", listing, rows)
        if value is not None and not any_found and (values := some_values(asked.connection, name)):
            cut = (each if len(each) <= HINT_WIDTH else each[: HINT_WIDTH - 1] + "…" for each in values)
            shown = (printable(each) for each in cut)
            asked.run.say(f"recorded values of {printable(name)} are, for example: {', '.join(shown)}")
    question.conclude(asked)


def _value_or_path(value: str | None, paths: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """What stands after the name is a path when there is such a file or folder; before further paths, only when
    it is surely one."""
    if value is None:
        return None, paths
    sure = os.path.isdir(value) or os.sep in value
    if os.path.lexists(value) and (sure or not paths):
        return None, (value, *paths)
    return value, paths


def _answer_names(question: Question) -> NoReturn:
    with importing():
        from catalog.cli.output import Listing
        from catalog.query.tags import tag_names

    if question.form in (Format.PATHS, Format.PATHS0):
        raise UsageError("a list of tags has no paths", hint="name a tag")
    listing = Listing(
        "names",
        (column("code", right=True), column("name"), column("files", right=True)),
        ("name", "code", "files"),
        "no tags",
    )
    with question.asking() as asked:
        names = (each.fields() for each in tag_names(asked.connection, asked.scope))
        question.answer(asked, "catalog.tag-names/1", listing, names)
    question.conclude(asked)
