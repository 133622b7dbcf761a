"""ClickOnce manifests as mage and Visual Studio write them, and a judge of signed ones that runs under mono."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

BOM = b"\xef\xbb\xbf"
IDENTITY = 'version="1.2.3.4" publicKeyToken="0000000000000000" language="neutral" processorArchitecture="msil"'
PROGRAM = b"a program's octets"

_DEPENDENCY = """
  <dependency>
    <dependentAssembly dependencyType="install"{more} codebase="{path}" size="{size}">
      <assemblyIdentity name="{name}" version="1.0.0.0" language="neutral" processorArchitecture="msil" />
      <hash>
        <dsig:Transforms>
          <dsig:Transform Algorithm="urn:schemas-microsoft-com:HashTransforms.Identity" />
        </dsig:Transforms>
        <dsig:DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#{algorithm}" />
        <dsig:DigestValue>{digest}</dsig:DigestValue>
      </hash>
    </dependentAssembly>
  </dependency>"""
_ROOT = (
    '<asmv1:assembly xsi:schemaLocation="urn:schemas-microsoft-com:asm.v1 assembly.adaptive.xsd" '
    'manifestVersion="1.0" xmlns:asmv1="urn:schemas-microsoft-com:asm.v1" xmlns="urn:schemas-microsoft-com:asm.v2" '
    'xmlns:asmv2="urn:schemas-microsoft-com:asm.v2" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns:co.v1="urn:schemas-microsoft-com:clickonce.v1" xmlns:asmv3="urn:schemas-microsoft-com:asm.v3" '
    'xmlns:dsig="http://www.w3.org/2000/09/xmldsig#" xmlns:co.v2="urn:schemas-microsoft-com:clickonce.v2">'
)


def dependency(path: str, content: bytes = PROGRAM, algorithm: str = "sha256", more: str = "") -> str:
    digest = base64.b64encode(hashlib.new(algorithm, content).digest()).decode()
    return _DEPENDENCY.format(
        path=path, size=len(content), name=path.partition(".")[0], algorithm=algorithm, digest=digest, more=more
    )


def application(
    *more: str, identity: str = IDENTITY, end: str = "\r\n", program: bytes = PROGRAM, algorithm: str = "sha256"
) -> bytes:
    """Return the manifest of an application, ``.exe.manifest``, of one program and a file of settings."""
    settings = base64.b64encode(hashlib.sha256(b"settings").digest()).decode()
    text = f"""<?xml version="1.0" encoding="utf-8"?>
{_ROOT}
  <asmv1:assemblyIdentity name="Example.exe" {identity} type="win32" />
  <description asmv2:iconFile="logo.ico" xmlns="urn:schemas-microsoft-com:asm.v1" />
  <application />
  <entryPoint>
    <assemblyIdentity name="Example" version="1.0.0.0" language="neutral" processorArchitecture="msil" />
    <commandLine file="Example.exe" parameters="" />
  </entryPoint>
  <trustInfo>
    <security>
      <requestedPrivileges xmlns="urn:schemas-microsoft-com:asm.v3">
        <!-- UAC Manifest Options -->
        <requestedExecutionLevel level="asInvoker" uiAccess="false" />
      </requestedPrivileges>
    </security>
  </trustInfo>{dependency("Example.exe", program, algorithm, ' allowDelayedBinding="true"')}{"".join(more)}
  <file name="data\\Example.exe.config" size="8">
    <hash>
      <dsig:Transforms>
        <dsig:Transform Algorithm="urn:schemas-microsoft-com:HashTransforms.Identity" />
      </dsig:Transforms>
      <dsig:DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#sha256" />
      <dsig:DigestValue>{settings}</dsig:DigestValue>
    </hash>
  </file>
</asmv1:assembly>"""
    return BOM + text.replace("\n", end).encode()


def deployment(manifest: bytes = PROGRAM, identity: str = IDENTITY, name: str = "Example.application") -> bytes:
    """Return the manifest of a deployment, ``.application`` or ``.vsto``; its identity declares its own namespace."""
    named = dependency("Application Files\\Example_1_2_3_4\\Example.exe.manifest", manifest)
    text = f"""<?xml version="1.0" encoding="utf-8"?>
{_ROOT}
  <assemblyIdentity name="{name}" {identity} xmlns="urn:schemas-microsoft-com:asm.v1" />
  <description asmv2:publisher="J\xf6rg &amp; S\xf6hne" asmv2:product="Ex" xmlns="urn:schemas-microsoft-com:asm.v1" />
  <deployment install="true" mapFileExtensions="true" co.v1:createDesktopShortcut="true" />{named}
</asmv1:assembly>
"""
    return text.encode()


# -- the judge ---------------------------------------------------------------------------------------------------------
@lru_cache
def _judge() -> Path:
    """Compile the judge, once in a process of tests."""
    folder = Path(tempfile.mkdtemp(prefix="clickonce"))
    source = Path(__file__).with_name("clickonce_judge.cs")
    command = ["mcs", f"-out:{folder}/judge.exe", "-r:System.Security.dll", source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "judge.exe"


def judged(*paths: Path) -> tuple[str, ...]:
    """Return the lines that the judge says of signed manifests; AssertionError with its objection."""
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": str(_judge().parent)}
    command = ["mono", _judge(), *paths]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(done.stdout.splitlines())
