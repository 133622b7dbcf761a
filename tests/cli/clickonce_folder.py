"""ClickOnce applications and deployments on the disk, signed in this process, and counted anew by other means."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path
from xml.etree import ElementTree

from tests.formats import pe_builder
from tests.formats.clickonce_builder import application, dependency
from tests.formats.signing import signatory

from privyseal.cli import keyfile
from privyseal.cli.inside_signing import sign_with_inside
from privyseal.cli.outcomes import Outcome
from privyseal.cli.pieces import Job, Wishes
from privyseal.formats import clickonce_manifest
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Options

NS = {"a": "urn:schemas-microsoft-com:asm.v2", "d": "http://www.w3.org/2000/09/xmldsig#"}
WISHES = Wishes(options=Options(timestamp=False), digest="sha256", inside="sign")
PROGRAM = pe_builder.program(sections=(b"\x90" * 300,))
LIBRARY = pe_builder.program(sections=(b"\xc3" * 700,))
THEIRS = signatory("rsa-4096")
SCRIPT = b"Write-Host 'hello'\r\n"
BELOW = "Application Files/Example_1_2_3_4"
MANIFEST = f"{BELOW}/Example.exe.manifest"


def write_program(folder: Path, more: str = "", behind: str = "", algorithm: str = "sha256") -> Path:
    (folder / "data").mkdir(parents=True)
    files = {"Example.exe": PROGRAM, "lib.dll": LIBRARY, "first.ps1": SCRIPT, "data/Example.exe.config": b"settings"}
    for name, octets in files.items():
        (folder / (name + behind)).write_bytes(octets)
    others = dependency("lib.dll", LIBRARY, algorithm) + dependency("first.ps1", SCRIPT, algorithm)
    path = folder / "Example.exe.manifest"
    path.write_bytes(application(others, more, program=PROGRAM, algorithm=algorithm))
    return path


def signed(path: Path, maker: keyfile.KeyFileMaker, out: Path | None = None, **how: object) -> Outcome | None:
    wishes = Wishes(**{**{name: getattr(WISHES, name) for name in WISHES.__struct_fields__}, **how})  # type: ignore[arg-type]
    return sign_with_inside(Job(str(path), str(out or path)), maker, wishes, lambda _octets: None)


def holds(path: Path, mapped: bool = False) -> list[str]:
    """Count sizes and hashes anew of all that a manifest names; return the names, those of its application too."""
    root = ElementTree.parse(path).getroot()  # noqa: S314 - our own
    deployed = root.findall("a:deployment", NS)
    mapped = mapped or any(each.get("mapFileExtensions") == "true" for each in deployed)
    found = []
    for one in [*root.findall("a:file", NS), *root.findall("a:dependency/a:dependentAssembly", NS)]:
        name = (one.get("name") or one.get("codebase") or "").replace("\\", "/")
        inner = bool(deployed)
        octets = (path.parent / (name + ".deploy" * (mapped and not inner))).read_bytes()
        stated = one.find("a:hash/d:DigestValue", NS)
        method = one.find("a:hash/d:DigestMethod", NS)
        assert stated is not None and method is not None
        assert (one.get("size"), method.get("Algorithm")) == (str(len(octets)), f"{NS['d']}sha256"), name
        assert base64.b64decode(stated.text or "") == hashlib.sha256(octets).digest(), name
        found.append(name)
        if inner:
            token = ElementTree.fromstring(octets)[0].get("publicKeyToken")  # noqa: S314 - our own
            identity = one.find("a:assemblyIdentity", NS)
            assert identity is not None and token not in (None, "0" * 16) and identity.get("publicKeyToken") == token
            found += holds(path.parent / name, mapped)
    return found


def stranger_accepts(maker_folder: Path, *programs: Path) -> None:
    for each in programs:
        line = ["osslsigncode", "verify", "-CAfile", maker_folder / "root.pem", "-in", each]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert "Signature verification: ok" in done.stdout, done.stdout


def tree(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def layout_of(path: Path) -> clickonce_manifest.ClickOnceLayout:
    with FileSource.open(path) as code:
        return clickonce_manifest.read(code, "clickonce")
