"""Trust rules: what they let in, what they refuse to be, and what a stranger learns of them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.access import platform_tokens as tokens
from tests.access.platform_tokens import claims

from privyseal.access import trust
from privyseal.access.platforms import PLATFORMS, flat
from privyseal.access.trust import Differs, Named, NewRule, Several, Trusted, TrustRule, Untrusted
from privyseal.errors import BadInput


def rule(platform: str = "github", number: int = 1, policy: str = "", **conditions: str) -> TrustRule:
    """Make the platform's rule, changed as asked."""
    return TrustRule(
        id=f"T-{number}",
        member="M-bot",
        platform=platform,
        issuer=tokens.ISSUERS[platform],
        name="acme/app",
        conditions=tuple(sorted((tokens.RULES[platform] | conditions).items())),
        policy=policy,
    )


def decide(rules: list[TrustRule], named: Named = Named(), platform: str = "github", **changes: Any) -> Any:  # noqa: B008
    """Judge a run of the platform."""
    return trust.decide(rules, tokens.ISSUERS[platform], flat(claims(platform, **changes)), named)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_rule_lets_its_run_in(platform: str) -> None:
    """And no run that differs in any claim that the rule names."""
    mine = rule(platform)
    trust.require_narrow(NewRule(platform=platform, name="a", member="b", conditions=dict(mine.conditions)))
    assert decide([mine], platform=platform) == Trusted(mine)
    text = flat(claims(platform))
    for claim, _ in mine.conditions:
        for other in (text | {claim: "x"}, {k: v for k, v in text.items() if k != claim}):
            assert not isinstance(trust.decide([mine], mine.issuer, other, Named()), Trusted)


def test_the_name_of_a_repository_decides_nothing() -> None:
    """Renamed it is still trusted; another one of the old name is not."""
    moved = {"repository": "acme/application"}
    moved |= {"workflow_ref": "acme/application/.github/workflows/release.yml@refs/tags/v2.4.0", "sub": "repo:x/y"}
    assert isinstance(decide([rule()], **moved), Trusted)
    assert decide([rule()], repository_id="999") == Untrusted()
    assert decide([rule()], repository_owner_id="999") == Untrusted()


def test_a_pull_request_is_never_let_in_unasked() -> None:
    """A rule that does not speak of events leaves out those in which unmerged code runs."""
    found = decide([rule()], Named(rule="T-1"), event_name="pull_request_target")
    assert isinstance(found, Differs)
    assert [each.claim for each in found.compared if not each.same] == ["event_name"]
    assert isinstance(
        decide([rule("circleci")], Named("T-1"), "circleci", **{"oidc.circleci.com/ssh-rerun": True}), Differs
    )


def test_what_differs_is_told_of_the_rule_that_was_named() -> None:
    """All claims, what came, what was expected."""
    found = decide([rule()], Named(rule="T-1"), environment=None)
    told = {each.claim: (each.came, each.expected, each.same) for each in found.compared}
    assert told["environment"] == ("", "release", False)
    assert told["repository_id"] == ("1296269", "1296269", True)


@pytest.mark.parametrize("named", [Named(), Named(policy="release"), Named(rule="T-9"), Named(member="M-x")])
def test_without_naming_it_nothing_is_told(named: Named) -> None:
    """Not even that there is a rule."""
    assert decide([rule()], named, environment=None) == Untrusted()


@pytest.mark.parametrize("named", [Named(rule="T-1"), Named(member="M-bot")])
def test_a_stranger_learns_nothing_by_naming_it(named: Named) -> None:
    """His repository is not the rule's, so the answer is that of no rule at all."""
    assert decide([rule()], named, repository_id="4") == decide([], named, repository_id="4") == Untrusted()
    assert trust.decide([rule()], "https://gitlab.com", flat(claims("github")), named) == Untrusted()


def test_of_several_the_run_names_one() -> None:
    """By the rule, or by the policy that it is for."""
    both = [rule(policy="release"), rule(number=2, policy="beta")]
    assert decide(both) == Several(("T-1", "T-2"))
    assert decide(both, Named(policy="beta")) == Trusted(both[1])
    assert decide(both, Named(rule="T-1")) == Trusted(both[0])
    assert decide(both, Named(policy="gamma")) == Untrusted()


@pytest.mark.parametrize(
    ("expected", "came", "same"),
    [
        ("refs/tags/v*", "refs/tags/v2.4.0", True),
        ("refs/tags/v*", "refs/tags/v", True),
        ("refs/tags/v*", "refs/tags/v2/evil", False),
        ("refs/tags/v*", "refs/tags/x2", False),
        ("refs/tags/v*", "refs/heads/refs/tags/v2", False),
        ("refs/tags/v*.*", "refs/tags/v2.4", True),
        ("refs/tags/v.*", "refs/tags/vx1", False),
        ("refs/heads/main", "refs/heads/Main", False),
    ],
)
def test_a_star_stands_for_no_slash(expected: str, came: str, same: bool) -> None:
    """And for nothing else than itself are dots and the rest."""
    found = decide([rule(ref=expected)], Named(rule="T-1"), ref=came)
    assert isinstance(found, Trusted) is same


@pytest.mark.parametrize(
    ("platform", "changes", "words"),
    [
        ("github", {"repository_id": None}, "does not name repository_id: names can be given"),
        ("github", {"repository_id": "acme/app"}, "cannot be the repository_id of a rule; a number"),
        ("github", {"repository_id": "1*"}, "a number was expected"),
        ("github", {"workflow_file": None}, "names no workflow_file"),
        ("github", {"environment": None}, "names no environment or ref"),
        ("github", {"environment": None, "ref": "*"}, "is nearly any"),
        ("github", {"environment": None, "ref": "refs/*"}, "is nearly any"),
        ("github", {"environment": None, "ref": "refs/heads/*"}, "is nearly any"),
        ("github", {"environment": None, "ref": "re*"}, "is nearly any"),
        ("github", {"environment": None, "ref": "refs/heads/m*", "event_name": "pull_request"}, "nobody has merged"),
        ("github", {"environment": "rel*"}, "no * can stand there"),
        ("github", {"ref": "refs/tags/v*.*.*"}, "no * can stand there"),
        ("github", {"sub": "repo:acme/app"}, "cannot name the claim 'sub'"),
        ("github", {"environment": "re\u202elease"}, "characters that cannot be seen"),
        ("gitlab", {"ref_protected": None}, "names no ref_protected or environment_protected"),
        ("gitlab", {"ref_protected": "yes"}, "true or false was expected"),
        ("azure", {"org_id": "acme"}, "a UUID was expected"),
        ("kubernetes", {"kubernetes.io.namespace": None}, "does not name kubernetes.io.namespace"),
        ("nowhere", {}, "No platform is named 'nowhere'"),
    ],
)
def test_a_rule_that_matches_too_much_is_refused(platform: str, changes: dict[str, str | None], words: str) -> None:
    """In a sentence that says why."""
    conditions = {k: v for k, v in (tokens.RULES.get(platform, {}) | changes).items() if v is not None}
    with pytest.raises(BadInput) as refused:
        trust.require_narrow(NewRule(platform=platform, name="a", member="b", conditions=conditions))
    assert words in refused.value.detail


def test_several_exchanges_are_for_tokens_that_are_fixed() -> None:
    """GitHub gives a new token for the asking."""
    for platform, good in (("github", False), ("gitlab", True), ("kubernetes", True)):
        new = NewRule(platform=platform, name="a", member="b", conditions=tokens.RULES[platform], exchanges=3)
        if good:
            trust.require_narrow(new)
        else:
            with pytest.raises(BadInput, match="exchanged once"):
                trust.require_narrow(new)
