"""A question as it is typed: where to look, how much to show and how, and how to end. All of them share this.

A command of ``catalog query`` is a function whose first parameter is a ``Question`` and whose further ones are its
own: arguments before PATH, options by keyword. ``question`` makes the command of it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from catalog.cli.asking import Asked, asking
from catalog.cli.options import (
    AllowIncomplete,
    Check,
    Csv,
    Format,
    Glob,
    Json,
    Limit,
    Narrow,
    Ndjson,
    Paths,
    Paths0,
    Root,
    chosen,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from catalog.cli.output import Listing
    from catalog.query.scope import Scope
    from catalog.query.standing import Standing


@dataclass(frozen=True, slots=True)
class Question:
    """What was typed beside the question's own words. What a command does not offer has its default."""

    context: typer.Context
    form: Format
    limit: int | None = None
    paths: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    check: bool = False
    allow_incomplete: bool = False

    @property
    def beyond(self) -> int | None:
        """One row more than is shown tells whether there are more."""
        return None if self.limit is None else self.limit + 1

    def asking(
        self, lacking: Callable[[Connection, Scope, Standing], Standing] | None = None, *, past: bool = False
    ) -> AbstractContextManager[Asked]:
        """See ``asking.asking``."""
        return asking(self.context, self.paths, self.roots, self.globs, lacking, past=past)

    def answer(
        self,
        asked: Asked,
        schema: str,
        listing: Listing,
        rows: Iterable[Mapping[str, Any]],
        more: Mapping[str, Any] | None = None,
    ) -> bool:
        """Write a listing, rows as they come; gives whether there was at least one."""
        from catalog.cli.output import answer_rows

        found = False

        def watched() -> Iterable[Mapping[str, Any]]:
            nonlocal found
            for row in rows:
                found = True
                yield row

        frame = asked.frame(schema)
        answer_rows(asked.run, frame, listing, watched(), form=self.form, limit=self.limit, more=more)
        return found

    def conclude(self, asked: Asked, *, found: bool = False) -> NoReturn:
        """End the command; ``found``: there is what ``--check`` asks for."""
        asked.conclude(allow_incomplete=self.allow_incomplete, found=self.check and found)


def question(
    *, narrowed: bool = True, lists_files: bool = True, checks: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function. ``narrowed``: it takes PATH, --root and --glob; ``lists_files``: --paths;
    ``checks``: --check."""
    shared = {
        **({"root": (Root, None), "glob": (Glob, None)} if narrowed else {}),
        **({"check": (Check, False)} if checks else {}),
        "limit": (Limit, None),
        **{"as_json": (Json, False), "ndjson": (Ndjson, False), "csv": (Csv, False)},
        **({"only_paths": (Paths, False), "only_paths0": (Paths0, False)} if lists_files else {}),
        **({"allow_incomplete": (AllowIncomplete, False)} if narrowed else {}),
    }

    def command(ask: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(ask, eval_str=True).parameters.values())[1:]
        before = [each for each in own if each.kind is not inspect.Parameter.KEYWORD_ONLY]

        @functools.wraps(ask)
        def answered(context: typer.Context, **typed: Any) -> None:
            ask(_question(context, typed), **{each.name: typed[each.name] for each in own})

        del answered.__wrapped__  # whose annotations are not the command's
        answered.__annotations__ = {}
        answered.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                _parameter("context", typer.Context),
                *before,
                *([_parameter("paths", Narrow, None)] if narrowed else []),
                *own[len(before) :],
                *(_parameter(name, *option, named=True) for name, option in shared.items()),
            ]
        )
        return answered

    return command


def _parameter(
    name: str, annotation: Any, default: Any = inspect.Parameter.empty, *, named: bool = False
) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY if named else inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _question(context: typer.Context, typed: Mapping[str, Any]) -> Question:
    form = chosen(
        json=typed["as_json"],
        ndjson=typed["ndjson"],
        csv=typed["csv"],
        paths=typed.get("only_paths", False),
        paths0=typed.get("only_paths0", False),
    )
    return Question(
        context,
        form,
        typed["limit"],
        paths=tuple(typed.get("paths") or ()),
        roots=tuple(typed.get("root") or ()),
        globs=tuple(typed.get("glob") or ()),
        check=typed.get("check", False),
        allow_incomplete=typed.get("allow_incomplete", False),
    )
