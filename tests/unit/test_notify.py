"""What systemd hears from us, on a real unix datagram socket; and the unit file that makes it listen."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog import notify
from catalog.errors import Exit

UNIT = Path(__file__).parents[2] / "systemd" / "catalog.service"


class Supervisor:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.socket.settimeout(5)
        self.socket.bind(address)

    def heard(self) -> list[str]:
        return self.socket.recv(65536).decode().split("\n")


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    address = str(tmp_path / "notify")
    listener = Supervisor(address)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    yield listener
    listener.socket.close()


def test_each_state_is_one_datagram_in_the_words_of_sd_notify(supervisor: Supervisor) -> None:
    assert notify.ready("watching 2 shares")
    assert supervisor.heard() == ["READY=1", "STATUS=watching 2 shares"]
    assert notify.status("1,204 files waiting")
    assert supervisor.heard() == ["STATUS=1,204 files waiting"]
    assert notify.watchdog()
    assert supervisor.heard() == ["WATCHDOG=1"]
    assert notify.extend_timeout(90.5)
    assert supervisor.heard() == ["EXTEND_TIMEOUT_USEC=90500000"]
    assert notify.stopping()
    assert supervisor.heard() == ["STOPPING=1"]


def test_reloading_gives_the_monotonic_time(supervisor: Supervisor) -> None:
    assert notify.reloading("reading the configuration")
    first, second, third = supervisor.heard()
    assert (first, third) == ("RELOADING=1", "STATUS=reading the configuration")
    assert re.fullmatch(r"MONOTONIC_USEC=\d+", second)


def test_a_file_name_in_the_status_cannot_forge_an_assignment(supervisor: Supervisor) -> None:
    notify.status("reading a\nSTOPPING=1\x1b[2J\udcff.tif")
    assert supervisor.heard() == [r"STATUS=reading a\nSTOPPING=1\x1b[2J\udcff.tif"]


def test_a_long_status_fits_into_the_page_that_systemd_reads(supervisor: Supervisor) -> None:
    notify.ready("\N{LARGE GREEN SQUARE}" * 10_000)
    message = "\n".join(supervisor.heard())
    assert len(message.encode()) <= 4096
    assert message.endswith("\N{LARGE GREEN SQUARE}")


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"catalog-test-{os.getpid()}"
    listener = Supervisor(f"\0{name}")
    try:
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert notify.watchdog()
        assert listener.heard() == ["WATCHDOG=1"]
    finally:
        listener.socket.close()


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "vsock:2:1234", "/" + "x" * 200])
def test_without_a_listener_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert notify.ready("ready") is False


def test_outside_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert notify.ready() is False


@pytest.mark.parametrize(
    ("pid", "duration", "seconds"),
    [
        ("ours", "60000000", 30.0),
        (None, "60000000", 30.0),
        ("1", "60000000", None),
        (None, "0", None),
        (None, "soon", None),
        (None, None, None),
    ],
)
def test_the_watchdog_is_due_at_half_its_time_and_only_for_the_process_it_watches(
    pid: str | None, duration: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = str(os.getpid()) if pid == "ours" else pid
    for name, value in (("WATCHDOG_PID", pid), ("WATCHDOG_USEC", duration)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert notify.watchdog_interval_seconds() == seconds


def settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        if not line.startswith(("#", "[")) and "=" in line:
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_waits_for_what_we_send() -> None:
    unit = settings()
    assert (unit["Type"], unit["NotifyAccess"]) == (["notify"], ["main"])
    assert unit["WatchdogSec"] == ["60s"]
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_the_unit_does_not_restart_what_a_restart_cannot_cure() -> None:
    codes = {Exit(int(code)) for code in settings()["RestartPreventExitStatus"][0].split()}
    assert codes == {Exit.USAGE, Exit.SCHEMA, Exit.DAMAGED, Exit.PERMISSION}


def test_the_unit_lets_the_group_read_the_catalogue_and_allows_landlock() -> None:
    unit = settings()
    assert (unit["StateDirectory"], unit["StateDirectoryMode"]) == (["catalog"], ["0750"])
    assert unit["UMask"] == ["0027"]
    assert "DynamicUser" not in unit
    assert "landlock_create_ruleset landlock_add_rule landlock_restrict_self" in unit["SystemCallFilter"][-1]
