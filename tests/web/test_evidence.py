"""Documents in and out by their digest, statements in, lists out; and who may."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from tests.web.house import House, check

from privyseal.records import statements

OCTETS = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(OCTETS).hexdigest()
DOCUMENT = {"type": "document", "sha256": SHA256, "size": len(OCTETS), "filename": "report.pdf"}
DOCUMENT |= {"kind": "audit-report", "issuer": "Auditor"}
PERIOD = {"type": "audit-period", "scheme": "WebTrust", "start": "2025-04-01", "end": "2026-03-31", "auditor": "A"}


def send(house: House, octets: bytes = OCTETS, sha256: str = SHA256, who: str = "administrator", **more: str) -> Any:
    headers = house.auth(who) | {"Content-Type": "application/octet-stream"} | more
    return house.client.put(f"/v1/demo/evidence/documents/{sha256}", content=octets, headers=headers)


def state(house: House, document: dict[str, Any], who: str = "administrator", of: str = "demo") -> Any:
    return house.client.post(f"/v1/{of}/evidence", json=document, headers=house.auth(who))


def listed(house: House, who: str = "auditor", of: str = "demo") -> Any:
    return house.client.get(f"/v1/{of}/evidence", headers=house.auth(who))


def test_a_document_is_sent_stated_and_fetched(house: House) -> None:
    """Twice is once; what comes back are the very octets; the list says what the log commits to."""
    for _ in range(2):
        assert send(house).status_code == 204
        made = state(house, DOCUMENT)
        assert (made.status_code, made.json()["entry"], made.json()["topic"]) == (201, 0, "evidence")
    assert made.json()["said"]["matter"]["requirements"] == []
    assert state(house, PERIOD).json()["entry"] == 1
    found = listed(house).json()["statements"]
    assert [each["entry"] for each in found] == [0, 1]
    fetched = house.client.get(f"/v1/demo/evidence/documents/{SHA256}", headers=house.auth("auditor"))
    assert (fetched.status_code, fetched.content) == (200, OCTETS)
    assert fetched.headers["content-disposition"] == "attachment"
    assert fetched.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("who", "status"), [("requester", 403), ("approver", 403), ("auditor", 403), ("other", 404)])
def test_only_administrators_state(house: House, who: str, status: int) -> None:
    """Neither a document nor a statement comes from anybody else, and nothing is kept."""
    code = "not-permitted" if status == 403 else "not-found"
    check(send(house, who=who), status, code)
    check(state(house, PERIOD, who), status, code)
    assert listed(house).json() == {"statements": []}
    assert not list(house.public_log.parent.glob("evidence/*/*"))


def test_another_subscriber_sees_nothing(house: House) -> None:
    """Neither a list nor a document, whose digest it knows; nor may it speak for the service."""
    send(house)
    state(house, DOCUMENT)
    check(listed(house, "other"), 404, "not-found")
    assert listed(house, "other", "other").json() == {"statements": []}
    theirs = f"/v1/other/evidence/documents/{SHA256}"
    check(house.client.get(theirs, headers=house.auth("other")), 404, "not-found")
    check(state(house, PERIOD, "other", "other"), 403, "not-permitted")
    check(listed(house, "requester"), 403, "not-permitted")


def test_what_is_no_document_is_refused(house: House) -> None:
    """Another digest, no digest, too large, another media type, not sent at all: one sentence each, nothing kept."""
    check(send(house, OCTETS + b"!"), 422, "bad-input")
    check(send(house, sha256="abc"), 404, "not-found")
    large = bytes((1 << 20) + 1)
    check(send(house, large, hashlib.sha256(large).hexdigest()), 413, "too-large")
    assert send(house, **{"Content-Type": "application/pdf"}).status_code == 415
    check(state(house, DOCUMENT), 404, "not-found")
    assert [path for path in house.public_log.parent.glob("evidence/*/*") if path.is_file()] == []


@pytest.mark.parametrize(("changes", "words"), [
    ({"kind": "poem"}, "poem"), ({"more": 1}, "more"), ({"type": "poem"}, "poem"), ({"size": 1}, "octets, not 1"),
    ({"issuer": ""}, "issuer"), ({"about": "us"}, "about"), ({"sha256": "ab"}, "sha256"),
])  # fmt: skip
def test_what_cannot_be_stated_is_refused(house: House, changes: dict[str, Any], words: str) -> None:
    send(house)
    assert words in check(state(house, DOCUMENT | changes), 422, "bad-input")["detail"]
    with house.seal.records.reading("demo") as tx:
        assert statements.listed(tx) == []
