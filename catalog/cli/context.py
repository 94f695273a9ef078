"""What the user said before (or after) the name of the command: the global options."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import typer

from catalog.terms import printable

if TYPE_CHECKING:
    from catalog.config import Configuration, DatabaseLocation, Settings


@dataclass(frozen=True)
class Invocation:
    """The global options of one run. Configuration and database are looked up when first asked for."""

    database_option: str | None = None
    config_option: str | None = None
    verbose: int = 0
    quiet: bool = False

    @cached_property
    def configuration(self) -> Configuration:
        """Settings and their sources. Raises ConfigError."""
        from catalog import config

        return config.load(self.config_option)

    @property
    def settings(self) -> Settings:
        """Raises ConfigError."""
        return self.configuration.settings

    @cached_property
    def database(self) -> DatabaseLocation:
        """Which database, and who said so; it need not exist. Raises ConfigError, NotPermitted."""
        from catalog import config

        return config.locate(self.database_option, self.configuration)

    def say(self, line: str) -> None:
        """A summary or a remark for people, on stderr; ``--quiet`` silences it."""
        if not self.quiet:
            print(printable(line), file=sys.stderr)

    def warn(self, line: str) -> None:
        """What the user must know even with ``--quiet``, on stderr."""
        print(f"warning: {printable(line)}", file=sys.stderr)


def invocation(context: typer.Context) -> Invocation:
    """The global options, inside a command that takes ``context: typer.Context``."""
    found = context.find_root().obj
    assert isinstance(found, Invocation), "commands run below the root command of catalog.cli.app"
    return found
