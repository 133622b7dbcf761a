"""Orders of certificates: what waits, what was issued; a certificate, read and accepted by a person (CSBR 9.6.3)."""

from __future__ import annotations

from privyseal.compliance.renewal import Stage
from privyseal.errors import BadInput
from privyseal.pki import csr
from privyseal.records import orders
from privyseal.signing import acceptance, authorities, renewals
from privyseal.signing.forms_of_certificates import view
from privyseal.terms.orders import FOLLOWS, OPEN, OrderState
from privyseal.web.console.visit import Reply, Visit, go

URGENT = (Stage.DUE, Stage.LATE, Stage.ENDED)
"""Stages in which somebody has to ask for a certificate."""
PATH = "/console/certificates"
LONGEST_REASON = 1000
"""Characters of a reason."""


def show(visit: Visit) -> Reply:
    """List the orders, those first that a person has something to do with."""
    with visit.seal.records.reading(visit.actor.subscriber) as tx:
        found = [view(each) for each in orders.listed(tx)]
        plans = renewals.plans(visit.seal, tx)
    found.sort(key=lambda each: each.state is not OrderState.ISSUED)
    return Reply("certificates.html", {"orders": found, "called": CALLED, "plans": plans, "urgent": URGENT})


def one(visit: Visit) -> Reply:
    """Show an order; once it is issued what the certificate says, how it was judged, and the way to accept it."""
    shown = acceptance.shown(visit.seal, visit.actor.subscriber, visit.query.get("order", ""))
    issued = shown.order.state is OrderState.ISSUED
    may_order, may_accept = visit.may("order-certificate"), visit.may("accept-certificate")
    shows = {
        "shown": shown,
        "called": CALLED,
        "csr": csr.pem(shown.csr).decode("ascii"),
        "open": shown.order.state in OPEN,
        "issued": issued,
        "may_upload": shown.order.state in OPEN and may_order,
        "may_accept": issued and may_accept,
        "may_refuse": OrderState.REFUSED in FOLLOWS[shown.order.state] and (may_accept if issued else may_order),
        "recent": visit.recent,
    }
    return Reply("certificate.html", shows)


def upload(visit: Visit) -> Reply:
    """Take in certificates that were pasted, PEM, in any order."""
    order, text = visit.text("order"), visit.text("certificates")
    if not text.strip():
        raise BadInput("Nothing was pasted.", hint="the certificates that the CA issued, as PEM text")
    octets = text.encode("ascii", "replace")
    authorities.receive(visit.seal, visit.actor, visit.actor.subscriber, order, octets)
    return go(f"{PATH}/one?order={order}&said=certificate-here")


def accept(visit: Visit) -> Reply:
    """Accept the certificate that the page showed, by its fingerprint."""
    order = visit.text("order")
    acceptance.accept(visit.seal, visit.actor, visit.actor.subscriber, order, visit.text("fingerprint"))
    return go(f"{PATH}/one?order={order}&said=certificate-accepted")


def refuse(visit: Visit) -> Reply:
    """End the order, or refuse its certificate, with a reason."""
    order, reason = visit.text("order"), visit.text("reason").strip()
    if not 1 <= len(reason) <= LONGEST_REASON:
        raise BadInput("The reason is missing, or too long.", hint=f"a sentence, at most {LONGEST_REASON} characters")
    acceptance.refuse(visit.seal, visit.actor, visit.actor.subscriber, order, reason)
    return go(f"{PATH}/one?order={order}&said=certificate-refused")


CALLED = {
    OrderState.ASKED: "being asked for",
    OrderState.WAITING: "waits for the CA",
    OrderState.ISSUED: "issued: read it",
    OrderState.INSTALLED: "accepted and in use",
    OrderState.REFUSED: "refused",
}
"""How the pages call the states."""
