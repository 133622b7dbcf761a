"""ClamAV: a real clamd finds what it should, and whatever else happens, no file passes."""

from __future__ import annotations

import io
import os
import random
import signal
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import pytest
from tests.clamd import EICAR, EICAR_NAME, Clamd, drain, imposter, running

from privyseal.errors import Infected, Misused, PrivySealError, TooLarge, Unavailable
from privyseal.scanning import clamav
from privyseal.scanning.clamav import Clamav, ClamavSection

NOW = datetime(2026, 11, 30, 12, 0, 0, 250_000, tzinfo=UTC)
LIMIT = b"stream: Heuristics.Limits.Exceeded.MaxRecursion FOUND\0"


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    with running() as made:
        yield made


def _scanner(clamd: Clamd, **changes: object) -> Clamav:
    return Clamav(clamd.section(**changes), Path("/"))


def _program() -> bytes:
    return (resources.files("distlib") / "t64.exe").read_bytes()


def _archive(octets: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.com", octets)
    return file.getvalue()


def _file(folder: Path, octets: bytes) -> Path:
    path = folder / "U-a"
    path.write_bytes(octets)
    return path


def test_a_clean_file_passes_and_the_engine_is_named(clamd: Clamd, tmp_path: Path) -> None:
    """The record says which engine, when, in whole seconds, and nothing of a database that it does not name."""
    scan = _scanner(clamd).scan(_file(tmp_path, _program()), NOW)
    assert (scan.scanner, scan.verdict, scan.time) == ("clamav", "clean", NOW.replace(microsecond=0))
    assert scan.engine.startswith("ClamAV ") and scan.database is None


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (EICAR, EICAR_NAME),
        (_program() + EICAR, EICAR_NAME),
        (_archive(EICAR), EICAR_NAME),
        (_program() + bytes(3 << 20) + EICAR, EICAR_NAME),
        (b"evil2" * 9, "Seal.Test.Whole.UNOFFICIAL"),
    ],
    ids=["bare", "overlay", "zip", "behind 3 MiB", "by digest"],
)
def test_what_is_infected_is_found_by_name(clamd: Clamd, tmp_path: Path, octets: bytes, name: str) -> None:
    """In a program's overlay, packed, or far behind: the scanner's own name for it is said."""
    with pytest.raises(Infected, match=name) as refused:
        _scanner(clamd).scan(_file(tmp_path, octets), NOW)
    assert refused.value.exit == 5 and refused.value.code == "infected"


def test_a_file_beyond_the_stream_limit_is_refused(clamd: Clamd, tmp_path: Path) -> None:
    """clamd breaks off at StreamMaxLength; the infected rest was not looked at."""
    with pytest.raises(TooLarge, match="no stream of"):
        _scanner(clamd).scan(_file(tmp_path, bytes(9 << 20) + EICAR), NOW)


def test_a_file_beyond_another_limit_is_refused(tmp_path: Path) -> None:
    """What clamd passes over as too large is called that, and is no finding."""
    with running("MaxFileSize 1M") as small, pytest.raises(TooLarge, match=r"Limits\.Exceeded"):
        _scanner(small).scan(_file(tmp_path, bytes(2 << 20) + EICAR), NOW)


def test_a_clamd_that_passes_what_it_does_not_look_at_is_not_asked(tmp_path: Path) -> None:
    """Without AlertExceedsMax it would say OK to this very file; nothing is signed, and its health says why."""
    with running("AlertExceedsMax no", "MaxFileSize 1M") as careless:
        scanner = _scanner(careless)
        with pytest.raises(Unavailable, match="AlertExceedsMax"):
            scanner.scan(_file(tmp_path, bytes(2 << 20) + EICAR), NOW)
        standing = scanner.standing(NOW)
        assert not standing.ready and "AlertExceedsMax" in standing.why


def test_a_clamd_that_is_down_refuses(tmp_path: Path) -> None:
    """Killed between two files: the second is refused with a sentence and exit 8; started again it is scanned."""
    path = _file(tmp_path, _program())
    with running() as own:
        scanner = _scanner(own)
        assert scanner.standing(NOW).ready
        own.stop()
        for question in (lambda: scanner.scan(path, NOW), lambda: scanner.standing(NOW)):
            with pytest.raises(Unavailable, match="does not answer") as refused:
                question()
            assert refused.value.exit == 8
        own.start()
        assert scanner.scan(path, NOW).verdict == "clean"


def test_a_clamd_killed_in_the_middle_of_a_stream_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the file was sent when it dies."""
    with running() as own:
        sent, preadv = 0, os.preadv

        def read(fd: int, buffers: list[memoryview], at: int) -> int:
            nonlocal sent
            sent += 1
            if sent == 4:
                own.stop()
            return preadv(fd, buffers, at)

        monkeypatch.setattr(os, "preadv", read)
        with pytest.raises(Unavailable, match="broke off"):
            _scanner(own).scan(_file(tmp_path, bytes(4 << 20)), NOW)
        assert sent >= 4


def test_a_clamd_that_hangs_refuses_in_time(tmp_path: Path) -> None:
    """Stopped by a signal it takes connections and says nothing."""
    with running() as own:
        assert own.process is not None
        own.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(Unavailable, match="takes too long"):
            _scanner(own, seconds=1.0).scan(_file(tmp_path, b"hello"), NOW)
        assert time.monotonic() - began < 10
        own.process.send_signal(signal.SIGCONT)


def test_several_files_at_once(clamd: Clamd, tmp_path: Path) -> None:
    """A scanner is shared by threads, and each gets the verdict on its own file."""
    scanner, wrong = _scanner(clamd), []
    files = []
    for number in range(8):
        path = tmp_path / f"U-{number}"
        path.write_bytes(_program() + EICAR * (number % 2))
        files.append(path)

    def look(number: int) -> None:
        try:
            scanner.scan(files[number], NOW)
            infected = False
        except Infected:
            infected = True
        if infected != bool(number % 2):
            wrong.append(number)

    threads = [threading.Thread(target=look, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


# -- answers that no clamd gives ---------------------------------------------------------------------------------------
VERSION = b"ClamAV 1.4.6/27100/Mon Nov 30 09:27:43 2026\0"


def _actor(version: bytes, nest: bytes, verdict: bytes) -> Callable[[socket.socket, bytes], None]:
    """Play a clamd with these answers to VERSION, to the nest of archives, and to the file."""
    streams = 0

    def answer(connection: socket.socket, command: bytes) -> None:
        nonlocal streams
        if command == b"zVERSION":
            connection.sendall(version)
            return
        assert command == b"zINSTREAM"
        streams += 1
        drain(connection)
        connection.sendall(nest if streams % 2 else verdict)

    return answer


def _outcome(path: Path, folder: Path, **changes: object) -> str:
    """Return the verdict on a file, or the code of the refusal; anything else raised is a failure of the test."""
    section = ClamavSection(address=str(path), seconds=5.0, **changes)  # type: ignore[arg-type]
    try:
        return Clamav(section, Path("/")).scan(_file(folder, b"hello"), NOW).verdict
    except PrivySealError as error:
        return error.code


def test_the_play_works(tmp_path: Path) -> None:
    """The answers of a healthy clamd pass, with database and its time; else the tests below would prove nothing."""
    with imposter(_actor(VERSION, LIMIT, b"stream: OK\0")) as path:
        scan = Clamav(ClamavSection(address=str(path)), Path("/")).scan(_file(tmp_path, b"hello"), NOW)
    assert (scan.verdict, scan.database) == ("clean", "27100")
    assert scan.database_time == datetime(2026, 11, 30, 9, 27, 43).astimezone(UTC)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\0",
        b"stream: OK",
        b"stream: OK\n",
        b"stream: OK\0\0",
        b"stream: OK\0stream: OK\0",
        b" stream: OK\0",
        b"stream: ok\0",
        b"STREAM: OK\0",
        b"1: stream: OK\0",
        b"stream:OK\0",
        b"stream: OK \0",
        b"stream: Eicar\0",
        b"stream:  FOUND\0",
        b"stream: Can't allocate memory ERROR\0",
        b"UNKNOWN COMMAND\0",
        b"stream: O\xd0\x9a\0",
        b"stream: OK\0" + b"A" * 9000,
        b"A" * 100_000,
    ],
)
def test_an_answer_that_is_none_refuses(tmp_path: Path, said: bytes) -> None:
    """Only the one sentence, to the octet, lets a file pass."""
    with imposter(_actor(VERSION, LIMIT, said)) as path:
        assert _outcome(path, tmp_path) == "unavailable"


def test_mutated_answers_never_pass(tmp_path: Path) -> None:
    """Three hundred answers with an octet changed, added or lost: whichever is not the right one refuses."""
    rng = random.Random("clamd")
    passed = 0
    said = [b"", b"", b""]
    whole = [VERSION, LIMIT, b"stream: OK\0"]

    streams = 0

    def answer(connection: socket.socket, command: bytes) -> None:
        nonlocal streams
        if command == b"zVERSION":
            connection.sendall(said[0])
            return
        streams += 1
        drain(connection)
        connection.sendall(said[1 if streams % 2 else 2])

    with imposter(answer) as path:
        for _ in range(300):
            streams = 0
            which = rng.randrange(3)
            octets = bytearray(whole[which])
            at = rng.randrange(len(octets))
            act = rng.randrange(3)
            if act == 0:
                octets[at] = rng.randrange(256)
            elif act == 1:
                octets.insert(at, rng.randrange(256))
            else:
                del octets[at]
            said[:] = whole
            said[which] = bytes(octets)
            outcome = _outcome(path, tmp_path, oldest_database_days=0)
            assert outcome in ("clean", "unavailable", "infected", "too-large")
            if which == 2 and said[2] != whole[2]:
                assert outcome != "clean", said
            if which == 1 and not said[1].startswith(b"stream: Heuristics.Limits.Exceeded"):
                assert outcome != "clean", said
            passed += outcome == "clean"
    assert 0 < passed < 150


def test_an_answer_before_the_end_of_the_file_refuses(tmp_path: Path) -> None:
    """OK for a file that it has not seen is no verdict."""
    streams = 0

    def answer(connection: socket.socket, command: bytes) -> None:
        nonlocal streams
        if command == b"zVERSION":
            connection.sendall(VERSION)
            return
        streams += 1
        if streams == 1:
            drain(connection)
            connection.sendall(LIMIT)
            return
        connection.sendall(b"stream: OK\0")
        connection.shutdown(socket.SHUT_WR)
        drain(connection)

    with imposter(answer) as path, pytest.raises(Unavailable, match="broke off"):
        Clamav(ClamavSection(address=str(path)), Path("/")).scan(_file(tmp_path, bytes(32 << 20)), NOW)


@pytest.mark.parametrize(
    ("version", "changes", "outcome"),
    [
        (b"ClamAV 1.4.6/27100/Mon Nov 23 13:00:00 2026\0", {}, "clean"),
        (b"ClamAV 1.4.6/27100/Sun Nov 22 11:00:00 2026\0", {}, "unavailable"),
        (b"ClamAV 1.4.6/27100/Sun Nov 22 11:00:00 2026\0", {"oldest_database_days": 9}, "clean"),
        (b"ClamAV 1.4.6/27100/Sun Nov 22 11:00:00 2026\0", {"outdated": "note"}, "outdated"),
        (b"ClamAV 1.4.6/27100/Sun Nov 22 11:00:00 2026\0", {"oldest_database_days": 0}, "clean"),
        (b"ClamAV 1.4.6/27100/Wed Dec  2 13:00:00 2026\0", {}, "unavailable"),
        (b"ClamAV 1.4.6\0", {}, "unavailable"),
        (b"ClamAV 1.4.6\0", {"outdated": "note"}, "outdated"),
        (b"ClamAV 1.4.6/27100/Mon Feb 31 13:00:00 2026\0", {}, "unavailable"),
        (b"ClamAV 1.4.6/27100/Mon Nov 30 25:00:00 2026\0", {}, "unavailable"),
        (b"ClamAV 1.4.6/27100/\0", {}, "unavailable"),
        (b"ClamAV\0", {}, "unavailable"),
    ],
)
def test_old_signatures(
    tmp_path: Path,
    version: bytes,
    changes: dict[str, object],
    outcome: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Older than allowed, of tomorrow, or of an unknown day: refused, or noted, as configured."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with imposter(_actor(version, LIMIT, b"stream: OK\0")) as path:
        assert _outcome(path, tmp_path, **changes) == outcome


@pytest.mark.parametrize(
    "given",
    ["", "example.org:3310", "10.0.0.1:3310", "0.0.0.0:3310", "127.0.0.1:0", "127.0.0.1:99999", "/" + "a" * 108],
)
def test_only_sockets_of_this_machine(given: str) -> None:
    """Files are somebody's code before its release: they travel to no other machine."""
    with pytest.raises(Misused):
        clamav.address(given, Path("/"))


def test_loopback_is_this_machine() -> None:
    """Both kinds of it."""
    assert clamav.address("127.0.0.1:3310", Path("/")) == ("127.0.0.1", 3310)
    assert clamav.address("[::1]:3310", Path("/")) == ("::1", 3310)
    assert clamav.address("run/clamd.ctl", Path("/srv")) == "/srv/run/clamd.ctl"


def test_clamd_over_tcp(tmp_path: Path) -> None:
    """The same over a port of loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running(f"TCPSocket {port}", "TCPAddr 127.0.0.1") as own:
        scanner = _scanner(own, address=f"127.0.0.1:{port}")
        assert scanner.scan(_file(tmp_path, b"hello"), NOW).verdict == "clean"
        with pytest.raises(Infected):
            scanner.scan(_file(tmp_path, EICAR), NOW)


def test_a_file_that_grows_while_it_is_scanned_refuses(clamd: Clamd, tmp_path: Path) -> None:
    """What was sent is not what has the size that was looked up."""
    path = _file(tmp_path, bytes(1000))
    scanner = _scanner(clamd)
    with pytest.raises(Unavailable, match="changed"):
        scanner._streamed(path, 999, time.monotonic() + 10)


def test_times_of_a_scan_are_whole_seconds(clamd: Clamd, tmp_path: Path) -> None:
    """However the clock gives them, and in UTC."""
    there = NOW.astimezone(tz=None) + timedelta(microseconds=7)
    assert _scanner(clamd).scan(_file(tmp_path, b"a"), there).time == NOW.replace(microsecond=0)
