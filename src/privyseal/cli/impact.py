"""Which released files die with a certificate: the same answer for ``cert impact`` and ``incident impact``."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

import msgspec

from privyseal.cli.client import Service
from privyseal.cli.output import Output, mark, printable
from privyseal.signing.forms_of_requests import Impact


def tell(service: Service, output: Output, certificate: str, moment: datetime) -> None:
    """Ask what becomes of what was released if the certificate is revoked as of ``moment``, and say it."""
    path = service.path("impact", certificate.lower()) + f"?date={quote(moment.isoformat())}"
    body = service.get(path)
    found = body.read(Impact)
    output.say(f"Revoked as of {moment:%Y-%m-%d %H:%M:%S} UTC: {found.dies} files die, {found.lives} live on.")
    for each in found.dying:
        when = "no timestamp" if each.stamped is None else f"stamped {each.stamped:%Y-%m-%d %H:%M:%S} UTC"
        by = f", {printable(each.exchange)}" if each.exchange else ""
        output.say(f"{mark(False)} {printable(each.filename)} ({when}, {each.request}{by})")
    if found.dies > len(found.dying):
        output.say(f"  and {found.dies - len(found.dying)} more")
    output.result({"schema": "privyseal/impact/1", **msgspec.json.decode(body.body)})
