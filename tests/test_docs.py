"""The documentation says what the code does, as far as a machine can tell: links, tables, the diagram, the commands."""

import re
from datetime import timedelta
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import get_args

import click
import pytest
from tests.every import every

from privyseal import errors
from privyseal.access.permissions import MAY, Verb
from privyseal.access.platforms import PLATFORMS
from privyseal.cli.main import COMMANDS, EXIT_CODES, privyseal
from privyseal.cli.profile import ENVIRONMENT
from privyseal.compliance import reference
from privyseal.terms import life, requests
from privyseal.terms.canonical import canonical_json, decode_canonical
from privyseal.terms.parties import Role
from privyseal.terms.signatures import SCHEMES
from privyseal.tlog import entry, merkle
from privyseal.web import problem
from privyseal.web.app import ROUTES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_ANCHOR = re.compile(r"""<a\s+(?:id|name)=["']([^"']+)["']""")
_FENCED = re.compile(r"^```mermaid\n(.*?)^```", re.MULTILINE | re.DOTALL)


def text(page: Path) -> str:
    """Read one page."""
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """Read one page without its code, in which brackets are no links."""
    return _CODE.sub("", _FENCE.sub("", text(page)))


def slug(heading: str) -> str:
    """Make the anchor that GitHub and most renderers make of a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    """List where one can jump to in a page; a heading that occurs twice has a number the second time."""
    found: list[str] = []
    for heading in _HEADING.findall(_FENCE.sub("", text(page))):
        name = slug(heading)
        again = sum(1 for known in found if re.fullmatch(re.escape(name) + r"(-\d+)?", known))
        found.append(f"{name}-{again}" if again else name)
    return frozenset(found) | frozenset(_ANCHOR.findall(text(page)))


def page_of(name: str) -> str:
    """Read a page under docs/."""
    return text(DOCS / name)


def test_there_are_pages() -> None:
    """The tests below would all hold of an empty folder."""
    assert len(PAGES) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """A link to a file of this repository, or to a heading in one, is not broken."""
    broken = []
    for target in _LINK.findall(prose(page)):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, fragment = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (fragment and (there.suffix != ".md" or fragment not in anchors(there))):
            broken.append(target)
    assert not broken


def test_every_page_can_be_reached_from_the_index() -> None:
    """Nobody reads a page that nothing links to."""
    reached, ahead = set(), [DOCS / "index.md"]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        for target in _LINK.findall(prose(page)):
            there = (page.parent / target.partition("#")[0]).resolve()
            if there.suffix == ".md" and there.is_file():
                ahead.append(there)
    assert not set(DOCS.rglob("*.md")) - reached


def exits(of: type[errors.PrivySealError]) -> dict[str, int]:
    """Give the exit code of an error class and of everything below it, by code."""
    found = {of.code: of.exit}
    for below in of.__subclasses__():
        found |= exits(below)
    return found


EXITS = exits(errors.PrivySealError)


@pytest.mark.parametrize("kind", problem.kinds().values(), ids=lambda kind: kind.code)
def test_every_problem_has_its_section(kind: problem.Kind) -> None:
    """Each code has a section that gives the title, the HTTP status and the exit code it really has."""
    page = page_of("reference/problems.md")
    section = re.search(rf"^## {re.escape(kind.code)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert section is not None
    row = f"| {kind.title} | {kind.status} | {EXITS.get(kind.code, '')} | {'yes' if kind.retryable else 'no'} |"
    assert row.replace("|  |", "| |") in section[1]


def test_no_section_is_about_a_problem_that_does_not_exist() -> None:
    """A code that is gone from the code is gone from the page."""
    named = set(re.findall(r"^## ([a-z-]+)$", page_of("reference/problems.md"), re.MULTILINE))
    assert named == set(problem.kinds()) == set(EXITS) | {kind.code for kind in problem.HTTP_KINDS.values()}


def test_every_decision_is_in_the_index() -> None:
    """Each record of a decision is listed once, in order, with its title, and the numbers have no gap."""
    records = sorted(path for path in (DOCS / "adr").glob("[0-9]*.md"))
    titles = [re.match(r"# (\d+)\. (.+)\n", text(path)) for path in records]
    assert all(titles)
    assert [int(found[1]) for found in titles if found] == list(range(1, len(records) + 1))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    listed = re.findall(r"^\d+\. \[(.+?)\]\((.+?)\)", page_of("adr/README.md"), re.MULTILINE)
    assert listed == [(found[2], path.name) for found, path in zip(titles, records, strict=True) if found]


@pytest.mark.parametrize("path", sorted((DOCS / "adr").glob("[0-9]*.md")), ids=lambda path: path.stem)
def test_every_decision_has_its_parts(path: Path) -> None:
    """Context, decision and consequences, in that order."""
    assert re.findall(r"^## (.+)$", text(path), re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_the_diagram_is_the_one_the_code_prints() -> None:
    """The states in the documentation are those of the table in ``terms/requests.py``."""
    drawn = _FENCED.findall(page_of("reference/request-states.md"))
    assert drawn == [requests.diagram() + "\n"]


def test_the_states_of_keys_are_those_of_the_code() -> None:
    """Their diagram is the one that the table in ``terms/life.py`` prints, and each has a row."""
    page = page_of("reference/key-states.md")
    assert _FENCED.findall(page) == [life.diagram() + "\n"]
    assert [state for state in life.KeyState if f"| `{state}` |" not in page] == []


def test_the_requirements_are_those_of_the_catalogue() -> None:
    """Every entry stands on its page with what the catalogue says of it: `python -m privyseal.compliance.reference`."""
    assert page_of("reference/requirements.md") == reference.page()


def test_every_state_is_explained() -> None:
    """Each state has a row of its own on the page about states."""
    page = page_of("reference/request-states.md")
    assert [state for state in requests.State if f"| `{state}` |" not in page] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_reference(command: str) -> None:
    """Each command of the table in ``cli/main.py`` has a section of its own."""
    assert f"\n## privyseal {command}\n" in page_of("reference/command-line.md")


def test_no_command_is_described_that_does_not_exist() -> None:
    """A section about a command that is gone, or not there yet, promises too much."""
    described = re.findall(r"^## privyseal ([a-z-]+)$", page_of("reference/command-line.md"), re.MULTILINE)
    assert set(described) == set(COMMANDS)


def options_of(command: click.Command, path: str) -> dict[str, str]:
    """Give every long option of a command and of those below it, with the command it belongs to."""
    found: dict[str, str] = {}
    for option in (each for each in command.params if isinstance(each, click.Option)):
        found |= {name: path for name in option.opts if name.startswith("--")}
    for name, below in getattr(command, "commands", {}).items():
        found |= options_of(below, f"{path} {name}")
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_reference(command: str) -> None:
    """Whoever looks for an option finds it on the page about the command line, or on the one about configuration."""
    loaded = privyseal.get_command(click.Context(privyseal), command)
    assert loaded is not None
    page = page_of("reference/command-line.md")
    assert {name: path for name, path in options_of(loaded, command).items() if name not in page} == {}


def test_every_exit_code_is_in_the_reference() -> None:
    """The exit codes that ``--help`` lists are all in the table."""
    codes = re.findall(r"^(\d+) ", EXIT_CODES, re.MULTILINE)
    page = page_of("reference/command-line.md")
    assert codes
    assert [code for code in codes if f"| {code} |" not in page] == []


def test_every_route_is_in_the_reference() -> None:
    """Each route of the table stands on the page about the API with who is admitted, and no other does."""
    names = {"{subscriber:str}": "SUBSCRIBER", "{name:str}": "NAME", "{request_id:str}": "ID", "{code:str}": "CODE"}
    names |= {"{fingerprint:str}": "FINGERPRINT", "{path:path}": "checkpoint"}
    names |= {"{rule_id:str}": "RULE", "{token_id:str}": "TOKEN", "{grant_id:str}": "GRANT", "{act_id:str}": "ACT"}
    names |= {"{upload_id:str}": "UPLOAD", "{number:int}": "NUMBER", "{digest:str}": "SHA256"}
    names |= {"{member:str}": "MEMBER", "{policy:str}": "OID", "{time:str}": "TIME", "{leaf:str}": "LEAF"}
    names |= {"{order_id:str}": "ORDER", "{question:path}": "REQUEST"}
    admitted = {"anybody": "anybody", "any member": "any member", "watchers": "watchers"}
    wanted = set()
    for route in ROUTES:
        path = re.sub(r"\{[^}]*\}", lambda found: names[found[0]], route.path)
        wanted.add((f"{route.method} {path}", admitted.get(route.admits, f"`{route.admits}`")))
    found = re.findall(
        r"^\| `((?:GET|POST|HEAD|PUT|PATCH|DELETE) [^`]+)` \| ([^|]+) \|",
        page_of("reference/http-api.md"),
        re.MULTILINE,
    )
    assert set(found) - {("GET /log/tile/...", "anybody")} == wanted


@pytest.mark.parametrize("role", Role)
def test_every_role_is_in_the_reference(role: Role) -> None:
    """The table of roles is the one in ``access/permissions.py``."""
    verbs = ", ".join(f"`{verb}`" for verb in get_args(Verb) if verb in MAY[role])
    assert f"| `{role}` | {verbs} |" in page_of("reference/http-api.md")


def test_every_setting_of_the_client_is_in_the_reference() -> None:
    """Each setting of a client profile and its environment variable stand on the page about configuration."""
    page = page_of("reference/configuration.md")
    assert [s for s, variable in ENVIRONMENT.items() if f"| `{s}` | `{variable}` |" not in page] == []


def test_every_scheme_is_in_the_reference() -> None:
    """Each kind of key that a Key Pair may have stands on the page about limits."""
    page = page_of("reference/limits.md")
    assert [name for name in SCHEMES if f"`{name}`" not in page] == []


_UNITS = {"": 1, "ms": 1, "s": 1, "min": 60, "days": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_LIMIT = re.compile(r"^\|[^|]+\| ([0-9.]+) ?([A-Za-z]*) \|[^|]+\| `([a-z0-9_.]+)\.([A-Z_0-9]+)` \|$", re.MULTILINE)


def limits() -> list[tuple[str, str, str, str]]:
    """Read the rows of the page about limits: number, unit, module, name."""
    return _LIMIT.findall(page_of("reference/limits.md"))


def test_the_limits_are_read() -> None:
    """A row that the pattern does not match would go unchecked."""
    rows = [
        line
        for line in page_of("reference/limits.md").splitlines()
        if re.search(r"`[a-z0-9_.]+\.[A-Z_0-9]+` \|$", line)
    ]
    assert len(limits()) == len(rows) > 40


def test_every_limit_is_the_one_in_the_code() -> None:
    """The value on the page is the constant's."""
    with every() as case:
        for number, unit, module, name in limits():
            with case(f"{module}.{name}"):
                value = getattr(import_module(f"privyseal.{module}"), name)
                if isinstance(value, timedelta):
                    value = value / timedelta(days=1) if unit == "days" else value.total_seconds()
                assert float(number) * _UNITS[unit] == value


def example() -> dict[str, list[str]]:
    """Read the worked example on the page about log formats: label to values, in order."""
    page = page_of("reference/log-formats.md").partition("## A worked example")[2]
    found: dict[str, list[str]] = {}
    for line in page.partition("```\n")[2].partition("\n```")[0].splitlines():
        found.setdefault(line[:12].strip(), []).append(line[12:])
    return found


def test_the_worked_example_is_what_the_code_makes() -> None:
    """Whoever writes a verifier from the page can check it against these values."""
    given = example()
    request = decode_canonical(given["request"][0].encode(), requests.SigningRequest)
    assert given["digest"] == [request.digest().hex()]
    tag = entry.key_tag(bytes(32), b"spki")
    assert given["key tag"] == [tag]
    intent = entry.Intent(
        verb="sign", key_tag=tag, key_seq=0, uses=1, commitment=entry.commit(bytes(range(32)), request.canonical())
    )
    completed = entry.Completed(
        intent=0,
        request=request.digest().hex(),
        signatures=(sha256(b"signature").hexdigest(),),
        blobs=(sha256(b"blob").hexdigest(),),
        tokens=(),
    )
    completion = entry.Completion(
        key_tag=tag,
        intent=0,
        outcome="signed",
        commitment=entry.commit(bytes(range(32, 64)), canonical_json(completed)),
    )
    entries = [entry.encode(intent), entry.encode(completion)]
    leaves = [merkle.leaf_hash(each) for each in entries]
    assert [given["intent"][0].encode(), given["completion"][0].encode()] == entries
    assert given["completed"] == [canonical_json(completed).decode()]
    assert given["leaf"] == [each.hex() for each in leaves]
    assert given["root"] == [merkle.node_hash(*leaves).hex()]


_TEST = re.compile(r"\[`(test_\w+)`\]\(\.\./\.\./(tests/[\w/]+\.py)\)")


def test_every_test_that_a_promise_names_exists() -> None:
    """The threat model names tests as evidence; a test that is gone is no evidence."""
    named = _TEST.findall(page_of("design/threat-model.md"))
    assert len(named) > 25
    missing = [(name, path) for name, path in named if f"def {name}(" not in text(ROOT / path)]
    assert missing == []


_FINDING = re.compile(r"\b(?:Problem|Flaw)\(\s*\"([a-z-]+)\"")


def test_everything_that_verify_can_find_is_explained() -> None:
    """Each code of a problem that stands in the code has its row on the page about verdicts."""
    sources = [*(ROOT / "src/privyseal/formats").glob("*.py"), ROOT / "src/privyseal/verify.py"]
    sources += [ROOT / "src/privyseal/pki" / name for name in ("chain.py", "cms.py")]
    found = {code for source in sources for code in _FINDING.findall(text(source))}
    page = page_of("reference/verdicts.md")
    assert len(found) > 25
    assert sorted(code for code in found if f"`{code}`" not in page) == []


def test_what_rules_must_name_is_in_the_reference() -> None:
    """Each platform has its row with the claims of ``access/platforms.py``."""
    page = page_of("reference/workload-identities.md")
    for platform in PLATFORMS.values():
        row = re.search(rf"^\| `{platform.name}` \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
        assert row is not None
        named = [re.findall(r"`([^`]+)`", cell) for cell in row.groups()]
        assert tuple(named[0]) == platform.anchors
        assert named[1] == [claim for group in platform.one_of for claim in group]
        assert named[2] == list(platform.never)
        assert set(named[0] + named[1] + named[3]) == set(platform.conditions)
