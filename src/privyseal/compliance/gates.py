"""Gates: the requirements that refuse a signature under a publicly trusted certificate, and how far each is enforced.

Which these are, the catalogue says (``gate=True``); the set is the contract's: authentication, module and origin of the
key, the commitments of 9.6.5, acceptance, expiry and revocation of the certificate, believed compromise. All are
enforced from the first day of a service. One that comes later reports for 30 days before it refuses, so that an update
stops nobody's release unannounced. Two people together can override one for a while, in the open; the module and the
revocation of a certificate nobody can.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from privyseal.compliance.catalogue import REQUIREMENTS
from privyseal.compliance.evaluate import Subject, evaluate
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.requirement import Asked
from privyseal.errors import BadInput
from privyseal.terms.canonical import canonical_json, tagged_digest
from privyseal.terms.requests import Approval

GATES = tuple(each for each in REQUIREMENTS if each.gate)
"""The gates, in the order of the catalogue."""

GATE_IDS = frozenset(each.id for each in GATES)
"""The gates by their identifiers."""

NEVER_OVERRIDDEN = frozenset({"CSBR-6.2.7.3-03", "CSBR-9.6.3-11"})
"""The module (6.2.7.3), and the end of a certificate by expiry or revocation (9.6.3): no override exists."""

REPORTS_FIRST = timedelta(days=30)
"""How long a gate that is new to a service only reports."""

LONGEST_OVERRIDE = timedelta(days=7)
"""How long an override lasts at most: long enough for a release, too short to live with."""

AGREE = 2
"""How many different people have to agree to an override."""

OVERRIDE_TAG = "privyseal/gate-override/v1"
"""Domain tag of an override's digest: what the two people sign."""

_STOPS = frozenset({Verdict.NOT_MET, Verdict.NOT_EVIDENCED, Verdict.JUDGEMENT, Verdict.BROKEN})


class Override(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That one gate does not refuse one Subscriber's signatures for a while, and why."""

    subscriber: str
    requirement: str
    reason: Annotated[str, msgspec.Meta(min_length=10, max_length=1000)]
    since: Annotated[datetime, msgspec.Meta(tz=True)]
    until: Annotated[datetime, msgspec.Meta(tz=True)]

    def __post_init__(self) -> None:
        """Refuse a time that could be written in more than one way; msgspec reports it as a ValidationError."""
        for time in (self.since, self.until):
            if time.utcoffset() != timedelta(0) or time.microsecond:
                raise ValueError("since and until must be UTC (Z) and whole seconds")

    def canonical(self) -> bytes:
        """Return the octets that are kept and hashed."""
        return canonical_json(self)

    def digest(self) -> bytes:
        """Return what the two people sign, 32 octets."""
        return tagged_digest(OVERRIDE_TAG, self.canonical())

    def check(self) -> None:
        """Raise BadInput where no such override can exist."""
        if self.requirement not in GATE_IDS:
            raise BadInput(f"{self.requirement[:40]!r} is no gate.", hint=f"gates are {', '.join(sorted(GATE_IDS))}")
        if self.requirement in NEVER_OVERRIDDEN:
            raise BadInput(
                f"{self.requirement} can be overridden by nobody: it is about the module or about a certificate's end."
            )
        if not timedelta() < self.until - self.since <= LONGEST_OVERRIDE:
            raise BadInput(f"An override lasts {LONGEST_OVERRIDE.days} days at most, and more than none.")


class Overridden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An override that two people agreed to, with their signatures over its digest."""

    override: Override
    approvals: Annotated[tuple[Approval, ...], msgspec.Meta(max_length=16)]


class Enabled(msgspec.Struct, frozen=True):
    """Since when a gate is known to this service, and from when on it refuses."""

    requirement: str
    at: datetime
    enforced: datetime


def refused_by(
    subjects: Iterable[Subject], asked: Asked, enabled: Sequence[Enabled], overrides: Sequence[Override]
) -> list[Finding]:
    """Return the findings for which a signature under a publicly trusted certificate is refused; none lets it pass.

    Unknown is refused like known to be bad. A gate of which ``enabled`` knows nothing is enforced.
    """
    reporting = {each.requirement for each in enabled if asked.at < each.enforced}
    lifted = {each.requirement for each in overrides if each.since <= asked.at < each.until} - NEVER_OVERRIDDEN
    through = reporting | lifted
    return [
        finding
        for subject in subjects
        for finding in evaluate(subject, GATES, asked)
        if finding.verdict in _STOPS and finding.requirement not in through
    ]


def sentence(findings: Sequence[Finding]) -> tuple[str, str]:
    """Return, for people, why a signature is refused, with clause and sentence of each gate, and what would mend it."""
    alike: dict[tuple[str, str], list[str]] = {}
    for each in findings:
        alike.setdefault((each.clause, each.text.rstrip(".")), []).append(each.requirement)
    whys = [f"{clause} ({', '.join(ids)}): {text}" for (clause, text), ids in alike.items()]
    mends = dict.fromkeys(each.mend for each in findings if each.mend)
    return "The certificate counts as publicly trusted. " + "; ".join(whys) + ".", "; ".join(mends)
