"""Bytes that are not what they should be: the right problem document with its code, never 500, never empty."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.web.house import House, check

from privyseal.web import intake

REQUESTS = "/v1/demo/requests"
MIB = 1024 * 1024


def altered(house: House, change: Any) -> bytes:
    """Return a good request as JSON after ``change`` had its way with it."""
    document = json.loads(house.request().canonical())
    change(document)
    return json.dumps(document).encode()


def submit(house: House, body: Any, **headers: str) -> Any:
    sent = house.auth() | {"Idempotency-Key": "bad", "Content-Type": "application/json"} | headers
    return house.client.post(REQUESTS, content=body, headers=sent)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing at all"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"not json", id="words"),
        pytest.param(b'{"subscriber":"demo",}', id="a comma too many"),
        pytest.param(b'{"subscriber":"\xff\xfe"}', id="not UTF-8"),
        pytest.param('{"subscriber":"demo"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"subscriber":"\\ud800"}', id="half a surrogate pair"),
        pytest.param(b'{"described":[{"size":NaN}]}', id="a number JSON has not"),
    ],
)
def test_what_is_no_json_is_a_malformed_request(shared_house: House, body: bytes) -> None:
    """400, whatever is wrong with it."""
    check(submit(shared_house, body), 400, "malformed-request")


DEEP = 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b'"text"',
        b"12",
        b"{}",
        pytest.param(b"[" * DEEP, id="nested arrays"),
        pytest.param(b'{"key":' * DEEP, id="nested objects"),
        pytest.param(b'{"described":[{"facts":' + b'{"a":' * DEEP, id="nested facts"),
        pytest.param(b'{"nowhere":' + b"[" * DEEP + b"]" * DEEP + b"}", id="nested arrays in an unknown field"),
    ],
)
def test_json_that_is_no_request_at_all_is_bad_input(shared_house: House, body: bytes) -> None:
    """It is refused where it first differs from a request, however deep it goes on from there."""
    check(submit(shared_house, body), 422, "bad-input")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d.update(surprise=1), "surprise"),
        (lambda d: d["options"].update(surprise=1), "surprise"),
        (lambda d: d["described"][0].update(surprise=1), "surprise"),
        (lambda d: d.pop("key"), "key"),
        (lambda d: d.update(key=12), "$.key"),
        (lambda d: d.update(described={}), "$.described"),
        (lambda d: d["described"][0].update(size="4100"), "size"),
        (lambda d: d["described"][0].update(size=4100.0), "size"),
        (lambda d: d["described"][0].update(size=True), "size"),
        (lambda d: d["described"][0].update(digest="!!"), "digest"),
        (lambda d: d["described"][0].update(digest_algorithm="sha1"), "digest_algorithm"),
        (lambda d: d["described"][0].update(facts={"a": [1]}), "facts"),
        (lambda d: d["options"].update(timestamp="yes"), "timestamp"),
        (lambda d: d["options"].update(mode="upside down"), "mode"),
        (lambda d: d.update(mode="both"), "mode"),
        (lambda d: d.update(expires_at=1_900_000_000), "expires_at"),
        (lambda d: d.update(expires_at=1_900_000_000.5), "expires_at"),
        (lambda d: d.update(expires_at="1900000000"), "expires_at"),
        (lambda d: d.update(expires_at="2030-01-01T00:00:00"), "expires_at"),
        (lambda d: d.update(expires_at="2030-13-01T00:00:00Z"), "expires_at"),
        (lambda d: d.update(expires_at=None), "expires_at"),
    ],
)
def test_a_field_that_is_wrong_is_named(shared_house: House, change: Any, named: str) -> None:
    """Unknown fields, missing ones, wrong types, and a bare number where a time belongs."""
    assert named in check(submit(shared_house, altered(shared_house, change)), 422, "bad-input")["detail"]


def test_an_endless_field_name_is_not_sent_back_whole(shared_house: House) -> None:
    """The explanation is cut short."""
    document = check(submit(shared_house, b'{"' + b"x" * 500_000 + b'":1}'), 422, "bad-input")
    assert len(document["detail"]) < 500


def test_a_request_that_contradicts_its_path_or_its_key_is_bad_input(shared_house: House) -> None:
    """Another Subscriber's name in the body, another key's id, no piece of code at all."""
    for body in (
        altered(shared_house, lambda d: d.update(subscriber="other")),
        altered(shared_house, lambda d: d.update(key_id="00" * 32)),
        altered(shared_house, lambda d: d.update(described=[])),
    ):
        check(submit(shared_house, body), 422, "bad-input")


def test_a_body_over_the_limit_is_refused_from_its_length_alone(shared_house: House) -> None:
    """With Content-Length nothing is read."""
    check(submit(shared_house, b"[" * (intake.BODY_LIMIT + 1)), 413, "too-large")
    check(submit(shared_house, b"{}", **{"Content-Length": "9" * 30}), 413, "too-large")


def test_a_body_over_the_limit_in_chunks_is_refused_where_it_passes_it(shared_house: House) -> None:
    """Without Content-Length the stream is left alone as soon as it is too long; a limit's worth is still parsed."""

    def chunks(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b" " * 65536

    check(submit(shared_house, chunks(intake.BODY_LIMIT // 65536 + 1)), 413, "too-large")
    check(submit(shared_house, chunks(intake.BODY_LIMIT // 65536)), 400, "malformed-request")


def test_a_timestamp_query_has_a_smaller_limit(shared_house: House) -> None:
    """64 KiB."""
    headers = {"Content-Type": "application/timestamp-query"}
    check(shared_house.client.post("/tsa", content=b"0" * 65537, headers=headers), 413, "too-large")
    assert shared_house.client.post("/tsa", content=b"0" * 65536, headers=headers).status_code == 200


@pytest.mark.parametrize("declared", ["text/plain", "application/xml", "application/jsonx", "", "multipart/form-data"])
def test_another_media_type_is_refused(shared_house: House, declared: str) -> None:
    """So is none."""
    check(submit(shared_house, b"{}", **{"Content-Type": declared}), 415, "unsupported-media-type")
    answered = shared_house.client.post("/tsa", content=b"0", headers={"Content-Type": declared})
    check(answered, 415, "unsupported-media-type")


def test_parameters_of_the_media_type_do_not_matter(shared_house: House) -> None:
    """``charset=utf-8`` is what most clients add."""
    check(submit(shared_house, b"{", **{"Content-Type": "Application/JSON; charset=utf-8"}), 400, "malformed-request")


def test_a_compressed_body_is_refused_before_it_is_read(shared_house: House) -> None:
    """Nothing is ever unpacked here, so nothing can be a bomb."""
    packed = gzip.compress(b" " * 10_000_000)
    check(submit(shared_house, packed, **{"Content-Encoding": "gzip"}), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "keys",
    [(), ("",), ("   ",), ("x" * 256,), (b"caf\xc3\xa9",), (b"a\x7fb",), ("a\tb",)],
)
def test_an_idempotency_key_that_is_not_exactly_one_usable_key_is_refused(
    shared_house: House, keys: tuple[str | bytes, ...]
) -> None:
    """Missing, empty, over-long, not printable ASCII: 400 with what to do. (Repeated: over a real socket.)"""
    headers: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json")]
    headers += [(name.encode(), value.encode()) for name, value in shared_house.auth().items()]
    headers += [(b"idempotency-key", key if isinstance(key, bytes) else key.encode()) for key in keys]
    answered = shared_house.client.post(REQUESTS, content=shared_house.request().canonical(), headers=headers)
    assert "Idempotency-Key" in check(answered, 400, "misused")["hint"]


def test_what_does_not_exist_is_not_found(shared_house: House) -> None:
    """Unknown paths, keys, certificates, requests, Subscribers: all alike."""
    for path in ("/", "/nowhere", "/v1", "/v1/demo", "/v1/demo/keys/none", "/v1/demo/certificates/00", "/v1/none/keys"):
        check(shared_house.client.get(path, headers=shared_house.auth()), 404, "not-found")
    check(shared_house.client.get("/v1/demo/requests/R-none", headers=shared_house.auth()), 404, "not-found")
    unknown = altered(shared_house, lambda d: d.update(key="none"))
    check(submit(shared_house, unknown), 404, "not-found")
    check(shared_house.client.get("/problems/none"), 404, "not-found")


def test_another_method_is_refused_with_those_that_are_allowed(shared_house: House) -> None:
    """RFC 9110 15.5.6 asks for the Allow header."""
    for method, path, allowed in (
        ("DELETE", "/v1/demo/requests", "POST"),
        ("POST", "/livez", "GET"),
        ("PUT", "/tsa", "POST"),
        ("PATCH", "/log/checkpoint", "GET"),
        ("BREW", "/v1/demo/keys", "GET"),
    ):
        answered = shared_house.client.request(method, path, headers=shared_house.auth())
        check(answered, 405, "method-not-allowed")
        assert allowed in answered.headers["allow"]


def test_a_caller_s_request_id_is_kept_if_it_is_fit_for_a_log(shared_house: House) -> None:
    """Any other is replaced, for it would stand in a log line."""
    for given_id, kept in (("build-7.x_Y", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("é", False)):
        answered = shared_house.client.get("/nowhere", headers=[(b"x-request-id", given_id.encode())])
        assert (answered.headers["x-request-id"] == given_id) is kept
        check(answered, 404, "not-found")
    assert shared_house.client.get("/livez", headers={"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_json_makes_a_post_route_fall_over(shared_house: House, data: st.DataObject) -> None:
    """Random JSON, and good documents with one value replaced by something random: below 500 and a problem document."""
    house = shared_house
    good = {
        REQUESTS: (house.request().canonical(), "requester"),
        "/v1/demo/requests/R-none/approvals": (msgspec.json.encode(house.approval(house.request())), "approver"),
    }
    path = data.draw(st.sampled_from(sorted(good)))
    document = json.loads(good[path][0])
    if data.draw(st.booleans()):
        place, name = document, data.draw(st.sampled_from(sorted(document)))
        while isinstance(place[name], dict | list) and place[name] and data.draw(st.booleans()):
            place = place[name]
            name = 0 if isinstance(place, list) else data.draw(st.sampled_from(sorted(place)))
        place[name] = data.draw(JSON)
    else:
        document = data.draw(JSON)
    body = json.dumps(document, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass")
    headers = house.auth(good[path][1]) | {"Content-Type": "application/json", "Idempotency-Key": "random"}
    answered = house.client.post(path, content=body, headers=headers)
    assert answered.status_code < 500, answered.text
    if answered.status_code >= 300:
        check(answered, answered.status_code, answered.json()["code"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200))
def test_no_octets_make_a_post_route_fall_over(shared_house: House, body: bytes) -> None:
    """Whatever is sent as JSON."""
    answered = submit(shared_house, body)
    check(answered, answered.status_code, answered.json()["code"])
    assert answered.status_code in (400, 422)
