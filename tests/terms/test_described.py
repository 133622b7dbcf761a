"""What people are shown of a description."""

import hashlib

from privyseal.terms.signatures import LONGEST_SHOWN, Described


def test_a_long_fact_is_shown_by_its_digest():
    """Short ones as they are, numbers as text; of a long one its length and SHA-256, so that two can be told apart."""
    longest, longer = "x" * LONGEST_SHOWN, "x" * (LONGEST_SHOWN + 1)
    facts: dict[str, str | int | bool] = {"machine": 3, "signed": True, "name": longest, "content": longer}
    described = Described(format="pe", filename="a", digest_algorithm="sha256", digest=bytes(32), size=1, facts=facts)
    assert described.said() == {
        "machine": "3",
        "signed": "yes",
        "name": longest,
        "content": f"{LONGEST_SHOWN + 1} characters, SHA-256 {hashlib.sha256(longer.encode()).hexdigest()}",
    }
