"""Put the files of the service in their places, and take them away again. Needs root, but for a user's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from catalog.config import SERVICE_DATABASE
from catalog.errors import NoSystemd, NotPermitted, UsageError
from catalog.service.units import MARK, USER, Places, Wanted, obstacle, plan, shipped
from catalog.terms import printable

Say = Callable[[str], None]

_PROPERTIES: Final = (
    *(
        "LoadState",
        "ActiveState",
        "SubState",
        "UnitFileState",
        "Result",
        "StatusText",
        "MainPID",
        "NRestarts",
    ),
    *("ActiveEnterTimestamp", "NextElapseUSecRealtime", "FragmentPath"),
)


@dataclass(frozen=True, slots=True)
class UnitState:
    """One unit as systemd knows it; empty words where it knows nothing."""

    name: str
    installed: bool
    active: str
    """``active``, ``inactive``, ``failed`` …"""
    sub: str
    enabled: str
    result: str
    status: str
    """What the daemon says of itself."""
    pid: int
    restarts: int
    since: str
    next_run: str
    path: str


def install(wanted: Wanted, where: Places, say: Say, warn: Say) -> None:
    """Write the files, make the user, its folder and the limits, and register the shares.

    Raises UsageError when it cannot work or a file is in the way that is not ours, NotPermitted without root.
    """
    files = plan(wanted, where)
    why = obstacle(wanted)
    if why is not None:
        raise UsageError(
            f"the user {USER} could not run this program: {why}",
            hint="install it where everybody may read it (python3 -m venv /opt/catalog && /opt/catalog/bin/pip install"
            " pixel-catalog && /opt/catalog/bin/catalog service install …), or for yourself alone with --user",
        )
    for path in files:
        _refuse_foreign(path)
    for path, content in files.items():
        _put(path, content)
        say(f"written: {printable(path)}")
    _prepare(where, warn)
    _tell_systemd(warn, user=wanted.user)
    for share in wanted.shares:
        _register(wanted, share, say, warn)


def _refuse_foreign(path: str) -> None:
    with (
        suppress(FileNotFoundError, NotADirectoryError),
        open(path, encoding="utf-8", errors="replace") as stream,
    ):
        if stream.readline() != MARK:
            raise UsageError(
                f"there is a file that catalog service install did not write: {printable(path)}",
                hint="move it away, and put what you want otherwise into a drop-in: systemctl edit",
            )


def _put(path: str, content: str) -> None:
    """Write a file in one step. Raises NotPermitted."""
    aside = f"{path}.new"
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(aside, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o644)
            stream.write(content)
        os.replace(aside, path)
    except OSError as error:
        raise NotPermitted(
            f"cannot write {printable(path)}: {error.strerror}", hint="run it as root, or with --user"
        ) from error


def _prepare(where: Places, warn: Say) -> None:
    """The user, its folder, the limits. What a machine does not do now, it does at its next boot."""
    steps = (
        (("systemd-sysusers",), where.sysusers),
        (("systemd-tmpfiles", "--create"), where.tmpfiles),
        (("sysctl", "-q", "-p"), where.sysctl),
    )
    for command, path in steps:
        if path is not None:
            _run((*command, path), warn)


def _run(command: Sequence[str], warn: Say, **options: object) -> bool:
    """Whether a command was there and went well; else why not is told."""
    if shutil.which(command[0]) is None:
        warn(f"{command[0]} is not on this machine: not done: {' '.join(command)}")
        return False
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **options
    )  # type: ignore[call-overload]
    if ran.returncode:
        said = " ".join(ran.stderr.split()) or f"exit code {ran.returncode}"
        warn(f"{' '.join(command)}: {said}")
    return bool(ran.returncode == 0)


def _systemctl(*words: str, user: bool) -> tuple[str, ...]:
    return ("systemctl", *(("--user",) if user else ()), *words)


def _tell_systemd(warn: Say, *, user: bool) -> None:
    _run(_systemctl("daemon-reload", user=user), warn)


def _register(wanted: Wanted, share: str, say: Say, warn: Say) -> None:
    """Add a share to the catalogue of the service, as its user: the catalogue belongs to it."""
    shown = printable(share)
    command = [*wanted.program.words, "root", "add", share]
    identity: dict[str, object] = {}
    if not wanted.user:
        command = [*wanted.program.words, "--database", SERVICE_DATABASE, "root", "add", share]
        identity = {
            "user": USER,
            "group": USER,
            "extra_groups": [],
            "umask": 0o027,
            "env": {"PATH": os.defpath},
        }
        if not _run(("test", "-r", share, "-a", "-x", share), lambda _: None, cwd="/", **identity):
            warn(
                f"the user {USER} cannot read {shown}: let it, with setfacl -R -m u:{USER}:rX {shown} or"
                f" usermod -aG GROUP {USER}"
            )
    if _run(command, warn, cwd="/", **identity):
        say(f"share: {shown}")


# -------------------------------------------------------------------------------------------- uninstall


def installed(where: Places) -> list[str]:
    """The files of the service that are in their places and ours."""
    named = [os.path.join(where.units, name) for name in shipped()]
    named += [path for path in (where.sysusers, where.tmpfiles, where.sysctl) if path is not None]
    return [path for path in named if _is_ours(path)]


def _is_ours(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.readline() == MARK
    except OSError:
        return False


def uninstall(paths: Iterable[str], say: Say, warn: Say, *, user: bool) -> None:
    """Stop and disable the units among these files, and remove the files. The catalogue and its user stay.

    Raises NotPermitted.
    """
    paths = list(paths)
    units = [os.path.basename(path) for path in paths if path.endswith((".service", ".timer"))]
    # Timers first: else one of them may start its service again.
    units.sort(key=lambda name: not name.endswith(".timer"))
    if units:
        _run(_systemctl("disable", "--now", *units, user=user), warn)
    for path in paths:
        try:
            os.unlink(path)
        except OSError as error:
            raise NotPermitted(
                f"cannot remove {printable(path)}: {error.strerror}", hint="run it as root"
            ) from error
        say(f"removed: {printable(path)}")
    _tell_systemd(warn, user=user)
    if units:
        _run(_systemctl("reset-failed", *units, user=user), lambda _: None)


# ----------------------------------------------------------------------------------------------- status


def unit_states(where: Places, *, user: bool) -> list[UnitState]:
    """Each shipped unit as systemd knows it. Raises NoSystemd where there is none to ask."""
    found = []
    for name in shipped():
        command = _systemctl("show", name, f"--property={','.join(_PROPERTIES)}", user=user)
        try:
            ran = subprocess.run(
                command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
            )
        except FileNotFoundError as error:
            raise NoSystemd("there is no systemd on this machine") from error
        if ran.returncode:
            if not os.path.isdir("/run/systemd/system"):  # sd_booted(3)
                raise NoSystemd("this machine was not booted with systemd")
            raise NoSystemd(f"systemd does not answer: {' '.join(ran.stderr.split())}")
        told = dict(line.partition("=")[::2] for line in ran.stdout.splitlines())
        found.append(
            UnitState(
                name,
                told.get("LoadState") == "loaded",
                told.get("ActiveState", ""),
                told.get("SubState", ""),
                told.get("UnitFileState", ""),
                told.get("Result", ""),
                told.get("StatusText", ""),
                int(told.get("MainPID") or 0),
                int(told.get("NRestarts") or 0),
                told.get("ActiveEnterTimestamp", ""),
                told.get("NextElapseUSecRealtime", ""),
                told.get("FragmentPath") or os.path.join(where.units, name),
            )
        )
    return found
