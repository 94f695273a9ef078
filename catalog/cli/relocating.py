"""``root relocate`` and ``root mark``: a share at another path, and how it is known for sure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.cli.confirming import Actor, ready
from catalog.cli.context import Invocation, invocation
from catalog.cli.options import DryRun, Json, Yes
from catalog.cli.prompting import ask
from catalog.errors import UsageError
from catalog.terms import path_fields, printable, quoted

if TYPE_CHECKING:
    from catalog.record.roots import Root
    from catalog.service.relocating import Likeness

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or path of the share.", show_default=False)]


def relocate(
    context: typer.Context,
    name: Name,
    path: Annotated[
        str, typer.Argument(metavar="NEWPATH", help="The folder where it is now.", show_default=False)
    ],
    *,
    force: Annotated[
        bool,
        typer.Option("--force", help="Although it does not look like the share.", show_default=False),
    ] = False,
    actor: Actor = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Where is this share now, so that all its history goes with it?

    For a new mount point, a new disk (also at the same path) or a new server. The folder must be the share: by its
    marker, by file system and folder, or by a sample of its files with equal size and time, or equal bytes. What is
    not found there is held back, never called missing by itself. A running daemon follows it there.
    """
    from catalog.service.opening import Desk, refuse_inside
    from catalog.service.opening import actor as user
    from catalog.service.relocating import compared
    from catalog.service.relocating import relocate as settle
    from catalog.service.scan import resolved

    run = invocation(context)
    ready(run)
    (folder,) = resolved([path])
    refuse_inside(run.database.path, [folder])
    with Desk(run.database.path) as desk:
        root = desk.roots.named(name)
        found, seen = compared(desk.roots, root, folder)
        run.say(_recognised(found))
        if dry_run:
            _answer(root, os.fsencode(folder), found, done=False, as_json=as_json)
            run.say("nothing was done" + ("" if found.alike else ": that does not look like the share"))
            raise typer.Exit(0 if found.alike else UsageError.code)
        moved = settle(desk.roots, root, folder, found, seen, actor=actor or user(), force=force)
    _answer(root, moved.path, found, done=True, as_json=as_json)
    if moved.path == root.path:
        run.say(f"{moved.name}: what is at {printable(moved.path)} now is the share")
    else:
        run.say(f"{moved.name}: was at {printable(root.path)}, is at {printable(moved.path)}")
    if root.marker is not None and not found.alike:
        run.warn(
            f"it does not carry its marker there and is known without from now on: catalog root mark {quoted(name)}"
        )
    _say_what_follows(run, moved.root_id, quoted(moved.path))


def _answer(root: Root, path: bytes, found: Likeness, *, done: bool, as_json: bool) -> None:
    from catalog.cli.output import Frame, answer

    document = {
        "root": root.name,
        "from": printable(root.path),
        **path_fields(path),
        "alike": found.alike,
        "relocated": done,
        **found.fields(),
    }
    answer(Frame("catalog.root-relocate/1", None), document, as_json=as_json, words=tuple)


def _recognised(found: Likeness) -> str:
    if found.how == "marker":
        return "it carries the marker of the share"
    if found.how == "folder":
        return "it is the very folder, mounted elsewhere"
    if found.how == "empty":
        return "no file of the share is recorded: there is nothing to compare"
    return found.words()


def _say_what_follows(run: Invocation, root_id: int, path: str) -> None:
    from catalog.service.handover import follower

    daemon = follower(run.database.path)
    if daemon is not None and daemon.follows(root_id):
        run.say("the running daemon follows it there")
    else:
        run.say(f"compare it with the record: catalog scan {path}")


def mark(
    context: typer.Context,
    name: Name,
    *,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Do without the marker again; the file stays.", show_default=False),
    ] = False,
    actor: Actor = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """How can this share be told from every other one, whatever is mounted in its place?

    Writes the file .catalog-share with a token to the top of the share, the only thing that this program ever
    writes there, after a question. From then on the share counts as there only while the token is. A marker
    that is there already is taken over. Not needed where file system and folder tell enough.
    """
    from catalog.service import marking
    from catalog.service.opening import Desk
    from catalog.service.opening import actor as user

    run = invocation(context)
    ready(run)
    with Desk(run.database.path) as desk:
        root = desk.roots.named(name)
        if forget:
            if root.marker is None:
                run.say(f"{root.name} is known without a marker")
            elif not dry_run:
                desk.roots.set_marker(root, None, actor or user())
                run.say(f"{root.name} is known without a marker from now on; the file is left where it is")
            return
        plan = marking.plan(root)
        path = printable(plan.path)
        if not plan.write and root.marker == plan.token:
            run.say(f"{root.name} is marked: {plan.token}")
            return
        if dry_run:
            run.say(f"would {'write' if plan.write else 'take over'} {path}: {plan.token}")
            return
        if plan.write:
            ask(f"Write the file {path} to the share, the only one that is ever written there?", yes=yes)
            marking.write(plan)
        else:
            ask(f"The share carries a marker already ({plan.token}). Know it by that?", yes=yes)
        if plan.token != root.marker:
            desk.roots.set_marker(root, plan.token, actor or user())
    run.say(f"marked: {root.name}: {plan.token}")
