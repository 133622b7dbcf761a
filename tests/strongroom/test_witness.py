"""The witness as a room and as a process: what it cosigned is on the disk first, and nothing it is sent hurts it."""

import http.client
import signal
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.strongroom.witnessroom import WitnessProcess
from tests.tlog.test_witness import LOG, OTHER_LOG, head, leaves, note, request

from privyseal.errors import BadInput, Conflict, LogRolledBack, LogUnavailable, Misused, PrivySealError
from privyseal.strongroom import witness_door
from privyseal.strongroom.founding import admit_log, create_witness
from privyseal.strongroom.mark import MarkFile
from privyseal.strongroom.witness import Record, Witness
from privyseal.strongroom.witness_door import WitnessDoor
from privyseal.strongroom.witnessing import build
from privyseal.tlog.log import Head
from privyseal.tlog.merkle import EMPTY_ROOT
from privyseal.tlog.note import parse_note, parse_vkey, verified
from privyseal.tlog.witness import format_request, read_cosignature, with_cosignatures

ORIGIN = LOG.verifier.name


class Made:
    """A witness's directory, whose witness can be built again and again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "w"
        self.key = parse_vkey(create_witness(self.directory, "witness.example/w"))
        admit_log(self.directory, LOG.verifier.vkey)
        self.notes: list[str] = []

    def build(self) -> Witness:
        return build(self.directory, lambda: datetime.now(UTC), self.notes.append)

    def records(self) -> tuple[Path, Path]:
        return Record.places((self.directory / "records", self.directory / "second-records"), ORIGIN)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_what_was_cosigned_outlives_the_process(made: Made):
    """A new process goes on from the head that the last one answered for, and refuses everything beside it."""
    witness = made.build()
    assert witness.add_checkpoint(request(0, leaves(5))).status == 200
    witness.close()
    witness = made.build()
    assert witness.add_checkpoint(request(0, leaves(5, "false"))).body == b"5\n"
    assert witness.add_checkpoint(request(5, leaves(5, "false"))).status == 409
    assert witness.add_checkpoint(request(5, leaves(9, "false"))).status == 422
    answer = witness.add_checkpoint(request(5, leaves(9)))
    line = read_cosignature(note(head(leaves(9))), answer.body, made.key)
    assert verified(parse_note(with_cosignatures(note(head(leaves(9))), [line])), (made.key,))
    assert witness.latest(ORIGIN) == head(leaves(9))
    witness.close()


@pytest.mark.parametrize("which", [0, 1])
def test_one_record_that_was_put_back_is_made_good_by_the_other(made: Made, which: int):
    """The larger of the two is what was cosigned, and no second head of its size is."""
    witness = made.build()
    witness.add_checkpoint(request(0, leaves(5)))
    old = made.records()[which].read_bytes()
    witness.add_checkpoint(request(5, leaves(9)))
    witness.close()
    made.records()[which].write_bytes(old)
    witness = made.build()
    assert witness.add_checkpoint(request(5, leaves(9, "false"))).body == b"9\n"
    witness.close()


def test_both_records_put_back_are_found_out_by_a_published_head(made: Made):
    """Shown its own later cosignature it stops for this log, and says so."""
    witness = made.build()
    witness.add_checkpoint(request(0, leaves(5)))
    old = [each.read_bytes() for each in made.records()]
    answer = witness.add_checkpoint(request(5, leaves(9)))
    published = note(head(leaves(9)))
    shown = with_cosignatures(published, [read_cosignature(published, answer.body, made.key)])
    witness.close()
    for record, content in zip(made.records(), old, strict=True):
        record.write_bytes(content)
    witness = made.build()
    assert witness.add_checkpoint(format_request(5, (), shown)).status == 503
    assert made.notes == ["This witness cosigned a head of 9 entries, and its record has 5: it was put back."]
    witness.close()


def test_records_that_are_missing_or_contradict_are_refused(made: Made, tmp_path: Path):
    """A witness that does not know what it cosigned does not begin anew."""
    other = Made(tmp_path / "other")
    for one, name in ((made, "true"), (other, "false")):
        witness = one.build()
        witness.add_checkpoint(request(0, leaves(5, name)))
        witness.close()
    made.records()[0].write_bytes(other.records()[0].read_bytes())
    with pytest.raises(LogRolledBack, match="different heads of 5"):
        made.build()
    made.records()[0].unlink()
    with pytest.raises(LogRolledBack, match="missing"):
        made.build()
    with pytest.raises(Conflict):
        admit_log(made.directory, LOG.verifier.vkey)


def test_a_record_that_cannot_be_written_means_no_cosignature(made: Made, monkeypatch: pytest.MonkeyPatch):
    """503, and the head is not remembered as cosigned."""
    witness = made.build()

    def fails(self: MarkFile, mark: object, *, durable: bool = True) -> None:
        raise LogUnavailable("The disk is full.")

    monkeypatch.setattr(MarkFile, "raise_to", fails)
    assert witness.add_checkpoint(request(0, leaves(5))).status == 503
    monkeypatch.undo()
    assert witness.latest(ORIGIN) == Head(0, EMPTY_ROOT)
    assert witness.add_checkpoint(request(0, leaves(5, "other"))).status == 200
    witness.close()


def test_many_at_once_get_one_history(made: Made):
    """Check and persist are one step: of two histories that race, one is cosigned."""
    witness = made.build()
    start = threading.Barrier(16)
    cosigned: list[tuple[str, int]] = []

    def race(history: str, size: int) -> None:
        octets = request(0, leaves(size, history))
        start.wait()
        if witness.add_checkpoint(octets).status == 200:
            cosigned.append((history, size))

    racing = [threading.Thread(target=race, args=(("a", "b")[n % 2], 3 + n // 4)) for n in range(16)]
    for thread in racing:
        thread.start()
    for thread in racing:
        thread.join()
    assert len(set(cosigned)) == 1  # the same head may be cosigned again, though never with old 0
    witness.close()


def test_what_cannot_be_a_witness_or_a_log_is_refused(tmp_path: Path):
    """A witness's key is no log's, a log is known once, a name must be one."""
    vkey = create_witness(tmp_path / "w", "witness.example/w")
    for wrong in (vkey, "nonsense"):
        with pytest.raises(BadInput):
            admit_log(tmp_path / "w", wrong)
    admit_log(tmp_path / "w", LOG.verifier.vkey)
    admit_log(tmp_path / "w", OTHER_LOG.verifier.vkey)
    with pytest.raises(Conflict):
        admit_log(tmp_path / "w", LOG.verifier.vkey)
    with pytest.raises(PrivySealError):
        create_witness(tmp_path / "v", "no + name")
    with pytest.raises(Misused):
        (tmp_path / "w/witness.toml").chmod(0o644)
        build(tmp_path / "w", lambda: datetime.now(UTC), print)


# -- over HTTP ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def door(made: Made) -> Iterator[WitnessDoor]:
    door = WitnessDoor(("127.0.0.1", 0), made.build(), made.notes.append)
    thread = threading.Thread(target=door.serve_forever, args=(0.05,))
    thread.start()
    yield door
    door.shutdown()
    thread.join()
    door.server_close()
    door.witness.close()


def posted(door: WitnessDoor, octets: bytes, path: str = "/add-checkpoint") -> tuple[int, bytes, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", door.server_address[1], timeout=20)
    connection.request("POST", path, octets)
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.getheader("Content-Type")
    connection.close()
    return found


def raw(door: WitnessDoor, octets: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", door.server_address[1]), timeout=20) as connection:
        connection.sendall(octets)
        return connection.recv(4096)


def test_the_answers_travel_as_the_specification_says(door: WitnessDoor):
    """Status, type and body, on one kept connection and under a submission prefix."""
    assert posted(door, request(0, leaves(5)))[0] == 200
    assert posted(door, request(0, leaves(9)), "/prefix/add-checkpoint") == (409, b"5\n", "text/x.tlog.size")
    assert posted(door, request(5, leaves(9)), "/else")[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", door.server_address[1], timeout=20)
    for old, new in ((5, 9), (9, 30), (30, 30)):
        connection.request("POST", "/add-checkpoint", request(old, leaves(new)))
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.read().startswith("— witness.example/w ".encode())
    connection.close()


def test_what_is_too_much_or_no_http_is_refused_in_bounds(door: WitnessDoor, monkeypatch: pytest.MonkeyPatch):
    """A huge or unknown length, another method, garbage, silence: each ends, and the witness goes on."""
    head_of = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n"
    assert b" 413 " in raw(door, head_of + b"Content-Length: 999999999\r\n\r\n")
    assert b" 400 " in raw(door, head_of + b"Content-Length: 99999999999\r\n\r\n")
    assert b" 400 " in raw(door, head_of + b"Transfer-Encoding: chunked\r\n\r\n")
    assert b" 400 " in raw(door, head_of + b"\r\n")
    assert b" 501 " in raw(door, b"GET /add-checkpoint HTTP/1.1\r\nHost: w\r\n\r\n")
    assert b" 400 " in raw(door, b"\x16\x03\x01 garbage\r\n\r\n")
    monkeypatch.setattr(witness_door, "REQUEST_SECONDS", 0.2)
    assert raw(door, b"") == b""
    assert raw(door, head_of + b"Content-Length: 100\r\n\r\nold") == b""
    assert posted(door, request(0, leaves(5)))[0] == 200


def test_too_many_conversations_are_turned_away(door: WitnessDoor, monkeypatch: pytest.MonkeyPatch):
    """Beyond the limit a connection is closed at once; when one ends the next is answered."""
    monkeypatch.setattr(witness_door, "MAX_CONNECTIONS", 1)
    with socket.create_connection(("127.0.0.1", door.server_address[1]), timeout=20) as first:
        first.sendall(b"POST ")
        with socket.create_connection(("127.0.0.1", door.server_address[1]), timeout=20) as second:
            assert second.recv(1) == b""


def test_a_witness_killed_after_it_wrote_and_before_it_answered(tmp_path: Path):
    """Its record is ahead of what its client knows: 409 names the size, and from there it goes on."""
    process = WitnessProcess(tmp_path, "w")
    process.admit(LOG.verifier.vkey)
    for _ in range(2):  # the record as it is when the answer is lost: written, and nobody told
        witness = build(process.directory, lambda: datetime.now(UTC), print)
        size = witness.latest(ORIGIN).size
        assert witness.add_checkpoint(request(size, leaves(size + 5))).status == 200
        witness.close()
        process.start()
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=20)
        connection.request("POST", "/add-checkpoint", request(size, leaves(size + 7)))
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (409, b"%d\n" % (size + 5))
        connection.request("POST", "/add-checkpoint", request(size + 5, leaves(size + 7)))
        assert connection.getresponse().status == 200
        connection.close()
        process.kill()
        assert process.latest(ORIGIN) == head(leaves(size + 7))
    process.start()
    process.signal(signal.SIGTERM)
    assert process.stop() == 0
    assert process.said() == ""
