"""Rules about who may have what signed: a Subscriber's policy set, as a person writes it in TOML.

A set is the union of the files of one folder. Each table of a file is a rule; its name is the rule's name::

    [release-from-ci]
    because = "Releases come from tagged builds of our own repository."
    keys = ["release"]
    formats = ["pe"]
    who = { workload = { provider = "github", repository_id = "1296269", ref = "refs/tags/v*" } }
    publisher = ["Acme Updater"]
    when = { days = ["mon", "tue", "wed", "thu"], hours = "08:00-18:00", zone = "Europe/Berlin" }
    at-most = { per-hour = 20, in-all = 5000 }

A rule is a conjunction: all that it names must hold, and within one name any of the values. What no rule allows is
refused; what a rule with ``effect = "refuse"`` describes is refused whatever allows it. There is no "or" and no "not",
and so everything about a set can be decided by looking at it: whether a rule can ever hold, who gains what by a change,
who could both ask and agree (ADR 0041). A text is compared as it is; ``*`` stands for any characters.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from privyseal.access.attestations import Wanted
from privyseal.errors import BadInput, Misused, TooLarge
from privyseal.terms.canonical import canonical_json
from privyseal.terms.parties import Role

LARGEST_FILE = 256 * 1024
"""Octets of one file of rules; a thousand rules have about as many."""
MOST_FILES = 100
"""Files of one set of rules."""
MOST_RULES = 2000
"""Rules of one set: twice what the figures of ADR 0041 were measured with."""

Text = Annotated[str, Meta(min_length=1, max_length=200)]
"""One value that a rule asks for, in characters."""
Values = Annotated[tuple[Text, ...], Meta(min_length=1, max_length=64)]
"""Any of these; ``*`` in one stands for any characters."""
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
"""How often something may be done."""
RuleName = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,62}\Z")]
"""What a rule is called, in its file and in decisions."""
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
"""A day of the week, as rules name it."""
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""As ``datetime.weekday`` counts them."""

_CLAIMS = (
    "provider issuer subject repository_id repository repository_owner_id repository_owner repository_visibility "
    "workflow workflow_ref workflow_sha job_workflow_ref job_workflow_sha environment ref ref_type ref_protected "
    "sha event_name actor actor_id runner_environment project_id project_path namespace_id namespace_path user_id "
    "user_login pipeline_id pipeline_source ci_config_ref_uri job_id environment_protected deployment_tier "
    "organization_id organization_slug pipeline_slug build_branch build_tag build_source step_key cluster_id "
    "queue_id account_id vcs_ref vcs_origin context_ids email email_verified azp google_project namespace "
    "service_account service_account_uid pod spiffe_id trust_domain definition_id"
)
CLAIMS = frozenset(_CLAIMS.split())
"""The facts of a run that rules may speak of: what the providers' identity tokens carry, under their own names."""

_HOURS = re.compile(r"\A([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)\Z")


class Who(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks: a member by id or name, a role, a run of a machine by its verified facts."""

    members: Values | None = None
    roles: Annotated[tuple[Role, ...], Meta(min_length=1)] | None = None
    workload: Annotated[dict[Text, Text], Meta(min_length=1, max_length=32)] | None = None


class When(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At what time: days and hours by the clocks of a time zone, and from one moment until another."""

    days: Annotated[tuple[Day, ...], Meta(min_length=1)] | None = None
    hours: Annotated[str, Meta(pattern=_HOURS.pattern)] | None = None
    """Such as ``08:00-18:00``, the end not included; over midnight where the end is the earlier."""
    zone: Text = "UTC"
    """A name of the IANA time zone database."""
    since: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None
    """Not included."""

    @property
    def minutes(self) -> tuple[int, int]:
        """Return first minute and end of ``hours``, in minutes of the day."""
        found = _HOURS.match(self.hours or "00:00-24:00")
        assert found is not None  # noqa: S101 - the pattern was checked when it was read
        first, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
        return first, end

    def holds(self, at: datetime) -> bool:
        """Tell whether a moment is within."""
        if (self.since is not None and at < self.since) or (self.until is not None and at >= self.until):
            return False
        if self.days is None and self.hours is None:
            return True
        local = at.astimezone(_zone(self.zone))
        if self.days is not None and DAYS[local.weekday()] not in self.days:
            return False
        first, end = self.minutes
        minute = local.hour * 60 + local.minute
        return first <= minute < end if first < end else minute >= first or minute < end

    def words(self) -> str:
        """Say it for people."""
        parts = [*([", ".join(self.days)] if self.days else []), *([self.hours] if self.hours else [])]
        text = f"{' '.join(parts)} {self.zone}" if parts else "any day"
        text += f", from {self.since:%Y-%m-%d %H:%M %Z}" if self.since else ""
        return text + (f", until {self.until:%Y-%m-%d %H:%M %Z}" if self.until else "")


class AtMost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """How many signatures a rule allows, in an hour and a day of UTC that the clock begins, and in all."""

    per_hour: Count | None = None
    per_day: Count | None = None
    in_all: Count | None = None


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="kebab"):
    """One rule; see the head of this file."""

    keys: Values
    effect: Literal["allow", "refuse"] = "allow"
    because: Annotated[str, Meta(max_length=400)] = ""
    """For people; a refusal quotes it."""
    formats: Values | None = None
    modes: Annotated[tuple[Literal["local", "server"], ...], Meta(min_length=1)] | None = None
    who: Who = Who()
    publisher: Values | None = None
    """The program name that the signature shows."""
    organisation: Values | None = None
    """The organisation of the certificate."""
    timestamp: bool | None = None
    scan: Literal["clean"] | None = None
    when: When = When()
    at_most: AtMost = AtMost()
    attestations: Annotated[tuple[Wanted, ...], Meta(max_length=8)] = ()
    """What the file must bring; each of them."""

    @property
    def limited(self) -> bool:
        """Tell whether uses of it are counted."""
        return self.at_most != _UNLIMITED


_UNLIMITED = AtMost()
Rules = dict[RuleName, Rule]
"""The rules of one set, by their names."""


class PolicySet(Struct, frozen=True):
    """The rules in force for one Subscriber; ``octets`` are what was applied, ``digest`` their SHA-256."""

    rules: Rules
    octets: bytes

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the set's octets, lower-case hex."""
        return hashlib.sha256(self.octets).hexdigest()


def read_file(name: str, octets: bytes) -> Rules:
    """Read one file of rules; BadInput that says where, and what was expected, is raised for anything unknown."""
    if len(octets) > LARGEST_FILE:
        raise TooLarge(f"{name} has {len(octets)} octets; a file of rules has at most {LARGEST_FILE}.")
    try:
        document = tomllib.loads(octets.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadInput(f"{name} is no TOML: {error}.", hint="one [table] for each rule") from None
    if len(document) > MOST_RULES:
        raise TooLarge(f"{name} has {len(document)} rules; at most {MOST_RULES} are taken.")
    return {each: _rule(name, each, table) for each, table in document.items()}


def _rule(file: str, name: str, table: object) -> Rule:
    """Read one table; msgspec's words are kept, and the place is put before them."""
    place = f"{file}: rule {name[:80]!r}"
    try:
        msgspec.convert(name, RuleName)
    except msgspec.ValidationError:
        raise BadInput(f"{place}: this cannot name a rule.", hint="lower-case letters, digits and dashes") from None
    try:
        rule = msgspec.convert(table, Rule)
    except msgspec.ValidationError as error:
        said, _, where = str(error).partition(" - at `$")
        inside = f", {where.strip('.`')}" if where.strip(".`") else ""
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(Rule))
        raise BadInput(f"{place}{inside}: {said}.", hint=f"a rule has {known}") from None
    _check(place, rule)
    return rule


def unite(files: Mapping[str, Rules]) -> PolicySet:
    """Make one set of the rules of several files; BadInput where two have one name, TooLarge where there are too many.

    What a set's digest covers are the rules in the order of their names, in canonical JSON: comments and the files into
    which they were divided change nothing.
    """
    rules: Rules = {}
    for name in sorted(files):
        for each, rule in files[name].items():
            if each in rules:
                raise BadInput(f"{name}: another file has a rule named {each!r} too.", hint="give it another name")
            rules[each] = rule
    if len(rules) > MOST_RULES:
        raise TooLarge(f"The set has {len(rules)} rules; at most {MOST_RULES} are taken.")
    return PolicySet(rules, canonical_json(dict(sorted(rules.items()))))


@functools.lru_cache(maxsize=256)
def read_set(octets: bytes) -> PolicySet:
    """Read a set as :func:`unite` wrote it; remembered, because every request asks for the one in force."""
    try:
        rules = msgspec.json.decode(octets, type=Rules)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"This is no policy set: {str(error)[:200]}.") from None
    if len(rules) > MOST_RULES:
        raise TooLarge(f"The set has {len(rules)} rules; at most {MOST_RULES} are taken.")
    for name, rule in rules.items():
        _check(f"rule {name!r}", rule)
    return unite({"": rules})


@functools.lru_cache(maxsize=4096)
def pattern(text: str) -> Any:
    """Return what matches a value of a rule: the text itself, ``*`` for any characters.

    What stands between two stars is taken where it comes first, and never looked for again, as ``fnmatch`` does it:
    nothing is lost by that, and else five stars would keep the whole service busy for seconds over one request.
    """
    first, *rest = map(re.escape, text.split("*"))
    between = "".join(f"(?>.*?{part})" for part in rest[:-1] if part)
    return re.compile(first + between + "".join(f".*{part}" for part in rest[-1:]), re.DOTALL)


def fits(value: str | None, wanted: tuple[str, ...] | None) -> bool:
    """Tell whether a value is one of those wanted; nothing wanted fits everything."""
    if wanted is None or value in wanted:
        return True
    return value is not None and any("*" in one and pattern(one).fullmatch(value) for one in wanted)


def _check(place: str, rule: Rule) -> None:
    """Refuse what the types let through and yet means nothing."""
    _require_zone(place, rule.when)
    if rule.when.hours is not None and rule.when.minutes[0] == rule.when.minutes[1]:
        raise BadInput(f"{place}: hours {rule.when.hours} begin and end at once, so nobody can satisfy it.")
    if rule.when.hours is not None and rule.when.minutes[1] > 24 * 60:
        raise BadInput(f"{place}: hours {rule.when.hours} end after 24:00.")
    if rule.when.since is not None and rule.when.until is not None and rule.when.since >= rule.when.until:
        raise BadInput(f"{place}: it ends before it begins, so nobody can satisfy it.", hint="put since before until")
    for claim in rule.who.workload or ():
        if claim not in CLAIMS:
            near = [each for each in sorted(CLAIMS) if fnmatch.fnmatch(each, f"*{claim[:4]}*")] or sorted(CLAIMS)
            raise BadInput(
                f"{place}: who.workload: no identity token has {claim!r}.", hint=f"perhaps {', '.join(near[:6])}"
            )
    if rule.attestations and rule.modes == ("local",):
        raise BadInput(
            f"{place}: an attestation is over the file, which the service does not see in mode local; nobody can "
            "satisfy it.",
            hint='modes = ["server"]',
        )
    if rule.effect == "refuse" and (rule.limited or rule.attestations or rule.scan):
        raise BadInput(f"{place}: at-most, attestations and scan are for rules that allow.", hint="leave them out")
    for wanted in rule.attestations:
        wanted.check(place)


def _require_zone(place: str, when: When) -> None:
    try:
        _zone(when.zone)
    except (KeyError, ValueError, OSError):
        raise BadInput(
            f"{place}: when.zone: no time zone is named {when.zone[:60]!r}.", hint="such as Europe/Berlin"
        ) from None


@functools.lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def read_folder(files: Mapping[str, str]) -> PolicySet:
    """Read a set out of a folder's files; Misused where there is no rule in them."""
    if len(files) > MOST_FILES:
        raise TooLarge(f"There are {len(files)} files of rules; at most {MOST_FILES} are taken.")
    policy = unite({name: read_file(name, text.encode()) for name, text in files.items()})
    if not policy.rules:
        raise Misused("There is no rule in these files, and nothing would be allowed.", hint="write at least one rule")
    return policy


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A policy set as it was applied: which one, by whom, when."""

    number: int
    digest: str
    """SHA-256 of the set's octets, lower-case hex."""
    at: datetime
    actor: str
    accepted: str | None = None
    """Why conflicts of duties were accepted with it; None where there were none."""
