"""``query errors`` and ``query missing``: what cannot be used, and what is gone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from catalog.cli.asking import column, importing, path_column, path_of, shown_path, size_column, time_column
from catalog.cli.options import Format
from catalog.cli.questions import Question, question


@question(checks=True)
def errors(question: Question) -> None:
    """Which files cannot be read or decoded, and why?

    Files that decode only with damage are listed, too (state damaged), and those that are too large for the
    limits of the configuration (state unverified): the reason names the setting to raise. Files with one cause
    are one line of the table; JSON, CSV, --limit and --paths give every file.
    """
    with importing():
        from catalog.cli.cases import place_words, span_words
        from catalog.cli.output import Column, Listing
        from catalog.query.troubles import errors as ask

    listing = Listing(
        "files",
        (
            column("state"),
            Column("since", span_words),
            Column("path", place_words, below=True),
            column("reason", wraps=True),
        ),
        ("root", "path", "state", "reason", "since"),
        "no errors",
        path_of,
    )
    with question.asking() as asked:
        rows: Iterator[Mapping[str, Any]]
        rows = (each.fields() for each in ask(asked.connection, asked.scope, limit=question.beyond))
        if question.form is Format.TABLE and question.limit is None:
            rows = _together(rows)
        found = question.answer(asked, "catalog.errors/1", listing, rows)
    question.conclude(asked, found=found)


def _together(rows: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Rows for the table: of files of a share with one state and cause, the first one with what holds for all."""
    from catalog.cli.cases import TOGETHER, of_several
    from catalog.drift import shape

    causes: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        causes.setdefault((row["root"], row["state"], shape(row["reason"] or "")), []).append(row)
    for alike in causes.values():
        if len(alike) < TOGETHER:
            yield from alike
            continue
        first, times = alike[0], [row["since"] for row in alike]
        one = all(row["reason"] == first["reason"] for row in alike)
        words = first["reason"] if one else of_several(first["reason"])
        span = {"since": min(times), "until": max(times), "files": len(alike)}
        yield {**first, **span, "reason": words}


@question(checks=True)
def missing(question: Question) -> None:
    """Which files are proven gone, since when, and is there a copy left?

    copies elsewhere: files with the bytes that were seen last, also on shares that are away. good copy: one
    that can be fetched now and holds what was accepted as good, the same as in query drift.
    """
    with importing():
        from catalog.cli.output import Column, Listing
        from catalog.query.troubles import missing_rows

    listing = Listing(
        "files",
        (
            time_column("since"),
            size_column(),
            Column("copies elsewhere", lambda row: str(row["copies"]), right=True),
            path_column(),
            Column("good copy", _good_copy_words, below=True),
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
    with question.asking() as asked:
        rows = missing_rows(asked.connection, asked.scope, limit=question.beyond)
        found = question.answer(asked, "catalog.missing/1", listing, rows)
    question.conclude(asked, found=found)


def _absence_words(row: Mapping[str, Any]) -> str | None:
    from catalog.drift import absence_words

    return absence_words(row["reason"]) if row["reason"] else None


def _good_copy_words(row: Mapping[str, Any]) -> str:
    if row["good_copy"] is None:
        return "none"
    return f"{shown_path(path_of(row, 'good_copy'))} ({row['good_copy_relation']})"
