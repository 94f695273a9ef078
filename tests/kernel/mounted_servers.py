"""Scenarios of shares whose files change beneath them, on servers that err, hang and are killed (FUSE):
``python -m tests.kernel.mounted_servers SCENARIO FOLDER``, inside of namespaces of its own.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.acceptance import assert_record_is_truth
from tests.asking import picture
from tests.in_process import cataloguing_in
from tests.kernel.faulty_share import FaultyShare
from tests.kernel.mounted_shares import fill, folders, state, true_to
from tests.mounting import not_here, play, umount


def server_is_killed(base: Path, start: Callable[[Path, Path], Callable[[], None]]) -> None:
    """T13: what changes beneath is found by polling; nothing is missing for the death of the server.

    ``start`` mounts a folder at another, and gives what kills the server."""
    number = int(os.environ.get("FILES", "40"))
    store, share = folders(base, "store", "share")
    fill(store, number)
    kill = start(store, share)
    with (
        cataloguing_in(base, poll_interval_seconds=0.4, mass_missing_files=100_000) as home,
        home.watching() as watching,
    ):
        home.add(share)
        watching.until(lambda: true_to(home, store), 60.0)
        assert home.ask("SELECT mode FROM root") == [{"mode": "poll"}]
        fill(store, number // 2, first=10_000)
        for shade in range(0, number, 2):
            picture(store / f"{shade % 7}" / f"{shade}.tif", 20_000 + shade)
        watching.until(lambda: true_to(home, store), 60.0)
        assert home.ask.events("missing", "moved") == []
        kill()
        watching.until(lambda: state(home) != "online")
        picture(store / "meanwhile.tif", 5000)
        (store / "1" / "1.tif").unlink()
        watching.turns(1.0)
        assert home.ask.events("missing", "moved") == []
        umount(share)
        watching.turns(0.5)
        assert home.ask.events("missing", "moved") == []
        kill = start(store, share)
        watching.until(lambda: state(home) == "online" and true_to(home, store), 60.0)
        assert home.ask.events("missing", "moved") == ["missing 1.tif"]
    assert_record_is_truth(base / "catalog.sqlite3", share)
    kill()
    umount(share)


def server_of_ours_is_killed(base: Path) -> None:
    def start(store: Path, share: Path) -> Callable[[], None]:
        server = FaultyShare(store, share, base / "rules.json")
        server.start()
        return server.kill

    server_is_killed(base, start)


def bindfs_is_killed(base: Path) -> None:
    if shutil.which("bindfs") is None:
        not_here("bindfs is not installed: apt install bindfs")

    def start(store: Path, share: Path) -> Callable[[], None]:
        server = subprocess.Popen(["bindfs", "-f", "--no-allow-other", store, share], stderr=subprocess.PIPE)
        assert server.stderr is not None
        while os.fsencode(share) not in Path("/proc/self/mountinfo").read_bytes():
            if server.poll() is not None:
                not_here(f"no bindfs here: {server.stderr.read().decode().strip()}")

        def kill() -> None:
            assert server.stderr is not None
            server.kill()
            server.wait()
            server.stderr.close()

        return kill

    server_is_killed(base, start)


def faulty(base: Path, number: int = 20) -> tuple[Path, Path, FaultyShare]:
    store, share = folders(base, "store", "share")
    fill(store, number)
    server = FaultyShare(store, share, base / "rules.json")
    server.start()
    return store, share, server


def ended(base: Path, share: Path, server: FaultyShare) -> None:
    assert_record_is_truth(base / "catalog.sqlite3", share)
    server.kill()
    server.unmount()


def errors_of_some_paths(base: Path) -> None:
    """A file that cannot be read has that state; what cannot be looked at or listed is unknown, never missing."""
    store, share, server = faulty(base)
    with (
        cataloguing_in(base, poll_interval_seconds=0.3) as home,
        home.watching() as watching,
    ):
        home.add(share)
        watching.until(lambda: true_to(home, store))
        server.set(
            {"op": "read", "match": "3/10.tif", "errno": errno.EIO},
            {"op": "lookup", "match": "4/4.tif", "errno": errno.ESTALE},
            {"op": "readdir", "match": "5", "errno": errno.EIO},
            {"op": "getattr", "match": "6/6.tif", "errno": errno.EACCES},
        )
        picture(store / "3" / "10.tif", 100)
        (store / "5" / "5.tif").unlink()
        picture(store / "late.tif", 101)
        watching.until(lambda: home.ask.states().get("3/10.tif") == "unreadable")
        watching.until(lambda: home.ask.states().get("late.tif") == "present")
        watching.turns(1.5)
        assert home.ask.events("missing", "moved") == []
        assert home.ask.states()["5/5.tif"] != "missing"
        server.set()
        watching.until(lambda: true_to(home, store), 60.0)
        assert home.ask.events("missing", "moved") == ["missing 5.tif"]
    ended(base, share, server)


def errors_of_the_whole_share(base: Path) -> None:
    """EIO and ESTALE everywhere: the share is away, and nothing is concluded from it."""
    store, share, server = faulty(base)
    with (
        cataloguing_in(base, poll_interval_seconds=0.3) as home,
        home.watching() as watching,
    ):
        home.add(share)
        watching.until(lambda: true_to(home, store))
        for number in (errno.EIO, errno.ESTALE):
            server.set({"op": "any", "match": "", "errno": number})
            picture(store / "late.tif", number)
            watching.until(lambda: state(home) == "offline")
            watching.turns(0.7)
            assert home.ask.events("missing", "moved") == []
            server.set()
            watching.until(lambda: state(home) == "online" and true_to(home, store), 60.0)
    ended(base, share, server)


def hang_of_one_file(base: Path) -> None:
    """A file whose reading never ends costs that file: all others are catalogued meanwhile."""
    store, share, server = faulty(base)
    server.set({"op": "read", "match": "3/3.tif", "hang": True})
    with (
        cataloguing_in(base, poll_interval_seconds=0.3, decode_seconds=1.0, workers=2) as home,
        home.watching() as watching,
    ):
        home.add(share)
        watching.until(lambda: list(home.ask.states().values()).count("present") == 19, 60.0)
        picture(store / "late.tif", 100)
        watching.until(lambda: home.ask.states().get("late.tif") == "present", 60.0)
        assert home.ask.events("missing", "moved") == []
        server.set()
        watching.until(lambda: true_to(home, store), 100.0)
    ended(base, share, server)


def hang_of_the_whole_share(base: Path) -> None:
    """Nothing answers any more, and then it does."""
    store, share, server = faulty(base)
    with (
        cataloguing_in(base, poll_interval_seconds=0.3, guard_deadline_seconds=0.7) as home,
        home.watching() as watching,
    ):
        home.add(share)
        watching.until(lambda: true_to(home, store))
        server.set({"op": "any", "match": "", "hang": True})
        picture(store / "late.tif", 100)
        watching.until(lambda: state(home) == "hung")
        watching.turns(1.0)
        assert home.ask.events("missing", "moved") == []
        server.set()
        watching.until(lambda: state(home) == "online" and true_to(home, store), 60.0)
    ended(base, share, server)


SERVED = (
    server_of_ours_is_killed,
    bindfs_is_killed,
    errors_of_some_paths,
    errors_of_the_whole_share,
    hang_of_one_file,
    hang_of_the_whole_share,
)

if __name__ == "__main__":
    play(SERVED)
