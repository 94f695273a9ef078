"""Events as PREMIS 3.0 XML (Library of Congress, premis.xsd of 2016-01-18), written as they come.

One document: objects, events, agents, in the order that the schema demands. Event types and outcomes are
terms of the Library of Congress' preservation vocabularies (eventType, eventOutcome, eventRelatedAgentRole).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from catalog.terms import EventKind, Kind, Manner, iso, path_fields

NAMESPACE: Final = "http://www.loc.gov/premis/v3"
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_SCHEMA: Final = f"{NAMESPACE} http://www.loc.gov/standards/premis/v3/premis.xsd"

PROVEN_SAME: Final = frozenset({Kind.METADATA, Kind.REENCODED, Kind.DISPLAY, Kind.REPRESENTATION})
"""Kinds of change that are proven to have left the picture as it was: a warning, no failure."""

# Kind → (eventType, outcome); an outcome of None is read from the detail. Kinds that are not here speak of a
# share's day, not of the preservation of an object: PREMIS has no term for them.
_TYPES: Final[dict[EventKind, tuple[str, str | None]]] = {
    EventKind.ADDED: ("message digest calculation", "success"),
    EventKind.CHANGED: ("fixity check", None),
    EventKind.TOUCHED: ("fixity check", "success"),
    EventKind.MOVED: ("filename change", "success"),
    EventKind.MISSING: ("fixity check", "fail"),
    EventKind.REAPPEARED: ("fixity check", None),
    EventKind.UNREADABLE: ("fixity check", "fail"),
    EventKind.READABLE: ("fixity check", "success"),
    EventKind.RESTORED: ("fixity check", "success"),
    EventKind.REPAIRED: ("fixity check", "success"),
    EventKind.ACCEPTED: ("appraisal", "success"),
    EventKind.RETIRED: ("deaccession", "success"),
    EventKind.DECODER: ("message digest calculation", "success"),
    EventKind.ROOT_ADDED: ("accession", "success"),
    EventKind.ROOT_REMOVED: ("deaccession", "success"),
}
TOLD: Final = frozenset(_TYPES)
"""The kinds of events that have a place in PREMIS."""


@dataclass(frozen=True, slots=True)
class Fixity:
    """One message digest of an object; ``digest`` in hexadecimal."""

    algorithm: str
    digest: str


@dataclass(frozen=True, slots=True)
class FileObject:
    """A file that events are about, as it is known now."""

    file_id: int
    path: bytes
    size: int | None = None
    format: str | None = None
    fixity: tuple[Fixity, ...] = ()


@dataclass(frozen=True, slots=True)
class ShareObject:
    """A share, which is no file: an intellectual entity."""

    root_id: int
    path: bytes
    name: str


@dataclass(frozen=True, slots=True)
class PremisEvent:
    """One event of ``TOLD`` about a file, or else about a share."""

    event_id: int
    at_ms: int
    kind: EventKind
    about: FileObject | ShareObject
    """Only what identifies it is looked at."""
    actor: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    sha256: bytes | None = None
    """The raw digest of the content that the event speaks of."""


@dataclass(frozen=True, slots=True)
class Software:
    """The program that speaks, and its decoders (library → version)."""

    name: str
    version: str
    decoders: Mapping[str, str] = field(default_factory=dict)

    @property
    def identifier(self) -> str:
        return f"{self.name} {self.version}"


def document(
    objects: Iterable[FileObject | ShareObject], events: Iterable[PremisEvent], software: Software
) -> Iterator[str]:
    """The XML, piece by piece; ``objects`` holds every object that ``events`` are about, and at least one.

    Nothing but valid XML 1.0 comes out, whatever the names and words hold: what XML cannot hold is escaped with
    a backslash, and a path of that kind has its bytes in base64 as its identifier.
    """
    yield (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<premis xmlns="{NAMESPACE}" xmlns:xsi="{_XSI}" xsi:schemaLocation="{_SCHEMA}" version="3.0">\n'
    )
    for each in objects:
        yield _file(each, software) if isinstance(each, FileObject) else _share(each)
    people: dict[str, int] = {}
    for event in events:
        number = None if event.actor is None else people.setdefault(event.actor, len(people) + 1)
        yield _event(event, software, number)
    yield _agent_of_software(software)
    for name, number in people.items():
        yield _element(
            "agent",
            _element("agentIdentifier", _pair("agentIdentifier", "user", name)),
            _text("agentName", name),
            _text("agentType", "person"),
            xmlID=f"person-{number}",
        )
    yield "</premis>\n"


def outcome(kind: EventKind, detail: Mapping[str, Any]) -> str:
    """``success``, ``warning`` (other bytes, provably the same picture) or ``fail``. ``kind`` is of ``TOLD``."""
    fixed = _TYPES[kind][1]
    if fixed is not None:
        return fixed
    if detail.get("kind") is None:
        # A file came back that cannot be read; or the accepted content did.
        return "fail" if "reason" in detail else "success"
    ordinary = detail.get("manner", Manner.ORDINARY) == Manner.ORDINARY
    return "warning" if ordinary and detail["kind"] in PROVEN_SAME else "fail"


# ------------------------------------------------------------------------------------------------- elements


def _file(each: FileObject, software: Software) -> str:
    characteristics = [_text("compositionLevel", "0")]
    for fixity in each.fixity:
        characteristics.append(
            _element(
                "fixity",
                _text("messageDigestAlgorithm", fixity.algorithm),
                _text("messageDigest", fixity.digest),
                _text("messageDigestOriginator", software.identifier),
            )
        )
    if each.size is not None:
        characteristics.append(_text("size", str(each.size)))
    name = _text("formatName", each.format or "unknown")
    characteristics.append(_element("format", _element("formatDesignation", name)))
    return _element(
        "object",
        *_identifiers(each),
        _element("objectCharacteristics", *characteristics),
        xsi_type="file",
        xmlID=_xml_id(each),
    )


def _share(each: ShareObject) -> str:
    name = _text("originalName", each.name)
    return _element("object", *_identifiers(each), name, xsi_type="intellectualEntity", xmlID=_xml_id(each))


def _event(event: PremisEvent, software: Software, person: int | None) -> str:
    event_type, _ = _TYPES[event.kind]
    links = [
        _link("Agent", f"{software.name}-software", "software", software.identifier, "executing program")
    ]
    if person is not None and event.actor is not None:
        links.append(_link("Agent", f"person-{person}", "user", event.actor, "authorizer"))
    notes = [_element("eventOutcomeDetail", _text("eventOutcomeDetailNote", note)) for note in _notes(event)]
    return _element(
        "event",
        _element("eventIdentifier", _pair("eventIdentifier", "catalog event", str(event.event_id))),
        _text("eventType", event_type),
        _text("eventDateTime", iso(event.at_ms) or ""),
        _element("eventDetailInformation", _text("eventDetail", event.kind.value)),
        _element("eventOutcomeInformation", _text("eventOutcome", outcome(event.kind, event.detail)), *notes),
        *links,
        _link("Object", _xml_id(event.about), *_identity(event.about.path)),
        xmlID=f"event-{event.event_id}",
    )


def _notes(event: PremisEvent) -> Iterator[str]:
    verdict = " ".join(str(event.detail[name]) for name in ("kind", "manner") if event.detail.get(name))
    told = [words for words in (verdict, str(event.detail.get("reason") or "")) if words]
    if told:
        yield ": ".join(told)
    if event.kind is EventKind.MOVED and event.detail.get("from"):
        yield f"from {event.detail['from']}"
    if event.kind is EventKind.ACCEPTED and event.detail.get("undo"):
        yield f"undoes catalog event {event.detail['undo']}"
    if event.sha256 is not None:
        yield f"sha256 {event.sha256.hex()}"


def _agent_of_software(software: Software) -> str:
    notes = [
        "Events that an earlier version of this program recorded are not told apart from those of this one."
    ]
    if software.decoders:
        listed = ", ".join(f"{name} {version}" for name, version in sorted(software.decoders.items()))
        notes.append(f"decoders: {listed}")
    return _element(
        "agent",
        _element("agentIdentifier", _pair("agentIdentifier", "software", software.identifier)),
        _text("agentName", software.name),
        _text("agentType", "software"),
        _text("agentVersion", software.version),
        *(_text("agentNote", note) for note in notes),
        xmlID=f"{software.name}-software",
    )


def _link(what: str, xml_id: str, kind: str, value: str, role: str | None = None) -> str:
    name = f"linking{what}"
    roles = [] if role is None else [_text(f"{name}Role", role)]
    body = _pair(f"{name}Identifier", kind, value)
    attribute = {f"Link{what}XmlID": xml_id}
    return _element(f"{name}Identifier", body, *roles, **attribute)


# --------------------------------------------------------------------------------------------------- names


def _identifiers(each: FileObject | ShareObject) -> list[str]:
    """The identifier that others link to, then what else names the object."""
    pairs = [_identity(each.path)]
    if pairs[0][0] != "path":
        pairs.append(("path", path_fields(each.path)["path"]))
    number = (
        ("catalog file", each.file_id) if isinstance(each, FileObject) else ("catalog share", each.root_id)
    )
    pairs.append((number[0], str(number[1])))
    return [_element("objectIdentifier", _pair("objectIdentifier", *pair)) for pair in pairs]


def _identity(path: bytes) -> tuple[str, str]:
    """(type, value): the path itself, or its bytes in base64 where XML cannot hold it."""
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if all(_is_xml(character) for character in text):
        return "path", text
    return "path-base64", base64.b64encode(path).decode("ascii")


def _xml_id(each: FileObject | ShareObject) -> str:
    return f"file-{each.file_id}" if isinstance(each, FileObject) else f"share-{each.root_id}"


# ----------------------------------------------------------------------------------------------------- XML


def _element(name: str, *children: str, xsi_type: str | None = None, **attributes: str) -> str:
    """An element of elements; attribute values are ours and need no escaping."""
    kind = "" if xsi_type is None else f' xsi:type="{xsi_type}"'
    given = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f"<{name}{kind}{given}>{''.join(children)}</{name}>\n"


def _text(name: str, value: str) -> str:
    return f"<{name}>{escaped(value)}</{name}>"


def _pair(name: str, kind: str, value: str) -> str:
    return _text(f"{name}Type", kind) + _text(f"{name}Value", value)


_SPECIAL: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escaped(value: str) -> str:
    """Text for an element's content. Control characters that XML can hold become references (a carriage
    return would be read as a line feed, and a terminal might obey), all others backslash escapes."""
    if value.isprintable() and not _SPECIAL.keys() & set(value):
        return value
    return "".join(_escaped(character) for character in value)


def _escaped(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isprintable():
        return character
    if _is_xml(character):
        return f"&#{ord(character)};"
    return character.encode("unicode_escape").decode("ascii")


def _is_xml(character: str) -> bool:
    """XML 1.0, production 2 (Char)."""
    code = ord(character)
    return code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
