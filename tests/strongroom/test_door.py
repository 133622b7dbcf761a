"""The door lets in whom it should, answers each for itself, tells no secrets, and closes without cutting anyone off."""

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.strongroom.processes import wait_until

from privyseal.errors import (
    BadInput,
    Conflict,
    KeyStoreUnavailable,
    LogRolledBack,
    LogUnavailable,
    Misused,
    NotCompliant,
    NotPermitted,
    PrivySealError,
    TimestampUnavailable,
    TooLarge,
    Unavailable,
)
from privyseal.strongroom import door as door_module
from privyseal.strongroom import frames as frames_module
from privyseal.strongroom.client import LoggerClient, SignerClient, SocketAsk, StamperClient
from privyseal.strongroom.door import Door
from privyseal.strongroom.frames import MAX_ADDRESS_OCTETS, Frames
from privyseal.strongroom.messages import (
    Answer,
    LogHealth,
    LogState,
    Question,
    Refused,
    SignerHealth,
    SignerState,
    Stamp,
    Stamped,
    decode_answer,
    encode,
)

SECRET = "canary-of-a-passphrase"


class Behind:
    """Stands behind the door and does what each test needs."""

    def __init__(self) -> None:
        self.asked = 0
        self.release = threading.Event()
        self.entered = threading.Event()

    def handle(self, question: Question) -> Answer:
        self.asked += 1
        match question:
            case LogHealth():
                return LogState(self.asked, "origin", "vkey")
            case Stamp(_, digests) if digests == (b"slow",):
                self.entered.set()
                self.release.wait(20)
                return Stamped((b"done",))
            case Stamp(_, digests) if digests == (b"bug",):
                raise ValueError(f"cannot open with {SECRET}")
            case Stamp(_, digests) if digests == (b"huge",):
                return Stamped((bytes(frames_module.MAX_FRAME_OCTETS),))
            case Stamp(_, digests) if digests == (b"refuse",):
                raise NotCompliant("Clause such and such.", hint="do this")
            case Stamp(_, digests):
                return Stamped(digests)
            case _:
                raise BadInput("not this one")


class Opened:
    """A door that is being served by a thread."""

    def __init__(self, path: Path, **more: object) -> None:
        self.path = path
        self.behind = Behind()
        self.notes: list[str] = []
        self.door = Door(path, self.behind.handle, note=self.notes.append, **more)
        self.door.open()
        self.thread = threading.Thread(target=self.door.serve, daemon=True)
        self.thread.start()

    def close(self) -> bool:
        self.door.stop()
        self.thread.join(10)
        drained = self.door.drain(10)
        self.door.dispose()
        return drained


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(tmp_path / "s")
    yield opened
    opened.behind.release.set()
    if opened.thread.is_alive():
        assert opened.close()


@pytest.fixture
def ask(opened: Opened) -> Iterator[SocketAsk]:
    ask = SocketAsk(opened.path, 10)
    yield ask
    ask.close()


def raw(opened: Opened) -> Frames:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(opened.path))
    return Frames(connection)


def test_many_threads_share_one_asker(ask: SocketAsk):
    """Each of 32 threads gets the answers to its own questions, however they interleave."""
    client = StamperClient(ask)
    wrong: list[bytes] = []

    def converse(name: int) -> None:
        for n in range(50):
            digest = b"%d/%d" % (name, n) * (n * 500)
            if client.stamp("sha256", [digest]) != (digest,):
                wrong.append(digest)

    threads = [threading.Thread(target=converse, args=(name,)) for name in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_refusal_comes_back_as_the_same_error(ask: SocketAsk):
    """Class, sentence and hint survive the socket."""
    with pytest.raises(NotCompliant) as refusal:
        StamperClient(ask).stamp("sha256", [b"refuse"])
    assert (refusal.value.detail, refusal.value.hint) == ("Clause such and such.", "do this")


def test_a_bug_tells_its_kind_and_nothing_it_carried(opened: Opened, ask: SocketAsk):
    """Neither the answer nor the note repeats an exception's text, which may hold a secret; the next question works."""
    with pytest.raises(PrivySealError) as answered:
        ask(Stamp("sha256", (b"bug",)))
    assert answered.value.code == "internal"
    assert "ValueError" in answered.value.detail
    assert SECRET not in str(answered.value)
    assert opened.notes and "ValueError" in opened.notes[0] and "test_door.py" in opened.notes[0]
    assert SECRET not in "".join(opened.notes)
    assert StamperClient(ask).stamp("sha256", [b"x"]) == (b"x",)


@pytest.mark.parametrize("message", [b"", b"\xc1", b"\x81\xa2is\xa4sign", b"\x90" * 2000, encode(Refused("a", "b"))])
def test_a_message_that_is_no_question_is_refused_and_the_next_one_answered(opened: Opened, message: bytes):
    """Malformed MessagePack, unknown kinds and answers where questions belong cost nobody the connection."""
    frames = raw(opened)
    frames.send(message)
    answer = decode_answer(frames.receive() or b"")
    assert isinstance(answer, Refused) and answer.code == "bad-input"
    frames.send(encode(LogHealth()))
    assert isinstance(decode_answer(frames.receive() or b""), LogState)
    frames.close()
    assert opened.notes == []


def test_a_frame_over_the_limit_is_refused_unread(opened: Opened, ask: SocketAsk):
    """The announced length alone decides; the conversation ends, because where the next frame begins is not known."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(opened.path))
    connection.sendall((frames_module.MAX_FRAME_OCTETS + 1).to_bytes(4, "big"))
    frames = Frames(connection)
    answer = decode_answer(frames.receive() or b"")
    assert isinstance(answer, Refused) and answer.code == "too-large"
    assert frames.receive() is None
    frames.close()
    with pytest.raises(TooLarge):
        StamperClient(ask).stamp("sha256", [bytes(frames_module.MAX_FRAME_OCTETS)])
    with pytest.raises(TooLarge):
        StamperClient(ask).stamp("sha256", [b"huge"])
    assert StamperClient(ask).stamp("sha256", [b"x"]) == (b"x",)


def test_a_caller_who_leaves_in_the_middle_disturbs_nobody(opened: Opened, ask: SocketAsk):
    """Half a length, half a frame, a question whose answer nobody fetches: the others are answered."""
    for octets in (b"\0\0", b"\0\0\0\x09abc", b"\0\0\0\x05\x81\xa2is\xa0"):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(opened.path))
        connection.sendall(octets)
        connection.close()
    assert StamperClient(ask).stamp("sha256", [b"x"]) == (b"x",)
    assert opened.notes == []


def test_more_than_it_can_talk_to_are_told_to_come_again(opened: Opened, ask: SocketAsk):
    """The number of conversations is limited; who is over it is told, and comes in when another has left."""
    crowd = [raw(opened) for _ in range(door_module.MAX_CONNECTIONS)]
    wait_until(lambda: len(opened.door._conversations) == door_module.MAX_CONNECTIONS)
    with pytest.raises(Unavailable, match="connections already"):
        ask(LogHealth())
    crowd.pop().close()
    wait_until(lambda: len(opened.door._conversations) < door_module.MAX_CONNECTIONS)
    assert isinstance(ask(LogHealth()), LogState)
    for frames in crowd:
        frames.close()


def test_only_admitted_users_come_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A process of another user is told so and turned away; an admitted one is answered."""
    stranger = os.geteuid() + 1
    opened = Opened(tmp_path / "s")
    monkeypatch.setattr(door_module, "_uid_of_peer", lambda connection: stranger)
    ask = SocketAsk(opened.path, 10)
    with pytest.raises(NotPermitted, match=f"uid {stranger}"):
        ask(LogHealth())
    for _ in range(200):  # whether the refusal or the question is there first
        with pytest.raises(NotPermitted):
            ask(LogHealth())
    assert opened.behind.asked == 0
    ask.close()
    assert opened.close()
    admitting = Opened(tmp_path / "t", admitted=[stranger])
    ask = SocketAsk(admitting.path, 10)
    assert isinstance(ask(LogHealth()), LogState)
    ask.close()
    assert admitting.close()


def test_the_peer_s_uid_is_the_kernel_s_word():
    """SO_PEERCRED of a real pair of sockets is our own user."""
    left, right = socket.socketpair(socket.AF_UNIX)
    assert door_module._uid_of_peer(left) == os.geteuid()
    left.close()
    right.close()


def test_the_socket_is_its_owner_s_only(opened: Opened):
    """Its mode is 0600, whatever the umask, unless others are admitted."""
    assert stat.S_IMODE(opened.path.stat().st_mode) == 0o600


def test_a_path_that_the_kernel_cannot_hold_is_refused_in_words(tmp_path: Path):
    """Both sides say how long it is and how long it may be."""
    deep = tmp_path / ("d" * (MAX_ADDRESS_OCTETS + 1 - len(str(tmp_path)) - 1))
    assert len(str(deep)) == MAX_ADDRESS_OCTETS + 1
    with pytest.raises(Misused, match=f"108 octets; Linux allows {MAX_ADDRESS_OCTETS}"):
        Door(deep, Behind().handle).open()
    with pytest.raises(Misused, match="108 octets"):
        SocketAsk(deep)(LogHealth())
    fits = Opened(deep.with_name(deep.name[:-1]))
    assert fits.close()


def test_a_socket_left_by_a_killed_process_is_replaced_and_a_living_one_is_not(tmp_path: Path):
    """A stale file does not hinder the next start; a second process at the same path is refused."""
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "s"))
    dead.close()
    opened = Opened(tmp_path / "s")
    with pytest.raises(Conflict):
        Door(tmp_path / "s", Behind().handle).open()
    assert opened.close()


def test_a_disk_that_takes_no_write_keeps_no_door_open(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    """Closing writes nothing, so that a process which can write nothing any more can still be ended."""

    def fails(descriptor: int, octets: bytes) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "write", fails)
    opened.door.stop()
    opened.door.stop()
    opened.thread.join(10)
    assert not opened.thread.is_alive()


def test_closing_waits_for_the_answer_that_is_due(opened: Opened, ask: SocketAsk):
    """What was asked before is answered; whoever comes later finds nobody; idle conversations end."""
    idle = raw(opened)
    answers: list[tuple[bytes, ...]] = []
    slow = threading.Thread(target=lambda: answers.append(StamperClient(ask).stamp("sha256", [b"slow"])))
    slow.start()
    assert opened.behind.entered.wait(10)
    opened.door.stop()
    opened.thread.join(10)
    assert not opened.path.exists()
    with pytest.raises(LogUnavailable, match="cannot be reached"):
        LoggerClient(SocketAsk(opened.path)).health()
    assert not opened.door.drain(0.2)
    opened.behind.release.set()
    assert opened.door.drain(10)
    slow.join(10)
    assert answers == [(b"done",)]
    assert idle.receive() is None
    idle.close()
    opened.door.dispose()


def test_a_restarted_process_is_found_again_by_kept_connections(tmp_path: Path):
    """An asker with idle connections to a process that was restarted asks the new one, and nobody notices."""
    first = Opened(tmp_path / "s")
    ask = SocketAsk(tmp_path / "s", 10)
    assert isinstance(ask(LogHealth()), LogState)
    assert first.close()
    second = Opened(tmp_path / "s")
    assert isinstance(ask(LogHealth()), LogState)
    assert second.behind.asked == 1
    ask.close()
    assert second.close()


def serving(path: Path, *conversations: object) -> threading.Thread:
    """Accept connections one after the other and do to each what the test says."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        for converse in conversations:
            connection, _ = listener.accept()
            converse(connection)
            connection.close()
        listener.close()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_a_question_that_nobody_read_is_asked_again(tmp_path: Path):
    """A process that closed without reading has not acted: the same question goes to the next connection."""

    def answer(connection: socket.socket) -> None:
        frames = Frames(connection)
        frames.receive()
        frames.send(encode(SignerState(7, 1, True)))

    thread = serving(tmp_path / "s", lambda connection: time.sleep(0.2), answer)
    ask = SocketAsk(tmp_path / "s", 10)
    assert SignerClient(ask).health().mark == 7
    ask.close()
    thread.join()


def test_a_question_whose_answer_was_lost_is_not_asked_again(tmp_path: Path):
    """A process that read the question and died may have acted: the caller is told, and decides."""
    read: list[bytes | None] = []
    thread = serving(tmp_path / "s", lambda connection: read.append(Frames(connection).receive()))
    with pytest.raises(KeyStoreUnavailable, match="not known"):
        SignerClient(SocketAsk(tmp_path / "s", 10)).health()
    thread.join()
    assert read == [encode(SignerHealth())]


def test_a_process_that_does_not_answer_in_time_is_unavailable(opened: Opened):
    """The caller is not kept for ever."""
    with pytest.raises(TimestampUnavailable, match="in time"):
        StamperClient(SocketAsk(opened.path, 0.2)).stamp("sha256", [b"slow"])


def test_an_answer_of_another_kind_is_no_answer(ask: SocketAsk):
    """A client takes only the answer that belongs to its question, and keeps the leaf that the process chose."""
    with pytest.raises(Unavailable, match="LogState"):
        SignerClient(lambda question: LogState(1, "a", "b")).health()

    def rolled_back(question: Question) -> Answer:
        raise LogRolledBack("older")

    with pytest.raises(LogRolledBack):
        LoggerClient(rolled_back).health()
