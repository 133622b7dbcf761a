"""A command that only talks to a service, or only reads files, starts without the service that is in the package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.formats.pe_builder import program
from tests.pki import mint

from privyseal.cli.inside_looking import MAY_HOLD
from privyseal.cli.main import COMMANDS
from privyseal.formats import catalogue, inside

AT_THE_MACHINE = {"demo", "doctor", "init", "invite", "migrate", "report", "serve", "tsa", "what-if", "witness"}
"""Commands that run a service or open its records."""

LIGHT = sorted({place.partition(":")[0] for name, (place, _) in COMMANDS.items() if name not in AT_THE_MACHINE})

HEAVY = ("litestar", "sqlalchemy", "alembic", "uvicorn", "privyseal.config", "privyseal.web.desk", "privyseal.records")

LOOK = """
import importlib, json, sys
heavy, brought = json.loads(sys.argv[2]), {}
for module in json.loads(sys.argv[1]):
    importlib.import_module(module)
    for name in heavy:
        if name in sys.modules:
            brought.setdefault(name, module)
print(json.dumps(brought))
"""


def test_no_command_that_talks_to_a_service_loads_one() -> None:
    looked = [sys.executable, "-c", LOOK, json.dumps(LIGHT), json.dumps(HEAVY)]
    found = subprocess.run(looked, check=True, capture_output=True, text=True, timeout=120).stdout
    assert json.loads(found) == {}, "by the first module that loads it"


def test_a_service_starts_without_the_linters() -> None:
    """They take a quarter of a second, and only who reads a certificate needs them."""
    looked = [sys.executable, "-c", LOOK, '["privyseal.cli.serve", "privyseal.web.app"]', '["pkilint", "badkeys"]']
    assert json.loads(subprocess.run(looked, check=True, capture_output=True, text=True, timeout=120).stdout) == {}


STARTING = """
import sys
from types import SimpleNamespace
from privyseal.cli import serve
from privyseal.web import app
app.build(SimpleNamespace())
print(*sys.modules)
"""


def test_a_service_starts_without_what_its_settings_do_not_name() -> None:
    """A restart after a crash is waited for: no driver of the other database, no model of others'
    packages, no encrypted tokens."""
    ran = subprocess.run([sys.executable, "-c", STARTING], check=True, capture_output=True, text=True, timeout=120)
    unwanted = {
        "sqlalchemy.dialects.postgresql",
        "psycopg",
        "pydantic",
        "joserfc.jwe",
    }
    assert sorted(unwanted & set(ran.stdout.split())) == []


def test_a_room_starts_without_what_calls_clouds() -> None:
    """Its settings know every cloud; HTTP and TLS are for the worker that calls one, and for who asks a witness."""
    ran = subprocess.run(
        [sys.executable, "-c", "import sys, privyseal.strongroom.run; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert sorted({"http.client", "ssl", "email", "asyncio", "pydantic"} & set(ran.stdout.split())) == []


def test_what_is_exempt_is_a_command() -> None:
    assert set(COMMANDS) >= AT_THE_MACHINE
    assert "privyseal.cli.key" in LIGHT


SIGNING = """
import sys
from privyseal.cli.main import run
code = run(sys.argv[1:])
print(code, *sys.modules)
"""
NOT_FOR_ONE_FILE = (
    "cryptography.x509",
    "cryptography.hazmat.primitives.serialization",
    "concurrent.futures",
    "urllib.request",
    "http.client",
    "pathlib",
    "ssl",
    "logging",
    "privyseal.verify",
    "privyseal.tlog",
    "privyseal.timestamp.token",
    "privyseal.cli.forked",
    "privyseal.formats.msi",
    "privyseal.formats.appx",
    "privyseal.formats.inside",
)


def loaded_for(folder: Path, files: dict[str, bytes]) -> set[str]:
    """Sign files in a program of their own, and return the modules that it had at its end."""
    own = mint.certify("Own", mint.key("rsa-3072", 95), purposes=(mint.CODE_SIGNING,))
    (folder / "key.pem").write_bytes(own.key_pem)
    (folder / "key.pem").chmod(0o600)
    (folder / "certs.pem").write_bytes(own.pem)
    for name, octets in files.items():
        (folder / name).write_bytes(octets)
    how = ["sign", "--keyfile", folder / "key.pem", "--certs", folder / "certs.pem", *(folder / name for name in files)]
    ran = subprocess.run([sys.executable, "-c", SIGNING, *how], check=True, capture_output=True, text=True, timeout=120)
    code, *loaded = ran.stdout.split()
    assert code == "0"
    return set(loaded)


def test_one_file_is_signed_with_what_that_takes(tmp_path: Path) -> None:
    """A build starts the program once a file, and to import what a file does not need took longer than to sign it."""
    loaded = loaded_for(tmp_path, {"a.exe": program()})
    assert "privyseal.formats.pe" in loaded
    assert sorted(set(NOT_FOR_ONE_FILE) & loaded) == []


def test_several_files_are_signed_with_what_they_take(tmp_path: Path) -> None:
    """Their formats are there before the children are, and no others: to import all of them takes one core 60 ms."""
    loaded = loaded_for(tmp_path, {"a.exe": program(), "b.exe": program(overlay=b"b"), "c.ps1": b"Write-Host 1\r\n"})
    assert loaded >= {"privyseal.formats.pe", "privyseal.formats.powershell", "privyseal.cli.forked"}
    assert sorted((set(NOT_FOR_ONE_FILE) - {"privyseal.cli.forked"}) & loaded) == []


BEGUN = """
import atexit, sys
def end():
    print("loaded", *sys.modules)
    import typing_extensions
    print("can be")
atexit.register(end)
from privyseal.__main__ import privyseal
privyseal()
"""


def test_msgspec_takes_what_it_needs_from_python() -> None:
    """``typing_extensions`` is there for others, who may import it later; ours takes 8 ms less without."""
    ran = subprocess.run(
        [sys.executable, "-c", BEGUN, "--version"], check=True, capture_output=True, text=True, timeout=60
    )
    _, loaded, after = ran.stdout.splitlines()
    assert "msgspec" in loaded.split()
    assert "typing_extensions" not in loaded.split()
    assert after == "can be"


ENDING = """
import atexit, os, sys, threading, time
from privyseal.cli.lifetime import leave
atexit.register(print, "registered")
print("written")
if sys.argv[1] == "thread":
    threading.Thread(target=lambda: (time.sleep(0.3), os.write(1, b"thread\\n"))).start()
leave(7)
"""


@pytest.mark.parametrize(("how", "said"), [("alone", "written registered"), ("thread", "written thread registered")])
def test_leaving_at_once_loses_nothing(how: str, said: str) -> None:
    """What was written is on its way, what was registered is called, who still works is waited for, the code stands."""
    ran = subprocess.run([sys.executable, "-c", ENDING, how], check=False, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, sorted(ran.stdout.split())) == (7, sorted(said.split()))


def test_garbage_is_looked_for_again_once_the_command_is_there() -> None:
    """Only importing goes without; in a program that was not begun so, nothing changes."""
    looked = (
        "import gc; from privyseal.cli.lifetime import collect_from_here; n = gc.get_freeze_count()\n"
        "collect_from_here(); print(gc.isenabled(), gc.get_freeze_count() == n)\n"
        "gc.disable(); collect_from_here(); print(gc.isenabled(), gc.get_freeze_count() > n)"
    )
    ran = subprocess.run([sys.executable, "-c", looked], check=True, capture_output=True, text=True, timeout=60)
    assert ran.stdout.split() == ["True", "True", "True", "True"]


def test_garbage_is_looked_for_again_after_much_was_imported_and_after_it_could_not_be() -> None:
    looked = (
        "import contextlib, gc; from privyseal.cli.lifetime import importing\n"
        "with contextlib.suppress(ImportError), importing(): print(gc.isenabled()); import no_such_thing\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 0)"
    )
    ran = subprocess.run([sys.executable, "-c", looked], check=True, capture_output=True, text=True, timeout=60)
    assert ran.stdout.split() == ["False", "True", "True"]


def test_files_that_hold_others_are_known_before_what_looks_into_them_is_there() -> None:
    """The short list says what the long one does."""
    assert set(inside.CONTAINERS) & set(catalogue.NAMES) == MAY_HOLD
