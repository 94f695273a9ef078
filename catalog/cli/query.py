"""Questions to the catalogue. Each may be narrowed to files and folders, shares and globs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli.asking import Since, importing, moment_ms, words_of
from catalog.cli.event_listing import events
from catalog.cli.file_listing import files
from catalog.cli.fixity import audits, coverage
from catalog.cli.options import Format
from catalog.cli.questions import Question, question
from catalog.cli.tag_listing import tags
from catalog.cli.trouble_listing import errors, missing
from catalog.errors import UsageError
from catalog.terms import Kind, Level, Manner, Severity

if TYPE_CHECKING:
    from catalog.cli.asking import Asked
    from catalog.query.across import Place

app = typer.Typer(help="Questions to the catalogue.", no_args_is_help=True)

# --------------------------------------------------------------------------------------------------- dupes


@app.command()
@question(checks=True)
def dupes(
    question: Question,
    *,
    level: Annotated[
        str, typer.Option("--level", metavar="LEVEL", help="What is to be the same: bytes, pixels or view.")
    ] = "pixels",
    min_size: Annotated[
        str | None,
        typer.Option("--min-size", metavar="SIZE", help="Leave out smaller files: 500000, 500kB, 2MiB."),
    ] = None,
    across: Annotated[
        bool,
        typer.Option(
            "--across",
            help="Only what lies in two or more of the PATHs (or of the shares by --root): train and test.",
            show_default=False,
        ),
    ] = False,
) -> None:
    """Which files are the same, and what would it free to keep one of each?

    Groups come by what could be freed, most first. Hard links are one file. PATH, --root and --glob choose
    the groups with a file there, and each group is shown whole, wherever its other files are. Files that do
    not decode, or not soundly, are the same when their bytes are. --paths prints the redundant files only,
    and of those only what was asked about; never the one to keep. Nothing is ever deleted.

    Is a picture of the test set in the training set, too? catalog query dupes train test --across --check ends
    with 1 if so. There hard links count as well.
    """
    with importing():
        from catalog.cli.duplicates import bytes_of, listing, write_groups
        from catalog.query.dupes import dupes as ask
        from catalog.query.levels import LEVELS
        from catalog.query.outdated import lacking_comparisons

    if level.lower() not in LEVELS:
        raise UsageError(f"no such level: {level}", hint=f"one of: {', '.join(LEVELS)}")
    smallest = bytes_of(min_size)
    which = Level(level.lower())
    lacking = None if which is Level.BYTES else lacking_comparisons
    with question.asking(lacking) as asked:
        apart = _places(question, asked) if across else ()
        answer = ask(
            *(asked.connection, asked.scope),
            level=which,
            min_size=smallest,
            limit=question.beyond,
            across=apart,
        )
        if question.form is Format.TABLE:
            write_groups(asked, answer, question.limit)
        else:
            rows = (group.fields() for group in answer.groups)
            more: dict[str, Any] = {
                "totals": answer.totals.fields(),
                "not_compared": answer.around.uncompared,
                **({"across": [each.fields() for each in answer.across]} if across else {}),
            }
            question.answer(asked, "catalog.dupes/1", listing(question.form), rows, more)
    question.conclude(asked, found=answer.totals.groups > 0)


def _places(question: Question, asked: Asked) -> tuple[Place, ...]:
    from catalog.query.across import places

    return places(
        asked.connection,
        paths=[os.fsencode(path) for path in question.paths],
        roots=question.roots,
        globs=question.globs,
    )


# --------------------------------------------------------------------------------------------------- drift


@app.command()
@question(checks=True)
def drift(
    question: Question,
    *,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help=f"What changed: {', '.join(Kind)}. May be repeated."),
    ] = None,
    manner: Annotated[
        list[str] | None,
        typer.Option("--manner", metavar="MANNER", help=f"How: {', '.join(Manner)}. May be repeated."),
    ] = None,
    severity: Annotated[
        str | None,
        typer.Option("--severity", metavar="SEVERITY", help=f"At least: {', '.join(Severity)}."),
    ] = None,
    pixels: Annotated[
        str | None,
        typer.Option("--pixels", metavar="same|different", help="Only where the samples are proven so."),
    ] = None,
    since: Since = None,
    open_only: Annotated[
        bool, typer.Option("--open", help="Open cases only (the default).", show_default=False)
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Closed cases, too; newest first.", show_default=False)
    ] = False,
) -> None:
    """What changed against the accepted state, how, and why?

    Open cases come by urgency, then newest first. Cases that share one cause are one line of the table.
    """
    with importing():
        from catalog.cli.cases import TOGETHER, lines, listing, told
        from catalog.query.drift import Wanted, drift_cases, drift_groups
        from catalog.query.outdated import lacking_judgements

    if open_only and every:
        raise UsageError("--open and --all at once", hint="choose one")
    wanted = Wanted(
        kinds=words_of(Kind, kind, "kind"),
        manners=words_of(Manner, manner, "manner"),
        severity=_severity(severity),
        since_ms=moment_ms(since),
        pixels_same=_pixels_same(pixels),
        closed=every,
    )
    with question.asking(lacking_judgements) as asked:
        rows: Iterable[Mapping[str, Any]]
        words = question.form is Format.TABLE
        if words and question.limit is None:
            rows = lines(drift_groups(asked.connection, asked.scope, wanted, least=TOGETHER))
        else:
            cases = drift_cases(asked.connection, asked.scope, wanted, limit=question.beyond)
            rows = ({**case.fields(), "told": told(case)} if words else case.fields() for case in cases)
        found = question.answer(asked, "catalog.drift/1", listing(every), rows)
    question.conclude(asked, found=found)


def _severity(text: str | None) -> Severity:
    found = words_of(Severity, [text] if text else None, "severity")
    if len(found) > 1:
        raise UsageError(f"two severities: {text}", hint="name the mildest one")
    return found[0] if found else Severity.INFO


def _pixels_same(text: str | None) -> bool | None:
    if text not in (None, "same", "different"):
        raise UsageError(f"no such --pixels: {text}", hint="one of: same, different")
    return None if text is None else text == "same"


for _question in (files, tags, errors, missing, events, coverage, audits):
    app.command()(_question)
