"""Uploads and downloads over HTTP: resumed, bounded while they stream, refused early, one sender at a time."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.web.house import House, check
from tests.web.test_serving import Served, answer

from privyseal.records import uploads
from privyseal.signing.submit import Submission, submit
from privyseal.terms.canonical import canonical_json
from privyseal.terms.parties import Actor, Factor, Member, Role
from privyseal.terms.requests import Dossier, State
from privyseal.terms.uploads import NewUpload
from privyseal.web import desk as desks
from privyseal.web import intake

OCTETS = bytes(range(256)) * 100
SHA256 = hashlib.sha256(OCTETS).hexdigest()


def announce(house: House, octets: bytes = OCTETS, who: str = "requester", of: str = "demo", **changes: Any) -> Any:
    document = {"filename": "setup.exe", "size": len(octets), "sha256": hashlib.sha256(octets).hexdigest()} | changes
    headers = house.auth(who) | {"Content-Type": "application/json"}
    return house.client.post(f"/v1/{of}/uploads", json=document, headers=headers)


def append(house: House, path: str, octets: bytes, offset: int | str = 0, **headers: str) -> Any:
    sent = house.auth() | {"Content-Type": "application/partial-upload", "Upload-Offset": str(offset)}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return house.client.patch(path, content=octets, headers=sent)


def standing(house: House, path: str) -> tuple[str, str, str]:
    found = house.client.head(path, headers=house.auth())
    assert found.status_code == 204
    return tuple(found.headers[f"Upload-{name}"] for name in ("Offset", "Length", "Complete"))  # type: ignore[return-value]


def test_an_upload_in_pieces(house: House) -> None:
    """Announced, sent in three pieces, complete with the last; announcing it again finds it at every stage."""
    made = announce(house)
    assert (made.status_code, made.json()["offset"], made.json()["complete"]) == (201, 0, False)
    path = made.headers["Location"]
    assert standing(house, path) == ("0", str(len(OCTETS)), "?0")
    for at, end in ((0, 1), (1, 9000)):
        answered = append(house, path, OCTETS[at:end], at)
        assert (answered.status_code, answered.headers["Upload-Offset"]) == (204, str(end))
        assert announce(house).json() | {"expires": ""} == made.json() | {"offset": end, "expires": ""}
    last = append(house, path, OCTETS[9000:], 9000, Upload_Complete="?1")
    assert (last.status_code, last.headers["Upload-Complete"]) == (204, "?1")
    assert standing(house, path) == (str(len(OCTETS)), str(len(OCTETS)), "?1")
    assert announce(house).json()["complete"]
    check(append(house, path, b"", len(OCTETS)), 409, "conflict")


def test_a_wrong_digest_drops_the_upload(house: House) -> None:
    """422, and it is gone: the next announcement begins anew."""
    path = announce(house).headers["Location"]
    check(append(house, path, bytes(len(OCTETS))), 422, "bad-input")
    assert house.client.head(path, headers=house.auth()).status_code == 404
    assert announce(house).json()["offset"] == 0


def test_a_piece_for_another_offset_is_refused(house: House) -> None:
    """409 with where it stands; nothing was written."""
    path = announce(house).headers["Location"]
    append(house, path, OCTETS[:500])
    for offset in (0, 499, 501, 10**12):
        refused = check(append(house, path, b"x", offset), 409, "conflict")
        assert "500" in refused["detail"]
    assert standing(house, path)[0] == "500"


@pytest.mark.parametrize("offset", ["", "-1", "1.5", "0x10", "9" * 30, "?0"])
def test_an_offset_that_is_no_number_is_refused(house: House, offset: str) -> None:
    """400 before anything is opened."""
    check(append(house, announce(house).headers["Location"], b"x", offset), 400, "malformed-request")


def test_too_much_and_too_little(house: House) -> None:
    """More than announced is refused before it is read; less, said to be all, is refused and kept."""
    path = announce(house).headers["Location"]
    check(append(house, path, OCTETS + b"x"), 413, "too-large")
    assert standing(house, path)[0] == "0"
    check(append(house, path, OCTETS[:7], 0, Upload_Complete="?1"), 422, "bad-input")
    assert standing(house, path)[0] == "7"


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 0},
        {"size": -1},
        {"size": 2**60},
        {"size": "5"},
        {"sha256": "A" * 64},
        {"sha256": "a" * 63},
        {"sha256": "a" * 64 + "\n"},
        {"filename": ""},
        {"filename": "../x"},
        {"filename": "a\0b"},
        {"filename": "x" * 256},
        {"more": 1},
    ],
)
def test_an_announcement_that_is_not_right_is_refused(house: House, changes: dict[str, Any]) -> None:
    """Each field is held to what it may be."""
    check(announce(house, **changes), 422, "bad-input")


def test_limits_are_checked_when_a_file_is_announced(house: House) -> None:
    """A file that is too large, and one too many, are refused before an octet comes."""
    check(announce(house, size=(2 << 20) + 1), 413, "too-large")
    assert announce(house, b"1", size=2 << 20).status_code == 201
    check(announce(house, b"2", size=2 << 20), 413, "too-large")  # the quota is 3 MiB
    for each in (b"3", b"4", b"5"):
        assert announce(house, each).status_code == 201
    check(announce(house, b"6"), 413, "too-large")  # and four uploads
    check(announce(house, b"3", size=7), 422, "bad-input")  # known with another size


def test_somebody_elses_upload_is_nobodys(house: House) -> None:
    """Another Subscriber sees neither the upload nor, by announcing its digest, that there is one."""
    mine = announce(house)
    path = mine.headers["Location"]
    append(house, path, OCTETS)
    theirs = announce(house, who="other", of="other")
    assert theirs.json()["offset"] == 0 and not theirs.json()["complete"]
    assert theirs.json()["id"] != mine.json()["id"]
    for method in ("HEAD", "PATCH", "DELETE"):
        for where in (path, path.replace("/demo/", "/other/")):
            headers = house.auth("other") | {"Content-Type": "application/partial-upload", "Upload-Offset": "0"}
            assert house.client.request(method, where, headers=headers).status_code == 404
    assert standing(house, path)[2] == "?1"


@pytest.mark.parametrize("who", ["approver", "auditor", "administrator", "no role"])
def test_only_requesters_send_code(house: House, who: str) -> None:
    """Who does not ask for signatures sends no files and fetches none."""
    check(announce(house, who=who), 403, "not-permitted")
    check(house.client.get("/v1/demo/requests/R-x/files/0", headers=house.auth(who)), 403, "not-permitted")


def test_an_upload_is_taken_back(house: House) -> None:
    """204, and gone, file and all."""
    path = announce(house).headers["Location"]
    append(house, path, OCTETS[:10])
    assert house.client.delete(path, headers=house.auth()).status_code == 204
    assert house.client.head(path, headers=house.auth()).status_code == 404
    check(house.client.delete(path, headers=house.auth()), 404, "not-found")


def test_the_media_type_is_asked_for(house: House) -> None:
    """A piece says that it is one, and is not compressed."""
    path = announce(house).headers["Location"]
    check(append(house, path, b"x", 0, Content_Type="text/plain"), 415, "unsupported-media-type")
    check(append(house, path, b"x", 0, Content_Encoding="gzip"), 415, "unsupported-media-type")
    check(append(house, path, b"x", 0, Upload_Complete="yes"), 400, "malformed-request")


# -- the finished file -------------------------------------------------------------------------------------------------
@pytest.fixture
def finished(house: House) -> str:
    """Put a finished file where a walk would have, and return its path in the API."""
    answered = house.post(house.request())
    request_id = str(answered.json()["id"])
    spool = house.seal.premises.spool  # type: ignore[union-attr]
    wanted = NewUpload(filename="a", size=1, sha256="0" * 64)
    with house.seal.records.writing("demo") as tx:
        upload = uploads.add(tx, "U-x", wanted, house.seal.clock())
        uploads.refer(tx, request_id, upload)
        uploads.finish(tx, request_id, SHA256, len(OCTETS), house.seal.clock())
    spool.place("out", "demo", request_id).write_bytes(OCTETS)
    return f"/v1/demo/requests/{request_id}/files/0"


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        (None, 200, 0, len(OCTETS)),
        ("bytes=0-", 200, 0, len(OCTETS)),
        ("bytes=5-", 206, 5, len(OCTETS)),
        ("bytes=5-9", 206, 5, 10),
        ("bytes=5-999999", 206, 5, len(OCTETS)),
        ("bytes=999999-", 200, 0, len(OCTETS)),
        ("bytes=9-5", 200, 0, len(OCTETS)),
        ("bytes=0-1,5-6", 200, 0, len(OCTETS)),
        ("lines=1-2", 200, 0, len(OCTETS)),
    ],
)
def test_a_file_is_fetched_whole_or_in_part(
    house: House, finished: str, asked: str | None, status: int, first: int, last: int
) -> None:
    """One range is obeyed; what cannot be is ignored, as RFC 9110 14.2 allows."""
    fetched = house.client.get(finished, headers=house.auth() | ({"Range": asked} if asked else {}))
    assert (fetched.status_code, fetched.content) == (status, OCTETS[first:last])
    assert fetched.headers["Content-Length"] == str(last - first)
    assert fetched.headers["ETag"] == f'"{SHA256}"'
    assert fetched.headers.get("Content-Range") == (
        f"bytes {first}-{last - 1}/{len(OCTETS)}" if status == 206 else None
    )


def test_a_file_is_deleted_before_its_time(house: House, finished: str) -> None:
    """DELETE takes file and row; there is no other file; a local request never had one."""
    check(house.client.get(finished[:-1] + "1", headers=house.auth()), 404, "not-found")
    assert house.client.delete(finished, headers=house.auth()).status_code == 204
    check(house.client.get(finished, headers=house.auth()), 404, "not-found")
    check(house.client.delete(finished, headers=house.auth()), 404, "not-found")
    local = house.post(house.request(), key="k-2").json()["id"]
    check(house.client.get(f"/v1/demo/requests/{local}/files/0", headers=house.auth()), 404, "not-found")


def test_a_file_is_not_given_before_release(house: House) -> None:
    """409 while the request is not released, although the file is there already."""
    actor = Actor(Member("M", "demo", "x", (Role.REQUESTER,)), (Factor.BEARER,))
    dossier = submit(house.seal, [Submission(actor, "k", house.request())])[0]
    assert isinstance(dossier, Dossier) and dossier.state is State.APPROVED
    with house.seal.records.writing("demo") as tx:
        upload = uploads.add(tx, "U-x", NewUpload(filename="a", size=1, sha256="0" * 64), house.seal.clock())
        uploads.refer(tx, dossier.id, upload)
    path = f"/v1/demo/requests/{dossier.id}/files/0"
    check(house.client.get(path, headers=house.auth()), 409, "conflict")
    check(house.client.delete(path, headers=house.auth()), 409, "conflict")


# -- on a real socket --------------------------------------------------------------------------------------------------
@pytest.fixture
def served(house: House) -> Iterator[Served]:
    running = Served(house)
    yield running
    running.stop()


def _path(served: Served, octets: bytes = OCTETS, size: int | None = None) -> str:
    document = canonical_json(
        {"filename": "a", "size": size or len(octets), "sha256": hashlib.sha256(octets).hexdigest()}
    )
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    headers = served.house.auth() | {"Content-Type": "application/json"}
    connection.request("POST", "/v1/demo/uploads", document, headers)
    path = connection.getresponse().headers["Location"]
    connection.close()
    return str(path)


def _head(served: Served, path: str, length: str) -> bytes:
    token = served.house.auth()["Authorization"]
    return (
        f"PATCH {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nUpload-Offset: 0\r\n"
        f"Content-Type: application/partial-upload\r\n{length}\r\n\r\n"
    ).encode()


def _offset(served: Served, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.request("HEAD", path, headers=served.house.auth())
    offset = int(connection.getresponse().headers["Upload-Offset"])
    connection.close()
    return offset


def test_a_body_over_the_limit_is_not_read_to_its_end(served: Served) -> None:
    """Announced or in chunks: the answer comes, and the connection ends, long before the body does."""
    path = _path(served)
    for length, body in (
        (f"Content-Length: {10**12}", b""),
        ("Transfer-Encoding: chunked", b"".join(b"8000\r\n" + bytes(0x8000) + b"\r\n" for _ in range(2))),
    ):
        with served.connect() as connection:
            connection.sendall(_head(served, path, length) + body)
            status, headers, _ = answer(connection)
            assert (status, headers["connection"]) == (413, "close")
            with pytest.raises(OSError):  # a reset or a broken pipe, whichever comes first
                for _ in range(1000):
                    connection.sendall(bytes(100_000))
    assert _offset(served, path) <= len(OCTETS)


def test_a_caller_without_a_token_sends_nothing(served: Served) -> None:
    """401 at once, and the connection ends: nobody's body is read before it is known who sends it."""
    with served.connect() as connection:
        connection.sendall(_head(served, _path(served), "Content-Length: 25600").replace(b"Bearer", b"Nobody"))
        status, headers, _ = answer(connection)
    assert (status, headers["connection"]) == (401, "close")


def test_what_came_before_the_connection_broke_is_kept(served: Served) -> None:
    """A client that goes away in the middle finds its octets again."""
    path = _path(served)
    with served.connect() as connection:
        connection.sendall(_head(served, path, f"Content-Length: {len(OCTETS)}") + OCTETS[:7000])
        time.sleep(0.1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end
    until = time.monotonic() + 20
    while _offset(served, path) != 7000:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_who_sends_slowly_is_sent_away(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence, and a trickle (slowloris): 408, what came is kept, and the next sender is let in."""
    monkeypatch.setattr(intake, "BODY_TIMEOUT_S", 0.3)
    path = _path(served)
    with served.connect() as connection:
        connection.sendall(_head(served, path, f"Content-Length: {len(OCTETS)}") + OCTETS[:5])
        assert answer(connection)[0] == 408
    with served.connect() as connection:
        head = _head(served, path, f"Content-Length: {len(OCTETS) - 5}").replace(b"Offset: 0", b"Offset: 5")
        connection.sendall(head)
        connection.settimeout(0.05)
        began = time.monotonic()
        with pytest.raises(AssertionError, match="answered"):
            while time.monotonic() < began + 20:
                connection.sendall(b"\0")
                try:
                    assert not connection.recv(1, socket.MSG_PEEK), "answered"
                except TimeoutError:
                    continue
        connection.settimeout(20)
        assert answer(connection)[0] == 408


def test_two_senders_of_one_upload(served: Served) -> None:
    """While one sends, another is told 409 and HEAD tells how far it is; the first goes on undisturbed."""
    octets = os.urandom(1 << 20)
    path = _path(served, octets)
    with served.connect() as first:
        first.sendall(_head(served, path, f"Content-Length: {len(octets)}") + octets[:1000])
        until = time.monotonic() + 20
        while served.desk._transfers == 0:
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(0.1)
        with served.connect() as second:
            second.sendall(_head(served, path, "Content-Length: 5") + b"xxxxx")
            assert answer(second)[0] == 409
        first.sendall(octets[1000:])
        assert answer(first)[0] == 204
    assert _offset(served, path) == len(octets)


def test_too_many_senders_are_told_to_wait(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 that may pass, rather than memory without end."""
    monkeypatch.setattr(desks, "MOST_TRANSFERS", 0)
    with served.connect() as connection:
        connection.sendall(_head(served, _path(served), "Content-Length: 1") + b"x")
        status, headers, _ = answer(connection)
    assert status == 503 and headers["retry-after"]


def test_a_file_without_premises_is_refused(house: House) -> None:
    """A service that sees no files says so."""
    house.seal.premises = None
    refused = check(announce(house), 422, "bad-input")
    assert "mode local" in refused["detail"]
