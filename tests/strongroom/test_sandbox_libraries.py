"""Other people's libraries under the filters: loaded after the first one, at work after the second."""

from __future__ import annotations

import glob
import os
import subprocess
import sys
from pathlib import Path

HARNESS = """
import sys, threading
from privyseal.strongroom import hardening, seccomp
hardening.harden()
assert seccomp.restrict()
"""

SOFTHSM = """
import pkcs11
from pkcs11 import KeyType, Mechanism
token = pkcs11.lib(sys.argv[1]).get_token(token_label="sandbox")
with token.open(rw=True, user_pin="1234") as session:
    public, private = session.generate_keypair(KeyType.RSA, 2048)
    first = private.sign(b"x", mechanism=Mechanism.SHA256_RSA_PKCS)
    assert seccomp.settle()
    assert private.sign(b"x", mechanism=Mechanism.SHA256_RSA_PKCS) == first
    assert public.verify(b"x", first, mechanism=Mechanism.SHA256_RSA_PKCS)
print("signed")
"""

CRYPTOGRAPHY_AND_SQLITE = """
import hashlib, sqlite3, psycopg, sqlalchemy
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
assert seccomp.settle()
def work():
    rsa.generate_private_key(65537, 2048).sign(b"x", padding.PKCS1v15(), hashes.SHA384())
    ec.generate_private_key(ec.SECP521R1()).sign(b"x", ec.ECDSA(hashes.SHA512()))
    ed25519.Ed25519PrivateKey.generate().sign(b"x")
    Argon2id(salt=bytes(16), length=32, iterations=1, lanes=2, memory_cost=65536).derive(b"x")
    database = sqlite3.connect(sys.argv[1])
    database.create_function("twice", 1, lambda n: 2 * n)
    database.execute("pragma journal_mode=wal")
    database.execute("create table if not exists t (n)")
    database.execute("insert into t values (twice(2))")
    database.commit()
    database.close()
threads = [threading.Thread(target=work) for _ in range(3)]
for each in threads:
    each.start()
    each.join()
print("worked")
"""


def run(code: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HARNESS + code, *arguments],
        capture_output=True, text=True, check=False, timeout=120, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_cryptography_sqlite_and_psycopg_work(tmp_path: Path) -> None:
    """All that a room calls, in threads that start and end after the last filter."""
    assert run(CRYPTOGRAPHY_AND_SQLITE, str(tmp_path / "d.sqlite3")) == "worked\n"


def test_a_pkcs11_module_works(tmp_path: Path) -> None:
    """SoftHSM through python-pkcs11: opened under the first filter, signing under both."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    own = {"SOFTHSM2_CONF": str(tmp_path / "softhsm.conf")}
    made = ["softhsm2-util", "--init-token", "--free", "--label", "sandbox", "--so-pin", "12345678", "--pin", "1234"]
    subprocess.run(made, check=True, capture_output=True, env=os.environ | own)
    (module,) = glob.glob("/usr/lib/softhsm/libsofthsm2.so") or glob.glob("/usr/lib/*/softhsm/libsofthsm2.so")[:1]
    assert run(SOFTHSM, module, **own) == "signed\n"
