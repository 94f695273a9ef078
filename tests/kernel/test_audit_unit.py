"""The nightly audit under a really booted systemd: alone, beside the daemon, and what fails its unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.asking import picture
from tests.kernel.test_systemd import Lab, as_catalog, catalog, install, interpreter
from tests.kernel.test_systemd import lab as lab  # noqa: PLC0414 - the fixture

pytestmark = [pytest.mark.slow, pytest.mark.root]


def result_of(lab: Lab) -> tuple[str, str]:
    """(Result, exit code) of the audit's last run."""
    shown = lab.run(
        "systemctl", "show", "catalog-audit.service", "-p", "Result", "-p", "ExecMainStatus", "--value"
    )
    status, result = sorted(shown.split())
    return result, status


def test_an_edit_pages_nobody_and_corruption_fails_the_unit(
    lab: Lab, eventually: Any, tmp_path: Path
) -> None:
    install(lab, interpreter())
    lab.run("install", "-d", "-m", "755", "/srv/share")
    lab.run("mount", "-t", "tmpfs", "-o", "mode=755", "share", "/srv/share")
    for shade in range(3):
        lab.put(f"/srv/share/{shade}.tif", picture(tmp_path / f"{shade}.tif", shade).read_bytes())
    catalog(lab, "service", "install", "--share", "/srv/share")
    as_catalog(lab, "scan", "/srv/share")

    def audit() -> tuple[str, str]:
        lab.run("sh", "-c", "systemctl start catalog-audit.service || true")
        return result_of(lab)

    assert audit() == ("success", "0")
    assert "3 never" not in as_catalog(lab, "query", "audits")
    assert "all intact" in lab.run("journalctl", "-u", "catalog-audit", "-o", "cat", "--no-pager")
    assert "catalog-audit.timer" in lab.run(
        "sh", "-c", "systemctl start catalog-audit.timer; systemctl list-timers"
    )

    lab.run("systemctl", "start", "catalog.service")
    new = picture(tmp_path / "new.tif", 9).read_bytes()
    lab.put("/srv/share/1.tif", new)
    eventually(lambda: "picture" in as_catalog(lab, "query", "drift", "--allow-incomplete"), 20.0, 0.2)
    # What was audited a moment ago is not due; what changed since was never audited.
    assert audit() == ("success", "1")
    assert "handed to it" in lab.run("journalctl", "-u", "catalog-audit", "-o", "cat", "--no-pager")

    lab.run("systemctl", "stop", "catalog.service")
    secret = "touch -r 2.tif mark; printf X | dd of=2.tif bs=1 seek=2000 conv=notrunc; touch -r mark 2.tif; rm mark"
    lab.run("sh", "-c", f"cd /srv/share && {secret}")
    assert as_catalog(lab, "scan", "/srv/share", "--allow-incomplete") == ""
    assert audit() == ("exit-code", "5")
