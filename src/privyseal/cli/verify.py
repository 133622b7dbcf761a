"""``privyseal verify``: what ``privyseal/verify.py`` finds, in words and as JSON."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import click
import msgspec

from privyseal.cli import forked
from privyseal.cli import profile as profiles
from privyseal.cli.output import (
    Command,
    JsonMode,
    Output,
    fill,
    json_option,
    mark,
    path_text,
    printable,
    quiet_option,
    shown_path,
)
from privyseal.cli.profile import Profile, read_whole
from privyseal.errors import BadInput, Misused, PrivySealError, Unavailable, VerificationFailed
from privyseal.formats.protocol import Problem
from privyseal.formats.source import FileSource
from privyseal.pki import certificates, chain
from privyseal.terms.signatures import RECEIPT_SUFFIX
from privyseal.tlog.policy import MAX_POLICY, parse_policy
from privyseal.tlog.proof import MAX_PROOF
from privyseal.verify import FileVerdict, SignatureVerdict, Trust, verify_file

T = TypeVar("T")

MANY = 16
"""Files from which child processes pay: a verdict takes 20 ms, most of it for the chain, and a child 5 to start."""

LARGEST_TRUST = 64 << 20
"""Octets of one file of anchors or CRLs; as much as ``pki/chain.py`` reads of one CRL."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What ``verify --json`` prints."""

    schema: Literal["privyseal/verify/1"] = "privyseal/verify/1"
    files: tuple[FileVerdict, ...]


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(readable=False))
@click.option("--trust", multiple=True, metavar="PEM", help="Trust these roots, for code and timestamps. Repeatable.")
@click.option("--crl", multiple=True, metavar="FILE", help="Ask these revocation lists, PEM or DER. Repeatable.")
@click.option("--receipt", metavar="FILE", help=f"The file's receipt, where it is not FILE{RECEIPT_SUFFIX}.")
@click.option("--log-policy", metavar="FILE", help="Ask that the signature be in a log that this C2SP policy trusts.")
@click.option("--at", metavar="TIME", help="Judge as of this moment, such as 2027-03-01 or 2027-03-01T12:00:00Z.")
@click.option("--profile", metavar="P", help="Take what is not given from this profile: a name, or the path of a TOML.")
@json_option
@quiet_option
def verify(  # noqa: PLR0913 - one argument for each option, as click has it
    files: tuple[str, ...],
    trust: tuple[str, ...],
    crl: tuple[str, ...],
    receipt: str | None,
    log_policy: str | None,
    at: str | None,
    profile: str | None,
    json_mode: JsonMode | None,
    quiet: bool,
) -> list[PrivySealError | None]:
    """Check signed files and their receipts, offline.

    \b
    privyseal verify setup.exe --trust ca.pem
    privyseal verify dist/*.exe --profile D/client.toml
    privyseal verify setup.exe --trust ca.pem --at 2030-01-01

    Ends with 0 only if every file is valid, else with 3. Nothing is asked of any network.
    """
    if receipt is not None and len(files) > 1:
        raise Misused("One --receipt cannot be that of several files.", hint="check the files one by one")
    found = profiles.load({"trust": trust, "crl": crl, "log_policy": log_policy}, profile)
    if receipt is not None and found.log_policy is None:
        raise Misused("A receipt can only be checked under a log policy.", hint="give --log-policy FILE")
    believed = read_trust(found)
    moment = read_time(at) if at else datetime.now(UTC)
    output = Output(json_mode, quiet=quiet)
    verdicts: list[FileVerdict] = []
    unread = 0
    for verdict, was_read in _judged(files, lambda file: judge(file, believed, moment, receipt)):
        unread += not was_read
        verdicts.append(verdict)
        output.event("verified", **msgspec.to_builtins(verdict))
        lines = in_words(verdict, found)
        if at:
            lines[1:1] = fill("as of", f"{moment:%Y-%m-%d %H:%M:%S} UTC, as --at says")
        (output.say if verdict.verdict == "valid" else output.warn)(*lines)
    output.result(Report(files=tuple(verdicts)))
    if all(verdict.verdict == "valid" for verdict in verdicts):
        return [None]
    if unread == len(files):
        return [BadInput("None of the files could be read.")]
    return [VerificationFailed("Not every file is valid.")]


def _judged(files: Sequence[str], judge_one: Callable[[str], FileVerdict]) -> Iterator[tuple[FileVerdict, bool]]:
    """Judge files in their order, many in child processes; with each verdict, whether the file could be read."""

    def work(position: int, _tell: object) -> bytes:
        file = files[position]
        try:
            found, was_read = judge_one(file), True
        except BadInput as error:
            problem = Problem(error.code, error.detail)
            found = FileVerdict(path=path_text(file), format=None, verdict="indeterminate", problems=(problem,))
            was_read = False
        return msgspec.msgpack.encode((found, was_read))

    if len(files) < MANY or sys.platform != "linux":
        brought: Iterator[bytes] = (work(position, None) for position in range(len(files)))
    else:
        brought = forked.each(work, len(files), os.cpu_count() or 1, lambda _octets: None)
    try:
        yield from (msgspec.msgpack.decode(octets, type=tuple[FileVerdict, bool]) for octets in brought)
    except forked.Lost as error:
        raise Unavailable("A process that verified was ended from outside.", hint="run this again") from error


def judge(file: str, trust: Trust, at: datetime, receipt: str | None) -> FileVerdict:
    """Judge one file by its path; BadInput where it, or the receipt that was named, cannot be read."""
    with FileSource.open(file) as code:
        beside = receipt or file + RECEIPT_SUFFIX
        proof = read_whole(beside, MAX_PROOF) if receipt or os.path.lexists(beside) else None
        verdict = verify_file(code, trust=trust, at=at, receipt=proof)
    return msgspec.structs.replace(verdict, path=path_text(file))


def read_trust(profile: Profile) -> Trust:
    """Read the anchors, CRLs and log policy that a profile names; Misused where one is not what it should be."""
    anchors: list[bytes] = []
    crls: list[bytes] = []
    for path in profile.trust:
        anchors += _named(path, "trust anchors", _anchors)
    for path in profile.crl:
        crls += _named(path, "revocation list", chain.read_crls)
    policy = None
    if profile.log_policy is not None:
        policy = _named(profile.log_policy, "log policy", parse_policy, MAX_POLICY)
    return Trust(chain.Anchors(tuple(anchors)) if anchors else None, tuple(crls), policy)


def _named(path: Path, what: str, read: Callable[..., T], limit: int = LARGEST_TRUST) -> T:
    """Read a file that the user vouches for; Misused that names it where it is not what it should be."""
    try:
        return read(read_whole(path, limit))
    except BadInput as error:
        raise Misused(f"The {what} {shown_path(path)} cannot be used: {error.detail}", hint=error.hint) from error


def _anchors(text: bytes) -> list[bytes]:
    found = certificates.pem_certificates(text)
    for one in found:
        certificates.read(one)
    return found


def read_time(text: str) -> datetime:
    """Read a moment in ISO 8601; without an offset it is UTC, without a time of day the day's beginning."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Misused(
            f"{printable(text)!r} is no time.", hint="write it as 2027-03-01 or 2027-03-01T12:00:00Z"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


# -- in words ----------------------------------------------------------------------------------------------------------
def in_words(verdict: FileVerdict, profile: Profile) -> list[str]:
    """Return the verdict as people read it: one sentence, the facts below it, then what to do next."""
    name = printable(verdict.path, 4096)
    signers = list(dict.fromkeys(printable(each.name) or "somebody" for each in verdict.signatures))
    by = " and ".join(signers)
    good = {"valid": True, "invalid": False, "unsigned": False}.get(verdict.verdict)
    sentence = {
        "valid": f"{name} is signed by {by} and has not been changed since.",
        "invalid": _invalid(name, verdict),
        "unsigned": f"{name} is not signed.",
        "untrusted": f"{name} is signed, but nobody you trust vouches for {by}.",
        "indeterminate": f"{name}: whether this is well signed could not be settled.",
    }[verdict.verdict]
    lines = [f"{mark(good)} {sentence}"]
    for problem in verdict.problems:
        lines += fill("wrong", printable(problem.text, 400))
    for signature in verdict.signatures:
        lines += _facts(signature, profile)
    for note in verdict.notes:
        lines += fill("note", printable(note.text, 400))
    if verdict.verdict == "untrusted" and not profile.trust:
        lines += fill("next", "say whom you trust: --trust ca.pem, or a profile that does")
    return lines


def _invalid(name: str, verdict: FileVerdict) -> str:
    """Return the sentence for the worst verdict: what most people need to know of why."""
    codes = {problem.code for signature in verdict.signatures for problem in signature.problems}
    codes |= {problem.code for problem in verdict.problems}
    if not verdict.signatures:
        return f"{name} cannot be checked."
    if codes & {"digest-mismatch", "checksum"}:
        return f"{name} was changed after it was signed."
    if "changed-after-release" in codes:
        return f"{name} is signed, but not as it was released."
    if "revoked" in codes:
        return f"{name} is signed under a certificate that was revoked."
    if codes & {"timestamp-revoked"}:
        return f"{name} is signed, but the authority behind its timestamp was revoked."
    if "timestamp-ahead" in codes:
        return f"{name} was not signed yet, as far as its timestamp shows."
    if "expired" in codes:
        return f"{name} is signed under a certificate that had expired, and no timestamp shows that it was before."
    return f"{name} is signed, but the signature does not hold."


def _facts(signature: SignatureVerdict, profile: Profile) -> list[str]:
    lines = fill("signer", printable(signature.signer, 400)) if signature.signer else []
    for problem in signature.problems:
        lines += fill("wrong", printable(problem.text, 400))
    lines += fill("when", _when(signature))
    if signature.program_name or signature.program_url:
        named = [printable(each) for each in (signature.program_name, signature.program_url) if each]
        lines += fill("program", ", ".join(named))
    if signature.anchor:
        lines += fill("trust", f"{printable(signature.anchor, 400)} (given by {profile.origins['trust']})")
        revoked = {
            "good": "not revoked, says the list that was given",
            "revoked": "REVOKED",
            "not-checked": "not checked: no list was given (--crl)",
        }[signature.revocation]
        lines += fill("revoked?", revoked)
    if signature.log:
        log = signature.log
        witnesses = ", ".join(map(printable, log.witnesses)) or "nobody"
        lines += fill(
            "log",
            f"entry {log.index} of {log.size} in {printable(log.origin)}, proof checked, witnessed by {witnesses}",
        )
    for note in signature.notes:
        lines += fill("note", printable(note.text, 400))
    return lines


def _when(signature: SignatureVerdict) -> str:
    ends = f"{signature.not_after:%Y-%m-%d}" if signature.not_after else "an unknown day"
    if signature.timestamp is None:
        return f"no timestamp that counts: the signature ends with its certificate, on {ends}"
    stamp = signature.timestamp
    text = (
        f"{stamp.time:%Y-%m-%d %H:%M:%S} UTC at the latest, says {_short(stamp.authority)}; "
        f"so it outlasts its certificate, which ends on {ends}"
    )
    for renewal in signature.renewals:
        text += f"; renewed on {renewal.time:%Y-%m-%d}, says {_short(renewal.authority)}"
    return text


def _short(name: str) -> str:
    """Return the first common name in an RFC 4514 name, or all of it where it has none."""
    found = re.search(r"(?:^|,)CN=((?:\\.|[^,\\])+)", name)
    return printable(re.sub(r"\\(.)", r"\1", found[1]) if found else name)
