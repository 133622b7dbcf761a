"""A module that attested a key is judged by its certificate: level, versions, and what that was on the day asked."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from privyseal.compliance.modules import (
    LARGEST_REGISTER,
    AttestedModule,
    Keeper,
    Status,
    Validation,
    judge_module,
    read_register,
    served,
)
from privyseal.errors import BadInput, TooLarge

SUNSET = date(2026, 9, 22)
AT = datetime(2026, 11, 30, tzinfo=UTC)
MODULE = AttestedModule(
    maker="Yubico",
    model="YubiKey 5 FIPS",
    firmware="5.4.3",
    serial="1",
    generated_inside=True,
    never_extractable=True,
)
ACTIVE = Status(status="active", since=date(2021, 5, 5))
BY_SUNSET = Status(status="historical", since=SUNSET, because="sunset")
FOR_CAUSE = Status(status="historical", since=SUNSET, because="cause", note="CVE-2026-0001")
REVOKED = Status(status="revoked", since=SUNSET)


def validation(*history: Status, **more: Any) -> Validation:
    """Return a certificate, of level 3 where nothing else is said."""
    facts: dict[str, Any] = {
        "name": "Example Module",
        "scheme": "FIPS 140-2",
        "number": "4711",
        "level": 3,
        "maker": "yubico",
        "models": ("YubiKey 5 FIPS",),
        "firmware": ("5.4.2", "5.4.3"),
        "history": history or (ACTIVE,),
    }
    return Validation(**(facts | more))


CC = {"scheme": "Common Criteria", "level": None}
NEXT = {"scheme": "FIPS 140-3"}
SERVICE, OWN = Keeper.SIGNING_SERVICE, Keeper.SUBSCRIBER


@pytest.mark.parametrize(
    ("found", "keeper", "verdict", "says"),
    [
        (validation(), SERVICE, "met", "FIPS 140-2 certificate 4711, level 3, active since 2021-05-05"),
        (validation(level=4), SERVICE, "met", "level 4"),
        (validation(level=2), SERVICE, "not-met", "CSBR 6.2.7.3 asks for FIPS 140-2 level 3 or EAL 4+"),
        (validation(level=2), OWN, "met", "level 2"),
        (validation(level=1), OWN, "not-met", "CSBR 6.2.7.4.1 asks for FIPS 140-2 level 2 or EAL 4+"),
        (validation(eal="EAL4+", **CC), SERVICE, "met", "EAL4+"),
        (validation(eal="EAL5", **CC), SERVICE, "met", "EAL5"),
        (validation(eal="EAL4", **CC), OWN, "not-met", "EAL 4+"),
        (validation(**NEXT), SERVICE, "met", "read as meeting or exceeding FIPS 140-2"),
        (validation(level=2, **NEXT), SERVICE, "not-met", "asks for"),
        (validation(ACTIVE, BY_SUNSET), SERVICE, "met", "historical since 2026-09-22 by sunset alone"),
        (validation(ACTIVE, FOR_CAUSE), SERVICE, "judgement", "for a cause (CVE-2026-0001)"),
        (validation(ACTIVE, REVOKED), SERVICE, "not-met", "revoked since 2026-09-22"),
        (validation(REVOKED, ACTIVE), OWN, "not-met", "revoked"),
        (validation(Status(status="active", since=date(2026, 12, 1))), SERVICE, "not-evidenced", "not issued yet"),
        (validation(firmware=("5.4.2",)), SERVICE, "not-evidenced", "no certificate for Yubico YubiKey 5 FIPS, firm"),
        (validation(models=("YubiKey 5",)), SERVICE, "not-evidenced", "register of modules has no certificate"),
        (validation(maker="Thales"), SERVICE, "not-evidenced", "register of modules has no certificate"),
        (validation(models=("YubiKey 5*",), firmware=("5.4.*",)), SERVICE, "met", "active"),
    ],
)
def test_level_and_status(found: Validation, keeper: Keeper, verdict: str, says: str) -> None:
    judged = judge_module(MODULE, [found], keeper, AT)
    assert judged.outcome.verdict == verdict, judged.outcome.text
    assert says in judged.outcome.text
    assert judged.outcome.text.count("\n") == 0


def test_the_day_decides() -> None:
    """The last second of the day before, and the first of the day; where nothing is, nothing is shown."""
    revoked = validation(ACTIVE, REVOKED)
    before, after = datetime(2026, 9, 21, 23, 59, 59, tzinfo=UTC), datetime(2026, 9, 22, tzinfo=UTC)
    assert judge_module(MODULE, [revoked], SERVICE, before).outcome.verdict == "met"
    assert judge_module(MODULE, [revoked], SERVICE, after).outcome.verdict == "not-met"
    assert judge_module(MODULE, [], SERVICE, AT).outcome.verdict == "not-evidenced"


def test_of_several_certificates_the_best_counts() -> None:
    """A module that was validated again is not what became of its first certificate."""
    again = validation(number="5000", **NEXT)
    judged = judge_module(MODULE, [validation(ACTIVE, REVOKED), again, validation(level=2, number="1")], SERVICE, AT)
    assert (judged.outcome.verdict, judged.certificate) == ("met", again)


def test_readings_of_the_operator() -> None:
    """Whether FIPS 140-3 counts, and whether the table of dates does."""
    as_printed = {"CSBR-6.2.7.3-04": "as-printed"}
    assert judge_module(MODULE, [validation(**NEXT)], SERVICE, AT, as_printed).outcome.verdict == "not-met"
    assert judge_module(MODULE, [validation()], SERVICE, AT, as_printed).outcome.verdict == "met"
    table = {"CSBR-6.2.7.3-03": "table-of-dates"}
    assert judge_module(MODULE, [validation(level=2)], SERVICE, AT, table).outcome.verdict == "met"


@pytest.mark.parametrize(
    ("changes", "verdict", "says"),
    [
        ({"generated_inside": False}, "not-met", "not generated in the module"),
        ({"never_extractable": False}, "not-met", "can leave the module"),
        ({"generated_inside": None}, "not-evidenced", "does not say all of"),
        ({"never_extractable": None}, "not-evidenced", "does not say all of"),
    ],
)
def test_no_certificate_mends_what_is_said_of_the_key(changes: dict[str, Any], verdict: str, says: str) -> None:
    """A key from elsewhere, or one that can leave, in the best of modules; and what nobody says is never met."""
    judged = judge_module(msgspec.structs.replace(MODULE, **changes), [validation()], SERVICE, AT)
    assert judged.outcome.verdict == verdict
    assert says in judged.outcome.text


def test_which_method_of_the_ca_it_serves() -> None:
    first, second = served("YubiKey PIV", makers_root=True)
    assert "serves method 2 of CSBR 6.2.7.4.2" in first
    assert "asks for the maker's own" in served("YubiKey PIV", makers_root=False)[0]
    for makers in (True, False):
        assert "serves no method" in served("YubiKey PIV", makers_root=makers, shown=False)[0]
    assert "does not satisfy CSBR 6.2.7.3" in second


REGISTER = b"""
[[module]]
name = "Example Module"
scheme = "FIPS 140-2"
number = "4711"
level = 3
maker = "Example"
models = ["Model 7*"]
firmware = ["7.8.4"]
history = [
  { status = "active", since = 2021-05-05 },
  { status = "historical", since = 2026-09-22, because = "sunset", note = "CMVP" },
]

[[module]]
name = "Example Card"
scheme = "Common Criteria"
number = "BSI-DSZ-CC-0000-2020"
eal = "EAL4+"
maker = "Example"
models = ["Card"]
firmware = ["*"]
history = [{ status = "active", since = 2020-01-01 }]
"""


def test_a_register_is_read() -> None:
    first, second = read_register(REGISTER)
    assert (first.level, first.on(date(2026, 9, 21)), first.on(SUNSET)) == (3, first.history[0], first.history[1])
    assert (second.grade, second.title) == ("EAL4+", "Common Criteria certificate BSI-DSZ-CC-0000-2020")
    assert read_register(b"") == ()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"level = 3", b"level = 5", "level"),
        (b"level = 3", b'eal = "EAL4"', "needs a level for FIPS 140"),
        (b'eal = "EAL4+"', b"level = 3", "and only that"),
        (b'eal = "EAL4+"', b'eal = "EAL9"', "eal"),
        (b'because = "sunset", ', b"", 'historical "because"'),
        (b'"active", since = 2021-05-05', b'"active", because = "cause", since = 2021-05-05', "nothing else has"),
        (b"2026-09-22", b"2021-05-05", "two things on one day"),
        (b'"active"', b'"fine"', "fine"),
        (b"[[module]]", b"[[modules]]", "modules"),
        (b"number = ", b"numbers = ", "numbers"),
        (b"2021-05-05", b"yesterday", "cannot be read"),
        (b'firmware = ["7.8.4"]', b"firmware = []", "firmware"),
        (b"\n[[module]]", b"\xff[[module]]", "cannot be read"),
    ],
)
def test_a_register_that_is_none(old: bytes, new: bytes, says: str) -> None:
    """One sentence that names the fault."""
    with pytest.raises(BadInput, match=says):
        read_register(REGISTER.replace(old, new, 1))


def test_a_register_is_bounded_and_names_each_certificate_once() -> None:
    with pytest.raises(TooLarge):
        read_register(b" " * (LARGEST_REGISTER + 1))
    with pytest.raises(BadInput, match="4711 stands twice"):
        read_register(REGISTER + REGISTER)
