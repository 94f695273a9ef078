"""Answers about single files without a catalogue, from workers under the same limits as everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from catalog.errors import UsageError, WorkerFailed
from catalog.inspection.crew import TICK_SECONDS, Crew, Worker
from catalog.inspection.death import Cause, Death
from catalog.inspection.pool import CRASHES, FALSE_STARTS, Pool
from catalog.inspection.tickets import Ticket
from catalog.pixels import wire
from catalog.pixels.wire import BadFrame, Frame, Phase
from catalog.terms import Analysis, Inspection, Job, Limits

AHEAD: Final = 2048
"""Results that may wait for an earlier file before no further one is begun."""


def checksum_files(
    paths: Sequence[bytes],
    limits: Limits,
    *,
    loaders: bool = True,
    full_values: bool = False,
    workers: int | None = None,
) -> Iterator[tuple[bytes, Inspection]]:
    """(path as given, inspection) in the given order; links are followed, as the user meant the file.

    Every inspection without a failure carries its analysis. Raises WorkerFailed. Close the iterator, or read
    it to its end: it owns worker processes.
    """
    real = [os.path.realpath(path).lstrip(b"/") for path in paths]
    done: dict[int, Inspection] = {}
    fed = given = 0
    with Pool(
        workers=min(workers or os.cpu_count() or 1, max(1, len(paths))),
        limits=limits,
        loaders=loaders,
        full_values=full_values,
        with_toolchain=False,
        root_paths=lambda _: b"/",
        known=lambda _: set(),
    ) as pool:
        while given < len(paths):
            while fed < len(paths) and pool.wants_more and len(done) < AHEAD:
                # The generation carries the place in the list: one file may be named twice.
                pool.submit(Job(0, real[fed], _size(real[fed]), generation=fed))
                fed += 1
            pool.flush()
            for inspection in _complete(pool.poll(1.0)):
                done[inspection.job.generation] = inspection
            while given in done:
                yield paths[given], done.pop(given)
                given += 1


def run_alone(task: str, arguments: dict[str, bytes], limits: Limits) -> dict[str, Any]:
    """One question, one answer, in terms values.

    ``checksum`` ``{"path"}`` → ``inspection`` (with loader checksums) · ``tags`` ``{"path"}`` → ``inspection``
    (no tag value is cut) · ``compare`` ``{"one", "other"}`` → ``one``, ``other`` (inspections), ``samples``
    (dict as ``SampleDifference``, or None), ``reason`` (why there are none, or what to be careful about) ·
    ``picture`` ``{"one", "other"}`` → ``png`` (bytes or None), ``reason``.

    Raises WorkerFailed, and UsageError for an unknown task.
    """
    if task in ("checksum", "tags"):
        tags = task == "tags"
        found = checksum_files([arguments["path"]], limits, loaders=not tags, full_values=tags)
        return {"inspection": dict(found)[arguments["path"]]}
    pair = (arguments["one"], arguments["other"])
    if task == "picture":
        document, png = ask("picture", pair, limits)
        return {"png": png or None, "reason": document["reason"]}
    if task == "compare":
        return _compare(pair, limits)
    raise UsageError(f"no such task: {task}")


def _compare(pair: tuple[bytes, bytes], limits: Limits) -> dict[str, Any]:
    one, other = (found for _, found in checksum_files(pair, limits, loaders=False))
    answer: dict[str, Any] = {"one": one, "other": other, "samples": None, "reason": None}
    if one.sha256 is None or other.sha256 is None:
        return answer
    document, _ = ask("difference", pair, limits)
    if document["sha256"] and document["sha256"] != [one.sha256.hex(), other.sha256.hex()]:
        return answer | {"reason": "a file changed while they were compared"}
    return answer | {"samples": document["samples"], "reason": document["reason"]}


def ask(name: str, paths: Sequence[bytes], limits: Limits) -> tuple[dict[str, Any], bytes]:
    """Put a task of ``pixels.tasks`` to a worker of its own; (document, bytes).

    A crash, a hang or a want of memory is a document without result, whose ``reason`` says so.
    """
    task = {"name": name, "paths": [os.path.realpath(path).hex() for path in paths]}
    setup = {
        "limits": asdict(limits),
        "loaders": False,
        "full_values": False,
        "follow_links": False,
        "analyser": "catalog.pixels.analyse:analyse",
        "python_path": [],
    }
    false_starts = crashes = 0
    crew = Crew(setup, limits.seconds * 2)  # for two files
    try:
        while True:
            crew.start(toolchain=False)
            outcome, given = _outcome(crew, wire.encode_json(task))
            if not isinstance(outcome, Death):
                return outcome
            last = outcome.announcement
            started = last is not None and last.phase in (Phase.READING, Phase.DECODING)
            started = started or (given and outcome.cause is Cause.DEADLINE)
            crashes += started
            false_starts += not started
            if crashes and (crashes >= CRASHES or outcome.cause is Cause.DEADLINE):
                return {"sha256": [], "samples": None, "reason": outcome.reason(Phase.DECODING, limits)}, b""
            if false_starts >= FALSE_STARTS:
                raise WorkerFailed(f"decode workers cannot be started: {outcome.last_line}")
    finally:
        crew.close()


def _outcome(crew: Crew, task: bytes) -> tuple[tuple[dict[str, Any], bytes] | Death, bool]:
    """Until the worker has answered or is dead; and whether it had been given its task by then."""
    started = False
    while True:
        for worker, news in crew.turn(TICK_SECONDS):
            if isinstance(news, Death):
                return news, started
            try:
                for kind, payload in news:
                    if kind is Frame.HELLO:
                        _put(crew, worker, task)
                        started = True
                    elif kind is Frame.RESULT:
                        return wire.decode_result(payload), started
            except BadFrame:
                return crew.bury(worker, Cause.NONSENSE), started


def _put(crew: Crew, worker: Worker, task: bytes) -> None:
    worker.ready = True
    worker.tickets[1] = Ticket(1, Job(0, b"", 0), 0)  # it has something to do: the deadline holds
    worker.watch()
    crew.send(worker, Frame.TASK, task)


def _size(path: bytes) -> int:
    try:
        return os.stat(b"/" + path).st_size
    except OSError:
        return 0


def _complete(inspections: list[Inspection]) -> Iterator[Inspection]:
    """Of equal contents in flight the first alone is decoded: give the others its analysis."""
    analyses: dict[bytes, Analysis] = {}
    for inspection in inspections:
        if inspection.sha256 and inspection.analysis:
            analyses[inspection.sha256] = inspection.analysis
    for found in inspections:
        missing = found.sha256 is not None and found.analysis is None
        yield _with_analysis(found, analyses[found.sha256]) if missing and found.sha256 else found


def _with_analysis(found: Inspection, analysis: Analysis) -> Inspection:
    return Inspection(
        found.job, found.stat, found.sha256, found.md5, analysis, None, found.started_ms, found.seconds
    )
