"""What Google's errors mean to us: the name of the code, never the text, which may quote anything."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from privyseal.errors import Conflict, KeyStoreUnavailable, Misused, NotFound, PrivySealError
from privyseal.keystore.clouds import NotDone
from privyseal.keystore.wire import Reply

_AGAIN = "whether it was done is unknown; it is not asked again for the same"
_OURS = "please report it"
REFUSALS: dict[str, tuple[type[PrivySealError], str, str]] = {
    "UNAUTHENTICATED": (Misused, "Google does not accept the credential", "put a good one into its file"),
    "PERMISSION_DENIED": (Misused, "Google does not let this account do that", "look at its roles on the key ring"),
    "NOT_FOUND": (NotFound, "Google has no such key", "it was destroyed, or it is in another key ring"),
    "ALREADY_EXISTS": (Conflict, "Google has a key of that name already", "give the new key another name"),
    "INVALID_ARGUMENT": (Misused, "Google finds a request malformed", _OURS),
    "OUT_OF_RANGE": (Misused, "Google finds a request malformed", _OURS),
    "UNIMPLEMENTED": (
        Misused,
        "Google does not offer this in that location",
        "look at the location's protection levels",
    ),
    "FAILED_PRECONDITION": (Misused, "The key is in a state in which Google does not use it", "look at it there"),
    "RESOURCE_EXHAUSTED": (
        KeyStoreUnavailable,
        "Google throttles our requests",
        "nothing was done; try again, and have the quota raised if it comes often",
    ),
    "UNAVAILABLE": (KeyStoreUnavailable, "Google is unavailable", _AGAIN),
    "DEADLINE_EXCEEDED": (KeyStoreUnavailable, "Google timed out inside", _AGAIN),
    "INTERNAL": (KeyStoreUnavailable, "Google failed inside", _AGAIN),
}
"""By google.rpc.Code: our error, what happened, what to do."""
_UNKNOWN = (KeyStoreUnavailable, "Google answered with an error that is not known here", _AGAIN)


class WrongStateError(Exception):
    """The key's state forbids what was asked."""

    def __init__(self, why: PrivySealError) -> None:
        """Keep what is told where the state explains nothing."""
        super().__init__(why.detail)
        self.why = why


class _Status(Struct, frozen=True):
    status: str = ""


class _Refusal(Struct, frozen=True):
    error: _Status = _Status()


def refusal(reply: Reply) -> Exception:
    """Return what an answer means that is none."""
    try:
        code = msgspec.json.decode(reply.body, type=_Refusal).error.status
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        code = ""
    kind, sentence, hint = REFUSALS.get(code, _UNKNOWN)
    why = kind(f"{sentence}.", hint=hint)
    if code == "RESOURCE_EXHAUSTED" and reply.status == 429:
        return NotDone(why, soon=True)
    if code == "FAILED_PRECONDITION" and reply.status == 400:
        return WrongStateError(why)
    return why
