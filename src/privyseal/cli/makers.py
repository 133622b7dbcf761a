"""Who makes signatures for ``sign``: a service, or a key file; found by what the user gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol, cast, runtime_checkable

import msgspec

from privyseal.cli import profile as profiles
from privyseal.cli.given import Given
from privyseal.cli.output import Output, printable
from privyseal.cli.pieces import Counted, Job, Made, Opened, Pending
from privyseal.confirm import Expected
from privyseal.errors import Misused
from privyseal.formats.protocol import EmbeddedSignature, Identity, Prepared
from privyseal.formats.source import FileSource
from privyseal.pki import certificates
from privyseal.terms.signatures import LogFacts, Options


class Maker(Protocol):
    """Who makes signatures: a service, or a key file."""

    identity: Identity
    logs: bool
    """Whether a receipt belongs to a signature."""
    stamps: bool
    """Whether it can have a signature timestamped."""

    def make(self, prepared: Prepared, options: Options, *, again: bool) -> Made | Pending:
        """Make one file's signature; raises PrivySealError."""
        ...

    def accept(self, made: Made, found: EmbeddedSignature, job: Job) -> LogFacts | None:
        """Check and write what belongs beside the file; called before the signed file gets its name."""
        ...

    def has_receipt(self, found: EmbeddedSignature, job: Job) -> bool:
        """Tell whether what belongs beside the file is there and holds."""
        ...


@runtime_checkable
class FileMaker(Protocol):
    """Who makes signed files: a service that sees them."""

    def make_from(
        self, code: FileSource, prepared: Prepared, options: Options, counted: Counted, *, again: bool
    ) -> Made | Pending:
        """Have one file signed; raises PrivySealError."""
        ...

    # What a download is checked against.
    def fetch(  # noqa: PLR0913
        self,
        made: Made,
        opened: Opened,
        job: Job,
        options: Options,
        expected: Expected,
        counted: Counted,
        then: Callable[[Sequence[EmbeddedSignature]], None],
    ) -> tuple[EmbeddedSignature, ...]:
        """Put the signed file where it goes, checked; raises PrivySealError."""
        ...


@lru_cache(maxsize=16)
def _makes_files(kind: type) -> bool:
    return issubclass(kind, FileMaker)


def as_file_maker(maker: Maker) -> FileMaker | None:
    """Return a maker as one of signed files, if it is one: isinstance() takes a fortieth of a small file's time."""
    return cast(FileMaker, maker) if _makes_files(type(maker)) else None


@runtime_checkable
class Together(Protocol):
    """Who can make the signatures of several files at once: a service that does not see them."""

    def make_together(self, prepared: Sequence[Prepared], options: Options, *, again: bool) -> list[Made] | Pending:
        """Make one signature for each, by one request; raises PrivySealError."""
        ...


def service(given: Given, output: Output) -> Maker:
    """Connect to the service that options, environment and files name, and fetch the key."""
    from privyseal.cli.client import Service  # http.client and ssl: not for --keyfile
    from privyseal.cli.requests import Requester
    from privyseal.cli.verify import read_trust

    for option in ("certs", "tsa", "rehearsal_anchor"):
        if getattr(given, option):
            raise Misused(f"--{option.replace('_', '-')} goes with --keyfile only.")
    found = profiles.load({"url": given.url, "subscriber": given.subscriber, "key": given.key}, given.profile)
    policy = read_trust(msgspec.structs.replace(found, trust=(), crl=())).log_policy
    kind = Requester
    if given.mode == "server":
        from privyseal.cli.uploads import Sender

        kind = Sender
    maker = kind(Service(found), found.need("key"), policy)
    facts = certificates.read(maker.identity.chain[0])
    who = printable(certificates.common_name(facts.der) or facts.subject)
    output.say(
        f"as       {who}, with key {printable(maker.view.name)} ({maker.view.scheme}), until {facts.not_after:%Y-%m-%d}"
    )
    if maker.view.rehearsal:
        output.say("note     a rehearsal key: nothing signed with it is for release")
    if policy is None:
        output.warn("note     no log policy is configured, so receipts are kept but not checked")
    return maker


def key_file(given: Given, output: Output, password: str | None = None) -> Maker:
    """Read the key file and its chain."""
    from privyseal.cli import keyfile

    if given.key or given.url or given.subscriber:
        raise Misused("--keyfile signs without a service, so --key, --url and --subscriber mean nothing with it.")
    if not given.certs or not given.keyfile:
        raise Misused("--keyfile needs the certificate.", hint="add --certs chain.pem")
    if given.mode != "local":
        raise Misused("--keyfile signs here, so --mode server means nothing with it.")
    if given.no_timestamp and given.tsa:
        raise Misused("--tsa and --no-timestamp contradict each other.")
    found = profiles.load({"rehearsal_anchors": given.rehearsal_anchor, "tsa": given.tsa}, given.profile)
    key = keyfile.load(given.keyfile, given.certs, found.rehearsal_anchors, datetime.now(UTC), password)
    stamp = None
    if found.tsa and not given.no_timestamp:
        from privyseal.cli.stamping import authorities
        from privyseal.timestamp.client import Trusted

        stamp = keyfile.stamp_by(authorities(found.tsa, Trusted()))
    if not keyfile.is_for_code_signing(key.identity.chain[0]):
        output.warn("note     the certificate does not say that it is for code signing; verifiers will refuse it")
    output.warn("note     no service and no log: nobody can prove what is signed this way; for rehearsal only")
    return keyfile.KeyFileMaker(key, stamp)
