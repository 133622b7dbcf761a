"""How a command line is let in: by somebody who has signed in in a browser and says yes to it there.

With a browser on the same machine the code travels to a port of loopback (RFC 8252), and counts only together with the
verifier that the command line kept (RFC 7636). Without one, a person types a short code in any browser (RFC 8628).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timedelta

import msgspec

from privyseal.access import sessions
from privyseal.access.sealed import digest_of
from privyseal.access.sessions import Session
from privyseal.errors import BadInput, NotAuthenticated, TooSoon
from privyseal.records import events, people
from privyseal.records import sessions as records
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing.instance import PrivySeal
from privyseal.signing.people import gatehouse, means, one_line
from privyseal.signing.signin import session_id


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser says yes to, sealed in the code that it hands to the command line."""

    subscriber: str
    session: str
    challenge: str
    redirect: str
    label: str


CODE_LASTS = timedelta(seconds=60)
"""From the browser's yes to the command line's question (RFC 6749 4.1.2: ten minutes at most)."""
DEVICE_LASTS = timedelta(minutes=10)
"""How long a command line without a browser waits (RFC 8628 3.2)."""
DEVICE_INTERVAL = timedelta(seconds=3)
"""How long it waits between two questions (RFC 8628 3.2 says 5 where nothing is said)."""
_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"


def allow(seal: PrivySeal, session: Session, challenge: str, port: int, label: str) -> str:
    """Let a command line in that waits at a port of loopback: return the code for it (RFC 8252 7.3, RFC 7636)."""
    sessions.require_recent_if_any(session, means(seal, session.member).second, seal.clock())
    if len(challenge) != 43 or not 1024 <= port <= 65535:
        raise BadInput("The command line's address is not one.", hint="run privyseal login again")
    allowed = Allowed(
        subscriber=session.member.subscriber,
        session=session.id,
        challenge=challenge,
        redirect=f"http://127.0.0.1:{port}/",
        label=one_line(label),
    )
    return gatehouse(seal).sealer.note("command line", msgspec.json.encode(allowed), seal.clock(), CODE_LASTS)


def redeem(seal: PrivySeal, code: str, verifier: str) -> tuple[str, Session]:
    """Give the command line its token for a code, once, where it knows the verifier."""
    now = seal.clock()
    allowed = msgspec.json.decode(gatehouse(seal).sealer.read("command line", code, now), type=Allowed)
    known = hashlib.sha256(verifier.encode("utf-8", "replace")).digest()
    challenge = base64.urlsafe_b64encode(known).rstrip(b"=").decode("ascii")
    if not hmac.compare_digest(challenge.encode(), allowed.challenge.encode("utf-8", "replace")):
        raise NotAuthenticated("The code was not made for this command line.", hint="run privyseal login again")
    with seal.records.writing(allowed.subscriber) as tx:
        people.spend(tx, digest_of(code), now + CODE_LASTS, now)
        return _let_in(seal, tx, allowed.session, allowed.label)


def begin_device(seal: PrivySeal, label: str) -> tuple[str, str]:
    """Take in a command line without a browser: return its device code and the code that a person types."""
    device = base64.urlsafe_b64encode(seal.draw(32)).rstrip(b"=").decode("ascii")
    typed = "".join(_ALPHABET[each % 20] for each in seal.draw(64) if each < 240)[:8]
    now = seal.clock()
    with seal.records.batch() as batch:
        records.add_device_of_all_subscribers(
            batch.across_subscribers(), _code(device), _code(typed), one_line(label), now, now + DEVICE_LASTS
        )
    return device, f"{typed[:4]}-{typed[4:]}"


def waiting_device(seal: PrivySeal, typed: str) -> records.DeviceCode:
    """Find the command line that shows a code; NotAuthenticated where none does."""
    plain = "".join(c for c in typed.upper() if c in _ALPHABET)
    with seal.records.reading_all_subscribers() as connection:
        found = records.device_of_all_subscribers(connection, seal.clock(), user_code=_code(plain))
    if found is None or found.member is not None:
        raise NotAuthenticated("No command line waits with this code.", hint="read it again, or run login anew")
    return found


def answer_device(seal: PrivySeal, session: Session, typed: str, *, yes: bool) -> None:
    """Say yes or no to a command line that waits."""
    sessions.require_recent_if_any(session, means(seal, session.member).second, seal.clock())
    found = waiting_device(seal, typed)
    with seal.records.batch() as batch:
        said = records.answer_device_of_all_subscribers(
            batch.across_subscribers(),
            found.digest,
            subscriber=session.member.subscriber,
            member=session.member.id,
            session=session.id,
            refused=not yes,
        )
    if not said:
        raise NotAuthenticated("Somebody has answered that command line.", hint="run login anew")


def poll_device(seal: PrivySeal, device: str) -> tuple[str, Session] | None:
    """Give a command line its token, once, or None where nobody has answered yet; TooSoon where it asks too often."""
    now, digest = seal.clock(), _code(device)
    with seal.records.batch() as batch:
        connection = batch.across_subscribers()
        found = records.device_of_all_subscribers(connection, now, digest=digest)
        if found is None:
            raise NotAuthenticated("The device code is unknown, was used, or is too old.", hint="run login anew")
        if found.asked is not None and now - found.asked < DEVICE_INTERVAL - timedelta(milliseconds=500):
            raise TooSoon("The command line asks too often (RFC 8628 3.5).", hint="wait three seconds between two")
        records.device_asked_of_all_subscribers(connection, digest, now)
        if found.member is None:
            return None
        if not records.take_device_of_all_subscribers(connection, digest):
            raise NotAuthenticated("The device code was used.", hint="run login anew")
    if found.refused or found.subscriber is None or found.session is None:
        raise NotAuthenticated("The command line was not let in.", hint="somebody said no to it in a browser")
    with seal.records.writing(found.subscriber) as tx:
        return _let_in(seal, tx, found.session, found.label)


def _let_in(seal: PrivySeal, tx: Transaction, session: str, label: str) -> tuple[str, Session]:
    """Begin a command line's session out of a browser's, which must still be there, with its factors."""
    now: datetime = seal.clock()
    parent = records.by_id(tx, session, now)
    if parent is None or parent.over(now) or parent.pending:
        raise NotAuthenticated("The browser's session has ended meanwhile.", hint="run privyseal login again")
    token, digest = sessions.new_token("command-line", seal.draw)
    child = msgspec.structs.replace(
        parent,
        id=session_id(seal),
        kind="command-line",
        begun=now,
        seen=now,
        ends=now + sessions.COMMAND_LINE_LIMIT,
        agent=b"",
        label=label,
    )
    records.add(tx, digest, child)
    events.record(tx, Event(now, parent.member.id, "command line let in", child.id))
    return token, child


def _code(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
