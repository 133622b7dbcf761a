"""Authenticode's timestamps from before RFC 3161: off by default, never with a public key, read by osslsigncode."""

from __future__ import annotations

import base64
import hashlib
import random
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.pki import mint
from tests.timestamp.clockwork import root, unit

from privyseal.errors import BadInput, Misused, NotFound
from privyseal.keystore.softfile import SoftFile
from privyseal.pki import cms, der
from privyseal.pki.chain import PinnedAnchor
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.strongroom.client import StamperClient
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.stamper import Books, Stamper
from privyseal.strongroom.stamps import Stamps
from privyseal.terms.signatures import SCHEMES
from privyseal.timestamp import legacy

SIGNATURE = b"\x5a" * 384
NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def request(content: bytes = der.octet_string(SIGNATURE), kind: str = legacy.ID_TIMESTAMP_REQUEST) -> bytes:
    inner = der.sequence(der.oid(cms.ID_DATA), der.explicit(0, content))
    return base64.encodebytes(der.sequence(der.oid(kind), inner))


def test_a_request_is_read_as_old_tools_send_it() -> None:
    """Lines of base64, a final zero octet, unused attributes."""
    assert legacy.read_request(request()) == SIGNATURE
    assert legacy.read_request(request().replace(b"\n", b"\r\n") + b"\0") == SIGNATURE
    inner = der.sequence(der.oid(cms.ID_DATA), der.explicit(0, der.octet_string(SIGNATURE)))
    with_attributes = der.sequence(der.oid(legacy.ID_TIMESTAMP_REQUEST), der.set_of(), inner)
    assert legacy.read_request(base64.b64encode(with_attributes)) == SIGNATURE


def test_what_is_no_request_is_refused() -> None:
    """And 5,000 mutations: BadInput, or a signature of a bounded size."""
    for octets in (
        b"", b"!", b"AAAA", request(kind="1.2.3"), request(der.octet_string(b"")), request()[:100],
        request(der.octet_string(bytes(3000))), request(der.integer(1)), b"A" * 20_000,
    ):  # fmt: skip
        with pytest.raises(BadInput):
            legacy.read_request(octets)
    rng = random.Random(3)
    whole = base64.b64decode(request())
    for _ in range(5_000):
        octets = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        with suppress(BadInput):
            assert 0 < len(legacy.read_request(base64.b64encode(octets))) <= legacy.MAX_SIGNATURE_OCTETS


@pytest.mark.parametrize("scheme", ["rsa-3072", "ecdsa-p256"])
def test_openssl_verifies_the_answer(scheme: str, tmp_path: Path) -> None:
    """It is a PKCS #7 over the signature value, by the digest of the authority's certificate, with the time in it."""
    minted = unit(scheme)
    chain = [minted.der, root().der]
    reply = legacy.answer(SIGNATURE, chain, NOW, lambda some: [mint.sign(minted.key, each) for each in some])
    (tmp_path / "r").write_bytes(base64.b64decode(reply))
    (tmp_path / "root.pem").write_bytes(root().pem)
    done = mint.run(
        "openssl", "cms", "-verify", "-inform", "DER", "-in", tmp_path / "r", "-CAfile", tmp_path / "root.pem",
        "-purpose", "any", "-binary", "-out", tmp_path / "content", "-attime", str(int(mint.NOW.timestamp())),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "content").read_bytes() == SIGNATURE
    signed = cms.parse(base64.b64decode(reply))
    (time,) = signed.signers[0].attributes[cms.ID_SIGNING_TIME]
    assert der.time_of(der.read(time)) == NOW


def test_it_is_off_and_never_with_a_public_key(tmp_path: Path) -> None:
    """Without a pinned anchor a chain counts as public; each that is given stands in the books like a token."""
    authority = RehearsalAuthority.create(NOW, "Legacy")
    keys = SoftFile.create(tmp_path / "keys", b"p", lambda: NOW)
    uri = keys.generate("stamper/timestamp", SCHEMES["ecdsa-p256"])
    chain = (authority.issue_timestamp_authority(keys.public_key(uri), NOW), authority.timestamp_issuer)
    MarkFile.create(tmp_path / "mark", Mark(0, bytes(32)))
    books = Books(MarkFile(tmp_path / "mark"), Stamps(tmp_path / "s"))
    stamper = Stamper(keys, uri, chain, "1.2.3", books, lambda: NOW)
    client = StamperClient(stamper.handle)
    with pytest.raises(NotFound, match="not answered here"):
        client.legacy_reply(request())
    with pytest.raises(Misused, match="never answered with a publicly trusted key"):
        stamper.offer_legacy([])
    with pytest.raises(Misused, match="publicly trusted"):
        stamper.offer_legacy([PinnedAnchor(root().der, "private")])
    stamper.offer_legacy([PinnedAnchor(authority.root, "rehearsal")])
    reply = client.legacy_reply(request())
    signed = cms.parse(base64.b64decode(reply))
    digest = hashlib.sha256(SIGNATURE).digest()
    assert signed.signers[0].attributes[cms.ID_MESSAGE_DIGEST] == (der.octet_string(digest),)
    with pytest.raises(BadInput):
        client.legacy_reply(b"junk")
    assert books.stamps is not None
    (batch,) = books.stamps.batches(0, datetime(2026, 12, 1, tzinfo=UTC))
    assert batch.count == 1
    stamper.close()
