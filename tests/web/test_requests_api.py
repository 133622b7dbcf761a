"""A request's way through the API: submitted, waited for, approved, released, refused; and what outages look like."""

from __future__ import annotations

import base64
import threading
import time
from typing import Any

import msgspec
import pytest
from tests.web.house import House, check

from privyseal.errors import Failed, LogUnavailable
from privyseal.records import requests
from privyseal.terms.requests import State
from privyseal.web.api import _seconds


def test_a_request_that_needs_nobody_is_answered_with_its_signature(house: House) -> None:
    """201, the canonical bytes as they were sent, blob and receipt, and where to find it again."""
    request = house.request()
    answered = house.post(request)
    assert answered.status_code == 201, answered.text
    document = answered.json()
    assert base64.b64decode(document["request"]) == request.canonical()
    assert document["digest"] == request.digest().hex()
    assert document["state"] == "released"
    assert [base64.b64decode(blob) for blob in document["blobs"]] == [b"blob of " + document["id"].encode()]
    assert document["receipt"].startswith("c2sp.org/tlog-proof@v1")
    assert answered.headers["location"] == f"/v1/demo/requests/{document['id']}"
    assert house.client.get(answered.headers["location"], headers=house.auth("auditor")).json() == document


def test_the_same_key_answers_with_the_same_request(house: House) -> None:
    """Retries make nothing new; a request differing only in its time is the same one; another one is refused."""
    first = house.post(house.request()).json()
    assert house.post(house.request()).json() == first
    later = msgspec.structs.replace(house.request(), expires_at=house.request().expires_at.replace(second=1))
    assert house.post(later).json() == first
    other = msgspec.structs.replace(house.request(), options=msgspec.structs.replace(later.options, mode="append"))
    check(house.post(other), 422, "idempotency-mismatch")
    assert house.post(other, key="k-2").json()["id"] != first["id"]
    assert len(house.walk.batches) == 2


def test_a_request_that_waits_for_people_is_answered_at_once(house: House) -> None:
    """202, where to look, and when; then the approval's answer has it signed."""
    request = house.request("guarded")
    began = time.monotonic()
    answered = house.post(request)
    assert time.monotonic() - began < 5
    assert (answered.status_code, answered.json()["state"]) == (202, "requested")
    assert int(answered.headers["retry-after"]) > 0
    where = answered.headers["location"]
    assert answered.json()["blobs"] == [] and answered.json()["receipt"] is None
    agreed = house.client.post(
        f"{where}/approvals",
        content=msgspec.json.encode(house.approval(request)),
        headers=house.auth("approver") | {"Content-Type": "application/json"},
    )
    assert (agreed.status_code, agreed.json()["state"]) == (200, "released"), agreed.text
    assert house.post(request).status_code == 201


def test_who_waits_is_told_as_soon_as_the_request_ends(house: House) -> None:
    """``Prefer: wait`` on a GET holds the answer until an approval came, and no longer."""
    request = house.request("guarded")
    where = house.post(request).headers["location"]
    seen: list[Any] = []

    def wait() -> None:
        began = time.monotonic()
        answered = house.client.get(where, headers=house.auth() | {"Prefer": "wait=20"})
        seen.append((answered.json()["state"], time.monotonic() - began))

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.3)
    assert not seen
    house.client.post(
        f"{where}/approvals",
        content=msgspec.json.encode(house.approval(request)),
        headers=house.auth("approver") | {"Content-Type": "application/json"},
    )
    waiter.join(20)
    assert seen[0][0] == "released" and seen[0][1] < 10


def test_a_wait_is_bounded_by_what_the_caller_prefers(house: House) -> None:
    """Both for a person who does not come and for a walk that takes longer; the walk goes on by itself."""
    where = house.post(house.request("guarded"), key="k-0").headers["location"]
    began = time.monotonic()
    assert house.client.get(where, headers=house.auth() | {"Prefer": "wait=1"}).json()["state"] == "requested"
    assert 0.9 < time.monotonic() - began < 5
    gate = threading.Event()
    house.walk.before = lambda: gate.wait(20) and None
    answered = house.post(house.request(), Prefer="respond-async, wait=0")
    assert (answered.status_code, answered.json()["state"]) == (202, "approved")
    gate.set()
    done = house.client.get(answered.headers["location"], headers=house.auth() | {"Prefer": "wait=20"})
    assert done.json()["state"] == "released"


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 7), ("", 7), ("wait=3", 3), ("WAIT = 3", 3), ('wait="3"', 3), ("respond-async, wait=3; x=1", 3),
        ("wait=-3", 7), ("wait=x", 7), ("wait=3.5", 7), ("wait", 7), ("awaits=3", 7), ("wait=999999999", 50),
        ("wait=" + "9" * 5000, 7), ("wait=1, wait=2", 1),
    ],
)  # fmt: skip
def test_prefer_is_read_as_rfc_7240_says(prefer: str | None, seconds: int) -> None:
    """What cannot be honoured is ignored, never refused."""
    assert _seconds(prefer, 7) == seconds


def test_an_outage_is_503_and_the_same_post_finishes_it_later(house: House) -> None:
    """Retryable, with Retry-After; what was submitted stays submitted."""
    house.walk.raises = LogUnavailable("The logger does not answer.", hint="is it running?")
    answered = house.post(house.request())
    assert check(answered, 503, "log-unavailable")["retryable"] is True
    assert int(answered.headers["retry-after"]) > 0
    house.walk.raises = None
    assert house.post(house.request()).status_code == 201


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("not-compliant", 403, "not-compliant"),
        ("denied", 409, "denied"),
        ("key-use-unknown", 409, "failed"),
        ("key-store-unavailable", 409, "failed"),
        ("internal", 409, "failed"),
    ],
)
def test_a_request_that_failed_for_good_says_so_and_stays_readable(
    house: House, code: str, status: int, told: str
) -> None:
    """The signer's reason where a caller acts on it; never retryable; the same answer under the same key for ever."""
    house.walk.fails = (code, "Because of this.")
    for _ in range(2):
        document = check(house.post(house.request()), status, told)
        assert "Because of this." in document["detail"] and document["retryable"] is False
    where = document["hint"].split()[3].rstrip(";")
    record = house.client.get(where, headers=house.auth()).json()
    assert (record["state"], record["failure_code"], record["failure_detail"]) == ("failed", code, "Because of this.")
    assert len(house.walk.batches) == 1


def test_a_walk_that_says_failed_is_answered_from_the_records(house: House) -> None:
    """``advance`` raises Failed when it ends a request; the records know the reason."""

    def fail() -> None:
        with house.seal.records.reading_all_subscribers() as connection:
            [(subscriber, request_id)] = requests.unfinished_of_all_subscribers(connection, (State.APPROVED,))
        with house.seal.records.writing(subscriber) as tx:
            dossier = requests.move(tx, requests.get(tx, request_id), State.SIGNING)
            requests.fail(tx, dossier, "not-compliant", "A softfile key.")

    house.walk.before = fail
    house.walk.raises = Failed("It is over.")
    assert "A softfile key." in check(house.post(house.request()), 403, "not-compliant")["detail"]


def test_a_denied_or_expired_request_is_denied(house: House) -> None:
    """409, not retryable."""
    for number, state in enumerate((State.DENIED, State.EXPIRED)):
        request_id = house.post(house.request("guarded"), key=f"k-{number}").json()["id"]
        with house.seal.records.writing("demo") as tx:
            requests.move(tx, requests.get(tx, request_id), state)
        check(house.post(house.request("guarded"), key=f"k-{number}"), 409, "denied")


def test_an_approval_that_is_not_good_is_refused(house: House) -> None:
    """Over another digest, by a stranger, with a broken signature."""
    request = house.request("guarded")
    where = house.post(request).headers["location"] + "/approvals"
    good = house.approval(request)
    for bad, status, code in (
        (house.approval(house.request()), 422, "verification-failed"),
        (msgspec.structs.replace(good, approver="eve"), 403, "not-permitted"),
        (msgspec.structs.replace(good, signature=b"\0" * 64), 422, "verification-failed"),
        (msgspec.structs.replace(good, signature=b""), 422, "verification-failed"),
    ):
        sent = house.auth("approver") | {"Content-Type": "application/json"}
        check(house.client.post(where, content=msgspec.json.encode(bad), headers=sent), status, code)


def test_an_approver_is_not_told_off_for_a_later_outage(house: House) -> None:
    """The approval is on record: the answer is the request as it stands, and a later POST finishes it."""
    request = house.request("guarded")
    where = house.post(request).headers["location"]
    house.walk.raises = LogUnavailable("The logger does not answer.")
    sent = house.auth("approver") | {"Content-Type": "application/json"}
    agreed = house.client.post(f"{where}/approvals", content=msgspec.json.encode(house.approval(request)), headers=sent)
    assert (agreed.status_code, agreed.json()["state"]) == (200, "approved")
    house.walk.raises = None
    assert house.post(request).status_code == 201


def test_keys_and_certificates_are_shown_without_their_hiding_place(house: House) -> None:
    """All that a client builds its request with; the key store's URI is nobody's business."""
    listed = house.client.get("/v1/demo/keys", headers=house.auth())
    assert "secret-place" not in listed.text
    assert [key["name"] for key in listed.json()["keys"]] == ["guarded", "release"]
    release = house.client.get("/v1/demo/keys/release", headers=house.auth()).json()
    assert release == listed.json()["keys"][1]
    [shown] = release["certificates"]
    assert [base64.b64decode(each) for each in shown["chain"]] == list(house.chain)
    assert shown["fingerprint"] == house.request().certificate
    assert (shown["subject"], shown["serial"]) == ("CN=demo", "1234")
    path = f"/v1/demo/certificates/{shown['fingerprint']}"
    assert house.client.get(path, headers=house.auth()).json() == shown
    assert house.client.get("/v1/demo/certificates", headers=house.auth()).json() == {"certificates": [shown]}


def test_whoami_tells_a_member_who_it_is(house: House) -> None:
    """Member, roles and factors."""
    said = house.client.get("/v1/whoami", headers=house.auth("auditor")).json()
    assert (said["service"], said["subscriber"], said["name"]) == ("Test Signing Service", "demo", "auditor")
    assert (said["roles"], said["factors"]) == (["auditor"], ["bearer"])
