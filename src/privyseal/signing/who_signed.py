"""Who signed this? From a digest to the request, the people and machines behind it, and all that was signed beside.

The digest may be of the content (what Authenticode hashes), of the signature blob in a file, or of the finished file,
where the service made it. The answer is made of the records of one Subscriber; the operator's security officer may
look across, and that is logged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from privyseal.access import permissions
from privyseal.compliance.statements import Administered
from privyseal.errors import BadInput, NotPermitted, VerificationFailed
from privyseal.records import approvals, evidence, grants, policies, requests, signed
from privyseal.records.database import Transaction
from privyseal.signing import announce
from privyseal.signing.case import Case
from privyseal.signing.forms_of_requests import Sibling, Signed, Token
from privyseal.signing.instance import PrivySeal
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.parties import Actor, Role
from privyseal.terms.requests import Dossier, SigningRequest
from privyseal.terms.signed import Kind
from privyseal.tlog.proof import parse_proof

SIZES = (20, 32, 48, 64)
"""Octets of a digest that anything here has: SHA-1 (never ours, but asked for), SHA-256, SHA-384, SHA-512."""
MOST_REQUESTS = 50
"""Requests that one answer holds: the same content may have been signed each night."""
HOUR = timedelta(hours=1)
"""How near in time another request of the same requester is a sibling."""
MOST_SIBLINGS = 500
"""Siblings of one request that are named."""


def index(tx: Transaction, cases: Sequence[Case]) -> None:
    """Write down by what released requests are found again, in the transaction that releases them."""
    signed.index(tx, (thing for case in cases for thing in _things(case)))


def _things(case: Case) -> Iterator[tuple[bytes, str, Kind]]:
    number = case.dossier.id
    for each in case.request.described:
        yield each.digest, number, "content"
    for digest in case.blob_digests():
        yield digest, number, "signature"
    if isinstance(case.files, tuple):
        for name in case.files:
            yield bytes.fromhex(name), number, "file"


def who_signed(seal: PrivySeal, actor: Actor, digest_hex: str, *, everywhere: bool = False) -> list[Signed]:
    """Return every request that signed what has this digest, the newest last.

    Raises VerificationFailed where nobody here signed it, in the same words whether or not another Subscriber did.
    """
    permissions.require(actor, "who-signed", actor.subscriber)
    digest = read_digest(digest_hex)
    whose = _owners_of_all_subscribers(seal, actor, digest) if everywhere else [actor.subscriber]
    answers: list[Signed] = []
    for subscriber in whose:
        with seal.records.reading(subscriber) as tx:
            by_request: dict[str, list[Kind]] = {}
            for thing in signed.found(tx, digest, 3 * MOST_REQUESTS):
                by_request.setdefault(thing.request, []).append(thing.kind)
            for number, kinds in list(by_request.items())[:MOST_REQUESTS]:
                answers.append(_signed(tx, seal, requests.get(tx, number), tuple(kinds)))
    if not answers:
        raise VerificationFailed(
            f"Nothing with the digest {digest_hex[:16]}... was signed here for {actor.subscriber!r}.",
            hint="give the file itself, or the digest of its content: privyseal inspect FILE",
        )
    return sorted(answers, key=lambda each: each.asked)


def read_digest(text: str) -> bytes:
    """Read a digest in hex, with or without the name of its algorithm before it; BadInput where it is none."""
    digits = text.rpartition(":")[2].strip()
    try:
        octets = bytes.fromhex(digits)
    except ValueError:
        octets = b""
    if len(octets) not in SIZES or len(text) > 200 or len(digits) != 2 * len(octets):
        raise BadInput(f"{text[:40]!r} is no digest.", hint="64 hex digits for SHA-256")
    return octets


def _owners_of_all_subscribers(seal: PrivySeal, actor: Actor, digest: bytes) -> list[str]:
    if actor.subscriber != seal.service.operator or Role.SECURITY_OFFICER not in actor.member.roles:
        raise NotPermitted(
            "Only the operator's security officer looks across Subscribers.", hint="ask for your own Subscriber"
        )
    with seal.records.writing(actor.subscriber) as tx:
        act = Administered(actor=actor.member.id, what="looked across subscribers", subject=digest.hex())
        announce.administered(seal, tx, act)
    with seal.records.reading_all_subscribers() as connection:
        return signed.owners_of_all_subscribers(connection, digest)


def _signed(tx: Transaction, seal: PrivySeal, dossier: Dossier, matched: tuple[Kind, ...]) -> Signed:
    asked = decode_canonical(dossier.canonical, SigningRequest)
    kept = grants.of_digest(tx, dossier.grant, dossier.id) if dossier.grant is not None else None
    agreed = approvals.approvals_of(tx, dossier.id) if kept is None else grants.approvals_of(tx, kept.id)
    tokens = (Token(time=each.time, authority=each.authority, serial=each.serial) for each in dossier.tokens)
    return Signed(
        subscriber=tx.subscriber,
        request=dossier.id,
        matched=matched,
        files=tuple(each.filename for each in asked.described),
        key=asked.key,
        certificate=asked.certificate,
        mode=asked.mode,
        requester=dossier.requester,
        asked=dossier.created,
        released=evidence.released_at(tx, dossier.id),
        by=evidence.authentications(tx, dossier),
        workload=signed.run_of(tx, dossier.id),
        approvers=tuple(each.approver for each in agreed),
        grant=None if kept is None else kept.id,
        policies=policies.governing(tx, dossier.id),
        intent=None if dossier.intent is None else dossier.intent.index,
        completion=None if dossier.receipt is None else parse_proof(dossier.receipt).index,
        digest=dossier.digest,
        timestamps=tuple(tokens),
        siblings=_siblings(tx, dossier, asked),
    )


def _siblings(tx: Transaction, dossier: Dossier, asked: SigningRequest) -> tuple[Sibling, ...]:
    """Name the files of the request, if it has several, of its run, and of the same requester within the hour."""
    found = [_sibling(dossier.id, each.filename, each.digest, "same request") for each in asked.described]
    found = found if len(found) > 1 else []
    run = signed.run_of(tx, dossier.id)
    beside = dict.fromkeys(
        signed.beside(tx, dossier.requester, dossier.created, HOUR, MOST_SIBLINGS), "same requester within the hour"
    )
    beside |= {} if run is None else dict.fromkeys(signed.of_run(tx, run, MOST_SIBLINGS), "same run")
    beside.pop(dossier.id, None)
    for number, why in beside.items():
        for each in decode_canonical(requests.get(tx, number).canonical, SigningRequest).described:
            found.append(_sibling(number, each.filename, each.digest, why))
    return tuple(found[:MOST_SIBLINGS])


def _sibling(request: str, filename: str, digest: bytes, why: str) -> Sibling:
    return Sibling(request=request, filename=filename, digest=digest.hex(), why=why)
