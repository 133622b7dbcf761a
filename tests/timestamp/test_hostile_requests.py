"""Whatever is sent instead of a request is answered by RFC 3161's words, never with a token and never by a crash."""

from __future__ import annotations

import hashlib
import os
import random
import resource
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import rfc3161_client
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mldsa
from tests.pki import mint
from tests.timestamp.clockwork import POLICY, authority, root, unit

from privyseal.errors import TimestampUnavailable
from privyseal.pki import der
from privyseal.timestamp import messages
from privyseal.timestamp.authority import Authority
from privyseal.timestamp.token import build_request, parse_response, read_token, verify_token

DATA = b"what is stamped"
DIGEST = hashlib.sha256(DATA).digest()
REQUEST = build_request("sha256", DIGEST, nonce=2**63 + 11, policy=POLICY)
SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), der.null())
SHA1 = der.sequence(der.oid("1.3.14.3.2.26"), der.null())


def request(*fields: bytes, version: int = 1, imprint: bytes | None = None) -> bytes:
    own = der.sequence(SHA256, der.octet_string(DIGEST)) if imprint is None else imprint
    return der.sequence(der.integer(version), own, *fields)


def extension(*, critical: bool) -> bytes:
    return der.explicit(0, der.sequence(der.oid("1.2.3.4"), der.boolean(critical), der.octet_string(b"\x05\x00")))


@pytest.fixture(scope="module")
def ours() -> Authority:
    return authority(unit("ecdsa-p256"))


def said(reply: bytes) -> tuple[int, set[int]]:
    """Return status and failure bits of a reply, read by somebody else's decoder too; it holds no token."""
    status = rfc3161_client.decode_timestamp_response(reply).status
    fields = der.Fields(der.read(reply), "A reply")
    info = der.Fields(fields.take(der.SEQUENCE), "A status")
    assert der.integer_of(info.take(der.INTEGER)) == status
    info.take(der.SEQUENCE)
    bits = der.bits_of(info.take(der.BIT_STRING))
    assert fields.rest() is None, "a token beside a refusal"
    return status, {8 * place + bit for place, octet in enumerate(bits) for bit in range(8) if octet >> (7 - bit) & 1}


@pytest.mark.parametrize(
    ("octets", "failure"),
    [
        (b"", messages.Failure.BAD_DATA_FORMAT),
        (REQUEST[:-1], messages.Failure.BAD_DATA_FORMAT),
        (REQUEST + b"\0", messages.Failure.BAD_DATA_FORMAT),
        (b"\x30\x80" + REQUEST[2:] + b"\0\0", messages.Failure.BAD_DATA_FORMAT),
        (request(der.tlv(der.INTEGER, b"\x01" * 4096)), messages.Failure.BAD_DATA_FORMAT),
        (request(der.tlv(der.INTEGER, b"\x01" * (1 << 20))), messages.Failure.BAD_DATA_FORMAT),
        (request(imprint=der.sequence(SHA256, der.octet_string(DIGEST[1:]))), messages.Failure.BAD_DATA_FORMAT),
        (request(imprint=der.sequence(SHA256, der.octet_string(b""))), messages.Failure.BAD_DATA_FORMAT),
        (request(imprint=der.sequence(SHA256, der.octet_string(bytes(64)))), messages.Failure.BAD_DATA_FORMAT),
        (request(version=2), messages.Failure.BAD_REQUEST),
        (request(version=0), messages.Failure.BAD_REQUEST),
        (request(der.oid("1.2.3")), messages.Failure.UNACCEPTED_POLICY),
        (request(extension(critical=True)), messages.Failure.UNACCEPTED_EXTENSION),
        (request(extension(critical=False)), messages.Failure.UNACCEPTED_EXTENSION),
        (
            request(imprint=der.sequence(SHA1, der.octet_string(bytes(20)))),
            messages.Failure.BAD_ALG,
        ),
        (
            request(imprint=der.sequence(der.sequence(der.oid("1.2.3.4")), der.octet_string(bytes(20)))),
            messages.Failure.BAD_ALG,
        ),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value.name,
)  # fmt: skip
def test_each_has_its_failure(ours: Authority, octets: bytes, failure: messages.Failure) -> None:
    assert said(ours.reply(octets)) == (2, {failure})


def test_a_policy_s_address_gives_that_policy_and_no_other() -> None:
    """/tsa gives the first to whoever asks for none, and each to whoever asks for it; /tsa/OID only its own."""
    minted = unit("ecdsa-p256")
    both = Authority(
        [minted.der], lambda some: [mint.sign(minted.key, each) for each in some], (POLICY, "1.2.9"),
        lambda: mint.NOW, os.urandom,
    )  # fmt: skip
    plain, first, second = (build_request("sha256", DIGEST, policy=policy) for policy in (None, POLICY, "1.2.9"))

    def given(octets: bytes, address: str = "") -> str:
        return read_token(parse_response(both.reply(octets, address)))[1].policy

    assert [given(each) for each in (plain, first, second)] == [POLICY, POLICY, "1.2.9"]
    assert [given(plain, each) for each in (POLICY, "1.2.9")] == [POLICY, "1.2.9"]
    assert given(second, "1.2.9") == "1.2.9"
    for octets, address in ((first, "1.2.9"), (second, POLICY), (plain, "1.2.10")):
        assert said(both.reply(octets, address)) == (2, {messages.Failure.UNACCEPTED_POLICY})
    tokens = [parse_response(each) for each in both.replies([plain, plain, second], ["", "1.2.9", ""])]
    assert [read_token(each)[1].policy for each in tokens] == [POLICY, "1.2.9", "1.2.9"]


def _mutations(count: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    whole = [REQUEST, request(), request(der.integer(5), der.boolean(True)), request(extension(critical=True))]

    def flip(octets: bytearray) -> None:
        octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)

    def put(octets: bytearray) -> None:
        octets[rng.randrange(len(octets))] = rng.choice((0, 1, 0x7F, 0x80, 0x84, 0xFF, 0x30, 0xA0))

    def cut(octets: bytearray) -> None:
        del octets[rng.randrange(len(octets)) :]

    def double(octets: bytearray) -> None:
        at = rng.randrange(len(octets))
        octets[at:at] = octets[at : at + rng.randrange(1, 20)]

    deeds: list[Callable[[bytearray], None]] = [flip, flip, put, put, cut, double]
    found = []
    for _ in range(count):
        octets = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 4)):
            if octets:
                rng.choice(deeds)(octets)
        found.append(bytes(octets))
    return found


def _campaign(ours: Authority, count: int, seed: int) -> tuple[int, int]:
    granted = 0
    for octets in _mutations(count, seed):
        reply = ours.reply(octets)
        try:
            token = parse_response(reply)
        except TimestampUnavailable:
            said(reply)
            continue
        asked = messages.parse_request(octets)  # what was granted is a request, and the token is what it asks for
        info = read_token(token)[1]
        assert (info.digest, info.nonce) == (asked.digest, asked.nonce) and asked.extensions == ()
        granted += 1
    return granted, count - granted


def test_ten_thousand_mutated_requests_are_answered(ours: Authority) -> None:
    """A token for what is still a request, a failure that others can read for everything else; memory stays flat."""
    _campaign(ours, 500, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    granted, refused = _campaign(ours, 10_000, 2)
    assert granted > 500 and refused > 3_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10  # KiB


@pytest.mark.parametrize("reference", ["random", "repeated"])
def test_a_thousand_tokens_are_accepted_by_rfc3161_client(ours: Authority, reference: str) -> None:
    """1,000 of 1,000, in batches as they are made under load; no serial number twice."""
    verifier = rfc3161_client.VerifierBuilder(policy_id=x509.ObjectIdentifier(POLICY), roots=[root().loaded]).build()
    values = [b"%d" % (number if reference == "random" else 0) for number in range(500)]
    requests = [build_request("sha256", hashlib.sha256(value).digest()) for value in values]
    serials = set()
    for value, reply in zip(values, ours.replies(requests), strict=True):
        response = rfc3161_client.decode_timestamp_response(reply)
        assert verifier.verify_message(response, value)
        serials.add(response.tst_info.serial_number)
    assert len(serials) == 500


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_thousand_tokens_are_accepted_by_openssl(tmp_path: Path) -> None:
    """1,000 of 1,000 by ``openssl ts -verify``, one process each."""
    where = tmp_path
    minted = unit("rsa-3072")
    (where / "root.pem").write_bytes(root().pem)
    ours = authority(minted)
    accepted = 0
    for number in range(1000):
        value = b"%d" % number
        query = build_request("sha256", hashlib.sha256(value).digest(), nonce=number + 1)
        (where / "q").write_bytes(query)
        (where / "r").write_bytes(ours.reply(query))
        done = mint.run(
            "openssl", "ts", "-verify", "-queryfile", where / "q", "-in", where / "r", "-CAfile", where / "root.pem"
        )
        accepted += "Verification: OK" in done.stdout
    assert accepted == 1000


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_million_tokens_have_a_million_serials_in_flat_memory(ours: Authority) -> None:
    """10^6 serial numbers, none twice; 10^6 tokens leave nothing behind."""
    requests = [REQUEST] * 1000
    ours.replies(requests)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    serials = bytearray()
    for _ in range(1000):
        for reply in ours.replies(requests):
            at = reply.index(b"\x02\x14")
            serials += reply[at + 2 : at + 10]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len({bytes(serials[at : at + 8]) for at in range(0, len(serials), 8)}) == 1_000_000
    assert grown < 160 << 10  # KiB, most of it what this test itself keeps


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (datetime(2025, 8, 31, 10, tzinfo=UTC), datetime(2026, 11, 30, 10, tzinfo=UTC)),
        (datetime(2025, 1, 15, tzinfo=UTC), datetime(2026, 4, 15, tzinfo=UTC)),
        (datetime(2027, 11, 30, tzinfo=UTC), datetime(2029, 2, 28, tzinfo=UTC)),
    ],
)
def test_a_key_is_used_for_fifteen_months(begins: datetime, ends: datetime) -> None:
    """CSBR 6.3.2, by the calendar, however long its certificate lives: the last second is given, the next is not."""
    minted = mint.certify(
        "TSU", mint.key("ecdsa-p256"), root(), purposes=(mint.TIME_STAMPING,), critical=True, start=begins, days=4000
    )
    moment = [ends]
    made = Authority(
        [minted.der], lambda some: [mint.sign(minted.key, each) for each in some], POLICY, lambda: moment[0], os.urandom
    )
    assert made.used_until == ends
    assert read_token(parse_response(made.reply(REQUEST)))[1].time == ends
    moment[0] = ends + timedelta(seconds=1)
    assert said(made.reply(REQUEST)) == (2, {messages.Failure.SYSTEM_FAILURE})
    with pytest.raises(TimestampUnavailable, match="15 months"):
        made.stamp("sha256", [DIGEST])


@pytest.mark.parametrize("scheme", ["ml-dsa-44", "ml-dsa-65"])
def test_ml_dsa_as_an_experiment(scheme: str) -> None:
    """Our own verifier reads it (RFC 9882); nobody else's does yet."""
    kind = {"ml-dsa-44": mldsa.MLDSA44PrivateKey, "ml-dsa-65": mldsa.MLDSA65PrivateKey}[scheme]
    key = kind.generate()
    minted = mint.certify(f"TSU {scheme}", key, root(), purposes=(mint.TIME_STAMPING,), critical=True)  # type: ignore[arg-type]
    made = Authority(
        [minted.der], lambda some: [key.sign(each.octets) for each in some], POLICY, lambda: mint.NOW, os.urandom
    )
    (token,) = made.stamp("sha256", [DIGEST])
    assert verify_token(token, octets=DATA).time == mint.NOW
