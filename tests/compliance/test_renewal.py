"""The plan of a renewal: the day before, the day, and how an order, a successor and a flaw change it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.pki import certs

from privyseal.compliance.clocks import dues
from privyseal.compliance.due import State
from privyseal.compliance.duty_facts import duty_facts_of
from privyseal.compliance.renewal import Held, Renewal, Stage, counted, plan
from privyseal.pki import certificates
from privyseal.terms.certificates import Certificate
from privyseal.terms.life import KeyState
from privyseal.terms.orders import Order, OrderState

SECOND = timedelta(seconds=1)


def held(*some: Certificate, **more: object) -> Held:
    spki = certificates.outline(certs.certificate()).spki
    told = {"subscriber": "demo", "key": "release", "key_id": "0" * 64, "public_key": spki, "state": KeyState.ACTIVE}
    told |= {"born": certs.BEGIN, "certificates": some}
    return Held(**(told | more))  # type: ignore[arg-type]


def read(begin: datetime = certs.BEGIN, days: int = 459) -> Certificate:
    return certificates.read(certs.certificate(begin=begin, days=days))


def one(held_: Held, at: datetime) -> Renewal:
    (found,) = plan([held_], at)
    return found


def test_the_stages_of_one_certificate() -> None:
    """90 days before its end it is time to ask, 30 days before it is late, and then it has ended."""
    only = read()
    ends = only.not_after
    for at, stage in (
        (ends - timedelta(days=90) - SECOND, Stage.EARLY),
        (ends - timedelta(days=90), Stage.DUE),
        (ends - timedelta(days=30) - SECOND, Stage.DUE),
        (ends - timedelta(days=30), Stage.LATE),
        (ends, Stage.LATE),
        (ends + SECOND, Stage.ENDED),
    ):
        found = one(held(only), at)
        assert found.stage is stage, at
        assert (found.ends, found.ask_from, found.have_by) == (
            ends,
            ends - timedelta(days=90),
            ends - timedelta(days=30),
        )
    assert "ended on 2027-09-03" in one(held(only), ends + timedelta(days=2)).text


def test_the_next_one_may_live_460_days_and_not_a_second_more() -> None:
    """Both ends count (CSBR 6.3.2)."""
    only = read()
    early = one(held(only), certs.BEGIN + SECOND)
    assert early.next_ends_on == (early.ask_from + timedelta(days=460) - SECOND).date()
    late = one(held(only), only.not_after)
    assert late.next_ends_on == (only.not_after + timedelta(days=460) - SECOND).date()


def test_two_certificates_overlap() -> None:
    """The older one is to be followed; what begins only after its end leaves a gap, and is none."""
    old, new = read(), read(certs.BEGIN + timedelta(days=400))
    at = certs.BEGIN + timedelta(days=420)
    for both in ((old, new), (new, old)):
        found = one(held(*both), at)
        assert (found.stage, found.certificate, found.successor) == (Stage.READY, old.fingerprint, new.fingerprint)
        assert found.overlap_from == new.not_before and found.ends == old.not_after
    after = one(held(old, new), old.not_after + SECOND)
    assert (after.stage, after.certificate, after.successor) == (Stage.EARLY, new.fingerprint, "")
    gap = read(certs.BEGIN + timedelta(days=460))
    assert one(held(old, gap), old.not_after).stage is Stage.LATE


def test_a_revoked_certificate_is_none() -> None:
    only = read()
    found = one(held(only, revoked=frozenset({only.fingerprint})), certs.BEGIN + SECOND)
    assert found.stage is Stage.ENDED
    assert "No certificate of this key is in force" in found.text


@pytest.mark.parametrize(
    ("state", "asked", "stage"),
    [
        (OrderState.WAITING, timedelta(days=400), Stage.ORDERED),
        (OrderState.ISSUED, timedelta(days=400), Stage.ORDERED),
        (OrderState.REFUSED, timedelta(days=400), Stage.DUE),
        (OrderState.INSTALLED, timedelta(days=400), Stage.DUE),
        (OrderState.WAITING, timedelta(days=-1), Stage.DUE),
    ],
)
def test_an_order_counts_while_something_is_to_come_of_it(state: OrderState, asked: timedelta, stage: Stage) -> None:
    order = Order(
        id="O-1",
        key="release",
        key_id="0" * 64,
        authority="ca",
        state=state,
        csr=b"",
        asked=certs.BEGIN + asked,
        by="M-1",
    )
    assert one(held(read(), orders=(order,)), certs.BEGIN + timedelta(days=410)).stage is stage


@pytest.mark.parametrize(
    ("more", "because"),
    [
        ({"believed": certs.BEGIN}, "believed to be compromised"),
        ({"until": certs.BEGIN + timedelta(days=800)}, "charter ends its use on 2028-08-09"),
        ({"born": datetime(2024, 6, 2, tzinfo=UTC)}, ""),
        ({"born": datetime(2023, 6, 2, tzinfo=UTC)}, ""),
        ({"born": datetime(2023, 6, 1, tzinfo=UTC)}, "3 years ago or more"),
        ({"public_key": b"\x30\x00"}, "public key"),
    ],
)
def test_whether_the_same_key_may_go_on(more: dict[str, object], because: str) -> None:
    at = certs.BEGIN + timedelta(days=420) if "until" in more else certs.BEGIN + timedelta(hours=1)
    found = one(held(read(), **more), at)
    assert found.same_key == (not because)
    assert because.lower() in found.same_key_because.lower()


def test_a_key_too_small_for_the_next_public_certificate() -> None:
    """RSA of 2048 bits was allowed once (CSBR 6.1.5.2)."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    numbers = rsa.RSAPublicNumbers(65537, (1 << 2047) + 1)
    spki = numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    found = one(held(read(), public_key=spki), certs.BEGIN + SECOND)
    assert not found.same_key and "CSBR 6.1.5.2" in found.same_key_because


def test_keys_without_certificate_or_use_have_no_plan_and_the_worst_comes_first() -> None:
    only = read()
    at = only.not_after
    idle = [msgspec.structs.replace(held(only), state=each) for each in (KeyState.RETIRED, KeyState.DESTROYED)]
    assert plan([held(), *idle], at) == ()
    found = plan([held(read(days=800), key="b"), held(only, key="a"), held(read(days=10), key="c")], at)
    assert [each.key for each in found] == ["c", "a", "b"]
    assert counted(found) == {"early": 1, "ready": 0, "ordered": 0, "due": 0, "late": 1, "ended": 1}


def test_the_duty_warns_for_90_days_and_lapses() -> None:
    """Its end breaks nothing by itself: nothing may be signed any more (CSBR 9.6.3)."""
    fact = {"key": "demo/release", "begins_at": certs.BEGIN, "ends_at": certs.BEGIN + timedelta(days=459)}
    facts = duty_facts_of({"renewals": [fact]})

    def state(at: timedelta) -> State:
        (due,) = [each for each in dues(facts, certs.BEGIN + at) if each.requirement == "CSBR-9.6.3-11"]
        return due.state

    assert state(timedelta(days=369) - SECOND) is State.IN_TIME
    assert state(timedelta(days=369)) is State.WARNING
    assert state(timedelta(days=459)) is State.WARNING
    assert state(timedelta(days=459) + SECOND) is State.LAPSED
    done = duty_facts_of({"renewals": [fact | {"renewed_at": certs.BEGIN + timedelta(days=400)}]})
    (due,) = [each for each in dues(done, certs.BEGIN + timedelta(days=450)) if each.whom == "demo/release"]
    assert due.state is State.DONE
