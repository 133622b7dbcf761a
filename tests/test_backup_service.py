"""The drill: a service is backed up while it runs, its directory is gone, it is put back, and signs again."""

from __future__ import annotations

import base64
import io
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from importlib import resources
from pathlib import Path
from urllib.request import Request, urlopen

import msgspec
import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from rfc3161_client import TimestampRequestBuilder, decode_timestamp_response
from tests.canary import Canary
from tests.rehearsal import Rehearsal, initialise, serving
from tests.softhsm import MODULE, PIN, SoftHsm
from tests.test_old_records import _witnessed as witnessed

from privyseal.cli import main
from privyseal.keystore.sealing import MasterKey, read_envelope
from privyseal.strongroom import logkey
from privyseal.strongroom.charters import Holding
from privyseal.strongroom.settings import SignerSettings, load


def privyseal(*arguments: object, code: int = 0) -> str:
    """Run a command at the machine, in this very process because starting one takes longer; return what it said."""
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(said):
        became = main.run([str(each) for each in arguments])
    assert became == code, said.getvalue()
    return said.getvalue()


class House:
    """A service in a folder, its clients' files elsewhere, and who can open and restore its backups."""

    def __init__(self, folder: Path, founded: Path) -> None:
        self.folder, self.seal, self.clients = folder, folder / "seal", folder / "clients"
        shutil.copytree(founded, self.seal)
        self.clients.mkdir()
        for name in ("client.toml", "administrator.toml", "operator.toml", "custodian.toml", "ca.pem", "ca.crl"):
            shutil.copy2(self.seal / name, self.clients)
        self.keep_policy()
        self.identities = [self._identity(number) for number in (1, 2)]
        self.operators = {name: self._operator(name) for name in ("ann", "bob", "cem")}

    def keep_policy(self) -> None:
        """Have clients and verifiers know the log policy."""
        shutil.copy2(self.seal / "log-policy", self.clients)

    def _identity(self, number: int) -> tuple[Path, str]:
        own = pyrage.x25519.Identity.generate()
        path = self.folder / f"identity{number}"
        path.touch(0o600)
        path.write_text(f"{own}\n")
        return path, str(own.to_public())

    def _operator(self, name: str) -> Path:
        private = Ed25519PrivateKey.generate()
        path = self.folder / f"{name}.pem"
        path.touch(0o600)
        path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
        settings = self.seal / "signer" / "signer.toml"
        said = settings.read_text().replace("operator_quorum = 0", "operator_quorum = 2")
        settings.write_text(f'{said}\n[[operators]]\nname = "{name}"\npublic_key = "{public}"\n')
        return path

    def run(self, service: Rehearsal, *arguments: object, who: str = "client", code: int = 0) -> str:
        """Run a command of a client of the running service."""
        profile = self.clients / f"{who}.toml"
        done = service.run(*map(str, arguments), "--profile", profile, "--url", service.url, profile=False)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def sign(self, service: Rehearsal, name: str, code: int = 0) -> Path:
        """Sign a program."""
        file = self.folder / name
        if not file.exists():
            file.write_bytes((resources.files("distlib") / "t64.exe").read_bytes() + name.encode())
        self.run(service, "sign", file, code=code)
        return file

    def stamp(self, service: Rehearsal, name: str) -> Path:
        """Have a token given, and keep the reply."""
        query = TimestampRequestBuilder().data(name.encode()).build().as_bytes()
        sent = Request(f"{service.url}/tsa", query, {"Content-Type": "application/timestamp-query"})
        with urlopen(sent, timeout=30) as answered:
            reply = answered.read()
        assert decode_timestamp_response(reply).status == 0
        (self.folder / name).write_bytes(reply)
        return self.folder / name

    def back_up(self, name: str) -> Path:
        """Back the service up, for both recipients."""
        to = [word for _, public in self.identities for word in ("--recipient", public)]
        privyseal("backup", "create", self.folder / name, "--dir", self.seal, *to)
        return self.folder / name

    def agreed(self, backup: Path, *names: str) -> list[object]:
        """Have operators agree to restore a backup, and return the options that hand their words in."""
        words: list[object] = []
        for name in names:
            word = self.folder / f"{backup.name}.{name}"
            policy, key = self.clients / "log-policy", self.operators[name]
            if not word.exists():
                privyseal("backup", "agree", backup, "--log-policy", policy, "--identity-key", key, "-o", word)
            words += ["--agreement", word]
        return words

    def restore(self, backup: Path, *more: object, to: Path | None = None, code: int = 0) -> str:
        """Put the service back from a backup."""
        own, _ = self.identities[1]
        policy = self.clients / "log-policy"
        where = to or self.seal
        asked = ("--dir", where, "--identity", own, "--log-policy", policy)
        return privyseal("backup", "restore", backup, *asked, *more, code=code)

    def resume(self, service: Rehearsal) -> None:
        """Have the key resumed by two operators."""
        said = self.run(service, "key", "resume", "release", "--reason", "restored", "--json", who="custodian")
        act = json.loads(said)["act"]["id"]
        for name in ("ann", "cem"):
            key = self.operators[name]
            self.run(service, "key", "agree", act, "--identity-key", key, "--yes", who="operator")


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service to copy; its CA's keys take seconds."""
    directory = tmp_path_factory.mktemp("founded") / "seal"
    initialise(directory, "--scheme", "ecdsa-p256")
    return directory


@pytest.fixture(scope="module")
def drilled(tmp_path_factory: pytest.TempPathFactory, founded: Path) -> Iterator[tuple[House, list[Path], list[Path]]]:
    """Run a service, back it up three times while it signs, and lose its directory; return backups and signed files."""
    house = House(tmp_path_factory.mktemp("backup"), founded)
    with serving(house.seal) as service:
        signed = [house.sign(service, "first.exe")]
        house.stamp(service, "early.tsr")
        unasked = house.back_up("unasked")
        house.run(service, "declare", "backup", "release", "--allowed", "--note", "C. Lark", who="administrator")
        old = house.back_up("old")
        signed.append(house.sign(service, "second.exe"))
        house.stamp(service, "late.tsr")
        new = house.back_up("new")
    house.seal.rename(house.folder / "gone")
    yield house, [unasked, old, new], signed


Drilled = tuple[House, list[Path], list[Path]]


def test_a_service_comes_back_and_signs_again(drilled: Drilled) -> None:
    """Two of three operators agree; no key signs before they agreed to that too; the log is one history, whole."""
    house, (_, _, new), signed = drilled
    known = ["--known", f"{signed[-1]}.tlog-proof"]
    assert "1 of 2 operators agreed" in house.restore(new, *known, *house.agreed(new, "ann"), code=5)
    assert not house.seal.exists()
    said = house.restore(new, *known, *house.agreed(new, "ann", "bob"))
    assert "agreed to by ann, bob" in said
    assert "already" not in said
    assert "is not empty" in house.restore(new, *house.agreed(new, "ann", "bob"), code=2)
    with serving(house.seal) as service:
        house.sign(service, "third.exe", code=7)
        house.resume(service)
        signed = [*signed, house.sign(service, "third.exe")]
        assert "restored from the backup" in house.run(service, "key", "life", "release")
    privyseal("log", "fsck", "--dir", house.seal)
    privyseal("verify", *signed, "--profile", house.clients / "client.toml")
    shutil.rmtree(house.seal)


def test_an_old_backup_is_refused(drilled: Drilled) -> None:
    """Any receipt since shows that the log was longer; nothing is left of the attempt."""
    house, (_, old, _), signed = drilled
    said = house.restore(old, "--known", f"{signed[1]}.tlog-proof", *house.agreed(old, "ann", "bob"), code=8)
    assert "The backup ends at entry" in said and "give the tiles of a mirror with --log" in said
    assert not house.seal.exists()


def test_an_old_backup_goes_on_from_the_newest_log(drilled: Drilled) -> None:
    """With a mirror's tiles it is no second history: what it lacks counts as used, and its records say so."""
    house, (_, old, _), signed = drilled
    mirror = house.folder / "gone" / "log"
    known = ["--known", f"{signed[1]}.tlog-proof", "--log", mirror]
    said = house.restore(old, *known, *house.agreed(old, "cem", "bob"))
    assert "demo/release: 1 signature since the backup" in said
    assert (house.seal / "log" / "checkpoint").read_bytes() == (mirror / "checkpoint").read_bytes()
    assert "1 requests of demo are missing" in privyseal("log", "accept-gap", "--dir", house.seal)
    with closing(sqlite3.connect(house.seal / "signer" / "journal.sqlite3")) as database:
        (held,) = database.execute("SELECT holding FROM keys").fetchone()
    charter = msgspec.json.decode(held, type=Holding).charter
    assert charter.frozen and charter.grants is False
    shutil.rmtree(house.seal)


def test_tokens_of_an_old_backup_are_proven_and_the_others_are_told_to_be_lost(
    drilled: Drilled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The books are in it. They go on above the log, no time is before one that was given, and doctor says it, too."""
    house, (_, old, _), signed = drilled
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).with_name("turned")))
    known = ["--known", f"{signed[1]}.tlog-proof", "--log", house.folder / "gone" / "log"]
    said = house.restore(old, *known, *house.agreed(old, "ann", "bob"))
    size = int((house.seal / "log" / "checkpoint").read_text().split("\n")[1])
    assert f"the stamper's books go on with batch {size + 1}." in said and "may be lost" in said
    ahead = house.seal / "stamper" / "ahead"
    ahead.write_text("-3600")
    with serving(house.seal) as service, pytest.raises(AssertionError):  # an hour before the backup was made
        house.stamp(service, "never.tsr")
    ahead.write_text("7200")
    privyseal("log", "accept-gap", "--dir", house.seal, "--apply")  # the requests that the old records lack
    with serving(house.seal, "--evaluate-every", "1") as service:
        house.stamp(service, "fresh.tsr")
        proof = house.folder / "early.proof"
        until = time.monotonic() + 60
        asked = ("log", "prove", "--profile", house.clients / "client.toml", "--url", service.url, "--token")
        while (done := service.run(*asked, house.folder / "early.tsr", profile=False)).returncode:
            assert time.monotonic() < until, done.stderr
            time.sleep(0.2)
        proof.write_text(done.stdout)
        lost = house.run(service, "log", "prove", "--token", house.folder / "late.tsr", code=2)
        assert "put back to an older state" in lost and lost.count("\n") <= 4, lost
        with sqlite3.connect(house.seal / "stamper" / "stamps.sqlite3") as books:
            assert [row[0] for row in books.execute("SELECT number FROM batches ORDER BY number")][-1] > size
        checked = privyseal("doctor", "--dir", house.seal, "--url", service.url)
        assert "the stamper's were put back to an older state" in " ".join(checked.split())
    verified = privyseal("log", "verify", proof, "--log-policy", house.clients / "log-policy")
    assert "the token is number" in verified
    shutil.rmtree(house.seal)


def test_no_secret_stands_in_a_backup_in_clear(drilled: Drilled) -> None:
    """Neither the Subscriber's key nor the log's, no passphrase, no client's token; and inside no key is unsealed."""
    house, backups, _ = drilled
    gone = house.folder / "gone"
    asked = load(gone / "signer" / "signer.toml", SignerSettings)
    assert asked.softfile is not None
    store = json.loads((gone / "signer" / "keys" / "store.json").read_bytes())
    salt = base64.b64decode(store["salt"])
    master = MasterKey.from_passphrase(asked.softfile.passphrase.encode(), salt)
    envelope = read_envelope((gone / "signer" / "keys" / "demo" / "release.key").read_bytes())
    private = load_der_private_key(master.open(envelope), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    canaries = [Canary.of(private), Canary.of(logkey.read(gone / "logger" / "log.key"))]
    token = json.dumps((house.clients / "client.toml").read_text()).split("token = ")[1].split('\\"')[1]
    plain = [asked.softfile.passphrase.encode(), token.encode(), house.identities[0][0].read_bytes().strip()]
    for backup in backups:
        octets = backup.read_bytes()
        assert [each.found(octets) for each in canaries] == ["", ""]
        assert not any(each in octets for each in plain)
    house.restore(backups[2], *house.agreed(backups[2], "ann", "bob"))
    for path in house.seal.rglob("*"):
        if path.is_file():
            assert not canaries[0].found(path.read_bytes()), path
            assert token.encode() not in path.read_bytes(), path
    shutil.rmtree(house.seal)


def test_without_consent_a_key_is_not_in_it(drilled: Drilled) -> None:
    """The backup says so, and whoever restores it is told that the key is lost."""
    house, (unasked, _, new), _ = drilled
    policy = house.clients / "log-policy"
    own, _ = house.identities[0]
    look = ("--log-policy", policy, "--identity", own, "--json")
    without = json.loads(privyseal("backup", "inspect", unasked, *look))
    assert without["manifest"]["keys"][0]["kept"] is False
    assert "did not agree" in without["manifest"]["keys"][0]["why"]
    assert "signer/keys/demo/release.key" not in without["files"]
    kept = json.loads(privyseal("backup", "inspect", new, *look))
    assert set(kept["files"]) - set(without["files"]) >= {"signer/keys/demo/release.key"}
    assert "log entry" in kept["manifest"]["keys"][0]["why"]
    said = house.restore(unasked, *house.agreed(unasked, "ann", "bob"))
    assert "its Private Key is not in the backup" in said
    shutil.rmtree(house.seal)


def test_what_is_asked_wrongly_is_one_sentence(drilled: Drilled, tmp_path: Path) -> None:
    """One recipient, a recipient that is none, a stranger's identity, a file that is none, another log's policy."""
    house, (_, _, new), _ = drilled
    gone, (own, public) = house.folder / "gone", house.identities[0]
    to = ("backup", "create", tmp_path / "b", "--dir", gone)
    assert "2 recipients at least" in privyseal(*to, "--recipient", public, code=2)
    assert "is no recipient of age" in privyseal(*to, "--recipient", public, "--recipient", "age1x", code=2)
    assert "named twice" in privyseal(*to, "--recipient", public, "--recipient", public, code=2)
    assert list(tmp_path.iterdir()) == []
    stranger = tmp_path / "stranger"
    stranger.touch(0o600)
    stranger.write_text(str(pyrage.x25519.Identity.generate()))
    look = ("--log-policy", house.clients / "log-policy")
    assert "other recipients" in privyseal("backup", "inspect", new, *look, "--identity", stranger, code=2)
    assert "no backup of Privy Seal" in privyseal("backup", "inspect", own, *look, code=2)
    other = tmp_path / "log-policy"
    other.write_text(f"log {logkey.create(tmp_path / 'other.key', 'other.test/log')}\nquorum none\n")
    assert "carries no signature" in privyseal("backup", "inspect", new, "--log-policy", other, code=3)
    mine = ("--identity-key", tmp_path / "me.pem", "-o", tmp_path / "word")
    me = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "me.pem").touch(0o600)
    (tmp_path / "me.pem").write_bytes(me)
    assert "no operator's of this service" in privyseal("backup", "agree", new, *look, *mine, code=5)


def test_a_witness_that_knows_more_refuses_an_old_backup(founded: Path, tmp_path: Path) -> None:
    """Nobody needs to show anything: the witness is asked, and answers with the size that it cosigned."""
    house = House(tmp_path, founded)
    with witnessed(house.seal, tmp_path / "witness"):
        house.keep_policy()
        with serving(house.seal) as service:
            old = house.back_up("old")
            house.sign(service, "since.exe")
        house.seal.rename(tmp_path / "gone")
        said = house.restore(old, *house.agreed(old, "ann", "bob"), code=8)
        assert "witness.example/w" in said
        assert not house.seal.exists()


@pytest.mark.nightly
def test_a_key_in_a_token_comes_back_by_the_tokens_own_clone(tmp_path: Path) -> None:
    """It is in no backup; the module's own copy and the service's backup together sign again."""
    hsm = SoftHsm(tmp_path / "hsm", "rehearsal")
    token = ["--pkcs11-module", MODULE, "--token", "rehearsal", "--pin-file", str(hsm.pin_file)]
    token += ["--module-env", f"SOFTHSM2_CONF={hsm.conf}"]
    token += ["--module-reads", str(hsm.conf), "--module-writes", str(hsm.tokens)]
    initialise(tmp_path / "founded", "--scheme", "ecdsa-p256", *token)
    house = House(tmp_path, tmp_path / "founded")
    with serving(house.seal) as service:
        house.sign(service, "before.exe")
        house.run(service, "declare", "backup", "release", "--allowed", "--note", "C. Lark", who="administrator")
        backup = house.back_up("backup")
    twin = hsm.cloned(tmp_path / "twin")
    house.seal.rename(tmp_path / "gone")
    shutil.rmtree(hsm.tokens)
    assert PIN.encode() not in backup.read_bytes()
    said = house.restore(backup, *house.agreed(backup, "ann", "bob"))
    assert "put PINs and credentials of" in said
    assert not any(PIN.encode() in path.read_bytes() for path in house.seal.rglob("*") if path.is_file())
    shutil.copytree(twin.tokens, hsm.tokens)
    with serving(house.seal) as service:
        house.sign(service, "after.exe", code=7)
        house.resume(service)
        after = house.sign(service, "after.exe")
    privyseal("verify", after, "--profile", house.clients / "client.toml")
    privyseal("log", "fsck", "--dir", house.seal)
