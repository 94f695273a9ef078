"""Keep the record true while the shares live."""

from __future__ import annotations

from typing import Annotated

import typer

from catalog.cli.context import invocation

app = typer.Typer()


@app.command()
def watch(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="Folders; each new one becomes a share. None: every share, also those added later.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Keep the record true: compare each share with it, then follow changes until stopped.

    Runs in the foreground and says on stderr what changes, a line each (-q: errors only); ends cleanly on
    SIGTERM or SIGINT (Ctrl-C). As a service: docs/service.md.
    """
    from catalog import logs
    from catalog.service.daemon import Daemon
    from catalog.service.links import links_among
    from catalog.service.metrics import folder_of
    from catalog.service.opening import actor, cataloguing, fence, make_ready, refuse_inside
    from catalog.service.scan import resolved, targets
    from catalog.service.signals import Stop
    from catalog.service.telling import tell_changes

    run = invocation(context)
    logs.setup(max(1, run.verbose), run.quiet)
    folders = resolved(paths or [])
    database = run.database.path
    refuse_inside(database, folders)
    new = make_ready(database, run.say)
    run.say(f"{'new catalogue' if new else 'catalogue'}: {database}")
    metrics = run.settings.metrics_file
    if fence(database, *([folder_of(metrics)] if metrics else [])) is None:
        run.warn("this kernel has no Landlock: mount the shares read-only if you can")
    with Stop() as stop, cataloguing(database, run.settings, "watch") as session:
        tell_changes(session.recorder.batch)
        chosen = targets(session.roots, folders, name=None, actor=actor())
        only = [target.root.root_id for target in chosen] if folders else None
        daemon = Daemon(session, only=only, stop=stop, links=links_among(paths or (), folders))
        try:
            daemon.run(lambda: run.say("watching; stop with Ctrl-C"))
        finally:
            daemon.close()
