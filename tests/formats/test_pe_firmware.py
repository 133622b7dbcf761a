"""Secure Boot: EFI images as sbsigntool reads them, which hashes section by section as firmware does."""

import subprocess
from pathlib import Path

import pytest
from tests.formats.pe_builder import EFI_APPLICATION, program
from tests.formats.signing import APPEND, PE, look, sign, signatory, troubles
from tests.formats.test_pe_later import stamp_later, with_checksum

from privyseal.formats.patch import carry_out
from privyseal.formats.source import FileSource
from privyseal.pki import certificates

EFI_BOOT_DRIVER = 11
IMAGES = {
    "x64": program(subsystem=EFI_APPLICATION),
    "arm64, with data behind": program("arm64", subsystem=EFI_APPLICATION, overlay=b"a device tree"),
    "x86 driver": program("x86", subsystem=EFI_BOOT_DRIVER),
}


def run(*command: object) -> tuple[bool, str]:
    """Run one of sbsigntool's programs; return whether it was content, and its words."""
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def verified(path: Path, folder: Path, scheme: str = "rsa-3072") -> bool:
    """Have sbverify compute the digest anew and verify the signature."""
    root = folder / "root.pem"
    root.write_bytes(certificates.pem(signatory(scheme).root))
    return run("sbverify", "--cert", root, path)[0]


@pytest.mark.parametrize("scheme", ["rsa-3072", "ecdsa-p256"])
@pytest.mark.parametrize("name", IMAGES)
def test_sbverify_accepts_ours(tmp_path: Path, name: str, scheme: str):
    """Signed; signed once more, as an entry of its own that firmware sees; timestamped later; and then changed."""
    path = tmp_path / "boot.efi"
    path.write_bytes(IMAGES[name])
    sign(path, signatory(scheme))
    assert verified(path, tmp_path, scheme)
    sign(path, signatory("ecdsa-p384"), options=APPEND)
    stamp_later(path, (0, 1))
    assert verified(path, tmp_path, scheme) and not troubles(look(path))
    assert "signature 2" in run("sbverify", "--list", path)[1]
    changed = bytearray(path.read_bytes())
    changed[0x210] ^= 1
    path.write_bytes(changed)
    assert not verified(path, tmp_path, scheme)


def test_sbverify_is_awake(tmp_path: Path):
    """One octet of the signature value, and it says no. Of chains it says nothing: without any root it says yes too."""
    path = tmp_path / "boot.efi"
    path.write_bytes(IMAGES["x64"])
    sign(path, signatory("ecdsa-p256"))
    octets = path.read_bytes()
    at = octets.index(look(path).signatures[0].signature_value) + 40
    path.write_bytes(octets[:at] + bytes((octets[at] ^ 1,)) + octets[at + 1 :])
    assert not verified(path, tmp_path, "ecdsa-p256")


def test_what_sbsign_signs(tmp_path: Path):
    """Its signature verifies here; of its padding we say that nothing covers it. Ours beside it, both are accepted."""
    chain, key, _ = signatory().write_pem(tmp_path)
    source, path = tmp_path / "in.efi", tmp_path / "out.efi"
    source.write_bytes(IMAGES["x64"])
    assert run("sbsign", "--key", key, "--cert", chain, "--output", path, source)[0]
    found = look(path)
    assert len(found.signatures) == 1 and not found.signatures[0].problems and troubles(found) <= {"padding"}
    sign(path, signatory("ecdsa-p256"), options=APPEND)
    assert len(look(path).signatures) == 2 and verified(path, tmp_path)


def test_sbattach_and_we_take_off_the_same(tmp_path: Path):
    """What is left is the image that was signed, octet for octet."""
    path, theirs = tmp_path / "boot.efi", tmp_path / "theirs.efi"
    original = with_checksum(IMAGES["x64"])
    path.write_bytes(original)
    sign(path, signatory("ecdsa-p256"))
    theirs.write_bytes(path.read_bytes())
    assert run("sbattach", "--remove", theirs)[0]
    with FileSource.open(path) as code:
        carry_out(PE.remove(code, PE.inspect(code)), code, path)
    at = PE.inspect(FileSource.open(path)).checksum_at
    left = theirs.read_bytes()
    assert path.read_bytes() == original == left[:at] + original[at : at + 4] + left[at + 4 :]
