"""One file that was opened is signed: what is to be done is decided, its signature made, put into it, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from privyseal.cli import outcomes, pieces
from privyseal.cli.makers import Maker, as_file_maker
from privyseal.cli.outcomes import Outcome
from privyseal.cli.pieces import Counted, Decision, Job, Opened, Pending, Wishes
from privyseal.confirm import Expected
from privyseal.errors import BadInput
from privyseal.formats import operations
from privyseal.formats.examine import LARGE
from privyseal.formats.patch import Ahead
from privyseal.formats.protocol import EmbeddedSignature
from privyseal.pki import certificates
from privyseal.terms.signatures import LogFacts


def sign(opened: Opened, job: Job, maker: Maker, wishes: Wishes, counted: Counted) -> Outcome:
    """Sign one file that was opened, without what is inside; raises PrivySealError."""
    decision = decided(opened, maker, wishes)
    if decision.action == "keep":
        return outcomes.kept(job, opened, None, decision.why)
    ours = decision.ours
    if ours is not None and job.in_place and maker.has_receipt(ours, job):
        return outcomes.kept(job, opened, ours, decision.why, receipt=maker.logs)
    if as_file_maker(maker) is not None:  # its file is made by the service
        return _make(opened, None, job, maker, wishes, decision, counted)
    # Made now, so that nothing is signed that could not be written.
    with Ahead(opened.code, job.out, opened.examined.layout.shift) as draft:
        return _make(opened, draft, job, maker, wishes, decision, counted)


def is_signed_anew(opened: Opened, maker: Maker, wishes: Wishes) -> bool:
    """Tell whether the file may become another one; BadInput where a signature on it would then no longer fit."""
    decision = decided(opened, maker, wishes)
    if decision.mode == "append":
        raise BadInput(
            f"{opened.code.filename} is signed by others, and their signature would not fit other content.",
            hint="--if-signed replace, or --inside skip",
        )
    return decision.action != "keep"


def decided(opened: Opened, maker: Maker, wishes: Wishes) -> Decision:
    """Return what is to be done with a file, by what it is and what is wished; BadInput for what is refused."""
    key_id = certificates.key_id(certificates.outline(maker.identity.chain[0]).spki)
    return pieces.decide(opened, wishes, key_id, datetime.now(UTC))


# Each argument is one thing that one file's signature is made of.
def _make(  # noqa: PLR0913
    opened: Opened, draft: Ahead | None, job: Job, maker: Maker, wishes: Wishes, decision: Decision, counted: Counted
) -> Outcome:
    ours = decision.ours
    options = wishes.options
    if options.mode != decision.mode:
        options = msgspec.structs.replace(options, mode=decision.mode)
    options = operations.fitting(opened.format, options)
    comparing = None if draft is None else draft.comparing
    prepared = pieces.prepare(opened, maker.identity, options, wishes.digest, counted, comparing)
    if (filer := as_file_maker(maker)) is not None:
        made = filer.make_from(opened.code, prepared, options, counted, again=wishes.again)
    else:
        made = maker.make(prepared, options, again=wishes.again)
    if isinstance(made, Pending):
        return outcomes.waiting(job, opened.format.name, made.request)
    there = {each.blob: each for each in opened.examined.signatures}
    if ours is not None and job.in_place and set(made.blobs) <= set(there):
        log, *_ = [maker.accept(made, there[blob], job) for blob in made.blobs]
        return outcomes.kept(
            job, opened, ours, "signed by this key already; its receipt was fetched", log=log, made=made
        )
    logged: list[LogFacts | None] = []
    expected = Expected(
        blobs=made.blobs,
        prepared=prepared,
        certificate=maker.identity.chain[0],
        timestamped=options.timestamp,
        known_problems=frozenset(each.code for each in opened.examined.problems if decision.mode == "append"),
    )

    def then(found: Sequence[EmbeddedSignature]) -> None:
        logged.extend(maker.accept(made, each, job) for each in found)

    if filer is not None:
        found = filer.fetch(made, opened, job, options, expected, counted, then)
    else:
        assert draft is not None  # noqa: S101 - only a file that comes from the service has none
        found = pieces.put_back(opened, draft, options, expected, counted, then)
    if opened.code.size < LARGE:
        counted(pieces.PASSES * opened.code.size)
    return outcomes.signed(job, opened, found, made, logged[0], decision.why, told=wishes.told)
