"""``sign --inside sign``: what is in a file is signed first, the file is made anew of it, and is signed last.

The way of one file:

1. Everything in it is looked at, and what can be signed and carries no signature is unpacked into a private folder,
   under a number: a name out of an archive never becomes a path. Containers in it are looked into likewise.
2. From the inside out: files are signed, those of one height by one request (128 of them at most); then the containers
   that hold only what is done are made anew, checked, and signed with the others of their height. Content that occurs
   twice is signed once.
3. The outermost container is signed as any file is. Until then nothing outside the private folder has changed.

What carries a signature, good or not, is left alone, with all that is in it.
"""

from __future__ import annotations

import contextlib
import os

import msgspec

from privyseal.cli import one_file, pieces
from privyseal.cli.inside_workshop import Ended, Workshop, outcome_of
from privyseal.cli.makers import Maker
from privyseal.cli.outcomes import FileReport, Outcome
from privyseal.cli.output import path_text
from privyseal.cli.pieces import Counted, Job, Pending, Wishes
from privyseal.formats import inside
from privyseal.formats.patch import carry_out
from privyseal.formats.protocol import Copy, PatchPlan
from privyseal.formats.source import FileSource


def sign_with_inside(job: Job, maker: Maker, wishes: Wishes, counted: Counted) -> Outcome | None:
    """Sign what is inside a file, then the file; None where nothing inside is to be signed, and it is as any file."""
    with FileSource.open(job.path) as code:
        kind = inside.kind_of(code)
        if kind in inside.OVER_NEIGHBOURS:
            from privyseal.cli import neighbours_signing  # only for what names neighbours

            return neighbours_signing.sign_with_neighbours(job, maker, wishes, counted)
        if kind is None or kind not in inside.CONTAINERS:
            return None
        opened = None if kind == "zip" else pieces.open_piece(code)
        if opened is not None and not one_file.is_signed_anew(opened, maker, wishes):
            return None
        container = inside.CONTAINERS[kind](code, opened.examined.layout if opened else None)
        with Workshop(maker, wishes) as shop:
            found = shop.collect(container)
            if not found:
                return None if opened else _kept(job, shop)
            try:
                shop.sign(found.values())
                whole = shop.rebuilt(container, kind, found)
                return _finished(job, code, kind, whole, shop, counted)
            except Ended as ended:
                return outcome_of(ended, job, kind)


def _kept(job: Job, shop: Workshop) -> Outcome:
    report = FileReport(path=path_text(job.path), format="zip", status="kept", inside=shop.report(()))
    return Outcome(report, "nothing in it that can be signed is without a signature")


# What the last step is made of.
def _finished(job: Job, code: FileSource, kind: str, whole: str, shop: Workshop, counted: Counted) -> Outcome:
    """Write the receipts, then the file, signed if it can be; take the receipts away again where that fails."""
    receipts = shop.write_receipts(job)
    done = False
    try:
        with FileSource.open(whole) as anew:
            anew.filename, anew.mode = code.filename, code.mode
            outcome = _put(job, anew) if kind == "zip" else _sign_whole(job, whole, anew, shop, counted)
        done = outcome.end is None
    finally:
        if not done:
            for path in receipts:
                with contextlib.suppress(OSError):
                    os.unlink(path)
    report = msgspec.structs.replace(outcome.report, path=path_text(job.path))  # nobody knows the private folder
    if isinstance(outcome.end, Pending):
        return Outcome(report, f"what is inside is signed, and the file itself {outcome.words}", outcome.end)
    if not done:
        return msgspec.structs.replace(outcome, report=report)
    report = msgspec.structs.replace(report, inside=shop.report(map(path_text, receipts)))
    return msgspec.structs.replace(outcome, report=report)


def _put(job: Job, anew: FileSource) -> Outcome:
    carry_out(PatchPlan((Copy(0, anew.size),)), anew, job.out, settled=False)
    report = FileReport(path=path_text(job.path), output=path_text(job.out), format="zip", status="signed")
    return Outcome(report, "what is inside was signed and checked")


def _sign_whole(job: Job, whole: str, anew: FileSource, shop: Workshop, counted: Counted) -> Outcome:
    wishes = msgspec.structs.replace(shop.wishes, if_signed="replace")  # that it may be was decided before
    return one_file.sign(pieces.open_piece(anew), Job(whole, job.out, job.receipts), shop.maker, wishes, counted)
