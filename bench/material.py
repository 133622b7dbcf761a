"""What the benches sign, and with what: made here, so that nothing but this repository and its lock file is needed."""

from __future__ import annotations

import shutil
import subprocess
from importlib import resources
from pathlib import Path

BLOCK = 1 << 20


def launcher(name: str = "t64.exe") -> bytes:
    """Return a real Windows program: one of distlib's launchers."""
    return (resources.files("distlib") / name).read_bytes()


def large_program(path: Path, size: int) -> Path:
    """Write a real program followed by an overlay until it has ``size`` octets, all of them allocated on the disk."""
    if not path.exists() or path.stat().st_size != size:
        block = bytes(i * 131 % 251 for i in range(BLOCK))
        with path.open("wb") as out:
            out.write(launcher())
            while (left := size - out.tell()) > 0:
                out.write(block[:left])
    return path


def many_programs(folder: Path, count: int, size: int = 100_000) -> list[Path]:
    """Write ``count`` different programs of ``size`` octets or a little more into a fresh folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    base = launcher("w64.exe") if len(launcher("w64.exe")) <= size else launcher("t64.exe")
    paths = []
    for number in range(count):
        path = folder / f"program-{number:04}.exe"
        path.write_bytes(base + number.to_bytes(8, "little") * max(1, (size - len(base)) // 8))
        paths.append(path)
    return paths


def key_and_certificate(folder: Path) -> tuple[Path, Path]:
    """Have openssl make an RSA-3072 key and a self-signed code signing certificate for it."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    if not certificate.exists():
        made = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:3072",
            "-nodes",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ]
        made += ["-days", "30", "-subj", "/CN=bench", "-addext", "extendedKeyUsage=codeSigning"]
        subprocess.run(made, check=True, capture_output=True)
        key.chmod(0o600)
    return key, certificate
