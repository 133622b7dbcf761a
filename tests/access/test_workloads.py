"""Identity tokens: those of every platform are read, and everything else is one sentence."""

from __future__ import annotations

import base64
import json
import random
import re
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.access import platform_tokens as tokens
from tests.access.platform_tokens import AUDIENCE, NOW, claims, encode, public, run, sign

from privyseal.access import signed_tokens, workloads
from privyseal.access.platforms import PLATFORMS, flat
from privyseal.access.workloads import Expected
from privyseal.errors import BadInput, NotAuthenticated

BASE = int(NOW.timestamp())
KEYS = [public("RS256"), public("ES256", "e1"), public("ES384", "e2"), public("PS256", "p1"), public("EdDSA", "d1")]


def expected(platform: str = "github", audience: str = AUDIENCE) -> Expected:
    """Expect a token of that platform now."""
    return Expected(PLATFORMS[platform], tokens.ISSUERS[platform], audience, NOW)


def verify(token: bytes, keys: list[dict[str, Any]] = KEYS, platform: str = "github") -> dict[str, Any]:
    """Read and verify."""
    return workloads.verify(signed_tokens.read(token), keys, expected(platform))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_tokens_of_every_platform_are_read(platform: str) -> None:
    """Shaped like its real ones; its claims come out as they went in."""
    algorithm = tokens.ALGORITHM[platform]
    use = "jwt-svid" if platform == "spiffe" else "sig"
    keys = [public(algorithm, use=use), public("ES384", "other")]
    audience = PLATFORMS[platform].audience or AUDIENCE
    found = workloads.verify(signed_tokens.read(run(platform)), keys, expected(platform, audience))
    assert found == claims(platform)


@pytest.mark.parametrize(("algorithm", "kid"), [("ES256", "e1"), ("ES384", "e2"), ("PS256", "p1"), ("EdDSA", "d1")])
def test_every_algorithm_of_the_table_is_verified(algorithm: str, kid: str) -> None:
    """And one octet of the signature more or less is not."""
    token = sign(claims("github"), algorithm, kid)
    assert verify(token) == claims("github")
    head, _, signature = token.rpartition(b".")
    octets = bytearray(base64.urlsafe_b64decode(signature + b"=="))
    octets[5] ^= 1
    with pytest.raises(NotAuthenticated, match="does not verify"):
        verify(head + b"." + encode(bytes(octets)))


def hmac_with_the_public_key() -> bytes:
    """Sign with HS256 and the issuer's public key as the secret (RFC 8725 2.1)."""
    import hashlib
    import hmac

    head = encode(json.dumps({"alg": "HS256", "kid": "k1", "typ": "JWT"}).encode())
    signed = head + b"." + encode(json.dumps(claims("github")).encode())
    pem = tokens.private("RS256").as_pem(private=False)
    return signed + b"." + encode(hmac.new(pem, signed, hashlib.sha256).digest())


def unsigned(**header: Any) -> bytes:
    """Write a token whose signature is empty or nothing."""
    head = encode(json.dumps({"alg": "none", "kid": "k1"} | header).encode())
    return head + b"." + encode(json.dumps(claims("github")).encode()) + b"."


BAD: dict[str, tuple[bytes, str]] = {
    "expired": (run(exp=BASE - 61), "expired at 2026-11-30 11:58:59 UTC"),
    "not yet": (run(nbf=BASE + 61), "not good before 2026-11-30 12:01:01 UTC; it is 12:00:00 here"),
    "issued in the future": (run(iat=BASE + 61), "issued in the future"),
    "without an end": (run(exp=None), "until when it is good"),
    "good for a year": (run(exp=BASE + 31536000), "for more than a day"),
    "a text for a time": (run(exp="soon"), "exp is no time"),
    "a truth for a time": (run(exp=True), "exp is no time"),
    "beyond all times": (run(exp=1e300), "exp is no time"),
    "of no time": (run(nbf=-1), "nbf is no time"),
    "wrong audience": (run(aud="https://elsewhere.example"), "is for 'https://elsewhere.example'"),
    "two audiences": (run(aud=[AUDIENCE, "https://elsewhere.example"]), "was expected"),
    "audience in another case": (run(aud=AUDIENCE.upper()), "was expected"),
    "no audience": (run(aud=None), "was expected"),
    "wrong issuer": (run(iss="https://gitlab.com"), "https://token.actions.githubusercontent.com was expected"),
    "issuer with a slash": (run(iss=tokens.ISSUERS["github"] + "/"), "was expected"),
    "no issuer": (run(iss=None), "was expected"),
    "unsigned": (unsigned(alg="RS256"), "is not signed"),
    "alg none": (unsigned() + b"AAAA", "alg=none"),
    "alg None": (unsigned(alg="nOnE") + b"AAAA", "is signed with 'nOnE'"),
    "no alg": (unsigned(alg=None) + b"AAAA", "is signed with 'None'"),
    "alg is a list": (unsigned(alg=["RS256"]) + b"AAAA", "one of RS256"),
    "hmac with the public key": (hmac_with_the_public_key(), "is signed with 'HS256'"),
    "rsa said to be ecdsa": (unsigned(alg="ES256") + b"AAAA", "not one for ES256"),
    "an ecdsa key for rsa": (sign(claims("github"), "RS256", "e1"), "not one for RS256"),
    "a key for PSS": (sign(claims("github"), "RS256", "p1"), "not one for RS256"),
    "unknown key": (sign(claims("github"), kid="k9"), "no key named 'k9'"),
    "no key named": (sign(claims("github"), kid=None), "which of its issuer's keys"),
    "another's key": (sign(claims("github"), number=1), "does not verify"),
    "its own key": (sign(claims("github"), number=1, jwk=public("RS256", number=1)), "does not verify"),
    "an extension": (sign(claims("github"), crit=["b64"], b64=True), "crit"),
    "too large": (run(padding="x" * 16384), "at most 16384"),
    "two parts": (b"e30.e30", "three parts"),
    "five parts": (b"e30.e30.e30.e30.e30", "three parts"),
    "nothing": (b"", "three parts"),
    "not base64url": (b"e30.e3+.AAAA", "three parts"),
    "padded": (b"e30=.e30.AAAA", "three parts"),
    "loose bits": (b"e31.e30.AAAA", "is not base64url"),
    "a list": (b"e30.W10.AAAA", "payload is no JSON object"),
    "deep": (b"e30." + encode(b"[" * 9000) + b".AAAA", "payload is no JSON object"),
    "not UTF-8": (b"e30." + encode(b'{"a":"\xff"}') + b".AAAA", "payload is no JSON object"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_is_one_sentence(name: str) -> None:
    """It says what came and what was expected, and shows neither token nor signature."""
    token, words = BAD[name]
    with pytest.raises(NotAuthenticated, match=re.escape(words)) as refused:
        verify(token)
    assert refused.value.hint and refused.value.detail.endswith((".", ")"))
    assert refused.value.exit == 4
    assert b"eyJ" not in str(refused.value).encode()


def test_clocks_may_be_a_minute_apart() -> None:
    """Both ways, to the second."""
    for token in (run(exp=BASE - 59), run(nbf=BASE + 60), run(iat=BASE + 60)):
        assert verify(token)


@pytest.mark.parametrize(
    "key",
    [
        public("RS256", use="enc"),
        public("RS256", alg="RS512"),
        public("RS256", key_ops=["encrypt"]),
        public("RS256", key_ops="verify"),
        public("RS256", kty="oct", k="AAAA"),
        {**tokens.private("RS256").as_dict(private=True), "kid": "k1"},
        public("RS256", n=encode(b"\xc3" * 128).decode()),
        public("RS256", n="A" * 3000),
        public("RS256", n=7),
        public("RS256", e="!"),
        {"kty": "RSA", "kid": "k1"},
        public("ES256"),
    ],
    ids=lambda key: " ".join(
        sorted(f"{k}={str(v)[:8]}" for k, v in key.items() if k in ("use", "alg", "kty", "key_ops"))
    ),
)
def test_a_key_that_is_not_for_this_is_not_used(key: dict[str, Any]) -> None:
    """Nor does one that cannot be read keep another of the same name from being used."""
    with pytest.raises(NotAuthenticated):
        verify(run(), [key])
    assert verify(run(), [key, public("RS256")])


def test_a_thousand_mutations_are_refused_in_a_sentence_each() -> None:
    """Seeded; an octet changed, taken out, put in or moved, or a claim exchanged under the old signature."""
    rng, good = random.Random(3040), run()
    verify(good)
    for number in range(1000):
        octets = bytearray(good)
        for _ in range(rng.choice((1, 1, 1, 2, 9))):
            at = rng.randrange(len(octets))
            match rng.randrange(4):
                case 0:
                    octets[at] = rng.choice(b"ABCDEFwxyz0189-_.=+/ \0\xff")
                case 1:
                    del octets[at]
                case 2:
                    octets.insert(at, rng.randrange(256))
                case _:
                    octets[at:at] = octets[at : at + rng.randrange(40)]
        if number % 4 == 0:
            changed = claims("github", **{rng.choice(list(tokens.CLAIMS["github"])): str(rng.random())})
            head, _, signature = good.split(b".")
            octets = bytearray(head + b"." + encode(json.dumps(changed).encode()) + b"." + signature)
        if bytes(octets) == good:
            continue
        with pytest.raises(NotAuthenticated) as refused:
            verify(bytes(octets))
        assert "\n" not in str(refused.value) and len(refused.value.detail) < 500


def test_the_two_ways_to_write_an_ecdsa_signature_are_one_token() -> None:
    """(r, s) and (r, n - s) both verify, so the fingerprint leaves the signature out."""
    token = sign(claims("github"), "ES256", "e1")
    head, _, signature = token.rpartition(b".")
    octets = base64.urlsafe_b64decode(signature + b"==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other = octets[:32] + (order - int.from_bytes(octets[32:], "big")).to_bytes(32, "big")
    twin = head + b"." + encode(other)
    assert twin != token and verify(twin) == verify(token)
    assert signed_tokens.read(twin).fingerprint == signed_tokens.read(token).fingerprint


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"x" * (signed_tokens.LARGEST_KEY_SET + 1), "larger than 1048576"),
        (msgspec.json.encode({"keys": [{}] * 101}), "101 keys; at most 100"),
        (b"[]", "no list of keys"),
        (b'{"keys": 1}', "no list of keys"),
        (b"<html>", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_key_set_is_bounded(octets: bytes, words: str) -> None:
    """And what is none is said to be none."""
    with pytest.raises(BadInput, match=words):
        signed_tokens.key_set(octets)


def test_nothing_shows_a_token() -> None:
    """Neither the parts of it."""
    assert "eyJ" not in repr(signed_tokens.read(run())) and "anna" not in repr(signed_tokens.read(run()))


def test_the_workflow_is_that_of_the_repository_itself() -> None:
    """One that an organisation has run from elsewhere is none, whatever the token says of a workflow_file."""
    assert flat(claims("github"))["workflow_file"] == "release.yml"
    elsewhere = claims("github", workflow_ref="acme/tools/.github/workflows/release.yml@refs/heads/main")
    assert "workflow_file" not in flat(elsewhere | {"workflow_file": "release.yml"})
    longer = claims("github", workflow_ref="acme/app-2/.github/workflows/release.yml@refs/heads/main")
    assert "workflow_file" not in flat(longer)


def test_a_token_at_its_end_is_remembered_beyond_it() -> None:
    """``expires`` is what the records keep its use by."""
    assert signed_tokens.read(run()).expires == NOW + timedelta(seconds=300)
