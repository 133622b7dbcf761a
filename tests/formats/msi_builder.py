"""Installers for the tests: real ones by msitools' wixl, and compound files that look like one to a signer."""

from __future__ import annotations

import random
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from tests.formats.cfb_builder import Tree, build, tables

PATCH = bytes.fromhex("86100c0000000000c000000000000046")

_WXS = """<?xml version="1.0" encoding="utf-8"?>
<Wix xmlns="http://schemas.microsoft.com/wix/2006/wi">
  <Product Id="*" Name="Test" UpgradeCode="11111111-2222-3333-4444-555555555555" Language="1033" Version="1.0.0"
    Manufacturer="Somebody">
    <Package InstallerVersion="200" Compressed="yes" Comments="Test" />
    <Media Id="1" Cabinet="test.cab" EmbedCab="yes" />
    <Directory Id="TARGETDIR" Name="SourceDir"><Directory Id="ProgramFilesFolder"><Directory Id="D" Name="Test">
      <Component Id="C" Guid="22222222-2222-3333-4444-555555555555"><File Id="F" Source="payload.bin" /></Component>
    </Directory></Directory></Directory>
    <Feature Id="A" Level="1"><ComponentRef Id="C" /></Feature>
  </Product>
</Wix>
"""


def real(folder: Path, size: int = 20_000) -> Path:
    """Have wixl build an installer with one file of that size, which no compression makes smaller."""
    payload, source, out = folder / "payload.bin", folder / "test.wxs", folder / "real.msi"
    payload.write_bytes(random.Random(1).randbytes(size))
    source.write_text(_WXS)
    subprocess.run(["wixl", "-o", out.name, source.name], cwd=folder, check=True, capture_output=True, timeout=120)
    return out


@lru_cache(maxsize=1)
def by_wixl() -> bytes:
    """Return a real installer."""
    with tempfile.TemporaryDirectory() as folder:
        return real(Path(folder)).read_bytes()


def tree() -> Tree:
    """Return streams and storages whose order is easily got wrong.

    By length first, by code units, in upper case, longest first: each gives another order than the right one.
    """
    names = ("ab", "abc", "abcd", "B", "a", "\u0100", "\xff", "\u3840\u4812", "\u4840\u3801")
    streams: Tree = {name: f"{number}: {name}".encode() * 5 for number, name in enumerate(names)}
    streams["empty"] = b""
    inner: Tree = {"z": b"zz", "Z": b"ZZ" * 3000, "nothing": b"", "Most inner": {"s": b"s"}, "none": {}}
    return {**tables(), **streams, "Sub": inner, "Sub2": {"only": b"1" * 4096}}


def installer(path: Path, **ways: object) -> Path:
    """Write a compound file with everything in it that an order can be wrong about."""
    return build(path, tree(), **ways)  # type: ignore[arg-type]
