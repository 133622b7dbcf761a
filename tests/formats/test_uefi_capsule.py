"""UEFI capsules: signed as EDK2's GenerateCapsule does, judged by it, replaced, taken apart; and what is none."""

from __future__ import annotations

import json
import re
import struct
from functools import lru_cache
from pathlib import Path

import msgspec
import pytest
from tests.formats import generate_capsule
from tests.formats.signing import APPEND, Signatory, blobs_for, look, signatory, stamp
from tests.formats.test_windows_every_octet import flipped
from tests.formats.uefi_builder import authentication, authentications, capsule, openssl_verifies
from tests.formats.walking import describe, remove, sign, wrong
from tests.pki import mint

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import operations
from privyseal.formats.catalogue import BY_NAME, recognise
from privyseal.formats.patch import carry_out
from privyseal.formats.protocol import Identity
from privyseal.formats.source import FileSource
from privyseal.pki import certificates
from privyseal.terms.signatures import DigestAlgorithm, Options, Signature

CAPSULE = BY_NAME["uefi-capsule"]
PLAIN = Options(timestamp=False)
COUNTED = Options(timestamp=False, monotonic_count=0x0102030405)
RSA = signatory()
IMAGE = b"firmware " * 50


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "firmware.cap"
    path.write_bytes(capsule())
    return path


SHAPES: dict[str, dict[str, object]] = {
    "plain": {},
    "drivers": {"drivers": (b"driver one", b"driver two!")},
    "vendor's code": {"vendor": b"code of the vendor"},
    "version 2": {"version": 2},
    "version 1": {"version": 1, "drivers": (b"d",)},
    "a header of 28": {"header": 28},
    "a header of 64": {"header": 64},
    "a large image": {"images": (bytes(range(256)) * 40_000,)},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_there_and_back(tmp_path: Path, shape: str, digest: DigestAlgorithm):
    """Signed, judged by openssl, signed anew with another count, removed: the very file."""
    path = tmp_path / "firmware.cap"
    path.write_bytes(original := capsule(**SHAPES[shape]))  # type: ignore[arg-type]
    blob = sign(path, RSA, options=PLAIN, digest=digest)
    count, message, image, vendor = authentication(path.read_bytes())
    assert (count, message, vendor) == (0, blob, SHAPES[shape].get("vendor", b""))
    assert image == SHAPES[shape].get("images", (IMAGE,))[0]  # type: ignore[index]
    assert openssl_verifies(message, image + bytes(8), RSA.root, tmp_path) and not wrong(path)
    assert not openssl_verifies(message, image + b"\1" + bytes(7), RSA.root, tmp_path)
    sign(path, RSA, options=COUNTED, digest=digest)
    count, message, image, _ = authentication(path.read_bytes())
    assert count == 0x0102030405 and openssl_verifies(message, image + struct.pack("<Q", count), RSA.root, tmp_path)
    sign(path, RSA, options=PLAIN)
    assert authentication(path.read_bytes())[0] == 0x0102030405 and not wrong(path)
    remove(path)
    assert path.read_bytes() == original and not look(path).signatures
    remove(path)
    assert path.read_bytes() == original


# -- EDK2 --------------------------------------------------------------------------------------------------------------
@lru_cache
def plain_rsa() -> Signatory:
    """Return one whose certificates state no purpose: EDK2 has openssl verify as for mail, which refuses others."""
    root = mint.certify("Firmware root", mint.key("rsa-3072", 98), ca=True, days=3000)
    leaf = mint.certify("Firmware", mint.key("rsa-3072", 99), root)
    return Signatory(Identity((leaf.der,), "rsa-3072"), leaf.key, root.der)


PAYLOADS = (bytes(range(256)) * 12, b"another image" * 99, b"and a third!")


def named(folder: Path, payloads: int = 1) -> list[object]:
    """Write what GenerateCapsule needs to know, and return the arguments that say so."""
    _, key, root = plain_rsa().write_pem(folder)
    leaf = folder / "leaf.pem"
    leaf.write_bytes(key.read_bytes() + certificates.pem(plain_rsa().identity.chain[0]))
    rows = []
    for number, payload in enumerate(PAYLOADS[:payloads]):
        (folder / f"payload{number}.bin").write_bytes(payload)
        rows.append(
            {
                "Guid": f"33221100-5544-7766-8899-AABBCCDDEE{0xFF - number:02X}",
                "FwVersion": "2",
                "LowestSupportedVersion": "1",
                "MonotonicCount": str(7 + number),
                "UpdateImageIndex": str(1 + number),
                "Payload": str(folder / f"payload{number}.bin"),
                "OpenSslSignerPrivateCertFile": str(leaf),
                "OpenSslOtherPublicCertFile": str(root),
                "OpenSslTrustedPublicCertFile": str(root),
            }
        )
    (folder / "capsule.json").write_text(json.dumps({"EmbeddedDrivers": [], "Payloads": rows}))
    return ["-j", folder / "capsule.json"]


def refused_by_edk2(path: Path, payloads: int = 1) -> list[int]:
    """Have GenerateCapsule take a capsule apart and verify it; return the numbers, from 1, of the images it refuses.

    What it says of dependencies, it says of its own too.
    """
    said = generate_capsule.run("--decode", "-v", "-o", path.parent / "decoded", *named(path.parent, payloads), path)
    assert said.count("FMP_PAYLOAD_HEADER.FwVersion              = 00000002") == payloads, said
    return [int(number) for number in re.findall(r"payload verification failed Index = (\d+)", said)]


def encoded_by_edk2(folder: Path, payloads: int = 1) -> bytes:
    path = folder / "theirs.cap"
    said = generate_capsule.run("--encode", "-o", path, *named(folder, payloads))
    assert path.exists(), said
    return path.read_bytes()


@pytest.mark.parametrize("payloads", [1, 3])
def test_edk2_accepts_ours(path: Path, payloads: int):
    """And objects to a changed one; the capsule without its signatures is as EDK2 would have written it."""
    path.write_bytes(encoded_by_edk2(path.parent, payloads))
    assert wrong(path) == set() and refused_by_edk2(path, payloads) == []
    assert len(look(path).signatures) == payloads
    remove(path)
    bare = path.read_bytes()
    sign(path, plain_rsa(), options=PLAIN)
    assert not wrong(path) and refused_by_edk2(path, payloads) == []
    sign(path, plain_rsa(), options=COUNTED)
    assert {one[0] for one in authentications(path.read_bytes())} == {0x0102030405}
    assert not wrong(path) and refused_by_edk2(path, payloads) == []
    octets = bytearray(path.read_bytes())
    octets[-1] ^= 1
    path.write_bytes(octets)
    assert wrong(path) == {"digest-mismatch"} and refused_by_edk2(path, payloads) == [payloads]
    remove(path)
    assert path.read_bytes()[:-1] == bare[:-1]


# -- several images ----------------------------------------------------------------------------------------------------
IMAGES = (b"one", b"two" * 9, b"one")
SEVERAL: dict[str, dict[str, object]] = {
    "two": {"images": IMAGES[:2]},
    "twice the same, and drivers": {"images": IMAGES, "drivers": (b"driver one", b"driver two!")},
    "vendor's code": {"images": IMAGES[:2], "vendor": b"code of the vendor"},
    "version 1": {"images": IMAGES[:2], "version": 1},
    "version 2 and a header of 64": {"images": IMAGES[:2], "version": 2, "header": 64},
    "as many as there can be": {"images": tuple(b"image %d" % number for number in range(32))},
}


@pytest.mark.parametrize("shape", SEVERAL)
def test_several_images(tmp_path: Path, shape: str):
    """Each has a signature of its own, judged by openssl, none of which is good for another; and the very file."""
    path = tmp_path / "several.cap"
    images = SEVERAL[shape]["images"]
    assert isinstance(images, tuple)
    path.write_bytes(original := capsule(**SEVERAL[shape]))  # type: ignore[arg-type]
    sign(path, RSA, options=COUNTED)
    found = authentications(path.read_bytes())
    assert [(count, image) for count, _, image, _ in found] == [(0x0102030405, one) for one in images]
    for count, message, image, vendor in found[:3]:
        assert vendor == SEVERAL[shape].get("vendor", b"")
        assert openssl_verifies(message, image + struct.pack("<Q", count), RSA.root, tmp_path)
    assert not openssl_verifies(found[0][1], images[1] + struct.pack("<Q", found[0][0]), RSA.root, tmp_path)
    there = look(path)
    assert not wrong(path) and [one.blob for one in there.signatures] == [one[1] for one in found]
    assert [one.index for one in there.signatures] == list(range(len(images)))
    remove(path)
    assert path.read_bytes() == original and not look(path).signatures


def spliced(tmp_path: Path, *counts: int | None) -> bytes:
    """Return a capsule of images that were signed one at a time, with these counts; None for one that is not."""
    path, images = tmp_path / "one.cap", []
    for image, count in zip(IMAGES, counts, strict=False):
        path.write_bytes(capsule(images=(image,)))
        if count is not None:
            sign(path, signatory("rsa-4096"), options=Options(timestamp=False, monotonic_count=count))
        images.append(path.read_bytes()[32 + 16 + 48 :])
    return capsule(images=images, drivers=(b"driver",), supports=1)


def test_each_image_keeps_its_count(tmp_path: Path):
    """What is signed already is signed anew, what is not is signed; by one key, and over another's signature."""
    path = tmp_path / "several.cap"
    path.write_bytes(spliced(tmp_path, 5, 9))
    assert len(look(path).signatures) == 2 and not wrong(path)
    path.write_bytes(spliced(tmp_path, 5, None, 9))
    assert len(look(path).signatures) == 2 and wrong(path) == {"unsigned-image"}
    sign(path, RSA, options=PLAIN)
    found = authentications(path.read_bytes())
    assert [count for count, *_ in found] == [5, 0, 9] and not wrong(path)
    assert {one.signer for one in look(path).signatures} == {RSA.identity.chain[0]}
    remove(path)
    assert path.read_bytes() == capsule(images=IMAGES, drivers=(b"driver",))


def test_a_signature_of_another_image_does_not_hold(tmp_path: Path):
    """Nor is less than one for each taken, nor are more images signed than there may be."""
    path = tmp_path / "several.cap"
    path.write_bytes(original := capsule(images=IMAGES[:2]))
    with FileSource.open(path) as code:
        layout = CAPSULE.inspect(code)
        prepared = CAPSULE.prepare(code, layout, RSA.identity, COUNTED, "sha256")
        assert [one.facts["image_index"] for one in prepared.described] == [1, 2]
        blobs = blobs_for(prepared, RSA, COUNTED)
        for wrong_number in (blobs[:1], [*blobs, blobs[0]], []):
            with pytest.raises(BadInput, match="for 2 images"):
                CAPSULE.apply(code, prepared, COUNTED, wrong_number)
        carry_out(CAPSULE.apply(code, prepared, COUNTED, blobs[::-1]), code, tmp_path / "crossed.cap")
    crossed = look(tmp_path / "crossed.cap")
    assert [[each.code for each in one.problems] for one in crossed.signatures] == [["digest-mismatch"]] * 2
    sign(path, RSA, options=COUNTED)
    octets = path.read_bytes()
    at = octets.rindex(IMAGES[1])
    path.write_bytes(octets[:at] + b"T" + octets[at + 1 :])
    assert [len(one.problems) for one in look(path).signatures] == [0, 1]
    path.write_bytes(original := capsule(images=[b"image"] * 33))
    with pytest.raises(MalformedCode, match="holds 33 images, and at most 32"):
        sign(path, RSA, options=PLAIN)
    assert path.read_bytes() == original


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_octet_counts(path: Path):
    """But those that the specification leaves out: flags, reserve, and for which device the image is."""
    path.write_bytes(capsule(drivers=(b"driver",), vendor=b"vendor"))
    blob = sign(path, RSA, options=PLAIN)
    octets = path.read_bytes()
    image = octets.index(b"driver") + 6
    free = {*range(20, 24), *range(28, 32), *range(image - 6, image), *range(image + 4, image + 21)}
    free |= {*range(image + 32, image + 48), *range(len(octets) - 6, len(octets))}
    inside = octets.index(blob)
    message = {at for at in range(inside + 20, inside + len(blob)) if at % 11}
    assert flipped(path, [at for at in range(len(octets)) if at not in free | message], (0x02,)) == []
    assert flipped(path, [image + 40], (0x01,)) == []


def item(change: int, value: int, size: int = 4) -> bytes:
    """Return a capsule with one number overwritten, counted from the header of its image."""
    octets = bytearray(capsule())
    at = 48 + change if change >= 0 else -change
    octets[at : at + size] = value.to_bytes(size, "little")
    return bytes(octets)


SIGNED_HEAD = bytes(8) + struct.pack("<IHH", 5000, 0x200, 0xEF1) + bytes.fromhex("9dd2af4adf68ee498aa9347d375665a7")
BROKEN: dict[str, tuple[bytes, str]] = {
    "cut": (capsule()[:-1], "claims 546 octets"),
    "more behind": (capsule() + b"more", "claims 546 octets"),
    "a header beyond the end": (item(-16, 540), "540 of them header"),
    "a header of nothing": (item(-16, 0), "0 of them header"),
    "another version": (item(-32, 2), "of version 2"),
    "no image": (capsule(images=(), drivers=(b"x",)), "1 drivers and 0 images"),
    "too many": (item(-36, 0xFFFF, 2), "65535 drivers"),
    "items that do not fit": (capsule()[:24] + struct.pack("<I", 42) + capsule()[28:40] + b"xx", "items do not fit"),
    "a gap": (item(-40, 24, 8), "one behind the other"),
    "an offset beyond the end": (item(-40, 1 << 62, 8), "one behind the other"),
    "an image of a later version": (item(0, 4), "of version 4"),
    "an index of nothing": (item(20, 0, 1), "with the index 0"),
    "reserved octets": (item(21, 1, 1), "is of version 3"),
    "an image that is shorter": (item(24, 10), "claims 10 octets"),
    "an image of nothing": (capsule(images=(b"",)), "claims 0 octets"),
    "an image that is longer": (item(24, 0xFFFFFFFF), "claims 4294967295 octets"),
    "a signature beyond the image": (capsule(images=(SIGNED_HEAD + b"short",)), "has 5000 octets"),
    "a signature and no image": (
        capsule(images=(SIGNED_HEAD[:8] + struct.pack("<I", 29) + SIGNED_HEAD[12:] + b"short",)),
        "has 29 octets",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_capsule(path: Path, how: str):
    octets, why = BROKEN[how]
    path.write_bytes(octets)
    with pytest.raises(MalformedCode, match=why):
        sign(path, RSA, options=PLAIN)
    assert path.read_bytes() == octets


def test_what_it_cannot_and_what_it_says(path: Path):
    with pytest.raises(Impossible, match="one signature"):
        operations.require_for(CAPSULE, msgspec.structs.replace(APPEND, timestamp=False))
    with pytest.raises(Impossible, match="no timestamp"):
        operations.require_for(CAPSULE, Options())
    path.write_bytes(capsule(drivers=(b"d", b"e")))
    with FileSource.open(path) as code:
        assert recognise(code).summarise(code, CAPSULE.inspect(code)).kind == "UEFI capsule of 1 image and 2 drivers"
        with pytest.raises(Impossible):
            CAPSULE.timestamped(code, CAPSULE.inspect(code), {})


def test_the_key_side_refuses(path: Path):
    good = describe(path)
    for facts in (
        {**good.facts, "more": 1},
        {**good.facts, "image_type": "x"},
        {**good.facts, "image_index": 0},
        {**good.facts, "monotonic_count": -1},
        {**good.facts, "monotonic_count": 1 << 53},
    ):
        with pytest.raises(BadInput):
            CAPSULE.to_be_signed(msgspec.structs.replace(good, facts=facts), RSA.identity, PLAIN)
    for other in (
        msgspec.structs.replace(good, format="pe"),
        msgspec.structs.replace(good, size=8),
        msgspec.structs.replace(good, digest=bytes(31)),
    ):
        with pytest.raises(BadInput):
            CAPSULE.to_be_signed(other, RSA.identity, PLAIN)
    for options in (COUNTED, msgspec.structs.replace(PLAIN, mode="append")):
        with pytest.raises(BadInput):
            CAPSULE.to_be_signed(good, RSA.identity, options)
    with pytest.raises(BadInput, match="RSA keys"):
        CAPSULE.to_be_signed(good, signatory("ecdsa-p256").identity, PLAIN)
    (wanted,) = CAPSULE.to_be_signed(good, RSA.identity, PLAIN)
    value = RSA.sign(wanted)
    with pytest.raises(BadInput, match="no timestamp"):
        CAPSULE.finish(good, RSA.identity, PLAIN, [value], [stamp().token(value.value)])
    elsewhere = Signature(msgspec.structs.replace(wanted, octets=b"other"), value.value)
    for signed in ([], [value, value], [elsewhere]):
        with pytest.raises(BadInput, match="one signature"):
            CAPSULE.finish(good, RSA.identity, PLAIN, signed, [])


def test_counts_that_json_does_not_carry(path: Path):
    """A file may hold one; it is verified, and not signed with it."""
    with pytest.raises(MalformedCode, match="monotonic count"):
        sign(path, RSA, options=Options(timestamp=False, monotonic_count=1 << 53))
