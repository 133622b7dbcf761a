"""Requests for certificates over HTTP, and who a Subscriber is in law, of which their subjects are made."""

from __future__ import annotations

from litestar import Response
from litestar.params import FromPath, JSONBody

from privyseal.errors import NotFound
from privyseal.pki import csr, names
from privyseal.records import keys, parties
from privyseal.signing import certificate_requests, identities, proposals
from privyseal.signing.certificate_requests import Wishes
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Actor
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_attested_keys import (
    CertificateRequestView,
    IdentityView,
    NewCertificateRequest,
    NewIdentity,
)


async def request_certificate(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], data: JSONBody[NewCertificateRequest],
    desk: TheDesk,
) -> Response[CertificateRequestView]:  # fmt: skip
    """Have a request for a certificate signed; or, where people must agree first, say what to (202)."""
    actor = request.user
    wishes = Wishes(subscriber=subscriber, key=name, ev=data.ev, attested=data.attested)
    view = await desk.slow(lambda: _requested(desk.seal, actor, wishes, data))
    return Response(view, status_code=200 if view.request else 202)


def _requested(seal: PrivySeal, actor: Actor, wishes: Wishes, data: NewCertificateRequest) -> CertificateRequestView:
    agreed = certificate_requests.read(data.act) if data.act else None
    with seal.records.reading(wishes.subscriber) as tx:
        pair = keys.key_pair(tx, wishes.key)
    if agreed is None and pair.in_order:
        shown = proposals.propose_request(seal, actor, wishes)
        act = certificate_requests.read(shown.act)
        return CertificateRequestView(
            key=pair.name,
            key_id=pair.key_id,
            subject=names.in_words(act.subject),
            attested=_kinds(act.attestation),
            proposed=shown.id,
            act=shown.act,
            digest=shown.digest,
            waits_for=sum(stage.need for stage in pair.in_order),
        )
    asked = csr.read(certificate_requests.request(seal, actor, wishes, data.approvals, agreed))
    return CertificateRequestView(
        key=pair.name,
        key_id=pair.key_id,
        subject=names.in_words(asked.subject),
        attested=_kinds(asked.attestation or b""),
        request=csr.pem(asked.der).decode("ascii"),
    )


def _kinds(attestation: bytes) -> tuple[str, ...]:
    return tuple(each.kind for each in csr.statements(attestation))


async def state_identity(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], data: JSONBody[NewIdentity], desk: TheDesk
) -> IdentityView:
    """Write down who a Subscriber is in law, as the CA validated it; for the operator's members."""
    actor = request.user
    said = await desk.file(lambda: identities.validate(desk.seal, actor, name, data.identity, data.how))
    return IdentityView(subscriber=name, identity=said.identity, how=said.how, by=said.by)


async def read_identity(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], desk: TheDesk
) -> IdentityView:
    """Show who a Subscriber is in law; the operator's members see all, others their own."""
    actor = request.user
    if name != actor.subscriber and actor.subscriber != desk.seal.service.operator:
        raise NotFound(f"There is no Subscriber named {name!r}.")

    def read() -> IdentityView:
        with desk.seal.records.reading(name) as tx:
            parties.subscriber(tx)
            said = identities.stated(tx)
        if said is None:
            raise NotFound(f"Nobody has written down who {name!r} is in law.", hint="the operator of the service does")
        return IdentityView(subscriber=name, identity=said.identity, how=said.how, by=said.by)

    return await desk.file(read)
