"""Whether a key may be copied by its module's own means: its Subscriber allowed it, and the other module suffices.

A backup of ours has no key of a token; what clones one is the maker's own tool, in the hands of operators. This is
asked before they do it, so that no key is in a module of a lower level because nobody looked (CSBR 6.1.2, 6.2.7.3).
"""

from __future__ import annotations

from privyseal.compliance.modules import Keeper, judge_module
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.statements_of_backups import KeyCopied
from privyseal.errors import NotCompliant
from privyseal.signing.instance import PrivySeal


def require_allowed(seal: PrivySeal, copied: KeyCopied) -> None:
    """Raise NotCompliant where a copy was not allowed, or its module is not one that the register calls sufficient."""
    with seal.records.reading_all_subscribers() as connection:
        known = seal.stated.known_of_all_subscribers(connection)
    if copied.key_id not in known.copies_allowed:
        raise NotCompliant(
            f"The Subscriber did not allow a copy of the key {copied.key_id[:16]}... (CSBR 6.1.2).",
            hint="an administrator of the Subscriber says privyseal declare backup KEY --allowed",
        )
    judged = judge_module(copied.module, known.modules, Keeper.SIGNING_SERVICE, seal.clock(), known.choices).outcome
    if judged.verdict is not Verdict.MET:
        raise NotCompliant(f"The key may not be copied there: {judged.text}", hint=judged.mend or None)
