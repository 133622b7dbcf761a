"""The configuration reference names every setting of every CA that the service asks, and the how-to's examples hold."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from privyseal.authorities.acme import AcmeSection
from privyseal.authorities.catalogue import Section
from privyseal.authorities.ejbca import EjbcaSection
from privyseal.authorities.stepca import StepCaSection
from privyseal.authorities.vaultpki import VaultPkiSection

DOCS = Path(__file__).resolve().parents[2] / "docs"
KINDS: dict[str, type[msgspec.Struct]] = {
    "acme": AcmeSection,
    "ejbca": EjbcaSection,
    "step-ca": StepCaSection,
    "vault-pki": VaultPkiSection,
}
HOW_TO = (DOCS / "how-to" / "order-at-a-ca-by-protocol.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_lists_what_a_section_has(kind: str) -> None:
    page = (DOCS / "reference" / "configuration.md").read_text(encoding="utf-8")
    [row] = [line for line in page.splitlines() if line.startswith(f"| `{kind}` |")]
    listed = set(re.findall(r"`([a-z_]+)`", row.partition(f"`{kind}`")[2])) - {"pki"}
    fields = {each.name: each.required for each in msgspec.structs.fields(KINDS[kind])}
    assert listed == set(fields) - {"name", "ca_file"}
    needed = set(re.findall(r"`([a-z_]+)`", row.split("|")[2]))
    assert {name for name, required in fields.items() if required} <= needed | {"name"}


def test_the_examples_are_sections() -> None:
    """One of each kind."""
    found = [tomllib.loads(each) for each in re.findall(r"```toml\n(.*?)```", HOW_TO, re.DOTALL)]
    sections = [msgspec.convert(each["authorities"][0], Section) for each in found]
    assert {type(each) for each in sections} == set(KINDS.values())
