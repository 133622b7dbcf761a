"""Mutated DER, CMS, requests, responses, certificates and CRLs: typed errors and bounded memory, nothing else."""

import random
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache

import pytest
from tests.pki import mint
from tests.pki.mint import NOW
from tests.pki.test_cms import CONTENT, build
from tests.timestamp.clockwork import authority, root, unit

from privyseal.errors import BadInput, PrivySealError, TimestampUnavailable, VerificationFailed
from privyseal.pki import ber, certificates, chain, cms, der
from privyseal.pki.chain import Anchors, judge
from privyseal.timestamp import messages, token

SEED = 20261124
MUTATIONS = 800
"""For each kind of input; the nightly campaign makes a hundred times as many."""


def mutate(dice: random.Random, octets: bytes) -> bytes:
    """Change an input as a fuzzer does: bits, octets, lengths, cuts, copies, insertions, several at a time."""
    mutated = bytearray(octets)
    for _ in range(dice.choice((1, 1, 1, 2, 4, 16))):
        at = dice.randrange(len(mutated) + 1)
        match dice.randrange(8):
            case 0 if mutated:
                mutated[at % len(mutated)] ^= 1 << dice.randrange(8)
            case 1 if mutated:
                mutated[at % len(mutated)] = dice.choice((0, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFF, dice.randrange(256)))
            case 2:
                del mutated[at : at + dice.randrange(1, 40)]
            case 3:
                mutated[at:at] = dice.randbytes(dice.randrange(1, 20))
            case 4:
                start = dice.randrange(len(mutated) + 1)
                mutated[at:at] = mutated[start : start + dice.randrange(1, 200)]
            case 5:
                mutated[at:at] = dice.choice(
                    (b"\x30\x80", b"\x24\x80", b"\0\0", b"\x30\x84\xff\xff\xff\xff", b"\x31\0")
                )
            case 6:
                del mutated[at:]
            case 7 if mutated:
                mutated[at % len(mutated)] = dice.choice((2, 3, 4, 5, 6, 0x30, 0x31, 0xA0, 0xA1, 0x17, 0x18))
    return bytes(mutated)


def walk(octets: bytes) -> None:
    """Read every element of a value as everything it could be."""
    waiting = [der.read(octets)]
    readers = (der.integer_of, der.oid_of, der.boolean_of, der.bits_of, der.octets_of, der.time_of)
    while waiting:
        element = waiting.pop()
        for reader in readers:
            with suppress(BadInput):
                reader(element)
        if element.tag & 0x20:
            waiting += der.children(element)


def judge_signature(octets: bytes) -> None:
    signed = cms.parse(octets)
    for signer in signed.signers:
        cms.flaws(signed, signer, content=signed.content_octets or b"")
    cms.with_unsigned_attribute(octets, "1.2.3", der.null())


@lru_cache
def issuer() -> mint.Minted:
    return mint.certify("CA", mint.key("ecdsa-p256"), ca=True)


def judge_certificate(octets: bytes) -> None:
    certificates.read(octets)
    certificates.common_name(octets)
    judge(octets, [octets, issuer().der], Anchors((issuer().der,)), (), NOW, "code-signing")
    chain.standing([octets], [chain.PinnedAnchor(issuer().der, "private")])


def judge_list(octets: bytes) -> None:
    leaf = mint.certify("Leaf", mint.key("ecdsa-p384"), issuer(), purposes=(mint.CODE_SIGNING,))
    judge(leaf.der, [], Anchors((issuer().der,)), [octets], NOW + timedelta(hours=1), "code-signing")


def judge_response(octets: bytes) -> None:
    token.verify_token(messages.parse_response(octets), octets=CONTENT)


@lru_cache
def kinds() -> dict[str, tuple[Callable[[bytes], object], list[bytes]]]:
    """Return, for each kind of input, who reads it and good examples."""
    signer = mint.certify("signer", mint.key("rsa-3072"), ca=True)
    small = mint.certify("small", mint.key("ecdsa-p256"), ca=True)
    request = messages.build_request("sha256", bytes(32), nonce=2**64, policy="1.2.3.4")
    ours = authority(unit("ecdsa-p256"))
    response = ours.reply(messages.build_request("sha256", bytes(32), nonce=5))
    signatures = [build(small), build(signer, pss=True), build(small, bare=True)]
    signatures += [cms.with_unsigned_attribute(build(small), "1.2.3.4", messages.parse_response(response))]
    leaf = mint.certify("Leaf", mint.key("ecdsa-p384"), issuer(), purposes=(mint.CODE_SIGNING,))
    return {
        "der": (walk, [*signatures, request]),
        "ber": (ber.to_der, [b"\x30\x80" + signatures[0] + b"\x24\x80\x04\x01x\x04\x02yz\0\0\0\0"]),
        "cms": (judge_signature, signatures),
        "request": (messages.parse_request, [request]),
        "authority": (lambda octets: judge_answer(ours.reply(octets)), [request]),
        "response": (judge_response, [response, messages.rejected(messages.Failure.BAD_ALG, "no")]),
        "certificate": (judge_certificate, [leaf.der, small.der]),
        "crl": (judge_list, [mint.crl(issuer(), {5: NOW, leaf.loaded.serial_number: NOW})]),
        "pem": (certificates.pem_certificates, [small.pem + b"and\n" + signer.pem]),
    }


def judge_answer(reply: bytes) -> None:
    """Whatever was asked, the answer is one that OpenSSL's grammar has: a status, and a token or none."""
    fields = der.Fields(der.read(reply), "A TimeStampResp")
    status = der.Fields(fields.take(der.SEQUENCE), "A PKIStatusInfo").take(der.INTEGER)
    assert (der.integer_of(status) == 0) == (fields.rest() is not None)


def campaign(kind: str, count: int, seed: int) -> Iterator[str]:
    """Run mutations of one kind and yield what each came to."""
    reader, examples = kinds()[kind]
    dice = random.Random(f"{seed}/{kind}")
    for number in range(count):
        octets = mutate(dice, examples[number % len(examples)])
        try:
            reader(octets)
            yield "read"
        except (BadInput, VerificationFailed, TimestampUnavailable) as error:
            assert len(error.detail) < 1000, "a message as long as its input"
            yield type(error).__name__


KINDS = ["der", "ber", "cms", "request", "authority", "response", "certificate", "crl", "pem"]


@pytest.mark.filterwarnings("ignore")  # cryptography warns of oddities it tolerates
@pytest.mark.parametrize("kind", KINDS)
def test_mutations_end_in_typed_errors(kind: str) -> None:
    """Any other exception, a traceback to the user, fails the test by itself; so does a reader that reads nothing."""
    outcomes = list(campaign(kind, MUTATIONS, SEED))
    assert len(outcomes) == MUTATIONS
    if kind != "authority":
        assert set(outcomes) & {"BadInput", "VerificationFailed"}


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutations_end_in_typed_errors(kind: str) -> None:
    """The same with a seed of today."""
    seed = int(time.time()) // 86400
    assert sum(1 for _ in campaign(kind, 100 * MUTATIONS, seed)) == 100 * MUTATIONS


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["der", "cms", "response", "certificate"])
def test_memory_stays_bounded(kind: str) -> None:
    """An input of kilobytes never becomes megabytes, whatever lengths it announces."""
    _, examples = kinds()[kind]
    assert max(map(len, examples)) < 8000
    list(campaign(kind, 20, SEED))
    tracemalloc.start()
    try:
        for _ in campaign(kind, 150, SEED + 1):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("size", [1 << 20, 16 << 20])
def test_large_inputs_are_refused_or_read_in_proportion(size: int) -> None:
    """One huge string, and as many small elements as fit: no more than a few copies, no more than seconds."""
    begun = time.perf_counter()
    tracemalloc.start()
    try:
        for octets in (
            der.octet_string(bytes(size)),
            der.sequence(b"\x05\x00" * (size // 2)),
            b"\x30\x80" * (size // 2),
        ):
            for reader in (walk, cms.parse, messages.parse_request, messages.parse_response, token.read_token):
                with suppress(PrivySealError):
                    reader(octets)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * size + (4 << 20)
    assert time.perf_counter() - begun < 20


def test_mutations_do_change_things() -> None:
    """The dice are worth their name: equal seeds give equal campaigns, and few mutants equal their parent."""
    dice, again = random.Random(SEED), random.Random(SEED)
    parent = root().der
    mutants = [mutate(dice, parent) for _ in range(200)]
    assert mutants == [mutate(again, parent) for _ in range(200)]
    assert sum(mutant == parent for mutant in mutants) < 10
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(set(mutants)) > 180
