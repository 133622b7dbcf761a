"""What is in a token is read in one pass, and held against the keys that should be there."""

from __future__ import annotations

from pathlib import Path

from tests.softhsm import SoftHsm, store
from tests.strongroom.signroom import SignRoom

from privyseal.cli.doctor_tokens import _keys_in
from privyseal.keystore.pkcs11_uri import KeyUri
from privyseal.strongroom.messages_of_homes import TokenKeysAsked, TokenKeysRead
from privyseal.terms.keys import TokenKeys
from privyseal.terms.signatures import SCHEMES


def test_a_signer_knows_strangers_from_its_own_and_misses_what_is_gone(tmp_path: Path) -> None:
    """Two keys of its own, one that another program made, one that another program destroyed."""
    hsm = SoftHsm(tmp_path / "hsm", "one")
    (tmp_path / "room").mkdir()
    with store(tmp_path, hsm.section("one")) as (keys, (child,), _):
        room = SignRoom(tmp_path / "room")
        room.stores.clear()
        room.stores["pkcs11"] = keys
        room.key("first"), room.key("second")
        lost = KeyUri.of(room.signer._charters.uris()["pkcs11"][0])
        hsm.tool("one", "--keypairgen", "--key-type", "EC:prime256v1", "--id", "99", "--label", "stranger")
        for kind in ("privkey", "pubkey"):
            hsm.tool("one", "--delete-object", "--type", kind, "--id", lost.key.hex())
        child.close()  # SoftHSM's other process sees it on the disk; ours is asked anew
        child._closed.clear()
        child._next_try = 0.0
        answer = room.signer.handle(TokenKeysAsked())
        assert isinstance(answer, TokenKeysRead)
        assert answer.tokens == (TokenKeys("one", 1, strangers=("stranger",), missing=(lost.label,)),)
        said = _keys_in(answer.tokens[0])
        assert (said.state, said.text) == ("bad", f"not in it any more: {lost.label}")
        good = _keys_in(TokenKeys("one", 1, strangers=tuple("abcdefg")))
        assert good.text == "one key of this signer is in it, and besides, not of this signer: a, b, c, d, e and 2 more"
        room.close()


def test_a_token_is_asked_once_however_many_keys_are_in_it(tmp_path: Path) -> None:
    """One question and one pass; a search for each key would be a pass for each."""
    hsm = SoftHsm(tmp_path / "hsm", "one")
    with store(tmp_path, hsm.section("one")) as (keys, (child,), _):
        uris = [keys.generate(f"demo/k{number}", SCHEMES["ecdsa-p256"]) for number in range(20)]
        asked: list[object] = []
        ask = child.ask
        child.ask = lambda question, **how: (asked.append(question), ask(question, **how))[1]  # type: ignore[method-assign]
        assert keys.inventory(uris) == (TokenKeys("one", 20),)
        assert len(asked) == 1
        assert keys.tokens(uris)[0].keys == 20
        assert len(asked) == 1
