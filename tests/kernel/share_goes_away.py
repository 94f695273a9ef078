"""Run inside ``unshare -Urm`` by test_watch_service: unmount a watched tmpfs and mount its files again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.asking import Asking, picture, truth
from tests.waiting import until


def soon(predicate: Callable[[], object], what: str) -> None:
    until(predicate, 20.0, what=what)


def main(base: Path, database: Path) -> None:
    store, share = base / "store", base / "share"
    store.mkdir()
    share.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "store", store], check=True)
    for shade in range(20):
        picture(store / f"{shade}.tif", shade)
    subprocess.run(["mount", "--bind", store, share], check=True)
    ask = Asking(database)
    with subprocess.Popen([sys.executable, "-m", "catalog", "watch", share]) as daemon:
        try:
            soon(
                lambda: database.exists() and ask("SELECT 1 FROM sqlite_master WHERE name = 'v_file'"),
                "database",
            )
            soon(lambda: list(ask.states().values()).count("present") == 20, "20 files present")
            before = ask("SELECT count(*) AS n FROM revision")
            subprocess.run(["umount", "-l", share], check=True)
            soon(lambda: set(ask.states().values()) == {"offline"}, "offline")
            subprocess.run(["mount", "--bind", store, share], check=True)
            soon(lambda: set(ask.states().values()) == {"present"}, "present again")
            assert ask("SELECT count(*) AS n FROM revision") == before, "files were taken for changed"
            picture(share / "late.tif", 50)
            soon(lambda: ask.record() == truth(share), "the late file")
            assert not ask.events("missing"), ask.events("missing")
        finally:
            daemon.terminate()
            daemon.wait(20)
    subprocess.run(["umount", share], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
