"""The signature in a ClickOnce manifest: two XML signatures by one key, the second inside the first.

The outer one, *StrongNameSignature*, is over the manifest. In its key information stands a licence, which says what the
manifest hashes to, what it identifies and who publishes it; the inner one, *AuthenticodeSignature*, is over the
licence, carries the certificates, and beside them the timestamp. Neither covers the other's value, and both follow
from the manifest's digest and identity: so one description is enough for both.

mage.exe writes algorithms under names of Microsoft's that are in no standard, and Windows reads those; there are some
for SHA-256 only.

Source: ``mansign2.cs`` of dotnet/msbuild (MIT); W3C, "XML Signature Syntax and Processing".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import xml_canonical
from privyseal.formats.clickonce_manifest import DSIG, check_identity, escaped, publisher_of, rsa_numbers
from privyseal.formats.protocol import Identity
from privyseal.formats.xml_canonical import Element
from privyseal.pki import certificates
from privyseal.terms.signatures import DigestAlgorithm, Options, Signature, ToBeSigned

MAX_CHAIN: Final = 16
"""Certificates put into one signature; the longest code signing chains have 4."""
EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED: Final = f"{DSIG}enveloped-signature"
MSREL: Final = "http://schemas.microsoft.com/windows/rel/2005/reldata"
LICENCE: Final = "urn:mpeg:mpeg21:2003:01-REL-R-NS"
AUTHENTICODE: Final = "http://schemas.microsoft.com/windows/pki/2005/Authenticode"
SIGNATURE_METHODS: Final[Mapping[str, str]] = {
    f"{DSIG}rsa-sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256": "sha256",
    f"{DSIG}rsa-sha1": "sha1",
}
DIGEST_METHODS: Final[Mapping[str, str]] = {
    f"{DSIG}sha256": "sha256",
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    f"{DSIG}sha1": "sha1",
}
"""The names of algorithms that are read; the first of each is the one that is written."""

_METHOD, _DIGEST = next(iter(SIGNATURE_METHODS)), next(iter(DIGEST_METHODS))
_ALGORITHM: DigestAlgorithm = "sha256"


class One(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two signatures."""

    signed_info: Element
    algorithm: str
    """What the signature's and the digest's method agree on; empty where they do not."""
    methods: tuple[str, str]
    digest: bytes
    value: bytes
    key: tuple[bytes, bytes]
    """Modulus and exponent."""
    written: Mapping[str, str]
    """The base64 in it as it is broken into lines, by what it is of."""


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """Both signatures and the licence, cut into their parts."""

    element: Element
    strong: One
    licence: Element
    inner: Element
    authenticode: One
    certificates: tuple[bytes, ...]
    certificate_texts: tuple[str, ...]
    timestamp: bytes | None
    timestamp_text: str
    hash: str
    description: str
    url: str
    identity: Mapping[str, str]
    publisher: str


# -- making ------------------------------------------------------------------------------------------------------------
class Content(msgspec.Struct, frozen=True):
    """What both signatures say."""

    digest: bytes
    """Of the manifest."""
    identity: Mapping[str, str]
    """The attributes of its identity."""
    description: str
    url: str
    publisher: str
    """The subject of the signer's certificate as Windows writes it."""


def content(digest: bytes, identity: Mapping[str, str], options: Options, chain: Sequence[bytes]) -> Content:
    """Return what is to be signed; BadInput where the certificates are too many or none."""
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise BadInput(f"A signature carries from 1 to {MAX_CHAIN} certificates; {len(chain)} were given.")
    check_identity(identity)
    publisher = publisher_of(chain[0])
    return Content(digest, identity, options.program_name or "", options.program_url or "", publisher)


def to_be_signed(what: Content, identity: Identity) -> tuple[ToBeSigned, ToBeSigned]:
    """Return the octets a key signs, outer signature first; BadInput where the identity is no RSA key's."""
    spki = certificates.outline(identity.chain[0]).spki
    actual = certificates.scheme_of(spki)
    if actual.name != identity.scheme:
        raise BadInput(
            f"The signer's certificate is for a key of scheme {actual.name}, and {identity.scheme} was named."
        )
    rsa_numbers(spki)
    licence = hashlib.sha256(_canonical(_licence(what, ""))).digest()
    # One token is enough: Windows looks for it beside the certificates.
    return (
        ToBeSigned(_signed_info(what.digest, f' xmlns="{DSIG}"').encode(), _ALGORITHM, stamped=False),
        ToBeSigned(_signed_info(licence, f' xmlns="{DSIG}"').encode(), _ALGORITHM),
    )


def finish(what: Content, identity: Identity, signed: Sequence[Signature], token: bytes | None) -> bytes:
    """Return the signature as it goes into the manifest; BadInput where others than these octets were signed."""
    if tuple(one.to_be_signed for one in signed) != to_be_signed(what, identity):
        raise BadInput("The signatures are over other octets than this description and identity make.")
    licence = hashlib.sha256(_canonical(_licence(what, ""))).digest()
    key = _key_value(*map(_encoded, rsa_numbers(certificates.outline(identity.chain[0]).spki)))
    stamp = None if token is None else _encoded(token)
    chain = map(_encoded, identity.chain)
    inner = _authenticode(_signed_info(licence), _encoded(signed[1].value), key, chain, stamp)
    return _strong(_signed_info(what.digest), _encoded(signed[0].value), key, _licence(what, inner)).encode()


def _signed_info(digest: bytes, more: str = "", methods: tuple[str, str] = (_METHOD, _DIGEST)) -> str:
    transforms = "".join(_tag("Transform", {"Algorithm": one}) for one in (ENVELOPED, EXCLUSIVE))
    reference = _tag("Transforms", {}, transforms) + _tag("DigestMethod", {"Algorithm": methods[1]})
    reference += _tag("DigestValue", {}, _encoded(digest))
    inside = _tag("CanonicalizationMethod", {"Algorithm": EXCLUSIVE}) + _tag(
        "SignatureMethod", {"Algorithm": methods[0]}
    )
    return f"<SignedInfo{more}>{inside}{_tag('Reference', {'URI': ''}, reference)}</SignedInfo>"


def _licence(what: Content, signature: str) -> str:
    stated = {"Hash": what.digest[::-1].hex(), "Description": what.description, "Url": what.url}
    about = _tag("as:ManifestInformation", stated, _tag("as:assemblyIdentity", dict(sorted(what.identity.items()))))
    name = _tag("as:X509SubjectName", {}, escaped(what.publisher))
    grant = about + _tag("as:SignedBy", {}) + _tag("as:AuthenticodePublisher", {}, name)
    inside = _tag("r:grant", {}, grant) + _tag("r:issuer", {}, signature)
    return _tag("r:license", {"xmlns:r": LICENCE, "xmlns:as": AUTHENTICODE}, inside)


def _authenticode(signed_info: str, value: str, key: str, chain: Iterable[str], token: str | None) -> str:
    held = _tag("X509Data", {}, "".join(_tag("X509Certificate", {}, one) for one in chain))
    inside = signed_info + _tag("SignatureValue", {}, value) + _tag("KeyInfo", {}, key + held)
    inside += "" if token is None else _tag("Object", {}, _tag("as:Timestamp", {}, token))
    return _tag("Signature", {"Id": "AuthenticodeSignature", "xmlns": DSIG}, inside)


def _strong(signed_info: str, value: str, key: str, licence: str) -> str:
    held = _tag("KeyInfo", {"Id": "StrongNameKeyInfo"}, key + _tag("msrel:RelData", {"xmlns:msrel": MSREL}, licence))
    inside = signed_info + _tag("SignatureValue", {}, value) + held
    return _tag("Signature", {"Id": "StrongNameSignature", "xmlns": DSIG}, inside)


def _key_value(modulus: str, exponent: str) -> str:
    inside = _tag("Modulus", {}, modulus) + _tag("Exponent", {}, exponent)
    return _tag("KeyValue", {}, _tag("RSAKeyValue", {}, inside))


def _tag(name: str, attributes: Mapping[str, str], inside: str = "") -> str:
    """Return an element as the canonical form writes it, but for the order of what it declares."""
    stated = "".join(f' {key}="{escaped(value)}"' for key, value in attributes.items())
    return f"<{name}{stated}>{inside}</{name}>"


def _encoded(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _canonical(text: str) -> bytes:
    try:
        root = xml_canonical.read(text.encode(), "The signature").root
    except (MalformedCode, UnicodeEncodeError) as error:
        why = error.detail if isinstance(error, MalformedCode) else "It has half a character."
        raise BadInput(f"What is to be signed cannot be written as XML: {why}") from None
    return xml_canonical.canonical(root, exclusive=True, comments=True)


# -- reading -----------------------------------------------------------------------------------------------------------
def read(element: Element) -> Blob:
    """Cut the signature of a manifest into its parts; BadInput where it is none of mage's shape."""
    key_info = _only(element, DSIG, "KeyInfo")
    licences = [one for held in key_info.called(MSREL, "RelData") for one in held.called(LICENCE, "license")]
    if len(licences) != 1:
        raise BadInput(f"The signature holds {len(licences)} licences and so {len(licences)} certificates of a signer.")
    grant, issuer = _only(licences[0], LICENCE, "grant"), _only(licences[0], LICENCE, "issuer")
    inner = _only(issuer, DSIG, "Signature")
    about = _only(grant, AUTHENTICODE, "ManifestInformation")
    identity = _only(about, AUTHENTICODE, "assemblyIdentity")
    publisher = _only(_only(grant, AUTHENTICODE, "AuthenticodePublisher"), AUTHENTICODE, "X509SubjectName")
    texts = [one.text for one in _only(_only(inner, DSIG, "KeyInfo"), DSIG, "X509Data").called(DSIG, "X509Certificate")]
    if not 1 <= len(texts) <= 2 * MAX_CHAIN:
        raise BadInput(f"The signature carries {len(texts)} certificates; from 1 to {2 * MAX_CHAIN} are read.")
    stamps = [stamp for held in inner.called(DSIG, "Object") for stamp in held.called(AUTHENTICODE, "Timestamp")]
    if len(stamps) > 1:
        raise BadInput(f"The signature carries {len(stamps)} timestamps; at most one was expected.")
    attributes = {f"xmlns:{prefix}" if prefix else "xmlns": one for prefix, one in identity.declared.items()}
    attributes |= {one.name: one.value for one in identity.attributes if not one.prefix}
    return Blob(
        element=element,
        strong=_signature(element),
        licence=licences[0],
        inner=inner,
        authenticode=_signature(inner),
        certificates=tuple(map(_decoded, texts)),
        certificate_texts=tuple(texts),
        timestamp=_decoded(stamps[0].text) if stamps else None,
        timestamp_text=stamps[0].text if stamps else "",
        hash=about.get("Hash") or "",
        description=about.get("Description") or "",
        url=about.get("Url") or "",
        identity=attributes,
        publisher=publisher.text,
    )


def _signature(element: Element) -> One:
    info = _only(element, DSIG, "SignedInfo")
    reference = _only(info, DSIG, "Reference")
    transforms = tuple(one.get("Algorithm") for one in _only(reference, DSIG, "Transforms").called(DSIG, "Transform"))
    how = _only(info, DSIG, "CanonicalizationMethod").get("Algorithm")
    if reference.get("URI") != "" or transforms != (ENVELOPED, EXCLUSIVE) or how != EXCLUSIVE:
        raise BadInput("The signature is over something else than the whole document without it, in exclusive form.")
    methods = (
        _only(info, DSIG, "SignatureMethod").get("Algorithm") or "",
        _only(reference, DSIG, "DigestMethod").get("Algorithm") or "",
    )
    algorithm = SIGNATURE_METHODS.get(methods[0], "")
    key = _only(_only(_only(element, DSIG, "KeyInfo"), DSIG, "KeyValue"), DSIG, "RSAKeyValue")
    written = {
        "value": _only(element, DSIG, "SignatureValue").text,
        "modulus": _only(key, DSIG, "Modulus").text,
        "exponent": _only(key, DSIG, "Exponent").text,
    }
    return One(
        signed_info=info,
        algorithm=algorithm if DIGEST_METHODS.get(methods[1]) == algorithm else "",
        methods=methods,
        digest=_decoded(_only(reference, DSIG, "DigestValue").text),
        value=_decoded(written["value"]),
        key=(_decoded(written["modulus"]), _decoded(written["exponent"])),
        written=written,
    )


def _only(element: Element, namespace: str, name: str) -> Element:
    found = element.called(namespace, name)
    if len(found) != 1:
        raise BadInput(
            f"The signature has {len(found)} elements {name} where 1 was expected, in {element.name[:40]!r}."
        )
    return found[0]


def _decoded(text: str) -> bytes:
    """Return what a text of base64 holds, however it is broken into lines; blanks are not taken."""
    plain = text.replace("\r", "").replace("\n", "")
    try:
        octets = base64.b64decode(plain.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise BadInput("The signature has something that is no base64 where some was expected.") from None
    if _encoded(octets) != plain:
        raise BadInput("The signature has base64 that could be written otherwise.")
    return octets


# -- anew --------------------------------------------------------------------------------------------------------------
def with_timestamp(blob: Blob, token: bytes | None) -> bytes:
    """Return the signature built anew from its parts, with this timestamp or without one."""
    return _rebuilt(blob, None if token is None else _encoded(token))


def _rebuilt(blob: Blob, stamp: str | None) -> bytes:
    strong, inside = blob.strong, blob.authenticode
    what = Content(b"", blob.identity, blob.description, blob.url, blob.publisher)
    inner = _authenticode(
        _signed_info(inside.digest, methods=inside.methods),
        inside.written["value"],
        _key_value(inside.written["modulus"], inside.written["exponent"]),
        blob.certificate_texts,
        stamp,
    )
    licence = _licence(what, inner).replace(' Hash=""', f' Hash="{escaped(blob.hash)}"', 1)
    return _strong(
        _signed_info(strong.digest, methods=strong.methods),
        strong.written["value"],
        _key_value(strong.written["modulus"], strong.written["exponent"]),
        licence,
    ).encode()


def as_written(blob: Blob) -> bool:
    """Tell whether the signature is what would be built of its parts, in canonical form, comments included."""
    try:
        anew = _canonical(_rebuilt(blob, blob.timestamp_text or None).decode())
    except BadInput:
        return False
    return anew == xml_canonical.canonical(blob.element, exclusive=True, comments=True)
