"""Evidence in the IETF's neutral format, as modules and services like this one may sign it.

Source: draft-ietf-rats-pkix-key-attestation. The format has no maker of its own, so no root is shipped for it: whoever
asks pins the attestation key's certificate, or the CA above it. Evidence may report several keys; a certificate request
or a public key (PEM) beside it says which one is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.pki import certificates, der
from privyseal.pki.attestation import devices, enclosure, evidence, paths, pieces, requests
from privyseal.pki.attestation.devices import DeviceCertificate
from privyseal.pki.attestation.evidence import Block, Element, Evidence
from privyseal.pki.attestation.protocol import Attested

_UNDERSTOOD = frozenset({devices.EXTENDED_KEY_USAGE})


class PkixEvidence:
    """See the head of this file."""

    name = "pkix-evidence"
    title = "IETF PKIX Evidence"

    def recognises(self, files: Sequence[bytes]) -> bool:
        """Tell whether Evidence is there, alone or in a certificate request."""
        try:
            return bool(_found(files))
        except PrivySealError:
            return False

    def read(self, files: Sequence[bytes], anchors: Sequence[bytes], at: datetime) -> Attested:
        """Verify Evidence up to one of the anchors; raises as the protocol says."""
        every = _found(files)
        if len(every) != 1:
            raise BadInput(f"The files hold {len(every)} pieces of Evidence, and only one can be asked about.")
        found, path = verified(every[0], _strangers(files), anchors, at)
        said = attested(found, path, _meant(files))
        enclosed = enclosure.found_in(files)
        return _with_enclosure((found, said), enclosed, anchors, at) if enclosed else said


def verified(
    octets: bytes, others: Sequence[bytes], anchors: Sequence[bytes], at: datetime
) -> tuple[Evidence, paths.Path]:
    """Verify every signature of Evidence, DER, and a path from the first one's key to an anchor; return both.

    VerificationFailed where there is no signature, one is wrong, or its key's certificate is not one for that.
    """
    found = evidence.read(octets)
    if not found.blocks:
        raise VerificationFailed("The Evidence is signed by nobody.")
    known = paths.read_all((*others, *found.certificates))
    roots = paths.read_all(anchors)
    signers = [_signer(each, [*known, *roots], found.to_be_signed) for each in found.blocks]
    path = _path(signers[0], [*known, *signers], roots, at)
    named = found.one_of(evidence.TRANSACTION).of(evidence.AK_SPKI)
    if named is not None and der.octets_of(named) not in {each.spki for each in signers}:
        raise VerificationFailed("The Evidence names another attestation key than the one that signed it.")
    return found, path


def attested(found: Evidence, path: paths.Path, meant: Sequence[bytes] = ()) -> Attested:
    """Return what verified Evidence says of one key: of one whose public key is among ``meant``, or of the only one."""
    key = _the_key(found, meant)
    platform = found.one_of(evidence.PLATFORM)
    public = key.of(evidence.SPKI)
    if public is None:
        raise VerificationFailed("The Evidence is genuine, and does not say what the public key of its key is.")
    return Attested(
        format=PkixEvidence.name,
        maker=platform.text(evidence.VENDOR) or path[-1].name,
        model=platform.text(evidence.HWMODEL),
        firmware=platform.text(evidence.SWVERSION),
        serial=platform.text(evidence.HWSERIAL),
        spki=der.octets_of(public),
        generated_inside=key.flag(evidence.LOCAL),
        never_extractable=_never_extractable(key),
        claims=_claims(found, platform, key),
        chain=tuple(each.der for each in path),
        anchor=path[-1].fingerprint,
    )


def _with_enclosure(
    both: tuple[Evidence, Attested], enclosed: Sequence[bytes], roots: Sequence[bytes], at: datetime
) -> Attested:
    """Hold an enclosure against the Evidence's nonce, and verify the module's own attestation in it.

    Where there is one it is the better proof, and what it says is returned; the rest is claims.
    """
    found, said = both
    nonce = found.one_of(evidence.TRANSACTION).of(evidence.NONCE)
    if len(enclosed) != 1 or nonce is None or der.octets_of(nonce) != enclosure.nonce_of(enclosed[0]):
        raise VerificationFailed("The enclosure is not the one that the Evidence is bound to by its nonce.")
    inside = enclosure.read(enclosed[0])
    if inside.key_id != certificates.key_id(said.spki):
        raise VerificationFailed("The enclosure is of another key than the Evidence.")
    claims = {"of": f"Key Pair {inside.key} of {inside.subscriber}"}
    if inside.verdict:
        claims["the service's verdict"] = inside.verdict[:500]
    if inside.birth:
        claims["birth"] = "a log's proof of it is enclosed; it is checked only against a log policy"
    module = _of_module(inside, said.spki, roots, at) if inside.attestation else None
    if module is None:
        claims["module"] = "no attestation of the module is enclosed; all above is the word of who signed the Evidence"
        return msgspec.structs.replace(said, claims=said.claims | claims)
    claims["enclosed in"] = f"Evidence signed by {devices.read(said.chain[0]).name}, root {said.anchor[:16]}"
    return msgspec.structs.replace(module, claims=module.claims | claims)


def _of_module(inside: enclosure.Enclosure, spki: bytes, roots: Sequence[bytes], at: datetime) -> Attested | None:
    """Verify the enclosed files up to the root of the module's maker; None where none of our formats knows them."""
    from privyseal.pki.attestation import anchors, catalogue  # the catalogue lists this format too

    known = catalogue.recognise(inside.attestation)
    if known is None or known.name == PkixEvidence.name:
        return None
    module = known.read(inside.attestation, (*anchors.of_format(known.name), *roots), at)
    if module.spki != spki:
        raise VerificationFailed("The module's attestation in the enclosure is of another key.")
    return module


def _never_extractable(key: Element) -> bool | None:
    """Return whether the key could never leave; what the two claims of it say, the worse of them."""
    if key.flag(evidence.EXTRACTABLE):
        return False
    return key.flag(evidence.NEVER_EXTRACTABLE)


def _claims(found: Evidence, platform: Element, key: Element) -> dict[str, str]:
    transaction = found.one_of(evidence.TRANSACTION)
    claims = {"signed by": "the attestation key, whose word this is"}
    if (made := transaction.of(evidence.TIMESTAMP)) is not None:
        claims["made"] = f"{der.time_of(made):%Y-%m-%d %H:%M:%S} UTC, by its own clock"
    if (nonce := transaction.of(evidence.NONCE)) is not None:
        claims["nonce"] = der.octets_of(nonce).hex()[:128]
    for name, kind in (("hardware", evidence.HWVERSION), ("software", evidence.SWNAME)):
        if text := platform.text(kind):
            claims[name] = text
    if platform.flag(evidence.FIPSBOOT):
        level = platform.of(evidence.FIPSLEVEL)
        shown = "" if level is None else f", level {der.integer_of(level)}"
        claims["fips-mode"] = f"{platform.text(evidence.FIPSVER) or 'on'}{shown}, of which it is no proof"
    if (sensitive := key.flag(evidence.SENSITIVE)) is not None:
        claims["sensitive"] = "yes" if sensitive else "no"
    if (uses := key.of(evidence.PURPOSE)) is not None:
        claims["purposes"] = ", ".join(_purpose(each) for each in der.children(uses, evidence.MOST_ELEMENTS))
    return claims


def _purpose(element: der.Element) -> str:
    dotted = der.oid_of(element)
    arc, _, last = dotted.rpartition(".")
    if arc == f"{evidence.ARC}.2" and int(last) < len(evidence.PURPOSES):
        return evidence.PURPOSES[int(last)]
    return dotted


def _the_key(found: Evidence, meant: Sequence[bytes]) -> Element:
    keys = found.all_of(evidence.KEY)
    if not keys:
        raise VerificationFailed("The Evidence is genuine, and reports no key.")
    if meant:
        keys = [each for each in keys if (one := each.of(evidence.SPKI)) is not None and der.octets_of(one) in meant]
        if not keys:
            raise VerificationFailed("The Evidence is genuine, and reports another key than the one that is meant.")
    if len(keys) > 1:
        raise BadInput(
            f"The Evidence reports {len(keys)} keys, and only one can be asked about.",
            hint="give the certificate request or the public key (PEM) of the one that is meant",
        )
    return keys[0]


# -- who signed --------------------------------------------------------------------------------------------------------
def _signer(block: Block, known: Sequence[DeviceCertificate], octets: bytes) -> DeviceCertificate:
    """Return the certificate of who made a signature, which verifies; VerificationFailed where it does not."""
    for each in _named(block, known):
        identifier = certificates.subject_key_identifier(each.der)
        if block.spki not in (None, each.spki) or block.key_identifier not in (None, identifier):
            continue
        devices.verify(each.spki, block.algorithm, block.value, octets)
        if evidence.ATTESTATION_KEY not in each.purposes():
            raise VerificationFailed(f"The certificate {each.name!r} is not one of an attestation key.")
        return each
    raise VerificationFailed(
        "The certificate of the attestation key that signed the Evidence is not there.", hint="give it beside"
    )


def _named(block: Block, known: Sequence[DeviceCertificate]) -> list[DeviceCertificate]:
    if block.certificate is not None:
        return [devices.read(block.certificate)]
    return list(known)


def _path(
    leaf: DeviceCertificate, others: Sequence[DeviceCertificate], anchors: Sequence[DeviceCertificate], at: datetime
) -> paths.Path:
    """Return the path to an anchor; one of just the leaf where the attestation key itself was pinned."""
    if leaf not in anchors:
        return paths.to_anchor(leaf, [each for each in others if each != leaf], anchors, at, _UNDERSTOOD)
    if not leaf.not_before <= at <= leaf.not_after:
        raise VerificationFailed(
            f"The certificate {leaf.name!r} is in force from {leaf.not_before:%Y-%m-%d} to {leaf.not_after:%Y-%m-%d}"
            f" only, not on {at:%Y-%m-%d}."
        )
    return (leaf,)


# -- what is in the files ----------------------------------------------------------------------------------------------
def _found(files: Sequence[bytes]) -> list[bytes]:
    """Return all Evidence, DER, each once: of files, or where there is none of the attestation bundles of requests."""
    cut = pieces.unpack(files)
    alone = [each.octets for each in cut.others if each.label == "EVIDENCE" or evidence.looks_like(each.octets)]
    stated = [each for bundle in requests.bundles(cut.requests) for each in bundle.statements]
    carried = [each.value for each in stated if each.kind == evidence.ARC]
    return list(dict.fromkeys(alone or carried))


def _strangers(files: Sequence[bytes]) -> list[bytes]:
    cut = pieces.unpack(files)
    return [*cut.certificates, *(each for bundle in requests.bundles(cut.requests) for each in bundle.certificates)]


def _meant(files: Sequence[bytes]) -> list[bytes]:
    """Return the public keys that were given beside the Evidence: of requests, and bare ones."""
    cut = pieces.unpack(files)
    bare = [each.octets for each in cut.others if each.label == "PUBLIC KEY"]
    return [*(requests.read(each).spki for each in cut.requests), *bare]
