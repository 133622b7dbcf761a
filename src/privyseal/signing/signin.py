"""How people sign in, and how a command line is let in by somebody who has.

Guesses are counted before they are looked at, so that a hundred at once are a hundred. Whatever a browser hands back is
used up in the transaction that believes it, so that it is believed once. A session gets another token whenever what it
proves grows, so that nobody who knew the old one grows with it.
"""

from __future__ import annotations

import base64
from datetime import timedelta

import msgspec

from privyseal.access import oidc, passkeys, passwords, sessions, totp
from privyseal.access.passkeys import Passkey
from privyseal.access.sealed import digest_of
from privyseal.access.sessions import Session
from privyseal.errors import CounterWentBack, NotAuthenticated, NotFound, TooSoon
from privyseal.records import events, parties, people
from privyseal.records import sessions as records
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing.instance import PrivySeal
from privyseal.signing.people import CEREMONY_LASTS, LOGIN, SUBSCRIBER, gatehouse, means_in, totp_secret
from privyseal.terms.parties import Factor, Member

AWAY = timedelta(minutes=10)
"""How long somebody may be away at a provider."""

_WRONG = NotAuthenticated("The name or the password is wrong.", hint="or use a passkey")


class Visitor(msgspec.Struct, frozen=True):
    """Whence somebody signs in."""

    agent: bytes
    """SHA-256 of the User-Agent."""
    label: str


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody proved just now."""

    member: Member
    factors: tuple[Factor, ...]
    whole: bool = False
    """Whether that is two factors by itself, as a passkey with user verification is."""
    said: str = ""


def by_password(seal: PrivySeal, subscriber: str, login: str, password: str) -> Proof:
    """Check a password; the same words, after as long, where there is no such account."""
    member = account = None
    subscriber = subscriber if SUBSCRIBER.match(subscriber) else ""
    with seal.records.writing(subscriber) as tx:
        account = people.account_named(tx, login) if LOGIN.match(login) else None
        if account is not None:
            _count(seal, tx, account)
            member = people.member(tx, account.member)
    kept = account.password if account else None
    right = passwords.matches(password[: passwords.LONGEST + 1], kept)
    if not right or member is None:
        raise NotAuthenticated(_WRONG.detail, hint=_WRONG.hint)
    with seal.records.writing(subscriber) as tx:
        people.change_account(tx, member.id, failures=0, not_before=None)
    return Proof(member=member, factors=(Factor.PASSWORD,))


def begin_passkey(seal: PrivySeal, origin: str, member: Member | None = None) -> tuple[str, str]:
    """Ask for a passkey, of a member or of anybody: return what the browser is asked, JSON, and the note."""
    whose = member.id if member else ""
    note = gatehouse(seal).sealer.note("passkey", whose.encode(), seal.clock(), CEREMONY_LASTS)
    known: tuple[Passkey, ...] = ()
    if member is not None:
        with seal.records.reading(member.subscriber) as tx:
            known = means_in(tx, member).usable
    return passkeys.request(origin, digest_of(note), known), note


def by_passkey(seal: PrivySeal, origin: str, note: str, answer: str, member: Member | None = None) -> Proof:
    """Check what the browser answered, once; a counter that went back is written down, and the passkey refused."""
    now = seal.clock()
    whose = gatehouse(seal).sealer.read("passkey", note, now).decode()
    if whose != (member.id if member else ""):
        raise NotAuthenticated("The passkey was asked of somebody else.", hint="open the page again")
    credential = passkeys.credential_of(answer)
    with seal.records.reading_all_subscribers() as connection:
        found = people.passkey_of_all_subscribers(connection, credential)
    if found is None or (member is not None and found[0].member != member.id) or found[0].refused:
        raise NotAuthenticated("The passkey is not one that opens anything here.", hint="use another one")
    passkey, subscriber = found
    try:
        shown = passkeys.shown(answer, passkey, origin=origin, challenge=digest_of(note))
    except CounterWentBack:
        with seal.records.writing(subscriber) as tx:
            people.refuse_passkey(tx, credential)
            events.record(tx, Event(now, passkey.member, "passkey's counter went back", passkey.member))
        raise
    with seal.records.writing(subscriber) as tx:
        people.spend(tx, digest_of(note), now + CEREMONY_LASTS, now)
        if not people.passkey_was_used(tx, passkey, shown, now):
            raise NotAuthenticated("The passkey was used elsewhere at this moment.", hint="try again")
        owner = people.member(tx, passkey.member)
        people.change_account(tx, owner.id, failures=0, not_before=None)
    return Proof(member=owner, factors=(passkey.factor,), whole=True)


def by_code(seal: PrivySeal, member: Member, typed: str) -> Proof:
    """Check a code of the member's app, or a recovery code; each counts once."""
    now, digest = seal.clock(), totp.recovery_digest(member.id, typed)
    with seal.records.writing(member.subscriber) as tx:
        account = people.account(tx, member.id)
        if account is None or account.totp is None:
            raise NotAuthenticated("This member has no app for codes.", hint="use a passkey")
        _count(seal, tx, account)
    factor = Factor.TOTP
    with seal.records.writing(member.subscriber) as tx:
        if digest is not None:
            factor, right = Factor.RECOVERY_CODE, people.use_recovery_code(tx, member.id, digest)
        else:
            secret = totp_secret(seal, member.id, account.totp)
            step = totp.matching_step(secret, typed, now, account.totp_step)
            right = step is not None and people.accept_step(tx, member.id, step)
        if right:
            people.change_account(tx, member.id, failures=0, not_before=None)
            if factor is Factor.RECOVERY_CODE:
                events.record(tx, Event(now, member.id, "recovery code used", member.id))
    if not right:
        raise NotAuthenticated("The code is wrong, or was used already.", hint="wait for the next one")
    return Proof(member=member, factors=(factor,))


def begin_at_provider(seal: PrivySeal, name: str, redirect: str, *, after: str, invitation: str) -> tuple[str, str]:
    """Send somebody to a provider: return the URL, and the note that its browser keeps meanwhile."""
    gate = gatehouse(seal)
    provider = gate.provider(name)
    endpoints = gate.endpoints(provider)
    asked = oidc.Asked(
        provider=name,
        state=_random(seal),
        nonce=_random(seal),
        verifier=_random(seal),
        next=after,
        invitation=invitation,
    )
    note = gate.sealer.note("provider", msgspec.json.encode(asked), seal.clock(), AWAY)
    return oidc.authorization_url(endpoints, asked, provider.client_id, redirect), note


def away(seal: PrivySeal, note: str) -> oidc.Asked:
    """Read the note of somebody who comes back from a provider."""
    return msgspec.json.decode(gatehouse(seal).sealer.read("provider", note, seal.clock()), type=oidc.Asked)


def identity_at_provider(seal: PrivySeal, note: str, came: dict[str, str], redirect: str) -> oidc.Identity:
    """Exchange what somebody brings back for an identity; NotAuthenticated where any of it is not what was sent."""
    gate, asked = gatehouse(seal), away(seal, note)
    provider = gate.provider(asked.provider)
    oidc.require_state(asked, came.get("state", ""), came.get("iss"), provider.issuer)
    if "error" in came or not came.get("code"):
        said = came.get("error", "no code")[:80]
        raise NotAuthenticated(f"The identity provider {provider.name} said no: {said!r}.", hint="sign in again")
    token = gate.id_token(provider, came["code"], asked.verifier, redirect)
    return gate.identity(provider, token, asked.nonce, seal.clock())


def by_identity(seal: PrivySeal, found: oidc.Identity, note: str) -> Proof:
    """Return the member that an identity was linked to; NotAuthenticated where it is nobody's, whatever its e-mail."""
    now = seal.clock()
    with seal.records.reading_all_subscribers() as connection:
        member = people.linked_of_all_subscribers(connection, found.issuer, found.subject, now)
    if member is None:
        raise NotAuthenticated(
            "This identity is not linked to a member.", hint="ask an administrator for an invitation, and link it there"
        )
    with seal.records.writing(member.subscriber) as tx:
        people.spend(tx, digest_of(note), now + AWAY, now)
    return Proof(member=member, factors=(Factor.OIDC,), said=found.said)


def begin(seal: PrivySeal, proof: Proof, visitor: Visitor) -> tuple[str, Session]:
    """Begin a browser's session: return its token. It opens nothing yet where a second factor is owed.

    Whoever has left begins none, by whatever they proved who they are.
    """
    with seal.records.writing(proof.member.subscriber) as tx:
        try:
            parties.require_in(tx, proof.member.id, seal.clock())
        except NotFound:
            raise NotAuthenticated(_WRONG.detail, hint=_WRONG.hint) from None
        known = means_in(tx, proof.member)
        owed = not proof.whole and known.second
        token, session = _session(seal, proof, visitor, owed=owed)
        records.add(tx, sessions.digest(token), session)
        events.record(tx, Event(session.begun, proof.member.id, _words("signed in", proof.factors), session.id))
    return token, session


def grow(seal: PrivySeal, session: Session, proof: Proof, visitor: Visitor) -> tuple[str, Session]:
    """Add a second factor to a session: it gets another token, and what was owed is paid."""
    factors = tuple(dict.fromkeys((*session.factors, *proof.factors)))
    whole = Proof(member=session.member, factors=factors, whole=True, said=session.said)
    with seal.records.writing(session.member.subscriber) as tx:
        records.end(tx, session.member.id, session.id)  # NotFound where it was ended meanwhile
        token, grown = _session(seal, whole, visitor, owed=False)
        grown = msgspec.structs.replace(grown, begun=session.begun, ends=session.ends)
        records.add(tx, sessions.digest(token), grown)
        events.record(tx, Event(seal.clock(), session.member.id, _words("confirmed", proof.factors), grown.id))
    return token, grown


def find(seal: PrivySeal, digest: bytes) -> Session | None:
    """Look a session up by the SHA-256 of its token."""
    with seal.records.reading_all_subscribers() as connection:
        return records.by_digest_of_all_subscribers(connection, digest, seal.clock())


def touch(seal: PrivySeal, session: Session) -> None:
    """Remember that a session is used, once a minute."""
    if seal.clock() - session.seen >= timedelta(minutes=1):
        with seal.records.writing(session.member.subscriber) as tx:
            records.touch(tx, session.id, seal.clock())


def end(seal: PrivySeal, member: Member, session: str) -> None:
    """End one of a member's own sessions."""
    with seal.records.writing(member.subscriber) as tx:
        records.end(tx, member.id, session)
        events.record(tx, Event(seal.clock(), member.id, "session ended", session))


def of_member(seal: PrivySeal, member: Member) -> list[Session]:
    """List a member's sessions that are not over, newest first."""
    with seal.records.reading(member.subscriber) as tx:
        return [each for each in records.of_member(tx, member.id) if not each.over(seal.clock())]


def _count(seal: PrivySeal, tx: Transaction, account: people.Account) -> None:
    """Count a try as wrong before it is looked at; TooSoon where it has to wait."""
    now = seal.clock()
    if account.not_before is not None and now < account.not_before:
        seconds = int((account.not_before - now).total_seconds()) + 1
        raise TooSoon(f"There were too many wrong ones; the next try is in {seconds} s.", hint="or use a passkey")
    failures = account.failures + 1
    people.change_account(tx, account.member, failures=failures, not_before=now + passwords.wait_after(failures))


def _session(seal: PrivySeal, proof: Proof, visitor: Visitor, *, owed: bool) -> tuple[str, Session]:
    token, _ = sessions.new_token("browser", seal.draw)
    now = seal.clock()
    return token, Session(
        id=session_id(seal),
        member=proof.member,
        kind="browser",
        factors=proof.factors,
        said=proof.said,
        begun=now,
        proved_at=now if proof.whole else None,
        seen=now,
        ends=now + sessions.WHOLE_LIMIT,
        agent=visitor.agent,
        label=visitor.label,
        pending=owed,
    )


def session_id(seal: PrivySeal) -> str:
    """Draw the id of a session: what lists and records call it, and what opens nothing."""
    return "Z-" + base64.b32encode(seal.draw(15)).decode("ascii").lower()


def _random(seal: PrivySeal) -> str:
    return base64.urlsafe_b64encode(seal.draw(32)).rstrip(b"=").decode("ascii")


def _words(what: str, factors: tuple[Factor, ...]) -> str:
    return f"{what}: {' and '.join(factors)}"[:40]
