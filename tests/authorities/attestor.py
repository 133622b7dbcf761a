"""An attestor as an operator writes one: has a TPM certify a key for a challenge. Run by the tests.

Arguments: a folder with ``ak.der`` and ``KEY.pub``, the name KEY, the persistent handles of both in hexadecimal, and
the key's id. Reads the key authorization, prints the payload of the answer to ``device-attest-01``. The command is sent
as it stands in the TPM 2.0 library, part 3, section 18.2, for Debian's tpm2_certify takes no qualifying data.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path

import cbor2
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

PASSWORD = bytes.fromhex("40000009 0000 00 0000")
"""An empty one, as an authorisation (part 2, section 10.13)."""


def certified(key: int, by: int, nonce: bytes) -> tuple[bytes, bytes]:
    """Have a key certified; return certInfo, and the signature in the form of X.509."""
    body = struct.pack(">IIII", 0x148, key, by, 2 * len(PASSWORD)) + 2 * PASSWORD
    body += struct.pack(">H", len(nonce)) + nonce + b"\x00\x10"  # the scheme that the attestation key has
    command = struct.pack(">HI", 0x8002, len(body) + 6) + body
    answer = subprocess.run(["tpm2_send"], input=command, stdout=subprocess.PIPE, check=True, timeout=20).stdout
    if answer[6:10] != bytes(4):
        sys.exit(f"the TPM answered {answer[6:10].hex()}")
    told, rest = _sized(answer[14:])
    assert rest[:4] == b"\x00\x18\x00\x0b", "ECDSA with SHA-256"
    r, rest = _sized(rest[4:])
    s, _ = _sized(rest)
    return told, encode_dss_signature(int.from_bytes(r), int.from_bytes(s))


def _sized(octets: bytes) -> tuple[bytes, bytes]:
    end = 2 + int.from_bytes(octets[:2])
    return octets[2:end], octets[end:]


def main(folder: Path, name: str, key: int, by: int) -> None:
    """Print the payload."""
    told, signature = certified(key, by, hashlib.sha256(sys.stdin.buffer.read()).digest())
    statement = {
        "ver": "2.0",
        "alg": -7,
        "x5c": [(folder / "ak.der").read_bytes()],
        "sig": signature,
        "certInfo": told,
        "pubArea": (folder / f"{name}.pub").read_bytes()[2:],
    }
    whole = cbor2.dumps({"fmt": "tpm", "attStmt": statement, "authData": b""})
    sys.stdout.write(json.dumps({"attObj": base64.urlsafe_b64encode(whole).decode().rstrip("=")}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3], 16), int(sys.argv[4], 16))
