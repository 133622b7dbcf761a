"""``POST /v1/token``: one identity token, one token of ours, and what is told to whom where it is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.access import platform_tokens as tokens
from tests.access.platform_tokens import AUDIENCE, NOW, public
from tests.provider import Provider, providing
from tests.web.house import House, check

from privyseal.access.platforms import PLATFORMS
from privyseal.compliance.statements import Administered
from privyseal.records import statements
from privyseal.signing.exchange import LIFE
from privyseal.signing.issuers import Issuer, Issuers
from privyseal.terms.parties import Role
from privyseal.web.exchange import ACCESS, GRANT, IDENTITY, Exchanged, ExchangeRefusal

GITHUB = {"platform": "github", "name": "acme/app", "member": "release-bot", "conditions": tokens.RULES["github"]}


class Gate:
    """A house that believes every platform, with its keys pinned, at a moment that a test turns."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.now = NOW
        house.seal.clock = lambda: self.now
        keys = (public("RS256"), public("ES256", use="jwt-svid"))
        house.seal.issuers = Issuers(
            [
                Issuer(platform=each, issuer=tokens.ISSUERS[name], audience=each.audience or AUDIENCE, pinned=keys)
                for name, each in PLATFORMS.items()
            ]
        )
        self.minted = 0

    def add(self, rule: dict[str, Any] = GITHUB, who: str = "administrator", to: str = "demo", **changes: Any) -> Any:
        """Ask for a rule."""
        return self.house.client.post(f"/v1/{to}/trust", json=rule | changes, headers=self.house.auth(who))

    def token(self, platform: str = "github", **changes: Any) -> bytes:
        """Make a new identity token of one job."""
        self.minted += 1
        return tokens.run(platform, at=self.now, jti=f"j-{self.minted}", **changes)

    def ask(self, token: bytes, **form: str) -> Any:
        """Exchange it."""
        fields = {"grant_type": GRANT, "subject_token_type": IDENTITY[0], "subject_token": token.decode("latin-1")}
        return self.house.client.post("/v1/token", data=fields | {"subscriber": "demo"} | form)

    def given(self, token: bytes, **form: str) -> Exchanged:
        """Exchange it, which works."""
        answered = self.ask(token, **form)
        assert answered.status_code == 200, answered.text
        assert answered.headers["cache-control"] == "no-store"
        return msgspec.json.decode(answered.content, type=Exchanged)

    def refused(self, answered: Any, code: str, status: int = 400) -> ExchangeRefusal:
        """Read a refusal, which is OAuth's and ours."""
        assert (answered.status_code, answered.headers["content-type"]) == (status, "application/json"), answered.text
        found = msgspec.json.decode(answered.content, type=ExchangeRefusal)
        assert (found.code, found.status, found.error_description) == (code, status, found.detail)
        assert found.error == ("invalid_request" if status == 400 else "temporarily_unavailable")
        assert "eyJ" not in answered.text and found.detail.endswith((".", "?"))
        return found

    def whoami(self, token: str) -> Any:
        """Ask who one is with it."""
        return self.house.client.get("/v1/whoami", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def gate(house: House) -> Gate:
    """Open one."""
    return Gate(house)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_run_of_every_platform_becomes_the_member_of_its_rule(platform: str, gate: Gate) -> None:
    """A machine, by a workload's token; it may sign, and its event says by what it was proved."""
    rule = {"platform": platform, "name": "app", "member": "bot", "conditions": tokens.RULES[platform]}
    answered = gate.add(rule | {"issuer": tokens.ISSUERS[platform]})
    assert answered.status_code == 201, answered.text
    given = gate.given(gate.token(platform))
    assert (given.issued_token_type, given.token_type, given.expires_in) == (ACCESS, "Bearer", 600)
    assert given.rule == answered.json()["id"] and given.member == answered.json()["member"]
    assert given.run and given.attempt
    who = gate.whoami(given.access_token).json()
    assert (who["name"], who["roles"], who["factors"]) == ("bot", ["requester"], ["workload-token"])
    actor = gate.house.desk._machines._known[next(iter(gate.house.desk._machines._known))][1]
    assert actor.member.workload is True and actor.workload is not None
    assert (actor.workload.provider, actor.workload.exchange) == (platform, given.exchange)


def test_a_run_signs_and_its_proof_is_on_record(gate: Gate) -> None:
    """The event that compliance reads names the workload's token."""
    gate.add()
    given = gate.given(gate.token())
    headers = {"Authorization": f"Bearer {given.access_token}"}
    answered = gate.house.post(gate.house.request(), **headers)
    assert answered.status_code == 201, answered.text
    with gate.house.seal.records.reading("demo") as tx:
        from privyseal.records.events import events_about

        assert [each.what for each in events_about(tx, answered.json()["id"])][:2] == [
            "submitted, approved",
            "by workload-token",
        ]


def test_three_hundred_replays_are_refused(gate: Gate) -> None:
    """Thirty tokens, ten times each, also at once; each is accepted once, and every refusal says why."""
    gate.add()
    minted = [gate.token() for _ in range(30)]
    with ThreadPoolExecutor(8) as crowd:
        answers = list(crowd.map(gate.ask, [each for each in minted for _ in range(11)]))
    good = [each for each in answers if each.status_code == 200]
    assert len(good) == 30 and len({each.json()["exchange"] for each in good}) == 30
    replays = [each for each in answers if each.status_code != 200]
    assert len(replays) == 300
    for each in replays:
        found = gate.refused(each, "not-authenticated")
        assert found.detail == "This identity token was exchanged before; each is good for one exchange."


def test_a_replay_for_another_policy_or_subscriber_is_one(gate: Gate) -> None:
    """What a token was used for does not matter."""
    gate.add()
    gate.add(who="other", to="other")
    token = gate.token()
    gate.given(token)
    gate.refused(gate.ask(token, policy="beta"), "not-authenticated")
    gate.refused(gate.ask(token, subscriber="other"), "not-authenticated")
    gate.now += timedelta(minutes=5)  # it expired, and its minute of grace is not over
    gate.refused(gate.ask(token), "not-authenticated")


def test_jobs_of_one_run_do_not_get_in_each_others_way(gate: Gate) -> None:
    """Each has an identity token of its own, under the same run and attempt."""
    gate.add()
    given = [gate.given(gate.token()) for _ in range(5)]
    assert {(each.run, each.attempt) for each in given} == {("9876543210", "1")}
    assert len({each.access_token for each in given}) == 5


def test_a_fixed_token_is_exchanged_as_often_as_its_rule_allows(gate: Gate) -> None:
    """A GitLab job has one, and may sign twice."""
    gate.add({"platform": "gitlab", "name": "a", "member": "b", "conditions": tokens.RULES["gitlab"], "exchanges": 2})
    token = gate.token("gitlab")
    gate.given(token)
    gate.given(token)
    gate.refused(gate.ask(token), "not-authenticated")


def test_a_token_of_ours_ends_after_ten_minutes(gate: Gate) -> None:
    """And its run must exchange another."""
    gate.add()
    given = gate.given(gate.token())
    gate.now += LIFE - timedelta(seconds=1)
    assert gate.whoami(given.access_token).status_code == 200
    gate.now += timedelta(seconds=2)
    assert gate.whoami(given.access_token).status_code == 401


def test_with_its_rule_a_token_ends_at_once(gate: Gate) -> None:
    """Also one that was used a moment ago."""
    rule = gate.add().json()["id"]
    given = gate.given(gate.token())
    assert gate.whoami(given.access_token).status_code == 200
    path = f"/v1/demo/trust/{rule}"
    assert gate.house.client.delete(path, headers=gate.house.auth("administrator")).status_code == 204
    assert gate.whoami(given.access_token).status_code == 401
    gate.refused(gate.ask(gate.token()), "not-permitted")


def test_what_differs_is_told_to_whom_it_concerns(gate: Gate) -> None:
    """The repository's own run, of the rule that it names."""
    rule = gate.add().json()
    found = gate.refused(gate.ask(gate.token(environment=None), rule=rule["id"]), "claim-mismatch")
    told = {each.claim: (each.came, each.expected, each.same) for each in found.mismatches}
    assert told["environment"] == ("", "release", False) and told["workflow_file"][2]
    assert "do not copy" in str(found.hint)
    assert gate.refused(gate.ask(gate.token(environment=None), member=rule["member"]), "claim-mismatch").mismatches


def test_an_outsider_learns_only_that_nothing_trusts_him(gate: Gate) -> None:
    """The same answer with the rule's id, without, for a Subscriber without rules, and for one that does not exist."""
    rule = gate.add().json()
    answers = []
    for form in ({"rule": rule["id"]}, {"member": rule["member"]}, {}, {"subscriber": "other"}, {"subscriber": "none"}):
        found = gate.refused(gate.ask(gate.token(repository_id="4"), **form), "not-permitted")
        answers.append((found.detail, found.hint, found.mismatches, found.status))
    assert len(set(answers)) == 1


def test_another_subscribers_rules_let_nobody_in(gate: Gate) -> None:
    """Nor are they seen or removed."""
    rule = gate.add().json()["id"]
    gate.refused(gate.ask(gate.token(), subscriber="other"), "not-permitted")
    other = gate.house.auth("other")
    assert gate.house.client.get(f"/v1/other/trust/{rule}", headers=other).status_code == 404
    assert gate.house.client.delete(f"/v1/other/trust/{rule}", headers=other).status_code == 404
    assert gate.house.client.get("/v1/other/trust", headers=other).json() == {"rules": []}
    gate.given(gate.token())


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"grant_type": "password"}, "grant_type is 'password'"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "subject_token_type is"),
        ({"requested_token_type": IDENTITY[0]}, "Another kind of token"),
        ({"subscriber": ""}, "lacks subscriber"),
        ({"actor_token": "x"}, "not known here: 'actor_token'"),
        ({"policy": "x" * 256}, "more than 255"),
    ],
)
def test_a_form_that_is_wrong_is_one_sentence(form: dict[str, str], words: str, gate: Gate) -> None:
    """In OAuth's shape."""
    assert words in gate.refused(gate.ask(gate.token(), **form), "bad-input").detail


def test_a_body_that_is_no_form_is_refused(gate: Gate) -> None:
    """Another type, a field twice, too many fields, octets that are none, too large."""
    post, form = gate.house.client.post, {"Content-Type": "application/x-www-form-urlencoded"}
    check(post("/v1/token", json={}), 415, "unsupported-media-type")
    for body in (b"a=1&a=2", b"&".join(b"f%d=1" % n for n in range(17)), b"\xff=1", b"", b"a"):
        gate.refused(post("/v1/token", content=body, headers=form), "bad-input")
    check(post("/v1/token", content=b"a=" + b"x" * 40000, headers=form), 413, "too-large")
    gate.refused(gate.ask(b"not a token"), "not-authenticated")
    gate.refused(gate.ask("\u00e9.\u00e9.\u00e9".encode()), "not-authenticated")


def test_a_service_that_was_not_told_its_audience_exchanges_nothing(gate: Gate) -> None:
    """It says what its operator can do."""
    gate.house.seal.issuers = None
    assert "[workloads] audience" in str(gate.refused(gate.ask(gate.token()), "not-permitted").hint)
    assert gate.add().status_code == 403


def test_a_provider_that_is_down_is_503(gate: Gate) -> None:
    """Retryable, one sentence."""
    with providing() as provider:
        _believe(gate, provider)
        provider.answer = lambda path: (500, b"")
        found = gate.refused(gate.ask(gate.token(iss=provider.url)), "unavailable", 503)
        assert found.retryable and provider.url in found.detail


def _believe(gate: Gate, provider: Provider) -> None:
    gate.house.seal.issuers = Issuers(
        [Issuer(platform=PLATFORMS["github"], issuer=provider.url, audience=AUDIENCE, loopback=True)]
    )


def test_a_rule_is_added_once_and_is_an_act_on_record(gate: Gate) -> None:
    """The same again is the same; each act is stated once, and so is its removal."""
    first, again = gate.add(), gate.add()
    assert first.json() == again.json()
    headers = gate.house.auth("administrator")
    assert gate.house.client.get("/v1/demo/trust", headers=headers).json()["rules"] == [first.json()]
    assert gate.house.client.get(f"/v1/demo/trust/{first.json()['id']}", headers=headers).json() == first.json()
    gate.house.client.delete(f"/v1/demo/trust/{first.json()['id']}", headers=headers)
    with gate.house.seal.records.reading_all_subscribers() as connection:
        waiting = statements.unplaced_of_all_subscribers(connection, 100)
    said = [statements.said_in(each.octets).matter for _, each in waiting]
    acts = [each.what for each in said if isinstance(each, Administered) and "trust rule" in each.what]
    assert acts == ["trust rule added", "trust rule removed"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"member": "requester"}, "is not a machine"),
        ({"member": "M-aaaa"}, "There is no member"),
        ({"issuer": "https://gitlab.com"}, "knows no issuer"),
        ({"issuer": "https://evil.example"}, "knows no issuer"),
        ({"conditions": {"repository_id": "1"}}, "does not name repository_owner_id"),
    ],
)
def test_a_rule_that_cannot_be_is_one_sentence(changes: dict[str, Any], words: str, gate: Gate) -> None:
    """And nothing is written."""
    answered = gate.add(**changes)
    assert answered.status_code == 422 and words in answered.json()["detail"]
    assert gate.house.client.get("/v1/demo/trust", headers=gate.house.auth("auditor")).json() == {"rules": []}


def test_no_run_acts_as_who_may_agree(gate: Gate) -> None:
    """A machine with more than a requester's role is not for runs, nor for static tokens."""
    from privyseal.signing import enrol

    enrol.member(gate.house.seal, "demo", "robot", (Role.APPROVER,), True)
    assert "which no machine may" in gate.add(member="robot").json()["detail"]
    assert "which no machine may" in _give(gate, member="robot").json()["detail"]


def test_nothing_of_a_token_is_in_the_records(gate: Gate) -> None:
    """Neither of the run's own nor of ours."""
    gate.add()
    token = gate.token()
    given = gate.given(token)
    with gate.house.seal.records.reading_all_subscribers() as connection:
        from sqlalchemy import select

        from privyseal.records.tables import exchanged_tokens

        stored = repr(connection.execute(select(exchanged_tokens)).fetchall())
    for secret in (given.access_token[4:], token.decode()[:40], token.decode().rpartition(".")[2][:40]):
        assert secret not in stored
    assert given.access_token not in repr(given)


# -- static tokens ------------------------------------------------------------------------------------------------


def _give(gate: Gate, **changes: Any) -> Any:
    document = {"member": "build-7", "label": "nightly"} | changes
    return gate.house.client.post("/v1/demo/tokens", json=document, headers=gate.house.auth("administrator"))


def test_a_static_token_is_shown_once_and_kept_hashed(gate: Gate) -> None:
    """It lives for a day, and the day of its last use is kept."""
    answered = _give(gate)
    assert answered.status_code == 201 and answered.headers["cache-control"] == "no-store"
    token, about = answered.json()["token"], answered.json()["about"]
    assert about["used"] == "" and about["expires"] == "2026-12-01T12:00:00Z"
    who = gate.whoami(token).json()
    assert (who["name"], who["factors"]) == ("build-7", ["bearer"])
    listed = gate.house.client.get("/v1/demo/tokens", headers=gate.house.auth("auditor"))
    assert [each["used"] for each in listed.json()["tokens"]] == ["2026-11-30"]
    assert token not in listed.text
    gate.now += timedelta(days=1)
    assert gate.whoami(token).status_code == 401


def test_a_static_token_is_for_what_it_says(gate: Gate) -> None:
    """Its verbs and its key, of what its member may."""
    narrow = {"Authorization": f"Bearer {_give(gate, verbs=['see-keys']).json()['token']}"}
    assert gate.house.client.get("/v1/demo/keys", headers=narrow).status_code == 200
    answered = gate.house.post(gate.house.request(), **narrow)
    assert answered.status_code == 403 and "not for 'request'" in answered.json()["detail"]
    given = _give(gate, key="guarded").json()
    other = {"Authorization": f"Bearer {given['token']}"}
    answered = gate.house.post(gate.house.request(), **other)
    assert answered.status_code == 403 and "'guarded' only" in answered.json()["detail"]
    asked = gate.house.request("guarded", requester=given["about"]["member"])
    assert gate.house.post(asked, "k-2", **other).status_code == 202


def test_a_revoked_static_token_is_refused_at_once(gate: Gate) -> None:
    """Though it was good a moment ago."""
    given = _give(gate).json()
    assert gate.whoami(given["token"]).status_code == 200
    path = f"/v1/demo/tokens/{given['about']['id']}"
    assert gate.house.client.delete(path, headers=gate.house.auth("administrator")).status_code == 204
    assert gate.whoami(given["token"]).status_code == 401
    assert gate.house.client.delete(path, headers=gate.house.auth("administrator")).status_code == 404


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"days": 91}, "<= 90"),
        ({"days": 0}, ">= 1"),
        ({"verbs": ["approve"]}, "cannot be for approve"),
        ({"verbs": []}, "cannot be for nothing"),
        ({"member": "administrator"}, "is not a machine"),
    ],
)
def test_a_static_token_that_cannot_be_is_refused(changes: dict[str, Any], words: str, gate: Gate) -> None:
    """People's verbs, people themselves, and a life of more than 90 days."""
    answered = _give(gate, **changes)
    assert answered.status_code == 422 and words in answered.json()["detail"]


@pytest.mark.parametrize("prefix", ["pst_", "pss_", "psw_"])
def test_a_token_of_another_kind_is_unknown(prefix: str, gate: Gate) -> None:
    """The digest of one is looked for among its own kind only."""
    gate.add()
    for token in (_give(gate).json()["token"], gate.given(gate.token()).access_token, gate.house.tokens["requester"]):
        changed = prefix + token[4:]
        assert gate.whoami(changed).status_code == (200 if changed == token else 401)
