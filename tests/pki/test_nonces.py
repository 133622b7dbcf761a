"""What is kept of an ECDSA signature tells one nonce from another, and no more."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from privyseal.errors import BadInput
from privyseal.pki.nonces import ORDERS, trace

CURVES = {"ecdsa-p256": ec.SECP256R1(), "ecdsa-p384": ec.SECP384R1(), "ecdsa-p521": ec.SECP521R1()}
KEY = "ab" * 32


@pytest.mark.parametrize("scheme", ORDERS)
def test_the_orders_are_those_of_the_curves(scheme: str) -> None:
    """The largest Private Key is one less (FIPS 186-5 A.2.1), as another library has it."""
    ec.derive_private_key(ORDERS[scheme] - 1, CURVES[scheme])
    with pytest.raises(ValueError):
        ec.derive_private_key(ORDERS[scheme], CURVES[scheme])


@pytest.mark.parametrize("scheme", ORDERS)
def test_r_and_s_each_by_itself(scheme: str) -> None:
    private = ec.generate_private_key(CURVES[scheme])
    value = private.sign(b"x", ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(value)
    found = trace(scheme, KEY, value)
    assert found is not None
    assert found == trace(scheme, KEY, encode_dss_signature(r, ORDERS[scheme] - s)), "both sign the same"
    other = trace(scheme, KEY, encode_dss_signature(r, s % 1000 + 1))
    assert other is not None and other.seen == found.seen and other.rest != found.rest
    elsewhere = trace(scheme, "cd" * 32, value)
    assert elsewhere is not None and elsewhere.seen != found.seen, "of another key nothing follows"


def test_what_has_no_nonce_and_what_is_no_signature() -> None:
    assert trace("rsa-3072", KEY, b"x" * 384) is None and trace("ed25519", KEY, b"x" * 64) is None
    for value in (
        b"",
        b"\x30\x00",
        b"x" * 70,
        encode_dss_signature(0, 1),
        encode_dss_signature(1, ORDERS["ecdsa-p256"]),
    ):
        with pytest.raises(BadInput):
            trace("ecdsa-p256", KEY, value)
