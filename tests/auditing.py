"""What tests of audits share: rewriting in secret, audits in this process, and readings that lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from catalog.service.audit_result import AuditResult, Budget, code_of
from catalog.service.auditing import audit
from catalog.terms import Inspection
from tests.in_process import Cataloguing


def rewrite(path: Path, at: int) -> None:
    """Flip a byte in its place and put the mtime back."""
    before = path.stat()
    with open(path, "r+b") as stream:
        stream.seek(at)
        (byte,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte ^ 255]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def audited(home: Cataloguing, *scope: Path, **budget: Any) -> AuditResult:
    return audit(
        home.session,
        database=str(home.database),
        scope=[os.fsencode(path) for path in scope],
        budget=Budget(**budget),
    )


def code(result: AuditResult) -> int:
    """The exit code that the command would end with."""
    return code_of(result.document(), incomplete=not result.complete)


def checks(home: Cataloguing, name: str) -> list[str]:
    rows = home.ask("SELECT result FROM v_check WHERE path LIKE '%' || ? ORDER BY check_no", f"/{name}")
    return [row["result"] for row in rows]


def audit_times(home: Cataloguing) -> dict[str, int | None]:
    """Name → when it was audited last, in milliseconds."""
    rows = home.ask("SELECT f.name, k.audited_ms FROM file AS f LEFT JOIN file_check AS k USING (file_id)")
    return {row["name"].decode(): row["audited_ms"] for row in rows}


def backdate(home: Cataloguing, days: dict[str, int]) -> None:
    """Let files have been audited so many days earlier."""
    batch = home.session.recorder.batch
    for name, number in days.items():
        batch.execute(
            "UPDATE file_check SET audited_ms = audited_ms - ? WHERE file_id ="
            " (SELECT file_id FROM file WHERE name = ?)",
            (number * 86_400_000, name.encode()),
        )
    batch.commit()


@contextmanager
def readings_of(
    home: Cataloguing, path: bytes, told: Callable[[Inspection], Inspection | None]
) -> Iterator[None]:
    """Let the workers' inspections of a path be what ``told`` makes of them; None leaves one as it is."""
    pool, poll = home.session.pool, home.session.pool.poll

    def polled(timeout: float) -> list[Inspection]:
        return [(each.job.path == path and told(each)) or each for each in poll(timeout)]

    pool.poll = polled  # type: ignore[method-assign]
    try:
        yield
    finally:
        pool.poll = poll  # type: ignore[method-assign]
