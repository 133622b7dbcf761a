"""All that somebody asks for is shown to who agrees to it, in the terminal and in the browser; no option is silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from privyseal.cli.request import asked_in_words
from privyseal.signing.review import changes
from privyseal.terms.requests import SigningRequest
from privyseal.terms.signatures import Described, Options
from privyseal.web.console.mount import environment

REQUEST = SigningRequest(
    subscriber="demo",
    key="release",
    key_id="ab" * 32,
    scheme="ecdsa-p256",
    certificate="ef" * 32,
    mode="local",
    options=Options(),
    described=(Described(format="pe", filename="a.exe", digest_algorithm="sha256", digest=b"\7" * 32, size=4100),),
    expires_at=datetime(2026, 12, 1, tzinfo=UTC) + timedelta(hours=1),
)
OTHERWISE: dict[str, tuple[Any, str]] = {
    "program_name": ("Setup" + "p" * 1000, "Setup" + "p" * 1000),
    "program_url": ("https://example.test/" + "u" * 2000, "https://example.test/" + "u" * 2000),
    "mode": ("append", ""),
    "timestamp": (False, ""),
    "extended": (False, "no"),
    "page_hashes": ("sha1", "sha1"),
    "efi_variable": ("dbx", "dbx"),
    "efi_time": ("2026-12-01T08:00:00Z", "2026-12-01T08:00:00Z"),
    "efi_attributes": (0x67, "0x67"),
    "monotonic_count": (0, "0"),
    "nuget_repository": ("https://example.test/index.json", "https://example.test/index.json"),
    "nuget_owners": (("Ada", "<b>Alan</b>"), "Alan"),
}
"""Of each option another value than the usual, and what has to be read of it."""


def with_option(name: str) -> SigningRequest:
    options = msgspec.structs.replace(REQUEST.options, **{name: OTHERWISE[name][0]})
    return msgspec.structs.replace(REQUEST, options=options)


def page(request: SigningRequest) -> str:
    shown = environment().get_template("what_is_signed.html")
    return shown.render(request=request, sight="not seen", scans=(), certificate=None)


def test_every_option_is_tried() -> None:
    assert set(OTHERWISE) == set(Options.__struct_fields__)


@pytest.mark.parametrize("name", OTHERWISE)
def test_an_option_is_shown(name: str) -> None:
    """Whole; in all three: what the terminal says, what the page says, and what differs from the last release."""
    asked, expected = with_option(name), OTHERWISE[name][1]
    words = "\n".join(asked_in_words(asked))
    assert words != "\n".join(asked_in_words(REQUEST)) and expected in words
    assert page(asked) != page(REQUEST) and expected in page(asked) and "<b>" not in page(asked)
    assert changes(REQUEST, asked)


def test_a_long_fact_is_not_read_out() -> None:
    """Whole contents, as of a UEFI variable, stand there as their size and hash, and what is behind them is seen."""
    described = msgspec.structs.replace(REQUEST.described[0], facts={"content": "A" * 40_000, "zone": "z" * 150})
    asked = msgspec.structs.replace(REQUEST, described=(described,))
    words = "".join(each[11:] for each in asked_in_words(asked))
    for shown in (words, page(asked)):
        assert "A" * 100 not in shown and "z" * 150 in shown


def test_a_number_is_shown_by_its_name() -> None:
    """In all three; what is agreed to is the number, which stands beside it."""
    facts: dict[str, str | int | bool] = {"machine": 0x8664, "magic": 0x20B, "subsystem": 3}
    asked = msgspec.structs.replace(REQUEST, described=(msgspec.structs.replace(REQUEST.described[0], facts=facts),))
    for shown in (" ".join(each[11:] for each in asked_in_words(asked)), page(asked)):
        assert "machine x64 (0x8664)" in shown and "subsystem for the console (3)" in shown
    (change,) = changes(REQUEST, asked)
    assert "machine=x64 (0x8664)" in change.after
