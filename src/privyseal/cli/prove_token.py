"""``privyseal log prove --token``: that a timestamp token is in the log, by the batch of its hour.

The service is asked for the token's place; nothing it says is believed. The proof carries the token's TSTInfo, the path
to its batch's root, the statement with that root, and the log's path to the entry that commits to the statement.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from privyseal.cli.client import Service
from privyseal.compliance.statements import LARGEST_SAID, read_said
from privyseal.compliance.statements_of_timestamps import TokensGiven
from privyseal.errors import NotYet, VerificationFailed
from privyseal.terms.canonical import canonical_json, decode_canonical
from privyseal.timestamp.token import read_token
from privyseal.tlog import merkle
from privyseal.tlog.entry import Number, Octets32, Statement, commit, encode
from privyseal.tlog.merkle import LONGEST_PROOF
from privyseal.tlog.policy import Policy
from privyseal.tlog.proof import TlogProof, format_proof
from privyseal.tlog.reader import Reader
from privyseal.tlog.tiles import Read
from privyseal.web.views_of_stamps import TokenPlace

MAX_TOKEN = 1 << 20
"""Octets of a token's file."""


class TokenOpening(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="token"):
    """What a proof of a token carries as ``extra``: all of it goes into the leaf that the tree must have."""

    v: Literal[1] = 1
    info: Annotated[bytes, Meta(max_length=64 * 1024)]
    """The token's TSTInfo, DER."""
    index: Number
    path: Annotated[tuple[Octets32, ...], Meta(max_length=LONGEST_PROOF)]
    statement: Annotated[bytes, Meta(max_length=LARGEST_SAID)]
    salt: Annotated[bytes, Meta(max_length=32)]


def leaf(token: bytes) -> tuple[str, bytes]:
    """Return a token's genTime, ``YYYYMMDDHHMMSSZ``, and its TSTInfo, DER; BadInput if it is no token."""
    signed, info = read_token(token)
    return f"{info.time:%Y%m%d%H%M%SZ}", signed.content_octets or b""


def prove(token: bytes, service: Service, read: Read, note: bytes, policy: Policy) -> str:
    """Return the proof for a token, verified; NotYet where it is not in the log so far.

    VerificationFailed where the service or the log has told no truth.
    """
    time, info = leaf(token)
    told = service.get(f"/v1/timestamps/{time}/{merkle.leaf_hash(info).hex()}").read(TokenPlace)
    opening = TokenOpening(info=info, index=told.index, path=told.path, statement=told.statement, salt=told.salt)
    size = policy.check(note).checkpoint.size
    if told.entry >= size:
        raise NotYet(
            f"The token is to be entry {told.entry}, and the log's head has {size} entries.",
            hint="run this again in a minute; where that never helps, the service does not tell the truth",
        )
    proof = TlogProof(told.entry, Reader(read).inclusion(told.entry, size), note, canonical_json(opening))
    verify(proof, policy)
    return format_proof(proof)


def verify(proof: TlogProof, policy: Policy) -> str:
    """Verify such a proof and say what it proves; VerificationFailed where it does not."""
    opening = decode_canonical(proof.extra or b"", TokenOpening)
    head = policy.check(proof.checkpoint).checkpoint
    if not opening.statement:
        own = encode(Statement(about="token", commitment=merkle.leaf_hash(opening.info)))
        if not merkle.verify_inclusion(merkle.leaf_hash(own), proof.index, head.size, proof.path, head.root):
            raise VerificationFailed(f"The token is not entry {proof.index} of the log at size {head.size}.")
        return f"the token is entry {proof.index} of {head.size}"
    said = read_said(opening.statement)
    if not isinstance(said.matter, TokensGiven):
        raise VerificationFailed("The proof's statement is not one about timestamp tokens.")
    given = said.matter
    inside = merkle.leaf_hash(opening.info)
    if not merkle.verify_inclusion(inside, opening.index, given.count, opening.path, bytes.fromhex(given.root)):
        raise VerificationFailed("The token is not in the batch that the proof names.")
    entry = encode(Statement(about=given.topic, commitment=commit(opening.salt, opening.statement)))
    if not merkle.verify_inclusion(merkle.leaf_hash(entry), proof.index, head.size, proof.path, head.root):
        raise VerificationFailed(f"The batch is not entry {proof.index} of the log at size {head.size}.")
    return (
        f"the token is number {opening.index + 1} of {given.count} given from {given.first} to {given.last}, "
        f"entry {proof.index} of {head.size}"
    )
