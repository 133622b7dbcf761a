"""Which key files and chains may sign, and which may not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.pki import mint

from privyseal.cli import keyfile
from privyseal.errors import BadInput, Misused, NotCompliant
from privyseal.terms.signatures import ToBeSigned

ROOT = mint.certify("Root", mint.key("ecdsa-p384", 80), ca=True, days=3000)
MIDDLE = mint.certify("Middle", mint.key("ecdsa-p256", 81), ROOT, ca=True, days=2000)
LEAF = mint.certify("Leaf", mint.key("rsa-3072", 82), MIDDLE, purposes=(mint.CODE_SIGNING,))
STRANGER = mint.certify("Stranger", mint.key("ecdsa-p384", 83), ca=True)


def write(folder: Path, key: bytes, chain: Sequence[mint.Minted], pins: Sequence[mint.Minted] = ()) -> Any:
    (folder / "key").write_bytes(key)
    (folder / "key").chmod(0o600)
    (folder / "chain").write_bytes(b"".join(one.pem for one in chain))
    (folder / "pins").write_bytes(b"".join(one.pem for one in pins))
    return folder / "key", folder / "chain", [folder / "pins"] if pins else [], mint.NOW


def test_the_chain_is_put_in_order_and_the_root_left_out(tmp_path: Path) -> None:
    """People paste certificates in any order; what is signed holds the path from the leaf up, without its anchor."""
    loaded = keyfile.load(*write(tmp_path, LEAF.key_pem, [ROOT, STRANGER, MIDDLE, LEAF], [ROOT]))
    assert loaded.identity.chain == (LEAF.der, MIDDLE.der)
    assert (loaded.identity.scheme, loaded.digest) == ("rsa-3072", "sha256")


@pytest.mark.parametrize("scheme", ["rsa-3072", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521"])
@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_every_scheme_signs_as_its_certificate_says(
    scheme: str, encoding: serialization.Encoding, tmp_path: Path
) -> None:
    """PEM and DER, RSA and the three curves; the value verifies under the certificate's key."""
    own = mint.certify("Own", mint.key(scheme, 84), purposes=(mint.CODE_SIGNING,))
    octets = own.key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    loaded = keyfile.load(*write(tmp_path, octets, [own]))
    assert loaded.identity.scheme == scheme
    made = loaded.sign(ToBeSigned(b"octets", loaded.digest))
    keyfile.certificates.verify(mint.spki(own.key), made.to_be_signed, made.value)
    assert "PRIVATE" not in repr(loaded) and "object" not in repr(loaded)


@pytest.mark.parametrize(
    ("chain", "pins"),
    [
        ([LEAF, MIDDLE], []),
        ([LEAF, MIDDLE, ROOT], []),
        ([LEAF, MIDDLE], [STRANGER]),
        ([LEAF], [ROOT]),
        ([LEAF, mint.certify("Middle", mint.key("ecdsa-p256", 85), ROOT, ca=True)], [ROOT]),
    ],
)
def test_what_does_not_lead_to_a_pinned_key_is_public(
    chain: list[mint.Minted], pins: list[mint.Minted], tmp_path: Path
) -> None:
    """No pin, another pin, a gap, or an issuer of the right name with the wrong key: refused, whatever one says."""
    with pytest.raises(NotCompliant, match=r"counts as public.*CSBR 6\.2\.7\.3"):
        keyfile.load(*write(tmp_path, LEAF.key_pem, chain, pins))


def test_a_self_signed_certificate_shows_possession_only_if_it_is_signed_by_the_key(tmp_path: Path) -> None:
    """Issuer and subject the same are not enough: the signature on it must be the key's own."""
    forged = mint.certify("Own", mint.key("ecdsa-p256", 86), mint.certify("Own", mint.key("ecdsa-p256", 87)))
    with pytest.raises(NotCompliant):
        keyfile.load(*write(tmp_path, forged.key_pem, [forged]))
    own = mint.certify("Own", mint.key("ecdsa-p256", 86))
    assert keyfile.load(*write(tmp_path, own.key_pem, [own])).identity.chain == (own.der,)


def test_outside_its_time_nothing_is_signed(tmp_path: Path) -> None:
    """To the second, at both ends."""
    own = mint.certify("Own", mint.key("ecdsa-p256", 86), start=mint.NOW, days=10)
    key, chain, pins, _ = write(tmp_path, own.key_pem, [own])
    for at in (mint.NOW, mint.NOW + timedelta(days=10)):
        keyfile.load(key, chain, pins, at)
    for at in (mint.NOW - timedelta(seconds=1), mint.NOW + timedelta(days=10, seconds=1)):
        with pytest.raises(NotCompliant, match="valid from"):
            keyfile.load(key, chain, pins, at)


@pytest.mark.parametrize("field", ["p", "q", "d", "dmp1", "dmq1", "iqmp"])
def test_a_damaged_key_is_refused(field: str, tmp_path: Path) -> None:
    """A key whose numbers do not belong together makes signatures that give the key away; it signs nothing here."""
    private = LEAF.key
    assert isinstance(private, rsa.RSAPrivateKey)
    numbers = private.private_numbers()
    values = {name: getattr(numbers, name) for name in ("p", "q", "d", "dmp1", "dmq1", "iqmp", "public_numbers")}
    values[field] += 2
    try:
        damaged = rsa.RSAPrivateNumbers(**values).private_key(unsafe_skip_rsa_key_validation=True)
        octets = damaged.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    except ValueError:
        return  # nobody can even write it down
    with pytest.raises(BadInput):
        keyfile.load(*write(tmp_path, octets, [LEAF, MIDDLE], [ROOT]))


@pytest.mark.parametrize(
    "octets",
    [b"", b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", b"\x30\x03\x02\x01\x00", b"\xff" * 5000],
)
def test_what_is_no_key_is_refused(octets: bytes, tmp_path: Path) -> None:
    """Whatever the file holds, it ends with a sentence."""
    with pytest.raises(BadInput, match="holds no private key that can be read"):
        keyfile.load(*write(tmp_path, octets, [LEAF]))


def test_keys_that_the_requirements_do_not_allow(tmp_path: Path) -> None:
    """CSBR 6.1.5.2: RSA from 3072 bits on, or one of three curves."""
    for private, said in (
        (mint.key("rsa-2048", 88), "RSA of 2048 bits"),
        (ec.generate_private_key(ec.SECP256K1()), "on the curve secp256k1"),
        (ec.generate_private_key(ec.BrainpoolP256R1()), "on the curve brainpoolP256r1"),
    ):
        own = mint.certify("Own", private)
        with pytest.raises(BadInput, match=said):
            keyfile.load(*write(tmp_path, own.key_pem, [own]))


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Before it is even parsed."""
    arguments = write(tmp_path, b"nonsense", [LEAF])
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(Misused, match="holds a private key and others can read it"):
        keyfile.load(*arguments)


def test_the_purpose_of_a_certificate_is_seen() -> None:
    """A certificate without the code signing purpose gets a note, for verifiers will refuse it."""
    assert keyfile.is_for_code_signing(LEAF.der)
    assert not keyfile.is_for_code_signing(MIDDLE.der)
    assert not keyfile.is_for_code_signing(
        mint.certify("TSA", mint.key("ecdsa-p256", 86), purposes=(mint.TIME_STAMPING,)).der
    )


def test_no_secret_in_what_is_kept(tmp_path: Path) -> None:
    """A KeyFile may land in a traceback."""
    loaded = keyfile.load(*write(tmp_path, LEAF.key_pem, [LEAF, MIDDLE], [ROOT]))
    assert repr(loaded) == "KeyFile(rsa-3072)"
    with pytest.raises((TypeError, msgspec.MsgspecError, NotImplementedError)):
        msgspec.json.encode(loaded)
