"""Parts of a backup under age: files go in and come out as a stream, so nothing lies on the disk in clear on the way.

pyrage (the Rust implementation rage) does the work; it is an extra, and is loaded where a backup is made or restored.
What comes out was authenticated by age chunk by chunk, and by the manifest as a whole before; it is held to names that
a backup has all the same.
"""

from __future__ import annotations

import io
import os
import re
import stat
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from privyseal.errors import BadInput, Misused, VerificationFailed

if TYPE_CHECKING:
    from types import ModuleType

MAX_IDENTITY_OCTETS = 64 << 10
"""Octets of a file with age identities; one has about 190."""
LONGEST_NAME = 400
"""Characters of a file's name within a backup; a tile of a log has about 40."""
_NAME = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,15}")


class Kept(NamedTuple):
    """One file of a backup: its name below the service's directory, and where its octets are."""

    name: str
    content: bytes | Path


def recipients(texts: Sequence[str]) -> list[Any]:
    """Read public keys of recipients, ``age1...``; Misused where one is none, or stands there twice."""
    x25519 = _pyrage().x25519
    if len(set(texts)) < len(texts):
        raise Misused("A recipient is named twice; two are asked for so that one lost key is no lost backup.")
    found = []
    for text in texts:
        try:
            found.append(x25519.Recipient.from_str(text))
        except Exception:  # pyrage's own kinds derive from nothing narrower
            raise Misused(f"{text[:80]!r} is no recipient of age.", hint="age-keygen -y shows one: age1...") from None
    return found


def identities(path: Path) -> list[Any]:
    """Read the private keys of a file that ``age-keygen`` wrote; Misused where others can read it, or it holds none."""
    x25519 = _pyrage().x25519
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise Misused(f"Others than its owner can read {path}, a private key.", hint=f"chmod 600 {path}")
        text = file.read(MAX_IDENTITY_OCTETS).decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        found = [x25519.Identity.from_str(line) for line in lines]
    except Exception:  # as above; its text may quote the key
        raise Misused(f"{path} holds something that is no identity of age.", hint="age-keygen -o FILE") from None
    if not found:
        raise Misused(f"{path} holds no identity of age.", hint="age-keygen -o FILE")
    return found


def seal(files: Iterable[Kept], to: Sequence[Any], target: BinaryIO) -> None:
    """Write files as one archive (POSIX tar) under age to these recipients."""
    pyrage = _pyrage()
    with _piped(lambda end: _pack(files, end)) as source:
        pyrage.encrypt_io(source, target, list(to))


def unseal(source: BinaryIO, own: Sequence[Any], accept: Callable[[str, BinaryIO], None]) -> None:
    """Decrypt an archive and hand each file to ``accept`` by its name; Misused where it is for other recipients.

    VerificationFailed where it was altered, or holds what no backup does.
    """
    pyrage = _pyrage()
    failed: list[BaseException] = []
    reading, writing = os.pipe()

    def _unpack() -> None:
        with open(reading, "rb") as end:
            try:
                _each(end, accept)
            except BaseException as error:
                failed.append(error)
            while end.read(1 << 16):  # whoever writes must come to its end
                pass

    worker = threading.Thread(target=_unpack, name="unpack")
    worker.start()
    trouble: BaseException | None = None
    try:
        with open(writing, "wb") as end:
            pyrage.decrypt_io(source, end, list(own))
    except (pyrage.DecryptError, OSError) as error:
        trouble = error
    finally:
        worker.join()
    if trouble is not None:
        if "matching" in str(trouble):
            raise Misused("The backup is for other recipients than this identity.") from None
        raise VerificationFailed("The backup does not decrypt: it is not as it was written.") from None
    if failed:
        raise failed[0]


def _each(end: BinaryIO, accept: Callable[[str, BinaryIO], None]) -> None:
    seen = set[str]()
    try:
        with tarfile.open(fileobj=end, mode="r|") as archive:
            for member in archive:
                require_name(member.name)
                content = archive.extractfile(member) if member.isreg() and member.name not in seen else None
                if content is None:
                    raise VerificationFailed("A backup holds something else than files that stand there once.")
                seen.add(member.name)
                accept(member.name, content)  # type: ignore[arg-type]  # it reads octets
    except tarfile.TarError:
        raise VerificationFailed("A part of the backup is no archive.") from None


def require_name(name: str) -> None:
    """Refuse a name by which a file would come to lie elsewhere than below the directory."""
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name) or any(not each.strip(".") for each in name.split("/")):
        raise BadInput(f"A backup has no file that is called {name[:80]!r}.")


def _pack(files: Iterable[Kept], end: BinaryIO) -> None:
    with tarfile.open(fileobj=end, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for each in files:
            require_name(each.name)
            about = tarfile.TarInfo(each.name)
            about.mode = 0o600
            if isinstance(each.content, bytes):
                about.size = len(each.content)
                archive.addfile(about, io.BytesIO(each.content))
            else:
                with each.content.open("rb") as file:
                    about.size = os.fstat(file.fileno()).st_size
                    archive.addfile(about, file)


@contextmanager
def _piped(write: Callable[[BinaryIO], None]) -> Iterator[BinaryIO]:
    """Give the reading end of a pipe into which another thread writes; what it raises is raised here at the end."""
    reading, writing = os.pipe()
    failed: list[BaseException] = []

    def _write() -> None:
        try:
            with open(writing, "wb") as end:
                write(end)
        except BaseException as error:
            failed.append(error)

    worker = threading.Thread(target=_write, name="pack")
    worker.start()
    try:
        with open(reading, "rb") as end:
            yield end
    finally:
        worker.join()
    if failed:
        raise failed[0]


def _pyrage() -> ModuleType:
    try:
        return import_module("pyrage")
    except ImportError:
        raise Misused("Backups need pyrage, which is not installed.", hint="pip install 'privyseal[age]'") from None
