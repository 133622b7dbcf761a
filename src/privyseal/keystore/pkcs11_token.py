"""What a worker does with a token's keys: one session's answers to the questions of ``messages.py``."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import MGF, Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.constants import DEFAULT
from pkcs11.exceptions import (
    ArgumentsBad,
    AttributeReadOnly,
    AttributeTypeInvalid,
    AttributeValueInvalid,
    DomainParamsInvalid,
    FunctionFailed,
    GeneralError,
    PKCS11Error,
    TemplateInconsistent,
)

from privyseal.errors import BadInput, Conflict, KeyStoreUnavailable, Misused, NotCompliant, NotFound, PrivySealError
from privyseal.keystore.messages import (
    Answer,
    Born,
    Count,
    Destroy,
    Destroyed,
    Failure,
    Generate,
    Hashed,
    Inventory,
    Look,
    Protected,
    Protection,
    PublicKey,
    Question,
    Seen,
    Sign,
    Signed,
    Spki,
)
from privyseal.keystore.pkcs11_inventory import inventory
from privyseal.keystore.pkcs11_module import OpenToken, look
from privyseal.keystore.pkcs11_refusals import refusal
from privyseal.keystore.pkcs11_uri import KeyUri
from privyseal.pki import der
from privyseal.pki.algorithms import digest_identifier
from privyseal.terms.keys import KeyProtection
from privyseal.terms.signatures import DIGEST_SIZES, SCHEMES, Family, Scheme

KEY_ID_OCTETS = 16
"""Octets of a CKA_ID, drawn at random: a name is given before there is a public key to name the pair by."""
_CURVES: dict[str, tuple[str, ec.EllipticCurve]] = {
    "ecdsa-p256": ("1.2.840.10045.3.1.7", ec.SECP256R1()),
    "ecdsa-p384": ("1.3.132.0.34", ec.SECP384R1()),
    "ecdsa-p521": ("1.3.132.0.35", ec.SECP521R1()),
}
_CURVE_OF = {der.oid(dotted): curve for dotted, curve in _CURVES.values()}
_EDWARDS = (  # PKCS#11 3.0 section 2.3.10: the curve's name, which SoftHSM wants, or its identifier (RFC 8410)
    b"\x13\x0cedwards25519",
    der.oid("1.3.101.112"),
)
_CURVE_REFUSED = (AttributeValueInvalid, DomainParamsInvalid, TemplateInconsistent, ArgumentsBad, FunctionFailed)
_EDDSA_OCTETS = 64  # RFC 8032 section 5.1.6
_DIGEST_INFO = {  # RFC 8017 section 9.2: all of a DigestInfo but the digest
    name: der.sequence(digest_identifier(name), der.octet_string(bytes(octets)))[:-octets]
    for name, octets in DIGEST_SIZES.items()
}
_PSS = {
    "sha256": (Mechanism.SHA256, MGF.SHA256, 32),
    "sha384": (Mechanism.SHA384, MGF.SHA384, 48),
    "sha512": (Mechanism.SHA512, MGF.SHA512, 64),
}
_NEEDED = {  # what every token must be able to promise of a Private Key
    Attribute.TOKEN: True,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}
_WISHED = {Attribute.SIGN_RECOVER: False, Attribute.WRAP_WITH_TRUSTED: True, Attribute.MODIFIABLE: False}
_PUBLIC = {Attribute.TOKEN: True, Attribute.VERIFY: True, Attribute.ENCRYPT: False, Attribute.WRAP: False}
_UNSAID = {Attribute.TOKEN: True, Attribute.VERIFY: DEFAULT, Attribute.ENCRYPT: DEFAULT, Attribute.WRAP: DEFAULT}
_SHAPES: tuple[tuple[Mapping[Attribute, Any], Mapping[Attribute, Any]], ...] = (
    ({**_NEEDED, **_WISHED}, _PUBLIC),
    (_NEEDED, _PUBLIC),
    # A TPM knows of a key only that it signs, or decrypts, or both, and tpm2-pkcs11 contradicts itself where the public
    # half is told as well; what it made of that is read back as of any other.
    (_NEEDED, _UNSAID),
)
"""Templates of the private and the public half, the fullest first; what is DEFAULT is not said at all."""
_DECRYPTING = "TPM2.0 Cryptoki"
"""The library description of tpm2-pkcs11; a key would be born with which every signature fails."""
_BARE = len(_SHAPES) - 1
_CLAIMS = {  # what is read back of a key, and must be so
    "CKA_SENSITIVE": (Attribute.SENSITIVE, True),
    "CKA_ALWAYS_SENSITIVE": (Attribute.ALWAYS_SENSITIVE, True),
    "CKA_NEVER_EXTRACTABLE": (Attribute.NEVER_EXTRACTABLE, True),
    "CKA_EXTRACTABLE": (Attribute.EXTRACTABLE, False),
    "CKA_LOCAL": (Attribute.LOCAL, True),
    "CKA_DECRYPT": (Attribute.DECRYPT, False),
    "CKA_UNWRAP": (Attribute.UNWRAP, False),
}
_GENERATORS = {
    KeyType.RSA: Mechanism.RSA_PKCS_KEY_PAIR_GEN,
    KeyType.EC: Mechanism.EC_KEY_PAIR_GEN,
    KeyType.EC_EDWARDS: Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
}


class Shared:
    """What all desks of a worker share."""

    def __init__(self) -> None:
        """Begin with nothing destroyed and nothing known of the module."""
        self.making = threading.Lock()
        """Held while a key is made or destroyed, so that no label is given twice."""
        self.destroyed: set[bytes] = set()
        """Identifiers of keys whose handles other sessions may still have."""
        self.shape = 0
        """The first template that the module may understand: trying the others again could cost it memory."""


class Desk:
    """One thread's session with a token."""

    def __init__(self, token: OpenToken, session: Any, shared: Shared) -> None:
        """Answer with this session, which nobody else uses."""
        self._token = token
        self._session = session
        self._shared = shared
        self._keys: dict[bytes, Any] = {}
        self._orders: dict[Any, int] = {}  # octets of an elliptic key's coordinates
        self._using = False

    def answer(self, question: Question) -> Answer:
        """Answer one question; whatever goes wrong becomes a Failure in our words."""
        self._using = False
        try:
            return self._answer(question)
        except PKCS11Error as error:
            told = refusal(error)
        except PrivySealError as error:
            told = error
        except Exception as error:  # a module that hands out what it should not can break python-pkcs11
            told = KeyStoreUnavailable(f"The PKCS#11 module's answer could not be understood ({type(error).__name__}).")
        poisoned = isinstance(told, KeyStoreUnavailable)
        return Failure(told.code, told.detail, told.hint, poisoned=poisoned, used=self._using)

    def _answer(self, question: Question) -> Answer:
        if isinstance(question, Sign):
            key = self._private(question.label, question.key)
            return Signed(tuple(self._sign(key, one) for one in question.hashed))
        if isinstance(question, PublicKey):
            return Spki(spki(self._object(ObjectClass.PUBLIC_KEY, question.label, question.key)))
        if isinstance(question, Look):
            look(self._token, self._session)
            return Seen()
        if isinstance(question, Inventory):
            return inventory(self._session)
        if isinstance(question, Protection):
            return Protected(self._protection(self._private(question.label, question.key)))
        if isinstance(question, Count):
            raise Misused("A PKCS#11 token keeps no audit log that this service can read.")
        with self._shared.making:
            if isinstance(question, Generate):
                return self._generate(question)
            return self._destroy(question)

    def _sign(self, key: Any, one: Hashed) -> bytes:
        self._using = True
        if key.key_type is KeyType.RSA:
            if one.padding == "pss":
                return bytes(
                    key.sign(one.digest, mechanism=Mechanism.RSA_PKCS_PSS, mechanism_param=_PSS[one.algorithm])
                )
            info = _DIGEST_INFO[one.algorithm] + one.digest  # type: ignore[index]
            return bytes(key.sign(info, mechanism=Mechanism.RSA_PKCS))
        if one.padding == "pss":
            raise BadInput("PSS was asked of a key of another kind; only an RSA key signs with it.")
        if key.key_type is KeyType.EC_EDWARDS:
            value = bytes(key.sign(one.digest, mechanism=Mechanism.EDDSA))
            if len(value) != _EDDSA_OCTETS:
                raise KeyStoreUnavailable("The token gave an Ed25519 signature of another length than 64 octets.")
            return value
        order = self._orders[key]
        raw = bytes(key.sign(one.digest[:order], mechanism=Mechanism.ECDSA))  # longer digests are cut (FIPS 186-5 6.4)
        if len(raw) != 2 * order:
            raise KeyStoreUnavailable("The token gave an ECDSA signature of another length than its curve has.")
        return encode_dss_signature(int.from_bytes(raw[:order], "big"), int.from_bytes(raw[order:], "big"))

    def _generate(self, question: Generate) -> Born:
        scheme = SCHEMES[question.scheme]
        if list(self._session.get_objects({Attribute.LABEL: question.label, Attribute.CLASS: ObjectClass.PRIVATE_KEY})):
            raise Conflict(
                f"The token has a key called {question.label} already.", hint="give the new key another name"
            )
        name, public, private = self._born(question.label, scheme)
        try:
            wrong = wrong_claims(read_claims(private), _GENERATORS[private.key_type])
            spki(public)
        except Exception:
            wrong = ["attributes that can be read"]
        if wrong:
            for half in (private, public):
                half.destroy()
            raise NotCompliant(
                f"The token does not keep the new key as it was told to: {', '.join(wrong)}; the key was destroyed.",
                hint="CSBR 6.2.7 asks for a key that cannot leave its module; use another token or configure it so",
            )
        pure = scheme.name if scheme.pure else ""
        return Born(str(KeyUri(self._token.label, self._token.serial, question.label, name, pure)))

    def _born(self, label: str, scheme: Scheme) -> tuple[bytes, Any, Any]:
        """Generate with every attribute that we wish, or where the module cannot have that, with those needed.

        Each attempt has an identifier of its own, so that what a failed one may have left behind is never taken for it.
        """
        while True:
            name, shape = os.urandom(KEY_ID_OCTETS), self._shared.shape
            try:
                return name, *self._pair(label, name, scheme, *_SHAPES[shape])
            except (AttributeTypeInvalid, AttributeValueInvalid, AttributeReadOnly, TemplateInconsistent):
                if shape == _BARE:
                    raise
                self._shared.shape = shape + 1
            except GeneralError:
                if shape == _BARE:
                    raise
                self._shared.shape = _BARE

    # What is to be generated, and the two halves' templates.
    def _pair(
        self,
        label: str,
        name: bytes,
        scheme: Scheme,
        private: Mapping[Attribute, Any],
        public: Mapping[Attribute, Any],
    ) -> tuple[Any, Any]:
        given = {
            "id": name,
            "label": label,
            "store": True,
            "capabilities": MechanismFlag.SIGN | MechanismFlag.VERIFY,
            "private_template": dict(private),
        }
        if scheme.family is Family.RSA:
            if self._token.loaded.library_description.startswith(_DECRYPTING):
                raise Misused(
                    "This module signs a digest with an RSA key by decrypting, which a key that does nothing but sign "
                    "may not do.",
                    hint="use an elliptic key in this token",
                )
            made = self._session.generate_keypair(KeyType.RSA, scheme.bits, public_template=dict(public), **given)
        elif scheme.name in _CURVES:
            curve = {Attribute.EC_PARAMS: der.oid(_CURVES[scheme.name][0])}
            made = self._session.generate_keypair(KeyType.EC, public_template={**public, **curve}, **given)
        elif scheme.family is Family.EDDSA:
            made = self._edwards(given, public)
        else:
            raise Misused(f"The PKCS#11 key store cannot generate a key of scheme {scheme.name}.")
        return made[0], made[1]

    def _edwards(self, given: Mapping[str, Any], public: Mapping[Attribute, Any]) -> Any:
        """Generate an Ed25519 key, its curve told in the one way or the other."""
        for curve in _EDWARDS:
            template = {**public, Attribute.EC_PARAMS: curve}
            try:
                return self._session.generate_keypair(KeyType.EC_EDWARDS, public_template=template, **given)
            except PKCS11Error as error:  # modules tell a curve that they cannot read in ways of their own
                if curve is _EDWARDS[-1] or not isinstance(error, _CURVE_REFUSED):
                    raise
        raise AssertionError("the last way returns or raises")

    def _destroy(self, question: Destroy) -> Destroyed:
        for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
            try:
                self._object(kind, question.label, question.key).destroy()
            except NotFound:
                continue
        self._shared.destroyed.add(question.key)
        return Destroyed()

    def _protection(self, private: Any) -> KeyProtection:
        claims = read_claims(private)
        wrong = wrong_claims(claims, _GENERATORS[private.key_type])
        return KeyProtection(
            store="pkcs11",
            assurance=self._token.assurance,
            generated_inside=bool(claims.get("CKA_LOCAL")),
            never_extractable=not {"CKA_NEVER_EXTRACTABLE", "CKA_ALWAYS_SENSITIVE"} & {*wrong},
            module=f"{self._token.module}, token {self._token.label}, serial {self._token.serial}",
            attributes=tuple(f"{name}={_shown(value)}" for name, value in claims.items()),
        )

    def _private(self, label: str, name: bytes) -> Any:
        """Return the Private Key, looked for once by each session: handles are good as long as the session."""
        known = None if name in self._shared.destroyed else self._keys.get(name)
        if known is None:
            known = self._object(ObjectClass.PRIVATE_KEY, label, name)
            if known.key_type is KeyType.EC:
                self._orders[known] = (_curve(known).key_size + 7) // 8
            self._keys[name] = known
        return known

    def _object(self, kind: ObjectClass, label: str, name: bytes) -> Any:
        found = list(self._session.get_objects({Attribute.CLASS: kind, Attribute.ID: name, Attribute.LABEL: label}))
        if not found:
            raise NotFound(f"The token holds no key {label} of that identifier, or it was destroyed.")
        if len(found) > 1:
            raise Conflict(
                f"The token holds {len(found)} keys {label} of one identifier.", hint="remove what is not ours"
            )
        return found[0]


def read_claims(private: Any) -> dict[str, Any]:
    """Read back what the token says of a Private Key; what it does not say is None."""
    claims: dict[str, Any] = {}
    for name, (attribute, _) in _CLAIMS.items():
        claims[name] = _read(private, attribute)
    claims["CKA_KEY_GEN_MECHANISM"] = _read(private, Attribute.KEY_GEN_MECHANISM)
    return claims


def wrong_claims(claims: Mapping[str, Any], generator: Mechanism) -> list[str]:
    """Return the names of those claims that are not as a key that was born inside and never leaves must have them."""
    wrong = [name for name, (_, expected) in _CLAIMS.items() if claims.get(name) is not expected]
    return wrong + ["CKA_KEY_GEN_MECHANISM"] * (claims.get("CKA_KEY_GEN_MECHANISM") != generator)


def spki(public: Any) -> bytes:
    """Return the SubjectPublicKeyInfo, DER, of a public key object; KeyStoreUnavailable if it is none."""
    try:
        if public.key_type is KeyType.RSA:
            numbers = (int.from_bytes(public[Attribute.PUBLIC_EXPONENT], "big"), _modulus(public))
            key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey = rsa.RSAPublicNumbers(
                *numbers
            ).public_key()
        elif public.key_type is KeyType.EC_EDWARDS:
            point = bytes(public[Attribute.EC_POINT])
            bare = point if len(point) == _EDDSA_OCTETS // 2 else der.octets_of(der.read(point))
            key = ed25519.Ed25519PublicKey.from_public_bytes(bare)
        else:
            point = bytes(public[Attribute.EC_POINT])
            curve = _curve(public)
            octets = 1 + 2 * ((curve.key_size + 7) // 8)
            # PKCS#11 2.40 wants an OCTET STRING around the point; some tokens give the bare point.
            bare = point if len(point) == octets else der.octets_of(der.read(point))
            key = ec.EllipticCurvePublicKey.from_encoded_point(curve, bare)
    except (KeyError, ValueError, PrivySealError):
        raise KeyStoreUnavailable("The token's public key is not one of a scheme that is known here.") from None
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _curve(key: Any) -> ec.EllipticCurve:
    return _CURVE_OF[bytes(key[Attribute.EC_PARAMS])]


def _modulus(public: Any) -> int:
    return int.from_bytes(public[Attribute.MODULUS], "big")


def _read(private: Any, attribute: Attribute) -> Any:
    try:
        return private[attribute]
    except (AttributeTypeInvalid, KeyError):
        return None


def _shown(value: Any) -> str:
    return (
        "unknown" if value is None else str(value).lower() if isinstance(value, bool) else getattr(value, "name", "?")
    )
