"""``privyseal tsa``: a new timestamp key, and the old one removed before two witnesses, with its record in the log."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from privyseal.cli import tsa
from privyseal.cli.init import found_rehearsal
from privyseal.cli.key_ceremony import ceremony
from privyseal.compliance.statements_of_timestamps import TimestampKeyRemoved
from privyseal.records import statements
from privyseal.records.database import open_records
from privyseal.strongroom import rooms
from privyseal.strongroom.client import StamperClient
from privyseal.timestamp.token import token_certificates, verify_token


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tsa") / "svc"
    directory.mkdir()
    found_rehearsal(directory, "ecdsa-p256", "TSA")
    return directory


def run(*arguments: object) -> Result:
    name, *rest = [str(each) for each in arguments]
    return CliRunner().invoke(ceremony if name == "ceremony" else tsa.tsa, rest, catch_exceptions=True)


def keys(service: Path) -> list[dict[str, object]]:
    shown = json.loads(run("tsa", "show", "--dir", service, "--json").stdout)
    return shown["keys"]  # type: ignore[no-any-return]


def signer(service: Path) -> str:
    """Have a stamper of this room stamp, and return the SHA-256 of the certificate that did."""
    built = rooms.ROOMS["stamper"](service / "stamper" / "stamper.toml", lambda: datetime.now(UTC))
    try:
        (token,) = StamperClient(built.room.handle).stamp("sha256", [hashlib.sha256(b"x").digest()])
        verify_token(token, octets=b"x")
        return hashlib.sha256(token_certificates(token)[0]).hexdigest()
    finally:
        built.room.close()


def witness(tmp_path: Path, name: str) -> Path:
    path = tmp_path / f"{name}.pem"
    path.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return path


def test_a_key_is_renewed_and_the_old_one_removed(service: Path, tmp_path: Path) -> None:
    """The new one signs; the old one cannot be removed by one witness, nor the one in use at all; then it is gone."""
    (before,) = keys(service)
    first = signer(service)
    done = run("tsa", "renew", "--dir", service)
    assert done.exit_code == 0, done.output
    second = signer(service)
    assert second != first
    now, old = keys(service)
    assert now["in_use"] and not old["in_use"] and old["key_id"] == before["key_id"]
    script, record = tmp_path / "s.toml", tmp_path / "r.json"
    script.write_text(run("tsa", "remove-key", old["key_id"], "--dir", service, "--new").stdout)
    for step in (1, 2, 3):
        assert run("ceremony", script, "--record", record, "--step", step, "--by", "Ada").exit_code == 0
    remove = ("tsa", "remove-key", old["key_id"], "--dir", service, "--script", script, "--record", record)

    def sign(name: str) -> None:
        done = run("ceremony", script, "--record", record, "--witness", name, "--identity-key", witness(tmp_path, name))
        assert done.exit_code == 0, done.output

    sign("Wim")
    refused = run(*remove)
    assert "2 were expected" in str(refused.exception) and len(keys(service)) == 2
    sign("Xenia")
    in_use = run("tsa", "remove-key", now["key_id"], "--dir", service, "--script", script, "--record", record)
    assert "was expected" in str(in_use.exception)
    done = run(*remove)
    assert done.exit_code == 0, (done.output, done.exception)
    assert [each["key_id"] for each in keys(service)] == [now["key_id"]] and signer(service) == second
    assert "no such timestamp key" in str(run(*remove).exception)
    records = open_records(f"sqlite:///{service / 'records.db'}")
    with records.reading("demo") as tx:
        (said,) = [each.matter for each in statements.of_slot(tx, f"timestamp-key:{old['key_id']}")]
    records.close()
    assert isinstance(said, TimestampKeyRemoved) and said.witnesses == ("Wim", "Xenia")
