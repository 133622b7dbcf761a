"""A world whose logger and signer are real processes: what befalls one of them befalls it alone, and it is seen end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from tests.strongroom.processes import Process
from tests.world import Ledger, World

from privyseal.errors import PrivySealError
from privyseal.records.database import open_records
from privyseal.signing import duties
from privyseal.signing.instance import PrivySeal
from privyseal.strongroom.client import LoggerClient, SignerClient, SocketAsk, StamperClient
from privyseal.strongroom.messages import Answer, Question
from privyseal.terms.parties import Affiliation, SigningService

Room = Literal["logger", "signer"]
ROOMS: tuple[Room, ...] = ("logger", "signer")
UNSAID = "Traceback", "bug:"
"""What no process may write on standard error, whatever befalls it."""


class RealRooms(World):
    """Clients and walks are the world's, logger and signer are processes, and nobody stamps."""

    processes: dict[Room, Process]
    number = 0

    def _start(self) -> None:
        self.exits: list[tuple[Room, int]] = []
        self.processes = {}
        self._asks: list[SocketAsk] = []
        for room in ROOMS:
            self.start(room)
        self.connect()

    def start(self, room: Room) -> None:
        """Start a process; it must come up, whatever befell the one before."""
        socket = self.directory.parent / f"{room}.sock"
        process = Process(room, self.directory / room / f"{room}.toml", socket)
        assert process.ready, process.said()
        self.processes[room] = process

    def connect(self) -> None:
        """Begin a serve anew, as far as the walks are it."""
        asks = [SocketAsk(self.directory.parent / f"{room}.sock", 30) for room in ROOMS]
        self._asks += asks
        records, logger = open_records(f"sqlite:///{self.directory / 'records.db'}"), LoggerClient(asks[0])
        self.seal = PrivySeal(
            SigningService("World", Affiliation.UNAFFILIATED),
            records,
            logger,
            SignerClient(asks[1]),
            StamperClient(_nobody),
            clock=lambda: self.now,
            recollection=self.recollection(records, logger),
        )
        duties.begin(self.seal)

    def session(self) -> Ledger:
        """Let one client ask once; what it is told is its own affair."""
        self.number += 1
        client = self.client(self.number, timestamp=False)
        self._ask_safely([client])
        return client

    def revive(self, seconds: float = 10.0) -> list[int]:
        """Start again whoever ended, or is about to, and return the exit codes."""
        ended = []
        for room, process in list(self.processes.items()):
            if not self._well(room):
                until = time.monotonic() + seconds
                while process.popen.poll() is None and time.monotonic() < until:
                    time.sleep(0.02)
            if process.popen.poll() is not None:
                process.forget()
                ended.append(int(process.popen.returncode))
                self.exits.append((room, ended[-1]))
                self.start(room)
        return ended

    def _well(self, room: Room) -> bool:
        try:
            (self.seal.logger if room == "logger" else self.seal.signer).health()
        except PrivySealError:
            return False
        return True

    def said(self) -> str:
        """Return what both wrote on standard error."""
        return "".join(process.said() for process in self.processes.values())

    def stop(self) -> None:
        """End both as they are told to."""
        self.seal.records.close()
        for ask in self._asks:
            ask.close()
        for process in self.processes.values():
            if process.popen.poll() is None:
                assert process.terminate(60) == 0, process.said()


def _nobody(question: Question) -> Answer:
    raise AssertionError("nothing is stamped here")


def place_of(founded: Path, folder: Path, name: str) -> RealRooms:
    """Make such a world in a folder of its own."""
    (folder / name).mkdir()
    return RealRooms(founded, folder / name / "seal")
