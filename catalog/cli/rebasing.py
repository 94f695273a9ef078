"""``catalog db rebase``: bring the digests of lossy files to the decoders that are installed now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from catalog.cli.asking import importing
from catalog.cli.context import Invocation, invocation
from catalog.cli.jobs import MaxRate, handed_over, progress_of, size_of
from catalog.cli.options import AllowIncomplete, DryRun, Json, conclude
from catalog.errors import Exit
from catalog.terms import counted, human_size

if TYPE_CHECKING:
    from catalog.config import Settings


def rebase(
    context: typer.Context,
    *,
    dry_run: DryRun = False,
    max_rate: MaxRate = None,
    as_json: Json = False,
    allow_incomplete: AllowIncomplete = False,
) -> None:
    """Which files were last decoded by other decoders, and what do the present ones make of them?

    After an upgrade that changes what a lossy codec delivers, files such as JPEGs take part in no comparison of
    pixels until they are looked at again. This reads them, and only them. Nothing is called changed that has
    the bytes it had. May be interrupted at any time: the next run goes on.
    """
    import dataclasses

    with importing():
        from catalog.errors import Locked
        from catalog.service.handover import daemon_runs
        from catalog.service.opening import fence
        from catalog.store.engine import open_reader
        from catalog.store.migration import check_current, prepare

    run = invocation(context)
    settings = run.settings
    rate = size_of(max_rate, "--max-rate")
    if rate is not None:
        settings = dataclasses.replace(settings, max_rate_bytes=rate)
    database = run.database.path
    connection = open_reader(database)  # there must be a catalogue: this command makes none
    try:
        if dry_run:
            check_current(connection, database)
    finally:
        connection.close()
    if dry_run:
        from catalog.service.rebase import outlook

        _answer(run, outlook(database, settings).document(), as_json=as_json, allow_incomplete=True)
        return
    prepare(database, announce=run.say)
    run.say(f"catalogue: {database}")
    fence(database)
    try:
        document = _rebase_here(run, database, settings)
    except Locked:
        if not daemon_runs(database):
            raise
        if max_rate is not None:
            run.warn("the daemon reads by its own settings: --max-rate is not heeded")
        document = handed_over(run, database, "rebase", {})
    _answer(run, document, as_json=as_json, allow_incomplete=allow_incomplete)


def _rebase_here(run: Invocation, database: str, settings: Settings) -> dict[str, Any]:
    from catalog.service.opening import cataloguing
    from catalog.service.rebase import RebaseResult
    from catalog.service.rebase import rebase as rebase_files
    from catalog.service.signals import Stop

    with (
        Stop() as stop,
        cataloguing(database, settings, "db rebase") as session,
        progress_of(run, "rebase") as bar,
    ):

        def show(result: RebaseResult) -> None:
            done = result.tally
            bar.update(done.inspected, done.bytes_read, total_files=result.contents, total_size=result.size)

        return rebase_files(session, progress=show, stop=stop).document()


def _answer(run: Invocation, document: dict[str, Any], *, as_json: bool, allow_incomplete: bool) -> None:
    from catalog.cli.output import Frame, Incomplete, answer

    interrupted = document.pop("interrupted")
    incomplete = [Incomplete(item["root"], item["reason"], item["files"]) for item in document["problems"]]
    if interrupted:
        incomplete.append(Incomplete(None, "interrupted; run the same command again to go on"))
    frame = Frame("catalog.db-rebase/1", None, tuple(incomplete))
    answer(frame, document, as_json=as_json, words=lambda: _words(document))
    for item in incomplete:
        run.warn(f"incomplete: {item.words}")
    if interrupted:
        raise typer.Exit(Exit.INTERRUPTED)
    conclude(incomplete=bool(incomplete), allow_incomplete=allow_incomplete)


def _words(document: dict[str, Any]) -> Iterator[str]:
    files = document["files"]
    yield f"decoder epoch  {document['epoch'][:16]}{' (new)' if document['new_epoch'] else ''}"
    if not files["outdated"]:
        yield "every file was looked at with the present decoders, or does not depend on them"
        return
    yield f"outdated       {counted(files['outdated'], 'file')}"
    if document["dry_run"]:
        to_read = document["to_read"]
        yield f"to read        {counted(to_read['contents'], 'file')}, {human_size(to_read['bytes'])}"
        return
    read = f"{human_size(document['bytes_read'])} read in {document['seconds']:.1f} s"
    yield f"rebased        {counted(files['rebased'], 'file')} ({read})"
    for name, words in (("left", "left"), ("changed", "changed"), ("unreadable", "unreadable")):
        if files[name]:
            yield f"{words:<15}{counted(files[name], 'file')}"
