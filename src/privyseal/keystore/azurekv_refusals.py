"""What Azure's errors mean to us: their codes, never their text, which may quote anything.

Key Vault REST API, "Authentication, requests and responses" and "Azure Key Vault REST API error codes".
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from privyseal.errors import Conflict, KeyStoreUnavailable, Misused, NotFound, PrivySealError
from privyseal.keystore.clouds import NotDone
from privyseal.keystore.wire import Reply

_AGAIN = "whether it was done is unknown; it is not asked again for the same"
_OURS = "please report it"
_RIGHTS = "look at the roles of this identity, and at the vault's firewall"
REFUSALS: dict[int, tuple[type[PrivySealError], str, str]] = {
    400: (Misused, "Azure finds a request malformed", _OURS),
    401: (Misused, "Azure does not accept the credential", "put a good one into its file"),
    403: (Misused, "Azure does not let this identity do that", _RIGHTS),
    404: (NotFound, "Azure has no such key", "it was deleted, or it is in another vault"),
    409: (Conflict, "Azure has or had a key of that name", "give the new key another name"),
    429: (
        KeyStoreUnavailable,
        "Azure throttles our requests",
        "nothing was done; try again, and spread keys over vaults if it comes often",
    ),
}
"""By HTTP status: our error, what happened, what to do."""
_DISABLED = frozenset({"KeyDisabled", "KeyNotYetValid", "KeyExpired"})


class _Inner(Struct, frozen=True):
    code: str = ""


class _Error(Struct, frozen=True):
    code: str = ""
    innererror: _Inner | None = None


class _Refusal(Struct, frozen=True):
    error: _Error = _Error()


def refusal(reply: Reply) -> Exception:
    """Return what an answer means that is none."""
    try:
        said = msgspec.json.decode(reply.body, type=_Refusal).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = _Error()
    codes = {said.code, "" if said.innererror is None else said.innererror.code}
    if codes & _DISABLED:
        return Misused("The key is disabled in Azure, or out of its time.", hint="look at its attributes there")
    if reply.status in REFUSALS:
        kind, sentence, hint = REFUSALS[reply.status]
        why = kind(f"{sentence}.", hint=hint)
        return NotDone(why, soon=True) if reply.status == 429 else why
    return KeyStoreUnavailable(f"Azure failed inside (HTTP status {reply.status}).", hint=_AGAIN)
