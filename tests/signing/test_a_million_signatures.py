"""Ten thousand keys and a million signatures are evaluated in time, in memory that does not grow with signatures."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import gmpy2  # type: ignore[import-untyped]
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from privyseal.records.schema import migrate
from privyseal.terms.keys import Assurance, KeyPair, KeyProtection
from privyseal.terms.requests import SigningRequest
from privyseal.terms.signatures import Described, Options

NOW = datetime(2026, 11, 25, tzinfo=UTC)
SUBSCRIBERS = 100
PRIMES = 100
_CA = ec.generate_private_key(ec.SECP256R1())
_EVENT = "insert into events (subscriber, at, actor, what, subject) values (?, ?, ?, ?, ?)"
_REQUEST = (
    "insert into requests (id, subscriber, idempotency_key, timeless_digest, requester, state, canonical, digest,"
    " created, expires, salt, completion_salt, intent_index, intent_seq, signatures, blobs, receipt, fence)"
    " values (?, ?, ?, '', ?, 'released', ?, '', ?, ?, x'00', x'00', ?, ?, x'00', ?, '', 1)"
)

# What one evaluation, and a second one after it, cost a process of their own.
MEASURE = """
import json, re, sys, time
from datetime import UTC, datetime
from types import SimpleNamespace
from privyseal.errors import Unavailable
from privyseal.records.database import open_records
from privyseal.signing import evaluation
from privyseal.signing.known import Memory
def away():
    raise Unavailable("nobody")
seal = SimpleNamespace(
    records=open_records(sys.argv[1]), service=SimpleNamespace(name="Acme", operator=None), recollection=None,
    stated=Memory(),
    stamper=SimpleNamespace(health=away),
)
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10  # MiB, since exec
found = {"before": peak()}
for name in ("first", "second"):
    began = time.process_time()
    done = evaluation.walk(seal, datetime(2026, 11, 25, tzinfo=UTC))
    found |= {name: time.process_time() - began, f"{name} judged": done.judged, "peak": peak()}
print(json.dumps(found))
"""


def stored(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def fill(path: Path, keys: int, signatures: int) -> None:
    """Fill a database past every walk: what is measured is reading it."""
    migrate(f"sqlite:///{path}")
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("pragma synchronous=off")
    database.execute("begin")
    for n in range(SUBSCRIBERS):
        database.execute(
            "insert into subscribers (name, display_name, tag_key) values (?, ?, ?)", (f"s{n}", f"S{n}", b"\1" * 32)
        )
        row = (f"M-{n}", f"s{n}", "ci", "requester", n % 3 == 0)
        database.execute("insert into members (id, subscriber, name, roles, workload) values (?, ?, ?, ?, ?)", row)
    fingerprints = [_key(database, number) for number in range(keys)]
    made = _signatures(signatures, fingerprints)
    while batch := list(islice(made, 5000)):
        database.executemany(_REQUEST, [request for request, _ in batch])
        database.executemany(_EVENT, [event for _, told in batch for event in told])
    database.execute("commit")
    database.close()


def _key(database: sqlite3.Connection, number: int) -> str:
    subscriber, key_id = f"s{number % SUBSCRIBERS}", hashlib.sha256(f"key {number}".encode()).hexdigest()
    born = NOW - timedelta(days=301)
    pair = KeyPair(
        subscriber=subscriber,
        name=f"k{number}",
        key_id=key_id,
        scheme="ecdsa-p256",
        uri="pkcs11:x",
        public_key=b"x",
        key_tag="0" * 64,
        protection=KeyProtection("pkcs11", Assurance.HARDWARE, True, True, "Maker Model 7"),
        born=born,
        rehearsal=False,
        quorum=number % 2,
    )
    row = (subscriber, pair.name, key_id, False, msgspec.json.encode(pair))
    database.execute("insert into key_pairs values (?, ?, ?, ?, ?)", row)
    certificate = _certificate(number, born)
    fingerprint = hashlib.sha256(certificate).hexdigest()
    chain = (fingerprint, subscriber, key_id, stored(born), msgspec.msgpack.encode((certificate, *_issuers())))
    database.execute("insert into certificates values (?, ?, ?, ?, ?)", chain)
    database.execute(_EVENT, (subscriber, stored(born), "service", "key pair generated", key_id))
    return fingerprint


def _certificate(number: int, born: datetime) -> bytes:
    """Return a certificate as a public CA issues it, for a key of its own."""
    modulus = _prime(number % PRIMES) * _prime(PRIMES + number // PRIMES)
    key = rsa.RSAPublicNumbers(65537, modulus).public_key()
    builder = x509.CertificateBuilder().subject_name(_named(f"Acme {number}")).issuer_name(_named("Issuing CA"))
    builder = builder.public_key(key).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(born).not_valid_after(NOW + timedelta(days=100))
    for extension, critical in _leaf_extensions(key):
        builder = builder.add_extension(extension, critical)
    return builder.sign(_CA, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@functools.cache
def _prime(number: int) -> int:
    """Return one of many primes; each modulus is a product of two that no other has both of."""
    start = int.from_bytes(random.Random(number).randbytes(192)) | 3 << 1534
    return int(gmpy2.next_prime(start))


def _leaf_extensions(key: rsa.RSAPublicKey) -> list[tuple[x509.ExtensionType, bool]]:
    at = x509.UniformResourceIdentifier
    access = [
        (AuthorityInformationAccessOID.OCSP, "http://ocsp.example"),
        (AuthorityInformationAccessOID.CA_ISSUERS, "http://ca.example/ca.cer"),
    ]
    unused = "content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
    usage = dict.fromkeys(f"{unused} encipher_only decipher_only".split(), False)
    return [
        (x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.23.140.1.4.1"), None)]), False),
        (x509.AuthorityInformationAccess([x509.AccessDescription(how, at(url)) for how, url in access]), False),
        (
            x509.CRLDistributionPoints([x509.DistributionPoint([at("http://crl.example/ca.crl")], None, None, None)]),
            False,
        ),
        (x509.KeyUsage(digital_signature=True, **usage), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(_CA.public_key()), False),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
    ]


def _named(name: str) -> x509.Name:
    of = NameOID
    parts = [(of.COUNTRY_NAME, "DE"), (of.LOCALITY_NAME, "Bonn"), (of.ORGANIZATION_NAME, name), (of.COMMON_NAME, name)]
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])


@functools.cache
def _issuers() -> tuple[bytes, ...]:
    """Return the issuing CA's certificate and the root's."""
    found = []
    for name, length in (("Issuing CA", 0), ("Root CA", None)):
        builder = x509.CertificateBuilder().subject_name(_named(name)).issuer_name(_named("Root CA"))
        builder = builder.public_key(_CA.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(NOW - timedelta(days=900)).not_valid_after(NOW + timedelta(days=900))
        builder = builder.add_extension(x509.BasicConstraints(True, length), True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(_CA.public_key()), False)
        found.append(builder.sign(_CA, hashes.SHA256()).public_bytes(serialization.Encoding.DER))
    return tuple(found)


def _signatures(count: int, fingerprints: list[str]) -> Iterator[tuple[tuple[Any, ...], list[tuple[Any, ...]]]]:
    """Yield rows: half of the signatures with the first fifty keys, a fifth asked for with a client certificate."""
    described = Described(
        format="pe", filename="setup.exe", digest_algorithm="sha256", digest=b"1" * 32, size=1 << 20, facts={"page": 1}
    )
    for n in range(count):
        key = n * 7919 % len(fingerprints) if n % 2 else n % 50
        subscriber, who = f"s{key % SUBSCRIBERS}", f"M-{key % SUBSCRIBERS}"
        at = stored(NOW - timedelta(days=200) + timedelta(seconds=17 * (n // 64)))
        name = "R-" + hashlib.sha256(n.to_bytes(8)).hexdigest()[:24]
        request = SigningRequest(
            subscriber=subscriber,
            key=f"k{key}",
            key_id="0" * 64,
            scheme="ecdsa-p256",
            certificate=fingerprints[key],
            mode="local",
            options=Options(),
            described=(described,),
            expires_at=NOW,
        )
        row = (name, subscriber, name, who, request.canonical(), at, at, 2 * n, n, b"b" * 600)
        told: list[tuple[Any, ...]] = [(subscriber, at, who, "submitted, approved", name)]
        if key % 5 == 0:
            told.append((subscriber, at, who, "by client-certificate", name))
        yield row, [*told, (subscriber, at + 40_000, "service", "released", name)]


def measured(path: Path, keys: int, signatures: int) -> dict[str, float]:
    fill(path, keys, signatures)
    asked = [sys.executable, "-c", MEASURE, f"sqlite:///{path}"]
    found: dict[str, float] = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
    print(found)
    assert found["first judged"] >= 2 * keys + signatures  # Key Pairs, their certificates, and what was signed
    assert found["second judged"] == 0
    return found


def test_a_second_evaluation_costs_nothing(tmp_path: Path) -> None:
    """What has not changed is not judged again, however much there is."""
    found = measured(tmp_path / "records.db", 50, 5000)
    assert found["second"] < 0.1 * found["first"]


@pytest.mark.nightly
def test_a_million_signatures_take_half_a_minute_of_one_core(tmp_path: Path) -> None:
    """And as much memory as a hundred thousand with the same keys, but for a tenth."""
    some = measured(tmp_path / "some.db", 10_000, 100_000)
    (tmp_path / "some.db").unlink()
    all_of_it = measured(tmp_path / "records.db", 10_000, 1_000_000)
    assert all_of_it["first"] < 30
    assert all_of_it["peak"] < 1.1 * some["peak"]
