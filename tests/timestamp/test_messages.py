"""Requests and responses: ours are read by OpenSSL, OpenSSL's by us, and rejections become words."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pki import mint

from privyseal.errors import BadInput, TimestampUnavailable
from privyseal.pki import der
from privyseal.terms.signatures import DIGEST_SIZES, DigestAlgorithm
from privyseal.timestamp.messages import Failure, build_request, granted, parse_request, parse_response, rejected

DATA = b"what is stamped"


@pytest.mark.parametrize("digest", [*mint.DIGESTS, "sha1", "md5"])
@pytest.mark.parametrize("options", [(), ("-no_nonce",), ("-cert",), ("-tspolicy", "1.2.3.4.5")])
def test_openssl_queries_are_understood(digest: str, options: tuple[str, ...], tmp_path: Path) -> None:
    """Also the ones we refuse later: what they ask is told apart from what they are."""
    (tmp_path / "data").write_bytes(DATA)
    command = ["openssl", "ts", "-query", "-data", tmp_path / "data", f"-{digest}", "-out", tmp_path / "q"]
    assert mint.run(*command, *options).returncode == 0
    request = parse_request((tmp_path / "q").read_bytes())
    assert request.digest_algorithm == digest and request.digest == hashlib.new(digest, DATA).digest()
    assert request.certificates == ("-cert" in options) and (request.nonce is None) == ("-no_nonce" in options)
    assert request.policy == ("1.2.3.4.5" if "-tspolicy" in options else None) and request.extensions == ()


@given(
    st.sampled_from(list(DIGEST_SIZES)),
    st.one_of(st.none(), st.integers(1, 2**160)),
    st.one_of(st.none(), st.just("1.3.6.1.4.1.99999.7")),
    st.booleans(),
)
def test_requests_read_back(algorithm: DigestAlgorithm, nonce: int | None, policy: str | None, wanted: bool) -> None:
    """What was asked is what is read."""
    digest = hashlib.new(algorithm, DATA).digest()
    request = parse_request(build_request(algorithm, digest, nonce=nonce, policy=policy, certificates=wanted))
    assert (request.digest_algorithm, request.digest) == (algorithm, digest)
    assert (request.nonce, request.policy, request.certificates) == (nonce, policy, wanted)


def test_openssl_reads_our_request(tmp_path: Path) -> None:
    """Every field at once."""
    digest = hashlib.sha384(DATA).digest()
    (tmp_path / "q").write_bytes(build_request("sha384", digest, nonce=255, policy="1.2.3.4.5"))
    said = mint.run("openssl", "ts", "-query", "-in", tmp_path / "q", "-text").stdout
    for expected in (
        "Version: 1",
        "Hash Algorithm: sha384",
        "Policy OID: 1.2.3.4.5",
        "Nonce: 0xFF",
        "Certificate required: yes",
    ):
        assert expected in said
    with pytest.raises(BadInput, match="48 octets"):
        build_request("sha384", digest[:-1])


def test_limits_of_a_request() -> None:
    """Size and nonce are bounded; an explicit FALSE, which DER leaves out, is let pass."""
    base = der.read(build_request("sha256", bytes(32), certificates=False)).content
    assert parse_request(der.sequence(base, der.boolean(False))).certificates is False
    for bad in (
        der.sequence(base, der.integer(1 << 1025)),
        der.sequence(base, der.octet_string(bytes(20_000))),
        der.sequence(base, der.null()),
        der.sequence(base, der.explicit(0, der.sequence(der.oid("1.2.3")))),
    ):
        with pytest.raises(BadInput):
            parse_request(bad)


@pytest.mark.parametrize("failure", Failure)
def test_openssl_reads_every_rejection(failure: Failure, tmp_path: Path) -> None:
    """The failure bit, named as RFC 3161 names it, and the sentence."""
    reply = rejected(failure, "Because of the weather, and über.")
    with pytest.raises(TimestampUnavailable, match=r"rejection, .*, Because of the weather, and über\."):
        parse_response(reply)
    (tmp_path / "r").write_bytes(reply)
    done = mint.run("openssl", "ts", "-reply", "-in", tmp_path / "r", "-text")
    assert "Status: Rejected." in done.stdout and "weather" in done.stdout, done.stderr
    assert done.stdout.count("Failure info:") == 1 and "unspecified" not in done.stdout


def test_a_response_gives_its_token_as_it_stands() -> None:
    """Granted, also with modifications; BER around it does not matter."""
    token = der.sequence(der.oid("1.2.3"))
    assert parse_response(granted(token)) == token
    assert parse_response(der.sequence(der.sequence(der.integer(1)), token)) == token
    loose = b"\x30\x80" + der.sequence(der.integer(0)) + token + b"\0\0"
    assert parse_response(loose) == token


@pytest.mark.parametrize(
    ("response", "match"),
    [
        (der.sequence(der.sequence(der.integer(0))), "granted"),
        (der.sequence(der.sequence(der.integer(3))), "waiting"),
        (der.sequence(der.sequence(der.integer(77))), "status 77"),
        (der.sequence(der.sequence(der.integer(2)), der.sequence()), "rejection"),
        (der.sequence(der.sequence(der.integer(2), der.bit_string(b""))), "rejection"),
        (
            der.sequence(der.sequence(der.integer(2), der.sequence(der.utf8_string("a\nb\x1b[31m" + "x" * 9999)))),
            r"rejection, a b \[31mx{100}",
        ),
    ],
)
def test_answers_without_a_token_become_words(response: bytes, match: str) -> None:
    """No control characters and no more than a line reach a terminal."""
    with pytest.raises(TimestampUnavailable, match=match) as caught:
        parse_response(response)
    assert caught.value.detail.isprintable() and len(caught.value.detail) < 400


@pytest.mark.parametrize("octets", [b"", b"<html>502</html>", b"\x30\x00", bytes(2_000_000)])
def test_what_is_no_response_is_refused(octets: bytes) -> None:
    """A proxy's error page is not an answer."""
    with pytest.raises(BadInput):
        parse_response(octets)
