"""A key that its module attested turns from not evidenced to met, and by what becomes of the certificate to not met."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
from tests.pki.attestation import makers
from tests.world import SUBSCRIBER, World

from privyseal.compliance.known import Known, of_key
from privyseal.compliance.modules import Status, Validation
from privyseal.compliance.requirement import Asked
from privyseal.compliance.statements import ModuleCertificate
from privyseal.compliance.statements_of_keys import KeyAttested, stating
from privyseal.pki.attestation.judge import NotEvidenced, judge
from privyseal.records import evidence
from privyseal.signing import judging, paper
from privyseal.terms.keys import Assurance, KeyPair, KeyProtection
from privyseal.terms.parties import Actor, Factor, Member, Role

ADMINISTRATOR = Actor(Member("M-admin", SUBSCRIBER, "admin", (Role.ADMINISTRATOR,)), (Factor.BEARER,))
AT = datetime(2026, 11, 30, tzinfo=UTC)
ACTIVE = Status(status="active", since=date(2021, 5, 5))
VALIDATION = Validation(
    name="YubiKey 5 FIPS",
    scheme="FIPS 140-2",
    number="4711",
    level=3,
    maker="Yubico",
    models=("YubiKey 5 FIPS",),
    firmware=("5.7.4",),
    history=(ACTIVE,),
)
CONCERNED = ("CSBR-1.3.5-01", "CSBR-6.2.7.3-03", "CSBR-6.2.7.3-04", "CSBR-6.1.2-04", "CSBR-6.2.6-02")


def pair_of(world: World, assurance: Assurance = Assurance.HARDWARE) -> KeyPair:
    """Return a Key Pair of which its key store says as little as one may."""
    guard = KeyProtection("pkcs11", assurance, generated_inside=True, never_extractable=True, module="Example")
    return msgspec.structs.replace(world.pair()[0], protection=guard)


def attest(world: World, stated: KeyAttested) -> None:
    """Have the service state it, and the log fix it."""
    with world.seal.records.writing(SUBSCRIBER) as tx:
        paper.note(tx, world.seal, stated)
    assert paper.finish(world.seal) == 1


def declare(world: World, *history: Status) -> None:
    """Declare the module's certificate with a history."""
    found = msgspec.structs.replace(VALIDATION, history=history)
    matter = ModuleCertificate(module=found.name, scheme=found.scheme, number=found.number, validation=found)
    paper.state(world.seal, ADMINISTRATOR, SUBSCRIBER, matter)


def known(world: World) -> Known:
    """Return what the service knows."""
    with world.seal.records.reading_all_subscribers() as connection:
        return world.seal.stated.known_of_all_subscribers(connection)


def verdicts(world: World, pair: KeyPair) -> dict[str, str]:
    """Return what is found of the key for the requirements that concern its module."""
    record = evidence.key_pair(pair, known(world), AT)
    return {
        each.requirement: each.verdict.value
        for each in judging.judge(record, Asked(AT))
        if each.requirement in CONCERNED
    }


def from_a_yubikey(world: World) -> KeyAttested:
    """Return what there is to state when a YubiKey's attestation was verified."""
    files = [makers.yubikey().der, makers.yubikey_device().der]
    found = judge(files, AT, [makers.root().der])
    return stating(world.pair()[0].key_id, ["ab" * 32, "cd" * 32], found, AT, "M-admin")


def test_a_key_turns_from_not_evidenced_to_met_and_back(world: World) -> None:
    """First the attestation, then the certificate of the module that attested it, and then what becomes of that."""
    pair = pair_of(world)
    before = verdicts(world, pair)
    assert (before["CSBR-6.2.7.3-03"], before["CSBR-6.2.7.3-04"]) == ("not-evidenced", "not-evidenced")
    attest(world, from_a_yubikey(world))
    held = known(world)
    assert held.attested[pair.key_id].module is not None
    assert [each.kind for each in held.documents(of_key(pair.key_id))] == ["key-attestation"]
    assert verdicts(world, pair)["CSBR-6.2.7.3-03"] == "not-evidenced"
    declare(world, ACTIVE)
    assert set(verdicts(world, pair).values()) == {"met"}
    for history, verdict in (
        (Status(status="historical", since=date(2026, 9, 22), because="sunset"), "met"),
        (Status(status="historical", since=date(2026, 9, 22), because="cause"), "judgement"),
        (Status(status="revoked", since=date(2026, 9, 22)), "not-met"),
    ):
        declare(world, ACTIVE, history)
        assert verdicts(world, pair)["CSBR-6.2.7.3-03"] == verdict


def test_what_shows_nothing_of_a_key(world: World) -> None:
    """A file stays a file whatever is stated of it; another key's attestation, and a format that nobody knows."""
    own = world.pair()[0].key_id
    attest(world, msgspec.structs.replace(from_a_yubikey(world), key_id="0" * 64))
    declare(world, ACTIVE)
    assert verdicts(world, pair_of(world))["CSBR-6.2.7.3-03"] == "not-evidenced"
    unknown = stating(own, ["ab" * 32], NotEvidenced("unknown"), AT, "M-admin")
    assert (unknown.module, unknown.format) == (None, "")
    attest(world, unknown)
    assert known(world).attested[own] == unknown
    assert known(world).documents(of_key(own)) == ()
    assert verdicts(world, pair_of(world))["CSBR-6.2.7.3-03"] == "not-evidenced"
    attest(world, from_a_yubikey(world))
    assert verdicts(world, pair_of(world))["CSBR-6.2.7.3-03"] == "met"
    assert verdicts(world, pair_of(world, Assurance.SOFTWARE))["CSBR-6.2.7.3-03"] == "not-met"
