"""A passkey's yes counts for exactly the octets it was asked for, at the charter's site, by its own user."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from typing import Any

import cbor2
import pytest
import webauthn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.strongroom.authenticator import BACKED_UP, ELIGIBLE, ORIGIN, PRESENT, RP_ID, VERIFIED, Authenticator, Kind

from privyseal.strongroom.assertions import load, why_not
from privyseal.terms.keys import Passkey
from privyseal.terms.requests import Assertion

OCTETS = b"what is to be agreed to"
KINDS: tuple[Kind, ...] = ("p256", "ed25519", "rsa")
KEY = Authenticator("ann")


def _passkey(key: Authenticator) -> Passkey:
    passkey = key.approver.passkey
    assert isinstance(passkey, Passkey)
    return passkey


def _judged(key: Authenticator, value: bytes, said: Assertion, octets: bytes = OCTETS) -> str | None:
    return why_not(_passkey(key), key.spki, octets, value, said)


@pytest.mark.parametrize("kind", KINDS)
def test_an_assertion_counts_here_and_for_a_stranger(kind: Kind) -> None:
    """What our software authenticator makes is one to the ``webauthn`` library too, and only for its challenge."""
    key = Authenticator("ann", kind)
    value, said = key.says_yes(OCTETS)
    assert _judged(key, value, said) is None
    assert "another challenge" in str(_judged(key, value, said, OCTETS + b"!"))
    encoded = {
        "authenticatorData": _b64(said.authenticator_data),
        "clientDataJSON": _b64(said.client_data),
        "signature": _b64(value),
    }
    credential = {"id": _b64(key.credential_id), "rawId": _b64(key.credential_id), "type": "public-key"}
    found = webauthn.verify_authentication_response(
        credential=credential | {"response": encoded},
        expected_challenge=hashlib.sha256(OCTETS).digest(),
        expected_rp_id=RP_ID,
        expected_origin=ORIGIN,
        credential_public_key=_cose(key),
        credential_current_sign_count=0,
        require_user_verification=True,
    )
    assert found.user_verified


SPOILT: dict[str, tuple[dict[str, Any], str]] = {
    "a creation": ({"type": "webauthn.create"}, "webauthn.get"),
    "no type": ({"type": None}, "webauthn.get"),
    "another challenge": ({"challenge": "AAAA"}, "another challenge"),
    "a padded challenge": ({"challenge": base64.urlsafe_b64encode(hashlib.sha256(OCTETS).digest()).decode()}, "chall"),
    "another origin": ({"origin": "https://seal.example.evil"}, "does not name"),
    "a lookalike origin": ({"origin": "https://seal.ex\u0430mple"}, "does not name"),
    "an origin that is a list": ({"origin": [ORIGIN]}, "does not name"),
    "within another page": ({"crossOrigin": True}, "somebody else"),
    "crossOrigin as a number": ({"crossOrigin": 0}, "somebody else"),
    "a top origin": ({"topOrigin": ORIGIN}, "somebody else"),
    "nobody present": ({"flags": VERIFIED}, "did not verify"),
    "nobody verified": ({"flags": PRESENT}, "did not verify"),
    "backed up, not eligible": ({"flags": PRESENT | VERIFIED | BACKED_UP}, "flags"),
    "attested data": ({"flags": PRESENT | VERIFIED | 0x40, "more": bytes(20)}, "flags"),
    "octets not announced": ({"more": b"\xa0"}, "do not announce"),
    "extensions that are not there": ({"flags": PRESENT | VERIFIED | 0x80}, "lacks"),
    "another site": ({"rp_id": "evil.example"}, "another site"),
    "client data of 5 KB": ({"padding": "x" * 5000}, "larger"),
    "2 KB of extensions": ({"flags": PRESENT | VERIFIED | 0x80, "more": bytes(2000)}, "octets"),
    "a list": ({"client": b"[]"}, "webauthn.get"),
    "no JSON": ({"client": b"{"}, "no JSON"),
    "not UTF-8": ({"client": b'{"type":"\xff"}'}, "no JSON"),
    "a byte order mark": ({"client": b"\xef\xbb\xbf{}"}, "no JSON"),
    "depth": ({"client": b"[" * 4000}, "no JSON"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_each_spoilt_part_is_refused_though_the_signature_is_good(what: str) -> None:
    """The authenticator signs all of it; the part itself is wrong, and the sentence says which."""
    changes, words = SPOILT[what]
    value, said = KEY.says_yes(OCTETS, **changes)
    assert words in str(_judged(KEY, value, said))


def test_a_synced_passkey_and_extensions_count() -> None:
    """What a real one may carry is not refused."""
    value, said = KEY.says_yes(OCTETS, flags=PRESENT | VERIFIED | ELIGIBLE | BACKED_UP | 0x80, more=b"\xa0")
    assert _judged(KEY, value, said) is None


@pytest.mark.parametrize("name", ["type", "challenge", "origin", "extra"])
def test_what_is_named_twice_is_refused(name: str) -> None:
    """Readers differ on which of the two counts, so neither does; also deep inside."""
    _, said = KEY.says_yes(OCTETS, extra={"a": 1})
    plain = json.loads(said.client_data)
    twice = said.client_data[:-1] + b"," + json.dumps({name: plain[name]}).encode()[1:]
    inside = said.client_data.replace(b'{"a": 1}', b'{"a": 1, "a": 1}')
    for client in (twice, inside):
        value, spoilt = KEY.says_yes(OCTETS, client=client)
        assert "twice" in str(_judged(KEY, value, spoilt))


@pytest.mark.parametrize("kind", KINDS)
def test_no_mutation_of_an_assertion_counts(kind: Kind) -> None:
    """600 seeded changes of signature, authenticator data and client data: none is taken for a yes, none escapes."""
    key, seeded = Authenticator("ann", kind), random.Random(5)
    value, said = key.says_yes(OCTETS)
    parts = {"signature": value, "authenticator_data": said.authenticator_data, "client_data": said.client_data}
    for n in range(200):
        name = list(parts)[n % 3]
        octets = bytearray(parts[name])
        place = seeded.randrange(len(octets))
        if seeded.random() < 0.7:
            octets[place] ^= 1 << seeded.randrange(8)
        else:
            del octets[place:]
        spoilt = parts | {name: bytes(octets)}
        sent = Assertion(authenticator_data=spoilt["authenticator_data"], client_data=spoilt["client_data"])
        assert _judged(key, spoilt["signature"], sent) is not None


def test_keys_of_other_kinds_do_not_count() -> None:
    """RSA of 1024 bits, another curve, octets that are no key, a point that is not on the curve."""
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    weak = Authenticator("ann", "rsa", bits=1024)
    off = bytearray(KEY.spki)
    off[-1] ^= 1
    spki = other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for octets in (weak.spki, spki, b"", b"\x30\x00", bytes(off)):
        assert load(octets) is None
    value, said = weak.says_yes(OCTETS)
    assert "no kind that counts" in str(_judged(weak, value, said))


def test_the_assertion_of_one_person_is_not_another_s() -> None:
    """The key is the charter's."""
    value, said = Authenticator("bob").says_yes(OCTETS)
    assert "does not verify" in str(_judged(KEY, value, said))


def _b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _cose(key: Authenticator) -> bytes:
    """Encode a public key as authenticators do (RFC 9053), for the stranger."""
    public = key.key.public_key()
    if key.kind == "ed25519":
        made = {1: 1, 3: -8, -1: 6, -2: public.public_bytes_raw()}
    elif key.kind == "rsa":
        numbers = public.public_numbers()
        made = {1: 3, 3: -257, -1: numbers.n.to_bytes(256, "big"), -2: numbers.e.to_bytes(3, "big")}
    else:
        numbers = public.public_numbers()
        made = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
    octets: bytes = cbor2.dumps(made)
    return octets
