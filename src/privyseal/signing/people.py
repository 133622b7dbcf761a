"""How people come in: an invitation, and then a password, passkeys, an app's codes, an identity at a provider.

Each of these is an administrative act of its own, announced in the transaction that writes it down. Whoever has a
second factor must have shown it recently to add, change or remove any of them; an invitation stands in for it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import timedelta

import msgspec

from privyseal.access import passkeys, passwords, permissions, sessions, totp
from privyseal.access.passkeys import Passkey
from privyseal.access.sealed import digest_of
from privyseal.compliance.statements import Administered
from privyseal.errors import BadInput, Conflict, NotAuthenticated, TooLarge
from privyseal.records import parties, people
from privyseal.records import sessions as sign_ins
from privyseal.records.database import Transaction
from privyseal.signing import announce
from privyseal.signing.gatehouse import Gatehouse
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Actor, Member

INVITATION_LASTS = timedelta(hours=72)
"""Over a weekend, and no longer."""
CEREMONY_LASTS = timedelta(minutes=10)
"""From the page that asks for a passkey to its answer."""
CONSOLE = "console"
"""Who invites at the machine itself, before anybody can sign in."""

LOGIN = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?\Z")
"""What a name to sign in with may be."""
SUBSCRIBER = re.compile(r"[a-z0-9-]{1,63}\Z")
"""What can name a Subscriber at all; nothing else is looked up."""
_INVITATION = re.compile(r"psi_[A-Za-z0-9_-]{43}\Z")
_LABEL = 60
_TOTP = "totp secret of "


class ApproverKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a charter says of a member's passkey, so that its assertions can be approvals."""

    member: str
    credential: bytes
    public_key: bytes
    """SubjectPublicKeyInfo, DER."""
    rp_id: str
    origins: tuple[str, ...]
    synced: bool
    label: str


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """By what a member can sign in, as its own page shows it."""

    login: str | None
    password: bool
    totp: bool
    recovery_codes: int
    passkeys: tuple[Passkey, ...]
    identities: tuple[tuple[str, str], ...]

    @property
    def usable(self) -> tuple[Passkey, ...]:
        """Return the passkeys that are not refused."""
        return tuple(each for each in self.passkeys if not each.refused)

    @property
    def second(self) -> bool:
        """Tell whether there is a second factor."""
        return self.totp or bool(self.usable)


def gatehouse(seal: PrivySeal) -> Gatehouse:
    """Return what it takes to let people in; BadInput where this service lets none in."""
    if seal.gatehouse is None:
        raise BadInput("Nobody can sign in to this service.", hint="it has no [console] in its configuration")
    return seal.gatehouse


def invite(seal: PrivySeal, actor: Actor | None, subscriber: str, member: str, login: str) -> str:
    """Invite a member: return a token for its link, shown once; the one of before is over. None acts at the machine."""
    if actor is not None:
        permissions.require(actor, "manage-members", subscriber)
        sessions.require_recent(actor, seal.clock())
    if not LOGIN.match(login):
        raise BadInput(
            f"{login[:80]!r} is no name to sign in with.", hint="lower-case letters, digits, dots, dashes; at most 64"
        )
    token = "psi_" + base64.urlsafe_b64encode(seal.draw(32)).rstrip(b"=").decode("ascii")
    now = seal.clock()
    with seal.records.writing(subscriber) as tx:
        invited = people.member(tx, member)
        parties.require_in(tx, member, now)
        if invited.workload:
            raise BadInput("This member is a machine, and machines do not sign in.", hint="give it a trust rule")
        people.add_account(tx, member, login)
        people.add_invitation(tx, member, _digest(token), now, now + INVITATION_LASTS)
        _announce(seal, tx, actor.member.id if actor else CONSOLE, "member invited", member, f"signs in as {login}")
    return token


def invited(seal: PrivySeal, token: str) -> Member:
    """Return whom an invitation is for; NotAuthenticated where it is unknown, used or too old."""
    found = None
    if _INVITATION.match(token):
        with seal.records.reading_all_subscribers() as connection:
            found = people.invited_of_all_subscribers(connection, _digest(token), seal.clock())
    if found is None:
        raise NotAuthenticated("The invitation is unknown, was used already, or is too old.", hint="ask for a new one")
    return found


def means(seal: PrivySeal, member: Member) -> Means:
    """Return by what a member can sign in."""
    with seal.records.reading(member.subscriber) as tx:
        return means_in(tx, member)


def means_in(tx: Transaction, member: Member) -> Means:
    """Return the same within a transaction."""
    account = people.account(tx, member.id)
    return Means(
        login=account.login if account else None,
        password=account is not None and account.password is not None,
        totp=account is not None and account.totp is not None,
        recovery_codes=people.recovery_codes_left(tx, member.id),
        passkeys=tuple(people.passkeys_of(tx, member.id)),
        identities=tuple(people.identities_of(tx, member.id)),
    )


def approver_keys(seal: PrivySeal, subscriber: str, member: str) -> tuple[ApproverKey, ...]:
    """Return a member's usable passkeys as a charter takes them."""
    with seal.records.reading(subscriber) as tx:
        known = people.passkeys_of(tx, people.member(tx, member).id)
    return tuple(
        ApproverKey(
            member=each.member,
            credential=each.credential,
            public_key=each.public_key,
            rp_id=each.rp_id,
            origins=(each.origin,),
            synced=each.synced,
            label=each.label,
        )
        for each in known
        if not each.refused
    )


def set_password(seal: PrivySeal, who: Actor | Member, password: str, invitation: str = "") -> None:
    """Set a member's password; with an invitation, which this uses up, or in a session."""
    passwords.require_fit(password)
    kept = passwords.digest(password, seal.draw)
    member = _member(who)
    with seal.records.writing(member.subscriber) as tx:
        _let(seal, tx, who, invitation)
        if people.account(tx, member.id) is None:
            raise Conflict("This member has no name to sign in with.", hint="ask an administrator for an invitation")
        people.change_account(tx, member.id, password=kept, failures=0, not_before=None)
        _end_others(tx, who)
        _announce(seal, tx, member.id, "password set", member.id)


def begin_passkey(seal: PrivySeal, member: Member, origin: str) -> tuple[str, str]:
    """Begin to enrol a passkey: return what the browser is asked, JSON, and the note to hand back with its answer."""
    known = means(seal, member)
    note = gatehouse(seal).sealer.note("enrol", member.id.encode(), seal.clock(), CEREMONY_LASTS)
    account = f"{known.login or member.name}@{member.subscriber}"
    return passkeys.creation(origin, member.id, account, digest_of(note), known.passkeys), note


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser hands back to enrol a passkey."""

    note: str
    answer: str
    origin: str
    label: str


def add_passkey(seal: PrivySeal, who: Actor | Member, enrolment: Enrolment, invitation: str = "") -> Passkey:
    """Enrol a passkey for a member; with an invitation, which this uses up, or in a session."""
    member, now = _member(who), seal.clock()
    owner = gatehouse(seal).sealer.read("enrol", enrolment.note, now)
    if owner != member.id.encode():
        raise NotAuthenticated("The passkey was begun by somebody else.", hint="open the page again")
    made = passkeys.created(
        enrolment.answer,
        origin=enrolment.origin,
        challenge=digest_of(enrolment.note),
        member=member.id,
        label=one_line(enrolment.label),
    )
    with seal.records.writing(member.subscriber) as tx:
        people.spend(tx, digest_of(enrolment.note), now + CEREMONY_LASTS, now)
        _let(seal, tx, who, invitation)
        if len(people.passkeys_of(tx, member.id)) >= passkeys.MOST_PASSKEYS:
            raise TooLarge(f"At most {passkeys.MOST_PASSKEYS} passkeys are kept.", hint="remove one")
        people.add_passkey(tx, made, now)
        _announce(seal, tx, member.id, "passkey enrolled", member.id, f"{made.factor}: {_print(made)}")
    return made


def remove_passkey(seal: PrivySeal, actor: Actor, credential: bytes) -> None:
    """Forget one of the Actor's own passkeys."""
    with seal.records.writing(actor.subscriber) as tx:
        _let(seal, tx, actor, "")
        people.remove_passkey(tx, actor.member.id, credential)
        print_of = hashlib.sha256(credential).hexdigest()
        _announce(seal, tx, actor.member.id, "passkey removed", actor.member.id, print_of)


def begin_totp(seal: PrivySeal, actor: Actor, service: str) -> tuple[str, str]:
    """Draw a secret for an app: return it as people type it, and as the address that apps take. Nothing counts yet."""
    secret = seal.draw(totp.SECRET_OCTETS)
    with seal.records.writing(actor.subscriber) as tx:
        _let(seal, tx, actor, "")
        account = people.account(tx, actor.member.id)
        if account is None:
            raise Conflict("This member has no name to sign in with.", hint="ask an administrator for an invitation")
        sealed = gatehouse(seal).sealer.seal(_TOTP + actor.member.id, secret)
        people.change_account(tx, actor.member.id, totp_pending=sealed)
    return totp.shown(secret), totp.uri(secret, f"Privy Seal {service}", f"{account.login}@{actor.subscriber}")


def confirm_totp(seal: PrivySeal, actor: Actor, typed: str) -> tuple[str, ...]:
    """Take an app in by its first code: return recovery codes, shown once."""
    now = seal.clock()
    with seal.records.writing(actor.subscriber) as tx:
        _let(seal, tx, actor, "")
        account = people.account(tx, actor.member.id)
        if account is None or account.totp_pending is None:
            raise Conflict("No app is being taken in.", hint="begin again")
        step = totp.matching_step(totp_secret(seal, actor.member.id, account.totp_pending), typed, now, 0)
        if step is None:
            raise NotAuthenticated("The code does not match.", hint="is the device's clock right?")
        codes = _recovery_codes(seal, tx, actor.member)
        people.change_account(tx, actor.member.id, totp=account.totp_pending, totp_pending=None, totp_step=step)
        _announce(seal, tx, actor.member.id, "totp enrolled", actor.member.id)
    return codes


def totp_secret(seal: PrivySeal, member: str, sealed: bytes) -> bytes:
    """Open an app's secret; Conflict where it was sealed under another key file."""
    try:
        return gatehouse(seal).sealer.unseal(_TOTP + member, sealed)
    except ValueError as error:
        raise Conflict(
            "The app's secret cannot be opened with this service's people.key.",
            hint="put the right key file back, or enrol the app again",
        ) from error


def new_recovery_codes(seal: PrivySeal, actor: Actor) -> tuple[str, ...]:
    """Draw new recovery codes, shown once; the old ones are over."""
    with seal.records.writing(actor.subscriber) as tx:
        _let(seal, tx, actor, "")
        codes = _recovery_codes(seal, tx, actor.member)
        _announce(seal, tx, actor.member.id, "recovery codes drawn", actor.member.id)
    return codes


def sign_out_everywhere(seal: PrivySeal, actor: Actor, subscriber: str, member: str, *, leaves: bool = False) -> int:
    """End all sessions of a member; who ``leaves`` also loses every means to sign in. Return how many ended.

    One's own sessions anybody may end; those of others need ``manage-members``.
    """
    if member != actor.member.id or leaves:
        permissions.require(actor, "manage-members", subscriber)
        sessions.require_recent(actor, seal.clock())
    with seal.records.writing(subscriber) as tx:
        people.member(tx, member)
        ended = sign_ins.end_all(tx, member)
        if leaves:
            people.forget_credentials(tx, member)
        what = "member signed out for good" if leaves else "sessions ended"
        _announce(seal, tx, actor.member.id, what, member, f"{ended} sessions")
    return ended


def end_other_sessions(seal: PrivySeal, actor: Actor) -> None:
    """End all of the Actor's sessions but the one it acts in."""
    with seal.records.writing(actor.subscriber) as tx:
        ended = sign_ins.end_all(tx, actor.member.id, actor.session)
        _announce(seal, tx, actor.member.id, "sessions ended", actor.member.id, f"{ended} sessions")


def link(seal: PrivySeal, member: Member, issuer: str, subject: str, invitation: str) -> None:
    """Link an identity at a provider to the member who was invited, which uses the invitation up."""
    with seal.records.writing(member.subscriber) as tx:
        _let(seal, tx, member, invitation)
        people.link(tx, member.id, issuer, subject, seal.clock())
        _announce(seal, tx, member.id, "identity linked", member.id, f"at {issuer}")


def _let(seal: PrivySeal, tx: Transaction, who: Actor | Member, invitation: str) -> None:
    """Use the invitation up, or require that a session has shown its second factor, if there is any."""
    if isinstance(who, Member):
        people.use_invitation(tx, _digest(invitation), seal.clock())
    elif means_in(tx, who.member).second:
        sessions.require_recent(who, seal.clock())


def _end_others(tx: Transaction, who: Actor | Member) -> None:
    sign_ins.end_all(tx, _member(who).id, who.session if isinstance(who, Actor) else "")


def _recovery_codes(seal: PrivySeal, tx: Transaction, member: Member) -> tuple[str, ...]:
    codes = totp.recovery_codes(seal.draw)
    digests = [found for each in codes if (found := totp.recovery_digest(member.id, each)) is not None]
    people.replace_recovery_codes(tx, member.id, digests)
    return codes


def _announce(seal: PrivySeal, tx: Transaction, actor: str, what: str, subject: str, detail: str = "") -> None:
    announce.administered(seal, tx, Administered(actor=actor, what=what, subject=subject, detail=detail))


def _member(who: Actor | Member) -> Member:
    return who.member if isinstance(who, Actor) else who


def one_line(text: str) -> str:
    """Return what somebody calls a passkey or a computer, as one short line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LABEL] or "unnamed"


def _print(passkey: Passkey) -> str:
    return hashlib.sha256(passkey.public_key).hexdigest()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
