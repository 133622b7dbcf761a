"""Scripts of every language in every encoding: signed, signed once more, taken apart again, and refused."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.samples import sample
from tests.formats.script_rules import HOST, SAMPLES, digest, first_and_last, split, with_block
from tests.formats.signing import APPEND, PLAIN, blob_for, signatory
from tests.formats.test_pe_layout import Held
from tests.formats.walking import describe, look, remove, sign, stamp_later, wrong

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import catalogue, content, textblock
from privyseal.formats.authenticode import SUBJECTS
from privyseal.formats.script import Script
from privyseal.formats.textblock import TextLayout
from privyseal.terms.signatures import Described

P256 = "ecdsa-p256"
ENCODED = {
    "ascii": lambda text: text.encode("ascii"),
    "utf-8": lambda text: (text[:9] + "\u2026\U0001f600\xe4" + text[9:]).encode("utf-8"),
    "utf-8-bom": lambda text: b"\xef\xbb\xbf" + (text[:9] + "\u2026\U0001f600\xe4" + text[9:]).encode("utf-8"),
    "utf-16-le": lambda text: b"\xff\xfe" + (text[:9] + "\u4100\u0a00\U0001f600\xe4" + text[9:]).encode("utf-16-le"),
    "utf-16-be": lambda text: b"\xfe\xff" + (text[:9] + "\u4100\u0a00\U0001f600\xe4" + text[9:]).encode("utf-16-be"),
    "windows-1252": lambda text: text[:9].encode() + bytes(range(0x80, 0x100)) + text[9:].encode(),
}
"""A text in every encoding, with characters in it that take one octet or unit and several."""


def held(octets: bytes, kind: str) -> Held:
    code = Held(octets)
    code.filename = f"test.{kind}"
    return code


def layout_of(octets: bytes, kind: str) -> TextLayout:
    code = held(octets, kind)
    layout = catalogue.recognise(code).inspect(code)
    assert isinstance(layout, TextLayout)
    return layout


def script(folder: Path, kind: str, octets: bytes | None = None) -> Path:
    path = folder / f"script.{kind}"
    path.write_bytes(SAMPLES[kind].encode() if octets is None else octets)
    return path


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("kind", SAMPLES)
def test_there_and_back(tmp_path: Path, kind: str, encoding: str):
    """Signed, added to, timestamped later, signed anew, removed: the digest is the one of the rules all the time."""
    original = ENCODED[encoding](SAMPLES[kind])
    path = script(tmp_path, kind, original)
    first = describe(path)
    takes_1252 = encoding == "utf-8" and kind in ("vbs", "js")
    assert first.facts == {"encoding": "windows-1252" if takes_1252 else encoding}
    assert first.digest == digest(original, kind) and first.size == len(original)
    blob = sign(path, signatory(P256))
    found = look(path)
    assert found.signatures[0].blob == blob == split(path.read_bytes(), kind)[1] and not wrong(path)
    assert digest(path.read_bytes(), kind) == first.digest and describe(path) == first
    sign(path, signatory("ecdsa-p384"), options=APPEND, digest="sha384")
    assert not wrong(path) and look(path).signatures[0] == found.signatures[0]
    stamp_later(path, 1)
    assert not wrong(path) and [one.timestamp is None for one in look(path).signatures] == [True, False]
    sign(path, signatory(P256), digest="sha512")
    assert not wrong(path) and [one.digest_algorithm for one in look(path).signatures] == ["sha512"]
    remove(path)
    assert path.read_bytes() == original and look(path).signatures == ()
    remove(path)
    assert path.read_bytes() == original


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("ending", ["", "\n", "\r", "\r\n\r\n", "\n\r", " "])
def test_every_end_of_a_text(tmp_path: Path, kind: str, ending: str):
    """Whatever a text ends with, and whatever line ends it has and mixes, it is signed as it stands and comes back."""
    for text in (SAMPLES[kind], SAMPLES[kind].replace("\r\n", "\n"), SAMPLES[kind].replace("\r\n", "\n", 1)):
        original = (text.rstrip("\r\n") + ending).encode()
        path = script(tmp_path, kind, original)
        sign(path, signatory(P256))
        assert not wrong(path) and look(path).signatures[0].digest == digest(original, kind)
        remove(path)
        assert path.read_bytes() == original


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_block_is_what_signtool_writes(tmp_path: Path, kind: str):
    """The signed file is the text with a block of the rules, octet by octet, in one octet a character and in two."""
    for encoding in ("ascii", "utf-16-le"):
        original = ENCODED[encoding](SAMPLES[kind])
        path = script(tmp_path, kind, original)
        blob = sign(path, signatory(P256))
        codec = "ascii" if encoding == "ascii" else "utf-16"
        text = with_block(original.decode(codec), kind, blob)
        assert path.read_bytes().decode(codec) == text


@pytest.mark.parametrize(
    "name",
    [
        "jsign/hello-world.ps1",
        "jsign/hello-world.ps1xml",
        "jsign/hello-world.vbs",
        "jsign/hello-world.js",
        "jsign/hello-world.wsf",
        "relic/hello.ps1",
        "relic/hello.ps1xml",
        "relic/hello.mof",
    ],
)
def test_samples(tmp_path: Path, name: str):
    """Scripts that jsign and relic try themselves on."""
    kind = name.rpartition(".")[2]
    path = script(tmp_path, kind, original := sample(name))
    sign(path, signatory(P256))
    assert not wrong(path) and look(path).signatures[0].digest == digest(original, kind)
    remove(path)
    assert path.read_bytes() == original


# -- telling ----------------------------------------------------------------------------------------------------------
def test_the_name_tells_the_language(tmp_path: Path):
    """A block of another language is text: Windows, too, asks the name which rules to follow."""
    path = script(tmp_path, "js")
    sign(path, signatory(P256))
    octets = path.read_bytes()
    assert catalogue.recognise(held(octets, "JS")).name == "js"
    for kind, name in (("ps1", "powershell"), ("vbs", "vbs"), ("mof", "mof"), ("ps1xml", "powershell-xml")):
        assert catalogue.recognise(held(octets, kind)).name == name
        assert layout_of(octets, kind).block == 0


@pytest.mark.parametrize("encoding", ["ascii", "utf-8-bom", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("kind", SAMPLES)
def test_the_block_tells_where_the_name_does_not(tmp_path: Path, kind: str, encoding: str):
    """A signed script under another name is still known; an unsigned one is of no format."""
    path = script(tmp_path, kind, ENCODED[encoding](SAMPLES[kind]))
    with pytest.raises(MalformedCode, match="no format"):
        catalogue.recognise(held(path.read_bytes(), "txt"))
    sign(path, signatory(P256))
    wanted = catalogue.recognise(held(path.read_bytes(), kind)).name
    assert catalogue.recognise(held(path.read_bytes(), "txt")).name == wanted


def test_what_is_no_text_is_no_script():
    """A program that is called a script is a program; octets that are no text are of no format."""
    from tests.formats.pe_builder import program

    assert catalogue.recognise(held(program(), "ps1")).name == "pe"
    for octets in (b"", b"\x7fELF\0\0", bytes(5000), b"text" + bytes(1)):
        with pytest.raises(MalformedCode, match="no format"):
            catalogue.recognise(held(octets, "js"))


# -- refusing ---------------------------------------------------------------------------------------------------------
def block_of(kind: str, held_octets: bytes = b"\x30\x03abc") -> str:
    return with_block("</job>" if kind == "wsf" else "", kind, held_octets).removesuffix("</job>")


@pytest.mark.parametrize("kind", SAMPLES)
def test_two_blocks(kind: str):
    """Which one Windows would look at nobody should have to know."""
    text = with_block(SAMPLES[kind], kind, b"\x30\x03abc")
    twice = with_block(text, kind, b"\x30\x03def")
    with pytest.raises(MalformedCode, match=r"signature blocks begin at octets \d+ and \d+"):
        layout_of(twice.encode(), kind)


@pytest.mark.parametrize("kind", sorted(set(SAMPLES) - {"wsf"}))
@pytest.mark.parametrize("more", ["\r\n", "more\r\n", " ", "\0"])
def test_text_behind_the_block(kind: str, more: str):
    """Octets that no signature covers; osslsigncode and relic do not look at them, PowerShell runs them."""
    text = with_block(SAMPLES[kind], kind, b"\x30\x03abc") + more
    expected = "follow its signature block|no format|NUL|has no end within"
    with pytest.raises(MalformedCode, match=expected) as caught:
        layout_of(text.encode(), kind)
    assert "\n" not in caught.value.detail


def test_a_block_in_the_wrong_job():
    """A Windows Script File has its block before its last job's end, and nowhere else."""
    text = SAMPLES["wsf"].replace("</job>", "\r\n<signature>\r\n** SIG ** MAA=\r\n</signature>\r\n</job>", 1)
    with pytest.raises(MalformedCode, match="does not stand before its last </job>"):
        layout_of(text.encode(), "wsf")
    with pytest.raises(MalformedCode, match="has no </job>"):
        layout_of(b"<package></package>\r\n", "wsf")
    with pytest.raises(MalformedCode, match="nothing stands before"):
        layout_of(b"</job>", "wsf")


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"\xef\xbb\xbf", "it is empty"),
        (b"\xff\xfe", "it is empty"),
        (b"\xff\xfea\0b", "an odd number"),
        (b"\xff\xfe\0\0a\0\0\0", "UTF-32"),
        (b"\xff\xfea\0\0\0b\0", "a NUL near octet 4"),
        (b"\xef\xbb\xbfab\xff\xfe", "says UTF-8, and near octet 5 it is not"),
        (b"\xef\xbb\xbfab\xe2\x82", "says UTF-8, and near octet"),
        (b"# SIG # Begin signature block\r\n# MAA=\r\n# SIG # End signature block\r\n", "at its very beginning"),
        (b"\r\n# SIG # Begin signature block\r\n# MAA=\r\n# SIG # End signature block\r\n", "at its very beginning"),
        (b"\xef\xbb\xbf# SIG # Begin signature block\r\n", "at its very beginning"),
        (b"a\r# SIG # Begin signature block\r\n# SIG # End signature block\r\n", "a lone CR"),
        (b"a\r\n# SIG # Begin signature block\r\n# MAA=\r\n", "has no end within"),
        (b"a\r\n# SIG # Begin signature block", "has no end within"),
        (b"a\r\n# SIG # Begin signature block\r\n# SIG # End signature block more", "has no end within"),
    ],
    ids=range(14),
)
def test_bad_scripts(octets: bytes, words: str):
    """Each is refused in one sentence."""
    with pytest.raises(MalformedCode, match=words) as caught:
        layout_of(octets, "ps1")
    assert caught.value.detail.endswith(".") and "\n" not in caught.value.detail


def test_a_script_too_large_to_be_one():
    """256 MiB are read, and no octet more."""
    with pytest.raises(MalformedCode, match="at most 268435456 are read"):
        catalogue.BY_NAME["powershell"].inspect(Held(b"a", size=textblock.MAX_TEXT + 1))


def test_a_nul_far_in():
    """Beyond what recognising looks at, a NUL is found as well, in every place of a reading."""
    octets = bytearray(b"a" * (3 << 20))
    octets[(2 << 20) + 5] = 0
    with pytest.raises(MalformedCode, match=f"a NUL at octet {(2 << 20) + 5}"):
        layout_of(bytes(octets), "ps1")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("# not base64!", "does not hold base64"),
        ("# QUJ", "does not hold base64"),
        ("# \xe4\xf6\xfc", "does not hold base64"),
        ("MAA=", "Line 2 of the signature block"),
        ("#MAA=", "Line 2 of the signature block"),
        ("", "Line 2 of the signature block"),
        ("# MAA=", "ends where another field should follow"),
    ],
)
def test_a_block_of_rubbish(tmp_path: Path, line: str, words: str):
    """It is judged malformed and can be replaced, but not added to; the file is as it was until then."""
    text = f"a\r\n# SIG # Begin signature block\r\n{line}\r\n# SIG # End signature block\r\n"
    path = script(tmp_path, "ps1", text.encode("latin-1"))
    found = look(path)
    assert [one.code for one in found.signatures[0].problems] == ["malformed-signature"]
    assert words in found.signatures[0].problems[0].text and "malformed-signature" in wrong(path)
    before = path.read_bytes()
    with pytest.raises(MalformedCode, match=r"cannot be added to|cannot take a second one"):
        sign(path, signatory(P256), options=APPEND)
    with pytest.raises(BadInput):
        code = held(before, "ps1")
        catalogue.BY_NAME["powershell"].timestamped(code, layout_of(before, "ps1"), {0: _token()})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    sign(path, signatory(P256))
    assert not wrong(path)
    remove(path)
    assert path.read_bytes() == b"a"


def _token():
    from tests.formats.signing import stamp

    return stamp().token(b"x")


def test_a_block_larger_than_any(tmp_path: Path):
    """A block without an end, and one with more than a signature may have, take no memory."""
    endless = b"a\r\n# SIG # Begin signature block\r\n" + b"# QUJD\r\n" * 1_000_000
    with pytest.raises(MalformedCode, match="has no end within"):
        layout_of(endless, "ps1")
    large = with_block("a\r\n", "ps1", bytes(textblock.MAX_BLOB + 1)).encode()
    found = list(catalogue.BY_NAME["powershell"].signatures(held(large, "ps1"), layout_of(large, "ps1")))
    assert "at most 1048576 are read" in found[0].problems[0].text


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_block_in_other_line_ends(tmp_path: Path, kind: str):
    """What git or an editor made of it: Windows sees no signature there, so we do not call it good; it is replaced."""
    path = script(tmp_path, kind)
    sign(path, signatory(P256))
    octets = path.read_bytes()
    text = SAMPLES[kind].encode()
    at = octets.index(first_and_last(kind)[0].encode()) - 2
    signed = octets[at : len(octets) - (len(text) - at if kind == "wsf" else 0)]
    turned = octets.replace(signed, signed.replace(b"\r\n", b"\n"))
    path.write_bytes(turned)
    assert wrong(path) == {"signature-block"}
    mixed = octets.replace(signed, signed.replace(b"\r\n", b"\n", 3))
    path.write_bytes(mixed)
    assert wrong(path) == {"signature-block"}
    path.write_bytes(turned)
    sign(path, signatory(P256))
    assert not wrong(path)
    path.write_bytes(octets.replace(b"\r\n", b"\n"))
    assert wrong(path) == {"signature-block", "digest-mismatch"}
    remove(path)
    assert path.read_bytes() == text.replace(b"\r\n", b"\n")


def test_marks_inside_are_text(tmp_path: Path):
    """A byte order mark in the middle, or a second one at the beginning, is a character like others."""
    for kind in ("ps1", "vbs"):
        for octets in (b"\xef\xbb\xbf\xef\xbb\xbfa\r\n\xef\xbb\xbf", "\ufeff\ufeffa\ufeff".encode("utf-16-le")):
            path = script(tmp_path, kind, octets)
            sign(path, signatory(P256))
            assert not wrong(path) and look(path).signatures[0].digest == digest(octets, kind)
            remove(path)
            assert path.read_bytes() == octets


def test_a_block_within_a_line_is_text(tmp_path: Path):
    """A script about signatures may say how they begin."""
    text = b"$x = '# SIG # Begin signature block'\r\n    # SIG # Begin signature block\r\n"
    path = script(tmp_path, "ps1", text)
    sign(path, signatory(P256))
    assert not wrong(path) and look(path).layout.at == len(text)  # type: ignore[attr-defined]


def test_a_text_that_says_it_all_the_time():
    """A text that says within its lines how blocks begin is read in bounded time, and without end refused."""
    one = b"x # SIG # Begin signature block"
    assert layout_of(one * 1000, "ps1").block == 0
    with pytest.raises(MalformedCode, match="more than 100000 times"):
        layout_of(one * 100_001, "ps1")


HEADS = {
    b"": False,
    b"a" * 32: False,
    "\xe4".encode() + b"a" * 30: True,
    b"a" * 30 + "\xe4".encode(): True,
    b"a" * 31 + "\xe4".encode()[:1]: False,
    b"a" * 29 + "\u20ac".encode(): True,
    b"a" * 30 + "\u20ac".encode()[:2]: False,
    "\xe4\u20ac\U0001f600".encode() + b"a" * 23: True,
    b"\xe4bc": False,
    b"\x80": False,
    b"a\xc3\xa4\xe4": False,
    b"\xff" + b"\x80" * 7: True,
}


@pytest.mark.parametrize("head", HEADS)
def test_what_looks_like_utf8(head: bytes):
    """A character of several octets, and the last of the first 32 octets ends one: so PowerShell's package guesses.

    It does not look closely: seven octets may follow FF, which no UTF-8 has. Such a text is then refused.
    """
    assert textblock.looks_like_utf8(head) is HEADS[head]


@pytest.mark.parametrize("kind", ["ps1", "psm1", "ps1xml", "mof"])
def test_only_the_first_32_octets_tell(tmp_path: Path, kind: str):
    """An umlaut in UTF-8 behind them is two characters of the code page to Windows; jsign has one, and is wrong.

    dotnet-install.ps1 was signed so, with a dash in line 942, and was taken for changed wherever the code page was
    another than the signer's.
    """
    early, late = b"# \xc3\xa4\r\n" + b"#" * 40, b"#" * 31 + b"\xc3\xa4\r\n"
    for octets, encoding in (
        (early, "utf-8"),
        (b"#" + late, "windows-1252"),
        (late, "windows-1252"),
        (late[1:], "utf-8"),
    ):
        path = script(tmp_path, kind, octets)
        sign(path, signatory(P256))
        assert not wrong(path) and describe(path).facts == {"encoding": encoding}
        text = octets.decode("utf-8" if encoding == "utf-8" else "cp1252")
        assert look(path).signatures[0].digest == hashlib.sha256(text.encode("utf-16-le")).digest()
        remove(path)
        assert path.read_bytes() == octets
    with pytest.raises(MalformedCode, match="it begins as UTF-8, and near octet 46 it is not"):
        layout_of(early + b"\xe4\r\n", kind)


# -- defects of peers -------------------------------------------------------------------------------------------------
def test_a_js_signed_as_osslsigncode_does_is_invalid(tmp_path: Path):
    """osslsigncode (from 2.10 on) signs .js as PowerShell: Windows calls that invalid (its issue 472), and so do we.

    It names the subject interface package of PowerShell and leaves out where the block stands. So it is no verifier of
    these files either: the rules that jsign took from Windows are, in ``script_rules.py``.
    """
    theirs = Script(
        "js", "JScript as osslsigncode has it", SUBJECTS["powershell"], catalogue.BY_NAME["js"]._dialect, (".js",)
    )
    code = held(SAMPLES["js"].encode(), "js")
    prepared = theirs.prepare(code, theirs.inspect(code), signatory(P256).identity, PLAIN, "sha256")
    assert prepared.described[0].digest == hashlib.sha256(SAMPLES["js"].encode("utf-16-le")).digest()
    signed = [signatory(P256).sign(one) for one in theirs.to_be_signed(prepared.described[0], *_asked())]
    blob = theirs.finish(prepared.described[0], *_asked(), signed, ())
    path = script(tmp_path, "js", with_block(SAMPLES["js"], "js", blob).encode())
    assert wrong(path) == {"other-format", "digest-mismatch"}


def _asked():
    return signatory(P256).identity, PLAIN


def test_blocks_are_not_added_behind_blocks(tmp_path: Path):
    """Of a block that line ends have broken, jsign once added a second one behind it: here it is replaced."""
    path = script(tmp_path, "ps1")
    sign(path, signatory(P256))
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n"))
    sign(path, signatory(P256), options=APPEND)
    assert path.read_bytes().count(b"# SIG # Begin") == 1 and len(look(path).signatures) == 2


def test_octets_that_1252_leaves_out_survive(tmp_path: Path):
    """81, 8D, 8F, 90 and 9D mean nothing in cp1252; Windows keeps them, who replaces them spoils the file."""
    octets = b"' \x81\x8d\x8f\x90\x9d\r\n"
    for kind in HOST[:2]:
        path = script(tmp_path, kind, octets)
        sign(path, signatory(P256))
        assert not wrong(path)
        text = "' \x81\x8d\x8f\x90\x9d\r\n"
        expected = hashlib.sha256(text.encode("utf-16-le") + len(text).to_bytes(4, "little")).digest()
        assert look(path).signatures[0].digest == expected
        remove(path)
        assert path.read_bytes() == octets


# -- streams ----------------------------------------------------------------------------------------------------------
@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1), st.data())
def test_any_text_in_any_pieces(text: str, data: st.DataObject):
    """Read in pieces of a few octets, each text has the layout and the digest that it has as a whole."""
    kind = data.draw(st.sampled_from(sorted(SAMPLES)))
    encode = data.draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "cp1252")))
    if kind == "wsf":
        text += "</job>"
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encode, b"")
    octets = mark + text.encode(encode, "ignore")
    if data.draw(st.booleans()):
        octets = mark + with_block(text, kind, b"\x30\x03abc" * 9).encode(encode, "ignore")
    code = held(octets, kind)
    try:
        code_format = catalogue.recognise(code)
        whole = code_format.inspect(code)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(textblock, "_CHUNK", 2 * data.draw(st.integers(1, 40)))
            patched.setattr(content, "BUFFER", 2 * data.draw(st.integers(1, 40)))
            assert code_format.inspect(code) == whole
            found = code_format.prepare(code, whole, signatory(P256).identity, PLAIN, "sha256").described[0]
    except MalformedCode as error:
        assert "\n" not in error.detail.replace(code.filename, "")
        return
    assert found.digest == digest(octets, kind)


def test_a_script_that_changes_while_it_is_read():
    """What was UTF-8 when its structure was read, and is not when it is hashed, is refused in a sentence."""
    code = held("# \xe4\r\n".encode(), "ps1")
    layout = catalogue.BY_NAME["powershell"].inspect(code)
    code.octets = b"# \xe4\xe4\r\n"
    with pytest.raises(MalformedCode, match="changed while it was read"):
        catalogue.BY_NAME["powershell"].prepare(code, layout, signatory(P256).identity, PLAIN, "sha256")


# -- the key side -----------------------------------------------------------------------------------------------------
GOOD = Described(
    format="powershell",
    filename="a.ps1",
    digest_algorithm="sha256",
    digest=bytes(32),
    size=10,
    facts={"encoding": "utf-8"},
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "vbs"}, "of the format vbs"),
        ({"digest": bytes(31)}, "32 octets; 31"),
        ({"size": 0}, "cannot cover 0"),
        ({"size": textblock.MAX_TEXT + 1}, "cannot cover"),
        ({"facts": {}}, "missing required field"),
        ({"facts": {"encoding": 8}}, "Expected `str`"),
        ({"facts": {"encoding": "ebcdic"}}, "none is in 'ebcdic'"),
        ({"facts": {"encoding": "utf-8", "more": 0}}, "unknown field"),
    ],
)
def test_key_side_refuses_what_prepare_would_not_make(change: dict[str, object], words: str):
    """The side that holds the key believes nothing."""
    who, powershell = signatory(P256), catalogue.BY_NAME["powershell"]
    described = msgspec.structs.replace(GOOD, **change)
    with pytest.raises(BadInput, match=words):
        powershell.to_be_signed(described, who.identity, PLAIN)
    signed = [who.sign(tbs) for tbs in powershell.to_be_signed(GOOD, who.identity, PLAIN)]
    with pytest.raises(BadInput, match=words):
        powershell.finish(described, who.identity, PLAIN, signed, ())
    with pytest.raises(BadInput, match="one signature"):
        powershell.finish(GOOD, who.identity, PLAIN, signed * 2, ())


def test_key_side_knows_what_each_language_can_be():
    """VBScript is never in UTF-8 without a mark, so a description that says so was not made by reading one."""
    who = signatory(P256)
    for name in ("vbs", "js"):
        described = msgspec.structs.replace(GOOD, format=name)
        with pytest.raises(BadInput, match="none is in 'utf-8'"):
            catalogue.BY_NAME[name].to_be_signed(described, who.identity, PLAIN)


def test_a_signature_of_one_language_is_none_of_another(tmp_path: Path):
    """The same digest under the subject of another language is called what it is."""
    code = held(SAMPLES["vbs"].encode(), "vbs")
    vbs, js = catalogue.BY_NAME["vbs"], catalogue.BY_NAME["js"]
    prepared = vbs.prepare(code, vbs.inspect(code), signatory(P256).identity, PLAIN, "sha256")
    turned = msgspec.structs.replace(prepared, described=(msgspec.structs.replace(prepared.described[0], format="js"),))
    blob = blob_for(turned, signatory(P256))
    assert js.name == turned.described[0].format
    path = script(tmp_path, "vbs", with_block(SAMPLES["vbs"], "vbs", blob).encode())
    assert wrong(path) == {"other-format"}


@pytest.mark.parametrize("kind", HOST)
def test_lines_as_signtool_has_them(tmp_path: Path, kind: str):
    """44 characters a line where Windows Script Host reads them; jsign's lines of 64 are known too, no others."""
    path = script(tmp_path, kind)
    blob = sign(path, signatory(P256))
    lines = [line for line in path.read_bytes().decode().split("\r\n") if " SIG " in line and "block" not in line]
    sizes = {len(line.rpartition(" ")[2]) for line in lines[:-1]}
    assert sizes == {44} and 4 < len(lines[-1].rpartition(" ")[2]) <= 48
    text = SAMPLES[kind]
    for octets, found in ((64, set()), (40, {"signature-block"})):
        held_text = base64.b64encode(blob).decode()
        first, last = first_and_last(kind)
        opening = lines[0].rpartition(" ")[0] + " "
        pieces = [opening + held_text[at : at + octets] for at in range(0, len(held_text), octets)]
        place = text.rindex("</job>") if kind == "wsf" else len(text)
        path.write_text(text[:place] + "\r\n".join(("", first, *pieces, last, "")) + text[place:], newline="")
        assert wrong(path) == found


def test_a_last_line_that_takes_four_more():
    """What would be a line of four characters stands in the one before; a line of eight is one of its own."""
    dialect = catalogue.BY_NAME["vbs"]._dialect
    for octets, ends in ((33, [44]), (36, [48]), (39, [44, 8]), (66, [44, 44]), (69, [44, 48])):
        lines = dialect.forms(bytes(octets))[0].split("\r\n")[2:-2]
        assert [len(line) - len("'' SIG '' ") for line in lines] == ends
        assert with_block("", "vbs", bytes(octets)) == dialect.forms(bytes(octets))[0]
