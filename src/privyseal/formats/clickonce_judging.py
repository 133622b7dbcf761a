"""What is wrong with the signatures in a ClickOnce manifest, by the rules of ``mansign2.cs`` and of XML signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from privyseal.errors import BadInput, MalformedCode, VerificationFailed
from privyseal.formats import authenticode_blob, clickonce_blob, clickonce_manifest, publisher_name, xml_canonical
from privyseal.formats.clickonce_blob import Blob, One
from privyseal.formats.clickonce_manifest import ASM2, ClickOnceLayout
from privyseal.formats.protocol import EmbeddedSignature, Identity, Problem
from privyseal.formats.xml_canonical import Element
from privyseal.pki import certificates
from privyseal.terms.signatures import ToBeSigned


def identity_in(octets: bytes) -> Identity:
    """Return whose signature this is, to be put into the manifest beside it; BadInput where it cannot be read."""
    try:
        blob = clickonce_blob.read(xml_canonical.read(octets, "The signature").root)
    except MalformedCode as error:
        raise BadInput(error.detail) from None
    return Identity(blob.certificates, "")


def judge(layout: ClickOnceLayout, element: Element, name: str) -> EmbeddedSignature:
    """Judge both signatures as one: the digest is the manifest's, the value that over the licence."""
    octets = layout.octets[element.start : clickonce_manifest.end_of(element, layout.octets)]
    try:
        blob = clickonce_blob.read(element)
        problems = tuple(_problems(layout, blob))
        bare = clickonce_blob.with_timestamp(blob, None)
    except BadInput as error:
        return EmbeddedSignature(
            format=name, blob=octets, index=0, nested=False, digest_algorithm="", digest=b"", signature_value=b"",
            signer=None, certificates=(), timestamp=None, problems=(Problem("malformed-signature", error.detail),),
        )  # fmt: skip
    return EmbeddedSignature(
        format=name,
        blob=octets,
        index=0,
        nested=False,
        digest_algorithm=blob.strong.algorithm,
        digest=blob.strong.digest,
        signature_value=blob.authenticode.value,
        signer=signer_of(blob),
        certificates=blob.certificates,
        timestamp=blob.timestamp,
        program_name=blob.description or None,
        program_url=blob.url or None,
        problems=problems,
        bare=bare,
    )


def signer_of(blob: Blob) -> bytes | None:
    """Return the certificate of the key that signed the licence, None where it is not carried."""
    for one in blob.certificates:
        try:
            if clickonce_manifest.rsa_numbers(certificates.outline(one).spki) == blob.authenticode.key:
                return one
        except BadInput:
            continue
    return None


def _problems(layout: ClickOnceLayout, blob: Blob) -> Iterator[Problem]:
    signer = signer_of(blob)
    if signer is None:
        yield Problem("no-signer-certificate", "The signature does not carry its signer's certificate.")
        return
    spki = certificates.outline(signer).spki
    if blob.strong.key != blob.authenticode.key:
        yield Problem("strong-name-key", "The manifest's two signatures are by different keys.")
    manifest = xml_canonical.canonical(layout.document, exclusive=True, without=[blob.element])
    licence = xml_canonical.canonical(blob.licence, exclusive=True, without=[blob.inner])
    for what, one, octets in (("manifest", blob.strong, manifest), ("licence", blob.authenticode, licence)):
        yield from _one(what, one, octets, spki)
    yield from _names(layout, blob, signer)


def _one(what: str, one: One, octets: bytes, spki: bytes) -> Iterator[Problem]:
    """Say what is wrong with one signature over these octets."""
    if one.algorithm != "sha256":
        stated = one.algorithm or "algorithms that are not known here"
        yield Problem("weak-digest", f"The signature over the {what} is by {stated}; SHA-256 was expected.")
        return
    if (found := hashlib.sha256(octets).digest()) != one.digest:
        text = f"The {what} has changed since it was signed: it hashes to {found.hex()}, and "
        yield Problem("digest-mismatch", f"{text}{one.digest.hex()} is signed.")
    signed = xml_canonical.canonical(one.signed_info, exclusive=True)
    try:
        certificates.verify(spki, ToBeSigned(signed, "sha256"), one.value)
    except VerificationFailed:
        yield Problem("signature-value", f"The signature over the {what} is not by the key of the certificate.")


def _names(layout: ClickOnceLayout, blob: Blob, signer: bytes) -> Iterator[Problem]:
    """Say where the manifest or the licence names another manifest or another signer."""
    if blob.hash.lower() != blob.strong.digest[::-1].hex():
        yield Problem("licence", "The licence is for a manifest with another hash.")
    identity = clickonce_manifest.identity_of(layout)
    if identity != blob.identity:
        yield Problem("licence", "The licence is for a manifest with another identity.")
    if identity.get("publicKeyToken", "").lower() != clickonce_manifest.public_key_token(
        certificates.outline(signer).spki
    ):
        yield Problem("public-key-token", "The manifest's strong name is not that of the key that signed it.")
    said = [blob.publisher, "" if layout.publisher is None else layout.publisher.get("name") or ""]
    if any(publisher_name.mismatch(one or "CN=", signer) is not None for one in said):
        text = f"The manifest names the publisher {said[1][:200]!r}, its licence {said[0][:200]!r}, "
        yield Problem(
            "publisher", f"{text}and the certificate is for {clickonce_manifest.publisher_of(signer)[:200]!r}."
        )
    issuer = "" if layout.publisher is None else layout.publisher.get("issuerKeyHash") or ""
    chain = (signer, *(one for one in blob.certificates if one != signer))
    if issuer.lower() != clickonce_manifest.issuer_key_hash(chain):
        yield Problem("publisher", "The manifest names another key than that of the certificate's issuer.")


def loose(layout: ClickOnceLayout, element: Element) -> Iterator[Problem]:
    """Say what of both signatures could be changed without one of them failing."""
    ours = [layout.publisher, element]
    behind = [one for one in layout.document.root.children if not isinstance(one, str) or one.strip()][-2:]
    if behind != ours:
        text = "The publisher and behind it the signature do not stand at the end of the manifest."
        yield Problem("signature-place", text)
    if layout.publisher is not None and (
        layout.publisher.children or {one.name for one in layout.publisher.attributes} != {"name", "issuerKeyHash"}
    ):
        yield Problem("publisher", f"The publisher ({ASM2}) has more in it than a name and its issuer's key.")
    try:
        blob = clickonce_blob.read(element)
        if not clickonce_blob.as_written(blob):
            yield Problem("not-canonical", "The signature is not as it would be written, so octets of it are loose.")
        signer = signer_of(blob)
        yield from authenticode_blob.unclaimed(blob.certificates, signer)
        if signer is not None and blob.certificates[0] != signer:
            yield Problem("certificate-order", "The signer's certificate does not stand before the others.")
    except BadInput as error:
        yield Problem("malformed-signature", error.detail)
