"""What the walks write down of many requests at once, for tests that have one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from privyseal.records import requests
from privyseal.records.database import Transaction
from privyseal.terms.requests import Dossier, Intent
from privyseal.terms.signatures import TimestampToken


def intent(tx: Transaction, dossier: Dossier, where: Intent) -> Dossier:
    return requests.store_intents(tx, [msgspec.structs.replace(dossier, intent=where)])[0]


def signatures(tx: Transaction, dossier: Dossier, made: Sequence[bytes]) -> Dossier:
    return requests.store_signatures(tx, [(dossier, made)])[0]


def blobs(tx: Transaction, dossier: Dossier, tokens: Sequence[TimestampToken], made: Sequence[bytes]) -> Dossier:
    return requests.store_blobs(tx, [(dossier, tokens, made)])[0]


def receipt(tx: Transaction, dossier: Dossier, text: str) -> Dossier:
    return requests.store_receipts(tx, [(dossier, text)])[0]
