"""What long jobs share: a rate that they keep, and a daemon that does them instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.errors import UsageError
from catalog.terms import printable

if TYPE_CHECKING:
    from catalog.cli.context import Invocation
    from catalog.cli.progress import Progress

MaxRate = Annotated[
    str | None, typer.Option("--max-rate", metavar="SIZE", help="Read no more a second, e.g. 50MB.")
]


def size_of(text: str | None, option: str) -> int | None:
    """``50MB`` in bytes; None when the option was not given. Raises UsageError."""
    from catalog.config import size

    if text is None:
        return None
    try:
        return size(text)
    except ValueError:
        raise UsageError(f"{option} {printable(text)}: expected a size like 50MB") from None


def progress_of(run: Invocation, title: str) -> Progress:
    """How far a job is; nothing where -v tells lines of its own, between which a bar would stand."""
    from catalog.cli.progress import Progress

    return Progress(title, quiet=run.quiet or run.verbose > 0)


def handed_over(run: Invocation, database: str, kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Have the daemon do a job, and show how far it is. Gives the job's JSON; raises HandoverFailed."""
    from catalog.service.handover import hand_over

    run.say(f"a daemon is running: the {kind} is handed to it")
    if run.verbose:
        run.say("each change is told in the daemon's log, and by: catalog query events")
    with progress_of(run, kind) as bar:
        return hand_over(database, kind, arguments, lambda state: show(bar, state))


def show(bar: Progress, state: dict[str, Any]) -> None:
    """Draw what a job says of its progress."""
    bar.update(
        state.get("inspected", 0),
        state.get("bytes_read", 0),
        total_files=state.get("queued"),
        total_size=state.get("queued_bytes"),
    )
