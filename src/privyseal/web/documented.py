"""Everything that goes in and out as JSON: the types that the OpenAPI document describes."""

from __future__ import annotations

from privyseal.access.deciding import Explained
from privyseal.access.trust import NewRule
from privyseal.compliance.gates import Overridden
from privyseal.compliance.incidents import OutsideReport, Report
from privyseal.compliance.statements_of_lives import CeremonyHeld
from privyseal.compliance.statements_of_parties import AccountsReviewed, Left
from privyseal.signing import forms_of_certificates, forms_of_parties
from privyseal.signing.forms_of_keys import ActList, ActShown, Held, LifeList, LifeShown, NewAct, NewKey
from privyseal.signing.forms_of_parties import Acceptance, NewParty, NewToken
from privyseal.signing.forms_of_requests import Agreement, NewGrant, Plan, Proposal, Revocation, Trial, UseAsked
from privyseal.signing.freezes import Asked
from privyseal.signing.incidents import Step
from privyseal.signing.review import Review
from privyseal.terms.parties import Member
from privyseal.terms.requests import Approval, SigningRequest
from privyseal.terms.uploads import NewUpload
from privyseal.web import (
    exchange,
    notices,
    problem,
    reports,
    signin,
    views,
    views_of_attested_keys,
    views_of_findings,
    views_of_parties,
    views_of_requests,
)

DOCUMENTS = (
    problem.Problem,
    views.Alive,
    views.Ready,
    views.Whoami,
    views.KeyList,
    views.CertificateList,
    views.RequestView,
    views.UploadView,
    views_of_findings.StatementList,
    views_of_findings.FindingList,
    views_of_findings.GateList,
    views_of_parties.RuleList,
    views_of_parties.TokenList,
    views_of_parties.TokenOnce,
    exchange.Exchanged,
    exchange.ExchangeRefusal,
    NewRule,
    NewToken,
    views_of_requests.FreezeList,
    Asked,
    Agreement,
    views_of_findings.CaseList,
    Report,
    OutsideReport,
    reports.Heard,
    Step,
    views_of_requests.SignedList,
    views_of_requests.WebhookList,
    notices.NewWebhook,
    views_of_requests.DeliveryList,
    views_of_parties.SubscriberList,
    views_of_parties.NewSubscriber,
    views_of_parties.TakenIn,
    views_of_parties.Change,
    views_of_attested_keys.NewCertificateRequest,
    views_of_attested_keys.CertificateRequestView,
    views_of_attested_keys.NewIdentity,
    views_of_attested_keys.NewAttestation,
    views_of_attested_keys.AttestationView,
    views_of_attested_keys.EvidenceView,
    views_of_attested_keys.IdentityView,
    forms_of_parties.AccountList,
    forms_of_parties.Reviewed,
    forms_of_parties.NewMember,
    views_of_parties.Roles,
    views_of_parties.Leaving,
    Member,
    Left,
    AccountsReviewed,
    views_of_parties.PaperList,
    views_of_parties.NewPaper,
    Acceptance,
    views_of_parties.PartyList,
    views_of_parties.Link,
    NewParty,
    views_of_requests.PolicyList,
    views_of_requests.PolicyView,
    views_of_requests.Brought,
    views_of_requests.Kept,
    Plan,
    Proposal,
    Trial,
    Explained,
    Overridden,
    signin.DeviceAsked,
    views_of_parties.DeviceAnswer,
    signin.TokenAsked,
    views_of_parties.TokenAnswer,
    signin.InvitationAsked,
    signin.Invitation,
    forms_of_certificates.NewOrder,
    forms_of_certificates.Uploaded,
    forms_of_certificates.Accepted,
    forms_of_certificates.Refusal,
    forms_of_certificates.OrderList,
    forms_of_certificates.Shown,
    forms_of_certificates.RevocationWish,
    forms_of_certificates.RevocationList,
    views_of_requests.GrantList,
    views_of_requests.FittingList,
    NewGrant,
    Revocation,
    UseAsked,
    LifeList,
    LifeShown,
    NewKey,
    NewAct,
    ActList,
    ActShown,
    Held,
    CeremonyHeld,
    NewUpload,
    SigningRequest,
    Approval,
    views_of_requests.Denial,
    views_of_requests.RequestList,
    Review,
)
"""What goes in and out as JSON, with all that these are made of."""
