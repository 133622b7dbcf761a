"""Weak keys: what badkeys is asked, what is computed here, and the list of known keys that may or may not be there."""

import hashlib
import json
from pathlib import Path

import badkeys.utils
import pytest
from badkeys.allkeys import block
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compliance.builders import certificate, request

from privyseal.compliance import weak_keys
from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked
from privyseal.errors import BadInput
from privyseal.pki import der

WEAK = BY_ID["CSBR-6.1.1.3-01"]


def _list_of(folder: Path, *numbers: int) -> None:
    """Write a list of known keys as badkeys reads it: 15 octets of SHA-256, and one that says from where."""
    (folder / "badkeys").mkdir()
    rows = sorted(hashlib.sha256(each.to_bytes((each.bit_length() + 7) // 8, "big")).digest()[:15] for each in numbers)
    (folder / "badkeys" / "blocklist.dat").write_bytes(b"".join(row + b"\x01" for row in rows))
    blocklists = {"blocklists": [{"id": 1, "name": "debianssl"}]}
    (folder / "badkeys" / "badkeysdata.json").write_text(json.dumps(blocklists))


@pytest.fixture
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "_blmeta", False)
    monkeypatch.setattr(block, "_bldata", False)
    badkeys.utils._cachedir.cache_clear()


@pytest.mark.usefixtures("_fresh")
def test_a_key_on_the_list_of_known_keys_is_refused_by_its_name(tmp_path: Path) -> None:
    _list_of(tmp_path, request.ordinary(3072), 5, 6)
    subject = request.build({"key": "rsa-3072"})
    [finding] = evaluate(subject, [WEAK], Asked(request.DEFAULT))
    assert finding.verdict is Verdict.NOT_MET
    assert "debianssl" in finding.text


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize("key", ["rsa-3072", "ec-p256", "dsa-2048-256"])
def test_a_key_on_no_list_is_met(tmp_path: Path, key: str) -> None:
    _list_of(tmp_path, 5, 6)
    [finding] = evaluate(request.build({"key": key}), [WEAK], Asked(request.DEFAULT))
    assert finding.verdict is Verdict.MET


@pytest.mark.usefixtures("_fresh")
def test_a_curve_key_is_looked_up_by_its_x_coordinate(tmp_path: Path) -> None:
    x = certificate.public_key("ec-p256").public_numbers().x
    _list_of(tmp_path, x)
    assert weak_keys.look_up(request.spki("ec-p256")).name == "debianssl"
    assert weak_keys.look_up(request.spki("ec-p384")) == weak_keys.Lookup(there=True)


def test_without_the_list_the_sentence_says_how_to_get_it() -> None:
    found = list(evaluate(request.build({}), [WEAK], Asked(request.DEFAULT)))
    assert [each.verdict for each in found] == [Verdict.NOT_EVIDENCED, Verdict.MET]
    assert "badkeys --update-bl" in found[0].mend


def test_no_report_repeats_a_factor() -> None:
    for key in ("fermat", "roca", "square"):
        modulus = weak_keys.key_of(request.spki(key)).modulus
        said = " ".join(each.text + each.mend for each in evaluate(request.build({"key": key}), [WEAK], _now()))
        digits = [int(word) for word in said.replace(".", " ").split() if word.isdigit()]
        assert not [each for each in digits if each > 65537 and modulus % each == 0]


def _now() -> Asked:
    return Asked(request.DEFAULT)


def test_the_check_takes_certificates_too() -> None:
    subject = certificate.build({"key": "ec-p256"})
    verdicts = [each.verdict for each in evaluate(subject, [WEAK], _now())]
    assert verdicts == [Verdict.NOT_EVIDENCED, Verdict.MET]
    small = certificate.build({"key": "rsa-2048"})
    assert Verdict.NOT_MET in [each.verdict for each in evaluate(small, [WEAK], _now())]
    timestamp = certificate.build({"profile": "timestamp", "key": "rsa-2048"})
    assert list(evaluate(timestamp, [WEAK], _now())) == []
    assert list(evaluate(certificate.build({"profile": "subordinate", "key": "rsa-2048"}), [WEAK], _now())) == []


@pytest.mark.parametrize(("modulus", "exponent"), [(0, 3), (-15, 3), (5, 3), (15, 0), (15, -1), (1 << 3071 | 1, 1)])
def test_numbers_that_make_no_key_are_weak_and_nothing_fails(modulus: int, exponent: int) -> None:
    spki = _rsa(modulus, exponent)
    assert weak_keys.computable(spki)
    weak_keys.advice(weak_keys.key_of(spki))


def _rsa(modulus: int, exponent: int) -> bytes:
    numbers = der.sequence(der.integer(modulus), der.integer(exponent))
    return der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.1"), der.null()), der.bit_string(numbers))


@pytest.mark.parametrize("degree", [2, 3, 5, 7, 149])
def test_a_power_of_a_prime_is_told_from_its_neighbour(degree: int) -> None:
    prime = 1_000_003
    found = weak_keys.advice(weak_keys.key_of(_rsa(prime**degree, 65537)))
    assert found == ["the modulus is a power of a smaller number"]
    assert not weak_keys.advice(weak_keys.key_of(_rsa(prime**degree * 1_000_033, 65537)))


def test_the_least_prime_that_is_no_small_factor() -> None:
    above = _rsa(757 * 1_000_003, 65537)
    below = _rsa(751 * 1_000_003, 65537)
    assert weak_keys.advice(weak_keys.key_of(above)) == []
    assert weak_keys.advice(weak_keys.key_of(below)) == ["the modulus has a prime factor below 752"]


@pytest.mark.parametrize(
    ("exponent", "advised"), [(2**16 - 1, False), (2**16 + 1, True), (2**256 - 1, True), (2**256 + 1, False)]
)
def test_the_range_of_exponents_that_is_advised(exponent: int, advised: bool) -> None:
    assert (weak_keys.advice(weak_keys.key_of(_rsa(request.ordinary(3072), exponent))) == []) is advised


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.integers(min_value=0, max_value=500), st.integers(0, 255))
def test_a_damaged_key_is_one_sentence_or_a_verdict(noise: bytes, at: int, octet: int) -> None:
    damaged = bytearray(request.spki("ec-p256"))
    damaged[at % len(damaged)] = octet
    for spki in (noise, bytes(damaged)):
        try:
            weak_keys.key_of(spki)
        except BadInput:
            continue
        weak_keys.computable(spki)
        weak_keys.look_up(spki)
        weak_keys.size_flaw(weak_keys.key_of(spki))
