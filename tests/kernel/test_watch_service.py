"""``catalog watch`` with the real kernel: a real process, real events, a real database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.asking import Asking, picture, truth
from tests.mounting import namespaces

QUICK = """
settle_seconds = 0.1
quiet_seconds = 0.4
writer_quiet_seconds = 2.0
absence_seconds = 0.3
guard_interval_seconds = 0.2
reconcile_interval_seconds = 3600
workers = 1
"""


class Watching:
    """A running ``catalog watch`` on one share."""

    def __init__(self, cli: Any, share: Path, process: subprocess.Popen[bytes], eventually: Any) -> None:
        self.cli = cli
        self.share = share
        self.process = process
        self.ask = Asking(cli.database)
        self._eventually = eventually

    def until(self, predicate: Any, timeout: float = 15.0) -> Any:
        return self._eventually(predicate, timeout)

    def until_true_to_the_disk(self, timeout: float = 15.0) -> None:
        """The record equals a fresh walk, and nothing waits."""

        def equal() -> bool:
            return self.ask.record() == truth(self.share) and not self.ask("SELECT 1 FROM job")

        self.until(equal, timeout)


@pytest.fixture
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("share")


@pytest.fixture
def watching(catalog_cli: Any, share: Path, eventually: Any) -> Iterator[Watching]:
    catalog_cli.config.write_text(QUICK)
    with catalog_cli.start("watch", share, "-v", start_new_session=True) as process:
        watching = Watching(catalog_cli, share, process, eventually)
        lines: list[bytes] = []
        # Nobody else reads the pipe: a full one would stop the daemon.
        reader = threading.Thread(target=lambda: lines.extend(process.stderr or []))
        reader.start()
        try:
            watching.until(
                lambda: watching.ask("SELECT last_reconcile_ms AS at FROM root")[0]["at"] is not None, 30.0
            )
            yield watching
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0, b"".join(lines).decode()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            reader.join(10)


def test_new_file_is_catalogued(watching: Watching) -> None:
    picture(watching.share / "a.tif", 1)
    watching.until_true_to_the_disk()
    assert watching.ask.states() == {"a.tif": "present"}


def test_resave_is_a_reencoding_and_one_sample_is_another_picture(watching: Watching) -> None:
    path = picture(watching.share / "a.tif", 1)
    watching.until_true_to_the_disk()
    with Image.open(path) as image:
        image.load()
    image.save(path, compression="tiff_lzw")
    watching.until(lambda: [kind for _, kind, _ in watching.ask.open_drift()] == ["reencoded"], 5.0)
    image.putpixel((20, 20), (1, 2, 3))
    image.save(path, compression="tiff_lzw")
    watching.until(lambda: [kind for _, kind, _ in watching.ask.open_drift()] == ["picture"], 5.0)


def test_rename_keeps_the_history(watching: Watching) -> None:
    path = picture(watching.share / "a.tif", 1)
    watching.until_true_to_the_disk()
    (file,) = watching.ask("SELECT file_id FROM v_file")
    (watching.share / "deep").mkdir()
    path.rename(watching.share / "deep" / "b.tif")
    watching.until(lambda: "deep/b.tif" in watching.ask.states())
    watching.until_true_to_the_disk()
    assert watching.ask("SELECT file_id FROM v_file") == [file]
    assert watching.ask.events("moved") == ["moved b.tif"]


def test_renamed_folder_keeps_every_history(watching: Watching) -> None:
    for shade in range(20):
        picture(watching.share / "old" / f"{shade}.tif", shade)
    watching.until_true_to_the_disk()
    before = {row["raw_sha256"]: row["file_id"] for row in watching.ask("SELECT * FROM v_file")}
    (watching.share / "old").rename(watching.share / "new")
    watching.until_true_to_the_disk()
    assert {row["raw_sha256"]: row["file_id"] for row in watching.ask("SELECT * FROM v_file")} == before


def test_deletion_is_believed_after_a_second_look(watching: Watching) -> None:
    for shade in range(3):
        picture(watching.share / f"{shade}.tif", shade)
    watching.until_true_to_the_disk()
    (watching.share / "1.tif").unlink()
    watching.until(lambda: watching.ask.states()["1.tif"] == "missing")
    assert [(name, kind) for name, kind, _ in watching.ask.open_drift()] == [("1.tif", "missing")]
    picture(watching.share / "1.tif", 1)
    watching.until(lambda: watching.ask.states()["1.tif"] == "present")
    watching.until(lambda: watching.ask.open_drift() == [])


def test_files_in_folders_made_that_instant_are_not_missed(watching: Watching) -> None:
    for number in range(50):
        deep = watching.share / f"{number}" / "1" / "2" / "3"
        picture(deep / "deep.tif", number)
        picture(watching.share / f"{number}" / "top.tif", 100 + number)
    watching.until_true_to_the_disk(30.0)


def test_names_that_are_not_utf8_are_followed(watching: Watching) -> None:
    raw = os.fsencode(watching.share)
    os.rename(picture(watching.share / "x.tif", 1), raw + b"/\xff\n.tif")
    watching.until_true_to_the_disk()
    os.unlink(raw + b"/\xff\n.tif")
    watching.until(lambda: list(watching.ask.states().values()) == ["missing"])


def test_half_written_content_is_never_recorded(watching: Watching) -> None:
    whole = picture(watching.share.parent / "whole.tif", 3).read_bytes()
    gate = threading.Event()
    with open(watching.share / "slow.tif", "wb") as stream:
        for start in range(0, len(whole), 400):
            stream.write(whole[start : start + 400])
            stream.flush()
            gate.wait(0.1)
            assert watching.ask("SELECT 1 FROM revision") == []
    watching.until_true_to_the_disk()
    assert len(watching.ask("SELECT 1 FROM revision")) == 1


def test_safe_save_is_a_new_revision_of_the_same_file(watching: Watching) -> None:
    path = picture(watching.share / "a.tif", 1)
    watching.until_true_to_the_disk()
    picture(watching.share / ".a.tmp.tif", 2).rename(path)
    watching.until(lambda: [kind for _, kind, _ in watching.ask.open_drift()] == ["picture"])
    assert watching.ask.states() == {"a.tif": "present"}


def test_second_daemon_is_told_who_holds_the_catalogue(watching: Watching) -> None:
    ran = watching.cli("watch", watching.share)
    assert ran.code == 12
    assert str(watching.process.pid) in ran.stderr


def test_scan_beside_a_daemon_is_handed_to_it(watching: Watching) -> None:
    picture(watching.share / "a.tif", 1)
    watching.until_true_to_the_disk()
    ran = watching.cli("scan", watching.share, "--json", "--max-rate", "1GB")
    assert ran.code == 0, ran.stderr
    assert "handed to it" in ran.stderr
    assert "--max-rate is not heeded" in ran.stderr
    assert ran.json["files"]["seen"] == 1
    assert ran.json["roots"][0]["state"] == "online"


@pytest.mark.slow
def test_share_added_later_is_followed_by_a_daemon_of_all_shares(
    catalog_cli: Any, share: Path, tmp_path: Path, eventually: Any
) -> None:
    catalog_cli.config.write_text(QUICK)
    ask = Asking(catalog_cli.database)
    with catalog_cli.start("watch", stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: ask("SELECT 1 FROM daemon"), 20.0)
            assert catalog_cli("root", "add", share).code == 0
            picture(share / "a.tif", 1)
            eventually(lambda: ask.states() == {"a.tif": "present"}, 15.0)
            ran = catalog_cli("scan", picture(tmp_path / "other" / "b.tif", 2).parent, "--json")
            assert ran.json["files"]["new"] == 1
            picture(tmp_path / "other" / "c.tif", 3)
            eventually(lambda: ask.states().get("c.tif") == "present", 15.0)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
    assert process.returncode == 0


def test_replaced_share_holds_every_deletion_and_its_return_is_noticed(watching: Watching) -> None:
    for shade in range(5):
        picture(watching.share / f"{shade}.tif", shade)
    watching.until_true_to_the_disk()
    aside = watching.share.with_name("aside")
    watching.share.rename(aside)
    watching.until(lambda: set(watching.ask.states().values()) == {"offline"})
    aside.rename(watching.share)
    watching.until(lambda: set(watching.ask.states().values()) == {"present"})
    picture(watching.share / "late.tif", 9)
    watching.until_true_to_the_disk()
    assert watching.ask.events("missing", "changed", "moved") == []


def test_killed_daemon_loses_nothing(watching: Watching) -> None:
    for shade in range(30):
        picture(watching.share / f"{shade}.tif", shade)
    os.kill(watching.process.pid, signal.SIGKILL)
    watching.process.wait()
    picture(watching.share / "late.tif", 99)
    assert watching.cli("scan", watching.share).code == 0
    assert watching.ask.record() == truth(watching.share)


def test_nothing_is_left_of_a_killed_daemon_by_the_next_one(watching: Watching, eventually: Any) -> None:
    cookies = f"{watching.cli.database.name}.cookie-*"
    (before,) = watching.cli.database.parent.glob(cookies)
    os.kill(watching.process.pid, signal.SIGKILL)
    watching.process.wait()
    assert before.is_dir()
    with watching.cli.start("watch", watching.share, stderr=subprocess.DEVNULL) as another:
        eventually(lambda: (found := list(before.parent.glob(cookies))) and before not in found, 20.0)
        another.send_signal(signal.SIGTERM)
        assert another.wait(20) == 0
    assert list(before.parent.glob(cookies)) == []


def test_service_manager_is_told_ready_status_and_stopping(
    catalog_cli: Any, share: Path, tmp_path: Path
) -> None:
    catalog_cli.config.write_text(QUICK)
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address)
        server.settimeout(30)
        env = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
        with catalog_cli.start("watch", share, env=env, stderr=subprocess.DEVNULL) as process:
            try:
                heard = ""
                while "WATCHDOG=1" not in heard or "READY=1" not in heard:
                    heard += server.recv(4096).decode() + "\n"
                assert "STATUS=watching 1 share" in heard
                process.send_signal(signal.SIGTERM)
                while "STOPPING=1" not in heard:
                    heard += server.recv(4096).decode() + "\n"
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.slow
def test_workers_end_with_a_killed_daemon(watching: Watching, eventually: Any) -> None:
    picture(watching.share / "a.tif", 1)
    watching.until_true_to_the_disk()
    children = subprocess.run(
        ["pgrep", "-P", str(watching.process.pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    assert children
    os.kill(watching.process.pid, signal.SIGKILL)
    watching.process.wait()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 10.0)


def test_share_on_a_mount_that_goes_away_loses_nothing(catalog_cli: Any, tmp_path: Path) -> None:
    """In a mount namespace of our own: a tmpfs share is unmounted, seen offline, and comes back."""
    prefix = namespaces()
    catalog_cli.config.write_text(QUICK)
    script = Path(__file__).with_name("share_goes_away.py")
    ran = subprocess.run(
        [*prefix, catalog_cli.python, str(script), str(tmp_path), str(catalog_cli.database)],
        env=catalog_cli.environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
