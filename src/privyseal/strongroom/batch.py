"""Which places new entries get: the pure part of sequencing, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

from privyseal.errors import Conflict, PrivySealError
from privyseal.strongroom.messages import Submission
from privyseal.strongroom.staging import OF_NO_KEY, LogJournal, Place
from privyseal.tlog.entry import CompletionSubmission, IntentSubmission, encode


class Batch:
    """Entries that are given places together: contiguous indexes, gap-free sequences for each key tag."""

    def __init__(self, staging: LogJournal, size: int) -> None:
        """Begin at index ``size``; what was logged before is looked up in ``staging``."""
        self._staging = staging
        self._size = size
        self.places: list[Place] = []
        self.entries: list[bytes] = []
        self._by_submission: dict[bytes, Place] = {}
        self._by_intent: dict[int, Place] = {}
        self._sequences: dict[str, int] = {}

    def place(self, submissions: Sequence[Submission]) -> list[Place]:
        """Give each its place, the first one it ever got; Conflict, and none is placed, if one contradicts the log."""
        identities = [each.submission_id() for each in submissions]
        self._staging.prepare(submissions, identities)
        self._check_completions(submissions, identities)
        before = len(self.places)
        try:
            return list(map(self._placed, submissions, identities))
        except PrivySealError:
            self._take_back(before)
            raise

    def _placed(self, submission: Submission, identity: bytes) -> Place:
        known = self._by_submission.get(identity) or self._staging.place_of(identity)
        if known is not None:
            return known
        index = self._size + len(self.places)
        if isinstance(submission, IntentSubmission):
            sequence = self._sequences.get(submission.key_tag)
            if sequence is None:
                sequence = self._staging.next_in_sequence(submission.key_tag)
            entry = encode(submission.entry(sequence))
            self._sequences[submission.key_tag] = sequence + 1
            place = Place(index, identity, submission.key_tag, sequence, None)
        elif isinstance(submission, CompletionSubmission):
            entry = encode(submission.entry())
            place = Place(index, identity, submission.key_tag, None, submission.intent)
            self._by_intent[submission.intent] = place
        else:
            entry = encode(submission.entry())
            place = Place(index, identity, OF_NO_KEY, None, None)
        self.places.append(place)
        self.entries.append(entry)
        self._by_submission[identity] = place
        return place

    def _take_back(self, count: int) -> None:
        """Be as if nothing after the first ``count`` entries had been placed."""
        del self.places[count:], self.entries[count:]
        self._by_submission = {place.submission: place for place in self.places}
        self._by_intent = {place.intent: place for place in self.places if place.intent is not None}
        self._sequences = {place.key_tag: place.key_seq + 1 for place in self.places if place.key_seq is not None}

    def _check_completions(self, submissions: Sequence[Submission], identities: Sequence[bytes]) -> None:
        fresh: dict[int, bytes] = {}
        for at, (submission, identity) in enumerate(zip(submissions, identities, strict=True)):
            if isinstance(submission, CompletionSubmission):
                self._check_completion(at, submission, identity)
        for at, (submission, identity) in enumerate(zip(submissions, identities, strict=True)):
            if (
                isinstance(submission, CompletionSubmission)
                and fresh.setdefault(submission.intent, identity) != identity
            ):
                raise _second_completion(at, submission)

    def _check_completion(self, at: int, submission: CompletionSubmission, identity: bytes) -> None:
        intent = self._staging.place_at(submission.intent)
        if intent is None or intent.key_seq is None or intent.key_tag != submission.key_tag:
            raise Conflict(
                f"Submission {at} completes entry {submission.intent}, which is not an intent of its key.",
                hint="nothing of this question was logged",
            )
        done = self._by_intent.get(submission.intent) or self._staging.completion_of(submission.intent)
        if done is not None and done.submission != identity:
            raise _second_completion(at, submission)


def _second_completion(at: int, submission: CompletionSubmission) -> Conflict:
    return Conflict(
        f"Submission {at} completes the intent at entry {submission.intent} otherwise than it was completed already.",
        hint="nothing of this question was logged",
    )
