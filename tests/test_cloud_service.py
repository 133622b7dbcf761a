"""A whole service whose key is with AWS KMS, beside a Transit engine: it signs, says how they are, and keeps quiet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from tests.rehearsal import Rehearsal, initialise, serving
from tests.stubs.awskms import REGION, SECRET, AwsStub
from tests.stubs.azurekv import CLIENT, TENANT, VAULT, AzureStub
from tests.stubs.gcpkms import RING, GcpStub
from tests.stubs.vault import TOKEN, VaultStub


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AwsStub, VaultStub]]:
    folder = tmp_path_factory.mktemp("clouds")
    aws, vault = AwsStub(folder / "aws"), VaultStub(folder / "vault")
    yield aws, vault
    aws.close()
    vault.close()


@pytest.fixture(scope="module")
def service(clouds: tuple[AwsStub, VaultStub], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Run a rehearsal service with both; its key is born with the first, and Vault is for another Subscriber."""
    aws, vault = clouds
    folder = tmp_path_factory.mktemp("service")
    homes = folder / "homes.toml"
    homes.write_text(
        f'[[awskms]]\nname = "prod"\nregion = "{REGION}"\ncredentials_file = "{aws.credentials}"\n'
        f'endpoint = "{aws.url}"\nca_file = "{aws.ca_file}"\n'
        f'[[vault]]\nname = "bao"\nurl = "{vault.url}"\ntoken_file = "{vault.credentials}"\n'
        f'ca_file = "{vault.ca_file}"\nsubscribers = ["acme"]\n'
    )
    homes.chmod(0o600)
    initialise(folder / "seal", "--scheme", "ecdsa-p256", "--keys-in", str(homes))
    with serving(folder / "seal") as running:
        yield running


def test_a_service_signs_with_a_key_in_a_cloud(
    service: Rehearsal, clouds: tuple[AwsStub, VaultStub], tmp_path: Path
) -> None:
    """One signature asked of AWS for one file, verified; throttled meanwhile, it is asked for again and made once."""
    aws, vault = clouds
    before = aws.signs
    for number in range(2):
        file = tmp_path / f"setup{number}.exe"
        file.write_bytes((resources.files("distlib") / "t64.exe").read_bytes() + b"%d" % number)
        aws.order("Sign", *["ThrottlingException"] * number)
        done = service.run("sign", file)
        assert done.returncode == 0, done.stderr
        assert service.run("verify", file).returncode == 0
    assert aws.signs - before == 2 and vault.signs == 0
    shown = json.loads(service.run("key", "show", "release", "--json").stdout)
    assert json.dumps(shown).count('"awskms"') and "Origin=AWS_KMS" in json.dumps(shown)


def test_doctor_shows_each_cloud_and_what_holds_its_worker(service: Rehearsal) -> None:
    """How many keys are there, and that the kernel says of their workers what it says of the processes above them."""
    said = service.run("doctor", "--dir", service.directory, "--url", service.url, "--json", profile=False)
    found = {each["what"]: each for each in json.loads(said.stdout)["findings"]}
    assert (found["token prod"]["state"], "holds one key" in found["token prod"]["text"]) == ("good", True)
    assert (found["token bao"]["state"], "holds 0 keys" in found["token bao"]["text"]) == ("good", True)
    assert "no seccomp" not in found["sandbox"]["text"]


def test_a_credential_is_nowhere_but_in_its_file(service: Rehearsal) -> None:
    """Settings, records, journals and the log hold no octet of it."""
    for path in service.directory.rglob("*"):
        if path.is_file():
            held = path.read_bytes()
            assert SECRET.encode() not in held and TOKEN.encode() not in held, path


@pytest.mark.parametrize("cloud", ["gcpkms", pytest.param("azurekv", marks=pytest.mark.nightly)])
def test_a_service_lives_on_another_cloud(cloud: str, tmp_path: Path) -> None:
    """Founded there, it signs and verifies; a look at the cloud's count has nothing to compare yet, and says so."""
    stub: GcpStub | AzureStub
    if cloud == "gcpkms":
        stub = GcpStub(tmp_path / "stub")
        stub.write_credentials()
        fields = f'key_ring = "{RING}"\ncredentials_file = "{stub.credentials}"\naudit = true\n'
        fields += f'logging_endpoint = "{stub.url}"\nprojects_endpoint = "{stub.url}"\n'
    else:
        stub = AzureStub(tmp_path / "stub")
        fields = f'vault = "{VAULT}"\ntenant = "{TENANT}"\nclient = "{CLIENT}"\nlogin_endpoint = "{stub.url}"\n'
        fields += f'secret_file = "{stub.credentials}"\n'
    homes = tmp_path / "homes.toml"
    homes.write_text(f'[[{cloud}]]\nname = "prod"\n{fields}endpoint = "{stub.url}"\nca_file = "{stub.ca_file}"\n')
    homes.chmod(0o600)
    initialise(tmp_path / "seal", "--scheme", "ecdsa-p256", "--keys-in", str(homes))
    with serving(tmp_path / "seal") as running:
        file = tmp_path / "setup.exe"
        file.write_bytes((resources.files("distlib") / "t64.exe").read_bytes())
        before = stub.signs
        done = running.run("sign", file)
        assert done.returncode == 0, done.stderr
        assert running.run("verify", file).returncode == 0 and stub.signs == before + 1
        guard = json.loads(running.run("key", "show", "release", "--json").stdout)["protection"]
        assert (guard["store"], guard["assurance"], guard["never_extractable"]) == (cloud, "hardware", True)
        looked = running.run("key", "reconcile", "--dir", running.directory, profile=False)
        assert looked.returncode == 0 and "no whole hour yet to compare" in looked.stderr, looked.stderr
    stub.close()
