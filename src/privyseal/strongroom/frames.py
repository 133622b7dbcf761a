"""How messages stand on a socket, a big-endian length of four octets before each; and how long its path may be."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from privyseal.errors import Misused, TooLarge

MAX_FRAME_OCTETS = 16 << 20
"""Octets of one message. The largest honest one, 256 requests with page hashes beside them, has a few MiB;
gRPC's default
limit is 4 MiB, PostgreSQL's 1 GiB."""
MAX_ADDRESS_OCTETS = 107
"""Octets of a Unix socket's path on Linux: ``sun_path`` has 108 with its final zero (unix(7))."""
_PREFIX_OCTETS = 4
_READ_OCTETS = 64 << 10


def address(path: Path) -> str:
    """Return ``path`` as a socket's address; Misused if the kernel could not hold it."""
    octets = len(os.fsencode(path))
    if octets > MAX_ADDRESS_OCTETS:
        raise Misused(
            f"The socket path {path} has {octets} octets; Linux allows {MAX_ADDRESS_OCTETS}.",
            hint="put the service, or its sockets, in a directory with a shorter path",
        )
    return str(path)


class Frames:
    """One end of a conversation in frames; it owns the socket, and one thread at a time uses it."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected stream socket."""
        self._connection = connection
        self._unread = bytearray()

    def fileno(self) -> int:
        """Return the socket's descriptor, for waiting on it."""
        return self._connection.fileno()

    @property
    def begun(self) -> bool:
        """Tell whether octets of a frame that is not yet complete have arrived."""
        return bool(self._unread)

    def send(self, message: bytes) -> None:
        """Send one frame; TooLarge over the limit, OSError if the other side is gone."""
        if len(message) > MAX_FRAME_OCTETS:
            raise TooLarge(
                f"A message of {len(message)} octets is over the limit of {MAX_FRAME_OCTETS}.",
                hint="send smaller batches",
            )
        self._connection.sendall(len(message).to_bytes(_PREFIX_OCTETS, "big") + message)

    def receive(self) -> bytes | None:
        """Return the next frame, or None at the end; TooLarge over the limit, OSError if it broke off."""
        if not self._fill(_PREFIX_OCTETS):
            return None
        octets = int.from_bytes(self._unread[:_PREFIX_OCTETS], "big")
        if octets > MAX_FRAME_OCTETS:
            raise TooLarge(f"A frame of {octets} octets was announced; the limit is {MAX_FRAME_OCTETS}.")
        if not self._fill(_PREFIX_OCTETS + octets):
            return None
        message = bytes(memoryview(self._unread)[_PREFIX_OCTETS : _PREFIX_OCTETS + octets])
        del self._unread[: _PREFIX_OCTETS + octets]
        return message

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()

    def _fill(self, wanted: int) -> bool:
        while len(self._unread) < wanted:
            more = self._connection.recv(_READ_OCTETS)
            if not more:
                if self._unread:
                    raise ConnectionResetError("the connection ended in the middle of a frame")
                return False
            self._unread += more
        return True
