"""A daemon that has nothing to do keeps nothing that it does not need."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.service import daemon as daemon_module
from tests.asking import picture
from tests.conftest import _children, _command
from tests.in_process import cataloguing_in


def workers() -> int:
    """Decode processes of this process."""
    return sum("catalog.pixels.worker" in _command(pid) for pid in _children())


@pytest.mark.slow
def test_idle_workers_are_stopped_and_come_back_with_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "IDLE_WORKERS_SECONDS", 0.3)
    share = tmp_path / "share"
    picture(share / "a.tif", 1)
    with cataloguing_in(tmp_path) as home:
        home.add(share)
        with home.watching() as watching:
            watching.until(lambda: workers() == 1)
            watching.until(lambda: home.ask.states() == {"a.tif": "present"} and workers() == 0)
            picture(share / "b.tif", 2)
            watching.until(lambda: home.ask.states().get("b.tif") == "present")
            watching.until(lambda: workers() == 0)


def test_daemon_rests_longer_while_nothing_settles(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    with cataloguing_in(tmp_path, settle_seconds=30.0, quiet_seconds=30.0) as home:
        root_id = home.add(share)
        with home.watching() as watching:
            watching.until(lambda: home.ask("SELECT 1 FROM root WHERE last_reconcile_ms IS NOT NULL"))
            watch = watching.daemon.watches[root_id]
            assert not watch.expecting
            picture(share / "a.tif", 1)
            watching.until(lambda: watch.expecting)
