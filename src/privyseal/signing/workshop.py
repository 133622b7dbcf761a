"""Child processes in which uploaded files are read, and finished files made: nobody's bytes are parsed in ``serve``.

A child is started when it is first needed, does one job after the other, and ends when its standard input closes, so
also when we are killed. It may use no more than MEMORY octets of memory, and is killed when a job takes longer than its
size allows. A file that makes it die is refused like any other that cannot be understood.

Jobs and answers are msgpack behind four octets of length, big-endian.
"""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from privyseal.confirm import Expected, confirm
from privyseal.errors import BadInput, MalformedCode, PrivySealError, Unavailable, VerificationFailed, from_code
from privyseal.formats import catalogue, operations
from privyseal.formats.examine import examine
from privyseal.formats.patch import carry_out
from privyseal.formats.protocol import Identity, Prepared, Source
from privyseal.formats.source import FileSource
from privyseal.records.spool import digest_of, sync_folder
from privyseal.terms.signatures import Described, DigestAlgorithm, Options

CHILDREN = 2
"""Files in hand at once: each job keeps one core busy, and the others belong to those who send descriptions."""

MEMORY = 1 << 30
"""Octets of memory a child may have; a file of 4 GiB takes under 100 MiB, a hostile certificate table some 300."""

LONGEST_START = 30.0
"""Seconds for any job, however small; a child starts in under one."""

SLOWEST = 8 << 20
"""Octets a second below which a child counts as stuck: a job reads a file three times, slow disks 100 MiB/s."""

_MOST = 16 << 20
"""Octets of a job or an answer; as of a message to a guarded process."""


class Describe(msgspec.Struct, frozen=True, tag="describe"):
    """Read an uploaded file and describe it."""

    path: str
    filename: str
    chain: tuple[bytes, ...]
    scheme: str
    options: Options
    digest: DigestAlgorithm


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """Make the signed file of an uploaded one, and check it as a stranger would."""

    path: str
    target: str
    chain: tuple[bytes, ...]
    scheme: str
    options: Options
    described: tuple[Described, ...]
    blobs: tuple[bytes, ...]


class Pieces(msgspec.Struct, frozen=True, tag="pieces"):
    """What an uploaded file is."""

    described: tuple[Described, ...]
    enclosed: tuple[bytes, ...] = ()
    """What travels beside each description; none where nothing does."""


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """What a finished file is: its SHA-256, lower-case hex, and its octets."""

    sha256: str
    size: int


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """Why a job was not done, as the errors of ours have it."""

    code: str
    detail: str
    hint: str | None


_jobs = msgspec.msgpack.Decoder(Describe | Finish)
_answers = msgspec.msgpack.Decoder(Pieces | Finished | Refusal)


# -- in the child ------------------------------------------------------------------------------------------------------
def describe(job: Describe) -> Pieces:
    """Tell the format by content and describe the file; MalformedCode where it cannot be signed."""
    with _opened(job.path, job.filename) as code:
        found = catalogue.recognise(code)
        operations.require_for(found, job.options)
        identity = Identity(job.chain, job.scheme)
        prepared = found.prepare(code, found.inspect(code), identity, job.options, job.digest)
        return Pieces(prepared.described, prepared.enclosed)


def finish(job: Finish) -> Finished:
    """Write the signed file, open it again, check it as a stranger would, wait for the disk, and return its digest.

    It is read anew what the file is: VerificationFailed where that is no longer what was approved. The same job gives
    the same file, and one that stands there already is replaced by it.
    """
    with _opened(job.path, job.described[0].filename) as code:
        found = catalogue.recognise(code)
        identity = Identity(job.chain, job.scheme)
        before = examine(found, code) if job.options.mode == "append" else None
        layout = found.inspect(code)
        prepared = found.prepare(code, layout, identity, job.options, job.described[0].digest_algorithm)
        if prepared.described != job.described:
            raise VerificationFailed("The file in the spool is no longer the one that was approved.")
        known = frozenset(each.code for each in before.problems) if before else frozenset()
        plan = found.apply(code, prepared, job.options, job.blobs)
        carry_out(plan, code, job.target, follow=lambda written: _check(job, written, prepared, known))
    fd = os.open(job.target, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
        return Finished(digest_of(fd), os.fstat(fd).st_size)
    finally:
        os.close(fd)
        sync_folder(Path(job.target).parent)


def _check(job: Finish, written: Source, prepared: Prepared, known: frozenset[str]) -> None:
    found = catalogue.BY_NAME[job.described[0].format]
    if isinstance(written, FileSource):  # a UEFI variable is known by its name, and the spool's names say nothing
        written.filename = job.described[0].filename
    expected = Expected(
        blobs=job.blobs,
        prepared=prepared,
        certificate=job.chain[0],
        timestamped=job.options.timestamp,
        known_problems=known,
    )
    confirm(found, written, expected)


def _opened(path: str, filename: str) -> FileSource:
    """Open a file of the spool under the name that its owner calls it by."""
    source = FileSource.open(path)
    source.filename = filename
    return source


def _answer(job: Describe | Finish) -> Pieces | Finished | Refusal:
    try:
        return describe(job) if isinstance(job, Describe) else finish(job)
    except PrivySealError as error:
        return Refusal(error.code, error.detail, error.hint)
    except OSError as error:
        return Refusal(Unavailable.code, f"The spool could not be used: {error.strerror}.", "safe to run again")
    except MemoryError:
        return Refusal(MalformedCode.code, "The file needs more memory than one file may have.", None)


def main() -> None:
    """Do jobs from standard input until it closes; answers go to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the one who started us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold somebody's code
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    stdin, stdout = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)  # what a library might print does not get among the answers
    while (octets := _receive(stdin)) is not None:
        _send(stdout, msgspec.msgpack.encode(_answer(_jobs.decode(octets))))


def _send(stream: IO[bytes], octets: bytes) -> None:
    stream.write(struct.pack(">I", len(octets)) + octets)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes | None:
    """Read one message; None where the other side is gone."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    (size,) = struct.unpack(">I", head)
    if size > _MOST:
        return None
    octets = stream.read(size)
    return octets if len(octets) == size else None


# -- in serve ----------------------------------------------------------------------------------------------------------
class Workshop:
    """The children of one service. Safe to use from several threads; each that waits has a child for itself."""

    def __init__(self, children: int = CHILDREN) -> None:
        """Allow so many children; none is started yet."""
        self._free = threading.BoundedSemaphore(children)
        self._guard = threading.Lock()
        self._idle: list[subprocess.Popen[bytes]] = []
        self._closed = False

    def describe(self, job: Describe, size: int) -> Pieces:
        """Describe an uploaded file of ``size`` octets; MalformedCode where it cannot be signed."""
        answer = self._do(job, size)
        if not isinstance(answer, Pieces):
            raise Unavailable("A child process answered something else than was asked.")
        return answer

    def finish(self, job: Finish, size: int) -> Finished:
        """Make the signed file of an uploaded one of ``size`` octets; VerificationFailed where it does not verify."""
        answer = self._do(job, size)
        if not isinstance(answer, Finished):
            raise Unavailable("A child process answered something else than was asked.")
        return answer

    def close(self) -> None:
        """End the children that wait for work."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for child in idle:
            _end(child)

    def _put_back(self, child: subprocess.Popen[bytes]) -> None:
        with self._guard:
            if not self._closed:
                self._idle.append(child)
                return
        _end(child)

    def _do(self, job: Describe | Finish, size: int) -> Pieces | Finished:
        octets = msgspec.msgpack.encode(job)
        if len(octets) > _MOST:
            raise BadInput("The request is too large for one file.")
        with self._free:
            with self._guard:
                if self._closed:
                    raise Unavailable("The service is stopping.", hint="try again in a moment")
                child = self._idle.pop() if self._idle else None
            child = child or _start()
            answer = None
            try:
                answer = _asked(child, octets, time_allowed(size))
            finally:
                if answer is None:
                    _end(child)
            if answer is None:
                raise _lost(job)
            self._put_back(child)
        if isinstance(answer, Refusal):
            raise from_code(answer.code, answer.detail, answer.hint)
        return answer


def _lost(job: Describe | Finish) -> PrivySealError:
    """Say that a child died of a job; of one that was read without harm before, the file is not to blame."""
    if isinstance(job, Finish):
        return Unavailable("The process that made the signed file was ended.", hint="safe to run again")
    return MalformedCode("The process that read the file died of it or took too long.", hint="is the file damaged?")


def time_allowed(size: int) -> float:
    """Return the seconds that a job about a file of ``size`` octets may take."""
    return LONGEST_START + size / SLOWEST


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "privyseal.signing.workshop"]
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LD_LIBRARY_PATH")}
    # Each of numpy's threads would reserve memory, and there is nothing here for them to do.
    environment |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    except OSError as error:
        raise Unavailable(f"No process could be started: {error.strerror}.", hint="safe to run again") from error


def _asked(child: subprocess.Popen[bytes], job: bytes, seconds: float) -> Pieces | Finished | Refusal | None:
    """Have a child do a job; None where it died of it or took too long."""
    assert child.stdin is not None and child.stdout is not None  # noqa: S101 - both are pipes
    late = threading.Timer(seconds, child.kill)
    late.daemon = True
    late.start()
    try:
        _send(child.stdin, job)
        octets = _receive(child.stdout)
        return None if octets is None else _answers.decode(octets)
    except (OSError, msgspec.MsgspecError):
        return None
    finally:
        late.cancel()


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            _quietly(stream.close)
    child.wait()


def _quietly(act: Callable[[], None]) -> None:
    try:
        act()
    except OSError:
        return


if __name__ == "__main__":
    main()
