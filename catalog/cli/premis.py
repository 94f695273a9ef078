"""``query events --premis``: events as preservation metadata."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from catalog import __version__
from catalog.errors import UsageError
from catalog.terms import EventKind, counted

if TYPE_CHECKING:
    from catalog.cli.asking import Asked
    from catalog.interop.premis import FileObject, PremisEvent, ShareObject
    from catalog.query.files import FileFacts


def write_premis(
    asked: Asked, *, kinds: Sequence[EventKind], since_ms: int | None, limit: int | None
) -> None:
    """One PREMIS 3 document of the events in scope, newest first.

    Events of a share's day (scans, states, alarms) have no place in PREMIS: they are counted on stderr.
    """
    from catalog.cli.output import write
    from catalog.interop.premis import TOLD, Software, document
    from catalog.query.events import event_ids
    from catalog.query.opening import let_go
    from catalog.query.provenance import facts, newest_decoders, subjects

    def of_kinds(chosen: Sequence[EventKind]) -> array[int]:
        if not chosen:  # which would mean: all
            return array("q")
        return event_ids(asked.connection, asked.scope, kinds=chosen, since_ms=since_ms)

    found = of_kinds([kind for kind in kinds or EventKind if kind in TOLD])
    left = len(of_kinds([kind for kind in kinds or EventKind if kind not in TOLD]))
    ids = found[:limit]
    software = Software("catalog", __version__, newest_decoders(asked.connection))
    let_go(asked.connection)
    files, shares = subjects(asked.connection, ids)
    shares |= asked.scope.by_id.keys()
    if not files and not shares:
        raise UsageError("a PREMIS document needs an object, and there is no share yet")

    def objects() -> Iterator[FileObject | ShareObject]:
        yield from _shares(asked, shares)
        yield from (_object(each) for each in facts(asked.connection, files))

    for piece in document(objects(), _events(asked, ids), software):
        write(piece)
    if limit is not None and len(found) > limit:
        asked.run.say(f"only the first {limit}; there is more")
    if left:
        asked.run.say(f"left out: {counted(left, 'event')} of shares, for which PREMIS has no term")
    for item in asked.frame("").incomplete:
        asked.run.warn(f"incomplete: {item.words}")


def _shares(asked: Asked, shares: set[int]) -> Iterator[ShareObject]:
    from catalog.interop.premis import ShareObject
    from catalog.query.provenance import every_root

    every = every_root(asked.connection)
    for root_id in sorted(shares & every.keys()):
        yield ShareObject(root_id, every[root_id].path, every[root_id].name)


def _object(facts: FileFacts) -> FileObject:
    from catalog.interop.premis import FileObject, Fixity

    fixity = []
    if facts.md5 is not None and facts.sha256 is not None:
        fixity += [Fixity("MD5", facts.md5.hex()), Fixity("SHA-256", facts.sha256.hex())]
    pixels = facts.digests()["pixels"]
    if pixels is not None:
        # ``pix1:<hex>``, ``pix1-lossy:<hex>`` …: the class is part of what the number means
        fixity.append(Fixity(*pixels.split(":", 1)))
    size = facts.size if facts.sha256 is not None else None
    return FileObject(facts.file_id, facts.path, size, facts.format, tuple(fixity))


def _events(asked: Asked, ids: Sequence[int]) -> Iterator[PremisEvent]:
    from catalog.interop.premis import FileObject, PremisEvent, ShareObject
    from catalog.query.provenance import every_root, with_digests

    every = every_root(asked.connection)
    for each, sha256 in with_digests(asked.connection, ids):
        about: FileObject | ShareObject
        if each.file_id is not None and each.path is not None:
            about = FileObject(each.file_id, each.path)
        elif each.root_id in every:
            place = every[each.root_id]
            about = ShareObject(place.root_id, place.path, place.name)
        else:
            continue
        yield PremisEvent(each.event_id, each.at_ms, each.kind, about, each.actor, each.detail, sha256)
