"""A timestamp certificate from another CA is judged before the stamper signs under it (CSBR 6.3.2, 6.8, 7.1.2.3).

What a verifier would refuse nobody gets in: another purpose, dates, a chain that does not hold. Under an anchor that
is not pinned as private, and so counts as public, the Requirements are asked as well: of the certificate itself none
that binds may be not met, and its key may not be kept in software. What is found of the CAs above is told, and stops
nothing, but that the one that issued it is for timestamps.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.lint import lint
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.periods import months_after
from privyseal.compliance.requirement import Asked, Obligation
from privyseal.errors import NotCompliant, VerificationFailed
from privyseal.pki import certificates
from privyseal.pki.chain import Anchors, PinnedAnchor, judge, standing
from privyseal.terms.certificates import Standing
from privyseal.terms.keys import Assurance, KeyProtection
from privyseal.timestamp.authority import USE_MONTHS

SCHEMES = ("rsa-3072", "rsa-4096", "ecdsa-p256", "ecdsa-p384")
"""Keys that timestamp certificates are for here: of what CSBR 6.1.5.2 allows, what the stamper signs with."""
ALWAYS = frozenset({"CSBR-6.3.2-03", "CSBR-6.3.2-10", "CSBR-7.1.2.3-07", "CSBR-7.1.2.3-08", "CSBR-7.1.2.3-12"})
"""What is asked of a private CA's certificate, too: 135 months, the key's size, no CA, key usage, one purpose."""
ISSUERS = frozenset({"CSBR-7.1.2.2-08", "CSBR-7.1.2.2-10", "CSBR-7.1.2.2-11"})
"""What is asked of the CA that issued it: that its purposes are stated, and are for timestamps."""

_BAD = frozenset({Verdict.NOT_MET, Verdict.BROKEN})
_BINDING = frozenset({Obligation.SHALL, Obligation.SHALL_NOT})


class Judged(NamedTuple):
    """A certificate that may be put in use, with what is to be told of it."""

    standing: Standing
    notes: tuple[str, ...]
    """What is not met and stops nothing, in sentences."""


def require_fit(
    chain: Sequence[bytes],
    protection: KeyProtection,
    at: datetime,
    pinned: Sequence[PinnedAnchor] = (),
    roots: Sequence[bytes] = (),
) -> Judged:
    """Raise where the stamper must not sign under a certificate; ``chain`` is DER, its own first, without the root.

    ``pinned`` are the anchors of the stamper's settings; with ``roots`` the chain has to lead to one of those.
    VerificationFailed for what no verifier would believe, NotCompliant for what the Requirements forbid.
    """
    own = certificates.read(chain[0])
    _require_key(chain[0])
    anchors = tuple(roots) or (chain[-1],)
    judged = judge(chain[0], list(chain[1:]), Anchors(anchors), (), at, "timestamping")
    if judged.verdict != "valid":
        why = " ".join(each.text for each in judged.problems) or "No path leads to a trusted anchor."
        raise VerificationFailed(
            f"The timestamp certificate cannot be used: {why}",
            hint="have the CA issue it for this request, and give its whole chain",
        )
    ends = months_after(own.not_before, USE_MONTHS)
    if at >= ends:
        raise NotCompliant(
            f"The certificate is from {own.not_before:%Y-%m-%d}: its key may sign until {ends:%Y-%m-%d} only"
            f" (CSBR 6.3.2, {USE_MONTHS} months).",
            hint="have a new certificate issued, for a new key",
        )
    stands = standing(chain, pinned)
    if stands == "public" and protection.assurance is Assurance.SOFTWARE:
        raise NotCompliant(
            "The certificate counts as publicly trusted and the timestamp key is kept in software; a hardware crypto"
            " module was expected (CSBR 6.3.2 takes one for granted).",
            hint="found the stamper with its key in a token, or pin a private authority's anchor in stamper.toml",
        )
    stopping, notes = _sorted(chain, roots, at, public=stands == "public")
    if stopping:
        raise NotCompliant(
            f"The timestamp certificate does not meet the Requirements: {' '.join(stopping)}",
            hint="have the CA issue it anew; privyseal lint shows all of it",
        )
    return Judged(stands, tuple(notes))


def _require_key(certificate: bytes) -> None:
    scheme = certificates.scheme_of(certificates.outline(certificate).spki).name
    if scheme not in SCHEMES:
        raise NotCompliant(
            f"The certificate is for a key of scheme {scheme}; {', '.join(SCHEMES)} were expected (CSBR 6.1.5.2)."
        )


def _sorted(
    chain: Sequence[bytes], roots: Sequence[bytes], at: datetime, *, public: bool
) -> tuple[list[str], list[str]]:
    """Return what stops the certificate, and what is only told."""
    found = lint(b"".join(certificates.pem(each) for each in chain), "certificate", Asked(at), issuers=roots)
    stopping: list[str] = []
    notes: list[str] = []
    for place, one in enumerate(found):
        for each in one.findings:
            if each.verdict in _BAD:
                whom = "" if place == 0 else f"of {one.title}: "
                words = f"{each.clause}: {whom}{each.text}"
                (stopping if _stops(each, place, public=public) else notes).append(words)
    return stopping, notes


def _stops(finding: Finding, place: int, *, public: bool) -> bool:
    rule = BY_ID.get(finding.requirement)
    if place == 0:
        binding = rule is None or rule.obligation in _BINDING  # what is none of these is an RFC's
        return finding.requirement in ALWAYS or (public and binding)
    return place == 1 and public and finding.requirement in ISSUERS
