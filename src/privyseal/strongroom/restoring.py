"""A service is put back from a backup: its log first, then its signer, so that neither begins a second history.

What a backup cannot know is what came after it. The log can tell: no key is used without an intent in it. So the log of
a backup is used only where nobody knows a longer one (its signed head under the policy that verifiers have, heads and
receipts from elsewhere, marks that outlived the machine, the witnesses), and the signer is brought up to it:

* every entry of the log counts as spent, so no intent that stands there is ever signed under again;
* every key is frozen: it wakes by an act to which operators and its own approvers agree;
* a use that the copy of the journal does not have is counted against the key's limits, and its Grants are closed;
* a key of whose destruction the copy does not know is destroyed.

Of an amendment that the copy does not know nobody can tell what it said; whoever restores is told.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from privyseal.errors import BadInput, LogRolledBack, NotPermitted, VerificationFailed
from privyseal.keystore.catalogue import store_name
from privyseal.strongroom import logkey
from privyseal.strongroom.approvals import genuine
from privyseal.strongroom.backing_up import PASSPHRASES, House
from privyseal.strongroom.backup_file import Manifest
from privyseal.strongroom.charters import Holding
from privyseal.strongroom.durable import write_whole
from privyseal.strongroom.journal import Journal
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.recovery import open_recovery
from privyseal.strongroom.rooms import Note, log_journal
from privyseal.terms.canonical import canonical_json, decode_canonical, tagged_digest
from privyseal.terms.keys import Approver, KeyPair
from privyseal.terms.requests import Approval
from privyseal.tlog.entry import Completion, Intent, decode
from privyseal.tlog.log import read_bundle
from privyseal.tlog.note import Verifier
from privyseal.tlog.policy import Accepted, Policy
from privyseal.tlog.tiles import TILE_WIDTH, Read, width_at
from privyseal.tlog.tilestore import CHECKPOINT, DirectoryTileStore

AGREEMENT_TAG = "privyseal/restore/v1"
"""Domain tag of what an operator signs to have a backup restored."""
MAX_AGREEMENT = 4096
"""Octets of one agreement; it has about 500."""
PUBLIC = ("log/", "log-policy", "ca.pem", "ca.crl", "serve.toml")
"""Files that others may read."""
_PASSPHRASE = b'passphrase = ""'


class Agreement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operator's word that this backup is to be put back, and that they know of no longer log than it has."""

    backup: str
    """The SHA-256 of its manifest."""
    origin: str
    size: int
    """Entries of the log in the backup."""
    until: datetime
    """After this it counts no more."""
    operator: str
    public_key: bytes
    signature: bytes = b""

    def digest(self) -> bytes:
        """Return what is signed, as ``approved_octets`` of it: all but the signature."""
        return tagged_digest(AGREEMENT_TAG, canonical_json(msgspec.structs.replace(self, signature=b"")))


class Brought(Struct, frozen=True):
    """What became of one key of the signer."""

    pair: KeyPair
    destroyed: bool
    uses: int
    """Signatures that the copy of the journal did not know."""
    amended: tuple[int, ...]
    """Entries of amendments that it does not know."""
    missing: bool
    """Whether its Private Key was in a file that the backup does not have."""


def require_agreed(manifest: Manifest, agreements: Sequence[Agreement], now: datetime) -> tuple[str, ...]:
    """Return who agreed; NotPermitted where they are fewer than the quorum of the operators that the backup names."""
    known = {each.public_key: each.name for each in manifest.operators}
    asked = (manifest.sha256, manifest.origin, manifest.size)
    agreed = set[str]()
    for each in agreements:
        if known.get(each.public_key) != each.operator:
            raise NotPermitted(f"{each.operator[:60]!r} with this public key is no operator of this service.")
        if (each.backup, each.origin, each.size) != asked:
            raise NotPermitted(f"{each.operator[:60]!r} agreed to another backup than this one.")
        if each.until < now:
            raise NotPermitted(f"The agreement of {each.operator[:60]!r} was good until {each.until.isoformat()}.")
        word = Approval(
            approver=each.operator,
            public_key=each.public_key,
            request_digest=each.digest(),
            signature=each.signature,
        )
        if not genuine([word], [Approver(each.operator, each.public_key)], each.digest()):
            raise VerificationFailed(f"The signature of {each.operator[:60]!r} is not over this agreement.")
        agreed.add(each.operator)
    if len(agreed) < manifest.quorum:
        names = ", ".join(each.name for each in manifest.operators if each.name not in agreed)
        raise NotPermitted(
            f"{len(agreed)} of {manifest.quorum} operators agreed to restore this backup.",
            hint=f"privyseal backup agree, by any of: {names}"[:300],
        )
    return tuple(sorted(agreed))


def read_agreement(octets: bytes) -> Agreement:
    """Read an operator's agreement; BadInput where it is none."""
    if len(octets) > MAX_AGREEMENT:
        raise BadInput(f"An agreement has at most {MAX_AGREEMENT} octets, and this one is longer.")
    return decode_canonical(octets.strip(), Agreement)


def put(directory: Path, name: str, content: BinaryIO) -> None:
    """Put one file of a backup in its place below an empty directory; those that others read are the public ones."""
    path = directory / name
    public = name.startswith(PUBLIC)
    for folder in reversed(path.relative_to(directory).parents[:-1]):  # mkdir gives the mode to the last one only
        (directory / folder).mkdir(mode=0o755 if folder.parts[0] == "log" else 0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644 if public else 0o600)
    with open(descriptor, "wb") as file:
        while piece := content.read(1 << 20):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def give_passphrases_back(directory: Path) -> None:
    """Write the passphrases of key stores, which came with their keys, into the settings from which they were taken."""
    for room, name in PASSPHRASES.items():
        secret, path = directory / name, directory / room / f"{room}.toml"
        if secret.is_file():
            said = msgspec.json.encode(secret.read_text("utf-8"))
            write_whole(path, path.read_bytes().replace(_PASSPHRASE, b"passphrase = " + said, 1))
            secret.unlink()


def require_newest(
    directory: Path, manifest: Manifest, policy: Policy, others: Iterable[tuple[str, bytes]]
) -> Accepted:
    """Return the head of the log that was put back; LogRolledBack where anybody knows a longer one.

    ``others`` are signed heads from elsewhere, each with what to call it. Witnesses are asked by :func:`recover_log`.
    """
    octets = DirectoryTileStore(directory / "log").read(CHECKPOINT)
    if octets is None:
        raise VerificationFailed("The backup holds no signed head of the log.")
    accepted = policy.check(octets)
    head = accepted.checkpoint
    if head.origin != manifest.origin or head.size < manifest.size:
        raise VerificationFailed(
            f"The log to go on with is {head.origin[:100]!r} of {head.size} entries, not the backup's."
        )
    for name, note in others:
        known = policy.check(note).checkpoint
        if known.size > head.size:
            raise LogRolledBack(
                f"The backup ends at entry {head.size}, and {name} shows that the log had {known.size} entries.",
                hint="restore a newer backup, or give the tiles of a mirror with --log",
            )
        if known.size == head.size and known.root != head.root:
            raise LogRolledBack(f"{name} shows another log of {head.size} entries: there are two histories.")
    return accepted


def recover_log(house: House, accepted: Accepted, log: Verifier, note: Note) -> None:
    """Make the logger's journal and mark for the log's head: from its tiles, every one of which is read and proven.

    A mark that outlived the machine is believed, and the witnesses are asked: LogRolledBack where they know more.
    """
    config = house.directory / "logger" / "logger.toml"
    key = logkey.read(config.parent / house.logger.key)
    if logkey.verifier(house.logger.origin, key) != log:
        raise VerificationFailed("The log's key in the backup is not the one that the log policy names.")
    head, mark = accepted.checkpoint, config.parent / house.logger.mark
    if not mark.exists():
        mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        MarkFile.create(mark, Mark(head.size, head.root))
    journal = log_journal(config, house.logger)
    try:
        journal.wait_for_term(5.0)
        recovery, witnesses = open_recovery(config, house.logger, journal, note)
        try:
            recovery.carry_out(recovery.plan())
        finally:
            if witnesses is not None:
                witnesses.close()
    finally:
        journal.close()


def bring_forward(house: House, accepted: Accepted, now: datetime) -> tuple[Brought, ...]:
    """Bring the copy of the signer's journal up to the log, and freeze every key; return what became of each."""
    folder = house.directory / "signer"
    journal, outlived = Journal(folder / house.signer.journal), _outlived(house)
    size, seen = accepted.checkpoint.size, journal.mark()
    try:
        if seen.number > size:
            raise LogRolledBack(
                f"The signer in the backup has seen a log of {seen.number} entries, and this one has {size}.",
                hint="give the tiles of a mirror with --log",
            )
        rows = journal.database.read("SELECT holding FROM keys ORDER BY label")
        spent = {row[0] for row in journal.database.read("SELECT entry FROM spent")}
        unknown = _unknown(DirectoryTileStore(house.public).read, size, spent)
        brought = []
        with journal.writing(seen) as transaction:
            for row in rows:
                held, about = _brought(house, msgspec.json.decode(row[0], type=Holding), unknown)
                transaction.execute(
                    "UPDATE keys SET destroyed = ?, holding = ? WHERE key_id = ?",
                    (held.destroyed, canonical_json(held), held.charter.key_id),
                )
                if about.uses:
                    journal.note_use(transaction, held.charter, now, about.uses)
                brought.append(about)
            transaction.execute(
                "WITH RECURSIVE entries(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM entries WHERE n + 1 < ?) "
                "INSERT OR IGNORE INTO spent SELECT n FROM entries",
                (max(size, 1),),
            )
            # What a mark on another disk knows more of is made up for by what the log knows.
            known = 0 if outlived is None else outlived.number
            transaction.execute("UPDATE changes SET count = max(count, ?)", (known,))
        ((count,),) = journal.database.read("SELECT count FROM changes")
        _raise_mark(house, Mark(count, seen.digest))
    finally:
        journal.close()
    return tuple(brought)


def _brought(house: House, held: Holding, unknown: dict[str, list[tuple[int, Intent]]]) -> tuple[Holding, Brought]:
    """Return a holding as it is after the restore: frozen, and with what the log knows more."""
    charter, later = held.charter, unknown.get(held.charter.key_tag, [])
    uses = sum(each.uses for _, each in later if each.verb == "sign")
    closed = bool(uses) or any(each.verb == "revoke-grant" for _, each in later)
    destroyed = held.destroyed or any(each.verb == "destroy" for _, each in later)
    charter = msgspec.structs.replace(
        charter, frozen=True, version=charter.version + 1, grants=False if closed else charter.grants
    )
    missing = store_name(charter.uri) == "softfile" and not _sealed_key(house, charter.uri).is_file()
    becomes = msgspec.structs.replace(held, charter=charter, destroyed=destroyed)
    amended = tuple(index for index, each in later if each.verb == "amend")
    return becomes, Brought(becomes.key_pair(), destroyed, uses, amended, missing and not destroyed)


def _unknown(read: Read, size: int, spent: set[int]) -> dict[str, list[tuple[int, Intent]]]:
    """Return the intents, by their key tags, that the signer may have acted on after its journal was copied.

    Those are the ones that it had not spent and that were not given up.
    """
    open_ones: dict[int, Intent] = {}
    for bundle in range(-(-size // TILE_WIDTH)):
        for index, octets in enumerate(read_bundle(read, bundle, width_at(size, 0, bundle)), bundle * TILE_WIDTH):
            entry = decode(octets)
            if isinstance(entry, Intent) and index not in spent:
                open_ones[index] = entry
            elif isinstance(entry, Completion) and entry.outcome == "aborted":
                open_ones.pop(entry.intent, None)
    found: dict[str, list[tuple[int, Intent]]] = {}
    for index, intent in open_ones.items():
        found.setdefault(intent.key_tag, []).append((index, intent))
    return found


def _sealed_key(house: House, uri: str) -> Path:
    store = house.signer.softfile
    folder = house.directory / "signer" / ("keys" if store is None else store.directory)
    return folder / f"{uri.removeprefix('softfile:')}.key"


def _outlived(house: House) -> Mark | None:
    """Return the signer's mark where it was on another disk and outlived the machine."""
    path = _mark_path(house)
    if path is None or not path.exists():
        return None
    file = MarkFile(path)
    try:
        return file.read()
    finally:
        file.close()


def _mark_path(house: House) -> Path | None:
    return house.directory / "signer" / house.signer.mark if house.signer.mark else None


def _raise_mark(house: House, mark: Mark) -> None:
    path = _mark_path(house)
    if path is None:
        return
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        MarkFile.create(path, mark)
        return
    file = MarkFile(path)
    file.raise_to(mark)
    file.close()
