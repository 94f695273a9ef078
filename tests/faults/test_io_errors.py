"""Files that cannot be read, or change under the eyes of the reader: each is recorded as what it is, with errors
that come from below the program."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.asking import Asking
from tests.in_process import Cataloguing, cataloguing_in
from tests.pictures import scan_tif

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``faulty_reads.so``, built here."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: errors of reading cannot be brought about")
    source = Path(__file__).with_name("faulty_reads.c")
    built = tmp_path_factory.mktemp("shim") / "faulty_reads.so"
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-o", built, source, "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"the C compiler cannot build a library here: {done.stderr.strip()[:200]}")
    return built


class Faults:
    """The rules of ``faulty_reads.c`` for decode workers that start from now on."""

    def __init__(self, folder: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._rules = folder / "rules"
        self.fifo = folder / "gate"
        os.mkfifo(self.fifo)
        monkeypatch.setenv("LD_PRELOAD", str(library))
        monkeypatch.setenv("FAULTS", str(self._rules))
        self.set()

    def set(self, *rules: str) -> None:
        """From the next read on."""
        fresh = self._rules.with_suffix(".new")
        fresh.write_text("".join(f"{rule}\n" for rule in rules))
        fresh.replace(self._rules)


@pytest.fixture
def faults(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(tmp_path, library, monkeypatch)


@pytest.fixture
def share(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    folder.mkdir()
    for number, name in enumerate(("good.tif", "bad.tif")):
        scan_tif(folder / name, number)
    return folder


@pytest.fixture
def home(tmp_path: Path, faults: Faults) -> Iterator[Cataloguing]:
    with cataloguing_in(tmp_path) as made:
        yield made


def raw(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_read_error_is_recorded_with_its_errno_and_passes(
    home: Cataloguing, share: Path, faults: Faults
) -> None:
    home.scan(share)
    bad, before = share / "bad.tif", (share / "bad.tif").read_bytes()
    known = raw(bad)
    scan_tif(bad, 7)
    faults.set(f"fail /bad.tif {errno.EIO}")
    assert home.scan(share).tally.unreadable == 1
    assert home.ask.states() == {"bad.tif": "unreadable", "good.tif": "present"}
    assert home.ask.open_drift() == [("bad.tif", "unreadable", ["cannot be read: Input/output error (EIO)"])]
    assert home.ask.record()[b"bad.tif"] == known  # the last content that was read is not forgotten

    faults.set()
    home.scan(share)
    assert home.ask.states() == {"bad.tif": "present", "good.tif": "present"}
    ((_, kind, _),) = home.ask.open_drift()
    assert kind == "picture"  # now it is seen what was written
    bad.write_bytes(before)
    home.scan(share)
    assert home.ask.open_drift() == []


def test_a_file_that_never_could_be_read_has_a_state_and_no_case(
    home: Cataloguing, share: Path, faults: Faults
) -> None:
    faults.set(f"fail /bad.tif {errno.EIO}")
    assert home.scan(share).tally.unreadable == 1
    assert home.ask.states() == {"bad.tif": "unreadable", "good.tif": "present"}
    (row,) = home.ask("SELECT reason FROM v_file WHERE state = 'unreadable'")
    assert row["reason"] == "Input/output error (EIO)"
    assert home.ask.open_drift() == []


def test_a_file_that_grows_while_it_is_read_is_read_again_and_never_recorded_half(
    home: Cataloguing, share: Path, faults: Faults, eventually: Callable[..., Any]
) -> None:
    home.scan(share)
    path = share / "bad.tif"
    scan_tif(path, 7)
    faults.set(f"gate /bad.tif {faults.fifo}")

    def grow() -> None:
        """Its size was taken, and reading it has begun."""
        gate = eventually(lambda: opened(faults.fifo), timeout=60.0)
        with path.open("ab") as file:
            file.write(b"more")
        faults.set()
        os.close(gate)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        home.scan(share)
    finally:
        faults.set()
        writer.join()
    assert home.ask.record()[b"bad.tif"] == raw(path)
    assert len(home.ask("SELECT * FROM v_revision WHERE path LIKE '%/bad.tif'")) == 2
    told = home.ask.events("added", "changed", "unreadable")
    assert sorted(told) == ["added bad.tif", "added good.tif", "changed bad.tif"]


def opened(fifo: Path) -> int | None:
    """The writing end, once somebody waits at the other one."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        assert error.errno == errno.ENXIO
        return None


def without_rights() -> None:
    """In the child: root that may not read what its mode forbids, as everybody else."""
    if os.getuid() == 0:
        library = ctypes.CDLL(None, use_errno=True)
        for right in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if library.prctl(PR_CAPBSET_DROP, right, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "PR_CAPBSET_DROP")


def test_a_file_that_may_not_be_read_is_recorded_with_its_errno(catalog_cli: Any, share: Path) -> None:
    options: dict[str, Any] = {"preexec_fn": without_rights}
    assert catalog_cli("scan", share, **options).code == 0
    (share / "bad.tif").chmod(0)
    ran = catalog_cli("scan", share, "--json", **options)
    assert (ran.code, ran.json["files"]["unreadable"]) == (3, 1), ran.stderr
    ask = Asking(catalog_cli.database)
    reason = "Permission denied (EACCES)"
    assert ask.open_drift() == [("bad.tif", "unreadable", [f"cannot be read: {reason}"])]
    (row,) = ask("SELECT reason FROM v_file WHERE state = 'unreadable'")
    assert row["reason"] == reason

    (share / "bad.tif").chmod(0o644)
    assert catalog_cli("scan", share, **options).code == 0
    assert ask.open_drift() == []
    assert ask.events("unreadable", "readable") == ["unreadable bad.tif", "readable bad.tif"]
