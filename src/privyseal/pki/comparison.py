"""Two certificates of one publisher, the old and the new one: what is different, in words, and who compares it.

Names are compared attribute by attribute as they stand, for the products that compare them do so, character by
character. Nothing is concluded from what is alike.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

from cryptography import x509
from msgspec import Struct

from privyseal.errors import BadInput
from privyseal.pki import bundle, certificates, der, key_facts, names
from privyseal.pki.chain import issued_by
from privyseal.pki.names import Attribute
from privyseal.pki.pinning import Part, Pinned, comparing
from privyseal.terms.certificates import Certificate

EV_POLICY = "2.23.140.1.3"
"""Of an EV Code Signing Certificate (CSBR 7.1.6.1)."""
LONGEST_VALUE = 200
"""Characters of a value that a sentence repeats."""
_PARTS: dict[str, Part] = {
    names.COMMON_NAME: "common-name",
    names.ORGANIZATION: "organization",
    names.ORGANIZATIONAL_UNIT: "unit",
}
_CALLED = {"organizationName": "organisation name", "commonName": "common name"}


class Difference(Struct, frozen=True, kw_only=True):
    """One thing that is not the same."""

    part: Part
    text: str
    """A sentence."""
    products: tuple[str, ...]
    """Which of the products that we have notes on compare it."""


class Comparison(Struct, frozen=True, kw_only=True):
    """What became different from one certificate to the next."""

    old: Certificate
    new: Certificate
    differences: tuple[Difference, ...]
    """The gravest first: subject, key, issuer, then what every renewal changes."""
    notes: tuple[Pinned, ...]
    """On each product that compares something that is different."""
    overlap_days: int
    """Whole days on which both are in force; negative for a gap between them."""

    @property
    def same_publisher(self) -> bool:
        """Tell whether subject, key and issuer are all the same, so that only the certificate itself is another."""
        return all(each.part == "certificate" for each in self.differences)


def compare(old: bytes, new: bytes) -> Comparison:
    """Compare two certificates, DER; BadInput where one cannot be read."""
    before, after = certificates.read(old), certificates.read(new)
    first, second = certificates.outline(old), certificates.outline(new)
    found = [
        *_names("subject", _name(first.subject), _name(second.subject)),
        *_key(first.spki, second.spki),
        *_names("issuer", _name(first.issuer), _name(second.issuer)),
        *_ev(old, new),
    ]
    if before.fingerprint != after.fingerprint:
        text = f"It is another certificate, with the serial number {after.serial} instead of {before.serial}."
        found.append(_difference("certificate", text))
    days = (min(before.not_after, after.not_after) - max(before.not_before, after.not_before)).days
    return Comparison(
        old=before,
        new=after,
        differences=tuple(found),
        notes=comparing(frozenset(each.part for each in found)),
        overlap_days=days,
    )


def own(octets: bytes) -> bytes:
    """Return the certificate that a file is about, DER: the one in it by which none of the others was issued.

    BadInput where there is none, or more than one.
    """
    found = bundle.read(octets)
    if len(found) > 1:
        found = [each for each in found if not any(other != each and issued_by(other, each) for other in found)]
    if len(found) != 1:
        raise BadInput(
            f"The file holds {len(found)} certificates that issued none of the others; one was expected.",
            hint="give the publisher's certificate, alone or with its chain",
        )
    return found[0]


def _difference(part: Part, text: str) -> Difference:
    products = tuple(each.product for each in comparing(frozenset({part})))
    return Difference(part=part, text=text, products=products)


def _name(octets: bytes) -> tuple[Attribute, ...]:
    return names.read_name(der.read(octets, certificates.MAX_CERTIFICATE_OCTETS))


# -- names -------------------------------------------------------------------------------------------------------------
def _names(whose: Part, old: Sequence[Attribute], new: Sequence[Attribute]) -> list[Difference]:
    if tuple(old) == tuple(new):
        return []
    found: list[tuple[str, str]] = []
    for kind in dict.fromkeys(each.type for each in (*old, *new)):
        was = [each.value for each in old if each.type == kind]
        becomes = [each.value for each in new if each.type == kind]
        what = _what(whose, kind)
        for before, after in zip_longest(was, becomes):
            text = _value(what, before, after)
            if text:
                found.append((kind, text))
    if not found:
        return [_difference(whose, f"The {whose} has the same attributes in another order.")]
    if whose == "issuer":
        return [_difference("issuer", text) for _, text in found]
    return [_of_subject(kind, text) for kind, text in found]


def _of_subject(kind: str, text: str) -> Difference:
    """Return a difference in one attribute of a subject: who compares the whole subject compares it as well."""
    part = _PARTS.get(kind, "subject")
    both = comparing(frozenset({part, "subject"}))
    return Difference(part=part, text=text, products=tuple(each.product for each in both))


def _what(whose: Part, kind: str) -> str:
    word = Attribute(kind, "").word
    called = _CALLED.get(word, word)
    return f"The issuer's {called}" if whose == "issuer" else f"The {called}"


def _value(what: str, old: str | None, new: str | None) -> str:
    """Say how one value became another; empty where it is the same."""
    if old == new:
        return ""
    if old is None:
        return f"{what} {_shown(new or '')} is new."
    if new is None:
        return f"{what} {_shown(old)} is gone."
    return f"{what} {_how(old, new)}: {_shown(old)} becomes {_shown(new)}."


def _how(old: str, new: str) -> str:
    """Say in what two different texts differ, as far as that can be said in short."""
    if unicodedata.normalize("NFC", old) == unicodedata.normalize("NFC", new):
        return "looks the same and is encoded in other characters"
    if old.casefold() == new.casefold():
        return "differs in capital letters"
    if "".join(old.split()) == "".join(new.split()):
        return "differs in its spaces"
    for sign, word in ((".", "full stop"), (",", "comma")):
        if old.replace(sign, "") == new.replace(sign, ""):
            fewer = new.count(sign) < old.count(sign)
            number = abs(new.count(sign) - old.count(sign))
            if number:
                several = f"{number} {word}s" if number > 1 else f"{'its' if fewer else 'a'} {word}"
                return f"{'loses' if fewer else 'gains'} {several}"
    if old.replace(".", "").replace(",", "") == new.replace(".", "").replace(",", ""):
        return "differs in full stops and commas"
    return "changes"


def _shown(value: str) -> str:
    short = value if len(value) <= LONGEST_VALUE else value[:LONGEST_VALUE] + "…"
    return '"' + "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in short) + '"'


# -- the rest ----------------------------------------------------------------------------------------------------------
def _key(old: bytes, new: bytes) -> list[Difference]:
    if old == new:
        return []
    kinds = [str(key_facts.read_key(der.read(each, certificates.MAX_KEY_OCTETS))) for each in (old, new)]
    of = f", {kinds[1]} instead of {kinds[0]}" if kinds[0] != kinds[1] else ""
    return [_difference("key", f"It is for another key{of}.")]


def _ev(old: bytes, new: bytes) -> list[Difference]:
    was, becomes = _is_ev(old), _is_ev(new)
    if was == becomes:
        return []
    return [_difference("ev", "It is an EV certificate now." if becomes else "It is no EV certificate any more.")]


def _is_ev(certificate: bytes) -> bool:
    try:
        policies = certificates.load(certificate).extensions.get_extension_for_class(x509.CertificatePolicies).value
    except x509.ExtensionNotFound:
        return False
    except certificates.unreadable():
        return False
    return any(each.policy_identifier.dotted_string == EV_POLICY for each in policies)
