"""The operator's register of cryptographic modules, and what a module that attested a key amounts to by it.

An attestation says which module has a key; no maker signs that the module is certified. The operator looks that up (the
CMVP of NIST, a Common Criteria scheme) and writes down certificate, level, versions, and what became of it. A module is
judged by what its certificate was on the day that is asked about:

* active: it counts;
* historical by sunset alone, as all of FIPS 140-2 since September 2026: it counts, with a note, for the text of the
  Requirements is silent on status;
* historical for a cause: a person has to judge;
* revoked: it does not count.

A Signing Service needs level 3 of FIPS 140-2, or EAL 4+ (CSBR 6.2.7.3); a key that a Subscriber keeps itself level 2,
or EAL 4+ (6.2.7.4.1). FIPS 140-3 counts as the successor that meets or exceeds, unless the operator reads the text as
printed (the choice of CSBR-6.2.7.3-04).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from privyseal.compliance.outcome import Outcome, Verdict, judgement, met, not_evidenced, not_met
from privyseal.compliance.statement_words import Name
from privyseal.errors import BadInput, TooLarge
from privyseal.pki.attestation.protocol import Attested

LARGEST_REGISTER = 1 << 20
"""Octets of a register's file; one certificate takes some 400."""
MOST_MODULES = 1000
"""Certificates in one register; the CMVP has some 5,000 in all, and an operator owns a dozen kinds of module."""

SUCCESSOR, AS_PRINTED = "CSBR-6.2.7.3-04", "as-printed"
"""The requirement whose readings say whether FIPS 140-3 counts, and the one by which it does not."""
TABLED, TABLE_OF_DATES = "CSBR-6.2.7.3-03", "table-of-dates"
"""The requirement whose readings say whether the table of dates counts, and the one by which level 2 is enough."""

Scheme = Literal["FIPS 140-2", "FIPS 140-3", "Common Criteria"]
"""The scheme by which a module is certified."""


class Keeper(StrEnum):
    """Who keeps a key, which decides the level that its module needs."""

    SIGNING_SERVICE = "signing-service"
    SUBSCRIBER = "subscriber"


LEVELS: Mapping[Keeper, int] = {Keeper.SIGNING_SERVICE: 3, Keeper.SUBSCRIBER: 2}
"""The least level of FIPS 140 (CSBR 6.2.7.3, 6.2.7.4.1)."""

_CLAUSES: Mapping[Keeper, str] = {Keeper.SIGNING_SERVICE: "CSBR 6.2.7.3", Keeper.SUBSCRIBER: "CSBR 6.2.7.4.1"}
_BEST = (Verdict.MET, Verdict.JUDGEMENT, Verdict.NOT_EVIDENCED, Verdict.NOT_MET)


class Status(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a certificate became, and from which day."""

    status: Literal["active", "historical", "revoked"]
    since: date
    because: Literal["sunset", "cause"] | None = None
    """Why it is historical: its standard came to its end, or something about the module."""
    note: Annotated[str, Meta(max_length=500)] = ""
    """Where that is written."""


class Validation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One certificate of a module: what it covers, its level, and its history."""

    name: Name
    """As the certificate names the module."""
    scheme: Scheme
    number: Name
    """The certificate's number, or its id."""
    level: Annotated[int, Meta(ge=1, le=4)] | None = None
    """The overall level of FIPS 140."""
    eal: Annotated[str, Meta(pattern=r"\AEAL[1-7]\+?\Z")] | None = None
    """The level of Common Criteria: ``EAL4+``."""
    maker: Name
    """As attestations have it: ``Yubico``, ``Thales``."""
    models: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=64)]
    """As attestations have them; ``*`` stands for anything: ``Luna K7*``."""
    firmware: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=256)]
    """The versions that were validated, in the same way; ``*`` alone where attestations do not say any."""
    history: Annotated[tuple[Status, ...], Meta(min_length=1, max_length=32)]

    @property
    def title(self) -> str:
        """Return how it is cited: ``FIPS 140-2 certificate 4711``."""
        return f"{self.scheme} certificate {self.number}"

    @property
    def grade(self) -> str:
        """Return its level in words: ``level 3``, ``EAL4+``."""
        return f"level {self.level}" if self.eal is None else self.eal

    def on(self, day: date) -> Status | None:
        """Return what it was on a day; None where it was not issued yet."""
        begun = [each for each in self.history if each.since <= day]
        return max(begun, key=lambda each: each.since) if begun else None

    def covers(self, module: AttestedModule) -> bool:
        """Tell whether it is about this module, in this version."""
        if module.maker.casefold() != self.maker.casefold():
            return False
        return _any(self.models, module.model) and _any(self.firmware, module.firmware)

    def suffices(self, level: int) -> bool:
        """Tell whether its level is at least that of FIPS 140, or EAL 4 augmented."""
        if self.eal is not None:
            return self.eal == "EAL4+" or self.eal[3] >= "5"
        return self.level is not None and self.level >= level

    def trouble(self) -> str | None:
        """Say what cannot be, in one sentence; None where nothing is wrong."""
        if (self.scheme == "Common Criteria") != (self.eal is not None) or (self.level is None) == (self.eal is None):
            return f"The {self.title} needs a level for FIPS 140 and an eal for Common Criteria, and only that."
        for each in self.history:
            if (each.status == "historical") != (each.because is not None):
                return f'The {self.title} is historical "because" of sunset or a cause, and nothing else has a because.'
        days = [each.since for each in self.history]
        return None if len(set(days)) == len(days) else f"The {self.title} became two things on one day."


_ROOTS: Mapping[str, str] = {
    "maker": "",
    "operator": " (by a root that the operator added)",
    "caller": " (by a root that whoever asked named)",
}


class AttestedModule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an attestation says of the module, and of the key in it."""

    maker: Name
    model: Annotated[str, Meta(max_length=200)]
    firmware: Annotated[str, Meta(max_length=200)]
    """Empty where the attestation does not say it."""
    serial: Annotated[str, Meta(max_length=200)]
    generated_inside: bool | None
    never_extractable: bool | None
    root: Literal["maker", "operator", "caller"] = "maker"
    """Who says that the attestation's root is the maker's: the program, in which it is shipped, or somebody else."""

    @property
    def title(self) -> str:
        """Return what it is called: ``Yubico YubiKey 5 FIPS, firmware 5.4.3``; and by whose root, if not the maker's.

        Every verdict on a module has these words in it, so none is silent about a root that somebody added.
        """
        named = f"{self.maker} {self.model}".strip()
        return (f"{named}, firmware {self.firmware}" if self.firmware else named) + _ROOTS[self.root]


class ModuleJudged(Struct, frozen=True):
    """What a module amounts to for a keeper on a day, and by which certificate."""

    outcome: Outcome
    certificate: Validation | None = None
    status: Status | None = None


def module_of(attested: Attested) -> AttestedModule:
    """Return what an attestation says of the module."""
    return AttestedModule(
        maker=attested.maker,
        model=attested.model,
        firmware=attested.firmware,
        serial=attested.serial,
        generated_inside=attested.generated_inside,
        never_extractable=attested.never_extractable,
        root=attested.root or "caller",
    )


def judge_module(
    module: AttestedModule,
    register: Sequence[Validation],
    keeper: Keeper,
    at: datetime,
    choices: Mapping[str, str] | None = None,
    level: int | None = None,
) -> ModuleJudged:
    """Judge a module that attested a key, for who keeps the key, by the register, as of a moment.

    ``choices`` are the operator's readings. ``level`` takes the place of the keeper's least level of FIPS 140.
    """
    said = of_key(module)
    if said.verdict is not Verdict.MET:
        return ModuleJudged(said)
    covering = [each for each in register if each.covers(module)]
    if not covering:
        return ModuleJudged(
            not_evidenced(
                f"The register of modules has no certificate for {module.title}.",
                "look its certificate up and add it to the register, with the versions that it is for",
            )
        )
    least = level or _least(keeper, choices or {})
    judged = [_judged(module, each, keeper, least, at, choices or {}) for each in covering]
    return min(judged, key=lambda each: _BEST.index(each.outcome.verdict))


def of_key(module: AttestedModule) -> Outcome:
    """Judge what the attestation says of the key itself: made inside, and never able to leave."""
    title = module.title
    if module.generated_inside is False:
        return not_met(f"By its attestation the key was not generated in the module ({title}).")
    if module.never_extractable is False:
        return not_met(f"By its attestation the key can leave the module ({title}), or could once.")
    if module.generated_inside is None or module.never_extractable is None:
        return not_evidenced(f"The attestation does not say all of: generated inside, never extractable ({title}).")
    return met(f"By its attestation the key was generated in {title} and never extractable.")


def _least(keeper: Keeper, choices: Mapping[str, str]) -> int:
    if keeper is Keeper.SIGNING_SERVICE and choices.get(TABLED) == TABLE_OF_DATES:
        return 2
    return LEVELS[keeper]


def _judged(
    module: AttestedModule, found: Validation, keeper: Keeper, least: int, at: datetime, choices: Mapping[str, str]
) -> ModuleJudged:
    """Judge by one certificate that covers the module."""
    day = at.astimezone(UTC).date()
    status = found.on(day)
    said = f"{module.title}: {found.title}, {found.grade}"
    asked = f"{_CLAUSES[keeper]} asks for FIPS 140-2 level {least} or EAL 4+"
    if status is None:
        outcome = not_evidenced(f"{said}, was not issued yet on {day}.")
    elif status.status == "revoked":
        outcome = not_met(f"{said}, revoked since {status.since}{_note(status)}.", "move the key to another module")
    elif not found.suffices(least):
        outcome = not_met(f"{said}; {asked}.", "have a new key made in a module of that level")
    elif found.scheme == "FIPS 140-3" and choices.get(SUCCESSOR) == AS_PRINTED:
        outcome = not_met(f"{said}; {asked}, and read as printed FIPS 140-3 does not count ({SUCCESSOR}).")
    elif status.because == "cause":
        outcome = judgement(f"{said}, historical since {status.since} for a cause{_note(status)}; a person has to say.")
    else:
        outcome = met(f"{said}, {_standing(found, status)}.")
    return ModuleJudged(outcome, found, status)


def _standing(found: Validation, status: Status) -> str:
    if status.because == "sunset":
        words = f"historical since {status.since} by sunset alone{_note(status)}, which the Requirements leave open"
    else:
        words = f"active since {status.since}"
    successor = f"; FIPS 140-3 is read as meeting or exceeding FIPS 140-2 ({SUCCESSOR})"
    return words + (successor if found.scheme == "FIPS 140-3" else "")


def _note(status: Status) -> str:
    return f" ({status.note})" if status.note else ""


def _any(patterns: Sequence[str], value: str) -> bool:
    return any(fnmatchcase(value.casefold(), each.casefold().replace("[", "[[]")) for each in patterns)


# -- methods of the CA -------------------------------------------------------------------------------------------------
COUNTER_SIGNED = 2
"""The method of CSBR 6.2.7.4.2 that a module's attestation serves: a request counter-signed under the maker's root."""


def served(form: str, *, makers_root: bool, shown: bool = True) -> tuple[str, str]:
    """Say which method of CSBR 6.2.7.4.2 an attestation of a format serves as the CA's proof, and what not.

    ``makers_root``: it ends in a root that is pinned as its maker's, and not in one that whoever asks trusts besides.
    ``shown``: it shows a key that was born in its module and cannot leave it, which that method asks for.

    Methods 1 (a module from the CA), 3 (a prescribed library), 4 (an IT audit), 5 (a report of the cloud), 6 (a
    witnessed ceremony) and 7 (an agreement with a Signing Service) take other evidence than an attestation.
    """
    if not shown:
        return (
            f"It serves no method of CSBR 6.2.7.4.2: number {COUNTER_SIGNED} asks for a key that was made in its module"
            " and cannot leave it.",
            "Nor does it satisfy CSBR 6.2.7.3.",
        )
    if not makers_root:
        return (
            f"Its root was given by you: method {COUNTER_SIGNED} of CSBR 6.2.7.4.2 asks for the maker's own.",
            "That a CA may rely on it does not satisfy CSBR 6.2.7.3, which asks a Signing Service for more.",
        )
    return (
        f"As the CA's proof it serves method {COUNTER_SIGNED} of CSBR 6.2.7.4.2 (key attestation, {form}), and none"
        " of 1 and 3 to 7.",
        "That a CA may rely on it does not satisfy CSBR 6.2.7.3, which asks a Signing Service for more.",
    )


# -- the register's file -----------------------------------------------------------------------------------------------
class _File(Struct, frozen=True, forbid_unknown_fields=True):
    module: tuple[Validation, ...] = ()


def read_register(octets: bytes) -> tuple[Validation, ...]:
    """Read a register, TOML of ``[[module]]`` tables; BadInput where it is none, TooLarge beyond the limits above."""
    if len(octets) > LARGEST_REGISTER:
        raise TooLarge(f"The register of modules has {len(octets)} octets; at most {LARGEST_REGISTER} are read.")
    try:
        document = tomllib.loads(octets.decode("utf-8"))
        found = msgspec.convert(document, _File).module
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise BadInput(f"The register of modules cannot be read: {str(error)[:300]}.") from None
    if len(found) > MOST_MODULES:
        raise TooLarge(f"The register has {len(found)} certificates; at most {MOST_MODULES} are read.")
    require_sound(found)
    return found


def require_sound(register: Sequence[Validation]) -> None:
    """Raise BadInput for a certificate that contradicts itself, or that stands there twice."""
    seen: set[tuple[str, str]] = set()
    for each in register:
        if (trouble := each.trouble()) is not None:
            raise BadInput(trouble)
        if (each.scheme, each.number) in seen:
            raise BadInput(f"The {each.title} stands twice in the register.")
        seen.add((each.scheme, each.number))
