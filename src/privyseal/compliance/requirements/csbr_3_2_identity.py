"""Who an Applicant is: the CA's validation of organisations and of individuals (3.2.2, 3.2.3).

The Requirements speak of each certificate. The CA's file is about the Applicant, and a Subscriber has one verdict here,
by the date of its certificate: what stands in the file is the same for all of its certificates.
"""

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

REQUIREMENTS = (
    Requirement(
        id="CSBR-3.2.2-01",
        clause="3.2.2",
        title="Who asks is who they say",
        text="By a documented process the CA verifies the Applicant's identity and that the request is genuine, and"
        " looks for forgery in what it relies on.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-19", "3.4"),
        in_force=InForce(date(2023, 9, 5)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "The validation of identity and the inspection of documents, each with its validator, before the"
            " certificate.",
            ("identity-validation", "log:validation"),
        ),
    ),
    Requirement(
        id="CSBR-3.2.2.1-01",
        clause="3.2.2.1",
        title="What is verified of an organisation (Non-EV)",
        text="For a Non-EV certificate the CA verifies the organisation's legal identity and any trade name, its"
        " address and, over a Reliable Method of Communication, the requester's authority, and notes the registration"
        " number if there is one.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.NON_EV,),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "A validation record with name, address, authority and registration number (or why there is none), older"
            " than the certificate.",
            ("identity-validation", "log:validation"),
        ),
    ),
    Requirement(
        id="CSBR-3.2.2.1-02",
        clause="3.2.2.1",
        title="A young organisation's requester is verified in person",
        text="If the directories show that the organisation, or one it belongs with, is less than three years old,"
        " the CA verifies the Certificate Requester as an individual.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.NON_EV,),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "The date of formation, and if that is under three years before the request, the requester's own"
            " validation.",
            ("identity-validation", "log:validation"),
        ),
        notes=("The table of dates makes the method of 3.2.3.1 compulsory from 2021-11-01 on.",),
    ),
    Requirement(
        id="CSBR-3.2.2.1.1-01",
        clause="3.2.2.1.1",
        title="Where identity and address may be looked up",
        text="Identity and address are confirmed by an authority, a maintained Reliable Data Source, a visit or an"
        " Attestation Letter; for the address alone a bill, statement or tax paper will do.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.NON_EV,),
        source=Source("CSC-19", "3.4"),
        in_force=InForce(date(2023, 9, 5)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "The kind of source that stands behind identity and behind address.",
            ("identity-validation", "log:validation"),
        ),
    ),
    Requirement(
        id="CSBR-3.2.2.1.2-01",
        clause="3.2.2.1.2",
        title="A trade name needs a proven right to it",
        text="A trade name stands in the subject only after one of the listed sources has confirmed the right to use"
        " it.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.NON_EV,),
        source=Source("CSC-19", "3.4"),
        in_force=InForce(date(2023, 9, 5)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "If the certificate shows a trade name, the record that the right to it was confirmed.",
            ("identity-validation", "log:validation"),
        ),
    ),
    Requirement(
        id="CSBR-3.2.2.2-01",
        clause="3.2.2.2",
        title="What is verified, and who plays which role (EV)",
        text="Before an EV certificate the CA verifies that the organisation exists in law, in a place and in"
        " business, and knows Certificate Requester, Approver and Contract Signer; one person may be several.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV,),
        source=Source("CSC-25", "3.8"),
        in_force=InForce(date(2024, 8, 1)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "The EV file: the three kinds of existence, and a person for each role, before the certificate.",
            ("identity-validation", "log:validation"),
        ),
        notes=(
            "The list of references still names version 1.7.2 of the EV Guidelines, although the text that was taken"
            " over is that of 1.8.0.",
        ),
    ),
    Requirement(
        id="CSBR-3.2.2.2.7-01",
        clause="3.2.2.2.7",
        title="Contract Signer and Approver are verified",
        text="The CA verifies name, title and agency of both, the Contract Signer's power to sign, and the Approver's"
        " EV Authority through somebody other than the Approver.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV,),
        source=Source("CSC-25", "3.8"),
        in_force=InForce(date(2024, 8, 1)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "In the EV file: both persons' verification, the power to sign, and where the EV Authority was confirmed.",
            ("identity-validation", "log:validation"),
        ),
    ),
    Requirement(
        id="CSBR-3.2.2.2.8-01",
        clause="3.2.2.2.8",
        title="The EV agreement and each request are signed",
        text="An authorised Contract Signer signs the Subscriber Agreement; a request not agreed beforehand is signed"
        " by its Requester and, if that is no Approver, approved by one.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV,),
        source=Source("CSC-25", "3.8"),
        in_force=InForce(date(2024, 8, 1)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT, EnforcedBy.REVOCATION),
        wants=Wants(
            "The agreement's signature, and each request's signature and approval, against the known roles.",
            ("log:validation", "subscriber-agreement"),
        ),
    ),
    Requirement(
        id="CSBR-3.2.3-01",
        clause="3.2.3",
        title="Who an individual is",
        text="An individual is known by a readable copy of a valid photo ID that was checked for changes, with proof"
        " of address, or by a signature with a fitting personal certificate.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.NON_EV,),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "Which ID, which proof of address or which signature identified the individual.",
            ("identity-validation", "log:validation"),
        ),
        notes=("A Subscriber that is an organisation is not concerned, save as 3.2.2.1 says of young ones.",),
    ),
    Requirement(
        id="CSBR-3.2.3.2-01",
        clause="3.2.3.2",
        title="That it is really the individual who asks",
        text="That the individual is the one asking is shown by a picture with the ID in hand, face to face or by"
        " camera, by a confirmed declaration with a biometric, or by that signature.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.NON_EV,),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "By which of the four ways the individual was seen to be the one who asks.",
            ("identity-validation", "log:validation"),
        ),
        notes=("A Subscriber that is an organisation is not concerned, save as 3.2.2.1 says of young ones.",),
    ),
)
"""In the order of the clauses."""
