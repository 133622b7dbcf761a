"""The kinds of evidence that a requirement can want: documents, and entries of the service's own log."""

from __future__ import annotations

DOCUMENTS: dict[str, str] = {
    "audit-report": "an auditor's report on a period",
    "auditor-qualification": "what shows that an auditor is qualified (CSBR 8.2)",
    "bcp": "the business continuity plan",
    "ca-ss-contract": "the contract between a CA and a Signing Service (CSBR 2.2, 9.6.5)",
    "cloud-configuration-report": "how a cloud key service was set up, and that it logs",
    "cp-cps": "a Certificate Policy or Certification Practice Statement",
    "delegation-register": "which function is delegated to whom",
    "drp": "the disaster recovery plan",
    "dtp-contract": "the contract with a Delegated Third Party (CSBR 1.3.2)",
    "dtp-review": "a check of a Delegated Third Party's staff and logs",
    "hsm-module-certificate": "the FIPS 140 or Common Criteria certificate of a cryptographic module",
    "identity-validation": "what a CA verified about an Applicant",
    "insurance": "a policy or statement of coverage",
    "internal-agreement": "an agreement between two teams of one organisation",
    "internal-audit": "an audit by one's own staff",
    "inventory": "the list of systems in scope",
    "irp": "the incident response plan",
    "it-audit": "an IT audit that shows where a Subscriber's key is",
    "key-ceremony": "the script and record of a key ceremony",
    "key-deletion-ceremony": "the record of a witnessed key removal",
    "network-scan": "a scan of listeners and boundaries",
    "pentest-report": "a penetration test's report",
    "physical-security": "what shows how a site is guarded",
    "platform-agreement": "an agreement with an Application Software Supplier",
    "platform-delay-request": "an Application Software Supplier's request to delay a revocation",
    "policy": "a written policy of the organisation",
    "review-record": "a dated record of a review, with who did it",
    "risk-assessment": "the risk assessment",
    "security-plan": "the security plan",
    "signing-service-terms": "what a Subscriber committed to towards the Signing Service (CSBR 9.6.5)",
    "subscriber-agreement": "the CA's Subscriber Agreement",
    "takeover-documentation": "what a CA asks for after a takeover attack",
    "terms-of-use": "the CA's Terms of Use",
    "training-record": "who was trained in what, and when",
    "vulnerability-scan": "a vulnerability scan's report",
    "witnessed-ceremony": "a key generation that an auditor saw",
}
"""Kinds of documents, which a person adds; what each is, in words."""

ENTRIES: dict[str, str] = {
    "log:access-review": "a review of who has access",
    "log:alert": "an alert and its answer",
    "log:authentication": "who proved what by which factors",
    "log:ca-notified": "a notice to an issuing CA",
    "log:certificate": "a certificate asked for, issued, accepted or revoked",
    "log:change": "a change of the configuration, with who agreed",
    "log:clock": "a synchronisation, adjustment or alarm of a timestamp clock",
    "log:crl": "a CRL issued",
    "log:incident": "a report, suspicion or confirmation of Suspect Code or of a compromise",
    "log:integrity": "a check of the log's own integrity",
    "log:key": "a key generated, changed, frozen or destroyed",
    "log:leaver": "an account closed because somebody left",
    "log:ocsp": "an OCSP response signed",
    "log:problem-report": "a Certificate Problem Report and what came of it",
    "log:signature": "an intent to sign, and what became of it",
    "log:status-probe": "a probe of a CRL or OCSP address from outside, and what came back",
    "log:system": "a start, stop or failure of a system",
    "log:validation": "a validation of an Applicant",
}
"""Kinds of entries, which a machine writes."""

KINDS: dict[str, str] = DOCUMENTS | ENTRIES
