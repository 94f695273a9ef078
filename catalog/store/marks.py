"""What a file says of itself before anybody reads a table: whose database it is, and of which schema."""

from __future__ import annotations

from typing import Final

SCHEMA_NUMBER: Final = 1
"""``PRAGMA user_version``: one more for each migration."""
SCHEMA_HEAD: Final = "0001"
"""The newest Alembic revision; a test holds it against the folder ``migrations``."""
APPLICATION_ID: Final = 0x43415431
"""``CAT1``: lets ``file`` and us tell a catalogue from another SQLite database."""
