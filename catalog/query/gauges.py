"""Numbers for monitoring that ``status`` does not have."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from catalog.query.scope import LIVING, RETIRED
from catalog.store.schema import file, file_check, revision, root


def oldest_verified(connection: Connection) -> dict[str, int]:
    """Name of a share → when the bytes of the file that was verified longest ago were compared with the record, or
    recorded (milliseconds). Shares without files that were read are left out. Looks at every file."""
    verified = func.min(func.coalesce(file_check.c.verified_ms, revision.c.observed_ms))
    statement = (
        select(root.c.name, verified)
        .select_from(file)
        .join(root, root.c.root_id == file.c.root_id)
        .join(revision, revision.c.rev_id == file.c.rev_id)
        .outerjoin(file_check, file_check.c.file_id == file.c.file_id)
        .where(LIVING, root.c.state != RETIRED)
        .group_by(root.c.root_id)
    )
    return {name: int(moment) for name, moment in connection.execute(statement) if moment is not None}
