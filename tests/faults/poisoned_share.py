"""A folder of files, some of them poisoned (poison.py), and what a pool is to make of them."""

from __future__ import annotations

import hashlib
import os
import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from catalog.inspection import Pool
from catalog.terms import Analysis, Fidelity, Inspection, Job, Limits, Stat

HERE = Path(__file__).resolve().parent
TOO_MUCH = "needs more memory than the limit of "
TOO_LONG = "took longer than "


def patient(seconds: float = 30.0) -> Limits:
    """Limits that the bombs exceed: a crash is known to be for want of memory by the worker's peak, in which
    the kernel counts this process's own."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Limits(seconds=seconds, memory_bytes=max(250 << 20, own * 5 // 2))


def impatient() -> Limits:
    """Time enough for a bomb to go off, and little more."""
    return patient(1.0 + patient().memory_bytes / (500 << 20))


Deeds = dict[str, str]
FATAL = {
    "segv": "the decoder crashed (SIGSEGV)",
    "abort": "the decoder crashed (SIGABRT): libimage: impossible strip",
    "exit": "the decoder ended its process (exit code 3)",
    "kill": "the decoder was killed (SIGKILL), perhaps for want of memory",
    "hang": TOO_LONG,
    "spin": TOO_LONG,
    "python-bomb": TOO_MUCH,
    "malloc-bomb": TOO_MUCH,
    "raise": "the decoder failed: IndexError: hostile header",
    "nonsense": "the decoder gave an answer that cannot be read",
}


class Share:
    """A folder of files, some of them poisoned."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, count: int, poison: Deeds | None = None) -> list[Job]:
        """Files ``000`` …, those in ``poison`` (name → deed) with their deed; their jobs."""
        jobs = []
        for number in range(count):
            name = f"{number:03}"
            deed = (poison or {}).get(name)
            self.write(name, f"poison {deed} {number}" if deed else f"an image, number {number}")
            jobs.append(self.job(name))
        return jobs

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def job(self, name: str, **fields: Any) -> Job:
        return Job(1, os.fsencode(name), (self.folder / name).stat().st_size, **fields)

    def pool(self, **options: Any) -> Pool:
        given: dict[str, Any] = {
            "workers": 2,
            "limits": patient(),
            "root_paths": {1: os.fsencode(self.folder)}.__getitem__,
            "known": lambda _: set(),
            "analyser": "poison:analyse",
            "python_path": [str(HERE)],
        }
        return Pool(**given | options)


def finish(pool: Pool, jobs: Iterable[Job] = (), timeout: float = 60.0) -> dict[str, Inspection]:
    """Submit, wait for all; by name. Each must come exactly once."""
    for job in jobs:
        pool.submit(job)
    end = time.monotonic() + timeout
    found: dict[str, Inspection] = {}
    while pool.outstanding:
        assert time.monotonic() < end, f"{pool.outstanding} jobs are still out"
        for inspection in pool.poll(1.0):
            name = os.fsdecode(inspection.job.path)
            assert name not in found, f"{name} came twice"
            found[name] = inspection
    return found


def pids(pool: Pool) -> list[int]:
    return [worker.pid for worker in pool._crew.workers]


def analysis_of(inspection: Inspection) -> Analysis:
    assert inspection.failure is None and inspection.analysis is not None, inspection
    return inspection.analysis


def check_good(share: Share, inspection: Inspection) -> None:
    path = share.folder / os.fsdecode(inspection.job.path)
    content = path.read_bytes()
    assert inspection.sha256 == hashlib.sha256(content).digest()
    assert inspection.md5 == hashlib.md5(content).digest()
    assert inspection.stat == Stat.of(path.lstat())
    assert analysis_of(inspection).fidelity is Fidelity.EXACT
    assert analysis_of(inspection).pixels == inspection.sha256


def check_poisoned(share: Share, inspection: Inspection, reason: str) -> None:
    content = (share.folder / os.fsdecode(inspection.job.path)).read_bytes()
    assert inspection.sha256 == hashlib.sha256(content).digest()
    assert inspection.md5 == hashlib.md5(content).digest()
    assert inspection.stat is not None
    assert analysis_of(inspection).fidelity is Fidelity.UNDECODABLE
    said = analysis_of(inspection).reason or ""
    assert said.startswith(reason) if reason in (TOO_MUCH, TOO_LONG) else said == reason
