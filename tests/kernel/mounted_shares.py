"""Scenarios of shares on real mounts, and the program that plays one inside of namespaces of its own:
``python -m tests.kernel.mounted_shares SCENARIO FOLDER`` (``tests.mounting``, test_acceptance_mounted).
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

from catalog.terms import RootState
from catalog.watch.guard import ShareGuard
from tests.acceptance import assert_record_is_truth, untrue
from tests.asking import picture, truth
from tests.in_process import Cataloguing, cataloguing_in
from tests.mounting import mount, not_here, play, umount
from tests.storm_daemon import bind, unmount

WATCHES = Path("/proc/sys/user/max_inotify_watches")


def folders(base: Path, *names: str) -> tuple[Path, ...]:
    made = tuple(base / name for name in names)
    for folder in made:
        folder.mkdir()
    return made


def fill(folder: Path, number: int, first: int = 0) -> None:
    for shade in range(first, first + number):
        picture(folder / f"{shade % 7}" / f"{shade}.tif", shade)


def state(home: Cataloguing) -> str:
    return str(home.ask("SELECT state FROM v_root")[0]["state"])


def true_to(home: Cataloguing, store: Path) -> bool:
    """Whether the record says what is beneath, and nothing of it is in doubt."""
    doubt = home.ask("SELECT 1 FROM file WHERE presence = 2") or home.ask("SELECT 1 FROM job")
    return not doubt and home.ask.record() == truth(store)


def nothing_invented(home: Cataloguing) -> None:
    assert home.ask.events("missing", "moved", "touched", "changed") == []
    assert home.ask("SELECT 1 FROM file WHERE presence = 3") == []


# ------------------------------------------------------------------------------------------- local mounts


def too_few_watches(base: Path) -> None:
    """T8: folders that get no watch are polled, counted and shown; and watched as soon as they can be."""
    (share,) = folders(base, "share")
    mount("-t", "tmpfs", "share", share)
    for number in range(40):
        (share / f"{number:02}").mkdir()
    WATCHES.write_text("20")
    settings = {"poll_interval_seconds": 0.3, "reconcile_interval_seconds": 0.5}
    with cataloguing_in(base, **settings) as home, home.watching() as watching:
        home.add(share)
        watching.until(lambda: home.ask("SELECT 1 FROM root WHERE last_reconcile_ms IS NOT NULL"))
        for number in range(40):
            picture(share / f"{number:02}" / "x.tif", number)
        watching.until(lambda: len(home.ask.record()) == 40 and not untrue(home.ask, share))
        watching.until(lambda: home.ask("SELECT uncovered_dirs FROM root")[0]["uncovered_dirs"] >= 20)
        WATCHES.write_text("1000")
        watching.until(lambda: home.ask("SELECT uncovered_dirs FROM root")[0]["uncovered_dirs"] == 0)
    assert_record_is_truth(base / "catalog.sqlite3", share)


def unmounted_and_back(base: Path) -> None:
    """T10: nothing is missing while the share is away, and nothing is read again when it is back."""
    store, share = folders(base, "store", "share")
    mount("-t", "tmpfs", "store", store)
    fill(store, 100)
    mount("--bind", store, share)
    with cataloguing_in(base) as home, home.watching() as watching:
        home.add(share)
        watching.until(lambda: true_to(home, store))
        watching.until(lambda: home.ask("SELECT 1 FROM root WHERE last_reconcile_ms IS NOT NULL"))
        watching.turns(0.3)
        read, compared = home.session.bytes_read, home.ask("SELECT last_reconcile_ms FROM root")
        umount(share)
        watching.until(lambda: state(home) == "offline")
        watching.turns(0.5)
        nothing_invented(home)
        mount("--bind", store, share)
        watching.until(lambda: state(home) == "online")
        watching.until(lambda: home.ask("SELECT last_reconcile_ms FROM root") != compared)
        nothing_invented(home)
        assert home.session.bytes_read == read
    assert_record_is_truth(base / "catalog.sqlite3", share)


def mount_that_flickers(base: Path) -> None:
    """A folder of the same file system, bound to the share's place and taken off it all the time, is never taken for
    a folder that somebody made anew."""
    store, share = folders(base, "store", "share")
    picture(store / "a.tif", 1)
    bind(bytes(store), bytes(share))
    guard, over = ShareGuard(bytes(share)), threading.Event()
    identity = guard.check(60.0)

    def flicker() -> None:
        while not over.is_set():
            unmount(bytes(share))
            bind(bytes(store), bytes(share))

    thread = threading.Thread(target=flicker)
    thread.start()
    try:
        checks = [guard.check(60.0) for _ in range(300)]
    finally:
        over.set()
        thread.join()
        last = guard.check(60.0)
        guard.close()
    assert identity.online and last.online and last.seen == identity.seen
    assert {check.state for check in checks} <= {RootState.ONLINE, RootState.OFFLINE}
    assert not any(check.refounded for check in checks)


def layers_of_an_overlay(base: Path) -> None:
    """T14: files that are written beneath, into either layer."""
    (store,) = folders(base, "store")
    mount("-t", "tmpfs", "store", store)
    lower, upper, work, share = folders(store, "lower", "upper", "work", "share")
    fill(lower, 10)
    fill(upper, 10, 50)
    try:
        mount("-t", "overlay", "o", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", share)
    except subprocess.CalledProcessError:
        not_here("no overlay in a namespace of one's own")
    with cataloguing_in(base, poll_interval_seconds=0.3) as home, home.watching() as watching:
        home.add(share)
        watching.until(lambda: len(home.ask.record()) == 20)
        assert home.ask("SELECT mode FROM root") == [{"mode": "poll"}]
        picture(lower / "1" / "new below.tif", 100)
        picture(upper / "1" / "new above.tif", 101)
        picture(upper / "2" / "51.tif", 102)
        watching.until(lambda: len(home.ask.record()) == 22 and not untrue(home.ask, share))
    assert_record_is_truth(base / "catalog.sqlite3", share)


def folder_bound_twice(base: Path) -> None:
    """T25: each file once for each of its paths."""
    (share,) = folders(base, "share")
    fill(share / "one", 5)
    (share / "two").mkdir()
    mount("--bind", share / "one", share / "two")
    with cataloguing_in(base, poll_interval_seconds=0.3) as home, home.watching() as watching:
        home.add(share)
        watching.until(lambda: len(home.ask.record()) == 10 and not untrue(home.ask, share))
        picture(share / "one" / "late.tif", 50)
        watching.until(lambda: len(home.ask.record()) == 12 and not untrue(home.ask, share))
        umount(share / "two")
        watching.turns(1.0)
        assert not untrue(home.ask, share) or home.ask.events("missing") == []


def full_disk_of_the_catalogue(base: Path) -> None:
    """T23: what does not fit is recorded when there is room."""
    share, small = folders(base, "share", "small")
    fill(share, 20)
    mount("-t", "tmpfs", "-o", "size=20m", "small", small)
    words = [sys.executable, "-m", "catalog", "-d", small / "catalog.sqlite3", "scan", share]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0
    fill(share, 500, first=100)
    with open(small / "filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(1 << 16))
        except OSError as error:
            assert error.errno == errno.ENOSPC
        filler.truncate(filler.tell() - (1 << 16))
    full = subprocess.run(words, capture_output=True, text=True, check=False)
    assert full.returncode == 3, full
    assert "full" in full.stderr.lower() or "space" in full.stderr.lower(), full.stderr
    (small / "filler").unlink()
    roomy = subprocess.run(words, capture_output=True, text=True, check=False)
    assert roomy.returncode == 0, roomy
    assert_record_is_truth(small / "catalog.sqlite3", share)


# ---------------------------------------------------------------------------------------- without privileges


def closed_folder(base: Path) -> None:
    """T9, as nobody: what is in a folder that may not be entered is unknown, never missing."""
    share = base / "share"
    fill(share, 30)
    with cataloguing_in(base, poll_interval_seconds=0.3) as home, home.watching() as watching:
        home.add(share)
        watching.until(lambda: true_to(home, share))
        (watch,) = watching.daemon.watches.values()
        for mode in (0o000, 0o100, 0o400):
            os.chmod(share / "3", mode)
            assert not os.access(share / "3", os.R_OK | os.X_OK)
            for _ in range(4):
                watch.hints.ask_reconcile()
                watching.turns(0.3)
            assert home.ask.events("missing", "moved") == [], oct(mode)
            assert home.ask("SELECT 1 FROM file WHERE presence = 3") == []
        os.chmod(share / "3", 0o755)
        picture(share / "3" / "late.tif", 50)
        watching.until(lambda: true_to(home, share))
        assert home.ask.events("missing", "moved") == []
    assert_record_is_truth(base / "catalog.sqlite3", share)


def left_a_closed_folder(base: Path) -> None:
    """As nobody: a file keeps its history when the folder that it came from cannot be looked at any more."""
    share = base / "share"
    picture(share / "closed" / "a.tif", 1)
    with cataloguing_in(base, poll_interval_seconds=60.0) as home, home.watching() as watching:
        home.add(share)
        watching.until(lambda: true_to(home, share))
        before = home.ids()["closed/a.tif"]
        (share / "closed" / "a.tif").rename(share / "b.tif")
        os.chmod(share / "closed", 0)
        watching.until(lambda: home.ids().get("b.tif"))
        assert home.ids()["b.tif"] == before
        os.chmod(share / "closed", 0o755)


def folder_that_opens_late(base: Path) -> None:
    """As nobody: a folder that comes closed is walked when it has been opened, of which no event tells."""
    share, aside = base / "share", base / "aside"
    picture(share / "a.tif", 1)
    picture(aside / "closed" / "b.tif", 2)
    with cataloguing_in(base, poll_interval_seconds=0.5) as home, home.watching() as watching:
        home.add(share)
        watching.until(lambda: true_to(home, share))
        os.chmod(aside / "closed", 0)
        aside.rename(share / "aside")
        unlisted = "SELECT 1 FROM run WHERE counts ->> 'unlisted_folders' > 0"
        watching.until(lambda: home.ask(unlisted))
        os.chmod(share / "aside" / "closed", 0o755)
        watching.until(lambda: true_to(home, share))


def file_that_opens_late(base: Path) -> None:
    """As nobody: a file that may not be read is read when it may, also when that was allowed under another name."""
    share = base / "share"
    one = picture(share / "a.tif", 1)
    os.link(one, base / "outside.tif")
    with cataloguing_in(base, poll_interval_seconds=0.5) as home, home.watching() as watching:
        home.add(share)
        watching.until(lambda: true_to(home, share))
        one.write_bytes(picture(base / "other.tif", 2).read_bytes())
        os.chmod(one, 0)
        watching.until(lambda: home.ask.states() == {"a.tif": "unreadable"})
        os.chmod(base / "outside.tif", 0o644)
        watching.until(lambda: true_to(home, share))


CLOSED = (closed_folder, left_a_closed_folder, folder_that_opens_late, file_that_opens_late)
QUICK = (mount_that_flickers,)
SLOW = (
    too_few_watches,
    unmounted_and_back,
    layers_of_an_overlay,
    folder_bound_twice,
    full_disk_of_the_catalogue,
)

if __name__ == "__main__":
    play((*QUICK, *SLOW, *CLOSED))
