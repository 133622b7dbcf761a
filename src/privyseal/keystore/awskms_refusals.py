"""What AWS may answer instead of doing it, each once: whose turn it is, and one sentence.

The names are those of AWS KMS API Reference (API version 2014-11-01), "Common Error Types" and the errors of each
action, and of CloudTrail's and STS's for the few actions that are used. AWS's own text is not repeated, for it may
quote anything.
"""

from __future__ import annotations

from privyseal.errors import Conflict, KeyStoreUnavailable, Misused, NotFound, PrivySealError

THROTTLED = frozenset({"ThrottlingException", "Throttling", "RequestLimitExceeded", "TooManyRequestsException"})
"""What says that the request was not looked at, because there were too many (AWS KMS Developer Guide, "Throttling")."""
EXPIRED = frozenset({"ExpiredTokenException", "ExpiredToken", "RequestExpired"})
"""What says that a credential has run out; a fresh one may be there already."""
WRONG_STATE = frozenset({"KMSInvalidStateException", "DisabledException"})
"""What says that the key is in no state in which it could be used; DescribeKey says in which."""

_CREDENTIAL = "put the right one into the file that the section names; it is read again by itself"
_POLICY = "the how-to lists what the policy of the role or user must allow"
_OURS = "please report it"
_AGAIN = "whether it was done is unknown; what was asked is not asked again for the same intent"

REFUSALS: dict[str, tuple[type[PrivySealError], str, str]] = {
    # Who we are, and what we may.
    "AccessDeniedException": (Misused, "AWS does not allow this credential to do it", _POLICY),
    "UnrecognizedClientException": (Misused, "AWS does not know the credential", _CREDENTIAL),
    "InvalidClientTokenId": (Misused, "AWS does not know the access key", _CREDENTIAL),
    "MissingAuthenticationTokenException": (Misused, "AWS missed a signature on the request", _OURS),
    "IncompleteSignature": (Misused, "AWS finds the request's signature incomplete", _OURS),
    "InvalidSignatureException": (
        Misused,
        "AWS refused the signature of a request",
        "the secret key is wrong, or this machine's clock is",
    ),
    "OptInRequired": (Misused, "The AWS account is not subscribed to the service", "look at the account"),
    "ExpiredTokenException": (Misused, "The AWS credential has expired", _CREDENTIAL),
    "ExpiredToken": (Misused, "The identity token for AWS has expired", _CREDENTIAL),
    "InvalidIdentityToken": (Misused, "AWS does not believe the identity token", _CREDENTIAL),
    "IDPRejectedClaim": (Misused, "AWS's identity provider refused the identity token", _CREDENTIAL),
    "IDPCommunicationError": (KeyStoreUnavailable, "AWS could not reach the identity provider", "it is tried again"),
    "RequestExpired": (Misused, "AWS finds the request too old", "look at this machine's clock"),
    "AccessDenied": (Misused, "AWS does not let this identity assume the role", "look at the role's trust policy"),
    # The key.
    "NotFoundException": (NotFound, "AWS KMS has no such key", "it was destroyed, or it is in another account"),
    "AlreadyExistsException": (Conflict, "AWS KMS has an alias of that name already", "give the new key another name"),
    "DisabledException": (Misused, "The key is disabled in AWS KMS", "enable it there, if that was not on purpose"),
    "KMSInvalidStateException": (Misused, "The key is in a state in which AWS KMS does not use it", "look at it there"),
    "InvalidKeyUsageException": (Misused, "The key in AWS KMS is not for signing so", _OURS),
    "LimitExceededException": (Misused, "A quota of the AWS account is used up", "have it raised, or remove keys"),
    "UnsupportedOperationException": (Misused, "AWS KMS does not support this with such a key", _OURS),
    "TagException": (Misused, "AWS KMS does not accept the key's tag", _OURS),
    "InvalidAliasNameException": (Misused, "AWS KMS does not accept the key's alias", _OURS),
    "InvalidArnException": (Misused, "AWS KMS finds an ARN malformed", _OURS),
    "ValidationException": (Misused, "AWS finds a request malformed", _OURS),
    "SerializationException": (Misused, "AWS could not read a request", _OURS),
    "MalformedPolicyDocumentException": (Misused, "AWS KMS finds the key policy malformed", _OURS),
    # The trail.
    "TrailNotFoundException": (Misused, "There is no such CloudTrail trail", "correct trail in the section"),
    "InvalidTrailNameException": (Misused, "That is no name of a CloudTrail trail", "correct trail in the section"),
    "CloudTrailARNInvalidException": (Misused, "That is no ARN of a CloudTrail trail", "correct trail in the section"),
    "InvalidTimeRangeException": (Misused, "CloudTrail does not look up such a period", "it goes back 90 days"),
    "InvalidNextTokenException": (KeyStoreUnavailable, "CloudTrail lost its place between two pages", "ask again"),
    # What leaves open whether it was done.
    "DependencyTimeoutException": (KeyStoreUnavailable, "AWS KMS timed out inside", _AGAIN),
    "KMSInternalException": (KeyStoreUnavailable, "AWS KMS failed inside", _AGAIN),
    "KeyUnavailableException": (KeyStoreUnavailable, "AWS KMS cannot reach the key for the moment", _AGAIN),
    "InternalFailure": (KeyStoreUnavailable, "AWS failed inside", _AGAIN),
    "ServiceUnavailable": (KeyStoreUnavailable, "AWS is unavailable", _AGAIN),
    "ThrottlingException": (
        KeyStoreUnavailable,
        "AWS throttles our requests",
        "nothing was done; try again, and have the quota raised if it comes often",
    ),
}
"""By the code of AWS' error: what we raise, what it means, and what to do about it."""
_UNKNOWN = (KeyStoreUnavailable, "AWS answered with an error that is not known here", _AGAIN)


def refusal(code: str) -> PrivySealError:
    """Return our error for an error code of AWS."""
    kind, sentence, hint = REFUSALS.get("ThrottlingException" if code in THROTTLED else code, _UNKNOWN)
    return kind(f"{sentence}.", hint=hint)
