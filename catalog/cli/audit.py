"""Read everything again, and hold it against the record."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from catalog.cli.asking import importing
from catalog.cli.context import Invocation, invocation
from catalog.cli.jobs import MaxRate, handed_over, progress_of, show, size_of
from catalog.cli.options import AllowIncomplete, Json, Narrow, Root, conclude
from catalog.errors import UsageError
from catalog.terms import printable

if TYPE_CHECKING:
    from catalog.cli.output import Incomplete
    from catalog.service.audit_result import AuditResult, Budget

app = typer.Typer()

SHOWN: Final = 50
"""Findings that are printed one by one."""
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@app.command()
def audit(
    context: typer.Context,
    paths: Narrow = None,
    *,
    root: Root = None,
    max_time: Annotated[
        str | None, typer.Option("--max-time", metavar="TIME", help="Begin nothing after 90m, 4h, 2d.")
    ] = None,
    max_data: Annotated[
        str | None, typer.Option("--max-data", metavar="SIZE", help="Read no more than 500GB.")
    ] = None,
    max_files: Annotated[
        int | None, typer.Option("--max-files", metavar="N", min=1, help="Read no more files.")
    ] = None,
    percent: Annotated[
        str | None, typer.Option("--percent", metavar="P", help="Read no more than P % of the files.")
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="TIME", help="Only what no audit has read for 90d, 12w."),
    ] = None,
    max_rate: MaxRate = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Only say what it takes to read everything in time.", show_default=False),
    ] = False,
    every: Annotated[
        str | None,
        typer.Option("--every", metavar="TIME", help="With --plan: how often each file is read [90d]."),
    ] = None,
    as_json: Json = False,
    allow_incomplete: AllowIncomplete = False,
) -> None:
    """Are the bytes on these shares still what they were?

    Reads files again that nobody touched, from the disk and not from memory, first those that were never
    audited, then those that were not for longest, until all are read or a limit is reached. May be interrupted
    at any time: the next audit of the same paths goes on. Beside a running daemon it is handed over. -v
    tells each change that it finds in a line.
    """
    with importing():
        from catalog.service.audit_result import Budget

    budget = Budget(
        max_seconds=_seconds(max_time, "--max-time"),
        max_bytes=_bytes(max_data, "--max-data"),
        max_files=max_files,
        percent=_percent(percent),
        older_than_seconds=_seconds(older_than, "--older-than"),
        rate_bytes=_bytes(max_rate, "--max-rate") or 0,
    )
    run = invocation(context)
    if plan:
        if budget.fields():
            raise UsageError("--plan says what limits it takes", hint="leave the other limits out")
        _plan(context, paths, root, _seconds(every or "90d", "--every") or 0.0, as_json=as_json)
        return
    if every is not None:
        raise UsageError("--every belongs to --plan")
    document = _audited(run, paths or [], root or [], budget)
    _answer(run, document, as_json=as_json, allow_incomplete=allow_incomplete)


# ------------------------------------------------------------------------------------------------- limits


def _seconds(text: str | None, option: str) -> float | None:
    """``90d`` in seconds. Raises UsageError."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,7}(?:\.\d+)?)\s*([smhdw])", text.strip())
    if not match or float(match[1]) <= 0:
        raise UsageError(f"{option} {printable(text)}: expected a time like 30s, 90m, 4h, 90d or 12w")
    return float(match[1]) * _UNITS[match[2]]


def _bytes(text: str | None, option: str) -> int | None:
    """As ``size_of``, but nothing is no limit."""
    found = size_of(text, option)
    if found == 0:
        raise UsageError(f"{option} {printable(text or '')}: expected a size like 50MB")
    return found


def _percent(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        found = float(text.strip().removesuffix("%"))
    except ValueError:
        found = 0.0
    if not 0 < found <= 100:
        raise UsageError(f"--percent {printable(text)}: expected a number above 0, up to 100")
    return found


# --------------------------------------------------------------------------------------------------- audit


def _audited(run: Invocation, paths: list[str], roots: list[str], budget: Budget) -> dict[str, Any]:
    """The JSON of an audit, here or by the daemon."""
    import os

    with importing():
        from catalog.errors import Locked, NoCatalogue
        from catalog.query.opening import opened
        from catalog.query.resolving import resolve
        from catalog.service.audit import absolute
        from catalog.service.handover import daemon_runs
        from catalog.service.opening import fence, make_ready

    database = run.database.path
    if not os.path.exists(database):
        raise NoCatalogue(f"no catalogue yet: {database}", hint="make one with: catalog scan FOLDER")
    make_ready(database, run.say)
    scope = absolute(paths)
    with opened(database) as connection:
        if not resolve(connection, paths=scope, roots=roots).roots:
            raise UsageError("there is no share yet", hint="make one with: catalog scan FOLDER")
    run.say(f"catalogue: {database}")
    fence(database)
    try:
        return _audit_here(run, database, scope, roots, budget).document()
    except Locked:
        if not daemon_runs(database):
            raise
    arguments = {"scope": [path.hex() for path in scope], "roots": roots, "budget": budget.fields()}
    return handed_over(run, database, "audit", arguments)


def _audit_here(
    run: Invocation, database: str, scope: list[bytes], roots: list[str], budget: Budget
) -> AuditResult:
    from catalog.service.auditing import audit as audit_scope
    from catalog.service.opening import actor, cataloguing
    from catalog.service.signals import Stop
    from catalog.service.telling import tell_changes

    with (
        Stop() as stop,  # before anything is begun: a signal ends it cleanly from the start
        cataloguing(database, run.settings, "audit") as session,
        progress_of(run, "audit") as bar,
    ):
        tell_changes(session.recorder.batch)
        return audit_scope(
            session,
            database=database,
            scope=scope,
            roots=roots,
            budget=budget,
            actor=actor(),
            progress=lambda state: show(bar, state),
            stop=stop,
        )


# -------------------------------------------------------------------------------------------------- answer


def _answer(run: Invocation, document: dict[str, Any], *, as_json: bool, allow_incomplete: bool) -> None:
    from catalog.cli.output import Frame, answer
    from catalog.errors import Exit
    from catalog.service.audit_result import code_of

    lacking = tuple(_lacking(document))
    if document["resumed"]:
        run.say(f"went on with the audit of {document['resumed'][:19].replace('T', ' ')}")
    frame = Frame("catalog.audit/1", None, lacking)
    answer(frame, document, as_json=as_json, words=lambda: _words(document))
    if document["budget"]:
        run.say(f"more is due: the limit of {document['budget']} was reached")
    if document["drift"] or document["corrupt_files"]:
        run.say("what changed, how and why: catalog query drift")
    for item in lacking[:20]:
        run.warn(f"incomplete: {item.words}")
    if document["interrupted"]:
        raise typer.Exit(Exit.INTERRUPTED)
    code = code_of(document, incomplete=False)
    conclude(incomplete=bool(lacking), allow_incomplete=allow_incomplete, findings=code)


def _lacking(document: dict[str, Any]) -> Iterator[Incomplete]:
    from catalog.cli.output import Incomplete

    for item in document["problems"][:100]:
        yield Incomplete(item["root"], f"{item['path']}: {item['reason']}")
    for number, words in (
        (document["unreadable_files"], "cannot be read: catalog query errors"),
        (document["pending"], "still being written"),
        (document["unproven"], "not found, and nothing proves that they are gone"),
        (document["unread"], "not read: they, or their share, were not there"),
    ):
        if number:
            yield Incomplete(None, words, number)
    if document["interrupted"]:
        yield Incomplete(None, "interrupted; run the same command again to go on")


def _words(document: dict[str, Any]) -> Iterator[str]:
    for item in document["corrupt"][:SHOWN]:
        yield f"{item['manner']:12} {item['path']}: {'; '.join(item['reasons'])}"
    for item in document["unreadable"][:SHOWN]:
        yield f"{'unreadable':12} {item['path']}: {item['reason']}"
    for kind, number in sorted(document["drift"].items()):
        yield f"{'drift':12} {number:,} {kind}"
    if document["transient"]:
        yield f"{'read again':12} {document['transient']:,} were read wrongly once, and as recorded then"
    yield document["sentence"]


# ---------------------------------------------------------------------------------------------------- plan


def _plan(
    context: typer.Context, paths: list[str] | None, roots: list[str] | None, seconds: float, *, as_json: bool
) -> None:
    """What it takes to read everything once in ``seconds``; reads no share."""
    from catalog.cli.asking import asking
    from catalog.cli.output import answer

    with asking(context, paths, roots) as asked:
        from catalog.query.audits import audited_pace
        from catalog.query.coverage import coverage, total, unread_since

        now_ms = asked.standing.as_of_ms
        whole = total(coverage(asked.connection, asked.scope, now_ms))
        late = unread_since(asked.connection, asked.scope, now_ms - round(seconds * 1000), now_ms)
        days, pace = seconds / 86_400, audited_pace(asked.connection)
        document = {
            "every_days": round(days, 3),
            "files": whole.files,
            "bytes": whole.bytes,
            "files_per_day": math.ceil(whole.files / days),
            "bytes_per_day": math.ceil(whole.bytes / days),
            "bytes_per_second": math.ceil(whole.bytes / seconds),
            "late": {"files": late[0], "bytes": late[1]},
            "measured_bytes_per_second": None if pace is None else round(pace),
        }
        answer(
            asked.frame("catalog.audit-plan/1"),
            document,
            as_json=as_json,
            words=lambda: _plan_words(document),
        )


def _plan_words(document: dict[str, Any]) -> Iterator[str]:
    from catalog.terms import counted, human_size

    every = f"{document['every_days']:g} days"
    yield f"{counted(document['files'], 'file')}, {human_size(document['bytes'])}; each is to be read every {every}"
    yield (
        f"{counted(document['files_per_day'], 'file')} and {human_size(document['bytes_per_day'])} a day,"
        f" {human_size(document['bytes_per_second'])} a second without a pause"
    )
    pace = document["measured_bytes_per_second"]
    if pace:
        hours = document["bytes_per_day"] / pace / 3600
        lasts = f"{hours:.1f} hours" if hours >= 1 else f"{max(hours * 60, 0.1):.1f} minutes"
        yield f"at the {human_size(pace)} a second of the last audits: {lasts} a day"
    late = document["late"]
    if late["files"]:
        yield f"not read for longer than that, or never: {counted(late['files'], 'file')}, {human_size(late['bytes'])}"
    size = human_size(document["bytes_per_day"]).replace(" ", "")
    yield f"daily: catalog audit --older-than {document['every_days']:g}d --max-data {size}"
