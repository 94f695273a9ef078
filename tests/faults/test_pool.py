"""Whatever one file does to the worker that opens it: one failure, and nothing else is lost."""

from __future__ import annotations

import itertools
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from catalog.terms import Fidelity
from tests.faults.poisoned_share import (
    FATAL,
    HERE,
    Share,
    analysis_of,
    check_good,
    check_poisoned,
    finish,
    impatient,
    patient,
    pids,
)

QUICK_PAIRS = [("segv", "segv"), ("segv", "malloc-bomb")]
"""Without a wait for a deadline; CI runs all nine."""


@pytest.mark.parametrize("deed", FATAL)
def test_one_poison_file_in_a_batch_is_one_failure(share: Share, deed: str) -> None:
    jobs = share.fill(16, {"007": deed})
    with share.pool(limits=impatient() if deed in ("hang", "spin") else patient()) as pool:
        found = finish(pool, jobs)
    assert len(found) == 16
    check_poisoned(share, found.pop("007"), FATAL[deed])
    for inspection in found.values():
        check_good(share, inspection)


def test_several_poisons_in_two_hundred_files(share: Share) -> None:
    deeds = {
        "003": "segv",
        "050": "exit",
        "051": "abort",
        "077": "python-bomb",
        "120": "hang",
        "199": "raise",
    }
    jobs = share.fill(200, deeds)
    with share.pool(limits=impatient()) as pool:
        found = finish(pool, jobs)
    assert len(found) == 200
    for name, deed in deeds.items():
        check_poisoned(share, found.pop(name), FATAL[deed])
    for inspection in found.values():
        check_good(share, inspection)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(*pair, marks=[] if pair in QUICK_PAIRS else pytest.mark.slow)
        for pair in itertools.product(["segv", "hang", "malloc-bomb"], repeat=2)
    ],
)
def test_two_poisons_side_by_side(share: Share, one: str, other: str) -> None:
    jobs = share.fill(16, {"007": one, "008": other})
    with share.pool(workers=1, limits=impatient()) as pool:
        found = finish(pool, jobs)
    assert len(found) == 16
    check_poisoned(share, found.pop("007"), FATAL[one])
    check_poisoned(share, found.pop("008"), FATAL[other])
    for inspection in found.values():
        check_good(share, inspection)


def test_the_parents_own_memory_is_not_the_files(share: Share) -> None:
    """A child counts the parent's memory in its peak: a crash must not pass for want of memory."""
    program = textwrap.dedent(
        """
        import sys
        from catalog.inspection import Pool
        from catalog.terms import Job, Limits
        ballast = b"x" * (200 << 20)
        with Pool(workers=1, limits=Limits(memory_bytes=250 << 20), root_paths=lambda _: sys.argv[1].encode(),
                  known=lambda _: set(), analyser="poison:analyse", python_path=[sys.argv[2]]) as pool:
            pool.submit(Job(1, b"000", 10))
            while pool.outstanding:
                for inspection in pool.poll(1.0):
                    print(inspection.analysis.reason)
        """
    )
    share.fill(1, {"000": "segv"})
    command = [sys.executable, "-c", program, str(share.folder), str(HERE)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent.parent)
    assert ran.stdout.strip() == FATAL["segv"]


def test_the_last_words_stand_in_the_record(share: Share) -> None:
    with share.pool() as pool:
        found = finish(pool, share.fill(1, {"000": "abort"}))
    complaints = analysis_of(found["000"]).complaints
    assert complaints[0] == "libimage: impossible strip"
    assert complaints[1] == "Fatal Python error: Aborted"
    assert any("in _abort" in line for line in complaints)


def test_the_words_of_one_file_are_not_held_against_the_next(share: Share) -> None:
    jobs = share.fill(16, {"003": "complain", "004": "exit"})
    with share.pool(workers=1) as pool:
        found = finish(pool, jobs)
    assert analysis_of(found["004"]).complaints == ()
    assert analysis_of(found["004"]).reason == FATAL["exit"]


def test_a_complaint_marks_a_good_file_and_loses_nothing(share: Share) -> None:
    jobs = share.fill(16, {"007": "complain"})
    with share.pool(workers=1) as pool:
        found = finish(pool, jobs)
    complained = analysis_of(found.pop("007"))
    assert complained.fidelity is Fidelity.DAMAGED
    assert complained.complaints == ("libimage: Bad code word",)
    for inspection in found.values():
        check_good(share, inspection)


def test_a_flood_on_stderr_is_capped(share: Share) -> None:
    jobs = share.fill(16, {"007": "flood", "008": "flood"})
    with share.pool(workers=1) as pool:
        found = finish(pool, jobs)
    for name in ("007", "008"):
        flooded = analysis_of(found.pop(name))
        assert flooded.fidelity is Fidelity.DAMAGED
        assert len(flooded.complaints) == 3  # the line, once; its beginning where the reading ended; the rest
        assert flooded.complaints[-1].endswith("bytes more")
    for inspection in found.values():
        check_good(share, inspection)


def test_prints_cannot_break_a_frame(share: Share) -> None:
    jobs = share.fill(16, {"007": "print"})
    with share.pool() as pool:
        found = finish(pool, jobs)
    assert len(found) == 16
    for inspection in found.values():
        check_good(share, inspection)


def test_a_crash_is_tried_again_in_a_fresh_worker(share: Share, tmp_path: Path) -> None:
    """The first death may have been another file's doing."""
    marker = tmp_path / "tried"
    share.write("once", f"poison crash-once {marker}")
    with share.pool() as pool:
        # Landlock lets the worker write nothing: the test itself removes the condition of the crash.
        marker.write_bytes(b"")
        pool.submit(share.job("once"))
        first = set(pids(pool))
        while set(pids(pool)) == first:
            assert not pool.poll(0.01)
        marker.unlink()
        found = finish(pool)
    assert analysis_of(found["once"]).fidelity is Fidelity.EXACT
