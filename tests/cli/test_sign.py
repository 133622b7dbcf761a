"""`privyseal sign` where things go wrong half-way: killed, interrupted, a full disk, hostile files, very many files."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from tests.formats import pe_builder
from tests.rehearsal import PRIVYSEAL, program

from privyseal.formats import catalogue
from privyseal.formats.protocol import Identity
from privyseal.formats.source import FileSource
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.requests import SigningRequest
from privyseal.terms.signatures import Options
from privyseal.tlog import checkpoint
from privyseal.tlog.entry import Completion, Entry, decode
from privyseal.tlog.note import parse_note
from privyseal.tlog.tiles import decode_bundle, entries_path

Shell = tuple[Path, Mapping[str, str]]
KEY_FILE = ["--keyfile", "own.key", "--certs", "own.pem"]


def run(shell: Shell, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    folder, environment = shell
    return subprocess.run(
        [program(), *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def programs(folder: Path, count: int, size: int = 700) -> list[str]:
    """Write programs that differ from each other and from those of every other test."""
    (folder / "many").mkdir()
    for number in range(count):
        code = os.urandom(16) + b"\xc3" * size
        (folder / "many" / f"{number:04}.exe").write_bytes(pe_builder.program(sections=(code,)))
    return sorted(f"many/{name}" for name in os.listdir(folder / "many"))


def digest(program: Path) -> bytes:
    """Return the digest that a signature of a program is over."""
    with FileSource.open(program) as source:
        code_format = catalogue.recognise(source)
        layout = code_format.inspect(source)
        return code_format.prepare(source, layout, Identity((), ""), Options(), "sha256").described[0].digest


def logged(environment: Mapping[str, str], digests: Collection[bytes]) -> tuple[int, int]:
    """Return how many intents to sign one of these the log of the service has, and how many completions of them.

    Other tests sign with the same service, and what they left behind it may finish at this moment; so its records are
    asked which intents are these programs', and the published log for the completions.
    """
    directory = Path(environment["SERVICE_DIRECTORY"])
    records = sqlite3.connect(f"file:{directory / 'records.db'}?mode=ro", uri=True)
    try:
        rows = records.execute("SELECT canonical, intent_index FROM requests WHERE intent_index NOT NULL").fetchall()
    finally:
        records.close()
    asked = [(decode_canonical(canonical, SigningRequest), index) for canonical, index in rows]
    intents = {index for request, index in asked if any(one.digest in digests for one in request.described)}
    completed = [entry.intent for entry in published(directory / "log") if isinstance(entry, Completion)]
    return len(intents), sum(intent in intents for intent in completed)


def published(log: Path) -> list[Entry]:
    """Return every entry of a published log."""
    size = checkpoint.parse(parse_note((log / "checkpoint").read_bytes()).body).size
    entries: list[bytes] = []
    while len(entries) < size:
        width = min(256, size - len(entries))
        entries += decode_bundle((log / entries_path(len(entries) // 256, width)).read_bytes(), width)
    return [decode(each) for each in entries]


def left_over(folder: Path) -> list[str]:
    """Return what should not be there: temporary files of ours."""
    return [name for name in os.listdir(folder) if name.startswith(".")]


def states(document: str) -> list[str]:
    return [file["status"] for file in json.loads(document)["files"]]


def test_what_cannot_be_written_is_not_signed(service_shell: Shell) -> None:
    """Where the outcome has no place, no intent to sign it is in the log, and the sentence names the file."""
    folder, environment = service_shell
    program = [digest(folder / "app.exe")]
    for out, code in (("nowhere/app.exe", 2), ("/proc/app.exe", 2)):
        done = run(service_shell, "sign", "app.exe", "-o", out)
        assert done.returncode == code and "app.exe cannot be written in its folder" in done.stderr
    assert logged(environment, program) == (0, 0)
    assert run(service_shell, "sign", "app.exe", "-o", "signed.exe").returncode == 0
    assert logged(environment, program) == (1, 1)  # or the two zeros above would mean nothing


# -- killed ------------------------------------------------------------------------------------------------------------
def test_killed_half_way_and_run_again_signs_nothing_twice(service_shell: Shell) -> None:
    """SIGKILL while files are signed: no file is half-written or without its receipt, and the second run finishes.

    The log afterwards has one intent and one completion for each file, however often the client died.
    """
    folder, environment = service_shell
    files = programs(folder, 120)
    digests = {digest(folder / name) for name in files}
    for _ in range(2):
        client = subprocess.Popen([PRIVYSEAL, "sign", "-q", *files], cwd=folder, env=environment)
        time.sleep(0.6)
        client.kill()
        client.wait()
        assert left_over(folder / "many") == []
        for name in files:
            if run_inspect(folder / name):
                assert (folder / f"{name}.tlog-proof").exists(), "a signed file without its receipt"
    for _ in range(10):
        done = run(service_shell, "sign", "--json", *files)
        if done.returncode != 8:  # more wait than a busy machine takes in time: the killed clients' files as well
            break
    assert done.returncode == 0, done.stderr
    assert set(states(done.stdout)) <= {"signed", "kept"}
    assert logged(environment, digests) == (len(files), len(files))
    verified = run(service_shell, "verify", "-q", *files)
    assert verified.returncode == 0, verified.stderr
    again = run(service_shell, "sign", "--json", *files)
    assert set(states(again.stdout)) == {"kept"}
    assert logged(environment, digests) == (len(files), len(files))


def run_inspect(path: Path) -> bool:
    """Tell whether a program carries a certificate table, without our code: its data directory is not zero."""
    octets = path.read_bytes()
    optional = int.from_bytes(octets[60:64], "little") + 24
    return octets[optional + 112 + 32 : optional + 112 + 40] != bytes(8)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_with_a_key_file(how: signal.Signals, shell: Shell, slow_tsa: str) -> None:
    """130 for Ctrl-C, 143 for SIGTERM; children are gone with their parent, nothing half-written is left."""
    folder, environment = shell
    files = programs(folder, 400)
    client = subprocess.Popen(
        [PRIVYSEAL, "sign", "-q", *KEY_FILE, "--tsa", slow_tsa, *files],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not any(run_inspect(folder / name) for name in files[:5]):
        assert client.poll() is None, client.communicate()
        time.sleep(0.005)
    os.killpg(client.pid, how) if how is signal.SIGINT else client.send_signal(how)
    _, said = client.communicate(timeout=30)
    assert client.returncode == (130 if how is signal.SIGINT else 143), said
    assert "Traceback" not in said
    assert ("Interrupted; nothing half-written is left" in said) is (how is signal.SIGINT), said
    with pytest.raises(ProcessLookupError):
        os.killpg(client.pid, 0)
    assert left_over(folder / "many") == []
    done = run(shell, "sign", "--json", *KEY_FILE, *files)
    assert done.returncode == 0
    assert set(states(done.stdout)) == {"signed", "kept"}


# -- no room -----------------------------------------------------------------------------------------------------------
def test_a_file_too_large_for_the_disk_stays_as_it_was(shell: Shell) -> None:
    """With a limit on file sizes in place of a full disk: exit 8, the small file done, the large one untouched."""
    folder, environment = shell
    before = (folder / "app.exe").read_bytes()
    line = f"ulimit -f 50; exec {PRIVYSEAL} sign {' '.join(KEY_FILE)} tiny.exe app.exe"
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 9, done.stderr
    assert (
        "✓ tiny.exe: signed" in done.stderr and "✗ app.exe: app.exe could not be written: File too large" in done.stderr
    )
    assert (folder / "app.exe").read_bytes() == before
    assert left_over(folder) == []


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="only root can mount a small disk")
def test_a_full_disk(shell: Shell) -> None:
    """ENOSPC: exit 8, and running again after making room works."""
    folder, _ = shell
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"This sandbox lets nobody mount: {mounted.stderr.decode().strip()}")
    try:
        shutil.copy(folder / "gui.exe", disk / "gui.exe")
        before = (disk / "gui.exe").read_bytes()
        done = run(shell, "sign", *KEY_FILE, "disk/gui.exe")
        assert done.returncode == 8, done.stderr
        assert "could not be written: No space left on device" in done.stderr
        assert (disk / "gui.exe").read_bytes() == before and left_over(disk) == []
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        assert run(shell, "sign", *KEY_FILE, "disk/gui.exe").returncode == 0
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_that_may_not_be_written(shell: Shell) -> None:
    """Reported, never skipped: exit 2. Root may write everywhere, so it gives that capability away first."""
    folder, environment = shell
    shutil.copy(folder / "tiny.exe", folder / "folder" / "x.exe")
    before = (folder / "folder" / "x.exe").read_bytes()
    (folder / "folder").chmod(0o555)
    powerless = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*powerless, PRIVYSEAL, "sign", *KEY_FILE, "folder/x.exe"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "✗ folder/x.exe: x.exe cannot be written in its folder: Permission denied" in done.stderr
    assert (folder / "folder" / "x.exe").read_bytes() == before


@pytest.mark.parametrize(("command", "code"), [("sign", 9), ("verify", 3), ("remove", 9)])
def test_one_file_that_may_not_be_read_stops_no_other(shell: Shell, command: str, code: int) -> None:
    """Each file has an outcome of its own, and this one's is that it cannot be opened."""
    folder, environment = shell
    for name in ("y.exe", "z.exe"):
        shutil.copy(folder / "tiny.exe", folder / name)
    (folder / "y.exe").chmod(0)
    powerless = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*powerless, PRIVYSEAL, command, *(KEY_FILE if command == "sign" else ()), "y.exe", "z.exe"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if "y.exe" in line or "z.exe" in line]
    assert any("y.exe cannot be opened: Permission denied" in line for line in lines), done.stderr
    assert any("z.exe" in line for line in lines), done.stderr
    assert done.returncode == code


# -- hostile and many --------------------------------------------------------------------------------------------------
def test_mutated_programs_never_bring_out_a_bug(shell: Shell) -> None:
    """Seeded mutations of programs, signed and not, through the real commands: done or refused, and never exit 1.

    What `sign` says is done, a stranger does not call broken.
    """
    folder, _ = shell
    draw = random.Random(24112026)
    assert run(shell, "sign", "-q", *KEY_FILE, "gui.exe").returncode == 0
    (folder / "many").mkdir()
    for number in range(120):
        source = draw.choice(["app32.exe", "gui.exe", "tiny.exe"])
        octets = bytearray((folder / source).read_bytes())
        reach = draw.choice([0x200, 0x400, len(octets)])
        for _ in range(draw.randint(1, 5)):
            place = draw.randrange(min(reach, len(octets)))
            octets[place : place + 4] = draw.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", draw.randbytes(4), b""])
        (folder / "many" / f"{number:03}.exe").write_bytes(octets)
    files = sorted(f"many/{name}" for name in os.listdir(folder / "many"))
    done = run(shell, "sign", "--json", "--if-signed", "replace", *KEY_FILE, *files)
    assert done.returncode in (2, 9), done.stderr
    assert "Traceback" not in done.stderr and "bug" not in done.stderr
    reports = json.loads(done.stdout)["files"]
    assert [report["path"] for report in reports] == files
    signed = [report["path"] for report in reports if report["status"] == "signed"]
    assert 10 < len(signed) < 120
    for name in signed:
        judged = subprocess.run(
            ["osslsigncode", "verify", "-CAfile", "own.pem", name],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Signature verification: ok" in judged.stdout and judged.returncode == 0, (name, judged.stdout)
    checked = run(shell, "verify", "--json", "--trust", "own.pem", *files)
    assert checked.returncode == 3 and "Traceback" not in checked.stderr
    verdicts = {file["path"]: file["verdict"] for file in json.loads(checked.stdout)["files"]}
    assert all(verdicts[name] == "valid" for name in signed)


def test_many_files_are_told_of_in_their_order(shell: Shell) -> None:
    """Three hundred files through child processes: every one once, in the order named, and a sum at the end."""
    files = programs(shell[0], 300)
    random.Random(1).shuffle(files)
    done = run(shell, "sign", *KEY_FILE, *files)
    assert done.returncode == 0, done.stderr
    told = [line.split()[1].rstrip(":") for line in done.stderr.splitlines() if line.startswith("✓")]
    assert told == files
    assert "300 files in " in done.stderr and done.stderr.rstrip().endswith("300 signed")
    assert run(shell, "verify", "-q", "--trust", "own.pem", *files).returncode == 0


def test_a_long_run_shows_lines_where_there_is_no_terminal(shell: Shell) -> None:
    """No bar, no colour, no carriage return in a build's log."""
    done = run(shell, "sign", *KEY_FILE, "app.exe", "gui.exe")
    assert "\r" not in done.stderr and "\x1b" not in done.stderr
