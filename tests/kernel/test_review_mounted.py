"""The daemon and mounts that come, go and lie in the way; each scenario in a namespace of its own.

This file is also the program that runs inside: ``python -m tests.kernel.test_review_mounted SCENARIO FOLDER``.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.asking import picture
from tests.in_process import Cataloguing, cataloguing_in
from tests.mounting import mount, namespaces, not_here, play, run_scenario, umount

pytestmark = pytest.mark.slow


def mode(home: Cataloguing) -> str:
    return str(home.ask("SELECT mode FROM root")[0]["mode"])


def present(home: Cataloguing) -> int:
    return list(home.ask.states().values()).count("present")


def share_that_is_mounted_after_the_daemon_began(base: Path) -> None:
    """Its mode is that of its own file system, not of the folder that it is mounted on."""
    store, share = base / "store", base / "share"
    for folder in (store, share, base / "lower"):
        folder.mkdir()
    mount("-t", "tmpfs", "store", store)
    for name in ("upper", "work"):
        (store / name).mkdir()
    layers = f"lowerdir={base / 'lower'},upperdir={store / 'upper'},workdir={store / 'work'}"
    try:
        mount("-t", "overlay", "overlay", "-o", layers, share)
    except subprocess.CalledProcessError:
        not_here("no overlay in a namespace of one's own")
    picture(share / "a.tif", 1)
    with cataloguing_in(base, poll_interval_seconds=0.3) as home:
        home.scan(share)
        umount(share)
        with home.watching() as watching:
            watching.turns(0.5)
            assert set(home.ask.states().values()) == {"offline"}, home.ask.states()
            mount("-t", "overlay", "overlay", "-o", layers, share)
            watching.until(lambda: mode(home) == "poll" and present(home) == 1)
            picture(store / "upper" / "beneath.tif", 2)  # no event tells of it
            watching.until(lambda: present(home) == 2)


def share_that_goes_away_during_its_walk(base: Path) -> None:
    """No file of it becomes a suspect, let alone missing: an empty mount point says nothing."""
    store, share = base / "store", base / "share"
    store.mkdir()
    share.mkdir()
    mount("-t", "tmpfs", "store", store)
    for folder in range(30):
        picture(store / f"{folder:02}" / "x.tif", folder)
    mount("--bind", store, share)
    with cataloguing_in(base, mass_missing_files=1000) as home:
        home.scan(share)
        looked = home.session.recorder.rows.known

        def unmount(root_id, folder):  # type: ignore[no-untyped-def]
            if folder == b"03":
                umount(share)
            return looked(root_id, folder)

        home.session.recorder.rows.known = unmount  # type: ignore[method-assign]
        result = home.scan(share)
        home.session.recorder.rows.known = looked  # type: ignore[method-assign]
        assert not result.complete
        assert result.problems, result
        assert home.ask("SELECT 1 FROM file WHERE presence <> 1") == []
        mount("--bind", store, share)
        assert home.scan(share).complete
        assert present(home) == 30
        assert not home.ask.events("missing", "touched", "moved")


def file_system_mounted_inside_a_share(base: Path) -> None:
    """Events come from there, but the files are another share's: the record keeps what it hides."""
    share = base / "share"
    picture(share / "in" / "hidden.tif", 1)
    with cataloguing_in(base) as home:
        home.add(share)
        with home.watching() as watching:
            watching.until(lambda: present(home) == 1)
            mount("-t", "tmpfs", "other", share / "in")
            watching.turns(0.3)
            watching.daemon.watches[1].events.start(online=True)  # its watches reach into the mount, too
            picture(share / "in" / "foreign.tif", 2)
            picture(share / "late.tif", 3)
            watching.until(lambda: present(home) == 2)
            watching.turns(1.0)
            assert set(home.ask.states()) == {"in/hidden.tif", "late.tif"}, home.ask.states()
            umount(share / "in")
            watching.turns(1.0)
            assert present(home) == 2, home.ask.states()
            assert not home.ask("SELECT path FROM job")


SCENARIOS = (
    share_that_is_mounted_after_the_daemon_began,
    share_that_goes_away_during_its_walk,
    file_system_mounted_inside_a_share,
)


@pytest.mark.parametrize("scenario", [scenario.__name__ for scenario in SCENARIOS])
def test_mounted(scenario: str, tmp_path: Path) -> None:
    run_scenario(namespaces(), "tests.kernel.test_review_mounted", scenario, tmp_path)


if __name__ == "__main__":
    play(SCENARIOS)
