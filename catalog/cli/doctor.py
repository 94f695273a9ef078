"""Can this machine do the job, and can its checksums be trusted?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from catalog.cli.context import invocation
from catalog.cli.options import Json
from catalog.errors import Exit

app = typer.Typer()

_SIGNS: Final = {"ok": "ok", "warning": "warning", "failed": "FAILED"}


@app.command()
def doctor(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Folders that are to become shares.", show_default=False),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Can this machine do the job, and can its checksums be trusted?

    Writes made-up pictures into every container in memory, and proves that equal pictures get equal checksums,
    that one sample makes another, and that the decoders agree. Then looks at the limits of the kernel, file
    systems, disk, memory and clock, for the shares of the catalogue and those that are named. Needs no
    catalogue, and writes nothing. Exit code 1: a check failed.
    """
    from catalog.cli.asking import importing

    with importing():
        from catalog.cli.output import Frame, answer
        from catalog.service.doctor import examine
        from catalog.service.scan import resolved

    run = invocation(context)
    folders = resolved(paths or [])
    diagnosis = examine(run.database.path, run.settings, folders)
    document = diagnosis.document()
    answer(Frame("catalog.doctor/1"), document, as_json=as_json, words=lambda: _words(document))
    if diagnosis.failed:
        raise typer.Exit(Exit.FINDINGS)


def _words(document: dict[str, Any]) -> Iterator[str]:
    from catalog.terms import counted

    checks = document["checks"]
    width = max(len(check["name"]) for check in checks)
    for check in checks:
        yield f"{_SIGNS[check['state']]:<8} {check['name']:<{width}}  {check['what']}"
        if check["advice"]:
            yield f"{'':<8} {'':<{width}}  -> {check['advice']}"
    summary = document["summary"]
    yield (
        f"{counted(summary['ok'], 'check')} ok, {counted(summary['warning'], 'warning')},"
        f" {summary['failed']} failed"
    )
