"""``catalog service`` under a really booted systemd: installed, watching, catalogue written, stopped, uninstalled."""

from __future__ import annotations

import json
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

    def attempt(self, *words: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = ["bash", str(LAB), "run", str(self._folder), *map(str, words)]
        return subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)

    def run(self, *words: str | Path, stdin: bytes = b"") -> str:
        ran = self.attempt(*words, stdin=stdin)
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
    # The limits of the kernel are those of this machine, too.
    lab.run("sh", "-c", "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys")


def catalog(lab: Lab, *words: str) -> str:
    return lab.run(
        "env", "-i", "HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "/opt/catalog/bin/catalog", *words
    )


def as_catalog(lab: Lab, *words: str) -> str:
    return lab.run("runuser", "-u", "catalog", "--", "/opt/catalog/bin/catalog", "-d", DATABASE, *words)


def files_of_ours(lab: Lab) -> set[str]:
    found = lab.run(
        "find",
        "/etc",
        "/run/systemd",
        "/usr/lib/systemd",
        "-name",
        "*catalog*",
        "-not",
        "-path",
        "*/journal/*",
    )
    # systemd's own catalogue of journal messages
    return {line for line in found.splitlines() if "journal-catalog" not in line}


def test_service_is_installed_catalogues_its_share_and_is_uninstalled_without_a_trace(
    lab: Lab, eventually: Any, tmp_path: Path
) -> None:
    from tests.asking import picture

    install(lab, interpreter())
    before = files_of_ours(lab)
    first = picture(tmp_path / "first.tif", 1)
    second = picture(tmp_path / "second.png", 2)
    lab.run("install", "-d", "-m", "755", "/srv/share")
    lab.run("mount", "-t", "tmpfs", "-o", "mode=755", "share", "/srv/share")
    lab.put("/srv/share/first.tif", first.read_bytes())
    lab.run("install", "-d", "/etc/catalog")
    lab.put("/etc/catalog/catalog.toml", b'metrics_file = "/run/catalog/catalog.prom"\n')
    catalog(lab, "service", "install", "--share", "/srv/share")
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
    # Members of the group may read the catalogue, nobody else; everybody may read the metrics.
    assert lab.run("stat", "-c", "%a %U", DATABASE).strip() in ("640 catalog", "644 catalog")
    assert lab.run("stat", "-c", "%a", "/var/lib/catalog").strip() == "750"
    nobody = ("runuser", "-u", "nobody", "--", "cat", "/run/catalog/catalog.prom")
    eventually(lambda: 'catalog_root_state{root="share",state="online"} 1\n' in lab.run(*nobody), 20.0, 0.2)
    status = json.loads(catalog(lab, "service", "status", "--check", "--json"))
    units = {unit["name"]: unit for unit in status["units"]}
    assert units["catalog.service"]["active"] == "active"
    assert status["daemon"]["running"]
    assert status["daemon"]["pid"] == units["catalog.service"]["pid"]
    words = catalog(lab, "service", "status")
    assert "catalog.service         active (running)" in words
    journal = lab.run(*words.splitlines()[-1].split()[1:-1], "-o", "cat", "--no-pager")
    assert "share: inotify" in journal
    assert "Traceback" not in journal, journal
    lab.run("systemctl", "stop", "catalog.service")
    result = lab.run("systemctl", "show", "catalog.service", "-p", "Result", "-p", "ExecMainStatus")
    assert "Result=success" in result
    assert "ExecMainStatus=0" in result
    lab.run("systemctl", "enable", "--now", "catalog.service", "catalog-audit.timer")
    catalog(lab, "service", "uninstall", "--yes")
    assert files_of_ours(lab) - {"/etc/catalog", "/etc/catalog/catalog.toml"} == before
    units_left = lab.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "catalog*")
    assert units_left == ""
    assert paths() == "/srv/share/first.tif\n/srv/share/second.png\n"  # the catalogue is kept


def test_user_has_a_service_of_their_own_without_root(lab: Lab, eventually: Any, tmp_path: Path) -> None:
    from tests.asking import picture

    install(lab, interpreter())
    lab.run("useradd", "--create-home", "ada")
    uid = lab.run("id", "-u", "ada").strip()
    runtime = f"/run/user/{uid}"
    lab.run("install", "-d", "-o", "ada", "-m", "700", runtime)  # as logind would
    if lab.attempt("systemctl", "start", f"user@{uid}.service").returncode:
        pytest.skip("no manager of a user starts here")
    identity = ("setpriv", "--reuid=ada", "--regid=ada", "--init-groups")
    clean = ("env", "-i", "HOME=/home/ada", "PATH=/usr/bin:/bin", f"XDG_RUNTIME_DIR={runtime}")

    def as_ada(*words: str) -> str:
        return lab.run(*identity, *clean, *words)

    program = "/opt/catalog/bin/catalog"
    as_ada("mkdir", "/home/ada/pictures")
    lab.put("/home/ada/pictures/a.tif", picture(tmp_path / "a.tif", 1).read_bytes())
    as_ada(program, "service", "install", "--user", "--share", "/home/ada/pictures")
    as_ada("systemctl", "--user", "enable", "--now", "catalog.service", "catalog-audit.timer")
    found = (program, "query", "files", "--paths", "--allow-incomplete")
    eventually(lambda: as_ada(*found) == "/home/ada/pictures/a.tif\n", 20.0, 0.2)
    assert json.loads(as_ada(program, "service", "status", "--user", "--check", "--json"))["daemon"][
        "running"
    ]
    as_ada("systemctl", "--user", "start", "catalog-audit.service")
    as_ada(program, "service", "uninstall", "--user", "--yes")
    assert as_ada("find", "/home/ada/.config", "-type", "f", "-o", "-type", "l") == ""
    assert as_ada("systemctl", "--user", "list-units", "--all", "--plain", "--no-legend", "catalog*") == ""


def test_program_that_the_service_cannot_read_is_not_installed(lab: Lab) -> None:
    install(lab, interpreter())
    lab.run("cp", "-a", "/opt/catalog", "/root/catalog")
    lab.run("sh", "-c", "sed -i 1s,/opt,/root, /root/catalog/bin/catalog")
    ran = lab.attempt("/root/catalog/bin/catalog", "service", "install")
    assert ran.returncode == 2, ran.stderr
    assert b"is in a home, which the service does not see" in ran.stderr
    assert b"/opt/catalog/bin/catalog service install" in ran.stderr
    assert lab.attempt("test", "-e", "/etc/systemd/system/catalog.service").returncode == 1


def test_unit_is_hardened(lab: Lab) -> None:
    install(lab, interpreter())
    catalog(lab, "service", "install")
    for name in ("catalog.service", "catalog-audit.service"):
        unit = f"/etc/systemd/system/{name}"
        lab.run("systemd-analyze", "security", "--offline=true", "--threshold=2", unit)
