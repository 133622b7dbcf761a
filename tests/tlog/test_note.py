"""Signed notes are C2SP's: others' notes open, ours are what they would be, and nothing half-right is believed."""

from __future__ import annotations

import base64

import pytest
from tests.tlog.growing import LOG, SIGNER, cosign, private_key, verifier

from privyseal.errors import BadInput, TooLarge, VerificationFailed
from privyseal.tlog.note import (
    MAX_NOTE,
    MAX_SIGNATURES,
    KeyType,
    Signer,
    Verifier,
    cosigned_octets,
    open_note,
    parse_note,
    parse_vkey,
    sign_note,
    verified,
)

FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
"""The example of c2sp.org/signed-note."""
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()
"""The example of golang.org/x/mod/sumdb/note."""
BODY = b"seal.test/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"


@pytest.mark.parametrize(("vkey", "note"), [(FOO, FOO_NOTE), (NEUMANN, NEUMANN_NOTE)])
def test_the_notes_of_the_specifications_open(vkey: str, note: bytes) -> None:
    """The published examples verify under their published keys, and under no others."""
    key = parse_vkey(vkey)
    assert key.vkey == vkey
    body, names = open_note(note, [LOG, key])
    assert body == note[: note.rindex(b"\n\n") + 1]
    assert names == (key.name,)
    with pytest.raises(VerificationFailed, match=r"no signature of 'seal\.test/log'"):
        open_note(note, [LOG])


def test_what_is_signed_opens() -> None:
    """A note by two keys carries both names, in the order of those who ask."""
    other = Signer(verifier("other"), private_key("other").sign)
    note = sign_note(BODY, [SIGNER, other])
    assert open_note(note, [other.verifier, LOG]) == (BODY, ("other", "seal.test/log"))
    assert open_note(note, [LOG]) == (BODY, ("seal.test/log",))


def test_a_body_may_hold_empty_lines() -> None:
    """The text ends at the last empty line, so poems and forged signature blocks in it are only text."""
    body = b"a\n\nb\n\n\xe2\x80\x94 forged AAAAAAAA\n"
    assert open_note(sign_note(body, [SIGNER]), [LOG])[0] == body


def test_one_flipped_bit_closes_the_note() -> None:
    """Every single bit of text and signature counts."""
    note = sign_note(BODY, [SIGNER])
    for bit in range(len(note) * 8):
        octets = bytearray(note)
        octets[bit // 8] ^= 1 << bit % 8
        with pytest.raises((VerificationFailed, BadInput)):
            open_note(bytes(octets), [LOG])


def test_a_wrong_line_of_a_known_key_spoils_the_note() -> None:
    """Where one line of a known key is wrong, no other line saves the note (signed-note, signatures)."""
    good = sign_note(BODY, [SIGNER])
    stranger = sign_note(BODY, [Signer(verifier("stranger"), private_key("stranger").sign)])
    line = good[len(BODY) + 1 :]
    raw = base64.b64decode(line.split(b" ")[2])
    wrong = line.replace(base64.b64encode(raw), base64.b64encode(raw[:-1] + bytes([raw[-1] ^ 1])))
    short = line.replace(base64.b64encode(raw), base64.b64encode(raw[:-1]))
    for spoiled in (wrong, short):
        for note in (good + spoiled, BODY + b"\n" + spoiled + line):
            with pytest.raises(VerificationFailed, match="does not verify"):
                open_note(note, [LOG])
    assert open_note(good + stranger[len(BODY) + 1 :], [LOG]) == (BODY, (LOG.name,)), "unknown keys are ignored"
    assert open_note(good + line, [LOG]) == (BODY, (LOG.name,)), "the same line twice is one signature"


def test_cosignatures_bind_the_time() -> None:
    """A witness's line verifies for the checkpoint and the time it names, and for nothing else."""
    witness = verifier("witness", KeyType.COSIGNATURE_V1)
    note = cosign(sign_note(BODY, [SIGNER]), "witness", 1_679_315_147)
    assert open_note(note, [LOG, witness])[1] == (LOG.name, "witness")
    assert cosigned_octets(BODY, 1_679_315_147) == b"cosignature/v1\ntime 1679315147\n" + BODY
    value = parse_note(note).signatures[1].value
    assert witness.verifies(BODY, value)
    later = (1_679_315_148).to_bytes(8, "big") + value[8:]
    for wrong in (later, value[:-1], value[8:], b"", bytes(72)):
        assert not witness.verifies(BODY, wrong)
    assert not witness.verifies(BODY + b"x\n", value)
    assert not verifier("witness").verifies(BODY, value[8:]), "nor is it a signature of the text alone"


@pytest.mark.parametrize("time", [0, 2**63, 2**64 - 1])
def test_times_that_no_cosignature_has(time: int) -> None:
    """No time at all, or one beyond 2**63 - 1, is refused even though the key signed it."""
    note = cosign(sign_note(BODY, [SIGNER]), "witness", time)
    with pytest.raises(VerificationFailed):
        open_note(note, [verifier("witness", KeyType.COSIGNATURE_V1)])


def test_a_signer_that_signs_wrongly_is_found_out() -> None:
    """A failing machine or a wrong key makes no note."""
    for sign in (private_key("other").sign, lambda body: bytes(64), lambda body: b""):
        with pytest.raises(VerificationFailed, match="wrongly"):
            sign_note(BODY, [Signer(LOG, sign)])
    assert "sign" not in repr(SIGNER).lower().removeprefix("signer")


@pytest.mark.parametrize(
    ("note", "why"),
    [
        (b"", "no empty line"),
        (b"text\n", "no empty line"),
        (b"text\n\n", "complete signature lines"),
        (FOO_NOTE[:-1], "complete signature lines"),
        (FOO_NOTE.replace(b"\n", b"\r\n"), "control character"),
        (FOO_NOTE.replace(b"an", b"a\tn"), "control character"),
        (FOO_NOTE.replace(b"an", b"a\0n"), "control character"),
        (FOO_NOTE.replace(b"an", b"a\xff"), "UTF-8"),
        (FOO_NOTE.replace("— ".encode(), b"- "), "malformed signature line"),
        (FOO_NOTE.replace(b"example.com/foo", b"example+foo"), "malformed signature line"),
        (FOO_NOTE.replace(b"example.com/foo ", b" "), "malformed signature line"),
        (FOO_NOTE.replace(b"example.com/foo", "a\N{NO-BREAK SPACE}b".encode()), "malformed signature line"),
        (FOO_NOTE.replace(b"aQM=", b"aQM"), "malformed signature line"),
        (FOO_NOTE.replace(b"aQM=", b"aQN="), "malformed signature line"),
        (FOO_NOTE.replace(b"aQM=", b"aQM= "), "malformed signature line"),
        (FOO_NOTE.replace(b"Uw2Q", b"Uw2-"), "malformed signature line"),
        (b"text\n\n" + "— a AAAAAA==\n".encode(), "malformed signature line"),
        (FOO_NOTE + b"\n", "malformed|complete|no empty"),
        (FOO_NOTE + b"more\n", "malformed signature line"),
    ],
)  # fmt: skip
def test_what_is_no_note(note: bytes, why: str) -> None:
    """Every departure from the format is refused, and the sentence says which."""
    with pytest.raises(BadInput, match=why):
        open_note(note, [parse_vkey(FOO)])


def test_limits() -> None:
    """More than 64 KiB or 100 signatures are not read; up to there they are, also if post-quantum and unknown."""
    line = FOO_NOTE[FOO_NOTE.rindex(b"\n\n") + 2 :]
    foo = parse_vkey(FOO)
    assert open_note(FOO_NOTE + line * (MAX_SIGNATURES - 1), [foo])
    with pytest.raises(TooLarge, match="101 signatures"):
        open_note(FOO_NOTE + line * MAX_SIGNATURES, [foo])
    with pytest.raises(TooLarge, match="octets"):
        parse_note(bytes(MAX_NOTE + 1))
    large = "— pq.example/w{} {}\n"
    lines = "".join(large.format(n, base64.b64encode(bytes(3309)).decode()) for n in range(13))
    assert open_note(FOO_NOTE + lines.encode(), [foo])


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "a+b",
        FOO.replace("530d903a", "530d903b"),
        FOO.replace("530d903a", "530D903A"),
        FOO.replace("530d903a", "30d903a"),
        FOO.replace("example.com/foo", ""),
        FOO.replace("example.com/foo", "example.com/fo"),
        FOO.replace("example.com/foo", "a b"),
        FOO.replace("example.com/foo", "\udc80"),
        FOO[:-1],
        FOO + "=",
        FOO + "\n",
        "x+00000000+",
        "x+00000000+AA==",
        "x+00000000+" + base64.b64encode(b"\x02" + bytes(32)).decode(),
        "x+00000000+" + base64.b64encode(b"\x01" + bytes(31)).decode(),
        "x+00000000+" + base64.b64encode(b"\x06" + bytes(1312)).decode(),
    ],
)
def test_what_is_no_verifier_key(vkey: str) -> None:
    """Malformed keys, keys of kinds we do not know, and keys under another's ID are refused."""
    with pytest.raises(BadInput):
        parse_vkey(vkey)


def test_a_key_has_another_id_for_each_use() -> None:
    """The same 32 octets as a log's key and as a witness's are two keys, and neither verifies for the other."""
    as_log, as_witness = verifier("same"), verifier("same", KeyType.COSIGNATURE_V1)
    assert as_log.public_key == as_witness.public_key
    assert as_log.key_id != as_witness.key_id
    assert parse_vkey(as_witness.vkey) == as_witness
    note = sign_note(BODY, [Signer(as_log, private_key("same").sign)])
    with pytest.raises(VerificationFailed, match="no signature"):
        open_note(note, [as_witness])
    assert verified(parse_note(cosign(note, "same")), [as_witness, as_log]) == (as_witness, as_log)


def test_keys_that_share_name_and_id() -> None:
    """Four octets are soon found again; a line that verifies under the true key is not spoiled by its namesake."""
    note = sign_note(BODY, [SIGNER])

    class Namesake(Verifier, frozen=True):
        @property
        def key_id(self) -> bytes:
            return LOG.key_id

    namesake = Namesake(LOG.name, KeyType.ED25519, verifier("other").public_key)
    assert verified(parse_note(note), [namesake, LOG]) == (LOG,)
