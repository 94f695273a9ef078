"""The shares of the catalogue."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli.asking import short_time
from catalog.cli.confirming import confirm_missing
from catalog.cli.context import Invocation, invocation
from catalog.cli.options import Csv, Json, Ndjson, Yes, chosen
from catalog.cli.prompting import ask
from catalog.cli.relocating import mark, relocate
from catalog.terms import counted, iso, joined, printable, quoted

if TYPE_CHECKING:
    from catalog.record.roots import Root

app = typer.Typer(help="The shares of the catalogue.", no_args_is_help=True)


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
            Column("path", lambda row: row["path"], below=True),
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
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Folders.", show_default=False)],
    *,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Its name.")] = None,
) -> None:
    """Which folders are shares, too? A daemon of all shares begins to watch them, a scan looks at them.

    A link is followed once, now: the share is the folder that it leads to.
    """
    from catalog.cli.scan import other_name
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
        for typed, folder in zip(paths, folders, strict=True):
            known = desk.roots.holding(folder)
            if known is not None and name not in (None, known.name):
                run.warn(other_name(folder, known.name, str(name)))
                continue
            if known is not None:
                run.say(f"already in the share {known.name}")
                continue
            before = desk.roots.removed_at(folder)
            added = desk.roots.add(folder, name, actor())
            run.say(f"added: {added.name}" + _link_words(typed, folder))
            if before is not None:
                run.say(
                    f"{before[0]}, a share at this path, was removed on {short_time(iso(before[1]))}: its history"
                    " stays with it, and this is a new share"
                )
            _say_who_watches(run, added)


def _link_words(typed: str, folder: bytes) -> str:
    """When a link was followed: where to."""
    absolute = os.path.abspath(os.fsencode(typed))
    if absolute == folder:
        return ""
    return f" ({printable(folder)}, where {printable(absolute)} leads now)"


def _say_who_watches(run: Invocation, root: Root) -> None:
    from catalog.service.handover import follower

    daemon = follower(run.database.path)
    where = quoted(root.path)
    if daemon is None:
        run.say(f"look at it: catalog scan {where}")
    elif daemon.follows(root.root_id):
        run.say(f"the running daemon (process {daemon.pid}) watches it from now on")
    else:
        run.warn(
            f"the running daemon (process {daemon.pid}) watches only the shares that it was started with, not"
            f" {root.name}: start it without PATH, or with this one, too; or ask it once: catalog scan {where}"
        )


@app.command()
def remove(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name or path of the share.", show_default=False)
    ],
    *,
    yes: Yes = False,
) -> None:
    """Which share is of no interest any more? Its files leave every answer, its history stays in the catalogue.

    Nothing on the share is touched. Says first what is closed.
    """
    from catalog.errors import NoCatalogue
    from catalog.service.opening import Desk, actor, make_ready

    run = invocation(context)
    if not os.path.exists(run.database.path):
        raise NoCatalogue("no catalogue yet", hint="run: catalog scan FOLDER")
    make_ready(run.database.path, run.say)
    with Desk(run.database.path) as desk:
        root = desk.roots.named(name)
        stakes = desk.roots.stakes(root)
        closed = [f"{counted(stakes.files, 'file leaves', 'files leave')} every answer"]
        if stakes.cases:
            closed.append(f"{counted(stakes.cases, 'open case')} of drift will be closed")
        if stakes.waiting:
            closed.append(f"{counted(stakes.waiting, 'waiting path')} will be forgotten")
        run.say(f"{joined(closed)}. What happened to them stays recorded; nothing on the share is touched.")
        run.say(
            "Added again, the folder is a new share: its files begin anew, without baselines and history."
        )
        ask(f"Remove the share {root.name} ({printable(root.path)}) from the catalogue?", yes=yes)
        desk.roots.remove(root, actor())
        run.say(f"removed: {root.name}")


app.command()(relocate)
app.command()(mark)
app.command("confirm-missing")(confirm_missing)
