"""The files of the service as they belong on this machine: what is shipped, with the paths and the needs of here.

Pure but for reading the shipped files and looking at permissions; ``installing.py`` does the rest.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import catalog
from catalog.config import SERVICE_DATABASE
from catalog.errors import NotFound, UsageError
from catalog.terms import printable

USER: Final = "catalog"
"""Of the service, and of its group: its members read the catalogue."""
MARK: Final = "# Written by: catalog service install. Change it with: systemctl edit\n"
"""The first line of every file that is installed, by which it is known as ours when it is removed."""
SHIPPED_PROGRAM: Final = "/opt/catalog/bin/catalog"
WATCHES: Final = 1_048_576
EVENTS: Final = 131_072

_HOMES: Final = ("/home", "/root", "/run/user")
_TEMPORARY: Final = ("/tmp", "/var/tmp")  # noqa: S108 - named, not used

# What the manager of a user cannot do: it has no privileges to give away.
_ONLY_ROOT: Final = frozenset(
    (
        *(
            "User",
            "Group",
            "StateDirectory",
            "StateDirectoryMode",
            "DevicePolicy",
            "KeyringMode",
            "RemoveIPC",
        ),
        *("ProtectSystem", "ProtectHome", "ProtectProc", "ProtectKernelTunables", "ProtectKernelModules"),
        *("ProtectKernelLogs", "ProtectControlGroups", "ProtectClock", "ProtectHostname", "ReadWritePaths"),
        *("PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateIPC", "PrivateUsers", "PrivateNetwork"),
        *("CapabilityBoundingSet", "AmbientCapabilities", "IPAddressDeny", "After"),
    )
)


@dataclass(frozen=True, slots=True)
class Program:
    """How this installation of the program is started."""

    words: tuple[str, ...]

    @property
    def command(self) -> str:
        """As the words of an Exec line (systemd.service(5), "Command lines"): variables are put into all of them but
        the first."""
        return " ".join(
            [_quoted(self.words[0]), *(_quoted(word).replace("$", "$$") for word in self.words[1:])]
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the service is to do here."""

    program: Program
    shares: tuple[str, ...] = ()
    """Absolute paths without links."""
    metrics_folder: str | None = None
    user: bool = False
    """For the manager of the user who installs, not for the system."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of the service belong."""

    units: str
    sysusers: str | None = None
    tmpfiles: str | None = None
    sysctl: str | None = None


def places(*, user: bool) -> Places:
    """For the system, or for the user who asks (``$XDG_CONFIG_HOME``)."""
    if user:
        home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        return Places(os.path.join(home, "systemd", "user"))
    return Places(
        "/etc/systemd/system",
        "/etc/sysusers.d/catalog.conf",
        "/etc/tmpfiles.d/catalog.conf",
        "/etc/sysctl.d/60-catalog.conf",
    )


def shipped() -> dict[str, str]:
    """Name → text of the units that come with the program. Raises NotFound for an installation without them."""
    package = os.path.dirname(os.path.abspath(catalog.__file__))
    for folder in (os.path.join(package, "systemd"), os.path.join(os.path.dirname(package), "systemd")):
        if os.path.isdir(folder):
            names = sorted(name for name in os.listdir(folder) if name.endswith((".service", ".timer")))
            found = {}
            for name in names:
                with open(os.path.join(folder, name), encoding="utf-8") as stream:
                    found[name] = stream.read()
            return found
    raise NotFound("this installation came without its systemd units", hint="install the package again")


def this_program() -> Program:
    """The program beside the interpreter that runs now, else the interpreter with the module."""
    script = os.path.join(os.path.dirname(sys.executable), "catalog")
    if os.access(script, os.X_OK):
        return Program((script,))
    return Program((sys.executable, "-m", "catalog"))


def plan(wanted: Wanted, where: Places) -> dict[str, str]:
    """Path → content of everything that is to be written. Raises UsageError for what cannot work."""
    for share in wanted.shares:
        _refuse_hidden_share(share, user=wanted.user)
    for word in (*wanted.program.words, wanted.metrics_folder or ""):
        _refuse_unwritable(word)
    files = {os.path.join(where.units, name): rendered(text, wanted) for name, text in shipped().items()}
    state = os.path.dirname(SERVICE_DATABASE)
    if where.sysusers is not None:
        files[where.sysusers] = f'{MARK}u {USER} - "Image share cataloguing" {state} -\n'
    if where.tmpfiles is not None:
        files[where.tmpfiles] = f"{MARK}d {state} 0750 {USER} {USER} - -\n"
    if where.sysctl is not None:
        files[where.sysctl] = (
            f"{MARK}# One watch a folder of the shares; and what happens in a burst must find room.\n"
            f"fs.inotify.max_user_watches = {_at_least('max_user_watches', WATCHES)}\n"
            f"fs.inotify.max_queued_events = {_at_least('max_queued_events', EVENTS)}\n"
        )
    return files


def _at_least(name: str, wanted: int) -> int:
    """A limit of the kernel, never lower than it is."""
    try:
        with open(f"/proc/sys/fs/inotify/{name}") as stream:
            return max(wanted, int(stream.read()))
    except (OSError, ValueError):
        return wanted


def rendered(text: str, wanted: Wanted) -> str:
    """A shipped unit as it belongs here."""
    at_home = any(_below(share, _HOMES) for share in wanted.shares)
    lines = []
    for line in text.splitlines():
        key, separator, value = line.partition("=")
        if key.startswith("Exec") and separator:
            lines.append(f"{key}={value.replace(SHIPPED_PROGRAM, wanted.program.command)}")
        elif line.startswith("# shares below /home") or (wanted.user and key in _ONLY_ROOT):
            continue
        elif line == "ProtectHome=yes" and at_home:
            lines.append("ProtectHome=read-only")
        elif line == "WantedBy=multi-user.target" and wanted.user:
            lines.append("WantedBy=default.target")
        else:
            lines.append(line)
        if line == "ProtectSystem=strict" and _needs_room(wanted):
            assert wanted.metrics_folder is not None
            lines.append(f"ReadWritePaths=-{_quoted(wanted.metrics_folder)}")
    return MARK + "\n".join(lines) + "\n"


def _needs_room(wanted: Wanted) -> bool:
    """Whether the metrics go to a folder that the unit does not make by itself."""
    own = ("/run/catalog", os.path.dirname(SERVICE_DATABASE))
    return not wanted.user and wanted.metrics_folder is not None and not _below(wanted.metrics_folder, own)


def _quoted(word: str) -> str:
    word = word.replace("%", "%%")
    if re.fullmatch(r"[\w@%+=:,./-]+", word, re.ASCII):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _refuse_unwritable(path: str) -> None:
    """A line's end would begin a line of its own in a unit, and a unit is UTF-8."""
    if printable(path) != path:
        raise UsageError(f"a unit cannot name {printable(path)}", hint="give that folder a plainer name")


def _refuse_hidden_share(share: str, *, user: bool) -> None:
    if not user and _below(share, _TEMPORARY):
        raise UsageError(
            f"the service has a {share.split('/')[1]} of its own and does not see {printable(share)}",
            hint="put the share elsewhere, or watch it in the foreground: catalog watch",
        )


# ------------------------------------------------------------------------------------------ permissions


def obstacle(wanted: Wanted) -> str | None:
    """Why another user, in the sandbox of the unit, could not run this program; None when nothing is in the way."""
    if wanted.user:
        return None
    at_home = any(_below(share, _HOMES) for share in wanted.shares)
    for path in _needed(wanted.program):
        if not at_home and _below(path, _HOMES):
            return f"{printable(path)} is in a home, which the service does not see (ProtectHome)"
        if _below(path, _TEMPORARY):
            return f"{printable(path)} is in a folder for temporary files, of which the service has its own"
        closed = closed_to_others(path)
        if closed is not None:
            return f"{printable(closed)} may not be read by others"
    return None


def _needed(program: Program) -> Sequence[str]:
    """What the program reads of itself: links, and what they lead to."""
    # Python started with -m searches the working directory, too; the service starts elsewhere.
    libraries = [path for path in sys.path if path and path != os.getcwd() and os.path.isdir(path)]
    package = os.path.dirname(os.path.abspath(catalog.__file__))
    named = [*program.words[:1], sys.executable, package, *libraries]
    return list(
        dict.fromkeys(path for each in named for path in (os.path.abspath(each), os.path.realpath(each)))
    )


def closed_to_others(path: str) -> str | None:
    """The first folder on the way to a path, or the path itself, that another user may not pass or read."""
    here = "/"
    for name in [*path.split("/")[1:], ""]:
        try:
            mode = os.stat(here).st_mode
        except OSError:
            return here
        last = not name
        wanted = stat.S_IROTH if last and not stat.S_ISDIR(mode) else stat.S_IXOTH
        if last and stat.S_ISDIR(mode):
            wanted |= stat.S_IROTH
        if mode & wanted != wanted:
            return here
        here = os.path.join(here, name)
    return None
