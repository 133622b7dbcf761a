"""Children that read files: what they find, what they refuse, and what happens when a file or somebody kills them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from privyseal.errors import BadInput, MalformedCode, Unavailable
from privyseal.signing import workshop
from privyseal.signing.workshop import Describe, Finish, Workshop
from privyseal.terms.signatures import Options


@pytest.fixture
def bench() -> Iterator[Workshop]:
    made = Workshop(1)
    yield made
    made.close()


def _job(path: Path) -> Describe:
    return Describe(
        path=str(path), filename="setup.exe", chain=(), scheme="ecdsa-p256", options=Options(), digest="sha256"
    )


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "U-a"
    path.write_bytes((resources.files("distlib") / "t64.exe").read_bytes())
    return path


def _children(bench: Workshop) -> list[int]:
    return [child.pid for child in bench._idle]


def test_one_child_describes_file_after_file(bench: Workshop, program: Path) -> None:
    """The name is the one given, not the spool's; the same child does the next job."""
    first = bench.describe(_job(program), 1).described
    children = _children(bench)
    assert first[0].filename == "setup.exe" and first[0].format == "pe"
    assert bench.describe(_job(program), 1).described == first
    assert _children(bench) == children and len(children) == 1


@pytest.mark.parametrize("octets", [b"", b"MZ", b"hello", b"MZ" + b"\xff" * 4096, b"\x7fELF" + bytes(9000)])
def test_a_file_that_cannot_be_signed_is_refused_with_a_sentence(
    bench: Workshop, tmp_path: Path, octets: bytes
) -> None:
    """Whatever it holds, the child says why and lives on."""
    path = tmp_path / "U-a"
    path.write_bytes(octets)
    with pytest.raises(MalformedCode) as refused:
        bench.describe(_job(path), len(octets))
    assert refused.value.detail.endswith(".") and "U-a" not in refused.value.detail
    assert len(_children(bench)) == 1


def test_a_file_that_takes_too_long_is_refused(bench: Workshop, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child that reads it is killed, and the next file gets a new one."""
    monkeypatch.setattr(workshop, "LONGEST_START", 0.0)
    with pytest.raises(MalformedCode, match="too long"):
        bench.describe(_job(program), 0)
    assert _children(bench) == []
    monkeypatch.undo()
    assert bench.describe(_job(program), 1)


def test_a_killed_child_is_replaced(bench: Workshop, program: Path) -> None:
    """Somebody kills it while it waits: the job that met the corpse is refused, to make a file is Unavailable."""
    described = bench.describe(_job(program), 1).described
    bench._idle[0].kill()
    bench._idle[0].wait(30)
    finish = Finish(str(program), str(program) + "2", (), "ecdsa-p256", Options(), described, (b"",))
    with pytest.raises(Unavailable, match="was ended"):
        bench.finish(finish, 1)
    assert bench.describe(_job(program), 1).described == described


def test_a_file_that_was_changed_since_is_not_finished(bench: Workshop, program: Path) -> None:
    """What was approved is what is signed: one octet of difference in the spool is found."""
    described = bench.describe(_job(program), 1).described
    octets = bytearray(program.read_bytes())
    octets[5000] ^= 1
    program.write_bytes(octets)
    finish = Finish(str(program), str(program) + "2", (), "ecdsa-p256", Options(), described, (b"",))
    with pytest.raises(Exception, match="no longer the one"):
        bench.finish(finish, 1)
    assert not Path(str(program) + "2").exists()


def test_a_child_has_no_more_memory_than_it_may(program: Path) -> None:
    """Asking for more than MEMORY fails inside the child, not on the machine."""
    code = (
        "import resource, privyseal.signing.workshop as w, os\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (w.MEMORY, w.MEMORY))\n"
        "try:\n bytearray(w.MEMORY)\nexcept MemoryError:\n print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "refused\n"


def test_children_end_with_their_service(program: Path) -> None:
    """kill -9 of the process that started it: the child ends by itself, for nobody holds its pipe any more."""
    code = (
        "import sys, time\n"
        "from tests.signing.test_workshop import _job\n"
        "from pathlib import Path\n"
        "from privyseal.signing.workshop import Workshop\n"
        "made = Workshop(1)\n"
        "made.describe(_job(Path(sys.argv[1])), 1)\n"
        "print(made._idle[0].pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    root = Path(__file__).resolve().parents[2]
    service = subprocess.Popen([sys.executable, "-c", code, str(program)], stdout=subprocess.PIPE, cwd=root)
    assert service.stdout is not None
    child = Path("/proc") / service.stdout.readline().decode().strip()
    assert child.exists()
    service.kill()
    service.wait(30)
    service.stdout.close()
    until = time.monotonic() + 30
    while child.exists() and " Z " not in (child / "stat").read_text():
        assert time.monotonic() < until, "a child outlived its service"
        time.sleep(0.05)


def test_a_closed_workshop_takes_nothing(bench: Workshop, program: Path) -> None:
    """After close no child is left and no job is taken."""
    bench.describe(_job(program), 1)
    (pid,) = _children(bench)
    bench.close()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(Unavailable, match="stopping"):
        bench.describe(_job(program), 1)


def test_a_job_that_no_child_would_read_is_not_sent(bench: Workshop, program: Path) -> None:
    """A request of more than 16 MiB is refused here."""
    job = Finish(str(program), "x", (), "ecdsa-p256", Options(), (), (bytes(17 << 20),))
    with pytest.raises(BadInput, match="too large"):
        bench.finish(job, 1)
