"""A Privy Seal behind its desk: real records, real walks in, guarded processes that can be told to fail."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from litestar.testing import TestClient
from tests import postgres
from tests.records import stored
from tests.web.standing import application

from privyseal.errors import NotFound, PrivySealError
from privyseal.records import keys, lives, requests
from privyseal.records.database import open_records
from privyseal.records.documents import Documents
from privyseal.records.spool import Limits, Spool
from privyseal.signing import ask as signing_ask
from privyseal.signing import enrol
from privyseal.signing.instance import Premises, PrivySeal
from privyseal.signing.workshop import Workshop
from privyseal.terms.keys import Approver, Assurance, KeyPair, KeyProtection
from privyseal.terms.life import KeyState
from privyseal.terms.parties import Affiliation, Role, SigningService
from privyseal.terms.requests import Approval, Dossier, Intent, SigningRequest, State, approved_octets
from privyseal.terms.signatures import Described, Options
from privyseal.web import desk, problem

NOW = datetime.now(UTC).replace(microsecond=0)


class Walk:
    """Stands in for ``signing.sign.advance``: moves real records along, or does what a test tells it."""

    def __init__(self) -> None:
        self.raises: PrivySealError | None = None
        self.fails: tuple[str, str] | None = None
        self.before: Callable[[], None] = lambda: None
        self.batches: list[int] = []

    def __call__(self, seal: PrivySeal, ids: Sequence[tuple[str, str]]) -> list[Dossier | PrivySealError]:
        self.batches.append(len(ids))
        self.before()
        if self.raises is not None:
            return [self.raises] * len(ids)
        return [self._one(seal, *each) for each in ids]

    def _one(self, seal: PrivySeal, subscriber: str, request_id: str) -> Dossier | PrivySealError:
        with seal.records.writing(subscriber) as tx:
            dossier = requests.claim(tx, request_id, seal.clock())
            if dossier is None:
                return requests.get(tx, request_id)
            dossier = requests.move(tx, dossier, State.SIGNING)
            if self.fails is not None:
                return requests.fail(tx, dossier, *self.fails)
            dossier = stored.intent(tx, dossier, Intent(7, 1))
            dossier = stored.signatures(tx, dossier, (b"signature",))
            dossier = stored.blobs(tx, dossier, (), (b"blob of " + request_id.encode(),))
            return stored.receipt(tx, dossier, "c2sp.org/tlog-proof@v1\n")


class Room:
    """Stands in for the client of a guarded process."""

    def __init__(self) -> None:
        self.raises: PrivySealError | None = None
        self.batches: list[int] = []

    def health(self) -> Any:
        if self.raises is not None:
            raise self.raises
        return SimpleNamespace(ready=True, why="", mark=0)

    mark = 0

    def evidence(self, key_id: str, nonce: bytes) -> Any:
        """Know no key."""
        raise NotFound("The signer holds no such key.")

    def append(self, submissions: Sequence[Any], since: int) -> Any:
        """Give each submission the place that it had before, or the next one."""
        self.health()
        known = self.__dict__.setdefault("logged", {})
        items = [known.setdefault(one.submission_id(), len(known)) for one in submissions]
        return SimpleNamespace(items=[SimpleNamespace(index=index) for index in items])

    def legacy_reply(self, request: bytes) -> bytes:
        raise NotFound("It is not offered here.")

    def reply(self, queries: Sequence[bytes], policies: Sequence[str] = ()) -> tuple[bytes, ...]:
        self.health()
        self.batches.append(len(queries))
        under = [b" under " + each.encode() if each else b"" for each in policies or [""] * len(queries)]
        return tuple(b"reply to " + query + policy for query, policy in zip(queries, under, strict=True))


@dataclasses.dataclass
class House:
    """One service with the Subscribers demo and other, a key without quorum and one that asks for an approval."""

    seal: PrivySeal
    desk: desk.Desk
    client: TestClient[Any]
    tokens: dict[str, str]
    members: dict[str, str]
    """Ids of the members, by the names of their tokens."""
    walk: Walk
    chain: tuple[bytes, ...]
    pairs: dict[str, KeyPair]
    approver: Ed25519PrivateKey
    public_log: Path
    database: postgres.Database | None

    def lose_a_table(self) -> None:
        """Rename a table that the service cannot do without."""
        statement = "ALTER TABLE subscribers RENAME TO gone"
        if self.database is not None:
            with self.database.connect() as connection:
                connection.execute(statement)
            return
        self.seal.records.engine.dispose()
        with self.seal.records.engine.connect() as connection:
            connection.exec_driver_sql(statement)
            connection.commit()

    def auth(self, who: str = "requester") -> dict[str, str]:
        """Return the Authorization header of one of the members, named as in ``tokens``."""
        return {"Authorization": f"Bearer {self.tokens[who]}"}

    def request(self, key: str = "release", **changes: Any) -> SigningRequest:
        """Build a request that the service accepts, changed as asked."""
        pair = self.pairs[key]
        plain = SigningRequest(
            subscriber="demo",
            key=key,
            key_id=pair.key_id,
            scheme=pair.scheme,
            certificate=hashlib.sha256(self.chain[0]).hexdigest(),
            mode="local",
            options=Options(),
            described=(
                Described(
                    format="pe",
                    filename="setup.exe",
                    digest_algorithm="sha256",
                    digest=b"\7" * 32,
                    size=4100,
                    facts={"machine": 0x8664, "magic": 0x20B, "subsystem": 3},
                ),
            ),
            expires_at=NOW + timedelta(hours=1),
            requester=self.members["requester"] if pair.in_order else msgspec.UNSET,
        )
        return msgspec.structs.replace(plain, **changes)

    def post(self, request: SigningRequest, key: str = "k-1", who: str = "requester", **headers: str) -> Any:
        """Submit a request."""
        sent = self.auth(who) | {"Idempotency-Key": key, "Content-Type": "application/json"} | headers
        return self.client.post("/v1/demo/requests", content=request.canonical(), headers=sent)

    def approval(self, request: SigningRequest) -> Approval:
        """Sign an approval as the approver of the key ``guarded``."""
        return Approval(
            approver="ada",
            public_key=self.approver.public_key().public_bytes_raw(),
            request_digest=request.digest(),
            signature=self.approver.sign(approved_octets(request.digest())),
        )


def check(answered: Any, status: int, code: str) -> dict[str, Any]:
    """Assert that this is the problem document it should be, every member in place, and return it."""
    assert (answered.status_code, answered.headers["content-type"]) == (status, problem.MEDIA_TYPE), answered.text
    document = msgspec.json.decode(answered.content, type=problem.Problem)
    assert set(json.loads(answered.content)) == set(problem.Problem.__struct_fields__)
    assert (document.code, document.status) == (code, status)
    assert document.type == f"/problems/{code}"
    assert document.title and document.detail.endswith((".", "!", "?"))
    assert document.request_id == answered.headers["x-request-id"] and document.request_id in document.instance
    found: dict[str, Any] = json.loads(answered.content)
    return found


def certificate() -> tuple[bytes, bytes]:
    """Make a self-signed certificate; return its DER and its SubjectPublicKeyInfo."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "demo")])
    built = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(0x1234).not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return built.public_bytes(Encoding.DER), spki


def pair(name: str, spki: bytes, approvers: tuple[Approver, ...], quorum: int) -> KeyPair:
    return KeyPair(
        subscriber="demo",
        name=name,
        key_id=hashlib.sha256(spki + name.encode()).hexdigest(),
        scheme="ecdsa-p256",
        uri=f"softfile:secret-place-of-{name}",
        public_key=spki,
        key_tag="ab" * 32,
        protection=KeyProtection("softfile", Assurance.SOFTWARE, True, False),
        born=NOW,
        rehearsal=True,
        approvers=approvers,
        quorum=quorum,
    )


def build_house(empty: Path | None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    database = None if empty is not None else postgres.cluster().migrated()
    if empty is not None:
        shutil.copy(empty, folder / "records.db")
    records = open_records(database.url if database else f"sqlite:///{folder / 'records.db'}")
    service = SigningService("Test Signing Service", Affiliation.UNAFFILIATED, "demo")
    premises = Premises(
        Spool(folder / "spool", Limits(largest_file=2 << 20, quota=3 << 20, spare=0, most_uploads=4)),
        Workshop(),
        keep=timedelta(hours=1),
        stale=timedelta(hours=1),
    )
    documents = Documents(folder / "evidence", 1 << 20, spare=0)
    rooms = (Room(), Room(), Room())
    seal = PrivySeal(service, records, *rooms, premises=premises, documents=documents)  # type: ignore[arg-type]
    tokens, members = {}, {}
    for subscriber in ("demo", "other"):
        enrol.subscriber(seal, subscriber, subscriber.title())
    for name, of, roles in (
        *((role.value, "demo", (role,)) for role in Role),
        ("asker", "demo", (Role.REQUESTER,)),
        ("no role", "demo", ()),
        ("other", "other", tuple(Role)),
    ):
        member = enrol.member(seal, of, name, roles)
        members[name], tokens[name] = member.id, enrol.token(seal, member)
    tokens["expired"] = enrol.token(seal, enrol.member(seal, "demo", "late", tuple(Role)), NOW - timedelta(seconds=1))
    tokens["unknown"] = "pst_" + "A" * 43
    der, spki = certificate()
    approver = Ed25519PrivateKey.generate()
    asked = (Approver("ada", approver.public_key().public_bytes_raw()),)
    pairs = {"release": pair("release", spki, (), 0), "guarded": pair("guarded", spki, asked, 1)}
    with records.writing("demo") as tx:
        for each in pairs.values():
            keys.add_key_pair(tx, each)
            lives.add(tx, each.name, KeyState.ACTIVE, NOW, each.key_id)
        print_of = hashlib.sha256(der).hexdigest()
        keys.install_certificate(tx, fingerprint=print_of, key_id=pairs["release"].key_id, chain=(der,), now=NOW)
    walk = Walk()
    monkeypatch.setattr(desk, "advance", walk)
    monkeypatch.setattr(signing_ask, "advance", walk)
    monkeypatch.setattr(signing_ask, "take_in", lambda seal, submissions: {})  # so that every request comes by the walk
    public_log = folder / "log"
    public_log.mkdir()
    made = desk.Desk(seal, public_log)
    with application(made) as app, TestClient(app, raise_server_exceptions=False) as client:
        yield House(seal, made, client, tokens, members, walk, (der,), pairs, approver, public_log, database)
    premises.workshop.close()
    records.close()
    if database is not None:
        database.drop()
