"""``privyseal key csr``: a request for a certificate, signed inside the signer, to hand to a CA."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import csr
from privyseal.strongroom.durable import write_whole
from privyseal.web.views_of_attested_keys import CertificateRequestView, NewCertificateRequest

WAITING = 6
"""Exit code while people must agree."""


@click.command("csr", cls=Command)
@click.argument("name")
@click.option("--ev", is_flag=True, help="With the subject of an EV certificate: where and as what it is registered.")
@click.option("--without-attestation", is_flag=True, help="Leave out what attests the key.")
@click.option("-o", "out", type=click.Path(path_type=Path, dir_okay=False), help="Write it there; else to stdout.")
@click.option("--profile", help="A profile's name, or the path of a TOML file such as D/client.toml.")
@click.option("--url", help="The service's address.")
@click.option("--subscriber", help="On whose behalf.")
@json_option
# Each argument is an option of the command line.
def csr_command(  # noqa: PLR0913
    name: str,
    ev: bool,
    without_attestation: bool,
    out: Path | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Have a request for a certificate signed: a proof that the key is held, under the validated subject.

    It is logged, and agreed to by the key's people, as a signature over code is.
    """
    from privyseal.cli.subscriber import send  # both offer commands, this one among them
    from privyseal.cli.things import connect

    service = connect(profile, url, subscriber)
    wish = NewCertificateRequest(ev=ev, attested=not without_attestation)
    made = send(service, "POST", wish, "keys", name, "csr").read(CertificateRequestView)
    output = Output(json_mode)
    if not made.request:
        output.warn(
            f"{mark(None)} {made.waits_for} of the people of {printable(made.key)} must agree first: a request for "
            f"{printable(made.subject, 400)}, digest {made.digest[:16]}…"
        )
        output.result({"schema": "privyseal/certificate-request/1", "waiting": made})
        raise click.exceptions.Exit(WAITING)
    pem = made.request.encode("ascii", "replace")
    _require_ours(pem, made)
    if out is not None:
        write_whole(out, pem, mode=0o644, durable=False)
        output.say(f"{mark(True)} a request for a certificate is in {shown_path(out)}")
    elif json_mode is None:
        sys.stdout.write(made.request)
        sys.stdout.flush()
    output.say(*fill("subject", printable(made.subject, 400)), *fill("key id", made.key_id))
    output.say(*fill("attests", ", ".join(made.attested) or "nothing: no attestation of the key is in it"))
    output.result({"schema": "privyseal/certificate-request/1", "request": made})


def _require_ours(pem: bytes, made: CertificateRequestView) -> None:
    """Hold what came against what was said of it: its own signature, and its key."""
    try:
        asked = csr.read(pem)
    except BadInput as error:
        raise VerificationFailed(f"What the service sent is no request for a certificate: {error.detail}") from None
    if asked.key_id != made.key_id:
        raise VerificationFailed("The request that the service sent is for another key than it says.")
