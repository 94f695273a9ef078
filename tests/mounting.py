"""Mounts without root, in namespaces of one's own, and users who may less than root.

A scenario is a function in a module that is a program, too: ``python -m MODULE SCENARIO FOLDER``. It ends with
``NOT_HERE``, its last words saying why, where the machine does not let it run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from tests.waiting import PATIENCE

CHECKOUT = Path(__file__).resolve().parent.parent

OWN_MOUNTS = ("unshare", "-Urm")
OWN_PROCESSES = ("unshare", "-Urmpf", "--kill-child", "--mount-proc")
"""Whatever is started inside ends with the namespace."""

NOBODY = 65534
NOT_HERE = 77
_CLOSED_DOORS = "-dac_override,-dac_read_search"
_LESS_THAN_ROOT = ["setpriv", f"--bounding-set={_CLOSED_DOORS}", f"--inh-caps={_CLOSED_DOORS}"]
_PROGRAM = (
    "import subprocess, sys, catalog.service.daemon; subprocess.run([sys.executable, '-c', ''], check=True)"
)


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def umount(point: Path) -> None:
    subprocess.run(["umount", "-l", str(point)], check=True)


def not_here(why: str) -> NoReturn:
    """End the program of a scenario that this machine does not let run."""
    print(why)
    raise SystemExit(NOT_HERE)


def namespaces(prefix: Sequence[str] = OWN_MOUNTS) -> list[str]:
    """The words before a command that is to run in a user and mount namespace of its own, or a skip."""
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no user and mount namespaces on this machine: {error}")
    return list(prefix)


def unprivileged(folder: Path) -> list[str]:
    """The words before a command that may not enter closed folders; none if we are no root already; or a skip.

    Nobody, who owns ``folder`` then; or, where an interpreter below /root is closed to everybody else, root
    without the capabilities that open closed doors."""
    if os.geteuid() != 0:
        return []
    nobody = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    said = ""
    for prefix in (nobody, _LESS_THAN_ROOT):
        try:
            words = [*prefix, sys.executable, "-c", _PROGRAM]
            subprocess.run(words, check=True, capture_output=True, timeout=60, cwd=CHECKOUT)
        except (OSError, subprocess.SubprocessError) as error:
            said = str(error)
            continue
        if prefix is nobody:
            os.chown(folder, NOBODY, NOBODY)
        return prefix
    pytest.skip(f"nothing here takes root its privileges: {said}")


def less_than_root() -> list[str]:
    """The words before a command to whom closed files and folders are closed, its own, too; or a skip.

    Root without the capabilities that open them; none if we are no root already."""
    if os.geteuid() != 0:
        return []
    try:
        subprocess.run([*_LESS_THAN_ROOT, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"setpriv does not work here: {error}")
    return _LESS_THAN_ROOT


@contextmanager
def as_nobody() -> Iterator[None]:
    """In here this process may only what everybody may; nothing changes where it is no root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)  # which takes the capabilities away, too
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def run_scenario(
    prefix: Sequence[str], module: str, scenario: str, folder: Path, *options: str, **environment: str
) -> None:
    """Run one scenario to its end; ``options`` are those of the interpreter. Fails or skips as it does."""
    held_to(
        subprocess.run(
            [*prefix, sys.executable, *options, "-m", module, scenario, folder],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder), **environment},
            capture_output=True,
            text=True,
            timeout=110 * PATIENCE,
            check=False,
        )
    )


def held_to(ran: subprocess.CompletedProcess[str]) -> None:
    """Fail or skip as the program of a scenario did."""
    if ran.returncode == NOT_HERE:
        pytest.skip(ran.stdout.strip().rpartition("\n")[2])
    assert ran.returncode == 0, ran.stdout + ran.stderr


def play(scenarios: Iterable[Callable[[Path], None]]) -> None:
    """What the program of scenarios does: the one that is named by its first word, in the folder of its second."""
    {each.__name__: each for each in scenarios}[sys.argv[1]](Path(sys.argv[2]))
