"""The state of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.cli.asking import asking, importing, short_time
from catalog.cli.options import Json, conclude
from catalog.errors import Exit
from catalog.terms import RootState, Severity, counted, iso, printable, quoted

if TYPE_CHECKING:
    from catalog.query.status import RootStatus, Status

app = typer.Typer()


@app.command()
def status(
    context: typer.Context,
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="For monitoring: exit with 1 when anything is wrong.", show_default=False
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Are the shares there, is the daemon alive, is work waiting, is anything wrong?

    --check finds: a share that is not online, open critical drift, a mass of changed contents, absences that
    are held back, a scan that was interrupted, a share that was never scanned to its end, folders that could
    not be listed, a daemon that died or fell silent, a backlog older than an hour, folders that cannot be
    watched.
    """
    with importing():
        from catalog.cli.output import answer
        from catalog.query.status import status as ask

    with asking(context) as asked:
        found = ask(asked.connection, asked.run.database.path)
    frame = asked.frame("catalog.status/1")
    answer(frame, found.fields(), as_json=as_json, words=lambda: _words(found))
    if not as_json:
        for problem in found.problems:
            asked.run.warn(problem)
    conclude(findings=Exit.FINDINGS if check and found.problems else Exit.OK)


def _words(found: Status) -> Iterator[str]:
    if found.roots:
        yield from _table(found.roots)
    else:
        yield "no shares yet: catalog scan FOLDER"
    for each in found.roots:
        if each.state_reason:
            yield f"{printable(each.name)}: {each.state_reason}"
        if each.state is RootState.REPLACED:
            again = f"catalog root relocate {quoted(each.name)} {quoted(each.path)}"
            yield f"  if these are its files on another disk: {again}"
        if each.mass_change:
            yield f"{printable(each.name)}: {each.mass_change.words}"
        if each.mode_reason:
            yield f"{printable(each.name)}: {each.mode}, because {each.mode_reason}"
    yield f"backlog      {counted(found.backlog, 'path')}" + (
        f", the oldest since {short_time(iso(found.backlog_since_ms))}" if found.backlog else ""
    )
    yield f"daemon       {_daemon_words(found)}"
    yield f"last audit   {_audit_words(found)}"
    yield f"chain head   {found.chain_head or 'no events yet'}"


def _table(roots: tuple[RootStatus, ...]) -> Iterator[str]:
    from catalog.cli.tables import blocks, cells, table, terminal_width

    titles = (
        "share",
        "state",
        "mode",
        "files",
        "missing",
        "unreadable",
        "undecodable",
        "open drift",
        "last reconcile",
        "path",
    )
    rows = [
        (
            each.name,
            each.state.value,
            each.mode or "",
            f"{each.total:,}",
            f"{each.missing:,}" + (f" + {each.held_missing:,} held" if each.held_missing else ""),
            f"{each.unreadable:,}",
            f"{each.undecodable:,}",
            _drift_words(each),
            short_time(iso(each.last_reconcile_ms)) or "never",
            printable(each.path),
        )
        for each in roots
    ]
    lines, width = list(table(titles, rows, right=(3, 4, 5, 6))), terminal_width()
    # Ten columns do not fit the usual 80 cells, and nothing of them may be cut.
    fits = width is None or max(map(cells, lines)) <= width
    yield from lines if fits else [*blocks(titles, rows), ""]


def _drift_words(each: RootStatus) -> str:
    parts = [
        f"{each.open_drift[severity]:,} {severity.value}"
        for severity in reversed(Severity)
        if each.open_drift.get(severity)
    ]
    return ", ".join(parts) or "none"


def _audit_words(found: Status) -> str:
    last = found.last_audit
    if last is None:
        return "never: catalog audit"
    return f"{short_time(iso(last.finished_ms))}, {last.status}: {last.counts['sentence']}"


def _daemon_words(found: Status) -> str:
    one = found.daemon
    if not one.known:
        return "not running"
    where = f"process {one.pid} on {one.host}"
    if not one.running:
        return f"dead ({where}, last heard of {short_time(iso(one.heartbeat_ms))})"
    return (
        f"running ({where}) since {short_time(iso(one.started_ms))};"
        f" {counted(one.rebuilds, 'rebuild')}, {counted(one.overflows, 'overflow')}"
    )
