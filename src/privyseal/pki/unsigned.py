"""What no signature covers in a CMS signature, attributes and revocation lists: it may be added and taken away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from privyseal.errors import BadInput
from privyseal.pki import cms, der


def with_only(blob: bytes, attributes: Mapping[str, Sequence[bytes]], crls: Sequence[bytes] | None = None) -> bytes:
    """Return the ContentInfo whose one signer has these unsigned attributes in place of its own.

    ``attributes``: dotted OID to raw values; kinds without a value are left out. ``crls``: revocation lists in place of
    its own, raw, in this order; no signature covers them either. All else keeps its octets. BadInput if it is no
    SignedData of one signer.
    """
    signed = cms.parse(blob)
    if len(signed.signers) != 1:
        raise BadInput(f"The signature has {len(signed.signers)} signers; one was expected.")
    kept = [field.raw for field in der.children(der.read(signed.signers[0].raw)) if field.tag != 0xA1]
    rows = [cms.attribute(kind, *values) for kind, values in attributes.items() if values]
    if rows:
        kept.append(b"\xa1" + der.set_of(*rows)[1:])
    outer = der.children(der.read(signed.der))
    inner = [field.raw for field in der.children(der.children(outer[1])[0])]
    before = inner[:-1]
    if crls is not None:
        before = [field for field in before if field[0] != 0xA1]
        before += [der.implicit(1, b"".join(crls))] if crls else []
    return der.sequence(outer[0].raw, der.explicit(0, der.sequence(*before, der.set_of(der.sequence(*kept)))))
