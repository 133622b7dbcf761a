"""Where the loaders come from is not promised by ``cryptography``; that they are the public ones is looked at here."""

import json
import subprocess
import sys

from privyseal.pki import loaders

SAME = """
import json
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from privyseal.pki import loaders
homes = serialization, x509, x509.oid
same = {name: {getattr(loaders, name) is getattr(home, name) for home in homes if name in home.__all__} == {True}
        for name in loaders.__all__}
print(json.dumps(same))
"""
NEITHER = """
import json, sys
from privyseal.pki import certificates, chain, revocations
from privyseal.timestamp import token
print(json.dumps(sorted({"cryptography.x509", "cryptography.hazmat.primitives.serialization"} & set(sys.modules))))
"""


def said(script: str) -> object:
    """Run a script by itself: the tests' own process remembers keys, and so has other functions in some places."""
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    return json.loads(ran.stdout)


def test_each_is_the_public_one() -> None:
    """The very same object, under the name that is promised."""
    assert said(SAME) == dict.fromkeys(loaders.__all__, True)


def test_what_they_are_for_is_not_imported() -> None:
    """Neither what is known of names and extensions, nor OpenSSH."""
    assert said(NEITHER) == []
