"""What a running service records, from a case's words: Key Pairs, signatures, Subscribers, incidents and the log.

Without words everything is as it should be; ``unknown`` lists the facts that nobody knows.

Key Pair: ``generated``, ``store``, ``cloud``, ``assurance`` (software, hardware, certified-hardware),
``generated_inside``, ``never_extractable``, ``module``, ``issued``; ``timestamp = true`` makes it a timestamp key;
``attested``, what differs in a module that attested it, and ``register``, what differs in each certificate of modules.
Signature: ``signed``, ``by`` (a list of ``{ who, did, factors, workload }``), ``quorum``, ``agreed``, ``logged``,
``log_names_actors``, ``not_before``, ``not_after``, ``accepted``, ``believed``, ``frozen``, ``status``
(``{ said_at, good_until, revoked_at }``).
Subscriber: ``first_signature``, ``accepted`` (a time, for all three commitments), ``by``.
Incident: ``believed``, ``revocation_asked``, ``last_signature``. Log: ``begun``, ``whole_at``, ``lost`` (a list of
times at which a record was given up), ``checks`` (a list of times).
All: ``held``, a list of documents ``{ kind, valid_from, valid_until, clauses, reviews = [{ requirement, verdict, who,
at }] }``.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from privyseal.compliance.held import Held
from privyseal.compliance.requirement import Scope
from privyseal.compliance.subjects import (
    Commitment,
    IncidentRecord,
    KeyPairRecord,
    LogRecord,
    Loss,
    OrganisationRecord,
    SignatureRecord,
    SubscriberRecord,
)

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
COMMITMENTS = ("CSBR-9.6.5-04", "CSBR-9.6.5-05", "CSBR-9.6.5-06")

_KEY = {
    "generated": datetime(2026, 1, 15, tzinfo=UTC),
    "store": "pkcs11",
    "cloud": False,
    "assurance": "certified-hardware",
    "generated_inside": True,
    "never_extractable": True,
    "module": "Maker Model 7, firmware 3.1",
    "issued": datetime(2026, 2, 1, tzinfo=UTC),
}
_MODULE = {
    "maker": "Maker",
    "model": "Model 7",
    "firmware": "3.1",
    "serial": "1",
    "generated_inside": True,
    "never_extractable": True,
}
_VALIDATION = {
    "name": "Model 7",
    "scheme": "FIPS 140-2",
    "number": "4711",
    "level": 3,
    "maker": "Maker",
    "models": ["Model 7"],
    "firmware": ["3.1"],
    "history": [{"status": "active", "since": date(2021, 5, 5)}],
}
_SIGNATURE = {
    "signed": datetime(2026, 11, 1, tzinfo=UTC),
    "by": [{"who": "M-ci", "did": "asked", "factors": ["client-certificate"], "workload": True}],
    "quorum": 0,
    "logged": 12,
    "not_before": datetime(2026, 2, 1, tzinfo=UTC),
    "not_after": datetime(2027, 2, 1, tzinfo=UTC),
    "status": {
        "said_at": datetime(2026, 10, 30, tzinfo=UTC),
        "good_until": datetime(2026, 11, 6, tzinfo=UTC),
    },
    "accepted": datetime(2026, 2, 2, tzinfo=UTC),
}
_SUBSCRIBER = {
    "enrolled": datetime(2026, 1, 10, tzinfo=UTC),
    "first_signature": datetime(2026, 2, 3, tzinfo=UTC),
    "accepted": datetime(2026, 1, 11, tzinfo=UTC),
    "by": "Ada Example",
}
_INCIDENT = {
    "believed": datetime(2026, 11, 1, tzinfo=UTC),
    "revocation_asked": datetime(2026, 11, 1, 1, tzinfo=UTC),
    "last_signature": datetime(2026, 10, 31, tzinfo=UTC),
}
_LOG = {
    "begun": datetime(2026, 10, 1, tzinfo=UTC),
    "whole_at": datetime(2026, 11, 25, tzinfo=UTC),
    "checks": [datetime(2026, 10, 31, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC)],
}


def _words(given: dict[str, Any], usual: dict[str, Any]) -> tuple[dict[str, Any], tuple[Held, ...]]:
    words = usual | given
    for name in words.pop("unknown", ()):
        words.pop(name)
    held = [each | {"sha256": each.get("sha256", "0" * 64)} for each in words.pop("held", ())]
    return words, msgspec.convert(tuple(held), tuple[Held, ...])


def key_pair(given: dict[str, Any]) -> KeyPairRecord:
    words, held = _words(given, _KEY)
    scopes = {Scope.TIMESTAMP} if words.pop("timestamp", False) else {Scope.EV, Scope.NON_EV}
    if "attested" in words:
        stated = {"type": "key-attested", "key_id": "0" * 64, "evidence": ["0" * 64], "verifier": "1", "by": "service"}
        words["attested"] = stated | {"as_of": NOW, "module": _MODULE | words["attested"]}
    words["register"] = [_VALIDATION | each for each in words.pop("register", [])]
    return msgspec.convert(words | {"label": "release", "at": NOW, "scopes": scopes, "evidence": held}, KeyPairRecord)


def signature(given: dict[str, Any]) -> SignatureRecord:
    words, held = _words(given, _SIGNATURE)
    return msgspec.convert(words | {"label": "R-1", "at": NOW, "evidence": held}, SignatureRecord)


def subscriber(given: dict[str, Any]) -> SubscriberRecord:
    words, held = _words(given, _SUBSCRIBER)
    accepted, by = words.pop("accepted", None), words.pop("by", "")
    made = () if accepted is None else tuple(Commitment(requirement=r, accepted=accepted, by=by) for r in COMMITMENTS)
    return msgspec.convert(
        words | {"label": "acme", "at": NOW, "evidence": held, "commitments": made}, SubscriberRecord
    )


def incident(given: dict[str, Any]) -> IncidentRecord:
    words, held = _words(given, _INCIDENT)
    return msgspec.convert(words | {"label": "I-1", "at": NOW, "evidence": held}, IncidentRecord)


def log(given: dict[str, Any]) -> LogRecord:
    words, held = _words(given, _LOG)
    lost = tuple(Loss(at, 3) for at in words.pop("lost", ()))
    return msgspec.convert(words | {"label": "log", "at": NOW, "evidence": held, "losses": lost}, LogRecord)


def organisation(given: dict[str, Any]) -> OrganisationRecord:
    words, held = _words(given, {})
    if "clouds" in words:
        words["clouds"] = [_CLOUD | each for each in words["clouds"]]
    return msgspec.convert(words | {"label": "Test", "at": NOW, "evidence": held}, OrganisationRecord)


_CLOUD = {
    "store": "awskms",
    "home": "prod",
    "since": NOW - timedelta(days=1),
    "until": NOW - timedelta(hours=1),
    "source": "trail",
    "on": True,
    "keys": 2,
    "signatures": 7,
}
"""A cloud that logs all and counts as we do."""


BUILDERS = {
    "key-pair": key_pair,
    "signature": signature,
    "subscriber": subscriber,
    "incident": incident,
    "log": log,
    "organisation": organisation,
}
