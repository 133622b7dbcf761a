"""What a relying party does: a file and its receipt in, a verdict out. Needs no service, no database and no network.

A signature is judged in this order, and the verdict is the worst that was found:

1. itself, by its format: the digest of the content, the signed attributes, the value, the layout of the file;
2. its timestamp: that it is over this very signature value, and that its time is to be believed, by its authority's
   chain and by its renewals (``timestamp/worth.py``);
3. its certificate's chain, at the time of a good timestamp, else at the moment the caller names;
4. the receipt, under the log policy: both log entries, both inclusion proofs, the signed tree head; then that what
   the log knows as approved (the request) and as made (the digests in the completion) is what stands in this file.

The receipt binds every octet of a signature as it was released. What others may add later without harm (a further
signature, a timestamp) is told apart from what was changed, by taking it off again and looking at the digest anew.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Self

import msgspec

from privyseal.errors import BadInput, MalformedCode, VerificationFailed
from privyseal.formats import catalogue
from privyseal.formats.examine import examine
from privyseal.formats.protocol import EmbeddedSignature, Problem, Source
from privyseal.pki import certificates, chain, cms, revocations, unsigned
from privyseal.pki.chain import Anchors, Judgement
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.certificates import Certificate
from privyseal.terms.requests import SigningRequest
from privyseal.terms.signatures import LogFacts, TimestampFacts, TimestampToken
from privyseal.timestamp import worth
from privyseal.timestamp.renewal import forms_before
from privyseal.timestamp.worth import Worth
from privyseal.tlog.policy import Policy
from privyseal.tlog.proof import OpenedReceipt, read_receipt

Verdict = Literal["valid", "invalid", "unsigned", "untrusted", "indeterminate"]
"""Of a file or signature: ``invalid`` says that something is wrong, ``untrusted`` that nobody vouches,
``indeterminate`` that something asked for could not be settled either way."""

WORST_FIRST: tuple[Verdict, ...] = ("invalid", "untrusted", "indeterminate", "valid")
"""Verdicts of signatures in the order in which one decides for the whole file."""


class Trust(msgspec.Struct, frozen=True):
    """Whom the verifier believes."""

    anchors: Anchors | None = None
    """Roots for code signing and timestamps; None trusts nobody."""
    crls: tuple[bytes, ...] = ()
    """DER. If there are any, every certificate below an anchor must be covered by one."""
    log_policy: Policy | None = None
    """The logs and witnesses; with it a signature must be in the log, and the receipt must prove it."""


class SignatureVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about one signature (``privyseal/verify/1``; the members after ``problems`` extend the
    contract)."""

    signer: str
    serial: str
    issuer: str
    digest_algorithm: str
    digest: str
    """What the signature says the content hashes to, lower-case hex."""
    timestamp: TimestampFacts | None
    log: LogFacts | None
    problems: tuple[Problem, ...]
    verdict: Verdict
    name: str
    """What people call the signer: the certificate's common name, or its whole subject."""
    not_before: datetime | None
    not_after: datetime | None
    """Of the signer's certificate; without a timestamp the signature ends with it."""
    anchor: str | None
    """Subject of the anchor that the certificate's chain ends in, where one was found."""
    revocation: Literal["good", "revoked", "not-checked"]
    program_name: str | None
    program_url: str | None
    renewals: tuple[TimestampFacts, ...] = ()
    """Later timestamps over the timestamp that count, oldest first."""
    timestamp_ends: datetime | None = None
    """When the certificate ends on which the last of them rests."""
    notes: tuple[Problem, ...] = ()
    """What is worth knowing and takes nothing from the verdict."""


class FileVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about one file (``privyseal/verify/1``)."""

    path: str
    format: str | None
    verdict: Verdict
    signatures: tuple[SignatureVerdict, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    """What is worth knowing and takes nothing from the verdict."""


def verify_file(code: Source, *, trust: Trust, at: datetime, receipt: bytes | None = None) -> FileVerdict:
    """Judge one file as of ``at`` (aware), with the octets of its receipt if there is one.

    Never raises for what the file, its signatures or its receipt hold: that is a verdict. BadInput where the file
    cannot be read at all. The verdict's ``path`` is the source's name.
    """
    try:
        found = catalogue.recognise(code)
    except MalformedCode as error:
        return _file(code, None, "indeterminate", (Problem("unknown-format", error.detail),))
    try:
        examined = examine(found, code)
    except MalformedCode as error:
        return _file(code, found.name, "invalid", (Problem(error.code, error.detail),))
    embedded, problems = examined.signatures, list(examined.problems)
    if not embedded:  # with a table of signatures that holds none it is not simply unsigned
        return _file(code, found.name, "invalid" if problems else "unsigned", tuple(problems))
    judged = [_signature(each, trust, at) for each in embedded]
    verdicts: list[Verdict] = ["invalid"] if problems else []
    notes: list[Problem] = []
    if trust.log_policy is None:
        if receipt is not None:
            text = "There is a receipt, but no log policy to check it under; what it says was not looked at."
            notes.append(Problem("receipt-not-checked", text))
    elif receipt is None:
        text = "There is no receipt, so it is not shown that the signature is in the log that is asked for."
        problems.append(Problem("no-receipt", text))
        verdicts.append("indeterminate")
    else:
        logged = _Logged.read(receipt, trust.log_policy)
        if isinstance(logged, Problem):
            problems.append(logged)
            verdicts.append("invalid")
        else:
            judged = [logged.applied(each, verdict) for each, verdict in zip(embedded, judged, strict=True)]
            if all(verdict.log is None for verdict in judged):
                text = "The receipt is of another signature; it is not shown that this one is in the log."
                problems.append(Problem("receipt-of-another", text))
                verdicts.append("indeterminate")
    worst = _worst([*verdicts, *(verdict.verdict for verdict in judged)])
    return _file(code, found.name, worst, tuple(problems), tuple(judged), tuple(notes))


def _file(
    code: Source,
    format_name: str | None,
    verdict: Verdict,
    problems: tuple[Problem, ...] = (),
    signatures: tuple[SignatureVerdict, ...] = (),
    notes: tuple[Problem, ...] = (),
) -> FileVerdict:
    return FileVerdict(
        path=code.filename, format=format_name, verdict=verdict, signatures=signatures, problems=problems, notes=notes
    )


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    return next(verdict for verdict in WORST_FIRST if verdict in (*verdicts, "valid"))


# -- one signature -----------------------------------------------------------------------------------------------------
def _signature(embedded: EmbeddedSignature, trust: Trust, at: datetime) -> SignatureVerdict:
    """Judge a signature without its receipt."""
    problems = list(embedded.problems)
    verdicts: list[Verdict] = ["invalid"] if problems else []
    signer = _signer(embedded)
    if isinstance(signer, Problem):
        problems.append(signer)
        verdicts.append("invalid")
    stamped = _timestamp(embedded, trust, at)
    problems += (Problem(*each) for each in stamped.problems)
    notes = [Problem(*each) for each in stamped.notes]
    verdicts.append(stamped.verdict)
    judgement = Judgement(verdict="untrusted")
    if isinstance(signer, Certificate):
        when = at if stamped.token is None else stamped.token.time
        judgement = _chain(signer, embedded.certificates, trust, when)
        problems += (Problem(each.code, each.text) for each in judgement.problems)
        verdicts.append(judgement.verdict)
        if judgement.verdict == "valid":
            notes += _revoked_later(judgement, trust, stamped)
    known = signer if isinstance(signer, Certificate) else None
    return SignatureVerdict(
        signer=known.subject if known else "",
        serial=known.serial if known else "",
        issuer=known.issuer if known else "",
        digest_algorithm=embedded.digest_algorithm,
        digest=embedded.digest.hex(),
        timestamp=_facts(stamped.token) if stamped.token is not None else None,
        log=None,
        problems=tuple(problems),
        verdict=_worst(verdicts),
        name=(certificates.common_name(known.der) or known.subject) if known else "",
        not_before=known.not_before if known else None,
        not_after=known.not_after if known else None,
        anchor=judgement.path[-1].subject if judgement.path else None,
        revocation=judgement.revocation,
        program_name=embedded.program_name,
        program_url=embedded.program_url,
        renewals=tuple(map(_facts, stamped.renewals)),
        timestamp_ends=stamped.ends,
        notes=tuple(notes),
    )


def _facts(token: TimestampToken) -> TimestampFacts:
    return TimestampFacts(token.time, token.authority)


def _signer(embedded: EmbeddedSignature) -> Certificate | Problem:
    if embedded.signer is None:
        return Problem("no-signer-certificate", "The signature does not carry its signer's certificate.")
    try:
        return certificates.read(embedded.signer)
    except BadInput as error:
        return Problem("unreadable-certificate", error.detail)


def _timestamp(embedded: EmbeddedSignature, trust: Trust, at: datetime) -> Worth:
    """Judge a signature's timestamp; having none is no problem of its own, but then the certificate's end is the
    end."""
    if embedded.timestamp is None:
        return Worth(verdict="valid")
    return worth.judge(embedded.timestamp, embedded.signature_value, worth.Believed(trust.anchors, trust.crls, at))


def _chain(leaf: Certificate, others: Sequence[bytes], trust: Trust, at: datetime) -> Judgement:
    if trust.anchors is None:
        text = "No trust anchor was given, so nobody vouches for the certificate."
        return Judgement(verdict="untrusted", problems=(chain.Problem("no-path", text),))
    try:
        return chain.judge(leaf.der, tuple(others), trust.anchors, trust.crls, at, "code-signing")
    except BadInput as error:
        # The leaf has been read, so it is one of the certificates that came along: the file's fault, not the caller's.
        return Judgement(verdict="invalid", problems=(chain.Problem("unfit-chain", error.detail),))


def _revoked_later(judgement: Judgement, trust: Trust, stamped: Worth) -> list[Problem]:
    """Say which certificates of a chain that was good were revoked after the moment for which it was judged."""
    after = "the moment asked about" if stamped.token is None else "the timestamp"
    found = []
    for child, issuer in zip(judgement.path, judgement.path[1:], strict=False):
        if (revoked := revocations.find(child.der, issuer.der, trust.crls)) is not None:
            text = (
                f"The certificate of {child.subject} was revoked on {worth.words(revoked.at)}, which is after {after}; "
                "what was signed before stays signed."
            )
            found.append(Problem("revoked-later", text))
    return found


# -- the receipt -------------------------------------------------------------------------------------------------------
class _Logged(msgspec.Struct, frozen=True):
    """What a verified receipt proves."""

    opened: OpenedReceipt
    request: SigningRequest

    @classmethod
    def read(cls, receipt: bytes, policy: Policy) -> Self | Problem:
        """Verify a receipt; a Problem where it does not hold, or proves something else than a signature."""
        try:
            opened = read_receipt(receipt, policy)
            if opened.verb != "sign" or opened.completed.outcome != "signed":
                return Problem("receipt", "The receipt proves that no signature was made.")
            return cls(opened, decode_canonical(opened.payload, SigningRequest))
        except (VerificationFailed, BadInput) as error:
            return Problem("receipt", error.detail)

    def applied(self, embedded: EmbeddedSignature, verdict: SignatureVerdict) -> SignatureVerdict:
        """Add to a signature's verdict what the log knows of it; unchanged where the receipt is not of this
        signature."""
        if hashlib.sha256(embedded.signature_value).hexdigest() not in self.opened.completed.signatures:
            return verdict
        head = self.opened.checkpoint
        facts = LogFacts(self.opened.index, head.origin, head.size, self.opened.witnesses)
        problems, notes = self._differences(embedded)
        return msgspec.structs.replace(
            verdict,
            log=facts,
            problems=(*verdict.problems, *problems),
            notes=(*verdict.notes, *notes),
            verdict="invalid" if problems else verdict.verdict,
        )

    def _differences(self, embedded: EmbeddedSignature) -> tuple[list[Problem], list[Problem]]:
        """Compare what was approved, and what was released, with what stands in the file: problems, and notes."""
        problems: list[Problem] = []
        request = self.request
        approved = [(each.digest_algorithm, each.digest) for each in request.described]
        address = request.options.nuget_repository or request.options.program_url
        options = (request.options.program_name, address)
        if (embedded.digest_algorithm, embedded.digest) not in approved:
            problems.append(Problem("not-approved", "The log shows that other code was approved than is signed here."))
        if embedded.signer is None or hashlib.sha256(embedded.signer).hexdigest() != request.certificate:
            problems.append(Problem("not-approved", "The log shows that another certificate was asked for."))
        if (embedded.program_name, embedded.program_url) != options:
            problems.append(Problem("not-approved", "The log shows that another program name or address was approved."))
        released = self.opened.completed.blobs
        if hashlib.sha256(embedded.blob).hexdigest() in released:
            return problems, []
        for code, what, blob in _earlier(embedded):
            if hashlib.sha256(blob).hexdigest() in released:
                return problems, [Problem(code, f"{what} after release; the rest is as it was.")]
        text = (
            "Parts that the signature itself does not cover, such as its timestamp, are not those that were released."
        )
        return [*problems, Problem("changed-after-release", text)], []


def _earlier(embedded: EmbeddedSignature) -> list[tuple[str, str, bytes]]:
    """Return what a signature was before its timestamp was renewed, and before it had one, with words for each.

    A format takes nested signatures off a blob itself and calls every unsigned attribute but a timestamp a problem, so
    what comes off here is a timestamp.
    """
    blob, token, bare = embedded.blob, embedded.timestamp, embedded.bare
    try:
        if bare is not None and token is not None:
            forms = [base64.b64encode(one) for one in _before_renewal(token)]
            renewed = [blob.replace(base64.b64encode(token), one) for one in forms]
        else:
            (signer,) = cms.parse(blob).signers
            if not signer.unsigned:
                return []
            bare, renewed = unsigned.with_only(blob, {}), _before_renewals(blob, signer.unsigned)
    except (BadInput, ValueError, IndexError):
        return []
    return [
        *(("renewed-after-release", "The timestamp was renewed", each) for each in renewed),
        ("added-after-release", "A timestamp was added", bare),
    ]


def _before_renewals(blob: bytes, attributes: Mapping[str, Sequence[bytes]]) -> list[bytes]:
    """Return a message as it was before its timestamps were renewed, one renewal after the other taken off."""
    forms = {kind: [_before_renewal(one) for one in values] for kind, values in attributes.items()}
    most = max(len(each) for several in forms.values() for each in several)
    return [
        unsigned.with_only(blob, {k: [one[min(at, len(one) - 1)] for one in v] for k, v in forms.items()})
        for at in range(most)
    ]


def _before_renewal(value: bytes) -> tuple[bytes, ...]:
    try:
        return forms_before(value)
    except BadInput:
        return (value,)
