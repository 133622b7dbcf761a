"""A Key Pair is born after its intent is logged, and takes only a certificate that is its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.world import SUBSCRIBER, World

from privyseal.errors import Conflict, NotFound, PrivySealError, VerificationFailed
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.records import keys, parties
from privyseal.signing import custody, enrol
from privyseal.strongroom.acts import Generate
from privyseal.terms.keys import Approver, KeyPair
from privyseal.tlog.entry import Completion, Intent, decode, key_tag


def generate(world: World, name: str, quorum: int = 0, approvers: tuple[Approver, ...] = ()) -> KeyPair:
    """Have a P-256 key generated in the rehearsal."""
    with world.seal.records.reading(SUBSCRIBER) as tx:
        owner = parties.subscriber(tx)
    act = Generate(
        subscriber=SUBSCRIBER,
        key=name,
        scheme="ecdsa-p256",
        approvers=approvers,
        quorum=quorum,
        rehearsal=True,
        tag_key_sha256=enrol.tag_key_digest(owner),
        expires_at=world.now + timedelta(hours=1),
    )
    return custody.generate(world.seal, act)


def certify(world: World, pair: KeyPair) -> None:
    """Give a key a certificate of the world's rehearsal CA."""
    authority = RehearsalAuthority.load((world.directory / "rehearsal-ca" / "ca.key").read_bytes())
    certificate = authority.issue_code_signing(pair.public_key, "World", datetime.now(UTC) - timedelta(minutes=1))
    custody.certify(world.seal, pair, (certificate, authority.code_signing_issuer))


def test_a_key_is_born_between_intent_and_completion(world: World) -> None:
    """Two entries are added, under a tag that only the Subscriber can compute, and the pair is on record."""
    before = len(world.entries())
    pair = generate(world, "second")
    intent, completion = (decode(entry) for entry in world.entries()[before:])
    assert isinstance(intent, Intent)
    assert isinstance(completion, Completion)
    assert (intent.verb, completion.intent, completion.outcome) == ("generate", before, "signed")
    with world.seal.records.reading(SUBSCRIBER) as tx:
        owner = parties.subscriber(tx)
        assert keys.key_pair(tx, "second") == pair
    assert intent.key_tag == key_tag(owner.tag_key, b"demo/second")
    assert pair.key_tag == key_tag(owner.tag_key, pair.public_key)


def test_a_name_is_given_once(world: World) -> None:
    """A second key of the same name is refused before anything is logged."""
    before = len(world.entries())
    with pytest.raises(Conflict, match="already"):
        generate(world, "release")
    assert len(world.entries()) == before


def test_what_the_signer_refuses_is_completed_as_aborted(world: World) -> None:
    """A charter that nobody could satisfy: no key, and the log says that the intent came to nothing."""
    with pytest.raises(PrivySealError):
        generate(world, "impossible", quorum=2)
    completion = decode(world.entries()[-1])
    assert isinstance(completion, Completion)
    assert completion.outcome == "aborted"
    with world.seal.records.reading(SUBSCRIBER) as tx, pytest.raises(NotFound):
        keys.key_pair(tx, "impossible")
    world.check()


def test_a_certificate_for_another_key_is_refused(world: World) -> None:
    """The chain of one key cannot be installed for another."""
    pair, identity = world.pair()
    other = generate(world, "other")
    with pytest.raises(VerificationFailed, match="another public key"):
        custody.certify(world.seal, other, identity.chain)
    assert custody.certify(world.seal, pair, identity.chain).key_id == pair.key_id


def test_a_certificate_that_is_not_in_force_is_refused(world: World) -> None:
    """The day after its end, and before its beginning."""
    pair, identity = world.pair()
    world.now += timedelta(days=461)
    with pytest.raises(VerificationFailed, match="in force"):
        custody.certify(world.seal, pair, identity.chain)
    world.now -= timedelta(days=462)
    with pytest.raises(VerificationFailed, match="in force"):
        custody.certify(world.seal, pair, identity.chain)
