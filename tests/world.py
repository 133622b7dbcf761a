"""A whole Privy Seal without sockets or processes: a clock you turn, and every durable write can fail in both ways.

The rooms are the real ones over real files, so that a crash is the loss of everything in memory: :meth:`World.crash`
drops all objects and builds them anew from what is on the disk. Each write that outlives a crash passes
:meth:`World.write` with a name, as does each question to another process and each use of a key. The one whose turn it
is fails: ``lost``, it was not done; ``unreported``, it was done and nobody was told.

After every story :meth:`World.check` looks as an outsider would: at the receipts that clients hold and at the log's
files.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from sqlalchemy import Connection
from tests import postgres

from privyseal import config
from privyseal.authorities.catalogue import authorities
from privyseal.cli.init import KEY, SUBSCRIBER, found_rehearsal
from privyseal.errors import Failed, KeyStoreUnavailable, LogUnavailable, PrivySealError, Unavailable
from privyseal.formats import catalogue
from privyseal.formats.protocol import Identity
from privyseal.formats.source import FileSource
from privyseal.keystore.protocol import KeyStore
from privyseal.records import keys, requests
from privyseal.records.database import Records, open_records
from privyseal.records.documents import Documents
from privyseal.signing import duties
from privyseal.signing.ask import ask
from privyseal.signing.instance import Premises, PrivySeal
from privyseal.signing.recollection import Recollection, size_of
from privyseal.signing.rehearsal_ca import RehearsalCa
from privyseal.signing.submit import Submission, submit
from privyseal.strongroom import attesting, rooms
from privyseal.strongroom.client import LoggerClient, SignerClient, StamperClient
from privyseal.strongroom.issuer_client import IssuerClient
from privyseal.strongroom.messages import Answer, Question
from privyseal.terms.keys import KeyPair, KeyProtection, TokenState
from privyseal.terms.parties import Actor, Affiliation, Factor, Member, Role, SigningService
from privyseal.terms.requests import Dossier, SigningRequest, State
from privyseal.terms.signatures import Described, Options, Scheme, ToBeSigned
from privyseal.tlog import checkpoint
from privyseal.tlog.checkpoint import Checkpoint
from privyseal.tlog.entry import Completion, Entry, Intent, decode
from privyseal.tlog.note import parse_note
from privyseal.tlog.policy import Policy, parse_policy
from privyseal.tlog.proof import read_receipt
from privyseal.tlog.tiles import decode_bundle, entries_path
from privyseal.tlog.tilestore import DirectoryTileStore

T = TypeVar("T")
Way = Literal["lost", "unreported"]
Home = Literal["sqlite", "postgresql"]
HOMES: tuple[Home, ...] = ("sqlite", "postgresql")
WAYS: tuple[Way, ...] = ("lost", "unreported")


class _Crash(Exception):
    """The power went: nothing of what is in memory goes on."""


@dataclass
class Plan:
    """Which write fails, counted from 0, how, and whether the process dies of it."""

    nth: int
    way: Way
    crash: bool = False


@dataclass
class Ledger:
    """What one client asked for and what it was given, under one Idempotency-Key after the other."""

    request: SigningRequest
    keys: list[str]
    given: dict[str, tuple[tuple[bytes, ...], str]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return the Idempotency-Key in use."""
        return self.keys[-1]


def found(directory: Path, scheme: str = "ecdsa-p256", home: Home = "sqlite") -> Path:
    """Make a rehearsal service once; worlds are copies of it, because its CA's keys take seconds.

    In SQLite it is itself a copy of the first that this process of tests made.
    """
    if home == "postgresql":
        directory.mkdir(parents=True)
        made = postgres.cluster().database()
        found_rehearsal(directory, scheme, "World", config.RecordsSection(url=made.url), made.owner)
        (directory / "database").write_text(made.name)
    else:
        shutil.copytree(_founded(scheme), directory)
    return directory


@functools.cache
def _founded(scheme: str) -> Path:
    directory = Path(tempfile.mkdtemp(prefix="founded-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    found_rehearsal(directory, scheme, "World")
    return directory


class World:
    """One service, its clients, and the faults that befall it."""

    def __init__(self, founded: Path, directory: Path, plan: Plan | None = None) -> None:
        """Copy a founded service and start it; ``plan`` says what fails."""
        self.directory = directory
        shutil.copytree(founded, directory)
        for settings in directory.glob("*/*.toml"):
            settings.write_text(settings.read_text().replace(str(founded), str(directory)))
        self.database: postgres.Database | None = None
        self.records_url = f"sqlite:///{directory / 'records.db'}"
        if (directory / "database").exists():
            self.database = postgres.cluster().database((directory / "database").read_text())
            self.records_url = self.database.url
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.plan: Plan | None = None
        self.writes: list[str] = []
        self.key_uses = 0
        self.heads: dict[int, set[bytes]] = {}
        self.ledgers: list[Ledger] = []
        self._start()
        self.writes.clear()
        self.plan = plan

    # -- what breaks -----------------------------------------------------------------------------------------------
    def write(self, name: str, effect: Callable[[], T], error: Callable[[str], Exception]) -> T:
        """Carry out a write that outlives a crash, unless its turn to fail has come."""
        place = len(self.writes)
        self.writes.append(name)
        plan = self.plan
        if plan is None or plan.nth != place:
            return effect()
        if plan.way == "unreported":
            effect()
        if plan.crash:
            raise _Crash(name)
        raise error(f"{name} was {plan.way}")

    def crash(self) -> None:
        """Lose everything in memory and start again from the disk."""
        self.stop()
        self._start()

    def stop(self) -> None:
        """Let go of every file."""
        self.seal.records.close()
        for room in self._rooms.values():
            with suppress(Exception):
                room.close()

    def stored(self) -> bytes:
        """Return everything that is in the records, as an intruder would read it."""
        if self.database is None:
            return b"".join(path.read_bytes() for path in sorted(self.directory.glob("records.db*")))
        with self.database.connect() as connection:
            names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            rows = [connection.execute(f'SELECT t::text FROM "{name}" t').fetchall() for (name,) in names]
        return "\n".join(row for table in rows for (row,) in table).encode()

    def discard(self) -> None:
        """Stop for good, and leave no database behind."""
        self.stop()
        if self.database is not None:
            self.database.drop()

    def _start(self) -> None:
        self._rooms: dict[str, Any] = {}
        for name in rooms.ROOMS:
            self._rooms[name] = rooms.ROOMS[name](self.directory / name / f"{name}.toml", lambda: self.now).room
        self._break_rooms()
        records, logger = _FragileRecords(self), LoggerClient(self._asker("logger"))
        ca = RehearsalCa(IssuerClient(self._issuer), self.directory / "ca.crl")
        self.seal = PrivySeal(
            SigningService("World", Affiliation.UNAFFILIATED, SUBSCRIBER),
            records,
            logger,
            SignerClient(self._asker("signer")),
            StamperClient(self._asker("stamper")),
            clock=lambda: self.now,
            premises=self.premises(),
            recollection=self.recollection(records, logger),
            documents=_FragileDocuments(self),
            authorities=authorities((), self.directory, ca),
            rehearsal_ca=ca,
        )
        duties.begin(self.seal)

    def recollection(self, records: Records, logger: LoggerClient) -> Recollection:
        """Return what holds the records against the log."""
        return Recollection(records, size_of(logger), DirectoryTileStore(self.directory / "log").read, self.policy())

    def premises(self) -> Premises | None:
        """Return where files of mode ``server`` are; None in a world whose service sees no files."""
        return None

    def _asker(self, room: str) -> Callable[[Question], Answer]:
        def ask(question: Question) -> Answer:
            handle = self._rooms[room].handle
            answer: Answer = self.write(f"{room}: {type(question).__name__}", lambda: handle(question), Unavailable)
            return answer

        return ask

    def _issuer(self, question: Question) -> Answer:
        """Ask the rehearsal's CA, whose keys take a moment to load: only in the worlds that ask it."""
        if "issuer" not in self._rooms:
            settings = self.directory / "issuer" / "issuer.toml"
            self._rooms["issuer"] = rooms.SUMMONED["issuer"](settings, lambda: self.now).room
        return self._asker("issuer")(question)

    def _break_rooms(self) -> None:
        signer, shelves = self._rooms["signer"], self._rooms["logger"]._shelves
        journals = {"signer's journal": signer._journal.database, "log's journal": shelves.staging.database}
        for name, database in journals.items():
            commit = database.commit
            database.commit = lambda connection, commit=commit, name=name: self.write(
                name, lambda: commit(connection), sqlite3.OperationalError
            )
        for store in (shelves.tiles, shelves.durable_tiles):
            put = store.write
            store.write = lambda path, octets, put=put: self.write(
                f"tile {path}", lambda: put(path, octets), LogUnavailable
            )
        witness = signer._journal._witness
        note_change = witness.raise_to
        witness.raise_to = lambda mark, durable: self.write(
            "signer's mark", lambda: note_change(mark, durable=durable), KeyStoreUnavailable
        )
        raise_to = shelves.mark.raise_to
        shelves.mark.raise_to = lambda mark: self.write("log's mark", lambda: raise_to(mark), LogUnavailable)
        stores = signer._judge._stores
        for scheme, inner in list(stores.items()):
            stores[scheme] = _FragileKeyStore(self, inner)

    # -- what clients do -------------------------------------------------------------------------------------------
    actor = Actor(Member("M-client", SUBSCRIBER, "client", (Role.REQUESTER,)), (Factor.BEARER,))
    approver = Actor(Member("M-approver", SUBSCRIBER, "approver", (Role.APPROVER,)), (Factor.BEARER,))

    def pair(self, name: str = KEY) -> tuple[KeyPair, Identity]:
        """Return a Key Pair and the public side of its certificate."""
        with self.seal.records.reading(SUBSCRIBER) as tx:
            pair = keys.key_pair(tx, name)
            return pair, Identity(keys.certificate_chains_of(tx, pair.key_id)[0], pair.scheme)

    def request(
        self, number: int, described: Sequence[Described] | None = None, key: str = KEY, **options: Any
    ) -> SigningRequest:
        """Return a request for a key; ``number`` makes it another one."""
        pair, identity = self.pair(key)
        return SigningRequest(
            subscriber=SUBSCRIBER,
            key=key,
            key_id=pair.key_id,
            scheme=pair.scheme,
            certificate=hashlib.sha256(identity.chain[0]).hexdigest(),
            mode="local",
            options=Options(**options),
            described=tuple(described or [a_description(number)]),
            expires_at=self.now + timedelta(hours=1),
            requester=self.actor.member.id if pair.in_order else msgspec.UNSET,
        )

    def client(self, number: int, **options: Any) -> Ledger:
        """Bring in a client that wants one thing signed."""
        request = self.request(number, **options)
        ledger = Ledger(request, [request.timeless_digest()])
        self.ledgers.append(ledger)
        return ledger

    longer_way = False
    """Whether requests are written down first and taken by another walk, as where somebody has to approve them."""

    def ask(self, ledgers: Iterable[Ledger]) -> list[Dossier | PrivySealError]:
        """Let clients ask at once, in one batch; what they are given they keep."""
        asking = list(ledgers)
        submissions = [Submission(self.actor, one.key, one.request) for one in asking]
        if self.longer_way:
            submit(self.seal, submissions)
        outcomes = ask(self.seal, submissions)
        for ledger, outcome in zip(asking, outcomes, strict=True):
            self._give(ledger, outcome)
        return outcomes

    def _give(self, ledger: Ledger, outcome: Dossier | PrivySealError) -> None:
        if isinstance(outcome, Dossier) and outcome.state is State.RELEASED:
            assert outcome.receipt is not None
            given = (outcome.blobs, outcome.receipt)
            before = ledger.given.setdefault(ledger.key, given)
            assert before == given, "one Idempotency-Key gave two different answers"

    def insist(self, rounds: int = 6) -> None:
        """Let every client without an answer ask again as the command line does: after Failed under a derived key."""
        for _ in range(rounds):
            waiting = [one for one in self.ledgers if not one.given]
            if not waiting:
                return
            for ledger, outcome in zip(waiting, self._ask_safely(waiting), strict=True):
                over = isinstance(outcome, Failed) or (isinstance(outcome, Dossier) and outcome.state is State.FAILED)
                if over:
                    ledger.keys.append(hashlib.sha256(ledger.key.encode()).hexdigest())
            self.now += timedelta(seconds=61)  # whatever lease a broken walk left behind has run out

    def _ask_safely(self, waiting: list[Ledger]) -> list[Dossier | PrivySealError]:
        try:
            return self.ask(waiting)
        except PrivySealError as error:
            return [error] * len(waiting)

    def story(self) -> None:
        """Let every client ask once, suffer what is planned, recover, and let them insist until they are served."""
        try:
            self._ask_safely(self.ledgers)
        except _Crash:
            self.plan = None
            self.crash()
        self.plan = None if self.plan is None or len(self.writes) > self.plan.nth else self.plan
        if self._rooms["signer"].lost or self._rooms["logger"].lost:
            self.crash()
        self.now += timedelta(seconds=61)
        try:
            duties.recover(self.seal)
        except _Crash:
            self.plan = None
            self.crash()
            duties.recover(self.seal)
        self.insist()

    # -- what an outsider sees -------------------------------------------------------------------------------------
    def entries(self) -> list[bytes]:
        """Read every entry of the published log."""
        size = self.checkpoint().size
        found: list[bytes] = []
        while len(found) < size:
            width = min(256, size - len(found))
            path = self.directory / "log" / entries_path(len(found) // 256, width)
            found += decode_bundle(path.read_bytes(), width)
        return found

    def checkpoint(self) -> Checkpoint:
        """Return the published head."""
        return checkpoint.parse(parse_note((self.directory / "log" / "checkpoint").read_bytes()).body)

    def policy(self) -> Policy:
        """Return the log policy that clients were given."""
        return parse_policy((self.directory / "log-policy").read_text())

    def check(self) -> None:
        """Hold the four invariants against what clients have and what is published."""
        entries = self.entries()
        leaves = [hashlib.sha256(b"\0" + entry).digest() for entry in entries]
        decoded = [decode(entry) for entry in entries]
        self._check_completions(decoded)
        policy = self.policy()
        for ledger in self.ledgers:
            for blobs, receipt in ledger.given.values():
                opened = read_receipt(receipt, policy)
                assert opened.payload == ledger.request.canonical()
                assert opened.completed.blobs == tuple(hashlib.sha256(blob).hexdigest() for blob in blobs)
                head = opened.checkpoint
                self.heads.setdefault(head.size, set()).add(head.root)
                assert isinstance(decoded[opened.intent_index], Intent), "a signature without an intent"
        head = self.checkpoint()
        self.heads.setdefault(head.size, set()).add(head.root)
        for size, roots in self.heads.items():
            assert roots == {tree_hash(leaves[:size])}, f"two roots for size {size}"
        logged = sum(entry.uses for entry in decoded if isinstance(entry, Intent))
        assert self.key_uses <= logged, "a key was used more often than intents say"

    def _check_completions(self, decoded: list[Entry]) -> None:
        completed = Counter(entry.intent for entry in decoded if isinstance(entry, Completion))
        intents = [index for index, entry in enumerate(decoded) if isinstance(entry, Intent)]
        assert all(completed[index] == 1 for index in intents), "an intent without exactly one completion"
        by_tag: dict[str, list[int]] = {}
        for entry in decoded:
            if isinstance(entry, Intent):
                by_tag.setdefault(entry.key_tag, []).append(entry.key_seq)
        assert all(seqs == list(range(len(seqs))) for seqs in by_tag.values()), "a gap in a key's sequence"


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash by the recursion of RFC 6962 2.1, which is nobody's code but this test's."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + tree_hash(leaves[:half]) + tree_hash(leaves[half:])).digest()


class _FragileRecords(Records):
    """The real records, whose commits pass the world's hands."""

    def __init__(self, world: World) -> None:
        super().__init__(open_records(world.records_url).engine)
        self._world = world

    def commit(self, connection: Connection) -> None:
        """Commit, or not, or do and not say so."""
        self._world.write("records", lambda: super(_FragileRecords, self).commit(connection), Unavailable)


class _FragileDocuments(Documents):
    """The real documents, whose writes pass the world's hands."""

    def __init__(self, world: World) -> None:
        super().__init__(world.directory / "evidence", 1 << 20, spare=0)
        self._world = world

    def write(self, name: str, effect: Callable[[], T]) -> T:
        """Write, or not, or do and not say so."""
        return self._world.write(
            f"document: {name}", lambda: super(_FragileDocuments, self).write(name, effect), Unavailable
        )


class _FragileKeyStore:
    """A real key store whose uses are counted and can fail."""

    away = lost = False

    def __init__(self, world: World, inner: KeyStore) -> None:
        self._world = world
        self._inner = inner

    def sign(self, uri: str, tbs: Sequence[ToBeSigned]) -> list[bytes]:
        """Sign, and count uses of Subscribers' keys; the signer's own attestation key has no intents."""

        def effect() -> list[bytes]:
            values = self._inner.sign(uri, tbs)
            self._world.key_uses += 0 if uri.startswith(f"softfile:{attesting.LABEL}") else len(values)
            return values

        return self._world.write("key", effect, Unavailable)

    def generate(self, label: str, scheme: Scheme) -> str:
        """Generate."""
        return self._inner.generate(label, scheme)

    def public_key(self, uri: str) -> bytes:
        """Return the public key."""
        return self._inner.public_key(uri)

    def destroy(self, uri: str) -> None:
        """Destroy."""
        self._inner.destroy(uri)

    def names(self, subscriber: str) -> bool:
        """Return whether it is named as this Subscriber's."""
        return self._inner.names(subscriber)

    def tokens(self, uris: Sequence[str]) -> tuple[TokenState, ...]:
        """Return how the tokens are."""
        return self._inner.tokens(uris)

    def protection(self, uri: str) -> KeyProtection:
        """Return the protection."""
        return self._inner.protection(uri)

    def close(self) -> None:
        """Close."""
        self._inner.close()


def a_description(number: int) -> Described:
    """Describe a program that nobody has: a real one's description, with a digest of its own."""
    return msgspec.structs.replace(_described(), digest=hashlib.sha256(number.to_bytes(8, "big")).digest())


@functools.cache
def _described() -> Described:
    """Describe one of distlib's launchers as the command line would."""
    with resources.as_file(resources.files("distlib") / "t64.exe") as path, FileSource.open(path) as source:
        code_format = catalogue.recognise(source)
        prepared = code_format.prepare(source, code_format.inspect(source), Identity((), ""), Options(), "sha256")
        return prepared.described[0]


__all__ = [
    "HOMES",
    "SUBSCRIBER",
    "WAYS",
    "Home",
    "Ledger",
    "Plan",
    "Way",
    "World",
    "a_description",
    "found",
    "requests",
]
