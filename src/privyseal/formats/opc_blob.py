"""A signature that is found in an OPC package: cut into its parts, judged, and given a timestamp.

Sources as of ``opc_signature.py``. What a signature covers of its own document is looked for by Id, and there has to be
exactly one thing of that Id. Whether the parts of the package are what it lists, ``opc_parts.py`` tells.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from privyseal.errors import BadInput, MalformedCode, VerificationFailed
from privyseal.formats import xml_canonical
from privyseal.formats.opc_signature import (
    BOUND,
    C14N,
    COMMENTED,
    DIGESTS,
    DSIG,
    METHODS,
    OPC,
    PACKAGE,
    XADES,
    Reference,
    document,
    timestamp,
    whole,
)
from privyseal.formats.protocol import Problem
from privyseal.formats.xml_canonical import Element, canonical
from privyseal.pki import certificates
from privyseal.terms.signatures import DIGEST_SIZES, Family, TimestampToken

MAX_REFERENCES: Final = 1 << 16
"""Parts that one signature names; 8 MiB of XML hold some 25,000."""
MAX_COVERED: Final = 16
"""Objects that one signature covers; those of Office cover four."""
MAX_AGAIN: Final = 2
"""How often the document's own octets are covered by it; none is covered twice in those of Office."""
_BY_DIGEST = {uri: name for name, uri in DIGESTS.items()}
_BY_METHOD = {uri: name for name, uri in METHODS.items()}
_NONE: frozenset[str] = frozenset()
"""The one for all parts of which no relationships are taken: an empty set made of nothing has 216 octets each time."""
_SPACE = re.compile(r"[ \t\r\n]+")


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """A signature's document in its parts."""

    root: Element
    info: Element
    package: Element
    algorithm: str
    """By which the list of parts is hashed: a name in DIGEST_SIZES, or the URI of another one."""
    digest: bytes
    """What the signature says the list hashes to."""
    method: str
    value: bytes
    certificates: tuple[bytes, ...]
    references: tuple[Reference, ...]
    bound: tuple[bytes, ...] | None
    """SHA-256 of each certificate, as signed; None where the signature names none."""
    timestamps: tuple[bytes, ...]


# -- reading -----------------------------------------------------------------------------------------------------------
def read(octets: bytes) -> Parsed:
    """Cut a document into its parts; BadInput where it is no signature of an OPC package."""
    try:
        root = xml_canonical.read(octets, "The signature").root
    except MalformedCode as error:
        raise BadInput(error.detail) from None
    infos, values = root.called(DSIG, "SignedInfo"), root.called(DSIG, "SignatureValue")
    packages = [one for one in root.called(DSIG, "Object") if one.get("Id") == PACKAGE]
    named = [one for one in root.walk() if one.get("Id") == PACKAGE]
    if (root.namespace, root.name) != (DSIG, "Signature") or (len(infos), len(values), len(packages), len(named)) != (
        1, 1, 1, 1,
    ):  # fmt: skip
        raise BadInput("The signature is none of an OPC package: it does not have what one has exactly once.")
    covered = infos[0].called(DSIG, "Reference")
    over = [one for one in covered if one.get("URI") == f"#{PACKAGE}"]
    if len(over) != 1 or len(covered) > MAX_COVERED:
        raise BadInput("The signature is none of an OPC package: it does not cover the list of parts exactly once.")
    algorithm, digest = _stated(over[0])
    return Parsed(
        root=root,
        info=infos[0],
        package=packages[0],
        algorithm=algorithm,
        digest=digest,
        method=_algorithm(infos[0], "SignatureMethod"),
        value=_octets(values[0]),
        certificates=tuple(
            _octets(one)
            for info in root.called(DSIG, "KeyInfo")
            for data in info.called(DSIG, "X509Data")
            for one in data.called(DSIG, "X509Certificate")
        ),
        references=tuple(_references(packages[0])),
        bound=_bound(root),
        timestamps=tuple(
            _octets(time)
            for one in root.called(DSIG, "Object")
            for stamp in one.called(OPC, "TimeStamp")
            for time in stamp.called(OPC, "EncodedTime")
        ),
    )


def _octets(element: Element) -> bytes:
    """Decode an element's base64; BadInput for anything else."""
    try:
        return base64.b64decode(_SPACE.sub("", element.text), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput(f"The signature has a {element.name} that is not in base64.") from None


def _one(element: Element, name: str) -> Element:
    found = element.called(DSIG, name)
    if len(found) != 1:
        raise BadInput(f"The signature has {len(found)} {name} in a {element.name}; 1 was expected.")
    return found[0]


def _algorithm(element: Element, name: str) -> str:
    return _one(element, name).get("Algorithm") or ""


def _stated(reference: Element) -> tuple[str, bytes]:
    """Return algorithm and digest of a Reference."""
    uri = _algorithm(reference, "DigestMethod")
    return _BY_DIGEST.get(uri, uri), _octets(_one(reference, "DigestValue"))


def _references(package: Element) -> Iterator[Reference]:
    listed = _one(package, "Manifest").called(DSIG, "Reference")
    if not 1 <= len(listed) <= MAX_REFERENCES:
        raise BadInput(f"The signature names {len(listed)} parts; from 1 to {MAX_REFERENCES} are read.")
    same: dict[str, str] = {}  # thousands of parts, few content types
    for one in listed:
        name, mark, content_type = (one.get("URI") or "").partition("?ContentType=")
        if not mark or not name.startswith("/"):
            raise BadInput(f"The signature names something else than a part with its content type: {name[:80]!r}.")
        transforms = [each for outer in one.called(DSIG, "Transforms") for each in outer.called(DSIG, "Transform")]
        taken = [each for outer in transforms for each in outer.elements if each.namespace == OPC]
        algorithm, digest = _stated(one)
        yield Reference(
            name=name[1:],
            content_type=same.setdefault(content_type, content_type),
            algorithm=algorithm,
            digest=digest,
            transforms=tuple(each.get("Algorithm") or "" for each in transforms),
            identifiers=_named_by(taken, "RelationshipReference", "SourceId"),
            kinds=_named_by(taken, "RelationshipsGroupReference", "SourceType"),
        )


def _named_by(taken: Sequence[Element], name: str, attribute: str) -> frozenset[str]:
    if not taken:
        return _NONE
    return frozenset(each.get(attribute) or "" for each in taken if each.name == name)


def _bound(root: Element) -> tuple[bytes, ...] | None:
    """Return the hashes in the Object about certificates, None where there is no such Object."""
    objects = [one for one in root.called(DSIG, "Object") if one.get("Id") == BOUND]
    if len(objects) != 1:
        return None
    listed = [one for each in objects[0].called(XADES, "SigningCertificateV2") for one in each.elements]
    return tuple(_octets(one) for each in listed for one in each.walk() if one.name == "DigestValue")


# -- judging -----------------------------------------------------------------------------------------------------------
def problems(parsed: Parsed, carried: Sequence[bytes]) -> Iterator[Problem]:
    """Say what is wrong with the document itself; whether the parts are what it lists is another question.

    ``carried`` are the certificates, those that are parts of their own included; the signer's is the first.
    """
    try:
        yield from _problems(parsed, carried)
    except BadInput as error:
        yield Problem("malformed-signature", error.detail)


def _problems(parsed: Parsed, carried: Sequence[bytes]) -> Iterator[Problem]:
    if (algorithm := _BY_METHOD.get(parsed.method)) is None:
        yield Problem("signature-algorithm", f"It is signed by {parsed.method[:80]!r}; RSA with SHA-2 was expected.")
        return
    room = MAX_AGAIN * (parsed.root.close - parsed.root.start)
    for reference in parsed.info.called(DSIG, "Reference"):
        named = _named(parsed.root, reference)
        room -= sum(one.close - one.start for one in named)
        if room < 0:
            yield Problem("reference", "It covers the same octets of its own again and again.")
            return
        yield from _reference_problems(named, reference)
    if _algorithm(parsed.info, "CanonicalizationMethod") not in (C14N, COMMENTED):
        yield Problem("canonical-form", "It is signed in another canonical form than OPC allows.")
    if not carried:
        yield Problem("no-signer-certificate", "The signature does not carry its signer's certificate.")
        return
    comments = _algorithm(parsed.info, "CanonicalizationMethod") == COMMENTED
    digest = hashlib.new(algorithm, canonical(parsed.info, comments=comments)).digest()
    try:
        spki = certificates.outline(carried[0]).spki
        if certificates.family_of(spki) != Family.RSA:
            yield Problem("signature-algorithm", "Its certificate is for another key than RSA.")
            return
        certificates.verify_digest(spki, algorithm, digest, parsed.value, None)
    except (BadInput, VerificationFailed) as error:
        yield Problem("signature-value", error.detail)
    if parsed.bound is not None and parsed.bound != tuple(hashlib.sha256(one).digest() for one in carried):
        yield Problem("certificate-binding", "The certificates are not those whose hashes are under the signature.")


def _named(root: Element, reference: Element) -> list[Element]:
    """Return what a reference of SignedInfo names, which has to be within the document."""
    uri = reference.get("URI") or ""
    return [one for one in root.walk() if one.get("Id") == uri[1:]] if uri[:1] == "#" else []


def _reference_problems(named: Sequence[Element], reference: Element) -> Iterator[Problem]:
    """Hold one reference of SignedInfo against what it names."""
    uri = reference.get("URI") or ""
    if len(named) != 1:
        yield Problem("reference", f"It covers {uri[:80]!r}, which is not exactly one thing in it.")
        return
    ways = [one.get("Algorithm") for each in reference.called(DSIG, "Transforms") for one in each.elements]
    if any(one not in (C14N, COMMENTED) for one in ways) or len(ways) > 1:
        yield Problem("reference", f"It covers {uri[:80]!r} transformed in a way that OPC does not allow.")
        return
    algorithm, stated = _stated(reference)
    if algorithm not in DIGEST_SIZES:
        yield Problem("weak-digest", f"It uses the digest {algorithm[:80]}; SHA-2 of 256 bits or more was expected.")
    elif hashlib.new(algorithm, canonical(named[0], comments=COMMENTED in ways)).digest() != stated:
        yield Problem("digest-mismatch", f"What it covers as {uri[:80]!r} has changed since it was signed.")


def loose(octets: bytes, parsed: Parsed) -> Iterator[Problem]:
    """Say what of a signature made here could be changed without its failing; nothing of those of others."""
    if parsed.bound is None:
        return
    if len(parsed.timestamps) > 1:
        text = f"The signature carries {len(parsed.timestamps)} timestamps; one is judged."
        yield Problem("several-timestamps", text)
    if octets != _rebuilt(parsed):
        yield Problem("not-canonical", "The signature is not written as it would be, so octets of it are loose.")


def _rebuilt(parsed: Parsed) -> bytes:
    """Return the document built anew from what is signed in it, with its timestamps."""
    space = f' xmlns="{DSIG}"'.encode()
    bound = next(one for one in parsed.root.called(DSIG, "Object") if one.get("Id") == BOUND)
    info, binding, listed = (canonical(one).replace(space, b"", 1) for one in (parsed.info, bound, parsed.package))
    return whole(document(info, parsed.value, parsed.certificates, binding, parsed.timestamps), listed)


def timestamped(octets: bytes, parsed: Parsed, token: TimestampToken) -> bytes:
    """Return a document with a token in it, in place of those that are there; all else keeps its octets.

    BadInput where it is not in UTF-8.
    """
    if octets[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BadInput("It is in UTF-16.")
    kept, start = b"", 0
    for one in parsed.root.called(DSIG, "Object"):
        if one.called(OPC, "TimeStamp"):
            kept += octets[start : one.start]
            start = octets.find(b">", one.close) + 1
    stamp = timestamp(token.der)
    if parsed.root.prefix:
        stamp = stamp.replace("<Object>", f'<Object xmlns="{DSIG}">')
    return kept + octets[start : parsed.root.close] + stamp.encode() + octets[parsed.root.close :]
