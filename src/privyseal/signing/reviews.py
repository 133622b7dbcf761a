"""Somebody looks through all accounts and says so: every three months by NSR 2.2.1.4."""

from __future__ import annotations

import hashlib

from privyseal.access import permissions
from privyseal.compliance.statements_of_parties import AccountsReviewed
from privyseal.errors import Conflict
from privyseal.records import parties
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing import announce, voice
from privyseal.signing.forms_of_parties import AccountList, Reviewed
from privyseal.signing.instance import PrivySeal
from privyseal.terms.canonical import canonical_json
from privyseal.terms.parties import Actor


def listed(tx: Transaction) -> AccountList:
    """List the accounts, with roles, factors, and when each last did something that is kept.

    The digest is of who has which account with which roles and factors, not of when they last used it: it is the same
    until one of those changes.
    """
    accounts = tuple(parties.accounts(tx))
    seen = [(each.member, each.until, each.ended, each.factors) for each in accounts]
    return AccountList(accounts=accounts, sha256=hashlib.sha256(canonical_json(seen)).hexdigest())


def review(seal: PrivySeal, actor: Actor, given: Reviewed) -> AccountsReviewed:
    """Write down that somebody looked through all accounts; Conflict where these are no longer what they saw."""
    permissions.require(actor, "manage-members", actor.subscriber)
    now = seal.clock()
    with seal.records.writing(actor.subscriber) as tx:
        found = listed(tx)
        if found.sha256 != given.sha256:
            raise Conflict("The accounts have changed since they were listed.", hint="look through them again")
        done = AccountsReviewed(
            about=voice.about(seal, actor.subscriber),
            reviewer=given.reviewer,
            on=now.date(),
            accounts=sum(each.ended is None for each in found.accounts),
            sha256=found.sha256,
            by=actor.member.id,
            note=given.note,
        )
        announce.stated(seal, tx, Event(now, actor.member.id, "accounts reviewed", actor.subscriber), done)
    return done
