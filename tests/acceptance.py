"""What every acceptance test of the watching asks in the end: does the record equal the truth?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.asking import Asking
from tests.in_process import check
from tests.storm_judging import recorded


def on_disk(folders: tuple[Path, ...]) -> dict[bytes, str]:
    """Absolute path → raw sha256 of every regular file: a walk with fresh hashes."""
    found = {}
    for folder in folders:
        for path in files_below(os.fsencode(folder)):
            with open(path, "rb") as stream:
                found[path] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def files_below(folder: bytes) -> Iterator[bytes]:
    """Regular files, links not followed; what cannot be listed raises OSError."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from files_below(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry.path


def untrue(ask: Asking, *folders: Path) -> list[str]:
    """Where the record is not what is on the disk: lost, changed, half judged, and what is not there at all."""
    record, truth = recorded(ask), on_disk(folders)
    found = list(record.odd)
    found += [f"waits in the backlog: {row['path']!r}" for row in ask("SELECT path FROM job")]
    found += [f"not recorded: {path!r}" for path in truth.keys() - record.sha256.keys()]
    found += [f"recorded, and not there: {path!r}" for path in record.sha256.keys() - truth.keys()]
    both = truth.keys() & record.sha256.keys()
    found += [f"another checksum: {path!r}" for path in both if truth[path] != record.sha256[path]]
    return found


def assert_record_is_truth(database: Path, *folders: Path) -> None:
    """The record of these shares equals a walk of them with fresh hashes, and the catalogue is sound."""
    found = untrue(Asking(database), *folders)
    assert not found, f"{len(found)} differences: {sorted(found)[:20]}"
    check(str(database))


def recorded_checksums(ask: Asking) -> set[str]:
    """Every raw checksum that was ever recorded."""
    rows = ask("SELECT DISTINCT c.sha256 FROM revision AS r JOIN content AS c ON c.content_id = r.content_id")
    return {row["sha256"].hex() for row in rows}
