"""A TPM 2.0 for tests: swtpm, a desk before it that lets several callers share it, and a PKCS#11 token in it.

A TPM has room for three objects at a time and forgets none by itself. On a machine the kernel's resource manager
(/dev/tpmrm0) swaps them, so that each caller has as many as he likes, and forgets them when he goes. swtpm has none,
so the desk does that here: outside of a command no object is in the TPM.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.softhsm import PIN, SO_PIN
from tests.strongroom.processes import wait_until

from privyseal.keystore.pkcs11 import Pkcs11Section

MODULE = next(iter(sorted(map(str, Path("/usr/lib").glob("*/libtpm2_pkcs11.so.1")))), "libtpm2_pkcs11.so.1")
_HEADER = struct.Struct(">HII")  # TPM 2.0 library, part 1, section 18: tag, size, code
_SIZE = struct.Struct(">I")
_SEND = bytes((0, 0, 0, 8))  # MS_SIM_TPM_SEND_COMMAND of the reference simulator's protocol, which TSS calls mssim
_PLAIN, _LOAD, _SAVE, _FLUSH, _CAPABILITY, _COMMANDS = 0x8001, 0x161, 0x162, 0x165, 0x17A, 2
_OBJECT, _SESSIONS = 0x80, (0x02, 0x03)
"""First octets of the handles of objects and of sessions (part 2, section 7.2)."""


class Tpm:
    """One TPM with an empty PKCS#11 store beside it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.store, state, wire = folder / "store", folder / "state", folder / "swtpm"
        self.store.mkdir(mode=0o700)
        state.mkdir()
        self.pin_file = folder / "pin"
        self.pin_file.write_text(PIN + "\n")
        self.pin_file.chmod(0o600)
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--flags", "not-need-init,startup-clear"]
        self._process = subprocess.Popen(
            [*command, "--server", f"type=unixio,path={wire}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wire = socket.socket(socket.AF_UNIX)
        wait_until(lambda: self._wire.connect_ex(str(wire)) == 0, 60.0)  # it is there before anybody listens
        self._turn = threading.Lock()
        self._handles = _counts(self._ask(_command(_CAPABILITY, struct.pack(">III", _COMMANDS, 0, 256))))
        self._desk, self._bell = _two_ports()
        for door, serve in ((self._desk, self._serve), (self._bell, _nod)):
            threading.Thread(target=_open, args=(door, serve), daemon=True).start()
        tcti = f"mssim:host=127.0.0.1,port={self._desk.getsockname()[1]}"
        self.environment = {
            "TPM2_PKCS11_TCTI": tcti,
            "TPM2TOOLS_TCTI": tcti,
            "TPM2_PKCS11_STORE": str(self.store),
            "TPM2_PKCS11_LOG_LEVEL": "0",
            "TSS2_LOG": "all+NONE",
        }
        self.ptool("init")

    def token(self, label: str) -> None:
        """Make a token."""
        self.ptool("addtoken", "--pid", "1", "--sopin", SO_PIN, "--userpin", PIN, "--label", label)

    def ptool(self, verb: str, *more: str) -> str:
        """Run ``tpm2_ptool`` on the store."""
        return self.run("tpm2_ptool", verb, *more, "--path", str(self.store))

    def run(self, *command: str) -> str:
        """Run somebody else's program on the TPM and return what it said."""
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | self.environment
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def tool(self, label: str, *more: str) -> str:
        """Run ``pkcs11-tool`` on a token."""
        login = ["--login", "--pin", PIN]
        return self.run("pkcs11-tool", "--module", MODULE, "--token-label", label, *login, *more)

    def section(self, label: str, **changes: Any) -> Pkcs11Section:
        """Return settings for a token; ``changes`` replaces fields."""
        plain: dict[str, Any] = {
            "module": MODULE,
            "token": label,
            "pin_file": str(self.pin_file),
            "sessions": 2,
            "environment": self.environment,
            "writable": (str(self.store),),
            "network": True,
        }
        return Pkcs11Section(**(plain | changes))

    def close(self) -> None:
        for each in (self._desk, self._bell, self._wire):
            each.close()
        self._process.terminate()
        self._process.wait(10)

    # -- the desk --------------------------------------------------------------------------------------------------
    def _serve(self, caller: socket.socket) -> None:
        """Carry out one caller's commands, and forget what he left."""
        desk = _Desk(self._ask, self._handles)
        try:
            while (asked := _asked(caller)) is not None:
                with self._turn:
                    answer = desk.carry_out(asked)
                caller.sendall(_SIZE.pack(len(answer)) + answer + bytes(4))
        except OSError:
            pass
        finally:
            caller.close()
            with self._turn, contextlib.suppress(OSError):
                desk.forget()

    def _ask(self, command: bytes) -> bytes:
        self._wire.sendall(command)
        answer = _message(self._wire)
        if answer is None:
            raise OSError("the TPM has gone")
        return answer


class _Desk:
    """One caller's objects, kept as saved contexts, and his sessions."""

    def __init__(self, ask: Callable[[bytes], bytes], handles: dict[int, int]) -> None:
        self._ask = ask
        self._handles = handles
        self._objects: dict[bytes, bytes] = {}
        self._sessions: set[bytes] = set()
        self._count = 0

    def carry_out(self, asked: bytes) -> bytes:
        """Put the objects that a command names into the TPM, and take them and what it made out again."""
        code = _HEADER.unpack_from(asked)[2]
        if code == _FLUSH and self._objects.pop(asked[10:14], None) is not None:
            return _HEADER.pack(_PLAIN, 10, 0)
        command, loaded = bytearray(asked), dict[bytes, bytes]()
        for number in range(self._handles.get(code, 0)):
            at = 10 + 4 * number
            name = asked[at : at + 4]
            if name in self._objects:
                command[at : at + 4] = loaded[name] = self._ask(_command(_LOAD, self._objects[name]))[10:14]
        answer = self._ask(bytes(command))
        if _HEADER.unpack_from(answer)[2] == 0 and len(answer) >= 14 and self._handles.get(-code):
            if answer[10] == _OBJECT:
                self._count += 1
                name = bytes((_OBJECT, 0xFF)) + self._count.to_bytes(2, "big")
                loaded[name] = answer[10:14]
                answer = answer[:10] + name + answer[14:]
            else:
                self._sessions.add(answer[10:14])
        if code == _FLUSH or (code == _SAVE and asked[10] in _SESSIONS):
            self._sessions.discard(asked[10:14])  # whoever saves a session takes it along
        for name, real in loaded.items():
            self._objects[name] = self._ask(_command(_SAVE, real))[10:]  # anew, for a hash under way has grown
            self._ask(_command(_FLUSH, real))
        return answer

    def forget(self) -> None:
        """End the sessions that were left open."""
        for handle in self._sessions:
            self._ask(_command(_FLUSH, handle))


def _command(code: int, rest: bytes) -> bytes:
    return _HEADER.pack(_PLAIN, _HEADER.size + len(rest), code) + rest


def _counts(answer: bytes) -> dict[int, int]:
    """Read how many handles each command has, and under its negative code how many its answer (part 2, TPMA_CC)."""
    count = _SIZE.unpack_from(answer, 15)[0]
    found: dict[int, int] = {}
    for (attributes,) in _SIZE.iter_unpack(answer[19 : 19 + 4 * count]):
        found[attributes & 0xFFFF] = attributes >> 25 & 7
        found[-(attributes & 0xFFFF)] = attributes >> 28 & 1
    return found


def _two_ports() -> tuple[socket.socket, socket.socket]:
    """Listen on two ports in a row: TSS finds the second, the simulator's power switch, by counting (tcti-mssim.c)."""
    while True:
        first = socket.create_server(("127.0.0.1", 0))
        try:
            return first, socket.create_server(("127.0.0.1", first.getsockname()[1] + 1))
        except OSError:
            first.close()


def _open(door: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    while True:
        try:
            caller, _ = door.accept()
        except OSError:
            return
        threading.Thread(target=serve, args=(caller,), daemon=True).start()


def _nod(caller: socket.socket) -> None:
    """Say yes to whoever turns the power on, which it is."""
    with caller:
        while caller.recv(4):
            caller.sendall(bytes(4))


def _asked(caller: socket.socket) -> bytes | None:
    """Receive a command as the reference simulator is sent it: what to do, locality, size; None at the end."""
    head = _exactly(caller, 9)
    if head is None or head[:4] != _SEND:
        return None
    return _exactly(caller, _SIZE.unpack(head[5:])[0])


def _message(wire: socket.socket) -> bytes | None:
    """Receive a command or an answer whole; None at the end."""
    head = _exactly(wire, _HEADER.size)
    if head is None:
        return None
    rest = _exactly(wire, _HEADER.unpack(head)[1] - _HEADER.size)
    return None if rest is None else head + rest


def _exactly(wire: socket.socket, count: int) -> bytes | None:
    found = b""
    while len(found) < count:
        more = wire.recv(count - len(found))
        if not more:
            return None
        found += more
    return found
