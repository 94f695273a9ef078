"""``db check``, ``db backup`` and ``db restore``: keep the catalogue, and know that it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli.context import Invocation, invocation
from catalog.cli.options import Json
from catalog.errors import Exit, UsageError
from catalog.terms import counted, human_size, path_fields, printable

if TYPE_CHECKING:
    from catalog.store.checking import Report
    from catalog.store.restoring import Restored

# --------------------------------------------------------------------------------------------------- check


def check(
    context: typer.Context,
    *,
    head: Annotated[
        str | None,
        typer.Option(
            "--head", metavar="HEX", help="A chain head that was noted elsewhere: is it still there?"
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Leave out SQLite's look-up of every index entry.", show_default=False),
    ] = False,
    as_json: Json = False,
) -> None:
    """Is the catalogue whole, and is its history what was sealed?

    Looks at SQLite's pages, references, the chain of seals, files against their history, and counters, and
    reports all that it finds; 13 when there is anything. What was cut off the end of the history shows only
    in a head that was noted elsewhere: --head. Works beside a daemon, and for users who may only read.
    """
    from catalog.cli.output import Frame, answer
    from catalog.store.checking import check as look
    from catalog.store.engine import open_reader
    from catalog.store.migration import check_current

    run = invocation(context)
    noted = _digest(head)
    database = run.database.path
    connection = open_reader(database)
    try:
        check_current(connection, database)
        report = look(connection, database, quick=quick, head=noted, announce=_aloud(run))
    finally:
        connection.close()
    document = {
        **path_fields(os.fsencode(database)),
        "sound": report.sound,
        "quick": quick,
        "events": report.events,
        "seals": report.seals,
        "chain_head": report.head.hex() if report.head else None,
        "noted_head": None if noted is None else {"head": noted.hex(), "seal": report.noted_seal},
        "broken_seal": _seal_fields(report),
        "findings": [{"part": each.part.value, "what": each.what} for each in report.findings],
    }
    answer(Frame("catalog.db-check/1"), document, as_json=as_json, words=lambda: _check_words(report, noted))
    if not report.sound:
        seal = f"; the first broken seal is {report.broken.seal_id}" if report.broken else ""
        run.warn(f"the catalogue is damaged: {counted(len(report.findings), 'finding')}{seal}")
        raise typer.Exit(Exit.DAMAGED)


def _aloud(run: Invocation) -> Callable[[str], None]:
    """Each step, for those who want to know."""
    return run.say if run.verbose else lambda _: None


def _digest(text: str | None) -> bytes | None:
    """The 32 bytes of a chain head as ``status`` prints it."""
    try:
        digest = None if text is None else bytes.fromhex(text.strip())
    except ValueError:
        digest = b""
    if digest is not None and len(digest) != 32:
        raise UsageError(
            f"not a chain head: {printable(text or '')}",
            hint="it has 64 digits, as catalog status shows them",
        )
    return digest


def _seal_fields(report: Report) -> dict[str, Any] | None:
    if report.broken is None:
        return None
    return {
        "seal": report.broken.seal_id,
        "first_event": report.broken.first_event_id,
        "last_event": report.broken.last_event_id,
        "why": report.broken.why,
    }


def _check_words(report: Report, noted: bytes | None) -> Iterator[str]:
    from catalog.store.checking import Part

    for part in Part:
        found = [each.what for each in report.findings if each.part is part]
        yield f"{part.value:<10}  {found[0] if found else 'sound'}"
        for what in found[1:]:
            yield f"{'':<10}  {what}"
    if report.events is not None and report.seals is not None:
        yield f"{'events':<10}  {report.events:,}, {counted(report.seals, 'seal')}"
    if report.head is not None:
        yield f"{'chain head':<10}  {report.head.hex()}"
    if noted is not None and report.noted_seal is not None:
        yield f"{'noted head':<10}  seal {report.noted_seal}"


# -------------------------------------------------------------------------------------------------- backup


def backup(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The copy to make.", show_default=False)],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is there.", show_default=False)
    ] = (False),
    as_json: Json = False,
) -> None:
    """Where can a copy of the catalogue be kept, so that it is one state, whole?

    Works while a daemon runs. The file is complete and on its disk, or it is not there. Its chain head is
    printed: note it elsewhere, and catalog db check --head shows whether anything was cut off later.
    """
    from catalog.cli.output import Frame, answer
    from catalog.store.copies import back_up

    run = invocation(context)
    kept = back_up(run.database.path, file, force=force)
    document = {
        **path_fields(kept.path),
        "size": kept.size,
        "events": kept.events,
        "seals": kept.seals,
        "chain_head": kept.head.hex() if kept.head else None,
    }
    words = (
        f"backup      {printable(kept.path)}",
        f"size        {kept.size:,} bytes ({human_size(kept.size)})",
        f"events      {kept.events:,}, {counted(kept.seals, 'seal')}",
        *([f"chain head  {kept.head.hex()}"] if kept.head else []),
    )
    answer(Frame("catalog.db-backup/1"), document, as_json=as_json, words=lambda: words)


# ------------------------------------------------------------------------------------------------- restore


def restore(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The backup.", show_default=False)],
    *,
    as_json: Json = False,
) -> None:
    """Can the catalogue be what this backup holds, and what would that lose?

    The backup is checked first. The present catalogue is kept beside the new one (.replaced-TIME). Nobody
    may have it open. Afterwards a scan brings the record up to date.
    """
    from catalog.cli.output import Frame, answer
    from catalog.service.opening import refuse_network
    from catalog.store.restoring import restore as put_back

    run = invocation(context)
    database = run.database.path
    refuse_network(database)
    run.say(f"catalogue: {database}")
    done = put_back(database, file, announce=_aloud(run))
    lineage = done.lineage
    aside = None if done.replaced is None else os.fsencode(done.replaced)
    document = {
        **path_fields(os.fsencode(database)),
        **path_fields(os.path.abspath(os.fsencode(file)), "backup"),
        **({"replaced": None} if aside is None else path_fields(aside, "replaced")),
        "schema_number": done.schema,
        "chain": {
            "relation": lineage.relation.value,
            "backup_head": lineage.backup_head.hex() if lineage.backup_head else None,
            "former_head": lineage.former_head.hex() if lineage.former_head else None,
            "common_seal": lineage.common_seal,
            "only_former": lineage.only_former,
            "only_backup": lineage.only_backup,
        },
    }
    answer(
        Frame("catalog.db-restore/1"), document, as_json=as_json, words=lambda: _restore_words(database, done)
    )
    run.say("bring it up to date with: catalog scan")


def _restore_words(database: str, done: Restored) -> Iterator[str]:
    from catalog.store.restoring import Relation

    lineage = done.lineage
    former, backup_only = counted(lineage.only_former, "event"), counted(lineage.only_backup, "event")
    yield f"restored    {printable(os.fsencode(database))}"
    if done.replaced is not None:
        yield f"former one  {printable(os.fsencode(done.replaced))}"
    if lineage.backup_head is not None:
        yield f"chain head  {lineage.backup_head.hex()}"
    yield {
        Relation.FIRST: "There was no catalogue before.",
        Relation.SAME: "Both end with the same seal: no event was lost or won.",
        Relation.ANCESTOR: f"The backup is an older state of the former one, which alone has {former} more.",
        Relation.NEWER: f"The former one was an older state of the backup, which has {backup_only} more.",
        Relation.FORKED: (
            f"Both are alike up to seal {lineage.common_seal}; after it the former one has {former} of its own,"
            f" the backup {backup_only}."
        ),
        Relation.UNRELATED: "They have no seal in common: the backup is of another catalogue.",
        Relation.UNKNOWN: "The former one cannot be read, so nobody can say what only it has.",
    }[lineage.relation]
