"""Questions to the catalogue. Each may be narrowed to files and folders, shares and globs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from catalog.cli.asking import Since, answer_listing, asking, beyond, importing, moment_ms, words_of
from catalog.cli.event_listing import events
from catalog.cli.fixity import audits, coverage
from catalog.cli.listings import errors, files, missing, tags
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
from catalog.terms import Kind, Level, Manner, Severity

app = typer.Typer(help="Questions to the catalogue.", no_args_is_help=True)

# --------------------------------------------------------------------------------------------------- dupes


@app.command()
def dupes(
    context: typer.Context,
    paths: Narrow = None,
    *,
    level: Annotated[
        str, typer.Option("--level", metavar="LEVEL", help="What is to be the same: bytes, pixels or view.")
    ] = "pixels",
    min_size: Annotated[
        str | None,
        typer.Option("--min-size", metavar="SIZE", help="Leave out smaller files: 500000, 500kB, 2MiB."),
    ] = None,
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
    """Which files are the same, and what would it free to keep one of each?

    Groups come by what could be freed, most first. Hard links are one file. PATH, --root and --glob choose
    the groups with a file there, and each group is shown whole, wherever its other files are. Files that do
    not decode, or not soundly, are the same when their bytes are. --paths prints the redundant files only,
    and of those only what was asked about; never the one to keep. Nothing is ever deleted.
    """
    with importing():
        from catalog.cli.duplicates import bytes_of, listing, write_groups
        from catalog.query.dupes import dupes as ask
        from catalog.query.levels import LEVELS
        from catalog.query.outdated import lacking_comparisons

    form = chosen(json=as_json, ndjson=ndjson, csv=csv, paths=only_paths, paths0=only_paths0)
    if level.lower() not in LEVELS:
        raise UsageError(f"no such level: {level}", hint=f"one of: {', '.join(LEVELS)}")
    smallest = bytes_of(min_size)
    which = Level(level.lower())
    lacking = None if which is Level.BYTES else lacking_comparisons
    with asking(context, paths, root, glob, lacking) as asked:
        answer = ask(asked.connection, asked.scope, level=which, min_size=smallest, limit=beyond(limit))
        if form is Format.TABLE:
            write_groups(asked, answer, limit)
        else:
            rows = (group.fields() for group in answer.groups)
            more = {"totals": answer.totals.fields(), "not_compared": answer.around.uncompared}
            answer_listing(asked, "catalog.dupes/1", listing(form), rows, form=form, limit=limit, more=more)
    asked.conclude(allow_incomplete=allow_incomplete, found=check and answer.totals.groups > 0)


# --------------------------------------------------------------------------------------------------- drift


@app.command()
def drift(
    context: typer.Context,
    paths: Narrow = None,
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
    """What changed against the accepted state, how, and why?

    Open cases come by urgency, then newest first. Cases that share one cause are one line of the table.
    """
    with importing():
        from catalog.cli.cases import TOGETHER, lines, listing, told
        from catalog.query.drift import Wanted, drift_cases, drift_groups
        from catalog.query.outdated import lacking_judgements

    form = chosen(json=as_json, ndjson=ndjson, csv=csv, paths=only_paths, paths0=only_paths0)
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
    with asking(context, paths, root, glob, lacking=lacking_judgements) as asked:
        rows: Iterable[Mapping[str, Any]]
        words = form is Format.TABLE
        if words and limit is None:
            rows = lines(drift_groups(asked.connection, asked.scope, wanted, least=TOGETHER))
        else:
            cases = drift_cases(asked.connection, asked.scope, wanted, limit=beyond(limit))
            rows = ({**case.fields(), "told": told(case)} if words else case.fields() for case in cases)
        found = answer_listing(asked, "catalog.drift/1", listing(every), rows, form=form, limit=limit)
    asked.conclude(allow_incomplete=allow_incomplete, found=check and found)


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
