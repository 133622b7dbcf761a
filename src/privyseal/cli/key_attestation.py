"""``privyseal key verify-attestation``: what a module's attestation proves of a key, for anybody, offline."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import click
import msgspec

from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, quiet_option, shown_path
from privyseal.cli.profile import read_whole
from privyseal.cli.verify import read_time
from privyseal.compliance import modules
from privyseal.compliance.modules import Keeper, ModuleJudged
from privyseal.compliance.outcome import Verdict
from privyseal.errors import BadInput, Misused, PrivySealError, VerificationFailed
from privyseal.pki import certificates
from privyseal.pki.attestation import catalogue, devices, pieces
from privyseal.pki.attestation.judge import VERIFIER, NotEvidenced
from privyseal.pki.attestation.protocol import Attested
from privyseal.signing import confined
from privyseal.tlog.policy import MAX_POLICY


class Link(msgspec.Struct, frozen=True):
    """One certificate of the chain."""

    subject: str
    sha256: str
    not_after: datetime


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """What the module amounts to for a keeper of keys, by the operator's register."""

    role: str
    verdict: str
    text: str
    certificate: str = ""
    level: str = ""
    status: str = ""
    since: str = ""
    because: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What ``key verify-attestation --json`` prints."""

    schema: Literal["privyseal/attestation/1"] = "privyseal/attestation/1"
    verdict: Literal["attested", "refused", "not-evidenced"]
    suitable: bool
    """Whether it is attested, and the key and, where that was asked, its module are as they have to be."""
    text: str
    as_of: datetime
    verifier: str = VERIFIER
    format: str = ""
    maker: str = ""
    model: str = ""
    firmware: str = ""
    serial: str = ""
    key_id: str = ""
    """SHA-256 of the attested public key."""
    generated_inside: bool | None = None
    never_extractable: bool | None = None
    requests: int = 0
    """Certificate requests of the same key that came along, each signed with that key."""
    claims: dict[str, str] = {}
    birth: str = ""
    """What an enclosed log's proof of the key's birth shows; empty where it was not checked."""
    anchor: str = ""
    """SHA-256 of the root in which it ends."""
    root: str = ""
    """Who says that this is the maker's root: ``maker``, whose root is shipped, or ``caller``, who named it."""
    chain: tuple[Link, ...] = ()
    level: Level | None = None
    """None where it was not asked."""
    notes: tuple[str, ...] = ()


@click.command("verify-attestation", cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option("--csr", metavar="FILE", help="A certificate request, which must be for the attested key.")
@click.option("--anchors", multiple=True, metavar="FILE", help="Trust these roots too. Repeatable.")
@click.option("--register", metavar="FILE", help="The register of modules, by which the level is judged.")
@click.option(
    "--role", type=click.Choice([each.value for each in Keeper]), help="Who keeps the key, which decides the level."
)
@click.option("--log-policy", metavar="FILE", help="Check an enclosed log's proof of the key's birth by this policy.")
@click.option("--at", metavar="TIME", help="Judge as of this moment, such as 2024-05-01; now unless given.")
@json_option
@quiet_option
def verify_attestation(  # noqa: PLR0913 - one argument for each option, as click has it
    files: tuple[str, ...],
    csr: str | None,
    anchors: tuple[str, ...],
    register: str | None,
    role: str | None,
    log_policy: str | None,
    at: str | None,
    json_mode: JsonMode | None,
    quiet: bool,
) -> list[PrivySealError | None]:
    """Verify what a module attests of a key, offline, up to its maker's pinned root.

    \b
    privyseal key verify-attestation attestation.pem device.pem --csr release.csr
    privyseal key verify-attestation pkc.p7b --register modules.toml --role signing-service

    The files may stand in any order, in PEM, DER and PKCS #7, with certificates of something else among them. Ends with
    0 if the key is attested, was made in its module and cannot leave it, and, where a register or a role is given, the
    module's certificate suffices; with 3 if not, also where the format is not known; with 2 if a file cannot be read.
    Nothing is asked of any network.
    """
    if role is not None and register is None:
        raise Misused("A level can only be judged by a register of modules.", hint="give --register FILE")
    moment = read_time(at) if at else datetime.now(UTC)
    known = None if register is None else modules.read_register(read_whole(register, modules.LARGEST_REGISTER))
    pinned = [each for path in anchors for each in _anchors(path)]
    octets = [read_whole(each, pieces.MOST_OCTETS) for each in files]
    request = None if csr is None else read_whole(csr, pieces.MOST_OCTETS)
    policy = None if log_policy is None else read_whole(log_policy, MAX_POLICY)
    output = Output(json_mode, quiet=quiet)
    try:
        found = confined.attested(octets, moment, pinned, request, policy)
    except VerificationFailed as error:
        return _end(output, Report(verdict="refused", suitable=False, text=str(error), as_of=moment))
    if isinstance(found, NotEvidenced):
        return _end(output, Report(verdict="not-evidenced", suitable=False, text=found.why, as_of=moment))
    judged = None
    keeper = Keeper(role) if role is not None else Keeper.SIGNING_SERVICE
    if known is not None:
        judged = modules.judge_module(modules.module_of(found.attested), known, keeper, moment)
    return _end(output, _report(found, moment, keeper, judged))


def _anchors(path: str) -> list[bytes]:
    """Read the roots of a file that the user names; Misused where there is none."""
    try:
        found = pieces.unpack((read_whole(path, pieces.MOST_OCTETS),)).certificates
    except BadInput as error:
        raise Misused(f"The file of roots {shown_path(path)} cannot be used: {error.detail}") from error
    if not found:
        raise Misused(f"The file of roots {shown_path(path)} holds no certificate.")
    return list(found)


def _report(found: confined.Proven, at: datetime, keeper: Keeper, judged: ModuleJudged | None) -> Report:
    attested = found.attested
    of_key = modules.of_key(modules.module_of(attested))
    level = None if judged is None else _level(keeper, judged)
    shown = of_key.verdict is Verdict.MET
    fit = shown and (judged is None or judged.outcome.verdict is Verdict.MET)
    title = catalogue.BY_NAME[attested.format].title
    notes = [*modules.served(title, makers_root=attested.root == "maker", shown=shown)]
    if judged is None:
        notes.insert(0, "Whether the module is certified was not asked: --register names what is known of modules.")
    return Report(
        verdict="attested",
        suitable=fit,
        text=of_key.text,
        as_of=at,
        format=attested.format,
        maker=attested.maker,
        model=attested.model,
        firmware=attested.firmware,
        serial=attested.serial,
        key_id=certificates.key_id(attested.spki),
        generated_inside=attested.generated_inside,
        never_extractable=attested.never_extractable,
        requests=found.requests,
        birth=found.birth,
        claims=attested.claims,
        anchor=attested.anchor,
        root=attested.root,
        chain=_links(attested),
        level=level,
        notes=tuple(notes),
    )


def _links(attested: Attested) -> tuple[Link, ...]:
    read = [devices.read(each) for each in attested.chain]
    return tuple(Link(each.name, each.fingerprint, each.not_after) for each in read)


def _level(keeper: Keeper, judged: ModuleJudged) -> Level:
    named: dict[str, Any] = {}
    if judged.certificate is not None:
        named |= {"certificate": judged.certificate.title, "level": judged.certificate.grade}
    if judged.status is not None:
        named |= {"status": judged.status.status, "since": judged.status.since.isoformat()}
        named["because"] = judged.status.because or ""
    return Level(role=keeper.value, verdict=judged.outcome.verdict.value, text=judged.outcome.text, **named)


def _end(output: Output, report: Report) -> list[PrivySealError | None]:
    """Tell the report, and return what the exit code is made of."""
    (output.say if report.suitable else output.warn)(*in_words(report))
    output.result(report)
    if report.suitable:
        return [None]
    return [VerificationFailed("The key is not shown to be in a suitable module.")]


# -- in words ----------------------------------------------------------------------------------------------------------
def in_words(report: Report) -> list[str]:
    """Return the report as people read it: one sentence, then the facts."""
    good = {"attested": report.suitable or None, "refused": False, "not-evidenced": None}[report.verdict]
    lines = [f"{mark(good)} {printable(report.verdict)}: {printable(report.text, 1000)}"]
    if report.verdict != "attested":
        return lines
    lines += fill("key id", report.key_id)
    lines += fill("module", printable(" ".join(filter(None, (report.maker, report.model, report.firmware)))))
    lines += fill("serial", printable(report.serial or "not said"))
    for name, text in report.claims.items():
        lines += fill("says", printable(f"{name}: {text}", 600))
    if report.requests:
        lines += fill("request", "of the same key, and signed with it")
    if report.birth:
        lines += fill("birth", printable(report.birth, 400))
    for each in report.chain:
        lines += fill("chain", f"{printable(each.subject)}, until {each.not_after:%Y-%m-%d}")
    lines += fill("root", report.anchor + (", which you named" if report.root == "caller" else ""))
    if report.level is not None:
        lines += fill("level", f"{report.level.verdict}: {printable(report.level.text, 1000)}")
    for note in report.notes:
        lines += fill("note", note)
    return lines
