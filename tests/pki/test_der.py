"""DER is written as everybody else writes it, and read without a second opinion."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from privyseal.errors import BadInput
from privyseal.pki import der

ARCS = st.tuples(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**40), max_size=8))


@given(st.integers(-(2**300), 2**300))
def test_an_integer_reads_back_and_is_the_shortest(number: int) -> None:
    """X.690 8.3.2."""
    written = der.integer(number)
    assert der.integer_of(der.read(written)) == number
    if -(2**63) <= number < 2**63:
        assert written == asn1.encode_der(number)


@given(ARCS)
def test_an_oid_reads_back_and_cryptography_agrees(arcs: tuple[int, int, list[int]]) -> None:
    """Ours and theirs are the same octets."""
    dotted = ".".join(map(str, [arcs[0], arcs[1], *arcs[2]]))
    written = der.oid(dotted)
    assert der.oid_of(der.read(written)) == dotted
    if len(arcs[2]) and max(arcs[2]) < 2**32:
        assert asn1.encode_der(ObjectIdentifier(dotted)) == written


@given(st.lists(st.binary(max_size=300), max_size=4), st.binary(max_size=20))
def test_a_skeleton_gives_what_the_writer_gives(values: list[bytes], fixed: bytes) -> None:
    """Whatever the values and whatever stands around them, also per cent signs, and also where a hole has no room."""

    def build(*parts: bytes) -> bytes:
        return der.sequence(der.octet_string(fixed), *map(der.octet_string, parts), der.utf8_string("100 % %b %%"))

    skeleton = der.Skeleton(build, *(len(value) for value in values if len(value) != 1))
    fitting = [value for value in values if len(value) != 1]
    assert skeleton.fill(*fitting) == build(*fitting)


@pytest.mark.parametrize(
    "build",
    [
        lambda a, b: der.sequence(der.octet_string(b), der.octet_string(a)),
        lambda a, b: der.octet_string(a),
        lambda a, b: der.octet_string(a + b + a),
        lambda a, b: der.octet_string(bytes(reversed(a)) + b),
        lambda a, b: der.octet_string(a + b + a[:1]),
        lambda a, b: der.set_of(der.octet_string(a), der.octet_string(bytes((128,)) * len(a)), der.octet_string(b)),
    ],
    ids=["exchanged", "missing", "twice", "another form", "copied in part", "sorted"],
)
def test_a_skeleton_is_of_nothing_but_what_has_holes(build: Callable[[bytes, bytes], bytes]) -> None:
    """An encoding in which a value moves, stands twice, or is not there as it is cannot be made into one."""
    with pytest.raises(ValueError, match="value"):
        der.Skeleton(build, 32, 32)


def test_a_skeleton_takes_only_values_of_its_sizes() -> None:
    """Otherwise the lengths around them would lie."""
    skeleton = der.Skeleton(lambda a, b: der.sequence(der.octet_string(a), der.octet_string(b)), 32, 16)
    for values in ((bytes(31), bytes(16)), (bytes(16), bytes(32)), (bytes(32),), (bytes(32), bytes(16), b"")):
        with pytest.raises(ValueError, match="do not fit"):
            skeleton.fill(*values)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536, 70000])
def test_lengths_are_minimal_at_every_step(size: int) -> None:
    """Where the length takes one more octet is where writers go wrong."""
    written = der.octet_string(b"x" * size)
    assert written == asn1.encode_der(b"x" * size)
    assert der.octets_of(der.read(written)) == b"x" * size


def test_openssl_reads_all_we_write() -> None:
    """One of each kind, parsed by a stranger."""
    moment = datetime(2026, 11, 24, 13, 14, 15, tzinfo=timezone(timedelta(hours=2)))
    whole = der.sequence(
        der.integer(-129),
        der.boolean(True),
        der.null(),
        der.oid("2.999.3"),
        der.bit_string(b"\x80", 7),
        der.utf8_string("Siegel ß"),
        der.ia5_string("http://example.invalid"),
        der.bmp_string("Prüfung"),
        der.utc_time(moment),
        der.generalized_time(moment),
        der.explicit(0, der.enumerated(3)),
        der.implicit(1, b"abc", constructed=False),
        der.set_of(der.integer(300), der.integer(2), der.integer(1)),
    )
    done = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER"], input=whole, capture_output=True, timeout=30, check=True
    )
    said = done.stdout.decode()
    for expected in [
        "INTEGER           :-81",
        "BOOLEAN           :255",
        "2.999.3",
        "UTF8STRING",
        "IA5STRING",
        "BMPSTRING",
    ]:
        assert expected in said
    assert "UTCTIME           :261124111415Z" in said
    assert "GENERALIZEDTIME   :20261124111415Z" in said
    assert [der.integer_of(one) for one in der.children(der.children(der.read(whole))[-1])] == [1, 2, 300]


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "ends"),
        (b"\x30", "ends"),
        (b"\x30\x80\x00\x00", "indefinite"),
        (b"\x04\x81\x05hello", "more octets than it needs"),
        (b"\x04\x82\x00\x85" + b"x" * 0x85, "more octets than it needs"),
        (b"\x04\x05hell", "announces 5"),
        (b"\x04\x05hello!", "follow the end"),
        (b"\x1f\x85\x01\x00", "tag number"),
        (b"\x04\x85\x01\x00\x00\x00\x00", "oversized"),
        (b"\x04\x84\xff\xff\xff", "ends inside"),
        (b"\x04\x84\xff\xff\xff\xff", "announces"),
    ],
)
def test_what_is_not_der_is_refused(octets: bytes, why: str) -> None:
    """One encoding for one value, or what was signed could be said in two ways."""
    with pytest.raises(BadInput, match=why):
        der.read(octets)


@pytest.mark.parametrize(
    ("element", "reader"),
    [
        (b"\x02\x00", der.integer_of),
        (b"\x02\x02\x00\x7f", der.integer_of),
        (b"\x02\x02\xff\x80", der.integer_of),
        (der.tlv(2, b"\x01" + b"\0" * 2100), der.integer_of),
        (b"\x06\x00", der.oid_of),
        (b"\x06\x02\x80\x01", der.oid_of),
        (b"\x06\x02\x2a\x86", der.oid_of),
        (der.tlv(6, b"\x2a" + b"\x01" * 200), der.oid_of),
        (b"\x01\x01\x01", der.boolean_of),
        (b"\x03\x02\x08\x00", der.bits_of),
        (b"\x03\x02\x01\x01", der.bits_of),
        (b"\x03\x01\x01", der.bits_of),
        (b"\x03\x00", der.bits_of),
        (b"\x24\x03\x04\x01x", der.octets_of),
        (b"\x02\x01\x05", der.oid_of),
    ],
)
def test_values_in_other_than_their_der_form_are_refused(element: bytes, reader) -> None:  # type: ignore[no-untyped-def]
    """BER allows several forms of one value; DER one."""
    with pytest.raises(BadInput):
        reader(der.read(element))


@pytest.mark.parametrize(
    ("tag", "text", "moment"),
    [
        (der.UTC_TIME, "491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (der.UTC_TIME, "500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        (der.GENERALIZED_TIME, "20500101000000Z", datetime(2050, 1, 1, tzinfo=UTC)),
        (der.GENERALIZED_TIME, "20261124111415.5Z", datetime(2026, 11, 24, 11, 14, 15, 500000, tzinfo=UTC)),
        (der.GENERALIZED_TIME, "20261124111415.123456789Z", datetime(2026, 11, 24, 11, 14, 15, 123456, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_their_century_and_to_the_microsecond(tag: int, text: str, moment: datetime) -> None:
    """RFC 5280 4.1.2.5.1; RFC 3161 2.4.2 for fractions."""
    assert der.time_of(der.read(der.tlv(tag, text.encode()))) == moment


@pytest.mark.parametrize(
    "text",
    [
        b"20261124111415",
        b"20261124111415+0000",
        b"202611241114Z",
        b"20261324111415Z",
        b"20261124246060Z",
        b"20261124111415.50Z",
        b"20261124111415.Z",
        b"20261124111415,5Z",
        "\u0662\u0660261124111415Z".encode(),
        b"Z",
        b"",
        b"1" * 60,
    ],
)
def test_times_of_another_shape_are_refused(text: bytes) -> None:
    """Local time, missing seconds, trailing zeros, no such month, digits of another script."""
    with pytest.raises(BadInput):
        der.time_of(der.read(der.tlv(der.GENERALIZED_TIME, text)))


def test_counts_are_bounded() -> None:
    """A million empty elements are refused before they become a million objects."""
    with pytest.raises(BadInput, match="more than 4096"):
        der.children(der.read(der.sequence(b"\x05\x00" * 1_000_000)))
    with pytest.raises(BadInput, match="at most 10 are read"):
        der.read(der.octet_string(b"x" * 20), limit=10)


def test_fields_say_what_is_missing_or_too_much() -> None:
    """A reader that skipped what it does not know would let two readers disagree."""
    two = der.read(der.sequence(der.integer(1), der.integer(2)))
    fields = der.Fields(two, "A pair")
    assert fields.maybe(der.OID) is None
    fields.take(der.INTEGER)
    with pytest.raises(BadInput, match="1 fields too many"):
        fields.end()
    assert fields.rest() == der.integer(2)
    with pytest.raises(BadInput, match="ends where another field"):
        fields.take()
    with pytest.raises(BadInput, match="should have tag"):
        der.Fields(two, "A set", der.SET)
    with pytest.raises(BadInput, match="holds no other elements"):
        der.children(der.read(der.octet_string(b"\x05\x00")))


def test_strings_that_do_not_fit_their_type_are_refused() -> None:
    """An IA5String is ASCII; a BMPString has no surrogates."""
    with pytest.raises(BadInput):
        der.ia5_string("é")
    with pytest.raises(BadInput):
        der.bmp_string("🦭")
