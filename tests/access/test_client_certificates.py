"""A client certificate is its public key, its dates and its purpose: the names in it matter to nobody."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from tests.access.clients import CLIENT_AUTH, NOW, client_certificate, key_digest, new_key

from privyseal.access import credentials
from privyseal.access.credentials import Presented, Register
from privyseal.errors import NotAuthenticated
from privyseal.pki.certificates import outline
from privyseal.terms.parties import Actor, Factor, Member, Role

ADA, BOB = (Member(id, "demo", name, (Role.REQUESTER,)) for id, name in (("M-1", "ada"), ("M-2", "bob")))
KEY, OTHER = new_key(), new_key()
TOKEN, TOKEN_DIGEST = credentials.new_token(lambda count: bytes(count))


def register(*, by_key: dict[bytes, Member] | None = None, token: Member = ADA, now: object = NOW) -> Register:
    keys = {key_digest(KEY): ADA} if by_key is None else by_key
    return Register({TOKEN_DIGEST: token}.get, keys.get, now)  # type: ignore[arg-type]


def who(certificate: bytes | None, known: Register, *, token: str = "") -> Actor:
    headers = [(b"authorization", b"Bearer " + token.encode())] if token else []
    return credentials.authenticate(Presented(headers, certificate), known)


def test_the_holder_of_a_registered_key_is_let_in_also_with_a_renewed_certificate() -> None:
    """Serial, dates, issuer and names may all change; the key is who they are."""
    for names in (["ada"], ["somebody else"], []):
        assert who(client_certificate(KEY, names), register()) == Actor(ADA, (Factor.CLIENT_CERTIFICATE,))


def test_a_token_and_a_certificate_of_one_member_are_two_factors() -> None:
    """Both are recorded, in the order of the doors."""
    actor = who(client_certificate(KEY, ["ada"]), register(), token=TOKEN)
    assert actor == Actor(ADA, (Factor.BEARER, Factor.CLIENT_CERTIFICATE))
    assert actor.proof == "bearer and client-certificate"


@pytest.mark.parametrize(
    ("certificate", "known", "token", "words"),
    [
        (client_certificate(KEY, ["ada"]), register(token=BOB), TOKEN, "different members"),
        (client_certificate(OTHER, ["ada"]), register(), TOKEN, "not registered"),
        (client_certificate(KEY, ["ada"]), register(), TOKEN[:-1] + "B", "bearer token is unknown"),
        (client_certificate(OTHER, ["ada"]), register(), "", "not registered"),
        (client_certificate(KEY, ["ada"]), register(by_key={}), "", "not registered"),
        (client_certificate(KEY, ["ada"], authority=True), register(), "", "a CA's own"),
        (client_certificate(KEY, ["ada"], usages=()), register(), "", "clientAuth"),
        (client_certificate(KEY, ["ada"], usages=(ExtendedKeyUsageOID.SERVER_AUTH,)), register(), "", "clientAuth"),
        (
            client_certificate(KEY, ["ada"], usages=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
            register(),
            "",
            "clientAuth",
        ),
        (client_certificate(KEY, ["ada"]), register(now=NOW + timedelta(days=40)), "", "expired at"),
        (client_certificate(KEY, ["ada"]), register(now=NOW - timedelta(days=40)), "", "not in force before"),
        (b"\x30\x03\x02\x01\x00", register(), "", "certificate"),
        (b"", register(), "", "certificate"),
    ],
    ids=[
        "two members", "stranger's with a token", "with a bad token", "stranger's", "forgotten", "CA", "no usage",
        "a server's", "any usage", "expired", "not yet", "junk", "empty",
    ],
)  # fmt: skip
def test_everything_else_is_refused_in_one_sentence(
    certificate: bytes, known: Register, token: str, words: str
) -> None:
    """One good credential does not make up for a bad one, and the refusal repeats nothing of either."""
    with pytest.raises(NotAuthenticated, match=words) as refused:
        who(certificate, known, token=token)
    assert str(refused.value).count("\n") == 0 and TOKEN[4:] not in str(refused.value)


IMPOSTORS: dict[str, list[str]] = {
    "the same name": ["ada"],
    "cut at a NUL": ["ada\x00.attacker.example"],
    "a NUL before": ["\x00ada"],
    "Cyrillic": ["\u0430d\u0430"],
    "full width": ["\uff41\uff44\uff41"],
    "capitals": ["ADA"],
    "a dotted name": ["ada."],
    "right to left": ["\u202eada"],
    "a soft hyphen": ["a\u00adda"],
    "two names, hers first": ["ada", "bob"],
    "two names, hers last": ["bob", "ada"],
    "her id": ["M-1"],
    "her key's digest": [key_digest(KEY).hex()],
    "a wildcard": ["*"],
    "a line of a header": ["ada\r\nX-Client-Verify: SUCCESS"],
}


@pytest.mark.parametrize("names", IMPOSTORS.values(), ids=IMPOSTORS.keys())
@pytest.mark.parametrize("alternative", [None, "ada", "ada\x00x", "bob", "*.ada"])
def test_no_name_makes_anybody_somebody_else(names: list[str], alternative: str | None) -> None:
    """Names cut, disguised, doubled or in conflict with an alternative name: hers under his key, his under hers."""
    known = register(by_key={key_digest(KEY): ADA, key_digest(OTHER): BOB})
    impostor = client_certificate(OTHER, names, alternative=alternative)
    honest = client_certificate(KEY, names, alternative=alternative)
    assert (who(impostor, known).member, who(honest, known).member) == (BOB, ADA)
    with pytest.raises(NotAuthenticated, match="not registered"):
        who(impostor, register())


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_damage_to_a_certificate_makes_it_anothers_or_falls_over(at: int, flip: int) -> None:
    """Whatever the octets, the answer is the member of the very key in it, or NotAuthenticated."""
    octets = bytearray(CLEAN)
    octets[at % len(octets)] ^= flip
    try:
        assert who(bytes(octets), register()).member == ADA
    except NotAuthenticated:
        return
    assert hashlib.sha256(_spki_of(bytes(octets))).digest() == key_digest(KEY)


CLEAN = client_certificate(KEY, ["ada"], usages=(CLIENT_AUTH,))


def _spki_of(certificate: bytes) -> bytes:
    return outline(certificate).spki
