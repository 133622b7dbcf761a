"""What people are told of a signature in time: each outcome is one sentence of its own."""

from datetime import UTC, datetime

import pytest

from privyseal.cli.profile import Profile
from privyseal.cli.verify import in_words
from privyseal.formats.protocol import Problem
from privyseal.verify import FileVerdict, SignatureVerdict, TimestampFacts, Verdict

STAMP = TimestampFacts(datetime(2026, 12, 1, tzinfo=UTC), "CN=TSU 1,O=Example")


def verdict(how: Verdict, *codes: str, stamp: TimestampFacts | None = STAMP, **more: object) -> FileVerdict:
    signature = SignatureVerdict(
        signer="CN=Example",
        serial="1",
        issuer="CN=CA",
        digest_algorithm="sha256",
        digest="00",
        timestamp=stamp,
        log=None,
        problems=tuple(Problem(code, "What happened.") for code in codes),
        verdict=how,
        name="Example",
        not_before=None,
        not_after=datetime(2027, 1, 1, tzinfo=UTC),
        anchor=None,
        revocation="not-checked",
        program_name=None,
        program_url=None,
        **more,  # type: ignore[arg-type]
    )
    return FileVerdict(path="a.exe", format="pe", verdict=how, signatures=(signature,))


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [
        (("revoked",), "a.exe is signed under a certificate that was revoked."),
        (("timestamp-revoked",), "a.exe is signed, but the authority behind its timestamp was revoked."),
        (("timestamp-ahead", "not-yet-valid"), "a.exe was not signed yet, as far as its timestamp shows."),
        (
            ("expired",),
            "a.exe is signed under a certificate that had expired, and no timestamp shows that it was before.",
        ),
        (("timestamp",), "a.exe is signed, but the signature does not hold."),
        (("digest-mismatch", "revoked", "timestamp-revoked"), "a.exe was changed after it was signed."),
    ],
)
def test_what_is_wrong_in_time_has_a_sentence(codes: tuple[str, ...], sentence: str) -> None:
    """The first line says it; the facts are below."""
    lines = in_words(verdict("invalid", *codes, stamp=None), Profile())
    assert lines[0].endswith(f" {sentence}")
    assert sum("What happened." in line for line in lines) == len(codes)


def test_renewals_are_told_in_their_order() -> None:
    """Whose they are, and of when."""
    renewals = (
        TimestampFacts(datetime(2030, 1, 1, tzinfo=UTC), "CN=TSU 2"),
        TimestampFacts(datetime(2040, 1, 1, tzinfo=UTC), "CN=TSU 3"),
    )
    text = " ".join(" ".join(in_words(verdict("valid", renewals=renewals), Profile())).split())
    assert "says TSU 1; so it outlasts its certificate" in text
    assert text.index("renewed on 2030-01-01, says TSU 2") < text.index("renewed on 2040-01-01, says TSU 3")
