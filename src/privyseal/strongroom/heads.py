"""What the signer believes of the log: heads signed by the one key it was given, each extending the one before."""

from __future__ import annotations

from collections.abc import Sequence

from privyseal.errors import BadInput, LogRolledBack, Misused, Unlogged, VerificationFailed
from privyseal.strongroom.mark import Mark
from privyseal.tlog.checkpoint import open_checkpoint
from privyseal.tlog.merkle import LONGEST_PROOF, leaf_hash, verify_consistency, verify_inclusion
from privyseal.tlog.note import KeyType, parse_vkey


class LogKey:
    """The log's verifier key, and what follows from a head that it signed."""

    def __init__(self, vkey: str) -> None:
        """Take a C2SP verifier key of a log (type 0x01, Ed25519); Misused if it is none."""
        try:
            self._verifier = parse_vkey(vkey)
        except BadInput as error:
            raise Misused(f"The log's verifier key is not one: {error.detail}", hint=error.hint) from None
        if self._verifier.key_type is not KeyType.ED25519:
            raise Misused("The log's verifier key is a witness's.", hint="name the key that signs the log's heads")

    def extended(self, mark: Mark, head: bytes, consistency: Sequence[bytes]) -> Mark:
        """Return the head's size and root; Unlogged if it is not the log's or does not extend ``mark``.

        A head that is smaller than the mark, or of the same size and another root, is LogRolledBack: somebody put the
        log back, or shows two of them.
        """
        try:
            shown = open_checkpoint(head, self._verifier)
        except (BadInput, VerificationFailed) as error:
            raise Unlogged(f"The head that was shown is not one that the log signed: {error.detail}") from None
        if shown.size < mark.number:
            raise LogRolledBack(
                f"The log shows {shown.size} entries, and this signer has acted under {mark.number}.",
                hint="nothing is signed until the log is whole again",
            )
        if shown.size == mark.number and shown.root != mark.digest:
            raise LogRolledBack(
                f"The log shows another root at {shown.size} entries than this signer has acted under.",
                hint="there are two logs under one name; nothing is signed until it is known which is the true one",
            )
        if len(consistency) > LONGEST_PROOF or not verify_consistency(
            mark.number, shown.size, consistency, mark.digest, shown.root
        ):
            raise Unlogged(f"The head of size {shown.size} is not proven to extend the one of size {mark.number}.")
        return Mark(shown.size, shown.root)


def check_included(head: Mark, index: int, entry: bytes, path: Sequence[bytes]) -> None:
    """Check that this very entry stands at ``index`` under ``head``; Unlogged if the path does not prove it."""
    if len(path) > LONGEST_PROOF or not verify_inclusion(leaf_hash(entry), index, head.number, path, head.digest):
        raise Unlogged(
            f"It is not proven that the intent to do exactly this is entry {index} of the log.",
            hint="it must name this key, its place in the key's sequence, the number of uses and this very request",
        )
