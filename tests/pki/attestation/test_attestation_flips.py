"""No attestation with a flipped bit is attested: genuine ones, and ones of ours where there are none."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import pytest
from tests.pki.attestation import makers
from tests.pki.attestation.makers import AT, sample

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.pki.attestation.judge import NotEvidenced, judge
from privyseal.pki.attestation.protocol import Attested

GENUINE = [
    ("tmc_5_2_7.pem",),
    ("tmc_5_7_2.pem",),
    ("tmc_attestation_1.pem",),
    ("rsa-pkc.p7b", "rsa-test.csr"),
    ("ecc-pkc.p7b", "ecc-test.csr"),
    ("ecc-chain.pem",),
]
_READ = re.compile(rb"-----BEGIN [A-Z ]+-----[^-]*-----END [A-Z ]+-----")


def places(octets: bytes) -> Sequence[int]:
    """Return where a flip has to be noticed: everywhere, but not in the words around PEM blocks, which nobody reads."""
    if b"-----BEGIN" not in octets:
        return range(len(octets))
    return [place for block in _READ.finditer(octets) for place in range(*block.span())]


def flipped(files: list[bytes], which: int, place: int, bit: int) -> list[bytes]:
    """Return the files with one bit of one of them flipped."""
    changed = bytearray(files[which])
    changed[place] ^= 1 << bit
    return [*files[:which], bytes(changed), *files[which + 1 :]]


def require_noticed(files: list[bytes], pinned: Sequence[bytes]) -> None:
    """Require that files are refused, or found to show nothing."""
    try:
        found = judge(files, AT, pinned)
    except (BadInput, VerificationFailed):
        return
    assert isinstance(found, NotEvidenced)


def survive(files: list[bytes], count: int, pinned: Sequence[bytes] = ()) -> None:
    """Flip ``count`` bits, one at a time, of files that are attested as they are."""
    assert isinstance(judge(files, AT, pinned), Attested)
    chance = random.Random(6 + count)
    where = [(which, place) for which, octets in enumerate(files) for place in places(octets)]
    for which, place in chance.sample(where, min(count, len(where))):
        bit = chance.randrange(8)
        try:
            require_noticed(flipped(files, which, place, bit), pinned)
        except (AssertionError, PrivySealError) as error:
            raise AssertionError(f"file {which}, octet {place}, bit {bit}") from error


@pytest.mark.parametrize("names", GENUINE, ids="+".join)
def test_no_flipped_genuine_attestation_is_attested(names: tuple[str, ...]) -> None:
    survive([sample(each) for each in names], 200)


def test_no_flipped_attestation_of_ours_is_attested() -> None:
    """A YubiHSM's, a YubiKey's in single files, and a Luna's whose signature reads as negative, with the requests."""
    survive([*makers.yubihsm(), makers.request()], 150, [makers.root().der])
    survive([makers.yubikey().der, makers.yubikey_device().der], 100, [makers.root().der])
    (leaf, origin), top = makers.luna()
    survive([makers.signless(leaf), origin, top, makers.request()], 150, [top])


@pytest.mark.nightly
@pytest.mark.parametrize("names", [*GENUINE, ("rsa-chain.pem",), ("tmc_attestation_11.pem",)], ids="+".join)
def test_no_octet_of_a_genuine_attestation_can_be_flipped(names: tuple[str, ...]) -> None:
    """One bit of every single octet."""
    survive([sample(each) for each in names], 1 << 20)
