"""A Private Key stays where it was born: no answer, log, metric, error, backup, core file or other file has it.

The key is one of softfile's, the only store that has one in this process at all. The service is a real one, in
processes of its own; the test knows the key because it knows the passphrase.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module, resources
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, get_args

import click
import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.canary import Canary
from tests.rehearsal import PRIVYSEAL, Rehearsal, initialise, stop, wait_ready
from tests.softhsm import SoftHsm, store
from tests.strongroom.processes import wait_until

from privyseal.cli.backup_restore import opened
from privyseal.cli.main import COMMANDS
from privyseal.keystore import messages as worker_messages
from privyseal.keystore.catalogue import KEY_STORES
from privyseal.keystore.softfile import SoftFile
from privyseal.strongroom import acts, age
from privyseal.strongroom import messages as room_messages
from privyseal.terms.signatures import SCHEMES
from privyseal.web.app import ROUTES
from privyseal.web.console.pages import PAGES

URI = "softfile:demo/release"
CARRYING = re.compile(
    r"(?:^|[^a-z])(?:im|ex)port|unwrap|wrap(?:ped)?[-_]?key|extract(?!able)|pkcs-?(?:8|12)|\.?pfx|private|secret[-_]?key|key-?material"
)
"""Words of a way in or out for a Private Key."""


# -- the means ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "private",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
        mldsa.MLDSA65PrivateKey.generate(),
    ],
    ids=["rsa", "ecdsa", "ed25519", "ml-dsa"],
)
def test_a_canary_is_found_in_every_encoding(private: Any) -> None:
    """Or else the tests below would prove nothing; and it is not found in what has nothing of it."""
    canary = Canary.of(private)
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    number = next(iter(canary.raw))
    forms = {
        "der": der,
        "pem": b"log line " + pem,
        "pem in json": json.dumps({"why": pem.decode()}).encode(),
        "hex": der.hex().upper().encode(),
        "hex with colons": der.hex(":").encode(),
        "base64 of it at an odd place": base64.b64encode(b"ab" + der),
        "url-safe": base64.urlsafe_b64encode(b"a" + der),
        "little-endian": b"\0" * 7 + der[::-1],
        "gzip": gzip.compress(pem),
        "a piece": number,
    }
    missed = [name for name, form in forms.items() if not canary.found(form if name == "gzip" else b"xy" + form)]
    assert missed == []
    noise = os.urandom(1 << 16)
    for clean in (b"", noise, base64.b64encode(noise), noise.hex().encode()):
        assert canary.found(clean) == ""


# -- a real service ----------------------------------------------------------------------------------------------------
class Watched(NamedTuple):
    """A running service, its canary, what it wrote to standard error and what has been heard of it."""

    service: Rehearsal
    canary: Canary
    said: Path
    cores: Path


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Start a service with an RSA key where core files may be as large as the machine allows."""
    folder = tmp_path_factory.mktemp("canary")
    directory, said, cores = folder / "seal", folder / "said", folder / "cores"
    cores.mkdir()
    initialise(directory)
    with said.open("wb") as heard:
        process = subprocess.Popen(
            [PRIVYSEAL, "serve", "--dir", str(directory), "--bind", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=heard,
            stdin=subprocess.DEVNULL,
            cwd=cores,
            preexec_fn=_allow_cores,
        )
    try:
        settings = tomllib.loads((directory / "signer" / "signer.toml").read_text())["softfile"]
        keys = SoftFile.open(
            directory / "signer" / settings["directory"], settings["passphrase"].encode(), lambda: datetime.now(UTC)
        )
        yield Watched(Rehearsal(directory, wait_ready(process), process), Canary.of(keys._open(URI)), said, cores)
    finally:
        stop(process)


def _allow_cores() -> None:
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def test_no_command_says_anything_of_it(watched: Watched, tmp_path: Path) -> None:
    """Signing, showing, failing, with the most talkative forms of each."""
    service = watched.service
    file = tmp_path / "hello.exe"
    file.write_bytes((resources.files("distlib") / "t64.exe").read_bytes())
    commands: list[list[str | Path]] = [
        ["sign", file],
        ["sign", "--json=lines", file, "--again"],
        ["sign", file, "--key", "nobody"],
        ["key", "list", "--json"],
        ["key", "show", "release", "--json"],
        ["cert", "list", "--json"],
        ["verify", "--json", file],
        ["inspect", file],
    ]
    heard = b""
    for command in commands:
        done = service.run(*command)
        heard += (done.stdout + done.stderr).encode()
    done = service.run("doctor", "--dir", service.directory, "--json", profile=False)
    heard += (done.stdout + done.stderr).encode()
    assert b"release" in heard and b"hello.exe" in heard
    assert watched.canary.found(heard) == ""
    for each in tmp_path.iterdir():
        assert watched.canary.found(each.read_bytes()) == "", each


def test_no_endpoint_answers_with_it(watched: Watched) -> None:
    """Every route of the table and every page, by the administrator and by nobody, with a body that is none."""
    token = tomllib.loads((watched.service.directory / "administrator.toml").read_text())["token"]
    answered = good = 0
    paths = [(route.method, route.path) for route in ROUTES] + [("GET", "/console" + page.path) for page in PAGES]
    for method, path in paths:
        filled = re.sub(
            r"\{[^}]*:int\}", "0", path.replace("{subscriber:str}", "demo").replace("{name:str}", "release")
        )
        filled = re.sub(r"\{[^}]*\}", "0" * 64, filled)
        for credential in (token, None):
            headers = {"Content-Type": "application/json", "Idempotency-Key": f"canary-{answered}"}
            headers |= {} if credential is None else {"Authorization": f"Bearer {credential}"}
            body = b'{"private_key": "' + b"A" * 40 + b'"}' if method in ("POST", "PUT", "PATCH") else None
            asked = urllib.request.Request(watched.service.url + filled, body, headers, method=method)
            try:
                with urllib.request.urlopen(asked, timeout=60) as answer:
                    good += answer.status == 200
                    heard = bytes(str(answer.headers), "utf-8") + answer.read()
            except urllib.error.HTTPError as error:
                heard = bytes(str(error.headers), "utf-8") + error.read()
            answered += 1
            assert watched.canary.found(heard) == "", (method, filled)
    assert answered == 2 * len(paths) and good > 20


def test_no_core_file_of_a_guarded_process_is_written(watched: Watched) -> None:
    """Each is ended by SIGABRT where core files are allowed; a process like any other leaves one at the same place."""
    control = watched.cores / "control"
    control.mkdir()
    subprocess.run(["python3", "-c", "import os; os.abort()"], cwd=control, preexec_fn=_allow_cores, check=False)
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if "/" not in pattern and "|" not in pattern and resource.getrlimit(resource.RLIMIT_CORE)[1] != 0:
        assert list(control.iterdir()) != []
    shutil.rmtree(control)
    parent = watched.service.process.pid
    rooms = {}
    for pid in map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"privyseal.strongroom.run" in command:
            rooms[pid] = command[command.index(b"privyseal.strongroom.run") + 1].decode()
    assert sorted(rooms.values()) == ["logger", "signer", "stamper"]
    for pid in rooms:
        limit = next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core file" in line)
        assert limit.split()[4:6] == ["0", "0"]
        os.kill(pid, signal.SIGABRT)
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists())
    wait_until(lambda: watched.service.run("key", "list").returncode == 0, 60.0)
    assert list(watched.cores.iterdir()) == []


def test_no_file_has_it_but_the_sealed_store_and_that_only_sealed(watched: Watched, tmp_path: Path) -> None:
    """Every file of the service, what it said, and a backup of all of it; the store opens it, and nothing else does."""
    seen = 0
    for path in sorted(watched.service.directory.rglob("*")):
        if path.is_file():
            seen += 1
            assert watched.canary.found(path.read_bytes()) == "", path
    assert seen > 20
    assert watched.said.stat().st_size > 0
    assert watched.canary.found(watched.said.read_bytes()) == ""
    with tarfile.open(tmp_path / "backup.tar.gz", "w:gz") as backup:
        backup.add(watched.service.directory, "seal")
    assert watched.canary.found((tmp_path / "backup.tar.gz").read_bytes()) == ""


def test_no_backup_has_it_in_the_clear(watched: Watched, tmp_path: Path) -> None:
    """Not even decrypted, and with the Subscriber's leave: the key in it is sealed as in its store."""
    service, file = watched.service, tmp_path / "backup"
    own = [pyrage.x25519.Identity.generate() for _ in range(2)]
    profile = ("--profile", service.directory / "administrator.toml", "--url", service.url)
    leave = ("declare", "backup", "release", "--allowed", "--note", "an agreement", *profile)
    recipients = [str(each) for one in own for each in ("--recipient", one.to_public())]
    create = ("backup", "create", file, "--dir", service.directory, *recipients)
    for command in (leave, create):
        done = service.run(*command, profile=False)
        assert done.returncode == 0, done.stderr
    assert watched.canary.found(file.read_bytes()) == ""
    names = []

    def look(name: str, content: BinaryIO) -> None:
        assert watched.canary.found(content.read()) == "", name
        names.append(name)

    with opened(file, service.directory / "log-policy") as (found, _):
        for part in found.manifest.parts:
            sealed = found.part(part.name)
            assert sealed is not None
            age.unseal(sealed, own[:1], look)
    assert any(name.endswith(".key") and "signer/keys/" in name and "release" in name for name in names), names


# -- no way in or out --------------------------------------------------------------------------------------------------
def _commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None
            yield from _commands(inner, (*path, name))


def test_no_command_takes_a_private_key_in_or_gives_one_out() -> None:
    """By the names of all commands, options and arguments; ``sign --keyfile`` uses a file and no service."""
    seen = 0
    for name, (where, _) in COMMANDS.items():
        module, attribute = where.split(":")
        for path, command in _commands(getattr(import_module(module), attribute), (name,)):
            seen += 1
            words = [
                *path,
                *(option for parameter in command.params for option in (parameter.name or "", *parameter.opts)),
            ]
            assert [word for word in words if CARRYING.search(word.lower())] == [], path
    assert seen > 80


def test_no_route_takes_a_private_key_in_or_gives_one_out() -> None:
    """By path, by handler, and by each field of every schema in the description of the API."""
    for route in ROUTES:
        name = getattr(route.handler, "__name__", "")
        assert not CARRYING.search(f"{route.path} {name}".lower()), route.path
    for page in PAGES:
        assert not CARRYING.search(page.path.lower()), page.path


def test_no_description_of_the_api_has_a_field_for_one(watched: Watched) -> None:
    """Every property of every schema."""
    with urllib.request.urlopen(watched.service.url + "/v1/openapi.json", timeout=60) as answer:
        schemas = json.loads(answer.read())["components"]["schemas"]
    fields = {f"{name}.{field}" for name, one in schemas.items() for field in one.get("properties", {})}
    assert len(fields) > 200
    assert [each for each in fields if CARRYING.search(each.lower())] == []


def test_no_message_of_a_guarded_process_has_a_place_for_one() -> None:
    """Questions, answers and acts of the rooms, and those of their workers: by name and by field."""
    unions = (
        room_messages.Question,
        room_messages.Answer,
        acts.Act,
        worker_messages.Question,
        worker_messages.Answer,
    )
    kinds = [kind for union in unions for kind in get_args(union)]
    assert len(kinds) > 30
    for kind in kinds:
        for word in (kind.__name__, *kind.__struct_fields__):
            assert not CARRYING.search(_dashed(word)), (kind.__name__, word)


def _dashed(word: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", word).lower().replace("_", "-")


@pytest.mark.parametrize("name", KEY_STORES)
def test_no_key_store_has_a_method_for_one(name: str) -> None:
    """Whatever a store can be asked, by name; a Private Key is generated in it, used in it and destroyed in it."""
    methods = {each for each in dir(KEY_STORES[name]) if not each.startswith("_")}
    assert {"generate", "public_key", "sign", "destroy", "protection", "tokens"} <= methods
    assert [each for each in methods if CARRYING.search(_dashed(each))] == []


STRANGER = """
import sys
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, lib
session = lib("/usr/lib/softhsm/libsofthsm2.so").get_token(token_label="one").open(rw=True, user_pin="canary-7391")
(key,) = [each for each in session.get_objects({Attribute.ID: bytes.fromhex(sys.argv[1])}) if hasattr(each, "sign")]
try:
    print(key[Attribute.VALUE].hex())
except Exception as error:
    print(type(error).__name__)
box = session.generate_key(KeyType.AES, 256, capabilities=MechanismFlag.WRAP)
try:
    print(box.wrap_key(key, mechanism=Mechanism.AES_KEY_WRAP_PAD).hex())
except Exception as error:
    print(type(error).__name__)
print(f"MODIFIABLE={key[Attribute.MODIFIABLE]}")
"""


def test_a_token_s_key_is_not_given_out_by_its_module_either(tmp_path: Path) -> None:
    """A stranger with the PIN asks the module for it: the template with which it was born forbids it."""
    hsm = SoftHsm(tmp_path / "hsm", "one")
    with store(tmp_path, hsm.section("one")) as (keys, _, _):
        uri = keys.generate("demo/release", SCHEMES["ecdsa-p256"])
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, uri.split("id=")[1].split(";")[0].replace("%", "")],
        capture_output=True,
        text=True,
        env=os.environ | hsm.environment,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["AttributeSensitive", "KeyUnextractable", "MODIFIABLE=False"], done.stderr
