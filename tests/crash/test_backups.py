"""An older backup is put back: what the threat model says of it happens, in words where it can be noticed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.crash.backups import PARTS, put_back
from tests.world import found

BEHIND = "The journal holds {6} entries, and a head of {14} was signed."
KNOWN = "A head of {13} entries is known where this log has {6}."
REMEMBERED = "The log has {6} entries (no witness knows of any), and the records know an intent at entry {12}."
FORGOTTEN = (
    "The records know the log up to its entry {2}, and it has {14} entries (no witness knows of any); "
    "they lack 4 requests with intents at entries {6} to {12}, so nothing is signed."
)
"""What is said; in braces how many entries stand after those of the founding."""


def after(founded: Path, sentence: str) -> str:
    """Return a sentence with the log's own sizes: what is in braces, and as many as the founding logged."""
    size = int((founded / "log" / "checkpoint").read_text().splitlines()[1])
    return re.sub(r"\{(\d+)\}", lambda found: str(size + int(found[1])), sentence)


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service to copy."""
    return found(tmp_path_factory.mktemp("backups") / "founded")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("journal",), BEHIND),
        (("journal", "mark"), BEHIND),  # the published head knows
        (("journal", "tiles"), BEHIND),  # the mark knows
        (("records", "journal"), BEHIND),
        (("journal", "mark", "tiles"), REMEMBERED),  # the records know
        (("journal", "mark", "tiles", "signer", "signer's mark"), REMEMBERED),
        (("journal", "mark", "tiles", "records"), KNOWN),  # the signer knows
    ],
    ids="+".join,
)
def test_an_older_log_signs_nothing_and_forks_nothing(
    founded: Path, tmp_path: Path, parts: tuple[str, ...], said: str
) -> None:
    """Whichever witness is left says the size it knows; no head is signed, no key used, not one entry added."""
    became = put_back(founded, tmp_path / "world", parts)
    assert became.served == 0
    assert after(founded, said) in became.said
    assert not became.forked


@pytest.mark.parametrize("parts", [("mark",), ("tiles",), ("mark", "tiles"), ("signer", "signer's mark")], ids="+".join)
def test_what_the_journal_can_make_again_is_made_again(founded: Path, tmp_path: Path, parts: tuple[str, ...]) -> None:
    """With the newest journal the log goes on as an extension of every head, and known clients get what they had."""
    became = put_back(founded, tmp_path / "world", parts)
    assert (became.served, became.again, became.forked, became.problem) == (4, 0, set(), "")


@pytest.mark.parametrize("parts", [("signer",), ("signer", "mark")], ids="+".join)
def test_an_older_signer_uses_no_key(founded: Path, tmp_path: Path, parts: tuple[str, ...]) -> None:
    """Its mark stands elsewhere and knows; nothing is signed until the newest journal is back, and nothing forks."""
    became = put_back(founded, tmp_path / "world", parts)
    assert (became.served, became.forked) == (0, set())


def test_a_log_and_a_signer_put_back_together_use_no_key(founded: Path, tmp_path: Path) -> None:
    """Where the records are as old too, heads fork; but the signer's mark, on another path, keeps it from signing."""
    became = put_back(founded, tmp_path / "world", ("journal", "mark", "tiles", "signer", "records"))
    assert became.served == 0


@pytest.mark.parametrize("parts", [("records",), ("records", "mark", "tiles"), ("records", "signer", "signer's mark")])
def test_older_records_sign_nothing(founded: Path, tmp_path: Path, parts: tuple[str, ...]) -> None:
    """The log holds intents of requests that the records lack: nobody is served, and the sentence names the sizes."""
    became = put_back(founded, tmp_path / "world", parts)
    assert (became.served, became.again, became.forked, became.problem) == (0, 0, set(), "")
    assert became.said == {after(founded, FORGOTTEN)}


def test_who_puts_back_everything_is_found_out_by_receipts_only(founded: Path, tmp_path: Path) -> None:
    """Nothing that was put back knows better, as the threat model says; newer receipts and heads prove the fork."""
    became = put_back(founded, tmp_path / "world", tuple(PARTS))
    assert became.served == 4
    assert became.forked
    assert became.problem.startswith("I2")
