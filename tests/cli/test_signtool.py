"""`privyseal-signtool`: how arguments are read, and which key they mean. What it does is in signtool.txt."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.cli.signtool_arguments import REFUSED, TAKEN, VALUE, parse
from privyseal.cli.signtool_keys import Wanted, pick
from privyseal.errors import BadInput, Misused
from privyseal.web.views import CertificateView, KeyView

SECRET = "pass-\u00fcber-word"  # long, and nothing that stands in a message of ours


def test_every_option_of_signtool_is_known() -> None:
    """Microsoft's list (SignTool.exe, Windows SDK 10), written down a second time: each is taken or refused."""
    listed = {
        "sign": "a ac as c csp d dg di dlib dmdf ds du f fd i itos kc n nph nosealwarn p p7 p7ce p7co ph q r rmc s sa "
        "seal sha1 sm t td tr tseal u uw v debug",
        "timestamp": "p7 q t td tp tr tseal v debug",
        "verify": "a ad ag all as bp c ca d ds enclave hash kp ms o p7 p7content pa pg ph q r sha1 sl tw u v debug",
        "remove": "c q s u v debug",
    }
    for command, options in listed.items():
        known = TAKEN[command].keys() | REFUSED[command].keys()
        assert set(options.split()) <= known, command
        assert TAKEN[command].keys().isdisjoint(REFUSED[command])
        for option, why in REFUSED[command].items():
            with pytest.raises(Misused, match=f"^/{option} "):
                parse([command, f"/{option}", SECRET, "x.exe"])
            assert not why.endswith(".")


def test_a_file_whose_path_begins_with_a_slash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse(["sign", "/fd", "SHA256", "/tmp/none.exe"]).files == ("/tmp/none.exe",)
    assert parse(["sign", "-fd", "sha256", "-v", "x.exe", "x.exe"]).files == ("x.exe",)
    assert parse(["SIGN", "/FD", "sha256", "/V", "x"]).options == {"fd": "sha256", "v": None}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-odd").touch()
    assert parse(["sign", "-odd"]).files == ("-odd",)
    with pytest.raises(Misused, match="no option /odder"):
        parse(["sign", "/odder", "x"])
    for name in ("b.dll", "a.dll", "c[1].dll"):
        (tmp_path / name).touch()
    assert parse(["sign", "*.dll", "a.dll"]).files == ("a.dll", "b.dll", "c[1].dll")
    assert parse(["sign", "c[1].dll"]).files == ("c[1].dll",)


def test_paths_of_windows_inside_wsl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSL_DISTRO_NAME", "Debian")
    assert parse(["sign", r"C:\build dir\x.exe", "y.exe"]).files == ("/mnt/c/build dir/x.exe", "y.exe")
    monkeypatch.delenv("WSL_DISTRO_NAME")
    assert parse(["sign", r"C:\x.exe"]).files == (r"C:\x.exe",)


WORDS = st.sampled_from(
    ["sign", "verify", "/p", "/P", "-p", "/kc", "/fd", "/f", "/as", "/zz", "/", "-", "", "x.exe", "/tmp/x", "*.none"]
)


@given(st.lists(WORDS | st.just(SECRET), max_size=8))
def test_whatever_comes_no_value_is_repeated(arguments: list[str]) -> None:
    try:
        parsed = parse(["sign", *arguments])
    except (Misused, BadInput) as error:
        assert SECRET not in f"{error.detail} {error.hint}"
    else:
        assert SECRET not in repr(parsed)
        assert all(TAKEN["sign"][name] == (VALUE if value is not None else 0) for name, value in parsed.options.items())


def key(name: str, subject: str, year: int, **other: Any) -> KeyView:
    one = CertificateView(
        fingerprint="", subject=subject, issuer="CN=Test CA", serial="1", not_before=datetime(2026, 1, 1, tzinfo=UTC),
        not_after=datetime(year, 1, 1, tzinfo=UTC), key_id="", chain=(name.encode(),),
    )  # fmt: skip
    fields = {"name": name, "scheme": "rsa-3072", "certificates": other.get("certificates", (one,))}
    return KeyView(**dict.fromkeys(KeyView.__struct_fields__) | fields)  # the rest is not looked at


def test_which_key_is_meant() -> None:
    keys = [key("one", "CN=Acme GmbH", 2028), key("two", "CN=Acme GmbH", 2029), key("three", "CN=Other", 2030)]
    keys.append(key("four", "", 2030, certificates=()))
    nothing = Wanted(name=None, issuer=None, thumbprint=None, best=False)

    def asked(**wanted: Any) -> str:
        return pick(keys, msgspec.structs.replace(nothing, **wanted))

    assert asked(name="oTHER") == "three"
    assert asked(name="acme", best=True) == "two"
    assert asked(best=True) == "three"
    assert asked(thumbprint=hashlib.sha1(b"one", usedforsecurity=False).hexdigest().upper()) == "one"
    with pytest.raises(Misused, match=r"Multiple certificates were found .* those of one, two"):
        asked(name="acme")
    with pytest.raises(Misused, match="No certificates were found"):
        asked(name="acme", issuer="another")
