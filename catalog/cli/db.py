"""The catalogue's own file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import typer

from catalog.cli.context import invocation
from catalog.cli.keeping import backup, check, restore
from catalog.cli.options import Json
from catalog.cli.rebasing import rebase
from catalog.errors import Exit
from catalog.terms import Presence, human_size, path_fields

if TYPE_CHECKING:
    import sqlite3

app = typer.Typer(help="The catalogue's own file.", no_args_is_help=True)

_COUNTS: Final = {
    "roots": "SELECT count(*) FROM root",
    "files": "SELECT coalesce(sum(n_files), 0) FROM root_count WHERE presence <> {missing}",
    # The counters do not tell tombstones that were retired from those that are missed.
    "missing": "SELECT count(*) FROM file WHERE presence = {missing} AND retired_ms IS NULL"
    " AND (presence <> 1 OR outcome IN (0, 2, 3))",
    "contents": "SELECT count(*) FROM content",
    "revisions": "SELECT count(*) FROM revision",
    "events": "SELECT count(*) FROM event",
    "seals": "SELECT count(*) FROM seal",
}


@app.callback()
def _db() -> None: ...


@app.command()
def info(context: typer.Context, *, as_json: Json = False) -> None:
    """Which file is the catalogue, how large is it, and what is in it?

    Also for a catalogue of another schema: then without its counts, and the exit code is 11. The chain head
    seals every event so far: note it elsewhere, and nobody can rewrite history unseen.
    """
    import sqlite3

    from catalog.cli.output import Frame, answer
    from catalog.store.engine import open_reader, translated
    from catalog.store.marks import SCHEMA_NUMBER
    from catalog.store.migration import schema_number

    run = invocation(context)
    located = run.database
    connection = open_reader(located.path)
    try:
        number = schema_number(connection, located.path)
        with translated(located.path):
            counts, head = _contents(connection) if number == SCHEMA_NUMBER else (None, None)
    finally:
        connection.close()
    document = {
        **path_fields(os.fsencode(located.path)),
        "source": located.source,
        "size": _size(located.path),
        "wal_size": _size(f"{located.path}-wal"),
        "schema_number": number,
        "program_schema_number": SCHEMA_NUMBER,
        "sqlite_version": sqlite3.sqlite_version,
        "counts": counts,
        "chain_head": head,
    }
    answer(Frame("catalog.db-info/1"), document, as_json=as_json, words=lambda: _words(document))
    if number != SCHEMA_NUMBER:
        hint = (
            "install a newer pixel-catalog"
            if number > SCHEMA_NUMBER
            else "upgrade it with: catalog db upgrade"
        )
        run.warn(f"the catalogue has schema {number}, this program needs {SCHEMA_NUMBER}; {hint}")
        raise typer.Exit(Exit.SCHEMA)


def _contents(connection: sqlite3.Connection) -> tuple[dict[str, int], str | None]:
    """What is counted, and the head of the event chain, of one state of the catalogue."""
    from catalog.store.codes import PRESENCE

    missing = PRESENCE.number[Presence.MISSING]
    connection.execute("BEGIN")
    counts = {
        name: int(connection.execute(sql.format(missing=missing)).fetchone()[0])
        for name, sql in _COUNTS.items()
    }
    head = connection.execute("SELECT chain FROM seal ORDER BY seal_id DESC LIMIT 1").fetchone()
    return counts, head[0].hex() if head else None


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _words(document: dict[str, Any]) -> Iterator[str]:
    pairs = [
        ("path", document["path"]),
        ("chosen by", document["source"]),
        ("size", f"{document['size']:,} bytes ({human_size(document['size'])})"),
        ("WAL", f"{document['wal_size']:,} bytes" if document["wal_size"] else None),
        ("schema", f"{document['schema_number']} (this program: {document['program_schema_number']})"),
        ("SQLite", document["sqlite_version"]),
        *((name, f"{number:,}") for name, number in (document["counts"] or {}).items()),
        ("chain head", document["chain_head"]),
    ]
    for label, words in pairs:
        if words:
            yield f"{label:<10}  {words}"


@app.command()
def upgrade(context: typer.Context, *, as_json: Json = False) -> None:
    """Is the catalogue's schema this program's, and if not, can it be made so?

    Copies an older catalogue beside it (.pre-NUMBER) and then migrates it in one transaction: whole, or not
    at all. Every command that writes does the same by itself. A catalogue that is up to date is left alone.
    """
    from catalog.cli.output import Frame, answer
    from catalog.store.engine import open_reader
    from catalog.store.marks import SCHEMA_NUMBER
    from catalog.store.migration import prepare, schema_number

    run = invocation(context)
    database = run.database.path
    connection = open_reader(database)
    try:
        number = schema_number(connection, database)
    finally:
        connection.close()
    done = number != SCHEMA_NUMBER and prepare(database, announce=run.say)
    copy = f"{os.path.realpath(database)}.pre-{number}" if done and number else None
    document = {
        **path_fields(os.fsencode(database)),
        "upgraded": done,
        "from": number,
        "to": SCHEMA_NUMBER,
        **(path_fields(os.fsencode(copy), "copy") if copy else {"copy": None}),
    }
    answer(Frame("catalog.db-upgrade/1"), document, as_json=as_json, words=lambda: _upgrade_words(document))


def _upgrade_words(document: dict[str, Any]) -> Iterator[str]:
    if not document["upgraded"]:
        yield f"already current: schema {document['to']}: {document['path']}"
        return
    yield f"upgraded from schema {document['from']} to {document['to']}: {document['path']}"
    if document["copy"]:
        yield f"as it was before: {document['copy']}"


for _command in (check, backup, restore, rebase):
    app.command()(_command)
