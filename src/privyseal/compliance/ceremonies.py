"""Key ceremonies: the script that is read out, and the record of what was done, which witnesses sign (CSBR 6.1.1.1).

A script is a file in TOML; a record is canonical JSON. The record names the script by its SHA-256 and has an entry for
every step in its order: who did it, when, and the SHA-256 of what came out. Witnesses sign the digest of all that.
"""

from __future__ import annotations

import hashlib
import tomllib
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta

from privyseal.errors import BadInput, Conflict, VerificationFailed
from privyseal.terms.canonical import canonical_json, decode_canonical, tagged_digest

CEREMONY_TAG = "privyseal/ceremony/v1"
"""Domain tag of a record's digest, which witnesses sign."""
LARGEST = 256 * 1024
"""Octets of a script or of a record; a ceremony has some fifty steps."""
MOST_STEPS, MOST_PEOPLE = 200, 32
"""Steps of a script, and people who take part; a ceremony has some ten."""

Line = Annotated[str, Meta(min_length=1, max_length=200)]
"""A title or a name: 1 to 200 characters."""
Prose = Annotated[str, Meta(min_length=1, max_length=4000)]
"""What is to be done or was seen: 1 to 4000 characters."""
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""A digest in lower-case hex."""
Moment = Annotated[datetime, Meta(tz=True)]
"""A time with its zone."""


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a script."""

    role: Line
    """Who does it."""
    do: Prose
    output: Annotated[str, Meta(max_length=200)] = ""
    """What comes out and is kept, such as a file; empty for nothing."""


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done, in which order, and by which roles."""

    title: Line
    key: Annotated[str, Meta(min_length=1, max_length=63)]
    """The Key Pair by its name."""
    roles: Annotated[dict[Line, Prose], Meta(min_length=2, max_length=MOST_PEOPLE)]
    """Each role, and what it is there for; ``witness`` is one of them."""
    steps: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=MOST_STEPS)]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step that was done."""

    step: Annotated[int, Meta(ge=1, le=MOST_STEPS)]
    by: Line
    at: Moment
    output: Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")] = ""
    """SHA-256 of what came out."""
    note: Annotated[str, Meta(max_length=2000)] = ""
    """What was otherwise than the script says."""


class Witness(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One who saw it all, and signed the record with an Ed25519 key of their own."""

    name: Line
    public_key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was done."""

    script: Sha256
    """Of the script's file."""
    title: Line
    key: Annotated[str, Meta(min_length=1, max_length=63)]
    entries: Annotated[tuple[Entry, ...], Meta(max_length=MOST_STEPS)] = ()
    witnesses: Annotated[tuple[Witness, ...], Meta(max_length=16)] = ()

    def digest(self) -> bytes:
        """Return what a witness signs, 32 octets: all but the witnesses."""
        return tagged_digest(CEREMONY_TAG, canonical_json(msgspec.structs.replace(self, witnesses=())))


def signed_octets(digest: bytes) -> bytes:
    """Return what a witness's key signs: a domain tag, a zero octet, the record's digest."""
    return b"privyseal/ceremony-witness/v1\0" + digest


def read_script(octets: bytes) -> Script:
    """Read a script; BadInput where it is none, or names a role that it does not have."""
    _require_size(octets)
    try:
        script = msgspec.convert(tomllib.loads(octets.decode("utf-8")), Script)
    except (msgspec.ValidationError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadInput(f"This is no script of a ceremony: {str(error)[:300]}.") from None
    strange = sorted({each.role for each in script.steps} - set(script.roles))
    if strange:
        raise BadInput(f"A step is for {strange[0]!r}, which is no role of the script.")
    if "witness" not in script.roles:
        raise BadInput("The script has no role 'witness'; nobody would have seen it.")
    return script


def read_record(octets: bytes) -> Record:
    """Read a record's canonical JSON; BadInput where it is not exactly that."""
    _require_size(octets)
    return decode_canonical(octets, Record)


def _require_size(octets: bytes) -> None:
    if len(octets) > LARGEST:
        raise BadInput(f"A script or a record has at most {LARGEST} octets; this one has {len(octets)}.")


def begin(octets: bytes) -> Record:
    """Begin the record of a script."""
    script = read_script(octets)
    return Record(script=hashlib.sha256(octets).hexdigest(), title=script.title, key=script.key)


def done(record: Record, script: Script, entry: Entry) -> Record:
    """Add the next step; Conflict for one out of order, or after somebody has signed."""
    if record.witnesses:
        raise Conflict("A witness has signed the record; nothing is added to it any more.", hint="begin a new one")
    wanted = len(record.entries) + 1
    if entry.step != wanted or wanted > len(script.steps):
        what = f"step {wanted} comes next" if wanted <= len(script.steps) else "all steps are done"
        raise Conflict(f"Step {entry.step} was to be recorded, and {what}.")
    if record.entries and entry.at < record.entries[-1].at:
        raise BadInput("A step cannot be done before the one before it.", hint="check this machine's clock")
    if bool(script.steps[wanted - 1].output) != bool(entry.output):
        keeps = "keeps its output" if not entry.output else "keeps no output"
        raise BadInput(f"Step {wanted} {keeps}.", hint="--output FILE, or none")
    return msgspec.structs.replace(record, entries=(*record.entries, entry))


def witnessed(record: Record, script: Script, witness: Witness) -> Record:
    """Add a witness; Conflict before the last step, or where they signed already; VerificationFailed for a forgery."""
    if len(record.entries) != len(script.steps):
        raise Conflict(f"{len(record.entries)} of {len(script.steps)} steps are recorded.", hint="record the others")
    if any(each.name == witness.name or each.public_key == witness.public_key for each in record.witnesses):
        raise Conflict(f"{witness.name!r}, or somebody with that key, has signed already.")
    _check(record, witness)
    return msgspec.structs.replace(record, witnesses=(*record.witnesses, witness))


def _check(record: Record, witness: Witness) -> None:
    if any(each.by == witness.name for each in record.entries):
        raise VerificationFailed(f"{witness.name!r} did a step, and does not witness their own work.")
    try:
        public = Ed25519PublicKey.from_public_bytes(witness.public_key)
        public.verify(witness.signature, signed_octets(record.digest()))
    except (InvalidSignature, ValueError):
        raise VerificationFailed(f"The signature of {witness.name!r} is not over this record.") from None


def require_whole(record: Record, octets: bytes, now: datetime) -> Script:
    """Hold a record against its script (the octets of its file); raise where anything is missing, or is forged."""
    script = read_script(octets)
    named = (hashlib.sha256(octets).hexdigest(), script.title, script.key)
    if (record.script, record.title, record.key) != named:
        raise VerificationFailed("The record is of another script.")
    again = begin(octets)
    for entry in record.entries:
        again = done(again, script, entry)
    if not record.witnesses:
        raise VerificationFailed("Nobody has witnessed the record.")
    for witness in record.witnesses:
        again = witnessed(again, script, witness)
    if record.entries[-1].at > now + timedelta(minutes=5):
        raise BadInput("The record is of a moment that has not come.")
    return script


def template(key: str) -> str:
    """Return a script to begin with: the birth of a key in its module, for people to fit to their house."""
    return _TEMPLATE.replace("KEY", key)


def removal_template(key: str) -> str:
    """Return a script to begin with: the removal of a timestamp key (CSBR 6.3.2), for people to fit to their house."""
    return _REMOVAL.replace("KEY", key)


_REMOVAL = """\
title = "Removal of the timestamp key KEY"
key = "KEY"

[roles]
operator = "holds the service's machine and carries the removal out"
witness = "sees every step and signs the record; two at least, in Trusted Roles (CSBR 6.3.2)"

[[steps]]
role = "operator"
do = "Read out the key's id from privyseal tsa show, and that it signs no more."

[[steps]]
role = "operator"
do = "Say in which backups the key is, and that they stay where they are or are destroyed with it."

[[steps]]
role = "operator"
do = "Declare that the key is removed now; the removal is carried out on this record, which all have signed."
"""


_TEMPLATE = """\
title = "Generation of the Key Pair KEY"
key = "KEY"

[roles]
leader = "Reads the script out, and does nothing with the module."
custodian = "Proposes the key."
operator-1 = "Agrees as the first operator."
operator-2 = "Agrees as the second operator."
witness = "Sees that every step is done as it is read, and signs the record. Does none of them."

[[steps]]
role = "leader"
do = "Say who is here, by name and role. Nobody has two roles. Note everybody's proof of identity."

[[steps]]
role = "leader"
do = "Compare the module's serial number and firmware with its certificate. privyseal doctor, its output to doctor.txt."
output = "doctor.txt"

[[steps]]
role = "custodian"
do = "privyseal key generate KEY --scheme rsa-3072 --approver FILE --quorum 1 --reason TEXT --json > act.json"
output = "act.json"

[[steps]]
role = "operator-1"
do = "Read the act aloud: privyseal key act ACT. Then privyseal key agree ACT --identity-key FILE --json > first.json"
output = "first.json"

[[steps]]
role = "operator-2"
do = "Compare the digest with what was read aloud. privyseal key agree ACT --identity-key FILE --json > second.json"
output = "second.json"

[[steps]]
role = "leader"
do = "Show the key: privyseal key show KEY --json > key.json. Read its key id aloud."
output = "key.json"
"""
