"""Everything the world can do to us, each with its exit code and what to do next.

A bug of ours is not in this tree: it ends with a traceback report and exit code 70.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every command (docs: README, "Exit codes")."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    INCOMPLETE = 3
    DECLINED = 4
    CORRUPTION = 5
    NO_CATALOGUE = 10
    SCHEMA = 11
    LOCKED = 12
    DAMAGED = 13
    PERMISSION = 14
    NOT_FOUND = 20
    BUG = 70
    INTERRUPTED = 130


class CatalogError(Exception):
    """The world got in the way: one line that says what, where, and what to do next.

    ``str(error)`` is the whole line: ``what happened: path; hint``.
    """

    code: Exit = Exit.USAGE

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(f"{what}; {hint}" if hint else what)
        self.what = what
        self.hint = hint


class UsageError(CatalogError):
    """The words of the command do not fit together."""

    code = Exit.USAGE


class ConfigError(CatalogError):
    """The configuration file holds something that we do not understand."""

    code = Exit.USAGE


class NoCatalogue(CatalogError):
    """A question was asked, and there is no database yet."""

    code = Exit.NO_CATALOGUE


class SchemaMismatch(CatalogError):
    """The database is newer than this program, or too old for a question."""

    code = Exit.SCHEMA


class Locked(CatalogError):
    """Another cataloguing process holds the database."""

    code = Exit.LOCKED


class Damaged(CatalogError):
    """The database file or its event chain is broken."""

    code = Exit.DAMAGED


class NotPermitted(CatalogError):
    """This user may not change (or not even read) the catalogue."""

    code = Exit.PERMISSION


class NotFound(CatalogError):
    """A named share or file does not exist."""

    code = Exit.NOT_FOUND


class Declined(CatalogError):
    """The user said no, or a prompt was needed and there is no terminal."""

    code = Exit.DECLINED


class DatabaseFull(CatalogError):
    """No space left for the catalogue; nothing was lost, the work stays queued."""

    code = Exit.INCOMPLETE


class WorkerFailed(CatalogError):
    """Decode workers cannot be started at all (not: one file killed one worker)."""

    code = Exit.INCOMPLETE


class NoSystemd(CatalogError):
    """The service manager cannot be asked, so nothing is known of our units."""

    code = Exit.INCOMPLETE


class OutputFailed(CatalogError):
    """The answer could not be written (a full disk behind a redirected stdout)."""

    code = Exit.INCOMPLETE
