"""The shipped units of the nightly audit."""

from __future__ import annotations

import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from catalog.errors import Exit

UNITS = Path(__file__).resolve().parents[2] / "systemd"
OWN = {
    *("Type", "ExecStart", "SuccessExitStatus", "TimeoutStartSec", "TimeoutStopSec", "KillMode", "Nice"),
    *("RuntimeDirectory", "RuntimeDirectoryMode"),
    *("NotifyAccess", "ExecReload", "Restart", "RestartSec", "RestartPreventExitStatus", "WatchdogSec"),
}


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / name)
    return parser


def test_ordinary_drift_and_an_absent_share_page_nobody_and_corruption_does() -> None:
    codes = {int(code) for code in unit("catalog-audit.service")["Service"]["SuccessExitStatus"].split()}
    assert {Exit.FINDINGS, Exit.INCOMPLETE} <= codes
    assert Exit.CORRUPTION not in codes


def test_the_audit_is_fenced_like_the_daemon() -> None:
    daemon, audit = unit("catalog.service")["Service"], unit("catalog-audit.service")["Service"]
    kept = {name: value for name, value in daemon.items() if name not in OWN}
    assert {name: audit.get(name) for name in kept} == kept


def test_a_missed_night_is_made_up_for_and_machines_do_not_start_at_once() -> None:
    timer = unit("catalog-audit.timer")["Timer"]
    assert timer["Persistent"] == "true"
    assert timer["RandomizedDelaySec"]
    assert timer["OnCalendar"]


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    for name in ("catalog-audit.service", "catalog-audit.timer"):
        text = (UNITS / name).read_text().replace("/opt/catalog/bin/catalog", "/bin/true")
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(map(str, tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "catalog-audit" in line]
    assert (done.returncode, ours) == (0, []), done.stderr
