"""The leak check of tests/conftest.py fails the test that leaks, and no other."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LEAKS = """
import os, subprocess, threading

def test_thread():
    threading.Thread(target=threading.Event().wait, name="straggler", daemon=True).start()

def test_child():
    subprocess.Popen(["sleep", "600"]).returncode = 0

def test_zombie():
    os._exit(0) if os.fork() == 0 else None

def test_descriptor():
    os.open("/dev/null", os.O_RDONLY)

def test_clean():
    cycle = []
    cycle.append((cycle, threading.Lock()))
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    subprocess.run(["true"])
"""


@pytest.mark.slow
def test_a_thread_a_child_a_zombie_or_a_descriptor_left_behind_fails_its_test(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((Path(__file__).parents[1] / "conftest.py").read_text())
    (tmp_path / "test_leaks.py").write_text(LEAKS)
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "--rootdir",
            tmp_path,
            ".",
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as started:
        assert started.stdout is not None
        lines = []
        for line in started.stdout:
            lines.append(line)
            if " in " in line and "passed" in line:
                break
        os.killpg(started.pid, signal.SIGKILL)  # the sleeper holds our pipe
    report = "".join(lines)
    for name, words in {
        "test_thread": "thread straggler",
        "test_child": "child process .*sleep 600",
        "test_zombie": "child process .*zombie",
        "test_descriptor": "descriptor .*/dev/null",
    }.items():
        assert f"ERROR test_leaks.py::{name} " in report
        assert re.search(f"E +AssertionError: left behind: {words}", report), report
    assert "5 passed, 4 errors" in report
