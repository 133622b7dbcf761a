"""Public names of the crafts and of what they rest on say what they are: also constants, which no linter asks for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "privyseal"
PACKAGES = ("pki", "terms", "access", "tlog", "formats", "timestamp")
FILES = [path for package in PACKAGES for path in sorted((SOURCE / package).rglob("*.py"))]


def constants(node: ast.stmt) -> list[str]:
    """Return the public names that a statement binds."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [one for each in targets for one in (each.elts if isinstance(each, ast.Tuple) else [each])]
    return [each.id for each in names if isinstance(each, ast.Name) and not each.id.startswith("_")]


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
    for place, node in enumerate(body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None:
                yield within + node.name
            if isinstance(node, ast.ClassDef):
                yield from silent(node.body, f"{within}{node.name}.")
        elif not within and constants(node) and not is_said(body, place):
            yield from constants(node)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_says_what_it_is(package: str) -> None:
    found = [
        f"{path.relative_to(SOURCE)}: {name}"
        for path in FILES
        if path.relative_to(SOURCE).parts[0] == package
        for name in silent(ast.parse(path.read_text("utf-8")).body)
    ]
    assert found == []


def test_a_silent_name_is_found() -> None:
    """A constant alone, one with a gap before the next docstring, a class, and a function in it."""
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
'''
    assert list(silent(ast.parse(text).body)) == ["D", "G", "G.i"]
