"""Landlock: what a restricted process can still do. Each case runs in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from catalog.sandbox import landlock_abi

needs_landlock = pytest.mark.skipif(landlock_abi() is None, reason="this kernel has no Landlock")

PROGRAM = """
import os, sys, threading, subprocess
from catalog.sandbox import restrict_writes
closed, allowed = sys.argv[1:]
already_open = open(closed + "/log", "a")
abi = restrict_writes(allowed)

def attempt(name, deed):
    try:
        deed()
    except OSError as error:
        print(name, type(error).__name__)
    else:
        print(name, "ok")

def create(folder):
    with open(folder + "/new", "w") as file:
        file.write("x")

attempt("read", lambda: open(closed + "/a").read())
for label, folder in (("closed", closed), ("allowed", allowed)):
    attempt(label + " create", lambda: create(folder))
    attempt(label + " write", lambda: open(folder + "/a", "r+").close())
    attempt(label + " truncate", lambda: os.truncate(folder + "/a", 0))
    attempt(label + " remove", lambda: os.remove(folder + "/b"))
    attempt(label + " mkdir", lambda: os.mkdir(folder + "/folder"))
attempt("open before", lambda: (already_open.write("x"), already_open.flush()))
thread = threading.Thread(target=attempt, args=("thread", lambda: create(closed)))
thread.start()
thread.join()
print("child", subprocess.run(["touch", closed + "/child"], capture_output=True).returncode != 0)
print("abi", abi)
"""


def ran(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@needs_landlock
def test_writes_are_possible_only_below_the_named_folders(tmp_path: Path) -> None:
    folders = [tmp_path / "closed", tmp_path / "allowed"]
    for folder in folders:
        folder.mkdir()
        for name in "ab":
            (folder / name).write_text("as it was")
    said = dict(line.rsplit(" ", 1) for line in ran(PROGRAM, *map(str, folders)).splitlines())
    abi = int(said.pop("abi"))
    assert abi == landlock_abi()
    truncate = said.pop("closed truncate")
    assert truncate == ("PermissionError" if abi >= 3 else "ok")
    assert said == {
        "read": "ok",
        "closed create": "PermissionError",
        "closed write": "PermissionError",
        "closed remove": "PermissionError",
        "closed mkdir": "PermissionError",
        "allowed create": "ok",
        "allowed write": "ok",
        "allowed truncate": "ok",
        "allowed remove": "ok",
        "allowed mkdir": "ok",
        "open before": "ok",
        "thread": "PermissionError",
        "child": "True",
    }
    assert sorted(path.name for path in folders[0].iterdir()) == ["a", "b", "log"]


@needs_landlock
def test_without_folders_nothing_can_be_written(tmp_path: Path) -> None:
    program = """
        import sys
        from catalog.sandbox import restrict_writes
        restrict_writes()
        try:
            open(sys.argv[1] + "/new", "w")
        except PermissionError:
            print("refused")
        """
    assert ran(program, str(tmp_path)) == "refused\n"


@needs_landlock
def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    program = """
        import sys
        from catalog.sandbox import restrict_writes
        try:
            restrict_writes(sys.argv[1], sys.argv[1] + "/missing")
        except FileNotFoundError:
            open(sys.argv[1] + "/new", "w").close()
            print("not restricted")
        """
    assert ran(program, str(tmp_path)) == "not restricted\n"
