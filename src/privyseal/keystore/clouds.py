"""What key stores of clouds have in common: how their URIs look, how credentials are read, what may be asked again.

A cloud's client makes one call at a time and says of each failure whether the call was certainly not done. Only such
a call is made again, by :func:`patiently` and a few times; after any other failure of a signature nobody knows whether
the key was used, and the intent is lost rather than signed twice.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol, Self, TypeVar
from urllib.parse import quote, unquote_to_bytes

import msgspec
from msgspec import Struct

from privyseal.errors import KeyStoreUnavailable, Misused, NotFound, PrivySealError
from privyseal.keystore.audit import AuditLog
from privyseal.keystore.homes import Located, Standing
from privyseal.keystore.messages import (
    Answer,
    Born,
    Count,
    Destroy,
    Destroyed,
    Failure,
    Generate,
    Hashed,
    Look,
    Protected,
    Protection,
    PublicKey,
    Question,
    Seen,
    Sign,
    Signed,
    Spki,
    Told,
)
from privyseal.terms.keys import KeyProtection
from privyseal.terms.signatures import SCHEMES, Scheme

PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between the tries of a call that was throttled; together less than any timeout of a section."""
MAX_FAILURES = 3
"""Questions in a row that may fail in one desk, none knows how, before its worker is replaced, whatever ails it."""
MAX_SECRET_OCTETS = 64 << 10
"""Octets of a file with a credential: a Google service account's has 2,400, a token of Kubernetes up to a few
thousand."""
HOME_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""What a section of a cloud may be called."""
_MAX_URI = 2048
_ONCE = (Sign, Generate)
"""Questions that are not asked anew where it is unknown what became of them: two keys cost as two signatures do."""
_R = TypeVar("_R")


class CloudUri(Struct, frozen=True):
    """A key with a cloud, such as ``awskms:home=prod;object=demo%2Frelease;id=1234abcd-...``; nothing in it is secret.

    ``home`` is the name of its section: whoever renames the section renames its keys.
    """

    store: str
    home: str
    label: str
    key: bytes

    def __str__(self) -> str:
        """Return the URI; what is not unreserved (RFC 3986 section 2.3) is percent-encoded."""
        return f"{self.store}:home={self.home};object={quote(self.label, safe='')};id={quote(self.key, safe='')}"

    @property
    def located(self) -> Located:
        """Return it as the store's other half wants it."""
        return Located(self.home, "", self.label, self.key)

    @classmethod
    def of(cls, store: str, uri: str) -> Self:
        """Read a URI that the store of this name gave out; NotFound if it is none."""
        fields = [part.partition("=") for part in uri.removeprefix(store + ":").split(";")]
        if len(uri) <= _MAX_URI and [name for name, _, _ in fields] == ["home", "object", "id"]:
            home, label, key = (unquote_to_bytes(value) for _, _, value in fields)
            try:
                found = cls(store, home.decode("ascii"), label.decode("utf-8"), key)
            except UnicodeDecodeError:
                found = None
            if found is not None and key and HOME_NAME.fullmatch(found.home) and str(found) == uri:
                return found
        raise NotFound(f"A key URI of this store names home, object and id, as in {store}:home=prod;object=a%2Fb;id=c.")


class NotDone(Exception):
    """What was asked was certainly not done; ``why`` is what is told in the end.

    ``soon``: the same client may ask again after a pause, as when it was throttled. Otherwise nobody was reached, and a
    fresh worker may.
    """

    def __init__(self, why: PrivySealError, *, soon: bool) -> None:
        """Keep why."""
        super().__init__(why.detail)
        self.why = why
        self.soon = soon


def patiently(call: Callable[[], _R], pause: Callable[[float], None] = time.sleep) -> _R:
    """Make one call, and again after a pause where it was certainly not done and the cloud asks for patience.

    In the end it raises NotDone, which :class:`CloudDesk` understands.
    """
    for seconds in PAUSES:
        try:
            return call()
        except NotDone as refusal:
            if not refusal.soon:
                raise
            pause(seconds)
    return call()


class Client(Protocol):
    """One connection to a cloud, used by one thread.

    Every method may raise NotDone, KeyStoreUnavailable where nobody knows what became of the call, and our other
    errors where the cloud refused it. None of them makes a call a second time but by :func:`patiently`, and none lets
    its SDK do so.
    """

    def look(self) -> None:
        """Make a call that shows that the cloud is there and lets us in, and uses no key."""
        ...

    def generate(self, label: str, scheme: Scheme) -> bytes:
        """Generate a Key Pair and return what the cloud knows it by; Conflict if it has the label."""
        ...

    def public_key(self, label: str, key: bytes) -> bytes:
        """Return the SubjectPublicKeyInfo, DER."""
        ...

    def sign(self, label: str, key: bytes, one: Hashed) -> bytes:
        """Sign one digest: PKCS#1 octets, or a DER ECDSA-Sig-Value."""
        ...

    def destroy(self, label: str, key: bytes) -> None:
        """Destroy a key, or see that it is gone."""
        ...

    def protection(self, label: str, key: bytes) -> KeyProtection:
        """Return what the cloud says of a key."""
        ...

    def count(self, keys: Sequence[bytes], since: datetime, until: datetime) -> tuple[AuditLog, tuple[int, ...]]:
        """Return what the cloud's audit log is, and how often it says that each key signed; Misused without one."""
        ...


class CloudDesk:
    """One thread's connection to a cloud."""

    def __init__(self, client: Client, name: Callable[[str, bytes], str]) -> None:
        """Answer with this client, which nobody else uses; ``name`` makes a URI of a label and the cloud's own id."""
        self._client = client
        self._name = name
        self._failures = 0

    def answer(self, question: Question) -> Answer:
        """Answer one question; whatever goes wrong becomes a Failure in our words."""
        answer = self._tried(question)
        if isinstance(answer, Failure) and answer.used and not isinstance(question, _ONCE):
            answer = self._tried(question)  # it changes nothing, or nothing more
        self._failures = self._failures + 1 if isinstance(answer, Failure) and answer.used else 0
        if isinstance(answer, Failure) and self._failures >= MAX_FAILURES:
            return msgspec.structs.replace(answer, poisoned=True)
        return answer

    def _tried(self, question: Question) -> Answer:
        """Try once. A Failure that is ``used`` leaves open what was done; the other desks of this worker go on."""
        made: list[bytes] = []
        try:
            return self._answer(question, made)
        except NotDone as refusal:
            why = refusal.why
            return Failure(why.code, why.detail, why.hint, poisoned=not refusal.soon, used=bool(made))
        except KeyStoreUnavailable as error:
            return Failure(error.code, error.detail, error.hint, used=True)
        except PrivySealError as error:
            return Failure(error.code, error.detail, error.hint, used=bool(made))
        except Exception as error:  # an answer that its SDK does not understand; what it says may tell too much
            detail = f"The cloud's answer could not be understood ({type(error).__name__})."
            return Failure(KeyStoreUnavailable.code, detail, used=True)

    def _answer(self, question: Question, made: list[bytes]) -> Answer:
        client = self._client
        if isinstance(question, Sign):
            for one in question.hashed:
                made.append(client.sign(question.label, question.key, one))
            return Signed(tuple(made))
        if isinstance(question, PublicKey):
            return Spki(client.public_key(question.label, question.key))
        if isinstance(question, Protection):
            return Protected(client.protection(question.label, question.key))
        if isinstance(question, Look):
            client.look()
            return Seen()
        if isinstance(question, Generate):
            return Born(self._name(question.label, client.generate(question.label, SCHEMES[question.scheme])))
        if isinstance(question, Destroy):
            client.destroy(question.label, question.key)
            return Destroyed()
        if isinstance(question, Count):
            return Told(*client.count(question.keys, question.since, question.until))
        raise Misused("What is in a cloud is not listed here, only what is in a token.")


class CloudOpening:
    """How a worker with a cloud begins: credentials are looked at, a client for each session made, one asks."""

    def __init__(
        self,
        sessions: int,
        connect: Callable[[], Client],
        name: Callable[[str, bytes], str],
        secrets: Sequence[Path] = (),
    ) -> None:
        """Begin with clients that ``connect`` makes; ``secrets`` are files that must be there and nobody else's."""
        self._sessions = sessions
        self._connect = connect
        self._name = name
        self._secrets = secrets

    def prepare(self) -> None:
        """Look whether the credentials can be read, and by nobody else."""
        for path in self._secrets:
            read_secret(path)

    def open(self) -> Sequence[CloudDesk]:
        """Connect, and see with the first client that the cloud lets us in."""
        clients = [self._connect() for _ in range(self._sessions)]
        try:
            clients[0].look()
        except NotDone as refusal:
            raise refusal.why from None
        return [CloudDesk(client, self._name) for client in clients]

    def standing(self, error: PrivySealError) -> Standing:
        """Return the state of a cloud whose opening ended with this error."""
        return "away" if error.retryable else "refused"


def read_secret(path: Path) -> str:
    """Read a credential from a file of its own, without white space around it; Misused if others can read it."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Misused(
                    f"Others than its owner can read {path}, which holds a credential.", hint=f"chmod 600 {path}"
                )
            secret = file.read(MAX_SECRET_OCTETS + 1)
    except OSError as error:
        raise Misused(f"The credential {path} cannot be read: {error.strerror}.") from None
    try:
        text = secret.decode("utf-8").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(secret) > MAX_SECRET_OCTETS:
        raise Misused(f"{path} does not hold a credential: it is empty, no text, or over {MAX_SECRET_OCTETS} octets.")
    return text
