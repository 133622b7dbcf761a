"""Our authority's tokens satisfy OpenSSL and rfc3161-client; what it must not stamp it refuses in RFC 3161's words."""

import hashlib
import os
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import rfc3161_client
from cryptography import x509
from tests.pki import mint
from tests.timestamp.clockwork import POLICY, Clock, authority, root, unit

from privyseal.errors import BadInput, KeyStoreUnavailable, TimestampUnavailable, Unavailable, VerificationFailed
from privyseal.pki import cms, der
from privyseal.terms.signatures import DigestAlgorithm, ToBeSigned
from privyseal.timestamp.authority import Authority
from privyseal.timestamp.token import (
    build_request,
    parse_response,
    read_token,
    token_certificates,
    verify_token,
)

DATA = b"what is stamped"


def rejected(response: bytes, match: str) -> None:
    with pytest.raises(TimestampUnavailable, match=match):
        parse_response(response)


# -- other people's verifiers ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scheme", mint.SCHEMES)
@pytest.mark.parametrize("digest", mint.DIGESTS)
@pytest.mark.parametrize("nonce", [True, False])
@pytest.mark.parametrize("certificates", [True, False])
def test_openssl_asks_and_verifies(
    scheme: str, digest: DigestAlgorithm, nonce: bool, certificates: bool, tmp_path: Path
) -> None:
    """Every key type, imprint, with and without nonce and certificates: `ts -query`, our reply, `ts -verify`."""
    minted = unit(scheme)
    for name, content in (("data", DATA), ("root.pem", root().pem), ("unit.pem", minted.pem)):
        (tmp_path / name).write_bytes(content)
    command = ["openssl", "ts", "-query", "-data", tmp_path / "data", f"-{digest}", "-out", tmp_path / "q.tsq"]
    command += ([] if nonce else ["-no_nonce"]) + (["-cert"] if certificates else [])
    assert mint.run(*command).returncode == 0
    (tmp_path / "r.tsr").write_bytes(authority(minted).reply((tmp_path / "q.tsq").read_bytes()))
    command = ["openssl", "ts", "-verify", "-in", tmp_path / "r.tsr", "-CAfile", tmp_path / "root.pem"]
    command += [] if certificates else ["-untrusted", tmp_path / "unit.pem"]
    for what in (["-queryfile", tmp_path / "q.tsq"], ["-data", tmp_path / "data"]):
        done = mint.run(*command, *what)
        assert "Verification: OK" in done.stdout, done.stdout + done.stderr
    (tmp_path / "data").write_bytes(b"something else")
    assert mint.run(*command, "-data", tmp_path / "data").returncode != 0
    said = mint.run("openssl", "ts", "-reply", "-in", tmp_path / "r.tsr", "-text").stdout
    assert "Status: Granted." in said and POLICY in said and "Accuracy: 0x02 seconds" in said
    token = parse_response((tmp_path / "r.tsr").read_bytes())
    assert bool(token_certificates(token)) == certificates
    if certificates:
        assert verify_token(token, octets=DATA, policy=POLICY).authority == f"CN=TSU {scheme}"


@pytest.mark.parametrize("scheme", mint.SCHEMES)
@pytest.mark.parametrize("digest", mint.DIGESTS)
@pytest.mark.parametrize("nonce", [None, 1, 2**64 - 1, 2**127 + 5])
def test_rfc3161_client_verifies(scheme: str, digest: DigestAlgorithm, nonce: int | None) -> None:
    """The client that sigstore uses, written in Rust by others, with our request and our reply."""
    hashed = hashlib.new(digest, DATA).digest()
    reply = authority(unit(scheme)).reply(build_request(digest, hashed, nonce=nonce, policy=POLICY))
    response = rfc3161_client.decode_timestamp_response(reply)
    verifier = rfc3161_client.VerifierBuilder(
        policy_id=x509.ObjectIdentifier(POLICY), roots=[root().loaded], nonce=nonce
    ).build()
    assert verifier.verify_message(response, DATA)
    with pytest.raises(rfc3161_client.VerificationError):
        verifier.verify_message(response, b"other")
    assert response.tst_info.serial_number == read_token(parse_response(reply))[1].serial


def test_rfc3161_client_asks(tmp_path: Path) -> None:
    """Its requests are understood, with the nonce it chose."""
    for algorithm in (rfc3161_client.HashAlgorithm.SHA256, rfc3161_client.HashAlgorithm.SHA512):
        request = rfc3161_client.TimestampRequestBuilder().data(DATA).hash_algorithm(algorithm).build()
        reply = authority(unit("ecdsa-p256")).reply(request.as_bytes())
        assert verify_token(parse_response(reply), octets=DATA, nonce=request.nonce).time == mint.NOW


# -- what a token says -------------------------------------------------------------------------------------------------
def test_serials_are_long_random_and_positive() -> None:
    """159 bits, of which 158 are random; users must be ready for 160 (RFC 3161 2.4.2)."""
    tokens = authority(unit("ecdsa-p256")).stamp("sha256", [os.urandom(32) for _ in range(50)])
    serials = [read_token(token)[1].serial for token in tokens]
    assert len(set(serials)) == 50 and {serial.bit_length() for serial in serials} == {159}


def test_the_token_digest_is_that_of_the_certificate() -> None:
    """CSBR 6.8: the digest that signs tokens is the one that signs the timestamp certificate."""
    for scheme, digest in (("rsa-3072", "sha256"), ("ecdsa-p384", "sha384"), ("ecdsa-p521", "sha512")):
        (token,) = authority(unit(scheme)).stamp("sha256", [bytes(32)])
        assert cms.parse(token).signers[0].digest_algorithm == digest


def test_stamping_a_batch_uses_the_key_once_and_keeps_the_order() -> None:
    """The stamper answers many at a time; each token is for its own digest."""
    minted, calls = unit("ecdsa-p256"), []

    def sign(several: list[ToBeSigned]) -> list[bytes]:
        calls.append(len(several))
        return [mint.sign(minted.key, each) for each in several]

    made = Authority([minted.der, root().der], sign, POLICY, Clock(), os.urandom)
    values = [bytes((number,)) * 40 for number in range(20)]
    tokens = made.stamp("sha384", [hashlib.sha384(value).digest() for value in values])
    for token, value in zip(tokens, values, strict=True):
        verify_token(token, octets=value)
        assert token_certificates(token) == (minted.der, root().der)
    assert calls == [20]
    requests = [build_request("sha256", hashlib.sha256(value).digest(), nonce=7) for value in values]
    requests[3] = b"junk"
    replies = made.replies(requests)
    assert calls == [20, 19]
    rejected(replies[3], "data in the wrong format")
    for number, value in enumerate(values):
        if number != 3:
            verify_token(parse_response(replies[number]), octets=value, nonce=7)
    assert made.stamp("sha256", []) == [] and made.replies([]) == [] and calls == [20, 19]


# -- refusals ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("digest", ["sha1", "md5", "sha224", "sha3-256"])
def test_weak_and_unknown_digests_get_bad_alg(digest: str, tmp_path: Path) -> None:
    """CSBR 6.8: SHA-1 imprints are rejected; OpenSSL reads our rejection as badAlg."""
    (tmp_path / "data").write_bytes(DATA)
    done = mint.run("openssl", "ts", "-query", "-data", tmp_path / "data", f"-{digest}", "-out", tmp_path / "q.tsq")
    assert done.returncode == 0, done.stderr
    reply = authority(unit("ecdsa-p256")).reply((tmp_path / "q.tsq").read_bytes())
    rejected(reply, "unrecognized or unsupported algorithm")
    (tmp_path / "r.tsr").write_bytes(reply)
    said = mint.run("openssl", "ts", "-reply", "-in", tmp_path / "r.tsr", "-text").stdout
    assert "Status: Rejected." in said and "unrecognized or unsupported algorithm identifier" in said


def test_policies_and_extensions_we_do_not_have_are_refused() -> None:
    """RFC 3161 2.4.1: another policy, any extension critical or not, a digest of the wrong size, another version."""
    ours = authority(unit("ecdsa-p256"))
    hashed = hashlib.sha256(DATA).digest()
    rejected(ours.reply(build_request("sha256", hashed, policy="1.2.3")), "policy not supported, The policy here is")
    verify_token(parse_response(ours.reply(build_request("sha256", hashed, policy=POLICY))), policy=POLICY)
    request = der.read(build_request("sha256", hashed))
    for critical in (b"", der.boolean(True)):
        extension = der.sequence(der.oid("1.2.3.4"), critical, der.octet_string(b"\x05\x00"))
        rejected(ours.reply(der.sequence(request.content, der.explicit(0, extension))), "extension not supported")
    short = der.sequence(der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), der.null()), der.octet_string(b"short"))
    rejected(ours.reply(der.sequence(der.integer(1), short)), "wrong format.*32 octets")
    rejected(ours.reply(der.sequence(der.integer(2), request.content[3:])), "version 2")
    for junk in (b"", b"\x30", os.urandom(300), b"\x30\x82" + b"\xff" * 70_000):
        rejected(ours.reply(junk), "data in the wrong format")


def test_time_never_goes_back() -> None:
    """A step back of a second repeats the last time; a longer one is waited out (RFC 3161 2.4.2)."""
    clock = Clock()
    ours = authority(unit("ecdsa-p256"), clock)
    request = build_request("sha256", hashlib.sha256(DATA).digest())

    def told() -> object:
        return verify_token(parse_response(ours.reply(request))).time

    assert told() == mint.NOW
    clock.turn(10.9)
    assert told() == mint.NOW + timedelta(seconds=10)
    clock.turn(-1)
    assert told() == mint.NOW + timedelta(seconds=10)
    clock.turn(-1)
    rejected(ours.reply(request), "time source not available, The clock went back")
    with pytest.raises(TimestampUnavailable, match="went back"):
        ours.stamp("sha256", [bytes(32)])
    clock.turn(5)
    assert told() == mint.NOW + timedelta(seconds=13)


def test_without_time_key_or_certificate_there_is_no_token() -> None:
    """A clock in doubt, a key store that is gone, an expired certificate: a rejection for clients, an error for us."""
    clock = Clock()
    ours = authority(unit("ecdsa-p256"), clock)
    request = build_request("sha256", hashlib.sha256(DATA).digest())
    clock.fails = Unavailable("The time sources disagree.")
    rejected(ours.reply(request), "time source not available, The time sources disagree")
    clock.fails = None
    clock.turn(400 * 86400)
    rejected(ours.reply(request), "system failure.*not in force")

    def gone(_: list[ToBeSigned]) -> list[bytes]:
        raise KeyStoreUnavailable("The key store does not answer: slot 4.")

    keyless = Authority([unit("ecdsa-p256").der], gone, POLICY, Clock(), os.urandom)
    rejected(keyless.reply(request), "system failure, No timestamp can be made")
    assert b"slot" not in keyless.reply(request)
    with pytest.raises(TimestampUnavailable, match="does not answer"):
        keyless.stamp("sha256", [bytes(32)])
    with pytest.raises(BadInput, match="32 octets"):
        authority(unit("ecdsa-p256")).stamp("sha256", [bytes(31)])


def test_a_thread_that_sleeps_over_its_time_sees_no_clock_go_back() -> None:
    """Whoever has read the clock gets that time before anybody is given a later one."""
    answered, seconds = threading.Event(), iter((0, 5))

    def sleepy() -> datetime:
        if (second := next(seconds)) == 0:
            answered.wait(0.5)
        return mint.NOW + timedelta(seconds=second)

    ours = authority(unit("ecdsa-p256"), sleepy)
    digest = hashlib.sha256(b"x").digest()
    given: list[datetime] = []

    def work() -> None:
        (token,) = ours.stamp("sha256", [digest])
        given.append(verify_token(token, octets=b"x").time)
        answered.set()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == [mint.NOW, mint.NOW + timedelta(seconds=5)]


def test_threads_share_one_authority() -> None:
    """Forty at once: no token for another's digest, no time before one given out earlier."""
    clock = Clock()
    ours = authority(unit("ecdsa-p256"), clock)
    failures: list[str] = []

    def work(number: int) -> None:
        before = mint.NOW
        for turn in range(20):
            value = b"%d/%d" % (number, turn)
            clock.turn(0.3)
            (token,) = ours.stamp("sha256", [hashlib.sha256(value).digest()])
            try:
                verified = verify_token(token, octets=value)
                if verified.time < before:
                    failures.append("time went back")
                before = verified.time
            except VerificationFailed as error:
                failures.append(error.detail)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
