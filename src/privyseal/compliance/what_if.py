"""What a ballot would change: two catalogues, the same subjects, one day.

``Comparison`` holds the catalogue with and without the ballot, for each role. From it follow what newly falls short,
what has to be done by when, how much runway is left, and who is bound in each scenario. Pure: subjects and days are
handed in. Nothing here ever says that all is well; what has no verdict is listed like what is not met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date

import msgspec

from privyseal.compliance.ballots import Ballot, Table
from privyseal.compliance.classify import ServiceRole
from privyseal.compliance.evaluate import Subject, evaluate
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.proposal import Proposal, applied, touched, undone
from privyseal.compliance.requirement import Asked, InForce, Obligation, Party, Requirement
from privyseal.compliance.scenarios import Scenario, roles

_Catalogue = tuple[Requirement, ...]

_SHORT = frozenset({Verdict.NOT_MET, Verdict.NOT_EVIDENCED, Verdict.JUDGEMENT, Verdict.BROKEN})
"""Verdicts after which somebody has something to do."""


class Comparison(msgspec.Struct, frozen=True):
    """A ballot with the catalogue before and after it."""

    ballot: Ballot
    before: Callable[[ServiceRole | None], _Catalogue]
    after: Callable[[ServiceRole | None], _Catalogue]
    touched: tuple[str, ...]
    """Ids that it adds, changes or drops."""
    unseen: tuple[str, ...] = ()
    """Ids that it touches and that the catalogue does not have: nothing can be said of these."""


class Shortfall(msgspec.Struct, frozen=True):
    """Something that would newly fall short of a requirement."""

    subject: str
    requirement: str
    clause: str
    verdict: Verdict
    text: str
    mend: str
    due: date
    """By when it has to be done: the first day on which the requirement binds."""
    runway_days: int
    """Days until then; negative where the day has passed."""


class Duty(msgspec.Struct, frozen=True):
    """What a ballot asks from a day on, whoever has it."""

    requirement: str
    clause: str
    text: str
    binds: tuple[str, ...]
    judged_on: tuple[str, ...]
    dated_by: str
    due: date
    runway_days: int
    evidence: tuple[str, ...] = ()
    roles: tuple[ServiceRole, ...] = ()
    """For whom; none where for everybody."""


class Standing(msgspec.Struct, frozen=True):
    """Where one requirement leaves one scenario, before and after."""

    requirement: str
    bound_before: bool
    bound_after: bool
    on_paper_before: bool
    on_paper_after: bool
    who: tuple[Party, ...] = ()
    """Whom of those that are there it binds, before or after."""
    replaced_by: str = ""
    """The text that follows it and binds the same scenario."""
    permission: bool = False
    """It allows something (MAY), and binds nobody."""

    @property
    def words(self) -> str:
        """Say it: ``escapes``, ``now enforced``."""
        if self.permission:
            pair = (self.bound_before, self.bound_after)
            return {(False, True): "newly allowed", (True, False): "no longer allowed"}.get(pair, "does not bind")
        was = "on paper" if self.on_paper_before else "bound" if self.bound_before else "free"
        now = "on paper" if self.on_paper_after else "bound" if self.bound_after else "free"
        if was == now:
            return {"free": "not bound", "bound": "stays bound", "on paper": "stays bound on paper"}[now]
        if (was, now) == ("on paper", "bound"):
            return "now enforced"
        if (was, now) == ("bound", "on paper"):
            return "now on paper"
        if now == "free" and self.replaced_by:
            return "replaced"
        return {"free": "escapes", "bound": "newly bound", "on paper": "newly bound on paper"}[now]


class Ended(msgspec.Struct, frozen=True):
    """A requirement that binds nobody any more."""

    requirement: str
    replaced_by: str = ""


class Exposure(msgspec.Struct, frozen=True):
    """One scenario under the ballot."""

    scenario: str
    name: str
    role: ServiceRole
    bound: int
    """How many requirements bind or reach it on the day, after the ballot, without mere permissions."""
    on_paper: int
    """Of these, how many nobody enforces."""
    standings: tuple[Standing, ...]
    """One for each requirement that the ballot touches."""


class WhatIf(msgspec.Struct, frozen=True):
    """The whole answer."""

    ballot: str
    title: str | None
    on: date
    counted_from: date
    subjects: int
    shortfalls: tuple[Shortfall, ...]
    relieved: tuple[Finding, ...]
    """What falls short now and no longer would."""
    duties: tuple[Duty, ...]
    ended: tuple[Ended, ...]
    """What binds on the day without the ballot, and with it binds nobody."""
    exposures: tuple[Exposure, ...]
    unseen: tuple[str, ...]


def of_proposal(proposal: Proposal, catalogue: Sequence[Requirement]) -> Comparison:
    """Compare the catalogue with what a proposal would make of it."""
    base = tuple(catalogue)
    return Comparison(
        proposal.ballot, lambda role: base, lambda role: applied(proposal, base, role), touched(proposal, base)
    )


def of_ballot(ballot: Ballot, table: Table, catalogue: Sequence[Requirement]) -> Comparison:
    """Compare the catalogue with what it would be without a ballot of the table."""
    base, known = tuple(catalogue), {each.id for each in catalogue}
    moves = [moved for other in table.ballots for moved in other.takes_force if moved.moved_by == ballot.number]
    without = undone(ballot, base, moves)
    sketched = tuple(name for sketch in ballot.sketches for name in sketch.requirements)
    ids = ballot.changes.all
    replaced = tuple(each.id for each in base if each.superseded_by in ids)
    unseen = tuple(name for name in (*ids, *sketched) if name not in known)
    seen = tuple(dict.fromkeys(name for name in (*ids, *replaced, *sketched) if name in known))
    return Comparison(ballot, lambda role: without, lambda role: base, seen, unseen)


def what_if(
    comparison: Comparison,
    asked: Asked,
    counted_from: date,
    subjects: Iterable[Subject],
    scenarios: Sequence[Scenario],
    role: ServiceRole | None = None,
) -> WhatIf:
    """Say what would be found on the day of ``asked``; runway counts from ``counted_from``.

    ``role`` is the role of whoever holds the subjects. Without it, what the ballot does for some roles only is not
    applied to them, and :attr:`WhatIf.exposures` still tells it of every role.
    """
    given, day = tuple(subjects), asked.at.astimezone(UTC).date()
    shortfalls, relieved = _fallen(given, (comparison.before(role), comparison.after(role)), asked, counted_from)
    return WhatIf(
        ballot=comparison.ballot.number,
        title=comparison.ballot.title,
        on=day,
        counted_from=counted_from,
        subjects=len(given),
        shortfalls=shortfalls,
        relieved=relieved,
        duties=_duties(comparison, asked, counted_from),
        ended=_ended(comparison, day, asked),
        exposures=tuple(_exposure(each, comparison, day, asked) for each in scenarios),
        unseen=comparison.unseen,
    )


def _fallen(
    subjects: Sequence[Subject], catalogues: tuple[_Catalogue, _Catalogue], asked: Asked, counted_from: date
) -> tuple[tuple[Shortfall, ...], tuple[Finding, ...]]:
    """Evaluate each subject under both catalogues, only where they differ."""
    before, after = catalogues
    old, new = set(before), set(after)
    lost, gained = [each for each in before if each not in new], [each for each in after if each not in old]
    shortfalls: list[Shortfall] = []
    relieved: list[Finding] = []
    for subject in subjects:
        was = {each.requirement: each for each in evaluate(subject, lost, asked) if each.verdict in _SHORT}
        still: set[str] = set()
        for requirement in gained:
            for finding in evaluate(subject, (requirement,), asked):
                if finding.verdict not in _SHORT:
                    continue
                still.add(finding.requirement)
                if finding.requirement not in was or was[finding.requirement].verdict != finding.verdict:
                    due = requirement.binding_since(asked.choices).since
                    shortfalls.append(_shortfall(finding, due, (due - counted_from).days))
        relieved += [finding for name, finding in was.items() if name not in still]
    return tuple(shortfalls), tuple(relieved)


def _shortfall(finding: Finding, due: date, runway_days: int) -> Shortfall:
    return Shortfall(
        finding.subject,
        finding.requirement,
        finding.clause,
        finding.verdict,
        finding.text,
        finding.mend,
        due,
        runway_days,
    )


def _duties(comparison: Comparison, asked: Asked, counted_from: date) -> tuple[Duty, ...]:
    """List what comes to bind because of the ballot, with the roles for whom it does; the earliest first."""
    found: dict[tuple[date, str], tuple[Requirement, list[ServiceRole]]] = {}
    for role in roles():
        before: dict[str, list[Requirement]] = {}
        for old in comparison.before(role):
            before.setdefault(old.id, []).append(old)
        for each in comparison.after(role):
            if not any(_same_text(old, each) for old in before.get(each.id, [])):
                due = each.binding_since(asked.choices).since
                found.setdefault((due, each.id), (each, []))[1].append(role)
    return tuple(
        Duty(
            each.id,
            each.cited,
            each.text,
            tuple(each.binds),
            tuple(each.kinds),
            each.dated_by,
            due,
            (due - counted_from).days,
            () if each.wants is None else each.wants.evidence,
            () if len(meant) == len(roles()) else tuple(meant),
        )
        for (due, _), (each, meant) in sorted(found.items(), key=lambda item: item[0])
    )


def _same_text(old: Requirement, new: Requirement) -> bool:
    """Tell whether two texts say the same from the same day on, whenever they end and whatever follows them."""
    end = {"in_force": InForce(new.in_force.since), "superseded_by": None}
    same_start = old.in_force.since == new.in_force.since
    return same_start and msgspec.structs.replace(old, **end) == msgspec.structs.replace(new, **end)


def _ended(comparison: Comparison, day: date, asked: Asked) -> tuple[Ended, ...]:
    """Return what binds on the day without the ballot and, with it, in no role at all."""
    binding = {name for role in roles() for name in _binding(comparison.after(role), day, asked)}
    after = _successors(comparison.after(None))
    was = _binding(comparison.before(None), day, asked)
    return tuple(Ended(name, after.get(name, "")) for name in was if name not in binding)


def _successors(catalogue: _Catalogue) -> dict[str, str]:
    return {each.id: each.superseded_by for each in catalogue if each.superseded_by is not None}


def _binding(catalogue: _Catalogue, day: date, asked: Asked) -> dict[str, Requirement]:
    return {each.id: each for each in catalogue if each.binding_since(asked.choices).on(day)}


def _exposure(scenario: Scenario, comparison: Comparison, day: date, asked: Asked) -> Exposure:
    before = _binding(comparison.before(scenario.role), day, asked)
    after = _binding(comparison.after(scenario.role), day, asked)
    bound = [each for each in after.values() if scenario.bound_by(each) and each.obligation is not Obligation.MAY]
    following = _successors(comparison.after(scenario.role))
    paper = [each for each in bound if scenario.only_on_paper(each, before.get(each.id))]
    return Exposure(
        scenario.id,
        scenario.name,
        scenario.role,
        len(bound),
        len(paper),
        tuple(
            _standing(name, scenario, before, after, after.get(following.get(name, ""))) for name in comparison.touched
        ),
    )


def _standing(
    name: str,
    scenario: Scenario,
    before: dict[str, Requirement],
    after: dict[str, Requirement],
    follows: Requirement | None,
) -> Standing:
    old, new = before.get(name), after.get(name)
    was = old is not None and scenario.bound_by(old)
    now = new is not None and scenario.bound_by(new)
    said = old if new is None else new
    return Standing(
        name,
        was,
        now,
        old is not None and was and scenario.only_on_paper(old),
        new is not None and now and scenario.only_on_paper(new, old),
        () if said is None else scenario.who(said),
        follows.id if follows is not None and scenario.bound_by(follows) else "",
        said is not None and said.obligation is Obligation.MAY,
    )
