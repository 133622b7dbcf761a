"""Load from outside on a real service: many callers at once, each of whom keeps a book of what it was told."""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import msgspec
from tests.rehearsal import Rehearsal

from privyseal.cli import profile
from privyseal.cli.client import Service
from privyseal.formats import catalogue
from privyseal.formats.protocol import Identity
from privyseal.formats.source import FileSource
from privyseal.terms.requests import SigningRequest
from privyseal.terms.signatures import Options
from privyseal.web.readings import resident


class _Key(msgspec.Struct):
    class Certificate(msgspec.Struct):
        fingerprint: str
        chain: list[bytes]

    key_id: str
    scheme: str
    certificates: list[Certificate]


@dataclass
class Book:
    """What callers were told: acknowledged requests by Idempotency-Key, refusals, seconds of each, oddities."""

    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    statuses: Counter[int | str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def percentile(self, share: float) -> float:
        """Return the seconds within which so many of the accepted were answered."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Load:
    """Requests for one service, each another one, from as many threads as there are callers."""

    def __init__(self, service: Rehearsal) -> None:
        """Read the key and describe one program; every request is of another digest."""
        self.host = urlsplit(service.url).netloc
        known = profile.load({"url": service.url}, str(service.profile))
        self.token = known.token
        asking = Service(known)
        key = asking.get(asking.path("keys", "release")).read(_Key)
        asking.close()
        program = service.directory / "program.exe"
        program.write_bytes((resources.files("distlib") / "t64.exe").read_bytes())
        identity = Identity(tuple(key.certificates[0].chain), key.scheme)
        with FileSource.open(program) as source:
            side = catalogue.recognise(source)
            described = side.prepare(source, side.inspect(source), identity, Options(), "sha256").described
        self._plain = SigningRequest(
            subscriber="demo",
            key="release",
            key_id=key.key_id,
            scheme=key.scheme,
            certificate=key.certificates[0].fingerprint,
            mode="local",
            options=Options(),
            described=described,
            expires_at=(datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0),
        )
        self.book = Book()
        self.rate = 0.0
        """Requests a second that all callers together begin, however slowly they are answered; 0: as they come."""
        self._next = time.monotonic()

    def body(self, key: str) -> bytes:
        """Return the request that belongs to an Idempotency-Key."""
        digest = hashlib.sha256(key.encode()).digest()
        described = msgspec.structs.replace(self._plain.described[0], digest=digest)
        return msgspec.structs.replace(self._plain, described=(described,)).canonical()

    def post(self, connection: http.client.HTTPConnection, key: str, body: bytes, **headers: str) -> Any:
        """Send one request and return the answer, read."""
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", "Idempotency-Key": key}
        connection.request("POST", "/v1/demo/requests", body, sent | headers)
        answer = connection.getresponse()
        return answer, answer.read()

    def run(self, callers: int, stop: threading.Event, pause: float = 0.0) -> list[threading.Thread]:
        """Begin to ask with so many callers until ``stop`` is set; return them, to be joined."""
        threads = [threading.Thread(target=self._call, args=(n, stop, pause), daemon=True) for n in range(callers)]
        for thread in threads:
            thread.start()
        return threads

    def _call(self, number: int, stop: threading.Event, pause: float) -> None:
        connection = http.client.HTTPConnection(self.host, timeout=60)
        count = 0
        while not stop.is_set():
            count += 1
            self._wait_for_turn()
            key = f"{os.getpid()}-{number}-{count}"
            body = self.body(key)
            began = time.monotonic()
            try:
                answer, octets = self.post(connection, key, body)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with self.book.guard:
                    self.book.statuses[type(error).__name__] += 1
                stop.wait(0.05)
                continue
            self._note(key, body, answer, octets, time.monotonic() - began)
            if answer.status == 503:
                stop.wait(pause)
            if answer.will_close:
                connection.close()
        connection.close()

    def _wait_for_turn(self) -> None:
        if self.rate:
            with self.book.guard:
                self._next = max(self._next, time.monotonic() - 1.0) + 1 / self.rate
                ahead = self._next - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)

    def _note(self, key: str, body: bytes, answer: Any, octets: bytes, seconds: float) -> None:
        book = self.book
        with book.guard:
            book.statuses[answer.status] += 1
            if answer.status in (201, 202):
                book.acknowledged[key] = msgspec.json.decode(octets)
                book.bodies[key] = body
                book.seconds.append(seconds)
                return
            refusal = answer.status == 503 and answer.headers.get_content_type() == "application/problem+json"
            if not refusal or int(answer.headers.get("Retry-After", 0)) < 1:
                book.oddities.append(f"{answer.status} {answer.headers.items()} {octets[:300]!r}")

    def lost(self, url: str) -> list[str]:
        """Ask a service again for everything that was acknowledged; return what it answers otherwise than before."""
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        wrong = []
        for key, told in self.book.acknowledged.items():
            answer, octets = self.post(connection, key, self.book.bodies[key], **{"X-Request-Id": "again"})
            now = msgspec.json.decode(octets)
            same = now.get("id") == told["id"] and now.get("digest") == told["digest"]
            if told["state"] == "released":
                same = same and (now["blobs"], now["receipt"]) == (told["blobs"], told["receipt"])
            if answer.status not in (201, 202) or not same:
                wrong.append(f"{key}: {told['id']} {told['state']} became {answer.status} {octets[:200]!r}")
        connection.close()
        return wrong


def rise(curve: Sequence[float]) -> float:
    """Return how much a curve rose late: the median of its last quarter over that of the quarter before.

    What fills up to a bound has done so by then, whatever still rises has none; one odd sample changes nothing.
    """
    quarter = len(curve) // 4
    return median(curve[-quarter:]) - median(curve[-2 * quarter : -quarter])


def blocks(url: str) -> float:
    """Return how many pieces of memory the Python of a service holds."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        return numbers(answer.read().decode())["privyseal_python_allocated_blocks"]


def numbers(text: str) -> dict[str, float]:
    """Return the samples of Prometheus's text format, each under its name with its labels."""
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def quickly(before: dict[str, float], after: dict[str, float], seconds: float) -> float:
    """Return the share of those accepted between two readings that the service answered within so long.

    By its own clock: that of callers who share the machine says more of them than of it.
    """
    route = 'method="POST",route="/v1/{subscriber}/requests",status="201"'
    name = "privyseal_http_request_duration_seconds"
    under, every = f'{name}_bucket{{le="{seconds}",{route}}}', f"{name}_count{{{route}}}"
    return (after[under] - before.get(under, 0.0)) / (after[every] - before.get(every, 0.0))


def memory(pids: list[int]) -> dict[int, int]:
    """Return the octets that each of these processes has in memory."""
    return {pid: octets for pid in pids if (octets := resident(pid)) is not None}
