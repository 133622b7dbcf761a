"""Attestations: verified over DSSE's PAE by keys that a rule names, about this very file, and read with limits."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from privyseal.access import attestations
from privyseal.access.attestations import PAYLOAD_TYPE, Wanted, differences, pae, read_envelope, statement_of
from privyseal.access.policies import fits
from privyseal.errors import BadInput, TooLarge

FILE = hashlib.sha256(b"a program").hexdigest()
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"attestations in tests, 32 octets")


def text_of(key: Any) -> str:
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


KEY_TEXT = text_of(KEY)


def envelope(key: Any = KEY, payload_type: str = PAYLOAD_TYPE, digest: str = FILE, **changes: Any) -> bytes:
    """Return SLSA provenance v1 of a file, signed; ``changes`` to the statement."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "setup.exe", "digest": {"sha256": digest}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                "resolvedDependencies": [{"uri": "git+https://example/acme/app@refs/tags/v1"}],
            },
            "runDetails": {"builder": {"id": "https://github.com/actions/runner/github-hosted"}},
        },
    } | changes
    payload = json.dumps(statement).encode()
    octets = pae(payload_type, payload)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(octets)
    elif isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
    else:
        signature = key.sign(octets, ec.ECDSA(hashes.SHA256()))
    signatures = [{"keyid": "whatever", "sig": base64.b64encode(signature).decode()}]
    whole = {"payload": base64.b64encode(payload).decode(), "payloadType": payload_type, "signatures": signatures}
    return json.dumps(whole).encode()


def lacks(octets: bytes, file: str | None = FILE, **wanted: Any) -> list[str]:
    return differences(Wanted(**{"keys": (KEY_TEXT,), **wanted}), (octets,), file, fits)


def test_pae_is_that_of_the_specification() -> None:
    """The example of DSSE's protocol.md."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.parametrize("key", [KEY, ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)])
def test_a_good_one_is_accepted_by_each_kind_of_key(key: Any) -> None:
    """With everything that a rule may want of provenance."""
    wanted = {"builder": "https://github.com/actions/runner/*", "source": "git+https://example/acme/app@refs/tags/*"}
    wanted["build_type"] = "https://actions.github.io/buildtypes/workflow/v1"
    assert lacks(envelope(key), keys=(text_of(key),), **wanted) == []


@pytest.mark.parametrize(
    ("octets", "wanted", "why"),
    [
        (envelope(ed25519.Ed25519PrivateKey.generate()), {}, "not signed by a key that the rule names"),
        (envelope(digest="0" * 64), {}, "about another file"),
        (envelope(), {"builder": "https://evil/*"}, "builder is 'https://github.com"),
        (envelope(), {"source": "git+https://example/other@*"}, "names no source"),
        (envelope(), {"build_type": "x"}, "build type is not 'x'"),
        (envelope(predicateType="https://example/tests/v1"), {}, "an attestation is a https://example/tests/v1"),
        (envelope(_type="https://in-toto.io/Statement/v0.1"), {}, "Statement/v1 was expected"),
        (envelope(payload_type="text/plain"), {}, "payload is 'text/plain'"),
        (envelope(predicate={"runDetails": 7}), {"builder": "x"}, "builder is 'None'"),
        (envelope(predicate={"buildDefinition": {"resolvedDependencies": [7]}}), {"source": "x"}, "names no source"),
        (envelope(subject=[{"name": "a", "digest": {"sha1": "0"}}]), {}, "no subject by its SHA-256"),
        (b"{}", {}, "no DSSE envelope"),
        (b"[" * 100_000, {}, "no DSSE envelope"),
    ],
)
def test_what_differs_is_said(octets: bytes, wanted: dict[str, Any], why: str) -> None:
    """One sentence for each way to be wrong."""
    (said,) = lacks(octets, **wanted)
    assert why in said


def test_a_file_that_nobody_sees_has_no_attestation() -> None:
    """In mode local the service cannot know the file."""
    assert "mode server only" in lacks(envelope(), file=None)[0]


def test_one_good_one_among_bad_ones_is_enough() -> None:
    """What else came does not matter."""
    wanted = Wanted(keys=(KEY_TEXT,))
    assert differences(wanted, (b"{}", envelope(digest="0" * 64), envelope()), FILE, fits) == []


def test_limits_hold_before_anything_is_decoded() -> None:
    """Octets, signatures, subjects."""
    with pytest.raises(TooLarge):
        read_envelope(b" " * (attestations.LARGEST_ENVELOPE + 1))
    whole = json.loads(envelope())
    with pytest.raises(BadInput):
        read_envelope(json.dumps(whole | {"signatures": whole["signatures"] * 9}).encode())
    many = [{"digest": {"sha256": f"{n:064x}"}} for n in range(attestations.MOST_SUBJECTS + 1)]
    with pytest.raises(BadInput):
        statement_of(read_envelope(envelope(subject=many)))


def test_two_thousand_mutations_are_never_accepted() -> None:
    """Seeded: an octet changed anywhere that matters voids it; what does not matter is the keyid and blanks."""
    chance, good = random.Random(7), envelope()
    payload, sig = json.loads(good)["payload"], json.loads(good)["signatures"][0]["sig"]
    for _ in range(2000):
        octets = bytearray(good)
        octets[chance.randrange(len(octets))] ^= 1 << chance.randrange(8)
        said = differences(Wanted(keys=(KEY_TEXT,)), (bytes(octets),), FILE, fits)
        if not said:
            with contextlib.suppress(ValueError):
                changed = json.loads(octets)
                assert changed["payload"].rstrip("=") == payload.rstrip("=")
                assert base64.b64decode(changed["signatures"][0]["sig"]) == base64.b64decode(sig)
