"""A backup is made with what the records say of consent, and after a restore they say that no key signs, and why.

The signer froze every key (``strongroom/restoring.py``), so these are the records' copies of what is so already. A key
that was active is suspended; it signs again after operators and its own approvers agreed (``privyseal key resume``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from privyseal.compliance.statements import Administered, Said
from privyseal.compliance.statements_of_backups import BackupAllowed
from privyseal.errors import NotFound
from privyseal.records import keys, lives, statements
from privyseal.records.database import Records, Transaction
from privyseal.signing import announce, life
from privyseal.signing.instance import PrivySeal
from privyseal.strongroom import age, backing_up
from privyseal.strongroom.age import Kept
from privyseal.strongroom.backing_up import House, Taken
from privyseal.strongroom.backup_file import KeyInIt, Manifest, OperatorNamed, Part, PartName, sha256_of
from privyseal.strongroom.charters import Holding
from privyseal.strongroom.restoring import Brought
from privyseal.terms.life import KeyState, may_follow

AT_THE_MACHINE = "console"
"""Who backs up and restores: whoever sits at the machine; operators agreed by their own keys."""


def consent(records: Records, subscriber: str, key_id: str) -> str | None:
    """Return by which statement a Subscriber allowed a copy of its key, in words; None where it did not."""
    with records.reading(subscriber) as tx:
        last = statements.last(tx, f"key-backup:{key_id}")
    if last is None or last.entry is None:  # what is not in the log does not count
        return None
    said: Said = statements.said_in(last.octets)
    if not isinstance(said.matter, BackupAllowed) or not said.matter.allowed:
        return None
    return f"its Subscriber agreed at {said.at.isoformat()} (log entry {last.entry})"


class Wanted(Struct, frozen=True):
    """What a backup is made of, and for whom."""

    house: House
    records: Path | None
    """The file of the records; None where they are in PostgreSQL."""
    documents: Path
    recipients: tuple[str, ...]
    """Public keys of age, two at least."""


def make(seal: PrivySeal, wanted: Wanted, folder: Path) -> tuple[Manifest, list[Path]]:
    """Write the parts of a backup, each under age, into an empty folder that nobody else can enter.

    Return what is in them, and the files in the manifest's order. Nothing lies there in clear but copies of databases,
    which hold no Private Key, and whoever made the folder removes it.
    """
    taken = backing_up.take(wanted.house, wanted.records, folder)
    listed = backing_up.keys_in_it(taken, _consents(seal.records))
    to = age.recipients(wanted.recipients)

    def _service() -> Iterable[Kept]:
        yield from backing_up.service_files(taken)
        yield from backing_up.documents(wanted.documents)

    parts: dict[PartName, Callable[[], Iterable[Kept]]] = {
        "service": _service,
        "keys": lambda: backing_up.key_files(taken, listed),
    }
    made, files = [], []
    for name, contents in parts.items():
        path = folder / f"{name}.age"
        with path.open("xb") as target:
            age.seal(contents(), to, target)
        with path.open("rb") as file:
            octets = path.stat().st_size
            made.append(Part(name=name, octets=octets, sha256=sha256_of(file, 0, octets)))
        files.append(path)
    return _manifest(seal, wanted, taken, made, listed), files


def _manifest(
    seal: PrivySeal, wanted: Wanted, taken: Taken, parts: Sequence[Part], listed: tuple[KeyInIt, ...]
) -> Manifest:
    signer = wanted.house.signer
    return Manifest(
        made=seal.clock().replace(microsecond=0),
        origin=taken.head.origin,
        size=taken.head.size,
        root=taken.head.root.hex(),
        records="postgresql" if wanted.records is None else "sqlite",
        operators=tuple(OperatorNamed(each.name, each.public_key) for each in signer.operators),
        quorum=signer.operator_quorum,
        rehearsal=signer.rehearsal,
        recipients=wanted.recipients,
        parts=tuple(parts),
        keys=listed,
    )


def _consents(records: Records) -> Callable[[Holding], str | None]:
    return lambda held: consent(records, held.charter.subscriber, held.charter.key_id)


def note_backup(seal: PrivySeal, subscriber: str, backup: str, size: int, names: Sequence[str]) -> None:
    """Write down that a backup with Private Keys of a Subscriber was made."""
    with seal.records.writing(subscriber) as tx:
        detail = f"log of {size} entries; private keys: {', '.join(names)}"[:2000]
        done = Administered(actor=AT_THE_MACHINE, what="backup made", subject=backup, detail=detail)
        announce.administered(seal, tx, done)


def settle(seal: PrivySeal, backup: str, by: Sequence[str], brought: Sequence[Brought]) -> None:
    """Suspend what signed before, Subscriber after Subscriber, and state who restored it; done again it is the same."""
    for subscriber in sorted({each.pair.subscriber for each in brought}):
        with seal.records.writing(subscriber) as tx:
            mine = {each.pair.name: each for each in brought if each.pair.subscriber == subscriber}
            for each in mine.values():
                _settle_key(seal, tx, each, backup)
            for found in lives.listed(tx):
                if found.name not in mine and found.state is KeyState.ACTIVE:  # the signer does not have it
                    life.move(seal, tx, found.name, KeyState.SUSPENDED, _why(backup), AT_THE_MACHINE)
            detail = f"agreed to by {', '.join(by) or 'nobody: a rehearsal without operators'}"[:2000]
            done = Administered(actor=AT_THE_MACHINE, what="service restored", subject=backup, detail=detail)
            announce.administered(seal, tx, done)


def _settle_key(seal: PrivySeal, tx: Transaction, each: Brought, backup: str) -> None:
    try:
        keys.key_pair(tx, each.pair.name)
    except NotFound:
        return  # born after the records were copied; nobody can ask for it
    keys.replace_key_pair(tx, each.pair)
    becomes = KeyState.DESTROYED if each.destroyed else KeyState.SUSPENDED
    if may_follow(life.of(tx, each.pair.name).state, becomes):
        life.move(seal, tx, each.pair.name, becomes, _why(backup), AT_THE_MACHINE)


def _why(backup: str) -> str:
    return f"the service was restored from the backup {backup[:16]}"
