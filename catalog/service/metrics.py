"""What the daemon tells Prometheus, through a file that node_exporter's textfile collector reads.

No library: the text format is a line a number, and an HTTP endpoint would need the network that the unit denies.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from catalog.errors import CatalogError, ConfigError
from catalog.query.gauges import oldest_verified
from catalog.query.opening import let_go, opened
from catalog.query.status import RootStatus, backlog_files, root_statuses
from catalog.terms import RootState, Severity, printable

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

WRITE_SECONDS: Final = 5.0
VERIFIED_SECONDS: Final = 60.0
"""Between two looks for the file that was verified longest ago, at the least; it looks at every file."""
VERIFIED_DUTY: Final = 0.002
"""The part of the time that these looks may take."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What the daemon's main loop counted when it turned the last time."""

    heartbeat: float
    """time.time() of that turn."""
    overflows: int = 0
    rebuilds: int = 0
    inspected_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One number; ``labels`` in their order."""

    value: float
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with its numbers."""

    name: str
    kind: str
    """``gauge`` or ``counter``."""
    meaning: str
    samples: tuple[Sample, ...]


def families(
    counters: Counters, roots: Sequence[RootStatus], backlog: int, verified: dict[str, int]
) -> list[Family]:
    """The metrics by their contracted names (docs/service.md)."""

    def by_root(
        name: str, meaning: str, samples: Iterable[tuple[RootStatus, float, tuple[tuple[str, str], ...]]]
    ) -> Family:
        found = (Sample(value, (("root", root.name), *labels)) for root, value, labels in samples)
        return Family(name, "gauge", meaning, tuple(found))

    def alone(name: str, kind: str, meaning: str, value: float) -> Family:
        return Family(name, kind, meaning, (Sample(value),))

    return [
        alone(
            "catalog_heartbeat_timestamp_seconds",
            "gauge",
            "When the daemon's main loop turned the last time.",
            counters.heartbeat,
        ),
        by_root(
            "catalog_root_state",
            "1 for the state that the share is in, 0 for the others.",
            (
                (root, float(root.state is state), (("state", state.value),))
                for root in roots
                for state in RootState
                if state is not RootState.RETIRED
            ),
        ),
        by_root("catalog_files", "Files of the share by their state.", _files(roots)),
        by_root(
            "catalog_open_drift",
            "Open cases of drift by their severity.",
            (
                (root, root.open_drift.get(severity, 0), (("severity", severity.value),))
                for root in roots
                for severity in Severity
            ),
        ),
        alone("catalog_backlog_files", "gauge", "Paths that wait for their inspection.", backlog),
        by_root(
            "catalog_held_missing",
            "Absences that are held back until an admin confirms them.",
            ((root, root.held_missing, ()) for root in roots),
        ),
        by_root(
            "catalog_uncovered_directories",
            "Folders without a watch of the kernel, which are polled.",
            ((root, root.uncovered_dirs, ()) for root in roots),
        ),
        alone(
            "catalog_overflows_total", "counter", "Overflows of the kernel's event queue.", counters.overflows
        ),
        alone("catalog_rebuilds_total", "counter", "How often watches were set up anew.", counters.rebuilds),
        by_root(
            "catalog_last_reconcile_timestamp_seconds",
            "When the last complete comparison of the share with its record began.",
            (
                (root, root.last_reconcile_ms / 1000, ())
                for root in roots
                if root.last_reconcile_ms is not None
            ),
        ),
        by_root(
            "catalog_oldest_verified_timestamp_seconds",
            "When the file that was verified longest ago was read.",
            ((root, verified[root.name] / 1000, ()) for root in roots if root.name in verified),
        ),
        alone(
            "catalog_inspected_bytes_total",
            "counter",
            "Bytes of files that were inspected.",
            counters.inspected_bytes,
        ),
    ]


def _files(roots: Iterable[RootStatus]) -> Iterator[tuple[RootStatus, float, tuple[tuple[str, str], ...]]]:
    for root in roots:
        for state in ("present", "missing", "unreadable", "undecodable", "pending", "other"):
            yield root, getattr(root, state), (("state", state),)


def text(found: Iterable[Family]) -> str:
    """Prometheus' text format 0.0.4."""
    lines = []
    for family in found:
        lines += [f"# HELP {family.name} {family.meaning}", f"# TYPE {family.name} {family.kind}"]
        for sample in family.samples:
            labels = ",".join(f'{name}="{_label(value)}"' for name, value in sample.labels)
            value = f"{sample.value:.3f}".rstrip("0").rstrip(".")
            lines.append(f"{family.name}{{{labels}}} {value}" if labels else f"{family.name} {value}")
    return "\n".join(lines) + "\n"


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def write(path: str, content: str) -> None:
    """Put the file there in one step, readable by everybody: its reader is another user. Raises OSError."""
    folder, name = os.path.split(path)
    aside = os.path.join(folder, f".{name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(descriptor, 0o644)
            stream.write(content)
        os.replace(aside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(aside)
        raise


def folder_of(path: str) -> str:
    """The folder of the metrics file. Raises ConfigError when it is not there."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise ConfigError(f"metrics_file = {path!r}: there is no folder {printable(folder)}", hint="make it")
    return folder


class Metrics:
    """Writes the file every few seconds from a thread of its own, with its own connection: a slow disk or a long
    question holds nothing up. ``counters`` is replaced by the main loop. ``stop`` may be called twice."""

    def __init__(self, path: str, database: str, *, every_seconds: float = WRITE_SECONDS) -> None:
        self._path = path
        self._every = every_seconds
        self._database = database
        self.counters = Counters(time.time())
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._verified: dict[str, int] = {}
        self._next_verified = 0.0
        self._trouble: str | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                with opened(self._database) as connection:
                    while True:
                        self._once(connection)
                        if self._end.wait(self._every):
                            return
            except (OSError, CatalogError) as error:
                self._tell(f"{self._path}: {error}")
            self._end.wait(self._every)

    def _once(self, connection: Connection) -> None:
        roots = root_statuses(connection)
        backlog = backlog_files(connection)
        if time.monotonic() >= self._next_verified:
            began = time.monotonic()
            self._verified = oldest_verified(connection)
            now = time.monotonic()
            self._next_verified = now + max(VERIFIED_SECONDS, (now - began) / VERIFIED_DUTY)
        let_go(connection)
        # Of the folder: a link at the path itself is replaced, wherever it leads.
        folder = os.path.realpath(os.path.dirname(os.fsencode(self._path)) or b".")
        for root in roots:
            if (folder + b"/").startswith(root.path.rstrip(b"/") + b"/"):
                self._tell(f"{self._path} lies inside the share {root.name}: not written")
                return
        write(self._path, text(families(self.counters, roots, backlog, self._verified)))
        self._trouble = None

    def _tell(self, trouble: str) -> None:
        """Once, until it is over."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.error("the metrics cannot be written: %s", trouble)
