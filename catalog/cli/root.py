"""The shares of the catalogue."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from catalog.cli.confirming import confirm_missing
from catalog.cli.context import invocation
from catalog.cli.options import Csv, Json, Ndjson, Yes, chosen

app = typer.Typer(help="The shares of the catalogue.", no_args_is_help=True)
app.command("confirm-missing")(confirm_missing)


@app.command("list")
def list_(context: typer.Context, *, as_json: Json = False, ndjson: Ndjson = False, csv: Csv = False) -> None:
    """Which shares does the catalogue know, and are they there?"""
    from catalog.cli.output import Column, Frame, Listing, answer_rows
    from catalog.query.roots import roots

    run = invocation(context)
    listing = Listing(
        "roots",
        (
            Column("name", lambda row: row["name"]),
            Column("state", lambda row: row["state"]),
            Column("mode", lambda row: row["mode"]),
            Column("files", lambda row: f"{row['files']['total']:,}", right=True),
            Column("path", lambda row: row["path"], flexible=True),
        ),
        ("name", "state", "mode", "files.total", "path"),
        "no share yet: catalog scan FOLDER",
    )
    rows: list[dict[str, Any]] = roots(run.database.path)
    form = chosen(json=as_json, ndjson=ndjson, csv=csv)
    answer_rows(run, Frame("catalog.roots/1"), listing, rows, form=form)


@app.command()
def add(
    context: typer.Context,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Folders.", show_default=False)],
    *,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Its name.")] = None,
) -> None:
    """Let this folder be a share: a running daemon begins to watch it, a scan looks at it."""
    from catalog.errors import UsageError
    from catalog.service.opening import Desk, actor, make_ready, refuse_inside
    from catalog.service.scan import resolved

    run = invocation(context)
    if name is not None and len(paths) > 1:
        raise UsageError("--name fits one folder only")
    folders = resolved(paths)
    refuse_inside(run.database.path, folders)
    make_ready(run.database.path, run.say)
    with Desk(run.database.path) as desk:
        for folder in folders:
            known = desk.roots.holding(folder)
            if known is not None:
                run.say(f"already in the share {known.name}")
                continue
            run.say(f"added: {desk.roots.add(folder, name, actor()).name}")


@app.command()
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name or path of the share.", show_default=False)],
    *,
    yes: Yes = False,
) -> None:
    """Let this share go: its files leave every answer, its history stays in the catalogue.

    Nothing on the share is touched.
    """
    from catalog.errors import NoCatalogue
    from catalog.service.opening import Desk, actor, make_ready

    run = invocation(context)
    import os

    if not os.path.exists(run.database.path):
        raise NoCatalogue("no catalogue yet", hint="run: catalog scan FOLDER")
    make_ready(run.database.path, run.say)
    with Desk(run.database.path) as desk:
        root = desk.roots.named(name)
        if not yes:
            typer.confirm(f"Remove the share {root.name} from the catalogue?", abort=True, err=True)
        desk.roots.remove(root, actor())
        run.say(f"removed: {root.name}")
