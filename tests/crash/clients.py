"""Clients that insist, and write down what they asked for and what they were given before they believe it.

Each has a file of its own, synced line by line, because a promise counts only where somebody could hold it against the
service: the invariants are checked against these files and the published log, never against the service's own memory.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import threading
import time
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from tests.world import a_description

from privyseal.terms.requests import SigningRequest
from privyseal.terms.signatures import Options
from privyseal.web.views import KeyView, RequestView

PATIENCE = 180.0
"""Seconds a client insists before it calls the service lost, on a machine that is busy with other tests."""


class Given(msgspec.Struct, frozen=True):
    """One answer as a client's file holds it."""

    key: str
    """The Idempotency-Key."""
    request: bytes
    """Canonical octets of what was asked."""
    blobs: tuple[bytes, ...]
    receipt: str


class House:
    """Where a service is, and what a client needs to know to ask it."""

    def __init__(self, directory: Path, url: str) -> None:
        self.url = url
        self.profile = tomllib.loads((directory / "client.toml").read_text())
        self.heads: set[bytes] = set()
        """Every signed head that anybody was shown."""
        status, body = self.call("GET", f"/v1/{self.profile['subscriber']}/keys/{self.profile['key']}")
        assert status == 200, body
        self.key = msgspec.json.decode(body, type=KeyView)

    def call(self, method: str, path: str, body: bytes | None = None, key: str = "") -> tuple[int, bytes]:
        """Ask once; OSError or HTTPException where no whole answer comes."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.profile['token']}", "Content-Type": "application/json"}
        headers |= {"Idempotency-Key": key} if key else {}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def look(self) -> None:
        """Take down the head that is published at this moment, if there is an answer."""
        try:
            status, body = self.call("GET", "/log/checkpoint")
        except (OSError, http.client.HTTPException):
            return
        if status == 200:
            self.heads.add(body)

    def request(self, number: int) -> SigningRequest:
        """Return the request for a program of this number."""
        return SigningRequest(
            subscriber=self.profile["subscriber"],
            key=self.key.name,
            key_id=self.key.key_id,
            scheme=self.key.scheme,
            certificate=self.key.certificates[0].fingerprint,
            mode="local",
            options=Options(),
            described=(a_description(number),),
            expires_at=datetime.now(UTC).replace(microsecond=0) + timedelta(hours=6),
        )


class Client:
    """One client that wants one program signed."""

    def __init__(self, house: House, number: int, folder: Path) -> None:
        self.house = house
        self.request = house.request(number)
        self.key = self.request.timeless_digest()
        self.path = folder / f"client-{number}.jsonl"
        self.tries = 0
        self._write({"asked": self.key, "request": self.request.canonical().hex()})

    def insist(self, until: float | None = None, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Ask until the signature is there; after Failed under a derived key, as the command line does."""
        until = until or time.monotonic() + PATIENCE
        while time.monotonic() < until and not stopped():
            view = self._ask()
            if view is not None:
                self._write({"given": self.key, "blobs": [b.hex() for b in view.blobs], "receipt": view.receipt})
                return True
            time.sleep(0.05)
        return False

    def ask_again(self) -> None:
        """Ask once more under the same key: the answer is written down beside the first one."""
        view = self._ask()
        assert view is not None, "a request that was answered is not answered again"
        self._write({"given": self.key, "blobs": [b.hex() for b in view.blobs], "receipt": view.receipt})

    def _ask(self) -> RequestView | None:
        self.tries += 1
        path = f"/v1/{self.request.subscriber}/requests"
        try:
            status, body = self.house.call("POST", path, msgspec.json.encode(self.request), self.key)
        except (OSError, http.client.HTTPException):
            return None
        if status == 201:
            return msgspec.json.decode(body, type=RequestView)
        document: dict[str, Any] = json.loads(body) if status != 202 else {}
        assert status in (202, 409, 503), f"{status}: {body[:500]!r}"
        if document.get("code") == "failed":
            self.key = hashlib.sha256(self.key.encode()).hexdigest()
            self._write({"asked": self.key, "request": self.request.canonical().hex()})
        return None

    def _write(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="ascii") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


def together(clients: list[Client]) -> list[threading.Thread]:
    """Let clients insist, each in a thread of its own."""
    threads = [threading.Thread(target=each.insist, daemon=True) for each in clients]
    for thread in threads:
        thread.start()
    return threads


def ledgers(folder: Path, since: set[Path]) -> list[Given]:
    """Read the answers in all clients' files that are not in ``since``, which grows by them."""
    found: list[Given] = []
    for path in sorted(folder.glob("client-*.jsonl")):
        if path in since:
            continue
        asked: dict[str, bytes] = {}
        for line in map(json.loads, path.read_text("ascii").splitlines()):
            if "asked" in line:
                asked[line["asked"]] = bytes.fromhex(line["request"])
            else:
                blobs = tuple(map(bytes.fromhex, line["blobs"]))
                found.append(Given(line["given"], asked[line["given"]], blobs, line["receipt"]))
        since.add(path)
    return found
