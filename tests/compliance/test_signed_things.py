"""Section 7.1.3.2 on CRLs, OCSP responses and tokens; on certificates its cases are in ``cases/``."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from tests.compliance.builders.kinds import BUILDERS

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked
from privyseal.pki.key_facts import SignatureFacts

ASKED = Asked(datetime(2026, 11, 25, tzinfo=UTC))
RULES = [BY_ID[f"CSBR-7.1.3.2-0{number}"] for number in (1, 2, 3, 4, 5)]
LAST = datetime(2022, 4, 30, 23, 59, 59, tzinfo=UTC)
AFTER = datetime(2022, 5, 1, tzinfo=UTC)
DATED = {"crl": "this_update", "ocsp-response": "this_update", "timestamp-token": "gen_time"}


def _found(kind: str, family: str, digest: str, at: datetime, mask: str = "") -> dict[str, Verdict]:
    made: Any = BUILDERS[kind]({DATED[kind]: at})
    signed = msgspec.structs.replace(made, signature=SignatureFacts("1.2.3", family, digest, mask))
    return {each.requirement[-2:]: each.verdict for each in evaluate(signed, RULES, ASKED)}


@pytest.mark.parametrize("kind", sorted(DATED))
def test_what_the_list_has_is_met(kind: str) -> None:
    assert _found(kind, "rsa", "sha512", AFTER) == {"01": Verdict.MET}
    assert _found(kind, "rsa-pss", "sha256", AFTER, "sha256") == {"01": Verdict.MET}
    assert _found(kind, "ecdsa", "sha384", AFTER) == {"03": Verdict.MET}
    later = datetime(2022, 6, 29, tzinfo=UTC)
    assert _found(kind, "dsa", "sha256", later) == {"04": Verdict.MET}


@pytest.mark.parametrize("kind", sorted(DATED))
def test_what_it_has_not_is_not_met(kind: str) -> None:
    assert _found(kind, "rsa", "md5", AFTER) == {"01": Verdict.NOT_MET}
    assert _found(kind, "rsa-pss", "sha256", AFTER, "sha1") == {"01": Verdict.NOT_MET}
    assert _found(kind, "ecdsa", "sha1", AFTER) == {"03": Verdict.NOT_MET}
    assert _found(kind, "ecdsa", "sha1", LAST) == {"03": Verdict.NOT_MET}, "SHA-1 was left to RSA and DSA alone"
    assert _found(kind, "ed25519", "sha512", AFTER) == {"01": Verdict.NOT_MET}


@pytest.mark.parametrize("kind", ["crl", "ocsp-response"])
@pytest.mark.parametrize("at", [LAST, AFTER])
def test_sha1_is_left_to_lists_and_responses(kind: str, at: datetime) -> None:
    assert _found(kind, "rsa", "sha1", at) == {"02": Verdict.MET}


def test_sha1_is_left_to_tokens_until_the_end_of_april_2022() -> None:
    assert _found("timestamp-token", "rsa", "sha1", LAST) == {"02": Verdict.MET}
    assert _found("timestamp-token", "rsa", "sha1", AFTER) == {"01": Verdict.NOT_MET}
