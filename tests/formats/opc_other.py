"""OPC packages signed by somebody else: xmlsec1 makes the signature, Python's zipfile the package.

The document is written as .NET and Apache POI write theirs, with elements that close themselves, spaces and prefixes;
the certificate stands in the document or, as HLK Studio has it, in a part of its own.
"""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import zipfile
from pathlib import Path

from tests.formats import opc_rules
from tests.formats.signing import Signatory, signatory

DSIG = "http://www.w3.org/2000/09/xmldsig#"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
KIND = "application/vnd.openxmlformats-package."
PLACE = "package/services/digital-signature"
SPACE = opc_rules.SPACE[1:-1]


def _listed(package: zipfile.ZipFile) -> str:
    """Return a reference to each part; of relationships all, by their type, through the transform."""
    found = ""
    for name in package.namelist():
        if name == "[Content_Types].xml" or name.endswith("/"):
            continue
        octets, ways = package.read(name), ""
        if name.endswith(".rels"):
            rows = opc_rules.Tree.fromstring(octets)
            ids = {one.attrib["Id"] for one in rows}
            octets = opc_rules.transformed(package, name, ids)
            kinds = sorted({one.attrib["Type"].replace("&", "&amp;") for one in rows})
            taken = "".join(f'<o:RelationshipsGroupReference SourceType="{one}"/>' for one in kinds)
            ways = f'<Transforms><Transform Algorithm="{opc_rules.TRANSFORM}">{taken}</Transform>'
            ways += f'<Transform Algorithm="{C14N}"/></Transforms>'
        digest = base64.b64encode(hashlib.sha256(octets).digest()).decode()
        found += f'<Reference URI="/{name}?ContentType={opc_rules.content_type(package, name)}">{ways}'
        found += (
            f'<DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><DigestValue>{digest}</DigestValue>'
        )
        found += "</Reference>\n"
    return found


def _template(listed: str, carried: str) -> str:
    return (
        f'<?xml version="1.0"?>\n<Signature xmlns="{DSIG}" xmlns:o="{opc_rules.OPC[1:-1]}" Id="s"><SignedInfo>'
        f'<CanonicalizationMethod Algorithm="{C14N}"/>'
        '<SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>'
        f'<Reference URI="#idPackageObject" Type="{DSIG}Object"><Transforms><Transform Algorithm="{C14N}"/>'
        '</Transforms><DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><DigestValue/></Reference>'
        f"</SignedInfo><SignatureValue/>{carried}\n"
        f'<Object Id="idPackageObject"><Manifest>{listed}</Manifest><SignatureProperties>'
        f'<SignatureProperty Id="idSignatureTime" Target="#s"><o:SignatureTime><o:Format>YYYY-MM-DD</o:Format>'
        "<o:Value>2026-01-01</o:Value></o:SignatureTime></SignatureProperty></SignatureProperties></Object></Signature>"
    )


def sign(source: Path, target: Path, folder: Path, *, beside: bool = False, who: Signatory | None = None) -> None:
    """Sign a package that has relationships of its own; ``beside``: the certificate is a part."""
    chain, key, _ = (who or signatory()).write_pem(folder)
    leaf = (who or signatory()).identity.chain[0]
    with zipfile.ZipFile(source) as package:
        template = folder / "template.xml"
        template.write_text(_template(_listed(package), "" if beside else "<KeyInfo><X509Data/></KeyInfo>"))
        keys = f"{key}" if beside else f"{key},{chain}"
        how = ["--sign", "--privkey-pem", keys, "--ignore-manifests", "--id-attr:Id", f"{DSIG}:Object"]
        done = subprocess.run(["xmlsec1", *how, template], capture_output=True, check=True)
        root = package.read("_rels/.rels").decode()
        link = f'<Relationship Id="sign" Type="{opc_rules.KIND}origin" Target="{PLACE}/origin.psdor"/>'
        types = package.read("[Content_Types].xml").decode()
        more = f'<Default Extension="psdor" ContentType="{KIND}digital-signature-origin"/>'
        more += f'<Default Extension="psdsxs" ContentType="{KIND}digital-signature-xmlsignature+xml"/>'
        more += f'<Default Extension="cer" ContentType="{KIND}digital-signature-certificate"/></Types>'
        new = {
            "[Content_Types].xml": types.replace("</Types>", more),
            "_rels/.rels": root.replace("</Relationships>", link + "</Relationships>"),
            f"{PLACE}/origin.psdor": "",
            f"{PLACE}/_rels/origin.psdor.rels": _relation("signature", "xml-signature/theirs.psdsxs"),
            f"{PLACE}/xml-signature/theirs.psdsxs": done.stdout,
        }
        if beside:
            new[f"{PLACE}/xml-signature/_rels/theirs.psdsxs.rels"] = _relation(
                "certificate", "../certificate/theirs.cer"
            )
            new[f"{PLACE}/certificate/theirs.cer"] = leaf
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as other:
            for name in package.namelist():
                if name not in new:
                    other.writestr(name, package.read(name))
            for name, octets in new.items():
                other.writestr(name, octets)
    target.write_bytes(out.getvalue())


def _relation(kind: str, target: str) -> str:
    """Return relationships of one; its target is relative, as those of .NET may be."""
    link = f'<Relationship Id="R0" Type="{opc_rules.KIND}{kind}" Target="{target}"/>'
    return f'<Relationships xmlns="{SPACE}">{link}</Relationships>'
