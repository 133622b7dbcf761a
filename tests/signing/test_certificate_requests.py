"""A certificate is asked for as a key is used: logged before, agreed to by its people, signed inside the signer."""

from __future__ import annotations

from contextlib import suppress

import pytest
from cryptography import x509
from tests.signing.test_custody import generate
from tests.strongroom.signroom import Person
from tests.world import SUBSCRIBER, WAYS, Plan, Way, World

from privyseal.cli.init import IDENTITY
from privyseal.errors import BadInput, Conflict, Denied, NotFound, NotPermitted, PrivySealError
from privyseal.pki import csr
from privyseal.signing import certificate_requests, custody, identities
from privyseal.signing.certificate_requests import Wishes
from privyseal.strongroom.acts import Freeze, act_digest
from privyseal.terms.canonical import canonical_json
from privyseal.terms.identity import LegalIdentity
from privyseal.terms.parties import Actor, Factor, Member, Role
from privyseal.tlog.entry import Completion, Intent, decode

WISHES = Wishes(subscriber=SUBSCRIBER, key="release")
CUSTODIAN = Actor(Member("M-c", SUBSCRIBER, "custodian", (Role.CUSTODIAN,)), (Factor.BEARER,))


def test_a_request_is_logged_before_it_is_signed(world: World) -> None:
    """Intent and completion stand in the log under the key's tag, and one use is counted; the subject is validated."""
    before = len(world.entries())
    made = certificate_requests.request(world.seal, CUSTODIAN, WISHES)
    intent, completion = (decode(entry) for entry in world.entries()[before : before + 2])
    pair, _ = world.pair()
    assert isinstance(intent, Intent)
    assert isinstance(completion, Completion)
    assert (intent.verb, intent.uses, intent.key_tag) == ("request-certificate", 1, pair.key_tag)
    assert (completion.intent, completion.outcome) == (before, "signed")
    asked = csr.read(made)
    assert (asked.spki, asked.subject) == (pair.public_key, csr.subject(IDENTITY))
    assert x509.load_der_x509_csr(made).is_signature_valid
    world.check()


def test_the_subject_is_nobodys_to_choose(world: World) -> None:
    """It is what the operator wrote down; EV only where it was validated; and others write nothing down."""
    other = LegalIdentity(organization="World Ltd", country="GB", locality="London")
    with pytest.raises(NotPermitted):
        identities.validate(world.seal, CUSTODIAN, SUBSCRIBER, other, "because I say so")
    assert csr.read(certificate_requests.request(world.seal, None, WISHES)).subject == csr.subject(IDENTITY)
    identities.validate(world.seal, None, SUBSCRIBER, other, "order 7")
    assert csr.read(certificate_requests.request(world.seal, None, WISHES)).subject == csr.subject(other)
    with pytest.raises(BadInput, match="registration number"):
        certificate_requests.request(world.seal, None, Wishes(subscriber=SUBSCRIBER, key="release", ev=True))


def test_the_keys_people_agree_to_a_request_once(world: World) -> None:
    """Without them it is refused, and with them it is signed once: what they agreed to is good for one use."""
    ada = Person("ada")
    generate(world, "guarded", quorum=1, approvers=(ada.approver,))
    wishes = Wishes(subscriber=SUBSCRIBER, key="guarded")
    with pytest.raises(NotPermitted):
        certificate_requests.request(world.seal, None, wishes)
    pair, act = certificate_requests.proposal(world.seal, wishes)
    agreed = ada.approves(act_digest(canonical_json(act)))
    made = certificate_requests.request(world.seal, None, wishes, (agreed,), act)
    assert csr.read(made).spki == pair.public_key
    with pytest.raises(Denied, match="one use"):
        certificate_requests.request(world.seal, None, wishes, (agreed,), act)
    stranger = Person("eve").approves(act_digest(canonical_json(act)), as_name="ada")
    with pytest.raises(NotPermitted):
        certificate_requests.request(world.seal, None, wishes, (stranger,))
    world.check()


def test_what_was_agreed_to_is_for_one_key_and_subject(world: World) -> None:
    """An act for another key is not signed with this one, and not under another subject than is in force."""
    generate(world, "second")
    _, act = certificate_requests.proposal(world.seal, Wishes(subscriber=SUBSCRIBER, key="second"))
    with pytest.raises(BadInput, match="another key"):
        certificate_requests.request(world.seal, None, WISHES, (), act)
    _, act = certificate_requests.proposal(world.seal, WISHES)
    identities.validate(
        world.seal, None, SUBSCRIBER, LegalIdentity(organization="X Ltd", country="GB", locality="London"), "order"
    )
    with pytest.raises(BadInput, match="another subject"):
        certificate_requests.request(world.seal, None, WISHES, (), act)


def test_a_frozen_or_unknown_key_signs_no_request(world: World) -> None:
    """And the log says that the intent came to nothing."""
    with pytest.raises(NotFound):
        certificate_requests.request(world.seal, None, Wishes(subscriber=SUBSCRIBER, key="none"))
    pair, _ = world.pair()
    _, old = certificate_requests.proposal(world.seal, WISHES)
    act = Freeze(key_id=pair.key_id, version=1, reason="test", expires_at=old.expires_at)
    custody.carry_out(world.seal, pair, act)
    with pytest.raises(Conflict, match="version"):
        certificate_requests.request(world.seal, None, WISHES, (), old)
    with pytest.raises(Denied, match="frozen"):
        certificate_requests.request(world.seal, None, WISHES)
    completion = decode(world.entries()[-1])
    assert isinstance(completion, Completion)
    assert completion.outcome == "aborted"


@pytest.mark.parametrize("way", WAYS)
def test_whatever_fails_no_key_is_used_without_an_entry(world: World, way: Way) -> None:
    """At every write, lost or unreported: the log has an intent for each use of the key, and the next try succeeds."""
    used, tries = world.key_uses, 12
    for nth in range(tries):
        world.plan = Plan(len(world.writes) + nth, way)
        with suppress(PrivySealError):
            certificate_requests.request(world.seal, None, WISHES)
        world.plan = None
        if world._rooms["signer"].lost:
            world.crash()
        csr.read(certificate_requests.request(world.seal, None, WISHES))
        intents = [each for each in map(decode, world.entries()) if isinstance(each, Intent)]
        logged = sum(each.uses for each in intents if each.verb == "request-certificate")
        assert nth < world.key_uses - used <= logged
