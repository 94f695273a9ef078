"""A next migration that never was: a copy of the folder with one revision more, and a program that knows it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from catalog.store import marks, migration

NEXT = '''"""The next schema."""

from alembic import op

revision = "{head}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    {body}


def downgrade() -> None:
    raise NotImplementedError
'''

REBUILD = """
    with op.batch_alter_table("file") as batch:
        batch.alter_column("reason", nullable=False, server_default="", existing_type=__import__("sqlalchemy").Text)
"""
"""Alembic's batch mode: the table is copied, and loses its triggers."""


def folder_with_next(folder: Path, body: str) -> Path:
    """A copy of the migrations with ``body`` as the upgrade of one more revision."""
    copy = folder / "next"
    shutil.copytree(migration.migrations_folder(), copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = NEXT.format(head=next_head(), before=marks.SCHEMA_HEAD, body=body.strip())
    (copy / "versions" / f"{next_head()}_next.py").write_text(text)
    return copy


def next_head() -> str:
    return f"{int(marks.SCHEMA_HEAD) + 1:04}"


def know_next(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make this program the one whose newest migration is in ``folder``."""
    head = next_head()
    patch.setattr(migration, "migrations_folder", lambda: folder)
    patch.setattr(migration, "SCHEMA_HEAD", head)
    patch.setattr(migration, "SCHEMA_NUMBER", marks.SCHEMA_NUMBER + 1)
