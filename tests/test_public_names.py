"""Every public name says what it is: also constants, which no linter asks for.

Three kinds say it without a docstring: variables of types, the requirements of a family, each of which states its
clause and its words, and what Alembic reads in a migration.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "privyseal"
FILES = sorted(path for path in SOURCE.rglob("*.py") if path.parent.name != "versions")
PLACES = sorted({path.relative_to(SOURCE).parts[0] for path in FILES})
"""Packages, and the files beside them."""


def constants(node: ast.stmt) -> list[str]:
    """Return the public names that a statement binds."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [one for each in targets for one in (each.elts if isinstance(each, ast.Tuple) else [each])]
    return [each.id for each in names if isinstance(each, ast.Name) and not each.id.startswith("_")]


def requirements(body: list[ast.stmt]) -> set[str]:
    """Return the names that a family of requirements lists, and the list's own."""
    lists = [node for node in body if constants(node) == ["REQUIREMENTS"]]
    return {each.id for node in lists for each in ast.walk(node) if isinstance(each, ast.Name)}


def is_type_variable(node: ast.stmt) -> bool:
    value = getattr(node, "value", None)
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "TypeVar"


def is_said(body: list[ast.stmt], place: int) -> bool:
    """Tell whether a docstring follows a constant, or the last of those that stand under it without a gap."""
    while place + 1 < len(body):
        this, after = body[place], body[place + 1]
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            return True
        if not constants(after) or after.lineno != (this.end_lineno or this.lineno) + 1:
            return False
        place += 1
    return False


def silent(body: list[ast.stmt], within: str = "") -> Iterator[str]:
    """Return the public names of a module or class that say nothing of themselves; fields speak by their names."""
    listed = requirements(body)
    for place, node in enumerate(body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None:
                yield within + node.name
            if isinstance(node, ast.ClassDef):
                yield from silent(node.body, f"{within}{node.name}.")
        elif not within and not is_type_variable(node) and not is_said(body, place):
            yield from (name for name in constants(node) if name not in listed)


@pytest.mark.parametrize("place", PLACES)
def test_every_public_name_says_what_it_is(place: str) -> None:
    found = [
        f"{path.relative_to(SOURCE)}: {name}"
        for path in FILES
        if path.relative_to(SOURCE).parts[0] == place
        for name in silent(ast.parse(path.read_text("utf-8")).body)
    ]
    assert found == []


def test_a_silent_name_is_found() -> None:
    """A constant alone, one with a gap before the next docstring, a class, and a function in it; not a requirement."""
    text = '''
A = 1
B, C = 2, 3
"""Both."""
D = 4

E = 5
"""A gap before it."""
_F = 6
class G:
    H = 7
    def i(self): pass
    def _j(self): pass
K = Requirement()
L = Requirement()
REQUIREMENTS = (K,)
M = TypeVar("M")
'''
    assert list(silent(ast.parse(text).body)) == ["D", "G", "G.i", "L"]
