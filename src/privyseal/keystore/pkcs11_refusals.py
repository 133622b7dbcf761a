"""What a PKCS#11 module may answer instead of doing it, each once: whose turn it is, and one sentence.

The names are those of python-pkcs11's exceptions, one for each CKR code that it tells apart (PKCS#11 2.40 section
5.1). ``KeyStoreUnavailable`` also means that the module's process is not trusted any more: after a lost session or
device every later call in it fails too, and a fresh process works at once.
"""

from __future__ import annotations

from privyseal.errors import Conflict, KeyStoreUnavailable, Misused, NotFound, PrivySealError

_LOOK = "look at the token and its connection; it is tried again by itself"
_OURS = "please report it with the module's name and version"
_MODULE = "the module or its token does not do what this service needs; its manual says what it can"

REFUSALS: dict[str, tuple[type[PrivySealError], str, str]] = {
    # The PIN, and who is logged in.
    "PinIncorrect": (
        Misused,
        "The token refused the PIN",
        "put the right one in; it is not tried again",
    ),
    "PinInvalid": (Misused, "The PIN has characters that the token does not allow", "put the right one in"),
    "PinLenRange": (Misused, "The PIN is shorter or longer than the token allows", "put the right one in"),
    "PinExpired": (Misused, "The token's PIN has expired", "change it with the vendor's tool"),
    "PinLocked": (Misused, "The token's PIN is locked", "its security officer can unlock it; nothing was tried here"),
    "PinTooWeak": (Misused, "The token finds the PIN too weak", "choose another one with the vendor's tool"),
    "UserPinNotInitialized": (Misused, "The token has no user PIN yet", "set one with the vendor's tool"),
    "AnotherUserAlreadyLoggedIn": (KeyStoreUnavailable, "Another user is logged in to the token", _LOOK),
    "UserAlreadyLoggedIn": (KeyStoreUnavailable, "The token says that the user is logged in already", _LOOK),
    "UserNotLoggedIn": (KeyStoreUnavailable, "The token has forgotten that we are logged in", _LOOK),
    "UserTooManyTypes": (KeyStoreUnavailable, "Too many users are logged in to the token", _LOOK),
    # The device.
    "DeviceError": (KeyStoreUnavailable, "The token has a fault", _LOOK),
    "DeviceMemory": (KeyStoreUnavailable, "The token has no memory left", "remove keys that are not needed"),
    "DeviceRemoved": (KeyStoreUnavailable, "The token was removed", _LOOK),
    "TokenNotPresent": (KeyStoreUnavailable, "The token is not in its slot", _LOOK),
    "TokenNotRecognised": (KeyStoreUnavailable, "The slot does not recognise its token", _LOOK),
    "TokenWriteProtected": (Misused, "The token is write-protected", "a key can be used in it, not made"),
    "NoSuchToken": (KeyStoreUnavailable, "The module shows no such token", _LOOK),
    "MultipleTokensReturned": (Misused, "The module shows several tokens of that name", "name it by serial"),
    "SlotIDInvalid": (KeyStoreUnavailable, "The token's slot is gone", _LOOK),
    "GeneralError": (KeyStoreUnavailable, "The module failed and says no more", _LOOK),
    "FunctionFailed": (KeyStoreUnavailable, "The module failed to do it", _LOOK),
    "FunctionCancelled": (KeyStoreUnavailable, "The module broke off", _LOOK),
    "FunctionRejected": (KeyStoreUnavailable, "The token's user refused it at the device", _LOOK),
    "HostMemory": (KeyStoreUnavailable, "The module found no memory on this machine", "give the signer more memory"),
    "ExceededMaxIterations": (KeyStoreUnavailable, "The token gave up after too many tries", _LOOK),
    "RandomNoRNG": (Misused, "The token has no random numbers of its own", _MODULE),
    "RandomSeedNotSupported": (Misused, "The token's random numbers cannot be seeded", _MODULE),
    "NoEvent": (KeyStoreUnavailable, "The module has no event to tell of", _OURS),
    "PKCS11Error": (KeyStoreUnavailable, "The module answered with a code that is unknown or its vendor's own", _LOOK),
    # Sessions.
    "SessionClosed": (KeyStoreUnavailable, "The session with the token was closed", _LOOK),
    "SessionCount": (KeyStoreUnavailable, "The token allows no more sessions", "set sessions in the settings lower"),
    "SessionExists": (KeyStoreUnavailable, "A session with the token is in the way", _LOOK),
    "SessionHandleInvalid": (KeyStoreUnavailable, "The session with the token is lost", _LOOK),
    "SessionReadOnly": (KeyStoreUnavailable, "The session with the token allows no change", _OURS),
    "SessionReadOnlyExists": (KeyStoreUnavailable, "A read-only session with the token is in the way", _LOOK),
    "SessionReadWriteSOExists": (KeyStoreUnavailable, "The token's security officer is logged in", _LOOK),
    "OperationActive": (KeyStoreUnavailable, "The session is busy with another operation", _LOOK),
    "OperationNotInitialized": (KeyStoreUnavailable, "The session has lost the operation that was begun", _LOOK),
    # Objects and keys.
    "NoSuchKey": (NotFound, "The token holds no such key", "it was destroyed, or it is in another token"),
    "MultipleObjectsReturned": (Conflict, "The token holds several keys of that name", "remove what is not ours"),
    "KeyHandleInvalid": (KeyStoreUnavailable, "The token does not know the key's handle any more", _LOOK),
    "ObjectHandleInvalid": (KeyStoreUnavailable, "The token does not know the object's handle any more", _LOOK),
    "KeySizeRange": (Misused, "The token has no keys of this size", _MODULE),
    "KeyTypeInconsistent": (Misused, "The token's key is not of the kind that was asked for", _MODULE),
    "KeyIndigestible": (Misused, "The token will not hash the key", _OURS),
    "KeyNeeded": (Misused, "The token misses a key", _OURS),
    "KeyNotNeeded": (Misused, "The token was given a key that it does not need", _OURS),
    "KeyNotWrappable": (Misused, "The token will not wrap the key", _OURS),
    "KeyUnextractable": (Misused, "The token does not let the key out, as it should", _OURS),
    "PublicKeyInvalid": (Misused, "The token finds the public key invalid", _OURS),
    # Mechanisms, templates, data.
    "MechanismInvalid": (Misused, "The token does not know this way of signing or generating", _MODULE),
    "MechanismParamInvalid": (Misused, "The token does not allow these parameters of signing", _MODULE),
    "FunctionNotSupported": (Misused, "The module does not have this function", _MODULE),
    "TemplateIncomplete": (Misused, "The token wants to know more of a key before it makes it", _MODULE),
    "TemplateInconsistent": (Misused, "The token does not make keys with these attributes", _MODULE),
    "AttributeTypeInvalid": (Misused, "The token does not know an attribute of a key", _MODULE),
    "AttributeValueInvalid": (Misused, "The token does not allow the value of an attribute", _MODULE),
    "AttributeReadOnly": (Misused, "The token does not allow an attribute to be set", _MODULE),
    "AttributeSensitive": (Misused, "The token does not show a sensitive attribute, as it should not", _OURS),
    "DomainParamsInvalid": (Misused, "The token does not know the curve", _MODULE),
    "ArgumentsBad": (Misused, "The module finds an argument wrong", _OURS),
    "DataInvalid": (Misused, "The token does not sign these octets", _MODULE),
    "DataLenRange": (Misused, "The token does not sign as many octets", _MODULE),
    "SignatureInvalid": (KeyStoreUnavailable, "The token finds a signature invalid", _LOOK),
    "SignatureLenRange": (KeyStoreUnavailable, "The token finds a signature too short or too long", _LOOK),
    # What is never asked of a module here; a module that answers so is confused.
    "EncryptedDataInvalid": (KeyStoreUnavailable, "The module speaks of encrypted data that nobody gave it", _OURS),
    "EncryptedDataLenRange": (KeyStoreUnavailable, "The module speaks of the length of data nobody gave it", _OURS),
    "UnwrappingKeyHandleInvalid": (KeyStoreUnavailable, "The module speaks of unwrapping with a lost key", _OURS),
    "UnwrappingKeySizeRange": (KeyStoreUnavailable, "The module speaks of the size of an unwrapping key", _OURS),
    "UnwrappingKeyTypeInconsistent": (KeyStoreUnavailable, "The module speaks of the kind of an unwrapping key", _OURS),
    "WrappedKeyInvalid": (KeyStoreUnavailable, "The module speaks of a wrapped key that nobody gave it", _OURS),
    "WrappedKeyLenRange": (KeyStoreUnavailable, "The module speaks of a wrapped key's length", _OURS),
    "WrappingKeyHandleInvalid": (KeyStoreUnavailable, "The module speaks of wrapping with a lost key", _OURS),
    "WrappingKeySizeRange": (KeyStoreUnavailable, "The module speaks of the size of a wrapping key", _OURS),
    "WrappingKeyTypeInconsistent": (KeyStoreUnavailable, "The module speaks of the kind of a wrapping key", _OURS),
}
"""By the error of the module: what we raise, what it means, and what to do about it."""


def refusal(answer: Exception) -> PrivySealError:
    """Return our error for a module's answer; its own text is not repeated, for it may quote anything."""
    kind, sentence, hint = REFUSALS.get(type(answer).__name__, REFUSALS["PKCS11Error"])
    return kind(f"{sentence}.", hint=hint)
