"""All pieces of a request at once: what each format gives for each, in their order."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from tests.formats.signing import PLAIN, signatory
from tests.formats.test_pe_key_side import GOOD

from privyseal.errors import BadInput, Impossible
from privyseal.formats import catalogue, key_side
from privyseal.terms.signatures import Described, Options, Signature, ToBeSigned

CABINET = Described(
    format="cab",
    filename="c.cab",
    digest_algorithm="sha256",
    digest=bytes(32),
    size=1000,
    facts={"files": 1, "folders": 1},
)


def _pe(number: int, algorithm: str = "sha256") -> Described:
    digest = hashlib.new(algorithm, bytes([number])).digest()
    return msgspec.structs.replace(GOOD, digest=digest, digest_algorithm=algorithm)


MIXED = (_pe(1), _pe(2), CABINET, _pe(3, "sha512"), _pe(4))


def test_each_piece_gets_what_its_format_gives_it() -> None:
    """Formats between each other, digests by two algorithms, signatures of several sizes: order and octets stay."""
    who = signatory("ecdsa-p256")
    octets = key_side.octets(MIXED, who.identity, PLAIN)
    alone = [list(catalogue.BY_NAME[one.format].to_be_signed(one, who.identity, PLAIN)) for one in MIXED]
    assert octets == alone
    signed = [[who.sign(each) for each in piece] for piece in octets]
    blobs = key_side.blobs(MIXED, who.identity, PLAIN, signed, [()] * len(MIXED))
    assert blobs == [
        catalogue.BY_NAME[one.format].finish(one, who.identity, PLAIN, its, ())
        for one, its in zip(MIXED, signed, strict=True)
    ]
    assert len(set(blobs)) == len(MIXED)


def test_a_signature_of_another_piece_is_refused() -> None:
    """Two signatures that change places are over octets of each other."""
    who = signatory("ecdsa-p256")
    signed = [[who.sign(each) for each in piece] for piece in key_side.octets(MIXED[:2], who.identity, PLAIN)]
    with pytest.raises(BadInput, match="other octets"):
        key_side.blobs(MIXED[:2], who.identity, PLAIN, signed[::-1], [(), ()])
    strange = [[Signature(ToBeSigned(b"", "sha256"), its[0].value)] for its in signed]
    with pytest.raises(BadInput, match="other octets"):
        key_side.blobs(MIXED[:2], who.identity, PLAIN, strange, [(), ()])


def test_the_last_of_many_is_looked_at_like_the_first() -> None:
    """What is the same for all is looked at once, and what is each one's own for each."""
    who = signatory("ecdsa-p256")
    for wrong, words in (
        (msgspec.structs.replace(GOOD, digest=bytes(31)), "32 octets; 31"),
        (msgspec.structs.replace(GOOD, size=2035), "cannot cover 2035"),
        (msgspec.structs.replace(GOOD, format="nonsense"), "No code format is named 'nonsense'"),
    ):
        with pytest.raises(BadInput, match=words):
            key_side.octets((*MIXED, wrong), who.identity, PLAIN)
    with pytest.raises((BadInput, Impossible)):
        key_side.octets(MIXED, who.identity, Options(page_hashes="sha256"))


def test_one_thing_beside_each_piece_or_nothing() -> None:
    """What travels beside descriptions is as many as they are."""
    who = signatory("ecdsa-p256")
    with pytest.raises(BadInput, match="1 things came beside 2"):
        key_side.octets(MIXED[:2], who.identity, PLAIN, [b""])
    assert key_side.octets(MIXED[:2], who.identity, PLAIN, [b"", b""]) == key_side.octets(
        MIXED[:2], who.identity, PLAIN
    )
