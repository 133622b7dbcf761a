"""Where what was found is kept: a verdict that is another than before is a new row, and is told.

Where the verdict is the same and something else is to be done about it, that is a new row as well, and nobody is told.
Words alone change nothing: some say of which moment they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.requirement import Kind
from privyseal.records import findings
from privyseal.records.findings import Kept
from privyseal.signing import announce
from privyseal.signing.instance import PrivySeal

APPLIES = frozenset({Verdict.NOT_APPLICABLE})
"""What is not kept where nothing was found before: that something does not apply."""

FAULTS = frozenset({Verdict.NOT_APPLICABLE, Verdict.MET})
"""What is not kept of certificates where nothing was found before. Some thirty clauses are met by each, and its octets
show it again at any time (``privyseal lint``); kept are the others, and what becomes of those."""


class Judged(Protocol):
    """Anything that has findings."""

    @property
    def kind(self) -> Kind:
        """What it is."""

    @property
    def label(self) -> str:
        """How people tell it from others of its kind."""


S = TypeVar("S", bound=Judged)


class Verdicts:
    """Appends what is found at one moment, and counts."""

    def __init__(self, seal: PrivySeal, at: datetime) -> None:
        """Write to the records of ``seal``."""
        self._seal = seal
        self._at = at
        self.judged = self.changed = 0

    def judge(
        self,
        subjects: Sequence[tuple[str | None, S]],
        find: Callable[[S], Iterable[Finding]],
        unsaid: frozenset[Verdict] = APPLIES,
    ) -> None:
        """Append the verdicts of some subjects, each with its owner, that are others than before; tell of changes.

        ``unsaid`` are those that are not kept where there was none before.
        """
        by_owner: dict[tuple[str | None, Kind], list[S]] = {}
        for owner, subject in subjects:
            by_owner.setdefault((owner, subject.kind), []).append(subject)
        self.judged += len(subjects)
        new, changed = list[Kept](), list[Kept]()
        with self._seal.records.reading_all_subscribers() as connection:
            for (owner, kind), some in by_owner.items():
                before = findings.verdicts_of_all_subscribers(connection, kind, owner, [each.label for each in some])
                for subject in some:
                    for finding in find(subject):
                        was = before.pop((subject.label, finding.requirement), None)
                        if was is None and finding.verdict in unsaid:
                            continue
                        same = was is not None and was.verdict is finding.verdict
                        if was is not None and same and was.mend == finding.mend:
                            continue
                        row = kept(owner, kind, subject.label, finding, self._at)
                        new.append(msgspec.structs.replace(row, begun=was.begun) if was is not None and same else row)
                        if was is not None and not same:
                            changed.append(row)
                over = [place for place, was in before.items() if was.verdict not in APPLIES]
                new += [_ended(owner, kind, place, self._at) for place in over]
        self.append(new, changed)

    def append(self, new: Sequence[Kept], changed: Sequence[Kept] = ()) -> None:
        """Append rows as they are; of those that are ``changed`` a statement is made."""
        self.changed += len(new)
        if new:
            with self._seal.records.batch() as batch:
                findings.add_of_all_subscribers(batch.across_subscribers(), new)
                announce.verdicts_changed(self._seal, batch, changed)


def _ended(owner: str | None, kind: Kind, place: tuple[str, str], at: datetime) -> Kept:
    """Return the row that ends what was found of a requirement that says nothing of the subject any more."""
    subject, requirement = place
    return Kept(
        subscriber=owner,
        at=at,
        kind=kind,
        subject=subject,
        requirement=requirement,
        verdict=Verdict.NOT_APPLICABLE,
        begun=at,
        text="It does not speak of this any more.",
    )


def kept(owner: str | None, kind: Kind, subject: str, finding: Finding, at: datetime) -> Kept:
    """Return the row of a finding."""
    return Kept(
        subscriber=owner,
        at=at,
        kind=kind,
        subject=subject,
        requirement=finding.requirement,
        verdict=finding.verdict,
        begun=at,
        text=finding.text,
        mend=finding.mend,
    )
