"""What a timestamp is worth at a moment: whether its time may be believed, and what shows that.

The rules, in their order (RFC 3161 2.3, 4 and appendix B; ETSI EN 319 102-1 5.6):

1. The token holds, is over the signature value, and is not from after the moment that is asked about.
2. Its authority's chain leads to a trusted anchor and was good at the time that the token states.
3. A certificate of that chain that was revoked *later* leaves the token good only where the list says that the key was
   not stolen: reasons unspecified, affiliationChanged, superseded, cessationOfOperation. With another reason, or with
   none, a thief could have written any time into the token.
4. Unless something else shows that the token is older than the revocation: a renewal, itself good by these rules.
5. Revocation lists that a good renewal covers were there at its time, and count for what is older like those that are
   handed in: so a chain whose authorities are gone can still be judged, with a list for the newest alone.
6. That the authority's certificate has expired since takes nothing away, as Windows has it, but is said: nobody revokes
   it any more, so the time to renew was before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import certificates, chain, revocations
from privyseal.pki.chain import Anchors, Judgement
from privyseal.terms.certificates import Certificate
from privyseal.terms.signatures import TimestampToken
from privyseal.timestamp.renewal import Renewal
from privyseal.timestamp.renewal import chain as chain_of
from privyseal.timestamp.token import token_certificates, verify_token

CLOCK_SKEW = timedelta(minutes=5)
"""How far a timestamp may lie ahead of the moment of verification: what Kerberos allows two clocks (RFC 4120 5.3)."""

HARMLESS = frozenset({"unspecified", "affiliationChanged", "superseded", "cessationOfOperation"})
"""Reasons of a revocation, stated, that leave the authority's earlier tokens good (RFC 3161 4, item 1)."""


class Finding(NamedTuple):
    """One thing about a timestamp: a stable slug and a sentence."""

    code: str
    text: str


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a timestamp; ``token`` is None where its time is not to be believed."""

    verdict: Literal["valid", "untrusted", "invalid", "indeterminate"]
    token: TimestampToken | None = None
    renewals: tuple[TimestampToken, ...] = ()
    """Those that count, oldest first."""
    ends: datetime | None = None
    """When the certificate ends on which the last of them rests; renewing is worth most before."""
    problems: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()


class Believed(msgspec.Struct, frozen=True):
    """Whom the verifier believes, and as of when."""

    anchors: Anchors | None
    crls: tuple[bytes, ...]
    """DER. If there are any, every certificate below an anchor must be covered by one."""
    at: datetime


class _Link(NamedTuple):
    """One token of a chain of renewals, judged."""

    judgement: Judgement
    problems: tuple[Finding, ...]
    notes: tuple[Finding, ...]


def judge(octets: bytes, signature_value: bytes, believed: Believed) -> Worth:
    """Judge the token ``octets`` over a signature value, with the renewals it carries. Never raises for what it is."""
    try:
        token = verify_token(octets, octets=signature_value)
        links = chain_of(octets)
    except (VerificationFailed, BadInput) as error:
        return Worth(verdict="invalid", problems=(Finding("timestamp", error.detail),))
    if token.time > believed.at + CLOCK_SKEW:
        text = (
            f"The timestamp says {words(token.time)}, which is later than {words(believed.at)}, the moment asked about."
        )
        return Worth(verdict="indeterminate", problems=(Finding("timestamp-ahead", text),))
    counted, notes, shown, rests_on = _counted(links, believed)
    own = _judged(token, believed, shown)
    if own.problems:
        return Worth(verdict=own.judgement.verdict, problems=own.problems, notes=tuple(notes))
    ends = _own_end(rests_on or own.judgement)
    notes = [*own.notes, *notes]
    if ends is not None and ends < believed.at:
        which = "last renewal" if counted else "timestamp"
        text = (
            f"The certificate behind the {which} ended on {words(ends)}. It counts as good for its time, but nobody "
            "revokes it any more; it should have been renewed before."
        )
        notes.append(Finding("timestamp-expired", text))
    return Worth(verdict="valid", token=token, renewals=counted, ends=ends, notes=tuple(notes))


class _Shown(NamedTuple):
    """What renewals that count show: that what is older was there at their time, and so were these lists."""

    at: datetime
    lists: tuple[bytes, ...]


def _counted(
    links: Sequence[Renewal], believed: Believed
) -> tuple[tuple[TimestampToken, ...], list[Finding], _Shown | None, Judgement | None]:
    """Judge renewals from the newest on: each that is good shows that those before it existed by its time.

    Returns those that count, notes about the others, what the oldest that counts shows, and what the newest rests on.
    """
    kept: list[TimestampToken] = []
    notes: list[Finding] = []
    shown: _Shown | None = None
    newest: Judgement | None = None
    for renewal in reversed(links):
        link = renewal.token
        if link.time > believed.at + CLOCK_SKEW:
            continue  # as of that moment it was not there
        judged = _judged(link, believed, shown)
        if judged.problems:
            text = f"The renewal of {words(link.time)} does not count: {judged.problems[0].text}"
            notes.append(Finding("renewal-does-not-count", text))
            continue
        kept.insert(0, link)
        notes += judged.notes
        # A list that only a newer renewal covers is about what is older than that one, and so about this one, too.
        shown = _Shown(link.time, renewal.lists if shown is None else shown.lists)
        newest = newest or judged.judgement
    return tuple(kept), notes, shown, newest


def _judged(token: TimestampToken, believed: Believed, shown: _Shown | None) -> _Link:
    """Judge one token's authority; ``shown`` is what something else shows of the time at which the token existed."""
    own, *others = token_certificates(token.der)
    anchors = () if believed.anchors is None else believed.anchors.certificates
    kept = () if shown is None else revocations.of_issuers(shown.lists, (*others, *anchors))
    lists = (*believed.crls, *kept)
    # Without a list from the verifier none is demanded, and those that were kept only take away.
    asked = msgspec.structs.replace(believed, crls=lists) if believed.crls else believed
    judgement = _chain(own, others, asked, token.time)
    if judgement.verdict != "valid":
        found = tuple(Finding(f"timestamp-{each.code}", f"Timestamp: {each.text}") for each in judgement.problems)
        return _Link(judgement, found, ())
    problems: list[Finding] = []
    notes: list[Finding] = []
    for child, issuer in zip(judgement.path, judgement.path[1:], strict=False):
        revoked = revocations.find(child.der, issuer.der, lists)
        if revoked is None:
            continue
        if revoked.at <= token.time:
            text = f"The certificate of {child.subject}, on which the timestamp rests, was revoked before it."
            problems.append(Finding("timestamp-revoked", text))
            continue
        about = f"The certificate of {child.subject}, on which the timestamp rests, was revoked on {words(revoked.at)}"
        if revoked.reason in HARMLESS:
            notes.append(Finding("timestamp-revoked-later", f"{about}, after it ({revoked.reason})."))
        elif shown is not None and shown.at < revoked.at:
            why = revoked.reason or "no reason given"
            text = f"{about} ({why}); a renewal of {words(shown.at)} shows that it is older."
            notes.append(Finding("timestamp-revoked-later", text))
        else:
            why = "no reason is given" if revoked.reason is None else f"the reason is {revoked.reason}"
            text = f"{about}, and {why}: its key could have stated any time, and nothing else shows that it is older."
            problems.append(Finding("timestamp-revoked", text))
    if problems:
        revoked_path = msgspec.structs.replace(judgement, verdict="invalid", revocation="revoked")
        return _Link(revoked_path, tuple(problems), ())
    return _Link(judgement, (), tuple(notes))


def _chain(own: bytes, others: Sequence[bytes], believed: Believed, at: datetime) -> Judgement:
    if believed.anchors is None:
        text = "No trust anchor was given, so nobody vouches for the certificate."
        return Judgement(verdict="untrusted", problems=(chain.Problem("no-path", text),))
    try:
        certificates.read(own)
        return chain.judge(own, tuple(others), believed.anchors, believed.crls, at, "timestamping")
    except BadInput as error:
        return Judgement(verdict="invalid", problems=(chain.Problem("unfit-chain", error.detail),))


def _own_end(judgement: Judgement) -> datetime | None:
    """Return when the first certificate below the anchor ends."""
    below: tuple[Certificate, ...] = judgement.path[:-1] or judgement.path
    return min((one.not_after for one in below), default=None)


def lists_for(octets: bytes, believed: Believed) -> tuple[bytes, ...]:
    """Return which of the verifier's revocation lists a token should take along when it is renewed, DER.

    Of each issuer in the chains of the token and of its renewals the newest that was made after what it is about.
    BadInput or VerificationFailed for what is no token.
    """
    found: list[bytes] = []
    for token in (verify_token(octets), *(each.token for each in chain_of(octets))):
        own, *others = token_certificates(token.der)
        path = _chain(own, others, msgspec.structs.replace(believed, crls=()), token.time).path
        for issuer in path[1:]:
            made = [(at, one) for one in believed.crls if (at := revocations.made_at(one, issuer.der)) is not None]
            newest = max(made, default=None)
            if newest is not None and newest[0] >= token.time and newest[1] not in found:
                found.append(newest[1])
    return tuple(found)


def words(moment: datetime) -> str:
    """Return a moment as people read it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
