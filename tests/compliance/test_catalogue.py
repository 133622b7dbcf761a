"""The catalogue as a whole: what must hold for every requirement, whoever wrote it."""

import re
from collections import Counter
from datetime import timedelta
from importlib import import_module
from pathlib import Path

from privyseal.compliance import requirements
from privyseal.compliance.catalogue import BY_ID, ENTERED, FAMILIES, FOLLOWED, REQUIREMENTS
from privyseal.compliance.evidence import KINDS
from privyseal.compliance.requirement import DatedBy, Kind, Nature, Obligation, Party, Severity

_ID = re.compile(r"(CSBR|NSR|HOUSE)-[0-9A-Z.]+-\d\d")


def test_each_id_is_well_formed_and_stands_once() -> None:
    twice = [name for name, times in Counter(each.id for each in REQUIREMENTS).items() if times > 1]
    assert not twice
    assert not [each.id for each in REQUIREMENTS if not _ID.fullmatch(each.id)]
    assert set(BY_ID) == {each.id for each in REQUIREMENTS}


def test_an_id_names_its_clause() -> None:
    odd = [each.id for each in REQUIREMENTS if each.id.rpartition("-")[0].partition("-")[2] != each.clause]
    assert not odd


def test_every_file_of_requirements_is_in_the_catalogue() -> None:
    folder = Path(requirements.__file__).parent
    there = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert there == {family.__name__.rpartition(".")[2] for family in FAMILIES}
    for name in there:
        assert import_module(f"privyseal.compliance.requirements.{name}").REQUIREMENTS


def test_texts_are_sentences_of_one_line() -> None:
    for each in REQUIREMENTS:
        assert each.text.endswith("."), each.id
        assert "\n" not in each.text, each.id
        assert len(each.text) <= 400, each.id
        assert each.title
        assert not each.title.endswith("."), each.id


def test_wanted_evidence_is_of_a_known_kind() -> None:
    for each in REQUIREMENTS:
        if each.wants is not None:
            assert each.wants.evidence or each.wants.judgement, each.id
            assert set(each.wants.evidence) <= set(KINDS), (each.id, each.wants.evidence)
            assert each.wants.text.endswith("."), each.id


def test_a_superseded_text_ends_and_names_what_follows() -> None:
    for each in REQUIREMENTS:
        if each.in_force.until is not None:
            assert each.in_force.since <= each.in_force.until, each.id
        if each.superseded_by is not None:
            assert each.in_force.until is not None, each.id
            assert each.superseded_by in BY_ID, each.id


def test_only_the_gates_that_the_contract_names_refuse_a_signature() -> None:
    for each in REQUIREMENTS:
        if each.gate:
            assert each.obligation in (Obligation.SHALL, Obligation.SHALL_NOT), each.id
            assert each.check is not None, each.id


def test_nobody_is_bound_by_nothing() -> None:
    for each in REQUIREMENTS:
        assert each.binds
        assert each.applies_to
        assert each.kinds
        assert each.enforced_by
        assert isinstance(each.severity, Severity)
        assert set(each.binds) <= set(Party)
        assert set(each.kinds) <= set(Kind)
        assert each.dated_by in DatedBy
        assert each.nature in Nature


def test_house_rules_are_dated_by_one_rule() -> None:
    """From the day after the text that they follow, or from when they entered the catalogue; and nothing else is."""
    ours = {each.id for each in REQUIREMENTS if each.nature is Nature.HOUSE_RULE}
    assert ours == {each.id for each in REQUIREMENTS if each.document == "HOUSE"} == FOLLOWED.keys() | ENTERED.keys()
    assert not FOLLOWED.keys() & ENTERED.keys()
    for name in ours:
        rule = BY_ID[name].in_force
        if name in ENTERED:
            assert rule.since == ENTERED[name], name
        else:
            ended = BY_ID[FOLLOWED[name]].in_force.until
            assert ended is not None, name
            assert rule.since == ended + timedelta(days=1), name
