"""A ClickOnce manifest as a document: where its identity, its publisher and its signature stand, and how they change.

Before a manifest is signed it says by whom: ``publicKeyToken`` in its identity is the strong name of the signer's key,
``publisherIdentity`` the certificate's subject and the key of who issued it. So what is hashed depends on who signs.
Everything else in the file keeps its octets; a change is a splice.

Microsoft documents none of it. Source: ``mansign2.cs`` of dotnet/msbuild (MIT), which is what mage.exe and Visual
Studio do. The strong name's token: ECMA-335 II.6.3, the last eight octets of a SHA-1, reversed, here over the key as
StrongNameTokenFromPublicKey takes it. SHA-1 protects nothing in either value: both are names.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, NoReturn, cast

from cryptography.hazmat.primitives.asymmetric import rsa

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import publisher_name, xml_canonical
from privyseal.formats.protocol import Copy, Identity, Insert, Layout, PatchPlan, Source
from privyseal.formats.xml_canonical import Document, Element
from privyseal.pki import certificates, der
from privyseal.terms.signatures import Family

MAX_FILE: Final = 4 << 20
"""Octets of one manifest; one that names a thousand files has 500 KiB."""
MAX_ATTRIBUTES: Final = 16
"""Attributes of a manifest's identity; there are six, and declarations of namespaces."""
MAX_VALUE: Final = 1024
"""Characters of one of them; names are those of files."""
ASM1: Final = "urn:schemas-microsoft-com:asm.v1"
ASM2: Final = "urn:schemas-microsoft-com:asm.v2"
DSIG: Final = "http://www.w3.org/2000/09/xmldsig#"
NO_TOKEN: Final = "0" * 16
"""What an unsigned manifest has in the place of a strong name."""

_ATTRIBUTE = re.compile(rb"\s+([^\s=]+)\s*=\s*(\"[^\"]*\"|'[^']*')")
_TAG = re.compile(rb"<[^\s/>]+")
_NAME = re.compile(r"(?:xmlns:)?[A-Za-z_][A-Za-z0-9._-]{0,63}")
_PLAIN = re.compile(r"[^\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff]*")

_ESCAPES = (
    ("&", "&amp;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ('"', "&quot;"),
    ("\r", "&#xD;"),
    ("\n", "&#xA;"),
    ("\t", "&#x9;"),
)
_OURS = ("xmlns:as", "xmlns:r")
"""Prefixes that the licence uses, where the identity is written once more."""

Edit = tuple[int, int, bytes]
"""Octets from here to there, and what takes their place."""


class ClickOnceLayout(Layout, frozen=True, kw_only=True):
    """Where things are in one manifest."""

    kind: str
    """``deployment`` or ``application``."""
    octets: bytes
    document: Document
    identity: Element
    publisher: Element | None
    signature: Element | None

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return self.signature is not None


# -- reading -----------------------------------------------------------------------------------------------------------
def read(code: Source, name: str) -> ClickOnceLayout:
    """Read a manifest of the format ``name``; MalformedCode with one sentence that names what is wrong."""
    if code.size > MAX_FILE:
        refuse(code, f"it has {code.size} octets, and at most {MAX_FILE} are read")
    return of_octets(code, code.pread(0, code.size), name)


def of_octets(code: Source, octets: bytes, name: str) -> ClickOnceLayout:
    """Read a manifest from its octets, which are those of ``code`` or what will become of them."""
    if octets[:2] in (b"\xff\xfe", b"\xfe\xff"):
        refuse(code, "it is in UTF-16, and manifests are in UTF-8")
    document = xml_canonical.read(octets, code.filename)
    root = document.root
    if (root.namespace, root.name) != (ASM1, "assembly"):
        refuse(code, f"its root is {root.name[:40]!r}, and an assembly was expected")
    kind = "deployment" if root.called(ASM2, "deployment") else "application"
    if kind == "application" and not root.called(ASM2, "entryPoint"):
        refuse(code, "it states neither a deployment nor an entry point; is it the manifest of a program?")
    identities = root.called(ASM1, "assemblyIdentity")
    if len(identities) != 1:
        refuse(code, f"it has {len(identities)} identities, and 1 was expected")
    signatures, publishers = root.called(DSIG, "Signature"), root.called(ASM2, "publisherIdentity")
    if len(signatures) > 1 or len(publishers) > 1:
        refuse(code, f"it has {len(signatures)} signatures and {len(publishers)} publishers; at most 1 was expected")
    layout = ClickOnceLayout(
        format=name,
        size=len(octets),
        kind=kind,
        octets=octets,
        document=document,
        identity=identities[0],
        publisher=publishers[0] if publishers else None,
        signature=signatures[0] if signatures else None,
    )
    try:
        identity_of(layout)
    except BadInput as error:
        refuse(code, error.detail[:1].lower() + error.detail[1:].rstrip("."))
    return layout


def refuse(code: Source, why: str) -> NoReturn:
    """Raise the refusal of a manifest."""
    raise MalformedCode(f"{code.filename} is no ClickOnce manifest that can be signed: {why}.")


def identity_of(layout: ClickOnceLayout) -> dict[str, str]:
    """Return the identity's attributes, declarations of namespaces included, by the names they are written with."""
    element = layout.identity
    found = {f"xmlns:{prefix}" if prefix else "xmlns": value for prefix, value in element.declared.items()}
    found |= {f"{one.prefix}:{one.name}" if one.prefix else one.name: one.value for one in element.attributes}
    check_identity(found)
    return found


def check_identity(attributes: Mapping[str, str]) -> None:
    """Refuse with BadInput what is no identity of a manifest."""
    if len(attributes) > MAX_ATTRIBUTES or not {"name", "version"} <= set(attributes):
        raise BadInput(f"A manifest's identity has name, version and at most {MAX_ATTRIBUTES} attributes in all.")
    for name, value in attributes.items():
        if name in _OURS or _NAME.fullmatch(name) is None or len(value) > MAX_VALUE or _PLAIN.fullmatch(value) is None:
            raise BadInput(f"The identity of a manifest has an attribute that none has: {name[:64]!r}.")


def check_signer(attributes: Mapping[str, str], certificate: bytes) -> None:
    """Refuse with BadInput an identity that does not have the strong name of the certificate's key."""
    token = public_key_token(certificates.outline(certificate).spki)
    if attributes.get("publicKeyToken") != token:
        raise BadInput(f"The manifest's strong name is not {token}, that of the certificate's key.")


# -- who signs ---------------------------------------------------------------------------------------------------------
@lru_cache(maxsize=64)
def rsa_numbers(spki: bytes) -> tuple[bytes, bytes]:
    """Return modulus and exponent, big-endian; BadInput where the key is not RSA."""
    if certificates.family_of(spki) != Family.RSA:
        raise BadInput("ClickOnce knows signatures by RSA keys only.", hint="sign with an RSA key")
    numbers = cast(rsa.RSAPublicKey, certificates.public_key(spki)).public_numbers()
    return _octets(numbers.n), _octets(numbers.e)


def _octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def public_key_token(spki: bytes) -> str:
    """Return the strong name of an RSA key: eight octets of a hash, in lower-case hex."""
    modulus, exponent = rsa_numbers(spki)
    # PUBLICKEYSTRUC and RSAPUBKEY (wincrypt.h), in front of them the algorithms of a StrongName blob.
    blob = struct.pack("<BBHI4sII", 6, 2, 0, 0x2400, b"RSA1", 8 * len(modulus), int.from_bytes(exponent, "big"))
    blob += modulus[::-1]
    whole = struct.pack("<III", 0x2400, 0x8004, len(blob)) + blob
    return hashlib.sha1(whole, usedforsecurity=False).digest()[-8:][::-1].hex()


def issuer_key_hash(chain: Sequence[bytes]) -> str:
    """Return the SHA-1 of the issuer's public key (RFC 5280 4.2.1.2, method 1), in lower-case hex.

    Where the chain does not hold the issuer, its certificate's own word for it: its authority key identifier.
    """
    leaf = certificates.outline(chain[0])
    issuer = next((one for one in chain if certificates.outline(one).subject == leaf.issuer), None)
    if issuer is not None:
        return key_hash(certificates.outline(issuer).spki)
    identifier = certificates.authority_key_identifier(chain[0])
    if identifier is None or len(identifier) != hashlib.sha1(usedforsecurity=False).digest_size:
        raise BadInput(
            "A ClickOnce manifest states the key of the certificate's issuer, which is not known.",
            hint="give the issuer's certificate with the chain",
        )
    return identifier.hex()


def key_hash(spki: bytes) -> str:
    """Return the SHA-1 of a public key's octets without its algorithm, in lower-case hex."""
    bits = der.children(der.read(spki))[1].content[1:]
    return hashlib.sha1(bits, usedforsecurity=False).hexdigest()


def publisher_of(certificate: bytes) -> str:
    """Return the subject of a certificate as .NET writes it."""
    return publisher_name.of_certificate(certificate)


# -- changing ----------------------------------------------------------------------------------------------------------
def bare(layout: ClickOnceLayout) -> list[Edit]:
    """Return the edits that take signature, publisher and strong name out."""
    gone = [each for each in (layout.publisher, layout.signature) if each is not None]
    return [
        *((each.start, end_of(each, layout.octets), b"") for each in gone),
        token_edit(layout.identity, layout.octets, NO_TOKEN),
    ]


def dressed(layout: ClickOnceLayout, identity: Identity) -> list[Edit]:
    """Return the edits that make the manifest say who signs it, at its end, where its signature goes behind."""
    spki = certificates.outline(identity.chain[0]).spki
    gone = [each for each in (layout.publisher, layout.signature) if each is not None]
    attributes = {"name": publisher_of(identity.chain[0]), "issuerKeyHash": issuer_key_hash(identity.chain)}
    if layout.document.root.declared.get("") != ASM2:
        attributes["xmlns"] = ASM2
    said = "".join(f' {name}="{escaped(value)}"' for name, value in attributes.items())
    at = layout.document.root.close
    return [
        *((each.start, end_of(each, layout.octets), b"") for each in gone),
        token_edit(layout.identity, layout.octets, public_key_token(spki)),
        (at, at, f"<publisherIdentity{said} />".encode()),
    ]


def escaped(text: str) -> str:
    """Return a text as XML writes it, in an attribute or between tags."""
    for plain, written in _ESCAPES:
        text = text.replace(plain, written)
    return text


def end_of(element: Element, octets: bytes) -> int:
    """Return where an element ends in its document, which is in UTF-8."""
    if not element.children and octets[element.close - 2 : element.close] == b"/>":
        return element.close
    return octets.index(b">", element.close) + 1


def end_of_tag(element: Element, octets: bytes) -> int:
    """Return where the first tag of an element ends; a ``>`` in an attribute is not taken for its end."""
    at = element.start
    for found in _attributes(octets, at):
        at = found.end()
    return octets.index(b">", at) + 1


def attribute_of(element: Element, octets: bytes, name: str) -> tuple[int, int] | None:
    """Return where the value of an attribute stands, its quotes included; None where the element has none."""
    for found in _attributes(octets, element.start):
        if found[1] == name.encode():
            return found.span(2)
    return None


def _attributes(octets: bytes, start: int) -> Iterator[re.Match[bytes]]:
    at = _name_end(octets, start)
    while (found := _ATTRIBUTE.match(octets, at)) is not None:
        yield found
        at = found.end()


def _name_end(octets: bytes, start: int) -> int:
    tag = _TAG.match(octets, start)
    return start if tag is None else tag.end()


def token_edit(identity: Element, octets: bytes, token: str) -> Edit:
    """Return the edit that gives an identity this strong name."""
    place = attribute_of(identity, octets, "publicKeyToken")
    if place is not None:
        return (*place, f'"{token}"'.encode())
    at = _name_end(octets, identity.start)
    return at, at, f' publicKeyToken="{token}"'.encode()


def plan(layout: ClickOnceLayout, edits: Sequence[Edit]) -> PatchPlan:
    """Return the plan of the file with these edits, which do not overlap; of two at one place the first comes first."""
    steps: list[Copy | Insert] = []
    at = 0
    for start, end, octets in sorted(edits, key=lambda each: each[:2]):
        steps += [Copy(at, start - at)] * (start > at) + [Insert(octets)] * bool(octets)
        at = end
    steps += [Copy(at, layout.size - at)] * (layout.size > at)
    return PatchPlan(tuple(steps))


def changed(layout: ClickOnceLayout, edits: Sequence[Edit]) -> bytes:
    """Return what :func:`plan` would write."""
    return b"".join(
        step.octets if isinstance(step, Insert) else layout.octets[step.offset : step.offset + step.count]
        for step in plan(layout, edits).steps
    )
