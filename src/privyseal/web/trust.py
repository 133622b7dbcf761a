"""Trust rules and static tokens over HTTP, for a Subscriber's administrators."""

from __future__ import annotations

from litestar import Response
from litestar.params import FromPath, JSONBody

from privyseal.access.trust import NewRule, TrustRule
from privyseal.records import trust
from privyseal.records.database import Transaction
from privyseal.records.trust import ScopedToken
from privyseal.signing import machines
from privyseal.signing.forms_of_parties import NewToken
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_parties import RuleList, RuleView, TokenList, TokenOnce, TokenView


async def list_rules(subscriber: FromPath[str], desk: TheDesk) -> RuleList:
    """List whose runs are trusted."""
    return await desk.read(subscriber, lambda tx: RuleList(tuple(map(rule_view, trust.rules(tx)))))


async def read_rule(subscriber: FromPath[str], rule_id: FromPath[str], desk: TheDesk) -> RuleView:
    """Show one trust rule."""
    return await desk.read(subscriber, lambda tx: rule_view(trust.rule(tx, rule_id)))


async def add_rule(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[NewRule], desk: TheDesk
) -> Response[RuleView]:
    """Trust the runs with these claims; a rule that matches too much is refused."""
    actor = request.user
    rule = await desk.file(lambda: machines.add_rule(desk.seal, actor, subscriber, data))
    return Response(rule_view(rule), status_code=201)


async def remove_rule(request: Incoming, subscriber: FromPath[str], rule_id: FromPath[str], desk: TheDesk) -> None:
    """Trust those runs no longer; tokens that they were given end at once."""
    actor = request.user
    await desk.file(lambda: machines.remove_rule(desk.seal, actor, subscriber, rule_id))


async def list_tokens(subscriber: FromPath[str], desk: TheDesk) -> TokenList:
    """List static tokens by what they are for; the tokens themselves are nowhere."""

    def read(tx: Transaction) -> TokenList:
        return TokenList(tuple(map(token_view, trust.scoped(tx))))

    return await desk.read(subscriber, read)


async def give_token(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[NewToken], desk: TheDesk
) -> Response[TokenOnce]:
    """Give a machine a static token, shown once; for where there is no identity token to exchange."""
    actor = request.user
    given = await desk.file(lambda: machines.new_static(desk.seal, actor, subscriber, data))
    once = TokenOnce(token=given.token, about=token_view(given.kept))
    return Response(once, status_code=201, headers={"Cache-Control": "no-store"})


async def revoke_token(request: Incoming, subscriber: FromPath[str], token_id: FromPath[str], desk: TheDesk) -> None:
    """End a static token at once."""
    actor = request.user
    await desk.file(lambda: machines.revoke_static(desk.seal, actor, subscriber, token_id))


def rule_view(rule: TrustRule) -> RuleView:
    """Show a rule."""
    return RuleView(
        id=rule.id,
        platform=rule.platform,
        issuer=rule.issuer,
        name=rule.name,
        member=rule.member,
        conditions=dict(rule.conditions),
        policy=rule.policy,
        exchanges=rule.exchanges,
    )


def token_view(kept: ScopedToken) -> TokenView:
    """Show what is kept of a token."""
    return TokenView(
        id=kept.id,
        member=kept.member,
        label=kept.label,
        scope=kept.scope,
        created=kept.created,
        expires=kept.expires,
        used=kept.used,
    )
