"""``privyseal ballot``, ``timeline`` and ``what-if``, as a shell sees them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from privyseal.cli import ballot as cli
from privyseal.cli import main, output, what_if
from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.proposal import parse_proposal
from privyseal.compliance.requirement import Asked

HEAD = '[ballot]\nnumber = "P-1"\ntitle = "A try"\nsummary = "A try."\nsource = "a test"\n'
WHOLE = (
    HEAD
    + 'proposer = "A"\nendorsers = ["B", "C"]\n'
    + "discussion = { start = 2026-01-05, end = 2026-01-12 }\nvoting = { start = 2026-01-12, end = 2026-01-19 }\n"
    + 'votes.issuers = { yes = ["A", "B"], no = ["D"] }\nvotes.consumers = { yes = ["P"] }\n'
    + "[vote]\nparticipants = [5, 6, 7]\nrunway_days = 180\n"
)


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main.run(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code, out, err = _run(capsys, *arguments, "--json")
    assert (code, err) == (0, ""), err
    return json.loads(out)


def test_the_list_as_of_the_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    document = _json(capsys, "ballot", "list", "--as-of", "2023-10-19")
    stood = {each["number"]: (each["status"], each["waits_for"]) for each in document["ballots"]}
    assert stood["CSC-20"] == ("passed", "the review period")
    assert stood["CSC-21"] == ("in discussion", None)
    assert stood["CSC-22"] == ("draft", "CSC-21")
    assert stood["CSC-25"][0] == stood["FORUM-20v2"][0] == "draft"
    assert not any(number.startswith("FB-") for number in stood)
    assert {each["outcome"] for ballot in document["ballots"] for each in ballot["open_items"]} == {None}
    code, out, err = _run(capsys, "ballot", "list", "--as-of", "2023-10-19")
    assert (code, out) == (0, "")
    assert "Proposed Ballot High Risk" in err and "waits for CSC-21" in err and "High risk changes" not in err
    assert "2024" not in err.replace("June 1, 2024 was an example", "")


def test_unknown_votes_are_null_and_not_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert _json(capsys, "ballot", "show", "CSC-20")["votes"] is None
    assert _json(capsys, "ballot", "show", "CSC-21")["votes"]["issuers"]["abstain"] == ["Sectigo"]
    assert "votes    not known" in _run(capsys, "ballot", "show", "CSC-20")[2]


def test_a_choice_is_the_operators(capsys: pytest.CaptureFixture[str]) -> None:
    assert _json(capsys, "ballot", "show", "CSC-32")["counts"] is True
    assert _json(capsys, "ballot", "show", "CSC-32", "--choose", "CSC-32=when-read")["counts"] is False
    rows = _json(capsys, "timeline", "--choose", "CSC-32=when-read")["rows"]
    assert {row["open"] for row in rows if row["ballot"] == "CSC-32"} == {True}
    assert (
        "adopted, text not seen, not counted: Make" in _run(capsys, "ballot", "list", "--choose", "CSC-32=when-read")[2]
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ballot", "show", "CSC-99"], "There is no ballot 'CSC-99' in the table."),
        (["ballot", "show", "CSC-26", "--as-of", "2023-10-19"], "Nothing is on record of CSC-26 up to 2023-10-19."),
        (["ballot", "list", "--as-of", "2023-02-30"], "is no date"),
        (["ballot", "list", "--choose", "CSC-32"], "one is written CSC-32=when-read"),
        (["ballot", "list", "--choose", "CSC-32=x"], "no reading is named 'x'"),
        (["timeline", "--choose", "CSBR-6.7-01=x"], "CSBR-6.7-01 has no such reading; it has only one."),
        (["ballot", "rehearse", "/nowhere/b.toml"], "neither a ballot of the table, nor an example, nor a file"),
        (["what-if", "CSC-21"], "Missing option '--on'"),
        (["what-if", "CSC-99", "--on", "2027-01-01"], "neither a ballot of the table"),
        (["what-if", "CSC-21", "--on", "2027-01-01", "--role", "king"], "is not one of"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert says in err and "Traceback" not in err


def test_a_whole_vote_is_rehearsed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.toml"
    file.write_text(WHOLE)
    document = _json(capsys, "ballot", "rehearse", str(file))
    assert document["outcome"] == "would be adopted"
    days = {each["name"]: each["earliest"] for each in document["milestones"]}
    assert (days["adopted"], days["binds"]) == ("2026-02-18", "2026-08-17")
    file.write_text(WHOLE.replace('no = ["D"]', 'no = ["D", "E"]'))
    assert _json(capsys, "ballot", "rehearse", str(file))["outcome"] == "fails"
    file.write_text(WHOLE.replace("participants = [5, 6, 7]\n", ""))
    assert _json(capsys, "ballot", "rehearse", str(file))["outcome"] == "cannot be told"
    assert _json(capsys, "ballot", "rehearse", "CSC-21")["on_record"] == "adopted"


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"\x00", "is not TOML"),
        (b"\xff", "it is not UTF-8"),
        (HEAD.encode() + b"colour = 1\n", "unknown field"),
        (HEAD.encode() + b"[[drop]]\nrequirements = ['CSBR-9.9.9-01']\nfrom = 2027-01-01\n", "not in the catalogue"),
        (HEAD.encode() + b"review = { start = 2027-01-02, end = 2027-01-01 }\n", "before it starts"),
        (b"#" * 10_000_000, "too much for a ballot"),
    ],
)
@pytest.mark.parametrize("command", [("ballot", "rehearse"), ("what-if",)])
def test_a_bad_file_is_one_sentence_and_never_an_answer(
    octets: bytes, says: str, command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(octets)
    on = ("--on", "2027-01-01") if command == ("what-if",) else ()
    code, out, err = _run(capsys, *command, str(file), *on, "--json")
    assert code == 2
    assert says in json.loads(out)["error"]["text"]
    assert err.count("\n") == 1 and "Traceback" not in err


@pytest.mark.parametrize(
    "text",
    [
        HEAD + '"colour\\u001b[31m" = 1\n',
        HEAD + "[[drop]]\nrequirements = ['CSBR-\\u202e']\nfrom = 2027-01-01\n".replace("'", '"'),
        HEAD + '[[ballot.sketches]]\nclause = "6\\u001b[2J"\ntext = "\\u202e"\n',
        HEAD.replace("A try", "A \\u001b[2J"),
    ],
)
def test_nothing_in_a_file_moves_the_terminal(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.toml"
    file.write_text(text)
    for arguments in (("ballot", "rehearse", str(file)), ("what-if", str(file), "--on", "2027-01-01")):
        err = _run(capsys, *arguments)[2]
        assert "\x1b" not in err and "\u202e" not in err


def test_a_folder_is_no_ballot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run(capsys, "what-if", str(tmp_path), "--on", "2027-01-01")
    assert code == 2 and "Traceback" not in err


def test_what_an_addition_asks_and_of_whom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.toml"
    file.write_text(
        HEAD
        + '[[add]]\nid = "PROPOSED-6.7-01"\ntitle = "More"\ntext = "More is asked.\\u202e"\nsince = 2027-07-01\n'
        + 'binds = ["signing-service"]\nkinds = ["organisation"]\nevidence = ["audit-report"]\n'
    )
    arguments = ("what-if", str(file), "--on", "2027-08-01", "--from", "2027-06-01")
    document = _json(capsys, *arguments)
    [duty] = document["duties"]
    assert (duty["requirement"], duty["due"], duty["runway_days"]) == ("PROPOSED-6.7-01", "2027-07-01", 30)
    stands = {each["scenario"]: each["requirements"][0]["standing"] for each in document["scenarios"]}
    assert stands == {
        "A": "newly bound on paper",
        "B": "newly bound on paper",
        "C": "newly bound on paper",
        "D": "not bound",
        "E": "not bound",
    }
    code, out, err = _run(capsys, *arguments)
    assert (code, out) == (0, "")
    assert "2027-07-01, in 30 days" in err and "\u202e" not in err
    assert max(map(len, err.splitlines())) <= output.WIDTH


@pytest.mark.parametrize(
    "arguments",
    [
        ("ballot", "list"),
        ("ballot", "list", "--as-of", "2023-10-19"),
        ("ballot", "show", "CSC-21"),
        ("ballot", "show", "CSC-1"),
        ("ballot", "show", "FB-01"),
        ("ballot", "rehearse", "CSC-31"),
        ("timeline",),
        ("what-if", "CSC-21", "--on", "2026-12-01"),
        ("what-if", "CSC-1", "--on", "2026-12-01"),
        ("what-if", "FB-08", "--on", "2026-12-01"),
    ],
)
def test_people_read_80_columns(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(capsys, *arguments)
    assert (code, out) == (0, "")
    wide = [line for line in err.splitlines() if len(line) > output.WIDTH]
    assert wide == []


def test_the_timeline_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "t.svg"
    document = _json(capsys, "timeline", "--svg", str(file), "--as-of", "2023-10-19")
    assert document["today"] == "2023-10-19"
    assert all(row["in_the_past"] == (row["date"] <= "2023-10-19") for row in document["rows"])
    assert file.read_text("utf-8").startswith("<svg ")
    assert "CSC-31" not in file.read_text("utf-8")
    code, _, err = _run(capsys, "timeline", "--svg", str(tmp_path / "no" / "t.svg"))
    assert code == 2 and "No such file" in err


def test_the_examples_come_with_the_program() -> None:
    assert cli.examples() == ("drop-audit-of-unaffiliated", "flow-down-by-agreement", "prohibit-unaudited-resellers")
    assert cli.shipped("../ballots") is None


def test_a_contradiction_is_read_as_the_operator_chooses(capsys: pytest.CaptureFixture[str]) -> None:
    if "CSBR-8.4.2-01" not in BY_ID or BY_ID["CSBR-8.4.2-01"].conflict is None:
        pytest.skip("the catalogue has no clause 8.4.2 with two readings yet")

    def due(*choose: str) -> str:
        duties = _json(capsys, "what-if", "CSC-21", "--on", "2026-12-01", *choose)["duties"]
        return str(next(each["due"] for each in duties if each["requirement"] == "CSBR-8.4.2-01"))

    assert due() == "2024-07-01"
    assert due("--choose", "CSBR-8.4.2-01=table") == "2024-06-15"


@pytest.mark.parametrize("name", cli.examples())
def test_an_example_is_answered(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "CSBR-8.4.2-01" not in BY_ID:
        pytest.skip("the catalogue has no clause 8.4.2 yet")
    document = _json(capsys, "what-if", name, "--on", "2027-12-01", "--from", "2026-12-01")
    standing = {
        (each["scenario"], one["requirement"]): one["standing"]
        for each in document["scenarios"]
        for one in each["requirements"]
    }
    assert standing["C", "CSBR-8.4.2-01"] == ("escapes" if name == "drop-audit-of-unaffiliated" else "now enforced")
    assert standing["D", "CSBR-8.4.2-01"] == "not bound"
    assert document["not_in_the_catalogue"] == []
    assert _run(capsys, "ballot", "rehearse", name)[0] == 0


def test_subjects_can_be_handed_in(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(HEAD)
    day = date(2027, 1, 1)
    one, found = what_if.answer(str(file), Asked(datetime(2027, 1, 1, tzinfo=UTC)), day, ())
    assert (one.number, found.subjects, found.shortfalls) == ("P-1", 0, ())
    assert parse_proposal(HEAD.encode(), "p", ()).ballot == one


def _certificate(days: int) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A leaf")])
    start = datetime(2026, 5, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=7)
    builder = builder.not_valid_before(start).not_valid_after(start + timedelta(days=days, seconds=-1))
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
    signed = builder.add_extension(usage, critical=False).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def test_certificates_are_held_against_a_ballot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a long path would be wrapped, and the verdict with it
    short, long = Path("short.pem"), Path("long.pem")
    short.write_bytes(_certificate(460))
    long.write_bytes(_certificate(461))
    arguments = ("what-if", "CSC-31", "--on", "2026-12-01", "--certificates", str(short), "--certificates", str(long))
    document = _json(capsys, *arguments)
    assert document["subjects"] == 2
    found = [(each["subject"], each["requirement"], each["verdict"]) for each in document["shortfalls"]]
    assert found == [(str(long), "CSBR-6.3.2-01", "not-met")]
    assert "CSBR 6.3.2 not-met" in " ".join(_run(capsys, *arguments)[2].split())
    long.write_bytes(b"no certificate")
    code, out, err = _run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "long.pem" in err and "Traceback" not in err
