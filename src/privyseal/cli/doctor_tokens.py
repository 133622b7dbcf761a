"""What ``privyseal doctor`` finds about tokens: how each is, and whether the signer's keys are in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from privyseal.cli.diagnosis import Diagnosis, some
from privyseal.errors import PrivySealError
from privyseal.strongroom.client import SignerClient, SocketAsk
from privyseal.terms.keys import TokenKeys, TokenState

ASK_LIMIT = 30.0
"""Seconds for the signer's answer; a token of a thousand keys is looked through in one."""
_STANDINGS = {"away": "away", "missing": "not in any slot", "pin": "its PIN is held back", "refused": "refused"}


def tokens(directory: Path) -> Iterator[Diagnosis]:
    """Ask the signer how its tokens are, which it knows, and which keys are in them; nothing where it is away."""
    signer = SocketAsk(directory / "run" / "signer.sock", ASK_LIMIT)
    try:
        found = SignerClient(signer).health().tokens
        yield from _states(found)
        if any(each.state == "usable" for each in found):
            yield from map(_keys_in, SignerClient(signer).token_keys())
    except PrivySealError:  # said already, of the sandbox
        return
    finally:
        signer.close()


def _states(found: Sequence[TokenState]) -> Iterator[Diagnosis]:
    served = {each.pool for each in found if each.pool and each.state == "usable"}
    for each in found:
        holds = f"{each.keys} keys" if each.keys != 1 else "one key"
        if each.state == "usable":
            lost = f", and {each.losses} workers were lost since the signer began" if each.losses else ""
            yield Diagnosis(f"token {each.name}", "good", f"it can be used and holds {holds}{lost}")
        else:
            why = f"{_STANDINGS[each.state]}: {each.why} It holds {holds}"
            others = each.pool in served
            why += f"; another token of pool {each.pool} serves them" if others and each.keys else ""
            yield Diagnosis(f"token {each.name}", "bad" if each.keys and not others else "weak", why)


def _keys_in(found: TokenKeys) -> Diagnosis:
    """Say what is in a token and should not be, or should be and is not."""
    what = f"keys in token {found.name}"
    if found.missing and found.pool:
        return Diagnosis(what, "weak", f"not in it, as they are in pool {found.pool}: {some(found.missing)}")
    if found.missing:
        return Diagnosis(what, "bad", f"not in it any more: {some(found.missing)}")
    count = "one key of this signer is" if found.ours == 1 else f"{found.ours} keys of this signer are"
    others = f", and besides, not of this signer: {some(found.strangers)}" if found.strangers else ""
    return Diagnosis(what, "good", f"{count} in it{others}")
