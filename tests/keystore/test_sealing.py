"""An envelope opens only whole, unchanged, in its own place and under its own passphrase."""

import itertools
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privyseal.errors import KeyStoreUnavailable, Misused
from privyseal.keystore.sealing import Envelope, Header, MasterKey, Sealed, read_envelope
from privyseal.pki.certificates import key_id

BORN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MASTER = MasterKey(b"m" * 32)
CANARY = b"private octets that stand for a PKCS#8 key, which nobody may ever read"


def sealed(subscriber: str = "demo", name: str = "release", master: MasterKey = MASTER) -> Envelope:
    public = f"spki of {subscriber}/{name}".encode()
    header = Header(
        subscriber=subscriber,
        name=name,
        uuid="00000000-0000-4000-8000-000000000000",
        version=1,
        scheme="ecdsa-p256",
        spki_sha256=key_id(public),
        created=BORN,
    )
    return master.seal(header, public, CANARY + name.encode())


def opens(stored: bytes, master: MasterKey = MASTER) -> bool:
    try:
        master.open(read_envelope(stored))
    except KeyStoreUnavailable:
        return False
    return True


def test_what_was_sealed_comes_back():
    """The stored form opens to the same octets, and the ciphertext does not show them."""
    stored = sealed().encoded()
    assert MASTER.open(read_envelope(stored)) == CANARY + b"release"
    assert CANARY not in stored


def test_sealing_twice_shares_nothing():
    """Two envelopes of one key have no salt, nonce, commitment or ciphertext in common."""
    first, second = sealed(), sealed()
    for part in ("data_key", "private_key"):
        for field in Sealed.__struct_fields__:
            assert getattr(getattr(first, part), field) != getattr(getattr(second, part), field)


@pytest.mark.parametrize("name", ["release", "nightly", "x"])
def test_every_bit_flip_is_refused(name: str):
    """Not one of the envelope's bits can be changed unseen."""
    stored = sealed(name=name).encoded()
    assert opens(stored)
    for at, bit in itertools.product(range(len(stored)), range(8)):
        flipped = bytearray(stored)
        flipped[at] ^= 1 << bit
        assert not opens(bytes(flipped)), f"bit {bit} of octet {at}"


def test_every_exchange_of_parts_is_refused():
    """No part of one envelope is accepted in another: of the same Subscriber, of another one, of the same name."""
    envelopes = [sealed("demo", "a"), sealed("demo", "b"), sealed("acme", "a"), sealed("demo", "a")]
    for mine, other in itertools.permutations(envelopes, 2):
        for part in Envelope.__struct_fields__:
            if getattr(mine, part) == getattr(other, part):
                continue  # the two namesakes share header and public key
            mixed = msgspec.structs.replace(mine, **{part: getattr(other, part)})
            assert not opens(mixed.encoded()), part


def test_the_two_layers_cannot_stand_for_each_other():
    """The wrapped data key and the wrapped Private Key are sealed for different purposes."""
    mine = sealed()
    assert not opens(msgspec.structs.replace(mine, data_key=mine.private_key).encoded())
    assert not opens(msgspec.structs.replace(mine, private_key=mine.data_key).encoded())


@pytest.mark.parametrize(
    "change",
    [
        {"subscriber": "acme"},
        {"name": "other"},
        {"uuid": "00000000-0000-4000-8000-000000000001"},
        {"version": 2},
        {"scheme": "ecdsa-p384"},
        {"policy_sha256": "0" * 64},
        {"created": BORN.replace(year=2020)},
    ],
)
def test_every_field_of_the_header_is_bound(change: dict[str, object]):
    """A header with one other field, well formed otherwise, does not open."""
    mine = sealed()
    assert not opens(msgspec.structs.replace(mine, header=msgspec.structs.replace(mine.header, **change)).encoded())


def test_another_public_key_is_refused_before_anything_is_opened():
    """The public half is bound by its hash."""
    with pytest.raises(KeyStoreUnavailable):
        read_envelope(msgspec.structs.replace(sealed(), public_key=b"another").encoded())


def test_a_ciphertext_under_another_key_is_told_by_its_commitment():
    """With the true commitment removed from the check AES-GCM alone would have to tell; the commitment comes first."""
    mine = sealed()
    other_commitment = msgspec.structs.replace(mine.private_key, commitment=b"c" * 32)
    assert not opens(msgspec.structs.replace(mine, private_key=other_commitment).encoded())
    assert not opens(mine.encoded(), MasterKey(b"n" * 32))


def test_the_passphrase_and_its_salt_make_the_master_key():
    """The same passphrase and salt give the same key; another of either does not; an empty one is refused."""
    stored = sealed(master=MasterKey.from_passphrase(b"correct horse", b"s" * 32)).encoded()
    assert opens(stored, MasterKey.from_passphrase(b"correct horse", b"s" * 32))
    assert not opens(stored, MasterKey.from_passphrase(b"correct horse", b"t" * 32))
    assert not opens(stored, MasterKey.from_passphrase(b"incorrect horse", b"s" * 32))
    with pytest.raises(Misused):
        MasterKey.from_passphrase(b"", b"s" * 32)


def test_the_master_key_does_not_show_itself():
    """Neither repr nor a formatted message holds the key."""
    shown = f"{MASTER!r} {MASTER}"
    assert "mmmm" not in shown and (b"m" * 32).hex() not in shown


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_hostile_octets_are_refused_in_words(octets: bytes):
    """Whatever stands in the file, the outcome is the one error, never a traceback."""
    with pytest.raises(KeyStoreUnavailable):
        read_envelope(octets)
    with pytest.raises(KeyStoreUnavailable):
        read_envelope(sealed().encoded()[: len(octets)] + octets)
