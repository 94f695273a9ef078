"""What the machine offers, judged from its numbers."""

from __future__ import annotations

import ctypes
import os
import sqlite3
from pathlib import Path

import pytest

from catalog.service import doctor_machine
from catalog.service.doctor_machine import (
    Folders,
    State,
    check_clock,
    check_events,
    check_instances,
    check_landlock,
    check_memory,
    check_place,
    check_sqlite,
    check_watches,
    inotify_limit,
    kernel_built,
    watches_in_use,
)


def limits(folder: Path, **numbers: int) -> str:
    for name, number in numbers.items():
        place = folder / "sys" / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{number}\n")
    return str(folder)


def test_the_lower_limit_of_machine_and_namespace_holds(tmp_path: Path) -> None:
    proc = limits(tmp_path, fs__inotify__max_user_watches=9000, user__max_inotify_watches=20)
    assert inotify_limit("watches", proc) == 20
    assert inotify_limit("instances", proc) is None
    proc = limits(tmp_path, fs__inotify__max_user_watches=7)
    assert inotify_limit("watches", proc) == 7


@pytest.mark.parametrize(
    ("folders", "limit", "in_use", "state"),
    [
        (40, 20, 0, State.FAILED),
        (40, 40, 0, State.WARNING),  # no room to grow
        (40, 80, 0, State.OK),
        (40, 80, 41, State.WARNING),  # other programs hold them
        (40, None, 0, State.FAILED),
    ],
)
def test_each_folder_wants_a_watch(folders: int, limit: int | None, in_use: int, state: State) -> None:
    check = check_watches([Folders("one", folders - 10), Folders("two", 10, whole=False)], limit, in_use)
    assert check.state is state
    assert bool(check.advice) is (state is not State.OK)
    if limit:
        assert "at least 40 folders (one 30 and two 10)" in check.what


def test_unwatched_folders_are_counted_and_the_remedy_is_enough() -> None:
    check = check_watches([Folders("masters", 3_000_000)], 1_000_000, 0)
    assert "2,000,000 folders would go unwatched" in check.what
    assert "fs.inotify.max_user_watches = 6000000" in check.advice


def test_without_shares_the_limit_is_told() -> None:
    assert check_watches([], 1_048_576, 0).state is State.OK
    assert check_watches([], 8192, 0).state is State.WARNING


def test_instances_and_queue() -> None:
    assert check_instances(3, 128).state is State.OK
    assert check_instances(127, 128).state is State.FAILED
    assert check_events(100, 16_384).state is State.OK
    assert check_events(100_000, 16_384).state is State.WARNING
    assert check_events(1, 256).state is State.WARNING
    assert check_events(1, None).state is State.FAILED


def test_watches_in_use_are_those_of_this_users_processes(tmp_path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    others = watches_in_use(apart_from=os.getpid())
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    try:
        for name in "abc":
            (tmp_path / name).mkdir()
            assert libc.inotify_add_watch(descriptor, bytes(tmp_path / name), 0x100) > 0
        assert watches_in_use() >= 3
        with open(f"/proc/self/fdinfo/{descriptor}") as stream:
            assert stream.read().count("inotify wd:") == 3
    finally:
        os.close(descriptor)
    assert others >= 0


def test_the_clock_is_held_against_kernel_program_and_record() -> None:
    built = kernel_built("#1 SMP PREEMPT_DYNAMIC Debian 6.1.170-1 (2026-02-03)")
    assert built == kernel_built("#1 SMP Tue Feb  3 11:12:13 UTC 2026")
    assert kernel_built("no date at all") is None
    assert kernel_built("#1 SMP Tue Feb 31 11:12:13 UTC 2026") is None
    later = 4_000_000_000.0
    assert check_clock(later).state is State.OK
    assert check_clock(0.0).state is State.FAILED
    check = check_clock(later, newest_event_ms=int(later * 1000) + 86_400_000)
    assert check.state is State.FAILED
    assert "the newest event was recorded" in check.what
    assert check_clock(later, newest_event_ms=int(later * 1000) - 1).state is State.OK


def test_a_place_that_can_be_made_is_well(tmp_path: Path) -> None:
    found = {check.name: check for check in check_place(str(tmp_path / "new" / "c.sqlite3"))}
    assert found["database file system"].state is State.OK
    assert found["database permission"].state is State.OK
    assert "may make it" in found["database permission"].what
    assert not (tmp_path / "new").exists()


def test_network_file_systems_are_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine, "is_network", lambda fstype: True)
    check = check_place(str(tmp_path / "c.sqlite3"))[0]
    assert (check.state, "--database" in check.advice) == (State.FAILED, True)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor_machine.shutil.disk_usage(tmp_path)
    for free, state in ((10**6, State.FAILED), (10**9, State.WARNING), (10**11, State.OK)):
        monkeypatch.setattr(
            doctor_machine.shutil, "disk_usage", lambda _, free=free: real._replace(free=free)
        )
        assert check_place(str(tmp_path / "c.sqlite3"))[2].state is state


def test_permissions_are_those_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "c.sqlite3"
    database.touch()
    allowed = {os.R_OK}
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & ~sum(allowed))
    assert check_place(str(database))[1].state is State.WARNING
    allowed.clear()
    assert check_place(str(database))[1].state is State.FAILED
    database.unlink()
    assert check_place(str(database))[1].state is State.FAILED


def test_memory_landlock_and_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_memory(1).name == "memory"
    assert check_memory(10**6).state is State.WARNING
    monkeypatch.setattr(doctor_machine, "landlock_abi", lambda: None)
    assert check_landlock().state is State.WARNING
    monkeypatch.setattr(doctor_machine, "landlock_abi", lambda: 7)
    assert check_landlock().state is State.OK
    assert check_sqlite().what == sqlite3.sqlite_version
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    assert check_sqlite().state is State.FAILED
