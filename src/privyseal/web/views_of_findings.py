"""What goes out about findings, gates, statements and incidents.

Light to import, as ``views.py`` is: the command line reads these, and starts once a file.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import msgspec

from privyseal.compliance.incidents import Case
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Kind, Party
from privyseal.compliance.statements import Said
from privyseal.errors import BadInput

NOT_AN_OPINION = (
    "Findings on single requirements by this service's own records. It is no audit opinion, and nothing here says that"
    " anything as a whole is compliant."
)
"""What stands above every list of findings."""


class FindingView(msgspec.Struct, frozen=True, kw_only=True):
    """What holds of one requirement for one subject, or for so many signatures with one key."""

    requirement: str
    clause: str
    """As it is cited: ``CSBR 6.2.7.3``."""
    binds: tuple[Party, ...] = ()
    """Who has to meet it: of most clauses on certificates their CA, and not the Signing Service."""
    kind: Kind
    subject: str
    verdict: Verdict
    number: int
    """How many signatures; 1 for everything else."""
    sample: str
    """Of signatures, one request that has this verdict."""
    since: datetime
    """When the verdict was found."""
    text: str
    mend: str


class FindingList(msgspec.Struct, frozen=True, kw_only=True):
    """The Subscriber's findings that hold, or held at the end of a day."""

    findings: tuple[FindingView, ...]
    notice: str = NOT_AN_OPINION


class OverrideView(msgspec.Struct, frozen=True, kw_only=True):
    """That a gate is lifted for a while, why, and who agreed."""

    since: datetime
    until: datetime
    reason: str
    by: tuple[str, ...]


class GateView(msgspec.Struct, frozen=True, kw_only=True):
    """A requirement that refuses signatures under publicly trusted certificates."""

    requirement: str
    clause: str
    title: str
    enforced: datetime | None
    """From when on it refuses; until then it reports. None where the service has not noted it yet: it refuses."""
    overridable: bool
    overrides: tuple[OverrideView, ...]


class GateList(msgspec.Struct, frozen=True, kw_only=True):
    """All gates, and how far each is enforced for the Subscriber now."""

    gates: tuple[GateView, ...]


def end_of_day(day: str | None) -> datetime | None:
    """Return the last moment of a day such as 2026-11-25, UTC; BadInput where it is none."""
    if day is None:
        return None
    try:
        return datetime.combine(date.fromisoformat(day), time.max, UTC)
    except ValueError:
        raise BadInput(f"{day[:40]!r} is not a day.", hint="such as 2026-11-25") from None


OCTETS = "application/octet-stream"
"""What a document is sent as, whatever it is."""


class StatementView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was stated, and how its place in the log can be checked."""

    entry: int
    """Index of the log's entry."""
    topic: str
    said: Said
    octets: bytes
    """What the log commits to, in base64: the canonical JSON of ``said``."""
    salt: bytes
    """Of the commitment, in base64."""


class StatementList(msgspec.Struct, frozen=True):
    """What members of the Subscriber stated, in the order of the log."""

    statements: tuple[StatementView, ...]


class CaseList(msgspec.Struct, frozen=True, kw_only=True):
    """The Subscriber's incidents, the newest first."""

    incidents: tuple[Case, ...]


def read_moment(text: str) -> datetime:
    """Read a time such as 2026-11-25T10:00Z, or a day, which is its first moment in UTC; BadInput for any other."""
    try:
        moment = datetime.fromisoformat(text[:40])
    except ValueError:
        raise BadInput(f"{text[:40]!r} is no time.", hint="such as 2026-11-25T10:00:00Z, or 2026-11-25") from None
    if moment.tzinfo is None and len(text) > 10:
        raise BadInput(f"{text[:40]!r} has no time zone.", hint="add Z for UTC")
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
