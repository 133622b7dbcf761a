"""The certificate authorities, by the kind that a section of the configuration names: a list one can read.

Another kind is one file beside ``byhand.py``, a name in ``Section`` and one line in :func:`authority`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from privyseal.authorities.acme import Acme, AcmeSection
from privyseal.authorities.byhand import ByHand, ByHandSection
from privyseal.authorities.ejbca import Ejbca, EjbcaSection
from privyseal.authorities.protocol import CertificateAuthority
from privyseal.authorities.rehearsal import Issuer, Rehearsal, RehearsalSection
from privyseal.authorities.stepca import StepCa, StepCaSection
from privyseal.authorities.vaultpki import VaultPki, VaultPkiSection
from privyseal.errors import Misused

Section: TypeAlias = AcmeSection | ByHandSection | EjbcaSection | RehearsalSection | StepCaSection | VaultPkiSection
"""One ``[[authorities]]`` of ``serve.toml``; its ``kind`` says which."""


def authority(section: Section, base: Path, issuer: Issuer | None) -> CertificateAuthority:
    """Return the authority of one section, whose relative paths start at ``base``; Misused where it makes no sense.

    ``issuer`` is the door to the rehearsal CA, where this service has one. What needs an optional package is imported
    in its own branch only.
    """
    match section:
        case ByHandSection():
            return ByHand(section)
        case AcmeSection():
            return Acme(section, base)
        case EjbcaSection():
            return Ejbca(section, base)
        case StepCaSection():
            return StepCa(section, base)
        case VaultPkiSection():
            return VaultPki(section, base)
        case RehearsalSection():
            if issuer is None:
                raise Misused("There is no rehearsal CA beside this service.", hint="only a rehearsal has one")
            return Rehearsal(section, issuer)


def authorities(sections: Sequence[Section], base: Path, issuer: Issuer | None) -> dict[str, CertificateAuthority]:
    """Return all by their names, with ``by-hand`` and a rehearsal's own CA though no section names them.

    Misused where two have one name.
    """
    found: dict[str, CertificateAuthority] = {}
    for section in sections:
        if section.name in found:
            raise Misused(f"Two [[authorities]] are named {section.name}.", hint='give each its own: name = "..."')
        found[section.name] = authority(section, base, issuer)
    unsaid: list[CertificateAuthority] = [ByHand(ByHandSection())]
    if issuer is not None:
        unsaid.append(Rehearsal(RehearsalSection(), issuer))
    return {each.name: each for each in unsaid} | found
