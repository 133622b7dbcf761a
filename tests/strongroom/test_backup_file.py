"""The file of a backup: only what the log's key signed is opened, to its last bit, and only by its recipients."""

from __future__ import annotations

import io
import os
import random
import tarfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privyseal.errors import BadInput, Misused, PrivySealError, VerificationFailed
from privyseal.strongroom import age, logkey
from privyseal.strongroom.age import Kept
from privyseal.strongroom.backing_up import without_secrets
from privyseal.strongroom.backup_file import Manifest, Part, PartName, open_backup, sha256_of, write_backup
from privyseal.tlog.note import Signer, Verifier

ORIGIN = "backup.test/log"
FILES = {"serve.toml": b"[service]\n", "log/tile/0/000.p/3": bytes(96), "records.db": os.urandom(70_000)}
SECRET = b"a key in a file that is in the part of keys"


def recipient() -> tuple[Any, str]:
    """Make a key of age."""
    own = pyrage.x25519.Identity.generate()
    return own, str(own.to_public())


def log(name: str = ORIGIN) -> Signer:
    """Make a log's key."""
    private = Ed25519PrivateKey.generate()
    return Signer(logkey.verifier(name, private), private.sign)


LOG = log()
(ANN, ANN_TO), (BOB, BOB_TO) = recipient(), recipient()


def made(path: Path, signer: Signer = LOG, origin: str = ORIGIN) -> Path:
    """Write a backup with two parts."""
    parts, written = [], []
    contents: dict[PartName, dict[str, bytes]] = {"service": FILES, "keys": {"signer/keys/demo/release.key": SECRET}}
    for name, files in contents.items():
        sealed = path.with_name(f"{name}.age")
        with sealed.open("wb") as target:
            age.seal([Kept(each, octets) for each, octets in files.items()], age.recipients([ANN_TO, BOB_TO]), target)
        with sealed.open("rb") as file:
            size = sealed.stat().st_size
            parts.append(Part(name=name, octets=size, sha256=sha256_of(file, 0, size)))
        written.append(sealed)
    manifest = Manifest(
        made=datetime(2026, 11, 30, tzinfo=UTC),
        origin=origin,
        size=3,
        root="00" * 32,
        records="sqlite",
        operators=(),
        quorum=0,
        rehearsal=True,
        recipients=(ANN_TO, BOB_TO),
        keys=(),
        parts=tuple(parts),
    )
    with path.open("wb") as target:
        write_backup(target, manifest, written, signer)
    return path


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of three files and a key."""
    return made(tmp_path_factory.mktemp("backup") / "b")


def read(path: Path, own: object, verifier: Verifier = LOG.verifier) -> dict[str, bytes]:
    """Open a backup and read all that is in it."""
    found: dict[str, bytes] = {}

    def accept(name: str, content: BinaryIO) -> None:
        found[name] = content.read()

    with closing(open_backup(path, verifier)) as opened:
        for part in opened.manifest.parts:
            content = opened.part(part.name)
            assert content is not None
            age.unseal(content, [own], accept)
    return found


@pytest.mark.parametrize("own", [ANN, BOB], ids=["one", "the other"])
def test_each_recipient_alone_reads_all_of_it(backup: Path, own: object) -> None:
    """Octet for octet, and nothing of it stands in the file in clear."""
    assert read(backup, own) == FILES | {"signer/keys/demo/release.key": SECRET}
    octets = backup.read_bytes()
    assert SECRET not in octets and b"records.db" not in octets


def test_nobody_else_reads_it(backup: Path) -> None:
    """One sentence, and no words of the library's."""
    with pytest.raises(Misused, match="other recipients"):
        read(backup, recipient()[0])


def test_one_flipped_bit_is_refused(backup: Path, tmp_path: Path) -> None:
    """Wherever it is: each octet of the head, the note and the manifest, and 120 of the parts."""
    octets, flipped = backup.read_bytes(), tmp_path / "flipped"
    with closing(open_backup(backup, LOG.verifier)) as opened:
        head = len(octets) - sum(part.octets for part in opened.manifest.parts)
    chosen = random.Random(6)
    for at in [*range(head), *(chosen.randrange(head, len(octets)) for _ in range(120))]:
        bad = bytearray(octets)
        bad[at] ^= 1 << chosen.randrange(8)
        flipped.write_bytes(bad)
        with pytest.raises(PrivySealError) as refused:
            read(flipped, ANN)
        assert isinstance(refused.value, BadInput | VerificationFailed), at


def test_what_is_cut_or_goes_on_is_refused(backup: Path, tmp_path: Path) -> None:
    """No end is missing, nothing stands behind it."""
    octets = backup.read_bytes()
    for other in (octets[:-1], octets + b"\0", octets[:40], b"", b"privyseal/backup/v1 1 1\n"):
        bad = tmp_path / "bad"
        bad.write_bytes(other)
        with pytest.raises((BadInput, VerificationFailed)):
            read(bad, ANN)


def test_a_backup_of_another_log_is_refused(tmp_path: Path) -> None:
    """Also where the other log calls itself by our log's name, or a manifest by another one."""
    with pytest.raises(VerificationFailed):
        read(made(tmp_path / "named", log()), ANN)
    with pytest.raises(VerificationFailed, match=r"is of the log 'other\.test'"):
        read(made(tmp_path / "other", LOG, "other.test"), ANN)


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "a//b", "a/./b", "..", "a" * 500, "a\nb"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    """On the way in and on the way out, for whoever holds the log's key may be a thief."""
    with pytest.raises(BadInput):
        age.seal([Kept(name, b"")], [ANN.to_public()], io.BytesIO())
    with pytest.raises(BadInput):
        age.unseal(archive(tarfile.TarInfo(name)), [ANN], lambda _name, _content: None)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_an_archive_holds_files_only(kind: bytes) -> None:
    """No link, directory or device comes out of one."""
    member = tarfile.TarInfo("a")
    member.type, member.linkname = kind, "b"
    with pytest.raises(VerificationFailed):
        age.unseal(archive(member), [ANN], lambda _name, _content: None)


def test_a_file_stands_there_once() -> None:
    """A second one of its name is refused."""
    with pytest.raises(VerificationFailed):
        age.unseal(archive(tarfile.TarInfo("a"), tarfile.TarInfo("a")), [ANN], lambda _name, _content: None)


def test_what_accepts_a_file_may_fail() -> None:
    """Its own error comes out, also when much is still on its way."""

    def fails(_name: str, _content: BinaryIO) -> None:
        raise Misused("no room")

    sealed = io.BytesIO()
    age.seal([Kept("a", bytes(3 << 20)), Kept("b", b"")], [ANN.to_public()], sealed)
    sealed.seek(0)
    with pytest.raises(Misused, match="no room"):
        age.unseal(sealed, [ANN], fails)


def archive(*members: tarfile.TarInfo) -> BinaryIO:
    """Return an archive under age that holds these."""
    plain, sealed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as target:
        for each in members:
            target.addfile(each, io.BytesIO())
    pyrage.encrypt_io(io.BytesIO(plain.getvalue()), sealed, [ANN.to_public()])
    sealed.seek(0)
    return sealed


def test_settings_lose_what_is_secret() -> None:
    """Passphrases and passwords of databases go, and nothing else does."""
    said = b'log = "x"\n[softfile]\ndirectory = "keys"\npassphrase = "p\\"ss"\n[[pkcs11]]\npin_file = "/etc/pin"\n'
    said += b'url = "postgresql://user:hunter2@host/db?password=hunter2&x=1"\n'
    cut = without_secrets(said)
    assert b"hunter2" not in cut and b'p\\"ss' not in cut
    assert b'passphrase = ""\n' in cut and b'pin_file = "/etc/pin"' in cut
    assert b"postgresql://user:@host/db?password=&x=1" in cut or b"postgresql://user@host/db?password=&x=1" in cut


def identity_file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file with identities."""
    path = tmp_path / "identity"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    """A folder for identities."""
    yield tmp_path


def test_identities_are_read_from_a_file_of_ones_own(files: Path) -> None:
    """With comments as age-keygen writes them; not where others can read it, not where it holds something else."""
    good = identity_file(files, f"# created\n# public key: {ANN_TO}\n{ANN}\n")
    assert [str(each) for each in age.identities(good)] == [str(ANN)]
    for text, mode, sentence in (
        (str(ANN), 0o644, "Others than its owner"),
        ("AGE-SECRET-KEY-1WRONG", 0o600, "no identity of age"),
        ("", 0o600, "holds no identity"),
    ):
        with pytest.raises(Misused, match=sentence) as refused:
            age.identities(identity_file(files, text, mode))
        assert "SECRET" not in str(refused.value)


def test_recipients_are_different_keys() -> None:
    """The same one twice is one, and text is none."""
    with pytest.raises(Misused, match="named twice"):
        age.recipients([ANN_TO, ANN_TO])
    with pytest.raises(Misused, match="no recipient"):
        age.recipients([ANN_TO, "age1nobody"])
