"""What became of each file that was to be signed: as ``privyseal/sign/1``, in words, and for the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from privyseal.cli.output import path_text
from privyseal.cli.pieces import Job, Made, Opened, Pending, certificate_of
from privyseal.errors import PrivySealError, from_code
from privyseal.formats.protocol import EmbeddedSignature, Problem
from privyseal.terms.signatures import LogFacts, TimestampFacts


class SignatureFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One signature, as ``verify --json`` has it."""

    signer: str
    serial: str
    issuer: str
    digest_algorithm: str
    digest: str
    timestamp: TimestampFacts | None
    log: LogFacts | None
    problems: tuple[Problem, ...] = ()


class InsideReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is inside one file; names of what is in nested containers stand behind a ``!``."""

    unsigned: tuple[str, ...] = ()
    """Signable files without a signature, at most MOST_NAMES."""
    more: int = 0
    """How many there are beyond."""
    missing: tuple[str, ...] = ()
    """Files that a manifest names and that are not there, at most MOST_NAMES."""
    changed: tuple[str, ...] = ()
    """Files that are not as a manifest states, at most MOST_NAMES."""
    unseen: str | None = None
    """Why not everything was looked at, where that is so."""
    signed: tuple[str, ...] = ()
    """With ``--inside sign``: what was signed."""
    left: tuple[Problem, ...] = ()
    """With ``--inside sign``: what looks like code and cannot be signed."""
    receipts: tuple[str, ...] = ()
    """With ``--inside sign``: where the receipts of what was signed are, one for each request."""


class FileReport(msgspec.Struct, frozen=True, kw_only=True):
    """One file, as ``verify --json`` has it, with what only ``sign`` knows."""

    path: str
    output: str | None = None
    format: str | None = None
    status: Literal["signed", "kept", "waiting", "failed"]
    """``kept``: signed well by this key already, or by somebody else and ``--if-signed skip`` was given."""
    verdict: Literal["valid"] | None = None
    """``valid`` where what stands on the disk was opened again and its signature, digest, layout, timestamp and receipt
    hold. Whom the certificate chains to is for ``verify`` to say."""
    signatures: tuple[SignatureFacts, ...] = ()
    problems: tuple[Problem, ...] = ()
    receipt: str | None = None
    request: str | None = None
    request_id: str | None = None
    """By which the service's log knows the call, from ``serve`` to the signer."""
    inside: InsideReport | msgspec.UnsetType = msgspec.UNSET
    """Only where something is to be said of what is inside."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What ``sign --json`` prints."""

    schema: Literal["privyseal/sign/1"] = "privyseal/sign/1"
    files: tuple[FileReport, ...]


class Outcome(msgspec.Struct, frozen=True):
    """What became of one file, and the words for it."""

    report: FileReport
    words: str
    end: PrivySealError | Pending | None = None
    """What the exit code is made of; None for done."""


def failed(job: Job, error: PrivySealError, request: str | None = None) -> Outcome:
    """Tell of a file that was not signed."""
    problem = Problem(error.code, error.detail)
    report = FileReport(
        path=path_text(job.path), status="failed", problems=(problem,), request=request, request_id=error.request_id
    )
    words = error.detail if error.hint is None else f"{error.detail} ({error.hint})"
    if error.request_id is not None and error.status >= 500:
        words += f" [request id {error.request_id}]"
    return Outcome(report, words, error)


def waiting(job: Job, format_name: str, request: str) -> Outcome:
    """Tell of a file whose request waits for approval."""
    report = FileReport(path=path_text(job.path), format=format_name, status="waiting", request=request)
    words = f"waits for approval as {request}; then sign it again, or: privyseal request wait {request}"
    return Outcome(report, words, Pending(request))


def _facts(found: EmbeddedSignature, log: LogFacts | None) -> SignatureFacts:
    facts = certificate_of(found)
    token = None
    if found.timestamp is not None:
        from privyseal.timestamp.token import verify_token  # only where there is one

        token = verify_token(found.timestamp)  # who calls has verified it; this reads out of it again, which is cheap
    return SignatureFacts(
        signer=facts.subject if facts else "",
        serial=facts.serial if facts else "",
        issuer=facts.issuer if facts else "",
        digest_algorithm=found.digest_algorithm,
        digest=found.digest.hex(),
        timestamp=TimestampFacts(token.time, token.authority) if token else None,
        log=log,
    )


def kept(  # noqa: PLR0913 - what a report of a signature holds
    job: Job,
    opened: Opened,
    found: EmbeddedSignature | None,
    words: str,
    *,
    receipt: bool = False,
    log: LogFacts | None = None,
    made: Made | None = None,
) -> Outcome:
    """Tell of a file that needed no signature; ``receipt`` says that there is one beside it."""
    report = FileReport(
        path=path_text(job.path),
        output=path_text(job.out) if job.in_place else None,
        format=opened.format.name,
        status="kept",
        verdict="valid" if found else None,
        signatures=(_facts(found, log),) if found else (),
        receipt=path_text(job.receipt) if receipt or made else None,
        request=made.request if made else None,
        request_id=made.request_id if made else None,
    )
    return Outcome(report, words)


def signed(  # noqa: PLR0913 - what a report of signatures holds
    job: Job,
    opened: Opened,
    found: Sequence[EmbeddedSignature],
    made: Made,
    log: LogFacts | None,
    why: str,
    *,
    told: bool = True,
) -> Outcome:
    """Tell of a file that was signed, written, and checked on the disk; unless ``told``, not whose signatures."""
    report = FileReport(
        path=path_text(job.path),
        output=path_text(job.out),
        format=opened.format.name,
        status="signed",
        verdict="valid",
        signatures=tuple(_facts(each, log) for each in found) if told else (),
        receipt=path_text(job.receipt) if made.receipt else None,
        request=made.request,
        request_id=made.request_id,
    )
    done = ["signed"]
    if all(each.timestamp is not None for each in found):
        done.append("timestamped")
    if log is not None:
        done.append(f"logged (entry {log.index})")
    words = ", ".join(done) + " and checked"
    return Outcome(report, f"{words}; {why}" if why else words)


class _Sent(msgspec.Struct, frozen=True, array_like=True):
    """An outcome on its way from a child process."""

    report: FileReport
    words: str
    pending: str | None = None
    error: tuple[str, str, str | None] | None = None


def encode(outcome: Outcome) -> bytes:
    """Return an outcome as octets, for the process that tells of it."""
    end = outcome.end
    error = (end.code, end.detail, end.hint) if isinstance(end, PrivySealError) else None
    pending = end.request if isinstance(end, Pending) else None
    return msgspec.msgpack.encode(_Sent(outcome.report, outcome.words, pending, error))


def decode(octets: bytes) -> Outcome:
    """Return the outcome that :func:`encode` made octets of."""
    sent = msgspec.msgpack.decode(octets, type=_Sent)
    end = from_code(*sent.error) if sent.error else Pending(sent.pending) if sent.pending else None
    return Outcome(sent.report, sent.words, end)
