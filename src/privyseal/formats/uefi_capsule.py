"""UEFI capsules: firmware that the firmware installs (FMP, ESRT), signed as EDK2's GenerateCapsule does.

Before an image stands EFI_FIRMWARE_IMAGE_AUTHENTICATION: a monotonic count and a PKCS#7 message over the image and that
count, through signed attributes, so the image stays where it is. Around it are headers that say for which device it
is; **the specification leaves them out of the signature**, and firmware matches them against what it runs on. Drivers
in a capsule are programs with signatures of their own. Of several images each has a description, a count and a
signature of its own, and all are signed together.

Judges of what we write: EDK2's GenerateCapsule, which takes a capsule apart and has openssl verify it, and openssl.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final

import msgspec

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import bound_certificates, content, fitting, uefi_blob, uefi_capsule_layout
from privyseal.formats.comparing import Comparing
from privyseal.formats.protocol import (
    Copy,
    EmbeddedSignature,
    Identity,
    Insert,
    Layout,
    Operation,
    PatchPlan,
    Prepared,
    Problem,
    Source,
    Summary,
)
from privyseal.formats.uefi_capsule_layout import AUTHENTICATED, HEADER, TABLE, CapsuleLayout, Image
from privyseal.pki import cms, der
from privyseal.terms.signatures import (
    DIGEST_SIZES,
    SCHEMES,
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

NAME: Final = uefi_capsule_layout.NAME
"""What the format is called."""
MAX_COUNT: Final = (1 << 53) - 1
"""Monotonic counts that are signed here: what JSON carries (RFC 8259 section 6). The field has 64 bits."""
MOST_IMAGES: Final = 32
"""Images of one capsule that are signed; EDK2's firmware keeps as many entries of what can be updated so, unless it is
told otherwise (MdeModulePkg, PcdMaxFmpEsrtCacheNum)."""


class CapsuleFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a description of a capsule's image says beside digest and size; count and digest are signed."""

    image_type: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    image_index: Annotated[int, msgspec.Meta(ge=1, le=255)]
    monotonic_count: Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


class UefiCapsule:
    """The format ``uefi-capsule``."""

    name = NAME
    title = "UEFI capsule (FMP)"
    cannot: Mapping[Operation, str] = {
        "append": "An image in a UEFI capsule carries one signature: replace it instead.",
        "timestamp": "Firmware reads no timestamp in the signature of a capsule.",
    }

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 90 for the capsule's identifier; the name adds 5."""
        named = filename.lower().endswith((".cap", ".capsule", ".bin"))
        return (90 + 5 * named) * (head[:16] == uefi_capsule_layout.CAPSULE)

    def inspect(self, code: Source) -> CapsuleLayout:
        """Read the structure; MalformedCode with one sentence that names what is wrong."""
        return uefi_capsule_layout.read(code)

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash each image and its count; MalformedCode for a count or a number of images that is not signed.

        Under no certificate nothing is signed, and counts are taken for 0, so that a digest is that of its image.
        """
        layout = _of_capsule(layout)
        if len(layout.images) > MOST_IMAGES:
            raise MalformedCode(
                f"{code.filename} holds {len(layout.images)} images, and at most {MOST_IMAGES} are signed.",
                hint="make several capsules of them",
            )
        wished = options.monotonic_count if identity.chain else 0
        counts = [one.count or 0 if wished is None else wished for one in layout.images]
        for count in counts:  # before anything is hashed
            if not 0 <= count <= MAX_COUNT:
                raise MalformedCode(
                    f"{code.filename} has the monotonic count {count}; from 0 to {MAX_COUNT} can be signed."
                )
        comparing: Comparing | None = getattr(code, "comparing", None)
        if comparing is not None and identity.chain:
            alike = _authentication_like(identity, digest)
            comparing.move(_plan(code, layout, {one.item: alike for one in layout.images}))
        described = (_described(code, *one, digest) for one in zip(layout.images, counts, strict=True))
        return Prepared(tuple(described), layout)

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the capsule with an authentication before each image, and lengths and offsets that fit."""
        layout = _of_capsule(prepared.layout)
        if not len(blobs) == len(prepared.described) == len(layout.images):
            raise BadInput(f"Each image takes one signature; for {len(layout.images)} images {len(blobs)} came.")
        counts = [int(one.facts["monotonic_count"]) for one in prepared.described]
        changed = {
            image.item: uefi_capsule_layout.with_authentication(count, blob)
            for image, count, blob in zip(layout.images, counts, blobs, strict=True)
        }
        return _plan(code, layout, changed)

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the capsule without any authentication."""
        layout = _of_capsule(layout)
        return _plan(code, layout, {one.item: b"" for one in layout.images if one.signed})

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Refuse with Impossible: firmware has no use for a timestamp."""
        raise Impossible(self.cannot["timestamp"])

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge the signature of every image that has one."""
        signed = [one for one in _of_capsule(layout).images if one.signed]
        for index, image in enumerate(signed):
            yield _judged(code, image, index)

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say what of a signed capsule is loose that the specification does not leave loose, and what is not signed."""
        images = _of_capsule(layout).images
        if not any(one.signed for one in images):
            return
        for image in images:
            if not image.signed:
                yield Problem("unsigned-image", f"The image at {image.at} is not signed, and others are.")
                continue
            if image.version == 3 and not image.supports & AUTHENTICATED:
                yield Problem("not-announced", f"The header of the image at {image.at} does not say that it is signed.")
            octets = uefi_capsule_layout.blob(code, image)
            try:
                signed = uefi_blob.read(octets)
                yield from uefi_blob.loose(octets, signed)
                if bound_certificates.ID_SIGNING_CERTIFICATE not in signed.signers[0].attributes:
                    yield from uefi_blob.unrelated(signed)
                elif set(signed.certificates) - set(bound_certificates.bound(signed.signers[0], signed.certificates)):
                    yield Problem("certificate-binding", "It carries certificates that are not under the signature.")
            except BadInput as error:
                yield Problem("malformed-signature", error.detail)

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Count images and drivers."""
        layout = _of_capsule(layout)
        count = len(layout.images)
        said = f"UEFI capsule of {count} image{'s' * (count != 1)}"
        if layout.drivers:
            said += f" and {layout.drivers} driver{'s' * (layout.drivers != 1)}"
        return Summary(said, tuple((f"{one.kind} {one.index}", one.end - one.content) for one in layout.images))

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the signed attributes; BadInput for a description that ``prepare`` would not have made."""
        _check(described, options)
        attributes = _attributes(described, identity)
        return (ToBeSigned(cms.attributes_to_be_signed(attributes), described.digest_algorithm),)

    def finish(
        self,
        described: Described,
        identity: Identity,
        options: Options,
        signed: Sequence[Signature],
        tokens: Sequence[TimestampToken],
        enclosed: bytes = b"",
    ) -> bytes:
        """Build the PKCS#7 message; BadInput unless there is one signature, over these octets, and no token."""
        wanted = self.to_be_signed(described, identity, options, enclosed)
        if tokens:
            raise BadInput(self.cannot["timestamp"])
        if [one.to_be_signed for one in signed] != list(wanted):
            raise BadInput("An image takes one signature, over the octets that this description makes.")
        attributes = _attributes(described, identity)
        return uefi_blob.build(identity, described.digest_algorithm, signed[0], attributes, bare=False)


def _of_capsule(layout: Layout) -> CapsuleLayout:
    return fitting.layout_of(layout, CapsuleLayout, NAME)


def _described(code: Source, image: Image, count: int, digest: DigestAlgorithm) -> Described:
    return Described(
        format=NAME,
        filename=code.filename,
        digest_algorithm=digest,
        digest=_digest(code, image, count, digest),
        size=image.end - image.content + 8,
        facts={"image_type": image.kind, "image_index": image.index, "monotonic_count": count},
    )


def _digest(code: Source, image: Image, count: int, algorithm: DigestAlgorithm) -> bytes:
    parts: list[content.Part] = [(image.content, image.end), count.to_bytes(8, "little")]
    return content.digests(code, (algorithm,), parts)[algorithm]


def _authentication_like(identity: Identity, digest: DigestAlgorithm) -> bytes:
    """Return an authentication as long as the one that signing will make: RSA signatures are all of one length."""
    size = DIGEST_SIZES[digest]
    described = Described(format=NAME, filename="", digest_algorithm=digest, digest=bytes(size), size=size)
    attributes = _attributes(described, identity)
    value = Signature(ToBeSigned(b"", digest), bytes(SCHEMES[identity.scheme].largest_signature))
    blob = uefi_blob.build(identity, digest, value, attributes, bare=False)
    return uefi_capsule_layout.with_authentication(0, blob)


def _judged(code: Source, image: Image, index: int) -> EmbeddedSignature:
    octets = uefi_capsule_layout.blob(code, image)
    try:
        signed = uefi_blob.read(octets)
        (signer,) = signed.signers
        certificate = cms.signer_certificate(signed, signer)
        stated = signer.attributes.get(cms.ID_MESSAGE_DIGEST, ())
        algorithm = next((one for one in DIGEST_SIZES if one == signer.digest_algorithm), None)
        if algorithm is None or signer.signed_attributes is None or len(stated) != 1:
            raise BadInput("It is not through signed attributes, or by no digest of the SHA-2 family.")
        said = der.octets_of(der.read(stated[0]))
        actual = _digest(code, image, image.count or 0, algorithm)
        problems = list(uefi_blob.family_problems(signed))
        if said != actual:
            text = (
                f"The image has changed since it was signed: it hashes to {actual.hex()}, and {said.hex()} is signed."
            )
            problems.append(Problem("digest-mismatch", text))
        # The image is read as a stream, so its digest has been compared above.
        flaws = cms.flaws(signed, signer, content=b"")
        problems += [Problem(one.code, one.text) for one in flaws if one.code != "message-digest"]
        if bound_certificates.ID_SIGNING_CERTIFICATE in signer.attributes and (
            certificate is None or not bound_certificates.binds(signer, signed.certificates, certificate)
        ):
            text = "The certificates are not those whose hashes are under the signature."
            problems.append(Problem("certificate-binding", text))
    except BadInput as error:
        return EmbeddedSignature(
            format=NAME, blob=octets, index=index, nested=False, digest_algorithm="", digest=b"", signature_value=b"",
            signer=None, certificates=(), timestamp=None, problems=(Problem("malformed-signature", error.detail),),
        )  # fmt: skip
    return EmbeddedSignature(
        format=NAME,
        blob=octets,
        index=index,
        nested=False,
        digest_algorithm=algorithm,
        digest=said,
        signature_value=signer.signature,
        signer=certificate,
        certificates=signed.certificates,
        timestamp=None,
        problems=tuple(problems),
    )


def _plan(code: Source, layout: CapsuleLayout, changed: Mapping[int, bytes]) -> PatchPlan:
    """Plan the capsule with other authentications, by the numbers of the items; an empty one takes it away."""
    images = {one.item: one for one in layout.images if one.item in changed}
    grown = {item: len(changed[item]) - (one.content - one.start) for item, one in images.items()}
    size = layout.size + sum(grown.values())
    if size > uefi_capsule_layout.MAX_FILE:
        raise MalformedCode(f"{code.filename} would have {size} octets, and a capsule has 4 GiB at most.")
    head = bytearray(code.pread(0, layout.header + TABLE.size))
    struct.pack_into("<I", head, HEADER.size - 4, size)
    offsets = [one + sum(grown.get(item, 0) for item in range(number)) for number, one in enumerate(layout.offsets)]
    at = layout.header + layout.offsets[0]
    steps: list[Copy | Insert] = [Insert(bytes(head) + struct.pack(f"<{len(offsets)}Q", *offsets))]
    for item in sorted(images):
        one = images[item]
        header = bytearray(code.pread(one.at, one.start - one.at))
        struct.pack_into("<I", header, 24, one.end - one.start + grown[item])
        if one.version == 3:
            struct.pack_into("<Q", header, 40, one.supports & ~AUTHENTICATED | bool(changed[item]))
        steps += [Copy(at, one.at - at), Insert(bytes(header) + changed[item])]
        at = one.content
    return PatchPlan((*steps, Copy(at, layout.size - at)))


def _attributes(described: Described, identity: Identity) -> tuple[bytes, ...]:
    bound_certificates.require_rsa(identity.chain, identity.scheme, "UEFI")
    return (
        cms.attribute(cms.ID_CONTENT_TYPE, der.oid(cms.ID_DATA)),
        cms.attribute(cms.ID_MESSAGE_DIGEST, der.octet_string(described.digest)),
        bound_certificates.attribute(identity.chain),
    )


def _check(described: Described, options: Options) -> None:
    """Refuse a description that no capsule gives, and options that it cannot have."""
    facts = fitting.facts_of(described, NAME, CapsuleFacts, "a UEFI capsule")
    if options.monotonic_count not in (None, facts.monotonic_count):
        raise BadInput("The description and the options do not agree on the monotonic count.")
    if len(described.digest) != DIGEST_SIZES[described.digest_algorithm]:
        raise BadInput("The digest of this description has not the size of its algorithm.")
    if not 8 < described.size <= uefi_capsule_layout.MAX_FILE:
        raise BadInput(f"No image of a capsule is described here: a signature cannot cover {described.size} octets.")
    if options.mode == "append":
        raise BadInput(UefiCapsule.cannot["append"])
