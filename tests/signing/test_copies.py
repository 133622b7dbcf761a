"""A copy of a key is allowed by its Subscriber and goes into a module that suffices, or it is refused."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest
from tests.signing.test_attested_keys import ACTIVE, ADMINISTRATOR, VALIDATION, declare
from tests.world import SUBSCRIBER, World

from privyseal.compliance.modules import Status
from privyseal.compliance.statements_of_backups import BackupAllowed, KeyCopied
from privyseal.errors import BadInput, NotCompliant, NotFound, NotPermitted
from privyseal.signing import backups, enrol, paper
from privyseal.terms.parties import Actor, Factor, Member, Role

REVOKED = Status(status="revoked", since=date(2026, 1, 1))


def allow(world: World, allowed: bool = True, **changes: str) -> None:
    """Have the Subscriber say whether its key may be copied."""
    pair, _ = world.pair()
    matter = BackupAllowed(key=pair.name, key_id=pair.key_id, allowed=allowed, note="C. Lark")
    paper.state(world.seal, ADMINISTRATOR, SUBSCRIBER, msgspec.structs.replace(matter, **changes))


def copy(world: World, **changes: str) -> int:
    """State a copy into the module of the register, and return where that stands in the log."""
    matter = KeyCopied(
        key_id=world.pair()[0].key_id,
        maker="Yubico",
        model="YubiKey 5 FIPS",
        firmware="5.7.4",
        serial="1",
        note="domain 3",
    )
    stated, _ = paper.state(world.seal, ADMINISTRATOR, SUBSCRIBER, msgspec.structs.replace(matter, **changes))
    return stated.entry


def test_a_copy_is_stated_where_everything_allows_it(world: World) -> None:
    """It stands in the log before anything is cloned."""
    declare(world, ACTIVE)
    allow(world)
    assert copy(world) == len(world.entries()) - 1


def test_nothing_said_is_no_and_no_is_no(world: World) -> None:
    """Consent that was taken back counts no more, for copies and for backups."""
    declare(world, ACTIVE)
    key_id = world.pair()[0].key_id
    with pytest.raises(NotCompliant, match="did not allow a copy"):
        copy(world)
    assert backups.consent(world.seal.records, SUBSCRIBER, key_id) is None
    allow(world)
    assert "log entry" in str(backups.consent(world.seal.records, SUBSCRIBER, key_id))
    allow(world, allowed=False)
    with pytest.raises(NotCompliant, match="did not allow a copy"):
        copy(world)
    assert backups.consent(world.seal.records, SUBSCRIBER, key_id) is None


@pytest.mark.parametrize(
    ("level", "history", "changes"),
    [
        (2, (ACTIVE,), {}),
        (3, (ACTIVE, REVOKED), {}),
        (3, (ACTIVE,), {"firmware": "5.0"}),
        (3, (ACTIVE,), {"maker": "X"}),
    ],
    ids=["level 2", "revoked", "other firmware", "other maker"],
)
def test_a_module_that_does_not_suffice_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, level: int, history: tuple[Status, ...], changes: dict[str, str]
) -> None:
    """By the register, on this day; an unknown module is not evidenced, and that is not enough."""
    lower = msgspec.structs.replace(VALIDATION, level=level)
    monkeypatch.setattr("tests.signing.test_attested_keys.VALIDATION", lower)
    declare(world, *history)
    allow(world)
    with pytest.raises(NotCompliant, match="may not be copied there"):
        copy(world, **changes)


def test_a_subscriber_speaks_for_its_own_keys_only(world: World) -> None:
    """Neither for a key that it does not have nor under another one's id, and its word is enough for its own."""
    with pytest.raises(NotFound):
        allow(world, key="nobody")
    with pytest.raises(BadInput, match="another key id"):
        allow(world, key_id="00" * 32)
    enrol.subscriber(world.seal, "acme", "Acme")
    other = Actor(Member("M-other", "acme", "other", (Role.ADMINISTRATOR,)), (Factor.BEARER,))
    pair, _ = world.pair()
    matter = BackupAllowed(key=pair.name, key_id=pair.key_id, allowed=True, note="mine")
    for owner in ("acme", SUBSCRIBER):  # it is not theirs, and what is not theirs is not there
        with pytest.raises(NotFound):
            paper.state(world.seal, other, owner, matter)
    copied = KeyCopied(key_id=pair.key_id, maker="Yubico", model="x", firmware="x", serial="x", note="x")
    with pytest.raises(NotPermitted, match="do not speak for the Signing Service"):
        paper.state(world.seal, other, "acme", copied)
