"""What we ship is complete: sdist and wheel, and the program runs from each of them with cwd=/.

Nothing is downloaded: hatchling builds without isolation, and the fresh environments see the dependencies of
the one that runs the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

import catalog

CHECKOUT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (CHECKOUT / ".git").exists(), reason="not a git checkout: nobody says which files are ours"
    ),
]

# Not what a build of the user's own would see.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(*command: str | Path, cwd: Path, env: dict[str, str] = ENVIRONMENT) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def tracked() -> list[str]:
    """Files that belong to the project: in git, and new ones that git does not ignore."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=CHECKOUT)
    return [name for name in listed.split("\0") if name and (CHECKOUT / name).is_file()]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of the checkout: no build leaves anything in the developer's tree."""
    folder = tmp_path_factory.mktemp("source") / "catalog"
    for name in tracked():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((CHECKOUT / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("--sdist", source, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("--wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheel_of_sdist(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return built("--wheel", next(folder.iterdir()), tmp_path_factory.mktemp("wheel"))


def built(kind: str, source: Path, target: Path) -> Path:
    run(sys.executable, "-m", "build", "--no-isolation", kind, "--outdir", target, source, cwd=target)
    return next(target.iterdir())


def environment(folder: Path, *install: str | Path) -> Path:
    """The python of a fresh environment with only our package in it, beside the dependencies of this one."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    # Behind the fresh environment's own folder; a .pth file inside the other (an editable install of us) is
    # not followed from here.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "-q",
        "--no-deps", "--no-build-isolation", "--no-index", *install,
        cwd=folder,
    )  # fmt: skip
    return python


@pytest.fixture(scope="module", params=["checkout", "editable", "wheel", "wheel of sdist"])
def program(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Any], Path]:
    """How to start ``catalog`` in each way that we promise, and where its code must come from."""
    folder = tmp_path_factory.mktemp("env") / "venv"
    if request.param == "checkout":
        source = request.getfixturevalue("source")
        return ["env", f"PYTHONPATH={source}", sys.executable, "-m", "catalog"], source
    if request.param == "editable":
        source = request.getfixturevalue("source")
        environment(folder, "-e", source)
        return [folder / "bin" / "catalog"], source
    name = "wheel" if request.param == "wheel" else "wheel_of_sdist"
    environment(folder, request.getfixturevalue(name))
    return [folder / "bin" / "catalog"], folder


# ---------------------------------------------------------------------------------------------- contents


def expected_in_wheel() -> set[str]:
    ours = {name for name in tracked() if name.startswith("catalog/")}
    return ours | {f"catalog/{name}" for name in tracked() if name.startswith(("migrations/", "systemd/"))}


def test_the_wheel_holds_the_package_its_migrations_and_its_units(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected_in_wheel()
    assert "catalog/migrations/env.py" in names
    assert "catalog/py.typed" in names


def test_the_wheel_of_the_sdist_is_the_same(wheel: Path, wheel_of_sdist: Path) -> None:
    def contents(path: Path) -> dict[str, bytes]:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    assert contents(wheel) == contents(wheel_of_sdist)


def test_the_sdist_holds_everything_that_tests_and_builds_need(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names == {name for name in tracked() if not name.startswith(".ci/")} | {"PKG-INFO"}


def test_the_metadata_names_licence_readme_and_version(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(info).decode()
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
    assert f"\nVersion: {catalog.__version__}\n" in metadata
    assert "\nLicense-Expression: MIT\n" in metadata
    assert "\n# catalog\n" in metadata


# --------------------------------------------------------------------------------------------- it runs


def started(program: list[Any], home: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    env = {**ENVIRONMENT, "HOME": str(home), "CATALOG_DATABASE": str(home / "c.sqlite3")}
    env["CATALOG_CONFIG"] = str(home / "c.toml")
    (home / "c.toml").touch()
    return subprocess.run([*program, *words], cwd="/", env=env, capture_output=True, text=True, check=False)


def test_version_from_every_way_to_install(program: tuple[list[Any], Path], tmp_path: Path) -> None:
    ran = started(program[0], tmp_path, "--version")
    assert (ran.returncode, ran.stdout) == (0, f"catalog {catalog.__version__}\n"), ran.stderr


def test_a_scan_and_a_question_from_every_way_to_install(
    program: tuple[list[Any], Path], tmp_path: Path
) -> None:
    from PIL import Image

    share = tmp_path / "share"
    share.mkdir()
    Image.linear_gradient("L").save(share / "a.tif")
    Image.linear_gradient("L").save(share / "b.png")
    scanned = started(program[0], tmp_path, "scan", share)
    assert scanned.returncode == 0, scanned.stderr
    asked = started(program[0], tmp_path, "query", "files", "--json")
    assert asked.returncode == 0, asked.stderr
    files = json.loads(asked.stdout)["files"]
    assert [Path(file["path"]).name for file in files] == ["a.tif", "b.png"]
    assert {file["state"] for file in files} == {"present"}
    assert files[0]["pixels"] == files[1]["pixels"]


def test_the_code_comes_from_where_it_was_installed(program: tuple[list[Any], Path]) -> None:
    command, place = program
    python = command[:-2] if command[-1] == "catalog" else [Path(command[0]).parent / "python"]
    found = run(*python, "-c", "import catalog; print(catalog.__file__)", cwd=Path("/")).strip()
    assert Path(found).is_relative_to(place)
