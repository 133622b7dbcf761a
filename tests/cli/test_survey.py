"""A folder of certificates and attestations is surveyed file by file, whatever else lies in it."""

from __future__ import annotations

import base64
import json
import tracemalloc
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.compliance import attestations
from tests.pki import mint

from privyseal.cli.main import run
from privyseal.compliance.declaration import Keeping, Owner
from privyseal.pki import certificates

A, B, C = (attestations.subscriber(name, number) for number, name in enumerate(("Acme", "Beta", "Gamma"), 20))


def pem(kind: str, der: bytes) -> bytes:
    """Write DER as PEM."""
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (kind.encode(), base64.encodebytes(der), kind.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three Subscribers, of whom two have keys in one YubiKey, in every form that a file may have."""
    issued = tmp_path / "issued"
    (issued / "2026").mkdir(parents=True)
    device, other = attestations.device(), attestations.device(1)
    (issued / "a.der").write_bytes(A.der)
    (issued / "again.crt").write_bytes(pem("CERTIFICATE", A.der))
    (issued / "2026" / "bundle.PEM").write_bytes(
        pem("CERTIFICATE", B.der) + pem("CERTIFICATE", attestations.ISSUER.der) + pem("CERTIFICATE", C.der)
    )
    (issued / "a-attested.pem").write_bytes(pem("CERTIFICATE", attestations.attestation(A.key, 77, device)))
    request = attestations.request(B.key, attestations.attestation(B.key, 77, device), device)
    (issued / "b.csr").write_bytes(pem("CERTIFICATE REQUEST", request))
    (issued / "c.cer").write_bytes(base64.encodebytes(attestations.attestation(C.key, 78, other)))
    (issued / "README.md").write_text("not looked at")
    return issued


def surveyed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, object]:
    """Run the survey and return its result."""
    assert run(["survey", *arguments, "--json"]) == code
    report: dict[str, object] = json.loads(capsys.readouterr().out)
    return report


def test_a_folder_of_all_forms(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each certificate counts once, each attestation for its certificate, CAs and notes not at all."""
    result = surveyed(capsys, str(folder))["result"]
    assert isinstance(result, dict)
    counts = [result[name] for name in ("certificates", "subscribers", "attestations", "unmatched")]
    assert counts == [3, 3, 3, 0]
    assert [(each["marker"], each["value"], each["names"]) for each in result["suspicions"]] == [
        ("device", "YubiKey 77", ["Acme", "Beta"])
    ]


def test_orders_and_declarations_join_in(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An order names a key and so belongs to a certificate; what was declared is held against the device found."""
    key = certificates.key_id(mint.spki(C.key))
    (folder / "orders.csv").write_text(f"subscriber,key,cloud_account\nGamma,{key.upper()},acct\nDelta,,acct\n")
    lines = [
        attestations.signed(attestations.said("Acme", device="YubiKey 78"), A),
        attestations.signed(
            attestations.said("Beta", keeping=Keeping.SIGNING_SERVICE, owner=Owner.SIGNING_SERVICE, which="Seal"),
            Ed25519PrivateKey.generate(),
        ),
        attestations.signed(attestations.said("Gamma"), A),
    ]
    declarations = tmp_path / "declarations.jsonl"
    declarations.write_bytes(b"\n".join(lines))
    report = surveyed(capsys, str(folder), "--declarations", str(declarations), code=9)
    result, refused = report["result"], report["refused"]
    assert isinstance(result, dict)
    assert isinstance(refused, list)
    assert [each["value"] for each in result["suspicions"]] == ["YubiKey 77", "acct"]
    assert result["suspicions"][0]["declared"] == {"own-module": 1, "signing-service": 1}
    assert [each["text"] for each in result["differences"]] == [
        "It declared YubiKey 78, and its keys are attested in YubiKey 77.",
        "It declared own-module, and shares YubiKey 77 with 1 other Subscriber.",
    ]
    assert [each["text"] for each in refused] == ["Gamma declares, and the certificate is Acme's."]


def test_what_cannot_be_read_is_named_and_stops_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Noise, an empty file, a file too large, one that nobody may read as one, and a table of another kind."""
    (folder / "noise.der").write_bytes(bytes(range(256)))
    (folder / "empty.pem").touch()
    (folder / "large.der").write_bytes(b"0" * ((1 << 20) + 1))
    (folder / "other.csv").write_text("a,b\n1,2\n")
    (folder / "gone.pem").symlink_to(folder / "nowhere")
    report = surveyed(capsys, str(folder), code=9)
    assert report["refused_count"] == 5
    assert isinstance(report["result"], dict)
    assert report["result"]["certificates"] == 3


def test_memory_does_not_grow_with_the_size_of_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Forty files of nearly a mebibyte need what one needs, and a few facts each."""

    def peak(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            each = attestations.subscriber(f"S{number}", 200 + number, A.key)
            (folder / f"{number}.pem").write_bytes(b"# a comment\n" * 80_000 + pem("CERTIFICATE", each.der))
        tracemalloc.start()
        try:
            surveyed(capsys, str(folder))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # what is imported on the way is not counted again
    assert peak(40) < peak(2) + (1 << 20)
