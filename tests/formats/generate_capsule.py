"""EDK2's own GenerateCapsule, which makes capsules, takes them apart and has openssl verify what is in them.

It comes from PyPI (``edk2-basetools``, BSD-2-Clause-Patent), once, and without what it would have installed beside it,
which this part of it does not need. A variable can say where the unpacked wheel is.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import pytest

WHEEL = "edk2-basetools==0.1.53"
SHA256 = "a3215349e4f059e2c2df848d2a16e95d86af6d15137030123fcacb4b9cbe2419"
VARIABLE = "PRIVYSEAL_EDK2"


@lru_cache
def unpacked() -> Path:
    """Return the folder with EDK2's package in it; skip the test by name where PyPI has not brought it."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "privyseal-tests"
    folder = cache / WHEEL
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with suppress(subprocess.TimeoutExpired):
            python = Path(sys.base_prefix) / "bin" / "python3"  # our environment may have no pip
            pip = [python, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", cache, WHEEL]
            subprocess.run(pip, capture_output=True, timeout=60, check=False)
        for wheel in cache.glob("edk2_basetools-*.whl"):
            if hashlib.sha256(wheel.read_bytes()).hexdigest() == SHA256:
                with zipfile.ZipFile(wheel) as packed:
                    packed.extractall(folder.with_suffix(".new"))
                folder.with_suffix(".new").rename(folder)
            wheel.unlink()
    if not folder.exists():
        pytest.skip(
            f"EDK2's GenerateCapsule is not on this machine and pip has not brought it; {VARIABLE} can say where"
        )
    return folder


def run(*arguments: object) -> str:
    """Run it; return what it says, which holds the word error where something is wrong."""
    code = "import runpy; runpy.run_module('edk2basetools.Capsule.GenerateCapsule', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(unpacked()), "PATH": os.defpath},
    )
    return done.stdout + done.stderr + ("" if done.returncode == 0 else f"error: exit {done.returncode}")
