"""Which of a set's rules can apply to a request, found without looking at each: one set of bits for each value.

Each thing that rules speak of (key, format, role, each claim ...) has, for every value that some rule names, a number
whose bit n says that rule n takes this value; for texts with ``*`` the same by what stands before the star, so that
only those are compared which begin as the value does. A request's rules are the AND over all things; what is left is
compared in full, so that an index that finds too many costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

from privyseal.access.policies import Rule, pattern


class _Thing:
    """One thing that rules speak of: who takes which value."""

    def __init__(self, asked_by: Iterable[tuple[int, tuple[str, ...] | None]]) -> None:
        """Index the values of each rule by its number; None where a rule does not care."""
        self._indifferent = 0
        self._exact: dict[str, int] = {}
        starred: dict[str, dict[str, int]] = {}
        for number, values in asked_by:
            bit = 1 << number
            if values is None:
                self._indifferent |= bit
            for value in values or ():
                begin, star, _ = value.partition("*")
                if star:
                    same = starred.setdefault(begin, {})
                    same[value] = same.get(value, 0) | bit
                else:
                    self._exact[value] = self._exact.get(value, 0) | bit
        self._starred = {
            begin: [(pattern(text), mask) for text, mask in same.items()] for begin, same in starred.items()
        }
        self._lengths = sorted({len(begin) for begin in starred})

    def takes(self, *values: str | None) -> int:
        """Return the rules that take one of these values, as bits."""
        found = self._indifferent
        for value in values:
            if value is None:
                continue
            found |= self._exact.get(value, 0)
            for length in self._lengths:
                if length > len(value):
                    break
                for compiled, mask in self._starred.get(value[:length], ()):
                    if compiled.fullmatch(value):
                        found |= mask
        return found


class RuleIndex:
    """A set's rules by what they speak of."""

    def __init__(self, rules: dict[str, Rule]) -> None:
        """Index the rules; their order is that of ``rules``."""
        self._rules = list(rules.items())
        numbered = list(enumerate(rules.values()))
        self._keys = _Thing((n, rule.keys) for n, rule in numbered)
        self._formats = _Thing((n, rule.formats) for n, rule in numbered)
        self._modes = _Thing((n, rule.modes) for n, rule in numbered)
        self._publishers = _Thing((n, rule.publisher) for n, rule in numbered)
        self._organisations = _Thing((n, rule.organisation) for n, rule in numbered)
        self._members = _Thing((n, rule.who.members) for n, rule in numbered)
        self._roles = _Thing((n, rule.who.roles) for n, rule in numbered)
        named = {name for rule in rules.values() for name in rule.who.workload or ()}
        self._claims = {name: _Thing((n, _claim(rule, name)) for n, rule in numbered) for name in named}

    # One argument for each thing that rules speak of.
    def candidates(  # noqa: PLR0913
        self,
        *,
        key: str,
        formats: tuple[str, ...],
        mode: str,
        publisher: str | None,
        organisation: str | None,
        members: tuple[str, ...],
        roles: tuple[str, ...],
        claims: dict[str, str],
    ) -> list[tuple[str, Rule]]:
        """Return the rules that may apply, in order."""
        found = self._keys.takes(key) & self._modes.takes(mode)
        for code_format in formats:
            found &= self._formats.takes(code_format)
        found &= self._members.takes(*members) & self._roles.takes(*roles)
        found &= self._publishers.takes(publisher) & self._organisations.takes(organisation)
        for name, thing in self._claims.items():
            if not found:
                break
            found &= thing.takes(claims.get(name))
        candidates = []
        while found:
            lowest = found & -found
            candidates.append(self._rules[lowest.bit_length() - 1])
            found ^= lowest
        return candidates


def _claim(rule: Rule, name: str) -> tuple[str, ...] | None:
    wanted = (rule.who.workload or {}).get(name)
    return None if wanted is None else (wanted,)
