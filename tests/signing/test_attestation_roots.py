"""Roots that the operator added vouch for their own format, and every verdict by one says whose root it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.pki import mint
from tests.pki.attestation import makers, nshield_maker
from tests.pki.attestation.makers import AT
from tests.signing.test_key_evidence import own
from tests.world import SUBSCRIBER, World

from privyseal import config
from privyseal.cli.doctor_roots import roots
from privyseal.compliance import modules
from privyseal.compliance.known import of_key
from privyseal.compliance.statements_of_keys import KeyAttested
from privyseal.errors import Misused, VerificationFailed
from privyseal.pki import certificates
from privyseal.pki.attestation import anchors, catalogue
from privyseal.pki.attestation.judge import judge
from privyseal.pki.attestation.protocol import Attested
from privyseal.signing import attestation_roots, confined, key_evidence, paper
from privyseal.terms.canonical import canonical_json, decode_canonical

FILES = [makers.yubikey().der, makers.yubikey_device().der]
MINE = makers.root().der
OPERATORS = "by a root that the operator added"


def directory(path: Path, section: str) -> Path:
    """Write a service's configuration with an ``[attestation.roots]``."""
    (path / config.FILE).write_text(f'[service]\nname = "Example"\n\n[attestation.roots]\n{section}\n')
    return path


def judged(**roots: tuple[bytes, ...]) -> Attested:
    """Judge a YubiKey's attestation of ours by operators' roots, in the confined child."""
    found = confined.attested(FILES, AT, added={name.replace("_", "-"): each for name, each in roots.items()})
    assert isinstance(found, confined.Proven)
    return found.attested


def test_a_root_vouches_for_its_own_format_only() -> None:
    """For a YubiKey, what is trusted for TPMs is nothing; a shipped root stays its maker's, whoever adds it."""
    assert judged(yubikey_piv=(MINE,)).root == "operator"
    with pytest.raises(VerificationFailed, match="No path leads"):
        judged(tpm2=(MINE,), pkix_evidence=(MINE,))
    documented = [nshield_maker.documented("softcard")]
    shipped = anchors.of_format("nshield")
    for added, pinned in (({}, ()), ({"nshield": shipped}, ()), ({}, shipped)):
        found = judge(documented, AT, pinned, added)
        assert isinstance(found, Attested)
        assert found.root == "maker"
    both = judge(FILES, AT, [MINE], {"yubikey-piv": [MINE]})
    assert isinstance(both, Attested)
    assert both.root == "operator"


def test_evidence_does_not_carry_a_root_over_to_another_format(world: World) -> None:
    """A YubiKey's attestation inside Evidence needs a root for YubiKeys, and not one for Evidence."""
    files = (makers.yubikey(own(world)).der, makers.yubikey_device().der)
    key_evidence.attest(world.seal, None, SUBSCRIBER, "release", files, [MINE])
    made = key_evidence.evidence(world.seal, None, SUBSCRIBER, "release")
    trusted = [made.certificate, MINE]
    with pytest.raises(VerificationFailed, match="trusted for another format"):
        judge([made.file], world.now, (), {"pkix-evidence": trusted})
    found = judge([made.file], world.now, (), {"pkix-evidence": trusted, "yubikey-piv": [MINE]})
    assert isinstance(found, Attested)
    assert (found.format, found.root) == ("yubikey-piv", "operator")


def test_every_verdict_says_that_the_root_is_the_operators(world: World) -> None:
    """In the statement, which the log fixes, and in whatever is judged of the key."""
    world.seal.attestation_roots = {"yubikey-piv": (MINE,)}
    files = (makers.yubikey(own(world)).der, makers.yubikey_device().der)
    kept = key_evidence.attest(world.seal, None, SUBSCRIBER, "release", files)
    assert kept.stated.module is not None
    assert kept.stated.module.root == "operator"
    assert OPERATORS in kept.text
    assert OPERATORS in modules.of_key(kept.stated.module).text
    assert decode_canonical(canonical_json(kept.stated), KeyAttested) == kept.stated
    paper.finish(world.seal)
    with world.seal.records.reading_all_subscribers() as connection:
        known = world.seal.stated.known_of_all_subscribers(connection)
    (held,) = known.documents(of_key(kept.stated.key_id))
    assert held.issuer == "Yubico by the operator's word"


def test_what_was_stated_before_is_read_as_it_was() -> None:
    """A maker's root is not written down: statements from before there were others are the same octets."""
    found = judge([nshield_maker.documented("softcard")], AT)
    assert isinstance(found, Attested)
    module = modules.module_of(found)
    assert b"root" not in canonical_json(module)
    assert "by a root" not in modules.of_key(module).text


def test_roots_are_read_from_files_and_folders(tmp_path: Path) -> None:
    """Each once; other files of a folder are passed over."""
    other = mint.certify("Another CA", makers.OTHER, ca=True)
    (tmp_path / "tpm").mkdir()
    (tmp_path / "tpm" / "one.pem").write_bytes(certificates.pem(MINE) + other.pem)
    (tmp_path / "tpm" / "two.der").write_bytes(MINE)
    (tmp_path / "tpm" / "notes.txt").write_text("who gave us these")
    at = directory(tmp_path, 'tpm2 = ["tpm"]\npkix-evidence = ["tpm/two.der"]')
    found = config.load(at).attestation.read(at)
    assert [(each.format, each.name) for each in found] == [
        ("tpm2", "Maker Root"),
        ("tpm2", "Another CA"),
        ("pkix-evidence", "Maker Root"),
    ]
    assert attestation_roots.by_format(found) == {"tpm2": (MINE, other.der), "pkix-evidence": (MINE,)}
    told = list(roots(config.load(at), at))
    assert (told[0].what, told[0].state) == ("attestation root Maker Root", "good")
    assert found[0].sha256 in told[0].text and "added by the operator" in told[0].text
    assert "TPM 2.0" in told[0].text


def test_doctor_says_that_a_root_need_not_be_added(tmp_path: Path) -> None:
    (tmp_path / "yubico.pem").write_bytes(certificates.pem(anchors.of_format("yubikey-piv")[0]))
    at = directory(tmp_path, 'yubikey-piv = ["yubico.pem"]')
    (told,) = roots(config.load(at), at)
    assert (told.state, "shipped as well" in told.text) == ("weak", True)
    assert list(roots(config.load(directory(tmp_path, "")), tmp_path)) == []


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('tpm2 = ["missing.pem"]', "missing.pem cannot be read"),
        ('tpm2 = ["empty"]', "has no certificate"),
        ('tpm2 = ["words.pem"]', "must hold certificates"),
        ('tpm2 = ["cut.der"]', "cannot be used"),
        ('tpm2 = ["request.csr"]', "must hold certificates"),
        ('tpm2 = ["private.pem"]', "private key"),
        ('tpm = ["root.pem"]', "attestation.roots"),
        ('nshield = ["root.pem"]', "attestation.roots"),
        ('tpm2 = "root.pem"', "attestation.roots"),
    ],
)
def test_what_is_no_root_is_refused_when_the_configuration_is_read(tmp_path: Path, section: str, words: str) -> None:
    """With the file's name, before anything is served."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.pem").write_text("a letter")
    (tmp_path / "cut.der").write_bytes(MINE[:-1])
    (tmp_path / "request.csr").write_bytes(makers.request())
    (tmp_path / "private.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(Misused, match=words):
        config.load(directory(tmp_path, section))


def test_every_format_with_certificates_can_be_named() -> None:
    """And nShield's not, whose one root is a bare key."""
    named = set(attestation_roots.FormatName.__args__)  # type: ignore[attr-defined]
    assert named == set(catalogue.BY_NAME) - {"nshield"}
