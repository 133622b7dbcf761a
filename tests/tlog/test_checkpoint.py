"""A checkpoint says three things, in one way each."""

from __future__ import annotations

import pytest
from tests.tlog.growing import LOG, ORIGIN, SIGNER, private_key, verifier

from privyseal.errors import BadInput, VerificationFailed
from privyseal.tlog.checkpoint import Checkpoint, open_checkpoint, parse, sign_checkpoint
from privyseal.tlog.merkle import EMPTY_ROOT
from privyseal.tlog.note import Signer, sign_note

EXAMPLE = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
"""The example of c2sp.org/tlog-checkpoint."""


def test_the_example_of_the_specification() -> None:
    """It is read as what it says, and written as it was."""
    head = parse(EXAMPLE)
    assert (head.origin, head.size, len(head.root)) == ("example.com/behind-the-sofa", 20852163, 32)
    assert head.body() == EXAMPLE
    extended = parse(EXAMPLE + b"opaque line\n")
    assert extended.extensions == ("opaque line",)
    assert extended.body() == EXAMPLE + b"opaque line\n"


def test_what_is_signed_opens() -> None:
    """A head that the log signed is read back under the log's key."""
    head = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    assert open_checkpoint(sign_checkpoint(head, SIGNER), LOG) == head


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        EXAMPLE[:-1],
        EXAMPLE[1 + EXAMPLE.index(b"\n") :],
        EXAMPLE + b"\n",
        b"\n" + EXAMPLE,
        EXAMPLE.replace(b"\n20852163\n", b"\n"),
        *(EXAMPLE.replace(b"20852163", size) for size in (
            b"020852163", b"-1", b"+1", b"1e3", b" 1", b"0x1", b"", b"9223372036854775808", b"9" * 5000,
            "٣".encode(), "²".encode(), b"1_000",
        )),
        EXAMPLE.replace(b"20852163", b"0"),
        EXAMPLE.replace(b"q2I=", b"q2I"),
        EXAMPLE.replace(b"q2I=", b"q2J="),
        EXAMPLE.replace(b"CsUY", b""),
        EXAMPLE.replace(b"CsUY", b"CsUYAAAA"),
        EXAMPLE.replace(b"behind", b"\xff"),
    ],
)  # fmt: skip
def test_what_is_no_checkpoint(body: bytes) -> None:
    """Whatever could be read in two ways, or as another number, is refused."""
    with pytest.raises(BadInput):
        parse(body)


def test_the_largest_size() -> None:
    """2**63 - 1 is the largest size there can be."""
    assert parse(EXAMPLE.replace(b"20852163", b"9223372036854775807")).size == 2**63 - 1


def test_another_log_s_origin() -> None:
    """A key that signs for its own log says nothing of another."""
    stray = sign_note(Checkpoint("seal.test/other", 0, EMPTY_ROOT).body(), [SIGNER])
    with pytest.raises(VerificationFailed, match=r"another log, 'seal\.test/other'"):
        open_checkpoint(stray, LOG)
    other = Signer(verifier("seal.test/other"), private_key("seal.test/other").sign)
    with pytest.raises(VerificationFailed):
        open_checkpoint(sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), other), LOG)


def test_a_note_that_is_no_checkpoint() -> None:
    """A good signature over something else is no head."""
    with pytest.raises(BadInput, match="three lines"):
        open_checkpoint(sign_note(b"hello\n", [SIGNER]), LOG)
