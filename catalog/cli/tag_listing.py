"""``query tags``: which files carry a tag, and which tags are there?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, NoReturn

import typer

from catalog.cli.asking import column, importing, path_column, path_of
from catalog.cli.options import Format
from catalog.cli.questions import Question, question
from catalog.errors import UsageError
from catalog.terms import counted, printable

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
    *,
    all_pages: Annotated[
        bool,
        typer.Option(
            "--all-pages", help="A line for each page, also where all say the same.", show_default=False
        ),
    ] = False,
) -> None:
    """Which files carry this tag with this value? Without a name: which tags are there?

    NAME may be followed by folders or files at once, without a VALUE. Pages of a file that say the same are one
    line of the table; JSON, CSV and --limit give every page.
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
        rows: Iterator[Mapping[str, Any]] = (each.fields() for each in found)
        if question.form is Format.TABLE:
            rows = ({**each.fields(), "shown": each.shown} for each in found)
            rows = rows if all_pages or question.limit is not None else _together(rows)
        any_found = question.answer(asked, "catalog.tagged-files/1", listing, rows)
        if value is not None and not any_found and (values := some_values(asked.connection, name)):
            cut = (each if len(each) <= HINT_WIDTH else each[: HINT_WIDTH - 1] + "…" for each in values)
            shown = (printable(each) for each in cut)
            asked.run.say(f"recorded values of {printable(name)} are, for example: {', '.join(shown)}")
    question.conclude(asked)


def _together(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Rows for the table: of pages of a file that say the same, the first one, which names them all."""
    first: dict[tuple[Any, ...], tuple[Mapping[str, Any], list[int]]] = {}
    for number, row in enumerate(rows):
        page = re.fullmatch(r"page (\d+)", row["ifd"])
        said = (path_of(row), row["code"], row["name"], row["type"], row["count"], row["shown"])
        if page is None:
            first[number,] = row, []
            continue
        pages = first.setdefault(said, (row, []))[1]
        if int(page[1]) in pages[-1:]:  # the tag stands twice in one directory
            first[number,] = row, []
        else:
            pages.append(int(page[1]))
    for row, pages in sorted(first.values(), key=lambda each: (each[0]["shown"], path_of(each[0]))):
        yield {**row, "ifd": _pages_words(pages)} if len(pages) > 1 else row


def _pages_words(pages: Iterable[int]) -> str:
    """``12 pages: 0–9, 20, 21``."""
    runs: list[list[int]] = []
    for page in sorted(pages):
        if runs and page == runs[-1][-1] + 1:
            runs[-1][1:] = [page]
        else:
            runs.append([page])
    total = sum(run[-1] - run[0] + 1 for run in runs)
    return f"{counted(total, 'page')}: {', '.join('–'.join(map(str, run)) for run in runs)}"


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
        from catalog.cli.output import Column, Listing
        from catalog.query.tags import tag_names

    if question.form in (Format.PATHS, Format.PATHS0):
        raise UsageError("a list of tags has no paths", hint="name a tag")
    listing = Listing(
        "names",
        (
            column("code", right=True),
            column("name"),
            Column("files", lambda row: f"{row['files']:,}", right=True),
        ),
        ("name", "code", "files"),
        "no tags",
    )
    with question.asking() as asked:
        names = (each.fields() for each in tag_names(asked.connection, asked.scope))
        question.answer(asked, "catalog.tag-names/1", listing, names)
    question.conclude(asked)
