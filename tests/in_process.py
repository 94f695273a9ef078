"""A scan or a daemon inside the test's own process: real files, workers and database, and time in our hands."""

from __future__ import annotations

import dataclasses
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from catalog.config import Settings
from catalog.service.daemon import Daemon
from catalog.service.opening import Desk, cataloguing, make_ready
from catalog.service.scan import ScanResult, resolved, scan, targets
from catalog.service.session import Session
from catalog.service.signals import Stop
from catalog.store import chain, recount
from tests.asking import Asking
from tests.waiting import PATIENCE

QUICK = Settings(
    workers=1,
    settle_seconds=0.05,
    quiet_seconds=0.2,
    writer_quiet_seconds=1.0,
    absence_seconds=0.3,
    guard_interval_seconds=0.1,
    reconcile_interval_seconds=3600.0,
)


class Cataloguing:
    """One session on a catalogue of its own in ``folder``; ``ask`` reads what was committed."""

    def __init__(self, folder: Path, session: Session) -> None:
        self.database = folder / "catalog.sqlite3"
        self.session = session
        self.ask = Asking(self.database)

    def scan(self, *folders: Path, **options: Any) -> ScanResult:
        named = [str(folder) for folder in folders]
        chosen = targets(self.session.roots, resolved(named), name=None, actor=None)
        return scan(self.session, chosen, **options)

    def add(self, folder: Path) -> int:
        """Register a share; its id."""
        return self.session.roots.add(str(folder).encode()).root_id

    def ids(self) -> dict[str, int]:
        """Relative path → file_id of what is there."""
        rows = self.ask("SELECT relative_path, file_id FROM v_file WHERE state <> 'missing'")
        return {row["relative_path"]: row["file_id"] for row in rows}

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """What an admin has beside us."""
        with Desk(str(self.database)) as desk:
            yield desk

    @contextmanager
    def watching(self, **options: Any) -> Iterator[Watching]:
        watching = Watching(self, **options)
        try:
            yield watching
        finally:
            watching.daemon.close()


class Watching:
    """A daemon that turns only while the test waits for something."""

    def __init__(self, home: Cataloguing, **options: Any) -> None:
        self.home = home
        self._over: Callable[[], bool] = lambda: True
        stop = cast(Stop, lambda: self._over())  # noqa: PLW0108 - looked up late
        self.daemon = Daemon(home.session, **{"only": None, **options}, stop=stop)

    def until(self, predicate: Callable[[], Any], timeout: float = 20.0) -> None:
        """Let the daemon run until the predicate holds; fail after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout * PATIENCE
        held = False

        def over() -> bool:
            nonlocal held
            held = bool(predicate())
            return held or time.monotonic() >= deadline

        self._over = over
        self.daemon.run()
        assert held, f"not within {timeout} s"

    def turns(self, seconds: float) -> None:
        """Let the daemon run for a time."""
        until = time.monotonic() + seconds
        self._over = lambda: time.monotonic() >= until
        self.daemon.run()


@contextmanager
def cataloguing_in(folder: Path, settings: Settings = QUICK, **changes: Any) -> Iterator[Cataloguing]:
    """A session in ``folder``, with ``changes`` to the settings."""
    database = str(folder / "catalog.sqlite3")
    make_ready(database)
    with cataloguing(database, dataclasses.replace(settings, **changes), "test") as session:
        yield Cataloguing(folder, session)
    check(database)


def check(database: str) -> None:
    """What must hold of every catalogue at rest, whatever happened to it."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert recount.differences(connection) == []
        assert chain.verify(connection) is None
        displaced = "SELECT name FROM file WHERE instr(name, x'00') > 0"
        assert connection.execute(displaced).fetchall() == []
        halves = "SELECT 1 FROM revision LEFT JOIN file USING (file_id) WHERE file.file_id IS NULL"
        assert connection.execute(halves).fetchall() == []
    finally:
        connection.close()
