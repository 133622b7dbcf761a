"""Tokens and the doors: what opens one, and that everything else is NotAuthenticated and tells nothing."""

import hashlib
import secrets
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.access import credentials
from privyseal.errors import NotAuthenticated
from privyseal.terms.parties import Actor, Factor, Member, Role

ADA = Member("M-1", "demo", "Ada", (Role.REQUESTER,))
TOKEN, DIGEST = credentials.new_token(secrets.token_bytes)


def lookup(digest: bytes) -> Member | None:
    return ADA if digest == DIGEST else None


def who(headers: credentials.Headers, by_token: credentials.Lookup) -> Actor:
    """Ask with headers alone, as over plain HTTP."""
    register = credentials.Register(by_token, lambda digest: None, datetime.now(UTC))
    return credentials.authenticate(credentials.Presented(headers), register)


def present(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"h"), *((b"authorization", value) for value in values)]


def test_a_token_is_opaque_and_only_its_sha256_is_kept() -> None:
    """256 bits behind a prefix that secret scanners can find; the digest is over the token's characters."""
    asked: list[int] = []
    token, digest = credentials.new_token(lambda count: asked.append(count) or bytes(range(count)))  # type: ignore[func-returns-value]
    assert asked == [32]
    assert token == "pst_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert digest == hashlib.sha256(token.encode()).digest()


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER  "])
def test_the_holder_of_a_token_is_let_in(scheme: bytes) -> None:
    """The scheme's case does not matter (RFC 9110 11.1)."""
    actor = who(present(scheme + TOKEN.encode()), lookup)
    assert (actor.member, actor.factors) == (ADA, (Factor.BEARER,))


@pytest.mark.parametrize(
    "values",
    [
        (),
        (b"",),
        (b"Bearer",),
        (b"Bearer ",),
        (b"Basic YTpi",),
        (b"Bearer " + TOKEN.encode()[:-1],),
        (b"Bearer " + TOKEN.encode() + b"A",),
        (b"Bearer " + TOKEN.encode() + b"\n",),
        (b"Bearer pst_" + b"A" * 43,),
        (TOKEN.encode(),),
        (b"Bearer " + TOKEN.encode(), b"Bearer " + TOKEN.encode()),
        (b"Bearer " + b"x" * 100_000,),
        (b"Bearer \xff\xfe",),
    ],
)
def test_everything_else_is_refused_and_the_refusal_repeats_none_of_it(values: tuple[bytes, ...]) -> None:
    """A refusal must not carry a credential into a log."""
    with pytest.raises(NotAuthenticated) as refused:
        who(present(*values), lookup)
    assert TOKEN[4:20] not in str(refused.value)


def test_what_is_no_token_is_not_even_looked_up() -> None:
    """So that nobody makes the database work with made-up headers longer than a token."""
    with pytest.raises(NotAuthenticated):
        who(present(b"Bearer not-a-token"), lambda digest: pytest.fail("looked up"))


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=80))))
def test_no_header_makes_it_fall_over(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever arrives, the answer is NotAuthenticated."""
    with pytest.raises(NotAuthenticated):
        who([*headers, (b"authorization", b"Bearer")], lookup)


def test_a_password_is_stretched_as_rfc_9106_recommends() -> None:
    """Section 4, the second option: 64 MiB, three passes, four lanes. The tests themselves stretch less."""
    code = "import os; from privyseal.access import passwords; print(passwords.digest('correct horse', os.urandom))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
