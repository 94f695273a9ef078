"""The shipped unit under a really booted systemd: started, watching, catalogue written, stopped cleanly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CHECKOUT

LAB = Path(__file__).with_name("systemd_lab.sh")
DATABASE = "/var/lib/catalog/catalog.sqlite3"
SOURCE = "/opt/source"
LIBRARIES = "/opt/libraries"

pytestmark = [pytest.mark.slow, pytest.mark.root]


class Lab:
    """A booted systemd; ``run`` gives the output of a command inside."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, *words: str | Path, stdin: bytes = b"") -> str:
        command = ["bash", str(LAB), "run", str(self._folder), *map(str, words)]
        ran = subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)
        assert ran.returncode == 0, f"{words}: {ran.stdout!r} {ran.stderr!r}"
        return ran.stdout.decode()

    def put(self, path: str, content: bytes) -> None:
        """Write a file inside: the lab has a /tmp of its own."""
        self.run("sh", "-c", f"cat > {path}", stdin=content)


def interpreter() -> str:
    """A Python of our version that a service user can reach (``ProtectHome`` hides /root and /home)."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (os.path.realpath(sys.executable), f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        if os.path.exists(candidate) and not candidate.startswith(("/root/", "/home/")):
            return candidate
    pytest.skip(f"no {version} outside of the home directories for the service to run")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("booting a systemd needs root")
    missing = [tool for tool in ("systemctl", "unshare", "nsenter", "pgrep") if shutil.which(tool) is None]
    if missing or not Path("/lib/systemd/systemd").exists():
        pytest.skip(
            f"no systemd to boot on this machine ({', '.join(missing) or '/lib/systemd/systemd'} missing)"
        )
    folder = tmp_path / f"lab{os.getpid()}"
    # The checkout may lie in /tmp or in a home, which neither the lab nor the service sees.
    binds = [f"{CHECKOUT}:{SOURCE}", f"{sysconfig.get_path('purelib')}:{LIBRARIES}"]
    booted = subprocess.run(
        ["bash", LAB, "up", folder, *binds], capture_output=True, text=True, timeout=60, check=False
    )
    try:
        if booted.returncode:
            pytest.skip(f"systemd does not boot in a namespace here: {booted.stderr[-300:]}")
        yield Lab(folder)
    finally:
        subprocess.run(["bash", LAB, "down", folder], check=False, timeout=60, capture_output=True)


def install(lab: Lab, python: str) -> None:
    """The program at /opt/catalog, as an admin would install it, but with the libraries of this environment."""
    lab.run(python, "-m", "venv", "--without-pip", "/opt/catalog")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    lab.put(f"/opt/catalog/lib/{version}/site-packages/here.pth", f"{SOURCE}\n{LIBRARIES}\n".encode())
    lab.put("/opt/catalog/bin/catalog", b"#!/opt/catalog/bin/python\nfrom catalog.cli import main\nmain()\n")
    lab.run("chmod", "755", "/opt/catalog/bin/catalog")
    lab.run("useradd", "--system", "--home-dir", "/var/lib/catalog", "catalog")
    lab.run("install", "-d", "-o", "catalog", "-g", "catalog", "-m", "750", "/var/lib/catalog")
    unit = (CHECKOUT / "systemd" / "catalog.service").read_bytes()
    lab.put("/etc/systemd/system/catalog.service", unit)
    lab.run("systemctl", "daemon-reload")


def as_catalog(lab: Lab, *words: str) -> str:
    return lab.run("runuser", "-u", "catalog", "--", "/opt/catalog/bin/catalog", "-d", DATABASE, *words)


def test_unit_watches_a_share_under_a_real_systemd(lab: Lab, eventually: Any, tmp_path: Path) -> None:
    from tests.asking import picture

    install(lab, interpreter())
    first = picture(tmp_path / "first.tif", 1)
    second = picture(tmp_path / "second.png", 2)
    lab.run("install", "-d", "-m", "755", "/srv/share")
    lab.run("mount", "-t", "tmpfs", "-o", "mode=755", "share", "/srv/share")
    lab.put("/srv/share/first.tif", first.read_bytes())
    as_catalog(lab, "root", "add", "/srv/share")
    lab.run("systemctl", "start", "catalog.service")
    assert lab.run("systemctl", "is-active", "catalog.service").strip() == "active"

    def paths() -> str:
        return as_catalog(lab, "query", "files", "--paths", "--allow-incomplete")

    eventually(lambda: paths() == "/srv/share/first.tif\n", 20.0, 0.2)
    lab.put("/srv/share/second.png", second.read_bytes())
    eventually(lambda: paths() == "/srv/share/first.tif\n/srv/share/second.png\n", 20.0, 0.2)
    shown = lab.run("systemctl", "show", "catalog.service", "-p", "StatusText", "-p", "NRestarts")
    assert "StatusText=watching 1 share" in shown
    assert "NRestarts=0" in shown
    # Members of the group may read the catalogue, nobody else.
    assert lab.run("stat", "-c", "%a %U", DATABASE).strip() in ("640 catalog", "644 catalog")
    lab.run("systemctl", "stop", "catalog.service")
    result = lab.run("systemctl", "show", "catalog.service", "-p", "Result", "-p", "ExecMainStatus")
    assert "Result=success" in result
    assert "ExecMainStatus=0" in result
    journal = lab.run("journalctl", "-u", "catalog.service", "-o", "cat", "--no-pager")
    assert "Traceback" not in journal, journal


def test_unit_is_hardened(lab: Lab) -> None:
    unit = f"{SOURCE}/systemd/catalog.service"
    lab.run("systemd-analyze", "security", "--offline=true", "--threshold=2", unit)
