"""How a CA makes sure that a key is in hardware (CSBR 6.2.7.4.2): a duty, and the methods that fulfil it."""

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

CA_ENSURES = Requirement(
    id="CSBR-6.2.7.4.2-01",
    clause="6.2.7.4.2",
    title="The CA ensures that the key is in hardware",
    text=(
        "The CA makes sure, by one or more of the listed methods, that the key is made, kept and used in a suitable"
        " module."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2023, 6, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
    wants=Wants(
        "The method, what it showed, who checked, and when: before issuance, and within 13 months where a proof is"
        " used again.",
        (
            "key-attestation",
            "module-shipment",
            "it-audit",
            "cloud-configuration-report",
            "witnessed-ceremony",
            "signing-service-terms",
        ),
    ),
    notes=(
        "Section 4.2.1 lets proofs by methods 4, 5 and 7 be used again for 13 months; it points to 6.2.7.4.1 where"
        " this must be meant.",
    ),
)

SHIPPED_MODULE = Requirement(
    id="CSBR-6.2.7.4.2-02",
    clause="6.2.7.4.2",
    title="Method 1: a module from the CA",
    text="The CA may rely on a module that it sends, with keys that it made in it.",
    obligation=Obligation.MAY,
    binds=(Party.CA, Party.SUBSCRIBER),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2023, 6, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants(
        "If this method was used: which device was sent, its certificate, and the public keys in it.",
        ("module-shipment", "hsm-module-certificate"),
    ),
)

ATTESTATION = Requirement(
    id="CSBR-6.2.7.4.2-03",
    clause="6.2.7.4.2",
    title="Method 2: key attestation",
    text=(
        "The CA may rely on a request counter-signed under the maker's certificate, which shows a key made in a"
        " suitable module that cannot leave it."
    ),
    obligation=Obligation.MAY,
    binds=(Party.CA, Party.SUBSCRIBER),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2023, 6, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants(
        "If this method was used: the attestation for the key of the request, up to the root of its maker.",
        ("key-attestation",),
    ),
)

PRESCRIBED_LIBRARY = Requirement(
    id="CSBR-6.2.7.4.2-04",
    clause="6.2.7.4.2",
    title="Method 3: a prescribed library",
    text="The CA may rely on a crypto library that it prescribes together with a suitable module.",
    obligation=Obligation.MAY,
    binds=(Party.CA, Party.SUBSCRIBER),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2023, 6, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants("If this method was used: which library in which version, and which token.", ("cp-cps", "log:key")),
)

IT_AUDIT = Requirement(
    id="CSBR-6.2.7.4.2-05",
    clause="6.2.7.4.2",
    title="Method 4: an IT audit",
    text=(
        "The CA may rely on an audit, from within or without, by which code signing keys are made in suitable modules"
        " only."
    ),
    obligation=Obligation.MAY,
    binds=(Party.CA, Party.SUBSCRIBER),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2023, 6, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants(
        "If this method was used: the report, its date, who audited, and that key generation was in its scope.",
        ("it-audit",),
    ),
)

CLOUD_REPORT = Requirement(
    id="CSBR-6.2.7.4.2-06",
    clause="6.2.7.4.2",
    title="Method 5: a report from the cloud",
    text="The CA may rely on a suitable report of how account and resources of a cloud key service are set up.",
    obligation=Obligation.MAY,
    binds=(Party.CA, Party.SUBSCRIBER),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2023, 6, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants(
        "If this method was used: the report, with account, key, level and date.",
        ("cloud-configuration-report",),
    ),
)

WITNESSED = Requirement(
    id="CSBR-6.2.7.4.2-07",
    clause="6.2.7.4.2",
    title="Method 6: a witnessed key generation",
    text=(
        "The CA may rely on a report signed by an auditor it approved, CISA or trained in IT and security, who saw"
        " the key being made."
    ),
    obligation=Obligation.MAY,
    binds=(Party.CA, Party.SUBSCRIBER),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2023, 6, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants(
        "If this method was used: the report, the public key in it, and what qualifies its author.",
        ("witnessed-ceremony", "auditor-qualification"),
    ),
)

SERVICE_AGREEMENT = Requirement(
    id="CSBR-6.2.7.4.2-08",
    clause="6.2.7.4.2",
    title="Method 7: an agreement with a Signing Service",
    text="The CA may rely on the Subscriber's agreement to use a Signing Service that keeps 6.2.7.3.",
    obligation=Obligation.MAY,
    binds=(Party.CA, Party.SUBSCRIBER, Party.SIGNING_SERVICE),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2023, 6, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants(
        "If this method was used: the agreement, and how the service stands with 6.2.7.3.",
        ("signing-service-terms",),
    ),
    notes=(
        "It asks for 6.2.7.3 only, not for the audit of 8.4.2: by this door a CA can accept a service that was"
        " never audited.",
    ),
)

ANY_OTHER = Requirement(
    id="CSBR-6.2.7.4.2-90",
    clause="6.2.7.4.2",
    title="Method 8: any other",
    text=(
        "A CA could use a method of its own that its CP or CPS described and that was proposed to the working group"
        " by June 2023."
    ),
    obligation=Obligation.MAY,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2022, 5, 6), date(2024, 2, 27)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants("If this method was used: the method in the CPS, the proposal, and what it showed.", ("cp-cps",)),
    notes=("Proposals were taken until 2022-11-15 by CSC-13, until 2023-06-01 by CSC-17; CSC-22 took the method out.",),
)

REQUIREMENTS = (
    CA_ENSURES,
    SHIPPED_MODULE,
    ATTESTATION,
    PRESCRIBED_LIBRARY,
    IT_AUDIT,
    CLOUD_REPORT,
    WITNESSED,
    SERVICE_AGREEMENT,
    ANY_OTHER,
)
