"""A parameter of a requirement as a measure that a file can name: a fact of the subject, and what it may be.

The catalogue's own checks are functions with their numbers inside. A proposal that changes a number cannot reach into
them, so it names the fact and the new bound, and its check is this one. A fact that the subject does not have is not
evidenced, never met.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec

from privyseal.compliance.outcome import Outcome, met, not_evidenced, not_met
from privyseal.compliance.requirement import Asked

Number = int | float


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one fact of a subject may be."""

    fact: str
    """The name of an attribute of the subject, such as ``validity_days``; dots lead further in."""
    at_least: Number | None = None
    at_most: Number | None = None
    one_of: tuple[str | int, ...] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a name that is none, or a limit that limits nothing."""
        parts = self.fact.split(".")
        if len(parts) > 4 or any(not part.isidentifier() or part.startswith("_") for part in parts):
            raise ValueError(f"{self.fact[:40]!r} is not the name of a fact")
        if self.at_least is None and self.at_most is None and self.one_of is None:
            raise ValueError(f"the limit on {self.fact} says neither at_least, at_most nor one_of")
        if self.at_least is not None and self.at_most is not None and self.at_most < self.at_least:
            raise ValueError(
                f"the limit on {self.fact} lies between {self.at_least} and {self.at_most}, where nothing is"
            )

    def judge(self, subject: Any, asked: Asked) -> Outcome:
        """Judge one subject."""
        value = _fact(subject, self.fact)
        if value is None:
            return not_evidenced(f"{self.fact} is not known.", f"record {self.fact}")
        said = f"{self.fact} is {value}"
        if self._fits(value):
            return met(f"{said}, as it may be.")
        return not_met(f"{said}; {self.words} was expected.")

    def _fits(self, value: Any) -> bool:
        if self.one_of is not None and value not in self.one_of:
            return False
        low = self.at_least is None or value >= self.at_least
        return bool(low and (self.at_most is None or value <= self.at_most))

    @property
    def words(self) -> str:
        """Say what is allowed: ``at most 460``."""
        bounds = [f"at least {self.at_least}"] if self.at_least is not None else []
        bounds += [f"at most {self.at_most}"] if self.at_most is not None else []
        bounds += [f"one of {', '.join(map(str, self.one_of))}"] if self.one_of is not None else []
        return " and ".join(bounds)


def _fact(subject: Any, path: str) -> Any:
    """Return an attribute as a number, a text, or None; a length of time counts in days."""
    value = subject
    for name in path.split("."):
        value = getattr(value, name, None)
    if isinstance(value, timedelta):
        return value / timedelta(days=1)
    return value if isinstance(value, str | int | float) and not _nothing(value) else None


def _nothing(value: str | Number | Iterable[Any]) -> bool:
    return value != value  # NaN compares to nothing, and must not meet a limit
