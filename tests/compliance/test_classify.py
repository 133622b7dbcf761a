"""The classifier: the scenarios of the minutes of 2023-10-19, both exclusions, the corners, and what is unknown."""

from datetime import date, timedelta
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.classify import SERVICES, Classification, ServiceRole, classify
from privyseal.compliance.facts import Facts, ForWhom, Hand, WithCA, facts_of
from privyseal.compliance.requirement import Nature, Party
from privyseal.errors import BadInput

TODAY = date(2026, 11, 25)
LAST_OF_THE_OLD, FIRST_OF_THE_NEW = date(2024, 2, 27), date(2024, 2, 28)

SERVICE = {"for_whom": "others", "generates": "organisation", "holds": "organisation", "signs": True}
"""Generates, guards and signs for others: a Signing Service by either definition."""

A, B, C = SERVICE | {"ca": "itself"}, SERVICE | {"ca": "partner"}, SERVICE | {"ca": "none"}
"""The three scenarios of the minutes: the CA's own service, its partner's, and one that no CA need know of."""

D = {"for_whom": "itself", "generates": "organisation", "holds": "organisation", "signs": True, "ca": "none"}
"""The first exclusion: a Subscriber that runs a service for itself."""

E = D | {"ca": "itself"}
"""The second: a CA that is its own Subscriber."""

BOUND = {
    "A": "6.2.7.3-* 6.7-01 8.4.1-01 8.4.2-* 8.6-05 9.6.1-02 5.4.*",
    "B": "2.2-03 6.2.7.3-* 6.7-01 8-01 8.4.2-* 9.6.5-01 9.6.5-02 9.6.5-04 9.6.5-05 9.6.5-06 6.1.2-04 6.2.6-02",
    "C": "1.6.1-01 6.2.7.3-* 6.2.7.4.1-09 6.2.7.4.2-08 8-01 8.4.2-* 9.6.5-04 9.6.5-05 9.6.5-06",
    "D": "6.2.7.4.1-07 6.2.7.4.1-08 6.2.7.4.2-0[1-7] 9.6.3-*",
    "E": "9.6.3-01 6.2.7.4.1-0[1-8] 6.2.7.4.2-0[1-7]",
}
"""What binds in each scenario today, by the patterns of a person's reading."""

UNBOUND = {
    "A": "",
    "B": "8.4.1-* 9.6.3-* 9.6.5-03",
    "C": "2.2-03 8.4.1-* 9.6.3-* 9.6.5-01 9.6.5-02 9.6.5-03",
    "D": "6.2.7.3-* 6.7-01 8-01 8.1-* 8.4.* 9.6.5-* 6.2.7.4.1-09 6.2.7.4.2-08",
    "E": "6.2.7.3-* 8.4.2-* 9.6.5-* 6.2.7.4.1-09 6.2.7.4.2-08",
}

PARTIES = {
    "A": {Party.CA, Party.SIGNING_SERVICE},
    "B": {Party.SIGNING_SERVICE},
    "C": {Party.SIGNING_SERVICE},
    "D": {Party.SUBSCRIBER},
    "E": {Party.CA, Party.SUBSCRIBER},
}


def _of(day: date = TODAY, **facts: object) -> Classification:
    return classify(facts_of(facts), day)


def _in_catalogue(patterns: str) -> set[str]:
    wanted = [f"CSBR-{each}" for each in patterns.split()]
    return {name for name in BY_ID if any(fnmatchcase(name, each) for each in wanted)}


@pytest.mark.parametrize(
    ("facts", "role", "sentence"),
    [
        (A, ServiceRole.OPERATED_BY_CA, "generates the Key Pair and guards the Private Key for another party"),
        (B, ServiceRole.PARTNER_OF_CA, "generates the Key Pair and guards the Private Key for another party"),
        (C, ServiceRole.UNAFFILIATED, "generates the Key Pair and guards the Private Key for another party"),
        (D, ServiceRole.SUBSCRIBER_MANAGED, "acts for no other party"),
        (E, ServiceRole.CA_AS_SUBSCRIBER, "Terms of Use"),
    ],
)
def test_the_scenarios_of_the_minutes(facts: dict[str, object], role: ServiceRole, sentence: str) -> None:
    for day in (LAST_OF_THE_OLD, FIRST_OF_THE_NEW, TODAY):
        found = _of(day, **facts)
        assert (found.role, found.candidates, found.undecided) == (role, (role,), ())
        assert found.definition == ("CSBR-1.6.1-90" if day == LAST_OF_THE_OLD else "CSBR-1.6.1-01")
    assert sentence in found.sentence
    assert "CSBR 1.6.1" in found.sentence


@pytest.mark.parametrize(("scenario", "facts"), [("A", A), ("B", B), ("C", C), ("D", D), ("E", E)])
def test_what_binds_in_each_scenario(scenario: str, facts: dict[str, object]) -> None:
    clauses = set(_of(**facts).clauses)
    due = {
        name
        for name in _in_catalogue(BOUND[scenario])
        if BY_ID[name].in_force.on(TODAY) and PARTIES[scenario].intersection(BY_ID[name].binds)
    }
    assert due
    assert due <= clauses
    assert not clauses & _in_catalogue(UNBOUND[scenario])


@pytest.mark.parametrize(
    ("facts", "before", "since"),
    [
        # signs in the Subscriber's house, with the Subscriber's token
        (
            {"generates": "subscriber", "holds": "subscriber", "signs": True, "ca": "none"},
            ServiceRole.UNAFFILIATED,
            ServiceRole.NOT_A_SIGNING_SERVICE,
        ),
        # guards the key, and the Subscriber signs from afar
        (
            {"generates": "organisation", "holds": "organisation", "signs": False, "ca": "partner"},
            ServiceRole.NOT_A_SIGNING_SERVICE,
            ServiceRole.PARTNER_OF_CA,
        ),
        # a key that is brought to it
        (
            {"generates": "subscriber", "holds": "organisation", "signs": True, "ca": "itself"},
            ServiceRole.OPERATED_BY_CA,
            ServiceRole.NOT_A_SIGNING_SERVICE,
        ),
    ],
)
def test_until_csc_21_the_act_of_signing_decided(
    facts: dict[str, object], before: ServiceRole, since: ServiceRole
) -> None:
    assert _of(LAST_OF_THE_OLD, for_whom="others", **facts).role is before
    assert _of(FIRST_OF_THE_NEW, for_whom="others", **facts).role is since


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"for_whom": "others", "ships_tokens": True, "generates": "organisation"}, "in a token"),
        ({"for_whom": "others", "generates": "subscriber", "holds": "organisation"}, "does not generate the Key Pair"),
        ({"for_whom": "others", "generates": "organisation", "holds": "subscriber"}, "does not guard the Private Key"),
        (
            {"for_whom": "others", "hosts_keys": True, "generates": "subscriber", "holds": "subscriber"},
            "the Subscriber guards the keys in them",
        ),
        ({"for_whom": "itself", "holds": "other", "ca": "none"}, "Somebody else guards its key"),
    ],
)
def test_what_is_no_signing_service(facts: dict[str, object], sentence: str) -> None:
    found = _of(**({"sells_only": False} | facts))
    assert found.role is ServiceRole.NOT_A_SIGNING_SERVICE
    assert sentence in found.sentence
    assert found.audit is None


def test_a_subscriber_whose_key_a_service_guards_makes_the_commitments() -> None:
    found = _of(for_whom="itself", holds="other", generates="other", ca="none", sells_only=False)
    assert {"CSBR-9.6.5-04", "CSBR-9.6.5-05", "CSBR-9.6.5-06"} <= set(found.clauses)


def test_selling_is_in_no_clause() -> None:
    found = _of(sells_only=True)
    assert found.role is ServiceRole.RESELLER_ONLY
    assert found.clauses == ()
    assert "no clause speaks of resellers" in found.sentence


def test_a_reseller_with_a_module_for_its_customers_is_a_signing_service() -> None:
    """The minutes of 2023-11-02 say so."""
    found = _of(**C, hosts_keys=True, module="organisation")
    assert found.role is ServiceRole.UNAFFILIATED
    assert "CSBR-8.4.2-01" in found.clauses


@pytest.mark.parametrize("module", ["organisation", "subscriber", "other", "unknown"])
def test_whose_module_it_is_never_decides(module: str) -> None:
    assert _of(**B, module=module).role is ServiceRole.PARTNER_OF_CA
    assert _of(**D, module=module).role is ServiceRole.SUBSCRIBER_MANAGED


def test_a_key_that_leaves_is_a_breach_and_no_way_out() -> None:
    found = _of(**B, key_leaves=True)
    assert found.role is ServiceRole.PARTNER_OF_CA
    assert any("6.1.2" in note for note in found.notes)
    assert not any("6.1.2" in note for note in _of(**B, key_leaves=False).notes)


def test_an_affiliate_is_another_party_until_the_operator_reads_it_otherwise() -> None:
    facts = SERVICE | {"for_whom": "affiliate", "ca": "none"}
    found = _of(**facts)
    assert (found.role, found.nature) == (ServiceRole.UNAFFILIATED, Nature.INTERPRETATION)
    assert _of(**facts, choices={"CSBR-1.6.1-01": "same"}).role is ServiceRole.SUBSCRIBER_MANAGED
    of_ca = facts | {"ca": "itself"}
    assert _of(**of_ca).role is ServiceRole.OPERATED_BY_CA
    assert _of(**of_ca, choices={"CSBR-1.6.1-01": "same"}).role is ServiceRole.CA_AS_SUBSCRIBER
    assert _of(**B).nature is Nature.TEXT


@pytest.mark.parametrize(
    ("facts", "undecided", "candidates"),
    [
        (SERVICE, ("ca",), SERVICES),
        (
            {"for_whom": "others", "generates": "organisation", "ca": "partner"},
            ("holds",),
            {ServiceRole.PARTNER_OF_CA, ServiceRole.NOT_A_SIGNING_SERVICE},
        ),
        (
            {"for_whom": "others", "hosts_keys": True, "ca": "none"},
            ("generates", "holds"),
            {ServiceRole.UNAFFILIATED, ServiceRole.NOT_A_SIGNING_SERVICE},
        ),
        (
            {"generates": "organisation", "holds": "organisation", "ca": "itself"},
            ("for_whom",),
            {ServiceRole.OPERATED_BY_CA, ServiceRole.CA_AS_SUBSCRIBER},
        ),
        (
            {"for_whom": "others", "generates": "subscriber", "holds": "subscriber"},
            ("sells_only",),
            {ServiceRole.RESELLER_ONLY, ServiceRole.NOT_A_SIGNING_SERVICE},
        ),
    ],
)
def test_where_the_facts_do_not_decide_the_fact_that_would_is_named(
    facts: dict[str, object], undecided: tuple[str, ...], candidates: set[ServiceRole]
) -> None:
    found = _of(**facts)
    assert found.role is ServiceRole.UNDETERMINED
    assert found.undecided == undecided
    assert set(found.candidates) == candidates
    assert undecided[0] in found.sentence


@pytest.mark.parametrize(
    ("facts", "undecided"),
    [
        # knowing ca leaves two roles at most, knowing holds three
        ({"for_whom": "others", "generates": "organisation"}, ("ca", "holds")),
        # each leaves two: then the order is that in which one would ask
        ({"for_whom": "others", "ca": "none"}, ("sells_only", "generates", "holds")),
    ],
)
def test_in_front_stands_the_fact_that_leaves_the_fewest_roles(
    facts: dict[str, object], undecided: tuple[str, ...]
) -> None:
    assert _of(**facts).undecided == undecided


def test_before_csc_21_the_fact_to_find_out_is_another() -> None:
    facts = {"for_whom": "others", "generates": "organisation", "holds": "organisation", "ca": "none"}
    assert _of(LAST_OF_THE_OLD, **facts).undecided == ("signs",)
    assert _of(FIRST_OF_THE_NEW, **facts).undecided == ()


def test_where_nothing_is_known_nothing_is_decided() -> None:
    found = _of()
    assert set(found.candidates) == set(ServiceRole) - {ServiceRole.UNDETERMINED}
    assert found.clauses == ()
    assert found.audit is None


def test_what_binds_in_every_case_is_told_although_the_kind_is_unknown() -> None:
    found = _of(**SERVICE)
    assert {"CSBR-8-01", "CSBR-8.4.2-01", "CSBR-6.7-01"} <= set(found.clauses)
    assert "CSBR-9.6.5-01" not in found.clauses
    assert found.audit is not None
    assert found.sentence.startswith("It is a Signing Service")


@pytest.mark.parametrize(
    ("starts", "day", "clauses", "first"),
    [
        (None, date(2023, 10, 19), ("CSBR-8.1-90",), None),
        (None, LAST_OF_THE_OLD, ("CSBR-8.1-90",), None),
        (None, FIRST_OF_THE_NEW, ("CSBR-8.1-04",), None),
        (None, date(2024, 6, 30), ("CSBR-8.1-04",), None),
        (None, date(2024, 7, 1), ("CSBR-8.1-04", "CSBR-8.4.2-01", "CSBR-8.4.2-02", "CSBR-8.4.2-03"), None),
        (date(2024, 1, 1), date(2024, 3, 15), ("CSBR-8.1-90",), date(2025, 1, 1)),
        (date(2024, 4, 1), date(2025, 3, 31), ("CSBR-8.1-04",), date(2025, 4, 1)),
        (
            date(2024, 4, 1),
            date(2025, 4, 1),
            ("CSBR-8.1-04", "CSBR-8.4.2-01", "CSBR-8.4.2-02", "CSBR-8.4.2-03"),
            date(2025, 4, 1),
        ),
        (date(2024, 6, 30), date(2025, 6, 29), ("CSBR-8.1-04",), date(2025, 6, 30)),
        (
            date(2022, 7, 1),
            date(2024, 7, 1),
            ("CSBR-8.1-04", "CSBR-8.4.2-01", "CSBR-8.4.2-02", "CSBR-8.4.2-03"),
            date(2024, 7, 1),
        ),
        (date(2024, 2, 29), date(2025, 2, 28), ("CSBR-8.1-04",), date(2025, 3, 1)),
    ],
)
def test_by_which_clause_and_from_which_period_on_it_is_audited(
    starts: date | None, day: date, clauses: tuple[str, ...], first: date | None
) -> None:
    audit = _of(day, **B, **({} if starts is None else {"audit_period_starts": starts})).audit
    assert audit is not None
    assert audit.clauses == clauses
    assert (audit.first_day, audit.first_period) == (date(2024, 7, 1), first)
    own = "CSBR-8.4.2-01" in clauses
    assert any("EN 319 411-1" in each for each in audit.schemes) == own
    assert not any("WebTrust for CAs" in each for each in audit.schemes)


def test_the_operators_reading_of_the_first_day_holds_for_all_of_8_4_2() -> None:
    facts = C | {"audit_period_starts": date(2024, 6, 20), "choices": {"CSBR-8.4.2-01": "table"}}
    audit = _of(date(2024, 6, 20), **facts).audit
    assert audit is not None
    assert audit.clauses == ("CSBR-8.1-04", "CSBR-8.4.2-01", "CSBR-8.4.2-02", "CSBR-8.4.2-03")
    assert (audit.first_day, audit.first_period) == (date(2024, 6, 15), date(2024, 6, 20))


@given(
    day=st.dates(date(2019, 8, 13), date(2027, 1, 1)),
    starts=st.none() | st.dates(date(2015, 1, 1), date(2030, 1, 1)),
)
def test_there_is_no_day_on_which_no_clause_has_a_service_audited(day: date, starts: date | None) -> None:
    audit = classify(
        Facts(
            for_whom=ForWhom.OTHERS,
            generates=Hand.ORGANISATION,
            holds=Hand.ORGANISATION,
            signs=True,
            ca=WithCA.PARTNER,
            audit_period_starts=starts,
        ),
        day,
    ).audit
    assert audit is not None
    assert audit.clauses


_KNOWN = {
    "for_whom": st.sampled_from(ForWhom),
    "generates": st.sampled_from(Hand),
    "holds": st.sampled_from(Hand),
    "signs": st.booleans(),
    "ca": st.sampled_from(WithCA),
    "module": st.sampled_from(Hand),
    "sells_only": st.booleans(),
    "ships_tokens": st.booleans(),
    "hosts_keys": st.booleans(),
}


@given(
    facts=st.fixed_dictionaries({}, optional=_KNOWN),
    forgotten=st.sets(st.sampled_from(sorted(_KNOWN))),
    day=st.sampled_from([LAST_OF_THE_OLD, TODAY]),
)
def test_whoever_knows_less_is_told_nothing_that_could_be_wrong(
    facts: dict[str, object], forgotten: set[str], day: date
) -> None:
    try:
        more = _of(day, **facts)
    except BadInput:
        return
    less = _of(day, **{name: value for name, value in facts.items() if name not in forgotten})
    assert set(more.candidates) <= set(less.candidates)
    assert set(less.clauses) <= set(more.clauses)
    assert bool(less.undecided) == (less.role is ServiceRole.UNDETERMINED)


def test_no_house_rule_is_said_to_bind() -> None:
    assert not [each for each in _of(**A).clauses if each.startswith("HOUSE")]


def test_before_the_first_requirements_there_is_nothing_to_ask() -> None:
    assert _of(date(2019, 8, 13), **B).role is ServiceRole.PARTNER_OF_CA
    with pytest.raises(BadInput, match="there were no Requirements yet"):
        _of(date(2019, 8, 12), **B)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"sells_only": True, "holds": "organisation"}, "sells_only"),
        ({"sells_only": True, "for_whom": "itself"}, "sells_only"),
        ({"sells_only": True, "signs": True}, "sells_only"),
        ({"ships_tokens": True, "holds": "organisation"}, "ships_tokens"),
        ({"hosts_keys": True, "for_whom": "itself"}, "hosts_keys"),
        ({"hosts_keys": True, "module": "other"}, "hosts_keys"),
        ({"generates": "me"}, "generates"),
        ({"generate": "organisation"}, "generate"),
        ({"signs": 1}, "signs"),
        ({"name": ""}, "0 characters"),
        ({"name": "x" * 201}, "201 characters"),
    ],
)
def test_facts_that_cannot_be_are_refused_in_one_sentence(facts: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        facts_of(facts)


@pytest.mark.parametrize(
    "choices", [{"CSBR-8.4.2-01": "neither"}, {"CSBR-8-01": "text"}, {"CSBR-0-01": "text"}, {"CSBR-1.6.1-01": "text"}]
)
def test_a_choice_that_is_no_reading_is_refused(choices: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="cannot be chosen"):
        _of(**B, choices=choices)


def test_a_fact_called_unknown_is_one_that_is_left_out() -> None:
    assert facts_of({"generates": "unknown", "signs": "unknown"}) == Facts()


def test_nothing_depends_on_how_long_ago_the_period_was() -> None:
    """A period that began before the Requirements counts as begun with them."""
    found = _of(date(2019, 8, 13) + timedelta(days=1), **B, audit_period_starts=date(2019, 3, 1)).audit
    assert found is not None
    assert found.clauses == ("CSBR-8.1-90",)
