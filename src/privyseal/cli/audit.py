"""``privyseal log``: what the log says, proven and checked as an outsider would, from its files alone.

The log is read from a service's directory (``--dir``) or over HTTP from its public address; neither asks the service
for anything but files. Whom to believe about it says the log policy: ``--log-policy``, or the one beside the service.
"""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from privyseal.cli import profile as profiles
from privyseal.cli.bounded import bounded
from privyseal.cli.gap import accept_gap
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.cli.recover import add_logger, add_witness, recover
from privyseal.cli.tls import Tls
from privyseal.errors import BadInput, LogUnavailable, Misused, PrivySealError, VerificationFailed
from privyseal.tlog import merkle
from privyseal.tlog.audit import CHECKPOINT_PATH, Finding, fsck
from privyseal.tlog.entry import Completion, Entry, Intent, decode
from privyseal.tlog.policy import MAX_POLICY, Accepted, Policy, parse_policy
from privyseal.tlog.proof import MAX_PROOF, TlogProof, format_proof, parse_proof, read_receipt
from privyseal.tlog.reader import Reader
from privyseal.tlog.tiles import Read
from privyseal.tlog.tilestore import DirectoryTileStore

LARGEST_FILE = 32 * 1024 * 1024
"""Octets of one file of a log: a bundle of 256 entries of 65,535 octets has half of that."""
ANSWER_LIMIT = 30.0
"""Seconds to wait for one file over HTTP."""
MOST_FINDINGS = 100
"""Findings shown to people; ``--json`` gives all of them."""


class Source(NamedTuple):
    """Where a log is read, and whom to believe about it."""

    read: Read
    widths: Callable[[str], list[int]] | None
    policy: Policy

    def head(self) -> tuple[bytes, Accepted]:
        """Return the published checkpoint and what the policy makes of it."""
        note = self.read(CHECKPOINT_PATH)
        if note is None:
            raise LogUnavailable("The log has no checkpoint.", hint="has its logger ever run?")
        return note, self.policy.check(note)


@click.group()
def log() -> None:
    """Show, prove and check what the log says."""


def source_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say where the log is, and collect them into one ``source``."""
    for option in (
        click.option("--log-policy", type=click.Path(path_type=Path), help="Whom to believe (C2SP tlog-policy)."),
        click.option("--url", help="The address below which the log is, such as http://127.0.0.1:8470."),
        click.option("--dir", "directory", type=click.Path(path_type=Path), help="A service's directory."),
        click.option("--profile", help="A profile's name, or the path of a TOML file such as D/client.toml."),
    ):
        function = option(function)
    return function


@log.command(cls=Command)
@click.argument("indexes", metavar="[INDEX]...", nargs=-1, type=click.IntRange(min=0))
@click.option("--last", type=click.IntRange(0, 1000), default=10, show_default=True, help="How many, without INDEX.")
@source_options
@json_option
def show(indexes: tuple[int, ...], last: int, json_mode: JsonMode | None, **where: Any) -> None:
    """Show the head of the log and some of its entries."""
    source = open_source(**where)
    _, accepted = source.head()
    head, reader = accepted.checkpoint, Reader(source.read)
    wanted = indexes or range(max(0, head.size - last), head.size)
    entries = [(index, _checked_entry(reader, accepted, index)) for index in wanted]
    output = Output(json_mode)
    witnesses = ", ".join(accepted.witnesses) or "nobody"
    output.say(
        f"{printable(head.origin)}: {head.size} entries, witnessed by {witnesses}", *fill("root", head.root.hex())
    )
    for index, entry in entries:
        output.say(*_in_words(index, entry))
    shown = [{"index": index, "entry": msgspec.to_builtins(entry)} for index, entry in entries]
    about = {"origin": head.origin, "size": head.size, "root": head.root.hex(), "witnesses": accepted.witnesses}
    output.result({"schema": "privyseal/log/1", "head": about, "entries": shown})


@log.command(cls=Command)
@click.argument("index", type=click.IntRange(min=0))
@source_options
@json_option
def prove(index: int, json_mode: JsonMode | None, **where: Any) -> None:
    """Print a proof (C2SP tlog-proof) that an entry is in the log; the entry itself is its extra data."""
    source = open_source(**where)
    note, accepted = source.head()
    entry = Reader(source.read).entry(index, accepted.checkpoint.size)
    path = Reader(source.read).inclusion(index, accepted.checkpoint.size)
    proof = format_proof(TlogProof(index, path, note, entry))
    check_proof(parse_proof(proof), source.policy)
    if json_mode is None:
        click.echo(proof, nl=False)
    Output(json_mode).result({"schema": "privyseal/log-proof/1", "proof": proof})


for _command in (recover, accept_gap, add_witness, add_logger):
    log.add_command(_command)


@log.command(cls=Command)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--log-policy", type=click.Path(path_type=Path), help="Whom to believe (C2SP tlog-policy).")
@click.option("--profile", help="A profile's name, or the path of a TOML file such as D/client.toml.")
@json_option
def verify(files: tuple[Path, ...], log_policy: Path | None, profile: str | None, json_mode: JsonMode | None) -> int:
    """Verify receipts and proofs against the log policy; needs no network."""
    policy = _policy(log_policy, None, profile)
    output, results, failed = Output(json_mode), [], False
    for file in files:
        try:
            said = _verified(bounded(file, MAX_PROOF), policy)
            output.say(f"{mark(True)} {shown_path(file)}: {said}")
            results.append({"path": str(file), "verdict": "valid", "text": said})
        except PrivySealError as error:
            failed = True
            output.warn(f"{mark(False)} {shown_path(file)}: {error.detail}")
            results.append({"path": str(file), "verdict": "invalid", "text": error.detail})
    output.result({"schema": "privyseal/log-verify/1", "files": results})
    return VerificationFailed.exit if failed else 0


@log.command("fsck", cls=Command)
@source_options
@json_option
def check_everything(json_mode: JsonMode | None, **where: Any) -> int:
    """Read the whole log again as an outsider would: every entry, every hash, every promise it can show."""
    source = open_source(**where)
    if len(source.policy.logs) != 1:
        raise Misused("The log policy names several logs; one was expected.", hint="give a policy of this log alone")
    note = source.read(CHECKPOINT_PATH)
    if note is None:
        raise LogUnavailable("The log has no checkpoint.", hint="has its logger ever run?")
    found = list(fsck(source.read, note, source.policy.logs[0].key, source.widths))
    problems = [each for each in found if each.severity == "problem"]
    output = Output(json_mode)
    for each in found[:MOST_FINDINGS]:
        _tell(output, each)
    if len(found) > MOST_FINDINGS:
        output.warn(f"... and {len(found) - MOST_FINDINGS} more")
    if not problems:
        size = source.policy.check(note).checkpoint.size
        still_open = f"; {len(found)} intents have no completion yet" if found else ""
        output.say(f"{mark(True)} all {size} entries, every tile and the signed head agree{still_open}")
    output.result({"schema": "privyseal/log-fsck/1", "findings": found})
    return VerificationFailed.exit if problems else 0


def open_source(directory: Path | None, url: str | None, log_policy: Path | None, profile: str | None) -> Source:
    """Return where the log is, by a service's directory, else by an address, else by the client's profile."""
    policy = _policy(log_policy, directory, profile)
    if directory is not None:
        from privyseal import config  # the whole service, which a look at a log from outside does without

        store = DirectoryTileStore(config.public_log(config.load(directory), directory))
        return Source(store.read, store.widths, policy)
    found = profiles.load({"url": url}, profile)
    base = found.url
    if base is None:
        raise Misused("No log is named.", hint="give --dir, --url, or a profile (--profile D/client.toml)")
    context = Tls(found.ca).context() if base.startswith("https://") else None  # the log asks nobody who he is
    return Source(lambda path: _fetch(f"{base.rstrip('/')}/log/{path}", context), None, policy)


def check_proof(proof: TlogProof, policy: Policy) -> tuple[Entry, Accepted]:
    """Verify a proof whose extra data is the entry; VerificationFailed where it is not in the log."""
    accepted = policy.check(proof.checkpoint)
    head = accepted.checkpoint
    entry = decode(proof.extra or b"")
    leaf = merkle.leaf_hash(proof.extra or b"")
    if not merkle.verify_inclusion(leaf, proof.index, head.size, proof.path, head.root):
        raise VerificationFailed(f"The entry is not entry {proof.index} of the log at size {head.size}.")
    return entry, accepted


def _checked_entry(reader: Reader, accepted: Accepted, index: int) -> Entry:
    head = accepted.checkpoint
    octets = reader.entry(index, head.size)
    path = reader.inclusion(index, head.size)
    if not merkle.verify_inclusion(merkle.leaf_hash(octets), index, head.size, path, head.root):
        raise VerificationFailed(
            f"Entry {index} is not what the signed head says.", hint="privyseal log fsck says more"
        )
    return decode(octets)


def _verified(octets: bytes, policy: Policy) -> str:
    """Verify a receipt of ours, or a proof as ``prove`` prints it, and say what it proves."""
    proof = parse_proof(octets)
    if proof.extra is not None and not proof.extra.startswith(b'{"completion"'):
        entry, accepted = check_proof(proof, policy)
        return f"entry {proof.index} of {accepted.checkpoint.size} is this {type(entry).__name__.lower()}"
    opened = read_receipt(octets, policy)
    what = f"intent {opened.intent_index}, {opened.completed.outcome} in entry {opened.index}"
    return f"{opened.verb} by key {opened.key_tag[:12]}...: {what} of {opened.checkpoint.size}"


def _in_words(index: int, entry: Entry) -> list[str]:
    if isinstance(entry, Intent):
        what = f"intent to {entry.verb}, number {entry.key_seq} of key {entry.key_tag[:12]}..., {entry.uses} use(s)"
    elif isinstance(entry, Completion):
        what = f"completion of {entry.intent}: {entry.outcome}"
    else:
        what = f"statement about {entry.about}"
    return [f"{index:>9}  {what}"]


def _tell(output: Output, finding: Finding) -> None:
    output.warn(f"{mark(False if finding.severity == 'problem' else None)} {finding.code}: {printable(finding.text)}")


def _policy(log_policy: Path | None, directory: Path | None, profile: str | None) -> Policy:
    path = log_policy or (directory / "log-policy" if directory is not None else profiles.load({}, profile).log_policy)
    if path is None:
        raise Misused("Nothing says whom to believe about the log.", hint="give --log-policy, or a profile that has it")
    return parse_policy(bounded(path, MAX_POLICY))


def _fetch(url: str, context: ssl.SSLContext | None) -> bytes | None:
    if not url.startswith(("http://", "https://")):
        raise Misused(f"{printable(url)} is no http or https address.")
    try:
        # The scheme is checked above.
        with urllib.request.urlopen(url, timeout=ANSWER_LIMIT, context=context) as answer:  # noqa: S310
            octets: bytes = answer.read(LARGEST_FILE + 1)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise LogUnavailable(f"{url} answers with {error.code}.") from error
    except (OSError, ValueError) as error:
        raise LogUnavailable(f"{url} does not answer: {getattr(error, 'reason', error)}.") from error
    if len(octets) > LARGEST_FILE:
        raise BadInput(f"{url} is larger than {LARGEST_FILE} octets; it is no file of a log.")
    return octets
