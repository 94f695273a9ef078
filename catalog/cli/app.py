"""The root command: global options, and the table of nouns, each imported when it is asked for.

A noun is a module ``catalog/cli/<noun>.py`` with ``app: typer.Typer``. One command and no callback makes it
a plain command (``catalog scan``); more than one, or a callback, makes it a group (``catalog query dupes``).
Markup, completion and exit codes are settled here; a module says only what it does.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption
from typer.main import get_group

from catalog import __version__, logs
from catalog.cli.context import Invocation
from catalog.errors import Exit

NOUNS = (
    "scan",
    "watch",
    "root",
    "status",
    "query",
    "show",
    "accept",
    "audit",
    "checksum",
    "tags",
    "compare",
    "doctor",
    "config",
    "service",
    "db",
)
"""The order is that of ``catalog --help``. A noun appears as soon as its module exists."""

EXIT_CODES = {
    Exit.OK: "ran; audit: all intact; compare: same picture; --check: nothing found",
    Exit.FINDINGS: "findings: drift, different pictures, a failed check of doctor, or a --check condition is met",
    Exit.USAGE: "usage",
    Exit.INCOMPLETE: "incomplete or cannot tell (--allow-incomplete makes it 0)",
    Exit.DECLINED: "declined, or a prompt was needed and there is no terminal",
    Exit.CORRUPTION: "corruption: rot, stealth, unexplained or broken; wins over 1 and 3",
    Exit.NO_CATALOGUE: "no catalogue yet",
    Exit.SCHEMA: "the catalogue's schema is older or newer than this program",
    Exit.LOCKED: "another cataloguing process holds the catalogue",
    Exit.DAMAGED: "the catalogue is damaged, or its event chain is broken",
    Exit.PERMISSION: "no permission to change the catalogue",
    Exit.NOT_FOUND: "a named share or file does not exist",
    Exit.BUG: "a bug of ours, with how to report it",
    Exit.INTERRUPTED: "interrupted",
}

# "\b" keeps the paragraph from being filled; the first line of a paragraph sets its indent.
_EPILOG = "\n".join(
    ["\b", "Exit codes:", *(f"  {code.value:>3}  {words}" for code, words in EXIT_CODES.items())]
)

_IN_SHORT = {
    Exit.OK: "ran",
    Exit.FINDINGS: "findings",
    Exit.USAGE: "usage",
    Exit.INCOMPLETE: "incomplete",
    Exit.DECLINED: "declined",
    Exit.CORRUPTION: "corruption",
    Exit.NO_CATALOGUE: "no catalogue",
    Exit.SCHEMA: "other schema",
    Exit.LOCKED: "locked",
    Exit.DAMAGED: "damaged",
    Exit.PERMISSION: "no permission",
    Exit.NOT_FOUND: "not found",
    Exit.BUG: "a bug of ours",
    Exit.INTERRUPTED: "interrupted",
}
# What every command's help tells: a line or two, so that the command's own words are not drowned.
_SHORT_EPILOG = (
    f"Exit codes: {', '.join(f'{code.value} {words}' for code, words in _IN_SHORT.items())};"
    " in full: catalog --help"
)
_HELP_OPTIONS = ["-h", "--help"]


class _Nouns(TyperGroup):
    """Commands by noun; a module is imported when its noun is used or when help lists it."""

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return available()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands and cmd_name in available():
            self.commands[cmd_name] = _load(cmd_name, self.params)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in available():
            for noun in available():  # so that Typer can suggest the nearest
                self.get_command(ctx, noun)
        return super().resolve_command(ctx, args)


def available() -> list[str]:
    """The nouns whose modules exist, in the order of the table."""
    return [noun for noun in NOUNS if importlib.util.find_spec(f"catalog.cli.{noun}")]


def build() -> TyperGroup:
    """The root command, ready to parse."""
    return get_group(_root)


# ----------------------------------------------------------------------------------------- global options

_root = typer.Typer(
    cls=_Nouns,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=_EPILOG,
    context_settings={"help_option_names": _HELP_OPTIONS},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"catalog {__version__}")
        raise typer.Exit


@_root.callback(invoke_without_command=True)
def _catalog(
    context: typer.Context,
    *,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            "-d",
            metavar="PATH",
            help="The catalogue.  [env: CATALOG_DATABASE]",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="PATH",
            help="The configuration file.  [env: CATALOG_CONFIG]",
            show_default=False,
        ),
    ] = None,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, help="Log what is done; twice: more.", show_default=False
        ),
    ] = 0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No summaries and no progress.", show_default=False)
    ] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version.", show_default=False
        ),
    ] = False,
) -> None:
    """Know every image on your shares: what is there, what is the same, and what changed.

    The catalogue tells changed bytes from changed pixels. It reads images and never touches them.
    """
    context.obj = Invocation(database, config, verbose, quiet)
    logs.setup(verbose, quiet)
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(Exit.USAGE)


_FIELDS = {"database": "database_option", "config": "config_option", "verbose": "verbose", "quiet": "quiet"}


def _also_here(option: Any) -> Any:
    """A global option as a command takes it, too: people type ``catalog query files -d other.sqlite3``."""
    field = _FIELDS[option.name]

    def remember(context: typer.Context, _option: object, value: Any) -> Any:
        root = context.find_root()
        if value and isinstance(root.obj, Invocation):
            root.obj = dataclasses.replace(root.obj, **{field: value})
            logs.setup(root.obj.verbose, root.obj.quiet)
        return value

    twin = copy.copy(option)
    twin.hidden = True
    twin.expose_value = False
    twin.callback = remember
    return twin


# ------------------------------------------------------------------------------------------------ loading


def _load(noun: str, global_options: list[Any]) -> Any:
    """The command of a noun, with what all commands share."""
    app: typer.Typer = importlib.import_module(f"catalog.cli.{noun}").app
    grouped = bool(app.registered_callback or app.registered_groups or len(app.registered_commands) > 1)
    shell = typer.Typer(add_completion=False, rich_markup_mode=None)
    shell.add_typer(app, name=noun if grouped else None)
    command = get_group(shell).commands[noun]
    _furnish(command, [_also_here(option) for option in global_options if option.name in _FIELDS])
    return command


def _furnish(command: Any, shared: list[Any]) -> None:
    command.epilog = command.epilog or _SHORT_EPILOG
    command.context_settings = {**command.context_settings, "help_option_names": _HELP_OPTIONS}
    taken = {name for option in command.params for name in option.opts}
    command.params.extend(option for option in shared if not taken.intersection(option.opts))
    for child in getattr(command, "commands", {}).values():
        _furnish(child, shared)


class _Plain:
    """Takes words as they are, and leaves every other value to Typer's own coercion.

    Typer builds a pydantic adapter for each option, also for ``--help`` and for those that nobody gave, and
    importing pydantic takes twice as long as importing Typer. A path or a name is a ``str`` already.
    """

    def __init__(self, full: Callable[[], Any]) -> None:
        self._full = full

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        annotation = param.type_descriptor.annotation
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        if several and annotation == list[str] and not isinstance(value, str):
            return list(value)
        if not several and annotation in (str, int, bool) and type(value) is annotation:
            return value
        if (
            not several
            and annotation is int
            and isinstance(value, str)
            and value.isdecimal()
            and len(value) < 19
        ):
            # ``--limit 50``; what is out of range goes to Typer, which says so.
            stated = param.type_descriptor.parameter_info
            if (stated.min is None or int(value) >= stated.min) and stated.max is None:
                return int(value)
        return self._full().coerce(value, param=param, ctx=ctx)


def _spare_pydantic(kind: Any) -> None:
    full = kind.get_runtime_param
    kind.get_runtime_param = lambda self: _Plain(lambda: full(self))


for _kind in (TyperOption, TyperArgument):
    _spare_pydantic(_kind)
