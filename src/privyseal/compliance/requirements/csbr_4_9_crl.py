"""What a CRL shows of revocation (CSBR 4.9.1, 4.9.6, 4.9.7, 4.9.13).

A CRL is judged alone, so half of most clauses stays open: that the next one came in time needs the next one, that a
date was investigated needs the record of it. Three figures of 4.9.7 go with three kinds of lists, and a list seldom
says which kind it is; then there is a verdict only where all kinds lead to the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from privyseal.compliance.crl import Covers, RevocationList, counted
from privyseal.compliance.ocsp import StatusResponse
from privyseal.compliance.outcome import Outcome, met, not_applicable, not_evidenced, not_met
from privyseal.compliance.periods import in_words, months_after
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

ALL = (Scope.EV, Scope.NON_EV, Scope.TIMESTAMP)
CODE = (Scope.EV, Scope.NON_EV)
"""Certificates that these clauses are about: all, and those for code."""

WINDOW = timedelta(days=10)
"""The longest that a CRL for code signing certificates may be used (CSBR 4.9.7)."""
REISSUE = timedelta(days=7)
"""How soon the next one has to come (CSBR 4.9.7)."""
HARMLESS = {"affiliationChanged", "superseded", "cessationOfOperation", "certificateHold", "removeFromCRL"}
"""Reasons that are stated for neither a Key Compromise nor Suspect Code (RFC 5280 5.3.1)."""
SAY_WHICH = "say which certificates it covers"
"""What mends that a CRL states no scope."""


def _investigated(listed: RevocationList, asked: Asked) -> Outcome:
    concerned = [entry for entry in listed.entries if entry.reason not in HARMLESS]
    if not concerned:
        return met("It lists no certificate that was revoked for a compromise or for Suspect Code.")
    return not_evidenced(
        f"It has {counted(len(concerned), 'entry', 'entries')}; how the date of each was found is in no CRL.",
        "show the record of the investigation behind each revocationDate",
    )


def _backdating(listed: RevocationList, asked: Asked) -> Outcome:
    if not listed.entries:
        return not_applicable("It lists no certificate.")
    return met(
        "Permitted, not asked for: an entry may state when trust was lost, and what was timestamped before that may be"
        " trusted on."
    )


def _weekly(listed: RevocationList, asked: Asked) -> Iterator[Outcome]:
    if listed.covers not in (Covers.CODE_SIGNING, None):
        yield not_applicable("It covers other certificates than those for code signing.")
        return
    if listed.next_update is None:
        yield not_met("It names no nextUpdate; one at most 10 days after thisUpdate was expected.")
        return
    window = listed.next_update - listed.this_update
    said = f"nextUpdate is {in_words(window)} after thisUpdate"
    if window <= WINDOW:
        yield met(f"{said}; at most 10 d were expected.")
    elif listed.covers is None and listed.next_update <= months_after(listed.this_update, 12):
        yield not_evidenced(f"{said}: too long if it covers code signing certificates, and it does not say.", SAY_WHICH)
    else:
        yield not_met(f"{said}; at most 10 d were expected.", "issue a CRL whose nextUpdate is nearer")
    yield _came_in_time(listed, REISSUE, "7 d")


def _came_in_time(listed: RevocationList, within: timedelta, words: str) -> Outcome:
    following = listed.beside.next_issued
    if following is None:
        return not_evidenced(f"Whether the next one came within {words} does not show here.", "give the next CRL too")
    gap = following - listed.this_update
    if gap <= within:
        return met(f"The next one came {in_words(gap)} later; at most {words} were expected.")
    if listed.covers is None:
        return not_evidenced(
            f"The next one came {in_words(gap)} later: too late if it covers code signing certificates.", SAY_WHICH
        )
    return not_met(f"The next one came {in_words(gap)} later; at most {words} were expected.")


def _yearly(listed: RevocationList, covers: Covers, words: str) -> Iterator[Outcome]:
    if listed.covers not in (covers, None) or (covers is Covers.SUBORDINATE_CA and listed.for_users_only):
        yield not_applicable(f"It covers other certificates than {words}.")
        return
    if listed.next_update is None:
        yield not_met("It names no nextUpdate; one at most 12 months after thisUpdate was expected.")
        return
    last = months_after(listed.this_update, 12)
    said = f"nextUpdate is {listed.next_update:%Y-%m-%dT%H:%M:%SZ}; {last:%Y-%m-%dT%H:%M:%SZ} or earlier was expected."
    yield met(said) if listed.next_update <= last else not_met(said, "issue a CRL whose nextUpdate is nearer")
    if listed.beside.next_issued is not None and listed.beside.next_issued > last:
        yield not_met(f"The next one came on {listed.beside.next_issued:%Y-%m-%d}, more than 12 months later.")
    if listed.entries:
        yield not_evidenced(
            f"{'W' if listed.covers else f'If it covers {words}: w'}hether a list came within 24 h of"
            f" {counted(len(listed.entries), 'revocation', 'revocations')} does not show, as dates may be set back.",
            "show when each was revoked, and the CRLs of that day",
        )


def _authorities(listed: RevocationList, asked: Asked) -> Iterator[Outcome]:
    return _yearly(listed, Covers.SUBORDINATE_CA, "those of subordinate CAs")


def _timestamps(listed: RevocationList, asked: Asked) -> Iterator[Outcome]:
    return _yearly(listed, Covers.TIMESTAMP, "timestamp certificates")


def _suspended(shown: RevocationList | StatusResponse, asked: Asked) -> Outcome:
    if not shown.suspended:
        return met("It shows no certificate as suspended.")
    first = shown.suspended[0]
    more = f" and {len(shown.suspended) - 1} more" if len(shown.suspended) > 1 else ""
    return not_met(
        f"It shows the certificate with serial number {first:X}{more} as suspended or released from suspension.",
        "revoke for good, or not at all",
    )


DATE_INVESTIGATED = Requirement(
    id="CSBR-4.9.1-01",
    clause="4.9.1",
    title="The date of a revocation is investigated",
    text="After a Key Compromise or for Suspect Code the CA finds out since when, and sets revocationDate back to it"
    " where that is right.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=CODE,
    source=Source("CSC-18", "3.3"),
    in_force=InForce(date(2024, 4, 15)),
    dated_by=DatedBy.PRODUCTION,
    kinds=(Kind.CRL,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_investigated,
)

DATE_OF_DISTRUST = Requirement(
    id="CSBR-4.9.6-01",
    clause="4.9.6",
    title="revocationDate may say since when not to trust",
    text="A CA may put into revocationDate when a certificate became untrustworthy; what was timestamped earlier should"
    " stay trusted.",
    obligation=Obligation.MAY,
    binds=(Party.CA,),
    applies_to=CODE,
    source=Source("CSC-12", "2.7"),
    in_force=InForce(date(2021, 12, 3)),
    dated_by=DatedBy.PRODUCTION,
    kinds=(Kind.CRL,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    check=_backdating,
)

WEEKLY = Requirement(
    id="CSBR-4.9.7-01",
    clause="4.9.7",
    title="CRL for code signing: every 7 days, for 10 at most",
    text="A CRL for code signing certificates is renewed within seven days and names a nextUpdate within ten.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=CODE,
    source=Source("CSC-8", "2.3"),
    in_force=InForce(date(2021, 5, 2)),
    dated_by=DatedBy.PRODUCTION,
    kinds=(Kind.CRL,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_weekly,
    notes=("The figures stood in version 1.2; since CSC-8 there has to be a CRL, and OCSP is optional.",),
)

YEARLY_FOR_AUTHORITIES = Requirement(
    id="CSBR-4.9.7-02",
    clause="4.9.7",
    title="CRL for subordinate CAs: yearly, and a day after a revocation",
    text="A CRL for subordinate CAs is renewed within twelve months, within 24 hours once one of them is revoked, and"
    " names a nextUpdate within twelve months.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=ALL,
    source=Source("CSC-8", "2.3", "inferred"),
    in_force=InForce(date(2021, 5, 2)),
    dated_by=DatedBy.PRODUCTION,
    kinds=(Kind.CRL,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_authorities,
)

YEARLY_FOR_TIMESTAMPS = Requirement(
    id="CSBR-4.9.7-03",
    clause="4.9.7",
    title="CRL for timestamp certificates: yearly, and a day after a revocation",
    text="A CRL for timestamp certificates is renewed within twelve months, within 24 hours once one of them is"
    " revoked, and names a nextUpdate within twelve months.",
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.TIMESTAMP_AUTHORITY),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.PRODUCTION,
    kinds=(Kind.CRL,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_timestamps,
)

NO_SUSPENSION = Requirement(
    id="CSBR-4.9.13-01",
    clause="4.9.13",
    title="No certificate is suspended",
    text="Neither CRL nor OCSP shows a certificate as suspended.",
    obligation=Obligation.SHALL_NOT,
    binds=(Party.CA,),
    applies_to=ALL,
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 15)),
    dated_by=DatedBy.PRODUCTION,
    kinds=(Kind.CRL, Kind.OCSP_RESPONSE),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_suspended,
    notes=("Adopted with version 3.4 on 2023-09-05, with effect ten days later.",),
)

REQUIREMENTS = (
    DATE_INVESTIGATED,
    DATE_OF_DISTRUST,
    WEEKLY,
    YEARLY_FOR_AUTHORITIES,
    YEARLY_FOR_TIMESTAMPS,
    NO_SUSPENSION,
)
