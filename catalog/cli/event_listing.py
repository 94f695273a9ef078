"""``query events``: what happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from catalog.cli.asking import (
    Asked,
    Since,
    column,
    importing,
    moment_ms,
    path_column,
    path_of,
    short_time,
    shown_path,
    words_of,
)
from catalog.cli.options import Format
from catalog.cli.questions import Question, question
from catalog.errors import UsageError
from catalog.terms import EventKind

Premis = Annotated[bool, typer.Option("--premis", help="PREMIS 3 XML, with the files.", show_default=False)]


@question()
def events(
    question: Question,
    *,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help=f"Only: {', '.join(EventKind)}. May be repeated."),
    ] = None,
    since: Since = None,
    premis: Premis = False,
) -> None:
    """What happened, newest first?

    PATH may be a former path: the events of a file that was moved away from it are among them.
    --paths prints the files that events are about, as often as something happened to them. --premis gives
    preservation metadata: files with their checksums, events of files, and who acted.
    """
    with importing():
        from catalog.cli.happenings import event_words
        from catalog.cli.output import Column, Listing
        from catalog.cli.premis import write_premis
        from catalog.query.events import events as ask

    listing = Listing(
        "events",
        (
            column("id", right=True),
            Column("at", lambda row: short_time(row["at"])),
            column("kind"),
            column("root", "share"),
            path_column(),
            Column("detail", event_words, wraps=True),
        ),
        ("id", "at", "kind", "root", "path", "actor", "detail"),
        "no events",
        path_of,
        _about_files if question.form in (Format.PATHS, Format.PATHS0) else lambda row: (row,),
    )
    kinds = words_of(EventKind, kind, "kind")
    since_ms = moment_ms(since)
    if premis and question.form is not Format.TABLE:
        raise UsageError(f"two formats at once: --{question.form} --premis", hint="choose one")
    with question.asking(past=True) as asked:
        _say_where_they_are(asked)
        if premis:
            write_premis(asked, kinds=kinds, since_ms=since_ms, limit=question.limit)
            question.conclude(asked)
        found = ask(asked.connection, asked.scope, kinds=kinds, since_ms=since_ms, limit=question.beyond)
        question.answer(asked, "catalog.events/1", listing, (each.fields() for each in found))
    question.conclude(asked)


def _say_where_they_are(asked: Asked) -> None:
    """Of files that were moved away from the paths that were named."""
    from catalog.query.files import facts_of
    from catalog.query.scope import living_roots

    if asked.scope.once:
        roots = {each.root_id: each for each in living_roots(asked.connection)}
        for facts in facts_of(asked.connection, sorted(asked.scope.once)[:100], roots).values():
            where = "last seen at" if facts.state == "missing" else "now at"
            asked.run.say(f"moved away since, and {where}: {shown_path(facts.path)}")


def _about_files(event: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return (event,) if event["path"] is not None else ()
