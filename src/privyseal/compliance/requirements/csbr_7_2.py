"""The profile of CRLs (CSBR 7.2, 7.2.2): how long an entry stays, and which dates it bears."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from privyseal.compliance.crl import RevocationList
from privyseal.compliance.outcome import Outcome, met, not_applicable, not_evidenced, not_met
from privyseal.compliance.periods import months_after
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

CODE = (Scope.EV, Scope.NON_EV)
KEPT_MONTHS = 120
"""For how long after its certificate's expiry a revoked serial number stays listed: ten years (CSBR 7.2)."""


def _remembered(listed: RevocationList, asked: Asked) -> Iterator[Outcome]:
    dropped = listed.beside.dropped
    if dropped is None:
        yield not_evidenced("Which entries went since the list before does not show here.", "give the list before too")
        return
    if not dropped:
        yield met("It lists all that the list before did.")
    for serial in dropped:
        yield _gone(listed, serial)


def _gone(listed: RevocationList, serial: int) -> Outcome:
    which = f"Serial number {serial:X} went from the list"
    if serial in listed.beside.lifetime:
        return not_applicable(f"{which}; its certificate has the Lifetime Signing purpose.")
    expiry = listed.beside.expiries.get(serial)
    if expiry is None:
        return not_evidenced(f"{which}; when its certificate expired is not known.", "give the certificate too")
    until = months_after(expiry, KEPT_MONTHS)
    if listed.this_update >= until:
        return met(f"{which}, ten years after its certificate expired.")
    return not_met(f"{which}; it had to stay until {until:%Y-%m-%d}.", "list it again")


def _lifetime(listed: RevocationList, asked: Asked) -> Outcome:
    gone = [serial for serial in listed.beside.dropped or () if serial in listed.beside.lifetime]
    if not gone:
        return not_applicable("No entry of a certificate with the Lifetime Signing purpose went.")
    return met(f"Permitted: {len(gone)} entries of certificates with the Lifetime Signing purpose went.")


def _dates(listed: RevocationList, asked: Asked) -> Iterator[Outcome]:
    stated = [entry for entry in listed.entries if entry.invalid_since is not None]
    if not stated:
        yield met("No entry has an Invalidity Date, so none differs from revocationDate.")
        return
    wrong = [entry for entry in stated if entry.invalid_since != entry.revoked]
    for entry in wrong[:MAX_SHOWN]:
        yield not_met(
            f"Serial number {entry.serial:X} has the Invalidity Date {entry.invalid_since:%Y-%m-%dT%H:%M:%SZ} and the"
            f" revocationDate {entry.revoked:%Y-%m-%dT%H:%M:%SZ}; the same was expected.",
            "state the same moment in both, or no Invalidity Date",
        )
    if len(wrong) > MAX_SHOWN:
        yield not_met(f"In {len(wrong) - MAX_SHOWN} more entries the two dates differ.")
    if not wrong:
        yield met(f"In all {len(stated)} entries with an Invalidity Date it is the revocationDate.")


MAX_SHOWN = 10
"""Entries that are named one by one; the rest is a number, so that a report stays readable."""

REMEMBERED = Requirement(
    id="CSBR-7.2-01",
    clause="7.2",
    title="A revoked certificate stays listed for ten years past its expiry",
    text="The serial number of a revoked certificate is on the CRL until ten years after the certificate expired.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=CODE,
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.PRODUCTION,
    kinds=(Kind.CRL,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_remembered,
    notes=("A contract with an Application Software Supplier may ask for longer.",),
)

LIFETIME = Requirement(
    id="CSBR-7.2-02",
    clause="7.2",
    title="Lifetime Signing certificates may go at their expiry",
    text="Of a certificate with the Lifetime Signing purpose the revocation may be forgotten once it expired.",
    obligation=Obligation.MAY,
    binds=(Party.CA,),
    applies_to=CODE,
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.PRODUCTION,
    kinds=(Kind.CRL,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    check=_lifetime,
    notes=("The purpose is 1.3.6.1.4.1.311.10.3.13; signatures of such a certificate end with it.",),
)

SAME_DATE = Requirement(
    id="CSBR-7.2.2-01",
    clause="7.2.2",
    title="The Invalidity Date is the revocationDate",
    text="Where a CRL entry of a code signing certificate has an Invalidity Date, it is the same moment as its"
    " revocationDate.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=CODE,
    source=Source("CSC-12", "2.7"),
    in_force=InForce(date(2022, 7, 1)),
    dated_by=DatedBy.PRODUCTION,
    kinds=(Kind.CRL,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_dates,
)

REQUIREMENTS = (REMEMBERED, LIFETIME, SAME_DATE)
