"""A parameter of a requirement as a measure that a file can name: a fact of the subject, and what it may be.

The catalogue's own checks are functions with their numbers inside. A proposal that changes a number cannot reach into
them, so it names the fact and the new bound, and its check is this one. A fact that the subject does not have is not
evidenced, never met.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from privyseal.compliance.outcome import Outcome, met, not_evidenced, not_met
from privyseal.compliance.requirement import Asked

Number = int | float
"""A bound, in the unit of the fact that it limits."""

SECOND = timedelta(seconds=1)
"""What an inclusive span counts beyond the difference of its ends."""


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one fact of a subject may be."""

    fact: str
    """The name of an attribute of the subject, such as ``validity_days``; dots lead further in."""
    at_least: Number | None = None
    at_most: Number | None = None
    one_of: tuple[str | int, ...] | None = None
    minus: str = ""
    """The fact that is taken from it, where the measure is a span: ``not_before`` from ``not_after``."""
    inclusive: bool = False
    """A span counts its last second too, as validity periods do (CSBR 1.6.1)."""

    def __post_init__(self) -> None:
        """Raise ValueError for a name that is none, or a limit that limits nothing."""
        for name in (self.fact, *([self.minus] if self.minus else [])):
            parts = name.split(".")
            if len(parts) > 4 or any(not part.isidentifier() or part.startswith("_") for part in parts):
                raise ValueError(f"{name[:40]!r} is not the name of a fact")
        if self.inclusive and not self.minus:
            raise ValueError(f"only a span can be inclusive, and {self.fact} has no minus")
        if self.at_least is None and self.at_most is None and self.one_of is None:
            raise ValueError(f"the limit on {self.fact} says neither at_least, at_most nor one_of")
        if self.at_least is not None and self.at_most is not None and self.at_most < self.at_least:
            raise ValueError(
                f"the limit on {self.fact} lies between {self.at_least} and {self.at_most}, where nothing is"
            )

    def judge(self, subject: Any, asked: Asked) -> Outcome:
        """Judge one subject."""
        value = self._measure(subject)
        if value is None:
            return not_evidenced(f"{self._name} is not known.", f"record {self._name}")
        said = f"{self._name} is {f'{value:.5f}'.rstrip('0').rstrip('.') if isinstance(value, float) else value}"
        if self._fits(value):
            return met(f"{said}, as it may be.")
        return not_met(f"{said}; {self._bounds} was expected.")

    @property
    def words(self) -> str:
        """Say the limit: ``validity_days is at most 460``."""
        return f"{self._name} is {self._bounds}"

    @property
    def _name(self) -> str:
        return f"{self.fact} minus {self.minus} in days" if self.minus else self.fact

    def _measure(self, subject: Any) -> Any:
        """Return the fact as a number, a text, or None; a length of time counts in days."""
        value = _fact(subject, self.fact)
        if self.minus:
            other = _fact(subject, self.minus)
            if value is None or other is None:
                return None
            value = value - other + (SECOND if self.inclusive else timedelta(0))
        if isinstance(value, timedelta):
            return value / timedelta(days=1)
        known = isinstance(value, str | int | float) and value == value  # NaN meets nothing
        return value if known else None

    def _fits(self, value: Any) -> bool:
        if self.one_of is not None and value not in self.one_of:
            return False
        low = self.at_least is None or value >= self.at_least
        return bool(low and (self.at_most is None or value <= self.at_most))

    @property
    def _bounds(self) -> str:
        bounds = [f"at least {self.at_least}"] if self.at_least is not None else []
        bounds += [f"at most {self.at_most}"] if self.at_most is not None else []
        bounds += [f"one of {', '.join(map(str, self.one_of))}"] if self.one_of is not None else []
        return " and ".join(bounds)


def _fact(subject: Any, path: str) -> Any:
    value = subject
    for name in path.split("."):
        value = getattr(value, name, None)
    return value
