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
from collections.abc import Sequence
from datetime import datetime

import msgspec

from privyseal.errors import BadInput, PrivySealError, Unavailable, from_code
from privyseal.pki.attestation import pieces
from privyseal.pki.attestation.judge import NotEvidenced, judge
from privyseal.pki.attestation.protocol import Attested

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


class Proven(msgspec.Struct, frozen=True, tag="attested"):
    """The files are an attestation that verified."""

    attested: Attested
    requests: int
    """Certificate requests of the same key that came along, each signed with that key."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Why nothing is proven, as the errors of ours have it."""

    code: str
    detail: str
    hint: str | None


_jobs = msgspec.msgpack.Decoder(Job)
_answers = msgspec.msgpack.Decoder(Proven | NotEvidenced | Refused)


def attested(
    files: Sequence[bytes], at: datetime, pinned: Sequence[bytes] = (), request: bytes | None = None
) -> Proven | NotEvidenced:
    """Judge files as :func:`privyseal.pki.attestation.judge.judge` does, in a child; raises what that raises.

    ``request`` must hold a certificate request. Unavailable where no child can be started.
    """
    if len(files) > pieces.MOST_FILES or sum(map(len, files)) > pieces.MOST_OCTETS:
        pieces.unpack(files)  # raises
    job = msgspec.msgpack.encode(Job(tuple(files), request, tuple(pinned), at))
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
        found = judge(files, job.at, job.pinned)
        if isinstance(found, NotEvidenced):
            return found
        return Proven(found, len(pieces.unpack(files).requests))
    except PrivySealError as error:
        return Refused(error.code, error.detail, error.hint)
    except MemoryError:
        return Refused(BadInput.code, "The attestation needs more memory than one may have.", None)


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
