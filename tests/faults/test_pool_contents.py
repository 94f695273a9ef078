"""A share that fails under the workers, and contents that are known, equal or too large."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
from collections.abc import Sequence

import pytest

from catalog.terms import Analysis, Failure, FailureKind, Fidelity, Inspection, Job, Limits
from tests.faults.poisoned_share import (
    FATAL,
    Share,
    analysis_of,
    check_good,
    check_poisoned,
    finish,
    patient,
)


def test_a_share_that_hangs_costs_one_file(share: Share) -> None:
    jobs = share.fill(15)
    share.write("hang-on-read", "x")
    limits = patient(seconds=1.5)
    with share.pool(analyser="bad_share:analyse", limits=limits) as pool:
        found = finish(pool, [*jobs, share.job("hang-on-read")])
    hung = found.pop("hang-on-read")
    assert hung.failure == Failure(FailureKind.UNREADABLE, "reading took longer than 1.5 s", errno.ETIMEDOUT)
    assert hung.sha256 is None and hung.stat is None and hung.started_ms > 0
    assert len(found) == 15
    for inspection in found.values():
        check_good(share, inspection)


def test_a_crash_while_reading_costs_one_file(share: Share) -> None:
    jobs = share.fill(15)
    share.write("crash-on-read", "x")
    with share.pool(analyser="bad_share:analyse") as pool:
        found = finish(pool, [*jobs, share.job("crash-on-read")])
    crashed = found.pop("crash-on-read")
    assert crashed.failure == Failure(FailureKind.UNREADABLE, "the reader crashed (SIGBUS)")
    assert len(found) == 15
    for inspection in found.values():
        check_good(share, inspection)


def test_an_input_output_error_costs_one_file(share: Share) -> None:
    jobs = share.fill(15)
    share.write("eio-on-read", "x")
    with share.pool(analyser="bad_share:analyse") as pool:
        found = finish(pool, [*jobs, share.job("eio-on-read")])
    assert found.pop("eio-on-read").failure == Failure(
        FailureKind.UNREADABLE, "Input/output error", errno.EIO
    )
    for inspection in found.values():
        check_good(share, inspection)


def test_files_that_vanish_and_special_files_are_told_apart(share: Share) -> None:
    os.mkfifo(share.folder / "pipe")
    jobs = [*share.fill(3), Job(1, b"missing", 5), Job(1, b"pipe", 0)]
    with share.pool() as pool:
        found = finish(pool, jobs)
    for name, reason in (("missing", "no longer there"), ("pipe", "not a regular file")):
        failure = found[name].failure
        assert failure is not None
        assert (failure.kind, failure.reason) == (FailureKind.GONE, reason)
    assert len(found) == 5


def test_a_file_that_goes_between_the_phases_was_read_already(share: Share) -> None:
    jobs = share.fill(16)
    digests = {job.path: hashlib.sha256((share.folder / os.fsdecode(job.path)).read_bytes()) for job in jobs}

    def known(_: Sequence[bytes]) -> set[bytes]:
        for path in share.folder.iterdir():
            path.rename(path.with_name(f"moved-{path.name}"))
        return set()

    with share.pool(known=known, workers=1) as pool:
        found = finish(pool, jobs)
    for job in jobs:
        inspection = found[os.fsdecode(job.path)]
        assert inspection.sha256 == digests[job.path].digest()
        assert analysis_of(inspection).pixels == inspection.sha256


# ------------------------------------------------------------------------------------------------ contents


def test_a_known_content_is_not_decoded(share: Share) -> None:
    jobs = share.fill(16, {"007": "segv"})  # it would crash if it were
    content = (share.folder / "007").read_bytes()
    with share.pool(known=lambda digests: {hashlib.sha256(content).digest()} & set(digests)) as pool:
        found = finish(pool, jobs)
    known = found.pop("007")
    assert known.analysis is None and known.failure is None
    assert known.md5 == hashlib.md5(content).digest()
    for inspection in found.values():
        check_good(share, inspection)


def test_of_equal_contents_in_flight_the_first_is_decoded(share: Share) -> None:
    for number in range(100):
        share.write(f"{number:03}", f"content {number % 5}")
    asked: list[bytes] = []

    def known(digests: Sequence[bytes]) -> set[bytes]:
        assert len(set(digests)) == len(digests)
        asked.extend(digests)
        return set()

    with share.pool(known=known, workers=1) as pool:
        order: list[Inspection] = []
        for number in range(60):
            pool.submit(share.job(f"{number:03}"))
        while pool.outstanding:
            order += pool.poll(1.0)
    carrying = [inspection for inspection in order if inspection.analysis]
    assert len(carrying) == len({inspection.sha256 for inspection in order}) == 5
    seen: set[bytes | None] = set()
    for inspection in order:
        assert (inspection.analysis is None) == (inspection.sha256 in seen)
        seen.add(inspection.sha256)
    assert len(asked) == 5


def test_equal_poisons_are_decoded_twice_in_all(share: Share) -> None:
    """Two tries for the content, not two for each file that holds it."""
    for number in range(10):
        share.write(f"{number}", "poison segv")
    with share.pool() as pool:
        found = finish(pool, [share.job(f"{number}") for number in range(10)])
    failures = [inspection for inspection in found.values() if inspection.analysis]
    assert len(found) == 10 and len(failures) == 1
    check_poisoned(share, failures[0], FATAL["segv"])


def test_those_that_wait_for_a_content_that_vanished_are_looked_at_again(share: Share) -> None:
    share.write("first", "poison exit")
    share.write("second", "poison exit")
    rewritten = []

    def known(digests: Sequence[bytes]) -> set[bytes]:
        if not rewritten:  # both are read by now, and the first one leads
            rewritten.append(share.write("first", "a good one"))
        return set()

    with share.pool(known=known, workers=1) as pool:
        found = finish(pool, [share.job("first"), share.job("second")])
    check_good(share, found["first"])
    check_poisoned(share, found["second"], FATAL["exit"])


def test_without_decode_there_are_digests_alone(share: Share) -> None:
    share.fill(4, {"002": "segv"})
    with share.pool() as pool:
        found = finish(pool, [share.job(f"{number:03}", decode=False) for number in range(4)])
    for name, inspection in found.items():
        assert inspection.analysis is None and inspection.failure is None
        assert inspection.sha256 == hashlib.sha256((share.folder / name).read_bytes()).digest()


def test_a_file_above_the_limit_is_hashed_and_unverified(share: Share) -> None:
    content = os.urandom(3 << 20)
    share.write("large", content)
    limits = Limits(seconds=5.0, memory_bytes=400 << 20, decode_bytes=1 << 20)
    with share.pool(limits=limits) as pool:
        found = finish(pool, [share.job("large")])["large"]
    assert (found.sha256, found.md5) == (hashlib.sha256(content).digest(), hashlib.md5(content).digest())
    reason = f"too large: raise decode_limit_bytes to {3 << 20}"
    assert found.analysis == Analysis(Fidelity.UNVERIFIED, reason)


def test_wrong_sizes_from_the_walk_change_nothing(share: Share) -> None:
    for number in range(40):
        share.write(f"{number}", os.urandom(1 << 20))
    jobs = [
        Job(1, f"{number}".encode(), size)
        for number, size in zip(range(40), itertools.cycle((0, 1 << 40)), strict=False)
    ]
    with share.pool() as pool:
        found = finish(pool, jobs)
    for inspection in found.values():
        check_good(share, inspection)


def test_a_failing_record_leaves_the_jobs_in_flight(share: Share) -> None:
    troubles = [RuntimeError("database is locked")]

    def known(_: Sequence[bytes]) -> set[bytes]:
        if troubles:
            raise troubles.pop()
        return set()

    with share.pool(known=known) as pool:
        with pytest.raises(RuntimeError):
            finish(pool, share.fill(16))
        found = finish(pool)
    assert len(found) == 16
