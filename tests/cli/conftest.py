"""A small world in a folder, for shell sessions: programs, a key file, its chain and root, a timestamp authority."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path

import pytest
from tests import readied
from tests.cli.clickonce_folder import BELOW, write_program
from tests.formats import msi_builder, pe_builder, signing
from tests.formats.clickonce_builder import deployment
from tests.formats.test_packages_strangers import all_rsa
from tests.pki import mint
from tests.rehearsal import PRIVYSEAL, Rehearsal

from privyseal.cli import keyfile
from privyseal.pki import certificates

LAUNCHERS = {"app.exe": "t64.exe", "app32.exe": "t32.exe", "gui.exe": "w64.exe", "arm.exe": "t64-arm.exe"}
"""What they are called in the world -> what distlib calls them."""


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fill a folder once; every session gets a copy of it."""
    folder = tmp_path_factory.mktemp("cli") / "world"
    folder.mkdir()
    for ours, theirs in LAUNCHERS.items():
        (folder / ours).write_bytes(resources.files("distlib").joinpath(theirs).read_bytes())
    (folder / "tiny.exe").write_bytes(pe_builder.program())
    msi_builder.installer(folder / "setup.msi", major=3)
    (folder / "notes.txt").write_text("no program\n")
    (folder / "empty.exe").touch()
    (folder / "cut.exe").write_bytes((folder / "app.exe").read_bytes()[:300])
    (folder / "folder").mkdir()
    _, key, _ = signing.signatory("rsa-3072").write_pem(folder)
    key.chmod(0o600)
    own = mint.certify("Self-made", mint.key("ecdsa-p256", 95), purposes=(mint.CODE_SIGNING,))
    weak = mint.certify("Weak", mint.key("rsa-2048", 96), purposes=(mint.CODE_SIGNING,))
    old = mint.certify("Old", mint.key("ecdsa-p256", 95), start=mint.NOW.replace(year=2020), days=30)
    for name, one in (("own", own), ("weak", weak), ("old", old)):
        (folder / f"{name}.pem").write_bytes(one.pem)
        (folder / f"{name}.key").write_bytes(one.key_pem)
        (folder / f"{name}.key").chmod(0o600)
    (folder / "tsa-root.pem").write_bytes(certificates.pem(signing.stamp().root))
    both = (folder / "root.pem").read_bytes() + (folder / "tsa-root.pem").read_bytes()
    (folder / "roots.pem").write_bytes(both)
    return folder


@pytest.fixture(scope="session")
def tsa_url() -> Iterator[str]:
    """Run a timestamp authority on loopback."""
    with timestamp_authority(pause=0.0) as url:
        yield url


@pytest.fixture
def slow_tsa() -> Iterator[str]:
    """Run a timestamp authority on loopback that takes 20 ms for each token, one after the other."""
    with timestamp_authority(pause=0.02) as url:
        yield url


@contextmanager
def timestamp_authority(pause: float) -> Iterator[str]:
    """Serve RFC 3161 on loopback until the block ends."""
    authority = signing.stamp().authority
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with turn:
                time.sleep(pause)
                reply = authority.reply(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Clients that are interrupted leave in the middle; that is what is tested."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tsa"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def shell(world_folder: Path, tmp_path: Path, tsa_url: str) -> tuple[Path, Mapping[str, str]]:
    """Return a copy of the world and an environment in which nothing is configured."""
    folder = tmp_path / "world"
    shutil.copytree(world_folder, folder)
    return folder, shell_environment(tmp_path) | {"TSA": tsa_url}


@pytest.fixture
def service_shell(rehearsal: Rehearsal, world_folder: Path, tmp_path: Path) -> tuple[Path, Mapping[str, str]]:
    """Return a copy of the world and an environment in which a rehearsal service is configured."""
    folder = tmp_path / "world"
    shutil.copytree(world_folder, folder)
    with (folder / "app.exe").open("ab") as program:
        program.write(os.urandom(32))  # a program that this service has never signed
    profile = rehearsal.profile.read_text().replace("http://127.0.0.1:8470", rehearsal.url)
    for name in ("ca.pem", "ca.crl", "log-policy"):
        shutil.copy(rehearsal.directory / name, folder / name)
    (folder / "client.toml").write_text(profile)
    (folder / "client.toml").chmod(0o600)
    for name in ("administrator.toml", "operator.toml", "custodian.toml"):
        (folder / name).write_text(
            (rehearsal.directory / name).read_text().replace("http://127.0.0.1:8470", rehearsal.url)
        )
        (folder / name).chmod(0o600)
    where = {"PRIVYSEAL_PROFILE": str(folder / "client.toml"), "SERVICE_DIRECTORY": str(rehearsal.directory)}
    return folder, shell_environment(tmp_path) | where


def shell_environment(home: Path) -> dict[str, str]:
    """Return an environment for a shell that finds ``privyseal`` and nobody's configuration."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PRIVYSEAL_")}
    path = os.pathsep.join((str(readied.bin_folder()), str(Path(PRIVYSEAL).parent), kept["PATH"]))
    return kept | {
        "PATH": path,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "xdg"),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
    }


@pytest.fixture
def maker(tmp_path: Path) -> keyfile.KeyFileMaker:
    """Return one who signs with an RSA key under RSA certificates, whose chain and root are in ``keys``."""
    (folder := tmp_path / "keys").mkdir()
    chain, key, root = all_rsa().write_pem(folder)
    key.chmod(0o600)
    return keyfile.KeyFileMaker(keyfile.load(key, chain, (root,), datetime.now(UTC)), None)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Write an application of a program, a library, a script and a file of settings, and return its manifest."""
    return write_program(tmp_path / "app")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Write a deployment as Visual Studio publishes one, and return its manifest."""
    manifest = write_program(tmp_path / "site" / BELOW, behind=".deploy").read_bytes()
    path = tmp_path / "site" / "Example.application"
    path.write_bytes(deployment(manifest))
    return path
