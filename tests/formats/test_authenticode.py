"""The octets that all Windows formats share, held against what osslsigncode writes for real files of each kind."""

import base64
import hashlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.pe_builder import program
from tests.formats.signing import APPEND, PE, look, sign, signatory, stamp, troubles
from tests.pki import mint

from privyseal.errors import BadInput
from privyseal.formats import authenticode, authenticode_blob
from privyseal.formats.authenticode import SUBJECTS
from privyseal.formats.pe_table import write_entry
from privyseal.pki import cms, der
from privyseal.terms.signatures import DIGEST_SIZES, Described, DigestAlgorithm, Options, Signature, TimestampToken

DIGEST = bytes(range(32))
DESCRIBED = Described(format="pe", filename="x", digest_algorithm="sha256", digest=DIGEST, size=2036)


def finished(kind: str = "pe", stamped: bool = False, **options: str) -> bytes:
    """Return a blob over a made-up digest."""
    who, wishes = signatory(), Options(**options)
    tbs = authenticode.to_be_signed(SUBJECTS[kind], DESCRIBED, who.identity, wishes)
    signed = who.sign(tbs)
    token = stamp().token(signed.value) if stamped else None
    return authenticode.finish(SUBJECTS[kind], DESCRIBED, who.identity, wishes, signed, token)


def judged(blob: bytes, kind: str = "pe", digests: dict[str, bytes] | None = None) -> set[str]:
    """Return the slugs that judging one blob gives."""
    (found,) = authenticode_blob.walk([blob])
    one = authenticode_blob.judge(found, 0, "pe", SUBJECTS[kind], digests or {"sha256": DIGEST})
    return {problem.code for problem in one.problems}


def loose(blob: bytes) -> set[str]:
    return {problem.code for problem in authenticode_blob.loose(authenticode_blob.read(blob))}


def rebuilt(blob: bytes, **changes: object) -> bytes:
    """Return the blob encoded anew with some parts exchanged; what is signed stays."""
    signed = cms.parse(blob)
    signer = signed.signers[0]
    unsigned = [cms.attribute(kind, *values) for kind, values in signer.unsigned.items()]
    info = cms.signer_info(
        certificate=changes.get("certificate", signed.certificates[0]),
        digest_algorithm="sha256",
        signed_attributes=[one.raw for one in der.children(der.read(signer.signed_attributes or b""))],
        signature=changes.get("signature", signer.signature),
        unsigned_attributes=[*unsigned, *changes.get("unsigned", ())],
    )
    return cms.build_signed_data(
        content_type=changes.get("content_type", signed.content_type),
        content=changes.get("content", signed.content),
        digest_algorithm="sha256",
        certificates=changes.get("certificates", signed.certificates),
        signers=[info] * changes.get("signers", 1),
        version=changes.get("version", 1),
    )


@pytest.mark.parametrize("kind", SUBJECTS)
def test_every_kind_round_trips(kind: str):
    """For every kind of file the blob reads back as it was made, and another kind's is told apart."""
    blob = authenticode_blob.read(finished(kind, program_name="N", program_url="https://u/"))
    assert blob.subject == SUBJECTS[kind] and (blob.digest_algorithm, blob.digest) == ("sha256", DIGEST)
    assert (blob.program_name, blob.program_url) == ("N", "https://u/")
    assert not judged(blob.raw, kind) and not loose(blob.raw)
    other = next(name for name in SUBJECTS if SUBJECTS[name].kind != SUBJECTS[kind].kind)
    assert judged(blob.raw, other) == {"other-format"}


def test_packages_of_scripts_are_told_apart():
    """A signature of an installer is none of a script, though both name an SpcSipInfo."""
    assert judged(finished("msi"), "powershell") == judged(finished("vbs"), "js") == {"other-format"}
    assert len({SUBJECTS[kind].value for kind in SUBJECTS}) == len(SUBJECTS)
    signtools = SUBJECTS["msi"].value.replace(b"\2\1\1", b"\2\1\2", 1)
    other = msgspec.structs.replace(SUBJECTS["msi"], value=signtools)
    assert other != SUBJECTS["msi"] and authenticode.same_kind(other, SUBJECTS["msi"])
    assert not authenticode.same_kind(other, SUBJECTS["js"])
    for value in (b"", b"\x30\0", b"\x04"):
        broken = msgspec.structs.replace(other, value=value)
        assert not authenticode.same_kind(broken, other) and not authenticode.same_kind(broken, broken)


def test_a_longer_imprint():
    """A format with several digests puts all of them where one digest stands in others."""
    who, imprint = signatory("ecdsa-p256"), b"APPX" + bytes(144)
    tbs = authenticode.to_be_signed(SUBJECTS["appx"], DESCRIBED, who.identity, Options(), imprint)
    blob = authenticode.finish(SUBJECTS["appx"], DESCRIBED, who.identity, Options(), who.sign(tbs), None, imprint)
    assert authenticode_blob.read(blob).digest == imprint and not loose(blob)
    assert not judged(blob, "appx", {"sha256": imprint}) and judged(blob, "appx") == {"digest-mismatch"}
    with pytest.raises(BadInput, match="other octets"):
        authenticode.finish(SUBJECTS["appx"], DESCRIBED, who.identity, Options(), who.sign(tbs), None)


@pytest.mark.parametrize("stamped", [False, True])
def test_a_trust_list_is_signed_as_it_is(stamped: bool):
    """A catalogue's content is under the signature itself; with its content the blob verifies and nothing is loose."""
    who, content = signatory("ecdsa-p256"), der.sequence(der.utf8_string("a list"))
    described = msgspec.structs.replace(DESCRIBED, digest=hashlib.sha256(der.read(content).content).digest())
    signed = who.sign(authenticode.to_be_signed_list(described, who.identity, Options()))
    token = stamp().token(signed.value) if stamped else None
    blob = authenticode.finish_list(described, who.identity, Options(), signed, token, content)
    kind = authenticode.ID_TRUST_LIST
    (found,) = authenticode_blob.walk([blob], kind)
    subject = authenticode.Subject(kind, b"")
    one = authenticode_blob.judge(found, 0, "cat", subject, {"sha256": described.digest})
    assert not one.problems and one.digest == described.digest and found.blob is not None
    assert not list(authenticode_blob.loose(found.blob))
    with pytest.raises(BadInput, match="no SpcIndirectDataContent"):
        authenticode_blob.read(blob)
    with pytest.raises(BadInput, match="other octets"):
        authenticode.finish_list(described, who.identity, Options(program_name="x"), signed, None, content)


def written_out(kind: str, described: Described, wishes: Options, value: bytes, token: bytes | None) -> bytes:
    """Return the blob as the writer of CMS alone writes it, element by element, with nothing remembered."""
    who, name = signatory("ecdsa-p256").identity, described.digest_algorithm
    content = authenticode.indirect_data(SUBJECTS[kind], name, described.digest)
    hashed = hashlib.new(name, der.read(content).content).digest()
    return cms.build_signed_data(
        content_type=authenticode.ID_INDIRECT_DATA,
        content=content,
        digest_algorithm=name,
        certificates=who.chain,
        signers=[
            cms.signer_info(
                certificate=who.chain[0],
                digest_algorithm=name,
                signed_attributes=authenticode._attributes(hashed, who, wishes),
                signature=value,
                unsigned_attributes=[cms.attribute(authenticode.ID_TIMESTAMP, token)] if token else [],
            )
        ],
        version=1,
    )


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_filled_in_is_what_would_be_written_out(data: st.DataObject):
    """Whatever the file, the wishes and the signature: the blob and the octets signed are those written in full."""
    who = signatory("ecdsa-p256").identity
    kind = data.draw(st.sampled_from(sorted(SUBJECTS)))
    name: DigestAlgorithm = data.draw(st.sampled_from(sorted(DIGEST_SIZES)))
    size = DIGEST_SIZES[name]
    digest = data.draw(st.binary(min_size=size, max_size=size))
    described = msgspec.structs.replace(DESCRIBED, digest_algorithm=name, digest=digest)
    wishes = Options(
        program_name=data.draw(st.sampled_from([None, "Prüfung", "100 %b", "n" * 130])),
        program_url=data.draw(st.sampled_from([None, "https://u/%20%s"])),
    )
    value = data.draw(st.binary(min_size=8, max_size=600))
    token = data.draw(st.none() | st.binary(min_size=1, max_size=600))
    tbs = authenticode.to_be_signed(SUBJECTS[kind], described, who, wishes)
    stamped = None if token is None else TimestampToken(token, datetime(2026, 1, 1, tzinfo=UTC), "CN=T", "1")
    blob = authenticode.finish(SUBJECTS[kind], described, who, wishes, Signature(tbs, value), stamped)
    assert blob == written_out(kind, described, wishes, value, token)
    signed = der.children(der.children(der.children(der.read(blob))[1])[0])
    info = der.children(der.children(signed[-1])[0])
    assert tbs.octets == der.tlv(der.SET, info[3].content) and info[3].tag == 0xA0


SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "code"
REAL = {"msi": "jsign/minimal.msi", "cab": "jsign/sample1.cab", "powershell": "jsign/hello-world.ps1"}


@pytest.mark.parametrize("kind", REAL)
def test_kinds_are_those_of_osslsigncode(tmp_path: Path, kind: str):
    """Type and GUID of each kind stand, octet for octet, in what osslsigncode signs of a real file of it."""
    if not SAMPLES.is_dir():
        pytest.skip(f"The folder of sample files is not here, so no real {kind} could be signed.")
    source = SAMPLES / REAL[kind]
    chain, key, _ = signatory().write_pem(tmp_path)
    out = tmp_path / source.name
    command = ["osslsigncode", "sign", "-certs", chain, "-key", key, "-h", "sha256", "-in", source, "-out", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if kind == "powershell" and "Unrecognized file type" in done.stdout + done.stderr:
        return  # releases before 2.8, such as Debian's 2.5, know no scripts; nothing is written for them yet either
    assert "Succeeded" in done.stdout, done.stdout + done.stderr
    octets = out.read_bytes()
    if kind == "powershell":
        text = octets.decode("utf-8-sig").split("# SIG # Begin signature block")[1]
        octets = base64.b64decode("".join(line[2:] for line in text.splitlines() if "SIG #" not in line))
    assert der.sequence(der.oid(SUBJECTS[kind].kind), SUBJECTS[kind].value) in octets


def test_the_kind_of_programs_is_signtools():
    """For PE there are two spellings of nothing; ours is the one in Microsoft's own files of today."""
    assert SUBJECTS["pe"].value.hex() == "3009030100a004a2028000"


def test_signed_attributes_are_signtools_and_one_more():
    """Content type, digest, opus info, statement type, and the hashes of the certificates; no time."""
    blob = authenticode_blob.read(finished())
    assert set(blob.signer.attributes) == {
        cms.ID_CONTENT_TYPE,
        cms.ID_MESSAGE_DIGEST,
        authenticode.ID_OPUS_INFO,
        authenticode.ID_STATEMENT_TYPE,
        authenticode.ID_SIGNING_CERTIFICATE,
    }
    assert blob.signer.attributes[authenticode.ID_OPUS_INFO] == (b"\x30\x00",)
    assert blob.signed.version == 1 and blob.signer.version == 1 and not blob.signed.ber


def test_openssl_reads_the_blob(tmp_path: Path):
    """OpenSSL's own parser prints it as PKCS#7 with the content type and attributes that belong there."""
    path = tmp_path / "blob.der"
    path.write_bytes(finished(stamped=True, program_name="A"))
    said = mint.run("openssl", "pkcs7", "-inform", "DER", "-in", path, "-print", "-noout").stdout
    for words in ("1.3.6.1.4.1.311.2.1.4", "Microsoft Individual Code Signing", "1.3.6.1.4.1.311.3.3.1"):
        assert words in said
    assert "signingCertificateV2" in said and "version: 1" in said


def test_program_names_of_other_tools():
    """BMPString and IA5String names, links that are files or monikers, and rubbish: read, or passed over in silence."""

    def info(*parts: bytes) -> tuple[str | None, str | None]:
        return authenticode_blob._opus_info((der.sequence(*parts),))

    assert info(der.explicit(0, der.implicit(1, b"ASCII", False))) == ("ASCII", None)
    assert info(der.explicit(1, der.implicit(0, b"https://u", False))) == (None, "https://u")
    assert info(der.explicit(1, der.explicit(2, der.implicit(0, b"\0f", False)))) == (None, None)
    assert info(der.explicit(0, der.implicit(0, b"\0A\xff", False))) == ("A�", None)
    assert info(der.null()) == info(der.explicit(0)) == (None, None)
    assert authenticode_blob._opus_info((b"\x30",)) == authenticode_blob._opus_info(()) == (None, None)


def test_other_certificates_for_the_same_key_do_not_pass():
    """The signature stands under the certificate that was named, not under another one for the same key."""
    blob = finished()
    who = signatory()
    other = mint.certify("Somebody else", who.key, purposes=(mint.CODE_SIGNING,))
    swapped = rebuilt(blob, certificate=other.der, certificates=(other.der, *who.identity.chain[1:]))
    assert judged(swapped) == {"certificate-binding"}
    assert judged(rebuilt(blob, certificates=who.identity.chain[:1])) == {"certificate-binding"}
    assert not judged(rebuilt(blob, certificates=(*who.identity.chain, other.der)))
    assert loose(rebuilt(blob, certificates=(*who.identity.chain, other.der))) == {"unused-certificate"}
    assert "no-signer-certificate" in judged(rebuilt(blob, certificates=who.identity.chain[1:]))


def test_what_is_no_authenticode():
    """Other contents, versions and numbers of signers are one malformed signature each."""
    blob = finished()
    for changed in (
        rebuilt(blob, version=3),
        rebuilt(blob, signers=2),
        rebuilt(blob, signers=0),
        rebuilt(blob, content=None),
        rebuilt(blob, content_type=cms.ID_DATA),
        rebuilt(blob, content=der.octet_string(b"x")),
        rebuilt(blob, content=b"\x31" + (cms.parse(blob).content or b"")[1:]),
    ):
        assert judged(changed) == {"malformed-signature"}


def test_flaws_are_named():
    """Digest, signature value and attributes each have their own slug."""
    blob = finished()
    assert judged(blob, digests={"sha256": bytes(32)}) == {"digest-mismatch"}
    value = cms.parse(blob).signers[0].signature
    assert judged(rebuilt(blob, signature=bytes(len(value)))) == {"signature-value"}
    other = authenticode.indirect_data(SUBJECTS["pe"], "sha256", bytes(32))
    assert judged(rebuilt(blob, content=other)) == {"digest-mismatch", "message-digest"}
    sha1 = der.sequence(
        der.sequence(der.oid(SUBJECTS["pe"].kind), SUBJECTS["pe"].value),
        der.sequence(der.sequence(der.oid("1.3.14.3.2.26"), der.null()), der.octet_string(bytes(20))),
    )
    assert judged(rebuilt(blob, content=sha1)) == {"weak-digest", "message-digest"}


def test_sha1_signatures_are_weak(tmp_path: Path):
    """What osslsigncode still signs with SHA-1 is a weak digest to us, and nothing breaks."""
    chain, key, _ = signatory().write_pem(tmp_path)
    (tmp_path / "in.exe").write_bytes(program())
    command = ["osslsigncode", "sign", "-certs", chain, "-key", key, "-h", "sha1", "-in", tmp_path / "in.exe"]
    done = subprocess.run([*command, "-out", tmp_path / "out.exe"], capture_output=True, text=True, check=False)
    assert "Succeeded" in done.stdout
    found = look(tmp_path / "out.exe")
    assert found.signatures[0].digest_algorithm == "sha1" and "weak-digest" in troubles(found)


def test_unsigned_attributes_are_loose():
    """Anything but one timestamp and nested signatures in the unsigned attributes could be changed unseen."""
    blob = finished(stamped=True)
    assert not loose(blob)
    extra = cms.attribute("1.2.3.4", der.null())
    assert loose(rebuilt(blob, unsigned=(extra,))) == {"unsigned-attribute", "not-canonical"}
    token = cms.parse(blob).signers[0].unsigned[authenticode.ID_TIMESTAMP][0]
    twice = cms.with_unsigned_attribute(blob, authenticode.ID_TIMESTAMP, token)
    assert loose(twice) == {"several-timestamps"}


def test_other_encodings_are_loose():
    """BER, which says the same in other octets, verifies where it can and is never canonical."""
    blob = finished()
    indefinite = b"\x30\x80" + der.read(blob).content + b"\0\0"
    assert authenticode_blob.read(indefinite).signed.ber
    assert not judged(indefinite) and loose(indefinite) == {"not-der"}


def test_certificates_keep_their_order():
    """Certificates in another order verify all the same, so that order is asked for too."""
    blob = finished()
    reordered = rebuilt(blob, certificates=cms.parse(blob).certificates[::-1])
    assert not judged(reordered) and loose(reordered) == {"certificate-order"}


def test_second_signatures_and_ber(tmp_path: Path):
    """Nothing is nested in a signature that would have to be encoded anew to take it."""
    path = tmp_path / "p.exe"
    blob = finished()
    path.write_bytes(program(table=write_entry(b"\x30\x80" + der.read(blob).content + b"\0\0")))
    with pytest.raises(BadInput, match="cannot take a second one"):
        sign(path, signatory(), options=APPEND)


def test_certificates_named_by_other_hashes():
    """RFC 5035 lets the attribute use any digest: SHA-512 counts, SHA-1 does not."""
    who = signatory()
    leaf = who.identity.chain[0]

    def with_hash(algorithm: bytes, digest: bytes) -> bytes:
        ids = der.sequence(der.sequence(der.sequence(algorithm, der.octet_string(digest))))
        content = authenticode.indirect_data(SUBJECTS["pe"], "sha256", DIGEST)
        attributes = (
            cms.attribute(cms.ID_CONTENT_TYPE, der.oid(authenticode.ID_INDIRECT_DATA)),
            cms.attribute(cms.ID_MESSAGE_DIGEST, der.octet_string(hashlib.sha256(der.read(content).content).digest())),
            cms.attribute(authenticode.ID_SIGNING_CERTIFICATE, ids),
        )
        value = who.sign(
            msgspec.structs.replace(
                authenticode.to_be_signed(SUBJECTS["pe"], DESCRIBED, who.identity, Options()),
                octets=cms.attributes_to_be_signed(attributes),
            )
        ).value
        signer = cms.signer_info(
            certificate=leaf, digest_algorithm="sha256", signed_attributes=attributes, signature=value
        )
        return cms.build_signed_data(
            content_type=authenticode.ID_INDIRECT_DATA,
            content=content,
            digest_algorithm="sha256",
            certificates=(leaf,),
            signers=(signer,),
            version=1,
        )

    sha512 = der.sequence(der.oid("2.16.840.1.101.3.4.2.3"))
    sha1 = der.sequence(der.oid("1.3.14.3.2.26"))
    assert not judged(with_hash(sha512, hashlib.sha512(leaf).digest()))
    assert judged(with_hash(sha512, hashlib.sha512(leaf + b"x").digest())) == {"certificate-binding"}
    assert judged(with_hash(sha1, hashlib.sha1(leaf).digest())) == {"malformed-signature"}  # noqa: S324 - refused


def test_value_that_is_no_signature_is_still_a_blob():
    """``finish`` believes the signer, which has verified the value; judging finds out whoever has not."""
    who = signatory()
    (tbs,) = PE.to_be_signed(
        msgspec.structs.replace(DESCRIBED, facts={"machine": 0x8664, "magic": 0x20B, "subsystem": 3}),
        who.identity,
        Options(),
    )
    blob = authenticode.finish(SUBJECTS["pe"], DESCRIBED, who.identity, Options(), Signature(tbs, bytes(384)), None)
    assert judged(blob) == {"signature-value"}
