"""How a guarded process ends when its disk does, and what it says when it cannot begin."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.strongroom.logroom import VERIFIER
from tests.strongroom.processes import wait_until
from tests.strongroom.signroom import START

from privyseal.errors import KeyStoreUnavailable
from privyseal.strongroom.client import SignerClient, SocketAsk
from privyseal.strongroom.founding import create_signer

LOSING = """
import sys
from privyseal.errors import KeyStoreUnavailable
from privyseal.strongroom import rooms, run
from privyseal.strongroom.messages import SignerState

class Room:
    lost = False
    asked = 0

    def handle(self, question):
        self.asked += 1
        if self.asked == 1:  # the look at the start
            return SignerState(0, 0, True)
        self.lost = True
        raise KeyStoreUnavailable("the disk failed")

    def close(self):
        print("closed", flush=True)

rooms.ROOMS["signer"] = lambda config, clock, note: rooms.Built(Room(), ())
sys.exit(run.main(sys.argv[1:]))
"""


LEARNING = """
import sys
from privyseal.strongroom import run
from privyseal.terms import learnt

known = set()

def learn_types():
    known.update(kind.__name__ for kind in learnt._below(learnt.msgspec.Struct))
    return learnt.learn_types()

run.learn_types = learn_types
run._look = lambda which, built: print({"AppxFacts", "SigningRequest"} <= known, flush=True) or sys.exit(0)
sys.exit(run.main(sys.argv[1:]))
"""


@pytest.fixture
def room(tmp_path: Path) -> Path:
    create_signer(tmp_path / "signer", tmp_path / "signer.mark", "a+b+c", [], lambda: START, rehearsal=True)
    return tmp_path


def test_a_process_that_lost_a_file_ends_so_that_the_next_one_reads_it(room: Path):
    """Who asked is told, then the process closes its room and exits with 8; its supervisor starts the next."""
    command = [sys.executable, "-c", LOSING, "signer", "--config", str(room / "signer/signer.toml")]
    with subprocess.Popen([*command, "--socket", str(room / "s")], stdout=-1, stderr=-1, text=True) as process:
        wait_until(lambda: (room / "s").exists())
        ask = SocketAsk(room / "s", 10)
        with pytest.raises(KeyStoreUnavailable, match="the disk failed"):
            SignerClient(ask).health()
        said, noted = process.communicate(timeout=20)
        ask.close()
    assert (process.returncode, said) == (8, "closed\n")
    assert "lost to a failing disk" in noted


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda room: None, 2, "log's verifier key is not one"),
        (lambda room: (room / "signer/keys/store.json").write_bytes(b"{}"), 8, "is damaged"),
        (lambda room: (room / "signer/keys").chmod(0o755), 2, "Others than its owner can enter"),
        (lambda room: (room / "signer/journal.sqlite3").write_bytes(b"junk" * 5000), 8, "could not be used"),
    ],
    ids=["log key", "damaged store", "open store", "damaged journal"],
)
def test_a_process_that_cannot_begin_says_why_in_one_line(room: Path, spoil: object, code: int, words: str):
    """The exit code tells whose turn it is, the one line what to do; no traceback, no passphrase."""
    passphrase = (room / "signer/signer.toml").read_text().split('passphrase = "')[1].split('"')[0]
    spoil(room)  # type: ignore[operator]
    command = [sys.executable, "-m", "privyseal.strongroom.run", "signer", "--config", str(room / "signer/signer.toml")]
    outcome = subprocess.run([*command, "--socket", str(room / "s")], capture_output=True, text=True, check=False)
    assert outcome.returncode == code, outcome.stderr
    assert words in outcome.stderr and outcome.stderr.count("\n") == 1 and outcome.stdout == ""
    assert passphrase not in outcome.stderr
    assert not (room / "s").exists()


def test_a_signer_has_learnt_what_it_decodes_before_anybody_asks(room: Path):
    """Formats come with the room; decoded for the first time by two threads at once they would end the process."""
    settings = room / "signer/signer.toml"
    settings.write_text(settings.read_text().replace("a+b+c", VERIFIER.vkey))
    command = [sys.executable, "-c", LEARNING, "signer", "--config", str(settings), "--socket", str(room / "s")]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stdout) == (0, "True\n"), outcome.stderr


def test_a_socket_in_a_place_that_is_not_there_is_told_in_words(room: Path):
    """The last thing that can go wrong before the process is ready is told like the others."""
    settings = room / "signer/signer.toml"
    settings.write_text(settings.read_text().replace("a+b+c", VERIFIER.vkey))
    command = [sys.executable, "-m", "privyseal.strongroom.run", "signer", "--config", str(settings)]
    outcome = subprocess.run([*command, "--socket", str(room / "no/s")], capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stderr.count("\n")) == (2, 1), outcome.stderr
    assert "cannot be opened" in outcome.stderr
