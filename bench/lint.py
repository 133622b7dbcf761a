"""How long ``privyseal lint`` takes for 10,000 certificates, against pkilint's own PKIX linter on the same files."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

from bench.harness import Row, against, process
from bench.running import PRIVYSEAL

COUNT = 10_000
SOME_NOT_MET = 3
_BEGIN = datetime(2026, 3, 2, tzinfo=UTC)


def certificates(folder: Path, rounds: int) -> list[Row]:
    """Lint the same files by both programs, each a whole process, and compare the time."""
    rounds = max(1, rounds - 4)
    files = _made(folder / "certificates")

    def ours() -> float:
        command = ["sh", "-c", f'"{PRIVYSEAL}" lint --json "$0"/* >/dev/null; [ $? -le {SOME_NOT_MET} ]', files]
        return process(command).seconds

    def theirs() -> float:
        return process([sys.executable, "-m", "bench.pkilint_alone", files]).seconds

    subject, limit, ratio, each = against(theirs, ours, rounds)
    work = f"lint, {COUNT:,} certificates / pkilint's PKIX linter"
    note = "pkilint in one process, ours on all cores with pkilint's, badkeys' and our own checks"
    return [Row(work, subject, limit, ratio, "s", "1.5", "lower", note, each)]


def _made(folder: Path) -> Path:
    """Make certificates with a key each; most are in order, every fourth is valid for too long."""
    if not folder.exists():
        folder.mkdir(parents=True)
        with ProcessPoolExecutor() as pool:
            for number, der in enumerate(pool.map(_certificate, range(COUNT), chunksize=250)):
                (folder / f"{number:05}.cer").write_bytes(der)
    return folder


def _certificate(number: int) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "NL"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example CA"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Example Code Signing CA"),
        ]
    )
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "NL"),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "Utrecht"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Example {number}"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Example {number}"),
        ]
    )
    usage = x509.KeyUsage(True, *[False] * 8)
    policies = [
        x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in ("2.23.140.1.4.1", "1.3.6.1.4.1.99999.1")
    ]
    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(
                x509.oid.AuthorityInformationAccessOID.CA_ISSUERS,
                x509.UniformResourceIdentifier("http://ca.example/ca.cer"),
            )
        ]
    )
    at = x509.DistributionPoint([x509.UniformResourceIdentifier("http://ca.example/ca.crl")], None, None, None)
    days = 460 if number % 4 else 461
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_BEGIN + timedelta(days=days, seconds=-1))
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([Usage.CODE_SIGNING]), critical=False)
        .add_extension(x509.CertificatePolicies(policies), critical=False)
        .add_extension(x509.CRLDistributionPoints([at]), critical=False)
        .add_extension(access, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
