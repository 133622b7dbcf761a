"""Keys: how each stands, what it was before, who must agree to what becomes of it, and the agreement by passkey."""

from __future__ import annotations

from privyseal.errors import NotFound
from privyseal.records import keys, lives, parties
from privyseal.signing import agreed_acts, assent, assent_to_acts, life, proposals
from privyseal.signing.forms_of_keys import NewAct
from privyseal.terms.limits import in_words as limits_in_words
from privyseal.web.console.visit import Reply, Visit, go

PATH = "/console/keys"
ONE = f"{PATH}/one?name="
ACT = f"{PATH}/act?id="
MOST_SHOWN = 50
"""Acts on the page, the newest first."""


def show(visit: Visit) -> Reply:
    """List all keys with their states, and the acts that wait for people."""
    subscriber = visit.actor.subscriber
    acts = agreed_acts.listed(visit.seal, subscriber)
    with visit.seal.records.reading(subscriber) as tx:
        shows = {
            "lives": lives.listed(tx),
            "frozen": {pair.name for pair in keys.key_pairs_of(tx) if pair.frozen},
            "waiting": [each for each in acts if each.state == "waiting"][:MOST_SHOWN],
            "over": [each for each in acts if each.state != "waiting"][:MOST_SHOWN],
            "names": parties.names(tx),
        }
    return Reply("keys.html", shows)


def one(visit: Visit) -> Reply:
    """Show one key: how it stands, under which limits and whose agreement, and what it was before."""
    name = visit.query.get("name", "")
    with visit.seal.records.reading(visit.actor.subscriber) as tx:
        found = agreed_acts.life_shown(tx, life.of(tx, name))
        pair = next((each for each in keys.key_pairs_of(tx) if each.name == name), None)
        names = parties.names(tx)
    shows = {
        "life": found.life,
        "history": found.history[::-1],
        "waiting": found.waiting,
        "pair": pair,
        "limits": limits_in_words(pair.limits) if pair else [],
        "names": names,
        "may_suspend": visit.may("freeze") and found.life.state == "active",
        "recent": visit.recent,
    }
    return Reply("key.html", shows)


def act(visit: Visit) -> Reply:
    """Show an act that was proposed, who agreed, and ask a passkey where it waits for whoever looks."""
    number = visit.query.get("id", "")
    seen = proposals.one(visit.seal, visit.actor, number)
    own = seen.subscriber == visit.actor.subscriber
    with visit.seal.records.reading(visit.actor.subscriber) as tx:
        names = parties.names(tx)
    may = visit.may("agree-to-acts") and own
    shows = {
        "seen": seen,
        "names": names,
        "question": assent_to_acts.question(visit.seal, visit.actor, number, visit.origin) if may else None,
        "recent": visit.recent,
    }
    return Reply("key_act.html", shows)


def suspend(visit: Visit) -> Reply:
    """Stop a key at once; the signer follows with the first operator or approver who agrees."""
    name = visit.text("key")
    new = NewAct(purpose="suspend", reason=visit.text("reason").strip()[:500])
    proposed = proposals.propose(visit.seal, visit.actor, name, new)
    return go(f"{ACT}{proposed.id}&said=key-suspended")


def agree(visit: Visit) -> Reply:
    """Take a passkey's yes to exactly what the page showed; the last one has it carried out."""
    stage = visit.text("stage")
    if not (stage.isascii() and stage.isdigit() and len(stage) <= 2):
        raise NotFound("There is no such stage.")
    number = visit.text("id")
    given = assent.Answer(request=number, digest=visit.text("digest"), stage=int(stage), answer=visit.text("answer"))
    made = assent_to_acts.approval(visit.seal, visit.actor, given)
    proposals.agree(visit.seal, visit.actor, number, made)
    return go(f"{ACT}{number}&said=key-agreed")
