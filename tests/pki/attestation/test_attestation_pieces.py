"""Files come in any dress and order; what is broken is refused in one sentence, and everything is bounded."""

from __future__ import annotations

import base64
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pki import mint
from tests.pki.attestation import makers
from tests.pki.attestation.makers import AT

from privyseal.errors import BadInput, PrivySealError, TooLarge
from privyseal.pki import certificates, cms, der
from privyseal.pki.attestation import pieces
from privyseal.pki.attestation.judge import judge
from privyseal.pki.attestation.protocol import Attested

LEAF, DEVICE = makers.yubikey().der, makers.yubikey_device().der
REQUEST = makers.request()
ROOTS = [makers.root().der]


def pem(label: str, octets: bytes) -> bytes:
    """Write a PEM block."""
    body = base64.encodebytes(octets)
    return f"-----BEGIN {label}-----\n".encode() + body + f"-----END {label}-----\n".encode()


def bundle(*held: bytes) -> bytes:
    """Put certificates into a PKCS #7 that carries nothing else."""
    parts = [der.integer(1), der.set_of(), der.sequence(der.oid(cms.ID_DATA)), der.implicit(0, b"".join(held))]
    return der.sequence(der.oid(cms.ID_SIGNED_DATA), der.explicit(0, der.sequence(*parts, der.set_of())))


DRESSES = [
    [LEAF, DEVICE],
    [DEVICE, LEAF, REQUEST],
    [certificates.pem(LEAF) + b"words between\n" + certificates.pem(DEVICE)],
    [pem("CERTIFICATE REQUEST", REQUEST), base64.encodebytes(DEVICE), certificates.pem(LEAF)],
    [bundle(DEVICE, LEAF)],
    [pem("PKCS7", bundle(DEVICE)), pem("X509 CERTIFICATE", LEAF)],
    [LEAF, LEAF, DEVICE, DEVICE, ROOTS[0]],
    [base64.b64encode(LEAF), certificates.pem(DEVICE).replace(b"\n", b"\r\n")],
    [certificates.pem(DEVICE).replace(b"CERTIFICATE-----\n", b"CERTIFICATE----- \n", 1), LEAF],
]


@pytest.mark.parametrize("files", DRESSES)
def test_an_attestation_in_any_dress(files: list[bytes]) -> None:
    """PEM, DER, base64 alone, PKCS #7, several in one file, each of them twice."""
    for seed in range(3):
        chance = random.Random(seed)
        shuffled = chance.sample(files, len(files))
        found = judge(shuffled, AT, ROOTS)
        assert isinstance(found, Attested)
        assert found.spki == mint.spki(makers.KEY)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (LEAF + b"\0", "1 octets follow the end"),
        (certificates.pem(LEAF + b"trailing"), "8 octets follow the end"),
        (LEAF[:-1], "announces"),
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (certificates.pem(LEAF).replace(b"-----END CERTIFICATE-----", b""), "PEM block is broken"),
        (certificates.pem(LEAF).replace(b"END CERTIFICATE", b"END CERTIFICATF"), "begins as CERTIFICATE and ends"),
        (certificates.pem(LEAF).replace(b"\nMI", b"\nM*"), "PEM block is broken"),
        (certificates.pem(LEAF)[:200] + certificates.pem(LEAF)[201:], "base64 in the file"),
        (pem("CERTIFICATE", REQUEST), "called CERTIFICATE, and none is in it"),
        (pem("CERTIFICATE REQUEST", LEAF), "called CERTIFICATE REQUEST, and none is in it"),
        (pem("PKCS7", LEAF[:4] + LEAF[4:]), ""),
        (pem("PKCS7", der.sequence(der.integer(1))), "called PKCS7, and none is in it"),
        (pem("EC PRIVATE KEY", b"secret"), "holds a private key"),
        (bundle(LEAF).replace(b"\x02\x01\x01", b"\x02\x01\x03", 1), "not written as one"),
        (b"just words, which are nothing that an attestation takes", "neither certificate nor request"),
        (der.sequence(der.integer(1)), "neither certificate nor request"),
    ],
)
def test_what_is_broken_is_refused_in_one_sentence(broken: bytes, sentence: str) -> None:
    """Beside a good attestation: nothing broken is left out as if it were a stranger."""
    try:
        judge([LEAF, DEVICE, broken], AT, ROOTS)
    except BadInput as error:
        assert sentence in error.detail
        assert error.detail.count("\n") == 0
        assert b"secret".decode() not in error.detail
    else:
        assert sentence == "", "a certificate in a PKCS7 block is a certificate"


def test_counts_and_sizes_are_bounded() -> None:
    with pytest.raises(TooLarge, match="33 files"):
        pieces.unpack([LEAF] * 33)
    with pytest.raises(TooLarge, match="octets"):
        pieces.unpack([LEAF, bytes(pieces.MOST_OCTETS)])
    with pytest.raises(TooLarge, match="more than 64 pieces"):
        pieces.unpack([certificates.pem(LEAF) * 65])


def test_a_request_for_nothing_is_read_and_an_unknown_piece_is_kept() -> None:
    """Formats find what they know: by the label of a block, or as a whole file."""
    found = pieces.unpack([pem("EVIDENCE", der.sequence(der.integer(1))), b'{"json": "-----BEGIN X-----"}', REQUEST])
    assert [each.label for each in found.others] == ["EVIDENCE", ""]
    assert found.requests == (REQUEST,)


SEEDS = [LEAF, REQUEST, bundle(LEAF, DEVICE), certificates.pem(DEVICE), base64.b64encode(LEAF), b"0\x82", b"-----BEGIN"]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_octets_get_an_answer_or_one_sentence(data: st.DataObject) -> None:
    """Changed, cut, joined or plain noise: never another exception, and never attested."""
    files = []
    for _ in range(data.draw(st.integers(1, 3))):
        octets = bytearray(data.draw(st.sampled_from(SEEDS)))
        for _ in range(data.draw(st.integers(0, 4))):
            octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
        files.append(bytes(octets[: data.draw(st.integers(0, len(octets)))]) + data.draw(st.binary(max_size=3)))
    try:
        found = judge(files, AT, ROOTS)
    except PrivySealError as refused:
        assert refused.detail
        return
    if isinstance(found, Attested):
        assert found.chain[:2] == (LEAF, DEVICE), "only where both came through as they were"
