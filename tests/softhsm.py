"""Real tokens for tests: SoftHSM in a temporary folder, and a server in front of it whose children can be killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.strongroom.processes import wait_until

from privyseal.keystore.pkcs11 import Pkcs11, Pkcs11Section
from privyseal.strongroom.children import TokenChild
from privyseal.strongroom.nursery import Nursery
from privyseal.strongroom.pools import pooled

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
CLIENT = next(iter(sorted(map(str, Path("/usr/lib").glob("*/pkcs11/p11-kit-client.so")))), "p11-kit-client.so")
PIN, SO_PIN = "canary-7391", "so-pin-4821"


class SoftHsm:
    """Tokens in a folder, made by ``softhsm2-util``."""

    def __init__(self, folder: Path, *labels: str) -> None:
        self.tokens = folder / "tokens"
        self.tokens.mkdir(parents=True)
        self.conf = folder / "softhsm2.conf"
        self.conf.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.pin_file = folder / "pin"
        self.pin_file.write_text(PIN + "\n")
        self.pin_file.chmod(0o600)
        self.environment = {"SOFTHSM2_CONF": str(self.conf)}
        for label in labels:
            self.run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN)

    def cloned(self, folder: Path) -> SoftHsm:
        """Return another module with the same tokens and the keys that are in them now, as a vendor's cloning makes."""
        twin = SoftHsm(folder)
        shutil.copytree(self.tokens, twin.tokens, dirs_exist_ok=True)
        return twin

    def run(self, *command: str) -> str:
        """Run somebody else's program on the tokens and return what it said."""
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | self.environment
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def tool(self, label: str, *more: str, pin: str | None = PIN) -> str:
        """Run ``pkcs11-tool`` on a token."""
        login = [] if pin is None else ["--login", "--pin", pin]
        return self.run("pkcs11-tool", "--module", MODULE, "--token-label", label, *login, *more)

    def section(self, label: str, **changes: object) -> Pkcs11Section:
        """Return settings for a token; ``changes`` replaces fields."""
        plain: dict[str, object] = {
            "module": MODULE,
            "token": label,
            "pin_file": str(self.pin_file),
            "sessions": 2,
            "environment": self.environment,
            "readable": (str(self.conf),),
            "writable": (str(self.tokens),),
        }
        return Pkcs11Section(**(plain | changes))  # type: ignore[arg-type]

    def flags(self, label: str) -> str:
        """Return what the token says of itself, its PIN's state among it."""
        slots = self.tool(label, "--list-slots", pin=None)
        return next(part for part in re.split(r"\nSlot ", slots) if label in part)


class Server:
    """``p11-kit server`` in front of a token, as a network HSM is: one child of it for each client."""

    def __init__(self, hsm: SoftHsm, label: str, socket: Path) -> None:
        self.socket = socket
        command = ["p11-kit", "server", "--foreground", "--provider", MODULE, "--name", str(socket)]
        self.process = subprocess.Popen(
            [*command, f"pkcs11:token={label}"],
            env=os.environ | hsm.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(socket.exists)

    def children(self) -> list[int]:
        """Return the process ids of its children."""
        return list(map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()))

    def signal(self, number: int) -> int:
        """Send a signal to each child, by its id, and return how many there were."""
        children = self.children()
        for pid in children:
            os.kill(pid, number)
        return len(children)

    def section(self, hsm: SoftHsm, label: str, **changes: object) -> Pkcs11Section:
        """Return settings for the token behind this server."""
        address = {"P11_KIT_SERVER_ADDRESS": f"unix:path={self.socket}"}
        plain = {"module": CLIENT, "environment": address, "readable": (), "writable": ()}
        return hsm.section(label, **(plain | changes))

    def lose(self) -> None:
        """Kill the server and its children, by their ids: nothing answers at its address any more."""
        children = self.children()  # which outlive it
        self.process.kill()
        self.process.wait(10)
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        self.socket.unlink(missing_ok=True)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@contextmanager
def store(folder: Path, *sections: Pkcs11Section) -> Iterator[tuple[Pkcs11, list[TokenChild], list[str]]]:
    """Open a key store with real workers; also the children, and what the operator is told."""
    notes: list[str] = []
    nursery = Nursery([("pkcs11", each) for each in sections], folder / "pins")
    children = [TokenChild(nursery, number, 2, notes.append) for number in range(len(sections))]
    keys = Pkcs11(pooled(children), nursery.close)
    try:
        yield keys, children, notes
    finally:
        keys.close()
