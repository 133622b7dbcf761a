"""Everything Privy Seal refuses or fails to do: one tree.

A class exists only where a caller acts differently. Each carries a stable ``code`` (a slug that scripts, the wire and
the sockets between our processes use), a ``title``, an HTTP ``status`` and a command-line ``exit`` code
(design/contract: exit codes). ``web/problem.py`` alone turns them into RFC 9457 documents and ``cli/main.py`` alone
into exits; ``strongroom`` sends ``code`` and ``detail`` over its sockets and rebuilds the same class with
:func:`from_code`.

The detail is one sentence for the reader: what happened, what was expected, and (as ``hint``) what to do.
"""

from __future__ import annotations

from typing import ClassVar, Self


class PrivySealError(Exception):
    """What Privy Seal refused or failed to do; never raised itself, only its leaves are."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500
    exit: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, hint: str | None = None) -> None:
        """Keep ``detail``, one sentence without secrets, and ``hint``, what the reader can do about it."""
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.request_id: str | None = None
        """By which a service's log knows the call that it refused; set by its client alone."""

    def __str__(self) -> str:
        """Return the detail, followed by the hint if there is one."""
        return self.detail if self.hint is None else f"{self.detail} ({self.hint})"

    def about(self, subject: str) -> Self:
        """Return the same error, its detail preceded by the file or thing it is about."""
        return type(self)(f"{subject}: {self.detail}", hint=self.hint)


class Misused(PrivySealError):
    """Wrong usage or configuration: an unknown key, an impossible combination, a secret in a file others can read."""

    code, title, status, exit = "misused", "Wrong usage or configuration", 400, 2


class BadInput(PrivySealError):
    """Bytes from outside that are not what they should be: malformed JSON, a request that contradicts itself."""

    code, title, status, exit = "bad-input", "Input not understood", 422, 2


class MalformedCode(BadInput):
    """A code file whose structure is broken or unknown; ``sign`` exits 2 on it, ``verify`` 3."""

    code, title = "malformed-code", "Code file not understood"


class Impossible(BadInput):
    """What a code format cannot do, such as carry a second signature or lose the one it has."""

    code, title = "impossible", "This format cannot do that"


class TooLarge(BadInput):
    """A body, count or field beyond its limit."""

    code, title, status = "too-large", "Over the limit", 413


class VerificationFailed(PrivySealError):
    """A signature, token, proof or certificate that does not verify."""

    code, title, status, exit = "verification-failed", "Verification failed", 422, 3


class NotAuthenticated(PrivySealError):
    """No credential, or one that is unknown, expired or revoked."""

    code, title, status, exit = "not-authenticated", "Not authenticated", 401, 4


class StepUpNeeded(NotAuthenticated):
    """A person's session that has not shown a second factor recently enough for this (RFC 9470)."""

    code, title = "step-up-needed", "A recent second factor is needed"


class CounterWentBack(NotAuthenticated):
    """A passkey whose signature counter is not above the last one (WebAuthn 7.2 step 22): a copy may be about."""

    code, title = "counter-went-back", "The passkey's counter went back"


class TooSoon(NotAuthenticated):
    """A sign-in after too many wrong ones; nothing is locked, the next try has to wait."""

    code, title, status, retryable = "too-soon", "Wait before the next try", 429, True


class NotPermitted(PrivySealError):
    """Refused by policy: this Actor may not do this, or the signer's charter forbids it."""

    code, title, status, exit = "not-permitted", "Refused by policy", 403, 5


class ClaimMismatch(NotPermitted):
    """A run's identity token is good, and differs from the trust rule that it names; which claims do, is told."""

    code, title = "claim-mismatch", "The run is not the one that is trusted"
    compared: tuple[tuple[str, str, str, bool], ...] = ()
    """Claim, what came, what was expected, whether that is the same; all that were compared."""


class PolicyRefused(NotPermitted):
    """No rule of the Subscriber's policy allows this request, or a rule refuses it, or what it allows is used up."""

    code, title = "policy-refused", "Refused by the Subscriber's policy"


class NotCompliant(PrivySealError):
    """Refused by a Requirement marked as a gate, such as a softfile key under a publicly trusted certificate."""

    code, title, status, exit = "not-compliant", "Refused by a Requirement", 403, 5


class Infected(NotPermitted):
    """An uploaded file in which a scanner found what should not be there; it was not signed, and is not kept."""

    code, title = "infected", "Refused by a scanner"


class NotFound(PrivySealError):
    """No such thing, or not one that this Actor may know of: the two are told apart to nobody."""

    code, title, status, exit = "not-found", "Not found", 404, 2


class NotYet(NotFound):
    """What comes into being by itself, later: the detail says when. Nothing is wrong; to ask in moments is no use."""

    code, title, exit, retryable = "not-yet", "Not yet", 8, True


class Conflict(PrivySealError):
    """The thing is not in the state the caller supposed, or another one is acting on it right now."""

    code, title, status, exit, retryable = "conflict", "Conflict", 409, 8, True


class IdempotencyMismatch(PrivySealError):
    """An Idempotency-Key that was used for another request (draft-ietf-httpapi-idempotency-key-header: 422)."""

    code, title, status, exit = (
        "idempotency-mismatch",
        "Idempotency-Key already used for another request",
        422,
        2,
    )


class Denied(PrivySealError):
    """A request that was denied, cancelled or expired, or a key that is frozen."""

    code, title, status, exit = "denied", "Denied", 409, 7


class Failed(PrivySealError):
    """A request that ended FAILED: what became of its signature is on record; ask anew."""

    code, title, status, exit = "failed", "The request failed for good", 409, 8


class Unavailable(PrivySealError):
    """A part we depend on does not answer or refuses to go on; safe to run again."""

    code, title, status, exit, retryable = "unavailable", "Unavailable", 503, 8, True


class Overloaded(Unavailable):
    """More is asked than can be done in time, and nothing is broken; come back after ``retry_after`` seconds."""

    code, title = "overloaded", "Too much at once"
    retry_after: int = 1


class KeyStoreUnavailable(Unavailable):
    """The key store or the signer process does not answer."""

    code, title = "key-store-unavailable", "Key store unavailable"


class LogUnavailable(Unavailable):
    """The logger does not answer, or refuses to sign a head."""

    code, title = "log-unavailable", "Log unavailable"


class LogRolledBack(LogUnavailable):
    """A log, mark or database older than a head that was already signed; nobody may go on from there."""

    code, title, retryable = "log-rolled-back", "The log was put back to an older state", False


class RecordsRolledBack(Unavailable):
    """Records that do not know what the log holds of their own requests; nobody may sign from there."""

    code, title, retryable = "records-rolled-back", "The records were put back to an older state", False


class LogStandby(LogUnavailable):
    """This logger is not the active one; whoever knows another asks that."""

    code, title = "log-standby", "Not the active logger"


class TimestampUnavailable(Unavailable):
    """No timestamp authority gave a token that verifies."""

    code, title = "timestamp-unavailable", "No timestamp could be had"


class Unlogged(NotPermitted):
    """The signer was asked to use a key without a valid proof of a fresh intent in the log."""

    code, title = "unlogged", "No valid intent in the log"


class IntentSpent(Unlogged):
    """The signer was asked to use a key for an intent that it has spent: whether a signature was made is unknown."""

    code, title = "intent-spent", "The intent is spent already"


def _leaves(of: type[PrivySealError]) -> dict[str, type[PrivySealError]]:
    found = {of.code: of}
    for leaf in of.__subclasses__():
        found |= _leaves(leaf)
    return found


def from_code(code: str, detail: str, hint: str | None = None) -> PrivySealError:
    """Rebuild the error that another of our processes named by ``code``; an unknown code becomes Unavailable."""
    return _leaves(PrivySealError).get(code, Unavailable)(detail, hint=hint)
