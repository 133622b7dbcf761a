"""``privyseal key attest`` and ``key evidence``: what shows where a key lives, kept with it and given to a CA."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from privyseal.cli.connection import connect, send
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.cli.profile import read_whole
from privyseal.errors import PrivySealError, VerificationFailed
from privyseal.pki import certificates
from privyseal.pki.attestation import pieces
from privyseal.strongroom.durable import write_whole
from privyseal.web.views_of_attested_keys import AttestationView, EvidenceView, NewAttestation

MET = "met"
"""The verdict by which evidence shows what CSBR 6.2.7.3 asks of a module."""


@click.command(cls=Command)
@click.argument("name")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option("--profile", help="A profile's name, or the path of a TOML file such as D/client.toml.")
@click.option("--url", help="The service's address.")
@click.option("--subscriber", help="On whose behalf.")
@json_option
# Each argument is an option of the command line.
def attest(
    name: str,
    files: tuple[str, ...],
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> list[PrivySealError | None]:
    """Keep the module's own attestation of a key with it, and say what it proves.

    The files may stand in any order, in PEM, DER, JSON and PKCS #7. What no format of ours knows is kept as well, and
    shows nothing. Ends with 0 where the module is enough for a Signing Service (CSBR 6.2.7.3), with 3 where not.
    """
    service = connect(profile, url, subscriber)
    octets = tuple(read_whole(each, pieces.MOST_OCTETS) for each in files)
    seen = send(service, "POST", NewAttestation(files=octets), "keys", name, "attestation").read(AttestationView)
    output = Output(json_mode)
    good = seen.verdict == MET
    lines = [f"{mark(good or None)} {printable(seen.verdict)}: {printable(seen.text, 1000)}"]
    lines += fill("key id", seen.key_id)
    lines += fill("module", printable(seen.module or "not said"))
    if seen.root:
        lines += fill("root", seen.anchor + ("" if seen.root == "maker" else ", which the operator added"))
    for each, text in seen.claims.items():
        lines += fill("says", printable(f"{each}: {text}", 600))
    for sha256 in seen.evidence:
        lines += fill("kept", sha256)
    (output.say if good else output.warn)(*lines)
    output.result({"schema": "privyseal/key-attested/1", "attestation": seen})
    return [None if good else VerificationFailed("The key is not shown to be in a suitable module.")]


@click.command(cls=Command)
@click.argument("name")
@click.option("-o", "out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Write it there.")
@click.option(
    "--attestation-key",
    "anchor",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the certificate by which it is believed there; it reaches the CA by another road.",
)
@click.option("--profile", help="A profile's name, or the path of a TOML file such as D/client.toml.")
@click.option("--url", help="The service's address.")
@click.option("--subscriber", help="On whose behalf.")
@json_option
# Each argument is an option of the command line.
def evidence(  # noqa: PLR0913
    name: str,
    out: Path,
    anchor: Path | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Write one signed file that shows a CA where a key lives.

    In it: what the signer says of the key (Evidence, signed by the signer's attestation key), the module's own
    attestation as it was kept, what the service makes of it, and the log's proof of the key's birth.
    privyseal key verify-attestation checks it, offline.
    """
    service = connect(profile, url, subscriber)
    made = service.ask("POST", service.path("keys", name, "evidence"), b"", {}).read(EvidenceView)
    pem = made.attestation_key.encode("ascii", "replace")
    (certificate,) = certificates.pem_certificates(pem)
    write_whole(out, made.file.encode("ascii", "replace"), mode=0o644, durable=False)
    if anchor is not None:
        write_whole(anchor, pem, mode=0o644, durable=False)
    output = Output(json_mode)
    output.say(f"{mark(True)} evidence of {printable(made.key)} is in {shown_path(out)}")
    output.say(*fill("believed", f"by the attestation key with SHA-256 {hashlib.sha256(certificate).hexdigest()}"))
    output.result({"schema": "privyseal/key-evidence/1", "evidence": made})
