"""``privyseal cert plan``, ``compare`` and ``impact``: what comes after a certificate, and what ends with it."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from privyseal.cli import impact as impacts
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.cli.profile import read_whole
from privyseal.compliance.renewal import Renewal, Stage
from privyseal.errors import BadInput
from privyseal.pki import bundle, certificates, comparison
from privyseal.pki.comparison import Comparison
from privyseal.signing.forms_of_renewals import RenewalList
from privyseal.web.views import CertificateView
from privyseal.web.views_of_findings import read_moment

_GOOD = {Stage.EARLY: True, Stage.READY: True, Stage.ORDERED: None, Stage.DUE: None}
"""What is neither done nor under way nor just beginning is bad."""
_DIGEST = 64


@click.command(cls=Command)
@service_options
@json_option
def plan(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """Plan the next certificate of every key: when to ask, how long both overlap, whether the key may go on."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    body = service.get(service.path("renewals"))
    for each in body.read(RenewalList).renewals:
        output.say(*_planned(each))
    output.result({"schema": "privyseal/renewals/1", **msgspec.json.decode(body.body)})


@click.command(cls=Command)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@service_options
@json_option
def compare(
    old: str,
    new: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Say in words what a new certificate has otherwise than the old one, and which products compare that.

    OLD and NEW are files (PEM, DER or PKCS #7, alone or with the chain), or SHA-256 fingerprints of certificates that
    the service has; of files alone no service is asked.
    """
    output = Output(json_mode)
    found = comparison.compare(*(_certificate(each, profile, url, subscriber) for each in (old, new)))
    output.say(*_compared(found))
    output.result({"schema": "privyseal/comparison/1", "same_publisher": found.same_publisher, **_plain(found)})


@click.command(cls=Command)
@click.argument("certificate", metavar="FINGERPRINT|FILE")
@click.option("--date", required=True, metavar="TIME", help="As of when it would be revoked.")
@service_options
@json_option
# Each argument is an option of the command line.
def impact(
    certificate: str,
    date: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Say which released files die if a certificate is revoked as of a date, and which live on."""
    moment = read_moment(date)
    service, output = connect(profile, url, subscriber), Output(json_mode)
    name = _fingerprint(certificate) or certificates.read(_file(certificate)).fingerprint
    impacts.tell(service, output, name, moment)


# -- words -------------------------------------------------------------------------------------------------------------
def _planned(each: Renewal) -> list[str]:
    lines = [f"{mark(_GOOD.get(each.stage, False))} {printable(each.key)}: {printable(each.text, 300)}"]
    lines += fill("subject", printable(each.subject, 400)) + fill("ends", f"{each.ends:%Y-%m-%d %H:%M:%S} UTC")
    lines += fill("ask from", f"{each.ask_from:%Y-%m-%d}") + fill("have by", f"{each.have_by:%Y-%m-%d}")
    if each.overlap_from is not None:
        lines += fill("overlap", f"{each.overlap_from:%Y-%m-%d} to {each.ends:%Y-%m-%d}, next {each.successor[:16]}")
    lines += fill("next one", f"ends on {each.next_ends_on} at the latest, if it is a public one")
    may = "may be used on" if each.same_key else "is not to be used on"
    return [*lines, *fill("same key", f"{may}: {printable(each.same_key_because, 300)}")]


def _compared(found: Comparison) -> list[str]:
    lines = fill("old", f"{printable(found.old.subject, 300)} until {found.old.not_after:%Y-%m-%d}")
    lines += fill("new", f"{printable(found.new.subject, 300)} until {found.new.not_after:%Y-%m-%d}")
    days = found.overlap_days
    lines += [f"Both are in force on {days} days." if days >= 0 else f"Between them is a gap of {-days} days."]
    for each in found.differences:
        lines.append(f"{mark(None if each.part == 'certificate' else False)} {printable(each.text, 180)}")
        lines += fill("compared", "by " + ", ".join(each.products)) if each.products else []
    if found.same_publisher:
        lines.append(f"{mark(True)} Subject, key and issuer are the same.")
    for note in found.notes:
        lines += fill("note", f"{note.product}: {note.how}. Source: {note.source}")
    return lines


def _plain(found: Comparison) -> dict[str, object]:
    """Return a comparison as JSON has it; of the certificates what they say and not their octets."""
    said = {
        name: {"fingerprint": each.fingerprint, "subject": each.subject, "issuer": each.issuer, "serial": each.serial}
        | {"not_before": each.not_before, "not_after": each.not_after, "key_id": each.key_id}
        for name, each in (("old", found.old), ("new", found.new))
    }
    return said | {
        "overlap_days": found.overlap_days,
        "differences": found.differences,
        "notes": found.notes,
    }


# -- what is named on the command line ---------------------------------------------------------------------------------
def _certificate(named: str, profile: str | None, url: str | None, subscriber: str | None) -> bytes:
    fingerprint = _fingerprint(named)
    if not fingerprint:
        return _file(named)
    service = connect(profile, url, subscriber)
    chain = service.get(service.path("certificates", fingerprint)).read(CertificateView).chain
    return chain[0]


def _file(named: str) -> bytes:
    octets = read_whole(named, bundle.LARGEST)
    try:
        return comparison.own(octets)
    except BadInput as error:
        raise error.about(shown_path(Path(named))) from None


def _fingerprint(named: str) -> str:
    """Return a fingerprint as the service names it; empty where it is none, or a file is called so."""
    plain = named.replace(":", "").lower()
    good = len(plain) == _DIGEST and all(each in "0123456789abcdef" for each in plain)
    return plain if good and not Path(named).exists() else ""
