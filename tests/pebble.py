"""Pebble, Let's Encrypt's own test server of ACME, as Debian has it, with a DNS that says 127.0.0.1 to every name.

It validates for real: its ``http-01`` asks a web server that shows a folder. It refuses 5 % of good nonces, and reuses
half of all authorisations, on purpose.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.strongroom.processes import wait_until
from tests.stubs.server import certificate

KID, MAC = "kid-of-ours", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


class Pebble:
    """A running one."""

    def __init__(self, folder: Path, port: int, management: int) -> None:
        self.ca_file = folder / "server.pem"
        self.directory = f"https://127.0.0.1:{port}/dir"
        self.webroot = folder / "web"
        self._management = f"https://127.0.0.1:{management}"
        self._context = ssl.create_default_context(cafile=str(self.ca_file))

    def status(self, serial: int) -> dict[str, object]:
        """Ask by the other door what became of a certificate."""
        with urllib.request.urlopen(
            f"{self._management}/cert-status-by-serial/{serial:x}", context=self._context, timeout=10
        ) as answer:
            return dict(json.load(answer))

    def listens(self) -> bool:
        try:
            with urllib.request.urlopen(self.directory, context=self._context, timeout=2):
                return True
        except OSError:
            return False


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def pebble(folder: Path, **environment: str) -> Iterator[Pebble]:
    """Run one, with external account binding required of everybody."""
    (folder / "web").mkdir()
    (folder / "server.pem").write_bytes(certificate())
    web = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder / "web")))
    thread = threading.Thread(target=web.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    port, management, dns, dns_management = _free(4)
    config = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(folder / "server.pem"),
        "privateKey": str(folder / "server.pem"),
        "httpPort": web.server_port,
        "tlsPort": 1,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": True,
        "externalAccountMACKeys": {KID: MAC},
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    names = ["pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", ""]
    names += ["-tlsalpn01", "", "-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{dns_management}"]
    server = ["pebble", "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}", "-strict"]
    told = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", **environment}
    with (folder / "log").open("wb") as log:
        running = [
            subprocess.Popen(each, env=told, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            for each in (names, server)
        ]
        try:
            found = Pebble(folder, port, management)
            wait_until(found.listens, 20)
            yield found
        finally:
            for each in running:
                each.terminate()
            for each in running:
                each.wait(10)
            web.shutdown()
            web.server_close()
            thread.join(10)


def _free(count: int) -> list[int]:
    with closing(socket.socket()) as first:
        held = [first, *(socket.socket() for _ in range(count - 1))]
        for each in held:
            each.bind(("127.0.0.1", 0))
        ports = [int(each.getsockname()[1]) for each in held]
        for each in held[1:]:
            each.close()
    return ports
