"""The request, its canonical bytes and its table of states."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.errors import BadInput
from privyseal.terms.canonical import canonical_json, decode_canonical
from privyseal.terms.requests import FINAL, TRANSITIONS, SigningRequest, State, diagram, may_follow
from privyseal.terms.signatures import Described, Options


def a_request(**changed: object) -> SigningRequest:
    """Return a request that is right in every field, except for those given."""
    right = SigningRequest(
        subscriber="demo",
        key="release",
        key_id="ab" * 32,
        scheme="rsa-3072",
        certificate="cd" * 32,
        mode="local",
        options=Options(program_name="Hello"),
        described=(
            Described(format="pe", filename="a.exe", digest_algorithm="sha256", digest=b"\1" * 32, size=512, facts={}),
        ),
        expires_at=datetime(2026, 11, 24, 12, tzinfo=UTC),
    )
    return msgspec.structs.replace(right, **changed)


def _rfc8785(value: object) -> bytes:
    """Encode as Python's own json module would under the rules of RFC 8785 (strings, whole numbers, ASCII names)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcXYZ_", max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(_json)
def test_canonical_form_is_what_another_encoder_writes(value: object) -> None:
    """RFC 8785 leaves no choice: sorted names, no spaces, minimal escapes."""
    assert canonical_json(value) == _rfc8785(value)


def test_every_field_is_under_the_digest() -> None:
    """Changing any field of a request, of its options or of a description changes the digest."""
    base = a_request()
    described = base.described[0]
    others = [
        a_request(subscriber="other"),
        a_request(key="beta"),
        a_request(key_id="00" * 32),
        a_request(scheme="rsa-4096"),
        a_request(certificate="00" * 32),
        a_request(mode="server", input="0" * 64),
        a_request(mode="server", input="1" * 64),
        a_request(expires_at=base.expires_at + timedelta(seconds=1)),
        a_request(described=base.described * 2),
    ]
    for field, value in {
        "program_name": None,
        "program_url": "u",
        "mode": "append",
        "timestamp": False,
        "page_hashes": "sha256",
        "extended": False,
        "efi_variable": "db",
        "efi_time": "2026-12-01T08:00:00Z",
        "efi_attributes": 0x67,
        "monotonic_count": 1,
        "nuget_repository": "https://example.com/v3/index.json",
        "nuget_owners": ("a",),
    }.items():
        others.append(a_request(options=msgspec.structs.replace(base.options, **{field: value})))
    for field, value in {
        "format": "msi",
        "filename": "b.exe",
        "digest_algorithm": "sha384",
        "digest": b"\2" * 32,
        "size": 513,
        "facts": {"machine": 1},
    }.items():
        others.append(a_request(described=(msgspec.structs.replace(described, **{field: value}),)))
    covered = set(SigningRequest.__struct_fields__) | set(Options.__struct_fields__) | set(Described.__struct_fields__)
    assert len(others) >= len(covered - {"options", "described"})
    assert len({base.digest(), *(other.digest() for other in others)}) == len(others) + 1


def test_digest_is_tagged_sha256_of_the_canonical_bytes() -> None:
    """A verifier written from the documentation gets the same digest."""
    request = a_request()
    assert request.digest() == hashlib.sha256(b"privyseal/request/v1\0" + request.canonical()).digest()


def test_timeless_digest_forgets_the_time_only() -> None:
    """The Idempotency-Key of a re-run is the same an hour later, and another one for another file."""
    base = a_request()
    assert a_request(expires_at=base.expires_at + timedelta(hours=1)).timeless_digest() == base.timeless_digest()
    assert a_request(key="beta").timeless_digest() != base.timeless_digest()


def test_decoding_asks_for_the_very_bytes() -> None:
    """The same request with a space, another order, an unknown field or a naive time is refused."""
    octets = a_request().canonical()
    assert decode_canonical(octets, SigningRequest) == a_request()
    plain = json.loads(octets)
    for wrong in (
        octets.replace(b",", b", ", 1),
        json.dumps(plain, separators=(",", ":"), sort_keys=False).encode()[:-1] + b',"more":1}',
        _rfc8785(plain | {"expires_at": "2026-11-24T12:00:00"}),
        _rfc8785(plain | {"expires_at": "2026-11-24T13:00:00+01:00"}),
        b"",
        b"\xff",
        b"[" * 100_000,
    ):
        with pytest.raises(BadInput):
            decode_canonical(wrong, SigningRequest)


def test_the_table_ends_and_knows_every_state() -> None:
    """Every state has a row; from every state a final one can be reached; final ones lead nowhere."""
    assert set(TRANSITIONS) == set(State)
    assert {State.RELEASED, State.FAILED, State.DENIED, State.EXPIRED} == FINAL
    for state in State:
        seen, todo = {state}, [state]
        while todo:
            fresh = [to for to in TRANSITIONS[todo.pop()] if to not in seen]
            seen.update(fresh)
            todo.extend(fresh)
        assert seen & FINAL
    assert not may_follow(State.RELEASED, State.SIGNING)
    assert not may_follow(State.SIGNING, State.APPROVED)


def test_diagram_draws_every_arrow() -> None:
    """The documentation's picture is the table, arrow by arrow."""
    arrows = [line for line in diagram().splitlines() if " --> " in line and "[*]" not in line]
    assert len(arrows) == sum(len(onward) for onward in TRANSITIONS.values())
