"""The log's proof of a key's birth: that the service stated it, by when, and in these words; checked by anybody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from privyseal.compliance.statements import Administered, Stated, read_said
from privyseal.compliance.statements_of_lives import KeyStateChanged
from privyseal.errors import BadInput, VerificationFailed
from privyseal.terms.canonical import canonical_json, decode_canonical
from privyseal.terms.life import KeyState
from privyseal.tlog import merkle
from privyseal.tlog.entry import Octets32, Statement, commit, encode
from privyseal.tlog.policy import Policy
from privyseal.tlog.proof import TlogProof, format_proof, parse_proof

ONCE = "key pair generated"
"""What the service stated when the signer had generated a key, before a key's states were statements."""


class Opening(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What opens the statement's commitment; canonical JSON, the ``extra`` of its proof."""

    said: bytes
    salt: Octets32


class Born(Struct, frozen=True):
    """What a proof shows."""

    at: datetime
    """When the service said so; the log had it before the checkpoint."""
    index: int
    origin: str
    """The log's name."""
    witnesses: tuple[str, ...]


def is_birth(matter: object, key_id: str) -> bool:
    """Tell whether a statement is that this key was born."""
    if isinstance(matter, KeyStateChanged):
        return matter.becomes is KeyState.GENERATED and matter.key_id == key_id
    return isinstance(matter, Administered) and (matter.what, matter.subject) == (ONCE, key_id)


def proof(born: Stated, path: Sequence[bytes], checkpoint: bytes) -> str:
    """Return a C2SP tlog-proof of a statement, with what opens it."""
    extra = canonical_json(Opening(said=born.octets, salt=born.salt))
    return format_proof(TlogProof(born.entry, tuple(path), checkpoint, extra))


def check(text: str, key_id: str, policy: Policy) -> Born:
    """Verify a proof that a key was born; VerificationFailed where it is wrong, or of another key."""
    try:
        return _checked(text, key_id, policy)
    except BadInput as error:
        raise VerificationFailed(f"The proof of the key's birth cannot be read: {error.detail}") from None


def _checked(text: str, key_id: str, policy: Policy) -> Born:
    read = parse_proof(text)
    accepted = policy.check(read.checkpoint)
    opening = decode_canonical(read.extra or b"", Opening)
    said = read_said(opening.said)
    leaf = merkle.leaf_hash(encode(Statement(about=said.matter.topic, commitment=commit(opening.salt, opening.said))))
    head = accepted.checkpoint
    if not merkle.verify_inclusion(leaf, read.index, head.size, read.path, head.root):
        raise VerificationFailed(f"The statement of the key's birth is not entry {read.index} of the log.")
    if not is_birth(said.matter, key_id):
        raise VerificationFailed("The log's proof is of something else than this key's birth.")
    return Born(said.at, read.index, head.origin, accepted.witnesses)
