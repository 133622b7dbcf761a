"""Signer and stamper as real processes beside a real logger: they sign, end, come back, and tell no secret."""

import functools
import hashlib
import os
import socket
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.strongroom.processes import Process
from tests.strongroom.signroom import description

from privyseal.errors import PrivySealError
from privyseal.keystore.softfile import SoftFile
from privyseal.pki.certificates import pem
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.strongroom import founding
from privyseal.strongroom.acts import Generate
from privyseal.strongroom.client import LoggerClient, SignerClient, SocketAsk, StamperClient
from privyseal.strongroom.frames import Frames
from privyseal.strongroom.messages import AdministrativeAct, Refused, SignBatch, SignedBatch, SignedItem, SignItem
from privyseal.strongroom.settings import Anchor
from privyseal.terms.canonical import canonical_json
from privyseal.terms.keys import KeyPair
from privyseal.terms.requests import SigningRequest
from privyseal.terms.signatures import Options, ToBeSigned
from privyseal.timestamp.token import verify_token
from privyseal.tlog.entry import IntentSubmission, commit, key_tag

TAG_KEY = os.urandom(32)
SALT = os.urandom(32)


@functools.cache
def _authority() -> RehearsalAuthority:
    """Make the CA of all sites, whose keys take a second."""
    return RehearsalAuthority.create(datetime.now(UTC), "Processes")


class Site:
    """Three founded processes, started and asked over their sockets."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        now = datetime.now(UTC)
        self.authority = _authority()
        vkey = founding.create_logger(directory / "logger", directory / "log", directory / "marks/log", "log.example/p")
        anchor = Anchor("rehearsal", pem(self.authority.root).decode())
        founding.create_signer(
            directory / "signer", directory / "marks" / "signer.mark", vkey, [anchor], lambda: now, rehearsal=True
        )
        spki = founding.create_stamper(directory / "stamper", lambda: now, "ecdsa-p256")
        chain = (self.authority.issue_timestamp_authority(spki, now), self.authority.timestamp_issuer)
        founding.install_stamper_chain(directory / "stamper", spki, chain)
        self.processes = {which: self.start(which) for which in ("logger", "signer", "stamper")}
        self.asks = {which: SocketAsk(directory / f"{which}.sock", 30) for which in self.processes}
        self.logger = LoggerClient(self.asks["logger"])
        self.signer = SignerClient(self.asks["signer"])
        self.stamper = StamperClient(self.asks["stamper"])
        self.mark = 0

    def start(self, which: str) -> Process:
        process = Process(which, self.directory / f"{which}/{which}.toml", self.directory / f"{which}.sock")
        assert process.ready, process.said()
        return process

    def secrets(self) -> list[bytes]:
        """Everything that no other process may ever see."""
        found = [TAG_KEY, TAG_KEY.hex().encode(), (self.directory / "logger/log.key").read_bytes()[28:80]]
        for which in ("signer", "stamper"):
            settings = tomllib.loads((self.directory / f"{which}/{which}.toml").read_text())
            passphrase = settings["softfile"]["passphrase"].encode()
            found.append(passphrase)
            keys = SoftFile.open(self.directory / which / "keys", passphrase, lambda: datetime.now(UTC))
            for path in (self.directory / which / "keys").glob("*/*.key"):
                uri = f"softfile:{path.parent.name}/{path.stem}"
                keys.sign(uri, [ToBeSigned(b"x", "sha256")])
                number = keys._opened[uri].private_numbers()
                secret = number.d if hasattr(number, "d") else number.private_value
                found.append(secret.to_bytes((secret.bit_length() + 7) // 8, "big")[:24])
        return found

    def end(self) -> None:
        for ask in self.asks.values():
            ask.close()
        for process in self.processes.values():
            if process.popen.poll() is None:
                process.terminate()

    def born(self) -> tuple[KeyPair, bytes]:
        """Have a key generated and certified."""
        act = Generate(
            subscriber="demo",
            key="release",
            scheme="rsa-3072",
            approvers=(),
            quorum=0,
            rehearsal=True,
            tag_key_sha256=hashlib.sha256(TAG_KEY).hexdigest(),
            expires_at=(datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0),
        )
        payload = canonical_json(act)
        tag = key_tag(TAG_KEY, act.label.encode())
        intent = IntentSubmission(verb="generate", key_tag=tag, uses=0, commitment=commit(SALT, payload))
        appended = self.logger.append([intent], 0)
        (logged,) = appended.items
        acted = self.signer.act(
            AdministrativeAct(
                payload=payload,
                approvals=(),
                tag_key=TAG_KEY,
                salt=SALT,
                index=logged.index,
                key_seq=logged.key_seq or 0,
                path=logged.path,
                checkpoint=appended.checkpoint,
                since=0,
                consistency=(),
            )
        )
        self.mark = acted.mark
        pair = acted.key_pair  # type: ignore[union-attr]
        return pair, self.authority.issue_code_signing(pair.public_key, "Demo", datetime.now(UTC))

    def batch(self, pair: KeyPair, certificate: bytes, numbers: range) -> SignBatch:
        """Log requests and put them together."""
        requests = [
            SigningRequest(
                subscriber="demo",
                key="release",
                key_id=pair.key_id,
                scheme=pair.scheme,
                certificate=hashlib.sha256(certificate).hexdigest(),
                mode="local",
                options=Options(),
                described=(description(number),),
                expires_at=(datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0),
            ).canonical()
            for number in numbers
        ]
        intents = [
            IntentSubmission(verb="sign", key_tag=pair.key_tag, uses=1, commitment=commit(SALT, one))
            for one in requests
        ]
        appended = self.logger.append(intents, self.mark)
        chain = (certificate, self.authority.code_signing_issuer)
        items = tuple(
            SignItem(request, (), chain, SALT, logged.index, logged.key_seq or 0, logged.path)
            for request, logged in zip(requests, appended.items, strict=True)
        )
        return SignBatch(appended.checkpoint, appended.since, appended.consistency, items)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.end()
    assert [process.said() for process in site.processes.values()] == ["", "", ""]


def test_three_processes_sign_and_stamp(site: Site):
    """Log, sign, timestamp, over sockets; a killed signer comes back with its keys, its mark and its spent intents."""
    pair, certificate = site.born()
    batch = site.batch(pair, certificate, range(4))
    signed = site.signer.sign(batch)
    assert isinstance(signed, SignedBatch)
    values = [each.values[0] for each in signed.results if isinstance(each, SignedItem)]
    assert len(values) == 4
    digests = [hashlib.sha256(value).digest() for value in values]
    for value, token in zip(values, site.stamper.stamp("sha256", digests), strict=True):
        assert abs(verify_token(token, octets=value).time - datetime.now(UTC)) < timedelta(seconds=60)
    site.mark = signed.mark
    site.processes["signer"].kill()
    with pytest.raises(PrivySealError):
        site.signer.health()
    site.processes["signer"] = site.start("signer")
    assert site.signer.health().mark == site.mark
    again = site.logger.prove([item.index for item in batch.items], site.mark)
    replay = msgspec.structs.replace(
        batch,
        checkpoint=again.checkpoint,
        since=again.since,
        consistency=again.consistency,
        items=tuple(
            msgspec.structs.replace(item, path=logged.path)
            for item, logged in zip(batch.items, again.items, strict=True)
        ),
    )
    answer = site.signer.sign(replay)
    assert isinstance(answer, SignedBatch)
    assert [isinstance(each, Refused) and each.code for each in answer.results] == ["intent-spent"] * 4
    answer = site.signer.sign(site.batch(pair, certificate, range(10, 12)))
    assert isinstance(answer, SignedBatch) and all(isinstance(each, SignedItem) for each in answer.results)


def test_no_secret_leaves_by_the_sockets(site: Site):
    """Good questions, wrong ones and nonsense to every door: no answer and no log line holds a secret."""
    pair, certificate = site.born()
    batch = site.batch(pair, certificate, range(2))
    questions: list[object] = [
        batch,
        msgspec.structs.replace(batch, since=5),
        {"is": "sign"},
        {"is": "charter-asked", "key_id": pair.key_id},
        {"is": "charter-asked", "key_id": "softfile:demo/release"},
        {"is": "signer-health"},
        {"is": "log-health"},
        {"is": "stamper-health"},
        {"is": "stamp", "digest_algorithm": "sha256", "digests": [bytes(32)]},
        {"is": "stamp", "digest_algorithm": "md5", "digests": [bytes(16)]},
        {"is": "reply", "requests": [b"junk"]},
        {"is": "append", "submissions": [{"type": "intent"}], "since": 0},
        {"is": "act", "payload": b"{}"},
        ["nonsense"] * 100,
        {"is": "signer-health", "passphrase": True},
    ]
    heard = b""
    for which in site.processes:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(site.directory / f"{which}.sock"))
        frames = Frames(connection)
        for question in questions:
            frames.send(msgspec.msgpack.encode(question))
            heard += frames.receive() or b""
        frames.close()
    said = b"".join(process.said().encode() for process in site.processes.values())
    public = b"".join(path.read_bytes() for path in (site.directory / "log").rglob("*") if path.is_file())
    assert len(heard) > 2000
    secrets = site.secrets()
    assert len(secrets) == 7
    for secret in secrets:
        assert secret not in heard and secret not in said and secret not in public


def test_told_to_end_all_exit_with_0(site: Site):
    """SIGTERM closes each door and ends with 0; the sockets are gone."""
    for which, process in site.processes.items():
        assert process.terminate() == 0
        assert not (site.directory / f"{which}.sock").exists()


def test_a_service_can_be_moved_as_a_whole(site: Site):
    """Settings name what stands beside them relatively: the directory can be renamed, or restored elsewhere."""
    pair, _ = site.born()
    site.end()
    moved = site.directory.with_name("elsewhere")
    site.directory.rename(moved)
    site.directory = moved
    for which in site.processes:
        site.processes[which] = site.start(which)
    site.asks = {which: SocketAsk(moved / f"{which}.sock", 30) for which in site.processes}
    assert SignerClient(site.asks["signer"]).charter(pair.key_id).key_pair == pair
    assert LoggerClient(site.asks["logger"]).health().size > 0
    assert StamperClient(site.asks["stamper"]).health().ready
