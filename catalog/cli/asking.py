"""What all questions share: open the catalogue, find the scope, say what the answer may lack."""

from __future__ import annotations

import base64
import gc
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from catalog.cli.context import Invocation, invocation
from catalog.cli.options import conclude
from catalog.errors import Exit, UsageError
from catalog.terms import printable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from catalog.cli.output import Column, Frame
    from catalog.query.scope import Scope
    from catalog.query.standing import Standing

Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question on its way: the open catalogue, what it is about, what the answer may lack."""

    run: Invocation
    connection: Connection
    scope: Scope
    standing: Standing

    def frame(self, schema: str) -> Frame:
        from catalog.cli.output import Frame, Incomplete

        lacking = (Incomplete(each.root, each.reason, each.files) for each in self.standing.incomplete)
        return Frame(schema, self.standing.as_of_ms, tuple(lacking))

    def conclude(self, *, allow_incomplete: bool, found: bool = False) -> NoReturn:
        """End the command: 1 when ``found`` is what ``--check`` asked for, 3 when the answer is incomplete."""
        conclude(
            incomplete=not self.standing.complete,
            allow_incomplete=allow_incomplete,
            findings=Exit.FINDINGS if found else Exit.OK,
        )


@contextmanager
def importing() -> Iterator[None]:
    """Imports of a question stand in this block, which saves a quarter of its whole time.

    SQLAlchemy makes a hundred thousand objects that all stay: looking for garbage among them, now and at
    the end of the process, finds nothing (measured: 216 against 157 ms for the import and the exit).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def asking(
    context: typer.Context,
    paths: Sequence[str] | None = None,
    roots: Sequence[str] | None = None,
    globs: Sequence[str] | None = None,
    lacking: Callable[[Connection, Scope, Standing], Standing] | None = None,
    *,
    past: bool = False,
) -> Iterator[Asked]:
    """Open the catalogue and resolve the words that narrow a question. ``lacking`` adds what this answer may lack
    beside the usual; ``past``: paths mean the files that were moved away from them, too.

    Raises NoCatalogue, SchemaMismatch, NotFound, UsageError and what opening may raise.
    """
    with importing():
        from catalog.query.opening import opened
        from catalog.query.resolving import resolve
        from catalog.query.standing import standing
    run = invocation(context)
    database = run.database.path
    with opened(database) as connection:
        scope = resolve(
            connection,
            paths=[os.fsencode(path) for path in paths or ()],
            roots=roots or (),
            globs=globs or (),
            past=past,
        )
        usual = standing(connection, scope, database)
        yield Asked(run, connection, scope, lacking(connection, scope, usual) if lacking else usual)


# ------------------------------------------------------------------------------------------------- options

Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Only from then on: 2025-10-25, 2025-10-25T12:00:00Z, 90d."),
]


def words_of(kind: type[Word], given: Sequence[str] | None, option: str) -> list[Word]:
    """The members of an enumeration, from repeated options or from one with commas. Raises UsageError."""
    found = []
    for text in given or ():
        for word in text.split(","):
            try:
                found.append(kind(word.strip().lower()))
            except ValueError:
                raise UsageError(f"no such {option}: {word}", hint=f"one of: {', '.join(kind)}") from None
    return found


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment_ms(text: str | None) -> int | None:
    """``2025-10-25``, ``2025-10-25T12:00:00Z``, or a time ago: ``90d``, ``36h``, ``2w``. Raises UsageError.

    A time without a zone is UTC, as in every answer.
    """
    if text is None:
        return None
    ago = re.fullmatch(r"(\d{1,7})\s*([smhdw])", text.strip())
    try:
        if ago:
            moment = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            moment = datetime.fromisoformat(text.strip())
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise UsageError(
            f"not a time: {printable(text)}", hint="write it like 2025-10-25, 2025-10-25T12:00:00Z or 90d"
        ) from None


# ------------------------------------------------------------------------------------------------- for eyes


def path_of(row: Mapping[str, Any], name: str = "path") -> bytes:
    """The bytes of a row's path, from its JSON fields."""
    if f"{name}_b64" in row:
        return base64.b64decode(row[f"{name}_b64"])
    return str(row[name]).encode()


def shown_path(path: bytes) -> str:
    """A path as people type it: relative where it lies below the working directory."""
    here = os.getcwdb().rstrip(b"/") + b"/"
    return printable(path[len(here) :] if path.startswith(here) else path)


def path_column(title: str = "path") -> Column:
    """The path of a row, relative to the working directory where it lies below it."""
    from catalog.cli.output import Column

    return Column(title, lambda row: shown_path(path_of(row)) if row["path"] is not None else "", below=True)


def column(name: str, title: str | None = None, *, right: bool = False, wraps: bool = False) -> Column:
    """A column that shows a field as it is; ``wraps`` as in ``output.Column``."""
    from catalog.cli.output import Column

    def words(row: Mapping[str, Any]) -> str | None:
        return None if row[name] is None else str(row[name])

    return Column(title or name, words, right=right, wraps=wraps)


def time_column(name: str, title: str | None = None) -> Column:
    """A time to the second."""
    from catalog.cli.output import Column

    return Column(title or name, lambda row: short_time(row[name]))


def short_time(moment: str | None) -> str:
    """``2025-10-25 12:00:00 UTC`` from RFC 3339 UTC."""
    return f"{moment[:19].replace('T', ' ')} UTC" if moment else ""


def size_column(name: str = "size") -> Column:
    """Bytes as people read them."""
    from catalog.cli.output import Column
    from catalog.terms import human_size

    def words(row: Mapping[str, Any]) -> str | None:
        return None if row[name] is None else human_size(row[name])

    return Column(name, words, right=True)
