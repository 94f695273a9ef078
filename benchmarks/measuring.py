"""Whole commands and parts of them, timed in turn, so that a busy machine disturbs both sides alike."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = sys.executable
CATALOG = (PYTHON, "-m", "catalog")


@dataclass(frozen=True)
class Run:
    """One finished command: seconds on the wall, CPU seconds of it and of all processes that it waited for."""

    wall: float
    cpu: float
    output: str


def run(command: Sequence[str], *, quiet: bool = True) -> Run:
    """Run a command to its end, in the checkout. Raises CalledProcessError with what it said."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as complaints:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaints if quiet else None,
            cwd=CHECKOUT,
            env=environment(),
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        code = process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        complaints.seek(0)
        said = output.read()
        if code:
            print(complaints.read(), file=sys.stderr)
            raise subprocess.CalledProcessError(code, list(command), said)
    return Run(wall, usage.ru_utime + usage.ru_stime, said)


def environment() -> dict[str, str]:
    """Ours, without what would lead a command to another catalogue or configuration."""
    left_out = ("CATALOG_DATABASE", "CATALOG_CONFIG", "STATE_DIRECTORY")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "XDG_CONFIG_HOME": os.devnull, "PYTHONDONTWRITEBYTECODE": ""}


def in_turn(repeat: int, *measures: Callable[[], Run]) -> list[list[Run]]:
    """Each measure ``repeat`` times, one after the other, A B A B …; the first round is not counted."""
    found: list[list[Run]] = [[] for _ in measures]
    for round_ in range(repeat + 1):
        for runs, measure in zip(found, measures, strict=True):
            result = measure()
            if round_:
                runs.append(result)
    return found


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def paired(over: Iterable[float], under: Iterable[float]) -> float:
    """The median of the ratios pair by pair: what slows the machine for a while slows both of a pair."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def verdict(value: float, goal: float, *, at_least: bool) -> str:
    """``0.91 (goal >= 0.85: met)``."""
    met = value >= goal if at_least else value <= goal
    sign = ">=" if at_least else "<="
    return f"{value:.2f} (goal {sign} {goal:g}: {'met' if met else 'missed'})"


@contextlib.contextmanager
def workplace(parent: str | None) -> Iterator[str]:
    """A folder that is gone afterwards; ``parent`` chooses the file system."""
    with tempfile.TemporaryDirectory(prefix="catalog-benchmark-", dir=parent) as folder:
        yield folder


def remove_database(database: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.remove(database + suffix)


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
