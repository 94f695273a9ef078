"""Acceptance of the watching on real mounts: each scenario in namespaces of its own, without root."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.mounted_servers import SERVED
from tests.kernel.mounted_shares import CLOSED, QUICK, SLOW
from tests.mounting import OWN_PROCESSES, namespaces, run_scenario, unprivileged
from tests.waiting import sized

MODULE = {each.__name__: each.__module__ for each in (*QUICK, *SLOW, *SERVED, *CLOSED)}
"""Scenario → the program that plays it."""


@pytest.mark.parametrize("scenario", [each.__name__ for each in QUICK])
def test_mounted(scenario: str, tmp_path: Path) -> None:
    run_scenario(namespaces(OWN_PROCESSES), MODULE[scenario], scenario, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [each.__name__ for each in (*SLOW, *SERVED)])
def test_mounted_at_length(scenario: str, tmp_path: Path) -> None:
    run_scenario(namespaces(OWN_PROCESSES), MODULE[scenario], scenario, tmp_path, FILES=str(sized(600, 2000)))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [each.__name__ for each in CLOSED])
def test_closed_folders(public_path: Path, scenario: str) -> None:
    run_scenario(unprivileged(public_path), MODULE[scenario], scenario, public_path)
