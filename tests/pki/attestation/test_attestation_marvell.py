"""LiquidSecurity modules: no genuine attestation is public, so these follow what the makers describe."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.pki import mint
from tests.pki.attestation import makers
from tests.pki.attestation.makers import AT, BORN, KEY, OTHER
from tests.pki.mint import Key, Minted

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.pki.attestation import anchors, marvell
from privyseal.pki.attestation.judge import NotEvidenced, judge
from privyseal.pki.attestation.protocol import Attested

PARTITION = mint.key("rsa-2048", 950)
RSA_KEY = mint.key("rsa-2048", 96)


@cache
def chains() -> tuple[Minted, Minted, Minted, Minted]:
    """Return the maker's certificates of card and partition, the owner's root, and the partition's by the owner."""
    card = makers.between("Marvell card", 50, makers.root())
    partition = mint.certify("HSM:1:partition", PARTITION, card, start=BORN, days=4000)
    owner = mint.certify("Cloud root", mint.key("ecdsa-p256", 951), ca=True, start=BORN, days=4000)
    owned = mint.certify("HSM:1:partition", PARTITION, owner, start=BORN, days=4000)
    return card, partition, owner, owned


def spki(private: Key) -> bytes:
    """Return a key's public half."""
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def attributes(private: Key = KEY, **changes: bytes | None) -> dict[int, bytes]:
    """Return what a module says of a Private Key."""
    public = private.public_key()
    found: dict[int, bytes | None] = {
        marvell.CLASS: b"\x03",
        marvell.SENSITIVE: b"\x01",
        marvell.SIGN: b"\x01",
        marvell.EXTRACTABLE: b"\0",
        marvell.LOCAL: b"\x01",
        marvell.NEVER_EXTRACTABLE: b"\x01",
        marvell.CHECK_VALUE: hashlib.sha256(spki(private)).digest(),
    }
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        found |= {marvell.KEY_TYPE: b"\0", marvell.MODULUS: numbers.n.to_bytes(public.key_size // 8, "big")}
        found[marvell.EXPONENT] = numbers.e.to_bytes(3, "big")
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        found |= {marvell.KEY_TYPE: b"\x03", marvell.MODULUS: point}
    found |= {getattr(marvell, name): value for name, value in changes.items()}
    return {kind: value for kind, value in found.items() if value is not None}


def written(values: dict[int, bytes]) -> bytes:
    """Write one object."""
    body = b"".join(kind.to_bytes(4, "big") + len(each).to_bytes(4, "big") + each for kind, each in values.items())
    return (7).to_bytes(4, "big") + len(values).to_bytes(4, "big") + len(body).to_bytes(4, "big") + body


def content(private: dict[int, bytes]) -> bytes:
    """Write what firmware 3 signs: two headers, and the objects of both halves."""
    public = written({marvell.CLASS: b"\x02", marvell.EXTRACTABLE: b"\x01"})
    offsets = (0, 0, marvell.INFO_OCTETS, marvell.INFO_OCTETS + len(public))
    body = b"".join(each.to_bytes(2, "big") for each in offsets) + public + written(private)
    total = marvell.RESPONSE_OCTETS + len(body) + marvell.SIGNATURE_OCTETS
    head = b"".join(each.to_bytes(4, "big") for each in (0, 3, total, len(body)))
    return head + body


def signed(octets: bytes, by: Key = PARTITION) -> bytes:
    """Sign as a partition does."""
    assert isinstance(by, rsa.RSAPrivateKey)
    return octets + by.sign(octets, padding.PKCS1v15(), hashes.SHA256())


def files(private: dict[int, bytes] | None = None, *, owned: bool = True) -> list[bytes]:
    """Return the files of Google's bundle."""
    card, partition, owner, by_owner = chains()
    held = [card.pem, partition.pem, *([owner.pem, by_owner.pem] if owned else [])]
    return [gzip.compress(signed(content(private or attributes())), mtime=0), *held]


def attested(given: list[bytes]) -> Attested:
    """Judge files that must be attested."""
    found = judge(given, AT, [makers.root().der])
    assert isinstance(found, Attested)
    return found


@pytest.mark.parametrize("private", [KEY, mint.key("ecdsa-p384", 952), RSA_KEY], ids=["p256", "p384", "rsa"])
def test_a_key_is_attested_with_its_public_half(private: Key) -> None:
    """In any order, with the owner's chain told apart from the maker's."""
    found = attested(files(attributes(private))[::-1])
    assert (found.format, found.maker, found.spki) == ("marvell", "Marvell", spki(private))
    assert (found.generated_inside, found.never_extractable) == (True, True)
    assert "Cloud root" in found.claims["owner"]
    assert attested(files(owned=False)).claims["owner"] == "not said"


def test_the_json_of_a_managed_hsm_is_read() -> None:
    """As ``az keyvault key get-attestation`` writes it, whole or its inner part."""
    text = b"Certificate:\n    Data:\n" + b"".join(each.pem for each in chains())
    inner = {
        "version": "MRVL-1",
        "certificatePemFile": base64.urlsafe_b64encode(text).decode().rstrip("="),
        "privateKeyAttestation": base64.urlsafe_b64encode(signed(content(attributes()))).decode().rstrip("="),
    }
    for document in (inner, {"key": {"kty": "EC-HSM"}, "attributes": {"enabled": True, "attestation": inner}}):
        assert attested([json.dumps(document).encode()]).spki == spki(KEY)
    for broken in (inner | {"privateKeyAttestation": "!!"}, inner | {"privateKeyAttestation": "AAAA"}):
        with pytest.raises(PrivySealError):
            attested([json.dumps(broken).encode()])
    assert isinstance(judge([b'{"what": "else"}'], AT), NotEvidenced)


def test_firmware_before_3_is_read() -> None:
    """One object at a fixed place, and a signature that does not say which digest it is of."""
    octets = bytes(marvell.OLD_HEAD) + written(attributes())
    assert isinstance(PARTITION, rsa.RSAPrivateKey)
    numbers = PARTITION.private_numbers()
    size = PARTITION.key_size // 8
    digest = hashlib.sha256(octets).digest()
    padded = int.from_bytes(b"\0\1" + b"\xff" * (size - 3 - len(digest)) + b"\0" + digest, "big")
    value = pow(padded, numbers.d, numbers.public_numbers.n).to_bytes(size, "big")
    card, partition, *_ = chains()
    assert attested([gzip.compress(octets + value), card.pem, partition.pem]).spki == spki(KEY)
    prehashed = PARTITION.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    assert attested([gzip.compress(octets + prehashed), card.pem, partition.pem]).spki == spki(KEY)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"EXTRACTABLE": b"\x01"}, (True, False)),
        ({"NEVER_EXTRACTABLE": b"\0"}, (True, False)),
        ({"LOCAL": b"\0"}, (False, True)),
        ({"LOCAL": None, "NEVER_EXTRACTABLE": None}, (None, None)),
    ],
)
def test_what_the_attributes_say_is_what_is_said(
    changes: dict[str, bytes | None], outcome: tuple[bool | None, bool | None]
) -> None:
    """And what they do not say is not known."""
    found = attested(files(attributes(**changes)))
    assert (found.generated_inside, found.never_extractable) == outcome


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: files(attributes(CHECK_VALUE=bytes(32))), "check value"),
        (lambda: files(attributes(MODULUS=b"\x04" + bytes(64))), "which public key"),
        (lambda: files(attributes(CLASS=b"\x02")), "of 0 Private Keys"),
        (lambda: files(attributes(LOCAL=b"\x02")), "neither yes nor no"),
        (lambda: files()[:2], "partition that signed"),
        (lambda: [*files()[:1], *files()[3:]], "No path leads"),
        (lambda: [files()[0] + b"\0", *files()[1:]], "followed by something else"),
        (lambda: [files()[0][:-3], *files()[1:]], "cut short"),
        (lambda: [gzip.compress(bytes(1 << 22)), *files()[1:]], "octets"),
        (
            lambda: [gzip.compress(signed(content(attributes())[:-9])), *files()[1:]],
            "cut|Keys|attributes",
        ),
        (lambda: [*files(), makers.request(OTHER)], "certificate request for the key"),
        (lambda: [*files(), *files(attributes(OTHER))], "LiquidSecurity attestations"),
    ],
)
def test_what_is_wrong_in_one_way_is_refused(given: object, words: str) -> None:
    """In one sentence, and inflated to no more than one may have."""
    assert callable(given)
    with pytest.raises((BadInput, VerificationFailed), match=words):
        judge(given(), AT, [makers.root().der])


def test_no_flipped_attestation_of_a_module_is_attested() -> None:
    """One bit anywhere in what is signed and in the signature, before it is compressed; and its own roots are there."""
    octets, chance = signed(content(attributes())), random.Random(7)
    held = [each.pem for each in chains()]
    for place in chance.sample(range(len(octets) * 8), 300):
        broken = bytearray(octets)
        broken[place // 8] ^= 1 << place % 8
        with pytest.raises((BadInput, VerificationFailed)):
            judge([gzip.compress(bytes(broken)), *held], AT, [makers.root().der])
    assert len(anchors.of_format("marvell")) == 2
    with pytest.raises(VerificationFailed, match="No path leads"):
        judge(files(), AT)
