"""What was found of the Requirements, and the gates among them, for those whose role lets them see it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from litestar.params import FromPath, FromQuery, JSONBody

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.gates import GATES, NEVER_OVERRIDDEN, Overridden
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Kind
from privyseal.errors import BadInput
from privyseal.records import findings
from privyseal.records import gates as kept
from privyseal.records.database import Transaction
from privyseal.records.findings import Kept
from privyseal.signing import gates
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_findings import FindingList, FindingView, GateList, GateView, OverrideView, end_of_day


async def list_findings(
    subscriber: FromPath[str],
    desk: TheDesk,
    subject: FromQuery[str | None] = None,
    verdict: FromQuery[str | None] = None,
    as_of: FromQuery[str | None] = None,
) -> FindingList:
    """List what was found of the Subscriber's keys, signatures and members; ``as_of`` is a day, to its end."""
    wanted, moment = _verdict(verdict), end_of_day(as_of)

    def read(tx: Transaction) -> FindingList:
        found = findings.current(tx.connection, subscriber, subject=subject, verdict=wanted, as_of=moment)
        return FindingList(findings=tuple(map(finding_view, found)))

    return await desk.read(subscriber, read)


async def list_gates(subscriber: FromPath[str], desk: TheDesk) -> GateList:
    """List the gates, since when each refuses, and who lifted one for a while."""
    seal = desk.seal

    def read() -> GateList:
        with seal.records.reading_all_subscribers() as connection:
            enabled = {each.requirement: each.enforced for each in kept.enabled_of_all_subscribers(connection)}
        with seal.records.reading(subscriber) as tx:
            lifted = kept.overrides(tx, seal.clock())
        return GateList(gates=tuple(gate_view(each.id, enabled.get(each.id), lifted) for each in GATES))

    return await desk.file(read)


async def override_gate(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[Overridden], desk: TheDesk
) -> GateView:
    """Lift a gate for the Subscriber for a while, on the signatures of two overseers; repeating it changes nothing."""
    if data.override.subscriber != subscriber:
        raise BadInput("The override names another Subscriber than the path.")
    given = await desk.file(lambda: gates.override(desk.seal, request.user, data))
    return gate_view(given.override.requirement, None, [given])


def finding_view(kept_row: Kept) -> FindingView:
    """Show a row; the clause of a requirement that this program does not know any more is its id."""
    known = BY_ID.get(kept_row.requirement)
    return FindingView(
        requirement=kept_row.requirement,
        clause=kept_row.requirement if known is None else known.cited,
        binds=() if known is None else known.binds,
        kind=kept_row.kind,
        subject=kept_row.subject,
        verdict=kept_row.verdict,
        number=kept_row.number,
        sample=kept_row.sample,
        since=kept_row.at if kept_row.kind is Kind.SIGNATURE else kept_row.begun,
        text=kept_row.text,
        mend=kept_row.mend,
    )


def gate_view(requirement: str, enforced: datetime | None, lifted: Sequence[Overridden]) -> GateView:
    """Show a gate with its overrides that are not over."""
    known = BY_ID[requirement]
    return GateView(
        requirement=requirement,
        clause=known.cited,
        title=known.title,
        enforced=enforced,
        overridable=requirement not in NEVER_OVERRIDDEN,
        overrides=tuple(
            OverrideView(
                since=each.override.since,
                until=each.override.until,
                reason=each.override.reason,
                by=tuple(sorted(one.approver for one in each.approvals)),
            )
            for each in lifted
            if each.override.requirement == requirement
        ),
    )


def _verdict(word: str | None) -> Verdict | None:
    if word is None or word in set(Verdict):
        return None if word is None else Verdict(word)
    raise BadInput(f"{word[:40]!r} is no verdict.", hint=f"one of {', '.join(Verdict)}")
