"""Passkeys (W3C Web Authentication Level 3): what a browser is asked, and what its answer proves.

User verification is always required, so that a passkey alone is two factors: the device and its PIN or finger. The
backup-eligible flag (6.1.3) tells a passkey that may be copied to other devices from one that stays where it was made.
Attestation is not asked for: which make of authenticator somebody has changes nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from privyseal.errors import BadInput, CounterWentBack, NotAuthenticated
from privyseal.terms.parties import Factor

LARGEST_ANSWER = 64 * 1024
"""Octets of what a browser answers; a passkey's answer has about 1 KiB."""
MOST_PASSKEYS = 20
"""Passkeys of one member."""
LONGEST_CREDENTIAL = 1023
"""Octets of a credential's id (6.1: at most 1023)."""


class Passkey(msgspec.Struct, frozen=True, kw_only=True):
    """One passkey of one member, as it is known here."""

    credential: bytes
    member: str
    public_key: bytes
    """SubjectPublicKeyInfo, DER: what an approver's key in a charter is."""
    cose: bytes
    """The same as the authenticator gave it (RFC 9052 7)."""
    count: int
    """The signature counter seen last; 0 where the authenticator has none (6.1.1)."""
    synced: bool
    backed_up: bool
    rp_id: str
    origin: str
    label: str
    refused: bool = False
    """Whether its counter went back once: somebody may have copied it, and it opens nothing any more."""

    @property
    def factor(self) -> Factor:
        """Return what it proves."""
        return Factor.SYNCED_PASSKEY if self.synced else Factor.PASSKEY


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer of ``navigator.credentials.get`` holds, as octets; whether it is genuine is not looked at."""

    credential: bytes
    authenticator_data: bytes
    client_data: bytes
    signature: bytes


class Shown(msgspec.Struct, frozen=True):
    """What an answer proved: a passkey was used, by somebody whom its device verified."""

    count: int
    backed_up: bool


def rp_id(origin: str) -> str:
    """Return the relying party id of an origin: its host."""
    return urlsplit(origin).hostname or ""


def creation(origin: str, member: str, account: str, challenge: bytes, known: Sequence[Passkey]) -> str:
    """Return as JSON what ``navigator.credentials.create`` is asked; the passkeys ``known`` are not made again."""
    import webauthn  # a third of a second that only who signs in needs
    from webauthn.helpers import structs

    options = webauthn.generate_registration_options(
        rp_id=rp_id(origin),
        rp_name="Privy Seal",
        user_name=account,
        user_id=member.encode("ascii"),
        challenge=challenge,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.REQUIRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=each.credential) for each in known],
    )
    return webauthn.options_to_json(options)


def request(origin: str, challenge: bytes, known: Sequence[Passkey] = ()) -> str:
    """Return as JSON what ``navigator.credentials.get`` is asked: one of ``known``, or any that the browser has."""
    import webauthn
    from webauthn.helpers import structs

    options = webauthn.generate_authentication_options(
        rp_id=rp_id(origin),
        challenge=challenge,
        allow_credentials=[structs.PublicKeyCredentialDescriptor(id=each.credential) for each in known],
        user_verification=structs.UserVerificationRequirement.REQUIRED,
    )
    return webauthn.options_to_json(options)


def created(answer: str, *, origin: str, challenge: bytes, member: str, label: str) -> Passkey:
    """Read what ``navigator.credentials.create`` answered (7.1); NotAuthenticated where it is not for this."""
    import webauthn
    from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography
    from webauthn.helpers.structs import CredentialDeviceType

    document = _read(answer)
    try:
        found = webauthn.verify_registration_response(
            credential=document,
            expected_challenge=challenge,
            expected_rp_id=rp_id(origin),
            expected_origin=origin,
            require_user_verification=True,
        )
        public = decoded_public_key_to_cryptography(decode_credential_public_key(found.credential_public_key))
    except Exception as error:  # whatever a hostile answer makes the library raise is a refusal
        raise _refusal("The new passkey was not accepted", error) from error
    if not 16 <= len(found.credential_id) <= LONGEST_CREDENTIAL:
        raise BadInput("The new passkey's id is shorter than 16 or longer than 1023 octets.")
    return Passkey(
        credential=found.credential_id,
        member=member,
        public_key=public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        cose=found.credential_public_key,
        count=found.sign_count,
        synced=found.credential_device_type is CredentialDeviceType.MULTI_DEVICE,
        backed_up=found.credential_backed_up,
        rp_id=rp_id(origin),
        origin=origin,
        label=label,
    )


def credential_of(answer: str) -> bytes:
    """Return the id of the passkey that an answer claims to be from."""
    from webauthn.helpers import base64url_to_bytes

    try:
        found = base64url_to_bytes(str(_read(answer)["id"]))
    except (KeyError, ValueError) as error:
        raise BadInput("The browser's answer names no passkey.") from error
    return found[:LONGEST_CREDENTIAL]


def assertion(answer: str) -> Signed:
    """Take an answer of ``navigator.credentials.get`` apart; BadInput where it is none."""
    from webauthn.helpers import base64url_to_bytes

    try:
        said = _read(answer)["response"]
        names = ("authenticatorData", "clientDataJSON", "signature")
        data, client, signature = (base64url_to_bytes(str(said[name])) for name in names)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput("The browser's answer is no passkey's assertion.", hint="use the button of the page") from error
    return Signed(credential=credential_of(answer), authenticator_data=data, client_data=client, signature=signature)


def shown(answer: str, known: Passkey, *, origin: str, challenge: bytes) -> Shown:
    """Read what ``navigator.credentials.get`` answered for a passkey (7.2).

    NotAuthenticated where it is not for this challenge, origin and key; CounterWentBack where all is right but that.
    """
    import webauthn

    document = _read(answer)
    try:
        # The counter is compared below: only where everything else is right does a wrong one mean anything.
        found = webauthn.verify_authentication_response(
            credential=document,
            expected_challenge=challenge,
            expected_rp_id=known.rp_id,
            expected_origin=origin,
            credential_public_key=known.cose,
            credential_current_sign_count=-1,
            require_user_verification=True,
        )
    except Exception as error:
        raise _refusal("The passkey was not accepted", error) from error
    handle = (document.get("response") or {}).get("userHandle")
    if handle and _text(handle) != known.member:
        raise NotAuthenticated("The passkey was not accepted: it says that it is somebody else's.")
    if (found.new_sign_count or known.count) and found.new_sign_count <= known.count:
        raise CounterWentBack(
            "The passkey's counter went back, so a copy of it may be about; it is refused from now on.",
            hint="use another one, and ask an administrator for an invitation if there is none",
        )
    return Shown(found.new_sign_count, found.credential_backed_up)


def _text(handle: object) -> str:
    from webauthn.helpers import base64url_to_bytes

    try:
        return base64url_to_bytes(str(handle)).decode("ascii")
    except ValueError:
        return ""


def _read(answer: str) -> dict[str, Any]:
    if len(answer) > LARGEST_ANSWER:
        raise BadInput(f"The browser's answer is larger than {LARGEST_ANSWER} octets.")
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise BadInput("The browser's answer is not JSON.") from error
    if not isinstance(document, dict):
        raise BadInput("The browser's answer is not a JSON object.")
    return document


def _refusal(what: str, error: Exception) -> NotAuthenticated:
    """Say why in the library's words where they are its refusal, which holds nothing secret."""
    from webauthn.helpers.exceptions import WebAuthnException

    why = str(error)[:200].rstrip(".") if isinstance(error, WebAuthnException) else type(error).__name__
    return NotAuthenticated(f"{what}: {why}.", hint="try again, on a page that was just opened")
