"""Go's own verifier of transparency logs, built from ``sumdb/main.go`` with what Debian ships and without network."""

from __future__ import annotations

import fcntl
import functools
import glob
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent / "sumdb" / "main.go"
GOPATH = "/usr/share/gocode"
"""Where Debian's golang-golang-x-mod-dev puts golang.org/x/mod."""
_PLACES = ("/usr/local/go/bin/go", "/usr/lib/go*/bin/go")


def verify_with_go(log_dir: Path, vkey: str, proofs_dir: Path | None = None) -> str:
    """Verify the log below ``log_dir`` and return the verifier's one line; AssertionError with its words if it refuses.

    Checked are the signature of ``checkpoint``, every tile and every entry; of ``proofs_dir``, where given, every
    ``*.checkpoint`` (signed, and consistent with the log) and every line of ``*.proofs`` (see ``sumdb/main.go``).
    """
    command = [str(_built()), str(log_dir), vkey, *([] if proofs_dir is None else [str(proofs_dir)])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"Go's sumdb packages refuse the log: {done.stderr.strip()}"
    return done.stdout.strip()


def cosigned_with_go(checkpoint: Path, log: str, witness: str) -> str:
    """Verify a checkpoint's signature and one witness's cosignature, by verifier keys; AssertionError if Go refuses."""
    command = [str(_built()), "cosigned", str(checkpoint), log, witness]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"Go refuses the cosignature: {done.stderr.strip()}"
    return done.stdout.strip()


@functools.cache
def _built() -> Path:
    """Build the verifier, once for each version of its source, whichever of several test processes comes first."""
    version = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    directory = Path(tempfile.gettempdir()) / f"privyseal-sumdb-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    assert status.st_uid == os.getuid(), f"{directory} belongs to somebody else"
    assert status.st_mode & 0o777 == 0o700, f"{directory} is open to others"
    program = directory / f"sumdb-{version}"
    # Go compiles its own library first, for twenty seconds of a processor: one process of tests waits for the other.
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _build(directory, program)
    return program


def _build(directory: Path, program: Path) -> None:
    built = directory / f"{program.name}.{os.getpid()}"
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(directory),
        "GOCACHE": str(directory / "cache"),
        "GOPATH": GOPATH,
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    command = [_go(), "build", "-o", str(built), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env=environment)
    assert done.returncode == 0, f"The verifier could not be built: {done.stderr.strip()}"
    built.replace(program)


def _go() -> str:
    found = shutil.which("go") or next((place for each in _PLACES for place in sorted(glob.glob(each))), None)
    wanted = Path(GOPATH) / "src/golang.org/x/mod/sumdb/note"
    assert found and wanted.is_dir(), (
        "Go or golang.org/x/mod is missing; `./seal test` as root installs golang-go and golang-golang-x-mod-dev."
    )
    return found
