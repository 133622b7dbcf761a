"""What may be stated, what counts of it, and what cannot be."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from privyseal.compliance.facts import Facts, ForWhom
from privyseal.compliance.modules import AttestedModule, Status, Validation
from privyseal.compliance.statements import (
    LARGEST_SAID,
    AuditPeriod,
    Choice,
    Document,
    Matter,
    ModuleCertificate,
    Organisation,
    Review,
    Said,
    Stated,
    current,
    of_kind,
    read_said,
    require_sound,
)
from privyseal.compliance.statements_of_keys import KeyAttested
from privyseal.compliance.statements_of_verdicts import Found, Override
from privyseal.errors import BadInput
from privyseal.terms.canonical import canonical_json

SHA256 = "ab" * 32
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DOCUMENT = Document(sha256=SHA256, size=10, filename="report.pdf", kind="audit-report", issuer="Auditor")
PERIOD = AuditPeriod(scheme="WebTrust", start=date(2025, 4, 1), end=date(2026, 3, 31), auditor="Auditor")
CHOICE = Choice(requirement="CSBR-8.4.2-01", reading="", note="We follow the later date.")
VALIDATION = Validation(
    name="Box 7",
    scheme="FIPS 140-2",
    number="4711",
    level=3,
    maker="Example",
    models=("Box 7",),
    firmware=("7.1",),
    history=(Status(status="active", since=date(2021, 5, 5)),),
)
MATTERS: list[Matter] = [
    DOCUMENT,
    PERIOD,
    Review(document=SHA256, requirement="CSBR-8.4.2-01", verdict="met", note="Page 3."),
    Organisation(facts=Facts(name="World", for_whom=ForWhom.OTHERS, choices={"a": "b"})),
    ModuleCertificate(module="Box 7", scheme="FIPS 140-2 Level 3", number="4711", valid_until=date(2027, 1, 1)),
    ModuleCertificate(module="Box 7", scheme="FIPS 140-2", number="4711", validation=VALIDATION),
]


def _said(matter: Matter, number: int = 0, **changes: Any) -> Said:
    plain = {"subscriber": "demo", "by": "M-1", "at": NOW, "number": number, "matter": matter}
    return Said(**(plain | changes))


def _stated(matter: Matter, entry: int, number: int = 0, **changes: Any) -> Stated:
    said = _said(matter, number, **changes)
    return Stated(said=said, octets=canonical_json(said), salt=bytes(32), entry=entry)


@pytest.mark.parametrize("matter", MATTERS)
def test_what_was_said_is_read_back_and_in_one_spelling_only(matter: Matter) -> None:
    """The octets that the log commits to are canonical, and nothing else is taken for them."""
    require_sound(matter)
    said = _said(matter)
    octets = canonical_json(said)
    assert read_said(octets) == said
    assert msgspec.json.decode(canonical_json(matter), type=Matter) == matter
    for wrong in (octets + b" ", octets.replace(b'"v":1', b'"v":2'), octets.replace(b'{"at"', b'{"aa":1,"at"'), b"{}"):
        with pytest.raises(BadInput):
            read_said(wrong)


def test_the_octets_are_fixed() -> None:
    """Reports are checked against these very octets for years; a change here is a change of format."""
    assert canonical_json(_said(PERIOD)).decode() == (
        '{"at":"2026-03-01T12:00:00Z","by":"M-1","matter":{"auditor":"Auditor","end":"2026-03-31","published":null,'
        '"report":null,"scheme":"WebTrust","start":"2025-04-01","type":"audit-period"},"number":0,"subscriber":"demo",'
        '"v":1}'
    )


@pytest.mark.parametrize(
    ("matter", "changes", "sentence"),
    [
        (DOCUMENT, {"kind": "poem"}, "no kind of evidence called 'poem'"),
        (DOCUMENT, {"kind": "log:alert"}, "no kind of evidence called 'log:alert'"),
        (DOCUMENT, {"valid_from": date(2026, 1, 2), "valid_until": date(2026, 1, 1)}, "valid from 2026-01-02"),
        (DOCUMENT, {"requirements": ("CSBR-8.4.2-01", "CSBR-0-0")}, "called 'CSBR-0-0'"),
        (PERIOD, {"end": date(2025, 3, 31)}, "begin on 2025-04-01 and end on 2025-03-31"),
        (PERIOD, {"published": date(2026, 3, 31)}, "cannot be public on 2026-03-31"),
        (MATTERS[2], {"requirement": "CSBR-0-0"}, "No requirement is called"),
        (MATTERS[5], {"number": "4712"}, "its line of the register is another"),
        (MATTERS[5], {"validation": msgspec.structs.replace(VALIDATION, eal="EAL4+")}, "needs a level"),
        (MATTERS[3], {"facts": Facts(sells_only=True, signs=True)}, "cannot only sell"),
        (CHOICE, {"requirement": "CSBR-0-0"}, "No requirement is called"),
        (CHOICE, {"requirement": "CSBR-6.7-01"}, "nothing to choose"),
        (CHOICE, {"reading": "another"}, "The readings of CSBR-8.4.2-01 are"),
    ],
)
def test_what_cannot_be_is_refused(matter: Matter, changes: dict[str, Any], sentence: str) -> None:
    """In one sentence, by what contradicts it."""
    with pytest.raises(BadInput, match=sentence):
        require_sound(msgspec.structs.replace(matter, **changes))


def test_a_clause_is_as_good_as_its_requirements() -> None:
    """A document is for a requirement by its id, or for a whole clause as people cite it."""
    require_sound(msgspec.structs.replace(DOCUMENT, requirements=("CSBR 8.4.2", "CSBR-8.4.2-01")))


@pytest.mark.parametrize("changes", [
    {"sha256": SHA256.upper()}, {"sha256": "ab"}, {"size": 0}, {"size": -1}, {"size": "10"}, {"filename": ""},
    {"filename": "f" * 256}, {"issuer": ""}, {"issuer": "i" * 201}, {"about": "everybody"}, {"about": "key:ab"},
    {"about": "subscriber:"}, {"about": "service\n"}, {"requirements": ["x"] * 101}, {"type": "poem"}, {"more": 1},
    {"valid_from": "yesterday"}, {"valid_from": 5},
])  # fmt: skip
def test_what_has_no_such_shape(changes: dict[str, object]) -> None:
    """Sizes and words are bounded where they are read."""
    value = json.loads(canonical_json(DOCUMENT)) | changes
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(value), type=Matter)


def test_a_statement_of_any_length_is_not_even_looked_at() -> None:
    with pytest.raises(BadInput, match="65537"):
        read_said(b"[" * (LARGEST_SAID + 1))


def test_the_last_word_on_a_thing_counts() -> None:
    """Whatever the order in which rows come, the log's decides; another Subscriber's word is another thing."""
    later = msgspec.structs.replace(PERIOD, auditor="Another")
    told = [_stated(later, 9, 1), _stated(PERIOD, 4), _stated(DOCUMENT, 6), _stated(PERIOD, 7, subscriber="other")]
    assert [each.entry for each in current(told)] == [6, 7, 9]
    assert of_kind(told, AuditPeriod) == [PERIOD, later]
    told += [_stated(msgspec.structs.replace(CHOICE, reading=name), entry) for name, entry in (("b", 12), ("a", 11))]
    assert {each.requirement: each.reading for each in of_kind(told, Choice)} == {"CSBR-8.4.2-01": "b"}


def test_a_certificate_that_was_declared_before_there_was_a_register_keeps_its_octets() -> None:
    """What is unset is left out, so that what was logged is still what is read."""
    assert b"validation" not in canonical_json(_said(MATTERS[4]))


def test_nobody_can_send_in_what_the_service_itself_states() -> None:
    """Findings, overrides and attestations of keys are read as said, and refused as something to state."""
    found = Found(kind="key-pair", subject="release", requirement="CSBR-6.7-01", verdict="met", text="It is.")
    lifted = Override(requirement="CSBR-6.7-01", subject="release", since=NOW, until=NOW, approvers=("ada", "bob"))
    module = AttestedModule(
        maker="Example", model="Box 7", firmware="7.1", serial="1", generated_inside=True, never_extractable=None
    )
    attested = KeyAttested(
        key_id=SHA256, evidence=(SHA256,), verifier="1", as_of=NOW, format="luna-pkc", module=module, by="M-1"
    )
    for own in (found, lifted, attested, msgspec.structs.replace(attested, module=None, format="")):
        said = msgspec.structs.replace(_said(PERIOD), by="service", matter=own)
        assert read_said(canonical_json(said)) == said
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(canonical_json(own), type=Matter)
