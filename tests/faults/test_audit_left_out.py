"""What an audit must not leave out: files that would not come to rest, and those with checks from the future."""

from __future__ import annotations

from pathlib import Path

from catalog.query.coverage import any_due, coverage, total, unread_since
from catalog.query.opening import opened
from catalog.query.resolving import resolve
from catalog.record.batch import now_ms
from catalog.service.auditing import audit
from catalog.terms import Outcome
from tests.asking import picture
from tests.in_process import Cataloguing, cataloguing_in

DAY_MS = 86_400_000


def leave_pending(home: Cataloguing, name: bytes) -> None:
    """What a scan records of a file that changes as often as it is read."""
    recorder = home.session.recorder
    (root,) = home.session.roots.all()
    row = recorder.rows.at(root.root_id, name)
    recorder.failed(
        root.root_id, name, row, Outcome.PENDING, "still being written: changed while it was read"
    )
    home.session.commit()


def test_a_known_file_that_would_not_come_to_rest_is_audited(tmp_path: Path) -> None:
    share = tmp_path / "share"
    for shade in range(3):
        picture(share / f"{shade}.tif", shade)
    with cataloguing_in(tmp_path) as home:
        home.scan(share)
        leave_pending(home, b"1.tif")
        leave_pending(home, b"2.tif")
        picture(share / "2.tif", 9)
        result = audit(home.session, database=str(home.database))
        assert (result.files, result.checked, result.intact) == (3, 3, 2)
        assert sum(result.drift.values()) == 1
        assert result.complete
        assert set(home.ask.states().values()) == {"present"}


def test_checks_from_the_future_count_as_none(tmp_path: Path) -> None:
    """The clock was a year ahead at the last audit."""
    share = tmp_path / "share"
    picture(share / "1.tif", 1)
    with cataloguing_in(tmp_path) as home:
        home.scan(share)
        audit(home.session, database=str(home.database))
        batch = home.session.recorder.batch
        batch.execute("UPDATE file_check SET audited_ms = audited_ms + ?", (365 * DAY_MS,))
        batch.commit()
        moment = now_ms()
        with opened(str(home.database)) as connection:
            scope = resolve(connection, paths=[], roots=[])
            found = total(coverage(connection, scope, moment))
            assert (found.files, found.within, found.oldest_ms) == (1, (0, 0, 0), None)
            assert unread_since(connection, scope, moment - DAY_MS, moment)[0] == 1
            assert any_due(connection, before_ms=moment - DAY_MS, now_ms=moment)
