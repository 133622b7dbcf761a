"""Somebody else's timestamp CA: a root and a subordinate CA that ``openssl`` makes, and certificates for requests."""

from __future__ import annotations

import subprocess
from pathlib import Path

_SITE = "http://ca.example"
_CONFIG = f"""\
[req]
distinguished_name = dn
prompt = no
[dn]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[sub]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
extendedKeyUsage = timeStamping
certificatePolicies = 2.23.140.1.4.2
crlDistributionPoints = URI:{_SITE}/root.crl
authorityInfoAccess = caIssuers;URI:{_SITE}/root.cer,OCSP;URI:{_SITE}/ocsp
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
[leaf]
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
certificatePolicies = 2.23.140.1.4.2
crlDistributionPoints = URI:{_SITE}/tsa.crl
authorityInfoAccess = caIssuers;URI:{_SITE}/sub.cer,OCSP;URI:{_SITE}/ocsp
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
"""


class OtherCa:
    """Its files, PEM: ``root.pem``, ``sub.pem``; what a test changes of a profile stands in place of the right line."""

    def __init__(self, folder: Path, **changes: str) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._config(changes)
        self.root, self.sub = folder / "root.pem", folder / "sub.pem"
        for name, subject in (("root", "/C=DE/O=Example CA/CN=Example Root"), ("sub", "/C=DE/O=Example CA/CN=TSA CA")):
            new = [
                "req",
                "-new",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-384",
                "-nodes",
                "-keyout",
                f"{name}.key",
                "-out",
                f"{name}.csr",
            ]
            self.openssl(*new, "-subj", subject, "-config", "ca.cnf")
        sign = ["x509", "-req", "-sha384", "-extfile", "ca.cnf"]
        self.openssl(*sign, "-in", "root.csr", "-signkey", "root.key", "-days", "7300", "-extensions", "root",
                     "-out", "root.pem")  # fmt: skip
        self.openssl(*sign, "-in", "sub.csr", "-CA", "root.pem", "-CAkey", "root.key", "-days", "2100",
                     "-extensions", "sub", "-out", "sub.pem")  # fmt: skip

    def _config(self, changes: dict[str, str]) -> None:
        lines = _CONFIG.splitlines()
        for name, value in changes.items():
            section, _, key = name.partition("__")
            start = lines.index(f"[{section}]")
            (at,) = [n for n in range(start, len(lines)) if lines[n].startswith(f"{key} ")][:1]
            lines[at] = f"{key} = {value}" if value else ""
        (self.folder / "ca.cnf").write_text("\n".join(lines) + "\n")

    def openssl(self, *command: str) -> str:
        done = subprocess.run(["openssl", *command], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def issue(self, request: Path, days: int = 3650, **changes: str) -> Path:
        """Certify a request and return the file that a CA would send: the certificate and the subordinate CA's."""
        self._config(changes)
        out = self.folder / "leaf.pem"
        self.openssl("x509", "-req", "-sha384", "-in", str(request), "-CA", "sub.pem", "-CAkey", "sub.key",
                     "-days", str(days), "-extfile", "ca.cnf", "-extensions", "leaf", "-out", "leaf.pem")  # fmt: skip
        sent = self.folder / "sent.pem"
        sent.write_bytes(self.sub.read_bytes() + out.read_bytes())
        return sent
