"""``privyseal cert``: certificates, ordered, brought, read, accepted or refused, listed, shown and revoked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from privyseal.cli.cert_life import compare, impact, plan
from privyseal.cli.client import Service
from privyseal.cli.connection import connect, send, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.compliance.statements_of_certificates import RevocationAsked
from privyseal.errors import BadInput, Denied, TooLarge
from privyseal.pki import csr
from privyseal.pki.certificates import pem
from privyseal.signing.forms_of_certificates import (
    LARGEST_CHAIN,
    LARGEST_CSR,
    Accepted,
    Facts,
    Judged,
    NewOrder,
    OrderList,
    OrderView,
    Refusal,
    RevocationList,
    RevocationWish,
    Shown,
    Uploaded,
)
from privyseal.strongroom.durable import write_whole
from privyseal.terms.certificates import Reason
from privyseal.terms.orders import OrderState
from privyseal.web.views import CertificateList, CertificateView
from privyseal.web.views_of_attested_keys import CertificateRequestView, NewCertificateRequest

_REASONS: tuple[Reason, ...] = (
    "keyCompromise",
    "superseded",
    "cessationOfOperation",
    "affiliationChanged",
    "privilegeWithdrawn",
    "unspecified",
)
_TIME = click.DateTime(["%Y-%m-%dT%H:%M:%SZ"])
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OUT = click.Path(path_type=Path, dir_okay=False)
WAITING = 6
"""Exit code while people must agree that a CSR is signed."""
SHOWN = 12
"""Findings of one sort that are printed; ``--json`` has all."""


@click.group()
def cert() -> None:
    """Order, read, accept, compare, plan, list and revoke certificates."""


for _each in (plan, compare, impact):
    cert.add_command(_each)


# -- orders ------------------------------------------------------------------------------------------------------------
@cert.command(cls=Command)
@click.argument("key")
@click.option("--at", "authority", required=True, help="The certificate authority, by the name it has here.")
@click.option("--csr", "file", type=_FILE, help="A CSR that was signed before; else one is signed now.")
@click.option("--ev", is_flag=True, help="Ask for an EV certificate.")
@service_options
@json_option
def ask(  # noqa: PLR0913 - each argument is an option of the command line
    key: str,
    authority: str,
    file: Path | None,
    ev: bool,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Order a certificate for a Key Pair; the authority is asked at once."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    octets = _signed_csr(service, key, ev, output) if file is None else _read(file, LARGEST_CSR)
    made = send(service, "POST", NewOrder(key=key, authority=authority, csr=octets, ev=ev), "certificate-orders")
    _tell(output, made.read(OrderView))


@cert.command(cls=Command)
@service_options
@json_option
def orders(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List orders, the newest first, and at whom one can order."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    found = service.get(service.path("certificate-orders")).read(OrderList)
    for each in found.orders:
        output.say(f"{each.id}  {each.state:<9} {printable(each.key):<20} {printable(each.authority)}", *_why(each))
    output.say(f"authorities: {printable(', '.join(found.authorities))}")
    output.result({"schema": "privyseal/certificate-orders/1", "orders": found.orders, "at": found.authorities})


@cert.command(cls=Command)
@click.argument("order")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@service_options
@json_option
def upload(
    order: str,
    files: tuple[Path, ...],
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Bring what the CA issued for an order: PEM, DER or PKCS #7, in any order and with other certificates."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    octets = [_read(each, LARGEST_CHAIN) for each in files]
    if any(b"PRIVATE KEY-----" in each for each in octets):
        raise BadInput("One of the files holds a private key; nothing was sent.", hint="give the certificates only")
    bag = octets[0] if len(octets) == 1 else b"\n".join(each if b"-----BEGIN" in each else pem(each) for each in octets)
    if len(bag) > LARGEST_CHAIN:
        raise TooLarge(f"The files have {len(bag)} octets together; at most {LARGEST_CHAIN} are read.")
    answer = send(service, "POST", Uploaded(certificates=bag), "certificate-orders", order, "certificates")
    _tell(output, answer.read(OrderView))


@cert.command(cls=Command)
@click.argument("order")
@click.argument("fingerprint")
@service_options
@json_option
def accept(
    order: str,
    fingerprint: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Accept the certificate of an order that you have read (cert show ORDER), by its fingerprint.

    It is used from then on. You say that for the Subscriber, and the log keeps it (CSBR 9.6.3).
    """
    service, output = connect(profile, url, subscriber), Output(json_mode)
    said = msgspec.convert({"fingerprint": _digest(fingerprint)}, Accepted)
    _tell(output, send(service, "POST", said, "certificate-orders", order, "acceptance").read(OrderView))


@cert.command(cls=Command)
@click.argument("order")
@click.option("--reason", required=True, help="Why, in a sentence.")
@service_options
@json_option
def refuse(
    order: str,
    reason: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """End an order that waits, or refuse the certificate that came of it."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    answer = send(service, "POST", Refusal(reason=reason), "certificate-orders", order, "refusal").read(OrderView)
    output.say(f"{mark(True)} order {answer.id} is over: {printable(answer.words, 400)}")
    output.result({"schema": "privyseal/certificate-order/1", "order": answer})


# -- certificates ------------------------------------------------------------------------------------------------------
@cert.command("list", cls=Command)
@service_options
@json_option
def list_certificates(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List the certificates installed for the Subscriber's Key Pairs, the newest first."""
    service = connect(profile, url, subscriber)
    body = service.get(service.path("certificates"))
    output = Output(json_mode)
    for each in body.read(CertificateList).certificates:
        output.say(each.fingerprint, *fill("subject", printable(each.subject)), *fill("until", _when(each.not_after)))
    output.result(msgspec.json.decode(body.body))


@cert.command(cls=Command)
@click.argument("which", metavar="FINGERPRINT|ORDER")
@click.option("--csr", "csr_out", type=_OUT, help="Of an order: write its CSR there, to take it to the CA.")
@click.option("--chain", "chain_out", type=_OUT, help="Of an order: write its certificates there, PEM.")
@service_options
@json_option
def show(  # noqa: PLR0913 - each argument is an option of the command line
    which: str,
    csr_out: Path | None,
    chain_out: Path | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Show a certificate by its SHA-256 (lower-case hex), or an order with what came of it and how it was judged."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    if which.startswith("O-"):
        shown = service.get(service.path("certificate-orders", which)).read(Shown)
        _write(output, csr_out, csr.pem(shown.csr), "the CSR")
        _write(output, chain_out, b"".join(pem(each) for each in shown.chain), "the certificates")
        _show(output, shown)
        return
    body = service.get(service.path("certificates", which))
    one = body.read(CertificateView)
    facts = Facts(
        fingerprint=one.fingerprint,
        subject=one.subject,
        issuer=one.issuer,
        serial=one.serial,
        not_before=one.not_before,
        not_after=one.not_after,
        key_id=one.key_id,
    )
    output.say(*_facts(facts))
    output.result(msgspec.json.decode(body.body))


@cert.command(cls=Command)
@click.argument("fingerprint")
@click.option("--reason", type=click.Choice(_REASONS), required=True, help="As the list of revocations has it.")
@click.option("--because", required=True, help="In words, for people and the log.")
@click.option("--since", type=_TIME, help="From when on it is not to be trusted, UTC.  [default: now]")
@click.option("--at", "authority", default="", help="At whom; where it was ordered, if nothing is said.")
@click.option("--revoked", type=_TIME, help="The CA has revoked it, from this moment on, UTC: nobody is asked.")
@service_options
@json_option
def revoke(  # noqa: PLR0913 - each argument is an option of the command line
    fingerprint: str,
    reason: str,
    because: str,
    since: datetime | None,
    authority: str,
    revoked: datetime | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Have a certificate revoked: it is written down, then its CA is asked."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    wish = RevocationWish(
        reason=next(each for each in _REASONS if each == reason),
        because=because,
        at=None if since is None else since.replace(tzinfo=UTC),
        authority=authority,
        since=None if revoked is None else revoked.replace(tzinfo=UTC),
    )
    asked = send(service, "POST", wish, "certificates", _digest(fingerprint), "revocation").read(RevocationAsked)
    output.say(_revocation(asked))
    output.result({"schema": "privyseal/revocation/1", "revocation": asked})
    if asked.answered == "refused":
        raise Denied(f"{printable(asked.authority)} does not revoke it: {printable(asked.words, 400)}")


@cert.command(cls=Command)
@service_options
@json_option
def revocations(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List for which certificates a revocation was asked, and what the CAs said."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    found = service.get(service.path("revocations")).read(RevocationList)
    for each in found.revocations:
        output.say(_revocation(each))
    output.result({"schema": "privyseal/revocations/1", "revocations": found.revocations})


# -- words -------------------------------------------------------------------------------------------------------------
def _signed_csr(service: Service, key: str, ev: bool, output: Output) -> bytes:
    """Have a CSR signed; leave with 6 where the key's people must agree first."""
    wish = NewCertificateRequest(ev=ev)
    made = send(service, "POST", wish, "keys", key, "csr").read(CertificateRequestView)
    if not made.request:
        output.warn(
            f"{mark(None)} {made.waits_for} of the people of {printable(made.key)} must agree to the CSR first",
            f"  each of them: privyseal key agree {printable(made.proposed)}",
            f"  then: privyseal key csr {printable(made.key)} --act {printable(made.proposed)} -o key.csr, "
            "and order with --csr key.csr",
        )
        output.result({"schema": "privyseal/certificate-request/1", "waiting": made})
        raise click.exceptions.Exit(WAITING)
    return made.request.encode("ascii", "replace")


def _tell(output: Output, order: OrderView) -> None:
    done = order.state in (OrderState.ISSUED, OrderState.INSTALLED)
    output.say(f"{mark(done or None)} order {order.id} is {order.state}", *_why(order))
    if order.state is OrderState.ISSUED:
        output.say(f"  read it, then accept it: privyseal cert show {order.id}")
    output.result({"schema": "privyseal/certificate-order/1", "order": order})
    if order.state is OrderState.REFUSED:
        raise Denied(f"{printable(order.authority)} issues no certificate: {printable(order.words, 400)}")


def _why(order: OrderView) -> list[str]:
    lines = fill("", printable(order.words, 400)) if order.words else []
    return [*lines, *(fill("cert", order.fingerprint) if order.fingerprint else [])]


def _show(output: Output, shown: Shown) -> None:
    output.say(f"Order {shown.order.id} of {printable(shown.order.key)} at {printable(shown.order.authority)}")
    output.say(*fill("state", shown.order.state), *_why(shown.order))
    if shown.facts is not None:
        output.say(*_facts(shown.facts), *fill("judged", f"{shown.met} requirements are met"))
        output.say(*_findings(False, shown.not_met), *_findings(None, shown.open))
        if shown.order.state is OrderState.ISSUED:
            output.say(f"accept it: privyseal cert accept {shown.order.id} {shown.facts.fingerprint}")
    output.result({"schema": "privyseal/certificate-order/1", "order": shown.order, "shown": shown})


def _findings(good: bool | None, found: tuple[Judged, ...]) -> list[str]:
    lines = [f"{mark(good)} {each.requirement}: {printable(each.text, 300)}" for each in found[:SHOWN]]
    return lines + ([f"  and {len(found) - SHOWN} more: --json has all"] if len(found) > SHOWN else [])


def _facts(facts: Facts) -> list[str]:
    lines = [f"Certificate {facts.fingerprint}", *fill("subject", printable(facts.subject, 400))]
    lines += [*fill("issuer", printable(facts.issuer, 400)), *fill("serial", facts.serial)]
    return [
        *lines,
        *fill("key id", facts.key_id),
        *fill("valid", f"{_when(facts.not_before)} to {_when(facts.not_after)}"),
    ]


def _revocation(asked: RevocationAsked) -> str:
    since = f" since {_when(asked.since)}" if asked.since is not None else ""
    words = f": {printable(asked.words, 400)}" if asked.words else ""
    good = {"revoked": True, "refused": False}.get(asked.answered)
    said = f"{asked.answered}{since} by {printable(asked.authority)}{words}"
    return f"{mark(good)} {asked.fingerprint[:16]}… {asked.reason}: {said}"


def _write(output: Output, path: Path | None, octets: bytes, what: str) -> None:
    if path is not None:
        if not octets:
            raise BadInput(f"There is nothing to write: the order has not come to {what}.")
        write_whole(path, octets, mode=0o644, durable=False)
        output.say(f"{mark(True)} {shown_path(path)} has {what}")


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        octets = file.read(most + 1)
    if len(octets) > most:
        raise TooLarge(
            f"{shown_path(path)} has more than {most} octets; a CSR or a chain of certificates was expected."
        )
    return octets


def _digest(text: str) -> str:
    plain = text.replace(":", "").lower()
    if len(plain) != 64 or any(each not in "0123456789abcdef" for each in plain):
        raise BadInput(f"{printable(text)} is not a SHA-256 fingerprint: 64 hex digits were expected.")
    return plain


def _when(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")
