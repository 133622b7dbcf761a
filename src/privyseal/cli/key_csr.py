"""``privyseal key csr``: a request for a certificate, signed inside the signer, to hand to a CA."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from privyseal.cli.connection import connect, send
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.errors import BadInput, Denied, NotFound, VerificationFailed
from privyseal.pki import csr, names
from privyseal.signing.forms_of_keys import ActShown
from privyseal.strongroom.acts import RequestCertificate, decode_act
from privyseal.strongroom.durable import write_whole
from privyseal.web.views_of_attested_keys import CertificateRequestView, NewCertificateRequest

WAITING = 6
"""Exit code while people must agree."""


@click.command("csr", cls=Command)
@click.argument("name")
@click.option("--ev", is_flag=True, help="With the subject of an EV certificate: where and as what it is registered.")
@click.option("--without-attestation", is_flag=True, help="Leave out what attests the key.")
@click.option("--act", "act_id", metavar="ACT", help="Fetch the one that was asked for before, once people agreed.")
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
    act_id: str | None,
    out: Path | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Have a request for a certificate signed: a proof that the key is held, under the validated subject.

    It is logged, and agreed to by the key's people, as a signature over code is.
    """
    service = connect(profile, url, subscriber)
    wish = NewCertificateRequest(ev=ev, attested=not without_attestation)
    if act_id is None:
        made = send(service, "POST", wish, "keys", name, "csr").read(CertificateRequestView)
    else:
        made = agreed(service.get(service.path("key-acts", act_id)).read(ActShown), name)
    output = Output(json_mode)
    if not made.request:
        output.warn(
            f"{mark(None)} {made.waits_for} of the people of {printable(made.key)} must agree first: a request for "
            f"{printable(made.subject, 400)}",
            f"  each of them: privyseal key agree {printable(made.proposed)}",
            f"  then: privyseal key csr {printable(made.key)} --act {printable(made.proposed)}",
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


def agreed(seen: ActShown, name: str) -> CertificateRequestView:
    """Return what came of an act by which a request was asked for, as far as its people agree.

    Raises NotFound where it is for another key or something else, Denied where nothing will come of it any more.
    """
    found = decode_act(seen.act)
    if not isinstance(found, RequestCertificate) or seen.key != name:
        raise NotFound(f"{printable(seen.id)} is no request for a certificate of {printable(name)}.")
    if seen.state not in ("waiting", "agreed", "done"):
        raise Denied(f"The act {printable(seen.id)} is {seen.state}.", hint=printable(seen.outcome, 400) or None)
    return CertificateRequestView(
        key=seen.key,
        key_id=found.key_id,
        subject=names.in_words(found.subject),
        attested=tuple(each.kind for each in csr.statements(found.attestation)),
        request=seen.outcome if seen.state == "done" else "",
        proposed=seen.id,
        act=seen.act,
        digest=seen.digest,
        waits_for=sum(side.missing for side in seen.sides),
    )


def _require_ours(pem: bytes, made: CertificateRequestView) -> None:
    """Hold what came against what was said of it: its own signature, and its key."""
    try:
        asked = csr.read(pem)
    except BadInput as error:
        raise VerificationFailed(f"What the service sent is no request for a certificate: {error.detail}") from None
    if asked.key_id != made.key_id:
        raise VerificationFailed("The request that the service sent is for another key than it says.")
