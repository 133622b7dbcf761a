"""How long a policy set of 1,000 rules takes to decide, against Cedar with the same rules parsed beforehand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import cedarpy

from bench.harness import Row, against, rate
from privyseal.access.deciding import Allowed, Asked, decide
from privyseal.access.policies import read_file, unite
from privyseal.terms.parties import Role

RULES = 1000
_AT_ONCE = 20
_KINDS = {
    "of one key each": ('keys = ["k{n}"]', 'context.key == "k{n}"'),
    "of one publisher each": ('keys = ["*"]\npublisher = ["P{n}"]', 'context.publisher == "P{n}"'),
    "of one repository each, with stars": (
        'keys = ["*"]\nwho = {{ workload = {{ repository = "acme/{n}*", ref = "refs/tags/*" }} }}',
        'context.repository like "acme/{n}*" && context.ref like "refs/tags/*"',
    ),
}


def decisions(folder: Path, rounds: int) -> list[Row]:
    """Decide one request that one rule of a thousand allows; microseconds for each decision."""
    return [_row(kind, *texts, rounds) for kind, texts in _KINDS.items()]


def _row(kind: str, ours: str, theirs: str, rounds: int) -> Row:
    text = "\n".join(f"[r{n}]\n{ours.format(n=n)}" for n in range(RULES))
    policy = unite({"bench.toml": read_file("bench.toml", text.encode())})
    claims = {"provider": "github", "repository": "acme/500", "ref": "refs/tags/v1"}
    asked = Asked(
        member="M-1", name="ci", roles=(Role.REQUESTER,), key="k500", formats=("pe",), mode="local",
        at=datetime.now(UTC), publisher="P500", claims=claims,
    )  # fmt: skip
    rules = "\n".join(f"permit(principal, action, resource) when {{ {theirs.format(n=n)} }};" for n in range(RULES))
    parsed, nobody = cedarpy.PolicySet.from_str(rules), cedarpy.Entities.from_json_str("[]")
    request = {"principal": 'Member::"M-1"', "action": 'Action::"sign"', "resource": 'Key::"k500"'}
    context = {"key": "k500", "publisher": "P500", "repository": "acme/500", "ref": "refs/tags/v1"}

    def us() -> float:
        return 1e6 / rate(lambda: sum(isinstance(decide(policy, asked), Allowed) for _ in range(_AT_ONCE)))

    def cedar() -> float:
        whole = {**request, "context": context}
        return 1e6 / rate(
            lambda: sum(bool(cedarpy.is_authorized(whole, parsed, nobody).allowed) for _ in range(_AT_ONCE))
        )

    subject, limit, ratio, each = against(cedar, us, rounds)
    return Row(f"policy, 1,000 rules {kind}: / Cedar", subject, limit, ratio, "us", "< 200 us", "lower", rounds=each)
