"""Where the inside of one file is signed: a private folder, what was unpacked into it, and what became of that."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType

import msgspec

from privyseal.cli import one_file, outcomes, pieces
from privyseal.cli.makers import Maker, Together, as_file_maker
from privyseal.cli.outcomes import InsideReport, Outcome
from privyseal.cli.pieces import Job, Made, Opened, Pending, Wishes
from privyseal.confirm import Expected
from privyseal.errors import BadInput, MalformedCode, PrivySealError, VerificationFailed
from privyseal.formats import inside, operations
from privyseal.formats.patch import Ahead
from privyseal.formats.protocol import EmbeddedSignature, Prepared, Problem, Source
from privyseal.formats.source import FileSource
from privyseal.terms.requests import MOST_DESCRIBED
from privyseal.terms.signatures import RECEIPT_SUFFIX, Options

MAX_SIGNED = 4096
"""Files inside one that are signed; the largest app packages have some hundred programs."""
_PIECE = 1 << 20


class Node:
    """Something inside that is to be signed, or that holds such things."""

    def __init__(self, path: str, shown: str, kind: str) -> None:
        """Stand for a file in the private folder; ``kind`` is the name of its format, or ``zip``."""
        self.path, self.shown, self.kind = path, shown, kind
        self.children: dict[int, Node] = {}

    @property
    def height(self) -> int:
        """0 for what holds nothing that is to be signed, else one more than the highest of those."""
        return 1 + max((each.height for each in self.children.values()), default=-1)

    @property
    def signable(self) -> bool:
        """Tell whether it is signed itself, once what is inside is done."""
        return self.kind != "zip"

    def opened(self) -> FileSource:
        """Open it under the name that it has in its container."""
        code = FileSource.open(self.path)
        code.filename = inside.last_of(self.shown)
        return code

    def all(self) -> Iterator[Node]:
        """Yield it, and everything inside it."""
        yield self
        for each in self.children.values():
            yield from each.all()


class Ended(Exception):
    """Something inside was not signed, or waits for people; then the whole file does."""

    def __init__(self, node: Node, end: PrivySealError | Pending) -> None:
        """Say what, and how it ended."""
        super().__init__(node.shown)
        self.node, self.end = node, end


def outcome_of(end: Ended, job: Job, kind: str) -> Outcome:
    """Tell of a file of which something inside was not signed, or waits for people."""
    if isinstance(end.end, Pending):
        outcome = outcomes.waiting(job, kind, end.end.request)
        return msgspec.structs.replace(outcome, words=f"what is inside {outcome.words}")
    return outcomes.failed(job, end.end.about(f"{end.node.shown}, inside it"))


class _Known(msgspec.Struct, frozen=True):
    """What is to be signed with others: the file was read, and is closed again."""

    node: Node
    opened: Opened
    prepared: Prepared


def _batches(some: Sequence[_Known]) -> Iterator[list[_Known]]:
    """Yield as many at a time as one request describes; some files have several descriptions."""
    batch: list[_Known] = []
    count = 0
    for one in some:
        if batch and count + len(one.prepared.described) > MOST_DESCRIBED:
            yield batch
            batch, count = [], 0
        batch.append(one)
        count += len(one.prepared.described)
    if batch:
        yield batch


class Workshop:
    """The private folder in which one file's inside is signed, and what is known of it."""

    def __init__(self, maker: Maker, wishes: Wishes) -> None:
        """Sign with ``maker`` as is wished for the outermost file."""
        import tempfile

        self.maker = maker
        self.wishes = wishes
        self._folder = tempfile.TemporaryDirectory(prefix="privyseal-inside-")  # mode 0700
        self._count = 0
        self._allowance = inside.Allowance(inside.UNPACKED)
        self._receipts: dict[str, str] = {}
        self._signed: list[str] = []
        self._left: list[Problem] = []

    def __enter__(self) -> Workshop:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the folder away, with all that is in it."""
        self._folder.cleanup()

    def report(self, receipts: Iterable[str]) -> InsideReport:
        """Say what was signed, and what was left."""
        return InsideReport(signed=tuple(self._signed), left=tuple(self._left), receipts=tuple(receipts))

    def new_path(self) -> str:
        """Return where the next file goes."""
        self._count += 1
        return os.path.join(self._folder.name, f"{self._count:06}")

    # -- 1: looking ----------------------------------------------------------------------------------------------------
    def collect(self, container: inside.Holder, within: str = "", depth: int = 1) -> dict[int, Node]:
        """Unpack what is to be signed, by its number; ``Spent`` where that is more than is allowed."""
        container.spend = self._allowance.take
        found: dict[int, Node] = {}
        for number, member in enumerate(container.members):
            self._allowance.member()
            shown = within + inside.printable(member.text)
            with inside.Unpacked(container.octets(number), member.size, inside.last_of(shown)) as code:
                try:
                    node = self._node(code, shown, depth)
                except MalformedCode as error:
                    self._left.append(Problem(error.code, error.detail))
                    continue
            if node is not None:
                found[number] = node
                if self._count > MAX_SIGNED:
                    raise inside.Spent(f"More than {MAX_SIGNED} files inside are to be signed.")
        return found

    def _node(self, code: inside.Unpacked, shown: str, depth: int) -> Node | None:
        kind = inside.kind_of(code)
        if kind in inside.OVER_NEIGHBOURS:
            raise BadInput(
                f"{shown} holds digests of the files beside it, which change when they are signed.",
                hint="sign those files, then make and sign this one, then pack them",
            )
        if kind is None or (kind != "zip" and inside.carries_signature(kind, code)):
            return None
        node = Node(self.new_path(), shown, kind)
        _write(code, node.path)
        if kind in inside.CONTAINERS:
            if depth >= inside.MAX_DEPTH:
                raise inside.Spent(f"More than {inside.MAX_DEPTH} containers are in each other.")
            with node.opened() as inner:
                node.children = self.collect(inside.CONTAINERS[kind](inner, None), f"{shown}!", depth + 1)
        if node.signable or node.children:
            return node
        os.unlink(node.path)
        return None

    # -- 2: from the inside out ----------------------------------------------------------------------------------------
    def sign(self, nodes: Iterable[Node]) -> None:
        """Sign all of them and what is in them; Ended with the first that is not signed."""
        every = [one for each in nodes for one in each.all()]
        for height in range(1 + max(one.height for one in every)):
            level = [one for one in every if one.height == height]
            for one in level:
                if one.children:
                    with one.opened() as code:
                        one.path = self.rebuilt(inside.CONTAINERS[one.kind](code, None), one.kind, one.children)
            self._sign_level([one for one in level if one.signable])

    def _sign_level(self, nodes: Sequence[Node]) -> None:
        contents = [_sha256(one.path) for one in nodes]
        once = dict(zip(contents, nodes, strict=True))  # what is the same is of the same height
        todo = list(once.values())
        if isinstance(self.maker, Together) and as_file_maker(self.maker) is None:
            for first in range(0, len(todo), MOST_DESCRIBED):
                self._together(self.maker, todo[first : first + MOST_DESCRIBED])
        else:
            for one in todo:
                self._alone(one)
        signed = {content: _signed_path(one) for content, one in once.items()}
        for content, one in zip(contents, nodes, strict=True):
            one.path = signed[content]
            self._signed.append(one.shown)

    def _alone(self, node: Node) -> None:
        """Sign one, as any file is signed."""
        job = Job(node.path, _signed_path(node))
        try:
            with node.opened() as code:
                outcome = one_file.sign(pieces.open_piece(code), job, self.maker, self.wishes, _nobody)
        except PrivySealError as error:
            raise Ended(node, error) from error
        if outcome.end is not None:
            raise Ended(node, outcome.end)
        self._keep(job, outcome.report.request)

    def _together(self, maker: Together, nodes: Sequence[Node]) -> None:
        """Describe several, and have those with the same options signed by one request.

        Each is open only while it is read: there may be as many in sixteen files at once.
        """
        by_options: dict[Options, list[_Known]] = {}  # not every format has a place for every wish
        node = nodes[0]
        try:
            for node in nodes:
                with node.opened() as code:
                    opened = pieces.open_piece(code)
                    options = operations.fitting(opened.format, self.wishes.options)
                    prepared = pieces.prepare(opened, self.maker.identity, options, self.wishes.digest, _nobody)
                by_options.setdefault(options, []).append(_Known(node, opened, prepared))
        except PrivySealError as error:
            raise Ended(node, error) from error
        for options, some in by_options.items():
            for batch in _batches(some):
                self._asked_together(maker, batch, options)

    def _asked_together(self, maker: Together, some: Sequence[_Known], options: Options) -> None:
        """Sign those that have the same options; Ended with the one that could not be."""
        node = some[0].node
        try:
            made = maker.make_together([one.prepared for one in some], options, again=self.wishes.again)
            if isinstance(made, Pending):
                raise Ended(node, made)
            for one, its in zip(some, made, strict=True):
                node = one.node
                job = Job(node.path, _signed_path(node))
                expected = Expected(
                    blobs=its.blobs,
                    prepared=one.prepared,
                    certificate=self.maker.identity.chain[0],
                    timestamped=options.timestamp,
                    known_problems=frozenset(),
                )
                with node.opened() as code:
                    self._put_back(msgspec.structs.replace(one.opened, code=code), job, options, expected, its)
                self._keep(job, its.request)
        except PrivySealError as error:
            raise Ended(node, error) from error

    # What is written, and what it is checked against.
    def _put_back(self, opened: Opened, job: Job, options: Options, expected: Expected, made: Made) -> None:
        def then(found: Sequence[EmbeddedSignature]) -> None:
            for each in found:
                self.maker.accept(made, each, job)

        with Ahead(opened.code, job.out, opened.examined.layout.shift) as draft:
            pieces.put_back(opened, draft, options, expected, _nobody, then)

    def _keep(self, job: Job, request: str | None) -> None:
        """Remember the receipt of a request, which was written beside the file that was signed."""
        if request is not None and os.path.exists(job.receipt):
            with open(job.receipt, encoding="utf-8") as file:
                self._receipts.setdefault(request, file.read())

    def rebuilt(self, container: inside.Container, kind: str, replaced: dict[int, Node]) -> str:
        """Make a container anew, check that it holds what it should, and return where it is."""
        path = self.new_path()
        with open(path, "x+b") as out:
            container.rebuild({number: _OnDisk(each) for number, each in replaced.items()}, out)
        with FileSource.open(path) as code:
            anew = inside.CONTAINERS[kind](code, None)
            same = len(anew.members) == len(container.members)
            for number in range(len(container.members) if same else 0):
                if number in replaced:
                    same = same and _sha256_of(anew.octets(number)) == _sha256(replaced[number].path)
                else:
                    same = same and container.unchanged(number, anew)
        if not same:
            raise VerificationFailed(
                "What was packed again is not what was inside.", hint="the file is as it was; please report this"
            )
        return path

    # -- 3: outside ----------------------------------------------------------------------------------------------------
    def write_receipts(self, job: Job, *, keep: bool = False) -> list[str]:
        """Write the receipts beside that of the outermost file, and return where.

        With ``keep`` not over those that an earlier run wrote: the files that it signed are still there.
        """
        stem = job.receipt.removesuffix(RECEIPT_SUFFIX)
        written: list[str] = []
        numbers = itertools.count(1)
        for text in self._receipts.values():
            paths = (f"{stem}.inside-{number}{RECEIPT_SUFFIX}" for number in numbers)
            written.append(next(path for path in paths if not (keep and os.path.exists(path))))
            pieces.write_receipt(written[-1], text)
        return written


class _OnDisk:
    """A file of the private folder as a source; it is open only while it is read, as there may be thousands."""

    def __init__(self, node: Node) -> None:
        self._path = node.path
        self.size = os.stat(node.path).st_size
        self.filename = inside.last_of(node.shown)

    def pread(self, offset: int, count: int) -> bytes:
        """Return exactly these octets."""
        with FileSource.open(self._path) as code:
            return code.pread(offset, count)

    def readinto(self, offset: int, buffer: memoryview) -> int:
        """Fill a buffer."""
        with FileSource.open(self._path) as code:
            return code.readinto(offset, buffer)


def _nobody(_octets: int) -> None:
    """Hear of octets, and tell nobody: the progress bar knows the outermost files only."""


def _signed_path(node: Node) -> str:
    return f"{node.path}.signed"


def _write(code: Source, path: str) -> None:
    with open(path, "xb") as file:
        for at in range(0, code.size, _PIECE):
            file.write(code.pread(at, min(_PIECE, code.size - at)))


def _sha256(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _sha256_of(pieces_of_it: Iterable[bytes]) -> bytes:
    hashed = hashlib.sha256()
    for piece in pieces_of_it:
        hashed.update(piece)
    return hashed.digest()
