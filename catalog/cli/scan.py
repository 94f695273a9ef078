"""What is on these shares, and what changed since the last look?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli.asking import importing
from catalog.cli.context import Invocation, invocation
from catalog.cli.jobs import MaxRate, handed_over, progress_of, size_of
from catalog.cli.options import AllowIncomplete, Json, conclude
from catalog.terms import printable, quoted

if TYPE_CHECKING:
    from catalog.service.scan import ScanResult

app = typer.Typer()


@app.command()
def scan(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Folders; each new one becomes a share.", show_default=False),
    ] = None,
    *,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the new share (default: its folder's)."),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include", metavar="GLOB", help="Catalogue other files, too, by raw checksums; may be repeated."
        ),
    ] = None,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Follow symbolic links.", show_default=False)
    ] = False,
    max_rate: MaxRate = None,
    as_json: Json = False,
    allow_incomplete: AllowIncomplete = False,
) -> None:
    """What is on these shares, and what changed since the last look?

    Walks each share, inspects the files that are new or whose size, times or inode moved, follows moves, and
    notes what is missing. Files that nobody touched are not re-read. May be interrupted at any time: the
    next scan goes on. Without PATH: every share of the catalogue. -v tells each change in a line, once it is
    durable.
    """
    import dataclasses

    with importing():
        from catalog.errors import Locked, UsageError
        from catalog.service.handover import daemon_runs
        from catalog.service.opening import fence, make_ready, refuse_inside
        from catalog.service.scan import resolved

    run = invocation(context)
    settings = run.settings
    rate = size_of(max_rate, "--max-rate")
    settings = dataclasses.replace(
        settings,
        max_rate_bytes=settings.max_rate_bytes if rate is None else rate,
        include=(*settings.include, *(include or ())),
        follow_links=settings.follow_links or follow_links,
    )
    folders = resolved(paths or [])
    database = run.database.path
    if name is not None and len(folders) != 1:
        raise UsageError("--name goes with one folder", hint="catalog scan FOLDER --name NAME")
    if not folders and not os.path.exists(database):
        raise UsageError("no folder was named and there is no share yet", hint="run: catalog scan FOLDER")
    refuse_inside(database, folders)
    new = make_ready(database, run.say)
    run.say(f"{'new catalogue' if new else 'catalogue'}: {database}")
    fence(database)
    try:
        result = _scan_here(run, database, settings, folders, name)
        document = {**result.document(), "interrupted": result.interrupted}
    except Locked:
        if not daemon_runs(database):
            raise
        given = {"--include": include, "--follow-links": follow_links, "--max-rate": max_rate}
        unused = [option for option, value in given.items() if value]
        if unused:
            run.warn(f"the daemon scans by its own settings: {', '.join(unused)} is not heeded")
        arguments = {"folders": [folder.hex() for folder in folders], "name": name}
        document = handed_over(run, database, "scan", arguments)
    for root in document["roots"]:
        if name not in (None, root["name"]):
            run.warn(other_name(folders[0], root["name"], str(name)))
    _answer(run, document, as_json=as_json, allow_incomplete=allow_incomplete)


def other_name(folder: bytes, known: str, name: str) -> str:
    """What is said when a folder is to get a name that is in a share already."""
    return (
        f"{printable(folder)} is in the share {printable(known)} already, which keeps its name:"
        f" --name {quoted(name)} is not heeded"
    )


def _scan_here(
    run: Invocation, database: str, settings: Any, folders: list[bytes], name: str | None
) -> ScanResult:
    from catalog.errors import UsageError
    from catalog.service.opening import actor, cataloguing
    from catalog.service.plans import Tally
    from catalog.service.reconcile import Phase
    from catalog.service.scan import scan as scan_targets
    from catalog.service.scan import targets
    from catalog.service.signals import Stop
    from catalog.service.telling import tell_changes

    with (
        Stop() as stop,  # before anything is begun: a signal ends it cleanly from the start
        cataloguing(database, settings, "scan") as session,
        progress_of(run, "scan") as bar,
    ):
        tell_changes(session.recorder.batch)
        chosen = targets(session.roots, folders, name=name, actor=actor())
        if not chosen:
            raise UsageError("no folder was named and there is no share yet", hint="run: catalog scan FOLDER")

        def show(tally: Tally, phase: Phase) -> None:
            known = phase is not Phase.WALK
            bar.update(
                tally.inspected,
                tally.bytes_read,
                total_files=tally.queued if known else None,
                total_size=tally.queued_bytes if known else None,
            )

        return scan_targets(session, chosen, progress=show, stop=stop)


def _answer(run: Invocation, document: dict[str, Any], *, as_json: bool, allow_incomplete: bool) -> None:
    from catalog.cli.output import Frame, Incomplete, answer
    from catalog.errors import Exit

    interrupted = document.pop("interrupted", False)
    problems = document["problems"]
    incomplete = [Incomplete(item["root"], f"{item['path']}: {item['reason']}") for item in problems[:100]]
    files = document["files"]
    for field, words in (
        ("pending", "still being written"),
        ("unreadable", "cannot be read: catalog query errors"),
        ("held_missing", "not there any more, held back: catalog root confirm-missing NAME"),
    ):
        if files[field]:
            incomplete.append(Incomplete(None, words, files[field]))
    if interrupted:
        incomplete.append(Incomplete(None, "interrupted; run the same command again to go on"))
    answer(Frame("catalog.scan/1", None, tuple(incomplete)), document, as_json=as_json, words=tuple)
    for line in summary(document):
        run.say(line)
    for item in incomplete[:20]:
        run.warn(printable(f"incomplete: {item.words}"))
    if interrupted:
        raise typer.Exit(Exit.INTERRUPTED)
    conclude(incomplete=bool(incomplete), allow_incomplete=allow_incomplete)


def summary(document: dict[str, Any]) -> list[str]:
    """What a curator reads after a scan."""
    from catalog.terms import counted, human_size, joined

    files, skipped = document["files"], document["skipped"]
    roots = joined(root["name"] for root in document["roots"])
    lines = [
        f"{roots}: {counted(files['seen'], 'image file')}: {files['new']:,} new, {files['changed']:,} changed,"
        f" {files['moved']:,} moved, {files['missing']:,} missing,{_back(files)} {files['unchanged']:,} unchanged"
        f" ({human_size(document['bytes_read'])} read in {document['seconds']:.1f} s)"
    ]
    if files["not_reread"]:
        lines.append(
            f"{counted(files['not_reread'], 'unchanged file was', 'unchanged files were')} not re-read:"
            " size, times and inode are as recorded; catalog audit reads them"
        )
    if files["undecodable"]:
        lines.append(
            f"{counted(files['undecodable'], 'file that was read does', 'files that were read do')} not decode:"
            " catalog query errors"
        )
    if files["flawed"]:
        lines.append(
            f"{counted(files['flawed'], 'file that was read is', 'files that were read are')} damaged or too large to"
            " be decoded whole: catalog query errors"
        )
    left_out = [
        words
        for number, words in (
            (
                skipped["ignored"],
                counted(skipped["ignored"], "other file or folder", "other files or folders"),
            ),
            (skipped["symlinks"], counted(skipped["symlinks"], "symbolic link")),
            (skipped["special"], counted(skipped["special"], "special file")),
        )
        if number
    ]
    if left_out:
        lines.append(f"not catalogued: {joined(left_out)}")
    if skipped["symlinks"] > files["seen"]:
        lines.append("most of this tree is symbolic links: --follow-links catalogues what they point to")
    if files["changed"] or files["missing"]:
        lines.append("what changed, how and why: catalog query drift")
    return lines


def _back(files: dict[str, Any]) -> str:
    """Files that were missing and are there again: seldom, and then worth a word."""
    return f" {files['reappeared']:,} there again," if files["reappeared"] else ""
