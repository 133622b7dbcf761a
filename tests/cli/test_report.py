"""A report on a whole service: made twice the same, checked with the log's key alone, and no edit goes unseen."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from tests.world import SUBSCRIBER, World, found

from privyseal.cli import report as made
from privyseal.cli import report_manifest as papers
from privyseal.cli.main import run
from privyseal.cli.report_archive import members, octets_of, write
from privyseal.cli.report_manifest import Manifest, StatementFile
from privyseal.cli.report_verify import check
from privyseal.compliance.statements import AuditPeriod, Document, Matter, Review
from privyseal.compliance.statements_of_verdicts import Found
from privyseal.errors import PrivySealError, TooLarge, VerificationFailed
from privyseal.records.samples import Signature
from privyseal.signing import paper
from privyseal.terms.canonical import canonical_json
from privyseal.terms.parties import Actor, Factor, Member, Role
from privyseal.tlog.entry import Statement, StatementSubmission, commit, encode
from privyseal.tlog.policy import parse_policy
from privyseal.tlog.proof import TlogProof, format_proof, parse_proof

ADMINISTRATOR = Actor(Member("M-admin", SUBSCRIBER, "admin", (Role.ADMINISTRATOR,)), (Factor.BEARER,))
OCTETS = b"the auditor's report"
SHA256 = hashlib.sha256(OCTETS).hexdigest()
DOCUMENT = Document(sha256=SHA256, size=len(OCTETS), filename="r.pdf", kind="audit-report", issuer="Auditor")
FOUND = Found(kind="key-pair", subject="release", requirement="CSBR-6.7-01", verdict="not-met", text="A sentence.")
REVIEW = Review(document=SHA256, requirement="CSBR-6.7-01", verdict="met", note="Page 3.")


def _period(world: World) -> str:
    return f"{world.now.date() - timedelta(days=30)}/{world.now.date()}"


def _state(world: World, *matters: Matter) -> None:
    for each in matters:
        paper.state(world.seal, ADMINISTRATOR, SUBSCRIBER, each)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service that signed and in which things were stated, some of them twice."""
    folder = tmp_path_factory.mktemp("report")
    world = World(found(folder / "seal"), folder / "world")
    world.ask([world.client(number) for number in range(5)])
    draft = paper.draft(world.seal, ADMINISTRATOR, SUBSCRIBER, SHA256)
    assert draft is not None
    with draft:
        draft.append(OCTETS)
        draft.keep()
    period = AuditPeriod(scheme="WebTrust", start=date(2025, 4, 1), end=date(2026, 3, 31), auditor="Auditor")
    _state(world, DOCUMENT, REVIEW, period, msgspec.structs.replace(period, auditor="Another"))
    world.ask([world.client(9)])
    yield world
    world.discard()


def _run(*arguments: object) -> Result:
    done = CliRunner().invoke(made.report, [str(each) for each in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def _made(world: World, out: Path, *more: object) -> Path:
    _run("--dir", world.directory, "--period", _period(world), "--out", out, *more)
    return out


@pytest.fixture(scope="module")
def archive(told: World, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("made") / "evidence.zip"
    return _made(told, out, "--with-documents").read_bytes()


def _files(octets: bytes) -> dict[str, bytes]:
    file = io.BytesIO(octets)
    return {each.name: octets_of(file, each, 1 << 30) for each in members(file)}


def _packed(files: dict[str, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    write(file, files)
    return file


def _relisted(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files with a list that fits them: what somebody does who edits with care."""
    others = {name: octets for name, octets in files.items() if not name.startswith("manifest")}
    manifest = msgspec.json.decode(files[papers.MANIFEST], type=Manifest)
    lines = tuple(
        papers.FileLine(name=name, size=len(octets), sha256=hashlib.sha256(octets).hexdigest())
        for name, octets in sorted(others.items())
    )
    octets = papers.readable(msgspec.structs.replace(manifest, files=lines))
    return others | {papers.MANIFEST: octets, papers.MANIFEST_SUM: papers.sum_line(octets)}


def test_a_report_is_the_same_twice_and_whole(told: World, archive: bytes, tmp_path: Path) -> None:
    """To the octet; and the check finds everything, nothing missing."""
    again = _made(told, tmp_path / "again.zip", "--with-documents").read_bytes()
    assert again == archive
    found = check(io.BytesIO(archive), told.policy())
    assert (found.statements, found.in_period, found.documents) == (_founded(told) + 4, _founded(told) + 4, 1)
    assert (found.missing, found.gaps, found.elsewhere) == ((), (), 0)
    assert found.size == told.checkpoint().size
    assert len(found.asked.service) > 0 and "compliant" not in _files(archive)[papers.HTML].decode().lower()
    assert b"not an audit opinion" in _files(archive)[papers.README]


def test_what_is_said_of_it_fits_into_80_columns(told: World, tmp_path: Path) -> None:
    """But for the line with the file's name, which is never cut."""
    said = _run("--dir", told.directory, "--period", _period(told), "--out", tmp_path / "r.zip").stderr.splitlines()
    assert [len(line) for line in said[1:] if len(line) > 80] == []
    assert "audit opinion" in " ".join(said)


def test_an_earlier_report_can_be_made_again(told: World, tmp_path: Path) -> None:
    """Under the head that it was made under, after more was signed and stated."""
    world = World(told.directory, tmp_path / "later")
    first = _made(world, tmp_path / "first.zip").read_bytes()
    head = tmp_path / "checkpoint"
    head.write_bytes(_files(first)[papers.CHECKPOINT])
    world.ask([world.client(20)])
    _state(world, msgspec.structs.replace(DOCUMENT, issuer="Another"))
    assert _made(world, tmp_path / "second.zip").read_bytes() != first
    assert _made(world, tmp_path / "third.zip", "--checkpoint", head).read_bytes() == first
    world.discard()


def _clauses(octets: bytes) -> dict[str, Any]:
    return {each["requirement"]: each for each in json.loads(_files(octets)[papers.FINDINGS])["clauses"]}


def _sentences(octets: bytes, requirement: str) -> list[tuple[str, str, int]]:
    told = _clauses(octets)[requirement]["sentences"]
    return [(each["subject"], each["verdict"], each["number"]) for each in told]


def test_signatures_key_pairs_and_the_rest_are_reported_on(tmp_path: Path) -> None:
    """Three files signed with a rehearsal key and a token alone: 6.2.7.3 says so of three; and again, to the octet."""
    world = World(found(tmp_path / "seal"), tmp_path / "world")
    world.ask([world.client(number) for number in range(3)])
    octets = _made(world, tmp_path / "r.zip").read_bytes()
    (tokens,) = _sentences(octets, "CSBR-6.2.7.3-02")
    assert tokens[0].startswith(f"{SUBSCRIBER}/release, R-") and tokens[1:] == ("not-met", 3)
    assert _clauses(octets)["CSBR-6.2.7.3-02"]["counts"] == {"not-met": 3}
    assert _sentences(octets, "CSBR-6.2.7.3-03") == [(f"{SUBSCRIBER}/release", "not-met", 1)]
    assert _sentences(octets, "CSBR-8.4.2-01") == [("none declared", "not-evidenced", 1)]
    assert _sentences(octets, "CSBR-6.8-04") == [("timestamp authority", "not-evidenced", 1)]
    assert _sentences(octets, "HOUSE-5.4.3-01") == [("log", "not-evidenced", 1)]  # nobody is asked, so nobody can tell
    assert not [each for each in _clauses(octets).values() if "broken" in each["counts"]]
    head = tmp_path / "checkpoint"
    head.write_bytes(_files(octets)[papers.CHECKPOINT])
    world.now += timedelta(minutes=1)
    world.ask([world.client(3)])
    assert _made(world, tmp_path / "again.zip", "--checkpoint", head).read_bytes() == octets
    assert _sentences(_made(world, tmp_path / "more.zip").read_bytes(), "CSBR-6.2.7.3-02")[0][2] == 4
    world.discard()


def test_signatures_of_other_days_are_not_counted(told: World, tmp_path: Path) -> None:
    """The period decides, by when they were released; keys are judged on the day reported for."""
    today, out = told.now.date(), tmp_path / "r.zip"
    for first, last, number in ((today, today, 6), (today - timedelta(days=9), today - timedelta(days=1), 0)):
        _run("--dir", told.directory, "--period", f"{first}/{last}", "--as-of", today, "--out", out)
        clauses = _clauses(out.read_bytes())
        assert sum(clauses["CSBR-6.2.7.3-02"]["counts"].values()) == number
        assert clauses["CSBR-6.2.7.3-03"]["counts"] == {"not-met": 1}


def test_what_was_stated_is_known(told: World, archive: bytes, tmp_path: Path) -> None:
    """A review counts for its requirement; an audit period that was declared is judged where the period meets it."""
    assert _clauses(archive)["CSBR-6.7-01"]["verdict"] == "met"
    assert _sentences(archive, "CSBR-8.4.2-01")[0][0] == "none declared"
    _run("--dir", told.directory, "--period", f"2026-03-31/{told.now.date()}", "--out", tmp_path / "r.zip")
    octets = (tmp_path / "r.zip").read_bytes()
    assert _sentences(octets, "CSBR-8.4.2-01")[0][0] == "2025-04-01 to 2026-03-31"


def test_every_file_that_is_altered_is_named(told: World, archive: bytes) -> None:
    """One octet in each file, first, middle and last, under checksums of ZIP that fit: exit 3, and its name."""
    files, policy = _files(archive), told.policy()
    for name, octets in files.items():
        for at in {0, len(octets) // 2, len(octets) - 1}:
            altered = bytearray(octets)
            altered[at] ^= 1
            with pytest.raises(VerificationFailed, match=name.replace(".", r"\.")) as refused:
                check(_packed(files | {name: bytes(altered)}), policy)
            assert refused.value.exit == 3


def test_no_octet_of_the_file_can_be_altered(told: World, archive: bytes) -> None:
    """Some hundred octets wherever they are, in the archive as it lies on a disk."""
    for at in range(0, len(archive), len(archive) // 150):
        altered = bytearray(archive)
        altered[at] ^= 0x20
        with pytest.raises(PrivySealError):
            check(io.BytesIO(bytes(altered)), told.policy())


def test_a_file_more_or_less_is_named(told: World, archive: bytes) -> None:
    files, policy = _files(archive), told.policy()
    for name in files:
        with pytest.raises(VerificationFailed, match=name.replace(".", r"\.")):
            check(_packed({each: octets for each, octets in files.items() if each != name}), policy)
    with pytest.raises(VerificationFailed, match=r"more\.json is not in the list"):
        check(_packed(files | {"more.json": b"{}"}), policy)


def _founded(world: World) -> int:
    """Count what the service stated itself when it was founded."""
    return sum(b'"type":"statement"' in each for each in world.entries()) - 4


def test_an_administrative_act_that_was_left_out_is_missed(told: World, archive: bytes) -> None:
    """Like everything that is stated: the log tells, and so do the numbers of the acts around it."""
    files = _files(archive)
    entries = msgspec.json.decode(files[papers.MANIFEST], type=Manifest).statements
    act = next(each for each in entries if b'"administered"' in files[papers.statement_path(each)])
    found = check(_packed(_drop_statement(files, act)), told.policy())
    assert (found.missing, found.gaps) == ((act,), (f"administration of {SUBSCRIBER}",))


def _drop_statement(files: dict[str, bytes], entry: int) -> dict[str, bytes]:
    """Leave a statement out of everything that lists it."""
    manifest = msgspec.json.decode(files[papers.MANIFEST], type=Manifest)
    left = tuple(each for each in manifest.statements if each != entry)
    octets = papers.readable(msgspec.structs.replace(manifest, statements=left))
    kept = {n: o for n, o in files.items() if n not in (papers.statement_path(entry), papers.proof_path(entry))}
    return _relisted(kept | {papers.MANIFEST: octets})


def test_a_statement_that_was_left_out_is_missed(told: World, archive: bytes) -> None:
    """However well the list was mended: the log's own entries tell, and the numbers of what is left."""
    files = _files(archive)
    entries = msgspec.json.decode(files[papers.MANIFEST], type=Manifest).statements[-4:]  # what people stated
    found = check(_packed(_drop_statement(files, entries[3])), told.policy())
    assert (found.missing, found.gaps) == ((entries[3],), ())
    found = check(_packed(_drop_statement(files, entries[2])), told.policy())
    assert found.missing == (entries[2],)
    assert found.gaps == (f"audit-period:2025-04-01 of {SUBSCRIBER}",)
    with pytest.raises(VerificationFailed, match="cites a document"):
        check(_packed(_drop_statement(files, entries[0])), told.policy())


def test_without_the_entries_nobody_can_tell(told: World, archive: bytes) -> None:
    """They may be left out, and then that is said; taken out behind the list's back, that is an edit."""
    files = _files(archive)
    manifest = msgspec.json.decode(files.pop(papers.ENTRIES) and files[papers.MANIFEST], type=Manifest)
    with pytest.raises(VerificationFailed, match="log/entries"):
        check(_packed(_relisted(files)), told.policy())
    log = msgspec.structs.replace(manifest.log, entries=False)
    files[papers.MANIFEST] = papers.readable(msgspec.structs.replace(manifest, log=log))
    assert check(_packed(_relisted(files)), told.policy()).missing is None


Edit = Callable[[dict[str, bytes], int], None]


def _change_text(files: dict[str, bytes], entry: int) -> None:
    """Say something else, everywhere in the statement's own file."""
    name = papers.statement_path(entry)
    text = msgspec.json.decode(files[name], type=StatementFile)
    said = msgspec.structs.replace(text.said, by="M-other")
    octets = text.octets.replace(b"M-admin", b"M-other")
    files[name] = papers.readable(msgspec.structs.replace(text, said=said, octets=octets))


def _change_salt(files: dict[str, bytes], entry: int) -> None:
    name = papers.statement_path(entry)
    text = msgspec.json.decode(files[name], type=StatementFile)
    files[name] = papers.readable(msgspec.structs.replace(text, salt=bytes(32)))


def _change_what_is_read(files: dict[str, bytes], entry: int) -> None:
    """Leave what the log commits to, and show people something else."""
    name = papers.statement_path(entry)
    text = msgspec.json.decode(files[name], type=StatementFile)
    files[name] = papers.readable(msgspec.structs.replace(text, said=msgspec.structs.replace(text.said, by="M-other")))


def _change_proof(files: dict[str, bytes], entry: int) -> None:
    """Put another entry into the proof."""
    name = papers.proof_path(entry)
    lines = files[name].decode().split("\n")
    extra = base64.b64decode(lines[1].removeprefix("extra ")).replace(b"evidence", b"findings")
    lines[1] = "extra " + base64.b64encode(extra).decode()
    files[name] = "\n".join(lines).encode()


def _change_index(files: dict[str, bytes], entry: int) -> None:
    name = papers.proof_path(entry)
    files[name] = files[name].replace(f"index {entry}\n".encode(), f"index {entry + 1}\n".encode())


def _change_path(files: dict[str, bytes], entry: int) -> None:
    """Put another hash into the proof's path."""
    name = papers.proof_path(entry)
    lines = files[name].decode().split("\n")
    lines[3] = base64.b64encode(bytes(32)).decode()
    files[name] = "\n".join(lines).encode()


def _forge_statement(files: dict[str, bytes], entry: int) -> None:
    """Add a statement that was never made: everything fits but the tree."""
    manifest = msgspec.json.decode(files[papers.MANIFEST], type=Manifest)
    place = next(each for each in range(manifest.log.size) if each not in manifest.statements)
    text = msgspec.json.decode(files[papers.statement_path(entry)], type=StatementFile)
    matter = msgspec.structs.replace(DOCUMENT, sha256="0" * 64)
    said = msgspec.structs.replace(text.said, matter=matter)
    octets = canonical_json(said)
    forged = msgspec.structs.replace(text, entry=place, said=said, octets=octets)
    leaf = encode(Statement(about="evidence", commitment=commit(text.salt, octets)))
    proof = parse_proof(files[papers.proof_path(entry)])
    files[papers.proof_path(place)] = format_proof(TlogProof(place, proof.path, proof.checkpoint, leaf)).encode()
    files[papers.statement_path(place)] = papers.readable(forged)
    stated = tuple(sorted((*manifest.statements, place)))
    files[papers.MANIFEST] = papers.readable(msgspec.structs.replace(manifest, statements=stated))


def _add_document(files: dict[str, bytes], entry: int) -> None:
    """Add a document that nobody stated, under its own digest."""
    files[papers.document_path(hashlib.sha256(b"more").hexdigest())] = b"more"


def _change_document(files: dict[str, bytes], entry: int) -> None:
    files[papers.document_path("0" * 64)] = files.pop(papers.document_path(SHA256))


def _change_entries(files: dict[str, bytes], entry: int) -> None:
    """Hide a statement in the log itself."""
    files[papers.ENTRIES] = files[papers.ENTRIES].replace(b'"statement"', b'"stathment"', 1)


def _change_citation(files: dict[str, bytes], entry: int) -> None:
    files[papers.FINDINGS] = files[papers.FINDINGS].replace(SHA256.encode(), b"0" * 64)


def _change_period(files: dict[str, bytes], entry: int) -> None:
    findings = json.loads(files[papers.FINDINGS])
    findings["asked"]["first"] = "2020-01-01"
    files[papers.FINDINGS] = papers.readable(findings)


@pytest.mark.parametrize("edit", [
    _change_text, _change_salt, _change_what_is_read, _change_proof, _change_index, _change_path, _forge_statement,
    _add_document, _change_document, _change_entries, _change_citation, _change_period,
], ids=lambda edit: edit.__name__)  # fmt: skip
def test_an_edit_with_a_list_that_fits_is_seen_all_the_same(told: World, archive: bytes, edit: Edit) -> None:
    """What the log fixed does not fit any more."""
    files = _files(archive)
    entry = msgspec.json.decode(files[papers.MANIFEST], type=Manifest).statements[-4]
    edit(files, entry)
    with pytest.raises(VerificationFailed):
        check(_packed(_relisted(files)), told.policy())


def test_another_log_is_not_believed(told: World, archive: bytes) -> None:
    other = "log seal.test/other+5f08a1ae+AQ1WgOZU5WLtnN0xhgRiZa5wmVpYXRDNVzmfDS+pbaLm\nquorum none\n"
    with pytest.raises(PrivySealError):
        check(io.BytesIO(archive), parse_policy(other))


def test_a_list_of_ten_megabytes_is_refused(told: World, archive: bytes) -> None:
    files = _files(archive) | {papers.MANIFEST: b" " * 10_000_000}
    with pytest.raises(VerificationFailed, match=r"manifest\.json has 10000000 octets"):
        check(_packed(files), told.policy())


def test_statements_of_others_are_counted_and_not_missed(told: World, tmp_path: Path) -> None:
    """What is about something that reports do not know has its texts elsewhere."""
    world = World(told.directory, tmp_path / "others")
    world.seal.logger.append([StatementSubmission(about="weather", commitment=bytes(32))], since=0)
    found = check(io.BytesIO(_made(world, tmp_path / "r.zip").read_bytes()), world.policy())
    assert (found.missing, found.elsewhere, found.documents) == ((), 1, 0)
    world.seal.logger.append([StatementSubmission(about="evidence", commitment=bytes(32))], since=0)
    found = check(io.BytesIO(_made(world, tmp_path / "r.zip").read_bytes()), world.policy())
    assert found.missing == (world.checkpoint().size - 1,)
    world.discard()


def test_what_the_service_states_is_part_of_the_report(told: World, tmp_path: Path) -> None:
    """A changed verdict and a lifted gate: written with what they are about, logged by the duties, proven."""
    world = World(told.directory, tmp_path / "own")
    with world.seal.records.writing(SUBSCRIBER) as tx:
        paper.note(tx, world.seal, FOUND)
        paper.note(tx, world.seal, msgspec.structs.replace(FOUND, verdict="met"))
        paper.note(tx, world.seal, msgspec.structs.replace(FOUND, verdict="met"))
    assert paper.finish(world.seal) == 2
    assert paper.finish(world.seal) == 0
    found = check(io.BytesIO(_made(world, tmp_path / "r.zip").read_bytes()), world.policy())
    assert (found.statements, found.missing, found.gaps) == (_founded(told) + 6, (), ())
    world.discard()


def test_the_command_says_so(told: World, archive: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 and what was found; 3 and one sentence for an edit or a gap; 2 for what is no report."""
    policy, file = told.directory / "log-policy", tmp_path / "r.zip"
    file.write_bytes(archive)
    ask = ["report", "verify", str(file), "--log-policy", str(policy)]
    assert run(ask) == 0
    said = capsys.readouterr().err
    assert "nothing is missing" in said and "not an audit opinion" in said
    files = _files(archive)
    altered = files | {papers.HTML: files[papers.HTML].replace(b"not met", b"met")[:-1] + b" "}
    file.write_bytes(_packed(altered).getvalue())
    assert run(ask) == 3
    said = capsys.readouterr().err
    assert "report.html was altered" in said and said.count("\n") == 1
    entries = msgspec.json.decode(files[papers.MANIFEST], type=Manifest).statements[-4:]  # what people stated
    file.write_bytes(_packed(_drop_statement(files, entries[3])).getvalue())
    assert run(ask) == 3
    assert f"1 statements of the log are missing here: entries {entries[3]}" in capsys.readouterr().err
    file.write_bytes(b"%PDF")
    assert run(ask) == 2
    assert run([*ask[:2], str(tmp_path / "nothing.zip"), *ask[3:]]) == 2
    for period in ("2026", "2026-01-02/2026-01-01", "a/b", "2026-01-02/9999-12-31"):
        assert run(["report", "--dir", str(told.directory), "--period", period, "--out", str(file)]) == 2
    assert run(["report"]) == 2


@pytest.mark.parametrize(
    ("out", "why"), [("nowhere/evidence.zip", "its folder does not exist"), (".", "it is a folder")]
)
def test_where_it_cannot_be_written_is_said_at_once(
    told: World, out: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the name that was given, not by that of a file of ours, and before everything is read."""
    given = tmp_path / out
    assert run(["report", "--dir", str(told.directory), "--period", _period(told), "--out", str(given)]) == 2
    assert capsys.readouterr().err == f"privyseal: The report cannot be written to {given}: {why}.\n"


def test_a_document_that_is_gone_is_not_reported_silently(told: World, tmp_path: Path) -> None:
    world = World(told.directory, tmp_path / "gone")
    kept = next((world.directory / "evidence").glob("*/*"))
    kept.write_bytes(OCTETS + b"!")
    with pytest.raises(VerificationFailed, match="is not the document"):
        _made(world, tmp_path / "r.zip", "--with-documents")
    shutil.rmtree(world.directory / "evidence")
    with pytest.raises(PrivySealError, match="is not in"):
        _made(world, tmp_path / "r.zip", "--with-documents")
    assert not (tmp_path / "r.zip").exists()
    world.discard()


def _signatures(count: int) -> list[Signature]:
    from datetime import UTC, datetime

    return [Signature(f"R-{number}", "demo", datetime(2026, 1, 1, tzinfo=UTC), number) for number in range(count)]


def test_a_sample_is_drawn_by_the_seed_alone() -> None:
    """As an auditor does with a list of ids: HMAC of each under the seed, sorted, the first n."""
    drawn, population = made.draw(iter(_signatures(500)), 25, "Prüfer 7")
    ranks = {
        each.id: hmac.new("Prüfer 7".encode(), each.id.encode(), "sha256").hexdigest() for each in _signatures(500)
    }
    assert population == 500
    assert [one.id for _, one in drawn] == sorted(ranks, key=ranks.__getitem__)[:25]
    assert drawn == made.draw(reversed(_signatures(500)), 25, "Prüfer 7")[0]
    assert drawn != made.draw(iter(_signatures(500)), 25, "another")[0]
    assert len(made.draw(iter(_signatures(3)), 25, "x")[0]) == 3


def test_the_sample_of_a_service(told: World) -> None:
    """Each with its entries in the log, and none from outside the period."""
    done = _run("sample", "--dir", told.directory, "--period", _period(told), "--n", 4, "--seed", "x", "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["population"], len(found["signatures"])) == (6, 4)
    entries = [json.loads(each) for each in told.entries()]
    for each in found["signatures"]:
        assert entries[each["intent"]]["type"] == "intent"
        assert entries[each["completion"]] | {"commitment": ""} == entries[each["completion"]] | {
            "commitment": "", "intent": each["intent"], "type": "completion"
        }  # fmt: skip
    before = told.now.date() - timedelta(days=1)
    done = _run("sample", "--dir", told.directory, "--period", f"{before}/{before}", "--seed", "x", "--json")
    assert json.loads(done.stdout)["population"] == 0


def test_too_large_for_every_program(
    told: World, archive: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("privyseal.cli.report_archive.LARGEST_ARCHIVE", 1 << 24)
    with pytest.raises(TooLarge, match="2 GiB"):
        _made(told, tmp_path / "r.zip")
    assert list(tmp_path.iterdir()) == []
