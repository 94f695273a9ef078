"""``root confirm-missing``: release the absences that the brake on masses holds back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli.context import Invocation, invocation
from catalog.cli.options import DryRun, Json, Yes, conclude
from catalog.cli.prompting import ask
from catalog.errors import NoCatalogue
from catalog.terms import counted, path_fields, printable

if TYPE_CHECKING:
    from catalog.query.held import Held

FOLDERS_SHOWN = 20

Actor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="Who says so.  [default: the user]")
]


def confirm_missing(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name or path of the share.", show_default=False)
    ],
    *,
    actor: Actor = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Are the files that were not found on this share really gone?

    When more than a fifth of a share is gone at once, or its folder was made anew, no file of it is called
    missing before somebody says so. This shows how many there are in which folders, asks, looks for each once
    more, and records as missing what is still not there. What turns up stays; nothing of any history is lost.
    A running daemon does it; else it is done here.
    """
    from catalog.query.held import held
    from catalog.query.opening import opened
    from catalog.service.opening import actor as user

    run = invocation(context)
    database = run.database.path
    if not dry_run:
        ready(run)
    with opened(database) as connection:
        found = held(connection, name)
    if dry_run or not found.held:
        _answer(found, None, dry_run=dry_run, as_json=as_json)
        if not found.held:
            run.say(f"{found.name}: nothing is held back")
        return
    for line in _folder_lines(found):
        run.say(line)
    question = f"Record {counted(found.files, 'file')} of {found.name} as missing?"
    ask(question, yes=yes)
    result = _confirmed(run, found, actor or user())
    _answer(found, result, dry_run=False, as_json=as_json)
    left = result["unproven"]
    if left:
        run.warn(f"{counted(left, 'file')}: nothing proves that they are gone; they stay suspects")
    conclude(incomplete=bool(left))


def ready(run: Invocation) -> None:
    """Open the catalogue for an admin's write, and name it. Raises NoCatalogue, and what opening may raise."""
    from catalog.service.opening import make_ready

    if not os.path.exists(run.database.path):
        raise NoCatalogue("no catalogue yet", hint="run: catalog scan FOLDER")
    make_ready(run.database.path, run.say)
    run.say(f"catalogue: {run.database.path}")


def _confirmed(run: Invocation, found: Held, actor: str) -> dict[str, Any]:
    from catalog.errors import Locked
    from catalog.service.confirming import confirm
    from catalog.service.handover import daemon_runs, hand_over
    from catalog.service.opening import fence

    database = run.database.path
    fence(database)
    try:
        return confirm(database, run.settings, found.root_id, found.until_ms, actor)
    except Locked:
        if not daemon_runs(database):
            raise
    run.say("a daemon is running: it looks for them, after what is under way")
    arguments = {"root_id": found.root_id, "until_ms": found.until_ms, "actor": actor}
    return hand_over(database, "confirm-missing", arguments, lambda _: None)


def _folder_lines(found: Held) -> Iterator[str]:
    for path, files in found.folders[:FOLDERS_SHOWN]:
        yield f"{files:>9,}  {printable(os.path.join(found.path, path) if path else found.path)}"
    more = found.folders[FOLDERS_SHOWN:]
    if more:
        yield f"{sum(files for _, files in more):>9,}  in {counted(len(more), 'more folder')}"


def _answer(found: Held, result: dict[str, Any] | None, *, dry_run: bool, as_json: bool) -> None:
    from catalog.cli.output import Frame, Incomplete, answer

    document = {
        "root": found.name,
        **path_fields(found.path),
        "dry_run": dry_run,
        "held": found.held,
        "not_found": found.files,
        "folders": [
            {**path_fields(os.path.join(found.path, path) if path else found.path), "files": files}
            for path, files in found.folders
        ],
        "confirmed": result["confirmed"] if result else 0,
        "there": result["there"] if result else 0,
        "unproven": result["unproven"] if result else 0,
    }
    lacking: tuple[Incomplete, ...] = ()
    if result and result["unproven"]:
        lacking = (Incomplete(found.name, "absence not proven", result["unproven"]),)

    def words() -> Iterator[str]:
        if result is None:
            yield from _folder_lines(found)
            if found.files:
                yield f"{counted(found.files, 'file')} not found, {found.held:,} held back"
            return
        yield (
            f"{found.name}: {counted(result['confirmed'], 'file')} missing, {result['there']:,} there after all,"
            f" {result['unproven']:,} unproven"
        )

    answer(Frame("catalog.root-confirm-missing/1", None, lacking), document, as_json=as_json, words=words)
