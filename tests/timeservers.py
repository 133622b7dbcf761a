"""Time servers on loopback that lie as they are told, in a thread; they answer as RFC 5905 section 14 says."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SINCE_1900 = 2_208_988_800


@dataclass
class TimeServer:
    """One server: how far ahead of UTC it is, and what else is odd about it."""

    door: socket.socket
    offset: float | None = 0.0
    """None: it is silent."""
    leap: int = 0
    stratum: int = 2
    name: bytes = b"LOCL"
    forged: bool = False
    """It does not repeat the cookie."""
    asked: list[bytes] = field(default_factory=list)

    @property
    def address(self) -> str:
        host, port = self.door.getsockname()
        return f"{host}:{port}"

    def answer(self) -> None:
        octets, where = self.door.recvfrom(1024)
        self.asked.append(octets)
        if self.offset is None:
            return
        stamp = int((time.time() + self.offset + SINCE_1900) * (1 << 32)) & (1 << 64) - 1
        cookie = 1 if self.forged else int.from_bytes(octets[40:48], "big")
        head = self.leap << 6 | 4 << 3 | 4
        self.door.sendto(
            struct.pack(">BBbbII4sQQQQ", head, self.stratum, 6, -20, 0, 64, self.name, stamp, cookie, stamp, stamp),
            where,
        )


@contextmanager
def time_servers(count: int = 4, *, apart: bool = False) -> Iterator[list[TimeServer]]:
    """Run so many servers until the end of the block; ``apart`` gives each an address of its own, from 127.0.0.2 on."""
    servers = []
    for number in range(count):
        door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        door.bind((f"127.0.0.{2 + number if apart else 1}", 0))
        servers.append(TimeServer(door))
    ending, end = socket.socketpair()

    def serve() -> None:
        by_door = {each.door: each for each in servers}
        while True:
            for ready in select.select([*by_door, end], [], [])[0]:
                if ready is end:
                    return
                by_door[ready].answer()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield servers
    finally:
        ending.close()
        thread.join(10)
        end.close()
        for each in servers:
            each.door.close()
