"""A signer and the log it believes, without sockets, and all that a request needs: each part can be spoilt alone."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.remembered import empty_store
from tests.strongroom.logroom import VERIFIER, LogRoom, client

from privyseal.formats import catalogue
from privyseal.formats.protocol import Identity
from privyseal.formats.source import FileSource
from privyseal.keystore.protocol import KeyStore
from privyseal.keystore.softfile import SoftFile
from privyseal.pki.certificates import verify
from privyseal.pki.chain import PinnedAnchor
from privyseal.strongroom.acts import Act, Generate, act_digest, uses_of
from privyseal.strongroom.administration import Operators
from privyseal.strongroom.client import SignerClient
from privyseal.strongroom.journal import Journal
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.messages import (
    Acted,
    AdministrativeAct,
    Appended,
    Refused,
    SignBatch,
    SignedBatch,
    SignedItem,
    SignItem,
    Stale,
)
from privyseal.strongroom.signer import Signer
from privyseal.terms.canonical import canonical_json
from privyseal.terms.keys import Approver, KeyPair
from privyseal.terms.requests import Approval, SigningRequest, approved_octets
from privyseal.terms.signatures import Described, Options, ToBeSigned
from privyseal.tlog.entry import IntentSubmission, commit, key_tag
from privyseal.tlog.merkle import EMPTY_ROOT

PASSPHRASE = "canary passphrase of the signer"
TAG_KEY = hashlib.sha256(b"the tests' tag key").digest()
SALT = bytes(range(32))
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Person:
    """One who approves: a name and an Ed25519 key."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())

    @property
    def approver(self) -> Approver:
        return Approver(self.name, self.key.public_key().public_bytes_raw(), member=f"M-{self.name}")

    def approves(self, digest: bytes, *, as_name: str | None = None, over: bytes | None = None) -> Approval:
        """Approve a digest; ``as_name`` and ``over`` make it a false one."""
        return Approval(
            approver=as_name or self.name,
            public_key=self.key.public_key().public_bytes_raw(),
            request_digest=digest,
            signature=self.key.sign(approved_octets(over or digest)),
        )


class Authority:
    """A small CA with one elliptic key."""

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.der = self._certificate(self.key.public_key(), self.name, START - timedelta(days=900), 3650, ca=True)

    def issue(self, spki: bytes, start: datetime = START - timedelta(days=1), days: int = 30) -> bytes:
        """Issue a code signing certificate."""
        public = serialization.load_der_public_key(spki)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Subscriber")])
        return self._certificate(public, subject, start, days, ca=False)

    def _certificate(self, public: object, subject: x509.Name, start: datetime, days: int, *, ca: bool) -> bytes:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .sign(self.key, hashes.SHA256())
            .public_bytes(serialization.Encoding.DER)
        )


class SignRoom:
    """A signer whose clock, key store, anchors and operators the test chooses."""

    def __init__(
        self,
        directory: Path,
        *,
        operators: Sequence[Person] = (),
        operator_quorum: int = 0,
        rehearsal: bool = True,
        log: str = VERIFIER.vkey,
    ) -> None:
        self.directory = directory
        (directory / "log").mkdir()
        self.log_room = LogRoom(directory / "log")
        self.logger = self.log_room.logger()
        self.log = client(self.logger)
        self.now = START
        self.rehearsal_ca, self.private_ca, self.unknown_ca = Authority("R"), Authority("P"), Authority("U")
        empty_store(directory / "keys", PASSPHRASE.encode())
        self.keys = SoftFile.open(directory / "keys", PASSPHRASE.encode(), lambda: self.now)
        self.stores: dict[str, KeyStore] = {"softfile": self.keys}
        self.operators = Operators(tuple(one.approver for one in operators), operator_quorum, rehearsal)
        self.notes: list[str] = []
        self.vkey = log
        self.mark = 0
        MarkFile.create(self.directory / "signer.mark", Mark(0, EMPTY_ROOT))
        self.start()

    def start(self) -> None:
        """Start a signer over what is on the disk."""
        self.signer = Signer(
            Journal(self.directory / "journal.sqlite3", MarkFile(self.directory / "signer.mark")),
            self.stores,
            self.vkey,
            (PinnedAnchor(self.rehearsal_ca.der, "rehearsal"), PinnedAnchor(self.private_ca.der, "private")),
            self.operators,
            lambda: self.now,
            note=self.notes.append,
        )
        self.client = SignerClient(self.signer.handle)

    def restart(self) -> None:
        """Lose everything in memory, keys too."""
        self.signer.close()
        self.keys = SoftFile.open(self.directory / "keys", PASSPHRASE.encode(), lambda: self.now)
        self.stores["softfile"] = self.keys
        self.start()

    def close(self) -> None:
        self.signer.close()
        self.logger.close()

    # -- acts ------------------------------------------------------------------------------------------------------
    def birth(self, name: str = "release", **changes: object) -> Generate:
        """Describe a birth; ``changes`` replaces its fields."""
        plain: dict[str, object] = {
            "subscriber": "demo",
            "key": name,
            "scheme": "ecdsa-p256",
            "approvers": (),
            "quorum": 0,
            "rehearsal": True,
            "tag_key_sha256": hashlib.sha256(TAG_KEY).hexdigest(),
            "expires_at": self.now + timedelta(hours=1),
        }
        return Generate(**(plain | changes))  # type: ignore[arg-type]

    def act(self, act: Act, tag: str | None = None, by: Sequence[Person] = (), **changes: object) -> Acted | Stale:
        """Log the intent of an act and have it carried out; ``changes`` replaces fields of the question."""
        payload = canonical_json(act)
        if isinstance(act, Generate):
            tag = tag or key_tag(TAG_KEY, act.label.encode())
        else:
            tag = tag or self.client.charter(act.key_id).charter.key_tag
        verb = str(type(act).__struct_config__.tag)
        submission = IntentSubmission(verb=verb, key_tag=tag, uses=uses_of(act), commitment=commit(SALT, payload))
        appended = self.log.append([submission], self.mark)
        asked = AdministrativeAct(
            payload=payload,
            approvals=tuple(person.approves(act_digest(payload)) for person in by),
            tag_key=TAG_KEY if isinstance(act, Generate) else b"",
            salt=SALT,
            index=appended.items[0].index,
            key_seq=appended.items[0].key_seq or 0,
            path=appended.items[0].path,
            checkpoint=appended.checkpoint,
            since=appended.since,
            consistency=appended.consistency,
        )
        answer = self.client.act(msgspec.structs.replace(asked, **changes))
        self.mark = answer.mark
        return answer

    def key(self, name: str = "release", by: Sequence[Person] = (), **changes: object) -> KeyPair:
        """Have a key born."""
        answer = self.act(self.birth(name, **changes), by=by)
        assert isinstance(answer, Acted)
        return answer.key_pair

    # -- requests --------------------------------------------------------------------------------------------------
    def request(self, pair: KeyPair, certificate: bytes, number: int = 0, **changes: object) -> SigningRequest:
        """Describe a program to be signed; another ``number`` is another program."""
        plain: dict[str, object] = {
            "subscriber": pair.subscriber,
            "key": pair.name,
            "key_id": pair.key_id,
            "scheme": pair.scheme,
            "certificate": hashlib.sha256(certificate).hexdigest(),
            "mode": "local",
            "options": Options(),
            "described": (description(number),),
            "expires_at": self.now + timedelta(hours=1),
            "requester": "M-asker" if pair.in_order else msgspec.UNSET,
        }
        return SigningRequest(**(plain | changes))  # type: ignore[arg-type]

    def logged(self, *requests: bytes, tag: str, uses: int = 1, verb: str = "sign", salt: bytes = SALT) -> Appended:
        """Log an intent for each of these canonical octets."""
        submissions = [
            IntentSubmission(verb=verb, key_tag=tag, uses=uses, commitment=commit(salt, each)) for each in requests
        ]
        return self.log.append(submissions, self.mark)

    def items(self, appended: Appended, requests: Sequence[bytes], own: bytes, **changes: object) -> list[SignItem]:
        """Put requests and their proofs together; ``changes`` replaces fields of every item."""
        return [
            msgspec.structs.replace(
                SignItem(
                    request=request,
                    approvals=(),
                    chain=(own,),
                    salt=SALT,
                    index=logged.index,
                    key_seq=logged.key_seq or 0,
                    path=logged.path,
                ),
                **changes,
            )
            for request, logged in zip(requests, appended.items, strict=True)
        ]

    def send(self, appended: Appended, items: Sequence[SignItem], **changes: object) -> SignedBatch | Stale:
        """Send a batch; ``changes`` replaces its fields."""
        batch = SignBatch(appended.checkpoint, appended.since, appended.consistency, tuple(items))
        answer = self.client.sign(msgspec.structs.replace(batch, **changes))
        self.mark = answer.mark
        return answer

    def sign(
        self, pair: KeyPair, certificate: bytes, request: SigningRequest, **changes: object
    ) -> SignedItem | Refused:
        """Take one request all the way; ``changes`` replaces fields of its item."""
        canonical = request.canonical()
        appended = self.logged(canonical, tag=pair.key_tag)
        answer = self.send(appended, self.items(appended, [canonical], certificate, **changes))
        assert isinstance(answer, SignedBatch)
        return answer.results[0]


def description(number: int) -> Described:
    """Describe a program that nobody has: a real one's description, with a digest of its own."""
    return msgspec.structs.replace(_described(), digest=hashlib.sha256(b"%d" % number).digest())


@functools.cache
def _described() -> Described:
    with resources.as_file(resources.files("distlib") / "t64.exe") as path, FileSource.open(path) as source:
        code_format = catalogue.recognise(source)
        layout = code_format.inspect(source)
        return code_format.prepare(source, layout, Identity((), ""), Options(), "sha256").described[0]


def refused(outcome: object, code: str, words: str = "") -> None:
    """The outcome is a refusal of this kind, in these words."""
    assert isinstance(outcome, Refused), outcome
    assert (outcome.code, words in f"{outcome.detail} {outcome.hint}") == (code, True), outcome


def signed(outcome: object, pair: KeyPair, certificate: bytes, request: SigningRequest) -> None:
    """The values verify over octets that the format builds, here, from the request."""
    assert isinstance(outcome, SignedItem), outcome
    octets: list[ToBeSigned] = []
    for described in request.described:
        code_format = catalogue.BY_NAME[described.format]
        octets += code_format.to_be_signed(described, Identity((certificate,), pair.scheme), request.options)
    assert len(octets) == len(outcome.values)
    for tbs, value in zip(octets, outcome.values, strict=True):
        verify(pair.public_key, tbs, value)
