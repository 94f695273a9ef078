"""Whatever one file does to the worker that opens it: one failure, and nothing else is lost."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import WorkerFailed
from catalog.inspection import Pool
from catalog.terms import Analysis, Failure, FailureKind, Fidelity, Inspection, Job, Limits, Stat, human_size

HERE = Path(__file__).resolve().parent
# A crash is known to be for want of memory by the peak of the worker, in which the kernel counts ours.
MEMORY = max(250 << 20, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 * 3)
LIMITS = Limits(seconds=20.0, memory_bytes=MEMORY)
IMPATIENT = Limits(seconds=1.5, memory_bytes=MEMORY)
TOO_MUCH = f"needs more memory than the limit of {human_size(MEMORY)}"

Deeds = dict[str, str]
FATAL = {
    "segv": "the decoder crashed (SIGSEGV)",
    "abort": "the decoder crashed (SIGABRT): libimage: impossible strip",
    "exit": "the decoder ended its process (exit code 3)",
    "kill": "the decoder was killed (SIGKILL), perhaps for want of memory",
    "hang": "took longer than 1.5 s",
    "spin": "took longer than 1.5 s",
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
            "limits": LIMITS,
            "root_paths": {1: os.fsencode(self.folder)}.__getitem__,
            "known": lambda _: set(),
            "analyser": "poison:analyse",
            "python_path": [str(HERE)],
        }
        return Pool(**given | options)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    (tmp_path / "share").mkdir()
    return Share(tmp_path / "share")


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
    assert analysis_of(inspection).reason == reason


# ------------------------------------------------------------------------------------------------- poison


@pytest.mark.parametrize("deed", FATAL)
def test_one_poison_file_in_a_batch_is_one_failure(share: Share, deed: str) -> None:
    jobs = share.fill(16, {"007": deed})
    with share.pool(limits=IMPATIENT if deed in ("hang", "spin") else LIMITS) as pool:
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
    with share.pool(limits=IMPATIENT) as pool:
        found = finish(pool, jobs)
    assert len(found) == 200
    for name, deed in deeds.items():
        check_poisoned(share, found.pop(name), FATAL[deed])
    for inspection in found.values():
        check_good(share, inspection)


@pytest.mark.parametrize(("one", "other"), [*itertools.product(["segv", "hang", "malloc-bomb"], repeat=2)])
def test_two_poisons_side_by_side(share: Share, one: str, other: str) -> None:
    jobs = share.fill(16, {"007": one, "008": other})
    with share.pool(workers=1, limits=IMPATIENT) as pool:
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


# -------------------------------------------------------------------------------------------- a bad share


def test_a_share_that_hangs_costs_one_file(share: Share) -> None:
    jobs = share.fill(15)
    share.write("hang-on-read", "x")
    with share.pool(analyser="bad_share:analyse", limits=IMPATIENT) as pool:
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
    assert found.analysis == Analysis(Fidelity.UNVERIFIED, "too large: raise decode_limit")


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


# ------------------------------------------------------------------------------------------ worker's life


def test_workers_that_cannot_start_are_an_error_with_their_last_words(share: Share) -> None:
    with share.pool(analyser="no_such_module:analyse") as pool:
        with pytest.raises(WorkerFailed, match="cannot be started: ModuleNotFoundError: No module named"):
            _ = pool.toolchain
        pool.submit(share.fill(1)[0])
        with pytest.raises(WorkerFailed):
            finish(pool)
        assert pool.close() == [Job(1, b"000", 18)]


def test_a_limit_that_no_worker_fits_in_is_an_error(share: Share) -> None:
    limits = Limits(memory_bytes=48 << 20)
    with (
        share.pool(limits=limits, analyser="catalog.pixels.analyse:analyse") as pool,
        pytest.raises(WorkerFailed, match="cannot be started"),
    ):
        _ = pool.toolchain


def test_a_missing_library_is_not_the_files_fault(share: Share) -> None:
    jobs = share.fill(3, {"001": "missing-library"})
    with share.pool() as pool:
        with pytest.raises(WorkerFailed, match="a decoder is missing: ModuleNotFoundError"):
            finish(pool, jobs)
        assert share.job("001") in pool.close()


def test_an_upgrade_under_a_running_program_is_noticed(share: Share, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    shutil.copy(HERE / "poison.py", library / "poison.py")
    jobs = share.fill(4)
    with share.pool(python_path=[str(library)]) as pool:
        finish(pool, jobs[:2])
        pool.stop_idle()
        with open(library / "poison.py", "a") as file:
            file.write("\n# a new version\n")
        with pytest.raises(WorkerFailed, match="replaced while it ran; restart it"):
            finish(pool, jobs[2:])


def test_idle_workers_stop_and_come_back(share: Share) -> None:
    jobs = share.fill(8)
    with share.pool() as pool:
        finish(pool, jobs[:4])
        toolchain = pool.toolchain
        pool.stop_idle()
        assert pids(pool) == []
        found = finish(pool, jobs[4:])
        assert pool.toolchain == toolchain
    assert sorted(found) == ["004", "005", "006", "007"]


def test_a_single_file_wakes_a_single_worker(share: Share) -> None:
    with share.pool(workers=4) as pool:
        finish(pool, share.fill(5))
        assert len(pids(pool)) == 1


def test_many_files_wake_all_workers(share: Share) -> None:
    with share.pool(workers=3) as pool:
        finish(pool, share.fill(400))
        assert len(pids(pool)) == 3


def test_the_window_closes_and_opens(share: Share) -> None:
    jobs = share.fill(3000 // 4)
    with share.pool(workers=1) as pool:
        fed = 0
        found = 0
        while found < len(jobs):
            while fed < len(jobs) and pool.wants_more:
                pool.submit(jobs[fed])
                fed += 1
            assert pool.outstanding <= 512
            found += len(pool.poll(1.0))


def test_a_main_loop_can_wait_for_the_pool(share: Share) -> None:
    with share.pool() as pool:
        assert pool.poll(30.0) == []  # nothing is outstanding: no wait
        _ = pool.toolchain
        pool.submit(share.fill(1)[0])
        pool.flush()
        found: list[Inspection] = []
        while not found:
            assert select.select([pool.fileno()], [], [], 10.0)[0]
            found = pool.poll(0.0)
    assert found[0].job.path == b"000"


def test_close_is_quick_and_gives_the_unfinished_jobs_back(share: Share) -> None:
    jobs = share.fill(100, {"098": "hang", "099": "spin"})
    pool = share.pool(limits=Limits(seconds=100.0))
    for job in jobs:
        pool.submit(job)
    done: list[Job] = []
    while len(done) < 36:  # the other batch has a file that hangs
        done += [inspection.job for inspection in pool.poll(1.0)]
    workers = pids(pool)
    begun = time.monotonic()
    unfinished = pool.close()
    assert time.monotonic() - begun < 1.0
    assert sorted(job.path for job in [*done, *unfinished]) == [job.path for job in jobs]
    assert {b"098", b"099"} <= {job.path for job in unfinished}
    assert pool.close() == []
    for pid in workers:
        assert not os.path.exists(f"/proc/{pid}")


def test_a_storm_of_kills_blames_no_file(share: Share) -> None:
    chance = random.Random(11)
    jobs = share.fill(600)
    kills = 0
    with share.pool() as pool:
        for job in jobs:
            pool.submit(job)
        found: dict[str, Inspection] = {}
        while pool.outstanding:
            batch = pool.poll(0.2)
            for inspection in batch:
                assert inspection.job.path.decode() not in found
                found[inspection.job.path.decode()] = inspection
            if batch and pids(pool) and kills < 25:
                os.kill(chance.choice(pids(pool)), signal.SIGKILL)
                kills += 1
    assert len(found) == 600 and kills >= 3
    for inspection in found.values():
        check_good(share, inspection)


def test_a_worker_that_somebody_stopped_blames_no_file(share: Share) -> None:
    jobs = share.fill(10)
    with share.pool(workers=1, limits=IMPATIENT) as pool:
        _ = pool.toolchain
        stopped = pids(pool)[0]
        os.kill(stopped, signal.SIGSTOP)
        found = finish(pool, jobs)
        assert stopped not in pids(pool)
    for inspection in found.values():
        check_good(share, inspection)


def test_a_worker_that_dies_idle_is_replaced(share: Share) -> None:
    jobs = share.fill(4)
    with share.pool(workers=1) as pool:
        finish(pool, jobs[:2])
        os.kill(pids(pool)[0], signal.SIGKILL)
        found = finish(pool, jobs[2:])
    for inspection in found.values():
        check_good(share, inspection)


def test_a_decoder_cannot_change_a_file(share: Share) -> None:
    victim = share.write("victim", "as it was")
    share.write("evil", f"poison write {victim}")
    with share.pool() as pool:
        _ = pool.toolchain
        if pool.landlock is None:
            pytest.skip("this kernel has no Landlock")
        found = finish(pool, [share.job("evil")])
    assert (analysis_of(found["evil"]).reason or "").startswith("the decoder failed: PermissionError")
    assert victim.read_bytes() == b"as it was"


@pytest.mark.parametrize("deed", ["hang", "spin", "good"])
def test_no_worker_outlives_a_parent_that_was_killed(
    share: Share, deed: str, eventually: Callable[..., Any]
) -> None:
    share.fill(1, {"000": deed} if deed != "good" else None)
    program = textwrap.dedent(
        """
        import sys
        from catalog.inspection import Pool
        from catalog.terms import Job, Limits
        pool = Pool(workers=2, limits=Limits(), root_paths=lambda _: sys.argv[1].encode(), known=lambda _: set(),
                    analyser="poison:analyse", python_path=[sys.argv[2]])
        pool.toolchain
        pool.submit(Job(1, b"000", 10))
        pool.poll(1.0)
        print(*[worker.pid for worker in pool._crew.workers], flush=True)
        sys.stdin.read()
        """
    )
    command = [sys.executable, "-c", program, str(share.folder), str(HERE)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE.parent.parent
    ) as parent:
        assert parent.stdout
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert workers
        parent.kill()
    eventually(lambda: not any(_alive(pid) for pid in workers))


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_worker_has_one_thread_and_nothing_of_ours(share: Share) -> None:
    """Landlock binds a thread and its children, so there must be no other one before it; and what the parent
    has open, a database above all, is none of a decoder's business."""
    with share.pool(analyser="catalog.pixels.analyse:analyse", limits=Limits()) as pool:
        _ = pool.toolchain
        pid = pids(pool)[0]
        assert os.listdir(f"/proc/{pid}/task") == [str(pid)]
        targets = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    kinds = sorted(target.split("/")[-1].split(":[")[0].removesuffix(" (deleted)") for target in targets)
    assert kinds == ["memfd:catalog-slot", "memfd:catalog-words", "null", "null", "pipe", "pipe"]


def test_a_poisoned_worker_leaves_no_core(share: Share) -> None:
    with share.pool() as pool:
        _ = pool.toolchain
        with open(f"/proc/{pids(pool)[0]}/limits") as file:
            limits = {line[:25].strip(): line[26:].split()[:2] for line in file}
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max address space"] == [str(LIMITS.memory_bytes)] * 2
