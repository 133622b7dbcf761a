"""Chains: whom a certificate leads to at a moment, and what standing its anchor gives it. Nothing here asks a network.

Paths are found here, under a limit on signature checks; RFC 5280's rules for one path, names, policies, lengths, CRLs,
are judged by pyhanko-certvalidator. It is always told that revocation information is required (``require``), because
with its modes ``soft-fail`` and ``hard-fail`` a certificate that names no CRL counts as good with the CRL that revokes
it in hand.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, Self

import msgspec
from cryptography.exceptions import InvalidSignature

from privyseal.errors import BadInput
from privyseal.pki import certificates, loaders
from privyseal.pki.loaders import Encoding, ExtendedKeyUsageOID, ObjectIdentifier
from privyseal.terms.certificates import Certificate, Standing

Purpose = Literal["code-signing", "timestamping"]
"""What a chain is judged for, by the extended key usage of its leaf."""

MAX_DEPTH = 8
"""Certificates between leaf and anchor; public code signing has 1 to 3, OpenSSL stops at 100."""
MAX_CHECKS = 100
"""Signatures checked while looking for paths: Go's maxChainSignatureChecks, against bags made to explode."""
MAX_PATHS = 8
"""Paths judged before the first one's faults are told."""
MAX_OTHERS = 64
"""Certificates beside the leaf among which issuers are looked for; as in one CMS signature (``cms``)."""
MAX_CRL_OCTETS = 64 << 20
"""Octets of one CRL; the largest of a public code signing CA has about 10 MiB."""

_PURPOSES: dict[Purpose, ObjectIdentifier] = {
    "code-signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
}
_TICK = timedelta(microseconds=1)


class Anchors(msgspec.Struct, frozen=True):
    """Certificates that are trusted because the operator or verifier says so; they need not sign themselves."""

    certificates: tuple[bytes, ...]

    @classmethod
    def from_pem(cls, text: bytes) -> Self:
        """Read a PEM file of one or more certificates; BadInput if there is none."""
        return cls(tuple(dict.fromkeys(certificates.pem_certificates(text))))


class PinnedAnchor(msgspec.Struct, frozen=True):
    """An anchor, DER, that the operator pinned by its key, and what it makes of the certificates under it."""

    certificate: bytes
    standing: Standing


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a chain: a stable slug and a sentence."""

    code: Literal[
        "no-path",
        "expired",
        "not-yet-valid",
        "revoked",
        "revocation-unknown",
        "revocation-stale",
        "wrong-purpose",
        "weak-algorithm",
        "unfit-chain",
    ]
    text: str


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a chain at one moment; ``path`` runs from leaf to anchor and is empty if none was found."""

    verdict: Literal["valid", "untrusted", "invalid", "indeterminate"]
    path: tuple[Certificate, ...] = ()
    problems: tuple[Problem, ...] = ()
    revocation: Literal["good", "revoked", "not-checked"] = "not-checked"


def read_crls(octets: bytes) -> list[bytes]:
    """Return the DER of every CRL in a file, PEM or one DER; BadInput if there is none or one is broken."""
    pieces = octets.split(b"-----BEGIN X509 CRL-----")[1:]
    try:
        if not pieces:
            return [loaders.load_der_x509_crl(octets).public_bytes(Encoding.DER)]
        loaded = [loaders.load_pem_x509_crl(b"-----BEGIN X509 CRL-----" + piece) for piece in pieces]
        return [one.public_bytes(Encoding.DER) for one in loaded]
    except certificates.unreadable() as error:
        raise BadInput(f"A CRL cannot be read: {error}.", hint="expected PEM or DER") from None


# -- standing ----------------------------------------------------------------------------------------------------------
def standing(chain: Sequence[bytes], anchors: Sequence[PinnedAnchor]) -> Standing:
    """Return what the pinned anchors make of a certificate: ``chain`` is DER, leaf first, each followed by its issuer.

    The last one, or its issuer, must have the key of a pinned anchor, and every signature on the way must hold;
    anything else, a broken chain too, counts as public (design/contract: unknown anchors do). Dates do not matter here.
    """
    try:
        if not chain or len(chain) > MAX_DEPTH or not all(map(issued_by, chain, chain[1:])):
            return "public"
        last = certificates.outline(chain[-1])
        for anchor in anchors:
            if certificates.outline(anchor.certificate).spki == last.spki or issued_by(chain[-1], anchor.certificate):
                return anchor.standing
    except BadInput:
        return "public"
    return "public"


@lru_cache(maxsize=128)
def issued_by(child: bytes, issuer: bytes) -> bool:
    """Tell whether one certificate was issued by another, which must be a CA: names, flags, signature."""
    from cryptography import x509  # see loaders.py

    try:
        parent = certificates.load(issuer)
        certificates.load(child).verify_directly_issued_by(parent)
        if not parent.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        usage = parent.extensions.get_extension_for_class(x509.KeyUsage).value
        return usage.key_cert_sign
    except x509.ExtensionNotFound as missing:
        # Without basicConstraints it is no CA; without keyUsage it may sign certificates (RFC 5280 4.2.1.3).
        return missing.oid == x509.KeyUsage.oid
    except (BadInput, InvalidSignature):
        return False
    except certificates.unreadable():
        return False


# -- judgement ---------------------------------------------------------------------------------------------------------
def judge(
    leaf: bytes,
    others: Sequence[bytes],
    anchors: Anchors,
    crls: Sequence[bytes],
    at: datetime,
    purpose: Purpose,
) -> Judgement:
    """Judge a certificate at a moment, which may be long past: a timestamp's, if there is one.

    ``others``: certificates that came along, in any order. ``crls``: DER; if there are any, every certificate below the
    anchor must be covered by one that was not stale at ``at``, else the verdict is ``indeterminate``; CRLs issued later
    than ``at`` count, and an entry counts from its revocation date on. With none given, revocation is ``not-checked``.
    ``untrusted``: no path to an anchor. BadInput if the leaf or a CRL cannot be read.
    """
    certificates.read(leaf)
    bag = [one for one in dict.fromkeys(others) if one != leaf][:MAX_OTHERS]
    found: list[Judgement] = []
    for path in _paths(leaf, bag, anchors):
        outcome = _judge_path(path, crls, at, purpose)
        if outcome.verdict == "valid":
            return outcome
        found.append(outcome)
        if len(found) == MAX_PATHS:
            break
    if found:
        # A path on which a certificate is revoked says more than one on which something is missing.
        return next((one for one in found if one.revocation == "revoked"), found[0])
    text = "No path leads from the certificate to a trusted anchor."
    return Judgement(verdict="untrusted", problems=(Problem("no-path", text),))


def _paths(leaf: bytes, bag: Sequence[bytes], anchors: Anchors) -> Iterator[tuple[bytes, ...]]:
    """Find paths from leaf to anchor, shortest first, checking at most ``MAX_CHECKS`` signatures."""
    if leaf in anchors.certificates:
        yield (leaf,)
    checks = MAX_CHECKS
    by_subject = _by_subject([*anchors.certificates, *bag])
    waiting: list[tuple[bytes, ...]] = [(leaf,)]
    while waiting:
        path = waiting.pop(0)
        for candidate in by_subject.get(certificates.outline(path[-1]).issuer, ()):
            if candidate in path or len(path) > MAX_DEPTH:
                continue
            checks -= 1
            if checks < 0:
                return
            if not issued_by(path[-1], candidate):
                continue
            if candidate in anchors.certificates:
                yield (*path, candidate)
            else:
                waiting.append((*path, candidate))


def _by_subject(bag: Sequence[bytes]) -> Mapping[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for one in bag:
        try:
            found.setdefault(certificates.outline(one).subject, []).append(one)
        except BadInput:
            continue  # what came along may hold anything
    return found


def _judge_path(path: tuple[bytes, ...], crls: Sequence[bytes], at: datetime, purpose: Purpose) -> Judgement:
    facts = tuple(certificates.read(one) for one in path)
    problems = _date_problems(facts[:-1] or facts, at) + _purpose_problems(path, purpose)
    revocation: Literal["good", "revoked", "not-checked"] = "not-checked"
    if len(path) > 1:
        judged = _validate(path, _relevant(crls, path), at, required=bool(crls))
        if judged is None:
            revocation = "good" if crls else "not-checked"
        else:
            if judged.code == "revoked":
                revocation = "revoked"
            if judged.code not in {problem.code for problem in problems}:
                problems.append(judged)
    if not problems:
        return Judgement(verdict="valid", path=facts, revocation=revocation)
    open_questions = {"revocation-unknown", "revocation-stale"}
    only_open = all(problem.code in open_questions for problem in problems)
    verdict: Literal["invalid", "indeterminate"] = "indeterminate" if only_open else "invalid"
    return Judgement(verdict=verdict, path=facts, problems=tuple(problems), revocation=revocation)


def _date_problems(path: Sequence[Certificate], at: datetime) -> list[Problem]:
    found = []
    for one in path:
        if at > one.not_after:
            text = f"The certificate of {one.subject} expired on {one.not_after.isoformat()}."
            found.append(Problem("expired", text))
        if at < one.not_before:
            text = f"The certificate of {one.subject} was not valid before {one.not_before.isoformat()}."
            found.append(Problem("not-yet-valid", text))
    return found


def _purpose_problems(path: tuple[bytes, ...], purpose: Purpose) -> list[Problem]:
    """Check purposes from the leaf up (CSBR 7.1.2.3; 7.1.2.2 for CAs, where a purpose limits what is below)."""
    wanted = _PURPOSES[purpose]
    found = []
    for depth, one in enumerate(path):
        loaded = certificates.load(one)
        text = _unfit(loaded, wanted) if depth == 0 else _unfit_issuer(loaded, wanted)
        if text is not None:
            name = loaded.subject.rfc4514_string()
            found.append(Problem("wrong-purpose", f"The certificate of {name} {text}; {purpose} was expected."))
    return found


def _unfit(leaf: loaders.Certificate, wanted: ObjectIdentifier) -> str | None:
    from cryptography import x509  # see loaders.py

    try:
        extensions = leaf.extensions
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return "states no purpose"
    except certificates.unreadable():
        return "cannot be read"
    if wanted not in purposes.value:
        return "is for other purposes"
    if wanted == ExtendedKeyUsageOID.TIME_STAMPING and (not purposes.critical or len(list(purposes.value)) != 1):
        return "is not for timestamps alone (RFC 3161 2.3)"
    for extension in extensions:
        if isinstance(extension.value, x509.KeyUsage) and not extension.value.digital_signature:
            return "may not make digital signatures"
        if isinstance(extension.value, x509.UnrecognizedExtension) and extension.critical:
            return f"carries the unknown critical extension {extension.oid.dotted_string}"
    return None


def _unfit_issuer(issuer: loaders.Certificate, wanted: ObjectIdentifier) -> str | None:
    from cryptography import x509  # see loaders.py

    try:
        purposes = issuer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    except certificates.unreadable():
        return "cannot be read"
    if wanted in purposes or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in purposes:
        return None
    return "issues for other purposes"


def _relevant(crls: Sequence[bytes], path: tuple[bytes, ...]) -> list[bytes]:
    """Return the CRLs whose issuer is on the path: certvalidator reads every entry of what it is given."""
    issuers = {certificates.outline(one).subject for one in path[1:]}
    return [one for one in dict.fromkeys(crls) if _crl_issuer(one) in issuers]


@lru_cache(maxsize=8)
def _crl_issuer(crl: bytes) -> bytes:
    if len(crl) > MAX_CRL_OCTETS:
        raise BadInput(f"A CRL has {len(crl)} octets; at most {MAX_CRL_OCTETS} are read.")
    try:
        return loaders.load_der_x509_crl(crl).issuer.public_bytes()
    except certificates.unreadable() as error:
        raise BadInput(f"A CRL cannot be read: {error}.") from None


def _validate(path: tuple[bytes, ...], crls: list[bytes], at: datetime, *, required: bool) -> Problem | None:
    """Have certvalidator apply RFC 5280 6.1 and, if ``required``, 6.3 to one path; None if it holds."""
    from asn1crypto import crl as asn1_crl
    from asn1crypto import x509 as asn1_x509
    from pyhanko_certvalidator.authority import CertTrustAnchor
    from pyhanko_certvalidator.context import ValidationContext
    from pyhanko_certvalidator.path import ValidationPath
    from pyhanko_certvalidator.validate import async_validate_path

    try:
        leaf, *issuers = (asn1_x509.Certificate.load(one, strict=True) for one in path)
        anchor = issuers.pop()
        context = ValidationContext(
            trust_roots=[anchor],
            other_certs=issuers,
            # Its rule is "revoked before"; a tick later makes it "at or before". Our own check of dates is exact.
            moment=at + _TICK,
            allow_fetching=False,
            crls=[asn1_crl.CertificateList.load(one, strict=True) for one in crls] if required else None,
            revocation_mode="require" if required else "none",
            retroactive_revinfo=True,
        )
        whole = ValidationPath(CertTrustAnchor(anchor), issuers[::-1], leaf)
        _without_waiting(async_validate_path(context, whole))
    except Exception as error:  # certvalidator and asn1crypto set no bound on what they raise over hostile octets
        return _problem_of(error)
    return None


def _without_waiting(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run what only looks asynchronous: with fetching off it never waits, and if it did, that would be a network."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise BadInput("The chain could only be judged by asking the network, which is never done.")


def _problem_of(error: Exception) -> Problem:
    from pyhanko_certvalidator import errors as theirs

    text = " ".join(str(error).split())[:500]
    match error:
        case theirs.RevokedError():
            return Problem("revoked", text)
        case theirs.StaleRevinfoError():
            return Problem("revocation-stale", text)
        case theirs.InsufficientRevinfoError() | theirs.CRLValidationError():
            return Problem("revocation-unknown", text)
        case theirs.ExpiredError():
            return Problem("expired", text)
        case theirs.NotYetValidError():
            return Problem("not-yet-valid", text)
        case theirs.DisallowedAlgorithmError():
            return Problem("weak-algorithm", text)
    return Problem("unfit-chain", f"The chain cannot be accepted: {text}" if text else "The chain cannot be accepted.")
