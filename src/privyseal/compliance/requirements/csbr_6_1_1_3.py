"""Keys that nobody may be certified for (CSBR 6.1.1.3), seen from the public half in a request or a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Protocol

from privyseal.compliance import weak_keys
from privyseal.compliance.certificate import JudgedCertificate, Role
from privyseal.compliance.outcome import Outcome, met, not_applicable, not_evidenced, not_met
from privyseal.compliance.requirement import (
    Asked,
    DatedBy,
    EnforcedBy,
    InForce,
    Kind,
    Obligation,
    Party,
    Requirement,
    Scope,
    Severity,
    Source,
)


class WithKey(Protocol):
    """Anything that has a public key: a request, a certificate."""

    @property
    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo, DER."""


_ANOTHER = "generate another key pair, on another device or with mended firmware"


def _strong(subject: WithKey, asked: Asked) -> Iterator[Outcome]:
    if isinstance(subject, JudgedCertificate) and subject.role is not Role.LEAF:
        yield not_applicable("It speaks of Subscribers' keys; this is a CA's.")
        return
    key = weak_keys.key_of(subject.spki)
    plain = [weak_keys.size_flaw(key), weak_keys.exponent_flaw(key) if key.family == "rsa" else None]
    if key.family == "ec" and key.curve in weak_keys.CURVES:
        plain.append(weak_keys.point_flaw(subject.spki, key.curve))
    flaws = [flaw for flaw in (*plain, *weak_keys.computable(subject.spki)) if flaw]
    for flaw in flaws:
        yield not_met(f"The key is weak: {flaw}.", _ANOTHER)
    listed = weak_keys.look_up(subject.spki)
    if listed.name:
        yield not_met(f"The key's private half is public: it is on the list {listed.name}.", _ANOTHER)
    elif not listed.there:
        yield not_evidenced(
            "Whether the key is a known compromised one (Debian's of 2008, say) was not looked up: no list is here,"
            " and `badkeys --update-bl` would fetch it.",
            "run `badkeys --update-bl` once, and ask again",
        )
    elif not flaws:
        yield met(f"It is {key}, on no list of compromised keys, and none of {len(weak_keys.BATTERY)} tests breaks it.")
    if not flaws and not listed.there:
        yield met(f"It is {key}, and none of {len(weak_keys.BATTERY)} tests computes the private half.")


WEAK = Requirement(
    id="CSBR-6.1.1.3-01",
    clause="6.1.1.3",
    title="No certificate for a weak key",
    text="A request is refused whose key breaks 6.1.5 or 6.1.6, was made by a flawed method, is known to be"
    " compromised, or lets its private half be computed or exposed by a proven method.",
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.SIGNING_SERVICE),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE, Kind.CERTIFICATE_REQUEST),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
    check=_strong,
    notes=(
        "The text names no method. Ours are badkeys' (Fermat, ROCA, shared primes, small factors, patterns) and its"
        " list of known keys; the alignment ballot that failed would have named Debian, ROCA and Fermat.",
        "Weak keys were to be refused since version 1.2 (9.5), in other words.",
    ),
)

REQUIREMENTS = (WEAK,)
