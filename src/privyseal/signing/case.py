"""One request on its walk, and many of them: in portions, written down at once, with errors that are each one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from privyseal.errors import Conflict, PrivySealError
from privyseal.formats import key_side
from privyseal.formats.protocol import Identity
from privyseal.records.database import Transaction
from privyseal.signing import enclosures, entries
from privyseal.signing.instance import PrivySeal
from privyseal.terms.grants import Use
from privyseal.terms.requests import Approval, Dossier, SigningRequest, State
from privyseal.terms.signatures import ToBeSigned

PORTION_OCTETS = 8 << 20
"""Octets of requests and chains in one question to the signer: half of a frame, for proofs and approvals come along."""


@dataclass(slots=True)
class Case:
    """One request on its walk: what this walk knows of it."""

    dossier: Dossier
    request: SigningRequest
    chain: tuple[bytes, ...]
    key_tag: str
    approvals: tuple[Approval, ...]
    error: PrivySealError | None = None
    refused: tuple[str, str] | None = None
    granted: Use | None = None
    """The Grant under which it comes, as it is handed to the signer."""
    enclosed: tuple[bytes, ...] = ()
    """What travels beside each description; read when the walk needs it."""
    octets: list[list[ToBeSigned]] = field(default_factory=list)
    files: entries.Files = msgspec.UNSET
    """SHA-256 of the finished file, in mode ``server``."""
    _hashed: list[bytes] = field(default_factory=list)

    def stands(self, state: State) -> bool:
        """Tell whether the walk may go on with it from this state."""
        return self.error is None and self.dossier.state is state

    @property
    def identity(self) -> Identity:
        """Return the public side of the signer."""
        return Identity(self.chain, self.request.scheme)

    def build(self) -> list[list[ToBeSigned]]:
        """Return, for each piece of code, the octets its format wants signed."""
        if not self.octets:
            self.octets = key_side.octets(self.request.described, self.identity, self.request.options, self.enclosed)
        return self.octets

    def blob_digests(self) -> list[bytes]:
        """Return SHA-256 of each blob, which the log is told and by which it is found again."""
        if len(self._hashed) != len(self.dossier.blobs):  # blobs that stand never change
            self._hashed = [hashlib.sha256(each).digest() for each in self.dossier.blobs]
        return self._hashed

    def stamped(self) -> list[bytes]:
        """Return the signature values that a timestamp is to be over."""
        octets = [each for piece in self.build() for each in piece]
        return [value for each, value in zip(octets, self.dossier.signatures, strict=True) if each.stamped]

    def uses(self) -> int:
        """Count the signatures the key will make."""
        return sum(len(each) for each in self.build())


def portions(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Yield the cases in their order, no more at a time than fit into one question to the signer."""
    portion: list[Case] = []
    octets = 0
    for case in cases:
        size = len(case.dossier.canonical) + sum(map(len, case.chain))
        size += 0 if case.granted is None else len(case.granted.grant) + len(case.granted.proof)
        size += PORTION_OCTETS if enclosures.named(case.request) else 0  # as much may come beside it: it goes alone
        if portion and octets + size > PORTION_OCTETS:
            yield portion
            portion, octets = [], 0
        portion.append(case)
        octets += size
    if portion:
        yield portion


@contextmanager
def errors_into(cases: Iterable[Case]) -> Iterator[None]:
    """Give what the body raises to every case that is still going; their requests stay where they are."""
    concerned = list(cases)
    try:
        yield
    except PrivySealError as error:
        for case in concerned:
            case.error = case.error or error


def store(
    seal: PrivySeal, cases: Sequence[Case], write: Callable[[Transaction, Sequence[Case]], list[Dossier]]
) -> None:
    """Write one step of many requests in one transaction; who cannot be written keeps its error, alone.

    ``write`` is given all requests of one Subscriber, and where it refuses them each by itself.
    """
    if not cases:
        return
    by_subscriber: dict[str, list[Case]] = {}
    for case in cases:
        by_subscriber.setdefault(case.dossier.subscriber, []).append(case)
    written: list[tuple[Case, Dossier]] = []
    with errors_into(cases):
        with seal.records.batch() as batch:
            for subscriber, some in by_subscriber.items():
                try:
                    with batch.item(subscriber) as tx:
                        dossiers = write(tx, some)
                    written += zip(some, dossiers, strict=True)
                except Conflict:
                    for case in some:
                        with errors_into([case]), batch.item(subscriber) as tx:
                            written.append((case, write(tx, [case])[0]))
        for case, dossier in written:
            case.dossier = dossier
