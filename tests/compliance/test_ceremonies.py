"""A ceremony's record follows its script, step by step; whoever did one does not witness; nothing is forged."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privyseal.compliance.ceremonies import (
    LARGEST,
    Entry,
    Record,
    Witness,
    begin,
    done,
    read_record,
    read_script,
    require_whole,
    signed_octets,
    template,
    witnessed,
)
from privyseal.errors import BadInput, Conflict, PrivySealError, VerificationFailed
from privyseal.terms.canonical import canonical_json

SCRIPT = template("release").encode()
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
WIM = Ed25519PrivateKey.from_private_bytes(b"w" * 32)


def entries(until: int | None = None) -> list[Entry]:
    steps = read_script(SCRIPT).steps[:until]
    return [
        Entry(
            step=number,
            by=step.role.title(),
            at=NOW + timedelta(minutes=number),
            output=hashlib.sha256(step.output.encode()).hexdigest() if step.output else "",
        )
        for number, step in enumerate(steps, 1)
    ]


def recorded() -> Record:
    record, script = begin(SCRIPT), read_script(SCRIPT)
    for entry in entries():
        record = done(record, script, entry)
    return record


def witness(record: Record, name: str = "Wim", key: Ed25519PrivateKey = WIM) -> Witness:
    signature = key.sign(signed_octets(record.digest()))
    return Witness(name=name, public_key=key.public_key().public_bytes_raw(), signature=signature)


def whole() -> Record:
    return witnessed(recorded(), read_script(SCRIPT), witness(recorded()))


def test_a_ceremony_that_followed_its_script_is_whole() -> None:
    """And is read back from its canonical octets; witnesses are not under what they sign."""
    record = whole()
    assert read_record(canonical_json(record)) == record
    assert require_whole(record, SCRIPT, NOW + timedelta(hours=1)).key == "release"
    assert record.digest() == recorded().digest()


def test_steps_are_recorded_in_their_order() -> None:
    """None is left out, done twice, added at the end or after somebody signed, or earlier than the one before."""
    script, first = read_script(SCRIPT), entries()
    record = done(begin(SCRIPT), script, first[0])
    for wrong in (first[0], first[2]):
        with pytest.raises(Conflict, match="step 2 comes next"):
            done(record, script, wrong)
    with pytest.raises(Conflict, match="all steps are done"):
        done(recorded(), script, msgspec.structs.replace(first[-1], step=len(first) + 1))
    with pytest.raises(Conflict, match="has signed"):
        done(whole(), script, first[0])
    with pytest.raises(BadInput, match="before the one before it"):
        done(record, script, msgspec.structs.replace(first[1], at=NOW))
    with pytest.raises(BadInput, match="keeps its output"):
        done(record, script, msgspec.structs.replace(first[1], output=""))
    with pytest.raises(BadInput, match="keeps no output"):
        done(begin(SCRIPT), script, msgspec.structs.replace(first[0], output="0" * 64))


def test_a_witness_saw_all_and_did_nothing() -> None:
    """Nobody signs early, twice, their own work, or for somebody else."""
    script, record = read_script(SCRIPT), recorded()
    early = done(begin(SCRIPT), script, entries()[0])
    with pytest.raises(Conflict, match=r"1 of \d+ steps"):
        witnessed(early, script, witness(early))
    with pytest.raises(Conflict, match="signed already"):
        witnessed(whole(), script, witness(record, "Wilma"))
    with pytest.raises(VerificationFailed, match="their own work"):
        witnessed(record, script, witness(record, "Leader"))
    with pytest.raises(VerificationFailed, match="not over this record"):
        witnessed(record, script, msgspec.structs.replace(witness(record), signature=b"\0" * 64))


@pytest.mark.parametrize("name", ["script", "title", "key", "entries", "witnesses"])
def test_whatever_is_changed_is_seen(name: str) -> None:
    """Each part of a record, exchanged after the fact."""
    record = whole()
    other: dict[str, object] = {
        "script": "0" * 64,
        "title": "Another",
        "key": "another",
        "entries": (*record.entries[:-1], msgspec.structs.replace(record.entries[-1], output="0" * 64)),
        "witnesses": (),
    }
    with pytest.raises(PrivySealError):
        require_whole(msgspec.structs.replace(record, **{name: other[name]}), SCRIPT, NOW + timedelta(hours=1))
    with pytest.raises(VerificationFailed, match="another script"):
        require_whole(record, SCRIPT + b"\n", NOW + timedelta(hours=1))
    with pytest.raises(BadInput, match="has not come"):
        require_whole(record, SCRIPT, NOW)


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"title = ",
        b"\xff",
        b"x = 1",
        SCRIPT.replace(b"witness =", b"watcher ="),
        SCRIPT.replace(b'role = "leader"', b'role = "nobody"', 1),
        SCRIPT + b'\n[other]\nx = "y"\n',
        b"#" * (LARGEST + 1),
        b"a = " + b"[" * 20000,
    ],
)
def test_what_is_no_script(script: bytes) -> None:
    """One sentence, whatever it is."""
    with pytest.raises(BadInput):
        read_script(script)


def test_a_flipped_bit_of_a_record_is_seen() -> None:
    """Each octet, one bit: it is no record any more, or not the one that was signed."""
    octets = canonical_json(whole())
    for place in range(0, len(octets), 7):
        changed = bytearray(octets)
        changed[place] ^= 1 << (place % 8)
        with pytest.raises(PrivySealError):
            require_whole(read_record(bytes(changed)), SCRIPT, NOW + timedelta(hours=1))
