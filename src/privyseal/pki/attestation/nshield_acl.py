"""The access control list (ACL) with which an nShield module made a key, and by which ways the key could leave.

Source: Entrust, nShield application notes "Wire format" (M_ACL) and "Key attestation format" (validation of ACLs), and
nCore API documentation, "Access Control Lists". An ACL is groups of actions; a group may need a certificate, mostly of
the world's security officer (KNSO), whose cards are the Administrator Card Set. What such a group allows counts like
the rest: a way out that needs cards is a way out. An action that is not known here is refused, for what follows it
cannot be read.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from privyseal.errors import BadInput
from privyseal.pki.attestation.ncore import Reader

EXPORT_AS_PLAIN, SET_APP_DATA, EXPAND_ACL, USE_AS_KM, USE_AS_LOADER_KEY = 0x4, 0x10, 0x40, 0x800, 0x4000
"""Operation permissions that matter here."""
KNOWN_PERMISSIONS = 0xFFFF
"""Every operation permission that there is a name for."""

PUBLIC_FROM_PRIVATE = 29
"""The key derivation that gives the public half, which is no way out."""

_OPERATIONS, _MAKE_BLOB, _MAKE_ARCHIVE_BLOB, _DERIVE, _DERIVE_EX = 1, 2, 3, 5, 47
_KM_ONLY, _HAS_KM, _HAS_TOKEN, _HAS_TOKEN_SET, _NULL_TOKEN, _HAS_FILE = 0x1, 0x4, 0x8, 0x10, 0x20, 0x40
_SOFTCARD = 0x4  # a flag of a token: it can be loaded without cards
_CERTIFIER, _CERTIFIER_SET, _SERIAL, _CERTIFIER_EX = 0x1, 0x4, 0x8, 0x40
_KNOWN_GROUP = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40
_LIMITS_BY_HASH, _LIMIT_OF_TIME = (1, 6), 3
_UNJUDGED = ((SET_APP_DATA, "SetAppData"), (USE_AS_KM, "UseAsKM"), (USE_AS_LOADER_KEY, "UseAsLoaderKey"))


class Blob(Struct, frozen=True):
    """One way in which the key may be written down encrypted, to be loaded again."""

    module_key: bytes | None
    """The hash of the module key under which alone it may be; None where it may be under any."""
    null_token: bool
    guard: str
    """``module``, ``softcard``, ``cards``, or empty for none at all."""


class Allowed(Struct, frozen=True, kw_only=True):
    """What an ACL allows, as far as it matters to where the key can be."""

    operations: tuple[tuple[int, str], ...]
    """The operation permissions of each group, and by whose leave, in words."""
    blobs: tuple[tuple[Blob, str], ...]
    archives: tuple[str, ...]
    """For each archive blob, by whose leave."""
    derivations: tuple[tuple[int, str], ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """Return permissions of which is not said here whether they let the key out."""
        found = []
        for permissions, _ in self.operations:
            found += [name for bit, name in _UNJUDGED if permissions & bit]
            found += [f"0x{permissions & ~KNOWN_PERMISSIONS:x}"] if permissions & ~KNOWN_PERMISSIONS else []
        return tuple(found)

    @property
    def protection(self) -> str:
        """Return by what the key is kept while it is not loaded, the weakest of all: for people."""
        guards = {blob.guard for blob, leave in self.blobs if not leave}
        for guard, words in (
            ("", "by nothing"),
            ("module", "by the module alone"),
            ("softcard", "by a softcard, that is a passphrase"),
            ("cards", "by a set of cards"),
        ):
            if guard in guards:
                return words
        return "not kept outside the memory of the module"


def ways_out(allowed: Allowed, module_key: bytes) -> list[str]:
    """Return how the key could leave the modules of its world, in words; empty where it cannot.

    ``module_key`` is the hash of the world's own module key: a blob under it comes back only into its modules.
    """
    found = []
    for permissions, leave in allowed.operations:
        found += [f"it can be exported in the clear{leave}"] if permissions & EXPORT_AS_PLAIN else []
        found += [f"its ACL can be widened{leave}"] if permissions & EXPAND_ACL else []
    for blob, leave in allowed.blobs:
        if blob.module_key != module_key or blob.null_token or not blob.guard:
            found.append(f"it can be wrapped by something else than its world's module key{leave}")
    found += [f"it can be archived under a recovery key{leave}" for leave in allowed.archives]
    found += [f"other keys can be derived from it{leave}" for _, leave in allowed.derivations]
    return found


def read(fields: Reader, officer: bytes) -> Allowed:
    """Read an M_ACL; BadInput where something is in it that is not known. ``officer`` is the hash of KNSO."""
    operations: list[tuple[int, str]] = []
    blobs: list[tuple[Blob, str]] = []
    archives: list[str] = []
    derivations: list[tuple[int, str]] = []
    for _ in range(fields.count(12)):
        flags = fields.word()
        if flags & ~_KNOWN_GROUP:
            raise BadInput(f"The key's ACL has a group with flags (0x{flags:x}) that are not read here.")
        _skip_limits(fields)
        actions = [_action(fields) for _ in range(fields.count(8))]
        leave = _leave(_certifiers(fields, flags), officer)
        for each in actions:
            if isinstance(each, Blob):
                blobs.append((each, leave))
            elif each[0] == _OPERATIONS:
                operations.append((each[1], leave))
            elif each[0] == _MAKE_ARCHIVE_BLOB:
                archives.append(leave)
            elif each[1] != PUBLIC_FROM_PRIVATE:
                derivations.append((each[1], leave))
    return Allowed(
        operations=tuple(operations), blobs=tuple(blobs), archives=tuple(archives), derivations=tuple(derivations)
    )


def _skip_limits(fields: Reader) -> None:
    """Read how often or how long a group may be used, which does not matter here."""
    for _ in range(fields.count(8)):
        kind = fields.word()
        if kind in _LIMITS_BY_HASH:
            fields.hash()
        elif kind != _LIMIT_OF_TIME:
            raise BadInput(f"The key's ACL has a limit of use ({kind}) that is not read here.")
        fields.word()


def _certifiers(fields: Reader, flags: int) -> list[bytes]:
    """Return whose certificates a group needs, as hashes of their keys."""
    found = []
    if flags & _CERTIFIER:
        found.append(fields.hash())
    if flags & _CERTIFIER_SET:
        found.append(fields.hash())
        fields.word()
    if flags & _SERIAL:
        fields.text()
    if flags & _CERTIFIER_EX:
        found.append(fields.hash_ex())
        fields.word()
    return found


def _leave(certifiers: Sequence[bytes], officer: bytes) -> str:
    if not certifiers:
        return ""
    if all(each == officer for each in certifiers):
        return " by whoever holds the Administrator Card Set"
    return " by whoever holds another key that certifies it"


def _action(fields: Reader) -> Blob | tuple[int, int]:
    """Read one M_Action: a blob, or its type with what matters of it."""
    kind = fields.word()
    if kind == _OPERATIONS:
        return kind, fields.word()
    if kind == _MAKE_BLOB:
        return _blob(fields)
    if kind == _MAKE_ARCHIVE_BLOB:
        flags = fields.word()
        if flags & ~0x3:
            raise BadInput(f"The key's ACL has an archive blob with flags (0x{flags:x}) that are not read here.")
        fields.word()  # mechanism
        if flags & 0x1:
            fields.hash()  # the archiving key, which is said by CertKREaKRAbKNSO
        if flags & 0x2:
            _skip_file(fields)
        return kind, flags
    if kind in (_DERIVE, _DERIVE_EX):
        flags, _role, mechanism, others = (fields.word() for _ in range(4))
        if flags or others:
            raise BadInput("The key's ACL has a key derivation that is not read here.")
        return kind, mechanism
    raise BadInput(f"The key's ACL has an action ({kind}) that is not read here.")


def _blob(fields: Reader) -> Blob:
    flags = fields.word()
    if flags & ~0x7F:
        raise BadInput(f"The key's ACL has a blob with flags (0x{flags:x}) that are not read here.")
    module_key = fields.hash() if flags & _HAS_KM else None
    if flags & _HAS_TOKEN:
        fields.hash()
    token_flags = None
    if flags & _HAS_TOKEN_SET:
        token_flags = fields.word()
        fields.take(12)  # how many cards are needed of how many, and for how long
    if flags & _HAS_FILE:
        _skip_file(fields)
    guard = ""
    if flags & _KM_ONLY:
        guard = "module"
    elif flags & _HAS_TOKEN and token_flags is not None:
        guard = "softcard" if token_flags & _SOFTCARD else "cards"
    return Blob(module_key, bool(flags & _NULL_TOKEN), guard)


def _skip_file(fields: Reader) -> None:
    flags = fields.word()
    if flags & ~0x3:
        raise BadInput(f"The key's ACL names a file with flags (0x{flags:x}) that are not read here.")
    if flags & 0x1:
        fields.word()
    if flags & 0x2:
        fields.hash()
