"""A storm over the shares of a real daemon, mixed with faults, in a user and mount namespace of its own.

    unshare -Urmpf --kill-child --mount-proc python -m tests.storm_daemon FOLDER SEED SECONDS

Prints one line of JSON: what was done, and what was wrong. The storm blows on ``FOLDER/disk``, the daemon follows
bind mounts of it, which come and go. Every so often there is rest: then the record must equal the disk.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.asking import Asking
from tests.storm import Storm
from tests.storm_judging import differences, moment, of_the_round, recorded

SETTINGS: Final = """
settle_seconds = 0.1
quiet_seconds = 0.4
writer_quiet_seconds = 2.0
absence_seconds = 4.0
guard_interval_seconds = 0.2
poll_interval_seconds = 1.0
reconcile_interval_seconds = 60
cookie_seconds = 0.5
mass_missing_files = 100000
mass_change_files = 100000
workers = 1
"""
WATCHES: Final = "/proc/sys/user/max_inotify_watches"
MANY: Final = 100_000
ROUND_SECONDS: Final = 12.0
REST_SECONDS: Final = 90.0
PROMPT_SECONDS: Final = 20.0
"""Rests that end later needed the periodic walk: the kernel tells nothing of a write under a name that is not
catalogued, and whose file has another name that is."""
KINDS: Final = {
    "missing": "not recorded",
    "ghosts": "recorded, and not there",
    "wrong digests": "another checksum",
}
"""How each kind of difference between the record and the disk begins; the rest is unsettled."""
LOST: Final = "lost histories"
"""After these a storm goes on: the record is the disk all the same."""
MS_BIND, MNT_DETACH = 4096, 2
_libc = ctypes.CDLL(None, use_errno=True)


def bind(source: bytes, target: bytes) -> None:
    """mount --bind"""
    if _libc.mount(source, target, b"none", MS_BIND, b""):
        raise OSError(ctypes.get_errno(), f"bind {source!r} on {target!r}")


def unmount(target: bytes) -> None:
    """umount --lazy"""
    if _libc.umount2(target, MNT_DETACH):
        raise OSError(ctypes.get_errno(), f"umount {target!r}")


class Siege:
    """The daemon, the storm, and what befalls them. ``report`` is what came of it."""

    def __init__(self, folder: bytes, seed: int) -> None:
        self._folder = folder
        self._home = Path(os.fsdecode(folder)) / "home"
        self._home.mkdir()
        (self._home / "catalog.toml").write_text(SETTINGS)
        self._names = (b"one", b"two")
        disk = folder + b"/disk"
        os.mkdir(disk)
        self.storm = Storm([disk + b"/" + name for name in self._names], disk + b"/out", seed)
        self._chance = self.storm.chance
        for name in self._names:
            os.makedirs(folder + b"/shares/" + name)
            bind(disk + b"/" + name, folder + b"/shares/" + name)
        self.ask = Asking(self._home / "catalog.sqlite3")
        self._daemon: subprocess.Popen[bytes] | None = None
        self._undo: dict[str, tuple[float, Callable[[], None]]] = {}
        self.faults: Counter[str] = Counter()
        self.found: dict[str, list[str]] = {"errors": []}
        self.rests: list[float] = []
        self.followed = 0
        """Files that nobody wrote between two rests, and whose histories must be theirs at the second."""
        self.late: list[str] = []
        """What was not recorded yet when a rest had lasted for ``PROMPT_SECONDS``."""

    # ---------------------------------------------------------------------------------------- daemon

    def start(self) -> None:
        """Start the daemon, which may not read what it has no permission for."""
        log = os.open(self._home / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        caps = "-dac_override,-dac_read_search"
        shares = [os.fsdecode(self._folder + b"/shares/" + name) for name in self._names]
        command = ["setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}", sys.executable, "-m", "catalog"]
        self._daemon = subprocess.Popen(
            [*command, "watch", *shares, "-v"],
            env={
                **os.environ,
                "CATALOG_DATABASE": str(self._home / "catalog.sqlite3"),
                "CATALOG_CONFIG": str(self._home / "catalog.toml"),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        os.close(log)

    def end(self, sign: int = signal.SIGTERM) -> None:
        """End it, and wait for its end."""
        if self._daemon is not None:
            self._daemon.send_signal(sign)
            self._daemon.send_signal(signal.SIGCONT)
            code = self._daemon.wait(60)
            if code not in (0, -sign):
                self.found["errors"].append(f"the daemon ended with {code}: {self._last_words()}")
            self._daemon = None

    def _last_words(self) -> str:
        lines = (self._home / "log").read_text(errors="backslashreplace").splitlines()
        return " / ".join(lines[-3:])

    # ---------------------------------------------------------------------------------------- faults

    def _until(self, name: str, seconds: float, undo: Callable[[], None]) -> None:
        self._undo[name] = (time.monotonic() + seconds, undo)

    def _mend(self, *, everything: bool = False) -> None:
        for name, (due, undo) in list(self._undo.items()):
            if everything or time.monotonic() >= due:
                del self._undo[name]
                undo()

    def fault(self) -> None:
        """One thing that goes wrong, if it does not already."""
        name = self._chance.choice(("kill", "restart", "freeze", "flood", "burst", "limit", "away", "lock"))
        if name in self._undo or (name != "burst" and self._daemon is None):
            return
        self.faults[name] += 1
        seconds = 0.2 + self._chance.random()
        if name in ("kill", "restart"):
            self.end(signal.SIGKILL if name == "kill" else signal.SIGTERM)
            self._until(name, seconds, self.start)
        elif name in ("freeze", "flood", "burst"):
            self._burst(frozen=name != "burst", flood=name == "flood")
        elif name == "limit":
            Path(WATCHES).write_text("3")
            self._until(name, 2 * seconds, lambda: Path(WATCHES).write_text(str(MANY)) and None)
        elif name == "away":
            share = self._chance.choice(self._names)
            target = self._folder + b"/shares/" + share
            unmount(target)
            self._until(name, seconds, lambda: bind(self._folder + b"/disk/" + share, target))
        else:
            self._lock(seconds)

    def _burst(self, *, frozen: bool, flood: bool) -> None:
        assert self._daemon is not None or not frozen
        if frozen and self._daemon is not None:
            self._daemon.send_signal(signal.SIGSTOP)
        for _ in range(self._chance.randrange(20, 120)):
            self.storm.step()
        if flood:
            self.storm.flood()
        if frozen and self._daemon is not None:
            self._daemon.send_signal(signal.SIGCONT)

    def _lock(self, seconds: float) -> None:
        folder = self.storm.folder(share_too=False)
        if folder is None:
            return
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fchmod(fd, 0)

        def unlock() -> None:
            os.fchmod(fd, 0o755)
            os.close(fd)

        self._until("lock", seconds, unlock)

    # ----------------------------------------------------------------------------------------- rounds

    def run(self, seconds: float) -> None:
        """Storm and rest, in turn, for about so long."""
        Path(WATCHES).write_text(str(MANY))
        end = time.monotonic() + seconds
        self.start()
        try:
            self._rest(None)
            while time.monotonic() < end and not self._wrong():
                since = time.time_ns() // 1_000_000
                self.storm.rest()
                histories = recorded(self.ask, self._translate).histories
                before = {path: histories.get(path) for path in self.storm.inside()}
                bodies = {self.storm.tree.files[path].number: file_id for path, file_id in before.items()}
                shares, away = self._shares(), self.faults["away"]
                self._blow(min(end, time.monotonic() + ROUND_SECONDS))
                if self.faults["away"] != away:
                    # Nothing is proven of a share that is away: what went from it to the other one is new there.
                    now = self._shares()
                    bodies = {body: bodies[body] for body in bodies if shares[body] == now.get(body)}
                self._rest((since, bodies))
            self._mend(everything=True)
        finally:
            self.end()

    def _wrong(self) -> bool:
        return any(said for kind, said in self.found.items() if kind != LOST)

    def _shares(self) -> dict[int, bytes]:
        """In which share each body is."""
        at = len(self._folder + b"/disk/")
        return {body.number: path[at:].partition(b"/")[0] for path, body in self.storm.inside().items()}

    def _blow(self, until: float) -> None:
        while time.monotonic() < until:
            self.storm.step()
            if self._chance.random() < 0.02:
                self.fault()
            self._mend()
            time.sleep(self._chance.random() * self._chance.choice((0.01, 0.04, 0.2)))

    def _rest(self, judged: tuple[int, dict[int, int | None]] | None) -> None:
        self.storm.close()
        self._mend(everything=True)
        if self._daemon is None:
            self.start()
        now, began = moment(self.storm), time.monotonic()
        said: list[str] = ["nothing was asked yet"]
        late: list[str] = []
        while said and time.monotonic() < began + REST_SECONDS:
            time.sleep(0.3)
            assert self._daemon is not None
            if self._daemon.poll() is not None:
                self.found["errors"].append(f"the daemon ended by itself: {self._last_words()}")
                return
            try:
                said = differences(recorded(self.ask, self._translate), now)
                said += [f"in the backlog: {row['path']!r}" for row in self.ask("SELECT * FROM job")]
            except Exception as error:  # noqa: BLE001 - there is no catalogue yet
                said = [repr(error)]
            if not late and said and time.monotonic() >= began + PROMPT_SECONDS:
                self.late += (late := said)
        self.rests.append(time.monotonic() - began)
        for words in said:
            kind = next((kind for kind, start in KINDS.items() if words.startswith(start)), "unsettled")
            self.found.setdefault(kind, []).append(words)
        if judged is not None and not said:
            self.followed += sum(body in judged[1] for body in self.storm.constant)
            for kind, words in of_the_round(self.ask, self._translate, self.storm, *judged).items():
                self.found.setdefault(kind, []).extend(words)

    def _translate(self, path: bytes) -> bytes:
        """From the share's path to the disk's."""
        shares = self._folder + b"/shares/"
        return self._folder + b"/disk/" + path[len(shares) :] if path.startswith(shares) else path

    def report(self) -> dict[str, object]:
        return {
            "operations": sum(self.storm.done.values()),
            "faults": sum(self.faults.values()),
            "kinds of fault": dict(self.faults),
            "files": len(self.storm.inside()),
            "rests": [round(seconds, 1) for seconds in self.rests],
            "late": self.late,
            "followed": self.followed,
            "found": self.found,
        }


def main() -> None:
    folder, seed, seconds = os.fsencode(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    siege = Siege(folder, seed)
    siege.run(seconds)
    print(json.dumps(siege.report()))


if __name__ == "__main__":
    main()
