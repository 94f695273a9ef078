"""Where the cookies of the watches lie, and what is left of them."""

from __future__ import annotations

from pathlib import Path

from catalog.service.cookies import Cookies
from catalog.terms import WatchMode
from tests.asking import picture
from tests.in_process import cataloguing_in


def test_share_that_holds_the_catalogue_is_watched_by_events(tmp_path: Path) -> None:
    picture(tmp_path / "one.tif", 1)
    with cataloguing_in(tmp_path) as home:
        root_id = home.add(tmp_path)
        with home.watching() as watching:
            watching.until(lambda: set(home.ids()) == {"one.tif"})
            events = watching.daemon.watches[root_id].events
            assert events.mode is WatchMode.INOTIFY, events.mode_reason
            picture(tmp_path / "two.tif", 2)
            watching.until(lambda: set(home.ids()) == {"one.tif", "two.tif"})


def left_by_a_killed_one(folder: Path) -> Path:
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "cookie").touch()
    return folder


def test_only_what_a_killed_daemon_left_goes(tmp_path: Path) -> None:
    """Another catalogue may begin with the same name, and somebody's folder, or a link."""
    left = left_by_a_killed_one(tmp_path / "a.sqlite3.cookie-k1ll_ed0")
    live = Cookies(str(tmp_path / "a.sqlite3.cookie-x"))
    outside = left_by_a_killed_one(tmp_path / "elsewhere")
    (tmp_path / "a.sqlite3.cookie-somelink").symlink_to(outside)
    (tmp_path / "a.sqlite3.cookie-cakes_42").mkdir()
    (tmp_path / "a.sqlite3.cookie-cakes_42" / "cake.txt").touch()
    before = set(tmp_path.iterdir())
    cookies = Cookies(str(tmp_path / "a.sqlite3"))
    try:
        assert before - set(tmp_path.iterdir()) == {left}
        assert (outside / "1" / "cookie").exists()
    finally:
        cookies.cleanup()
        live.cleanup()
