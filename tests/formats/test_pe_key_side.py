"""The side of Windows programs that holds the key: it never sees the file, and believes nothing it is told."""

import msgspec
import pytest
from tests.formats.signing import APPEND, PE, PLAIN, signatory, stamp

from privyseal.errors import BadInput
from privyseal.terms.signatures import Described, Options, Signature, ToBeSigned

GOOD = Described(
    format="pe",
    filename="p.exe",
    digest_algorithm="sha256",
    digest=bytes(range(32)),
    size=2036,
    facts={"machine": 0x8664, "magic": 0x20B, "subsystem": 3},
)
FACTS = GOOD.facts


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "msi"}, "of the format msi"),
        ({"digest": bytes(31)}, "32 octets; 31"),
        ({"digest": bytes(64)}, "32 octets; 64"),
        ({"digest_algorithm": "sha512"}, "64 octets; 32"),
        ({"size": 0}, "cannot cover 0 octets"),
        ({"size": -12}, "cannot cover -12"),
        ({"size": 2035}, "cannot cover 2035"),
        ({"size": 1 << 32}, "cannot cover"),
        ({"facts": {}}, "missing required field"),
        ({"facts": FACTS | {"extra": 1}}, "unknown field `extra`"),
        ({"facts": FACTS | {"machine": "x64"}}, "Expected `int`"),
        ({"facts": FACTS | {"machine": True}}, "Expected `int`"),
        ({"facts": FACTS | {"machine": 0}}, "16-bit"),
        ({"facts": FACTS | {"machine": 0x18664}}, "16-bit"),
        ({"facts": FACTS | {"subsystem": -1}}, "16-bit"),
        ({"facts": FACTS | {"magic": 0x10B}}, "no PE32 for x64"),
        ({"facts": FACTS | {"magic": 0x107}}, "magic number 0x107"),
    ],
)
def test_key_side_refuses_what_prepare_would_not_make(change: dict, words: str):
    """The side that holds the key believes nothing: other facts, impossible sizes, digests of the wrong length."""
    who = signatory()
    described = msgspec.structs.replace(GOOD, **change)
    with pytest.raises(BadInput, match=words):
        PE.to_be_signed(described, who.identity, PLAIN)
    signed = [who.sign(tbs) for tbs in PE.to_be_signed(GOOD, who.identity, PLAIN)]
    with pytest.raises(BadInput, match=words):
        PE.finish(described, who.identity, PLAIN, signed, ())


def test_headers_that_were_believed_once_open_no_door():
    """What was found good is remembered; facts that only compare equal to it, as True does to 1, are refused still."""
    who = signatory()
    good = msgspec.structs.replace(GOOD, facts=FACTS | {"subsystem": 1})
    octets = PE.to_be_signed(good, who.identity, PLAIN)
    for facts in (FACTS | {"subsystem": True}, FACTS | {"subsystem": "1"}, good.facts | {"Subsystem": 1}):
        with pytest.raises(BadInput, match="facts"):
            PE.to_be_signed(msgspec.structs.replace(GOOD, facts=facts), who.identity, PLAIN)
    turned = dict(reversed(good.facts.items()))
    assert PE.to_be_signed(msgspec.structs.replace(GOOD, facts=turned), who.identity, PLAIN) == octets


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(program_name=""), "program name"),
        (Options(program_name="a\nb"), "program name"),
        (Options(program_name="a\x00b"), "program name"),
        (Options(program_name="x" * 1025), "program name"),
        (Options(program_name="beyond \U0001f600"), "U\\+FFFF"),
        (Options(program_url=""), "program URL"),
        (Options(program_url="javascript:alert(1)"), "program URL"),
        (Options(program_url="https://exämple.com"), "program URL"),
        (Options(program_url="https://a b"), "program URL"),
        (Options(program_url="https://" + "a" * 2048), "program URL"),
    ],
)
def test_key_side_refuses_options_that_cannot_be_written(options: Options, words: str):
    """Program name and URL are shown by Windows, so only what it can show goes in."""
    with pytest.raises(BadInput, match=words):
        PE.to_be_signed(GOOD, signatory().identity, options)


def test_key_side_refuses_strange_identities():
    """No chain, too long a chain, or one that is for a key of another scheme."""
    identity = signatory().identity
    for changed, words in (
        (msgspec.structs.replace(identity, chain=()), "0 were given"),
        (msgspec.structs.replace(identity, chain=identity.chain * 9), "18 were given"),
        (msgspec.structs.replace(identity, scheme="rsa-4096"), "scheme rsa-3072, and rsa-4096 was named"),
        (msgspec.structs.replace(identity, chain=(b"\x30\x00",)), "certificate"),
    ):
        with pytest.raises(BadInput, match=words):
            PE.to_be_signed(GOOD, changed, PLAIN)


def test_finish_takes_only_the_signature_of_these_octets():
    """A signature over the octets of another description, identity or option never becomes a blob."""
    who, other = signatory(), signatory("ecdsa-p256")
    right = [who.sign(tbs) for tbs in PE.to_be_signed(GOOD, who.identity, PLAIN)]
    another = msgspec.structs.replace(GOOD, digest=bytes(32))
    wrong = [
        (another, who.identity, PLAIN),
        (GOOD, other.identity, PLAIN),
        (GOOD, signatory(with_root=True).identity, PLAIN),
        (GOOD, who.identity, Options(program_name="x")),
    ]
    for described, identity, options in wrong:
        with pytest.raises(BadInput, match="over other octets"):
            PE.finish(described, identity, options, right, ())
    for signed, tokens in (([], ()), (right * 2, ()), (right, [stamp().token(b"x")] * 2)):
        with pytest.raises(BadInput, match="one signature"):
            PE.finish(GOOD, who.identity, PLAIN, signed, tokens)
    assert PE.finish(GOOD, who.identity, PLAIN, right, ()) == PE.finish(GOOD, who.identity, PLAIN, right, ())
    with pytest.raises(BadInput, match="over other octets"):
        PE.finish(GOOD, who.identity, PLAIN, [Signature(ToBeSigned(b"", "sha256"), b"")], ())


def test_octets_to_be_signed_bind_everything():
    """Whatever of description, chain or options changes the meaning changes the octets; what does not, does not."""
    identity = signatory().identity
    (base,) = PE.to_be_signed(GOOD, identity, PLAIN)
    assert PE.to_be_signed(GOOD, identity, PLAIN) == (base,)
    seen = {base.octets}
    for described, who, options in (
        (msgspec.structs.replace(GOOD, digest=bytes(32)), identity, PLAIN),
        (msgspec.structs.replace(GOOD, digest_algorithm="sha384", digest=bytes(48)), identity, PLAIN),
        (GOOD, signatory(with_root=True).identity, PLAIN),
        (GOOD, identity, Options(program_name="a")),
        (GOOD, identity, Options(program_url="https://a")),
    ):
        (tbs,) = PE.to_be_signed(described, who, options)
        assert tbs.octets not in seen and tbs.padding == "pkcs1v15"
        seen.add(tbs.octets)
    assert PE.to_be_signed(GOOD, identity, APPEND) == (base,)
