"""The program as a service of systemd."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli.context import Invocation, invocation
from catalog.cli.options import DryRun, Json, Yes, conclude
from catalog.cli.prompting import ask
from catalog.errors import Exit
from catalog.terms import joined, path_fields, printable

if TYPE_CHECKING:
    from catalog.query.status import DaemonStatus
    from catalog.service.installing import UnitState

app = typer.Typer(help="The program as a service of systemd.", no_args_is_help=True)

ForUser = Annotated[
    bool, typer.Option("--user", help="For you alone, without root; not for the system.", show_default=False)
]


@app.command()
def install(
    context: typer.Context,
    *,
    share: Annotated[
        list[str] | None,
        typer.Option("--share", metavar="DIR", help="A folder to catalogue; may be repeated."),
    ] = None,
    user: ForUser = False,
    dry_run: DryRun = False,
) -> None:
    """How does this machine catalogue its shares from now on, also after a boot?

    Writes the units that come with the program with the paths of here, a user for the service, its folder,
    and the kernel's limits for watches; and registers the shares. Starts nothing. Run it with the program
    that the service is to run, installed where everybody may read it (/opt/catalog). --dry-run prints each file.
    """
    from catalog.cli.output import write_line
    from catalog.service.installing import install as carry_out
    from catalog.service.scan import resolved
    from catalog.service.units import Wanted, places, plan, shipped, this_program

    run = invocation(context)
    metrics = run.settings.metrics_file
    wanted = Wanted(
        this_program(),
        tuple(os.fsdecode(path) for path in resolved(share or [])),
        os.path.dirname(metrics) if metrics else None,
        user,
    )
    where = places(user=user)
    if dry_run:
        for path, content in plan(wanted, where).items():
            write_line(f"# {path}")
            for line in content.splitlines():
                write_line(line)
            write_line("")
        return
    carry_out(wanted, where, run.say, run.warn)
    words = "systemctl --user" if user else "systemctl"
    timers = [name for name in shipped() if name.endswith(".timer")]
    run.say(f"start it: {words} enable --now {' '.join(['catalog.service', *timers])}")
    if user:
        run.say("let it run while you are not logged in: loginctl enable-linger")


@app.command()
def uninstall(
    context: typer.Context, *, user: ForUser = False, dry_run: DryRun = False, yes: Yes = False
) -> None:
    """Which files of the service are to go? Stops it first; the catalogue and its user stay."""
    from catalog.config import SERVICE_DATABASE
    from catalog.service.installing import installed
    from catalog.service.installing import uninstall as carry_out
    from catalog.service.units import USER, places

    run = invocation(context)
    paths = installed(places(user=user))
    if not paths:
        run.say("nothing is installed here by catalog service install")
        return
    if dry_run:
        for path in paths:
            run.say(f"would remove: {printable(path)}")
        return
    ask(f"Stop the service and remove {joined(map(printable, paths))}?", yes=yes)
    carry_out(paths, run.say, run.warn, user=user)
    if not user:
        kept = os.path.dirname(SERVICE_DATABASE)
        run.say(f"kept: the catalogue in {kept}, and the user {USER} to whom it belongs")


@app.command()
def status(
    context: typer.Context,
    *,
    user: ForUser = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Exit with 1 when the daemon is not running well.", show_default=False),
    ] = False,
    as_json: Json = False,
) -> None:
    """Is the service installed and running, when did its daemon beat last, and where are its logs?

    Where systemd cannot be asked, this tells of the daemon alone, and ends with 3.
    """
    from catalog.cli.output import Frame, Incomplete, answer
    from catalog.errors import NoSystemd
    from catalog.service.installing import unit_states
    from catalog.service.units import places

    run = invocation(context)
    units: list[UnitState] = []
    lacking: tuple[Incomplete, ...] = ()
    try:
        units = unit_states(places(user=user), user=user)
    except NoSystemd as error:
        lacking = (Incomplete(None, error.what),)
    daemon, trouble = _daemon(run)
    journal = f"journalctl {'--user ' if user else ''}-u catalog -e"
    document = {
        "units": [_fields(unit) for unit in units],
        "daemon": daemon.fields() if daemon is not None else None,
        "daemon_unknown": trouble,
        "journal": journal,
    }

    def words() -> Iterator[str]:
        for unit in units:
            yield f"{unit.name:<22}  {_unit_words(unit)}"
        yield f"{'daemon':<22}  {_daemon_words(daemon) if daemon is not None else trouble}"
        if units:
            yield f"{'logs':<22}  {journal}"

    answer(Frame("catalog.service/1", None, lacking), document, as_json=as_json, words=words)
    for item in lacking:
        run.warn(f"{item.words}; nothing is known of the service's units, see: catalog status")
    active = lacking or any(unit.name == "catalog.service" and unit.active == "active" for unit in units)
    well = active and daemon is not None and daemon.running
    conclude(incomplete=bool(lacking), findings=Exit.FINDINGS if check and not well else Exit.OK)


def _daemon(run: Invocation) -> tuple[DaemonStatus | None, str | None]:
    """The daemon as the catalogue knows it, or why that cannot be told."""
    from catalog.errors import CatalogError
    from catalog.query.opening import opened
    from catalog.query.status import status as ask_status

    try:
        database = run.database.path
        with opened(database) as connection:
            return ask_status(connection, database).daemon, None
    except CatalogError as error:
        return None, error.what


def _fields(unit: UnitState) -> dict[str, Any]:
    return {
        "name": unit.name,
        "installed": unit.installed,
        "active": unit.active,
        "sub": unit.sub,
        "enabled": unit.enabled,
        "result": unit.result,
        "status": unit.status,
        "pid": unit.pid or None,
        "restarts": unit.restarts,
        "since": unit.since or None,
        "next": unit.next_run or None,
        **path_fields(os.fsencode(unit.path)),
    }


def _unit_words(unit: UnitState) -> str:
    if not unit.installed:
        return "not installed"
    parts = [f"{unit.active} ({unit.sub})", unit.enabled or "not enabled"]
    if unit.since:
        parts.append(f"since {unit.since}")
    if unit.next_run:
        parts.append(f"next {unit.next_run}")
    if unit.result not in ("", "success"):
        parts.append(f"last result: {unit.result}")
    if unit.restarts:
        parts.append(f"{unit.restarts} restarts")
    if unit.status:
        parts.append(unit.status)
    return ", ".join(parts)


def _daemon_words(daemon: DaemonStatus) -> str:
    from catalog.cli.asking import short_time
    from catalog.terms import iso

    if not daemon.known:
        return "not running"
    state = "running" if daemon.running else "dead"
    return f"{state} (process {daemon.pid}), last heard of {short_time(iso(daemon.heartbeat_ms))}"
