"""The record of a ceremony becomes evidence: kept, stated as a document and as what it is, once."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import msgspec
import pytest
from tests.compliance.test_ceremonies import NOW, SCRIPT, whole
from tests.world import SUBSCRIBER, World

from privyseal.compliance.statements_of_lives import CeremonyHeld
from privyseal.errors import BadInput, NotPermitted, VerificationFailed
from privyseal.records import statements
from privyseal.signing import ceremonies, duties
from privyseal.signing.forms_of_keys import Held
from privyseal.terms.canonical import canonical_json
from privyseal.terms.parties import Actor, Factor, Member, Role

ADA = Actor(Member("M-ada", SUBSCRIBER, "Ada", (Role.ADMINISTRATOR,)), (Factor.BEARER,))


def given() -> Held:
    return Held(script=SCRIPT, record=canonical_json(whole()))


def test_a_record_is_evidence(world: World) -> None:
    """Two statements, both in the log: the document of its kind, and who witnessed what from when to when."""
    world.now = NOW + timedelta(hours=1)
    duties.recover(world.seal)
    before = len(world.entries())
    held = ceremonies.take_in(world.seal, ADA, given())
    again = ceremonies.take_in(world.seal, ADA, given())
    duties.recover(world.seal)
    assert held == again
    assert (held.witnesses, held.key, held.by) == (("Wim",), "release", "M-ada")
    assert len(world.entries()) == before + 2
    with world.seal.records.reading(SUBSCRIBER) as tx:
        topics = [each.said.matter for each in statements.listed(tx)][-2:]
    assert [getattr(each, "kind", "") for each in topics] == ["key-ceremony", ""]
    assert isinstance(topics[1], CeremonyHeld)
    assert world.seal.documents is not None
    for octets in (SCRIPT, given().record):
        assert world.seal.documents.size(hashlib.sha256(octets).hexdigest()) == len(octets)


def test_what_is_not_whole_is_not_kept(world: World) -> None:
    """Nobody witnessed it, it is no record, its key is unknown, its caller may not: nothing is stated."""
    world.now = NOW + timedelta(hours=1)
    unseen = canonical_json(msgspec.structs.replace(whole(), witnesses=()))
    with pytest.raises(VerificationFailed, match="Nobody has witnessed"):
        ceremonies.take_in(world.seal, ADA, Held(script=SCRIPT, record=unseen))
    with pytest.raises(BadInput):
        ceremonies.take_in(world.seal, ADA, Held(script=SCRIPT, record=b"{}"))
    nobody = msgspec.structs.replace(ADA, member=msgspec.structs.replace(ADA.member, roles=(Role.REQUESTER,)))
    with pytest.raises(NotPermitted):
        ceremonies.take_in(world.seal, nobody, given())
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert not [each for each in statements.listed(tx) if isinstance(each.said.matter, CeremonyHeld)]
