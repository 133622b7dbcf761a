"""A survey for CAs: which Subscribers share a module, and so may be served by a Signing Service nobody told of.

Somebody who generates Key Pairs and guards them for others is a Signing Service (CSBR 1.6.1), whatever it is called,
and no clause tells a CA how to notice. What is behind one module, one cloud account or one sender for many Subscribers
is worth a question. It is a suspicion and never a finding: groups of companies, agents and makers share things
lawfully, and each sentence says so by its numbers. What Subscribers declared at order is held against what is found.

Of each file only a few short facts are kept, so a survey needs memory by the number of files and not by their size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from privyseal.compliance.attested import Claimed
from privyseal.compliance.declaration import Declared, Keeping, Owner, alike

REQUIREMENT = "HOUSE-1.6.1-01"
"""The entry of the catalogue that asks a CA to look: a house rule, for no clause does."""
MOST_NAMES = 5
"""Subscribers that a sentence names; the JSON has a hundred."""
MOST_LISTED = 100
"""Subscribers that a suspicion lists."""


class Marker(StrEnum):
    """By what Subscribers can be seen to share something."""

    DEVICE = "device"
    INTERMEDIATE = "intermediate"
    CLOUD_ACCOUNT = "cloud-account"
    SUBMITTER = "submitter"
    KEY = "key"


class Threshold(msgspec.Struct, frozen=True):
    """From how many Subscribers on sharing is told of, and why so many."""

    subscribers: int
    reason: str


THRESHOLDS: dict[Marker, Threshold] = {
    Marker.KEY: Threshold(2, "a Key Pair belongs to one Subscriber"),
    Marker.DEVICE: Threshold(2, "a Subscriber's own module has no other Subscriber's keys in it"),
    Marker.CLOUD_ACCOUNT: Threshold(2, "a Subscriber's own account manages no other Subscriber's keys"),
    Marker.INTERMEDIATE: Threshold(3, "makers vouch for more than one device with one certificate, if for few"),
    Marker.SUBMITTER: Threshold(5, "agents and resellers order for several, which makes nobody a Signing Service"),
}
"""House rules; the order is that of how telling each is."""

_WORDS: dict[Marker, str] = {
    Marker.KEY: "have certificates for the same key",
    Marker.DEVICE: "have keys in one module",
    Marker.CLOUD_ACCOUNT: "have keys in one cloud account",
    Marker.INTERMEDIATE: "have keys that one attestation certificate vouches for",
    Marker.SUBMITTER: "had their orders sent by one sender",
}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a CA knows of one certificate or order."""

    subscriber: str
    key: str | None = None
    """SHA-256 of the SubjectPublicKeyInfo."""
    device: str | None = None
    intermediate: str | None = None
    cloud_account: str | None = None
    submitter: str | None = None


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """Something that several Subscribers share."""

    marker: Marker
    value: str
    subscribers: int
    certificates: int
    threshold: int
    names: tuple[str, ...]
    """Of the Subscribers, a hundred at most."""
    declared: dict[str, int]
    """How many of them declared what: ``own-module``, ``cloud``, ``signing-service``, or nothing."""
    explained: bool
    """All declared one and the same Signing Service: it is not hidden."""
    text: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a Subscriber declared and the survey does not find so."""

    subscriber: str
    order: str
    text: str


class Surveyed(msgspec.Struct, frozen=True, kw_only=True):
    """What a survey found."""

    certificates: int
    subscribers: int
    attestations: int
    unmatched: int
    """Attestations of keys that are in none of the certificates."""
    declarations: int
    suspicions: tuple[Suspicion, ...]
    differences: tuple[Difference, ...]


class Survey:
    """Takes certificates, attestations, orders and declarations in any order, and tells what is shared."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._orders: list[Order] = []
        self._attested: dict[str, Claimed] = {}
        self._declared: dict[str, list[Declared]] = {}
        self._spelt: dict[str, str] = {}

    def add(self, order: Order) -> None:
        """Take a certificate's Subscriber and key, or an order's line."""
        self._orders.append(order)
        self._spelt.setdefault(alike(order.subscriber), order.subscriber)

    def attest(self, attested: Claimed) -> None:
        """Take an attestation; it counts for the certificate that has its key."""
        self._attested[attested.key] = attested

    def declare(self, declared: Declared) -> None:
        """Take a declaration whose signature holds."""
        self._declared.setdefault(alike(declared.declaration.subscriber), []).append(declared)

    def result(self) -> Surveyed:
        """Return what was found, the most Subscribers first."""
        shared = self._shared()
        suspicions = [
            self._suspicion(marker, value, counted)
            for (marker, value), counted in shared.items()
            if len(counted) >= THRESHOLDS[marker].subscribers
        ]
        position = {marker: number for number, marker in enumerate(THRESHOLDS)}
        suspicions.sort(key=lambda each: (each.explained, position[each.marker], -each.subscribers, each.value))
        keys = {order.key for order in self._orders}
        return Surveyed(
            certificates=len(self._orders),
            subscribers=len(self._spelt),
            attestations=len(self._attested),
            unmatched=sum(key not in keys for key in self._attested),
            declarations=sum(map(len, self._declared.values())),
            suspicions=tuple(suspicions),
            differences=tuple(self._differences(shared)),
        )

    def _shared(self) -> dict[tuple[Marker, str], Counter[str]]:
        """Return by marker and value how many certificates each Subscriber has; a key that occurs twice is one."""
        shared: dict[tuple[Marker, str], Counter[str]] = {}
        seen: set[tuple[Marker, str, str, str]] = set()
        for order in self._orders:
            subscriber = alike(order.subscriber)
            for marker, value in self._markers(order):
                once = (marker, value, subscriber, order.key or "")
                if order.key is None or once not in seen:
                    shared.setdefault((marker, value), Counter())[subscriber] += 1
                seen.add(once)
        return shared

    def _markers(self, order: Order) -> Iterator[tuple[Marker, str]]:
        attested = self._attested.get(order.key or "")
        values = {
            Marker.KEY: order.key,
            Marker.DEVICE: order.device or (attested.device if attested else None),
            Marker.INTERMEDIATE: order.intermediate or (attested.intermediate if attested else None),
            Marker.CLOUD_ACCOUNT: order.cloud_account,
            Marker.SUBMITTER: order.submitter,
        }
        yield from ((marker, value) for marker, value in values.items() if value)

    def _suspicion(self, marker: Marker, value: str, counted: Counter[str]) -> Suspicion:
        said: Counter[str] = Counter()
        services: set[str] = set()
        for subscriber in counted:
            latest = self._latest(subscriber)
            said["nothing" if latest is None else latest.declaration.keeping.value] += 1
            if latest is not None and latest.declaration.keeping is Keeping.SIGNING_SERVICE:
                services.add(alike(latest.declaration.which))
        explained = said[Keeping.SIGNING_SERVICE] == len(counted) and len(services) == 1 and marker is not Marker.KEY
        names = sorted(self._spelt[each] for each in counted)
        return Suspicion(
            marker=marker,
            value=value,
            subscribers=len(counted),
            certificates=counted.total(),
            threshold=THRESHOLDS[marker].subscribers,
            names=tuple(names[:MOST_LISTED]),
            declared=dict(said),
            explained=explained,
            text=_sentence(marker, names, counted.total(), said, explained),
        )

    def _latest(self, subscriber: str) -> Declared | None:
        return max(self._declared.get(subscriber, ()), key=lambda each: each.declaration.declared_at, default=None)

    def _differences(self, shared: dict[tuple[Marker, str], Counter[str]]) -> Iterator[Difference]:
        found: dict[str, dict[Marker, set[str]]] = {}
        for (marker, value), counted in shared.items():
            for subscriber in counted:
                found.setdefault(subscriber, {}).setdefault(marker, set()).add(value)
        for subscriber in sorted(self._declared):
            latest = self._latest(subscriber)
            if latest is None:
                continue
            for text in self._held_against(latest, subscriber, found.get(subscriber), shared):
                said = latest.declaration
                yield Difference(subscriber=said.subscriber, order=said.order, text=text)

    def _held_against(
        self,
        declared: Declared,
        subscriber: str,
        found: dict[Marker, set[str]] | None,
        shared: dict[tuple[Marker, str], Counter[str]],
    ) -> Iterator[str]:
        said = declared.declaration
        if found is None:
            yield "It declared a key, and none of its certificates is in the survey."
            return
        if said.key is not None and said.key not in found.get(Marker.KEY, {said.key}):
            yield f"It declared the key {said.key[:16]}..., which is in none of its certificates here."
        devices, accounts = found.get(Marker.DEVICE, set()), found.get(Marker.CLOUD_ACCOUNT, set())
        if said.device is not None and devices and said.device not in devices:
            yield f"It declared {said.device}, and its keys are attested in {_listed(sorted(devices))}."
        if said.cloud_account is not None and accounts and said.cloud_account not in accounts:
            yield f"It declared the cloud account {said.cloud_account}, and ordered from {_listed(sorted(accounts))}."
        if said.keeping is Keeping.OWN_MODULE and accounts:
            yield f"It declared a module of its own, and ordered from the cloud account {_listed(sorted(accounts))}."
        if said.keeping is Keeping.SIGNING_SERVICE:
            return
        if said.owner is Owner.SIGNING_SERVICE:
            yield f"It declared {said.keeping}, and that the module is a Signing Service's."
        for marker, values in ((Marker.DEVICE, devices), (Marker.CLOUD_ACCOUNT, accounts)):
            for value in sorted(values):
                others = len(shared[marker, value]) - 1
                if others:
                    yield (
                        f"It declared {said.keeping}, and shares {value} with {others} other"
                        f" Subscriber{'s' * (others != 1)}."
                    )


def _sentence(marker: Marker, names: list[str], certificates: int, said: Counter[str], explained: bool) -> str:
    count = f"{certificates} certificate{'s' * (certificates != 1)}"
    who = f"{len(names)} Subscribers ({_listed(names)}), with {count}, {_WORDS[marker]}"
    if explained:
        return f"{who}; all declared the same Signing Service."
    told = ", ".join(f"{number} declared {what}" for what, number in sorted(said.items()))
    least = THRESHOLDS[marker]
    return (
        f"{who}: {told}. Told from {least.subscribers} Subscribers on, because {least.reason}; ask who holds the keys."
    )


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
