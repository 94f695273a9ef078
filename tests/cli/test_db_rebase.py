"""After an upgrade of the decoders: nothing drifts, lossy files wait outside, and a rebase brings them back."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.asking import Asking


class Upgraded:
    """Runs the program with the decoders of another release (tests/other_decoders.py)."""

    def __init__(self, cli: Any) -> None:
        self._cli = cli

    def start(self, *words: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.other_decoders", *map(str, words)],
            env=self._cli.environment(),
            cwd=self._cli.home,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    def __call__(self, *words: str | Path) -> tuple[int, str, str]:
        with self.start(*words) as process:
            stdout, stderr = process.communicate(timeout=120)
        return process.returncode, stdout.decode(), stderr.decode()


@pytest.fixture
def upgraded(catalog_cli: Any) -> Upgraded:
    return Upgraded(catalog_cli)


def jpeg(path: Path, shade: int, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize((40, 30)).rotate(shade).convert("RGB").save(path, "JPEG", **options)
    return path


def share_of(folder: Path) -> Path:
    """A JPEG, one with a comment, a PNG of what it decodes to, and two exact files of one picture."""
    one = jpeg(folder / "a.jpg", 3)
    jpeg(folder / "commented.jpg", 3, comment=b"the same samples")
    with Image.open(one) as image:
        image.save(folder / "a.png")
    exact = Image.radial_gradient("L").resize((30, 20))
    exact.save(folder / "b.png")
    exact.save(folder / "b.tif")
    return folder


def groups(document: Any) -> list[list[str]]:
    return sorted(sorted(Path(each["path"]).name for each in group["files"]) for group in document["groups"])


BEFORE = [["a.jpg", "a.png", "commented.jpg"], ["b.png", "b.tif"]]


def scanned(cli: Any, upgraded: Upgraded, folder: Path) -> Path:
    """A share that was scanned with today's decoders, and a new file in it with the other ones."""
    share = share_of(folder)
    assert cli("scan", share).code == 0
    assert groups(cli("query", "dupes", "--json").json) == BEFORE
    jpeg(share / "later.jpg", 50)
    code, _, stderr = upgraded("scan", share)
    assert code == 0, stderr
    return share


@pytest.mark.slow
def test_nothing_drifts_and_lossy_files_wait_outside_of_comparisons(
    catalog_cli: Any, upgraded: Upgraded, tmp_path: Path
) -> None:
    scanned(catalog_cli, upgraded, tmp_path / "share")
    drift = catalog_cli("query", "drift", "--all", "--json")
    assert (drift.code, drift.json["drift"], drift.json["complete"]) == (0, [], True)
    dupes = catalog_cli("query", "dupes", "--json")
    assert dupes.code == 3
    assert groups(dupes.json) == [["b.png", "b.tif"]]
    (lacking,) = dupes.json["incomplete"]
    assert (lacking["files"], "catalog db rebase" in lacking["reason"]) == (2, True)
    assert catalog_cli("query", "dupes", "--level", "bytes").code == 0
    ask = Asking(catalog_cli.database)
    kept = ask("SELECT epoch_id, count(*) AS n FROM analysis GROUP BY epoch_id")
    assert kept == [{"epoch_id": 1, "n": 5}, {"epoch_id": 2, "n": 1}]
    assert {row["fidelity"] for row in ask("SELECT fidelity FROM v_file WHERE pixels LIKE 'pix1:%'")} == {
        "decoder",
        "exact",
    }
    (event,) = [json.loads(row["detail"]) for row in ask("SELECT * FROM v_event WHERE kind = 'decoder'")]
    assert event["files"] == 2


@pytest.mark.slow
def test_rebase_reads_lossy_files_alone_and_brings_them_back(
    catalog_cli: Any, upgraded: Upgraded, tmp_path: Path
) -> None:
    scanned(catalog_cli, upgraded, tmp_path / "share")
    ask = Asking(catalog_cli.database)
    before = ask("SELECT count(*) AS n FROM analysis")
    code, out, _ = upgraded("db", "rebase", "--dry-run", "--json")
    planned = json.loads(out)
    assert code == 0
    assert planned["files"] == {"outdated": 2, "rebased": 0, "left": 2, "changed": 0, "unreadable": 0}
    assert planned["to_read"]["contents"] == 2
    assert ask("SELECT count(*) AS n FROM analysis") == before
    code, out, stderr = upgraded("db", "rebase", "--json")
    assert code == 0, stderr
    done = json.loads(out)
    assert done["files"] == {"outdated": 2, "rebased": 2, "left": 0, "changed": 0, "unreadable": 0}
    assert done["bytes_read"] == planned["to_read"]["bytes"]
    # The PNG holds what the former decoders made of the JPEG, and that is another picture now.
    dupes = catalog_cli("query", "dupes", "--json")
    assert (dupes.code, groups(dupes.json)) == (0, [["a.jpg", "commented.jpg"], ["b.png", "b.tif"]])
    events = ask("SELECT * FROM v_event WHERE kind = 'decoder' AND path IS NOT NULL ORDER BY path")
    assert [Path(event["path"]).name for event in events] == ["a.jpg", "commented.jpg"]
    assert {json.loads(event["detail"])["pixels"] for event in events} == {"different"}
    assert catalog_cli("query", "drift", "--json").json["drift"] == []
    assert json.loads(upgraded("db", "rebase", "--json")[1])["to_read"]["contents"] == 0
    assert catalog_cli("db", "check").code == 0


@pytest.mark.slow
def test_a_step_back_to_the_former_decoders_is_an_epoch_of_its_own(
    catalog_cli: Any, upgraded: Upgraded, tmp_path: Path
) -> None:
    share = scanned(catalog_cli, upgraded, tmp_path / "share")
    assert upgraded("db", "rebase")[0] == 0
    ran = catalog_cli("db", "rebase", "--json")
    assert (ran.code, ran.json["new_epoch"], ran.json["files"]["rebased"]) == (0, True, 3)
    (share / "later.jpg").unlink()
    assert groups(catalog_cli("query", "dupes", "--json").json) == BEFORE
    assert catalog_cli("query", "drift", "--json").json["drift"] == []


@pytest.mark.slow
def test_a_change_across_epochs_is_unproven_until_the_good_copy_is_looked_at_again(
    catalog_cli: Any, upgraded: Upgraded, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    good = jpeg(share / "a.jpg", 3)
    (share / "copy.jpg").write_bytes(good.read_bytes())
    assert catalog_cli("scan", share).code == 0
    jpeg(good, 80)
    assert upgraded("scan", share)[0] == 0
    drift = catalog_cli("query", "drift", "--json")
    assert (drift.code, [case["kind"] for case in drift.json["drift"]]) == (3, ["unproven"])
    assert [each["files"] for each in drift.json["incomplete"]] == [1]
    assert upgraded("db", "rebase")[0] == 0
    drift = catalog_cli("query", "drift", "--json")
    assert (drift.code, [case["kind"] for case in drift.json["drift"]]) == (0, ["picture"])
    assert catalog_cli("db", "check").code == 0


@pytest.mark.slow
def test_what_cannot_be_read_is_left_and_told(catalog_cli: Any, upgraded: Upgraded, tmp_path: Path) -> None:
    share = scanned(catalog_cli, upgraded, tmp_path / "share")
    (share / "a.jpg").unlink()
    share.rename(tmp_path / "away")
    code, out, stderr = upgraded("db", "rebase", "--json")
    document = json.loads(out)
    assert (code, document["files"]["left"], document["complete"]) == (3, 2, False)
    assert document["incomplete"][0]["reason"] == "offline"
    assert "offline" in stderr
    (tmp_path / "away").rename(share)
    code, out, _ = upgraded("db", "rebase", "--json")
    assert (code, json.loads(out)["files"]["rebased"]) == (3, 1)
    assert upgraded("db", "rebase", "--allow-incomplete")[0] == 0


@pytest.mark.slow
def test_a_killed_rebase_goes_on_where_it_was(
    catalog_cli: Any, upgraded: Upgraded, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    share = tmp_path / "share"
    for shade in range(60):
        jpeg(share / f"{shade:02}.jpg", shade, comment=b"%d" % shade)
    assert catalog_cli("scan", share).code == 0
    size = sum(path.stat().st_size for path in share.iterdir())

    def looked_at() -> int:
        with sqlite3.connect(f"file:{catalog_cli.database}?mode=ro", uri=True) as reader:
            found: int = reader.execute("SELECT count(*) FROM analysis WHERE epoch_id = 2").fetchone()[0]
        reader.close()
        return found

    rate = str(size // 6)  # slow enough to be killed in the middle
    with upgraded.start("db", "rebase", "--max-rate", rate, start_new_session=True) as running:
        eventually(lambda: looked_at() > 3, timeout=60.0)
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    done = looked_at()
    assert 3 < done < 60
    code, out, stderr = upgraded("db", "rebase", "--json")
    assert code == 0, stderr
    assert json.loads(out)["to_read"]["contents"] == 60 - done
    assert looked_at() == 60
    ask = Asking(catalog_cli.database)
    events = ask(
        "SELECT path, count(*) AS n FROM v_event WHERE kind = 'decoder' AND path IS NOT NULL GROUP BY path"
    )
    assert (len(events), {row["n"] for row in events}) == (60, {1})
    assert catalog_cli("db", "check").code == 0


@pytest.mark.slow
def test_a_running_daemon_does_it(
    catalog_cli: Any, upgraded: Upgraded, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    share = scanned(catalog_cli, upgraded, tmp_path / "share")
    with upgraded.start("watch", share) as daemon:
        try:
            eventually(lambda: catalog_cli("status", "--json").json["daemon"]["running"], timeout=60.0)
            ran = catalog_cli("db", "rebase", "--max-rate", "1MB", "--json")
        finally:
            daemon.terminate()
            daemon.communicate()
    assert (ran.code, ran.json["files"]["rebased"], ran.json["files"]["left"]) == (0, 2, 0), ran.stderr
    assert "handed to it" in ran.stderr
    assert "--max-rate is not heeded" in ran.stderr


def test_without_a_catalogue_there_is_nothing_to_rebase(catalog_cli: Any) -> None:
    ran = catalog_cli("db", "rebase")
    assert ran.code == 10
    assert not catalog_cli.database.exists()
