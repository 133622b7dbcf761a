"""The software passkey answers as an authenticator does: the service's own readers take it, and nothing else of it."""

from __future__ import annotations

import hashlib
import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.access import passkeys
from privyseal.cli.demo_passkey import SoftwarePasskey, _cbor
from privyseal.errors import BadInput, NotAuthenticated
from privyseal.strongroom import assertions
from privyseal.terms.keys import Passkey

ORIGIN = "http://localhost:8470"
CHALLENGE = bytes(range(32))


def enrolled(one: SoftwarePasskey) -> passkeys.Passkey:
    answer = one.create(passkeys.creation(ORIGIN, "M-1", "ada@acme", CHALLENGE, ()))
    return passkeys.created(answer, origin=ORIGIN, challenge=CHALLENGE, member="M-1", label="soft")


def test_it_enrols_and_signs_in() -> None:
    """As a passkey that is bound to its device, whose counter goes up."""
    one = SoftwarePasskey(ORIGIN)
    known = enrolled(one)
    assert (known.credential, known.synced, known.rp_id, known.origin) == (one.id, False, "localhost", ORIGIN)
    asked = passkeys.request(ORIGIN, CHALLENGE, (known,))
    assert passkeys.credential_of(one.get(asked)) == one.id
    shown = passkeys.shown(one.get(asked), known, origin=ORIGIN, challenge=CHALLENGE)
    assert shown.count > known.count


def test_it_answers_one_challenge_only() -> None:
    """An answer is good for the challenge that it was asked with, and for no other one."""
    one = SoftwarePasskey(ORIGIN)
    known = enrolled(one)
    answer = one.get(passkeys.request(ORIGIN, CHALLENGE, (known,)))
    with pytest.raises(NotAuthenticated):
        passkeys.shown(answer, known, origin=ORIGIN, challenge=bytes(32))


def test_it_approves_exactly_these_octets() -> None:
    """The signer's own judgement takes the assertion for them, and for nothing else."""
    one = SoftwarePasskey(ORIGIN)
    known = enrolled(one)
    charter = Passkey(rp_id="localhost", origins=(ORIGIN,), credential=hashlib.sha256(one.id).hexdigest())
    signature, said = one.approve(b"these octets")
    assert assertions.why_not(charter, known.public_key, b"these octets", signature, said) is None
    assert "another challenge" in (assertions.why_not(charter, known.public_key, b"others", signature, said) or "")


def test_it_makes_nothing_for_another_site() -> None:
    """A page of somebody else that asks gets no passkey of ours."""
    elsewhere = passkeys.creation("https://elsewhere.example", "M-1", "ada@acme", CHALLENGE, ())
    with pytest.raises(BadInput, match="not what the page asks for"):
        SoftwarePasskey(ORIGIN).create(elsewhere)
    other = json.loads(passkeys.creation(ORIGIN, "M-1", "ada@acme", CHALLENGE, ()))
    other["pubKeyCredParams"] = [{"type": "public-key", "alg": -257}]
    with pytest.raises(BadInput):
        SoftwarePasskey(ORIGIN).create(json.dumps(other))


_NUMBER = st.integers(-65536, 65535)
_PLAIN = _NUMBER | st.binary(max_size=300) | st.text(max_size=100)


@given(st.recursive(_PLAIN, lambda inner: st.dictionaries(_NUMBER | st.text(max_size=5), inner, max_size=5)))
def test_its_cbor_is_everybodys(value: object) -> None:
    """What it writes, another library reads as the same."""
    assert cbor2.loads(_cbor(value)) == value
