"""What ``lint_pkix_cert`` does, for many files in one process: ``python -m bench.pkilint_alone FOLDER``.

Its own command takes one certificate and starts anew for each, most of which is imports; that would flatter us.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pkilint import loader
from pkilint.pkix import certificate, extension, name


def main(folder: Path) -> None:
    """Lint every file of a folder as pkilint's command does, and count what it finds."""
    validator = certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )
    load = loader.RFC5280CertificateDocumentLoader().load_file
    found = 0
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            results = validator.validate(load(file, path.name).root)
        found += sum(len(each.finding_descriptions) for each in results)
    print(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
