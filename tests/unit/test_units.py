"""The units as they are written for a machine: paths, needs of the shares, what a user's manager can do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import UsageError
from catalog.service import installing, units
from catalog.service.units import (
    MARK,
    Places,
    Program,
    Wanted,
    closed_to_others,
    obstacle,
    plan,
    rendered,
    shipped,
)

HERE = Program(("/srv/my programs/50%/bin/catalog",))
PLAIN = Program(("/opt/other/bin/catalog",))


def keys(text: str) -> dict[str, str]:
    """The last value of each key."""
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def test_every_shipped_unit_starts_the_program_that_installs_it() -> None:
    names = set(shipped())
    assert {"catalog.service", "catalog-audit.service", "catalog-audit.timer"} <= names
    for name, text in shipped().items():
        made = rendered(text, Wanted(PLAIN))
        assert made.startswith(MARK)
        assert units.SHIPPED_PROGRAM not in made
        if name.endswith(".service"):
            assert re.search(r"^ExecStart=/opt/other/bin/catalog \w+", made, re.MULTILINE)
            assert keys(made)["User"] == "catalog"
            assert keys(made)["ProtectHome"] == "yes"


def test_module_of_an_interpreter_and_odd_paths_are_written_as_systemd_reads_them() -> None:
    text = shipped()["catalog.service"]
    assert 'ExecStart="/srv/my programs/50%%/bin/catalog" watch\n' in rendered(text, Wanted(HERE))
    module = Program(("/usr/bin/python3.11", "-m", "catalog"))
    assert "ExecStart=/usr/bin/python3.11 -m catalog watch\n" in rendered(text, Wanted(module))


def test_no_variable_is_looked_for_in_a_program_or_a_folder() -> None:
    """systemd takes the program's path and folders as they are, and would find no $$ there."""
    text = shipped()["catalog.service"]
    made = keys(rendered(text, Wanted(Program(("/srv/a $x/catalog", "$y z")), metrics_folder="/srv/$HOME")))
    assert made["ExecStart"] == '"/srv/a $x/catalog" "$$y z" watch'
    assert made["ReadWritePaths"] == '-"/srv/$HOME"'


@pytest.mark.parametrize("odd", ["/srv/two\nUser=root", "/srv/\udcff"])
def test_a_path_that_would_write_lines_of_its_own_is_refused(odd: str) -> None:
    for wanted in (Wanted(PLAIN, metrics_folder=odd), Wanted(Program((odd,)))):
        with pytest.raises(UsageError, match="a unit cannot name /srv"):
            plan(wanted, Places("/units"))


def test_share_in_a_home_opens_homes_for_reading_and_only_then() -> None:
    text = shipped()["catalog.service"]
    assert keys(rendered(text, Wanted(PLAIN, ("/home/ada/scans",))))["ProtectHome"] == "read-only"
    assert keys(rendered(text, Wanted(PLAIN, ("/homes/ada",))))["ProtectHome"] == "yes"


def test_share_that_the_service_would_not_see_is_refused() -> None:
    with pytest.raises(UsageError, match="does not see /tmp/scans"):
        plan(Wanted(PLAIN, ("/tmp/scans",)), Places("/units"))
    assert plan(Wanted(PLAIN, ("/tmp/scans",), user=True), Places("/units"))


def test_metrics_elsewhere_get_room_and_beside_the_service_need_none() -> None:
    text = shipped()["catalog.service"]
    elsewhere = rendered(text, Wanted(PLAIN, metrics_folder="/var/lib/prometheus/node exporter"))
    assert keys(elsewhere)["ReadWritePaths"] == '-"/var/lib/prometheus/node exporter"'
    for own in (None, "/run/catalog", "/var/lib/catalog"):
        assert "ReadWritePaths" not in rendered(text, Wanted(PLAIN, metrics_folder=own))


def test_units_of_a_user_ask_for_nothing_that_only_root_can_give() -> None:
    for text in shipped().values():
        made = keys(rendered(text, Wanted(PLAIN, user=True)))
        assert not set(made) & units._ONLY_ROOT
        assert made.get("WantedBy") != "multi-user.target"
    assert keys(rendered(shipped()["catalog.service"], Wanted(PLAIN, user=True)))["NoNewPrivileges"] == "yes"


def test_system_gets_a_user_its_folder_and_the_limits_of_the_kernel() -> None:
    files = plan(Wanted(PLAIN), units.places(user=False))
    assert set(files) == {
        *(f"/etc/systemd/system/{name}" for name in shipped()),
        "/etc/sysusers.d/catalog.conf",
        "/etc/tmpfiles.d/catalog.conf",
        "/etc/sysctl.d/60-catalog.conf",
    }
    limits = dict(
        re.findall(r"^fs.inotify.(\w+) = (\d+)$", files["/etc/sysctl.d/60-catalog.conf"], re.MULTILINE)
    )
    for name, wanted in (("max_user_watches", 1 << 20), ("max_queued_events", 1 << 17)):
        assert int(limits[name]) == max(wanted, int(Path(f"/proc/sys/fs/inotify/{name}").read_text()))
    assert "d /var/lib/catalog 0750 catalog catalog - -\n" in files["/etc/tmpfiles.d/catalog.conf"]


@pytest.mark.parametrize("user", [False, True])
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path, user: bool) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    program = tmp_path / "bin" / "catalog"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    wanted = Wanted(Program((str(program),)), ("/home/ada",), str(tmp_path / "metrics"), user)
    files = plan(wanted, Places(str(tmp_path)))
    for path, content in files.items():
        Path(path).write_text(content)
    command = [
        "systemd-analyze",
        "verify",
        "--man=no",
        "--recursive-errors=no",
        *(["--user"] if user else []),
        *files,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in ran.stderr.splitlines() if "catalog" in line]
    assert ours == []


def test_interpreter_that_the_service_cannot_read_is_an_obstacle(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    (closed / "bin" / "catalog").touch(0o755)
    closed.chmod(0o700)
    assert closed_to_others(str(closed / "bin" / "catalog")) is not None
    assert closed_to_others("/usr/bin/env") is None
    assert closed_to_others("/usr/nowhere/x") == "/usr/nowhere"
    assert obstacle(Wanted(Program(("/home/ada/venv/bin/catalog",)))) == (
        "/home/ada/venv/bin/catalog is in a home, which the service does not see (ProtectHome)"
    )
    assert "files" in (obstacle(Wanted(Program(("/tmp/venv/bin/catalog",)))) or "")
    assert obstacle(Wanted(Program(("/home/ada/venv/bin/catalog",)), user=True)) is None


# ------------------------------------------------------------------------------------- in a user's folder


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """The places of a user whose manager cannot be reached."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nowhere"))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    return units.places(user=True)


def test_what_was_installed_is_removed_and_nothing_else(where: Places) -> None:
    said: list[str] = []
    installing.install(Wanted(PLAIN, user=True), where, said.append, said.append)
    folder = Path(where.units)
    assert sorted(os.listdir(folder)) == sorted(shipped())
    installing.install(Wanted(PLAIN, user=True), where, said.append, said.append)  # again, over its own
    (folder / "other.service").write_text("[Unit]\n")
    installing.uninstall(installing.installed(where), said.append, said.append, user=True)
    assert os.listdir(folder) == ["other.service"]
    assert installing.installed(where) == []


def test_file_of_somebody_else_is_neither_written_over_nor_removed(where: Places) -> None:
    folder = Path(where.units)
    folder.mkdir(parents=True)
    (folder / "catalog.service").write_text("[Unit]\nDescription=mine\n")
    with pytest.raises(UsageError, match="did not write"):
        installing.install(Wanted(PLAIN, user=True), where, print, print)
    assert os.listdir(folder) == ["catalog.service"]
    assert installing.installed(where) == []


def test_dry_run_prints_every_file_and_writes_none(catalog_cli: object, tmp_path: Path) -> None:
    ran = catalog_cli("service", "install", "--user", "--dry-run", "--share", tmp_path)  # type: ignore[operator]
    assert ran.code == 0, ran.stderr
    for name in shipped():
        assert f"/systemd/user/{name}\n" in ran.out
    assert "ExecStart=" in ran.out
    assert not list(catalog_cli.home.rglob("*.service"))  # type: ignore[attr-defined]


def test_share_that_is_not_there_is_exit_20_and_nothing_to_uninstall_is_said(
    catalog_cli: object, tmp_path: Path
) -> None:
    ran = catalog_cli("service", "install", "--user", "--share", tmp_path / "nowhere")  # type: ignore[operator]
    assert ran.code == 20
    ran = catalog_cli("service", "uninstall", "--user")  # type: ignore[operator]
    assert (ran.code, "nothing is installed" in ran.stderr) == (0, True)


def test_status_without_systemd_tells_of_the_daemon_alone_and_is_incomplete(
    catalog_cli: Any, tmp_path: Path
) -> None:
    nowhere = {"PATH": str(tmp_path)}
    ran = catalog_cli("service", "status", "--json", env=nowhere)
    assert ran.code == 3, ran.stderr
    assert (ran.json["units"], ran.json["complete"]) == ([], False)
    assert [each["reason"] for each in ran.json["incomplete"]] == ["there is no systemd on this machine"]
    assert ran.json["daemon_unknown"].startswith("no catalogue yet")
    words = catalog_cli("service", "status", "--check", env=nowhere)
    assert (words.code, "no systemd on this machine" in words.stderr) == (1, True)
