"""What all tests share: waiting for facts, no leaks, the real images, and the program as a real process."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from tests.warm_start import Starter

CHECKOUT = Path(__file__).resolve().parent.parent


def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor: many tests wait for a daemon, a file that settles, or a process that starts."""
    return 2 * len(os.sched_getaffinity(0))


def pytest_configure() -> None:
    """Take signals as a terminal sends them: ``nohup`` and a shell's ``&`` ignore them, and children inherit that."""
    for number, usual in [(signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)]:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """``eventually(predicate, timeout=5.0)``: poll until the predicate is true (``tests.waiting.until``)."""
    return until


# ------------------------------------------------------------------------------------------------- leaks


@dataclass(frozen=True)
class Held:
    """What this process holds that a test could leave behind."""

    threads: frozenset[threading.Thread]
    children: frozenset[int]
    descriptors: frozenset[tuple[int, int, int]]

    @classmethod
    def now(cls) -> Held:
        return cls(frozenset(threading.enumerate()), frozenset(_children()), frozenset(_descriptors()))

    def beyond(self, before: Held) -> list[str]:
        return [
            *(f"thread {thread.name}" for thread in self.threads - before.threads),
            *(f"child process {pid}: {_command(pid)}" for pid in self.children - before.children),
            *(
                f"descriptor {number} -> {_target(number)}"
                for number, *_ in self.descriptors - before.descriptors
            ),
        ]


def _children() -> Iterator[int]:
    """Children of this process, zombies (nobody waited for them) among them."""
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children") as stream:
                yield from map(int, stream.read().split())
        except FileNotFoundError:  # the thread has just ended
            continue


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as stream:
            return stream.read().replace("\0", " ").strip() or "(zombie)"
    except FileNotFoundError:
        return "(gone)"


def _descriptors() -> Iterator[tuple[int, int, int]]:
    """Number, device and inode: the name of an open file may change, what it is does not."""
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            status = os.fstat(number)
        except OSError:  # the listing's own
            continue
        yield number, status.st_dev, status.st_ino


def _target(number: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except FileNotFoundError:
        return "(closed)"


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    """Fail the test that leaves a thread, a child process or a file descriptor behind.

    Set up before every other fixture of the test and torn down after it, so fixtures are held to it, too.
    """
    before = Held.now()
    yield
    left = Held.now().beyond(before)
    deadline = time.monotonic() + 2.0
    while left and time.monotonic() < deadline:
        gc.collect()  # a reference cycle is no leak
        time.sleep(0.01)  # nor is a thread on its way out
        left = Held.now().beyond(before)
    assert not left, "left behind: " + "; ".join(left)


# ----------------------------------------------------------------------------------- images, the program


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real images (``CATALOG_CORPUS``, or ``../shared/corpus`` beside the checkout)."""
    named = os.environ.get("CATALOG_CORPUS")
    folder = Path(named) if named else CHECKOUT.parent / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip(f"the image corpus is not here: {folder} (set CATALOG_CORPUS)")
    return folder


@pytest.fixture
def public_path() -> Iterator[Path]:
    """As ``tmp_path``, but other users can reach it: pytest closes its own folders whenever one of its runs begins."""
    with tempfile.TemporaryDirectory(prefix="catalog-test-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@dataclass(frozen=True)
class Ran:
    """What one run of ``catalog`` came to."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class CatalogCli:
    """Runs ``python -m catalog`` as a real process with a home of its own; called, by ``warm_start``.

    The database and the configuration are named by the environment: a developer's real catalogue in
    ``/var/lib/catalog`` is never touched. ``env={"CATALOG_DATABASE": None}`` takes a variable away.
    """

    def __init__(self, home: Path, starter: Callable[[], Starter] | None = None) -> None:
        self._starter = starter
        self.home = home
        self.database = home / "catalog.sqlite3"
        self.config = home / "catalog.toml"
        self.config.touch()
        self.python = sys.executable

    def environment(self, env: Mapping[str, str | None] | None = None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not _steers_catalog(name)}
        wanted: dict[str, str | None] = {
            **kept,
            "HOME": str(self.home),
            "CATALOG_DATABASE": str(self.database),
            "CATALOG_CONFIG": str(self.config),
            "PYTHONPATH": str(CHECKOUT),
            **(env or {}),
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def start(
        self,
        *words: str | bytes | os.PathLike[str],
        cwd: Path | str | None = None,
        env: Mapping[str, str | None] | None = None,
        prefix: Sequence[str] = (),
        **options: Any,
    ) -> subprocess.Popen[bytes]:
        """The process itself, with pipes; the caller ends it (``with`` does). ``prefix``: a command that starts it."""
        return subprocess.Popen(
            [*prefix, self.python, "-m", "catalog", *words],
            cwd=cwd or self.home,
            env=self.environment(env),
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    def __call__(
        self,
        *words: str | bytes | os.PathLike[str],
        stdin: bytes | None = None,
        timeout: float = 60.0,
        **options: Any,
    ) -> Ran:
        """Run to the end. A run that takes longer than ``timeout`` seconds is killed and fails the test."""
        if self._starter is not None and stdin is None and not self._is_special(**options):
            return self._warm(words, timeout, **options)
        if stdin is not None:
            options["stdin"] = subprocess.PIPE
        with self.start(*words, start_new_session=True, **options) as started:
            try:
                stdout, stderr = started.communicate(stdin, timeout)
            except BaseException:
                os.killpg(started.pid, signal.SIGKILL)  # its decode workers, too
                raise
        return Ran(started.returncode, stdout or b"", (stderr or b"").decode(errors="backslashreplace"))

    @staticmethod
    def _is_special(*, env: Mapping[str, str | None] | None = None, **options: Any) -> bool:
        """Whether the start of the interpreter is part of what is tested."""
        changed = set(env or ())
        return bool(options.keys() - {"cwd"}) or any(
            name.startswith(("PYTHON", "LC_", "LANG", "LD_", "PATH")) for name in changed
        )

    def _warm(
        self,
        words: Sequence[str | bytes | os.PathLike[str]],
        timeout: float,
        *,
        cwd: Path | str | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> Ran:
        assert self._starter is not None
        starter = self._starter()
        with (
            open(os.devnull, "rb") as nothing,
            tempfile.TemporaryFile() as stdout,
            tempfile.TemporaryFile() as stderr,
        ):
            descriptors = [stream.fileno() for stream in (nothing, stdout, stderr)]
            code = starter.run(
                words,
                cwd=str(cwd or self.home),
                environment=self.environment(env),
                descriptors=descriptors,
                timeout=timeout,
            )
            for stream in (stdout, stderr):
                stream.seek(0)
            return Ran(code, stdout.read(), stderr.read().decode(errors="backslashreplace"))


def _steers_catalog(name: str) -> bool:
    return name.startswith(("CATALOG_", "XDG_", "PYTHON")) or name in (
        "STATE_DIRECTORY",
        "JOURNAL_STREAM",
        "NOTIFY_SOCKET",
    )


@pytest.fixture(scope="session")
def warm_starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    starter = Starter(CatalogCli(tmp_path_factory.mktemp("starter")).environment())
    yield starter
    starter.close()


@pytest.fixture
def catalog_cli(tmp_path_factory: pytest.TempPathFactory, warm_starter: Starter) -> CatalogCli:
    """``catalog_cli("scan", folder).json``; see ``CatalogCli``."""
    return CatalogCli(tmp_path_factory.mktemp("home"), lambda: warm_starter)
