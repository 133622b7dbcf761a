"""``privyseal-signtool sign``: signtool's options as those of ``privyseal sign``, and what became of each file."""

from __future__ import annotations

import hashlib
import os
from typing import get_args

import msgspec

from privyseal.cli import makers, pieces, sign
from privyseal.cli.given import Given
from privyseal.cli.keyfile import LARGEST_CHAIN
from privyseal.cli.makers import Maker
from privyseal.cli.outcomes import Outcome
from privyseal.cli.output import Output, printable
from privyseal.cli.pieces import IfSigned, Job, Pending
from privyseal.cli.profile import read_whole
from privyseal.cli.progress import Progress
from privyseal.cli.signtool_arguments import Parsed
from privyseal.cli.signtool_words import counted, fail, say
from privyseal.errors import BadInput, Misused
from privyseal.formats.patch import settle
from privyseal.pki import certificates
from privyseal.terms.signatures import DigestAlgorithm

DIGESTS: dict[str, DigestAlgorithm | None] = {
    "sha256": "sha256",
    "sha384": "sha384",
    "sha512": "sha512",
    "certhash": None,
}
"""Values of ``/fd`` and ``/td`` in lower case -> ours; ``certHash`` is the one that fits the key."""
IF_SIGNED = "PRIVYSEAL_IF_SIGNED"
"""The environment variable that says what to do with files that somebody else has signed."""
RECEIPTS = "PRIVYSEAL_RECEIPTS"
"""The environment variable that names a folder for the receipts, so that none gets into an installer."""
MODE = "PRIVYSEAL_MODE"
"""The environment variable that says whether the service sees the files: local (the default) or server."""


def sign_files(parsed: Parsed) -> int:
    """Sign the files in place, tell of each, and return the exit code."""
    given, todo = _given(parsed), jobs_of(parsed)
    if given.keyfile is not None:
        maker: Maker = makers.key_file(given, Output(quiet=True), parsed.get("p"))
    else:
        maker = makers.service(_with_key(parsed, given), Output(quiet=True))
    if parsed.has("v"):
        _tell_certificate(parsed, maker)
    wishes, workers = sign.wishes_of(given, maker), sign.workers_for(maker, given)
    done: list[Outcome] = []
    with Progress("signing", len(todo), 0, shown=False) as progress:
        for job, outcome in zip(todo, sign.outcomes_of(todo, maker, wishes, progress, workers), strict=True):
            done.append(outcome)
            _tell(parsed, job, outcome)
        settle(job.out for job, outcome in zip(todo, done, strict=True) if outcome.end is None)
    return counted(parsed, "Signed", [outcome.end is None for outcome in done])


def _tell(parsed: Parsed, job: Job, outcome: Outcome) -> None:
    if outcome.end is None:
        say(parsed, f"Successfully signed: {job.path}", *([f"    {outcome.words}"] * parsed.has("v")))
        return
    fail(f"{job.path} {outcome.words}" if isinstance(outcome.end, Pending) else outcome.words)
    fail(f"An error occurred while attempting to sign: {job.path}")


def _given(parsed: Parsed) -> Given:
    """Return the options as ``privyseal sign`` takes them, but for the key."""
    if_signed = "add" if parsed.has("as") else os.environ.get(IF_SIGNED) or "replace"
    mode = os.environ.get(MODE) or "local"
    if if_signed not in get_args(IfSigned) or mode not in ("local", "server"):
        raise Misused(f"{IF_SIGNED} takes {', '.join(get_args(IfSigned))}, and {MODE} local or server.")
    if parsed.has("nph") and parsed.has("ph"):
        raise Misused("/ph and /nph contradict each other.")
    digest, of_stamp, key_file = digest_of(parsed, "fd"), digest_of(parsed, "td"), _key_file(parsed)
    if key_file and parsed.has("t"):
        raise Misused("/t asks for a timestamp of the old kind, by SHA-1; use /tr URL /td SHA256.")
    if key_file and digest and of_stamp and of_stamp != digest:
        raise Misused("/td and /fd name different algorithms; with /f both are the same here.")
    given = {
        "program_name": parsed.get("d"),
        "program_url": parsed.get("du"),
        "digest": digest,
        "page_hashes": "sha256" if parsed.has("ph") else None,
        "if_signed": if_signed,
        "mode": mode,
        "keyfile": key_file,
        "certs": key_file,
        "tsa": (parsed.get("tr"),) if key_file and parsed.has("tr") else (),
    }
    return msgspec.convert(given, Given)


def digest_of(parsed: Parsed, option: str) -> DigestAlgorithm | None:
    """Return the algorithm that an option names, None where it leaves it to us; Misused for SHA-1 and unknown ones."""
    value = (parsed.get(option) or "certHash").lower().replace("-", "")
    if value not in DIGESTS:
        raise Misused(f"/{option} takes SHA256, SHA384 or SHA512; SHA-1 and MD5 are not signed with (CSBR 7.1.3.2).")
    return DIGESTS[value]


def _key_file(parsed: Parsed) -> str | None:
    """Return the file of ``/f`` where it holds a private key; None where it holds the certificate of one elsewhere."""
    path = parsed.get("f")
    if path is None:
        if parsed.has("p"):
            raise Misused("/p is the password of /f FILE, and /f is not given.")
        return None
    octets = read_whole(path, LARGEST_CHAIN)
    return path if b"PRIVATE KEY-----" in octets or _thumbprint(octets) is None else None


def _thumbprint(octets: bytes) -> str | None:
    """Return the SHA-1 of the first certificate in PEM or DER; None where there is none."""
    try:
        first = certificates.pem_certificates(octets)[0] if b"-----BEGIN" in octets else octets
        certificates.read(first)
    except (BadInput, IndexError):
        return None
    return hashlib.sha1(first, usedforsecurity=False).hexdigest()


def _with_key(parsed: Parsed, given: Given) -> Given:
    """Return the options with the key that ``/n``, ``/i``, ``/sha1`` or a certificate in ``/f`` choose."""
    from privyseal.cli import signtool_keys  # http.client and ssl: not for /f

    file = parsed.get("f")
    wanted = signtool_keys.Wanted(
        name=parsed.get("n"),
        issuer=parsed.get("i"),
        thumbprint=parsed.get("sha1") or (None if file is None else _thumbprint(read_whole(file, LARGEST_CHAIN))),
        best=parsed.has("a"),
    )
    return msgspec.structs.replace(given, key=signtool_keys.choose(wanted))


def _tell_certificate(parsed: Parsed, maker: Maker) -> None:
    """Print which certificate signs, as signtool does with ``/v``."""
    facts = certificates.read(maker.identity.chain[0])
    thumbprint = hashlib.sha1(facts.der, usedforsecurity=False).hexdigest().upper()
    say(
        parsed,
        "The following certificate was selected:",
        f"    Issued to: {printable(certificates.common_name(facts.der) or facts.subject)}",
        f"    Issued by: {printable(facts.issuer)}",
        f"    Expires:   {facts.not_after:%a %b %d %H:%M:%S %Y}",
        f"    SHA1 hash: {thumbprint}\n",
    )


def jobs_of(parsed: Parsed) -> list[Job]:
    """Return the files, each in place; their receipts go where the environment says."""
    folder = os.environ.get(RECEIPTS) or None
    if folder is not None and not os.path.isdir(folder):
        raise Misused(f"The folder that {RECEIPTS} names is not there.", hint="make it first")
    return [msgspec.structs.replace(job, receipts=folder) for job in pieces.jobs(parsed.files, None)]
