"""PREMIS 3 XML: held to the element order of premis.xsd 3.0 (which is not shipped), and proof against any name."""

from __future__ import annotations

import base64
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.interop.premis import (
    NAMESPACE,
    TOLD,
    FileObject,
    Fixity,
    PremisEvent,
    ShareObject,
    Software,
    document,
    escaped,
    outcome,
)
from catalog.terms import EventKind
from tests.recordings import Shelf, analysis, saved, stat

XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
SOFTWARE = Software("catalog", "1.2.3", {"Pillow": "13.0", "libtiff": "4.7"})
HOSTILE = b'/share/<a> & "b" ]]>\r\n\t\xc2\x9b.tif'
UNWRITABLE = b"/share/\x01\xff.tif"

# Children of each element in the order of premis.xsd 3.0 of 2016-01-18, as far as they are written here:
# (name, at least, at most); None is without a limit.
IDENTIFIER = [("Type", 1, 1), ("Value", 1, 1)]
ORDER: dict[str, list[tuple[str, int, int | None]]] = {
    "premis": [("object", 1, None), ("event", 0, None), ("agent", 0, None)],
    "file": [("objectIdentifier", 1, None), ("objectCharacteristics", 1, None), ("originalName", 0, 1)],
    "intellectualEntity": [("objectIdentifier", 1, None), ("originalName", 0, 1)],
    "objectCharacteristics": [
        ("compositionLevel", 0, 1),
        ("fixity", 0, None),
        ("size", 0, 1),
        ("format", 1, None),
    ],
    "fixity": [("messageDigestAlgorithm", 1, 1), ("messageDigest", 1, 1), ("messageDigestOriginator", 0, 1)],
    "format": [("formatDesignation", 1, 1)],
    "formatDesignation": [("formatName", 1, 1)],
    "event": [
        ("eventIdentifier", 1, 1),
        ("eventType", 1, 1),
        ("eventDateTime", 1, 1),
        ("eventDetailInformation", 0, None),
        ("eventOutcomeInformation", 0, None),
        ("linkingAgentIdentifier", 0, None),
        ("linkingObjectIdentifier", 0, None),
    ],
    "eventDetailInformation": [("eventDetail", 0, 1)],
    "eventOutcomeInformation": [("eventOutcome", 1, 1), ("eventOutcomeDetail", 0, None)],
    "eventOutcomeDetail": [("eventOutcomeDetailNote", 1, 1)],
    "agent": [
        ("agentIdentifier", 1, None),
        ("agentName", 0, None),
        ("agentType", 0, 1),
        ("agentVersion", 0, 1),
        ("agentNote", 0, None),
    ],
    **{
        f"{name}Identifier": [(f"{name}Identifier{part}", 1, 1) for part, _, _ in IDENTIFIER]
        for name in ("object", "event", "agent")
    },
    **{
        f"linking{name}Identifier": [
            *((f"linking{name}Identifier{part}", 1, 1) for part, _, _ in IDENTIFIER),
            (f"linking{name}Role", 0, None),
        ]
        for name in ("Agent", "Object")
    },
}
ATTRIBUTES = {
    "premis": {"version", "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"},
    "object": {XSI_TYPE, "xmlID"},
    "event": {"xmlID"},
    "agent": {"xmlID"},
    "linkingAgentIdentifier": {"LinkAgentXmlID"},
    "linkingObjectIdentifier": {"LinkObjectXmlID"},
}


def name_of(element: ElementTree.Element) -> str:
    assert element.tag.startswith(f"{{{NAMESPACE}}}"), element.tag
    return element.tag.removeprefix(f"{{{NAMESPACE}}}")


def hold_to_the_schema(element: ElementTree.Element) -> None:
    """Names, order, number and attributes of everything; text only where nothing else is."""
    name = name_of(element)
    assert set(element.attrib) <= ATTRIBUTES.get(name, set()), name
    order = ORDER.get(element.attrib[XSI_TYPE] if name == "object" else name)
    if order is None:
        assert len(element) == 0, name
        return
    assert not (element.text or "").strip(), name
    children = [name_of(child) for child in element]
    expected = [child for child, _, _ in order]
    assert set(children) <= set(expected), (name, children)
    assert children == sorted(children, key=expected.index), (name, children)
    for child, least, most in order:
        assert least <= children.count(child) <= (most or len(children)), (name, child)
    for child in element:
        hold_to_the_schema(child)


def parsed(text: str) -> ElementTree.Element:
    """The document, held to the schema; every reference leads to its object or agent."""
    root = ElementTree.fromstring(text.encode())
    assert root.attrib["version"] == "3.0"
    hold_to_the_schema(root)
    ids = [element.attrib["xmlID"] for element in root]
    assert len(ids) == len(set(ids))
    for link in root.iter():
        for attribute in ("LinkObjectXmlID", "LinkAgentXmlID"):
            assert link.attrib.get(attribute, ids[0]) in ids
    return root


def found(root: ElementTree.Element, path: str) -> list[str]:
    names = "/".join(f"p:{part}" if part != "." else part for part in path.split("/"))
    return [element.text or "" for element in root.findall(names, {"p": NAMESPACE})]


PICTURE = FileObject(
    7,
    b"/share/a.tif",
    24036,
    "TIFF",
    (Fixity("MD5", "00ff"), Fixity("SHA-256", "11ee"), Fixity("pix1", "22dd")),
)
SHARE = ShareObject(1, b"/share", "pictures")


def told(kind: EventKind, about: Any = PICTURE, **more: Any) -> PremisEvent:
    return PremisEvent(12, 1_760_000_000_123, kind, about, **more)


def test_an_object_has_its_path_and_a_block_for_each_digest() -> None:
    root = parsed("".join(document([SHARE, PICTURE], [], SOFTWARE)))
    share, picture = root.findall("p:object", {"p": NAMESPACE})
    assert found(share, "originalName") == ["pictures"]
    assert found(picture, "objectIdentifier/objectIdentifierValue") == ["/share/a.tif", "7"]
    fixity = "objectCharacteristics/fixity"
    assert found(picture, f"{fixity}/messageDigestAlgorithm") == ["MD5", "SHA-256", "pix1"]
    assert found(picture, f"{fixity}/messageDigest") == ["00ff", "11ee", "22dd"]
    assert set(found(picture, f"{fixity}/messageDigestOriginator")) == {"catalog 1.2.3"}
    assert found(picture, "objectCharacteristics/size") == ["24036"]
    assert found(picture, "objectCharacteristics/format/formatDesignation/formatName") == ["TIFF"]


def test_an_event_names_what_when_how_who_and_about_what() -> None:
    happened = told(
        EventKind.ACCEPTED, actor="ana", detail={"kind": "picture", "manner": "ordinary", "reason": "cropped"}
    )
    root = parsed("".join(document([PICTURE], [happened], SOFTWARE)))
    (event,) = root.findall("p:event", {"p": NAMESPACE})
    assert found(event, "eventIdentifier/eventIdentifierValue") == ["12"]
    assert found(event, "eventType") == ["appraisal"]
    assert found(event, "eventDateTime") == ["2025-10-09T08:53:20.123Z"]
    assert found(event, "eventDetailInformation/eventDetail") == ["accepted"]
    information = "eventOutcomeInformation/eventOutcome"
    assert found(event, information) == ["success"]
    assert found(event, f"{information}Detail/eventOutcomeDetailNote") == ["picture ordinary: cropped"]
    assert found(event, "linkingAgentIdentifier/linkingAgentRole") == ["executing program", "authorizer"]
    assert found(event, "linkingObjectIdentifier/linkingObjectIdentifierValue") == ["/share/a.tif"]
    assert found(root, "agent/agentName") == ["catalog", "ana"]
    assert found(root, "agent/agentVersion") == ["1.2.3"]
    assert "decoders: Pillow 13.0, libtiff 4.7" in found(root, "agent/agentNote")


def test_the_content_of_an_event_is_named_by_its_digest() -> None:
    happened = told(EventKind.MOVED, detail={"from": "/share/old.tif"}, sha256=b"\xab" * 32)
    root = parsed("".join(document([PICTURE], [happened], SOFTWARE)))
    notes = found(root, "event/eventOutcomeInformation/eventOutcomeDetail/eventOutcomeDetailNote")
    assert notes == ["from /share/old.tif", "sha256 " + "ab" * 32]


@pytest.mark.parametrize(
    ("kind", "detail", "expected"),
    [
        (EventKind.ADDED, {}, "success"),
        (EventKind.TOUCHED, {"moved": ["mtime"]}, "success"),
        (EventKind.CHANGED, {"kind": "metadata", "manner": "ordinary", "reason": "…"}, "warning"),
        (EventKind.CHANGED, {"kind": "reencoded", "manner": "ordinary", "reason": "…"}, "warning"),
        (EventKind.CHANGED, {"kind": "metadata", "manner": "rot", "reason": "…"}, "fail"),
        (EventKind.CHANGED, {"kind": "reencoded", "manner": "stealth", "reason": "…"}, "fail"),
        (EventKind.CHANGED, {"kind": "picture", "manner": "ordinary", "reason": "…"}, "fail"),
        (EventKind.CHANGED, {"kind": "unproven", "manner": "ordinary", "reason": "…"}, "fail"),
        (EventKind.CHANGED, {"kind": "broken", "manner": "ordinary", "reason": "…"}, "fail"),
        (EventKind.CHANGED, {}, "success"),
        (EventKind.REAPPEARED, {}, "success"),
        (EventKind.REAPPEARED, {"reason": "EIO"}, "fail"),
        (EventKind.MISSING, {"reason": "gone"}, "fail"),
        (EventKind.UNREADABLE, {"reason": "EIO"}, "fail"),
        (EventKind.RETIRED, {}, "success"),
    ],
)
def test_an_outcome_is_a_term_of_the_vocabulary(kind: EventKind, detail: Any, expected: str) -> None:
    assert outcome(kind, detail) == expected


def test_each_kind_is_told_or_known_to_have_no_term() -> None:
    events = [told(kind) for kind in EventKind if kind in TOLD]
    root = parsed("".join(document([PICTURE], [events[0]], SOFTWARE)))
    assert len(found(root, "event/eventType")) == 1
    types = {
        found(parsed("".join(document([PICTURE], [each], SOFTWARE))), "event/eventType")[0] for each in events
    }
    assert types == {
        "message digest calculation",
        "fixity check",
        "filename change",
        "appraisal",
        "accession",
        "deaccession",
    }
    assert set(EventKind) - TOLD == {
        EventKind.SCAN,
        EventKind.HELD,
        EventKind.CONFIRMED,
        EventKind.ALARM,
        EventKind.ROOT_STATE,
        EventKind.ROOT_RELOCATED,
        EventKind.ROOT_MARKED,
        EventKind.AUDIT,
    }


def test_hostile_names_come_back_as_they_were() -> None:
    about = FileObject(1, HOSTILE)
    root = parsed("".join(document([about], [told(EventKind.ADDED, about)], SOFTWARE)))
    assert found(root, "object/objectIdentifier/objectIdentifierValue")[0].encode() == HOSTILE
    assert found(root, "event/linkingObjectIdentifier/linkingObjectIdentifierValue")[0].encode() == HOSTILE


def test_a_path_that_xml_cannot_hold_is_named_by_its_bytes() -> None:
    about = FileObject(1, UNWRITABLE)
    root = parsed("".join(document([about], [told(EventKind.ADDED, about)], SOFTWARE)))
    assert found(root, "object/objectIdentifier/objectIdentifierType") == [
        "path-base64",
        "path",
        "catalog file",
    ]
    value = found(root, "event/linkingObjectIdentifier/linkingObjectIdentifierValue")[0]
    assert base64.b64decode(value) == UNWRITABLE
    assert found(root, "object/objectIdentifier/objectIdentifierValue")[1] == "/share/\\x01\\xff.tif"


ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(st.binary(min_size=1), ANY_TEXT, ANY_TEXT)
def test_no_name_and_no_words_break_the_document(path: bytes, actor: str, reason: str) -> None:
    about = FileObject(1, path)
    happened = told(EventKind.CHANGED, about, actor=actor, detail={"reason": reason})
    text = "".join(document([about], [happened], SOFTWARE))
    assert all(character == "\n" or character.isprintable() for character in text)
    root = parsed(text)
    kind = found(root, "object/objectIdentifier/objectIdentifierType")[0]
    value = found(root, "object/objectIdentifier/objectIdentifierValue")[0]
    assert (base64.b64decode(value) if kind == "path-base64" else value.encode()) == path


@given(ANY_TEXT)
def test_what_xml_can_hold_comes_back(text: str) -> None:
    root = ElementTree.fromstring(f"<a>{escaped(text)}</a>")
    forbidden = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
    assert (root.text or "") == forbidden.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


# ---------------------------------------------------------------------------------------------- the command


def test_the_command_writes_events_with_their_files(catalog_cli: Any) -> None:
    with Shelf(catalog_cli.home) as shelf:
        shelf.see(b"a & b.tif", "a")
        shelf.see(b"a & b.tif", "cut", saw=analysis(None), at=saved(stat()))
        shelf.see(b"c.tif", "c")
        shelf.recorder.missing(shelf.row(b"c.tif"), "gone")
        shelf.recorder.batch.event(EventKind.SCAN, at_ms=1, root_id=shelf.root_id)
        shelf.recorder.commit()
        ran = catalog_cli("query", "events", "--premis", "--allow-incomplete")
        (known,) = shelf.ask("SELECT * FROM v_file WHERE relative_path = 'c.tif'")
    assert ran.code == 0
    assert "left out: 1 event of shares" in ran.stderr
    root = parsed(ran.out)
    assert found(root, "event/eventIdentifier/eventIdentifierValue") == ["5", "4", "3", "2", "1"]
    outcomes = found(root, "event/eventOutcomeInformation/eventOutcome")
    assert outcomes == ["fail", "success", "fail", "success", "success"]
    assert found(root, "event/linkingObjectIdentifier/linkingObjectIdentifierValue") == [
        *("/share/c.tif", "/share/c.tif", "/share/a & b.tif", "/share/a & b.tif", "/share"),
    ]
    missing = root.findall("p:object", {"p": NAMESPACE})[2]
    algorithms = found(missing, "objectCharacteristics/fixity/messageDigestAlgorithm")
    digests = found(missing, "objectCharacteristics/fixity/messageDigest")
    assert dict(zip(algorithms, digests, strict=True)) == {
        "MD5": known["raw_md5"],
        "SHA-256": known["raw_sha256"],
        "pix1": known["pixels"].removeprefix("pix1:"),
    }
    notes = found(root, "event/eventOutcomeInformation/eventOutcomeDetail/eventOutcomeDetailNote")
    assert f"sha256 {known['raw_sha256']}" in notes
    ran = catalog_cli("query", "events", "--premis", "--csv")
    assert (ran.code, ran.stdout) == (2, b"")
