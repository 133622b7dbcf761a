"""Settings are read strictly, by their owner alone, and never quoted."""

from pathlib import Path

import pytest
from tests.strongroom.signroom import START, Authority, Person
from tests.tlog.test_witness import LOG, signer

from privyseal.errors import Misused
from privyseal.strongroom import settings
from privyseal.strongroom.founding import add_witness, create_logger, create_signer, create_standby
from privyseal.strongroom.rooms import ports
from privyseal.strongroom.settings import Anchor, LoggerSettings, Operator, SignerSettings
from privyseal.tlog.note import KeyType

CANARY = "canary-of-a-passphrase"
GOOD = f"""
log = "a+b+c"
operator_quorum = 2
[softfile]
directory = "keys"
passphrase = "{CANARY}"
[[operators]]
name = "olga"
public_key = "{"A" * 43}="
[[operators]]
name = "otto"
public_key = "{"B" * 42}A="
"""


def read(tmp_path: Path, text: str) -> SignerSettings:
    path = tmp_path / "signer.toml"
    path.write_text(text)
    path.chmod(0o600)
    return settings.load(path, SignerSettings)


def test_good_settings_are_read(tmp_path: Path):
    """Octets stand there in base64; what is left out has its default; the passphrase does not show in a repr."""
    found = read(tmp_path, GOOD)
    assert found.operators[0] == Operator("olga", bytes(32))
    assert (found.softfile.passphrase, found.rehearsal, found.admitted) == (CANARY, False, ())
    assert CANARY not in repr(found) and "..." in repr(found)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("operator_quorum = 2", "operator_quorum = 3", "operator_quorum is 3 and 2 operators"),
        ("operator_quorum = 2", "operator_quorum = 1", "only a rehearsal signer"),
        ("B" * 42 + "A=", "A" * 43 + "=", "the same public key"),
        ("operator_quorum = 2", "operator_quorum = 0", "only a rehearsal signer"),
        ("operator_quorum = 2", "operator_quorum = -1\nrehearsal = true", "operator_quorum is -1"),
        ("operator_quorum = 2", "", "operator_quorum"),
        ('log = "a+b+c"', 'log = "a+b+c"\nlgo = 1', "unknown field"),
        ('log = "a+b+c"', "log = 7", "Expected `str`"),
        ("A" * 43 + "=", "AAAA", "32 octets"),
        ('directory = "keys"', "", "directory"),
        ("[[operators]]", "[[pkcs11]]\nmodule = 'm'\ntoken = 't'\n[[operators]]", "needs one of pin and pin_file"),
        ("[[operators]]", "[[operators]]\nname = 'olga'\npublic_key = '" + "C" * 42 + "A='\n[[operators]]", "twice"),
        (f'"{CANARY}"', f'"{CANARY}', "is not TOML"),
        (f'"{CANARY}"', "[1]", "softfile.passphrase"),
    ],
)
def test_wrong_settings_are_refused_by_their_field_s_name(tmp_path: Path, old: str, new: str, words: str):
    """The sentence names file and field, and never repeats a value that may be the secret."""
    assert old in GOOD
    with pytest.raises(Misused) as refusal:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert words in str(refusal.value) and "signer.toml" in str(refusal.value)
    assert CANARY not in str(refusal.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_settings_that_others_can_read_are_refused(tmp_path: Path, mode: int):
    """Whoever else can read or write them could have the passphrase or set the quorum."""
    read(tmp_path, GOOD)
    (tmp_path / "signer.toml").chmod(mode)
    with pytest.raises(Misused, match="chmod 600"):
        settings.load(tmp_path / "signer.toml", SignerSettings)


def test_settings_that_are_not_there_or_not_text_are_refused(tmp_path: Path):
    """In words, like every other mistake."""
    with pytest.raises(Misused, match="cannot be read"):
        settings.load(tmp_path / "none.toml", LoggerSettings)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "b.toml").chmod(0o600)
    with pytest.raises(Misused, match="not TOML"):
        settings.load(tmp_path / "b.toml", LoggerSettings)


def test_what_is_founded_is_what_is_read(tmp_path: Path):
    """The settings that are written are read back: operators, anchors, quorum, a fresh passphrase."""
    from privyseal.pki.certificates import pem

    authority = Authority('a "quoted" name, ü')
    people = [Operator(one.name, one.approver.public_key) for one in (Person("olga"), Person("otto"))]
    anchor = Anchor("private", pem(authority.der).decode())
    create_signer(
        tmp_path / "s", tmp_path / "s.mark", "a+b+c", [anchor], lambda: START, operators=people, operator_quorum=2
    )
    found = settings.load(tmp_path / "s/signer.toml", SignerSettings)
    assert (found.operators, found.operator_quorum, found.rehearsal) == (tuple(people), 2, False)
    assert [one.der() for one in found.anchors] == [authority.der]
    create_signer(tmp_path / "t", tmp_path / "t.mark", "a+b+c", [], lambda: START, rehearsal=True)
    assert settings.load(tmp_path / "t/signer.toml", SignerSettings).softfile.passphrase != found.softfile.passphrase
    for pems in ("", anchor.pem * 2, "junk"):
        with pytest.raises(Misused, match="not one certificate"):
            Anchor("private", pems).der()


def test_the_homes_of_a_file_are_what_is_founded(tmp_path: Path) -> None:
    """Sections of several stores, their paths beside the file; what they say is written, and read back."""
    (tmp_path / "given").mkdir()
    given = tmp_path / "given" / "homes.toml"
    given.write_text(
        '[[vault]]\nname = "v"\nurl = "https://vault.example:8200"\ntoken_file = "token"\n'
        '[[awskms]]\nname = "a"\nregion = "eu-central-1"\ncredentials_file = "aws"\nsubscribers = ["acme"]\n'
    )
    given.chmod(0o600)
    homes = settings.read_homes(given)
    assert [store for store, _ in homes] == ["awskms", "vault"]
    create_signer(tmp_path / "s", tmp_path / "s.mark", "a+b+c", [], lambda: START, rehearsal=True, homes=homes)
    found = settings.load(tmp_path / "s/signer.toml", SignerSettings)
    assert found.homes() == tuple(homes)
    assert found.vault[0].token_file == str(tmp_path / "given" / "token")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no section such as"),
        ('log = "x"', "unknown field `log`"),
        ('[[awskms]]\nname = "a"\nregion = "mars"\ncredentials_file = "c"', "no region of AWS"),
        (
            '[[vault]]\nname = "a"\nurl = "https://v"\ntoken_file = "t"\n' * 2,
            r"name 'a' of a \[\[vault\]\] section stands there twice",
        ),
        (
            '[[vault]]\nname = "a"\nurl = "https://v"\ntoken_file = "t"\n'
            '[[pkcs11]]\ntoken = "a"\nmodule = "m"\npin_file = "p"\n',
            "stands there twice",
        ),
    ],
)
def test_homes_that_cannot_be_are_refused(tmp_path: Path, text: str, said: str) -> None:
    """None, something else, a section that is wrong, two that could not be told apart."""
    given = tmp_path / "homes.toml"
    given.write_text(text)
    given.chmod(0o600)
    with pytest.raises(Misused, match=said):
        settings.read_homes(given)


WITNESSES = [signer(f"witness.example/w{n}", KeyType.COSIGNATURE_V1).verifier.vkey for n in range(3)]


def _logger_toml(tmp_path: Path, top: str, *witnesses: tuple[str, str]) -> LoggerSettings:
    tables = "".join(f'[[witness]]\nvkey = "{vkey}"\nurl = "{url}"\n' for vkey, url in witnesses)
    path = tmp_path / "logger.toml"
    path.write_text(f'origin = "o"\npublic = "p"\nmark = "m"\n{top}\n{tables}')
    path.chmod(0o600)
    return settings.load(path, LoggerSettings)


@pytest.mark.parametrize(
    ("top", "witnesses", "said"),
    [
        ("", [WITNESSES[0]], "quorum is 0 and 1"),
        ("quorum = 1", [], "quorum is 1 and 0"),
        ("quorum = 3", WITNESSES[:2], "quorum is 3 and 2"),
        ("quorum = -1", WITNESSES[:2], "quorum is -1"),
        ("quorum = 1", WITNESSES[:1] * 2, "twice"),
        ("quorum = 1", ["nonsense"], "not a verifier key"),
        ("quorum = 1", [LOG.verifier.vkey], "not that of a witness"),
        ("quorum = 1\nwitness_seconds = 0", WITNESSES[:1], "witness_seconds"),
        ("quorum = 1", WITNESSES[:1] * 33, "at most 32"),
    ],
)
def test_witnesses_that_make_no_sense_are_refused(tmp_path: Path, top: str, witnesses: list[str], said: str):
    """A quorum nobody could meet, a witness that counts twice or is none: one sentence."""
    with pytest.raises(Misused, match=said):
        _logger_toml(tmp_path, top, *((vkey, "http://127.0.0.1:1") for vkey in witnesses))
    for url in ("ftp://x", "http://", "w"):
        with pytest.raises(Misused, match="address"):
            _logger_toml(tmp_path, "quorum = 1", (WITNESSES[0], url))


def test_the_ports_a_logger_calls_are_those_of_its_settings(tmp_path: Path):
    """Each witness's and each of the database's hosts', with the defaults of their kinds; else none."""
    _logger_toml(tmp_path, "")
    assert ports("logger", tmp_path / "logger.toml") == ()
    urls = ["http://a", "https://b/w", "http://[::1]:8471"]
    journal = 'journal = "postgresql://u:canary@h1:5433,h2/d"\nquorum = 2'
    _logger_toml(tmp_path, journal, *zip(WITNESSES, urls, strict=True))
    assert ports("logger", tmp_path / "logger.toml") == (80, 443, 5432, 5433, 8471)
    _logger_toml(tmp_path, 'journal = "postgresql://u:canary@h:port/d"')
    with pytest.raises(Misused, match="not a PostgreSQL") as refused:
        ports("logger", tmp_path / "logger.toml")
    assert "canary" not in str(refused.value)
    assert ports("signer", tmp_path / "none.toml") == ()


def test_a_witness_is_added_to_what_stands_there(tmp_path: Path):
    """Everything else of the settings stays; one that is named already is refused and nothing is written."""
    create_logger(tmp_path / "logger", tmp_path / "log", tmp_path / "mark", "log.example/x")
    before = settings.load(tmp_path / "logger/logger.toml", LoggerSettings)
    for n, vkey in enumerate(WITNESSES[:2], start=1):
        add_witness(tmp_path / "logger", vkey, f"http://127.0.0.1:{n}", n)
    found = settings.load(tmp_path / "logger/logger.toml", LoggerSettings)
    assert ([each.vkey for each in found.witness], found.quorum) == (WITNESSES[:2], 2)
    assert (found.origin, found.public, found.mark, found.journal) == (
        *(before.origin, before.public, before.mark, before.journal),
    )
    for vkey, quorum in ((WITNESSES[0], 2), (WITNESSES[2], 4)):
        with pytest.raises(Misused):
            add_witness(tmp_path / "logger", vkey, "http://127.0.0.1:9", quorum)
    assert settings.load(tmp_path / "logger/logger.toml", LoggerSettings) == found
    with pytest.raises(Misused, match="cannot share"):
        create_standby(tmp_path / "logger2", tmp_path / "logger", tmp_path / "mark2")


def test_a_signer_without_any_key_store_is_refused_and_one_with_a_token_alone_is_not(tmp_path: Path):
    """Keys are in files, in tokens or in both; nowhere is a mistake. No PIN shows in a repr."""
    alone = GOOD.replace(f'[softfile]\ndirectory = "keys"\npassphrase = "{CANARY}"\n', "")
    with pytest.raises(Misused, match="neither softfile nor a section such as"):
        read(tmp_path, alone)
    found = read(tmp_path, alone + f"[[pkcs11]]\nmodule = 'm.so'\ntoken = 't'\npin = '{CANARY}'\n")
    assert found.softfile is None and found.pkcs11[0].timeout == 10.0
    assert CANARY not in repr(found)
    with pytest.raises(Misused, match="at most 64"):
        read(tmp_path, alone + "[[pkcs11]]\nmodule = 'm.so'\ntoken = 't'\npin_file = 'p'\n" * 65)
