"""Audits beside and inside a running daemon."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.record.runs import RequestProgress
from tests.asking import picture
from tests.auditing import rewrite
from tests.in_process import Cataloguing, Watching, cataloguing_in

pytestmark = pytest.mark.slow

DAY_MS = 86_400_000


@pytest.fixture
def share(tmp_path: Path) -> Path:
    for shade in range(5):
        picture(tmp_path / "share" / f"{shade}.tif", shade)
    return tmp_path / "share"


@pytest.fixture
def home(tmp_path: Path, share: Path) -> Iterator[Cataloguing]:
    with cataloguing_in(tmp_path, audit_days=90, audit_rate_bytes=0) as opened:
        opened.add(share)
        yield opened


def settled(watching: Watching) -> None:
    def compared() -> bool:
        rows = watching.home.ask("SELECT last_reconcile_ms AS at FROM root")
        return all(row["at"] is not None for row in rows) and not watching.home.session.busy()

    watching.until(compared, 40.0)


def audited(home: Cataloguing) -> int:
    return len(home.ask("SELECT 1 FROM file_check WHERE audited_ms IS NOT NULL"))


def runs(home: Cataloguing, kind: str) -> list[str]:
    return [row["status"] for row in home.ask("SELECT status FROM run WHERE kind = ? ORDER BY run_id", kind)]


def ask_for(home: Cataloguing, watching: Watching, **arguments: object) -> dict[str, object]:
    """Hand an audit to the daemon, and let it turn until it has answered."""
    state: list[RequestProgress] = []
    with home.desk() as desk:
        words = {"scope": [], "roots": [], "budget": {}, **arguments}
        request = desk.runs.ask("audit", words, "alice")
        desk.commit()

        def answered() -> bool:
            state[:] = [desk.runs.progress_of(request)]
            return state[0].result is not None

        watching.until(answered, 40.0)
    assert state[0].result is not None
    return state[0].result


def test_an_audit_is_done_by_the_daemon_that_is_asked(home: Cataloguing, share: Path) -> None:
    with home.watching() as watching:
        settled(watching)
        result = ask_for(home, watching)
        assert (result["checked"], result["intact"], result["corrupt"]) == (5, 5, [])
        assert audited(home) == 5
        only = ask_for(home, watching, scope=[os.fsencode(share / "3.tif").hex()])
        assert only["checked"] == 1
        limited = ask_for(home, watching, budget={"max_files": 2})
        assert (limited["checked"], limited["budget"]) == (2, "files")
    (event, *_) = home.ask("SELECT actor, detail FROM v_event WHERE kind = 'audit' ORDER BY event_id")
    assert event["actor"] == "alice"


def test_a_request_that_cannot_be_understood_is_answered(home: Cataloguing) -> None:
    with home.watching() as watching:
        settled(watching)
        assert "error" in ask_for(home, watching, scope=["no hex"])
        assert "error" in ask_for(home, watching, roots=["nobody"])


def test_a_vanished_file_is_looked_for_by_the_watch_of_its_share(home: Cataloguing, share: Path) -> None:
    with home.watching() as watching:
        settled(watching)
        before = home.ids()
        # Deaf: the audit comes before any event is heard.
        watching.daemon.watches[next(iter(watching.daemon.watches))].events.stop()
        (share / "1.tif").rename(share / "one.tif")
        (share / "2.tif").unlink()
        result = ask_for(home, watching)
        assert (result["checked"], result["missing"]) == (3, 1)
        assert home.ids()["one.tif"] == before["1.tif"]


def test_a_swap_that_nobody_heard_of_is_neither_intact_nor_corrupt(home: Cataloguing, share: Path) -> None:
    with home.watching() as watching:
        settled(watching)
        before = home.ids()
        watching.daemon.watches[next(iter(watching.daemon.watches))].events.stop()
        one, two = share / "1.tif", share / "2.tif"
        one.rename(share / "aside")
        two.rename(one)
        (share / "aside").rename(two)
        result = ask_for(home, watching)
        assert (result["moved"], result["corrupt"], result["drift"]) == (2, [], {})
        assert home.ids() == before | {"1.tif": before["2.tif"], "2.tif": before["1.tif"]}


def test_the_daemon_audits_by_itself_what_is_due(home: Cataloguing, share: Path) -> None:
    with home.watching() as watching:
        settled(watching)
        watching.daemon._audits.look_soon()
        watching.until(lambda: runs(home, "background audit") == ["complete"], 40.0)
        assert audited(home) == 5
        watching.daemon._audits.look_soon()
        watching.turns(0.3)
        assert len(runs(home, "background audit")) == 1, "nothing was due"
        batch = home.session.recorder.batch
        batch.execute("UPDATE file_check SET audited_ms = ?", (time.time_ns() // 1_000_000 - 91 * DAY_MS,))
        batch.commit()
        watching.daemon._audits.look_soon()
        watching.until(lambda: runs(home, "background audit") == ["complete"] * 2, 40.0)


def test_what_the_daemon_finds_by_itself_is_recorded(tmp_path: Path, share: Path) -> None:
    with cataloguing_in(tmp_path, audit_days=90, audit_rate_bytes=0) as home:
        home.scan(share)
        rewrite(share / "3.tif", 2000)
        with home.watching() as watching:
            settled(watching)
            watching.until(home.ask.open_drift, 40.0)
            rows = home.ask("SELECT manner FROM v_drift_open")
            assert rows == [{"manner": "stealth"}]


def test_a_daemon_audits_nothing_by_itself_unless_it_is_told_to(tmp_path: Path, share: Path) -> None:
    with cataloguing_in(tmp_path) as home:
        home.add(share)
        with home.watching() as watching:
            settled(watching)
            watching.daemon._audits.look_soon()
            watching.turns(0.3)
        assert runs(home, "background audit") == []


def test_a_daemon_that_ends_leaves_a_sealed_record_and_goes_on_later(tmp_path: Path, share: Path) -> None:
    size = (share / "0.tif").stat().st_size
    with cataloguing_in(tmp_path, audit_days=90, audit_rate_bytes=size * 8) as home:
        home.add(share)
        with home.watching() as watching:
            settled(watching)
            watching.daemon._audits.look_soon()
            watching.until(lambda: audited(home) >= 2, 40.0)
        done = audited(home)
        assert runs(home, "background audit") == ["interrupted"]
        assert 2 <= done < 5
        with home.watching() as watching:
            watching.daemon._audits.look_soon()
            watching.until(lambda: runs(home, "background audit")[1:] == ["complete"], 40.0)
        assert audited(home) == 5
        (row,) = home.ask("SELECT detail FROM v_event WHERE kind = 'audit' ORDER BY event_id DESC LIMIT 1")
        assert f'"checked":{5 - done}' in row["detail"]
