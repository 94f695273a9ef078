"""``query coverage`` and ``query audits``, and the checks of one file for ``show --evidence``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from catalog.cli.asking import column, importing, short_time, time_column
from catalog.cli.questions import Question, question
from catalog.terms import counted, iso

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from catalog.query.audits import Check


@question(lists_files=False)
def coverage(question: Question) -> None:
    """Which part of each share has an audit verified, and how long ago?

    Only audits count: they read past the page cache. What was never audited was read once, when it was first
    seen or changed. Missing files are no part of it.
    """
    with importing():
        from catalog.cli.output import Column, Listing
        from catalog.query.coverage import coverage as ask
        from catalog.query.coverage import coverage_fields, total

    listing = Listing(
        "roots",
        (
            column("root", "share"),
            Column("files", lambda row: f"{row['files']:,}", right=True),
            *(_within(days, Column) for days in ("30", "90", "365")),
            Column("never", lambda row: f"{row['never']:,}", right=True),
            Column("oldest", lambda row: short_time(row["oldest"])[:10] or "-"),
        ),
        (
            *("root", "path", "files", "bytes", "within_days.30", "within_days.90", "within_days.365"),
            *("never", "oldest"),
        ),
        "no shares yet: catalog scan FOLDER",
    )
    with question.asking() as asked:
        found = ask(asked.connection, asked.scope, asked.standing.as_of_ms)
        rows = (coverage_fields(each, found[each.root_id]) for each in asked.scope.roots)
        more = {"coverage": total(found).fields()}
        question.answer(asked, "catalog.coverage/1", listing, rows, more)
    question.conclude(asked)


def _within(days: str, make: Any) -> Any:
    return make(f"{days} days", lambda row: f"{row['percent'][days]:g} %", right=True)


@question(narrowed=False, lists_files=False)
def audits(question: Question) -> None:
    """Which audits were there, what did they read, and what did they find? The newest first."""
    with importing():
        from catalog.cli.output import Column, Listing
        from catalog.query.audits import audits as ask

    listing = Listing(
        "audits",
        (
            column("run", right=True),
            time_column("started"),
            column("status"),
            column("kind"),
            Column("result", _result),
        ),
        (
            *("run", "kind", "started", "finished", "status", "files", "checked", "intact", "bytes_read"),
            *("corrupt", "unreadable", "missing", "pending", "budget", "seconds", "sentence"),
        ),
        "no audit yet: catalog audit",
    )
    with question.asking() as asked:
        rows = (each.fields() for each in ask(asked.connection, limit=question.beyond))
        question.answer(asked, "catalog.audits/1", listing, rows)


def _result(row: Mapping[str, Any]) -> str:
    scope = f" ({', '.join(row['scope'])})" if row["scope"] else ""
    return (row["sentence"] or "never came to its end") + scope


# ---------------------------------------------------------------------------------------- checks of a file


def checks(connection: Connection, file_id: int) -> list[Check]:
    """The checks of a file that are kept, the oldest first."""
    from catalog.query.audits import checks_of_file

    return checks_of_file(connection, file_id)


def check_lines(found: list[Check]) -> Iterator[str]:
    """What ``show --evidence`` prints of them."""
    yield (
        f"checks       {counted(len(found), 'kept check')}"
        if found
        else "checks       no audit has read it yet"
    )
    for each in found:
        digest = f" sha256 {each.sha256.hex()[:12]}…" if each.sha256 else ""
        run = f", run {each.run_id}" if each.run_id is not None else ""
        why = f": {each.detail}" if each.detail else ""
        yield f"  {short_time(iso(each.at_ms))}  {each.result.value:11} {each.how.value}{run}{digest}{why}"


__all__ = ["audits", "check_lines", "checks", "coverage"]
