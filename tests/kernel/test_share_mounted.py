"""The daemon and a share that another file system takes the place of; each scenario in a namespace of its own.

This file is also the program that runs inside: ``python -m tests.kernel.test_share_mounted SCENARIO FOLDER``.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from catalog.service import marking
from catalog.service.relocating import compared, relocate
from catalog.watch.guard import ShareGuard
from tests.asking import picture
from tests.in_process import Cataloguing, Watching, cataloguing_in
from tests.mounting import CHECKOUT, mount, namespaces, play, run_scenario, umount


def state(home: Cataloguing) -> str:
    return str(home.ask("SELECT state FROM v_root WHERE state <> 'retired'")[0]["state"])


def untouched(home: Cataloguing) -> None:
    """No file was judged in any way while the share was not itself."""
    assert home.ask("SELECT 1 FROM file WHERE presence <> 1") == []
    assert sorted(home.ask.events("missing", "changed", "touched", "moved", "added")) == [
        f"added {number}.tif" for number in range(10)
    ]


def filled(share: Path) -> None:
    for shade in range(10):
        picture(share / f"{shade}.tif", shade)


def watch(home: Cataloguing, watching: Watching, share: Path) -> None:
    home.add(share)
    watching.until(lambda: list(home.ask.states().values()) == ["present"] * 10)
    watching.until(lambda: home.ask("SELECT 1 FROM root WHERE last_reconcile_ms IS NOT NULL"))


def empty_file_system_over_the_share_and_another_in_its_place(base: Path) -> None:
    share = base / "share"
    share.mkdir()
    mount("-t", "tmpfs", "one", share)
    filled(share)
    with cataloguing_in(base) as home, home.watching() as watching:
        watch(home, watching, share)
        mount("-t", "tmpfs", "empty", share)
        watching.until(lambda: state(home) == "replaced")
        watching.turns(0.5)
        untouched(home)
        umount(share)
        watching.until(lambda: state(home) == "online")
        # The first one stays alive where the daemon does not look: it can come back.
        aside = base / "aside"
        aside.mkdir()
        mount("--bind", share, aside)
        umount(share)
        watching.until(lambda: state(home) == "offline")
        mount("-t", "tmpfs", "other", share)
        for shade in range(3):
            picture(share / f"other{shade}.tif", 100 + shade)
        watching.until(lambda: state(home) == "replaced")
        watching.turns(0.5)
        untouched(home)
        umount(share)
        mount("--bind", aside, share)
        watching.until(lambda: state(home) == "online")
        untouched(home)


def folder_of_the_same_disk_that_is_not_bound(base: Path) -> None:
    """What is below the mount point is the same file system, and not the share."""
    disk = base / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "disk", disk)
    filled(disk / "pictures")
    share = disk / "share"
    share.mkdir()
    picture(share / "below.tif", 200)
    mount("--bind", disk / "pictures", share)
    with cataloguing_in(base) as home, home.watching() as watching:
        watch(home, watching, share)
        umount(share)
        watching.until(lambda: state(home) == "offline")
        watching.turns(0.5)
        untouched(home)
        mount("--bind", disk / "pictures", share)
        watching.until(lambda: state(home) == "online")
        (disk / "wrong").mkdir()
        umount(share)
        mount("--bind", disk / "wrong", share)
        watching.until(lambda: state(home) == "replaced")
        watching.turns(0.5)
        untouched(home)
        umount(share)
        mount("--bind", disk / "pictures", share)
        watching.until(lambda: state(home) == "online")
        untouched(home)


def share_that_is_mounted_again_between_two_looks(base: Path) -> None:
    """The guard finds it there each time; the watches are those of a mount that is no more."""
    store, share = base / "store", base / "share"
    for folder in (store, share):
        folder.mkdir()
    mount("-t", "tmpfs", "store", store)
    filled(store)
    mount("--bind", store, share)
    with cataloguing_in(base) as home, home.watching() as watching:
        watch(home, watching, share)
        umount(share)
        mount("--bind", store, share)
        picture(share / "late.tif", 50)
        watching.until(lambda: "late.tif" in home.ids())
        picture(share / "later.tif", 51)
        watching.until(lambda: "later.tif" in home.ids())
        assert home.ask("SELECT 1 FROM v_event WHERE kind IN ('alarm', 'root-state', 'missing')") == []


def marked_share_that_is_swapped_for_its_copy(base: Path) -> None:
    """The marker says that it is the share; what is watched is the folder that was moved aside."""
    share = base / "share"
    filled(share)
    with cataloguing_in(base) as home, home.watching() as watching:
        watch(home, watching, share)
        with home.desk() as desk:
            plan = marking.plan(desk.roots.named("share"))
            marking.write(plan)
            desk.roots.set_marker(desk.roots.named("share"), plan.token, "ada")
        shutil.copytree(share, base / "copy")
        watching.turns(1.0)
        share.rename(base / "old")
        (base / "copy").rename(share)
        watching.turns(1.0)
        picture(share / "late.tif", 50)
        watching.until(lambda: "late.tif" in home.ids())
        assert home.ask("SELECT 1 FROM v_event WHERE kind IN ('alarm', 'root-state', 'missing')") == []
        (share / ".catalog-share").unlink()
        watching.until(lambda: state(home) == "replaced")


def new_disk_with_the_files_of_the_old_one(base: Path) -> None:
    """Replaced, until an admin says that it is the share; then every history goes on."""
    share = base / "share"
    share.mkdir()
    mount("-t", "tmpfs", "old", share)
    filled(share)
    with cataloguing_in(base) as home, home.watching() as watching:
        watch(home, watching, share)
        before = home.ids()
        shutil.copytree(share, base / "backup")
        umount(share)
        mount("-t", "tmpfs", "new", share)
        shutil.copytree(base / "backup", share, dirs_exist_ok=True)
        watching.until(lambda: state(home) == "replaced")
        with home.desk() as desk:
            root = desk.roots.named("share")
            found, seen = compared(desk.roots, root, os.fsencode(share))
            assert (found.how, found.same) == ("files", 10)
            relocate(desk.roots, root, os.fsencode(share), found, seen, actor="ada", force=False)
        watching.until(lambda: home.ask("SELECT 1 FROM root WHERE refounded_ms IS NULL AND state = 1"))
        picture(share / "late.tif", 90)
        watching.until(lambda: "late.tif" in home.ids())
        assert home.ids().items() >= before.items()
        assert home.ask.events("missing", "changed", "moved") == []


def share_on_a_mount_that_is_not_listed(base: Path) -> None:
    """Of a process whose root is a plain folder, the table of mounts leaves out what that folder lies on."""
    jail = base / "jail"
    for inside in Path("/").iterdir():
        if inside.is_dir() and not inside.is_symlink() and inside not in base.parents:
            (jail / inside.name).mkdir(parents=True)
            mount("--rbind", inside, jail / inside.name)
        elif inside.is_symlink():
            (jail / inside.name).symlink_to(inside.readlink())
    # What is left out holds this very folder, and may hold the interpreter and the program as well.
    # Outer folders first: what lies in them comes with them.
    for needed in sorted({Path(sys.prefix), Path(sys.base_prefix), CHECKOUT}):
        place = jail / needed.relative_to("/")
        if not place.exists():
            place.mkdir(parents=True)
            mount("--rbind", needed, place)
    (jail / "share").mkdir()
    picture(jail / "share" / "one.tif", 1)
    os.chroot(jail)
    guard = ShareGuard(b"/share")
    try:
        for _ in range(2):
            check = guard.check(60.0)
            assert check.online, check.reason
        os.rename("/share", "/away")
        assert not guard.check(60.0).online
    finally:
        guard.close()


SCENARIOS = (
    empty_file_system_over_the_share_and_another_in_its_place,
    folder_of_the_same_disk_that_is_not_bound,
    share_that_is_mounted_again_between_two_looks,
    marked_share_that_is_swapped_for_its_copy,
    new_disk_with_the_files_of_the_old_one,
    share_on_a_mount_that_is_not_listed,
)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [scenario.__name__ for scenario in SCENARIOS])
def test_mounted(scenario: str, tmp_path: Path) -> None:
    run_scenario(namespaces(), "tests.kernel.test_share_mounted", scenario, tmp_path)


if __name__ == "__main__":
    play(SCENARIOS)
