"""A monitor: every active key signs a marked probe now and then, so that one that does not is known before a release.

A probe is a use of the key and logged before like any other, and no more: the text is the signer's own, and the value
is verified and thrown away inside. See the decision on health in ``docs/adr``.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from privyseal.errors import Conflict, Denied, LogUnavailable, NotFound, PrivySealError, RecordsRolledBack
from privyseal.records import health
from privyseal.records.health import Health
from privyseal.signing import custody, notices
from privyseal.signing.instance import PrivySeal
from privyseal.signing.notices import Notice
from privyseal.strongroom.acts import Probe
from privyseal.terms.keys import KeyPair

AT_ONCE = 64
"""Keys that are probed in one round; each takes an entry of the log before and one after."""


def tend(seal: PrivySeal, every: timedelta) -> int:
    """Probe active keys that were not probed for so long; return how many. Zero probes none.

    A key that just became active waits as long for its first one. Raises what keeps every key from being probed: that
    the log, or the signer itself, is not there says nothing of a key.
    """
    if not every:
        return 0
    seal.require_memory()
    before = seal.clock() - every
    with seal.records.reading_all_subscribers() as connection:
        waiting = health.unprobed_of_all_subscribers(connection, before, AT_ONCE)
    for pair in waiting:
        with suppress(Conflict):  # another node has it
            _turn(seal, pair, before)
            probe(seal, pair)
    return len(waiting)


def probe(seal: PrivySeal, pair: KeyPair) -> Health:
    """Have a key sign and verify a probe now, and write down what came of it; people are told where that is news.

    A key that its charter keeps from signing is not probed, and nothing is said of it. Raises LogUnavailable, and what
    says that the signer is not there.
    """
    answers, words = True, ""
    try:
        version = seal.signer.charter(pair.key_id).charter.version
        act = Probe(
            expires_at=(seal.clock() + custody.LIFE_OF_AN_ACT).replace(microsecond=0),
            key_id=pair.key_id,
            version=version,
        )
        custody.acted(seal, act, pair.key_tag)
    except (LogUnavailable, RecordsRolledBack):
        raise
    except (Denied, Conflict):
        with seal.records.reading(pair.subscriber) as tx:
            return health.of(tx, pair.name)
    except NotFound:
        answers, words = False, "The signer has no such key."
    except PrivySealError as error:
        answers, words = False, error.detail
    return _note(seal, pair, answers, words)


def _turn(seal: PrivySeal, pair: KeyPair, before: datetime) -> None:
    with seal.records.writing(pair.subscriber) as tx:
        health.take_turn(tx, pair.name, before, seal.clock())


def _note(seal: PrivySeal, pair: KeyPair, answers: bool, words: str) -> Health:
    now = seal.clock()
    with seal.records.writing(pair.subscriber) as tx:
        was = health.of(tx, pair.name).answers
        health.note_probed(tx, pair.name, now, answers, words)
        if was is not answers and not (was is None and answers):
            topic = "key.answers" if answers else "key.silent"
            notices.put(tx, seal, Notice(topic=topic, data={"key": pair.name, "text": words}))
        return health.of(tx, pair.name)
