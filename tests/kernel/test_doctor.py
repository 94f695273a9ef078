"""``catalog doctor`` where the kernel allows fewer watches than a share has folders.

Inside a user and mount namespace of its own (``unshare -Urm``); this file is also the program that runs there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mounting import CHECKOUT, namespaces

FOLDERS = 40


def main(share: Path, limit: int) -> None:
    """A share on a tmpfs of our own (which is watched, not polled), and as many watches as ``limit`` says."""
    subprocess.run(["mount", "-t", "tmpfs", "none", share], check=True)
    for number in range(FOLDERS - 1):
        (share / f"{number:02}").mkdir()
    Path("/proc/sys/user/max_inotify_watches").write_text(str(limit))
    asked = [sys.executable, "-m", "catalog", "doctor", str(share), "--json"]
    sys.exit(subprocess.run(asked, check=False).returncode)


@pytest.mark.parametrize(("limit", "code"), [(20, 1), pytest.param(1000, 0, marks=pytest.mark.slow)])
def test_too_few_watches_fail_and_enough_do_not(
    catalog_cli: Any, tmp_path: Path, limit: int, code: int
) -> None:
    prefix = namespaces()
    share = tmp_path / "share"
    share.mkdir()
    ran = subprocess.run(
        [*prefix, catalog_cli.python, __file__, str(share), str(limit)],
        env=catalog_cli.environment(),
        cwd=CHECKOUT,
        capture_output=True,
        check=False,
    )
    document = json.loads(ran.stdout or b"{}")
    found = {check["name"]: check for check in document["checks"]}
    watches = found["inotify watches"]
    assert watches["state"] == ("failed" if code else "ok"), watches
    assert f"{FOLDERS} folders" in watches["what"]
    if code:
        assert "20 folders would go unwatched" in watches["what"]
        assert "max_user_watches" in watches["advice"]
    failed = [check["name"] for check in document["checks"] if check["state"] == "failed"]
    assert failed == (["inotify watches"] if code else [])
    assert ran.returncode == code


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
