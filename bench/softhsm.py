"""The whole service with its key in a token, against the token's module driven from C on all cores.

The module is SoftHSM's, which makes signatures with the OpenSSL of this machine: so what is measured is what our way to
a token costs, in processor time, whatever a real token would take. Both use the same key in the same token, in turn.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from bench.harness import Row, against
from bench.running import Load, Running, running
from privyseal.keystore.pkcs11 import Pkcs11, Pkcs11Section
from privyseal.strongroom.children import TokenChild
from privyseal.strongroom.nursery import Nursery
from privyseal.terms.signatures import SCHEMES

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
TOKEN, PIN, KEY = "bench", "bench-739152", "demo/release"
KEYS = 1000
"""Keys in the token that is listed."""
SECONDS = 6.0
"""How long one round sends requests."""
_SOURCE = Path(__file__).with_suffix(".c")


def throughput(folder: Path, rounds: int) -> list[Row]:
    """Load a rehearsal service whose RSA-3072 key is in SoftHSM."""
    here = folder / "softhsm"
    environment = _token(here)
    driver = here / "driver"
    subprocess.run(["cc", "-O2", "-o", driver, _SOURCE, "-ldl"], check=True)
    words: list[str | Path] = [driver, MODULE, TOKEN, PIN, KEY, "2", str(os.cpu_count() or 1)]

    def bare() -> float:
        said = subprocess.run(words, check=True, capture_output=True, text=True, env=os.environ | environment).stdout
        return float(said)

    options: list[str | Path] = ["--pkcs11-module", MODULE, "--token", TOKEN, "--pin-file", here / "pin"]
    options += ["--module-env", f"SOFTHSM2_CONF={here / 'softhsm2.conf'}"]
    options += ["--module-reads", here / "softhsm2.conf", "--module-writes", here / "tokens"]
    loads: list[Load] = []
    with running(folder / "service-softhsm", "rsa-3072", options) as service:
        service.load(seconds=1)
        service.watch("worker", _worker(service))

        def signatures() -> float:
            loads.append(service.load(seconds=SECONDS))
            return loads[-1].rate

        subject, limit, ratio, each = against(bare, signatures, max(1, rounds - 2))
    notes = f"{loads[-1].spent()}; p99 {loads[-1].p99_ms:.0f} ms"
    work = "HTTP, SoftHSM RSA-3072 / the module from C"
    return [Row(work, subject, limit, ratio, "/s", "0.55 (0.75)", notes=notes, rounds=each)]


def listing(folder: Path, rounds: int) -> list[Row]:
    """List a thousand keys in a token as ``privyseal doctor`` does, against ``pkcs11-tool --list-objects``."""
    here = folder / "listing"
    environment = _token(here)
    section = Pkcs11Section(
        module=MODULE,
        token=TOKEN,
        pin=PIN,
        sessions=1,
        environment=environment,
        readable=(str(here / "softhsm2.conf"),),
        writable=(str(here / "tokens"),),
    )
    nursery = Nursery([("pkcs11", section)], here / "pins")
    keys = Pkcs11([TokenChild(nursery, 0, 1)], nursery.close)
    command = ["pkcs11-tool", "--module", MODULE, "--token-label", TOKEN, "--login", "--pin", PIN, "--list-objects"]
    command += ["--type", "privkey"]
    try:
        uris = [keys.generate(f"demo/k{number}", SCHEMES["ecdsa-p256"]) for number in range(KEYS)]

        def stranger() -> float:
            began = time.perf_counter()
            subprocess.run(
                [*command, "--type", "privkey"], check=True, capture_output=True, env=os.environ | environment
            )
            return (time.perf_counter() - began) * 1000

        def listed() -> float:
            began = time.perf_counter()
            (found,) = keys.inventory(uris)
            if found.ours != KEYS:
                raise RuntimeError(f"{found.ours} keys were listed")
            return (time.perf_counter() - began) * 1000

        subject, limit, ratio, each = against(stranger, listed, rounds)
    finally:
        keys.close()
    return [
        Row("1,000 keys of a token listed / pkcs11-tool", subject, limit, ratio, "ms", "1000 ms", "lower", rounds=each)
    ]


def _token(here: Path) -> dict[str, str]:
    """Make a token in a folder, and return the environment by which the module finds it."""
    (here / "tokens").mkdir(parents=True)
    (here / "softhsm2.conf").write_text(f"directories.tokendir = {here / 'tokens'}\nlog.level = ERROR\n")
    (here / "pin").touch(mode=0o600)
    (here / "pin").write_text(PIN)
    environment = {"SOFTHSM2_CONF": str(here / "softhsm2.conf")}
    made = ["softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", PIN]
    subprocess.run(made, check=True, capture_output=True, env=os.environ | environment)
    return environment


def _worker(service: Running) -> int:
    """Return the process that holds the module: the child of the nursery, which is the signer's only child."""
    pid = service.pids["signer"]
    for _ in range(2):
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pid = int(child)
    return pid
