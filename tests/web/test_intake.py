"""The decoder by itself, for what no document of ours lets through to it."""

import msgspec
import pytest
from litestar.exceptions import ClientException

from privyseal.errors import BadInput
from privyseal.web.intake import decode


class Loose(msgspec.Struct):
    """A struct that takes unknown fields, as none of ours does."""

    field: int = 0


def test_depth_is_an_error_of_the_caller_not_ours() -> None:
    """A field that is skipped is skipped recursively; beyond what Python bears, that is a malformed request."""
    with pytest.raises(ClientException, match="nested too deep"):
        decode(b'{"unknown":' + b"[" * 100_000, Loose)


def test_a_number_of_ten_thousand_digits_is_refused() -> None:
    """CPython itself refuses to convert it (CVE-2020-10735)."""
    with pytest.raises((BadInput, ClientException)):
        decode(b'{"field":' + b"9" * 10_000 + b"}", Loose)
