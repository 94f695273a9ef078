"""Which settings hold, and who set them?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import typer

from catalog.cli.context import invocation
from catalog.cli.options import Json

app = typer.Typer(help="The settings of this program.", no_args_is_help=True)


@app.callback()
def _config() -> None: ...


@app.command()
def show(context: typer.Context, *, as_json: Json = False) -> None:
    """Which settings hold, and who set them?

    docs/configuration.md explains each.
    """
    from catalog.cli import tables
    from catalog.cli.output import Frame, answer
    from catalog.config import KEYS
    from catalog.terms import path_fields

    run = invocation(context)
    configuration = run.configuration
    database = run.database
    settings: list[dict[str, Any]] = [
        {"key": key, "value": getattr(configuration.settings, key), "source": configuration.sources[key]}
        for key in KEYS
        if key != "database"
    ]
    located = path_fields(os.fsencode(database.path), "value")
    settings.insert(0, {"key": "database", **located, "source": database.source})

    def words() -> Iterator[str]:
        yield from tables.table(
            ["setting", "source", "value"],
            [[item["key"], item["source"], _toml(item["value"])] for item in settings],
        )
        for path in configuration.files:
            yield f"read: {path}"
        if not configuration.files:
            yield "no configuration file was read"

    body = {"settings": settings, "files": list(configuration.files)}
    answer(Frame("catalog.config/1"), body, as_json=as_json, words=words)


def _toml(value: object) -> str:
    """The value as it would stand in the configuration file."""
    import json

    return json.dumps(value, ensure_ascii=False)
