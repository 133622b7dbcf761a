"""The whole way of a file, from opening to the signed and verified outcome, with keys made for the tests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import msgspec
from tests.pki import mint

from privyseal.formats import catalogue
from privyseal.formats.examine import Examined, examine
from privyseal.formats.patch import carry_out
from privyseal.formats.protocol import Identity, Prepared, Source
from privyseal.formats.source import FileSource
from privyseal.pki import certificates
from privyseal.terms.signatures import DigestAlgorithm, Options, Signature, TimestampToken, ToBeSigned
from privyseal.timestamp.authority import Authority
from privyseal.timestamp.token import verify_token

PE = catalogue.BY_NAME["pe"]
PLAIN = Options()
APPEND = Options(mode="append")


class Signatory(msgspec.Struct, frozen=True):
    """Somebody who signs: the public side, the key, and a file of the root for other tools."""

    identity: Identity
    key: mint.Key
    root: bytes
    """DER."""

    def sign(self, tbs: ToBeSigned) -> Signature:
        return Signature(tbs, mint.sign(self.key, tbs))

    def write_pem(self, folder: Path) -> tuple[Path, Path, Path]:
        """Write chain, key and root for other tools to read, and return the three paths."""
        chain, key, root = folder / "chain.pem", folder / "key.pem", folder / "root.pem"
        chain.write_bytes(b"".join(certificates.pem(one) for one in self.identity.chain))
        key.write_bytes(mint.Minted(self.identity.chain[0], self.key).key_pem)
        root.write_bytes(certificates.pem(self.root))
        return chain, key, root


@lru_cache
def signatory(scheme: str = "rsa-3072", with_root: bool = False) -> Signatory:
    """Return one under a root and an intermediate; the root goes into the chain only where asked for."""
    root = mint.certify("Test root", mint.key("ecdsa-p384", 90), ca=True, days=3000)
    middle = mint.certify("Test intermediate", mint.key("rsa-3072", 91), root, ca=True, days=2000)
    leaf = mint.certify(f"Test {scheme}", mint.key(scheme, 92), middle, purposes=(mint.CODE_SIGNING,))
    chain = (leaf.der, middle.der, root.der) if with_root else (leaf.der, middle.der)
    return Signatory(Identity(chain, scheme), leaf.key, root.der)


class Stamp(msgspec.Struct, frozen=True):
    """A timestamp authority and its root."""

    authority: Authority
    root: bytes

    def token(self, value: bytes) -> TimestampToken:
        """Return a verified token over a signature value."""
        (token,) = self.authority.stamp("sha256", [hashlib.sha256(value).digest()])
        return verify_token(token, octets=value)


@lru_cache
def stamp() -> Stamp:
    root = mint.certify("Timestamp root", mint.key("ecdsa-p384", 93), ca=True, days=3000)
    leaf = mint.certify("Timestamps", mint.key("rsa-3072", 94), root, purposes=(mint.TIME_STAMPING,), critical=True)

    def sign(many: Sequence[ToBeSigned]) -> list[bytes]:
        return [mint.sign(leaf.key, one) for one in many]

    return Stamp(Authority((leaf.der,), sign, "1.3.6.1.4.1.32473.1", lambda: datetime.now(UTC), os.urandom), root.der)


def blobs_for(
    prepared: Prepared,
    who: Signatory,
    options: Options = PLAIN,
    stamped: bool = False,
) -> list[bytes]:
    """Play the key side for each description."""
    beside = prepared.enclosed or (b"",) * len(prepared.described)
    pieces = zip(prepared.described, beside, strict=True)
    return [blob_for(Prepared((one,), prepared.layout, (more,)), who, options, stamped) for one, more in pieces]


def blob_for(
    prepared: Prepared,
    who: Signatory,
    options: Options = PLAIN,
    stamped: bool = False,
) -> bytes:
    """Play the key side: octets to be signed, signature, perhaps a timestamp, blob."""
    described, enclosed = prepared.described[0], prepared.enclosed[0] if prepared.enclosed else b""
    code_format = catalogue.BY_NAME[described.format]
    signed = [who.sign(tbs) for tbs in code_format.to_be_signed(described, who.identity, options, enclosed)]
    tokens = [stamp().token(one.value) for one in signed] if stamped else []
    return code_format.finish(described, who.identity, options, signed, tokens, enclosed)


def sign(
    path: Path,
    who: Signatory,
    *,
    target: Path | None = None,
    options: Options = PLAIN,
    digest: DigestAlgorithm = "sha256",
    stamped: bool = False,
    follow: Callable[[Source], None] | None = None,
) -> Path:
    """Sign a file in place or into ``target``, exactly as the command line will, and return where it is."""
    with FileSource.open(path) as code:
        code_format = catalogue.recognise(code)
        prepared = code_format.prepare(code, code_format.inspect(code), who.identity, options, digest)
        plan = code_format.apply(code, prepared, options, blobs_for(prepared, who, options, stamped))
        carry_out(plan, code, target or path, follow=follow)
    return target or path


def look(path: Path) -> Examined:
    """Return what a file says of itself."""
    with FileSource.open(path) as code:
        return examine(catalogue.recognise(code), code)


def troubles(examined: Examined) -> set[str]:
    """Return the slugs of everything that is wrong."""
    inside = {problem.code for one in examined.signatures for problem in one.problems}
    return inside | {problem.code for problem in examined.problems}
