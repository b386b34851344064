"""Docstrings state shapes, units, defaults and errors; types are in the annotations alone."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "mmwsol"
TYPED = {
    "Args": re.compile(r"\*{0,2}\w+ \([^()]*(\([^()]*\))?[^()]*\): "),
    "Returns": re.compile(r"(dict|Tensor|np\.ndarray|tuple|list|str|bool)(\[.*?\])?: "),
}
TYPED |= {"Attributes": TYPED["Args"], "Yields": TYPED["Returns"]}
SECTION = re.compile(r"(\s*)(Args|Attributes|Returns|Yields|Raises):\s*$")


def typed_lines(docstring):
    """Yield the lines of arguments, attributes and results that begin with a type."""
    section, inside = "", -1
    for line in docstring.splitlines():
        indent = len(line) - len(line.lstrip())
        if match := SECTION.match(line):
            section, inside = match[2], indent + 4
        elif line.strip() and indent < inside:
            section = ""
        elif section in TYPED and indent == inside and TYPED[section].match(line.strip()):
            yield line.strip()


def test_the_pattern():
    text = "Do it.\n\nArgs:\n    boxes (np.ndarray): (M, 4).\n    size: (W, H).\n\nReturns:\n    Tensor: (B,).\n"
    assert list(typed_lines(text)) == ["boxes (np.ndarray): (M, 4).", "Tensor: (B,)."]


def test_types_are_in_annotations():
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    typed = []
    for path in sorted(ROOT.rglob("*.py")):
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, documented)]
        lines = [line for node in nodes for line in typed_lines(ast.get_docstring(node) or "")]
        typed += [f"{path.relative_to(ROOT)}: {line}" for line in lines]
    assert typed == []
