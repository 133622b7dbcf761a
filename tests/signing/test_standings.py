"""What the signer said of a chain is believed for a minute, and what it did not say is asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from privyseal.errors import Unavailable
from privyseal.signing import standings
from privyseal.signing.standings import BELIEVED, Chain, Standings

NOW = datetime(2026, 11, 25, tzinfo=UTC)
PUBLIC, PRIVATE, REHEARSAL = (b"public",), (b"private", b"root"), (b"rehearsal",)


class Signer:
    """Says of a chain what its first octets say."""

    def __init__(self) -> None:
        self.asked: list[list[Chain]] = []

    def standings(self, chains: Sequence[Chain]) -> tuple[str, ...]:
        self.asked.append(list(chains))
        return tuple(chain[0].decode().rstrip("0123456789") for chain in chains)


def made() -> tuple[Signer, Standings]:
    signer: Any = Signer()
    return signer, Standings(signer)


def test_only_a_public_chain_is_public() -> None:
    signer, known = made()
    assert known.public([PUBLIC, PRIVATE, REHEARSAL, PUBLIC], NOW) == {PUBLIC}
    assert [len(each) for each in signer.asked] == [3]
    assert known.public([], NOW) == set()


def test_it_is_believed_for_a_minute_and_not_before_it_was_said() -> None:
    signer, known = made()
    known.public([PUBLIC], NOW)
    known.public([PUBLIC], NOW + BELIEVED - timedelta(microseconds=1))
    assert len(signer.asked) == 1
    known.public([PUBLIC], NOW + BELIEVED)
    known.public([PUBLIC], NOW)  # the clock was put back
    assert len(signer.asked) == 3


def test_of_two_chains_only_the_unknown_one_is_asked() -> None:
    signer, known = made()
    known.public([PUBLIC], NOW)
    assert known.public([PUBLIC, REHEARSAL], NOW) == {PUBLIC}
    assert signer.asked == [[PUBLIC], [REHEARSAL]]


def test_more_chains_than_are_remembered_are_all_told_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgetting makes no rehearsal public, and nothing public a rehearsal."""
    monkeypatch.setattr(standings, "MOST_CHAINS", 3)
    monkeypatch.setattr(standings, "_AT_ONCE", 2)
    signer, known = made()
    some = [(f"{kind}{n}".encode(),) for n in range(5) for kind in ("public", "rehearsal")]
    for _ in range(2):
        assert known.public(some, NOW) == {chain for chain in some if chain[0].startswith(b"public")}
    assert max(map(len, signer.asked)) == 2


def test_who_does_not_answer_decides_nothing() -> None:
    signer, known = made()

    def away(chains: object) -> None:
        raise Unavailable("gone")

    signer.standings = away  # type: ignore[method-assign, assignment]
    with pytest.raises(Unavailable):
        known.public([PUBLIC], NOW)
