"""What was found, and the gates, over HTTP: as the records have it, and nothing that sums it up."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.web.house import NOW, House

from privyseal.compliance.gates import GATES, Overridden, Override
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Kind
from privyseal.records import findings
from privyseal.records.findings import Kept
from privyseal.signing import gates
from privyseal.terms.keys import Approver
from privyseal.terms.requests import Approval, approved_octets


def kept(house: House, verdict: Verdict, days: int, **given: object) -> None:
    at = NOW - timedelta(days=days)
    usual: dict[str, object] = {"subscriber": "demo", "kind": Kind.KEY_PAIR, "subject": "release"}
    usual |= {"requirement": "CSBR-6.2.7.3-03", "text": "Found so.", "mend": "a new key"}
    row = Kept(**usual | given | {"at": at, "begun": at, "verdict": verdict})  # type: ignore[arg-type]
    with house.seal.records.batch() as batch:
        findings.add_of_all_subscribers(batch.across_subscribers(), [row])


def get(house: House, query: str = "") -> list[dict[str, object]]:
    answered = house.client.get(f"/v1/demo/findings{query}", headers=house.auth("auditor"))
    assert answered.status_code == 200, answered.text
    body = answered.json()
    assert "no audit opinion" in body["notice"]
    assert set(body) == {"findings", "notice"}
    found: list[dict[str, object]] = body["findings"]
    return found


def test_the_last_verdict_holds_and_an_earlier_day_can_be_asked_for(house: House) -> None:
    kept(house, Verdict.NOT_MET, 3)
    kept(house, Verdict.MET, 1)
    kept(house, Verdict.NOT_EVIDENCED, 1, requirement="CSBR-6.2.7.3-04")
    [level, shown] = get(house)
    assert (level["verdict"], level["clause"], level["subject"]) == ("met", "CSBR 6.2.7.3", "release")
    assert shown["mend"] == "a new key"
    day = (NOW - timedelta(days=2)).date().isoformat()
    [then] = get(house, f"?as_of={day}")
    assert then["verdict"] == "not-met"
    assert [each["requirement"] for each in get(house, "?verdict=not-evidenced")] == ["CSBR-6.2.7.3-04"]
    assert get(house, "?subject=other") == []


def test_what_is_about_the_service_or_about_others_is_not_shown(house: House) -> None:
    kept(house, Verdict.NOT_MET, 1, subscriber=None, kind=Kind.LOG, subject="log")
    kept(house, Verdict.NOT_MET, 1, subscriber="other")
    assert get(house) == []


def test_a_strange_verdict_or_day_is_one_sentence(house: House) -> None:
    for query in ("?verdict=compliant", "?as_of=yesterday"):
        answered = house.client.get(f"/v1/demo/findings{query}", headers=house.auth("auditor"))
        assert (answered.status_code, answered.json()["code"]) == (422, "bad-input")


def test_all_gates_are_listed_and_two_overseers_lift_one(house: House) -> None:
    gates.begin(house.seal)
    keys = {name: Ed25519PrivateKey.generate() for name in ("anna", "boris")}
    house.seal.overseers = tuple(Approver(name, key.public_key().public_bytes_raw()) for name, key in keys.items())
    listed = house.client.get("/v1/demo/gates", headers=house.auth("auditor")).json()["gates"]
    assert [each["requirement"] for each in listed] == [each.id for each in GATES]
    assert all(each["enforced"] and not each["overrides"] for each in listed)
    since = house.seal.clock().replace(microsecond=0)
    lifted = Override(
        subscriber="demo",
        requirement="CSBR-9.6.3-08",
        reason="release 7, at once",
        since=since,
        until=since + timedelta(hours=1),
    )
    digest = lifted.digest()
    approvals = tuple(
        Approval(
            approver=name,
            public_key=key.public_key().public_bytes_raw(),
            request_digest=digest,
            signature=key.sign(approved_octets(digest)),
        )
        for name, key in keys.items()
    )
    headers = house.auth("administrator") | {"Content-Type": "application/json"}
    for given, status in ((approvals[:1], 403), (approvals, 200), (approvals, 200)):
        document = msgspec.json.encode(Overridden(override=lifted, approvals=given))
        answered = house.client.post("/v1/demo/gates/overrides", headers=headers, content=document)
        assert answered.status_code in (status, 201), answered.text
    listed = house.client.get("/v1/demo/gates", headers=house.auth("auditor")).json()["gates"]
    [one] = [each for each in listed if each["overrides"]]
    assert one["requirement"] == "CSBR-9.6.3-08"
    assert [each["by"] for each in one["overrides"]] == [["anna", "boris"]]
