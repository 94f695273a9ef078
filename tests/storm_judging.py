"""What the record must say when a storm is over: the disk's files, each with the history that is its own."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass

from tests.asking import Asking
from tests.storm import Storm
from tests.storm_ground import selected


@dataclass(frozen=True, slots=True)
class Held:
    """What a path held at a moment of rest."""

    body: int
    writes: int
    sha256: str


Moment = dict[bytes, Held]
"""Absolute path → what it held."""


def moment(storm: Storm) -> Moment:
    """What the shares hold now, by the model; the model is held against the disk first."""
    shares = tuple(share + b"/" for share in storm.shares)
    held = {
        path: Held(body.number, body.writes, body.sha256)
        for path, body in storm.tree.files.items()
        if path.startswith(shares) and selected(path)
    }
    assert {path: each.sha256 for path, each in held.items()} == on_disk(storm.shares), "the model is wrong"
    return held


def on_disk(shares: list[bytes]) -> dict[bytes, str]:
    """Absolute path → raw sha256 of the files that a catalogue of these shares is to hold."""
    found = {}
    for share in shares:
        for here, _, names in os.walk(share):
            for path in (os.path.join(here, name) for name in names if selected(name)):
                with open(path, "rb") as stream:
                    found[path] = hashlib.sha256(stream.read()).hexdigest()
    return found


@dataclass(frozen=True, slots=True)
class Record:
    """What the catalogue holds to be there."""

    sha256: dict[bytes, str]
    """Absolute path → raw sha256 of its last content, "" when nothing was read."""
    histories: dict[bytes, int]
    """Absolute path → file_id."""
    odd: list[str]
    """Whatever must never be, or not at rest."""


def recorded(ask: Asking) -> Record:
    """Read the tables, one row a file."""
    rows = ask(
        "SELECT r.path AS root, d.path AS folder, f.name, f.file_id, f.presence, f.outcome, c.sha256 FROM file AS f"
        " JOIN dir AS d ON d.dir_id = f.dir_id JOIN root AS r ON r.root_id = f.root_id"
        " LEFT JOIN content AS c ON c.content_id = f.content_id WHERE f.presence <> 3"
    )
    record = Record({}, {}, [])
    for row in rows:
        path = os.path.join(row["root"], row["folder"], row["name"])
        if path in record.histories:
            record.odd.append(f"two living files at {path!r}")
        if row["presence"] != 1 or row["outcome"] in (0, 2):
            record.odd.append(f"{path!r}: presence {row['presence']}, outcome {row['outcome']}")
        if b"\0" in row["name"]:
            record.odd.append(f"a broken name: {path!r}")
        record.sha256[path] = (row["sha256"] or b"").hex()
        record.histories[path] = row["file_id"]
    return record


def differences(record: Record, now: Moment) -> list[str]:
    """Where the record is not the disk."""
    return [
        *record.odd,
        *(f"not recorded: {path!r}" for path in sorted(now.keys() - record.sha256.keys())),
        *(f"recorded, and not there: {path!r}" for path in sorted(record.sha256.keys() - now.keys())),
        *(
            f"another checksum: {path!r}"
            for path in sorted(now.keys() & record.sha256.keys())
            if now[path].sha256 != record.sha256[path]
        ),
    ]


def misplaced(was: Moment, before: Record, now: Moment, after: Record) -> list[str]:
    """Histories that did not follow their file from one moment of rest to the next, with a scan at each.

    A body that was neither written nor touched keeps its history wherever it went; so does a name that
    kept its body. A history goes to another body only with equal bytes, and only when its own is no more; a
    name's history ends only when the name does, or when a file that was recorded elsewhere took the name.
    """
    ids, ids_now = before.histories, after.histories
    said = []
    for path in was.keys() & now.keys():
        if was[path].body == now[path].body and ids.get(path) != ids_now.get(path):
            said.append(f"{path!r} kept its file and lost its history")
    names, names_now = by_body(was), by_body(now)
    for body, paths in names.items():
        there = names_now.get(body, [])
        same = len(paths) == 1 and len(there) == 1 and was[paths[0]].writes == now[there[0]].writes
        if same and ids.get(paths[0]) != ids_now.get(there[0]):
            said.append(f"the history of {paths[0]!r} did not follow its file to {there[0]!r}")
    place = {file_id: path for path, file_id in ids.items()}
    for path, file_id in ids_now.items():
        origin = place.get(file_id)
        if origin is None or origin == path or path not in now or origin not in was:
            continue
        mine, other = was[origin], now[path]
        if mine.body == other.body:
            continue
        # Of hard links, one history may go while another one stays with the file.
        own = {ids.get(each) for each in names[mine.body]}
        without = [each for each in names_now.get(mine.body, ()) if ids_now.get(each) not in own]
        kept = origin in now and now[origin].body == mine.body
        if mine.sha256 != other.sha256 or kept or any(now[each].writes == mine.writes for each in without):
            said.append(f"a false move: the history of {origin!r} went to another file, {path!r}")
    left = set(ids_now.values())
    for path, file_id in ids.items():
        if file_id not in left and path in now and now[path].body not in names:
            said.append(f"a false deletion: {path!r} is there, and nobody recorded took its place")
    return said


def by_body(held: Moment) -> dict[int, list[bytes]]:
    """Body → its names."""
    names: dict[int, list[bytes]] = defaultdict(list)
    for path, each in held.items():
        names[each.body].append(path)
    return names
