"""What a new certificate has otherwise is said in words, and by which products it is compared."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.pki.certs import BEGIN, certificate

from privyseal.errors import BadInput
from privyseal.pki.certificates import pem
from privyseal.pki.comparison import Comparison, compare, own
from privyseal.pki.pinning import PINNED

OLD = "CN=Acme Inc., O=Acme Inc., L=Reno, C=US"


def changed(new: str, old: str = OLD) -> Comparison:
    """Compare two subjects; all else is the same, but the certificate itself."""
    return compare(certificate(old), certificate(new))


def texts(found: Comparison) -> list[str]:
    """Return the sentences, without the last one, which every renewal has."""
    *others, last = found.differences
    assert last.part == "certificate" and "another certificate" in last.text
    return [each.text for each in others]


def test_the_full_stop_that_broke_updates() -> None:
    """electron-builder#7983: "Inc." became "Inc", and every installed copy refused the update."""
    found = changed("CN=Acme Inc, O=Acme Inc, L=Reno, C=US")
    assert texts(found) == [
        'The common name loses its full stop: "Acme Inc." becomes "Acme Inc".',
        'The organisation name loses its full stop: "Acme Inc." becomes "Acme Inc".',
    ]
    first, second, _ = found.differences
    assert {"electron-updater", "MSIX", "App Control for Business (WDAC)"} <= set(first.products)
    assert {"electron-updater", "MSIX", "AppLocker"} <= set(second.products)
    assert not found.same_publisher


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("O=Acme Inc", "O=Acme Inc.", "gains a full stop"),
        ("O=Acme, Inc", "O=Acme Inc", "loses its comma"),
        ("O=A.C.M.E.", "O=ACME", "loses 4 full stops"),
        ("O=Acme, Inc.", "O=Acme Inc", "differs in full stops and commas"),
        ("O=Acme GmbH", "O=ACME GmbH", "differs in capital letters"),
        ("O=Acme  GmbH", "O=Acme GmbH", "differs in its spaces"),
        ("O=M\u00fcller", "O=Mu\u0308ller", "looks the same and is encoded in other characters"),
        ("O=Acme", "O=Globex", 'changes: "Acme" becomes "Globex"'),
        ("O=Acme, L=Reno", "O=Acme", 'The localityName "Reno" is gone.'),
        ("O=Acme", "O=Acme, OU=TEAM", 'The organizationalUnitName "TEAM" is new.'),
    ],
)
def test_names_in_words(old: str, new: str, said: str) -> None:
    found = changed(new, old)
    assert len(texts(found)) == 1 and said in texts(found)[0], texts(found)


def test_another_order_is_another_subject() -> None:
    """MSIX has the name as one text."""
    found = changed("O=Acme Inc., CN=Acme Inc., L=Reno, C=US")
    assert texts(found) == ["The subject has the same attributes in another order."]
    assert "MSIX" in found.differences[0].products


def test_key_issuer_and_ev() -> None:
    old = certificate(ev=True)
    new = certificate(issuer="CN=Signing CA 2, O=Trust", of="two", begin=BEGIN + timedelta(days=400))
    found = compare(old, new)
    assert texts(found) == [
        "It is for another key.",
        'The issuer\'s common name changes: "Signing CA" becomes "Signing CA 2".',
        "It is no EV certificate any more.",
    ]
    assert found.overlap_days == 59
    assert {"ClickOnce", "SmartScreen", "Windows drivers", "Android (APK)"} <= {each.product for each in found.notes}


def test_a_gap_and_the_same_publisher() -> None:
    found = compare(certificate(), certificate(begin=BEGIN + timedelta(days=470)))
    assert found.overlap_days == -11 and found.same_publisher
    assert {each.product for each in found.notes} == {each.product for each in PINNED if "certificate" in each.compares}
    same = certificate()
    assert compare(same, same).differences == ()


def test_the_publishers_own_certificate_is_found_in_its_chain() -> None:
    """In any order; two of them, none, and what is no certificate are refused in a sentence."""
    leaf, other = certificate(), certificate(of="two")
    assert own(pem(leaf)) == leaf == own(leaf)
    with pytest.raises(BadInput, match="holds 2 certificates that issued none"):
        own(pem(leaf) + pem(other))
    for octets in (b"", b"MZ", leaf[:-1]):
        with pytest.raises(BadInput):
            own(octets)


def test_what_cannot_be_printed_is_not_repeated() -> None:
    (text,) = texts(changed("O=Ac\u202eme", "O=Acme"))
    assert "\u202e" not in text


def test_every_note_says_what_and_where_from() -> None:
    assert len({each.product for each in PINNED}) == len(PINNED)
    assert all(each.compares and each.how and each.source.startswith("https://") for each in PINNED)
