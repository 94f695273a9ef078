"""What the record must say when a storm is over: the disk's files, each with the history that is its own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from catalog.store.codes import EVENT_KIND
from catalog.terms import EventKind
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
    held = {path: Held(body.number, body.writes, body.sha256) for path, body in storm.inside().items()}
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


def recorded(ask: Asking, translate: Callable[[bytes], bytes] = lambda path: path) -> Record:
    """Read the tables, one row a file; ``translate``: from the catalogue's paths to the storm's."""
    rows = ask(
        "SELECT r.path AS root, d.path AS folder, f.name, f.file_id, f.presence, f.outcome, c.sha256 FROM file AS f"
        " JOIN dir AS d ON d.dir_id = f.dir_id JOIN root AS r ON r.root_id = f.root_id"
        " LEFT JOIN content AS c ON c.content_id = f.content_id WHERE f.presence <> 3"
    )
    record = Record({}, {}, [])
    for row in rows:
        path = translate(os.path.join(row["root"], row["folder"], row["name"]))
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


# -------------------------------------------------------------------------- while a daemon looks all the time


def of_the_round(
    ask: Asking,
    translate: Callable[[bytes], bytes],
    storm: Storm,
    since: int,
    bodies: dict[int, int | None],
) -> dict[str, list[str]]:
    """What a daemon recorded since a moment (milliseconds), when ``bodies`` (body → file_id) were the files.

    Nobody knows what it saw between two operations, so this asks only what no order of looks excuses.
    """
    return {
        "wrong digests": list(_never_there(ask, translate, storm, since)),
        "false deletions": list(_false_deletions(ask, translate, storm, since)),
        "false moves": list(_false_moves(ask, translate, storm, since)),
        "lost histories": list(_lost(ask, translate, storm, bodies)),
    }


def _never_there(ask: Asking, translate: Callable[[bytes], bytes], storm: Storm, since: int) -> Iterator[str]:
    """Checksums of what no path held at any time: torn, or of another file."""
    rows = ask(
        "SELECT r.path AS root, d.path AS folder, v.name, c.sha256 FROM revision AS v"
        " JOIN dir AS d ON d.dir_id = v.dir_id JOIN root AS r ON r.root_id = d.root_id"
        " JOIN content AS c ON c.content_id = v.content_id WHERE v.observed_ms >= ?",
        since,
    )
    for row in rows:
        path = translate(os.path.join(row["root"], row["folder"], row["name"]))
        spells = storm.tree.spells.get(path, [])
        if row["sha256"].hex() not in {spell.sha256 for spell in spells}:
            yield f"{path!r} never held {row['sha256'].hex()}"


def _false_deletions(
    ask: Asking, translate: Callable[[bytes], bytes], storm: Storm, since: int
) -> Iterator[str]:
    """Recorded as missing, and the path held one and the same file all the while."""
    for event in _events(ask, "missing", since):
        path = translate(os.path.join(event["root"], _path(event["detail"], "path")))
        spells = [spell for spell in storm.tree.spells.get(path, []) if spell.until >= since]
        gaps = not spells or spells[0].since > since
        gaps |= any(one.body != two.body for one, two in pairwise(spells))
        gaps |= any(two.since > one.until for one, two in pairwise(spells))
        gaps |= bool(spells) and spells[-1].until <= event["at_ms"]
        if not gaps:
            yield f"{path!r} was there all the time: {event['detail'].get('reason')}"


def _false_moves(ask: Asking, translate: Callable[[bytes], bytes], storm: Storm, since: int) -> Iterator[str]:
    """A history that went where its file has never been, while the file was in its place."""
    for event in _events(ask, "moved", since):
        origin = translate(_path(event["detail"], "from"))
        target = translate(os.path.join(event["root"], _path(event["detail"], "to")))
        sha256 = event["sha256"].hex()
        were = [spell for spell in storm.tree.spells.get(origin, []) if spell.sha256 == sha256]
        are = [spell for spell in storm.tree.spells.get(target, []) if spell.sha256 == sha256]
        if {spell.body for spell in were} & {spell.body for spell in are}:
            continue
        ended = any(spell.until <= event["at_ms"] for spell in were)
        if not were or not are or not ended:
            yield f"from {origin!r} to {target!r}"


def _lost(
    ask: Asking, translate: Callable[[bytes], bytes], storm: Storm, bodies: dict[int, int | None]
) -> Iterator[str]:
    """Files that had one name in the shares all the time, and bytes of their own, and have another history now."""
    histories = recorded(ask, translate).histories
    for path, body in storm.inside().items():
        there = body.number in storm.constant and body.number in bodies
        if there and histories.get(path) != bodies[body.number]:
            yield f"{path!r}: file {bodies[body.number]} is now file {histories.get(path)}"


def _events(ask: Asking, kind: str, since: int) -> Iterator[dict[str, Any]]:
    rows = ask(
        "SELECT e.at_ms, e.detail, r.path AS root, c.sha256 FROM event AS e JOIN root AS r ON r.root_id = e.root_id"
        " LEFT JOIN revision AS v ON v.rev_id = e.to_rev_id LEFT JOIN content AS c ON c.content_id = v.content_id"
        " WHERE e.kind = ? AND e.at_ms >= ?",
        EVENT_KIND.number[EventKind(kind)],
        since,
    )
    for row in rows:
        yield {**row, "detail": json.loads(row["detail"])}


def _path(detail: dict[str, str], name: str) -> bytes:
    encoded = detail.get(f"{name}_b64")
    return base64.b64decode(encoded) if encoded else detail[name].encode()
