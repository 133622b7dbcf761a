"""The whole service over HTTP: signatures a second, logged, timestamped and receipted, against bare RSA-3072.

Every answer is a released signature: its intent and completion are in a signed head, its token is verified, its
receipt is built, and each of these is on the disk. One signature of the timestamp key goes with each of the
Subscriber's key, so the limit to compare with is half of the bare rate; both ratios are printed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from bench.files import PRIVYSEAL, bare_rsa
from bench.harness import Row, against
from bench.material import launcher
from privyseal.cli import profile
from privyseal.cli.client import Service
from privyseal.formats import catalogue
from privyseal.formats.protocol import Identity
from privyseal.formats.source import FileSource
from privyseal.terms.requests import SigningRequest
from privyseal.terms.signatures import Described, Options

CLIENTS = 32
"""Requests under way at once."""
SECONDS = 6.0
"""How long one round sends requests."""


class _Key(msgspec.Struct):
    class Certificate(msgspec.Struct):
        fingerprint: str
        chain: list[bytes]

    key_id: str
    scheme: str
    certificates: list[Certificate]


class _Loaded:
    """A running rehearsal service and requests for it, each another one."""

    def __init__(self, directory: Path, url: str) -> None:
        self.service = Service(profile.load({"url": url}, str(directory / "client.toml")))
        key = self.service.get(self.service.path("keys", "release")).read(_Key)
        program = directory / "program.exe"
        program.write_bytes(launcher())
        identity = Identity(tuple(key.certificates[0].chain), key.scheme)
        with FileSource.open(program) as source:
            code_format = catalogue.recognise(source)
            layout = code_format.inspect(source)
            self.described: Described = code_format.prepare(source, layout, identity, Options(), "sha256").described[0]
        self.request = SigningRequest(
            subscriber="demo",
            key="release",
            key_id=key.key_id,
            scheme=key.scheme,
            certificate=key.certificates[0].fingerprint,
            mode="local",
            options=Options(),
            described=(self.described,),
            expires_at=(datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0),
        )
        self._number, self._guard = 0, threading.Lock()

    def one(self) -> None:
        """Have one request signed that nobody asked for before."""
        with self._guard:
            self._number += 1
            number = self._number
        digest = hashlib.sha256(b"%d %d" % (os.getpid(), number)).digest()
        request = msgspec.structs.replace(
            self.request, described=(msgspec.structs.replace(self.described, digest=digest),)
        )
        answer = self.service.post(self.service.path("requests"), request.canonical(), request.timeless_digest())
        if answer.status != 201 or b'"receipt":"c2sp.org' not in answer.body:
            sys.exit(f"the service answered {answer.status}: {answer.body[:300]!r}")

    def rate(self, seconds: float = SECONDS) -> float:
        """Return released signatures a second with CLIENTS at once."""
        done, until = [0] * CLIENTS, time.perf_counter() + seconds

        def _client(place: int) -> None:
            while time.perf_counter() < until:
                self.one()
                done[place] += 1

        start = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(_client, range(CLIENTS)))
        return sum(done) / (time.perf_counter() - start)


def throughput(folder: Path, rounds: int) -> list[Row]:
    """Run a rehearsal service with an RSA-3072 key and load it from this process."""
    directory = folder / "service"
    subprocess.run([PRIVYSEAL, "init", "--dir", directory, "--rehearsal"], check=True, capture_output=True)
    command = [PRIVYSEAL, "serve", "--dir", directory, "--bind", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as serving:
        try:
            assert serving.stdout is not None
            loaded = _Loaded(directory, serving.stdout.readline().split()[1])
            loaded.rate(1.0)
            subject, limit, ratio, each = against(bare_rsa, loaded.rate, max(1, rounds - 2))
        finally:
            serving.terminate()
            serving.wait(60)
    notes = f"of what two signatures each allow: {2 * ratio:.2f}; the load generator shares the cores"
    work = "service over HTTP, RSA-3072: / bare RSA-3072"
    return [Row(work, subject, limit, ratio, "/s", "measured", notes=notes, rounds=each)]
