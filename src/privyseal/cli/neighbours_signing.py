"""``sign --inside sign`` of a ClickOnce manifest: the files that it names first, then their hashes in it, then itself.

A deployment names an application's manifest, which names the files; all three heights are done in one run:

1. What the manifests name is looked for; what is missing, or leads elsewhere, refuses the whole. What can be signed and
   carries no signature is copied into a private folder (:mod:`inside_workshop`) and signed there.
2. The application's manifest is written anew with sizes and SHA-256 hashes that hold, and signed; then the deployment
   with those of that manifest, and with the strong name that signing put into it, as ``mage -update`` does.
3. Only then are files put in their places: the application's, its manifest, the deployment. Each is written whole.

Between those a run can be cut off. Then some files are signed, and a manifest still states what they were; run again,
it leaves the signed ones alone and makes the hashes hold. What carries a signature, good or not, is left alone whatever
``--if-signed`` says: that is about the manifests.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import msgspec

from privyseal.cli import neighbours, one_file, pieces
from privyseal.cli.inside_workshop import Ended, Node, Workshop, outcome_of
from privyseal.cli.makers import Maker
from privyseal.cli.neighbours import Folder, Neighbour, Neighbours, Survey
from privyseal.cli.outcomes import Outcome
from privyseal.cli.output import path_text
from privyseal.cli.pieces import Counted, Job, Opened, Wishes
from privyseal.errors import BadInput, VerificationFailed
from privyseal.formats import clickonce_files, operations
from privyseal.formats.clickonce_manifest import ClickOnceLayout, identity_of
from privyseal.formats.clickonce_manifest import read as read_manifest
from privyseal.formats.inside import printable
from privyseal.formats.patch import carry_out, settle
from privyseal.formats.source import FileSource

KIND = "clickonce"
"""The format whose files this is about."""


class _Manifest:
    """A manifest on its way, with the files that it names."""

    def __init__(self, shown: str, opened: Opened, found: Survey, *, anew: bool) -> None:
        layout = opened.examined.layout
        assert isinstance(layout, ClickOnceLayout)  # noqa: S101 - it is of that format
        self.shown, self.opened, self.layout, self.anew = shown, opened, layout, anew
        self.files = found.present
        self.nodes: dict[int, Node] = {}
        """What is signed of the files, by their number."""
        self.before: dict[int, bytes] = {}
        """What those hashed to."""
        self.application: tuple[int, _Manifest] | None = None
        """Of a deployment: the number of the application's manifest."""
        self.made: str | None = None
        """Where it is, in the private folder, once it was written anew; None while it is as it was."""
        if found.astray or found.missing:
            more = len(found.astray) + len(found.missing) - 1
            what = found.astray[0] if found.astray else f"{printable(found.missing[0])} is missing."
            also = f" So it is with {more} more." * bool(more)
            raise BadInput(f"{printable(shown)} names files that are not there: {what}{also}")


def sign_with_neighbours(job: Job, maker: Maker, wishes: Wishes, counted: Counted) -> Outcome | None:
    """Sign the files that a manifest names, then the manifest; None where only it is to be signed, as any file."""
    path = os.path.realpath(job.path)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(Folder(os.path.dirname(path)))
        folder.lock()
        out = folder if job.in_place else stack.enter_context(Folder(os.path.dirname(os.path.realpath(job.out))))
        if not job.in_place and out.is_same(folder):
            raise BadInput(
                "The files beside a manifest can be signed for one manifest only, and another name was asked for.",
                hint="sign it in place, or write into another folder",
            )
        code = stack.enter_context(FileSource.open(path))
        opened = pieces.open_piece(code)
        if not one_file.is_signed_anew(opened, maker, wishes):
            return None
        shop = stack.enter_context(Workshop(maker, wishes))
        top = _surveyed(opened, folder, shop, stack)
        _refuse_what_meets(top, {os.path.basename(path), os.path.basename(os.path.realpath(job.out))})
        for each in _heights(top):
            if each.anew:
                _take(each, folder, shop)
        _try(top, shop)
        try:
            if nodes := [node for each in _heights(top) for node in each.nodes.values()]:
                shop.sign(nodes)
            anew = _written_anew(top, folder, shop)
            if job.in_place and not anew:
                return None
            return _finished(job, top, folder, out, shop, counted)
        except Ended as ended:
            return outcome_of(ended, job, KIND)


def _heights(top: _Manifest) -> Iterator[_Manifest]:
    """Yield the manifests, the application's first."""
    if top.application is not None:
        yield top.application[1]
    yield top


# -- 1: looking --------------------------------------------------------------------------------------------------------
def _surveyed(opened: Opened, folder: Folder, shop: Workshop, stack: contextlib.ExitStack) -> _Manifest:
    """Find what both manifests name; BadInput where something is not there."""
    layout = opened.examined.layout
    assert isinstance(layout, ClickOnceLayout)  # noqa: S101 - it is of that format
    top = _Manifest(opened.code.filename, opened, found := neighbours.survey(folder, layout), anew=True)
    if layout.kind == "deployment":
        named = neighbours.application_of(folder, layout, found)
        if len(named) != 1:
            raise BadInput(f"{top.shown} names {len(named)} application manifests that can be read; 1 was expected.")
        number = found.present.index(named[0][0])
        application = _application(top, named[0][0], folder, shop, stack)
        top.application = number, application
        top.before[number] = neighbours.sha256(application.opened.code)
    return top


def _application(
    top: _Manifest, one: Neighbour, folder: Folder, shop: Workshop, stack: contextlib.ExitStack
) -> _Manifest:
    """Open the application's manifest; what somebody else signed is refused or left as ``--if-signed`` says."""
    below = os.path.dirname(one.path)
    folder.lock(below)
    opened = pieces.open_piece(stack.enter_context(folder.open(one.path)))
    its = opened.examined.layout
    if opened.format.name != KIND or not isinstance(its, ClickOnceLayout):
        raise BadInput(f"{printable(one.text)} is no manifest of an application.")
    anew = one_file.is_signed_anew(opened, shop.maker, shop.wishes)
    found = neighbours.survey(folder, its, below, mapped=clickonce_files.maps_extensions(top.layout))
    return _Manifest(one.text, opened, found, anew=anew)


def _take(manifest: _Manifest, folder: Folder, shop: Workshop) -> None:
    """Copy what is to be signed of one manifest's files into the private folder."""
    chosen = []
    apart = None if manifest.application is None else manifest.application[0]
    for number, one in enumerate(manifest.files):
        # The manifest of a library looks like one of ClickOnce, and is data; what is signed is left alone.
        plain = one.text.lower().endswith(".manifest")
        layout = neighbours.manifest_in(folder, one) if plain else None
        if number != apart and (not plain or (layout is not None and not layout.carries_signature)):
            chosen.append(number)
    found = shop.collect(Neighbours(folder, tuple(manifest.files[number] for number in chosen)))
    manifest.nodes = {chosen[at]: node for at, node in found.items()}
    for number, node in manifest.nodes.items():
        with FileSource.open(node.path) as code:
            manifest.before[number] = neighbours.sha256(code)


def _refuse_what_meets(top: _Manifest, names: set[str]) -> None:
    """Refuse with BadInput where one file is named twice, or a manifest names one of the manifests; Windows does not
    tell upper from lower case."""
    seen = {name.casefold() for name in names}
    for each in _heights(top):
        for one in each.files:
            path = one.path.casefold()
            if path in seen:
                raise BadInput(f"{each.shown} names the file {printable(one.text)}, which stands for another already.")
            seen.add(path)


def _try(top: _Manifest, shop: Workshop) -> None:
    """Refuse with BadInput, before anything is signed, what would be refused afterwards."""
    for each in _heights(top):
        if not each.anew:
            continue
        numbers = [*each.nodes, *(() if each.application is None else (each.application[0],))]
        clickonce_files.rehashed(each.layout, {_path_of(each.files[n]): (0, bytes(32)) for n in numbers})
        options = operations.fitting(each.opened.format, shop.wishes.options)
        pieces.prepare(each.opened, shop.maker.identity, options, shop.wishes.digest, lambda _octets: None)


def _path_of(one: Neighbour) -> str:
    assert one.named.path is not None  # noqa: S101 - it was found by it
    return one.named.path


# -- 2: from the files to the deployment -------------------------------------------------------------------------------
def _written_anew(top: _Manifest, folder: Folder, shop: Workshop) -> bool:
    """Write both manifests anew where they do not hold, sign that of the application, and tell whether one was."""
    tokens: dict[str, str] = {}
    if top.application is not None:
        number, application = top.application
        wanted = _is_wanted(application, shop)
        if application.anew and (_write(application, {}, folder, shop) or wanted):
            node = Node(application.made or _copy(application, shop), application.shown, KIND)
            shop.sign([node])
            application.made = node.path
        one = top.files[number]
        with _manifest_now(application) as code:
            token = identity_of(read_manifest(code, KIND)).get("publicKeyToken", "")
        if not one.named.token_is(token):
            tokens[_path_of(one)] = token
    written = _write(top, tokens, folder, shop)
    return written or any(each.made is not None or each.nodes for each in _heights(top))


def _is_wanted(manifest: _Manifest, shop: Workshop) -> bool:
    """Tell whether a manifest is to be signed though it holds."""
    return one_file.decided(manifest.opened, shop.maker, shop.wishes).action == "sign"


def _manifest_now(manifest: _Manifest) -> contextlib.AbstractContextManager[FileSource]:
    """Return a manifest as it will be, to be read."""
    if manifest.made is None:
        return contextlib.nullcontext(manifest.opened.code)
    return FileSource.open(manifest.made)


def _copy(manifest: _Manifest, shop: Workshop) -> str:
    path = shop.new_path()
    carry_out(clickonce_files.rehashed(manifest.layout, {}), manifest.opened.code, path)
    return path


def _write(manifest: _Manifest, tokens: dict[str, str], folder: Folder, shop: Workshop) -> bool:
    """Write a manifest with sizes, hashes and strong names that hold, check it, and tell whether it is another one."""
    now: dict[str, tuple[int, bytes]] = {}
    for number, one in enumerate(manifest.files):
        with _file_now(manifest, number, folder) as code:
            size, digest = code.size, neighbours.sha256(code)
            named = one.named
            kept = number not in manifest.nodes and named.size == size
            # Where no hash is stated there is none to hold; SHA-1 is taken away even where it would hold.
            if not (kept and named.algorithm is None) and (named.size, named.digest) != (size, digest):
                now[_path_of(one)] = size, digest
    if not now and not tokens:
        return False
    manifest.made = shop.new_path()
    carry_out(clickonce_files.rehashed(manifest.layout, now, tokens), manifest.opened.code, manifest.made)
    with FileSource.open(manifest.made) as code:
        stated = {one.path: one for one in clickonce_files.files(read_manifest(code, KIND))}
    for path, (size, digest) in now.items():
        if (stated[path].size, stated[path].algorithm, stated[path].digest) != (size, "sha256", digest):
            raise VerificationFailed(f"{manifest.shown} could not be made to hold.", hint="please report this")
    return True


@contextlib.contextmanager
def _file_now(manifest: _Manifest, number: int, folder: Folder) -> Iterator[FileSource]:
    """Open a file as it will be: from the private folder where it was signed, else where it is."""
    one = manifest.files[number]
    its = manifest.application
    made = its[1].made if its is not None and its[0] == number else None
    if number in manifest.nodes:
        made = manifest.nodes[number].path
    with folder.open(one.path) if made is None else FileSource.open(made) as code:
        code.filename, code.mode = os.path.basename(one.path), one.mode
        yield code


# -- 3: outside --------------------------------------------------------------------------------------------------------
# What the last step is made of.
def _finished(job: Job, top: _Manifest, folder: Folder, out: Folder, shop: Workshop, counted: Counted) -> Outcome:
    """Sign the outermost manifest in the private folder, then put everything in its place, that manifest last."""
    whole = top.made or _copy(top, shop)
    inner = Job(whole, f"{whole}.signed")
    wishes = msgspec.structs.replace(shop.wishes, if_signed="replace")  # that it may be was decided before
    with FileSource.open(whole) as anew:
        anew.filename, anew.mode = top.opened.code.filename, top.opened.code.mode
        outcome = one_file.sign(pieces.open_piece(anew), inner, shop.maker, wishes, counted)
    receipt = path_text(job.receipt) if outcome.report.receipt is not None else None
    report = msgspec.structs.replace(outcome.report, path=path_text(job.path), receipt=receipt)
    if outcome.end is not None:
        return msgspec.structs.replace(outcome, report=report)
    receipts = shop.write_receipts(job, keep=True)
    put: list[str] = []
    try:
        for each in _heights(top):
            for number in range(len(each.files)):
                if not job.in_place or number in each.nodes or _is_application_anew(each, number):
                    put.append(_put(each, number, folder, out))
        settle(put)  # or after a power cut the manifest could be there, and a file not
        if receipt is not None:
            with open(inner.receipt, encoding="utf-8") as file:
                pieces.write_receipt(job.receipt, file.read())
        with FileSource.open(inner.out) as signed:
            signed.mode = top.opened.code.mode
            out.put(os.path.basename(os.path.realpath(job.out)), signed, neighbours.sha256(signed))
    except BaseException:
        if not put:
            for path in receipts:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        raise
    report = msgspec.structs.replace(report, output=path_text(job.out), inside=shop.report(map(path_text, receipts)))
    return msgspec.structs.replace(outcome, report=report)


def _is_application_anew(manifest: _Manifest, number: int) -> bool:
    its = manifest.application
    return its is not None and its[0] == number and its[1].made is not None


def _put(manifest: _Manifest, number: int, folder: Folder, out: Folder) -> str:
    """Put a file in its place; BadInput where it is no longer what was signed."""
    one = manifest.files[number]
    if number in manifest.before:  # it is signed, or signed anew
        with folder.open(one.path) as there:
            if neighbours.sha256(there) != manifest.before[number]:
                raise BadInput(f"{printable(one.text)} changed while it was signed.", hint="run it again")
    with _file_now(manifest, number, folder) as code:
        return out.put(one.path, code, neighbours.sha256(code))
