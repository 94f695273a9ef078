"""The tree is the flow: import only from a lower floor (the contracts stand in pyproject.toml)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_no_module_imports_from_its_own_or_a_higher_floor(tmp_path: Path) -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--config", CHECKOUT / "pyproject.toml", "--cache-dir", tmp_path],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_no_module_is_named_after_the_standard_library() -> None:
    # Python started inside that folder would import ours in its place.
    ours = {path.stem for path in (CHECKOUT / "catalog").rglob("*.py")} | {
        path.parent.name for path in (CHECKOUT / "catalog").rglob("__init__.py")
    }
    assert not (ours - {"__init__", "__main__"}) & sys.stdlib_module_names
