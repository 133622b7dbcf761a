"""Whatever the facts are, they are refused in a sentence or give duties that are whole and in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.clocks import dues, gauges
from privyseal.compliance.due import URGENCY, State
from privyseal.compliance.duty_facts import DutyFacts, duty_facts_of
from privyseal.errors import BadInput

FIRST = datetime(2000, 1, 2, tzinfo=UTC)
ZONES = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
MOMENTS = st.builds(
    lambda days, seconds, zone: (FIRST + timedelta(days=days, seconds=seconds)).astimezone(zone),
    st.one_of(st.integers(9_000, 9_900), st.integers(0, 365_000)),
    st.integers(0, 86_399),
    ZONES,
)
DAYS = MOMENTS.map(lambda moment: moment.date())


def things(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """Make what a file may say of one kind of thing: each fact there, or not."""
    fields = {each.name: value_of(msgspec.inspect.type_info(each.type)) for each in msgspec.structs.fields(kind)}
    needed = {each.name for each in msgspec.structs.fields(kind) if each.required}
    return st.fixed_dictionaries(
        {name: each for name, each in fields.items() if name in needed},
        optional={name: each for name, each in fields.items() if name not in needed},
    )


def value_of(kind: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    """Make a value of one type; few different names, so that they meet."""
    match kind:
        case msgspec.inspect.UnionType():
            return st.one_of(*(value_of(each) for each in kind.types if not isinstance(each, msgspec.inspect.NoneType)))
        case msgspec.inspect.Metadata():
            return value_of(kind.type)
        case msgspec.inspect.DateTimeType():
            return MOMENTS
        case msgspec.inspect.DateType():
            return DAYS
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.IntType():
            return st.integers(1, 2_000_000)
        case msgspec.inspect.EnumType():
            return st.sampled_from([each.value for each in kind.cls])
        case msgspec.inspect.VarTupleType():
            return st.lists(value_of(kind.item_type), max_size=3)
        case msgspec.inspect.StructType():
            return things(kind.cls)
        case msgspec.inspect.DictType():
            return st.dictionaries(st.sampled_from(["high", "A"]), st.integers(1, 1000), max_size=2)
        case _:
            return st.sampled_from(["A", "B", "C", "D", "E", "high"])


KINDS = {
    each.name: value_of(msgspec.inspect.type_info(each.type))
    for each in msgspec.structs.fields(DutyFacts)
    if each.name != "choices"
}
"""Each kind of fact that there is, by its name in the file."""


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data(), MOMENTS)
def test_any_facts_give_whole_duties_or_one_sentence(data: st.DataObject, at: datetime) -> None:
    """No exception but ours; ids of the catalogue, aware times, sentences, the worst first, and every one counted."""
    kinds = data.draw(st.sets(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3))
    document = {name: data.draw(KINDS[name]) for name in sorted(kinds)}
    try:
        known = duty_facts_of(document)
    except BadInput as refused:
        assert refused.detail
        return
    found = dues(known, at)
    assert [URGENCY[each.state] for each in found] == sorted(URGENCY[each.state] for each in found)
    assert sum(gauges(found).values()) == len(found)
    for each in found:
        assert each.requirement in BY_ID
        assert each.text.endswith(".")
        times = [moment for moment in (each.starts, each.warning, each.due) if moment is not None]
        assert all(moment.utcoffset() == timedelta(0) for moment in times)
        if each.state in (State.IN_TIME, State.WARNING):
            assert each.due is not None
            assert at < each.due + timedelta(seconds=1)
            assert each.starts is not None
            assert each.starts <= at + timedelta(seconds=1)
