"""What an OCSP response shows (CSBR 4.9.9, 4.9.10, 4.10.1): who signed it, how long it may be used, what it keeps.

OCSP is optional since CSC-8; whoever offers it, is bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from privyseal.compliance.crl import Covers
from privyseal.compliance.ocsp import Signer, Single, StatusResponse
from privyseal.compliance.outcome import Outcome, met, not_applicable, not_evidenced, not_met
from privyseal.compliance.periods import in_words, months_after
from privyseal.compliance.requirement import (
    Asked,
    Conflict,
    DatedBy,
    EnforcedBy,
    InForce,
    Kind,
    Nature,
    Obligation,
    Party,
    Reading,
    Requirement,
    Scope,
    Severity,
    Source,
)

ALL = (Scope.EV, Scope.NON_EV, Scope.TIMESTAMP)
"""Certificates that these clauses are about."""

LIFE = timedelta(days=10)
"""The longest that a response about a code signing certificate may be used (CSBR 4.9.10)."""
RENEWAL = timedelta(days=4)
"""How soon the next one has to come (CSBR 4.9.10)."""
ARITHMETIC_SINCE = date(2023, 9, 15)
"""Since when 4.9.10 says how an interval is counted (CSC-19)."""
SAY_WHICH = "say which certificates it speaks about"
"""What mends that nobody said what a response is about."""


def _signed(response: StatusResponse, asked: Asked) -> Iterator[Outcome]:
    responder = response.responder
    yield _SIGNERS[responder.signer]
    if responder.certificate is None:
        return
    if not responder.for_ocsp:
        yield not_met("The responder's certificate is not for OCSP: its extended key usage lacks OCSPSigning.")
    if responder.nocheck:
        yield met("The responder's certificate has id-pkix-ocsp-nocheck.")
    else:
        yield not_met(
            "The responder's certificate lacks id-pkix-ocsp-nocheck.", "issue the responder a certificate that has it"
        )


_GIVE_ISSUER = "give the certificate of the CA that issued what the response is about"
_SIGNERS = {
    Signer.ISSUER: met("The CA that issued the certificates signed the response itself."),
    Signer.DELEGATED: met("A responder that the issuing CA certified signed the response."),
    Signer.UNPROVEN: not_evidenced(
        "It names the issuing CA or a responder of that; without the CA's certificate this is not proven.", _GIVE_ISSUER
    ),
    Signer.STRANGER: not_met("Neither the issuing CA nor a responder that it certified signed the response."),
    Signer.FORGED: not_met("The response's signature does not verify with the certificate that it names."),
}


def _code_signing(response: StatusResponse, asked: Asked) -> Iterator[Outcome]:
    if response.covers not in (Covers.CODE_SIGNING, None):
        yield not_applicable("It speaks about other certificates than those for code signing.")
        return
    for single in response.singles:
        yield _life(response, single, asked)
    following = response.beside.next_issued
    if following is None:
        yield not_evidenced("Whether the next one came within 4 d does not show here.", "give the next response too")
        return
    gap = following - response.singles[0].this_update
    if gap > RENEWAL and response.covers is None:
        yield not_evidenced(f"The next one came {in_words(gap)} later: too late for code signing.", SAY_WHICH)
    else:
        said = f"The next one came {in_words(gap)} later; at most 4 d were expected."
        yield met(said) if gap <= RENEWAL else not_met(said)


def _life(response: StatusResponse, single: Single, asked: Asked) -> Outcome:
    which = f"The answer about serial number {single.serial:X}"
    if single.next_update is None:
        said = f"{which} names no nextUpdate, so nothing ends it; at most 10 d were expected."
        return not_met(said) if response.covers else not_evidenced(said, SAY_WHICH)
    length = single.next_update - single.this_update
    counted = single.this_update.date() >= ARITHMETIC_SINCE
    both_ends = counted and asked.choices.get("CSBR-4.9.10-02", BOTH_ENDS.name) == BOTH_ENDS.name
    lives = length + timedelta(seconds=1) if both_ends else length
    said = f"{which} lives {in_words(lives)}{', both ends counted' if both_ends else ''}; at most 10 d were expected."
    if lives <= LIFE:
        return met(said)
    if response.covers is None:
        return not_evidenced(f"{which} lives {in_words(lives)}: too long for code signing.", SAY_WHICH)
    return not_met(said, "answer with a nextUpdate that is nearer")


def _others(response: StatusResponse, asked: Asked) -> Iterator[Outcome]:
    if response.covers is Covers.CODE_SIGNING:
        yield not_applicable("It speaks about code signing certificates.")
        return
    for single in response.singles:
        last = months_after(single.this_update, 12)
        which = f"The answer about serial number {single.serial:X}"
        following = response.beside.next_issued
        if following is not None and following > last:
            yield not_met(f"{which} was renewed on {following:%Y-%m-%d}; {last:%Y-%m-%d} or earlier was expected.")
        elif following is not None or (single.next_update is not None and single.next_update <= last):
            yield met(f"{which} is renewed within 12 months.")
        else:
            yield not_evidenced(f"{which} names no nextUpdate within 12 months.", "give the next response too")
    if any(single.status == "revoked" for single in response.singles):
        yield not_evidenced(
            "Whether it followed within 24 h of the revocation does not show.", "show when each was revoked"
        )


def _kept(response: StatusResponse, asked: Asked) -> Iterator[Outcome]:
    listed = response.beside.on_crl
    for single in response.singles:
        which = f"serial number {single.serial:X}"
        if listed is None:
            yield not_evidenced(f"Whether the CRL lists {which} is not known.", "give the issuer's CRL too")
        elif single.serial not in listed:
            yield not_applicable(f"The CRL does not list {which}.")
        elif single.status == "revoked":
            yield met(f"The CRL lists {which}, and the response says revoked.")
        else:
            yield not_met(f"The CRL lists {which} as revoked, and the response says {single.status}.")


SIGNER = Requirement(
    id="CSBR-4.9.9-01",
    clause="4.9.9",
    title="Who signs an OCSP response",
    text="An OCSP response is as RFC 6960 or 5019 has it, signed by the issuing CA or by a responder that this CA"
    " certified, whose certificate has id-pkix-ocsp-nocheck.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=ALL,
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.PRODUCTION,
    kinds=(Kind.OCSP_RESPONSE,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_signed,
)

BOTH_ENDS = Reading("both-ends", "An interval includes its last second: ten days end one second before 10 x 86,400 s.")
"""How these clauses count an interval."""

FRESH_FOR_CODE = Requirement(
    id="CSBR-4.9.10-02",
    clause="4.9.10",
    title="OCSP for code signing: every 4 days, for 10 at most",
    text="An OCSP answer about a code signing certificate is renewed within four days and lives ten at most.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.PRODUCTION,
    kinds=(Kind.OCSP_RESPONSE,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_code_signing,
    nature=Nature.INTERPRETATION,
    conflict=Conflict(
        "The interval from thisUpdate to nextUpdate is called inclusive, and a difference of 86,400 s is called a day.",
        (BOTH_ENDS, Reading("difference", "The interval is the difference: nextUpdate may lie 10 x 86,400 s later.")),
        "both-ends",
    ),
    notes=("Before 2023-09-15 (CSC-19) nothing was said of counting, and the difference alone is taken.",),
)

FRESH_FOR_OTHERS = Requirement(
    id="CSBR-4.9.10-03",
    clause="4.9.10",
    title="OCSP for subordinate CAs and timestamp certificates: yearly",
    text="OCSP answers about subordinate CAs and timestamp certificates are renewed within twelve months, and within 24"
    " hours once one of them is revoked.",
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.TIMESTAMP_AUTHORITY),
    applies_to=ALL,
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.PRODUCTION,
    kinds=(Kind.OCSP_RESPONSE,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_others,
)

KEPT = Requirement(
    id="CSBR-4.10.1-01",
    clause="4.10.1",
    title="OCSP forgets no sooner than the CRL",
    text="What the CRL still lists as revoked, OCSP still answers as revoked.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=ALL,
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.PRODUCTION,
    kinds=(Kind.OCSP_RESPONSE,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_kept,
)

REQUIREMENTS = (SIGNER, FRESH_FOR_CODE, FRESH_FOR_OTHERS, KEPT)
