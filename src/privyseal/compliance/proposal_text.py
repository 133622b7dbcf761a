"""Reading TOML about ballots, whoever wrote it: bounded, strict, and one sentence for whatever is wrong.

Limits: a ballot is a page of text, so a mebibyte is plenty; no list may be longer than :data:`MAX_LIST`, which is
thrice the number of requirements that there are.
"""

from __future__ import annotations

import tomllib
from typing import Any, TypeVar

import msgspec

from privyseal.errors import BadInput, TooLarge

MAX_OCTETS = 1024 * 1024
"""Of a file about ballots; the program's own table, the largest we know of, has a twentieth of it."""

MAX_LIST = 1000
"""Entries of any list in such a file."""

MAX_TEXT = 4000
"""Characters of any text in such a file."""

MAX_DEPTH = 12
"""Tables and lists within each other; a ballot's deepest value, a member's name among its votes, lies 6 deep."""

_Read = TypeVar("_Read")


def read_toml(octets: bytes, kind: type[_Read], name: str) -> _Read:
    """Read TOML as ``kind``; raise BadInput or TooLarge, in one sentence that begins with ``name``."""
    if len(octets) > MAX_OCTETS:
        raise TooLarge(f"{name} has more than {MAX_OCTETS} octets, which is too much for a ballot.")
    try:
        tree = tomllib.loads(octets.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not TOML: it is not UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{name} is not TOML: {sentence(str(error))}") from error
    except (RecursionError, ValueError) as error:  # a number of a million digits is a ValueError
        raise BadInput(
            f"{name} is not TOML that can be read: it is nested too deeply, or a number too long."
        ) from error
    _bound(tree, name)
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{name}: {sentence(str(error))}") from error


def _bound(tree: dict[str, Any], name: str) -> None:
    """Raise TooLarge for a list, a text or a depth beyond its limit; dotted keys nest without tomllib's recursion."""
    level: list[Any] = [tree]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, list) and len(value) > MAX_LIST:
                raise TooLarge(f"{name} has a list of {len(value)} entries; {MAX_LIST} are the most.")
            if isinstance(value, str) and len(value) > MAX_TEXT:
                raise TooLarge(f"{name} has a text of {len(value)} characters; {MAX_TEXT} are the most.")
            inner += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        level = inner
        if not level:
            return
    raise TooLarge(f"{name} is nested more than {MAX_DEPTH} deep, which no ballot needs.")


def sentence(text: str) -> str:
    """Make one sentence of what is wrong; it may quote the file, so what moves or hides on a terminal is escaped."""
    line = " ".join(text.split())[:300]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in line)
    return shown if shown.endswith(".") else f"{shown}."
