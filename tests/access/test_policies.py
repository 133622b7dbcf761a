"""Rules as people write them: what is refused with its place, what holds when, what is found without a request."""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.access import deciding, policies, reach
from privyseal.access.deciding import Allowed, Asked, Refused, decide
from privyseal.access.policies import PolicySet, When, fits, read_file, read_set, unite
from privyseal.access.reach import Party, overlap
from privyseal.errors import BadInput, PrivySealError, TooLarge
from privyseal.terms.parties import Role

MONDAY = datetime(2026, 11, 30, 10, tzinfo=UTC)
RELEASE = """
[release-from-ci]
keys = ["release"]
formats = ["pe"]
who = { workload = { provider = "github", repository_id = "1296269", ref = "refs/tags/v*" } }
publisher = ["Acme *"]
when = { days = ["mon", "tue"], hours = "08:00-18:00", zone = "Europe/Berlin" }
at-most = { per-hour = 2 }
"""


def policy(text: str) -> PolicySet:
    return unite({"rules.toml": read_file("rules.toml", text.encode())})


def asked(**changes: Any) -> Asked:
    plain = {
        "member": "M-1", "name": "ci", "roles": (Role.REQUESTER,), "key": "release", "formats": ("pe",),
        "mode": "local", "at": MONDAY, "publisher": "Acme Updater",
        "claims": {"provider": "github", "repository_id": "1296269", "ref": "refs/tags/v1.2"},
    }  # fmt: skip
    return Asked(**{**plain, **changes})


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[a]\nkeys = ["k"]\nkees = 1', "rules.toml: rule 'a': Object contains unknown field `kees`"),
        ('[a]\nkeys = ["k"]\nwho = { rolls = ["requester"] }', "rule 'a', who: Object contains unknown field `rolls`"),
        ('[a]\nkeys = ["k"]\nwho = { roles = ["king"] }', "rule 'a', who.roles[0]: Invalid enum value 'king'"),
        ('[a]\nkeys = ["k"]\nwho = { workload = { repozitory = "x" } }', "no identity token has 'repozitory'"),
        ('[a]\nkeys = ["k"]\nwhen = { zone = "Mars/Olympus" }', "no time zone is named 'Mars/Olympus'"),
        ('[a]\nkeys = ["k"]\nwhen = { hours = "08:00-08:00" }', "nobody can satisfy it"),
        ('[a]\nkeys = ["k"]\nwhen = { hours = "8-18" }', "rule 'a', when.hours: Expected `str` matching"),
        ('[a]\nkeys = ["k"]\nwhen = { since = 2026-12-02T00:00:00Z, until = 2026-12-01T00:00:00Z }', "it ends before"),
        ('[a]\nkeys = ["k"]\nwhen = { since = 2026-12-02T00:00:00 }', "when.since: Expected `datetime` with a"),
        ('[a]\nkeys = ["k"]\nat-most = { per-hour = 0 }', "at-most.per-hour: Expected `int` >= 1"),
        ('[a]\nkeys = []', "rule 'a', keys: Expected `array` of length >= 1"),
        ('[a]\nformats = ["pe"]', "rule 'a': Object missing required field `keys`"),
        ('[a]\nkeys = ["k"]\neffect = "refuse"\nat-most = { per-day = 1 }', "are for rules that allow"),
        ('[a]\nkeys = ["k"]\nmodes = ["local"]\nattestations = [{ keys = ["AA=="] }]', "nobody can satisfy it"),
        ('[a]\nkeys = ["k"]\nattestations = [{ keys = ["AA=="] }]', "attestations.keys: 'AA=='... is no public"),
        ('["A b"]\nkeys = ["k"]', "rule 'A b': this cannot name a rule"),
        ("a = 1", "rule 'a': Expected `object`, got `int`"),
        ("[a", "rules.toml is no TOML"),
        ("\x00", "rules.toml is no TOML"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_its_place(text: str, place: str) -> None:
    """One sentence that names the file, the rule and the key."""
    with pytest.raises(BadInput) as refused:
        policy(text)
    assert place in refused.value.detail


def test_too_much_is_refused() -> None:
    """Octets of a file, rules of a set, and one name twice."""
    with pytest.raises(TooLarge):
        read_file("a.toml", b"#" * (policies.LARGEST_FILE + 1))
    with pytest.raises(TooLarge):
        policy("\n".join(f'[r{n}]\nkeys=["k"]' for n in range(policies.MOST_RULES + 1)))
    one = read_file("a.toml", b'[a]\nkeys = ["k"]')
    with pytest.raises(BadInput, match="another file has a rule named 'a'"):
        unite({"a.toml": one, "b.toml": one})


def test_files_comments_and_order_do_not_change_the_digest() -> None:
    """A set is its rules; and what was written is read back as it was."""
    a, b = '[a]\nkeys = ["k"]\n', '[b]\nkeys = ["k"]\n'
    whole = policy(a + b)
    parted = unite(
        {"2.toml": read_file("2.toml", f"# a comment\n{a}".encode()), "1.toml": read_file("1.toml", b.encode())}
    )
    assert whole.digest == parted.digest == read_set(whole.octets).digest
    assert policy(a).digest != whole.digest


@given(st.binary(max_size=400))
def test_octets_from_outside_never_break_the_reader(octets: bytes) -> None:
    """Whatever comes is rules, or refused."""
    try:
        read_file("x.toml", octets)
    except PrivySealError as error:
        assert error.detail.startswith("x.toml")


def test_a_thousand_mutations_of_a_file_are_rules_or_refused() -> None:
    """Seeded: bits turned, pieces left out and doubled."""
    chance, plain = random.Random(41), RELEASE.encode()
    for _ in range(1000):
        octets = bytearray(plain)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(octets))
            match chance.randrange(3):
                case 0:
                    octets[at] ^= 1 << chance.randrange(8)
                case 1:
                    del octets[at : at + chance.randrange(9)]
                case _:
                    octets[at:at] = octets[at : at + chance.randrange(9)]
        with contextlib.suppress(BadInput):
            read_set(unite({"m.toml": read_file("m.toml", bytes(octets))}).octets)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"key": "other"}, "No rule of the policy in force speaks of this key."),
        ({"formats": ("pe", "msi")}, "format 'msi' is none of pe"),
        ({"publisher": "Evil"}, "publisher name 'Evil' is none of Acme *"),
        ({"publisher": None}, "publisher name None is none of"),
        ({"claims": {}}, "provider 'github' of a run is wanted"),
        ({"at": MONDAY + timedelta(days=2)}, "must be mon, tue 08:00-18:00 Europe/Berlin"),
        ({"at": MONDAY.replace(hour=17)}, "the time is 2026-11-30 17:00 UTC"),
        (
            {"claims": {"provider": "github", "repository_id": "1296269", "ref": "refs/heads/main"}},
            "ref is 'refs/heads/main' and must be 'refs/tags/v*'",
        ),
    ],
)
def test_a_refusal_says_which_rule_is_nearest_and_what_differs(changes: dict[str, Any], why: str) -> None:
    """Everything that differs is said, and one thing alone is said alone."""
    whole = policy(RELEASE)
    assert decide(whole, asked()) == Allowed(("release-from-ci",))
    refused = decide(whole, asked(**changes))
    assert isinstance(refused, Refused)
    assert why in refused.sentence
    if len(changes) == 1 and "claims" not in changes and refused.rule:
        assert len(refused.differs) == 1


def test_a_rule_that_refuses_wins() -> None:
    """A freeze window stops what others allow, only while it lasts, and says why."""
    whole = policy(
        '[all]\nkeys = ["*"]\n[holidays]\neffect = "refuse"\nbecause = "Nobody is here."\nkeys = ["release"]\n'
        "when = { since = 2026-12-24T00:00:00Z, until = 2027-01-02T00:00:00Z }\n"
    )
    during = decide(whole, asked(at=datetime(2026, 12, 25, tzinfo=UTC)))
    assert isinstance(during, Refused)
    assert during.sentence == "Rule 'holidays' refuses it: Nobody is here."
    assert decide(whole, asked(at=datetime(2027, 1, 2, tzinfo=UTC))) == Allowed(("all",))
    assert decide(whole, asked(key="nightly", at=datetime(2026, 12, 25, tzinfo=UTC))) == Allowed(("all",))


def test_hours_are_those_of_the_zone_also_over_midnight_and_when_clocks_change() -> None:
    """22:00 to 06:00 in Berlin, in winter and in summer."""
    night = When(hours="22:00-06:00", zone="Europe/Berlin")
    assert night.holds(datetime(2026, 1, 10, 21, 0, tzinfo=UTC))
    assert not night.holds(datetime(2026, 1, 10, 20, 59, tzinfo=UTC))
    assert night.holds(datetime(2026, 7, 10, 20, 0, tzinfo=UTC))
    assert not night.holds(datetime(2026, 7, 10, 4, 0, tzinfo=UTC))


_WORDS = ("a", "ab", "b", "*", "a*", "*b", "a*b")


@given(st.data())
def test_the_index_finds_what_looking_at_every_rule_finds(data: st.DataObject) -> None:
    """Deciding by the index says what deciding rule by rule says, for sets and requests of all kinds."""
    word, value = st.sampled_from(_WORDS), st.sampled_from(("a", "ab", "b", "aab", ""))
    rules = {}
    for n in range(data.draw(st.integers(1, 8))):
        table: dict[str, Any] = {"keys": [data.draw(word)]}
        for name in ("formats", "publisher", "organisation"):
            if data.draw(st.booleans()):
                table[name] = [data.draw(word)]
        who: dict[str, Any] = {}
        if data.draw(st.booleans()):
            who["members"] = [data.draw(word)]
        if data.draw(st.booleans()):
            who["roles"] = [data.draw(st.sampled_from(("requester", "approver")))]
        if data.draw(st.booleans()):
            who["workload"] = {data.draw(st.sampled_from(("ref", "repository"))): data.draw(word)}
        rules[f"r{n}"] = policies._rule("x", f"r{n}", table | ({"who": who} if who else {}))
    whole = unite({"x": rules})
    one = asked(
        member=data.draw(value),
        key=data.draw(value),
        formats=(data.draw(value),),
        publisher=data.draw(st.none() | value),
        organisation=data.draw(st.none() | value),
        claims={"ref": data.draw(value)} if data.draw(st.booleans()) else {},
    )
    slowly = tuple(sorted(name for name, rule in rules.items() if not list(deciding._differs(rule, one))))
    outcome = decide(whole, one)
    assert (outcome.rules if isinstance(outcome, Allowed) else ()) == slowly


@pytest.mark.parametrize("kind", ["of one repository each", "of one publisher each", "all texts with stars"])
def test_a_thousand_rules_decide_in_under_200_microseconds(kind: str) -> None:
    """Also where all are about one key and one role; the best of five, in processor time."""
    one = {
        "of one repository each": '[r{n}]\nkeys=["release"]\nwho={{workload={{repository_id="{n}",ref="refs/*"}}}}',
        "of one publisher each": '[r{n}]\nkeys=["release"]\npublisher=["P{n}"]\nwho={{roles=["requester"]}}',
        "all texts with stars": '[r{n}]\nkeys=["*"]\npublisher=["P{n}*"]\nwho={{workload={{repository="acme/{n}*"}}}}',
    }[kind]
    whole = policy("\n".join(one.format(n=n) for n in range(1000)))
    claims = {"repository_id": "500", "ref": "refs/tags/v1", "repository": "acme/500"}
    this = asked(publisher="P500", claims=claims)
    assert isinstance(decide(whole, this), Allowed)
    best = min(_seconds(whole, this) for _ in range(5))
    assert best < 200e-6, f"{best * 1e6:.0f} us"


def _seconds(whole: PolicySet, this: Asked, times: int = 100) -> float:
    begun = time.thread_time()
    for _ in range(times):
        decide(whole, this)
    return (time.thread_time() - begun) / times


def test_texts_with_stars_overlap_where_some_text_fits_both() -> None:
    """Held against all short texts of two letters."""
    texts = ["".join(each) for size in range(5) for each in itertools.product("ab", repeat=size)]
    for one, other in itertools.product((*_WORDS, "**", "*a*", ""), repeat=2):
        both = any(fits(each, (one,)) and fits(each, (other,)) for each in texts)
        assert overlap(one, other) == both, (one, other)


def test_a_value_full_of_stars_is_compared_as_fast_as_any() -> None:
    """A Subscriber writes its own rules, and one service serves many: five stars took nine seconds of everybody's."""
    begun = time.thread_time()
    assert not fits("a" * 250, ("a*" * 40 + "b",))
    assert fits("a" * 250 + "b", ("a*" * 40 + "b",))
    assert time.thread_time() - begun < 1


@given(st.text("ab", max_size=7), st.text("ab*", max_size=7))
def test_a_star_is_any_characters(value: str, wanted: str) -> None:
    """Held against :mod:`fnmatch`, whose other signs do not occur."""
    assert fits(value, (wanted,)) == fnmatch.fnmatchcase(value, wanted)


ADA = Party(id="M-1", name="Ada", roles=(Role.REQUESTER,))
BOB = Party(id="M-2", name="Bob", roles=(Role.APPROVER,))
RUN = Party(id="T-1", name="ci", roles=(Role.REQUESTER,), claims={"provider": "github", "repository_id": "7"})
GROUND = ([ADA, BOB, RUN], ["release", "nightly"], ["pe"])


def test_reach_is_who_could_ever_have_what_signed() -> None:
    """Roles alone, then rules; who may not ask has nothing, and a run is told by what its trust rule says."""
    assert {(each.party, each.key) for each in reach.reach(None, GROUND)} == {
        (party.shown, key) for party in (ADA, RUN) for key in GROUND[1]
    }
    whole = policy(
        '[people]\nkeys = ["nightly"]\nwho = { members = ["Ada", "Bob"] }\n[ci]\nkeys = ["release"]\n'
        'who = { workload = { repository_id = "7", ref = "refs/tags/*" } }\n'
    )
    found = {(each.party, each.key): rules for each, rules in reach.reach(whole, GROUND).items()}
    assert found == {(ADA.shown, "nightly"): ("people",), (RUN.shown, "release"): ("ci",)}


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ('keys = ["gone"]', "there is no key 'gone'"),
        ('keys = ["*"]\nformats = ["apk"]', "there is no format 'apk'"),
        ('keys = ["*"]\nwho = { members = ["Bob"] }', "nobody who may ask"),
        ('keys = ["*"]\nwho = { members = ["Eve"] }', "nobody who may ask"),
        ('keys = ["*"]\nwho = { workload = { repository_id = "8" } }', "nobody who may ask"),
        ('keys = ["*"]\nwhen = { until = 2026-11-30T10:00:00Z }', "its time was over"),
    ],
)
def test_a_rule_that_nobody_can_satisfy_is_found(rule: str, why: str) -> None:
    """By looking at members, keys and formats that there are."""
    (found,) = reach.idle(policy(f"[a]\n{rule}"), GROUND, MONDAY, runs_known=True)
    assert why in found
    assert not reach.idle(policy('[a]\nkeys = ["*"]'), GROUND, MONDAY, runs_known=True)
