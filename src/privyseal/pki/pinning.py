"""What products of the field compare of a publisher's certificate, so that a renewal that changes it is seen before.

Each note says what a product looks at when it meets a newer release, and what happens where that is another one. It is
knowledge of other people's software as they document it, and names its source; it proves nothing about one release.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

Part: TypeAlias = Literal["certificate", "key", "subject", "common-name", "organization", "unit", "issuer", "ev"]
"""What of a certificate can be compared: itself, its key, its whole subject in order, one attribute of it, who issued
it, whether it is EV. A new certificate is always another ``certificate``."""


class Pinned(Struct, frozen=True, kw_only=True):
    """One product, and what it compares."""

    product: str
    compares: tuple[Part, ...]
    how: str
    """In words, and what happens where it differs."""
    source: str
    """Address of the vendor's document, code or report."""


_LEARN = "https://learn.microsoft.com/"

PINNED: tuple[Pinned, ...] = (
    Pinned(
        product="electron-updater",
        compares=("common-name", "subject"),
        how="publisherName in app-update.yml is compared with the commonName, or attribute by attribute where it is "
        "written as a whole name; an update under another one is refused by every copy that is installed",
        source="https://github.com/electron-userland/electron-builder/issues/7983",
    ),
    Pinned(
        product="MSIX",
        compares=("subject",),
        how="Publisher in the manifest must be the subject, character by character and in its order, and the package's "
        "family name is made of it: under another one it is another package, which updates nothing",
        source=_LEARN + "windows/msix/package/create-certificate-package-signing",
    ),
    Pinned(
        product="ClickOnce",
        compares=("key", "subject", "issuer"),
        how="publicKeyToken in the manifests is made of the key, and publisherIdentity has the subject and a hash of "
        "the issuer's key; with others it may be installed anew, beside the old one",
        source=_LEARN + "visualstudio/deployment/clickonce-deployment-manifest",
    ),
    Pinned(
        product="SmartScreen",
        compares=("certificate", "issuer"),
        how="reputation belongs to a file and to the certificate it is signed with, so that of a new one "
        "begins anew; another issuing CA was seen to bring the warnings back for everything",
        source="https://github.com/Azure/artifact-signing-action/issues/128",
    ),
    Pinned(
        product="App Control for Business (WDAC)",
        compares=("common-name", "issuer", "certificate"),
        how="a rule of level Publisher has the issuing CA and the commonName, one of level LeafCertificate the "
        "certificate itself; what no rule knows is not run",
        source=_LEARN + "windows/security/application-security/application-control/app-control-for-business/design/"
        "select-types-of-rules-to-create",
    ),
    Pinned(
        product="AppLocker",
        compares=("organization", "subject"),
        how="a publisher rule has O, L, S and C of the subject as one text; under another one the rule does not apply",
        source=_LEARN + "windows/security/application-security/application-control/app-control-for-business/applocker/"
        "understanding-the-publisher-rule-condition-in-applocker",
    ),
    Pinned(
        product="Windows drivers",
        compares=("certificate", "ev"),
        how="submissions to the Hardware Developer Program are signed with a certificate that was registered there, "
        "and the first one has to be EV: register the new one before the old one ends",
        source=_LEARN + "windows-hardware/drivers/dashboard/code-signing-reqs",
    ),
    Pinned(
        product="Trusted Publishers (PowerShell, drivers, Office macros)",
        compares=("certificate",),
        how="the store holds certificates themselves: administrators have to distribute the new one as well",
        source=_LEARN + "powershell/module/microsoft.powershell.core/about/about_signing",
    ),
    Pinned(
        product="Windows Installer patches",
        compares=("certificate",),
        how="MsiPatchCertificate names the certificates whose patches need no administrator; the new one is not in "
        "packages that are out already",
        source=_LEARN + "windows/win32/msi/user-account-control--uac--patching",
    ),
    Pinned(
        product="WinGUp (Notepad++)",
        compares=("subject", "key"),
        how="the updater has the subject and the key identifier built in; an update with others is refused",
        source="https://github.com/notepad-plus-plus/wingup/issues/105",
    ),
    Pinned(
        product="nuget.org",
        compares=("certificate",),
        how="packages are taken in only with a certificate that is registered with the account: register the new one "
        "beforehand",
        source=_LEARN + "nuget/create-packages/sign-a-package",
    ),
    Pinned(
        product="Android (APK)",
        compares=("certificate", "key"),
        how="an update must bear the certificate of the installed one, or a proof of rotation (scheme v3)",
        source="https://source.android.com/docs/security/features/apksigning/v3",
    ),
    Pinned(
        product="macOS (designated requirement)",
        compares=("unit", "issuer"),
        how="the requirement names the team in OU and Apple's issuer; with another team it is another program",
        source="https://developer.apple.com/documentation/technotes/tn3127-inside-code-signing-requirements",
    ),
)
"""Every note there is; what is not listed was not looked at, which says nothing about it."""


def comparing(parts: frozenset[Part]) -> tuple[Pinned, ...]:
    """Return the notes on products that compare one of these parts."""
    return tuple(each for each in PINNED if not parts.isdisjoint(each.compares))
