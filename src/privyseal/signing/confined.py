"""Attestations judged in a child process that can do nothing else: what is in the files was written by strangers.

The child reads one job from its standard input and answers on its standard output. Before it looks at the job it gives
up what it does not need: memory beyond MEMORY octets, more than SECONDS of a processor, files, new sockets, programs,
new code. What a flaw in a parser could reach from there is its own answer, and that answer can claim too much: whoever
has to be certain verifies again elsewhere, for the files are kept. A file of which the child dies is refused.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from privyseal.errors import BadInput, PrivySealError, Unavailable, VerificationFailed, from_code
from privyseal.pki import certificates
from privyseal.pki.attestation import enclosure, pieces
from privyseal.pki.attestation.judge import NotEvidenced, judge
from privyseal.pki.attestation.protocol import Attested
from privyseal.signing import births
from privyseal.tlog.policy import parse_policy

MEMORY = 512 << 20
"""Octets of memory that the child may have; 60 MiB are the interpreter and its libraries."""
SECONDS = 20
"""Seconds of a processor, and half as many again by the clock: a chain of eight takes under one, most of it Python's
start."""


class Job(msgspec.Struct, frozen=True):
    """What is asked: files, a request's file or none, roots that are trusted beside ours, and the moment."""

    files: tuple[bytes, ...]
    request: bytes | None
    pinned: tuple[bytes, ...]
    at: datetime
    policy: bytes | None = None
    """A log policy, by which an enclosed proof of the key's birth is checked."""
    added: dict[str, tuple[bytes, ...]] = {}
    """Roots that the operator trusts beside ours, by the name of the format for which."""


class Proven(msgspec.Struct, frozen=True, tag="attested"):
    """The files are an attestation that verified."""

    attested: Attested
    requests: int
    """Certificate requests of the same key that came along, each signed with that key."""
    birth: str = ""
    """What an enclosed proof of the key's birth shows, in words; empty where it was not checked."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Why nothing is proven, as the errors of ours have it."""

    code: str
    detail: str
    hint: str | None


_jobs = msgspec.msgpack.Decoder(Job)
_answers = msgspec.msgpack.Decoder(Proven | NotEvidenced | Refused)


def attested(
    files: Sequence[bytes],
    at: datetime,
    pinned: Sequence[bytes] = (),
    request: bytes | None = None,
    policy: bytes | None = None,
    added: Mapping[str, tuple[bytes, ...]] | None = None,
) -> Proven | NotEvidenced:
    """Judge files as :func:`privyseal.pki.attestation.judge.judge` does, in a child; raises what that raises.

    ``request`` must hold a certificate request; by ``policy`` an enclosed log's proof of the key's birth is checked.
    Unavailable where no child can be started.
    """
    if len(files) > pieces.MOST_FILES or sum(map(len, files)) > pieces.MOST_OCTETS:
        pieces.unpack(files)  # raises
    job = msgspec.msgpack.encode(Job(tuple(files), request, tuple(pinned), at, policy, dict(added or {})))
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LD_LIBRARY_PATH")}
    command = [sys.executable, "-I", "-m", "privyseal.signing.confined"]
    try:
        ran = subprocess.run(
            command,
            input=job,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
            timeout=SECONDS * 1.5,
            check=False,
        )
        answer: Proven | NotEvidenced | Refused = _answers.decode(ran.stdout)
    except OSError as error:
        raise Unavailable(f"No process could be started: {error.strerror}.", hint="safe to run again") from error
    except (subprocess.TimeoutExpired, msgspec.MsgspecError):
        raise BadInput(
            "The process that read the attestation died of it or took too long.", hint="is a file damaged?"
        ) from None
    if isinstance(answer, Refused):
        raise from_code(answer.code, answer.detail, answer.hint)
    return answer


# -- in the child ------------------------------------------------------------------------------------------------------
def answered(job: Job) -> Proven | NotEvidenced | Refused:
    """Do one job."""
    try:
        files = job.files
        if job.request is not None:
            if not pieces.unpack((job.request,)).requests:
                raise BadInput("The file of the certificate request holds none.", hint="expected PKCS #10, PEM or DER")
            files = (*files, job.request)
        found = judge(files, job.at, job.pinned, job.added)
        if isinstance(found, NotEvidenced):
            return found
        return Proven(found, len(pieces.unpack(files).requests), _birth(files, found, job.policy))
    except PrivySealError as error:
        return Refused(error.code, error.detail, error.hint)
    except MemoryError:
        return Refused(BadInput.code, "The attestation needs more memory than one may have.", None)


def _birth(files: Sequence[bytes], found: Attested, policy: bytes | None) -> str:
    """Check an enclosed proof of the key's birth, which ``judge`` has found to be bound to the Evidence."""
    enclosed = enclosure.found_in(files)
    if policy is None or not enclosed:
        return ""
    inside = enclosure.read(enclosed[0])
    if not inside.birth or inside.key_id != certificates.key_id(found.spki):
        raise VerificationFailed("No proof of the key's birth is enclosed.")
    born = births.check(inside.birth, inside.key_id, parse_policy(policy))
    seen = f", seen by {len(born.witnesses)} witness(es)" if born.witnesses else ""
    return f"entry {born.index} of the log {born.origin} states it, at {born.at:%Y-%m-%d %H:%M:%S} UTC{seen}"


def give_up() -> None:
    """Give up what judging does not need; what the kernel does not know of is left."""
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, MEMORY),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(what, (most, most))
    if sys.platform != "linux":
        return
    from privyseal.strongroom import confinement, hardening, seccomp

    hardening.harden()
    confinement.confine((), None)
    seccomp.restrict()
    seccomp.settle()


def main() -> None:
    """Do the job on standard input, and answer on standard output."""
    octets = sys.stdin.buffer.read()
    give_up()
    answer = msgspec.msgpack.encode(answered(_jobs.decode(octets)))
    sys.stdout.buffer.write(answer)


if __name__ == "__main__":
    main()
