"""How a key was used: who asked and agreed and how they proved it, and whether its certificate was good then.

Each function judges one signature, made or about to be made; for which requirement, the files of ``requirements/`` say.
"""

from __future__ import annotations

from datetime import datetime

from privyseal.compliance.outcome import Outcome, Verdict, met, not_evidenced, not_met
from privyseal.compliance.requirement import Asked
from privyseal.compliance.subjects import Authentication, IncidentRecord, SignatureRecord
from privyseal.terms.parties import Factor

_KNOWN = frozenset({Factor.PASSWORD})
_HELD = frozenset({Factor.BEARER, Factor.CLIENT_CERTIFICATE, Factor.TOTP, Factor.RECOVERY_CODE})
_BOTH = frozenset({Factor.PASSKEY, Factor.SYNCED_PASSKEY})
"""What one knows, what one has, and what is both by itself: a passkey is used only by whom its device has verified."""
_OF_SERVERS = frozenset({Factor.CLIENT_CERTIFICATE, Factor.WORKLOAD_TOKEN})
"""By what one server proves itself to another."""

_STATUS = "record a CRL or OCSP response of the issuing CA that covers this moment"


def authenticated(signature: SignatureRecord, asked: Asked) -> Outcome:
    """Judge whether all who asked and agreed proved it by several factors or as a server (CSBR 6.2.7.3)."""
    return _all_proved(signature.by, server_to_server=True)


def several_factors(signature: SignatureRecord, asked: Asked) -> Outcome:
    """Judge the same by the text before CSC-21, when one server to another was not enough (CSBR 6.2.7.3)."""
    return _all_proved(signature.by, server_to_server=False)


def _all_proved(by: tuple[Authentication, ...] | None, *, server_to_server: bool) -> Outcome:
    """Judge all of them: the worst decides."""
    if not by:
        return not_evidenced("Who asked, and by what they proved it, is not recorded.", "record it with each request")
    outcomes = [_proof(each, server_to_server=server_to_server) for each in by]
    for worst in (Verdict.NOT_MET, Verdict.NOT_EVIDENCED):
        for outcome in outcomes:
            if outcome.verdict is worst:
                return outcome
    return outcomes[0] if len(outcomes) == 1 else met(f"All {len(outcomes)} who asked or agreed proved it so.")


def _proof(one: Authentication, *, server_to_server: bool) -> Outcome:
    """Judge how one person or machine proved who it is."""
    who = f"{one.who}, who {one.did},"
    if one.factors is None:
        return not_evidenced(f"By what {who} proved it, is not recorded.", "record the factors with each request")
    words = " and ".join(one.factors) or "nothing"
    if set(one.factors) <= {Factor.BEARER}:
        return not_met(
            f"{who} proved it by {words} alone: one secret, which is neither several factors nor server to server.",
            "have servers prove themselves by a client certificate or a run's identity token, people by two factors",
        )
    if server_to_server and one.workload and _OF_SERVERS & set(one.factors):
        return met(f"{who} is a server and proved it to ours by {words}.")
    if _BOTH & set(one.factors) or (_KNOWN & set(one.factors) and _HELD & set(one.factors)):
        return met(f"{who} proved it by {words}: several factors, of two kinds.")
    if Factor.OIDC in one.factors:
        return not_evidenced(
            f"{who} proved it by {words}; what an identity provider asks for, it says itself, and nobody here saw it.",
            "have people who sign in at a provider confirm with a passkey here",
        )
    if one.workload is None and _OF_SERVERS & set(one.factors):
        return not_evidenced(
            f"{who} proved it by {words}; whether that is one server to another, is not known.",
            "say of the member whether it is a machine (workload)",
        )
    if len(one.factors) > 1:
        return not_evidenced(
            f"{who} proved it by {words}, which are both something that one has; nothing shows two kinds of factors.",
            "have a person prove itself by factors of two kinds",
        )
    return not_met(f"{who} proved it by {words} alone; several factors were expected.", "add a second factor")


def accepted_before(signature: SignatureRecord, asked: Asked) -> Outcome:
    """Judge whether the Subscriber had accepted the certificate before this use of it (CSBR 9.6.3)."""
    if signature.signed is None:
        return not_evidenced("When it was signed is not known.", "record the time of each signature")
    if signature.accepted is None:
        return not_evidenced(
            "Nobody is recorded who read the certificate and accepted it.",
            "have the Subscriber read and accept the certificate, and record who did so and when",
        )
    if signature.accepted <= signature.signed:
        return met(f"The certificate was accepted on {_moment(signature.accepted)}, before this use.")
    return not_met(
        f"It was signed on {_moment(signature.signed)}, and the certificate accepted on {_moment(signature.accepted)}"
        " only.",
        "let nobody sign before the certificate is accepted",
    )


def in_force(signature: SignatureRecord, asked: Asked) -> Outcome:
    """Judge whether the certificate had neither expired nor been revoked (CSBR 9.6.3)."""
    if signature.signed is None or signature.not_before is None or signature.not_after is None:
        return not_evidenced("The time of the signature or the certificate is not known.", "record both")
    if signature.signed > signature.not_after:
        return not_met(f"The certificate had expired on {_moment(signature.not_after)}.", "have a new one issued")
    if signature.signed < signature.not_before:
        return not_met(f"The certificate is valid from {_moment(signature.not_before)} only.", "wait until then")
    status = signature.status
    if status is None:
        return not_evidenced("It had not expired; whether it was revoked, nothing recorded says.", _STATUS)
    if status.revoked_at is not None and status.revoked_at <= signature.signed:
        return not_met(
            f"The certificate was revoked as of {_moment(status.revoked_at)}.", "use another key and certificate"
        )
    if status.good_until < signature.signed:
        return not_evidenced(
            f"It was not revoked by what was known on {_moment(status.said_at)}, which was good until"
            f" {_moment(status.good_until)} only.",
            _STATUS,
        )
    return met(f"It had neither expired nor been revoked, by what the CA said on {_moment(status.said_at)}.")


def stopped(subject: SignatureRecord | IncidentRecord, asked: Asked) -> Outcome:
    """Judge whether the key rests once it is believed to be compromised or misused (CSBR 9.6.3)."""
    if isinstance(subject, IncidentRecord):
        return _stopped_after(subject)
    if subject.frozen:
        return not_met("The key is frozen, which says that somebody does not trust it.", "clear it up and unfreeze it")
    if subject.believed is None:
        return met("Nobody has recorded a belief that the key is compromised or misused, and it is not frozen.")
    if subject.signed is not None and subject.signed < subject.believed:
        return met(f"It was signed before {_moment(subject.believed)}, when the belief came up.")
    return not_met(
        f"The key is believed to be compromised or misused since {_moment(subject.believed)}.",
        "stop using it, ask the CA to revoke its certificates, and use a new key",
    )


def _stopped_after(incident: IncidentRecord) -> Outcome:
    if incident.believed is None:
        return not_evidenced("When it was first believed is not recorded.", "record it")
    if incident.last_signature is not None and incident.last_signature > incident.believed:
        return not_met(
            f"The key signed on {_moment(incident.last_signature)}, after {_moment(incident.believed)}.", "freeze it"
        )
    if incident.revocation_asked is None:
        return not_evidenced("That revocation was asked for is not recorded.", "ask the CA, and record when")
    if incident.last_signature is None:
        return not_evidenced("When the key was last used is not recorded.", "record it")
    return met(f"The key has rested since, and revocation was asked for on {_moment(incident.revocation_asked)}.")


def logged(signature: SignatureRecord, asked: Asked) -> Outcome:
    """Judge whether the log has all of this signature that a Signing Service of ours puts there (HOUSE 4.9.5)."""
    if signature.logged is None:
        return not_met("No entry of the log is known for it.", "sign by way of the log only")
    if not signature.log_names_actors:
        return not_met(
            f"Entry {signature.logged} of the log binds the request and what was signed; who asked is in the records"
            " alone.",
            "have requests name who asks",
        )
    return met(f"Entry {signature.logged} of the log binds the request, what was signed and who asked.")


def agreed(signature: SignatureRecord, asked: Asked) -> Outcome:
    """Judge whether as many agreed as the key's quorum asks for (HOUSE 6.2.7.3)."""
    if signature.quorum is None:
        return not_evidenced("How many had to agree is not known.", "record the quorum of each key")
    if signature.quorum == 0:
        return not_met("The key asks for nobody's agreement.", "amend its charter so that several people have to agree")
    if signature.agreed >= signature.quorum:
        return met(f"{signature.agreed} agreed; the key asks for {signature.quorum}.")
    return not_met(f"{signature.agreed} agreed; the key asks for {signature.quorum}.", "find out how it was signed")


def scanned(signature: SignatureRecord, asked: Asked) -> Outcome:
    """Judge whether a scanner looked at the code before it was signed, and found nothing (HOUSE 9.6.5)."""
    match signature.scan:
        case "clean":
            return met("Every scanner looked at the file before it was signed, and found nothing.")
        case "outdated":
            return not_met(
                "A scanner looked at the file with signatures that were older than allowed.",
                "let it fetch new ones; privyseal doctor shows their age",
            )
        case "none":
            return not_met("The service had the file, and no scanner looked at it.", "configure a scanner")
    return not_evidenced(
        "The file stayed with who asked; whether a scanner looked at it there is not recorded.",
        "have code for publicly trusted keys signed in mode server, with a scanner",
    )


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")
