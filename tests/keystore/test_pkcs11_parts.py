"""The parts of the PKCS#11 store that need no token: URIs, refusals, what must read back, the note about a PIN."""

from __future__ import annotations

from pathlib import Path

import pytest
from pkcs11 import Mechanism, exceptions

from privyseal.errors import KeyStoreUnavailable, Misused, NotFound, PrivySealError
from privyseal.keystore.pkcs11_pin import PinNote, read_pin
from privyseal.keystore.pkcs11_refusals import REFUSALS, refusal
from privyseal.keystore.pkcs11_token import _CLAIMS, wrong_claims
from privyseal.keystore.pkcs11_uri import KeyUri

CODES = [each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, Exception)]
CANARY = "canary-pin-7391"


@pytest.mark.parametrize("kind", CODES, ids=lambda kind: kind.__name__)
def test_every_code_of_a_module_is_one_sentence(kind: type[Exception]) -> None:
    """Each CKR code that python-pkcs11 tells apart has a sentence, a hint and a class; its own text is not repeated."""
    told = refusal(kind(CANARY))
    assert isinstance(told, PrivySealError) and type(told) is not PrivySealError
    assert told.detail.endswith(".") and told.hint and CANARY not in str(told)
    assert kind.__name__ in REFUSALS


def test_no_sentence_stands_there_twice_or_for_nothing() -> None:
    """Who reads the sentence knows which code it was; a code that python-pkcs11 does not have is not in the table."""
    assert len({sentence for _, sentence, _ in REFUSALS.values()}) == len(REFUSALS)
    assert REFUSALS.keys() == {each.__name__ for each in CODES}
    assert isinstance(refusal(RuntimeError("anything")), KeyStoreUnavailable)


@pytest.mark.parametrize("label", ["demo/release", "demo/a.2", "Straße; id=x%", "a&b=c"])
def test_a_uri_says_what_it_was_made_of(label: str) -> None:
    """Whatever characters are in a label, what is read is what was written, and the URI is plain ASCII."""
    uri = KeyUri("my token", "00ff;12", label, bytes(range(16)))
    assert str(uri).isascii() and " " not in str(uri)
    assert KeyUri.of(str(uri)) == uri
    pure = KeyUri("my token", "00ff;12", label, bytes(range(16)), "ed25519")
    assert KeyUri.of(str(pure)) == pure != uri


@pytest.mark.parametrize(
    "uri",
    [
        "softfile:demo/release",
        "pkcs11:",
        "pkcs11:token=a;serial=b;object=c",
        "pkcs11:token=a;token=b;serial=b;object=c;id=%00",
        "pkcs11:token=a;serial=b;object=c;id=%0",
        "pkcs11:token=a;serial=b;object=%ff;id=%00",
        "pkcs11:token=a;serial=b;object=c;id=%00;type=public",
        "pkcs11:token=a;serial=b;object=c;id=%00;pin-value=1234",
        "pkcs11:token=a;serial=b;object=c;id=%00;x-scheme=rsa-3072",
        "pkcs11:token=a;serial=b;object=c;id=%00;x-scheme=%ff",
        "pkcs11:token=a;serial=b;object=c;id=" + "%00" * 1000,
    ],
)
def test_what_is_no_uri_of_ours_is_not_found(uri: str) -> None:
    """Others' schemes, attributes missing, twice, unknown or malformed, and too many octets."""
    with pytest.raises(NotFound):
        KeyUri.of(uri)


@pytest.mark.parametrize("name", [*_CLAIMS, "CKA_KEY_GEN_MECHANISM"])
def test_a_key_must_read_back_right_in_every_attribute(name: str) -> None:
    """One attribute that is otherwise, or that the module does not show, is named; all right is nothing wrong."""
    right = {each: expected for each, (_, expected) in _CLAIMS.items()}
    right["CKA_KEY_GEN_MECHANISM"] = Mechanism.EC_KEY_PAIR_GEN  # type: ignore[assignment]
    assert wrong_claims(right, Mechanism.EC_KEY_PAIR_GEN) == []
    other = not right[name] if name in _CLAIMS else Mechanism.RSA_PKCS_KEY_PAIR_GEN
    for value in (other, None):
        assert wrong_claims(right | {name: value}, Mechanism.EC_KEY_PAIR_GEN) == [name]


def test_a_pin_is_tried_again_only_after_it_was_good(tmp_path: Path) -> None:
    """Unknown after a crash, wrong after a refusal: not again, by any process; good: as often as needed."""
    note = PinNote(tmp_path, "one", "00ff")
    note.check(b"1111")
    with pytest.raises(Misused, match="its outcome is unknown"):  # a crash came between the try and its outcome
        PinNote(tmp_path, "one", "00ff").check(b"1111")
    note.wrong(b"1111")
    with pytest.raises(Misused, match="was refused by the token"):
        PinNote(tmp_path, "one", "00ff").check(b"1111")
    note.check(b"2222")
    note.good(b"2222")
    for _ in range(3):
        PinNote(tmp_path, "one", "00ff").check(b"2222")
    PinNote(tmp_path, "one", "other serial").check(b"1111")
    assert note.path.stat().st_mode & 0o077 == 0
    assert b"2222" not in note.path.read_bytes()


def test_without_a_note_no_pin_is_tried(tmp_path: Path) -> None:
    """A note that cannot be read or written stops the login, for then nobody knows what was tried."""
    note = PinNote(tmp_path, "one", "00ff")
    note.path.write_bytes(b"junk")
    with pytest.raises(KeyStoreUnavailable, match="cannot be read"):
        note.check(b"1111")
    with pytest.raises(KeyStoreUnavailable, match="cannot be written"):
        PinNote(tmp_path / "none", "one", "00ff").check(b"1111")


def test_a_pin_file_is_its_owner_s_alone_and_holds_one_pin(tmp_path: Path) -> None:
    """The newline at its end is not part of the PIN; others' eyes, nothing and too much are refused."""
    path = tmp_path / "pin"
    path.write_text(CANARY + "\n")
    path.chmod(0o600)
    assert read_pin(path) == CANARY.encode()
    path.chmod(0o640)
    with pytest.raises(Misused, match="Others than its owner"):
        read_pin(path)
    path.chmod(0o600)
    for content in (b"\n", b"1" * 300):
        path.write_bytes(content)
        with pytest.raises(Misused, match="one PIN"):
            read_pin(path)
