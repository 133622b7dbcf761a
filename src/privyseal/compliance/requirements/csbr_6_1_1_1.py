"""How the key of a CA comes about (CSBR 6.1.1.1)."""

from __future__ import annotations

from datetime import date

from privyseal.compliance.requirement import (
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
    Wants,
)

ROOT_CEREMONY = Requirement(
    id="CSBR-6.1.1.1-01",
    clause="6.1.1.1",
    title="Ceremony for a root or another's sub-CA",
    text=(
        "A root's key, or that of a Subordinate CA of another house, is made by a script, before a Qualified Auditor"
        " or on video; an auditor reports on it."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.KEY_GENERATION,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("The script, the auditor's name or the video, and the auditor's report.", ("key-ceremony",)),
)

SUBORDINATE_CEREMONY = Requirement(
    id="CSBR-6.1.1.1-02",
    clause="6.1.1.1",
    title="Ceremony for one's own sub-CA",
    text="For a Subordinate CA of one's own or an Affiliate's, a script and a witness or video are good to have.",
    obligation=Obligation.SHOULD,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.KEY_GENERATION,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.LOW,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("The script, and the name of the witness or the video.", ("key-ceremony",)),
)

CA_KEY_GENERATION = Requirement(
    id="CSBR-6.1.1.1-03",
    clause="6.1.1.1",
    title="How every CA key is made",
    text=(
        "A CA key comes about in a guarded place, in a suitable module, by several people in Trusted Roles of whom"
        " none knows all, and is logged."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.KEY_GENERATION,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "Who took part, in which module with which certificate, and the entry of the log.",
        ("key-ceremony", "hsm-module-certificate", "log:key"),
    ),
)

REQUIREMENTS = (
    ROOT_CEREMONY,
    SUBORDINATE_CEREMONY,
    CA_KEY_GENERATION,
)
