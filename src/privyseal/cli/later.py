"""One file on its way through ``timestamp``: each of its signatures is looked at, and what is wanting is decided.

=================================================  =========================================================
its timestamp                                      then
=================================================  =========================================================
there is none                                      one is added
it is of SHA-1, or does not hold                   one of SHA-2 takes its place
it holds                                           it is kept
it holds, and ends within the days of ``--renew``  a new one over it is put into it
=================================================  =========================================================

Adding and replacing is refused where the signer's certificate has ended: the new time would be after that, and would
take away what an old timestamp, however weak, still shows. Renewing keeps what is there, and so is never refused for
it; it comes too late once the old authority's own certificate has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from privyseal.cli.output import printable
from privyseal.cli.pieces import Opened, certificate_of
from privyseal.errors import BadInput, VerificationFailed
from privyseal.formats.examine import examine
from privyseal.formats.operations import require
from privyseal.formats.protocol import EmbeddedSignature, Source
from privyseal.pki import certificates, cms
from privyseal.terms.signatures import DigestAlgorithm, TimestampToken
from privyseal.timestamp import renewal, worth
from privyseal.timestamp.authorities import Authorities
from privyseal.timestamp.client import Trusted
from privyseal.timestamp.token import read_token, token_certificates, verify_token

ID_COUNTERSIGNATURE = "1.2.840.113549.1.9.6"
"""PKCS #9 counter-signature (RFC 2985 5.3.6), Authenticode's timestamp before RFC 3161; SHA-1 in practice."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the user wants of every file."""

    digest: DigestAlgorithm
    renew: timedelta | None
    """Renew what ends within this time; None: renew nothing."""
    trusted: Trusted
    at: datetime


class Decision(msgspec.Struct, frozen=True):
    """What to do with one signature, and why."""

    index: int
    action: Literal["stamp", "renew", "keep"]
    why: str


def decide(opened: Opened, wishes: Wishes) -> list[Decision]:
    """Say what to do with each signature, by the table above.

    BadInput for a file that is not signed or comes too late, Impossible where its format cannot take one later,
    VerificationFailed where a signature does not hold.
    """
    require(opened.format, "timestamp")
    signatures = opened.examined.signatures
    if not signatures:
        raise BadInput(f"{opened.code.filename} is not signed, so there is nothing to timestamp.", hint="sign it first")
    for each in signatures:
        for problem in each.problems:
            why = problem.text.partition(": ")[0].rstrip(".")
            raise VerificationFailed(
                f"A signature that does not hold is not timestamped: {why}.", hint="privyseal verify says more"
            )
    return [_decide(each, wishes) for each in signatures]


def _decide(embedded: EmbeddedSignature, wishes: Wishes) -> Decision:
    wanting = _wanting(embedded)
    if wanting is not None:
        facts = certificate_of(embedded)
        if facts is None or not facts.in_force(wishes.at):
            ended = f"ended on {facts.not_after:%Y-%m-%d}" if facts else "cannot be read"
            raise BadInput(
                f"The signer's certificate {ended}, so a timestamp comes too late: it would show that the signature is "
                "from after that.",
                hint="sign the file anew",
            )
        return Decision(embedded.index, "stamp", wanting)
    assert embedded.timestamp is not None  # noqa: S101 - else it would be wanting
    token = verify_token(embedded.timestamp)
    when = f"timestamped on {token.time:%Y-%m-%d} by {printable(_short(token.authority))}"
    ends = _ends(embedded, wishes)
    if wishes.renew is None or ends > wishes.at + wishes.renew:
        return Decision(embedded.index, "keep", f"{when}, good until {ends:%Y-%m-%d}")
    if ends < wishes.at:
        raise BadInput(
            f"It is {when}, by a certificate that ended on {ends:%Y-%m-%d}: to renew it comes too late.",
            hint="it counts as good for its time still; what is signed from now on can be renewed before",
        )
    return Decision(embedded.index, "renew", f"{when}, which ends on {ends:%Y-%m-%d}")


def _wanting(embedded: EmbeddedSignature) -> str | None:
    """Say why a signature needs a new timestamp, or None."""
    if embedded.timestamp is None:
        return "its counter-signature of the old kind was replaced" if _has_old_one(embedded) else ""
    try:
        verify_token(embedded.timestamp, octets=embedded.signature_value)
        renewal.renewals(embedded.timestamp)
        return None
    except VerificationFailed as error:
        if _is_sha1(embedded.timestamp):
            return "its SHA-1 timestamp was replaced"
        return f"its timestamp did not hold and was replaced: {error.detail}"
    except BadInput as error:
        return f"its timestamp could not be read and was replaced: {error.detail}"


def _has_old_one(embedded: EmbeddedSignature) -> bool:
    try:
        return any(ID_COUNTERSIGNATURE in signer.unsigned for signer in cms.parse(embedded.blob).signers)
    except BadInput:  # a format whose signatures are no CMS
        return False


def _is_sha1(token: bytes) -> bool:
    signed, info = read_token(token)
    return "sha1" in (info.digest_algorithm, signed.signers[0].digest_algorithm)


def _ends(embedded: EmbeddedSignature, wishes: Wishes) -> datetime:
    """Return when the authority's certificate ends on which a good timestamp rests, by its chain where known."""
    assert embedded.timestamp is not None  # noqa: S101
    believed = worth.Believed(wishes.trusted.anchors, wishes.trusted.crls, wishes.at)
    found = worth.judge(embedded.timestamp, embedded.signature_value, believed)
    if found.ends is not None:
        return found.ends
    last = (*renewal.renewals(embedded.timestamp), verify_token(embedded.timestamp))[-1]
    return certificates.read(token_certificates(last.der)[0]).not_after


def tokens(opened: Opened, decisions: list[Decision], asked: Authorities, wishes: Wishes) -> dict[int, TimestampToken]:
    """Have made what was decided: for each signature the token that it is to carry."""
    by_index = {each.index: each for each in opened.examined.signatures}
    made: dict[int, TimestampToken] = {}
    for decision in decisions:
        embedded = by_index[decision.index]
        if decision.action == "stamp":
            (made[decision.index],) = asked.stamp([embedded.signature_value], wishes.digest)
        elif decision.action == "renew":
            old = embedded.timestamp or b""
            believed = worth.Believed(wishes.trusted.anchors, wishes.trusted.crls, wishes.at)
            old = renewal.with_lists(old, worth.lists_for(old, believed))
            archived = renewal.archive(old, wishes.digest)
            (new,) = asked.stamp([archived.octets], wishes.digest)
            made[decision.index] = msgspec.structs.replace(new, der=renewal.renew(old, archived, new))
    return made


def confirm(opened: Opened, written: Source, made: Mapping[int, TimestampToken]) -> tuple[EmbeddedSignature, ...]:
    """Look at what was written as a stranger would; VerificationFailed with the first thing that is wrong.

    All signatures are as they were but for their timestamps, those are the ones that were made, and nothing became
    loose that was not before.
    """
    before, after = opened.examined, examine(opened.format, written)
    if len(before.signatures) != len(after.signatures):
        raise _not_as_expected("the number of signatures changed")
    known = {problem.code for problem in before.problems}
    for problem in after.problems:
        if problem.code not in known:
            raise _not_as_expected(problem.text)
    for old, new in zip(before.signatures, after.signatures, strict=True):
        if (old.signature_value, old.digest, old.signer) != (new.signature_value, new.digest, new.signer):
            raise _not_as_expected("a signature changed")
        for problem in new.problems:
            raise _not_as_expected(problem.text)
        expected = made[new.index].der if new.index in made else old.timestamp
        if new.timestamp != expected:
            raise _not_as_expected("a timestamp is not the one that was made")
        if new.index in made and new.timestamp is not None:
            verify_token(new.timestamp, octets=new.signature_value)
            renewal.renewals(new.timestamp)
    return after.signatures


def _not_as_expected(why: str) -> VerificationFailed:
    return VerificationFailed(
        f"What was written does not verify: {why.rstrip('.')}.", hint="the file is as it was; please report this"
    )


def _short(name: str) -> str:
    """Return the first common name in an RFC 4514 name, or all of it where it has none."""
    return next((part[3:] for part in name.split(",") if part.startswith("CN=")), name)
