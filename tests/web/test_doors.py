"""Who has left comes in by nothing: every kind of credential there is, of a member who was let in a moment ago."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update
from tests.access.clients import client_certificate, new_key
from tests.signing.test_people import ORIGIN, VISITOR, WORDS, Authenticator, with_passkey
from tests.web.house import House
from tests.web.test_exchange import GITHUB, Gate

from privyseal.access import oidc, sessions
from privyseal.access.credentials import Presented
from privyseal.access.sealed import Sealer
from privyseal.errors import NotAuthenticated, NotPermitted, PrivySealError
from privyseal.records.tables import members
from privyseal.signing import commandline, enrol, exchange, forms_of_parties, leavers, machines, people, signin
from privyseal.signing.gatehouse import Gatehouse
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Actor, Factor, Member, Role

Knock = Callable[[], object]
"""One try to come in: what it returns does not matter, and where it is refused it raises."""


def _person(house: House) -> Member:
    return enrol.member(house.seal, "demo", "Ada", (Role.APPROVER,), workload=False)


def _presents(house: House, *headers: tuple[bytes, bytes], certificate: bytes | None = None) -> Knock:
    def knock() -> object:
        (found,) = house.desk._authenticate([Presented(headers, certificate, "GET")])
        if isinstance(found, PrivySealError):
            raise found
        return found

    return knock


def _token(house: House, token: str) -> Knock:
    return _presents(house, (b"authorization", b"Bearer " + token.encode()))


def _signed_in(seal: PrivySeal, member: Member) -> tuple[str, sessions.Session]:
    return signin.begin(seal, signin.Proof(member=member, factors=(Factor.PASSKEY,), whole=True), VISITOR)


def bearer_token(house: House) -> tuple[Member, Knock]:
    member = _person(house)
    return member, _token(house, enrol.token(house.seal, member))


def certificate_of_a_client(house: House) -> tuple[Member, Knock]:
    member, certificate = _person(house), client_certificate(new_key(), ["ada"])
    enrol.client_certificate(house.seal, member, certificate)
    return member, _presents(house, certificate=certificate)


def scoped_token(house: House) -> tuple[Member, Knock]:
    machine = enrol.member(house.seal, "demo", "ci", (Role.REQUESTER,), workload=True)
    given = machines.new_static(house.seal, _administrator(house), "demo", forms_of_parties.NewToken(member="ci"))
    return machine, _token(house, given.token)


def exchanged_token(house: House) -> tuple[Member, Knock]:
    machine, gate = _trusted(house)
    return machine, _token(house, gate.given(gate.token()).access_token)


def identity_token_of_a_run(house: House) -> tuple[Member, Knock]:
    machine, gate = _trusted(house)

    def knock() -> object:
        asked = exchange.AskedToken(identity=gate.token(), subscriber="demo")
        return exchange.exchange(house.seal, asked)

    return machine, knock


def _trusted(house: House) -> tuple[Member, Gate]:
    machine, gate = enrol.member(house.seal, "demo", "release-bot", (Role.REQUESTER,), workload=True), Gate(house)
    assert gate.add(GITHUB).status_code == 201
    return machine, gate


def browser(house: House) -> tuple[Member, Knock]:
    member = _person(house)
    token, _ = signin.begin(
        house.seal,
        signin.Proof(member=member, factors=(Factor.PASSKEY,), whole=True),
        signin.Visitor(sessions.agent_of([(b"user-agent", b"Firefox")]), "Firefox"),
    )
    cookie = f"{sessions.LOOPBACK_COOKIE}={token}".encode()
    return member, _presents(house, (b"cookie", cookie), (b"user-agent", b"Firefox"))


def command_line(house: House) -> tuple[Member, Knock]:
    member = _person(house)
    device, typed = commandline.begin_device(house.seal, "laptop")
    commandline.answer_device(house.seal, _signed_in(house.seal, member)[1], typed, yes=True)
    given = commandline.poll_device(house.seal, device)
    assert given is not None
    return member, _token(house, given[0])


def device_code(house: House) -> tuple[Member, Knock]:
    member = _person(house)
    session, waiting = _signed_in(house.seal, member)[1], []
    for _ in range(2):
        device, typed = commandline.begin_device(house.seal, "laptop")
        commandline.answer_device(house.seal, session, typed, yes=True)
        waiting.append(device)
    return member, lambda: commandline.poll_device(house.seal, waiting.pop())


def invitation(house: House) -> tuple[Member, Knock]:
    member = _person(house)
    token = people.invite(house.seal, None, "demo", member.id, "ada")
    return member, lambda: people.invited(house.seal, token)


def password(house: House) -> tuple[Member, Knock]:
    member = _person(house)
    people.set_password(house.seal, member, WORDS, people.invite(house.seal, None, "demo", member.id, "ada"))
    return member, lambda: signin.begin(house.seal, signin.by_password(house.seal, "demo", "ada", WORDS), VISITOR)


def passkey(house: House) -> tuple[Member, Knock]:
    member, key = with_passkey(house.seal)

    def knock() -> object:
        asked, note = signin.begin_passkey(house.seal, ORIGIN)
        return signin.begin(house.seal, signin.by_passkey(house.seal, ORIGIN, note, _get(key, asked)), VISITOR)

    return member, knock


def _get(key: Authenticator, asked: str) -> str:
    return key.get(asked)


def identity_at_a_provider(house: House) -> tuple[Member, Knock]:
    member = _person(house)
    token = people.invite(house.seal, None, "demo", member.id, "ada")
    people.link(house.seal, member, "https://idp.example", "u-1", token)
    found = oidc.Identity(issuer="https://idp.example", subject="u-1", said="")

    def knock() -> object:
        return signin.begin(house.seal, signin.by_identity(house.seal, found, secrets.token_hex(16)), VISITOR)

    return member, knock


WAYS = (
    bearer_token,
    certificate_of_a_client,
    scoped_token,
    exchanged_token,
    identity_token_of_a_run,
    browser,
    command_line,
    device_code,
    invitation,
    password,
    passkey,
    identity_at_a_provider,
)
"""Every way in. A new kind of credential gets a line here, and its end one in ``leavers.ENDS``."""


def _administrator(house: House) -> Actor:
    member = Member(house.members["administrator"], "demo", "administrator", (Role.ADMINISTRATOR,))
    return Actor(member, (Factor.BEARER,))


def leaves(house: House, member: Member) -> None:
    leavers.leave(house.seal, _administrator(house), member.id, house.seal.clock())


def ends_with_nothing_forgotten(house: House, member: Member) -> None:
    """As where a kind of credential were missing in ``leavers.ENDS``."""
    _change(house, member, "ended")


def is_over(house: House, member: Member) -> None:
    _change(house, member, "until")


def _change(house: House, member: Member, column: str) -> None:
    with house.seal.records.writing("demo") as tx:
        at = house.seal.clock() - timedelta(seconds=1)
        tx.connection.execute(update(members).where(members.c.id == member.id).values({column: at}))


@pytest.fixture
def seal(house: House) -> PrivySeal:
    """Let people sign in to the house."""
    house.seal.gatehouse = Gatehouse(Sealer(secrets.token_bytes(32), secrets.token_bytes))
    return house.seal


@pytest.mark.parametrize("end", [leaves, ends_with_nothing_forgotten, is_over], ids=lambda each: each.__name__)
@pytest.mark.parametrize("way", WAYS, ids=lambda each: each.__name__)
def test_who_left_comes_in_by_nothing(
    way: Callable[[House], tuple[Member, Knock]], end: Callable[[House, Member], None], house: House, seal: PrivySeal
) -> None:
    """Let in, and refused at the very next try."""
    member, knock = way(house)
    knock()
    end(house, member)
    with pytest.raises((NotAuthenticated, NotPermitted)):
        knock()


@pytest.mark.parametrize("end", [leaves, is_over], ids=lambda each: each.__name__)
def test_who_left_is_given_nothing_new(end: Callable[[House, Member], None], house: House, seal: PrivySeal) -> None:
    """No invitation, and no token for a machine: one of that name is another one, taken in anew."""
    member, _ = scoped_token(house)
    person = _person(house)
    for each in (member, person):
        end(house, each)
    with pytest.raises(PrivySealError, match="no such member any more"):
        people.invite(seal, _administrator(house), "demo", person.id, "ada")
    again = machines.new_static(seal, _administrator(house), "demo", forms_of_parties.NewToken(member="ci"))
    assert again.kept.member != member.id


def test_nothing_of_who_left_is_kept_that_opens_anything(house: House, seal: PrivySeal) -> None:
    """What tells who somebody is at a provider, and every secret's digest, is gone; the account is not."""
    member, _ = identity_at_a_provider(house)
    leaves(house, member)
    assert signin.of_member(seal, member) == []
    assert people.means(seal, member) == people.Means(
        login=None, password=False, totp=False, recovery_codes=0, passkeys=(), identities=()
    )
