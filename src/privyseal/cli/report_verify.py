"""``privyseal report verify``: whether a report is whole and unaltered, and whether anything is missing. Offline.

What is believed rests on the log's key alone: the checkpoint is signed by it, each statement is proven under that
checkpoint, and where all entries are in the archive the tree is computed anew from them, so that a statement whose
text was left out is seen. The verdicts are the service's own words; nothing here says that they are right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, get_args

import click
import msgspec

from privyseal.cli import report_archive as archive
from privyseal.cli import report_manifest as papers
from privyseal.cli.bounded import bounded
from privyseal.cli.output import Command, JsonMode, Output, json_option, mark, printable, shown_path
from privyseal.cli.report_archive import Member
from privyseal.cli.report_manifest import Manifest, StatementFile
from privyseal.compliance.report import Asked, Report, in_period
from privyseal.compliance.statement_words import Topic
from privyseal.compliance.statements import LARGEST_SAID, Document, Stated, read_said
from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.tlog import merkle
from privyseal.tlog.checkpoint import Checkpoint
from privyseal.tlog.entry import Statement, commit, decode
from privyseal.tlog.log import EMPTY, append
from privyseal.tlog.note import MAX_NOTE
from privyseal.tlog.policy import MAX_POLICY, Policy, parse_policy
from privyseal.tlog.proof import MAX_PROOF, parse_proof

LARGEST_FILE = 64 << 20
"""Octets of a file that is read whole: findings of 500 requirements have one million."""
TOPICS: frozenset[str] = frozenset(get_args(Topic))
"""Topics whose statements a report must have; of others the log has other texts."""
MOST_NAMED = 10
"""Entries that are named of those that are missing."""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a report that is whole and unaltered."""

    asked: Asked
    origin: str
    size: int
    witnesses: tuple[str, ...]
    files: int
    statements: int
    in_period: int
    documents: int
    missing: tuple[int, ...] | None
    """Entries of statements whose text is not here; None where nobody can tell."""
    elsewhere: int
    """Statements of other topics, whose texts are no part of reports."""
    gaps: tuple[str, ...]
    """Things of which an earlier statement is not here."""


@click.command("verify", cls=Command)
@click.argument("file", metavar="FILE.zip", type=click.Path(path_type=Path))
@click.option(
    "--log-policy", type=click.Path(path_type=Path), required=True, help="Whom to believe (C2SP tlog-policy)."
)
@json_option
def verify(file: Path, log_policy: Path, json_mode: JsonMode | None) -> int:
    """Check a report offline: every digest, every proof, and whether anything is missing."""
    policy, output = parse_policy(bounded(log_policy, MAX_POLICY)), Output(json_mode)
    try:
        with file.open("rb") as opened:
            found = check(opened, policy)
    except OSError as error:
        raise BadInput(f"{shown_path(file)} cannot be read: {error.strerror}.") from error
    except VerificationFailed as error:
        raise error.about(shown_path(file)) from None
    asked = found.asked
    witnesses = ", ".join(found.witnesses) or "nobody"
    output.say(
        f"{printable(asked.service)}, {asked.first} to {asked.last}, as of {asked.as_of}",
        f"{mark(True)} {found.files} files are as listed, {found.documents} documents as stated",
        f"{mark(True)} {found.statements} statements, {found.in_period} of the period, are in the log "
        f"{printable(found.origin)} of {found.size} entries, witnessed by {witnesses}",
    )
    complete = _tell_of_missing(output, found)
    output.say("The verdicts are the service's own. This is not an audit opinion.")
    output.result(
        {"schema": "privyseal/report-verify/1", "verdict": "valid" if complete else "incomplete", **_facts(found)}
    )
    return 0 if complete else VerificationFailed.exit


def check(file: IO[bytes], policy: Policy) -> Checked:
    """Check a whole archive; VerificationFailed names the file that is not what it must be."""
    return _Check(file, policy).run()


def _tell_of_missing(output: Output, found: Checked) -> bool:
    for gap in found.gaps:
        output.warn(f"{mark(False)} an earlier statement is missing: {printable(gap)}")
    if found.missing is None:
        output.warn(f"{mark(None)} the log's entries are not here, so nobody can tell whether a statement was left out")
    elif found.missing:
        few = ", ".join(map(str, found.missing[:MOST_NAMED])) + (" ..." if len(found.missing) > MOST_NAMED else "")
        output.warn(f"{mark(False)} {len(found.missing)} statements of the log are missing here: entries {few}")
    elif not found.gaps:
        others = f"; {found.elsewhere} of other kinds are no part of reports" if found.elsewhere else ""
        output.say(f"{mark(True)} nothing is missing: the log has no further statement{others}")
    return not found.missing and not found.gaps


def _facts(found: Checked) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(found)
    return facts


class _Check:
    """One archive under a policy."""

    def __init__(self, file: IO[bytes], policy: Policy) -> None:
        self._file = file
        self._policy = policy
        self._members: dict[str, Member] = {each.name: each for each in archive.members(file)}

    def run(self) -> Checked:
        manifest = self._manifest()
        self._files(manifest)
        note = self._whole(papers.CHECKPOINT, MAX_NOTE)
        accepted = self._about(papers.CHECKPOINT, lambda: self._policy.check(note))
        head = accepted.checkpoint
        shown = (manifest.log.origin, manifest.log.size, manifest.log.root)
        if shown != (head.origin, head.size, head.root.hex()):
            raise VerificationFailed(f"{papers.MANIFEST} names another head of the log than {papers.CHECKPOINT} is.")
        stated = [self._statement(entry, note, head) for entry in manifest.statements]
        self._findings(manifest, stated)
        missing, elsewhere = self._missing(manifest, head, stated)
        return Checked(
            asked=manifest.asked,
            origin=head.origin,
            size=head.size,
            witnesses=accepted.witnesses,
            files=len(self._members),
            statements=len(stated),
            in_period=sum(in_period(each, manifest.asked) for each in stated),
            documents=self._documents(stated),
            missing=missing,
            elsewhere=elsewhere,
            gaps=tuple(_gaps(stated)),
        )

    def _manifest(self) -> Manifest:
        octets = self._whole(papers.MANIFEST, papers.MAX_MANIFEST)
        if self._whole(papers.MANIFEST_SUM, 1024) != papers.sum_line(octets):
            raise VerificationFailed(f"{papers.MANIFEST} does not have the SHA-256 that {papers.MANIFEST_SUM} gives.")
        return papers.read(papers.MANIFEST, octets, Manifest)

    def _files(self, manifest: Manifest) -> None:
        listed = {each.name: each for each in manifest.files}
        ours = set(self._members) - {papers.MANIFEST, papers.MANIFEST_SUM}
        for name in sorted(ours ^ set(listed)) or ():
            why = "is not in the list of the report's files" if name in ours else "is missing from the archive"
            raise VerificationFailed(f"{printable(name)} {why}.")
        for name, line in listed.items():
            if self._measured(self._members[name]) != (line.size, line.sha256):
                raise VerificationFailed(f"{name} was altered: it does not have the SHA-256 that the list gives.")

    def _measured(self, member: Member) -> tuple[int, str]:
        hashed = hashlib.sha256()
        for octets in archive.pieces_of(self._file, member):
            hashed.update(octets)
        return member.size, hashed.hexdigest()

    def _statement(self, entry: int, note: bytes, head: Checkpoint) -> Stated:
        name, proof_name = papers.statement_path(entry), papers.proof_path(entry)
        text = papers.read(name, self._whole(name, 4 * LARGEST_SAID), StatementFile)
        octets = self._whole(proof_name, MAX_PROOF)
        proof = self._about(proof_name, lambda: parse_proof(octets))
        leaf = proof.extra or b""
        logged = self._about(proof_name, lambda: decode(leaf))
        if proof.checkpoint != note or proof.index != entry:
            raise VerificationFailed(f"{proof_name} is of another entry, or under another head of the log.")
        if not merkle.verify_inclusion(merkle.leaf_hash(leaf), entry, head.size, proof.path, head.root):
            raise VerificationFailed(f"{proof_name} does not prove that its entry is in the log.")
        said = self._about(name, lambda: read_said(text.octets))
        salted = self._about(name, lambda: commit(text.salt, text.octets))
        about = said.matter.topic
        if logged != Statement(about=about, commitment=salted) or (text.entry, text.about, text.said) != (
            entry, about, said
        ):  # fmt: skip
            raise VerificationFailed(f"{name} is not what entry {entry} of the log commits to.")
        return Stated(said=said, octets=text.octets, salt=text.salt, entry=entry)

    def _findings(self, manifest: Manifest, stated: list[Stated]) -> None:
        """Check that the findings are about what the list says, and cite only what is proven."""
        report = papers.read(papers.FINDINGS, self._whole(papers.FINDINGS, LARGEST_FILE), Report)
        if report.asked != manifest.asked:
            raise VerificationFailed(f"{papers.FINDINGS} is about something else than {papers.MANIFEST} says.")
        said = {each.entry: each.said.matter for each in stated}
        for clause in report.clauses:
            for bearing in clause.evidence:
                matter = said.get(bearing.entry)
                if not isinstance(matter, Document) or matter.sha256 != bearing.sha256:
                    raise VerificationFailed(
                        f"{papers.FINDINGS} cites a document for {printable(clause.requirement)} that entry "
                        f"{bearing.entry} of the log does not state."
                    )
            for review in clause.reviews:
                if getattr(said.get(review.entry), "requirement", None) != clause.requirement:
                    raise VerificationFailed(
                        f"{papers.FINDINGS} cites a review of {printable(clause.requirement)} that entry "
                        f"{review.entry} of the log does not state."
                    )

    def _documents(self, stated: list[Stated]) -> int:
        """Check that each document is one that was stated, and has the digest it is named by."""
        known = {each.said.matter.sha256 for each in stated if isinstance(each.said.matter, Document)}
        found = [name for name in self._members if name.startswith("documents/")]
        for name in found:
            digest = name.removeprefix("documents/")
            if digest not in known or self._measured(self._members[name])[1] != digest:
                raise VerificationFailed(f"{name} is not a document that was stated.")
        return len(found)

    def _missing(
        self, manifest: Manifest, head: Checkpoint, stated: list[Stated]
    ) -> tuple[tuple[int, ...] | None, int]:
        """Compute the tree anew from all entries; return the statements that are not here, and how many others are."""
        if manifest.log.entries != (papers.ENTRIES in self._members):
            raise VerificationFailed(f"{papers.ENTRIES} is there, or missing, against what {papers.MANIFEST} says.")
        if not manifest.log.entries:
            return None, 0
        here, missing, elsewhere = {each.entry for each in stated}, [], 0
        state, batch = EMPTY, list[bytes]()
        for index, entry in enumerate(self._entries()):
            batch.append(entry)
            if len(batch) == 256:
                state, batch = append(state, batch)[0], []
            if index in here or b'"type":"statement"' not in entry:
                continue
            read = self._about(papers.ENTRIES, lambda entry=entry: decode(entry))
            if isinstance(read, Statement):
                elsewhere += read.about not in TOPICS
                missing += [index] if read.about in TOPICS else []
        state = append(state, batch)[0]
        if (state.size, state.head.root) != (head.size, head.root):
            raise VerificationFailed(f"{papers.ENTRIES} does not have the root that {papers.CHECKPOINT} is signed for.")
        return tuple(missing), elsewhere

    def _entries(self) -> Iterator[bytes]:
        """Yield every entry, holding no more than one piece of the file and one entry."""
        held = b""
        for octets in archive.pieces_of(self._file, self._members[papers.ENTRIES]):
            held += octets
            at = 0
            while len(held) - at >= 2:
                end = at + 2 + int.from_bytes(held[at : at + 2], "big")
                if end > len(held):
                    break
                yield held[at + 2 : end]
                at = end
            held = held[at:]
        if held:
            raise VerificationFailed(f"{papers.ENTRIES} is cut short.")

    def _whole(self, name: str, limit: int) -> bytes:
        if name not in self._members:
            raise VerificationFailed(f"{name} is missing from the archive.")
        return archive.octets_of(self._file, self._members[name], limit)

    def _about(self, name: str, read: Any) -> Any:
        """Do something with a file's octets; whatever is wrong with them is said of the file."""
        try:
            return read()
        except PrivySealError as error:
            raise VerificationFailed(f"{name}: {error.detail}") from None


def _gaps(stated: list[Stated]) -> Iterator[str]:
    """Name each thing whose statements do not count from 0 without gaps."""
    numbers: dict[tuple[str, str], list[int]] = {}
    for each in sorted(stated, key=lambda one: one.entry):
        numbers.setdefault(each.slot, []).append(each.said.number)
    for (subscriber, slot), counted in numbers.items():
        if counted != list(range(len(counted))):
            yield f"{slot} of {subscriber}"
