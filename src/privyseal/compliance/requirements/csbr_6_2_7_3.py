"""How a Signing Service guards the keys of its Subscribers (CSBR 6.2.7.3), today and before CSC-21.

It is the heart of the Requirements for a Signing Service, and binds it whether or not a CA knows of it. Whether it is
kept is audited under 8.4.2.
"""

from __future__ import annotations

from datetime import date

from privyseal.compliance import cloud_rules, key_rules, use_rules
from privyseal.compliance.requirement import (
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
    Wants,
)

SECURE_ENVIRONMENT = Requirement(
    id="CSBR-6.2.7.3-01",
    clause="6.2.7.3",
    title="A secure environment for Subscriber keys",
    text=(
        "A Signing Service sees to it that a Subscriber key is made, kept and used where it is safe from theft and"
        " misuse."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.SIGNING_SERVICE,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "Whether the controls taken together (origin, isolation, no export, leave for each signature, alarms) are"
        " enough.",
        ("risk-assessment", "audit-report", "pentest-report"),
        judgement=True,
    ),
    notes=(
        "A service of which no CA knows is bound as well, but nobody sees to it: the audit of 8.4.2 finds only who"
        " asks for one.",
        "The word tenant does not occur in the Requirements: that one Subscriber cannot use the key of another is"
        " judged under this sentence.",
    ),
)

AUTHENTICATION = Requirement(
    id="CSBR-6.2.7.3-02",
    clause="6.2.7.3",
    title="Two factors, or server to server",
    text="Whoever uses or permits signing proves who it is by more than one factor, or as one server to another.",
    obligation=Obligation.SHALL,
    binds=(Party.SIGNING_SERVICE,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-21", "3.6"),
    in_force=InForce(date(2024, 2, 28)),
    dated_by=DatedBy.SIGNING,
    kinds=(Kind.SIGNATURE,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT, EnforcedBy.TECHNICAL_GATE),
    check=use_rules.authenticated,
    gate=True,
)

MODULE_LEVEL = Requirement(
    id="CSBR-6.2.7.3-03",
    clause="6.2.7.3",
    title="The module of a Subscriber key at a Signing Service",
    text=(
        "A Signing Service keeps Subscriber keys in a module of FIPS 140-2 level 3, of Common Criteria EAL 4+, or"
        " better."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.SIGNING_SERVICE,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-21", "3.6"),
    in_force=InForce(date(2024, 2, 28)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT, EnforcedBy.TECHNICAL_GATE),
    check=key_rules.module_level,
    gate=True,
    nature=Nature.INTERPRETATION,
    conflict=Conflict(
        "Section 6.2.7.3 says level 3 since CSC-21; the table of dates in 1.2.2 still says level 2 for it.",
        (
            Reading("operative-text", "Level 3, as the clause itself says; the table was not brought up to date."),
            Reading("table-of-dates", "Level 2, as the table says."),
        ),
        "operative-text",
    ),
    notes=(
        "It binds each key that is held, also one made before 2024-02-28 in a module of level 2.",
        "Whether a FIPS 140-3 certificate counts, is the conflict of CSBR-6.2.7.3-04.",
    ),
)

MODULE_SHOWN = Requirement(
    id="CSBR-6.2.7.3-04",
    clause="6.2.7.3",
    title="Shown by a certificate, or in a cloud that logs",
    text=(
        "The level is shown by the FIPS or Common Criteria certificate of the module, or by a cloud key service as in"
        " CSBR-6.2.7.3-05 and -06."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.SIGNING_SERVICE,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-21", "3.6"),
    in_force=InForce(date(2024, 2, 28)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    check=key_rules.module_shown,
    nature=Nature.INTERPRETATION,
    conflict=Conflict(
        "FIPS 140-3 is named for CA keys (6.2.7.1) and not here, although it follows on FIPS 140-2.",
        (
            Reading("successor-counts", "Level 3 of FIPS 140-3 meets or exceeds level 3 of FIPS 140-2."),
            Reading("as-printed", "Only FIPS 140-2 and Common Criteria count, because only they are printed."),
        ),
        "successor-counts",
    ),
    notes=(
        "CSC-21 removed two ways: a module from the CA, and a contract with an audit.",
        "By the calendar of NIST, FIPS 140-2 certificates became historical in September 2026; the text is silent"
        " on status: record it.",
    ),
)

CLOUD_BOUNDARY = Requirement(
    id="CSBR-6.2.7.3-05",
    clause="6.2.7.3",
    title="A cloud key never leaves its HSM",
    text="A key in a cloud is made, kept and used within the boundary of a cloud HSM of the level asked.",
    obligation=Obligation.SHALL,
    binds=(Party.SIGNING_SERVICE,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2022, 5, 6)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT,),
    check=key_rules.cloud_boundary,
)

CLOUD_LOGGING = Requirement(
    id="CSBR-6.2.7.3-06",
    clause="6.2.7.3",
    title="In a cloud, all is logged",
    text=(
        "The cloud account that manages a key logs all access, all operations, and all changes to what guards the key."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.SIGNING_SERVICE,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2022, 5, 6)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    check=cloud_rules.all_logged,
)

TWO_FACTORS_ONLY = Requirement(
    id="CSBR-6.2.7.3-90",
    clause="6.2.7.3",
    title="Two factors only, and tokens kept safe",
    text="Until CSC-21 only multi-factor authentication would do, and the Subscriber promised to keep its tokens safe.",
    obligation=Obligation.SHALL,
    binds=(Party.SIGNING_SERVICE, Party.SUBSCRIBER),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13), date(2024, 2, 27)),
    dated_by=DatedBy.SIGNING,
    kinds=(Kind.SIGNATURE,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT,),
    check=use_rules.several_factors,
    superseded_by="CSBR-6.2.7.3-02",
)

MODULE_LEVEL_TWO = Requirement(
    id="CSBR-6.2.7.3-91",
    clause="6.2.7.3",
    title="The module at level 2",
    text="Until CSC-21 a module of FIPS 140-2 level 2 or Common Criteria EAL 4+ was enough for a Signing Service.",
    obligation=Obligation.SHALL,
    binds=(Party.SIGNING_SERVICE,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-7", "2.2", "inferred"),
    in_force=InForce(date(2021, 6, 1), date(2024, 2, 27)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT,),
    check=key_rules.module_level_two,
    superseded_by="CSBR-6.2.7.3-03",
    notes=("The date is that on which it took force for Non-EV; that CSC-7 brought it is inferred from its title.",),
)

NO_BROWSING = Requirement(
    id="CSBR-6.2.7.3-92",
    clause="6.2.7.3",
    title="No browsing on the hosts",
    text="Nobody browsed the web from a system that hosted a Signing Service.",
    obligation=Obligation.SHALL_NOT,
    binds=(Party.SIGNING_SERVICE,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13), date(2024, 2, 27)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.LOW,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("The rule for these hosts, and how it was kept.", ("policy", "audit-report")),
    notes=("CSC-21 dropped it; what NetSec says on running only what is needed covers much of it.",),
)

ANTIVIRUS = Requirement(
    id="CSBR-6.2.7.3-93",
    clause="6.2.7.3",
    title="Antivirus, kept up to date",
    text="A Signing Service ran antivirus software that was updated regularly.",
    obligation=Obligation.SHALL,
    binds=(Party.SIGNING_SERVICE,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13), date(2024, 2, 27)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.LOW,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("What ran on these hosts, and how often it was updated.", ("policy", "audit-report")),
    notes=("CSC-21 dropped it.",),
)

NETSEC_AS_DELEGATE = Requirement(
    id="CSBR-6.2.7.3-94",
    clause="6.2.7.3",
    title="NetSec in the role of a delegate",
    text="Counted as a Delegated Third Party, a Signing Service had to keep NetSec.",
    obligation=Obligation.SHALL,
    binds=(Party.SIGNING_SERVICE,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13), date(2024, 2, 27)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("A verdict on each NetSec requirement of then.", ("audit-report",)),
    superseded_by="CSBR-6.7-01",
)

REQUIREMENTS = (
    SECURE_ENVIRONMENT,
    AUTHENTICATION,
    MODULE_LEVEL,
    MODULE_SHOWN,
    CLOUD_BOUNDARY,
    CLOUD_LOGGING,
    TWO_FACTORS_ONLY,
    MODULE_LEVEL_TWO,
    NO_BROWSING,
    ANTIVIRUS,
    NETSEC_AS_DELEGATE,
)
