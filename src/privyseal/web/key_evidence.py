"""Attestations of keys over HTTP: taken in, and given out in one signed file."""

from __future__ import annotations

from litestar import Response
from litestar.params import FromPath, JSONBody

from privyseal.pki import certificates
from privyseal.signing import key_evidence
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_attested_keys import AttestationView, EvidenceView, NewAttestation

FILES_LIMIT = 2 << 20
"""Octets of a body with the files of an attestation, which have 1 MiB at most, in base64."""


async def attest_key(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], data: JSONBody[NewAttestation], desk: TheDesk
) -> Response[AttestationView]:
    """Keep the module's own attestation of a key, and say what it proves."""
    actor = request.user
    judged = await desk.slow(lambda: key_evidence.attest(desk.seal, actor, subscriber, name, data.files))
    said = judged.stated
    view = AttestationView(
        key=name,
        key_id=said.key_id,
        format=said.format,
        module="" if said.module is None else said.module.title,
        generated_inside=None if said.module is None else said.module.generated_inside,
        never_extractable=None if said.module is None else said.module.never_extractable,
        claims=said.claims,
        root="" if said.module is None else said.module.root,
        anchor=said.anchor,
        evidence=said.evidence,
        verdict=judged.verdict,
        text=judged.text,
    )
    return Response(view, status_code=201)


async def make_evidence(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], desk: TheDesk
) -> Response[EvidenceView]:
    """Make one signed file that shows a CA where a key lives."""
    actor = request.user
    made = await desk.slow(lambda: key_evidence.evidence(desk.seal, actor, subscriber, name))
    pem = certificates.pem(made.certificate)
    view = EvidenceView(key=name, file=made.file.decode("ascii"), attestation_key=pem.decode("ascii"))
    return Response(view, status_code=201)
