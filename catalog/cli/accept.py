"""Take the current state of files as their baseline, or take that back."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from catalog.cli.asking import asking, importing, path_column, words_of
from catalog.cli.context import Invocation, invocation
from catalog.cli.options import AllowIncomplete, DryRun, Format, Glob, Json, Root, Yes, conclude
from catalog.errors import Declined, NoCatalogue, UsageError
from catalog.terms import Kind, Manner, counted, joined, path_fields

if TYPE_CHECKING:
    from catalog.cli.asking import Asked
    from catalog.query.drift import Case
    from catalog.record.accepting import Acceptance

app = typer.Typer()

ACCEPTED: Final = "accepted"
RETIRED: Final = "retired"
NO_CASE: Final = "no case"
LEFT: Final = "left"
UNDONE: Final = "undone"


@dataclass(frozen=True, slots=True)
class Row:
    """One file of the answer; first what is to be done, then what was."""

    root: str
    path: bytes
    result: str
    kind: Kind | None = None
    manner: Manner | None = None
    why: str | None = None
    case: int | None = None
    at_ms: int = 0
    file_id: int | None = None
    """Of a missing file that was never read: it has no case."""
    from_revision: int | None = None
    to_revision: int | None = None
    event: int | None = None

    def fields(self) -> dict[str, Any]:
        return {
            "root": self.root,
            **path_fields(self.path),
            "result": self.result,
            "why": self.why,
            "kind": self.kind.value if self.kind else None,
            "manner": self.manner.value if self.manner else None,
            "case": self.case,
            "from_revision": self.from_revision,
            "to_revision": self.to_revision,
            "event": self.event,
        }


@app.command()
def accept(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Files, or folders of files.", show_default=False),
    ] = None,
    *,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help=f"Only: {', '.join(Kind)}. May be repeated."),
    ] = None,
    root: Root = None,
    glob: Glob = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="WORDS", help="Why; kept with the event.")
    ] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", metavar="NAME", help="Who says so.  [default: the user]")
    ] = None,
    undo: Annotated[
        int | None, typer.Option("--undo", metavar="EVENT", help="Take an acceptance back, by its event.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
    allow_incomplete: AllowIncomplete = False,
) -> None:
    """Is the current state of these files the good one, from now on?

    Closes their open cases of drift; the next change is held against this state. Several files: it asks
    first. What is broken, missing, rot, stealth or unexplained is accepted by the name of the file only,
    never by a folder, --glob or --kind. An accepted missing file leaves every answer but show; nothing of
    its history is lost. Works beside a daemon, reads no share, and --undo EVENT takes it back.
    """
    with importing():
        from catalog.service.opening import actor as user

    run = invocation(context)
    who = actor or user()
    if undo is not None:
        if paths or root or glob or kind:
            raise UsageError("--undo takes an event, and nothing else", hint="see: catalog query events")
        _open_for_writing(run)
        rows = [_undone(run, undo, who, reason, dry_run=dry_run)]
    else:
        if not (paths or root or glob or kind):
            raise UsageError("nothing is named", hint="name files or folders, or --root, --glob or --kind")
        if not dry_run:
            _open_for_writing(run)
        rows = _planned(context, paths or (), root, glob, words_of(Kind, kind, "kind"))
        if not dry_run:
            _ask(rows, yes)
            rows = list(_carried_out(run, rows, who, reason))
    _answer(run, rows, who, reason, dry_run=dry_run, as_json=as_json)
    left = any(row.result == LEFT for row in rows)
    conclude(incomplete=left, allow_incomplete=allow_incomplete)


def _open_for_writing(run: Invocation) -> None:
    from catalog.service.opening import make_ready

    if not os.path.exists(run.database.path):
        raise NoCatalogue("no catalogue yet", hint="run: catalog scan FOLDER")
    make_ready(run.database.path, run.say)
    run.say(f"catalogue: {run.database.path}")


# -------------------------------------------------------------------------------------------------- choice


def _planned(
    context: typer.Context,
    paths: Sequence[str],
    roots: Sequence[str] | None,
    globs: Sequence[str] | None,
    kinds: Sequence[Kind],
) -> list[Row]:
    """What would be done with each file, in the order of shares and paths."""
    with importing():
        from catalog.query.drift import drift_cases
        from catalog.query.resolving import named_files

    with asking(context, paths, roots, globs) as asked:
        typed = [os.fsencode(path) for path in paths]
        named = {key for key in named_files(asked.connection, typed) if asked.scope.covers(*key)}
        rows, open_here = [], set()
        for case in drift_cases(asked.connection, asked.scope):
            key = (case.root.root_id, *_split(case))
            open_here.add(key)
            if not kinds or case.kind in kinds:
                rows.append(_choice(case, by_name=key in named))
            elif key in named:
                rows.append(_no_case(case.root.name, case.path, f"its open case is {case.kind.value}"))
        rows += _caseless(asked, named - open_here, named, kinds or tuple(Kind))
    return sorted(rows, key=lambda row: (row.root, row.path, row.case or 0))


def _split(case: Case) -> tuple[bytes, bytes]:
    folder, _, name = case.path[len(case.root.path.rstrip(b"/")) + 1 :].rpartition(b"/")
    return folder, name


def _choice(case: Case, *, by_name: bool) -> Row:
    from catalog.record.accepting import one_by_one

    row = Row(
        case.root.name,
        case.path,
        RETIRED if case.kind is Kind.MISSING else ACCEPTED,
        case.kind,
        case.manner,
        case=case.drift_id,
        at_ms=case.at_ms,
        from_revision=case.old.revision,
        to_revision=case.new.revision,
    )
    if case.kind is Kind.UNREADABLE:
        return replace(row, result=LEFT, why="it cannot be read: there is no state to accept")
    if one_by_one(case.kind, case.manner) and not by_name:
        word = case.manner if case.manner is not Manner.ORDINARY else case.kind
        return replace(row, result=LEFT, why=f"{word.value}: accepted only by the name of the file")
    return row


def _no_case(root: str, path: bytes, why: str) -> Row:
    return Row(root, path, NO_CASE, why=why)


def _caseless(
    asked: Asked,
    keys: set[tuple[int, bytes, bytes]],
    named: set[tuple[int, bytes, bytes]],
    kinds: Sequence[Kind],
) -> Iterator[Row]:
    """Named files without an open case: what can be retired all the same, and what is as it was accepted."""
    if not keys:
        return
    from catalog.query.troubles import missing

    unread = {}
    for facts in missing(asked.connection, asked.scope):
        key = (facts.root.root_id, facts.folder, facts.name)
        if key in named and facts.sha256 is None and Kind.MISSING in kinds:
            unread[key] = facts
    for key in keys:
        place = asked.scope.by_id[key[0]]
        if key in unread:
            file_id = unread[key].file_id
            yield Row(place.name, place.absolute(*key[1:]), RETIRED, Kind.MISSING, file_id=file_id)
        else:
            yield _no_case(place.name, place.absolute(*key[1:]), "no open case: there is nothing to accept")


def _kinds_words(rows: Iterable[Row]) -> str:
    """``2 metadata, 1 picture (rot)``, in the order of the kinds."""
    counts = Counter((row.kind, row.manner) for row in rows if row.kind is not None)
    order, manners = list(Kind), list(Manner)
    parts = []
    for kind, manner in sorted(
        counts, key=lambda key: (order.index(key[0]), manners.index(key[1] or Manner.ORDINARY))
    ):
        more = "" if manner in (None, Manner.ORDINARY) else f" ({manner.value})"
        parts.append(f"{counts[kind, manner]:,} {kind.value}{more}")
    return ", ".join(parts)


def _ask(rows: Sequence[Row], yes: bool) -> None:
    """One file that was chosen is meant; several are counted and asked for."""
    chosen = [row for row in rows if row.result in (ACCEPTED, RETIRED)]
    if yes or len(chosen) < 2:
        return
    what = f"the current state of {counted(len(chosen), 'file')} ({_kinds_words(chosen)})"
    if sys.stdin is None or not sys.stdin.isatty():
        raise Declined(
            f"nothing was done: whether to accept {what} needs an answer, and there is no terminal to ask at",
            hint="add --yes, or look first with --dry-run",
        )
    # Not typer.confirm, which writes a blank to stdout: the answer stands there, and nothing else.
    print(f"Accept {what}? [y/N]: ", end="", file=sys.stderr, flush=True)
    said = sys.stdin.readline()
    if not said.endswith("\n"):
        print(file=sys.stderr)  # the end of input leaves the cursor behind the question
    if said.strip().lower() not in ("y", "yes"):
        raise Declined("nothing was done: the question was not answered with yes")


# ---------------------------------------------------------------------------------------------- acceptance


def _carried_out(run: Invocation, rows: Sequence[Row], actor: str, reason: str | None) -> Iterator[Row]:
    """The rows with what became of them, each acceptance durable when the last one is given."""
    from catalog.record.accepting import Choice
    from catalog.service.opening import Desk

    if not any(row.result in (ACCEPTED, RETIRED) for row in rows):
        yield from rows
        return
    with Desk(run.database.path) as desk:
        for row in rows:
            if row.result not in (ACCEPTED, RETIRED):
                yield row
                continue
            if desk.due:
                desk.commit()
            if row.case is None:
                assert row.file_id is not None
                done = desk.accepting.accept_loss(row.file_id, actor, reason)
            else:
                assert row.kind is not None and row.manner is not None
                seen = Choice(row.case, row.at_ms, row.kind, row.manner)
                done = desk.accepting.accept(seen, actor, reason)
            if done is None:
                yield replace(row, result=LEFT, why="it changed since you were shown it: look again")
            else:
                yield _done(row, done)
        desk.commit()


def _done(row: Row, done: Acceptance) -> Row:
    return replace(row, event=done.event_id, from_revision=done.from_rev, to_revision=done.to_rev)


def _undone(run: Invocation, event_id: int, actor: str, reason: str | None, *, dry_run: bool) -> Row:
    from catalog.service.opening import Desk

    with Desk(run.database.path) as desk:
        done = desk.accepting.undo(event_id, actor, reason)
        name = desk.roots.by_id(done.file.root_id).name
        if not dry_run:
            desk.commit()
    why = (
        "its case of drift is open again" if done.case_open else "its content is that of the former baseline"
    )
    row = Row(name, done.file.absolute, UNDONE, why=why)
    return row if dry_run else _done(row, done)


# -------------------------------------------------------------------------------------------------- answer


def _answer(
    run: Invocation, rows: Sequence[Row], actor: str, reason: str | None, *, dry_run: bool, as_json: bool
) -> None:
    from catalog.cli.output import Column, Frame, Incomplete, Listing, answer_rows

    counts = Counter(row.result for row in rows)
    left = Counter((row.root, row.why or "") for row in rows if row.result == LEFT)
    lacking = tuple(Incomplete(name, why, files) for (name, why), files in sorted(left.items()))
    listing = Listing(
        "files",
        (
            Column("result", lambda row: _result_words(row["result"], dry_run=dry_run)),
            Column("kind", lambda row: row["kind"]),
            Column("manner", lambda row: row["manner"]),
            path_column(),
            Column("event", lambda row: str(row["event"]) if row["event"] else None, right=True),
            Column("why", lambda row: row["why"]),
        ),
        (),
        "nothing to accept: no open case of drift here",
    )
    more = {
        "dry_run": dry_run,
        "actor": actor.encode("utf-8", "backslashreplace").decode(),
        "reason": reason.encode("utf-8", "backslashreplace").decode() if reason else None,
        "counts": {
            name.replace(" ", "_"): counts[name] for name in (ACCEPTED, RETIRED, NO_CASE, LEFT, UNDONE)
        },
    }
    form = Format.JSON if as_json else Format.TABLE
    answer_rows(
        run,
        Frame("catalog.accept/1", None, lacking),
        listing,
        (row.fields() for row in rows),
        form=form,
        more=more,
    )
    done = [row for row in rows if row.result in (ACCEPTED, RETIRED)]
    if done:
        would = "would be " if dry_run else ""
        words = joined(f"{counts[name]:,} {would}{name}" for name in (ACCEPTED, RETIRED) if counts[name])
        which, event = ("it", done[0].event) if len(done) == 1 else ("one", "EVENT")
        tail = "nothing was done" if dry_run else f"take {which} back with: catalog accept --undo {event}"
        run.say(f"{words}: {_kinds_words(done)}; {tail}")


def _result_words(result: str, *, dry_run: bool) -> str:
    return f"would be {result}" if dry_run and result not in (LEFT, NO_CASE) else result
