"""``POST /tsa``: what other people's tools say of it, and that whoever waits is stamped together."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from tests.rehearsal import Rehearsal
from tests.web.house import House, check

from privyseal.errors import TimestampUnavailable

QUERY = {"Content-Type": "application/timestamp-query"}


def test_a_query_is_handed_to_the_stamper_as_it_is(house: House) -> None:
    """And its answer comes back as it is, uncached, under the media type of RFC 3161 3.4."""
    answered = house.client.post("/tsa", content=b"\x30\x00", headers=QUERY)
    assert (answered.status_code, answered.content) == (200, b"reply to \x30\x00")
    assert answered.headers["content-type"] == "application/timestamp-reply"
    assert answered.headers["cache-control"] == "no-store"


def test_a_policy_has_an_address(house: House) -> None:
    """Its OID goes along with the query; what is no OID is no address."""
    answered = house.client.post("/tsa/1.2.840.5", content=b"q", headers=QUERY)
    assert (answered.status_code, answered.content) == (200, b"reply to q under 1.2.840.5")
    for wrong in ("x", "1.2.", "3.1", "1.02", "1." + "9" * 60, "%00", "1.2/3"):
        check(house.client.post(f"/tsa/{wrong}", content=b"q", headers=QUERY), 404, "not-found")


def test_nothing_is_not_a_query(house: House) -> None:
    """An empty body is a client's bug, so the stamper is not asked."""
    check(house.client.post("/tsa", headers=QUERY), 400, "malformed-request")
    assert house.seal.stamper.batches == []  # type: ignore[attr-defined]


def test_a_stamper_that_is_away_is_503(house: House) -> None:
    """Retryable."""
    house.seal.stamper.raises = TimestampUnavailable("The stamper is away.")  # type: ignore[attr-defined]
    assert check(house.client.post("/tsa", content=b"q", headers=QUERY), 503, "timestamp-unavailable")["retryable"]


def test_those_who_wait_are_stamped_in_one_batch(house: House) -> None:
    """While two batches are away, everybody else goes into the third; each gets the answer to its own query."""
    gate = threading.Event()
    stamper = house.seal.stamper
    reply = stamper.reply
    stamper.reply = lambda queries: gate.wait(20) and reply(queries)  # type: ignore[method-assign, assignment, return-value]
    answers: dict[int, bytes] = {}

    def one(number: int) -> None:
        answers[number] = house.client.post("/tsa", content=b"%d" % number, headers=QUERY).content

    callers = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for caller in callers:
        caller.start()
    until = time.monotonic() + 10
    while len(house.desk._stamp._waiting) < 10 and time.monotonic() < until:
        time.sleep(0.01)
    gate.set()
    for caller in callers:
        caller.join(20)
    assert answers == {number: b"reply to %d" % number for number in range(20)}
    assert max(stamper.batches) >= 10  # type: ignore[attr-defined]


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_openssl_accepts_what_a_real_service_stamps(rehearsal: Rehearsal, tmp_path: Path, digest: str) -> None:
    """``openssl ts`` asks over HTTP, and verifies the answer against the roots that ``init`` wrote."""
    assert shutil.which("openssl"), "openssl is part of what the tests need"
    file = tmp_path / "data"
    file.write_bytes(b"stamp me " * 100)
    query, reply = tmp_path / "query.tsq", tmp_path / "reply.tsr"
    ask = ["openssl", "ts", "-query", "-data", str(file), f"-{digest}", "-cert", "-out", str(query)]
    subprocess.run(ask, check=True, capture_output=True)
    sent = urllib.request.Request(f"{rehearsal.url}/tsa", query.read_bytes(), QUERY)
    with urllib.request.urlopen(sent, timeout=30) as answered:
        assert answered.headers["Content-Type"] == "application/timestamp-reply"
        reply.write_bytes(answered.read())
    verify = ["openssl", "ts", "-verify", "-in", str(reply), "-CAfile", str(rehearsal.directory / "ca.pem")]
    for against in (["-data", str(file)], ["-queryfile", str(query)]):
        done = subprocess.run([*verify, *against], check=False, capture_output=True, text=True)
        assert done.returncode == 0 and "Verification: OK" in done.stdout + done.stderr, done.stderr
    file.write_bytes(b"something else")
    done = subprocess.run([*verify, "-data", str(file)], check=False, capture_output=True, text=True)
    assert done.returncode != 0


def test_a_query_the_authority_refuses_is_refused_inside_the_reply(rehearsal: Rehearsal, tmp_path: Path) -> None:
    """SHA-1, and octets that are no query: status 200 and a rejection that openssl can read."""
    query = tmp_path / "query.tsq"
    ask = ["openssl", "ts", "-query", "-digest", hashlib.sha1(b"x").hexdigest(), "-sha1", "-out", str(query)]  # noqa: S324
    subprocess.run(ask, check=True, capture_output=True)
    for body in (query.read_bytes(), b"\x30\x03\x02\x01\x01", b"no DER at all"):
        sent = urllib.request.Request(f"{rehearsal.url}/tsa", body, QUERY)
        with urllib.request.urlopen(sent, timeout=30) as answered:
            assert answered.status == 200
            (tmp_path / "reply.tsr").write_bytes(answered.read())
        shown = subprocess.run(
            ["openssl", "ts", "-reply", "-in", str(tmp_path / "reply.tsr"), "-text"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert "Status: Rejected" in shown.stdout
