"""``/rehearsal-ca``: lists, certificates and OCSP of a rehearsal's CA, for everybody; a real CA serves its own.

What was issued names ``rehearsal.invalid`` for these, which never resolves: a verifier is led here by hand.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from litestar import Response
from litestar.params import FromPath

from privyseal.errors import NotFound
from privyseal.signing.rehearsal_ca import FILES, RehearsalCa
from privyseal.web.desk import Desk, TheDesk
from privyseal.web.intake import Incoming, require_media_type

REQUEST, RESPONSE = "application/ocsp-request", "application/ocsp-response"
REQUEST_LIMIT = 4096
"""Octets of an OCSP request; one about one certificate has under 150."""


async def rehearsal_file(name: FromPath[str], desk: TheDesk) -> Response[bytes]:
    """Read a list (CRL) or a certificate of a rehearsal's CA, DER (RFC 2585)."""
    octets = await desk.slow(lambda: _ca(desk).file(name))
    return Response(octets, media_type=FILES[name], headers={"Cache-Control": "max-age=300"})


async def ask_status(request: Incoming, desk: TheDesk) -> Response[bytes]:
    """Ask for the status of a certificate that a rehearsal's CA issued (RFC 6960 A.1)."""
    require_media_type(request.headers.get("content-type"), REQUEST)
    return await _told(desk, await request.body())


async def get_status(request: Incoming, question: FromPath[str], desk: TheDesk) -> Response[bytes]:
    """Ask the same with the request in the path, in base64 (RFC 6960 A.1)."""
    sent = bytes(request.scope["raw_path"])  # in ``question`` two strokes, which base64 may have, have become one
    try:
        octets = base64.b64decode(unquote_to_bytes(sent.partition(b"/ocsp/")[2]), validate=True)
    except (binascii.Error, ValueError):
        octets = b""  # what is no request is answered as such, in OCSP's own words
    return await _told(desk, octets)


async def _told(desk: Desk, request: bytes) -> Response[bytes]:
    response = await desk.slow(lambda: _ca(desk).status(request))
    return Response(response, media_type=RESPONSE, headers={"Cache-Control": "no-store"})


def _ca(desk: Desk) -> RehearsalCa:
    if desk.seal.rehearsal_ca is None:
        raise NotFound("This service has no rehearsal CA.", hint="ask the CA that issued the certificate")
    return desk.seal.rehearsal_ca
