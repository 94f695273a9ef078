"""The options that many commands share, each to be stated in one word.

``def files(context: typer.Context, *, as_json: Json = False, limit: Limit = None)``. The formats of a
listing command go through ``chosen``, the exit code through ``conclude``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, NoReturn

import typer

from catalog.errors import Exit, UsageError


class Format(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    PATHS = "paths"
    PATHS0 = "paths0"


Json = Annotated[bool, typer.Option("--json", help="One JSON document.", show_default=False)]
Ndjson = Annotated[bool, typer.Option("--ndjson", help="One JSON object a line.", show_default=False)]
Csv = Annotated[bool, typer.Option("--csv", help="CSV with a header.", show_default=False)]
Paths = Annotated[bool, typer.Option("--paths", help="Paths only, one a line.", show_default=False)]
Paths0 = Annotated[
    bool, typer.Option("--paths0", help="Paths only, each ended by NUL, for xargs -0.", show_default=False)
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Show no more than N.")]

Narrow = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH", help="Only these files and folders.", show_default=False),
]
"""``[PATH…]`` of a question, relative to the working directory as people type them; ``os.fsencode`` them."""
Files = Annotated[list[str], typer.Argument(metavar="FILE", help="Files to look at.", show_default=False)]
Root = Annotated[
    list[str] | None, typer.Option("--root", metavar="NAME", help="Only this share; may be repeated.")
]
Glob = Annotated[
    list[str] | None, typer.Option("--glob", metavar="GLOB", help="Only paths that match; may be repeated.")
]

AllowIncomplete = Annotated[
    bool,
    typer.Option(
        "--allow-incomplete", help="Exit with 0 also when the answer is incomplete.", show_default=False
    ),
]
Check = Annotated[
    bool, typer.Option("--check", help="Exit with 1 when there is anything to report.", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", show_default=False)]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, do nothing.", show_default=False)
]


def chosen(
    *, json: bool = False, ndjson: bool = False, csv: bool = False, paths: bool = False, paths0: bool = False
) -> Format:
    """The one format that was asked for; a table when none was. Raises UsageError for two."""
    flags = {
        Format.JSON: json,
        Format.NDJSON: ndjson,
        Format.CSV: csv,
        Format.PATHS: paths,
        Format.PATHS0: paths0,
    }
    asked = [form for form, wanted in flags.items() if wanted]
    if len(asked) > 1:
        raise UsageError("two formats at once: " + " ".join(f"--{form}" for form in asked), hint="choose one")
    return asked[0] if asked else Format.TABLE


def conclude(
    *, incomplete: bool = False, allow_incomplete: bool = False, findings: Exit = Exit.OK
) -> NoReturn:
    """End the command with its exit code.

    A finding is definite whatever else could not be seen, so FINDINGS and CORRUPTION win over INCOMPLETE.
    """
    if findings is Exit.OK and incomplete and not allow_incomplete:
        findings = Exit.INCOMPLETE
    raise typer.Exit(findings)
