"""Run inside ``unshare -Urm`` by test_hung_share: the server of one of two watched shares stops answering."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.asking import Asking, picture, truth
from tests.mounting import not_here
from tests.waiting import until


def soon(predicate: Callable[[], object], what: str) -> None:
    until(predicate, 40.0, what=what)


def main(base: Path, database: Path) -> None:
    store, far, near = base / "store", base / "far", base / "near"
    for folder in (store, far, near):
        folder.mkdir()
    for shade in range(12):
        picture(store / f"{shade}.tif", shade)
    picture(near / "first.tif", 100)
    with subprocess.Popen(["bindfs", "-f", store, far], stderr=subprocess.PIPE) as server:
        try:
            watch(server, store, far, near, database)
        finally:
            server.send_signal(signal.SIGCONT)
            subprocess.run(["umount", "-l", far], check=False)
            server.terminate()


def watch(server: subprocess.Popen[bytes], store: Path, far: Path, near: Path, database: Path) -> None:
    mount = os.fsencode(far)
    soon(lambda: server.poll() is not None or mount in Path("/proc/self/mountinfo").read_bytes(), "the mount")
    if server.poll() is not None:
        assert server.stderr is not None
        not_here(f"no FUSE mounts here: {server.stderr.read().decode(errors='replace').strip()}")
    ask = Asking(database)

    def states(folder: str) -> list[str]:
        rows = ask("SELECT root, state FROM v_file")
        return sorted(row["state"] for row in rows if row["root"] == folder)

    daemon = subprocess.Popen([sys.executable, "-m", "catalog", "watch", far, near])
    try:
        soon(
            lambda: database.exists() and ask("SELECT 1 FROM sqlite_master WHERE name = 'v_file'"), "database"
        )
        soon(lambda: states("far") == ["present"] * 12 and states("near") == ["present"], "both shares")

        server.send_signal(signal.SIGSTOP)
        picture(near / "second.tif", 101)
        soon(lambda: states("near") == ["present"] * 2, "the near share, while the far one hangs")
        soon(lambda: ask("SELECT state FROM v_root WHERE name = 'far'")[0]["state"] == "hung", "hung")
        (near / "first.tif").unlink()
        soon(lambda: states("near") == ["missing", "present"], "an absence, while the far share hangs")
        assert states("far") == ["offline"] * 12

        (store / "0.tif").unlink()
        picture(store / "1.tif", 200)
        server.send_signal(signal.SIGCONT)
        soon(lambda: states("far") == ["missing"] + ["present"] * 11, "what changed behind it")
        soon(lambda: ask.record() == {**truth(far), **truth(near)}, "the record to be what is there")
        assert len(ask.events("missing")) == 2, ask.events("missing")

        server.send_signal(signal.SIGSTOP)
        daemon.terminate()
        assert daemon.wait(30) == 0, "a hung share held up the end"
    finally:
        daemon.kill()
        daemon.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
