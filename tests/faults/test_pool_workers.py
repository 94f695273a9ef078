"""The life of the workers: start, idleness, kills from outside, the end; and what they may not do."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import WorkerFailed
from catalog.terms import Inspection, Job, Limits
from tests.faults.poisoned_share import HERE, Share, analysis_of, check_good, finish, patient, pids


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
    with share.pool(workers=1, limits=patient(seconds=1.0)) as pool:
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
    given = patient()
    with share.pool(limits=given) as pool:
        _ = pool.toolchain
        with open(f"/proc/{pids(pool)[0]}/limits") as file:
            limits = {line[:25].strip(): line[26:].split()[:2] for line in file}
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max address space"] == [str(given.memory_bytes)] * 2
