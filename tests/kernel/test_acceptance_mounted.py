"""Acceptance of the watching on real mounts: each scenario in namespaces of its own, without root."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.mounted_shares import CLOSED, QUICK, SLOW
from tests.mounting import OWN_PROCESSES, namespaces, run_scenario, unprivileged

PROGRAM = "tests.kernel.mounted_shares"


@pytest.mark.parametrize("scenario", [each.__name__ for each in QUICK])
def test_mounted(scenario: str, tmp_path: Path) -> None:
    run_scenario(namespaces(OWN_PROCESSES), PROGRAM, scenario, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [each.__name__ for each in SLOW])
def test_mounted_at_length(scenario: str, tmp_path: Path) -> None:
    run_scenario(namespaces(OWN_PROCESSES), PROGRAM, scenario, tmp_path, FILES="600")


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [each.__name__ for each in CLOSED])
def test_closed_folders(public_path: Path, scenario: str) -> None:
    run_scenario(unprivileged(public_path), PROGRAM, scenario, public_path)
