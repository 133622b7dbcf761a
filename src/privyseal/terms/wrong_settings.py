"""What was expected where a setting is wrong: the names or the values that there are.

msgspec says what is wrong and where; of an unknown name or value it does not say what would be right. That is found by
the place, in the class that the settings are of.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

import msgspec
from msgspec import inspect

MOST_NAMED = 40
"""Names that are told; the longest section of ours has half as many."""

_PLACE = re.compile(r" - at `\$(?P<place>[^`]*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")
_VALUE = re.compile(r"Invalid (?:enum )?value '(?P<name>[^']*)'")


def expected(error: msgspec.ValidationError, kind: type) -> str | None:
    """Say what settings of ``kind`` may have at the place that an error is about; None where the error says it."""
    text = str(error)
    place = _PLACE.search(text)
    found = [inspect.type_info(kind)]
    for step in _STEP.finditer(place["place"] if place else ""):
        found = [inner for each in found for inner in _within(each, step[1])]
    if (unknown := _UNKNOWN.search(text)) is not None:
        return _told(unknown["name"], [name for each in found for name in _names(each)], "the names here are")
    if (value := _VALUE.search(text)) is not None:
        return _told(value["name"], [name for each in found for name in _values(each)], "one of")
    if (missing := _MISSING.search(text)) is not None:
        tags = [each.tag for one in found for each in _structs(one) if each.tag_field == missing["name"]]
        return f"one of {', '.join(map(str, tags))}" if tags else None
    return None


def _told(given: str, names: list[str], what: str) -> str | None:
    names = list(dict.fromkeys(names))[:MOST_NAMED]
    if not names:
        return None
    meant = difflib.get_close_matches(given, names, 1)
    return f"{f'did you mean {meant[0]}? ' if meant else ''}{what} {', '.join(names)}"


def _plain(kind: inspect.Type) -> Iterator[inspect.Type]:
    """Yield the alternatives of a type, without what only describes them."""
    if isinstance(kind, inspect.Metadata):
        yield from _plain(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from _plain(each)
    else:
        yield kind


def _structs(kind: inspect.Type) -> Iterator[inspect.StructType]:
    yield from (each for each in _plain(kind) if isinstance(each, inspect.StructType))


def _within(kind: inspect.Type, name: str | None) -> Iterator[inspect.Type]:
    """Yield what stands at a name, or with None at any index."""
    for each in _plain(kind):
        if isinstance(each, inspect.StructType) and name is not None:
            if name == each.tag_field:
                yield inspect.LiteralType((each.tag,))
            yield from (field.type for field in each.fields if field.encode_name == name)
        elif isinstance(each, inspect.CollectionType | inspect.VarTupleType) and name is None:
            yield each.item_type
        elif isinstance(each, inspect.DictType):
            yield each.value_type


def _names(kind: inspect.Type) -> Iterator[str]:
    for each in _structs(kind):
        yield from (field.encode_name for field in each.fields)


def _values(kind: inspect.Type) -> Iterator[str]:
    for each in _plain(kind):
        if isinstance(each, inspect.EnumType):
            yield from (str(one.value) for one in each.cls)
        elif isinstance(each, inspect.LiteralType):
            yield from (str(one) for one in each.values)
