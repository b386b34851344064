"""The recipes of CONTRIBUTING.md, followed as they are written in a copy of the package; their own tests must pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "CONTRIBUTING.md").read_text()
RECIPES = re.findall(r"^## (A .+)$", DOCUMENT, re.MULTILINE)


def files(recipe: str) -> list[tuple[str, bool, str]]:
    """Return the files of a recipe: path, whether the text is added to a file that exists, and the text."""
    text = DOCUMENT.split(f"## {recipe}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```python\n# (\S+\.py)( \(add\))?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(path, bool(add), code) for path, add, code in blocks]


def test_there_are_four_recipes():
    assert RECIPES == ["A method", "A data set", "A metric", "A protocol"]


def test_recipes(tmp_path):
    """All four in one copy of the package, so that none is in the way of another."""
    for folder in ("mmwsol", "configs"):
        # numba's compiled kernels, a quarter of a minute, are copied with their sources
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.pyc", "*.tmp*"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)  # its presence makes this folder a checkout
    tests = []
    for path, add, code in (file for recipe in RECIPES for file in files(recipe)):
        target = tmp_path / path
        assert add == target.is_file(), path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(target.read_text() + code if add else code)
        if path.startswith("tests/"):
            tests.append(path)
    assert len(tests) == len(RECIPES)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("recipe", RECIPES)
def test_table_lists_the_files(recipe):
    """Every file that the example writes has a row in the table of the recipe."""
    text = DOCUMENT.split(f"## {recipe}\n")[1].split("\n## ")[0]
    rows = [re.sub(r"<\w+>", "*", path) for path in re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)]
    for path, _, _ in files(recipe):
        assert any(Path(path).match(row) or Path(path).parent.match(row.rstrip("/")) for row in rows), path
