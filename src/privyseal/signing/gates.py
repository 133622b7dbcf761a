"""Step 5a of a signing request: what a gate stops is not signed under a certificate that counts as publicly trusted.

A rehearsal or private certificate is never gated. Which it is, the signer says, who alone has the pinned anchors; the
answer is remembered for a minute for each chain, so that a walk of a rehearsal costs one look into a dictionary.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privyseal.access import permissions
from privyseal.compliance import gates as rules
from privyseal.compliance.evaluate import Subject
from privyseal.compliance.gates import AGREE, GATES, REPORTS_FIRST, Enabled, Overridden, Override
from privyseal.compliance.known import Known
from privyseal.compliance.outcome import Finding
from privyseal.compliance.requirement import Asked
from privyseal.compliance.statements import Administered
from privyseal.errors import BadInput, NotCompliant, NotPermitted, VerificationFailed
from privyseal.records import evidence, keys, parties
from privyseal.records import gates as kept
from privyseal.records.database import Transaction
from privyseal.signing import announce, voice
from privyseal.signing.case import Case
from privyseal.signing.instance import PrivySeal
from privyseal.terms.keys import Approver
from privyseal.terms.parties import Actor
from privyseal.terms.requests import Approval, approved_octets
from privyseal.terms.subscribers import Standing


def begin(seal: PrivySeal) -> None:
    """Write down which gates are known from now on: at first all refuse at once, and later ones report first."""
    now = seal.clock().replace(microsecond=0)  # who begins to serve in this very second is bound
    with seal.records.batch() as batch:
        connection = batch.across_subscribers()
        known = {each.requirement for each in kept.enabled_of_all_subscribers(connection)}
        enforced = now + REPORTS_FIRST if known else now
        new = [Enabled(each.id, now, enforced) for each in GATES if each.id not in known]
        kept.enable_of_all_subscribers(connection, new)
        operator = {each.name for each, _ in parties.subscribers_of_all(connection)} & {seal.service.operator or ""}
        if new and operator:
            with batch.item(operator.pop()) as tx:
                words = f"{', '.join(each.requirement for each in new)}: refusing from {enforced.isoformat()} on"
                act = Administered(actor=voice.ITSELF, what="gates known", subject=str(len(new)), detail=words[:2000])
                announce.administered(seal, tx, act)


def refuse(seal: PrivySeal, cases: Sequence[Case]) -> None:
    """Give every case that a gate stops its refusal, ``not-compliant``; nothing is logged and no key used by this."""
    if not cases:
        return
    public = seal.standings.public([case.chain for case in cases], seal.clock())
    concerned = [case for case in cases if case.chain in public] if public else []
    if not concerned:
        return
    with seal.records.reading_all_subscribers() as connection:
        known, enabled = seal.stated.known_of_all_subscribers(connection), kept.enabled_of_all_subscribers(connection)
    for case in concerned:
        with seal.records.reading(case.dossier.subscriber) as tx:
            enrolling = parties.standing(tx) is Standing.ENROLLING
            found = findings(tx, case, known, enabled, seal.clock())
        if enrolling:
            name = case.dossier.subscriber
            case.refused = (NotPermitted.code, f"the Subscriber {name!r} is enrolling, and may only rehearse")
        elif found:
            why, mend = rules.sentence(found)
            why += f" To mend it: {mend}." if mend else ""
            if case.dossier.fence > 1:
                why += " An earlier walk with it was cut short, and whether that used the key is not known."
            case.refused = (NotCompliant.code, why)


def findings(tx: Transaction, case: Case, known: Known, enabled: Sequence[Enabled], now: datetime) -> list[Finding]:
    """Return the findings of gates that stop a request now."""
    pair = keys.key_pair(tx, case.request.key)
    subjects: list[Subject] = [
        evidence.key_pair(pair, known, now),
        evidence.request(tx, case.dossier, case.request, pair, known, now),
        evidence.subscriber(tx.connection, tx.subscriber, known, now),
    ]
    lifted = [each.override for each in kept.overrides(tx, now)]
    return rules.refused_by(subjects, Asked(now, known.choices), enabled, lifted)


def override(seal: PrivySeal, actor: Actor, given: Overridden) -> Overridden:
    """Lift a gate for one Subscriber for a while, on the word of two different overseers of this service.

    Raises BadInput for what no override can be, or one that begins elsewhen; VerificationFailed for a signature that
    does not verify, NotPermitted where fewer than two of the configured overseers agreed.
    """
    lifted, now = given.override, seal.clock()
    permissions.require(actor, "override-gate", lifted.subscriber)
    lifted.check()
    if lifted.until <= now or lifted.since > now + timedelta(hours=1):
        raise BadInput("The override is over already, or begins more than an hour from now.", hint="propose it anew")
    _require_two(seal.overseers, given.approvals, lifted)
    with seal.records.writing(lifted.subscriber) as tx:
        if given not in kept.overrides(tx, now):
            kept.override(tx, given)
            announce.gate_overridden(seal, tx, given)
    return given


def _require_two(overseers: Sequence[Approver], approvals: Sequence[Approval], lifted: Override) -> None:
    known = {(each.name, each.public_key) for each in overseers}
    digest = lifted.digest()
    for each in approvals:
        if (each.approver, each.public_key) not in known:
            raise NotPermitted(
                f"{each.approver[:60]!r} with this public key is not an overseer of this service.",
                hint="overseers stand in serve.toml, [[gates.overseers]]",
            )
        if each.request_digest != digest:
            raise VerificationFailed("An approval is over another override's digest; nothing was written down.")
        try:
            Ed25519PublicKey.from_public_bytes(each.public_key).verify(each.signature, approved_octets(digest))
        except (InvalidSignature, ValueError) as error:
            raise VerificationFailed("An approval's signature does not verify; nothing was written down.") from error
    if len({each.public_key for each in approvals}) < AGREE or len({each.approver for each in approvals}) < AGREE:
        raise NotPermitted(f"An override takes {AGREE} different people.", hint="have another overseer agree to it")
