"""What two ECDSA signatures of one key must never share: the nonce, which is seen as an equal ``r``.

Whoever has two signatures with one nonce over different digests computes the Private Key from them (SEC 1 4.1.3, FIPS
186-5 6.3). The value of ``r`` is public; what is kept of it is a digest, because that is shorter.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from privyseal.errors import BadInput

ORDERS: dict[str, int] = {
    "ecdsa-p256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ecdsa-p384": int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16
    ),
    "ecdsa-p521": int(
        "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA51868783BF2F966B7FCC0148F709A5D0"
        "3BB5C9B8899C47AEBB6FB71E91386409",
        16,
    ),
}
"""The order of each curve's group (FIPS 186-4 D.1.2), by the name of its Scheme."""
OCTETS = 16
"""Of a digest that is kept. A chance hit among a billion signatures of one Subscriber has probability 2^-69."""


class Trace(NamedTuple):
    """What is kept of one signature."""

    seen: bytes
    """Digest of key and ``r``."""
    rest: bytes
    """Digest of ``s``, or of its negative, whichever is smaller: both sign the same."""


def trace(scheme: str, key_id: str, value: bytes) -> Trace | None:
    """Return what is kept of a signature (DER, RFC 3279 2.2.3); None for a scheme whose signatures have no nonce.

    BadInput for a value that is none.
    """
    order = ORDERS.get(scheme)
    if order is None:
        return None
    try:
        r, s = decode_dss_signature(value)
    except ValueError:
        raise BadInput("A signature is no ECDSA-Sig-Value.") from None
    size = (order.bit_length() + 7) // 8
    if not (0 < r < order and 0 < s < order):
        raise BadInput("A signature has numbers that no ECDSA signature has.")
    of = bytes.fromhex(key_id)
    return Trace(
        hashlib.sha256(b"r" + of + r.to_bytes(size, "big")).digest()[:OCTETS],
        hashlib.sha256(b"s" + min(s, order - s).to_bytes(size, "big")).digest()[:OCTETS],
    )
