"""What ``privyseal doctor`` tells of the roots for attestations that the operator added."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from privyseal import config
from privyseal.cli.diagnosis import Diagnosis
from privyseal.cli.output import printable
from privyseal.pki.attestation import anchors, catalogue


def roots(settings: config.Settings, directory: Path) -> Iterator[Diagnosis]:
    """Tell each root with its name, SHA-256, file, and the format for which it is trusted.

    One that is shipped as its maker's is weak: it need not be added, and a verdict by it is one by the maker's root.
    """
    for each in settings.attestation.read(directory.resolve()):
        shipped = each.der in anchors.of_format(each.format)
        title = catalogue.BY_NAME[each.format].title
        text = f"trusted for {title}, added by the operator: SHA-256 {each.sha256}, {each.file}"
        text += "; it is shipped as well, so it need not be added" if shipped else ""
        yield Diagnosis(f"attestation root {printable(each.name)}", "weak" if shipped else "good", text)
