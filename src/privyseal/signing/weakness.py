"""Every public key is held against what is known of weak ones: at its birth, and once a day, for lists of them grow.

And against every other certificate that this service knows: a key that serves in another one, for TLS or for somebody
else, breaks what its Subscriber agreed to (CSBR 9.6.3 (3)).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from privyseal.compliance import weak_keys
from privyseal.errors import BadInput
from privyseal.pki import certificates
from privyseal.records import health, keys
from privyseal.records.database import Transaction
from privyseal.signing import alarms
from privyseal.signing.instance import PrivySeal
from privyseal.terms.keys import KeyPair

EVERY = timedelta(days=1)
AT_ONCE = 32
"""Keys of one round; the tests of one RSA key take some ten milliseconds."""
LONGEST = 1000
"""Characters of where else a key was met."""
CODE_SIGNING = ExtendedKeyUsageOID.CODE_SIGNING
BESIDE = frozenset({"1.3.6.1.4.1.311.10.3.13", "1.3.6.1.4.1.311.61.1.1"})
"""Purposes that may stand beside code signing (CSBR 7.1.2.3): lifetime signing, and signing in the kernel."""


def look(seal: PrivySeal, *, breathe: Callable[[], object] = lambda: None) -> int:
    """Look at public keys that nobody looked at for a day; return how many alarms were raised."""
    with seal.records.reading_all_subscribers() as connection:
        waiting = health.unlooked_of_all_subscribers(connection, seal.clock() - EVERY, AT_ONCE)
        signs_in = {each.key_id for each in waiting if health.signs_in_of_all_subscribers(connection, each.key_id)}
    raised = 0
    for pair in waiting:
        found = flaws(pair.public_key)
        with seal.records.writing(pair.subscriber) as tx:
            raised += sum(alarms.sound(seal, tx, pair, text) is not None for text in found)
            elsewhere = " ".join(_elsewhere(tx, pair, pair.key_id in signs_in))[:LONGEST]
            if elsewhere and elsewhere != health.of(tx, pair.name).met:
                alarms.tell(seal, tx, pair, elsewhere)
                raised += 1
            health.note_looked(tx, pair.name, seal.clock(), elsewhere)
        breathe()
    return raised


def flaws(public_key: bytes) -> list[str]:
    """Say, in a sentence each, how a private key can be had from a public one; nothing where no way is known."""
    found = [f"The key is weak: {text}." for text in weak_keys.computable(public_key)]
    listed = weak_keys.look_up(public_key)
    if listed.name:
        found.append(f"The key is on a list of compromised keys ({listed.name}).")
    return found


def _elsewhere(tx: Transaction, pair: KeyPair, signs_in: bool) -> list[str]:
    """Say where the key was met that is no code signing certificate; no two Key Pairs here can have the same."""
    found = []
    if signs_in:
        found.append("The same public key is in a certificate with which somebody signs in here.")
    for chain in keys.certificate_chains_of(tx, pair.key_id):
        other = _other_kind(chain[0])
        if other:
            found.append(f"The same public key is in a certificate of another kind, {other} (CSBR 9.6.3).")
    return list(dict.fromkeys(found))


def _other_kind(certificate: bytes) -> str:
    """Return for what a certificate is, as its serial and purposes, where that is not code signing alone."""
    try:
        read = certificates.load(certificate)
        uses = read.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, BadInput):
        return ""
    except certificates.unreadable():
        return ""
    others = [each.dotted_string for each in uses if each != CODE_SIGNING and each.dotted_string not in BESIDE]
    if CODE_SIGNING in uses and not others:
        return ""
    return f"serial {read.serial_number:X}, for {', '.join(each.dotted_string for each in uses)}"
